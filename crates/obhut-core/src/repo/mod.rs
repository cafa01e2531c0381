//! An opened repository: store, config, master key.
//!
//! `init` makes one, [`open`] finds the key, [`keys`] changes keys, [`config`] and [`unpacked`] are the bytes. The master key
//! lives here and is never handed out beyond the crate's sealing code.

pub mod config;
mod init;
pub mod keys;
pub mod listing;
pub mod open;
pub mod prefetch;
pub mod unpacked;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::blob::{Codec, Encoding};
use crate::chunker::Chunker;
use crate::crypto::Key;
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::{self, Index, Location};
use crate::job::Control;
use crate::snapshot::{self, SnapshotRoot};
use crate::store::Store;
use crate::store::latch::Latch;
use crate::world::{Accounts, Clock, Random};

use config::Config;

/// restic's default target size of packs.
pub const PACK_SIZE: usize = 16 << 20;

/// Who works here: written into locks and key files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub username: String,
    /// The host's name.
    pub hostname: String,
}

/// An opened repository. Shared by all threads behind an `Arc`; the master key never leaves it.
pub struct Repository {
    store: Arc<dyn Store>,
    latch: Arc<Latch>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    accounts: Arc<dyn Accounts>,
    key: Arc<Key>,
    key_id: Id,
    config: Config,
    chunker: Arc<Chunker>,
    encoding: Encoding,
    pack_size: usize,
    identity: Identity,
    warnings: Vec<Error>,
    prefetched: prefetch::Slot,
}

impl Repository {
    /// The store (with all its wrappers).
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Trips when our lock is lost; nothing but locks can be written or deleted afterwards.
    pub fn latch(&self) -> &Arc<Latch> {
        &self.latch
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Randomness.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }

    /// Users and groups of the host.
    pub fn accounts(&self) -> &Arc<dyn Accounts> {
        &self.accounts
    }

    /// The master key.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// The key file that the password opened.
    pub fn key_id(&self) -> Id {
        self.key_id
    }

    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The repository's id (64 hex digits): names the local cache.
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// 1 or 2.
    pub fn version(&self) -> u32 {
        self.config.version
    }

    /// The chunker with the repository's polynomial.
    pub fn chunker(&self) -> Arc<Chunker> {
        Arc::clone(&self.chunker)
    }

    /// How this process encodes blobs.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Target size of packs in bytes.
    pub fn pack_size(&self) -> usize {
        self.pack_size
    }

    /// Who works here.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What was odd while opening (a damaged key file that was skipped).
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }

    /// Whether nothing may be deleted here: the storage refuses it or the config says so (rustic).
    pub fn is_append_only(&self) -> bool {
        self.config.append_only || self.store.capabilities().append_only
    }

    /// A blob codec for the calling thread.
    pub fn codec(&self) -> Codec {
        Codec::new(
            Arc::clone(&self.key),
            Arc::clone(&self.random),
            self.encoding,
        )
    }

    /// The names of all files of a kind, ascending.
    pub fn list(&self, kind: FileKind) -> Result<Vec<Id>> {
        let mut ids: Vec<Id> = self
            .store
            .list(kind)?
            .into_iter()
            .map(|file| file.id)
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Loads the whole index, in parallel. Call after listing snapshots (formats: restic 14).
    pub fn load_index(&self, control: &Control, threads: usize) -> Result<Arc<Index>> {
        let ids = self.list(FileKind::Index)?;
        match self.prefetched.take(&ids, control)? {
            Some(index) => Ok(index),
            None => self.load_index_files(&ids, control, threads),
        }
    }

    /// Loads exactly these index files.
    pub fn load_index_files(
        &self,
        ids: &[Id],
        control: &Control,
        threads: usize,
    ) -> Result<Arc<Index>> {
        let read = |id: &Id| self.load_unpacked(FileKind::Index, id);
        let index = index::load::load(ids, self.version(), threads, control, &read)?;
        self.store.mark_tree_packs(&index.tree_packs());
        Ok(Arc::new(index))
    }

    /// An unpacked file's plaintext (snapshot, index, lock): name checked, opened, decompressed.
    pub fn load_unpacked(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>> {
        let name = FileName::new(kind, *id);
        let mut bytes = self.store.get(name)?;
        if Id::of(&bytes) != *id {
            // A transfer can fail once; a file that is damaged at rest fails twice.
            bytes = self.store.get(name)?;
        }
        if Id::of(&bytes) != *id {
            return Err(Error::damaged(
                name.to_string(),
                "its bytes do not hash to its name",
            ));
        }
        unpacked::decode(&name.to_string(), &self.key, self.version(), &bytes)
    }

    /// Saves an unpacked file: encoded, sealed, re-opened and compared, named, put.
    pub fn save_unpacked(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        let (id, bytes) = self.seal_unpacked(plain)?;
        self.store.put(FileName::new(kind, id), &bytes)?;
        Ok(id)
    }

    /// The bytes of an unpacked file and their name.
    pub fn seal_unpacked(&self, plain: &[u8]) -> Result<(Id, Vec<u8>)> {
        let verify = self.encoding.verify;
        let bytes = unpacked::encode(
            &self.key,
            self.random.as_ref(),
            self.version(),
            plain,
            verify,
        )?;
        Ok((Id::of(&bytes), bytes))
    }

    /// Every snapshot's root, sorted by snapshot id. An unreadable one is an error.
    pub fn snapshot_roots(&self, control: &Control) -> Result<Vec<SnapshotRoot>> {
        let ids = self.list(FileKind::Snapshot)?;
        self.each_snapshot(&ids, control, &|id, json| snapshot::parse_root(id, &json?))
            .into_iter()
            .collect()
    }

    /// Loads the snapshots `ids` with several threads and gives `read`'s answer for each, in order.
    pub fn each_snapshot<T: Send>(
        &self,
        ids: &[Id],
        control: &Control,
        read: &(dyn Fn(Id, Result<Vec<u8>>) -> Result<T> + Sync),
    ) -> Vec<Result<T>> {
        let next = AtomicUsize::new(0);
        let one = |id: &Id| {
            control.check()?;
            read(*id, self.load_unpacked(FileKind::Snapshot, id))
        };
        let worker = || {
            let mut answers = Vec::new();
            loop {
                let n = next.fetch_add(1, Relaxed);
                let Some(id) = ids.get(n) else { break answers };
                answers.push((n, crate::job::guarded(|| one(id))));
            }
        };
        let threads = self
            .store
            .capabilities()
            .connections
            .clamp(1, 8)
            .min(ids.len().max(1));
        let mut answers = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let mut answers = worker();
            for other in others {
                // `guarded` caught every panic of `read`; nothing else in a worker can panic.
                answers.extend(other.join().unwrap_or_default());
            }
            answers
        });
        answers.sort_unstable_by_key(|(n, _)| *n);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Reads, opens and checks a blob; falls back to its other copies on damage.
    pub fn load_blob(
        &self,
        codec: &mut Codec,
        index: &Index,
        kind: BlobKind,
        id: &Id,
    ) -> Result<Vec<u8>> {
        let object = || format!("{} blob {id}", kind.as_str());
        let mut failure = Error::new(Code::BlobMissing, object(), "no index file names it");
        for slot in index.slots(kind, id) {
            let at = index.entry(slot).location;
            let pack = FileName::new(FileKind::Pack, at.pack);
            let sealed = self
                .store
                .get_range(pack, u64::from(at.offset), at.length as usize);
            match sealed.and_then(|sealed| self.open_blob(codec, id, &at, &sealed)) {
                Ok(plain) => return Ok(plain),
                Err(e) if e.code() == Code::Cancelled => return Err(e),
                Err(e) => {
                    failure = Error::new(e.code(), format!("{} in {pack}", object()), e.detail());
                }
            }
        }
        Err(failure)
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
