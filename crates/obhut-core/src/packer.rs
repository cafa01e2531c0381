//! Writing blobs: dedup against index and this run, two random open packs a kind, upload, index files.

use std::sync::Arc;

use crate::blob::Sealed;
use crate::error::Result;
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::job::Control;
use crate::repo::Repository;

/// What a writer has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Plaintext bytes of new blobs.
    pub bytes: u64,
    /// Their bytes in packs.
    pub packed_bytes: u64,
    /// Packs written.
    pub packs: u64,
    /// Index files written.
    pub indexes: u64,
}

/// Accepts blobs from many threads. Nothing counts until [`BlobWriter::finish`] returned `Ok`; after the
/// first failed upload every call fails and no index is written any more (formats: restic 14).
pub struct BlobWriter {
    _repo: Arc<Repository>,
}

impl BlobWriter {
    /// A writer; `index` is what is known already. With `dry_run` nothing is uploaded, sizes are counted.
    /// `threads` = 1 makes the calling thread do all uploads itself.
    pub fn new(
        repo: Arc<Repository>,
        _index: Arc<Index>,
        _control: Arc<Control>,
        _threads: usize,
        _dry_run: bool,
    ) -> Result<Self> {
        Ok(Self { _repo: repo })
    }
    /// Whether the caller has to encode and put this blob: neither in the index nor claimed in this run.
    /// Whoever gets `true` must put it (or the run fails).
    pub fn claim(&self, _kind: BlobKind, _id: &Id) -> bool {
        todo!()
    }
    /// Whether the blob is in the index or claimed in this run.
    pub fn knows(&self, _kind: BlobKind, _id: &Id) -> bool {
        todo!()
    }
    /// Adds a claimed blob; gives the bytes it takes in the repository. Blocks while uploads lag.
    pub fn put(
        &self,
        _kind: BlobKind,
        _id: Id,
        _plain_length: u64,
        _sealed: &Sealed,
    ) -> Result<u64> {
        todo!()
    }
    /// Flushes open packs, waits for all uploads, then writes the index files that name them.
    pub fn finish(self) -> Result<WriterStats> {
        todo!()
    }
}
