//! Lets one thread make every change of the storage: what `--threads 1` promises.
//!
//! With one thread a command still is several: each job has its own, the lock is taken, refreshed and
//! released by others, and the snapshot is saved by Python's. Each waits for the answer of its own calls
//! only, so which of them issues the n-th write would depend on the verb and on time. Here all of them hand
//! their changes to one thread and wait: whoever looks at the system calls from outside (a fault injector
//! that counts calls a thread, a tracer, a person) sees one sequence of writes in one thread.
//!
//! Nothing else changes: a call returns when the change is made, with its answer, so the order that a caller
//! gives its calls stays. Changes of different callers take turns, a refresh of the lock therefore waits for
//! the pack that is being written: seconds, where 17 minutes are left until the lock is in doubt. Reads do not
//! go this way. The normal mode has no such wrapper, for it would serialise its uploads.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::{Capabilities, Listed, Store};
use crate::error::{Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::guarded;
use crate::world::Timestamp;

type Change = Box<dyn FnOnce() -> Result<()> + Send>;

/// A store whose changes are all made by one thread.
pub struct OneWriter {
    inner: Arc<dyn Store>,
    /// `None` only while the thread is being ended.
    queue: Option<Sender<(Change, Sender<Result<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl OneWriter {
    /// Starts the thread that changes `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Result<Self> {
        let (queue, changes) = bounded::<(Change, Sender<Result<()>>)>(0);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                for (change, answer) in changes {
                    // Whoever asked waits for the answer.
                    let _ = answer.send(guarded(change));
                }
            })
            .map_err(|e| Error::io("store writer thread", &e))?;
        Ok(Self {
            inner,
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    fn change(&self, work: impl FnOnce(&dyn Store) -> Result<()> + Send + 'static) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let (answer, answered) = bounded(1);
        let change: Change = Box::new(move || work(inner.as_ref()));
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send((change, answer)).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

fn ended() -> Error {
    Error::internal("the thread that writes has ended")
}

impl Drop for OneWriter {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Store for OneWriter {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        self.change(|inner| inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
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

    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        self.inner.get_into(name, out)
    }

    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.inner.get_range_into(name, offset, length, out)
    }

    /// Copies: what is large (packs) comes through `put_shared`.
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        let bytes = bytes.to_vec();
        self.change(move |inner| inner.put(name, &bytes))
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        let bytes = Arc::clone(bytes);
        self.change(move |inner| inner.put_shared(name, &bytes))
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.change(move |inner| inner.delete(name))
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let (count, counted) = bounded(1);
        self.change(move |inner| {
            let removed = inner.remove_leftovers(before)?;
            count.send(removed).map_err(|_| ended())
        })?;
        counted.recv().map_err(|_| ended())
    }

    fn interrupt(&self, stop: bool) {
        self.inner.interrupt(stop);
    }

    fn mark_tree_packs(&self, packs: &[Id]) {
        self.inner.mark_tree_packs(packs);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread::ThreadId;

    use super::*;
    use crate::error::Code;
    use crate::store::memory::MemoryStore;

    #[test]
    fn keeps_the_contract() {
        let store = OneWriter::new(Arc::new(MemoryStore::new())).unwrap();
        let broken = crate::store::contract::violations(&store);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Remembers which threads changed something; panics where it should delete.
    #[derive(Default)]
    struct Watched {
        memory: MemoryStore,
        changed_by: Mutex<HashSet<ThreadId>>,
    }

    impl Watched {
        fn note(&self) {
            let mut threads = self.changed_by.lock().unwrap();
            threads.insert(std::thread::current().id());
        }
    }

    impl Store for Watched {
        fn location(&self) -> String {
            String::new()
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }
        fn create(&self) -> Result<()> {
            self.note();
            Ok(())
        }
        fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
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
            self.note();
            self.memory.put(name, bytes)
        }
        fn delete(&self, _name: FileName) -> Result<()> {
            self.note();
            panic!("injected")
        }
    }

    #[test]
    fn many_threads_change_through_one_that_outlives_a_panic() {
        let watched = Arc::new(Watched::default());
        let store = OneWriter::new(watched.clone()).unwrap();
        store.create().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let store = &store;
                scope.spawn(move || {
                    let bytes = Arc::new(vec![n; 100]);
                    let pack = FileName::new(FileKind::Pack, Id::of(&bytes));
                    store.put_shared(pack, &bytes).unwrap();
                    let again = store.put(pack, &bytes).unwrap_err();
                    assert_eq!(again.code(), Code::FileExists);
                    assert_eq!(store.get(pack).unwrap(), *bytes);
                    let broken = store.delete(pack).unwrap_err();
                    assert_eq!(
                        (broken.code(), broken.detail()),
                        (Code::Internal, "injected")
                    );
                });
            }
        });
        assert_eq!(store.list(FileKind::Pack).unwrap().len(), 8);
        let threads = watched.changed_by.lock().unwrap();
        assert_eq!(threads.len(), 1);
        assert!(!threads.contains(&std::thread::current().id()));
    }
}
