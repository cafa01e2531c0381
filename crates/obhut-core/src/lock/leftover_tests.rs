//! No lock file outlives its run, whichever single call of the storage fails.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::id::FileName;
use crate::store::memory::MemoryStore;
use crate::store::{Capabilities, Listed, Store};
use crate::testkit::{SimClock, repository_on};
use crate::world::Clock as _;

/// Fails as often as it is told to; counts down.
#[derive(Default)]
struct Balky {
    memory: MemoryStore,
    /// Deletions that are refused.
    deletes: AtomicUsize,
    /// Lock files that are written, with an answer that says otherwise.
    puts: AtomicUsize,
    /// Which listing from now on fails; 0: none.
    lists: AtomicUsize,
}

fn due(counter: &AtomicUsize) -> Result<()> {
    let left = counter.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
    left.map_or(Ok(()), |_| {
        Err(Error::new(Code::Unavailable, "it", "injected"))
    })
}

impl Store for Balky {
    fn location(&self) -> String {
        self.memory.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }
    fn create(&self) -> Result<()> {
        self.memory.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        if self.lists.load(SeqCst) > 0 && self.lists.fetch_sub(1, SeqCst) == 1 {
            return Err(Error::new(Code::Unavailable, "it", "injected"));
        }
        self.memory.list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.memory.stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.memory.get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.memory.get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.memory.put(name, bytes)?;
        due(&self.puts)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        due(&self.deletes)?;
        self.memory.delete(name)
    }
}

fn world() -> (Arc<Balky>, Arc<Repository>, Arc<SimClock>) {
    let (store, clock) = (Arc::new(Balky::default()), SimClock::new());
    let repo = repository_on(store.clone(), Arc::clone(&clock));
    (store, repo, clock)
}

fn acquire(repo: &Arc<Repository>, control: &Control) -> Result<Lock> {
    Lock::acquire(repo, false, Duration::ZERO, control)
}

fn count(store: &Balky) -> usize {
    store.memory.list(FileKind::Lock).unwrap().len()
}

fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        crate::world::SystemClock.sleep(Duration::from_millis(5));
    }
    panic!("it did not happen within five seconds");
}

#[test]
fn a_replaced_file_that_could_not_be_removed_goes_at_the_end() {
    for refusals in 1..=2 {
        let (store, repo, clock) = world();
        let held = acquire(&repo, &Control::default()).unwrap();
        let first = store.memory.list(FileKind::Lock).unwrap();
        store.deletes.store(refusals, SeqCst);
        clock.advance(REFRESH);
        until(|| store.memory.list(FileKind::Lock).unwrap() != first);
        until(|| store.deletes.load(SeqCst) == 0);
        held.release().unwrap();
        assert_eq!(count(&store), 0, "{refusals} refused");
    }
}

#[test]
fn a_refresh_whose_answer_was_lost_leaves_nothing() {
    let (store, repo, clock) = world();
    let held = acquire(&repo, &Control::default()).unwrap();
    let first = store.memory.list(FileKind::Lock).unwrap();
    store.puts.store(1, SeqCst);
    // The file that was written after all cannot be removed at once, either.
    store.deletes.store(2, SeqCst);
    clock.advance(REFRESH);
    until(|| store.puts.load(SeqCst) == 0 && store.deletes.load(SeqCst) == 0);
    // The next tick refreshes.
    until(|| {
        let now = store.memory.list(FileKind::Lock).unwrap();
        now.len() == 1 && now != first
    });
    repo.latch().check().unwrap();
    held.release().unwrap();
    assert_eq!(count(&store), 0);
}

#[test]
fn a_lock_that_was_written_though_its_answer_was_lost_is_removed() {
    for refusals in 0..=1 {
        let (store, repo, _) = world();
        store.puts.store(1, SeqCst);
        store.deletes.store(refusals, SeqCst);
        let error = acquire(&repo, &Control::default()).err().unwrap();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(count(&store), 0);
    }
}

#[test]
fn a_lock_is_removed_if_the_second_look_fails_or_is_cancelled() {
    for refusals in 0..=1 {
        let (store, repo, _) = world();
        // The first listing is that before the lock is written.
        store.lists.store(2, SeqCst);
        store.deletes.store(refusals, SeqCst);
        let error = acquire(&repo, &Control::default()).err().unwrap();
        assert_eq!(
            (error.code(), error.detail()),
            (Code::Unavailable, "injected")
        );
        assert_eq!(store.lists.load(SeqCst), 0);
        assert_eq!(count(&store), 0);
    }
    let (store, repo, _) = world();
    let mut files = Spare::new();
    write(&repo, true, &mut files).unwrap();
    store.deletes.store(1, SeqCst);
    assert_eq!(
        withdraw(&repo, files, Error::cancelled()),
        Error::cancelled()
    );
    assert_eq!(count(&store), 0);
}

#[test]
fn what_failed_first_is_told_and_that_the_lock_stays() {
    let (store, repo, _) = world();
    store.puts.store(1, SeqCst);
    store.deletes.store(2, SeqCst);
    let error = acquire(&repo, &Control::default()).err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.detail().contains("our lock stays"), "{error}");
    assert_eq!(count(&store), 1);
}

#[test]
fn a_release_that_fails_once_is_tried_again_and_a_lasting_failure_is_told() {
    let (store, repo, _) = world();
    for (refusals, left) in [(1, 0), (2, 1)] {
        let held = acquire(&repo, &Control::default()).unwrap();
        store.deletes.store(refusals, SeqCst);
        assert_eq!(held.release().is_ok(), left == 0);
        assert_eq!(count(&store), left);
    }
}

/// Whatever call fails, a lock is held all the time, and none is left in the end.
#[test]
fn sharing_never_leaves_a_moment_without_a_lock() {
    let (store, repo, _) = world();
    let others = |exclusive| {
        conflict(&repo, exclusive, None, &Control::default())
            .unwrap()
            .is_some()
    };
    for (puts, deletes) in [(0, 0), (1, 0), (0, 2), (1, 2)] {
        let held = Lock::acquire(&repo, true, Duration::ZERO, &Control::default()).unwrap();
        store.puts.store(puts, SeqCst);
        store.deletes.store(deletes, SeqCst);
        assert_eq!(held.share().is_ok(), puts == 0);
        assert!(others(true), "ours keeps exclusive ones out");
        // Still the exclusive one if writing failed or removing did.
        assert_eq!(others(false), puts + deletes > 0);
        store.deletes.store(0, SeqCst);
        held.release().unwrap();
        assert_eq!(count(&store), 0);
    }
}

#[test]
fn a_removal_that_was_carried_out_without_an_answer_is_a_removal() {
    let (store, repo, _) = world();
    let held = acquire(&repo, &Control::default()).unwrap();
    let id = store.memory.list(FileKind::Lock).unwrap()[0].id;
    store
        .memory
        .delete(FileName::new(FileKind::Lock, id))
        .unwrap();
    held.release().unwrap();
}
