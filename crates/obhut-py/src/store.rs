//! `Store`: places for repository files, and their wrappers.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use std::time::Duration;

use obhut_core::store;
use obhut_core::store::fault::{Fault, Faults, Plan};
use obhut_core::store::limit::Limit;
use obhut_core::store::local::LocalStore;
use obhut_core::store::one_writer::OneWriter;
use obhut_core::store::retry::Retry;
use obhut_core::world::SystemClock;
use pyo3::prelude::*;

use crate::error::{convert, invalid};
use crate::pystore;

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
    pub(crate) folder: Option<Vec<u8>>,
    /// The fault kit, if there is one in the stack.
    counter: Option<Arc<Faults>>,
}

impl Store {
    fn over(&self, inner: Arc<dyn store::Store>) -> Self {
        let (cache, folder, counter) = (
            self.cache.clone(),
            self.folder.clone(),
            self.counter.clone(),
        );
        Self {
            inner,
            cache,
            folder,
            counter,
        }
    }
}

#[pymethods]
impl Store {
    #[staticmethod]
    fn local(path: &[u8]) -> Self {
        let inner = Arc::new(LocalStore::new(self::path(path)));
        Self {
            inner,
            cache: None,
            folder: Some(path.to_vec()),
            counter: None,
        }
    }

    #[staticmethod]
    fn python(py: Python<'_>, backend: Py<PyAny>) -> PyResult<Self> {
        let inner = pystore::wrap(py, backend)?;
        Ok(Self {
            inner,
            cache: None,
            folder: None,
            counter: None,
        })
    }

    fn with_retry(&self, max_seconds: f64) -> PyResult<Self> {
        let max = Duration::try_from_secs_f64(max_seconds)
            .map_err(|_| invalid("retry", "not a duration"))?;
        let inner = Arc::clone(&self.inner);
        Ok(self.over(Arc::new(Retry::new(inner, Arc::new(SystemClock), max))))
    }

    /// Only over a folder: a backend in Python must be called by the thread that may hold the interpreter.
    fn with_one_writer(&self) -> PyResult<Self> {
        if self.folder.is_none() {
            return Err(invalid("one writer", "the store is no folder"));
        }
        let writer = convert(OneWriter::new(Arc::clone(&self.inner)))?;
        Ok(self.over(Arc::new(writer)))
    }

    fn with_limits(&self, upload_bytes_per_second: u64, download_bytes_per_second: u64) -> Self {
        let inner = Arc::clone(&self.inner);
        let (up, down) = (upload_bytes_per_second, download_bytes_per_second);
        self.over(Arc::new(Limit::new(inner, Arc::new(SystemClock), up, down)))
    }

    fn with_cache(&self, base: &[u8]) -> Self {
        let cache = Some(path(base));
        Self {
            cache,
            ..self.over(Arc::clone(&self.inner))
        }
    }

    /// A store on which call number `call` (from 1) goes wrong: for tests.
    fn with_fault(&self, fault: &str, call: u64) -> PyResult<Self> {
        let known = Fault::ALL.iter().find(|(name, _)| *name == fault);
        let (_, fault) = known.ok_or_else(|| invalid("fault", "unknown"))?;
        let inner = Arc::clone(&self.inner);
        let plan = if call == 0 {
            Plan::NONE
        } else {
            fault.at(call)
        };
        let faults = Arc::new(Faults::new(inner, Arc::new(SystemClock), plan));
        Ok(Self {
            counter: Some(Arc::clone(&faults)),
            ..self.over(faults)
        })
    }

    /// How many calls the store of `with_fault` has seen.
    fn fault_calls(&self) -> u64 {
        self.counter.as_ref().map_or(0, |faults| faults.calls())
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_local(&self) -> bool {
        self.inner.capabilities().local
    }
}
