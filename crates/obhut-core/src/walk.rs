//! Walking trees: which blobs do these roots use.
//!
//! The set of used blobs is one bit a slot of the index, and the same bits say which trees were seen: a tree
//! is read once, however many roots and directories name it. Beyond the bits a walk holds the trees that
//! wait, of which depth-first order keeps few, and one tree a thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::job::{Control, guarded};
use crate::repo::Repository;
use crate::tree::{TreeRefs, parse_refs};

/// One bit a slot of an [`Index`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet {
    /// The bits.
    pub bits: Vec<u64>,
}

impl SlotSet {
    /// The empty set of an index with `slots` entries.
    pub fn new(slots: usize) -> Self {
        Self {
            bits: vec![0; slots.div_ceil(64)],
        }
    }

    /// Adds a slot; whether it is new.
    pub fn insert(&mut self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: usize) -> bool {
        let word = self.bits.get(slot / 64);
        word.is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    /// How many slots are in the set.
    pub fn count(&self) -> usize {
        self.bits
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Adds all slots of `other`, which must be of the same index.
    pub fn union(&mut self, other: &Self) {
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        for (word, more) in self.bits.iter_mut().zip(&other.bits) {
            *word |= more;
        }
    }
}

/// Marks the first slot of every blob that the trees `roots` reach (parallel; each tree is read once).
/// A tree that cannot be read or a blob that no index names is an error, which names the tree.
///
/// Trees that `used` holds already are neither read nor entered: what they reach must be in `used` too, as it
/// is after an earlier call. So a second call with more roots walks only trees not yet seen. After an error
/// `used` is incomplete and must not be used.
pub fn mark_used(
    repo: &Arc<Repository>,
    index: &Arc<Index>,
    roots: &[Id],
    used: &mut SlotSet,
    control: &Arc<Control>,
    threads: usize,
) -> Result<()> {
    let new_loader = || -> Loader<'_> {
        let mut codec = repo.codec();
        Box::new(move |id| repo.load_blob(&mut codec, index, BlobKind::Tree, id))
    };
    mark(index, roots, used, control, threads, &new_loader)
}

/// Reads trees for one thread.
type Loader<'a> = Box<dyn FnMut(&Id) -> Result<Vec<u8>> + 'a>;

/// [`mark_used`] on trees from anywhere.
fn mark<'a>(
    index: &'a Index,
    roots: &[Id],
    used: &mut SlotSet,
    control: &'a Control,
    threads: usize,
    new_loader: &(dyn Fn() -> Loader<'a> + Sync),
) -> Result<()> {
    let mut bits = std::mem::take(&mut used.bits);
    bits.resize(index.len().div_ceil(64).max(bits.len()), 0);
    let walk = Walk {
        index,
        control,
        bits: bits.into_iter().map(AtomicU64::new).collect(),
        queue: Mutex::default(),
        changed: Condvar::new(),
    };
    let result = walk.run(roots, threads, new_loader);
    used.bits = walk.bits.into_iter().map(AtomicU64::into_inner).collect();
    result
}

/// A walk while it runs.
struct Walk<'a> {
    index: &'a Index,
    control: &'a Control,
    bits: Vec<AtomicU64>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// What waits and who works.
#[derive(Default)]
struct Queue {
    /// Trees that are marked but not read; the last comes first.
    waiting: Vec<Id>,
    /// Threads that are reading a tree and may add more.
    busy: usize,
    /// The first failure; all threads stop.
    failure: Option<Error>,
}

impl<'a> Walk<'a> {
    fn run(
        &self,
        roots: &[Id],
        threads: usize,
        new_loader: &(dyn Fn() -> Loader<'a> + Sync),
    ) -> Result<()> {
        let mut first = Vec::new();
        for root in roots {
            if self.mark(BlobKind::Tree, root, "a snapshot")? {
                first.push(*root);
            }
        }
        self.lock().waiting = first;
        let work = || {
            if let Err(error) = guarded(|| self.work(&mut *new_loader())) {
                self.lock().failure.get_or_insert(error);
            }
            self.changed.notify_all();
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.max(1) {
                let builder = std::thread::Builder::new().name("walk".to_owned());
                if builder.spawn_scoped(scope, work).is_err() {
                    // The system gives no more threads: those there are do the work.
                    break;
                }
            }
            work();
        });
        self.lock().failure.take().map_or(Ok(()), Err)
    }

    /// Reads trees until none waits and nobody could add one.
    fn work(&self, load: &mut dyn FnMut(&Id) -> Result<Vec<u8>>) -> Result<()> {
        let mut refs = TreeRefs::default();
        let mut new = Vec::new();
        while let Some(tree) = self.next()? {
            let name = format!("tree {tree}");
            let bytes = load(&tree)?;
            parse_refs(&name, &bytes, &mut refs)?;
            for id in &refs.content {
                self.mark(BlobKind::Data, id, &name)?;
            }
            for id in &refs.subtrees {
                if self.mark(BlobKind::Tree, id, &name)? {
                    new.push(*id);
                }
            }
            let mut queue = self.lock();
            // Reversed, so that the next tree is the first of this directory: its neighbour in the pack.
            queue.waiting.extend(new.drain(..).rev());
            queue.busy -= 1;
            drop(queue);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits for a tree; `None` when the walk has ended or failed elsewhere.
    fn next(&self) -> Result<Option<Id>> {
        let mut queue = self.lock();
        loop {
            self.control.check()?;
            if queue.failure.is_some() {
                return Ok(None);
            }
            if let Some(tree) = queue.waiting.pop() {
                queue.busy += 1;
                return Ok(Some(tree));
            }
            if queue.busy == 0 {
                return Ok(None);
            }
            // With a limit, because a cancel does not wake this condition.
            let waited = self.changed.wait_timeout(queue, Duration::from_millis(100));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Marks a blob that `user` needs; whether it was not marked before.
    fn mark(&self, kind: BlobKind, id: &Id, user: &str) -> Result<bool> {
        let slots = self.index.slots(kind, id);
        if slots.is_empty() {
            return Err(Error::new(
                Code::BlobMissing,
                format!("{} blob {id}", kind.as_str()),
                format!("no index file names it, and {user} needs it"),
            ));
        }
        let bit = 1 << (slots.start % 64);
        let word = &self.bits[slots.start / 64];
        // Most blobs of unchanged files are marked already: look before writing.
        Ok(word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
