//! The read-only latch: once tripped, nothing but locks can be written or deleted any more.
//!
//! When our own lock is lost another process may hold the exclusive one; whatever we wrote after that could
//! refer to what it deletes. The latch sits on top of all other wrappers, so no caller can pass it.

use std::sync::{Arc, OnceLock};

use super::{Capabilities, Listed, Store};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName};

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

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.guard(name)?;
        self.inner.put(name, bytes)
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.guard(name)?;
        self.inner.delete(name)
    }
}
