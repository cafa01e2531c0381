//! `obhut_core` for Python: sync. Conversions only.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use obhut_core::error::{Code, Error};
use obhut_core::world::{Clock, SystemClock, SystemRandom};
use obhut_sync::io::Command;
use obhut_syncd::daemon::{self, Daemon};
use obhut_syncd::net::Identity;
use pyo3::prelude::*;

use crate::error::to_python;

/// The device id of the certificate in a home; it is made if there is none.
#[pyfunction]
pub fn sync_identity(py: Python<'_>, home: PathBuf) -> PyResult<String> {
    py.detach(|| {
        let identity = if home.join("cert.pem").exists() || home.join("key.pem").exists() {
            Identity::load(&home)
        } else {
            Identity::create(&home, SystemClock.now(), &SystemRandom)
        };
        identity.map(|identity| identity.device().to_string())
    })
    .map_err(|error| to_python(&error))
}

/// The one form of a device id.
#[pyfunction]
pub fn sync_device_id(text: &str) -> PyResult<String> {
    let parsed = obhut_bep::DeviceId::parse(text)
        .ok()
        .filter(|device| *device != obhut_bep::DeviceId::default());
    parsed
        .map(|device| device.to_string())
        .ok_or_else(|| to_python(&invalid("device id", text)))
}

/// Which names some lines of an ignore file ignore; files that they include are those of a folder.
#[pyfunction]
pub fn sync_ignore_test(
    root: Vec<u8>,
    lines: Vec<String>,
    names: Vec<String>,
) -> PyResult<Vec<bool>> {
    daemon::ignored(&path(root), &lines, &names).map_err(|error| to_python(&error))
}

/// The versions that a folder keeps: JSON.
#[pyfunction]
pub fn sync_versions_list(py: Python<'_>, root: Vec<u8>) -> PyResult<String> {
    py.detach(|| daemon::versions(&path(root)))
        .map_err(|error| to_python(&error))
}

/// Puts a version back. Gives the name it has then.
#[pyfunction]
pub fn sync_versions_restore(
    py: Python<'_>,
    root: Vec<u8>,
    version: String,
    into: Option<String>,
) -> PyResult<String> {
    py.detach(|| daemon::restore(&path(root), &version, into.as_deref()))
        .map_err(|error| to_python(&error))
}

/// Removes what a policy does not keep: which went, as JSON.
#[pyfunction]
pub fn sync_versions_prune(py: Python<'_>, root: Vec<u8>, keep: String) -> PyResult<String> {
    py.detach(|| daemon::prune(&path(root), &keep))
        .map_err(|error| to_python(&error))
}

/// A running device.
#[pyclass(frozen, module = "obhut._core")]
pub struct SyncDaemon {
    daemon: Arc<Daemon>,
}

#[pymethods]
impl SyncDaemon {
    #[new]
    fn new(py: Python<'_>, home: PathBuf, config: String, listen: Vec<String>) -> PyResult<Self> {
        let daemon = py
            .detach(|| Daemon::start(&home, &config, listen))
            .map_err(|error| to_python(&error))?;
        Ok(Self {
            daemon: Arc::new(daemon),
        })
    }

    fn configure(&self, py: Python<'_>, config: String) -> PyResult<()> {
        py.detach(|| self.daemon.configure(&config))
            .map_err(|error| to_python(&error))
    }

    fn status(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.daemon.status())
            .map_err(|error| to_python(&error))
    }

    fn events(&self, py: Python<'_>, timeout_ms: u64) -> String {
        let lines = py.detach(|| self.daemon.events(Duration::from_millis(timeout_ms)));
        format!("[{}]", lines.join(","))
    }

    fn command(&self, folder: &str, command: &str) -> PyResult<()> {
        let command = match command {
            "scan" => Command::Scan,
            "emptied" => Command::Emptied,
            "override" => Command::Override,
            "revert" => Command::Revert,
            other => return Err(to_python(&invalid("command of sync", other))),
        };
        self.daemon
            .command(folder, command)
            .map_err(|error| to_python(&error))
    }

    fn listening(&self) -> Vec<String> {
        self.daemon.listening().to_vec()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.daemon.stop());
    }
}

/// A path as bytes, as `os.fsencode` gives it.
fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

fn invalid(what: &str, given: &str) -> Error {
    Error::new(Code::InvalidArgument, what, format!("{given:?} is none"))
}
