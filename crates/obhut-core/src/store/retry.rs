//! Tries again when the storage failed for a while: after 1 s, then twice as long each time, until the
//! total of pauses would exceed a bound (formats: restic 22). At least one more try is always made.
//!
//! A call whose answer was lost may have been carried out. So after a failed try
//! - `put` that finds the name taken compares: equal bytes mean that the earlier try succeeded; bytes that
//!   do not even hash to the name are what a torn write left, and are replaced;
//! - `delete` that finds nothing has succeeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::{Capabilities, Listed, Store, pause};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::world::{Clock, Timestamp};

const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A store that tries again.
pub struct Retry {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    max: Duration,
    stop: AtomicBool,
}

/// Whether another try may help. Everything else is permanent: it fails at once.
pub const fn is_transient(code: Code) -> bool {
    matches!(code, Code::Io | Code::Unavailable)
}

impl Retry {
    /// Tries calls to `inner` again for about `max` in all.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, max: Duration) -> Self {
        Self {
            inner,
            clock,
            max,
            stop: AtomicBool::new(false),
        }
    }

    /// `call` gets the number of the try, from 0.
    fn run<T>(&self, mut call: impl FnMut(u32) -> Result<T>) -> Result<T> {
        let start = self.clock.elapsed();
        let mut wait = FIRST_PAUSE;
        for attempt in 0.. {
            let error = match call(attempt) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let spent = self.clock.elapsed().saturating_sub(start);
            let late = attempt > 0 && spent + wait > self.max;
            if !is_transient(error.code()) || late || !pause(&*self.clock, wait, &self.stop) {
                return Err(if attempt == 0 {
                    error
                } else {
                    tried(&error, attempt + 1)
                });
            }
            wait = wait.saturating_mul(2);
        }
        Err(Error::internal("tries ran out"))
    }

    /// `put` is the call to the inner store that saves `bytes`.
    fn put_again(&self, name: FileName, bytes: &[u8], put: impl Fn() -> Result<()>) -> Result<()> {
        let taken = match put() {
            Err(error) if error.code() == Code::FileExists => error,
            done => return done,
        };
        let stored = self.inner.get(name)?;
        if stored == bytes {
            return Ok(());
        }
        if name.kind == FileKind::Config || Id::of(&stored) == name.id {
            return Err(taken);
        }
        self.inner.delete(name)?;
        put()
    }

    fn save(&self, name: FileName, bytes: &[u8], put: impl Fn() -> Result<()>) -> Result<()> {
        self.run(|attempt| match attempt {
            0 => put(),
            _ => self.put_again(name, bytes, &put),
        })
    }
}

fn tried(error: &Error, tries: u32) -> Error {
    let detail = format!("{} (tried {tries} times)", error.detail());
    Error::new(error.code(), error.object(), detail)
}

impl Store for Retry {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        self.run(|_| self.inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.run(|_| self.inner.list(kind))
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        self.run(|_| self.inner.stat(name))
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.run(|_| self.inner.get(name))
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.run(|_| self.inner.get_range(name, offset, length))
    }

    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        self.run(|_| self.inner.get_into(name, out))
    }

    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.run(|_| self.inner.get_range_into(name, offset, length, out))
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.save(name, bytes, || self.inner.put(name, bytes))
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        self.save(name, bytes, || self.inner.put_shared(name, bytes))
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.run(|attempt| match self.inner.delete(name) {
            Err(error) if attempt > 0 && error.code() == Code::FileMissing => Ok(()),
            done => done,
        })
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.run(|_| self.inner.remove_leftovers(before))
    }

    fn interrupt(&self, stop: bool) {
        self.stop.store(stop, Relaxed);
        self.inner.interrupt(stop);
    }

    fn mark_tree_packs(&self, packs: &[Id]) {
        self.inner.mark_tree_packs(packs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fault::{Fault, Faults};
    use crate::store::memory::MemoryStore;
    use crate::testkit::SimClock;

    fn flaky(faults: &str) -> (Arc<MemoryStore>, Arc<Faults>, Retry, Arc<SimClock>) {
        let (memory, clock) = (Arc::new(MemoryStore::new()), SimClock::new());
        let plan = faults.parse().unwrap();
        let faults = Arc::new(Faults::new(memory.clone(), clock.clone(), plan));
        let max = Duration::from_secs(60);
        let retry = Retry::new(faults.clone(), clock.clone(), max);
        (memory, faults, retry, clock)
    }

    fn pack() -> FileName {
        FileName::new(FileKind::Pack, Id::of(b"content"))
    }

    #[test]
    fn keeps_the_contract() {
        let (_, _, retry, _) = flaky("none");
        let broken = crate::store::contract::violations(&retry);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn over_a_store_that_fails_now_and_then_nothing_is_lost_or_doubled() {
        for fault in ["fail", "lost-ack", "tear"] {
            let (memory, faults, retry, _) = flaky(&format!("{fault}%8/42"));
            let model = MemoryStore::new();
            for n in 0..100u32 {
                let bytes = n.to_le_bytes();
                let name = FileName::new(FileKind::LISTED[n as usize % 5], Id::of(&bytes));
                for store in [&retry as &dyn Store, &model] {
                    store.put(name, &bytes).unwrap();
                    assert_eq!(store.get_range(name, 1, 3).unwrap(), bytes[1..]);
                    if n % 3 == 0 {
                        store.delete(name).unwrap();
                    }
                }
                assert_eq!(memory.files(), model.files());
            }
            assert!(faults.injected() > 25, "{fault}");
        }
    }

    #[test]
    fn a_failing_call_is_repeated_after_one_second_then_two() {
        let (memory, _, retry, clock) = flaky("none");
        memory.put(pack(), b"content").unwrap();
        let calls = std::sync::atomic::AtomicU32::new(0);
        let got = retry.run(|attempt| {
            calls.fetch_add(1, Relaxed);
            if attempt < 2 {
                return Err(Error::new(Code::Unavailable, "", "busy"));
            }
            memory.get(pack())
        });
        assert_eq!(got.unwrap(), b"content");
        assert_eq!(calls.load(Relaxed), 3);
        assert_eq!(clock.elapsed(), Duration::from_secs(3));
    }

    #[test]
    fn it_gives_up_at_the_bound_and_says_how_often_it_tried() {
        let (_, faults, retry, clock) = flaky("gone@1");
        let error = retry.stat(pack()).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.detail().ends_with("(tried 6 times)"), "{error}");
        assert_eq!(faults.calls(), 6);
        assert_eq!(clock.elapsed(), Duration::from_secs(31));
    }

    #[test]
    fn at_least_one_more_try_is_made() {
        let (memory, clock) = (Arc::new(MemoryStore::new()), SimClock::new());
        let faults = Faults::new(memory, clock.clone(), Fault::Fail.at(1));
        let retry = Retry::new(Arc::new(faults), clock, Duration::ZERO);
        retry.put(pack(), b"content").unwrap();
    }

    #[test]
    fn permanent_failures_are_told_at_once() {
        let (_, faults, retry, clock) = flaky("none");
        assert_eq!(retry.get(pack()).unwrap_err().code(), Code::FileMissing);
        assert_eq!((faults.calls(), clock.elapsed()), (1, Duration::ZERO));
        for code in Code::ALL {
            let transient = matches!(code, Code::Io | Code::Unavailable);
            assert_eq!(is_transient(*code), transient);
        }
    }

    #[test]
    fn a_lost_answer_to_put_or_delete_is_success() {
        let (memory, _, retry, _) = flaky("lost-ack@1");
        retry.put(pack(), b"content").unwrap();
        assert_eq!(memory.get(pack()).unwrap(), b"content");
        let (memory, _, retry, _) = flaky("lost-ack@2");
        retry.put(pack(), b"content").unwrap();
        retry.delete(pack()).unwrap();
        assert!(memory.files().is_empty());
    }

    #[test]
    fn a_foreign_file_of_that_name_is_never_replaced() {
        let (memory, _, retry, _) = flaky("fail@1");
        memory.overwrite(FileName::CONFIG, b"theirs");
        let error = retry.put(FileName::CONFIG, b"ours").unwrap_err();
        assert_eq!(error.code(), Code::FileExists);
        assert_eq!(memory.get(FileName::CONFIG).unwrap(), b"theirs");
    }

    #[test]
    fn an_interrupted_store_does_not_wait() {
        let (_, faults, retry, clock) = flaky("gone@1");
        retry.interrupt(true);
        assert!(retry.stat(pack()).is_err());
        assert_eq!((faults.calls(), clock.elapsed()), (1, Duration::ZERO));
        retry.interrupt(false);
        assert!(retry.stat(pack()).is_err());
        assert!(faults.calls() > 2);
    }
}
