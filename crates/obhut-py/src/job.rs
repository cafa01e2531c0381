//! `Job`: a running operation, polled from Python.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use obhut_core::error::{Error, Result};
use obhut_core::job::{Control, Job as CoreJob};
use obhut_core::store::Store;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::apart::Apart;
use crate::error::convert;

/// What an operation gives: JSON for Python, and perhaps something that stays in Rust (a lock, a plan).
pub struct Outcome {
    /// The JSON result.
    pub json: Vec<u8>,
    /// Taken by a later call.
    pub kept: Option<Box<dyn Any + Send>>,
}

impl Outcome {
    /// A JSON result alone.
    pub fn json(value: &impl serde::Serialize) -> Result<Self> {
        let json = serde_json::to_vec(value).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Self { json, kept: None })
    }
}

enum State {
    Running(CoreJob<Outcome>),
    Ended(std::result::Result<Outcome, Error>),
    Moving,
}

/// A running operation. The watcher polls; nothing is called back.
#[pyclass(frozen, module = "obhut._core")]
pub struct Job {
    control: Arc<Control>,
    /// A cancel also ends pauses between tries and bandwidth limits.
    store: Option<Arc<dyn Store>>,
    state: Apart<Mutex<State>>,
}

impl Job {
    /// Starts `work` in a thread of its own.
    pub fn start(
        name: &str,
        store: Option<Arc<dyn Store>>,
        work: impl FnOnce(&Arc<Control>) -> Result<Outcome> + Send + 'static,
    ) -> PyResult<Self> {
        let control = Control::new();
        if let Some(store) = &store {
            store.interrupt(false);
        }
        let job = convert(CoreJob::start(name, Arc::clone(&control), work))?;
        Ok(Self {
            control,
            store,
            state: Apart::new(Mutex::new(State::Running(job))),
        })
    }

    /// Takes what the operation kept in Rust.
    pub fn take_kept(&self, py: Python<'_>) -> Option<Box<dyn Any + Send>> {
        py.detach(|| match &mut *self.lock() {
            State::Ended(Ok(outcome)) => outcome.kept.take(),
            _ => None,
        })
    }

    /// Only with the interpreter free: whoever waits for the end holds it, and the end may need the interpreter.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, time: Duration) -> bool {
        let mut state = self.lock();
        let ended = match &*state {
            State::Running(job) => job.wait(time),
            State::Ended(_) | State::Moving => return true,
        };
        if !ended {
            return false;
        }
        if let State::Running(job) = std::mem::replace(&mut *state, State::Moving) {
            *state = State::Ended(job.join());
        }
        true
    }
}

/// How often Python looks for signals while it waits.
const SLICE: Duration = Duration::from_millis(100);

/// Runs `work` to its end as one call from Python; a signal whose handler raises cancels it.
pub fn supervised<T: Send + 'static>(
    py: Python<'_>,
    store: &Arc<dyn Store>,
    work: impl FnOnce(&Arc<Control>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    store.interrupt(false);
    let job = convert(CoreJob::start("key", Control::new(), work))?;
    let mut raised = Ok(());
    while raised.is_ok() && !py.detach(|| job.wait(SLICE)) {
        raised = py.check_signals();
    }
    if raised.is_err() {
        job.control().cancel();
        store.interrupt(true);
    }
    let ended = py.detach(|| job.join());
    raised.and_then(|()| convert(ended))
}

#[pymethods]
impl Job {
    fn wait(&self, py: Python<'_>, seconds: f64) -> bool {
        let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| self.wait_for(time))
    }

    fn cancel(&self) {
        self.control.cancel();
        if let Some(store) = &self.store {
            store.interrupt(true);
        }
    }

    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        let phase = self
            .control
            .counters
            .phase
            .load(std::sync::atomic::Ordering::Relaxed);
        counters.set_item("phase", phase)?;
        for (name, value) in self.control.counters.snapshot() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    fn current<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.control
            .current()
            .iter()
            .map(|path| PyBytes::new(py, path))
            .collect()
    }

    #[allow(clippy::type_complexity)]
    fn errors<'py>(
        &self,
        py: Python<'py>,
    ) -> Vec<(
        Bound<'py, PyBytes>,
        &'static str,
        &'static str,
        String,
        String,
    )> {
        let errors = self.control.drain_errors().into_iter().map(|item| {
            let error = &item.error;
            let (object, detail) = (error.object().to_owned(), error.detail().to_owned());
            (
                PyBytes::new(py, &item.item),
                item.during,
                error.code().as_str(),
                object,
                detail,
            )
        });
        errors.collect()
    }

    fn output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.control.drain_output())
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let result = py.detach(|| match &*self.lock() {
            State::Ended(Ok(outcome)) => Ok(outcome.json.clone()),
            State::Ended(Err(error)) => Err(error.clone()),
            State::Running(_) | State::Moving => {
                Err(Error::internal("the job has not ended: wait for it first"))
            }
        });
        Ok(PyBytes::new(py, &convert(result)?))
    }
}
