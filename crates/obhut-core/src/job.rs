//! Control over a long operation: cancel flag, counters, drained item errors and rendered output.
//!
//! One [`Control`] is shared by all threads of one operation and by whoever watches it. Every stage calls
//! [`Control::check`] at least once per file, blob or pack, and in every wait.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a progress display needs; all monotonic but `phase`.
        #[derive(Debug, Default)]
        pub struct Counters { /// The operation's own phase number, from 0.
            pub phase: AtomicU32, $($(#[$doc])* pub $name: AtomicU64,)* }
        impl Counters {
            /// Names and values, in order of declaration, without the phase.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Files (or packs, or blobs: the operation's unit) found so far; an estimate until `total_known` is 1.
    total_items,
    /// Bytes found so far.
    total_bytes,
    /// 1 once the totals are final.
    total_known,
    /// Units finished.
    items_done,
    /// Bytes finished.
    bytes_done,
    /// Item errors so far.
    errors,
    /// Bytes written to the repository or to the restore target.
    bytes_written,
}

/// One failed item that did not stop the operation.
#[derive(Clone, Debug)]
pub struct ItemError {
    /// The path or repository file, as bytes; may be empty.
    pub item: Vec<u8>,
    /// `scan`, `archival`, `restore`, `verify`, `check` or `lock`.
    pub during: &'static str,
    /// The failure.
    pub error: Error,
}

#[derive(Debug, Default)]
struct Drained {
    errors: Vec<ItemError>,
    output: Vec<u8>,
    current: Vec<Vec<u8>>,
}

#[cfg(test)]
pub(crate) mod trap;

/// Shared by an operation's threads and its watcher.
#[derive(Debug, Default)]
pub struct Control {
    cancel: AtomicBool,
    /// The counters.
    pub counters: Counters,
    drained: Mutex<Drained>,
    room: Condvar,
    /// Something that happens at the n-th look of any stage.
    #[cfg(test)]
    pub(crate) trap: trap::Trap,
}

/// Rendered output waiting to be drained blocks its producer beyond this many bytes.
const OUTPUT_LIMIT: usize = 4 << 20;

impl Control {
    /// A fresh control.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Asks the operation to stop; returns at once.
    pub fn cancel(&self) {
        self.cancel.store(true, Relaxed);
        self.room.notify_all();
    }

    /// Whether the operation was asked to stop.
    #[cfg_attr(test, track_caller)]
    pub fn is_cancelled(&self) -> bool {
        #[cfg(test)]
        self.trap.look(self);
        self.cancel.load(Relaxed)
    }

    /// `Err(cancelled)` once the operation was asked to stop.
    #[cfg_attr(test, track_caller)]
    pub fn check(&self) -> Result<()> {
        #[cfg(test)]
        self.trap.step(self)?;
        if self.cancel.load(Relaxed) {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    /// Records an item that failed without stopping the operation.
    pub fn item_error(&self, item: impl Into<Vec<u8>>, during: &'static str, error: Error) {
        self.counters.errors.fetch_add(1, Relaxed);
        self.lock().errors.push(ItemError {
            item: item.into(),
            during,
            error,
        });
    }

    /// Hands rendered bytes (whole lines) to the watcher; waits while too much is undrained.
    pub fn emit(&self, bytes: &[u8]) -> Result<()> {
        let mut drained = self.lock();
        while drained.output.len() > OUTPUT_LIMIT {
            self.check()?;
            let waited = self.room.wait_timeout(drained, Duration::from_millis(100));
            drained = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drained.output.extend_from_slice(bytes);
        Ok(())
    }

    /// Sets what is being worked on by slot `worker`, for the progress display.
    pub fn set_current(&self, worker: usize, path: &[u8]) {
        let mut drained = self.lock();
        if drained.current.len() <= worker {
            drained.current.resize(worker + 1, Vec::new());
        }
        drained.current[worker].clear();
        drained.current[worker].extend_from_slice(path);
    }

    /// Takes the item errors gathered since the last call.
    pub fn drain_errors(&self) -> Vec<ItemError> {
        std::mem::take(&mut self.lock().errors)
    }

    /// Takes the rendered output gathered since the last call.
    pub fn drain_output(&self) -> Vec<u8> {
        let output = std::mem::take(&mut self.lock().output);
        self.room.notify_all();
        output
    }

    /// The paths being worked on now (no empty ones).
    pub fn current(&self) -> Vec<Vec<u8>> {
        self.lock()
            .current
            .iter()
            .filter(|p| !p.is_empty())
            .cloned()
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Drained> {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, turning a panic into the error `internal`.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic without a message".to_owned());
        Err(Error::internal(text))
    })
}

/// A running operation: a thread of its own, watched through its [`Control`].
#[derive(Debug)]
pub struct Job<T> {
    control: Arc<Control>,
    thread: Option<JoinHandle<Result<T>>>,
    ended: Arc<Ended>,
}

/// Set when a job's thread is about to end; dropped-guard style, so that a panic sets it too.
#[derive(Debug, Default)]
struct Ended(Mutex<bool>, Condvar);

struct SetOnDrop(Arc<Ended>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work` in a thread of its own.
    pub fn start(
        name: &str,
        control: Arc<Control>,
        work: impl FnOnce(&Arc<Control>) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let inner = Arc::clone(&control);
        let ended = Arc::new(Ended::default());
        let guard = SetOnDrop(Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _guard = guard;
                guarded(|| work(&inner))
            })
            .map_err(|e| Error::io("thread", &e))?;
        Ok(Self {
            control,
            thread: Some(thread),
            ended,
        })
    }

    /// The control.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Whether the work has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits at most `time`; whether the work has ended.
    pub fn wait(&self, time: Duration) -> bool {
        let ended = self.ended.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .1
            .wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the end and gives the result.
    pub fn join(mut self) -> Result<T> {
        match self.thread.take() {
            Some(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(Error::internal("worker thread died"))),
            None => Err(Error::internal("job joined twice")),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control.cancel();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_job_gives_its_result_its_error_or_its_panic() {
        let job = Job::start("t", Control::new(), |_| Ok(7)).unwrap();
        assert!(job.wait(Duration::from_secs(5)));
        assert_eq!(job.join(), Ok(7));
        let job = Job::<()>::start("t", Control::new(), |_| Err(Error::cancelled())).unwrap();
        assert_eq!(job.join().unwrap_err().code(), Code::Cancelled);
        let job = Job::<()>::start("t", Control::new(), |_| panic!("injected {}", 1)).unwrap();
        assert!(job.wait(Duration::from_secs(5)));
        let error = job.join().unwrap_err();
        assert_eq!(
            (error.code(), error.detail()),
            (Code::Internal, "injected 1")
        );
    }

    #[test]
    fn cancel_reaches_a_producer_that_waits_for_room() {
        let job = Job::<()>::start("t", Control::new(), |control| {
            loop {
                control.emit(&vec![b'x'; 1 << 16])?;
            }
        });
        let job = job.unwrap();
        assert!(!job.wait(Duration::from_millis(50)));
        job.control().cancel();
        assert!(job.wait(Duration::from_secs(2)));
        assert!(job.control().drain_output().len() > OUTPUT_LIMIT);
        assert_eq!(job.join().unwrap_err().code(), Code::Cancelled);
    }

    #[test]
    fn errors_and_paths_are_drained_once() {
        let control = Control::default();
        control.item_error(b"a\xff".to_vec(), "scan", Error::cancelled());
        control.set_current(2, b"x");
        assert_eq!(control.current(), [b"x".to_vec()]);
        assert_eq!(control.drain_errors().len(), 1);
        assert!(control.drain_errors().is_empty());
        assert!(control.counters.snapshot().contains(&("errors", 1)));
    }
}
