//! `PyStore`: a backend that exists only in Python, as a [`Store`] of the core.
//!
//! Every call attaches to the interpreter for its own time; the caller's thread waits elsewhere with the
//! interpreter free. Bytes to Python are a read-only buffer over memory that the buffer itself owns: nothing
//! is copied when the core shares the bytes ([`Store::put_shared`]), and a backend that keeps a view keeps
//! the memory, so that nothing dangles. Bytes from Python are copied once, out of any buffer.
//!
//! The methods that a backend has are described in `obhut.storage.adapter`. What it raises becomes a core
//! error here and nowhere else; what it answers is checked as foreign input.

use std::sync::Arc;

use obhut_core::error::{Code, Error, Result};
use obhut_core::id::{FileKind, FileName, Id};
use obhut_core::store::{Capabilities, Listed, Store, check_range, size_limit};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{
    PyConnectionError, PyFileExistsError, PyFileNotFoundError, PyKeyboardInterrupt, PyOSError,
    PyPermissionError, PyTimeoutError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// A backend in Python with what it said about itself when it was wrapped.
struct PyStore {
    backend: Py<PyAny>,
    location: String,
    capabilities: Capabilities,
}

/// Makes a store of a backend object. Asks it once for its location and capabilities.
pub fn wrap(py: Python<'_>, backend: Py<PyAny>) -> PyResult<Arc<dyn Store>> {
    let object = backend.bind(py);
    let location = object.call_method0("location")?.extract()?;
    let told = object.call_method0("capabilities")?;
    let capabilities = Capabilities {
        local: told.getattr("local")?.extract()?,
        append_only: told.getattr("append_only")?.extract()?,
        connections: told.getattr("connections")?.extract::<usize>()?.max(1),
    };
    Ok(Arc::new(PyStore {
        backend,
        location,
        capabilities,
    }))
}

/// The bytes of a file on their way to the storage: a read-only buffer that owns what it shows.
#[pyclass(frozen, module = "obhut._core")]
struct Bytes {
    bytes: Arc<Vec<u8>>,
}

#[pymethods]
impl Bytes {
    /// # Safety
    ///
    /// Called by the interpreter with a `view` to fill, as its buffer protocol says.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().bytes;
        let (start, length) = (bytes.as_ptr(), bytes.len());
        // SAFETY: `view` is the interpreter's. `start` and `length` describe the content of a vector that
        // nobody can change or free while this object lives (frozen class, shared `Arc`), and the filled
        // view holds a reference to this object (`PyBuffer_FillInfo` takes it). It is marked read-only, and
        // a request for a writable view is refused there with `BufferError`.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                start.cast_mut().cast(),
                length as ffi::Py_ssize_t,
                1,
                flags,
            )
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

impl PyStore {
    /// Calls into Python; what it raises becomes an error about `object`.
    fn call<T>(
        &self,
        object: &str,
        work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        Python::try_attach(|py| {
            work(self.backend.bind(py)).map_err(|raised| to_core(py, object, &raised))
        })
        .unwrap_or_else(|| Err(Error::internal("the interpreter is shutting down")))
    }
}

impl Store for PyStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn create(&self) -> Result<()> {
        self.call("create", |backend| backend.call_method0("create").map(drop))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let mut listed = self.call(kind.folder(), |backend| {
            let mut listed = Vec::new();
            for entry in backend.call_method1("list", (kind.noun(),))?.try_iter()? {
                let (name, size): (String, u64) = entry?.extract()?;
                if let Some(id) = Id::parse(name.as_bytes()) {
                    listed.push(Listed { id, size });
                }
            }
            Ok(listed)
        })?;
        listed.sort_unstable_by_key(|file| file.id);
        listed.dedup_by_key(|file| file.id);
        Ok(listed)
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        let (object, kind, text) = parts(name);
        self.call(&object, |backend| {
            backend.call_method1("stat", (kind, text))?.extract()
        })
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        let (object, kind, text) = parts(name);
        let limit = size_limit(name.kind);
        self.call(&object, |backend| {
            let answer = backend.call_method1("get", (kind, text))?;
            copy(&answer, |length| length as u64 <= limit)
        })?
        .map_err(|length| Error::new(Code::LimitExceeded, object, format!("{length} bytes")))
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let (object, kind, text) = parts(name);
        self.call(&object, |backend| {
            let arguments = (kind, text, offset, length);
            let answer = backend.call_method1("get_range", arguments)?;
            copy(&answer, |answered| answered == length)
        })?
        .or_else(|answered| {
            check_range(name, offset.saturating_add(answered as u64), offset, length)?;
            let detail = format!("{answered} bytes were answered for {length}");
            Err(Error::damaged(object, detail))
        })
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.put_shared(name, &Arc::new(bytes.to_vec()))
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        let (object, kind, text) = parts(name);
        self.call(&object, |backend| {
            let bytes = Arc::clone(bytes);
            let owner = Bound::new(backend.py(), Bytes { bytes })?;
            let view = PyMemoryView::from(owner.as_any())?;
            backend
                .call_method1("put", (kind, text, &view))
                .map(drop)
                .inspect(|()| {
                    // A view that was kept against the rules, or in a slice, keeps its memory; it is no error.
                    let _ = view.call_method0("release");
                })
        })
    }

    fn delete(&self, name: FileName) -> Result<()> {
        let (object, kind, text) = parts(name);
        self.call(&object, |backend| {
            backend.call_method1("delete", (kind, text)).map(drop)
        })
    }
}

/// A file as messages and as the backend call it: what, kind, name (empty for config).
fn parts(name: FileName) -> (String, &'static str, String) {
    let text = match name.kind {
        FileKind::Config => String::new(),
        _ => name.id.hex(),
    };
    (name.to_string(), name.kind.noun(), text)
}

/// Copies the bytes out of a bytes-like object if `fits` accepts their number; else gives that number.
fn copy(
    answer: &Bound<'_, PyAny>,
    fits: impl Fn(usize) -> bool,
) -> PyResult<Result<Vec<u8>, usize>> {
    if let Ok(bytes) = answer.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return Ok(if fits(bytes.len()) {
            Ok(bytes.to_vec())
        } else {
            Err(bytes.len())
        });
    }
    let buffer = PyBuffer::<u8>::get(answer)?;
    Ok(if fits(buffer.len_bytes()) {
        Ok(buffer.to_vec(answer.py())?)
    } else {
        Err(buffer.len_bytes())
    })
}

/// What a backend raised, as a core error about `object`.
fn to_core(py: Python<'_>, object: &str, raised: &PyErr) -> Error {
    let detail = detail(py, raised);
    let known = raised.value(py).getattr("code").ok();
    let known = known.and_then(|code| code.extract::<String>().ok());
    let known = known.and_then(|text| Code::ALL.iter().find(|code| code.as_str() == text));
    let code = if let Some(code) = known {
        *code
    } else if raised.is_instance_of::<PyFileNotFoundError>(py) {
        Code::FileMissing
    } else if raised.is_instance_of::<PyFileExistsError>(py) {
        Code::FileExists
    } else if raised.is_instance_of::<PyPermissionError>(py) {
        Code::PermissionDenied
    } else if raised.is_instance_of::<PyTimeoutError>(py)
        || raised.is_instance_of::<PyConnectionError>(py)
    {
        Code::Unavailable
    } else if raised.is_instance_of::<PyOSError>(py) {
        let number = raised.value(py).getattr("errno").ok();
        match number.and_then(|number| number.extract::<i32>().ok()) {
            Some(number) => Error::io("", &std::io::Error::from_raw_os_error(number)).code(),
            None => Code::Io,
        }
    } else if raised.is_instance_of::<PyKeyboardInterrupt>(py) {
        Code::Cancelled
    } else {
        Code::Internal
    };
    Error::new(code, object, detail)
}

/// The exception's type and text, bounded: a backend may put anything there.
fn detail(py: Python<'_>, raised: &PyErr) -> String {
    const LONGEST: usize = 500;
    let kind = raised.get_type(py);
    let kind = kind
        .name()
        .map_or_else(|_| "exception".into(), |n| n.to_string());
    let text = raised.value(py).str().map(|text| text.to_string());
    let text: String = text.unwrap_or_default().chars().take(LONGEST).collect();
    if text.is_empty() {
        kind
    } else {
        format!("{kind}: {text}")
    }
}

/// Runs the contract suite of the core against a `Store` or a backend object: the rules that it breaks, in
/// words. Files are made and removed there.
#[pyfunction]
#[pyo3(name = "_store_contract")]
pub fn store_contract(py: Python<'_>, store: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let inner = match store.cast::<crate::store::Store>() {
        Ok(store) => Arc::clone(&store.get().inner),
        Err(_) => wrap(py, store.clone().unbind())?,
    };
    Ok(py.detach(|| obhut_core::store::contract::violations(&*inner)))
}
