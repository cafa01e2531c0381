//! The handles of files that are being written: opened, kept for a while, closed.
//!
//! Closing is part of writing: file systems behind a network say only then that what was written did not
//! arrive. So every handle that content was written through goes through [`Files::let_go`], and a file that is
//! restored was closed without a complaint.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use rustix::fs::{self, FallocateFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use super::delete;
use super::entry;
use super::files::{Decision, Files};
use super::target::Os;
use crate::error::Result;

/// Files kept open between two writes.
const OPEN: usize = 192;
/// Files from this size on are given their space at once.
const PREALLOCATE: u64 = 1 << 20;

impl Files<'_> {
    /// A handle for writing, opened for the first time or again.
    pub(super) fn writer(&self, number: usize) -> Os<Arc<OwnedFd>> {
        let slot = &self.slots[number];
        let handle = {
            let mut open = slot.open();
            if let Some(handle) = &open.handle {
                return Ok(Arc::clone(handle));
            }
            let file = match open.identity {
                None => {
                    let file = self.open_first(number)?;
                    let stat = fs::fstat(&file)?;
                    open.identity = Some((stat.st_dev, stat.st_ino));
                    file
                }
                Some(identity) => self.open_again(number, identity)?,
            };
            let handle = Arc::new(file);
            open.handle = Some(Arc::clone(&handle));
            handle
        };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(number);
        drop(queue);
        Ok(handle)
    }

    fn open_again(&self, number: usize, identity: (u64, u64)) -> Os<OwnedFd> {
        let place = &self.items[number].place;
        let dir = self.run.target.handle(&place.dir)?;
        let (file, stat) =
            entry::open_existing(&self.run.target, dir.as_fd(), &place.name, OFlags::WRONLY)?;
        // Somebody put another file in its place.
        if (stat.st_dev, stat.st_ino) != identity {
            return Err(Errno::STALE);
        }
        Ok(file)
    }

    /// Creates the file, or opens the existing one for a change in place; 0600 either way.
    pub(super) fn open_first(&self, number: usize) -> Os<OwnedFd> {
        let item = &self.items[number];
        let run = self.run;
        let dir = run.target.handle(&item.place.dir)?;
        let name = &item.place.name;
        if let Some(Decision::Update { longer, .. }) = self.slots[number].decision.get() {
            let (file, stat) =
                entry::open_existing(&run.target, dir.as_fd(), name, OFlags::WRONLY)?;
            if stat.st_nlink > 1 && !item.linked {
                return Err(Errno::STALE);
            }
            fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
            if *longer {
                fs::ftruncate(&file, item.size)?;
            }
            return Ok(file);
        }
        let fresh = item.place.dir.facts().is_some_and(|f| f.fresh);
        let file = entry::create(&run.target, dir.as_fd(), name, fresh, &mut |dir, name| {
            delete::make_way(run, dir, name)
        })?;
        if run.options.sparse {
            fs::ftruncate(&file, item.size)?;
        } else if item.size >= PREALLOCATE {
            let flags = FallocateFlags::KEEP_SIZE;
            // Only a hint: not every file system knows it; but a full one says so early.
            let hint = fs::fallocate(&file, flags, 0, item.size);
            if let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = hint {
                return Err(e);
            }
        }
        Ok(file)
    }

    /// Closes the files that were opened longest ago; `number` was used just now.
    pub(super) fn make_room(&self, number: usize) -> Result<()> {
        loop {
            let oldest = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.len() <= OPEN {
                    return Ok(());
                }
                queue.pop_front()
            };
            let Some(oldest) = oldest.filter(|oldest| *oldest != number) else {
                continue;
            };
            let handle = self.slots[oldest].open().handle.take();
            if let Some(handle) = handle {
                self.let_go(oldest, handle)?;
            }
        }
    }

    /// Lets go of a handle. The last one closes the file: if that fails, the file has failed.
    pub(super) fn let_go(&self, number: usize, handle: Arc<OwnedFd>) -> Result<()> {
        match Arc::into_inner(handle).map(entry::close) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(errno)) => {
                self.distrust(number);
                self.fail_os(number, errno)
            }
        }
    }

    /// A file that looked complete did not arrive: 0600 and the time of the failure, so that no later run
    /// takes it for right by its size and times. The failure is told in any case; more cannot be done here.
    fn distrust(&self, number: usize) {
        let place = &self.items[number].place;
        let target = &self.run.target;
        let opened = target
            .handle(&place.dir)
            .and_then(|dir| entry::open_existing(target, dir.as_fd(), &place.name, OFlags::WRONLY));
        if let Ok((file, _)) = opened {
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            };
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            let _ = fs::fchmod(&file, Mode::RUSR | Mode::WUSR);
            let _ = fs::futimens(&file, &times);
        }
    }
}
