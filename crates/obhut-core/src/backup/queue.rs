//! The tasks of a backup and who takes the next one.
//!
//! One shared stack: the newest task is taken first, so that a directory's files and sub-directories are
//! done before its siblings' and little is open or in memory at once. Pieces of large files come before
//! everything else. No task ever waits for another one; the only wait is for the next task.
//!
//! Workers take all of them; there are as many as processors. Scouts take directories only, only from the top of the
//! stack, and only while listing means waiting, for a disk or a network: the processors have something to do meanwhile,
//! and scouts get no further ahead than the stack's order lets them. Where nothing waits they would be in the way: with
//! scouts at work all the time the walk of a tree in memory took a tenth longer.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::directory::DirectoryTask;
use super::file::{ChunkTask, FilesTask};
use crate::error::{Error, Result};
use crate::job::Control;

/// One piece of work.
pub enum Task {
    /// List a directory.
    Directory(Box<DirectoryTask>),
    /// Read some files of a directory.
    Files(Box<FilesTask>),
    /// Hash, compress and seal a piece of a large file.
    Chunk(ChunkTask),
}

#[derive(Default)]
struct State {
    tasks: Vec<Task>,
    chunks: Vec<ChunkTask>,
    /// Buffers of pieces that are done.
    spare: Vec<Vec<u8>>,
    active: usize,
    failure: Option<Error>,
}

/// Who asks for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes what comes.
    Worker,
    /// Takes a directory that is to be listed, if that is what comes next.
    Scout,
}

impl State {
    /// Takes the next task for somebody.
    fn take(&mut self, role: Role) -> Option<Task> {
        match role {
            Role::Scout => self.has_directory().then(|| self.tasks.pop()).flatten(),
            Role::Worker => {
                let piece = self.chunks.pop().map(Task::Chunk);
                piece.or_else(|| self.tasks.pop())
            }
        }
    }

    /// Whether nothing is left and nobody may add anything.
    fn is_done(&self) -> bool {
        self.active == 0 && self.tasks.is_empty() && self.chunks.is_empty()
    }

    /// Whether a directory comes next.
    fn has_directory(&self) -> bool {
        matches!(self.tasks.last(), Some(Task::Directory(_)))
    }
}

/// The stack of tasks.
pub struct Queue {
    state: Mutex<State>,
    /// Workers wait for it.
    changed: Condvar,
    /// Workers that wait.
    idle: AtomicUsize,
    /// Scouts wait for it.
    found: Condvar,
    /// Scouts that wait.
    resting: AtomicUsize,
    /// Goes up with each listing that waited and down with each that did not.
    slowness: AtomicUsize,
    /// Bytes of pieces that wait or are worked on.
    pieces: AtomicUsize,
    pieces_limit: usize,
    /// So many pieces may wait although nobody is idle.
    ahead: usize,
}

/// A worker looks at the cancel flag at least this often while it waits.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of pieces that may wait or be worked on, a thread.
const PIECES_PER_THREAD: usize = 16 << 20;
/// Pieces that may wait before somebody is idle, a thread: while the reader seals one itself, each of the others may
/// end one and begin another.
const AHEAD_PER_THREAD: usize = 2;
/// Slowness goes up to here. On a cold disk most listings wait; one that waits now and then, for a lock of the kernel,
/// calls nobody.
const SLOW: usize = 16;
/// Smaller pieces are not worth handing over to those who have work.
const LARGE: usize = 256 << 10;

impl Queue {
    /// An empty stack for so many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            idle: AtomicUsize::new(0),
            found: Condvar::new(),
            resting: AtomicUsize::new(0),
            slowness: AtomicUsize::new(0),
            pieces: AtomicUsize::new(0),
            pieces_limit: threads * PIECES_PER_THREAD,
            ahead: if threads > 1 {
                threads * AHEAD_PER_THREAD
            } else {
                0
            },
        }
    }

    /// Adds tasks; the last one is taken first.
    pub fn push(&self, tasks: impl IntoIterator<Item = Task>) {
        let mut state = self.lock();
        let before = state.tasks.len();
        state.tasks.extend(tasks);
        let added = state.tasks.len() - before;
        let directory = state.has_directory();
        drop(state);
        for _ in 0..added.min(self.idle.load(Relaxed)) {
            self.changed.notify_one();
        }
        if directory {
            self.call_scout();
        }
    }

    /// Somebody has listed a directory; `waited`: the system let him wait for it.
    pub fn listed(&self, waited: bool) {
        let next = |now: usize| match (waited, now) {
            (true, SLOW) | (false, 0) => None,
            (true, _) => Some(now + 1),
            (false, _) => Some(now - 1),
        };
        let _ = self.slowness.fetch_update(Relaxed, Relaxed, next);
    }

    /// Whether scouts are of use now.
    fn is_slow(&self) -> bool {
        self.slowness.load(Relaxed) > SLOW / 2
    }

    fn call_scout(&self) {
        if self.is_slow() && self.resting.load(Relaxed) > 0 {
            self.found.notify_one();
        }
    }

    fn call_all(&self) {
        self.changed.notify_all();
        self.found.notify_all();
    }

    /// Whether somebody would take a piece of `length` bytes now or soon, and there is room for it. `true` keeps
    /// the room until [`Queue::release`].
    pub fn reserve(&self, length: usize) -> bool {
        if self.idle.load(Relaxed) == 0 && !(length >= LARGE && self.runs_dry()) {
            return false;
        }
        let fits = |used: usize| (used + length <= self.pieces_limit).then_some(used + length);
        self.pieces.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    /// Whether the others will soon have nothing to do: no task waits, and few pieces.
    fn runs_dry(&self) -> bool {
        let state = self.lock();
        state.tasks.is_empty() && state.chunks.len() < self.ahead
    }

    /// Gives room and buffer of a piece back. Few buffers are kept: new memory costs a page fault every 4 KiB.
    pub fn release(&self, bytes: Vec<u8>) {
        self.pieces.fetch_sub(bytes.len(), Relaxed);
        let mut state = self.lock();
        if state.spare.len() <= self.ahead {
            state.spare.push(bytes);
        }
    }

    /// A buffer for a piece; what it holds says nothing.
    pub fn buffer(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Adds a piece that room was reserved for.
    pub fn push_chunk(&self, chunk: ChunkTask) {
        self.lock().chunks.push(chunk);
        self.changed.notify_one();
    }

    /// The next task for somebody; `None` once all work is done, or something failed.
    pub fn next(&self, role: Role, control: &Control) -> Option<Task> {
        let (calls, waiting) = match role {
            Role::Worker => (&self.changed, &self.idle),
            Role::Scout => (&self.found, &self.resting),
        };
        let mut state = self.lock();
        loop {
            if control.is_cancelled() && state.failure.is_none() {
                state.failure = Some(Error::cancelled());
            }
            if state.failure.is_some() {
                self.call_all();
                return None;
            }
            let may = role == Role::Worker || self.is_slow();
            if let Some(task) = may.then(|| state.take(role)).flatten() {
                state.active += 1;
                if state.has_directory() {
                    self.call_scout();
                }
                return Some(task);
            }
            if state.is_done() {
                self.call_all();
                return None;
            }
            waiting.fetch_add(1, Relaxed);
            let waited = calls.wait_timeout(state, LOOK);
            waiting.fetch_sub(1, Relaxed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A task has ended; the first failure ends all work.
    pub fn done(&self, result: Result<()>) {
        let mut state = self.lock();
        state.active -= 1;
        if let Err(error) = result
            && state.failure.is_none()
        {
            state.failure = Some(error);
        }
        if state.active == 0 || state.failure.is_some() {
            self.call_all();
        }
    }

    /// What failed first, once all workers have ended. Tasks that were left are dropped.
    pub fn outcome(&self) -> Result<()> {
        let mut state = self.lock();
        state.tasks.clear();
        state.chunks.clear();
        state.spare.clear();
        state.failure.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
