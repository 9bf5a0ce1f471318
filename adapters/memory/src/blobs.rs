//! Blobs in memory.

use crate::config::MemoryConfig;
use crate::error::MemoryError;
use object_store::memory::InMemory;
use printmill_backend::Blobs;
use printmill_backend::blobs::BlobsCaps;
use std::sync::Arc;

/// Parts of this size are written one after the other.
const PART_BYTES: usize = 128 * 1024;

/// An empty store of blobs. Clones of it share its content.
pub fn memory_blobs() -> Blobs {
    Blobs::new(
        Arc::new(InMemory::new()),
        BlobsCaps { name: "memory", local: true, part_bytes: PART_BYTES, atomic_put: true },
    )
}

/// An empty store of blobs, by address: `memory://`.
pub fn open_blobs(url: &str) -> Result<Blobs, MemoryError> {
    MemoryConfig::from_url(url).map(|MemoryConfig| memory_blobs())
}
