//! Write-once files below a folder.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use obhut_core::durable::{self, Existing, Folder};
use obhut_core::error::{Code, Error};
use obhut_core::id::Id;
use obhut_core::job::Control;
use obhut_core::pool;
use obhut_core::world::{Clock, Random, SystemClock, SystemRandom};
use obhut_core::worm::{self, Arrivals, Content};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{convert, invalid};
use crate::store::path;

/// Puts bytes under their keys; `replace`: in the place of what may be there.
#[pyfunction]
#[pyo3(signature = (root, items, mode, *, replace, until))]
pub fn put_files(
    py: Python<'_>,
    root: &[u8],
    items: Vec<(String, Vec<u8>)>,
    mode: u32,
    replace: bool,
    until: Option<i64>,
) -> PyResult<()> {
    let existing = if replace {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let root = path(root);
    let items: Vec<_> = items
        .into_iter()
        .map(|(key, bytes)| (key, Content::Bytes(bytes)))
        .collect();
    convert(py.detach(|| worm::put(&root, &items, mode, until, existing)))
}

/// A key, the file to be copied, its SHA-256 in hex, its size.
type Copied = (String, Vec<u8>, String, u64);

/// Puts copies of files under their keys.
#[pyfunction]
#[pyo3(signature = (root, items, mode, *, until))]
pub fn copy_files(
    py: Python<'_>,
    root: &[u8],
    items: Vec<Copied>,
    mode: u32,
    until: Option<i64>,
) -> PyResult<()> {
    let root = path(root);
    let items = items.into_iter().map(|(key, source, digest, size)| {
        let digest = Id::parse(digest.as_bytes())
            .ok_or_else(|| invalid(&digest, "no SHA-256 in lower-case hex digits"))?;
        Ok((key, Content::Copy(path(&source), digest, size)))
    });
    let items = items.collect::<PyResult<Vec<_>>>()?;
    convert(py.detach(|| worm::put_once(&root, &items, mode, until)))
}

/// Copies of files that are on the medium and have no names yet.
#[pyclass(frozen, module = "obhut._core")]
pub struct StagedFiles {
    inner: Mutex<Option<Arrivals>>,
}

#[pymethods]
impl StagedFiles {
    /// Takes copies below `folder` of `root`, hashed on the way.
    #[staticmethod]
    #[pyo3(signature = (root, folder, paths, mode, *, until))]
    fn take(
        py: Python<'_>,
        root: &[u8],
        folder: &str,
        paths: Vec<Vec<u8>>,
        mode: u32,
        until: Option<i64>,
    ) -> PyResult<Self> {
        let root = path(root);
        let paths: Vec<PathBuf> = paths.iter().map(|p| path(p)).collect();
        let began = SystemClock.now();
        let take = || worm::take(&root, folder, &paths, mode, until, began);
        let inner = Mutex::new(Some(convert(py.detach(take))?));
        Ok(Self { inner })
    }

    /// SHA-256 in hex and size of each.
    fn hashes(&self) -> Vec<(String, u64)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let found = inner.iter().flat_map(Arrivals::found);
        found.map(|(id, size)| (id.hex(), size)).collect()
    }

    /// Gives some of them, by their numbers, their keys.
    fn name(&self, py: Python<'_>, items: Vec<(usize, String)>) -> PyResult<()> {
        let name = || match &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(arrivals) => arrivals.name(&items),
            None => Err(Error::new(Code::InvalidArgument, "", "they are gone")),
        };
        convert(py.detach(name))
    }

    /// Removes those without names.
    fn discard(&self, py: Python<'_>) {
        py.detach(|| {
            let unnamed = self
                .inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(unnamed);
        });
    }
}

/// Moves the dates of locks (times of last change, seconds since 1970) to later ones.
#[pyfunction]
pub fn postpone_files(py: Python<'_>, root: &[u8], items: Vec<(String, i64)>) -> PyResult<()> {
    let root = path(root);
    convert(py.detach(|| worm::postpone(&root, &items)))
}

/// Makes the names in folders last.
#[pyfunction]
pub fn sync_folders(py: Python<'_>, paths: Vec<Vec<u8>>) -> PyResult<()> {
    let paths: Vec<PathBuf> = paths.iter().map(|p| path(p)).collect();
    let sync = || paths.iter().try_for_each(|path| Folder::open(path)?.sync());
    convert(py.detach(sync))
}

/// SHA-256 in hex and size of each file; 0 threads are several a processor.
#[pyfunction]
pub fn hash_files(
    py: Python<'_>,
    paths: Vec<Vec<u8>>,
    threads: usize,
) -> PyResult<Vec<(String, u64)>> {
    let paths: Vec<PathBuf> = paths.iter().map(|p| path(p)).collect();
    // While some wait for the disk, others hash.
    let threads = match threads {
        0 => worm::OVERLAP * pool::threads(0),
        told => told,
    };
    let hash = || worm::hash_files(&paths, threads, &Control::default());
    let found = convert(py.detach(hash))?;
    Ok(found
        .into_iter()
        .map(|(id, size)| (id.hex(), size))
        .collect())
}

/// So many bytes that nobody can guess.
#[pyfunction]
pub fn random_bytes(py: Python<'_>, count: usize) -> PyResult<Bound<'_, PyBytes>> {
    PyBytes::new_with(py, count, |bytes| convert(SystemRandom.fill(bytes)))
}

/// Removes a file; its name is gone from the medium when the call returns.
#[pyfunction]
pub fn durable_remove(py: Python<'_>, path: &[u8]) -> PyResult<()> {
    let target = self::path(path);
    convert(py.detach(|| durable::remove(&target)))
}

/// Makes a folder and its missing parents, each durable.
#[pyfunction]
pub fn make_folder(py: Python<'_>, path: &[u8], mode: u32) -> PyResult<()> {
    let target = self::path(path);
    convert(py.detach(|| durable::make_dir(&target, mode)))
}
