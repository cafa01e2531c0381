//! Regular files of one batch: look at what exists, write what is missing, close, verify.
//!
//! Invariants:
//! - Content is written to a file that is 0600; owner, attributes, times and mode follow when its last
//!   blob is written. A file whose content could not be completed keeps 0600 and the time of the
//!   failure, is an item error, and is never counted as restored.
//! - A file with a blob that no index knows is not touched at all (the walk leaves it out).
//! - No lock that all threads share is taken for a file of a single blob; longer files have a lock each,
//!   and at most [`OPEN`] of them stay open between two writes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering::AcqRel};

use rustix::fs::{self, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Run;
use super::batch::FileItem;
use super::delete;
use super::entry;
use super::meta::Found;
use super::plan::Wanted;
use super::report::Action;
use super::sparse;
use super::target::{Os, error_at};
use crate::error::{Error, Result};
use crate::tree::NodeType;

/// Files kept open between two writes.
const OPEN: usize = 192;
/// Files from this size on are given their space at once.
const PREALLOCATE: u64 = 1 << 20;
/// What is done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write a new file; `replaces`: something is there now.
    New { replaces: bool },
    /// Leave it as it is (`--overwrite`).
    Keep,
    /// Its content is right.
    Right,
    /// Change it in place: `matches` says which blobs are right, `longer` that it must be cut.
    Update { matches: Vec<bool>, longer: bool },
}

#[derive(Default)]
struct Open {
    handle: Option<Arc<OwnedFd>>,
    identity: Option<(u64, u64)>,
}

#[derive(Default)]
struct Slot {
    decision: OnceLock<Decision>,
    remaining: AtomicU32,
    failed: AtomicBool,
    open: Mutex<Open>,
}

impl Slot {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of a batch with their state.
pub struct Files<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) items: &'a [FileItem],
    slots: Vec<Slot>,
    queue: Mutex<VecDeque<usize>>,
}

impl<'a> Files<'a> {
    /// Nothing decided yet.
    pub fn new(run: &'a Run<'a>, items: &'a [FileItem]) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(items.len(), Slot::default);
        Self {
            run,
            items,
            slots,
            queue: Mutex::default(),
        }
    }

    /// Decides for all files in directories that are new; gives those that need a look.
    pub fn decide_new(&self) -> Vec<usize> {
        let mut rest = Vec::new();
        for (number, item) in self.items.iter().enumerate() {
            if item.place.dir.facts().is_none_or(|f| f.fresh) {
                self.decide(number, Decision::New { replaces: false });
            } else {
                rest.push(number);
            }
        }
        rest
    }

    pub(super) fn decide(&self, number: usize, decision: Decision) {
        // Set once a batch: each number is decided by one task.
        let _ = self.slots[number].decision.set(decision);
    }

    /// What was decided; `None` if the file failed before.
    pub fn decision(&self, number: usize) -> Option<&Decision> {
        let slot = &self.slots[number];
        slot.decision.get().filter(|_| !slot.failed.load(Relaxed))
    }

    /// What the plan has to fetch, and the files that need no blob (right, empty, only to be cut).
    pub fn wanted(&self) -> (Vec<Wanted>, Vec<usize>) {
        let mut wanted = Vec::new();
        let mut light = Vec::new();
        for (number, item) in self.items.iter().enumerate() {
            let Some(decision) = self.decision(number) else {
                continue;
            };
            let before = wanted.len();
            let mut at = 0;
            for (place, slot) in item.content.iter().enumerate() {
                let location = self.run.index.entry(*slot).location;
                let length = location.plain_length();
                let missing = match decision {
                    Decision::New { .. } => true,
                    Decision::Update { matches, .. } => !matches[place],
                    Decision::Keep | Decision::Right => false,
                };
                if missing {
                    wanted.push(Wanted {
                        slot: *slot,
                        pack: self.run.index.pack_number(*slot),
                        offset: location.offset,
                        length: location.length,
                        file: number as u32,
                        at,
                    });
                } else if matches!(decision, Decision::Update { .. }) {
                    self.run.report.bytes(length);
                }
                at += length;
            }
            let count = wanted.len() - before;
            self.slots[number].remaining.store(count as u32, Relaxed);
            if count == 0 {
                light.push(number);
            }
        }
        (wanted, light)
    }

    /// A file that needs no blob.
    pub fn finish_light(&self, number: usize) -> Result<()> {
        let item = &self.items[number];
        match self.decision(number) {
            None => Ok(()),
            Some(Decision::Keep) => self.skipped(item),
            Some(Decision::Right) => {
                let opened = self.run.target.handle(&item.place.dir).and_then(|dir| {
                    entry::open_for_reading(&self.run.target, dir.as_fd(), &item.place.name)
                });
                let found = Found {
                    plain: false,
                    may_have_xattrs: true,
                };
                let applied = opened.and_then(|(file, _)| {
                    let meta = &item.meta;
                    self.run.applier.apply(&file, NodeType::File, meta, found)
                });
                match applied {
                    Ok(()) => self.skipped(item),
                    Err(e) => self.fail_os(number, e),
                }
            }
            Some(_) => match self.open_first(number) {
                Ok(file) => self.complete(number, &file),
                Err(e) => self.fail_os(number, e),
            },
        }
    }

    /// A dry run's word about a file.
    pub fn pretend(&self, number: usize) -> Result<()> {
        let item = &self.items[number];
        match self.decision(number) {
            None => Ok(()),
            Some(Decision::Keep | Decision::Right) => self.skipped(item),
            Some(decision) => {
                self.run.report.bytes(item.size);
                self.done(item, decision)
            }
        }
    }

    fn skipped(&self, item: &FileItem) -> Result<()> {
        self.run
            .report
            .skipped(Some(item.size), || item.place.location())
    }

    fn done(&self, item: &FileItem, decision: &Decision) -> Result<()> {
        let action = match decision {
            Decision::Update { .. } => Action::Updated,
            _ => Action::Restored,
        };
        self.run
            .report
            .restored(action, Some(item.size), || item.place.location())
    }

    /// Writes a blob's plaintext into a file; the last one completes the file.
    pub fn deliver(&self, number: usize, plain: &[u8], at: u64) -> Result<()> {
        let slot = &self.slots[number];
        let single = self.items[number].content.len() == 1;
        if !slot.failed.load(Relaxed) {
            let written = if single {
                self.open_first(number).map(Arc::new)
            } else {
                self.writer(number)
            }
            .and_then(|file| self.write(number, &file, plain, at).map(|()| file));
            match written {
                Ok(file) => {
                    self.run.report.bytes(plain.len() as u64);
                    if single {
                        slot.remaining.store(0, Relaxed);
                        return self.complete(number, &file);
                    }
                }
                Err(e) => self.fail_os(number, e)?,
            }
        }
        self.count_down(number)
    }

    /// A blob of a file cannot be had.
    pub fn lost(&self, number: usize, error: &Error) -> Result<()> {
        self.fail(number, error.clone())?;
        self.count_down(number)
    }

    fn count_down(&self, number: usize) -> Result<()> {
        let slot = &self.slots[number];
        if slot.remaining.fetch_sub(1, AcqRel) != 1 {
            return Ok(());
        }
        let handle = slot.open().handle.take();
        if slot.failed.load(Relaxed) {
            return Ok(());
        }
        let handle = match handle {
            Some(handle) => Ok(handle),
            // Closed to make room for others after its last write.
            None => self.writer(number),
        };
        match handle {
            Ok(file) => {
                let completed = self.complete(number, &file);
                slot.open().handle = None;
                completed
            }
            Err(e) => self.fail_os(number, e),
        }
    }

    fn complete(&self, number: usize, file: &OwnedFd) -> Result<()> {
        let item = &self.items[number];
        let Some(decision) = self.decision(number) else {
            return Ok(());
        };
        let facts = item.place.dir.facts();
        let new = matches!(decision, Decision::New { .. });
        let found = Found {
            plain: new && facts.is_some_and(|f| f.plain),
            may_have_xattrs: !new || facts.is_none_or(|f| f.inherits),
        };
        match self
            .run
            .applier
            .apply(file, NodeType::File, &item.meta, found)
        {
            Ok(()) => self.done(item, decision),
            Err(e) => self.fail_os(number, e),
        }
    }

    fn write(&self, number: usize, file: &OwnedFd, plain: &[u8], at: u64) -> Os<()> {
        if self.is_sparse(number) {
            sparse::write(file, plain, at)
        } else {
            entry::write_all(file, plain, at)
        }
    }

    /// Holes only in new files: what lies under a hole of an existing one would stay.
    fn is_sparse(&self, number: usize) -> bool {
        self.run.options.sparse
            && matches!(
                self.slots[number].decision.get(),
                Some(Decision::New { .. })
            )
    }

    /// A handle for writing, opened for the first time or again.
    fn writer(&self, number: usize) -> Os<Arc<OwnedFd>> {
        let slot = &self.slots[number];
        let handle = {
            let mut open = slot.open();
            if let Some(handle) = &open.handle {
                return Ok(Arc::clone(handle));
            }
            let file = match open.identity {
                None => {
                    let file = self.open_first(number)?;
                    let stat = fs::fstat(&file)?;
                    open.identity = Some((stat.st_dev, stat.st_ino));
                    file
                }
                Some(identity) => self.open_again(number, identity)?,
            };
            let handle = Arc::new(file);
            open.handle = Some(Arc::clone(&handle));
            handle
        };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(number);
        let oldest = if queue.len() > OPEN {
            queue.pop_front()
        } else {
            None
        };
        drop(queue);
        if let Some(oldest) = oldest.filter(|o| *o != number) {
            self.slots[oldest].open().handle = None;
        }
        Ok(handle)
    }

    fn open_again(&self, number: usize, identity: (u64, u64)) -> Os<OwnedFd> {
        let place = &self.items[number].place;
        let dir = self.run.target.handle(&place.dir)?;
        let (file, stat) =
            entry::open_existing(&self.run.target, dir.as_fd(), &place.name, OFlags::WRONLY)?;
        // Somebody put another file in its place.
        if (stat.st_dev, stat.st_ino) != identity {
            return Err(Errno::STALE);
        }
        Ok(file)
    }

    /// Creates the file, or opens the existing one for a change in place; 0600 either way.
    fn open_first(&self, number: usize) -> Os<OwnedFd> {
        let item = &self.items[number];
        let run = self.run;
        let dir = run.target.handle(&item.place.dir)?;
        let name = &item.place.name;
        if let Some(Decision::Update { longer, .. }) = self.slots[number].decision.get() {
            let (file, stat) =
                entry::open_existing(&run.target, dir.as_fd(), name, OFlags::WRONLY)?;
            if stat.st_nlink > 1 && !item.linked {
                return Err(Errno::STALE);
            }
            fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
            if *longer {
                fs::ftruncate(&file, item.size)?;
            }
            return Ok(file);
        }
        let fresh = item.place.dir.facts().is_some_and(|f| f.fresh);
        let file = entry::create(&run.target, dir.as_fd(), name, fresh, &mut |dir, name| {
            delete::make_way(run, dir, name)
        })?;
        if run.options.sparse {
            fs::ftruncate(&file, item.size)?;
        } else if item.size >= PREALLOCATE {
            let flags = FallocateFlags::KEEP_SIZE;
            // Only a hint: not every file system knows it; but a full one says so early.
            let hint = fs::fallocate(&file, flags, 0, item.size);
            if let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = hint {
                return Err(e);
            }
        }
        Ok(file)
    }

    fn fail_os(&self, number: usize, errno: Errno) -> Result<()> {
        self.fail(
            number,
            error_at(&self.items[number].place.location(), errno),
        )
    }

    /// The first failure of a file is its item error.
    pub(super) fn fail(&self, number: usize, error: Error) -> Result<()> {
        let item = &self.items[number];
        if let Some(first) = &item.place.first {
            first.failed.store(true, Relaxed);
        }
        if self.slots[number].failed.swap(true, Relaxed) {
            return Ok(());
        }
        self.run
            .report
            .failed(item.place.location(), "restore", error)
    }
}
