//! What this process does to protect its secrets.

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
