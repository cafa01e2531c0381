//! The read-only latch: once tripped, nothing but locks can be written or deleted any more.
//!
//! When our own lock is lost another process may hold the exclusive one; whatever we wrote after that could
//! refer to what it deletes. The latch sits on top of all other wrappers, so no caller can pass it.

use std::sync::{Arc, OnceLock};

use super::{Capabilities, Listed, Store};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::world::Timestamp;

/// A store that can be made read-only for the rest of the process.
pub struct Latch {
    inner: Arc<dyn Store>,
    reason: OnceLock<String>,
}

impl Latch {
    /// An open latch over `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            reason: OnceLock::new(),
        }
    }

    /// Closes it for good; the first reason stays.
    pub fn trip(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
    }

    /// Whether it has closed.
    pub fn is_tripped(&self) -> bool {
        self.reason.get().is_some()
    }

    /// `lock-lost` once it has closed.
    pub fn check(&self) -> Result<()> {
        match self.reason.get() {
            Some(reason) => Err(Error::new(Code::LockLost, self.inner.location(), reason)),
            None => Ok(()),
        }
    }

    /// Our own leftover lock may always be removed, and the refresher writes its replacement itself.
    fn guard(&self, name: FileName) -> Result<()> {
        if name.kind == FileKind::Lock {
            Ok(())
        } else {
            self.check()
        }
    }
}

impl Store for Latch {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        self.check()?;
        self.inner.create()
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

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.guard(name)?;
        self.inner.put(name, bytes)
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        self.guard(name)?;
        self.inner.put_shared(name, bytes)
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.guard(name)?;
        self.inner.delete(name)
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.check()?;
        self.inner.remove_leftovers(before)
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
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn keeps_the_contract_while_open() {
        let store = Latch::new(Arc::new(MemoryStore::new()));
        let broken = crate::store::contract::violations(&store);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn a_tripped_latch_lets_only_locks_and_reads_pass() {
        let store = Latch::new(Arc::new(MemoryStore::new()));
        let pack = FileName::new(FileKind::Pack, Id::of(b"p"));
        let lock = FileName::new(FileKind::Lock, Id::of(b"l"));
        store.put(pack, b"p").unwrap();
        store.put(lock, b"l").unwrap();
        store.trip("not refreshed");
        store.trip("second reason");
        assert!(store.is_tripped());
        for kind in [
            FileKind::Config,
            FileKind::Key,
            FileKind::Snapshot,
            FileKind::Index,
        ] {
            let error = store
                .put(FileName::new(kind, Id::of(b"x")), b"x")
                .unwrap_err();
            assert_eq!(
                (error.code(), error.detail()),
                (Code::LockLost, "not refreshed")
            );
        }
        assert_eq!(store.put(pack, b"p").unwrap_err().code(), Code::LockLost);
        let shared = store.put_shared(pack, &Arc::new(b"p".to_vec()));
        assert_eq!(shared.unwrap_err().code(), Code::LockLost);
        assert_eq!(store.delete(pack).unwrap_err().code(), Code::LockLost);
        assert_eq!(store.create().unwrap_err().code(), Code::LockLost);
        assert_eq!(store.get(pack).unwrap(), b"p");
        store.delete(lock).unwrap();
        assert!(store.list(FileKind::Lock).unwrap().is_empty());
    }
}
