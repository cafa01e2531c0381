//! Bounds the bytes per second to and from the storage.
//!
//! Each direction is a meter that says when the next byte may go: a call takes its place in the queue and
//! waits for it. A call is the smallest unit, so a pack goes at once and the pause follows its size; over a
//! minute the rate is exact.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Capabilities, Listed, Store, pause};
use crate::error::Result;
use crate::id::{FileKind, FileName, Id};
use crate::world::{Clock, Timestamp};

/// A store behind a bandwidth limit.
pub struct Limit {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    up: Meter,
    down: Meter,
    stop: AtomicBool,
}

struct Meter {
    /// Bytes per second; 0 = unlimited.
    rate: u64,
    /// When everything that was admitted has passed.
    free_at: Mutex<Duration>,
}

impl Meter {
    const fn new(rate: u64) -> Self {
        Self {
            rate,
            free_at: Mutex::new(Duration::ZERO),
        }
    }

    /// Reserves room for `bytes` at `now`; gives the time to wait until they have passed.
    fn reserve(&self, now: Duration, bytes: usize) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(now).saturating_add(cost);
        free_at.saturating_sub(now)
    }
}

impl Limit {
    /// Limits `inner` to so many bytes per second; 0 = unlimited.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, up: u64, down: u64) -> Self {
        Self {
            inner,
            clock,
            up: Meter::new(up),
            down: Meter::new(down),
            stop: AtomicBool::new(false),
        }
    }

    fn wait(&self, meter: &Meter, bytes: usize) {
        let time = meter.reserve(self.clock.elapsed(), bytes);
        pause(&*self.clock, time, &self.stop);
    }
}

impl Store for Limit {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        self.inner.stat(name)
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        let bytes = self.inner.get(name)?;
        self.wait(&self.down, bytes.len());
        Ok(bytes)
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let bytes = self.inner.get_range(name, offset, length)?;
        self.wait(&self.down, length);
        Ok(bytes)
    }

    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        self.inner.get_into(name, out)?;
        self.wait(&self.down, out.len());
        Ok(())
    }

    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.inner.get_range_into(name, offset, length, out)?;
        self.wait(&self.down, length);
        Ok(())
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.wait(&self.up, bytes.len());
        self.inner.put(name, bytes)
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        self.wait(&self.up, bytes.len());
        self.inner.put_shared(name, bytes)
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.inner.delete(name)
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.inner.remove_leftovers(before)
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
    use crate::store::memory::MemoryStore;
    use crate::testkit::SimClock;

    fn limited(up: u64, down: u64) -> (Limit, Arc<SimClock>) {
        let clock = SimClock::new();
        let memory = Arc::new(MemoryStore::new());
        (Limit::new(memory, clock.clone(), up, down), clock)
    }

    fn pack(n: u8) -> FileName {
        FileName::new(FileKind::Pack, Id([n; 32]))
    }

    #[test]
    fn keeps_the_contract() {
        let (store, _) = limited(0, 0);
        let broken = crate::store::contract::violations(&store);
        assert!(broken.is_empty(), "{broken:#?}");
        let (store, _) = limited(1 << 20, 1 << 20);
        let broken = crate::store::contract::violations(&store);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn bytes_take_the_time_that_the_rate_says() {
        let (store, clock) = limited(1000, 500);
        for n in 0..4 {
            store.put(pack(n), &[0; 250]).unwrap();
        }
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        assert_eq!(store.get(pack(0)).unwrap().len(), 250);
        assert_eq!(store.get_range(pack(1), 0, 250).unwrap().len(), 250);
        assert_eq!(clock.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn unlimited_costs_no_time_and_idle_time_is_not_saved_up() {
        let (store, clock) = limited(0, 100);
        store.put(pack(0), &[0; 10_000]).unwrap();
        assert_eq!(clock.elapsed(), Duration::ZERO);
        clock.advance(Duration::from_secs(100));
        store.get_range(pack(0), 0, 100).unwrap();
        assert_eq!(clock.elapsed(), Duration::from_secs(101));
    }

    #[test]
    fn concurrent_calls_share_the_rate() {
        let meter = Meter::new(10);
        let now = Duration::from_secs(5);
        assert_eq!(meter.reserve(now, 10), Duration::from_secs(1));
        assert_eq!(meter.reserve(now, 10), Duration::from_secs(2));
        assert_eq!(
            meter.reserve(Duration::from_secs(6), 10),
            Duration::from_secs(2)
        );
        assert_eq!(
            Meter::new(1).reserve(now, usize::MAX).as_nanos(),
            u128::from(u64::MAX) - now.as_nanos() + now.as_nanos()
        );
    }

    #[test]
    fn an_interrupted_store_does_not_wait() {
        let (store, clock) = limited(1, 1);
        store.interrupt(true);
        store.put(pack(0), &[0; 1000]).unwrap();
        assert_eq!(clock.elapsed(), Duration::ZERO);
    }
}
