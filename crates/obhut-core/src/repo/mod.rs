//! An opened repository: store, config, master key, index.

use std::sync::Arc;

use crate::blob::{Codec, Encoding};
use crate::chunker::Chunker;
use crate::crypto::Key;
use crate::error::Result;
use crate::id::{BlobKind, FileKind, Id};
use crate::index::{Index, Location};
use crate::job::Control;
use crate::snapshot::SnapshotRoot;
use crate::store::Store;
use crate::world::{Clock, Random};

/// An opened repository. Shared by all threads behind an `Arc`; the master key never leaves it.
pub struct Repository {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    key: Arc<Key>,
}

impl Repository {
    /// The store (with all its wrappers).
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
    /// Randomness.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }
    /// The master key.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }
    /// The repository's id (64 hex digits): names the local cache.
    pub fn id(&self) -> &str {
        todo!()
    }
    /// 1 or 2.
    pub fn version(&self) -> u32 {
        todo!()
    }
    /// The chunker with the repository's polynomial.
    pub fn chunker(&self) -> Arc<Chunker> {
        todo!()
    }
    /// How this process encodes blobs.
    pub fn encoding(&self) -> Encoding {
        todo!()
    }
    /// Target size of packs in bytes.
    pub fn pack_size(&self) -> usize {
        todo!()
    }
    /// A blob codec for the calling thread.
    pub fn codec(&self) -> Codec {
        Codec::new(
            Arc::clone(&self.key),
            Arc::clone(&self.random),
            self.encoding(),
        )
    }
    /// Loads the whole index, in parallel. Call after listing snapshots (formats: restic 14).
    pub fn load_index(&self, _control: &Control, _threads: usize) -> Result<Arc<Index>> {
        todo!()
    }
    /// An unpacked file's plaintext (snapshot, index, lock): name checked, opened, decompressed.
    pub fn load_unpacked(&self, _kind: FileKind, _id: &Id) -> Result<Vec<u8>> {
        todo!()
    }
    /// Saves an unpacked file: encoded, sealed, re-opened and compared, named, put.
    pub fn save_unpacked(&self, _kind: FileKind, _plain: &[u8]) -> Result<Id> {
        todo!()
    }
    /// Every snapshot's root, sorted by snapshot id. An unreadable one is an error.
    pub fn snapshot_roots(&self, _control: &Control) -> Result<Vec<SnapshotRoot>> {
        todo!()
    }
    /// Reads, opens and checks a blob; falls back to its other copies on damage.
    pub fn load_blob(
        &self,
        _codec: &mut Codec,
        _index: &Index,
        _kind: BlobKind,
        _id: &Id,
    ) -> Result<Vec<u8>> {
        todo!()
    }
    /// Opens a sealed blob that was read from a pack.
    pub fn open_blob(
        &self,
        codec: &mut Codec,
        id: &Id,
        at: &Location,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        codec.open(id, sealed, at.uncompressed)
    }
}
