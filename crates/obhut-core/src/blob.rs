//! Blobs: compress, seal, verify, and back (formats: restic 6).

use std::sync::Arc;

use crate::crypto::Key;
use crate::error::Result;
use crate::id::{BlobKind, Id};
use crate::world::Random;

/// A sealed blob, ready for a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// IV, ciphertext, tag.
    pub bytes: Vec<u8>,
    /// Length of the plaintext if it was compressed, 0 if it is raw.
    pub uncompressed: u32,
}

/// restic's `--compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// zstd 3; incompressible data raw.
    #[default]
    Auto,
    /// Data blobs raw.
    Off,
    /// zstd 1.
    Fastest,
    /// zstd 7.
    Better,
    /// zstd 12.
    Max,
}

/// How blobs are encoded.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Repository version: 1 knows no compression.
    pub version: u32,
    /// The effort.
    pub compression: Compression,
    /// Re-open and compare after sealing (`--no-extra-verify` turns it off).
    pub verify: bool,
}

/// Encodes and decodes blobs; one per thread (it owns reusable zstd contexts).
pub struct Codec {
    _key: Arc<Key>,
}

impl Codec {
    /// A codec for `key`.
    pub fn new(key: Arc<Key>, _random: Arc<dyn Random>, _encoding: Encoding) -> Self {
        Self { _key: key }
    }
    /// Compresses, seals and (if asked) verifies a blob whose id is already known.
    pub fn seal(&mut self, _kind: BlobKind, _id: &Id, _plain: &[u8]) -> Result<Sealed> {
        todo!()
    }
    /// Opens a sealed blob and checks its hash; the error is `damaged` about `object`.
    /// Allocates at most `uncompressed` bytes for a compressed one (0 = raw).
    pub fn open(&mut self, _id: &Id, _sealed: &[u8], _uncompressed: u32) -> Result<Vec<u8>> {
        todo!()
    }
}
