//! The index, loaded ahead: while a lock settles there is nothing else to do.
//!
//! It is taken only if the index files are the same when it is asked for, under the lock: their names are the
//! hashes of their content, so equal names mean that loading them again would give the same. Whatever else
//! became of it (an error, other files meanwhile) counts for nothing: the index is then loaded as without.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::Repository;
use crate::error::Result;
use crate::id::{FileKind, Id};
use crate::index::Index;
use crate::job::{Control, guarded};

/// How soon a load that is waited for notices a cancel.
const SLICE: Duration = Duration::from_millis(50);

/// Where a repository keeps what is being loaded ahead.
#[derive(Default)]
pub struct Slot(Mutex<Option<Ahead>>);

/// An index that is being loaded; dropping it ends that.
struct Ahead {
    control: Arc<Control>,
    answer: Receiver<Result<Arc<Index>>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.control.cancel();
    }
}

impl Slot {
    fn put(&self, ahead: Ahead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }

    /// The index if it was loaded from exactly the files `ids`; waits for it. An error only if `control` says so.
    pub fn take(&self, ids: &[Id], control: &Control) -> Result<Option<Arc<Index>>> {
        let ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ahead) = ahead else {
            return Ok(None);
        };
        loop {
            control.check()?;
            match ahead.answer.recv_timeout(SLICE) {
                Ok(Ok(index)) if index.files() == ids => return Ok(Some(index)),
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Repository {
    /// Begins to load the index in the background, for the next [`Repository::load_index`].
    pub fn prefetch_index(self: &Arc<Self>, threads: usize) {
        let (send, answer) = bounded(1);
        let control = Control::new();
        let (repo, watched) = (Arc::clone(self), Arc::clone(&control));
        let started = std::thread::Builder::new()
            .name("prefetch".to_owned())
            .spawn(move || {
                let index = guarded(|| {
                    let ids = repo.list(FileKind::Index)?;
                    repo.load_index_files(&ids, &watched, threads)
                });
                // The repository is let go first: who gets the answer may be its last owner.
                drop(repo);
                let _ = send.send(index);
            });
        // Without a thread for it nothing is loaded ahead.
        if started.is_ok() {
            self.prefetched.put(Ahead { control, answer });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::Code;
    use crate::id::FileName;
    use crate::prune::testworld::World;

    /// A world with a snapshot of one chunk.
    fn world(chunk: u8) -> World {
        let mut world = World::new();
        add(&mut world, chunk);
        world
    }

    fn add(world: &mut World, chunk: u8) {
        let known = world.index();
        world.backup(&BTreeMap::from([((0, 0), vec![chunk])]), known);
    }

    /// Until it was loaded: only then is it certain that what follows comes later.
    fn settle(world: &World) {
        let slot = world.repo.prefetched.0.lock().expect("a slot");
        while slot.as_ref().expect("begun").answer.is_empty() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_loaded_ahead_is_used_once() {
        let (world, control) = (world(1), Control::default());
        let plain = world.index();
        world.repo.prefetch_index(2);
        let ids = plain.files();
        let take = || {
            world
                .repo
                .prefetched
                .take(ids, &control)
                .expect("no cancel")
        };
        let ahead = take().expect("the same files");
        assert_eq!((ahead.files(), ahead.len()), (ids, plain.len()));
        assert!(take().is_none());
    }

    #[test]
    fn other_index_files_than_those_under_the_lock_are_not_believed_in() {
        let mut world = world(1);
        let before = world.index().files().to_vec();
        world.repo.prefetch_index(1);
        settle(&world);
        add(&mut world, 2);
        assert_eq!(world.index().files().len(), before.len() + 1);

        world.repo.prefetch_index(1);
        settle(&world);
        let gone = FileName::new(FileKind::Index, before[0]);
        world.repo.store().delete(gone).expect("deleted");
        assert!(!world.index().files().contains(&before[0]));
    }

    #[test]
    fn a_cancel_is_heard_and_errors_count_for_nothing() {
        let world = world(1);
        let ids = world.index().files().to_vec();
        let control = Control::default();
        world.repo.prefetch_index(1);
        control.cancel();
        let error = world.repo.prefetched.take(&ids, &control).err();
        assert_eq!(error.expect("cancelled").code(), Code::Cancelled);

        let bytes = world
            .repo
            .store()
            .get(FileName::new(FileKind::Index, ids[0]))
            .expect("read");
        let other = FileName::new(FileKind::Index, Id::of(b"not its name"));
        world.repo.store().put(other, &bytes).expect("put");
        world.repo.prefetch_index(1);
        settle(&world);
        world.repo.store().delete(other).expect("deleted");
        assert_eq!(world.index().files(), ids);
    }
}
