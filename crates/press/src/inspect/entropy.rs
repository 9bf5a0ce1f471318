//! Reads the Huffman codes of a sequential JPEG scan block by block, to see that every block is there, keeping none.

use std::io::Read;

use super::InspectError;
use super::bytes::CountedBytes;

/// Codes of up to so many bits are found in one step.
const QUICK_BITS: u32 = 9;

/// A Huffman table as a JPEG defines it.
#[derive(Debug, Clone)]
pub(crate) struct HuffmanTable {
    /// By the next bits: length of the code (0 for a longer one) and its symbol.
    quick: Vec<(u8, u8)>,
    /// By length: the first code beyond those of this length, aligned to 16 bits.
    ends: [u32; 17],
    /// By length: what to add to a code of this length to get the place of its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// A table from the number of codes of each length and their symbols; `None` when there can be no such table.
    pub(crate) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            quick: vec![(0, 0); 1 << QUICK_BITS],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            table.offsets[length as usize] = place as i32 - code as i32;
            if code + count > 1 << length {
                return None;
            }
            for _ in 0..count {
                let symbol = *symbols.get(place)?;
                if length <= QUICK_BITS {
                    let first = (code << (QUICK_BITS - length)) as usize;
                    let run = 1usize << (QUICK_BITS - length);
                    table.quick[first..first + run].fill((length as u8, symbol));
                }
                code += 1;
                place += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        (place == symbols.len()).then_some(table)
    }

    /// Length and symbol of the code that these 16 bits start with.
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, symbol) = self.quick[(bits >> (16 - QUICK_BITS)) as usize];
        if length > 0 {
            return Some((length.into(), symbol));
        }
        let length = (QUICK_BITS + 1..=16).find(|length| bits < self.ends[*length as usize])?;
        let place = (bits >> (16 - length)) as i32 + self.offsets[length as usize];
        let symbol = self.symbols.get(usize::try_from(place).ok()?)?;
        Some((length, *symbol))
    }
}

/// A component's part in a scan.
pub(crate) struct ScanComponent<'a> {
    /// Blocks in each unit of the scan.
    pub(crate) blocks: u32,
    pub(crate) dc: &'a HuffmanTable,
    pub(crate) ac: &'a HuffmanTable,
}

/// Reads `units` units of these components, and on to the marker behind them, which it answers.
pub(crate) fn read_scan<R: Read>(
    bytes: &mut CountedBytes<R>,
    components: &[ScanComponent<'_>],
    units: u64,
    restart_interval: u64,
) -> Result<u8, InspectError> {
    let mut bits = Bits { bytes, held: 0, count: 0, marker: None };
    for unit in 0..units {
        if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
            bits.restart((unit / restart_interval - 1) % 8)?;
        }
        for component in components {
            for _ in 0..component.blocks {
                bits.block(component)?;
            }
        }
    }
    bits.marker_behind()
}

struct Bits<'a, R> {
    bytes: &'a mut CountedBytes<R>,
    /// The next bits, the very next one highest.
    held: u64,
    count: u32,
    /// The marker that was met, beyond which no bit is read.
    marker: Option<u8>,
}

impl<R: Read> Bits<'_, R> {
    fn block(&mut self, component: &ScanComponent<'_>) -> Result<(), InspectError> {
        let size = u32::from(self.symbol(component.dc)?);
        if size > 15 {
            return Err(damaged("a code is impossible"));
        }
        self.skip(size)?;
        let mut place = 1;
        while place < 64 {
            let symbol = self.symbol(component.ac)?;
            let (run, size) = (symbol >> 4, u32::from(symbol & 15));
            match (run, size) {
                (0, 0) => break,
                (15, 0) => place += 16,
                _ => place += u32::from(run) + 1,
            }
            if place > 64 {
                return Err(damaged("a block holds too much"));
            }
            self.skip(size)?;
        }
        Ok(())
    }

    fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, InspectError> {
        self.fill()?;
        let found = table.find((self.held >> 48) as u32);
        let (length, symbol) = found.ok_or_else(|| {
            // Behind the last bit there are zeros only, which may look like a code that does not exist.
            if self.count < 16 { missing() } else { damaged("a code does not exist") }
        })?;
        self.skip(length)?;
        Ok(symbol)
    }

    fn skip(&mut self, length: u32) -> Result<(), InspectError> {
        if length > self.count {
            self.fill()?;
            if length > self.count {
                return Err(missing());
            }
        }
        self.held <<= length;
        self.count -= length;
        Ok(())
    }

    /// Takes in bytes until there are more than 48 bits, or a marker.
    fn fill(&mut self) -> Result<(), InspectError> {
        if self.count >= 32 {
            return Ok(());
        }
        while self.count <= 48 && self.marker.is_none() {
            let byte = self.bytes.quick_byte()?;
            if byte == 0xFF {
                let mut code = self.bytes.byte()?;
                while code == 0xFF {
                    code = self.bytes.byte()?;
                }
                if code != 0 {
                    self.marker = Some(code);
                    return Ok(());
                }
            }
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        Ok(())
    }

    fn restart(&mut self, number: u64) -> Result<(), InspectError> {
        let marker = self.marker_behind()?;
        if u64::from(marker) != 0xD0 + number {
            return Err(missing());
        }
        (self.held, self.count, self.marker) = (0, 0, None);
        Ok(())
    }

    /// The next marker, over whatever bits are left.
    fn marker_behind(&mut self) -> Result<u8, InspectError> {
        loop {
            if let Some(marker) = self.marker {
                return Ok(marker);
            }
            (self.held, self.count) = (0, 0);
            self.fill()?;
        }
    }
}

fn missing() -> InspectError {
    damaged("it holds fewer pixels than its header says")
}

fn damaged(what: &str) -> InspectError {
    InspectError::damaged("JPEG", what)
}
