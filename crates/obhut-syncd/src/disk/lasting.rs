//! Making files and names last.
#![allow(clippy::disallowed_methods)] // Sync's own syncs.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use obhut_sync::io::Failure;
use rustix::fs;
use rustix::io::Errno;

use super::root::{Root, failure, retry};

/// So many are synced one by one; with more of them the whole file system is, though that waits for what others write, too.
pub(super) const FEW: usize = 64;

/// What has to last at the end of a group: directories in which names changed, files whose mode or time did.
#[derive(Debug, Default)]
pub(super) struct Touched {
    held: HashMap<(u64, u64), OwnedFd>,
    /// One of a file system of which too many were touched.
    whole: HashMap<u64, OwnedFd>,
    failed: Option<Errno>,
}

impl Touched {
    /// Keeps a handle on what was touched.
    pub(super) fn add(&mut self, handle: &OwnedFd) {
        if let Err(errno) = self.keep(handle) {
            self.failed.get_or_insert(errno);
        }
    }

    fn keep(&mut self, handle: &OwnedFd) -> Result<(), Errno> {
        let stat = fs::fstat(handle)?;
        let key = (stat.st_dev, stat.st_ino);
        if self.whole.contains_key(&key.0) || self.held.contains_key(&key) {
            return Ok(());
        }
        let held = handle
            .try_clone()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))?;
        if self.held.len() < FEW {
            self.held.insert(key, held);
        } else {
            self.held.retain(|(device, _), _| *device != key.0);
            self.whole.insert(key.0, held);
        }
        Ok(())
    }

    /// Makes all of it last. One that failed is not tried again.
    pub(super) fn last(self, root: &Root) -> Result<(), Failure> {
        if let Some(errno) = self.failed {
            return Err(failure("sync", errno));
        }
        for (device, handle) in &self.whole {
            let own = *device == root.device;
            sync_all(if own { &root.handle } else { handle })?;
        }
        self.held.values().try_for_each(sync)
    }
}

/// Makes a file or a directory last.
pub(super) fn sync(handle: &OwnedFd) -> Result<(), Failure> {
    tolerated(retry(|| fs::fsync(handle)))
}

/// Makes everything of a file system last. It reports what failed since its handle was opened: best the one of the root.
pub(super) fn sync_all(handle: impl AsFd) -> Result<(), Failure> {
    tolerated(retry(|| fs::syncfs(handle.as_fd())))
}

/// Some file systems know no sync: what they have lasts as they give it.
fn tolerated(done: Result<(), Errno>) -> Result<(), Failure> {
    match done {
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(failure("sync", errno)),
    }
}
