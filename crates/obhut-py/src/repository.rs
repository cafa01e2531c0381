//! `Repository` and `Lock`: an opened repository behind an opaque object.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use obhut_core::accounts::SystemAccounts;
use obhut_core::blob::Compression;
use obhut_core::error::Error;
use obhut_core::id::{FileKind, Id};
use obhut_core::job::Control;
use obhut_core::keyfile::ScryptParams;
use obhut_core::lock;
use obhut_core::repo::open::{OpenOptions, Ports};
use obhut_core::repo::{Identity, Repository as CoreRepository};
use obhut_core::world::{SystemClock, SystemRandom};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zeroize::Zeroizing;

use crate::apart::Apart;
use crate::error::{convert, invalid, to_python};
use crate::job::{Job, Outcome, supervised};
use crate::operations::Plans;
use crate::store::Store;

/// An opened repository; holds the master key, which never leaves the core.
#[pyclass(frozen, module = "obhut._core")]
pub struct Repository {
    pub(crate) inner: Apart<Arc<CoreRepository>>,
    pub(crate) threads: usize,
    /// The folder of a local store.
    pub(crate) folder: Option<Vec<u8>>,
    pub(crate) plans: Arc<Plans>,
}

/// A held lock; refreshed by the core; released by `release` or when the object dies.
#[pyclass(frozen, module = "obhut._core")]
pub struct Lock {
    held: Apart<Mutex<Option<lock::Lock>>>,
}

#[pymethods]
impl Lock {
    fn share(&self, py: Python<'_>) -> PyResult<()> {
        convert(py.detach(|| {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.as_ref().map_or(Ok(()), lock::Lock::share)
        }))
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        convert(py.detach(|| {
            let held = self
                .held
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            held.map_or(Ok(()), lock::Lock::release)
        }))
    }
}

fn ports(store: &Store) -> Ports {
    Ports {
        store: Arc::clone(&store.inner),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        accounts: Arc::new(SystemAccounts),
    }
}

fn compression(name: &str) -> PyResult<Compression> {
    Ok(match name {
        "auto" => Compression::Auto,
        "off" => Compression::Off,
        "fastest" => Compression::Fastest,
        "better" => Compression::Better,
        "max" => Compression::Max,
        _ => {
            return Err(invalid(
                "compression",
                "known: auto, off, fastest, better, max",
            ));
        }
    })
}

/// Parses a full id.
pub fn id(text: &str) -> PyResult<Id> {
    Id::parse(text.as_bytes()).ok_or_else(|| invalid("id", "an id has 64 hex digits"))
}

/// As many threads as asked for, or as there are processors.
pub fn thread_count(asked: usize) -> usize {
    if asked > 0 {
        return asked.min(256);
    }
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

impl Repository {
    /// Starts a job over this repository.
    pub(crate) fn start(
        &self,
        name: &str,
        work: impl FnOnce(&Arc<CoreRepository>, &Arc<Control>) -> obhut_core::error::Result<Outcome>
        + Send
        + 'static,
    ) -> PyResult<Job> {
        let repo = Arc::clone(&self.inner);
        Job::start(name, Some(Arc::clone(self.inner.store())), move |control| {
            work(&repo, control)
        })
    }
}

#[pymethods]
impl Repository {
    #[staticmethod]
    #[pyo3(signature = (store, password, *, version=2, username, hostname, chunker_from=None))]
    fn init(
        py: Python<'_>,
        store: &Store,
        password: &[u8],
        version: u32,
        username: String,
        hostname: String,
        chunker_from: Option<&Repository>,
    ) -> PyResult<Self> {
        let password = Zeroizing::new(password.to_vec());
        let polynomial = chunker_from.map(|other| other.inner.config().polynomial);
        let identity = Identity { username, hostname };
        let options = OpenOptions {
            identity,
            ..OpenOptions::default()
        };
        let ports = ports(store);
        let opened = supervised(py, &store.inner, move |control| {
            let options = OpenOptions {
                control: Arc::clone(control),
                ..options
            };
            let params = ScryptParams::calibrate();
            CoreRepository::init(ports, &password, version, polynomial, params, &options)
        })?;
        Ok(Self {
            inner: Apart::new(Arc::new(opened)),
            threads: thread_count(0),
            folder: store.folder.clone(),
            plans: Arc::default(),
        })
    }

    #[staticmethod]
    #[pyo3(signature = (store, password, *, username, hostname, key_hint=None, compression="auto", pack_size=0, extra_verify=true, threads=0))]
    #[allow(clippy::too_many_arguments)]
    fn open(
        py: Python<'_>,
        store: &Store,
        password: &[u8],
        username: String,
        hostname: String,
        key_hint: Option<String>,
        compression: &str,
        pack_size: usize,
        extra_verify: bool,
        threads: usize,
    ) -> PyResult<Self> {
        let password = Zeroizing::new(password.to_vec());
        let options = OpenOptions {
            key_hint,
            compression: self::compression(compression)?,
            pack_size,
            verify: extra_verify,
            identity: Identity { username, hostname },
            cache: store.cache.clone(),
            ..OpenOptions::default()
        };
        let ports = ports(store);
        let opened = supervised(py, &store.inner, move |control| {
            let options = OpenOptions {
                control: Arc::clone(control),
                ..options
            };
            CoreRepository::open(ports, &password, &options)
        })?;
        Ok(Self {
            inner: Apart::new(Arc::new(opened)),
            threads: thread_count(threads),
            folder: store.folder.clone(),
            plans: Arc::default(),
        })
    }

    #[getter]
    fn id(&self) -> &str {
        self.inner.id()
    }

    #[getter]
    fn version(&self) -> u32 {
        self.inner.version()
    }

    #[getter]
    fn key_id(&self) -> String {
        self.inner.key_id().hex()
    }

    /// What was odd while opening: (code, object, detail).
    fn warnings(&self) -> Vec<(&'static str, String, String)> {
        let text = |e: &Error| {
            (
                e.code().as_str(),
                e.object().to_owned(),
                e.detail().to_owned(),
            )
        };
        self.inner.warnings().iter().map(text).collect()
    }

    fn location(&self) -> String {
        self.inner.store().location()
    }

    fn store_is_append_only(&self) -> bool {
        self.inner.is_append_only()
    }

    fn prefetch_index(&self, threads: usize) {
        self.inner.prefetch_index(match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        });
    }

    #[pyo3(signature = (*, exclusive, retry_seconds))]
    fn lock(&self, exclusive: bool, retry_seconds: f64) -> PyResult<Job> {
        let retry = Duration::try_from_secs_f64(retry_seconds)
            .map_err(|_| invalid("retry-lock", "not a duration"))?;
        self.start("lock", move |repo, control| {
            let held = lock::Lock::acquire(repo, exclusive, retry, control)?;
            Ok(Outcome {
                json: b"{}".to_vec(),
                kept: Some(Box::new(held)),
            })
        })
    }

    #[allow(clippy::unused_self)]
    fn take_lock(&self, py: Python<'_>, job: &Job) -> PyResult<Lock> {
        let kept = job
            .take_kept(py)
            .and_then(|kept| kept.downcast::<lock::Lock>().ok());
        let held = kept.ok_or_else(|| to_python(&Error::internal("the job holds no lock")))?;
        Ok(Lock {
            held: Apart::new(Mutex::new(Some(*held))),
        })
    }

    #[pyo3(signature = (*, remove_all))]
    fn unlock(&self, remove_all: bool) -> PyResult<Job> {
        self.start("unlock", move |repo, control| {
            let removed = lock::remove(repo, remove_all, control)?;
            Outcome::json(&serde_json::json!({ "removed": removed }))
        })
    }

    fn snapshots(&self) -> PyResult<Job> {
        self.start("snapshots", |repo, control| {
            let count = repo.emit_snapshots(control)?;
            Outcome::json(&serde_json::json!({ "snapshots": count }))
        })
    }

    fn save_snapshot(&self, py: Python<'_>, json: &[u8]) -> PyResult<String> {
        let json = json.to_vec();
        let saved = py.detach(|| {
            // What could not be read back as a snapshot must never be stored as one.
            obhut_core::snapshot::parse_root(Id::ZERO, &json)
                .and_then(|_| self.inner.save_unpacked(FileKind::Snapshot, &json))
        });
        Ok(convert(saved)?.hex())
    }

    fn delete_snapshots(&self, ids: Vec<String>) -> PyResult<Job> {
        let ids = ids
            .iter()
            .map(|text| id(text))
            .collect::<PyResult<Vec<_>>>()?;
        self.start("delete snapshots", move |repo, control| {
            Outcome::json(&repo.delete_snapshots(&ids, control)?)
        })
    }

    fn list_files(&self, kind: String) -> PyResult<Job> {
        let threads = self.threads;
        self.start("list", move |repo, control| {
            repo.emit_list(&kind, threads, control)?;
            Outcome::json(&serde_json::json!({}))
        })
    }

    fn cat<'py>(&self, py: Python<'py>, what: &str, id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let control = Control::new();
        let plain = py.detach(|| self.inner.cat(what, id, &control));
        Ok(PyBytes::new(py, &convert(plain)?))
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let (keys, _) = convert(py.detach(|| self.inner.key_list()))?;
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "current": key.current, "id": key.id.hex(), "userName": key.username,
                    "hostName": key.hostname, "created": key.created,
                })
            })
            .collect();
        let json = serde_json::to_vec(&keys).map_err(|e| invalid("keys", e.to_string()))?;
        Ok(PyBytes::new(py, &json))
    }

    #[pyo3(signature = (password, *, username, hostname))]
    fn add_key(
        &self,
        py: Python<'_>,
        password: &[u8],
        username: String,
        hostname: String,
    ) -> PyResult<String> {
        self.with_password(py, password, username, hostname, CoreRepository::key_add)
    }

    fn remove_key(&self, py: Python<'_>, id: &str) -> PyResult<()> {
        let id = self::id(id)?;
        convert(py.detach(|| self.inner.key_remove(id)))
    }

    #[pyo3(signature = (password, *, username, hostname))]
    fn change_password(
        &self,
        py: Python<'_>,
        password: &[u8],
        username: String,
        hostname: String,
    ) -> PyResult<String> {
        self.with_password(py, password, username, hostname, CoreRepository::key_change)
    }
}

type ChangeKey =
    fn(&CoreRepository, &[u8], ScryptParams, &Identity, &Control) -> obhut_core::error::Result<Id>;

impl Repository {
    fn with_password(
        &self,
        py: Python<'_>,
        password: &[u8],
        username: String,
        hostname: String,
        change: ChangeKey,
    ) -> PyResult<String> {
        let password = Zeroizing::new(password.to_vec());
        let who = Identity { username, hostname };
        let repo = Arc::clone(&self.inner);
        let changed = supervised(py, self.inner.store(), move |control| {
            change(&repo, &password, ScryptParams::calibrate(), &who, control)
        })?;
        Ok(changed.hex())
    }
}
