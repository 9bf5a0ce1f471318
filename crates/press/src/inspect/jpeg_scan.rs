//! The scans of a JPEG: its tables, and whether its scans hold all that the header promises.

use std::io::Read;

use super::InspectError;
use super::entropy::{HuffmanTable, ScanComponent, read_scan};
use super::jpeg::{Walk, damaged};

/// The standard's limit for scans that interleave components.
const MAX_BLOCKS_IN_UNIT: u32 = 10;

/// Tables in force, and what the scans so far have brought.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
    quantization: [bool; 4],
    pub(crate) restart_interval: u64,
    /// By component: in a sequential file, whether it came.
    came: [bool; 4],
    /// By component and coefficient: in a progressive file, whether it came with its last bit.
    exact: [u64; 4],
}

/// A scan header.
struct Scan {
    /// Index of each component, with the numbers of its DC and AC tables.
    components: Vec<(usize, u8, u8)>,
    /// First and last coefficient.
    band: (u8, u8),
    /// Bits of precision still to come.
    low: u8,
}

impl<R: Read> Walk<'_, R> {
    pub(super) fn huffman_tables(&mut self, length: usize) -> Result<(), InspectError> {
        let data = self.bytes.vec(length)?;
        let mut rest = data.as_slice();
        while let Some((head, behind)) = rest.split_first_chunk::<17>() {
            let [kind, counts @ ..] = head;
            let count = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let table = behind.get(..count).and_then(|symbols| HuffmanTable::new(counts, symbols));
            let tables = match kind >> 4 {
                0 => &mut self.tables.dc,
                1 => &mut self.tables.ac,
                _ => return Err(damaged("a code table is of no kind")),
            };
            let place = tables.get_mut(usize::from(kind & 15));
            match (place, table) {
                (Some(place), Some(table)) => *place = Some(table),
                _ => return Err(damaged("a code table is impossible")),
            }
            rest = &behind[count..];
        }
        if !rest.is_empty() {
            return Err(damaged("a code table has the wrong length"));
        }
        Ok(())
    }

    pub(super) fn quantization_tables(&mut self, length: usize) -> Result<(), InspectError> {
        let data = self.bytes.vec(length)?;
        let mut rest = data.as_slice();
        while let Some((kind, behind)) = rest.split_first() {
            let size = if kind >> 4 == 0 { 64 } else { 128 };
            let place = self.tables.quantization.get_mut(usize::from(kind & 15));
            match (place, behind.get(size..)) {
                (Some(place), Some(behind)) => {
                    *place = true;
                    rest = behind;
                }
                _ => return Err(damaged("a quantization table is impossible")),
            }
        }
        Ok(())
    }

    /// Reads a scan header and all of its entropy-coded data; answers the marker that ends it.
    pub(super) fn scan(&mut self) -> Result<u8, InspectError> {
        if self.found.components.is_empty() {
            return Err(damaged("pixels come before the header"));
        }
        self.found.scans += 1;
        if self.found.scans > self.limits.max_scans {
            return Err(InspectError::unsupported("JPEG with very many scans"));
        }
        let scan = self.scan_header()?;
        if self.found.progressive {
            return self.progressive_scan(&scan);
        }
        for (index, _, _) in &scan.components {
            self.tables.came[*index] = true;
        }
        let alone = scan.components.len() == 1;
        let mut units = self.found.units();
        let mut components = Vec::with_capacity(scan.components.len());
        for (index, dc, ac) in &scan.components {
            let component = &self.found.components[*index];
            let table = |tables: &'_ [Option<HuffmanTable>; 4], number: u8| {
                tables.get(usize::from(number)).cloned().flatten()
            };
            let tables = (table(&self.tables.dc, *dc), table(&self.tables.ac, *ac));
            let (Some(dc), Some(ac)) = tables else {
                return Err(damaged("a code table is missing"));
            };
            if alone {
                units = self.found.blocks_alone(component);
            }
            let blocks = u32::from(component.horizontal) * u32::from(component.vertical);
            components.push((if alone { 1 } else { blocks }, dc, ac));
        }
        if components.iter().map(|(blocks, _, _)| blocks).sum::<u32>() > MAX_BLOCKS_IN_UNIT {
            return Err(damaged("its header has impossible sampling factors"));
        }
        let components: Vec<ScanComponent<'_>> = components
            .iter()
            .map(|(blocks, dc, ac)| ScanComponent { blocks: *blocks, dc, ac })
            .collect();
        read_scan(&mut self.bytes, &components, units, self.tables.restart_interval)
    }

    fn scan_header(&mut self) -> Result<Scan, InspectError> {
        let wrong = || damaged("a scan header contradicts the picture's");
        let length = usize::from(self.bytes.u16()?);
        let header = self.bytes.vec(length.saturating_sub(2))?;
        let [count, rest @ ..] = header.as_slice() else { return Err(wrong()) };
        let count = usize::from(*count);
        if !(1..=self.found.components.len()).contains(&count) || rest.len() != 3 + 2 * count {
            return Err(wrong());
        }
        let mut components = Vec::with_capacity(count);
        for part in rest[..2 * count].chunks_exact(2) {
            let index = self.found.components.iter().position(|one| one.id == part[0]);
            let index = index.ok_or_else(wrong)?;
            if components.iter().any(|(other, _, _)| *other == index) {
                return Err(wrong());
            }
            components.push((index, part[1] >> 4, part[1] & 15));
        }
        let (first, last, low) = (rest[2 * count], rest[2 * count + 1], rest[2 * count + 2] & 15);
        if self.found.progressive && (first > last || last > 63) {
            return Err(wrong());
        }
        Ok(Scan { components, band: (first, last), low })
    }

    /// Passes over the data of a progressive scan, which cannot be read without the pixels of those before it.
    fn progressive_scan(&mut self, scan: &Scan) -> Result<u8, InspectError> {
        if scan.low == 0 {
            let (first, last) = scan.band;
            let band = (u64::MAX >> (63 - (last - first))) << first;
            for (index, _, _) in &scan.components {
                self.tables.exact[*index] |= band;
            }
        }
        let start = self.bytes.position();
        loop {
            let at_hand = self.bytes.buffered()?;
            match at_hand.iter().position(|byte| *byte == 0xFF) {
                None => {
                    let count = at_hand.len();
                    self.bytes.consume(count);
                    continue;
                }
                Some(place) => self.bytes.consume(place + 1),
            }
            let mut code = self.bytes.byte()?;
            while code == 0xFF {
                code = self.bytes.byte()?;
            }
            if !matches!(code, 0 | 0xD0..=0xD7) {
                self.found.entropy_bytes += self.bytes.position() - start - 2;
                return Ok(code);
            }
        }
    }

    /// Whether the scans brought everything that the header promised.
    pub(super) fn check_complete(&self) -> Result<(), InspectError> {
        let components = &self.found.components;
        let missing = || damaged("it holds fewer pixels than its header says");
        let has_table =
            |number: u8| self.tables.quantization.get(usize::from(number)) == Some(&true);
        if !components.iter().all(|component| has_table(component.quantization)) {
            return Err(damaged("a quantization table is missing"));
        }
        if !self.found.progressive {
            let all_came = self.tables.came[..components.len()].iter().all(|came| *came);
            return if all_came { Ok(()) } else { Err(missing()) };
        }
        // A file that was cut and closed again lacks its last scans. Some encoders leave out chrominance that is zero,
        // but none leaves out luminance. And each block takes at least one bit.
        if self.tables.exact[0] != u64::MAX || self.found.entropy_bytes * 8 < self.found.blocks() {
            return Err(missing());
        }
        Ok(())
    }
}
