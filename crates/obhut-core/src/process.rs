//! What this process asks of the system for itself: secrets, limits, memory.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::error::{Error, Result};

/// Core dumps off, and not dumpable: other processes of the same user cannot attach or read
/// `/proc/<pid>/mem`, and no password or key reaches a crash report.
pub fn harden() -> Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none).map_err(|e| Error::os("core limit", e))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| Error::os("dumpable flag", e))
}

/// As many open files as the system allows: a deep or wide tree holds a handle a directory in progress.
pub fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, the old limit stays and later opens say so.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// Freed memory goes back to the system at once when it is larger than this.
const LARGE: i32 = 128 << 10;

/// Keeps the resident set near what is in use.
///
/// glibc raises its threshold for large blocks to the size of each block that is freed, up to 32 MiB. Chunks
/// and packs (0.5 to 16 MiB) then come from the heaps, one a thread, which only shrink at their top: a first
/// backup of 235,000 files held 294 MiB instead of 141 MiB. Setting the threshold, even to its first value,
/// ends the raising; the time is the same.
pub fn return_memory() {
    #[cfg(target_env = "gnu")]
    for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: mallopt takes two integers and guards its state itself; a refusal (0) changes nothing.
        let _ = unsafe { libc::mallopt(parameter, LARGE) };
    }
}

/// How often the calling thread has waited so far, for a disk, a network or another thread. A moment on a processor that
/// the system gave to somebody else does not count. 0 where the system does not tell.
pub fn waits() -> i64 {
    #[cfg(target_os = "linux")]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the call writes a whole `rusage` to a place that is large enough, and zeros are one as well.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
            usage.assume_init()
        };
        usage.ru_nvcsw
    }
    #[cfg(not(target_os = "linux"))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_has_waited_once_more() {
        let before = waits();
        let (_open, never) = std::sync::mpsc::channel::<()>();
        let patience = std::time::Duration::from_millis(2);
        assert!(never.recv_timeout(patience).is_err());
        assert!(waits() > before);
    }
}
