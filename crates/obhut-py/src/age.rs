//! Age files: what an encrypted archive is made of.

use std::path::PathBuf;

use obhut_core::age::{self, Identity, Keyring, Recipient, Sealing};
use obhut_core::durable::Existing;
use obhut_core::id::Id;
use obhut_core::job::Control;
use obhut_core::pool;
use obhut_core::world::SystemRandom;
use obhut_core::worm::{self, Content};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{convert, invalid};
use crate::store::path;

/// A new identity: `AGE-SECRET-KEY-1…`.
#[pyfunction]
pub fn age_identity() -> PyResult<String> {
    let identity = convert(Identity::random(&SystemRandom))?;
    Ok(identity.text().to_string())
}

/// The recipient (`age1…`) of an identity; nothing for what is none.
#[pyfunction]
pub fn age_recipient(identity: &str) -> Option<String> {
    Identity::parse(identity).map(|identity| identity.recipient().text())
}

/// Whether that is a recipient (`age1…`).
#[pyfunction]
pub fn is_age_recipient(text: &str) -> bool {
    Recipient::parse(text).is_some()
}

/// An identity, and everybody to whom is sealed.
#[pyclass(frozen, module = "obhut._core")]
pub struct AgeKeyring {
    inner: Keyring,
}

/// SHA-256 in hex and size.
type Told = (String, u64);

/// Source, its SHA-256 in hex, its size, the new file.
type Sealed = (Vec<u8>, String, u64, Vec<u8>);

#[pymethods]
impl AgeKeyring {
    #[new]
    fn new(identity: &str, recipients: Vec<String>) -> PyResult<Self> {
        let identity =
            Identity::parse(identity).ok_or_else(|| invalid("identity", "no identity of age"))?;
        let recipients = recipients.iter().map(|text| {
            Recipient::parse(text).ok_or_else(|| invalid(text, "no recipient of age (X25519)"))
        });
        let recipients = recipients.collect::<PyResult<Vec<_>>>()?;
        let inner = convert(Keyring::new(identity, recipients))?;
        Ok(Self { inner })
    }

    fn seal<'py>(&self, py: Python<'py>, plain: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let sealed = convert(self.inner.seal(plain, &SystemRandom))?;
        Ok(PyBytes::new(py, &sealed))
    }

    fn open<'py>(
        &self,
        py: Python<'py>,
        sealed: &[u8],
        about: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let plain = convert(self.inner.open(sealed, about))?;
        Ok(PyBytes::new(py, &plain))
    }

    /// Seals files to new ones that need not last; SHA-256 in hex and size of each.
    fn seal_files(
        &self,
        py: Python<'_>,
        items: Vec<Sealed>,
        threads: usize,
    ) -> PyResult<Vec<Told>> {
        let items = items.into_iter().map(|(source, digest, size, target)| {
            Ok(Sealing {
                source: path(&source),
                digest: hash(&digest)?,
                size,
                target: path(&target),
            })
        });
        let items = items.collect::<PyResult<Vec<_>>>()?;
        let (threads, control) = (pool::threads(threads), Control::default());
        let seal = || age::seal_files(&items, &self.inner, &SystemRandom, threads, &control);
        Ok(convert(py.detach(seal))?.into_iter().map(told).collect())
    }

    /// What age files hold, and what they are: SHA-256 in hex and size of each.
    fn read_files(
        &self,
        py: Python<'_>,
        paths: Vec<Vec<u8>>,
        threads: usize,
    ) -> PyResult<Vec<(Told, Told)>> {
        let paths: Vec<PathBuf> = paths.iter().map(|p| path(p)).collect();
        let (threads, control) = (pool::threads(threads), Control::default());
        let read = || age::read_files(&paths, self.inner.identity(), threads, &control);
        let found = convert(py.detach(read))?;
        let both = |found: age::Found| (told(found.plain), told(found.sealed));
        Ok(found.into_iter().map(both).collect())
    }

    /// Puts what an age file holds under a new key, durably.
    #[allow(clippy::too_many_arguments)] // As `copy_files`, for one.
    fn copy_out(
        &self,
        py: Python<'_>,
        root: &[u8],
        key: String,
        source: &[u8],
        digest: &str,
        size: u64,
        mode: u32,
    ) -> PyResult<()> {
        let root = path(root);
        let identity = self.inner.shared_identity();
        let content = Content::Opened(path(source), hash(digest)?, size, identity);
        let items = [(key, content)];
        convert(py.detach(|| worm::put(&root, &items, mode, None, Existing::Keep)))
    }
}

fn told((id, size): (Id, u64)) -> Told {
    (id.hex(), size)
}

fn hash(hex: &str) -> PyResult<Id> {
    Id::parse(hex.as_bytes()).ok_or_else(|| invalid(hex, "no SHA-256 in lower-case hex digits"))
}
