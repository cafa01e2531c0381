//! `Store`: places for repository files, and their wrappers.

use std::path::PathBuf;
use std::sync::Arc;

use std::os::unix::ffi::OsStringExt as _;

use obhut_core::store;
use pyo3::prelude::*;

/// Bytes as a path.
pub fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

/// A place for repository files. Opaque; wrappers give a new one.
#[pyclass(frozen, module = "obhut._core")]
pub struct Store {
    pub(crate) inner: Arc<dyn store::Store>,
    pub(crate) cache: Option<PathBuf>,
}

impl Store {
    fn over(&self, inner: Arc<dyn store::Store>) -> Self {
        Self {
            inner,
            cache: self.cache.clone(),
        }
    }
}
