//! The one place where errors change language.

use obhut_core::error::{Code, Error};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyType};

static CORE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The exception class. It is written in Python because a Rust class cannot extend `Exception` under the
/// stable ABI before Python 3.12.
pub fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let class = CORE_ERROR.get_or_try_init(py, || {
        let code = std::ffi::CString::new(include_str!("core_error.py"))?;
        let module = PyModule::from_code(py, &code, c"core_error.py", c"obhut._core")?;
        Ok::<_, PyErr>(module.getattr("CoreError")?.cast_into::<PyType>()?.unbind())
    })?;
    Ok(class.bind(py))
}

/// A core error as the Python exception.
pub fn to_python(error: &Error) -> PyErr {
    Python::attach(|py| {
        let arguments = (error.code().as_str(), error.object(), error.detail());
        match class(py).and_then(|class| class.call1(arguments)) {
            Ok(exception) => PyErr::from_value(exception),
            Err(failure) => failure,
        }
    })
}

/// Converts a result of the core.
pub fn convert<T>(result: obhut_core::error::Result<T>) -> PyResult<T> {
    result.map_err(|error| to_python(&error))
}

/// An argument that has no meaning.
pub fn invalid(what: &str, detail: impl Into<String>) -> PyErr {
    to_python(&Error::new(Code::InvalidArgument, what, detail))
}
