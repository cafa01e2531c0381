//! Writing blobs: dedup against index and this run, two random open packs a kind, upload, index files.
//!
//! Invariants (formats: restic 14):
//! - an index file names only packs whose upload was acknowledged;
//! - after the first failed upload nothing more is uploaded and no index is written: an error latch;
//! - each blob goes to a random one of two open packs of its kind, so that neither a pack's contents nor the
//!   order of uploads show the sequence of chunk lengths of a file (formats: restic 7).
//!
//! Before a pack is uploaded its blobs are proved ([`PackBuilder::finish`]); whoever uploads it does so.
//!
//! Memory: at most four open packs and one waiting or uploading pack a thread, each up to the target size and
//! one blob.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use crate::blob::{Codec, Sealed};
use crate::error::{Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::{Index, file};
use crate::job::{Control, guarded};
use crate::pack::{PackBuilder, SealedBlob};
use crate::repo::Repository;
use crate::world::Random;

/// An index file is also written when its oldest entry waits this long (restic's limit).
const INDEX_AGE: Duration = Duration::from_secs(10 * 60);
/// The claims are spread so that threads seldom meet.
const SHARDS: usize = 16;

/// What a writer has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Plaintext bytes of new blobs.
    pub bytes: u64,
    /// Their bytes in packs, with their share of the headers.
    pub packed_bytes: u64,
    /// Packs written.
    pub packs: u64,
    /// Index files written.
    pub indexes: Vec<Id>,
}

/// Accepts blobs from many threads. Nothing counts until [`BlobWriter::finish`] returned `Ok`; after the
/// first failed upload every call fails and no index is written any more.
pub struct BlobWriter {
    index: Arc<Index>,
    control: Arc<Control>,
    pack_size: usize,
    claimed: [Mutex<HashSet<(BlobKind, Id)>>; SHARDS],
    open: [[Mutex<PackBuilder>; 2]; 2],
    coin: Mutex<Coin>,
    stats: Mutex<WriterStats>,
    dry_run: bool,
    uploader: Arc<Uploader>,
    queue: Option<Sender<PackBuilder>>,
    threads: Vec<JoinHandle<()>>,
}

impl BlobWriter {
    /// A writer; `index` is what is known already. With `dry_run` nothing is uploaded, sizes are counted.
    /// `threads` = 1 makes the calling thread do all uploads itself.
    pub fn new(
        repo: Arc<Repository>,
        index: Arc<Index>,
        control: Arc<Control>,
        threads: usize,
        dry_run: bool,
    ) -> Result<Self> {
        let pack_size = repo.pack_size();
        let uploader = Arc::new(Uploader {
            repo,
            control: Arc::clone(&control),
            state: Mutex::new(Uploaded::default()),
            spare: Mutex::default(),
            codecs: Mutex::default(),
        });
        let mut writer = Self {
            index,
            control,
            pack_size,
            claimed: Default::default(),
            open: Default::default(),
            coin: Mutex::default(),
            stats: Mutex::default(),
            dry_run,
            uploader,
            queue: None,
            threads: Vec::new(),
        };
        if threads > 1 && !dry_run {
            writer.start(threads)?;
        }
        Ok(writer)
    }

    /// A local store is bound by its disk, a remote one by latency: as many uploads as connections make sense.
    fn start(&mut self, threads: usize) -> Result<()> {
        let uploads = self
            .uploader
            .repo
            .store()
            .capabilities()
            .connections
            .clamp(1, threads);
        let (queue, packs) = bounded(1);
        for n in 0..uploads {
            let (uploader, packs): (_, Receiver<PackBuilder>) =
                (Arc::clone(&self.uploader), packs.clone());
            let thread = std::thread::Builder::new()
                .name(format!("upload-{n}"))
                .spawn(move || {
                    for pack in packs {
                        uploader.run(pack);
                    }
                })
                .map_err(|e| Error::io("upload thread", &e))?;
            self.threads.push(thread);
        }
        self.queue = Some(queue);
        Ok(())
    }

    /// Whether the caller has to encode and put this blob: neither in the index nor claimed in this run.
    /// Whoever gets `true` must put it (or the run fails).
    pub fn claim(&self, kind: BlobKind, id: &Id) -> bool {
        !self.index.contains(kind, id) && lock(self.shard(id)).insert((kind, *id))
    }

    /// Claims a blob whether or not the index knows it (repacking writes known blobs again); `false` if this
    /// run has claimed it already.
    pub fn claim_again(&self, kind: BlobKind, id: &Id) -> bool {
        lock(self.shard(id)).insert((kind, *id))
    }

    /// Whether the blob is in the index or claimed in this run.
    pub fn knows(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.contains(kind, id) || lock(self.shard(id)).contains(&(kind, *id))
    }

    /// Adds a claimed blob; gives the bytes it takes in the repository. Blocks while uploads lag.
    pub fn put(&self, kind: BlobKind, id: Id, plain_length: u64, sealed: &Sealed) -> Result<u64> {
        let blob = SealedBlob {
            kind,
            id,
            bytes: &sealed.bytes,
            uncompressed: sealed.uncompressed,
            proved: false,
        };
        self.put_blob(&blob, plain_length)
    }

    /// [`BlobWriter::put`] for any sealed blob, also one that was proved where it was copied from.
    pub fn put_blob(&self, blob: &SealedBlob<'_>, plain_length: u64) -> Result<u64> {
        self.control.check()?;
        self.uploader.check()?;
        let packed = blob.bytes.len() as u64 + if blob.uncompressed == 0 { 37 } else { 41 };
        {
            let mut stats = lock(&self.stats);
            match blob.kind {
                BlobKind::Data => stats.data_blobs += 1,
                BlobKind::Tree => stats.tree_blobs += 1,
            }
            stats.bytes += plain_length;
            stats.packed_bytes += packed;
        }
        if self.dry_run {
            return Ok(packed);
        }
        let which = lock(&self.coin).flip(self.uploader.repo.random().as_ref())?;
        let full = {
            let mut pack = lock(&self.open[blob.kind as usize][usize::from(which)]);
            pack.add(blob);
            (pack.size() >= self.pack_size || pack.is_full())
                .then(|| std::mem::replace(&mut *pack, self.empty_pack()))
        };
        full.map_or(Ok(()), |pack| self.send(pack))?;
        Ok(packed)
    }

    /// Flushes open packs, waits for all uploads, then writes the index files that name them.
    pub fn finish(mut self) -> Result<WriterStats> {
        for kind in 0..2 {
            let mut first = std::mem::take(&mut *lock(&self.open[kind][0]));
            let second = std::mem::take(&mut *lock(&self.open[kind][1]));
            if first.size() + second.size() <= self.pack_size {
                first.absorb(second);
            } else if second.count() > 0 {
                self.send(second)?;
            }
            if first.count() > 0 {
                self.send(first)?;
            }
        }
        self.join();
        self.uploader.check()?;
        self.control.check()?;
        let mut stats = lock(&self.stats).clone();
        if !self.dry_run {
            self.uploader.save_index(true)?;
            let mut uploaded = lock(&self.uploader.state);
            stats.packs = uploaded.packs;
            stats.indexes = std::mem::take(&mut uploaded.indexes);
            stats.packed_bytes += uploaded.overhead;
        }
        Ok(stats)
    }

    fn empty_pack(&self) -> PackBuilder {
        let buffer = lock(&self.uploader.spare).pop().unwrap_or_default();
        PackBuilder::in_buffer(buffer, self.pack_size)
    }

    fn shard(&self, id: &Id) -> &Mutex<HashSet<(BlobKind, Id)>> {
        &self.claimed[usize::from(id.0[0]) % SHARDS]
    }

    fn send(&self, mut pack: PackBuilder) -> Result<()> {
        let Some(queue) = &self.queue else {
            self.uploader.run(pack);
            return self.uploader.check();
        };
        loop {
            self.control.check()?;
            self.uploader.check()?;
            match queue.send_timeout(pack, Duration::from_millis(100)) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => pack = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    return Err(Error::internal("the upload threads have ended"));
                }
            }
        }
    }

    fn join(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for BlobWriter {
    /// Without [`BlobWriter::finish`] what is queued is dropped: it counts for nothing.
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.uploader.abandon();
            self.join();
        }
    }
}

/// Random bits, 64 from one call to the system.
#[derive(Default)]
struct Coin {
    bits: u64,
    left: u32,
}

impl Coin {
    fn flip(&mut self, random: &dyn Random) -> Result<bool> {
        if self.left == 0 {
            let mut bytes = [0; 8];
            random.fill(&mut bytes)?;
            (self.bits, self.left) = (u64::from_le_bytes(bytes), 64);
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.left -= 1;
        Ok(bit)
    }
}

/// What was uploaded and is not in an index file yet.
#[derive(Default)]
struct Uploaded {
    failure: Option<Error>,
    pending: file::Packs,
    pending_blobs: usize,
    oldest: Option<Duration>,
    packs: u64,
    indexes: Vec<Id>,
    overhead: u64,
}

/// Finishes packs, puts them, and writes index files; shared by the upload threads.
struct Uploader {
    repo: Arc<Repository>,
    control: Arc<Control>,
    state: Mutex<Uploaded>,
    /// Buffers of packs that were put. No more than were ever in use at once.
    spare: Mutex<Vec<Vec<u8>>>,
    /// What packs are proved with: as many as packs were ever finished at once.
    codecs: Mutex<Vec<Codec>>,
}

impl Uploader {
    fn check(&self) -> Result<()> {
        lock(&self.state).failure.clone().map_or(Ok(()), Err)
    }

    fn fail(&self, error: Error) {
        lock(&self.state).failure.get_or_insert(error);
    }

    fn abandon(&self) {
        self.fail(Error::cancelled());
    }

    fn run(&self, pack: PackBuilder) {
        let uploaded = guarded(|| {
            self.check()?;
            self.control.check()?;
            self.upload(pack)?;
            self.save_index(false)
        });
        if let Err(e) = uploaded {
            self.fail(e);
        }
    }

    fn upload(&self, pack: PackBuilder) -> Result<()> {
        let codec = lock(&self.codecs).pop();
        let mut codec = codec.unwrap_or_else(|| self.repo.codec());
        let pack = pack.finish(&mut codec)?;
        lock(&self.codecs).push(codec);
        let name = FileName::new(FileKind::Pack, pack.id);
        let size = pack.bytes.len() as u64;
        if pack.blobs.iter().any(|blob| blob.kind == BlobKind::Tree) {
            self.repo.store().mark_tree_packs(&[pack.id]);
        }
        let bytes = Arc::new(pack.bytes);
        self.repo.store().put_shared(name, &bytes)?;
        if let Some(bytes) = Arc::into_inner(bytes) {
            lock(&self.spare).push(bytes);
        }
        let written = &self.control.counters.bytes_written;
        written.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
        let now = self.repo.clock().elapsed();
        let mut state = lock(&self.state);
        state.packs += 1;
        // The sealed header's IV and tag, and the length field.
        state.overhead += 36;
        state.pending_blobs += pack.blobs.len();
        state.oldest.get_or_insert(now);
        state.pending.push((pack.id, pack.blobs));
        Ok(())
    }

    /// Writes an index file if one is full or old, or (`rest`) for everything that is left.
    fn save_index(&self, rest: bool) -> Result<()> {
        let now = self.repo.clock().elapsed();
        let packs = {
            let mut state = lock(&self.state);
            let old = state
                .oldest
                .is_some_and(|then| now.saturating_sub(then) >= INDEX_AGE);
            let due = rest || old || state.pending_blobs >= file::FULL;
            if !due || state.pending.is_empty() {
                return Ok(());
            }
            state.pending_blobs = 0;
            state.oldest = None;
            std::mem::take(&mut state.pending)
        };
        let index = self
            .repo
            .save_unpacked(FileKind::Index, &file::encode(&packs))?;
        lock(&self.state).indexes.push(index);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::repository;
    use proptest::prelude::*;

    fn put(writer: &BlobWriter, repo: &Repository, kind: BlobKind, plain: &[u8]) -> Result<bool> {
        let id = Id::of(plain);
        if !writer.claim(kind, &id) {
            return Ok(false);
        }
        let sealed = repo.codec().seal(kind, &id, plain)?;
        writer
            .put(kind, id, plain.len() as u64, &sealed)
            .map(|_| true)
    }

    fn writer(repo: &Arc<Repository>, threads: usize, dry_run: bool) -> BlobWriter {
        let control = Control::new();
        let index = repo.load_index(&control, 2).unwrap();
        BlobWriter::new(Arc::clone(repo), index, control, threads, dry_run).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// What was put can be read back after a reload; what was known is not stored again.
        #[test]
        fn blobs_come_back(
            blobs in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..40),
            threads in 1..4usize,
        ) {
            let (repo, _) = repository();
            for round in 0..2 {
                let writer = writer(&repo, threads, false);
                let mut stored = 0;
                for (tree, plain) in &blobs {
                    let kind = if *tree { BlobKind::Tree } else { BlobKind::Data };
                    stored += u64::from(put(&writer, &repo, kind, plain).unwrap());
                }
                let stats = writer.finish().unwrap();
                prop_assert_eq!(stats.data_blobs + stats.tree_blobs, stored);
                prop_assert!(round == 0 || stored == 0);
                prop_assert_eq!(stats.packs > 0, stored > 0);
            }
            let index = repo.load_index(&Control::default(), 2).unwrap();
            let mut codec = repo.codec();
            for (tree, plain) in &blobs {
                let kind = if *tree { BlobKind::Tree } else { BlobKind::Data };
                let back = repo.load_blob(&mut codec, &index, kind, &Id::of(plain)).unwrap();
                prop_assert_eq!(&back, plain);
            }
            // Data and trees never share a pack; the size of every pack is the sum of its parts.
            for pack in index.packs() {
                let of_pack: Vec<_> = (0..index.len()).map(|slot| index.entry(slot))
                    .filter(|entry| entry.location.pack == *pack).collect();
                prop_assert!(of_pack.iter().all(|entry| entry.kind == of_pack[0].kind));
                let blobs: u64 = of_pack.iter().map(|entry| u64::from(entry.location.length)).sum();
                let header = crate::pack::header_size(of_pack.iter().map(|entry| entry.location.uncompressed != 0));
                prop_assert_eq!(repo.store().stat(FileName::new(FileKind::Pack, *pack)).unwrap(), blobs + header);
            }
        }
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let (repo, _) = repository();
        let writer = writer(&repo, 2, true);
        assert!(put(&writer, &repo, BlobKind::Data, b"x").unwrap());
        assert_eq!(writer.finish().unwrap().data_blobs, 1);
        assert!(repo.list(FileKind::Pack).unwrap().is_empty());
        assert!(repo.list(FileKind::Index).unwrap().is_empty());
    }

    #[test]
    fn after_a_failed_upload_no_index_is_written() {
        for threads in [1, 3] {
            let (repo, _) = repository();
            let writer = writer(&repo, threads, false);
            put(&writer, &repo, BlobKind::Data, b"first").unwrap();
            repo.latch().trip("test");
            assert_eq!(
                writer.finish().unwrap_err().code(),
                crate::error::Code::LockLost
            );
            assert!(repo.list(FileKind::Index).unwrap().is_empty());
        }
    }

    /// A blob that is not what its id says (an encoder's fault, a bit of memory) is found before its pack is stored.
    #[test]
    fn a_blob_that_does_not_prove_right_ends_the_run() {
        for threads in [1, 3] {
            let (repo, _) = repository();
            let writer = writer(&repo, threads, false);
            put(&writer, &repo, BlobKind::Tree, b"a good one").unwrap();
            let id = Id::of(b"plain");
            assert!(writer.claim(BlobKind::Data, &id));
            let sealed = repo.codec().seal(BlobKind::Data, &id, b"plane").unwrap();
            writer.put(BlobKind::Data, id, 5, &sealed).unwrap();
            let error = writer.finish().unwrap_err();
            assert_eq!(error.code(), crate::error::Code::VerifyFailed);
            assert_eq!(error.object(), format!("blob {id}"));
            assert!(repo.list(FileKind::Index).unwrap().is_empty());
            let pack = repo.list(FileKind::Pack).unwrap();
            assert!(pack.len() <= 1, "the good one at most");
        }
    }

    #[test]
    fn a_dropped_writer_and_a_cancelled_one_leave_no_index() {
        let (repo, _) = repository();
        let dropped = writer(&repo, 2, false);
        put(&dropped, &repo, BlobKind::Data, b"x").unwrap();
        drop(dropped);
        let control = Control::new();
        let index = repo.load_index(&control, 1).unwrap();
        let cancelled =
            BlobWriter::new(Arc::clone(&repo), index, Arc::clone(&control), 2, false).unwrap();
        put(&cancelled, &repo, BlobKind::Data, b"y").unwrap();
        control.cancel();
        assert!(put(&cancelled, &repo, BlobKind::Data, b"z").is_err());
        assert!(cancelled.finish().is_err());
        assert!(repo.list(FileKind::Index).unwrap().is_empty());
    }

    #[test]
    fn neighbours_are_spread_over_two_packs() {
        let (repo, _) = repository();
        let writer = writer(&repo, 1, false);
        for n in 0..64u8 {
            put(&writer, &repo, BlobKind::Data, &[n; 40]).unwrap();
        }
        let counts = [0, 1].map(|n| lock(&writer.open[0][n]).count());
        assert_eq!(counts[0] + counts[1], 64);
        // 64 fair coins all on one side: 2 in 2^64.
        assert!(counts[0] > 0 && counts[1] > 0);
    }
}
