//! Shared by unit tests: a clock that only moves when told, and a repository in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::error::Result;
use crate::keyfile::ScryptParams;
use crate::repo::Repository;
use crate::repo::open::{OpenOptions, Ports};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::world::{Accounts, Clock, SystemRandom, Timestamp};

/// The password of every test repository.
pub const PASSWORD: &[u8] = b"obhut";

/// A clock that stands still until somebody sleeps or [`SimClock::advance`]s it.
pub struct SimClock(AtomicU64);

impl SimClock {
    /// Starts in 2026.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0)))
    }

    /// Moves time forward.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.elapsed();
        let start = 1_780_000_000;
        Timestamp {
            secs: start + elapsed.as_secs() as i64,
            nanos: elapsed.subsec_nanos(),
        }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(SeqCst))
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}

/// Users and groups that are the same everywhere: `u0`, `g0`, … by number.
pub struct MadeUp;

impl Accounts for MadeUp {
    fn user(&self, uid: u32) -> Result<Option<String>> {
        Ok(Some(format!("u{uid}")))
    }

    fn group(&self, gid: u32) -> Result<Option<String>> {
        Ok(Some(format!("g{gid}")))
    }

    fn uid(&self, name: &str) -> Result<Option<u32>> {
        Ok(name
            .strip_prefix('u')
            .and_then(|number| number.parse().ok()))
    }

    fn gid(&self, name: &str) -> Result<Option<u32>> {
        Ok(name
            .strip_prefix('g')
            .and_then(|number| number.parse().ok()))
    }
}

/// Ports over `store` with a simulated clock.
pub fn ports(store: Arc<dyn Store>, clock: Arc<SimClock>) -> Ports {
    Ports {
        store,
        clock,
        random: Arc::new(SystemRandom),
        accounts: Arc::new(MadeUp),
    }
}

/// Cheap key derivation.
pub const CHEAP: ScryptParams = ScryptParams {
    n: 1 << 14,
    r: 8,
    p: 1,
};

/// A new repository of version 2 on `store`.
pub fn repository_on(store: Arc<dyn Store>, clock: Arc<SimClock>) -> Arc<Repository> {
    let options = OpenOptions::default();
    Arc::new(Repository::init(ports(store, clock), PASSWORD, 2, None, CHEAP, &options).unwrap())
}

/// A new repository in memory.
pub fn repository() -> (Arc<Repository>, Arc<SimClock>) {
    let clock = SimClock::new();
    (
        repository_on(Arc::new(MemoryStore::new()), Arc::clone(&clock)),
        clock,
    )
}
