//! The threads of one backup and what they share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::dircache::DirCache;
use super::facts::Facts;
use super::found::Found;
use super::options::BackupOptions;
use super::queue::{Queue, Role, Task};
use super::report::{Added, Report};
use super::select::Select;
use crate::blob::{Codec, Sealed};
use crate::chunker::ChunkReader;
use crate::error::Result;
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::job::{Control, guarded};
use crate::packer::BlobWriter;
use crate::repo::Repository;

/// What all workers share.
pub struct Engine<'a> {
    /// The repository.
    pub repo: &'a Arc<Repository>,
    /// What it holds.
    pub index: &'a Arc<Index>,
    /// Where blobs go.
    pub writer: &'a BlobWriter,
    /// Cancel flag, counters, item errors.
    pub control: &'a Arc<Control>,
    /// What was asked for.
    pub options: &'a BackupOptions,
    /// What is left out.
    pub select: Select,
    /// Names and zone.
    pub facts: Facts,
    /// Counters and lines.
    pub report: Report,
    /// The tasks.
    pub queue: Queue,
    /// Targets of which something was saved.
    pub saved_targets: AtomicU64,
    /// The root tree, in the end.
    pub root: OnceLock<Id>,
    /// Directories that need not be looked into, if there is a cache.
    pub cache: Option<DirCache>,
    /// A tree that the cache relies on could not be read.
    pub cache_failed: &'a AtomicBool,
    /// Device and inode of the repository's own folder.
    pub repository: Option<(u64, u64)>,
}

/// What a worker or scout owns.
pub struct Tools {
    /// Its number, for the display.
    pub worker: usize,
    /// Seals and opens blobs.
    pub codec: Codec,
    /// Scratch: a sealed blob on its way into a pack.
    pub sealed: Sealed,
    /// Cuts files.
    pub reader: ChunkReader,
    /// Scratch: the entries of the directory that is being looked at.
    pub found: Found,
}

impl Tools {
    /// The tools of worker number `worker`.
    pub fn new(repo: &Repository, worker: usize) -> Self {
        Self {
            worker,
            codec: repo.codec(),
            sealed: Sealed::default(),
            reader: ChunkReader::new(repo.chunker()),
            found: Found::default(),
        }
    }
}

impl Engine<'_> {
    /// Runs `seed` and all tasks that follow from it on `threads` threads, the calling one included. As many more list
    /// directories, unless there shall be one thread: those wait for the disk most of the time.
    pub fn run(&self, threads: usize, seed: impl FnOnce(&mut Tools) -> Result<()>) -> Result<()> {
        let mut tools = Tools::new(self.repo, 0);
        guarded(|| seed(&mut tools))?;
        let scouts = if threads > 1 { threads } else { 0 };
        std::thread::scope(|scope| {
            for number in 1..threads + scouts {
                let (role, name) = if number < threads {
                    (Role::Worker, format!("backup-{number}"))
                } else {
                    (Role::Scout, format!("scout-{}", number - threads))
                };
                let work = move || self.work(role, &mut Tools::new(self.repo, number));
                let thread = std::thread::Builder::new().name(name);
                // Fewer threads than asked for do the same work more slowly.
                if thread.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            self.work(Role::Worker, &mut tools);
        });
        self.queue.outcome()
    }

    fn work(&self, role: Role, tools: &mut Tools) {
        while let Some(task) = self.queue.next(role, self.control) {
            let result = guarded(|| match task {
                Task::Directory(task) => self.list_directory(*task, tools),
                Task::Files(task) => self.save_files(*task, tools),
                Task::Chunk(task) => self.save_chunk(task, tools),
            });
            self.queue.done(result);
        }
        self.control.set_current(tools.worker, b"");
    }

    /// Time that has passed, for durations.
    pub fn elapsed(&self) -> Duration {
        self.repo.clock().elapsed()
    }

    /// Saves a blob unless it is known; gives its id and what was added.
    pub fn save_blob(
        &self,
        kind: BlobKind,
        plain: &[u8],
        tools: &mut Tools,
    ) -> Result<(Id, Added)> {
        self.control.check()?;
        let id = Id::of(plain);
        let mut added = Added::default();
        if self.writer.claim(kind, &id) {
            let sealed = &mut tools.sealed;
            tools.codec.seal_into(kind, &id, plain, sealed)?;
            let length = plain.len() as u64;
            let packed = self.writer.put(kind, id, length, sealed)?;
            match kind {
                BlobKind::Data => {
                    (added.data_blobs, added.data, added.data_packed) = (1, length, packed);
                }
                BlobKind::Tree => {
                    (added.tree_blobs, added.tree, added.tree_packed) = (1, length, packed);
                }
            }
        }
        if kind == BlobKind::Data {
            let done = &self.control.counters.bytes_done;
            done.fetch_add(plain.len() as u64, Relaxed);
        }
        Ok((id, added))
    }
}
