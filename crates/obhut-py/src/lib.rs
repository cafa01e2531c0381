//! `obhut._core`: the core for Python. Conversions only; no algorithm lives here.

// Arguments come out of Python as owned values.
#![allow(clippy::needless_pass_by_value)]

use pyo3::prelude::*;

mod age;
mod apart;
mod ed25519;
mod error;
mod job;
mod operations;
mod pystore;
mod repository;
mod store;
mod sync;
mod world;
mod worm;

/// Built without optimisation?
const DEBUG_BUILD: bool = cfg!(debug_assertions);

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // For whoever uses the engine, not for the command line alone.
    obhut_core::process::return_memory();
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", DEBUG_BUILD)?;
    let codes = obhut_core::error::Code::ALL
        .iter()
        .map(|code| code.as_str());
    module.add(
        "ERROR_CODES",
        pyo3::types::PyTuple::new(py, codes.collect::<Vec<_>>())?,
    )?;
    module.add("CoreError", error::class(py)?)?;
    module.add_class::<ed25519::Signer>()?;
    module.add_class::<age::AgeKeyring>()?;
    module.add_class::<store::Store>()?;
    module.add_class::<job::Job>()?;
    module.add_class::<repository::Lock>()?;
    module.add_class::<repository::Repository>()?;
    module.add_function(wrap_pyfunction!(age::age_identity, module)?)?;
    module.add_function(wrap_pyfunction!(age::age_recipient, module)?)?;
    module.add_function(wrap_pyfunction!(age::is_age_recipient, module)?)?;
    module.add_function(wrap_pyfunction!(pystore::store_contract, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519::verify_ed25519, module)?)?;
    module.add_function(wrap_pyfunction!(world::durable_write, module)?)?;
    module.add_function(wrap_pyfunction!(world::display_name, module)?)?;
    module.add_class::<sync::SyncDaemon>()?;
    module.add_function(wrap_pyfunction!(sync::sync_identity, module)?)?;
    module.add_function(wrap_pyfunction!(sync::sync_device_id, module)?)?;
    module.add_function(wrap_pyfunction!(sync::sync_ignore_test, module)?)?;
    module.add_function(wrap_pyfunction!(sync::sync_versions_list, module)?)?;
    module.add_function(wrap_pyfunction!(sync::sync_versions_restore, module)?)?;
    module.add_function(wrap_pyfunction!(sync::sync_versions_prune, module)?)?;
    module.add_class::<worm::StagedFiles>()?;
    module.add_function(wrap_pyfunction!(worm::put_files, module)?)?;
    module.add_function(wrap_pyfunction!(worm::copy_files, module)?)?;
    module.add_function(wrap_pyfunction!(worm::postpone_files, module)?)?;
    module.add_function(wrap_pyfunction!(worm::hash_files, module)?)?;
    module.add_function(wrap_pyfunction!(worm::sync_folders, module)?)?;
    module.add_function(wrap_pyfunction!(worm::durable_remove, module)?)?;
    module.add_function(wrap_pyfunction!(worm::random_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(worm::make_folder, module)?)?;
    module.add_function(wrap_pyfunction!(world::harden_process, module)?)?;
    module.add_function(wrap_pyfunction!(world::exclude_match, module)?)?;
    module.add_function(wrap_pyfunction!(world::selftest, module)?)?;
    module.add_function(wrap_pyfunction!(operations::prune_plan_model, module)?)?;
    module.add_function(wrap_pyfunction!(operations::restore_plan_model, module)?)?;
    Ok(())
}
