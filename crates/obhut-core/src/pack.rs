//! Pack files: blobs together, with a sealed header at the end (formats: restic 7).

use crate::blob::Sealed;
use crate::crypto::Key;
use crate::error::Result;
use crate::id::{BlobKind, Id};
use crate::world::Random;

/// One blob in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Data or tree.
    pub kind: BlobKind,
    /// The blob's id.
    pub id: Id,
    /// Where it starts in the pack.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
    /// Plaintext length if compressed, else 0.
    pub uncompressed: u32,
}

/// A pack being filled.
#[derive(Default)]
pub struct PackBuilder {}

/// A finished pack.
pub struct FinishedPack {
    /// SHA-256 of `bytes`.
    pub id: Id,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What it holds, in order.
    pub blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// Adds a sealed blob.
    pub fn add(&mut self, _kind: BlobKind, _id: Id, _sealed: &Sealed) {
        todo!()
    }
    /// Bytes of the finished file if it were closed now.
    pub fn size(&self) -> usize {
        todo!()
    }
    /// Number of blobs.
    pub fn count(&self) -> usize {
        todo!()
    }
    /// Whether another blob would exceed the header's limit of 16 MiB.
    pub fn is_full(&self) -> bool {
        todo!()
    }
    /// Seals the header, parses it back, names the pack.
    pub fn finish(self, _key: &Key, _random: &dyn Random) -> Result<FinishedPack> {
        todo!()
    }
}

/// Size in bytes of the header part (sealed header and its length field) of a pack with these blobs
/// (`true` = compressed entry).
pub fn header_size(_blobs: impl Iterator<Item = bool>) -> u64 {
    todo!()
}

/// Parses the header out of `tail`, the last bytes of a pack of `file_size` bytes named `object`.
/// `Ok(Err(n))`: `tail` is too short, the last `n` bytes are needed.
pub fn parse_header(
    _object: &str,
    _key: &Key,
    _file_size: u64,
    _tail: &[u8],
) -> Result<std::result::Result<Vec<PackedBlob>, usize>> {
    todo!()
}
