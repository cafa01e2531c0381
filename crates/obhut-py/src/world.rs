//! Free functions: durable writes, names for terminals, process hardening.

use obhut_core::durable::{self, Existing};
use obhut_core::filter::PatternList;
use obhut_core::{gojson, process};
use pyo3::prelude::*;

use crate::error::convert;
use crate::store::path;

/// Writes a file atomically and durably, replacing one of that name.
#[pyfunction]
pub fn durable_write(py: Python<'_>, path: &[u8], data: &[u8], mode: u32) -> PyResult<()> {
    let target = self::path(path);
    let data = data.to_vec();
    convert(py.detach(|| durable::write(&target, &data, mode, Existing::Replace)))
}

/// A file name escaped for terminals and messages.
#[pyfunction]
pub fn display_name(name: &[u8]) -> String {
    gojson::display(name)
}

/// Core dumps off, not dumpable; and as many open files as the system allows.
#[pyfunction]
pub fn harden_process() -> PyResult<()> {
    process::raise_file_limit();
    convert(process::harden())
}

/// Whether an exclude pattern matches a path.
#[pyfunction]
#[pyo3(signature = (pattern, path, *, ignore_case))]
pub fn exclude_match(pattern: &[u8], path: &[u8], ignore_case: bool) -> PyResult<bool> {
    let list = convert(PatternList::parse(&[pattern.to_vec()], ignore_case))?;
    Ok(list.matches(path).matched)
}

/// Checks crypto, hash and chunker against fixed vectors.
#[pyfunction]
pub fn selftest(py: Python<'_>) -> PyResult<()> {
    convert(py.detach(obhut_core::selftest::run))
}
