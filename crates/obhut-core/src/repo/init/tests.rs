use std::sync::Arc;

use super::*;
use crate::repo::Identity;
use crate::store::fault::{Fault, Faults, Plan};
use crate::store::memory::{Files, MemoryStore};
use crate::testkit::{CHEAP, PASSWORD, SimClock, ports, repository_on};

fn init(store: Arc<dyn Store>, password: &[u8]) -> Result<Repository> {
    let options = OpenOptions {
        identity: Identity::default(),
        ..OpenOptions::default()
    };
    let ports = ports(store, SimClock::new());
    Repository::init(ports, password, 2, None, CHEAP, &options)
}

fn open(store: Arc<dyn Store>, password: &[u8]) -> Result<Repository> {
    Repository::open(
        ports(store, SimClock::new()),
        password,
        &OpenOptions::default(),
    )
}

fn keys(store: &MemoryStore) -> Vec<FileName> {
    let listed = store.list(FileKind::Key).unwrap();
    let name = |file: crate::store::Listed| FileName::new(FileKind::Key, file.id);
    listed.into_iter().map(name).collect()
}

/// What an `init` with this password leaves that is killed before it writes the config.
fn killed(password: &[u8]) -> Files {
    let store = Arc::new(MemoryStore::new());
    init(store.clone(), password).unwrap();
    store.delete(FileName::CONFIG).unwrap();
    store.files()
}

/// One attempt with the fault at call `n`; how many calls it made and what it left.
fn attempt(plan: Plan) -> (u64, Arc<MemoryStore>, Result<Repository>) {
    let store = Arc::new(MemoryStore::new());
    let faults = Arc::new(Faults::new(store.clone(), SimClock::new(), plan));
    let made = init(faults.clone(), PASSWORD);
    (faults.calls(), store, made)
}

#[test]
fn after_a_failure_at_any_call_the_next_init_succeeds_or_the_repository_is_there() {
    let (calls, _, made) = attempt(Plan::NONE);
    made.unwrap();
    assert!(calls > 7);
    let (mut succeeded, mut there, mut unhurt) = (0, 0, 0);
    for fault in [Fault::Fail, Fault::Gone, Fault::LostAck] {
        for n in 1..=calls {
            let (_, store, made) = attempt(fault.at(n));
            if made.is_ok() {
                // That there is no config was the answer anyway.
                assert_eq!((fault, n), (Fault::LostAck, 1));
                unhurt += 1;
                continue;
            }
            match init(store.clone(), PASSWORD) {
                Ok(_) => succeeded += 1,
                Err(e) => {
                    assert_eq!(
                        e.code(),
                        Code::RepositoryExists,
                        "{fault:?} at call {n}: {e}"
                    );
                    there += 1;
                }
            }
            open(store.clone(), PASSWORD).unwrap();
            assert_eq!(keys(&store).len(), 1, "{fault:?} at call {n}");
        }
    }
    assert_eq!((succeeded, there, unhurt), (3 * calls - 2, 1, 1));
}

#[test]
fn a_failed_init_takes_its_key_away() {
    let (calls, ..) = attempt(Plan::NONE);
    for n in 1..=calls {
        let (_, store, _) = attempt(Fault::Fail.at(n));
        assert!(store.files().is_empty(), "call {n}");
    }
}

#[test]
fn the_key_of_a_killed_init_is_not_touched_under_another_password() {
    let store = Arc::new(MemoryStore::with_files(killed(b"of then")));
    let before = store.files();
    let error = init(store.clone(), PASSWORD).err().unwrap();
    assert_eq!(error.code(), Code::InitUnfinished);
    let key = keys(&store)[0];
    assert!(error.detail().contains(&key.to_string()), "{error}");
    assert_eq!(store.files(), before);
    init(store.clone(), b"of then").unwrap();
    open(store.clone(), b"of then").unwrap();
    assert!(!keys(&store).contains(&key), "its place was taken");
    // The name says what the way out is; nothing but the key file is in the way.
    let store = Arc::new(MemoryStore::with_files(before));
    store.delete(key).unwrap();
    init(store, PASSWORD).unwrap();
}

#[test]
fn a_repository_that_lost_its_config_is_not_touched() {
    let kinds = [
        FileKind::Snapshot,
        FileKind::Index,
        FileKind::Pack,
        FileKind::Lock,
    ];
    for kind in kinds {
        let store = Arc::new(MemoryStore::with_files(killed(PASSWORD)));
        store
            .put(FileName::new(kind, Id([3; 32])), b"data")
            .unwrap();
        for key_gone in [false, true] {
            if key_gone {
                store.delete(keys(&store)[0]).unwrap();
            }
            let before = store.files();
            let error = init(store.clone(), PASSWORD).err().unwrap();
            assert_eq!(error.code(), Code::ConfigLost, "{kind:?}");
            assert_eq!(store.files(), before);
        }
    }
}

#[test]
fn keys_of_different_masters_are_no_beginning() {
    let mut files = killed(PASSWORD);
    files.extend(killed(PASSWORD));
    let store = Arc::new(MemoryStore::with_files(files.clone()));
    let error = init(store.clone(), PASSWORD).err().unwrap();
    assert_eq!(error.code(), Code::InitUnfinished);
    assert_eq!(store.files(), files);
}

#[test]
fn a_damaged_key_is_named_and_not_touched() {
    let store = Arc::new(MemoryStore::with_files(killed(PASSWORD)));
    let key = keys(&store)[0];
    store.overwrite(key, b"{");
    let before = store.files();
    let error = init(store.clone(), PASSWORD).err().unwrap();
    assert_eq!(error.code(), Code::InitUnfinished);
    assert!(error.detail().contains(&key.to_string()), "{error}");
    assert_eq!(store.files(), before);
}

#[test]
fn an_adopted_key_that_cannot_be_removed_is_a_warning() {
    let store = Arc::new(MemoryStore::with_files(killed(PASSWORD)));
    let faults = |plan| Arc::new(Faults::new(store.clone(), SimClock::new(), plan));
    let counted = faults(Plan::NONE);
    let left = store.files();
    init(counted.clone(), PASSWORD).unwrap();
    for name in store.files().into_keys() {
        store.delete(name).unwrap();
    }
    for (name, bytes) in &left {
        store.put(*name, bytes).unwrap();
    }
    let made = init(faults(Fault::Fail.at(counted.calls())), PASSWORD).unwrap();
    assert_eq!(made.warnings().len(), 1);
    assert_eq!(keys(&store).len(), 2);
    open(store.clone(), PASSWORD).unwrap();
}

/// A second `init` that does its work in the middle of the first: when the first puts its config.
struct Overtaken {
    inner: Arc<MemoryStore>,
    password: &'static [u8],
}

impl Store for Overtaken {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> crate::store::Capabilities {
        self.inner.capabilities()
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<crate::store::Listed>> {
        self.inner.list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.inner.stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.inner.get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        if name == FileName::CONFIG {
            let done = init(self.inner.clone(), self.password);
            assert_eq!(done.is_ok(), self.password == PASSWORD);
        }
        self.inner.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.inner.delete(name)
    }
}

#[test]
fn of_two_at_once_one_wins_and_its_repository_opens() {
    let inner = Arc::new(MemoryStore::new());
    let (store, password) = (Arc::clone(&inner), PASSWORD);
    let error = init(Arc::new(Overtaken { inner, password }), PASSWORD)
        .err()
        .unwrap();
    assert_eq!(error.code(), Code::FileExists);
    open(store.clone(), PASSWORD).unwrap();
    // With another password the second cannot go on with the first's key, and refuses.
    let inner = Arc::new(MemoryStore::new());
    let (store, password) = (Arc::clone(&inner), &b"another"[..]);
    init(Arc::new(Overtaken { inner, password }), PASSWORD).unwrap();
    open(store.clone(), PASSWORD).unwrap();
    assert_eq!(keys(&store).len(), 1);
}

#[test]
fn a_key_whose_master_opens_no_config_is_taken_away() {
    // Both looked before either wrote: the config of the other is there when ours is to be put.
    let store = Arc::new(MemoryStore::new());
    let theirs = repository_on(store.clone(), SimClock::new()).key_id();
    let master = Key::random(&crate::world::SystemRandom).unwrap();
    let ours = FileName::new(FileKind::Key, Id([9; 32]));
    for (code, stays) in [(Code::FileExists, false), (Code::Unavailable, true)] {
        store.overwrite(ours, b"ours");
        let failure = Error::new(code, "config", "");
        take_back(store.as_ref(), &master, ours, &failure);
        assert_eq!(keys(&store).contains(&ours), stays, "{code:?}");
    }
    assert!(keys(&store).contains(&FileName::new(FileKind::Key, theirs)));
}
