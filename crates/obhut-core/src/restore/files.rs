//! Regular files of one batch: look at what exists, write what is missing, close, verify.
//!
//! Invariants:
//! - Content is written to a file that is 0600; owner, attributes, times and mode follow when its last
//!   blob is written. A file whose content could not be completed keeps 0600 and the time of the
//!   failure, is an item error, and is never counted as restored.
//! - A file with a blob that no index knows is not touched at all (the walk leaves it out).
//! - No lock that all threads share is taken for a file of a single blob; longer files have a lock each,
//!   and few of them stay open between two writes ([`super::handles`], which also closes them).

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering::AcqRel};

use rustix::io::Errno;

use super::Run;
use super::batch::FileItem;
use super::entry;
use super::meta::Found;
use super::plan::Wanted;
use super::report::Action;
use super::sparse;
use super::target::{Os, error_at};
use crate::error::{Error, Result};
use crate::tree::NodeType;

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

/// The handle of a file between two writes, and which file it is of.
#[derive(Default)]
pub(super) struct Open {
    pub(super) handle: Option<Arc<OwnedFd>>,
    pub(super) identity: Option<(u64, u64)>,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) decision: OnceLock<Decision>,
    remaining: AtomicU32,
    failed: AtomicBool,
    open: Mutex<Open>,
}

impl Slot {
    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of a batch with their state.
pub struct Files<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) items: &'a [FileItem],
    pub(super) slots: Vec<Slot>,
    pub(super) queue: Mutex<VecDeque<usize>>,
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

    /// Tells the display what a thread is at.
    pub fn show(&self, worker: usize, number: usize) {
        let location = self.items[number].place.location();
        self.run.report.control().set_current(worker, &location);
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
                Ok(file) => self.complete(number, Arc::new(file)),
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
                        return self.complete(number, file);
                    }
                    self.let_go(number, file)?;
                    self.make_room(number)?;
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
                // It may have been opened again: nobody needs it any more.
                slot.open().handle = None;
                self.complete(number, file)
            }
            Err(e) => self.fail_os(number, e),
        }
    }

    fn complete(&self, number: usize, file: Arc<OwnedFd>) -> Result<()> {
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
        let applier = &self.run.applier;
        if let Err(e) = applier.apply(&file, NodeType::File, &item.meta, found) {
            return self.fail_os(number, e);
        }
        self.let_go(number, file)?;
        if self.slots[number].failed.load(Relaxed) {
            return Ok(());
        }
        self.done(item, decision)
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

    pub(super) fn fail_os(&self, number: usize, errno: Errno) -> Result<()> {
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
