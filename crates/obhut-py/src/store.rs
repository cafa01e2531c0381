//! `Store`: places for repository files, and their wrappers.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use obhut_core::store;
use obhut_core::store::local::LocalStore;
use pyo3::prelude::*;

/// Bytes as a path.
pub fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

/// A place for repository files. Opaque; wrappers give a new one.
#[pyclass(frozen, module = "obhut._core")]
pub struct Store {
    pub(crate) inner: Arc<dyn store::Store>,
    /// Base of the local cache, applied when a repository is opened.
    pub(crate) cache: Option<PathBuf>,
    /// The repository's folder, for a local store: a backup warns when it lies inside the source.
    pub(crate) folder: Option<PathBuf>,
}

#[pymethods]
impl Store {
    #[staticmethod]
    fn local(path: &[u8]) -> Self {
        let folder = self::path(path);
        let inner = Arc::new(LocalStore::new(&folder));
        Self {
            inner,
            cache: None,
            folder: Some(folder),
        }
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_local(&self) -> bool {
        self.inner.capabilities().local
    }
}
