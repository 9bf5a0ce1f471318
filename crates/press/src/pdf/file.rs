//! A PDF file that grows object by object: what is written is forgotten, but for its offset.

use std::io::{self, Write};

use pdf_writer::{Chunk, Dict, Finish, Name, Ref};
use sha2::{Digest, Sha256};

/// The file's header: PDF 1.6, and a comment that tells transports that the file is binary.
const HEADER: &[u8] = b"%PDF-1.6\n%\xE2\xE3\xCF\xD3\n";

/// The cross-reference table counts in ten digits.
const MAX_OFFSET: u64 = 9_999_999_999;

/// Writes objects to `out` and keeps the offset of each for the cross-reference table.
pub(crate) struct PdfFile<W> {
    out: HashedOutput<W>,
    /// Offset of object number `index + 1`; `None` until it is written.
    offsets: Vec<Option<u64>>,
}

/// What a finished file amounts to.
pub(crate) struct FinishedFile {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl<W: Write> PdfFile<W> {
    pub(crate) fn start(out: W) -> io::Result<Self> {
        let mut out = HashedOutput { inner: out, digest: Sha256::new(), bytes: 0 };
        out.write_all(HEADER)?;
        Ok(Self { out, offsets: Vec::new() })
    }

    /// Sets a number aside for an object to be written later.
    pub(crate) fn reserve(&mut self) -> Ref {
        self.offsets.push(None);
        Ref::new(self.offsets.len() as i32)
    }

    /// Writes one indirect object, which `chunk` must hold alone.
    pub(crate) fn object(&mut self, id: Ref, chunk: &Chunk) -> io::Result<()> {
        debug_assert!(chunk.refs().eq([id]));
        self.open(id)?;
        self.out.write_all(chunk.as_bytes())
    }

    /// Writes a stream object whose bytes are known, from slices, copying nothing.
    pub(crate) fn stream(
        &mut self,
        id: Ref,
        slices: &[&[u8]],
        dict: impl FnOnce(&mut Dict<'_>),
    ) -> io::Result<()> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let length = i32::try_from(length).map_err(|_| io::Error::other("stream over 2 GiB"))?;
        self.stream_head(id, |entries| {
            dict(entries);
            entries.pair(Name(b"Length"), length);
        })?;
        for slice in slices {
            self.out.write_all(slice)?;
        }
        self.out.write_all(b"\nendstream\nendobj\n")
    }

    /// Writes a stream object whose bytes `fill` makes as they go; its length follows as an object of its own.
    pub(crate) fn stream_unsized<E: From<io::Error>>(
        &mut self,
        id: Ref,
        dict: impl FnOnce(&mut Dict<'_>),
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let length_id = self.reserve();
        self.stream_head(id, |entries| {
            dict(entries);
            entries.pair(Name(b"Length"), length_id);
        })?;
        let start = self.out.bytes;
        fill(&mut self.out)?;
        let length = self.out.bytes - start;
        self.out.write_all(b"\nendstream\nendobj\n")?;
        let length = i32::try_from(length).map_err(|_| io::Error::other("stream over 2 GiB"))?;
        let mut chunk = Chunk::new();
        chunk.indirect(length_id).primitive(length);
        self.object(length_id, &chunk)?;
        Ok(())
    }

    /// An identifier for the file, from the content written so far.
    pub(crate) fn content_id(&self) -> [u8; 16] {
        let digest: [u8; 32] = self.out.digest.clone().finalize().into();
        std::array::from_fn(|index| digest[index])
    }

    /// Writes the cross-reference table and the trailer.
    pub(crate) fn finish(
        mut self,
        catalog: Ref,
        info: Ref,
        id: [u8; 16],
    ) -> io::Result<FinishedFile> {
        let table = self.out.bytes;
        let count = self.offsets.len() + 1;
        write!(self.out, "xref\n0 {count}\n0000000000 65535 f \n")?;
        for offset in &self.offsets {
            let offset = offset.ok_or_else(|| io::Error::other("an object was never written"))?;
            writeln!(self.out, "{offset:010} 00000 n ")?;
        }
        let (catalog, info, id) = (catalog.get(), info.get(), hex::encode_upper(id));
        write!(
            self.out,
            "trailer\n<< /Size {count} /Root {catalog} 0 R /Info {info} 0 R /ID [<{id}> <{id}>] >>\n\
             startxref\n{table}\n%%EOF\n"
        )?;
        self.out.flush()?;
        Ok(FinishedFile { bytes: self.out.bytes, sha256: self.out.digest.finalize().into() })
    }

    fn open(&mut self, id: Ref) -> io::Result<()> {
        if self.out.bytes > MAX_OFFSET {
            return Err(io::Error::other("the PDF grows over 10 GB"));
        }
        let place =
            usize::try_from(id.get() - 1).ok().and_then(|index| self.offsets.get_mut(index));
        match place {
            Some(place @ None) => *place = Some(self.out.bytes),
            _ => return Err(io::Error::other("an object was written twice")),
        }
        Ok(())
    }

    /// Writes a stream object up to where its bytes start.
    fn stream_head(&mut self, id: Ref, dict: impl FnOnce(&mut Dict<'_>)) -> io::Result<()> {
        let mut chunk = Chunk::new();
        let mut entries = chunk.indirect(id).dict();
        dict(&mut entries);
        entries.finish();
        let head = chunk.as_bytes().trim_ascii_end();
        let head = head.strip_suffix(b"endobj").unwrap_or(head).trim_ascii_end();
        self.open(id)?;
        self.out.write_all(head)?;
        self.out.write_all(b"\nstream\n")
    }
}

/// Counts and hashes what passes through.
struct HashedOutput<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: Write> Write for HashedOutput<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.digest.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
