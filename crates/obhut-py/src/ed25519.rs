//! Ed25519 keys and signatures for signed notes.

use obhut_core::ed25519;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A key that signs; its secret stays here.
#[pyclass(frozen, module = "obhut._core")]
pub struct Signer {
    inner: ed25519::Signer,
}

#[pymethods]
impl Signer {
    #[staticmethod]
    fn from_seed(seed: &[u8]) -> PyResult<Self> {
        let seed = seed
            .try_into()
            .map_err(|_| PyValueError::new_err("a seed has 32 bytes"))?;
        Ok(Self {
            inner: ed25519::Signer::from_seed(seed),
        })
    }

    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.public())
    }

    fn sign<'py>(&self, py: Python<'py>, message: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.sign(message))
    }
}

/// Whether a signature is one of `message` by the owner of `public`.
#[pyfunction]
pub fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    ed25519::verify(public, message, signature)
}
