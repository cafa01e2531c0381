//! The ports to the outside that tests and the simulator replace: clock, randomness, accounts.
//! (Storage is the fourth: [`crate::store::Store`].)

#![allow(clippy::disallowed_methods)] // The one place that asks the machine for the time.

use std::time::Duration;

use crate::error::{Error, Result};

/// A point in time: seconds since 1970-01-01 UTC and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub secs: i64,
    /// 0 to 999,999,999, always counted forward.
    pub nanos: u32,
}

/// The clock.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start that also counts suspend (`CLOCK_BOOTTIME`): a lock ages while a
    /// laptop sleeps.
    fn elapsed(&self) -> Duration;
    /// Sleeps; a simulated clock only moves.
    fn sleep(&self, time: Duration);
}

/// Randomness fit for keys.
pub trait Random: Send + Sync {
    /// Fills `bytes`; fails only if the system has no randomness.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The accounts of the host: what its numbers of users and groups are called, and back. Answers may be slow (a
/// directory service): whoever asks often remembers. `Err` means that it cannot be found out now.
pub trait Accounts: Send + Sync {
    /// The name of a user.
    fn user(&self, uid: u32) -> Result<Option<String>>;
    /// The name of a group.
    fn group(&self, gid: u32) -> Result<Option<String>>;
    /// The number of a user.
    fn uid(&self, name: &str) -> Result<Option<u32>>;
    /// The number of a group.
    fn gid(&self, name: &str) -> Result<Option<u32>>;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp {
            secs: time.tv_sec,
            nanos: time.tv_nsec as u32,
        }
    }

    fn elapsed(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The kernel's randomness.
#[derive(Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes).map_err(|e| Error::internal(format!("no randomness: {e}")))
    }
}
