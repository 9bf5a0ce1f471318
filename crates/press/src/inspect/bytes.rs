//! A buffered reader that counts, and that says "truncated" where others say "end of file".

use std::io::{BufRead, BufReader, ErrorKind, Read};

use super::InspectError;

pub(crate) struct CountedBytes<R> {
    inner: BufReader<R>,
    format: &'static str,
    position: u64,
}

impl<R: Read> CountedBytes<R> {
    pub(crate) fn new(inner: R, format: &'static str) -> Self {
        Self { inner: BufReader::with_capacity(64 * 1024, inner), format, position: 0 }
    }

    /// Bytes consumed so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn byte(&mut self) -> Result<u8, InspectError> {
        let [byte] = self.array::<1>()?;
        Ok(byte)
    }

    /// Like [`byte`](Self::byte), quicker where many are read in a row.
    #[inline]
    pub(crate) fn quick_byte(&mut self) -> Result<u8, InspectError> {
        match self.inner.buffer().first() {
            Some(byte) => {
                let byte = *byte;
                self.consume(1);
                Ok(byte)
            }
            None => self.byte(),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], InspectError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|error| self.error(error))?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, InspectError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, InspectError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// The bytes at hand, at least one; [`consume`](Self::consume) what was used.
    pub(crate) fn buffered(&mut self) -> Result<&[u8], InspectError> {
        match self.inner.fill_buf() {
            Ok([]) => {
                return Err(InspectError::Truncated { format: self.format, bytes: self.position });
            }
            Ok(_) => {}
            Err(source) => return Err(InspectError::Unreadable { source }),
        }
        Ok(self.inner.buffer())
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.position += count as u64;
    }

    /// The next `length` bytes, allocated only as they arrive.
    pub(crate) fn vec(&mut self, length: usize) -> Result<Vec<u8>, InspectError> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at_hand = self.buffered()?;
            let count = at_hand.len().min(length - bytes.len());
            bytes.extend_from_slice(&at_hand[..count]);
            self.consume(count);
        }
        Ok(bytes)
    }

    pub(crate) fn skip(&mut self, length: usize) -> Result<(), InspectError> {
        let mut left = length;
        while left > 0 {
            let count = self.buffered()?.len().min(left);
            self.consume(count);
            left -= count;
        }
        Ok(())
    }

    fn error(&self, source: std::io::Error) -> InspectError {
        if source.kind() == ErrorKind::UnexpectedEof {
            InspectError::Truncated { format: self.format, bytes: self.position }
        } else {
            InspectError::Unreadable { source }
        }
    }
}
