//! Many files made durable together.
#![allow(clippy::disallowed_methods)] // A part of the one place for them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::{
    Existing, Folder, Staged, Unnamed, failure, retry, sync_fd, sync_folders, write_at,
    written_back,
};
use crate::error::{Code, Error, Result};

/// Up to so many files of a group are synced one by one: syncing the whole file system waits for what others write, too.
pub(super) const FEW: usize = 8;

/// A larger file is synced by whoever wrote it, while others are still being written.
const LARGE: u64 = 256 << 10;

/// Many files of one file system made durable together (module text). Several threads may add to it.
#[derive(Default)]
pub struct Group<'f> {
    inner: Mutex<GroupInner<'f>>,
    /// Seconds since 1970 that become the files' time of last change.
    time: Option<i64>,
}

#[derive(Default)]
struct GroupInner<'f> {
    /// Place in the order of names, the file, whether it is synced.
    staged: Vec<(usize, Staged<'f>, bool)>,
    sync: Option<(u64, OwnedFd)>,
}

impl<'f> Group<'f> {
    /// An empty group. Every file in it holds a descriptor until [`Group::commit`]: keep groups below a
    /// few hundred files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same; each file gets this time of last change (seconds since 1970).
    pub fn dated(time: Option<i64>) -> Self {
        let inner = Mutex::default();
        Self { inner, time }
    }

    /// Writes a file without its name, which it will get in the order of `place`. All folders of a group must lie
    /// in one file system.
    pub fn add(
        &self,
        place: usize,
        folder: &'f Folder,
        name: &OsStr,
        bytes: &[u8],
        mode: u32,
        object: &str,
    ) -> Result<()> {
        self.within(folder, object)?;
        self.keep(
            place,
            folder.stage(name, bytes, mode, object)?,
            bytes.len() as u64,
        )
    }

    /// The same for a content that comes in pieces: `next` is called until it gives nothing. `piece` is room that whoever
    /// adds many files keeps.
    #[allow(clippy::too_many_arguments)] // As `add`, and the room.
    pub fn add_pieces(
        &self,
        place: usize,
        folder: &'f Folder,
        name: &OsStr,
        mode: u32,
        object: &str,
        piece: &mut Vec<u8>,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool>,
    ) -> Result<()> {
        self.within(folder, object)?;
        let mut length = 0;
        let staged = folder.stage_with(name, mode, object, |file| {
            while next(piece)? {
                write_at(file, piece, length, object)?;
                length += piece.len() as u64;
            }
            Ok(())
        })?;
        self.keep(place, staged, length)
    }

    fn keep(&self, place: usize, staged: Staged<'f>, length: u64) -> Result<()> {
        if let Some(time) = self.time {
            date_fd(staged.file.as_fd(), time, &staged.object)?;
        }
        let large = length >= LARGE;
        if large {
            sync_fd(&staged.file).map_err(|e| failure(&staged.object, "fsync", e))?;
        }
        self.lock().staged.push((place, staged, large));
        Ok(())
    }

    /// Refuses a folder of another file system.
    fn within(&self, folder: &Folder, object: &str) -> Result<()> {
        let device = fs::fstat(folder)
            .map_err(|e| failure(object, "stat folder", e))?
            .st_dev;
        let mut inner = self.lock();
        match &inner.sync {
            Some((first, _)) if *first != device => {
                let detail = "a group of files must lie in one file system";
                return Err(Error::new(Code::InvalidArgument, object, detail));
            }
            Some(_) => {}
            None => {
                // Opened before the first write: `syncfs` reports the errors since its descriptor was opened.
                let fd = rustix::io::fcntl_dupfd_cloexec(folder, 0)
                    .map_err(|e| failure(object, "open folder", e))?;
                inner.sync = Some((device, fd));
            }
        }
        Ok(())
    }

    /// Syncs everything, gives all files their names, syncs the folders. On an error some files may have
    /// their names already; the temporary files of the others are removed.
    pub fn commit(self, existing: Existing) -> Result<()> {
        let mut inner = self.synced()?;
        let mut folders: Vec<&Folder> = Vec::new();
        for (_, staged, _) in &mut inner.staged {
            staged.place(existing)?;
            if !folders.iter().any(|f| std::ptr::eq(*f, staged.folder)) {
                folders.push(staged.folder);
            }
        }
        sync_folders(&folders)
    }

    /// Syncs everything and gives no names: that is left to whoever gets the files, which all lie in `folder`, in the order
    /// of their places.
    pub fn unnamed(self, folder: &Arc<Folder>) -> Result<Vec<Unnamed>> {
        let staged = self.synced()?.staged.into_iter();
        Ok(staged
            .map(|(_, staged, _)| Unnamed::of(staged, folder))
            .collect())
    }

    /// The files in the order of their places; their bytes are on the medium.
    fn synced(self) -> Result<GroupInner<'f>> {
        let inner = self.inner.into_inner();
        let mut inner = inner.unwrap_or_else(PoisonError::into_inner);
        inner.staged.sort_by_key(|(place, _, _)| *place);
        let unsynced = || inner.staged.iter().filter(|(_, _, synced)| !synced);
        if unsynced().count() <= FEW {
            for (_, staged, _) in unsynced() {
                sync_fd(&staged.file).map_err(|e| failure(&staged.object, "fsync", e))?;
            }
        } else if let Some((_, fd)) = &inner.sync {
            written_back(retry(|| fs::syncfs(fd)))?;
        }
        Ok(inner)
    }

    fn lock(&self) -> MutexGuard<'_, GroupInner<'f>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the times of last change of files below `root` to a later one, durably; never to an earlier one. A file that is
/// not there is `file-missing`.
pub fn postpone(root: &Folder, items: &[(String, i64)]) -> Result<()> {
    let mut moved = Vec::new();
    for (key, time) in items {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = retry(|| fs::openat(root, key.as_str(), flags, Mode::empty()))
            .map_err(|e| failure(key, "open", e))?;
        let found = fs::fstat(&file).map_err(|e| failure(key, "stat", e))?;
        if found.st_mtime >= *time {
            continue;
        }
        date_fd(file.as_fd(), *time, key)?;
        if items.len() <= FEW {
            sync_fd(&file).map_err(|e| failure(key, "fsync", e))?;
        } else if moved.is_empty() {
            moved.push(file);
        }
    }
    // One of them is enough: they lie in one file system.
    moved
        .first()
        .map_or(Ok(()), |file| written_back(retry(|| fs::syncfs(file))))
}

/// Sets the time of last change, and makes sure that the file system keeps it: some end in 2038 and round silently.
fn date_fd(file: BorrowedFd<'_>, time: i64, object: &str) -> Result<()> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: time,
            tv_nsec: 0,
        },
    };
    retry(|| fs::futimens(file, &times)).map_err(|e| failure(object, "set time", e))?;
    let kept = fs::fstat(file).map_err(|e| failure(object, "stat", e))?;
    if kept.st_mtime == time {
        return Ok(());
    }
    Err(failure(object, "set time", Errno::OVERFLOW))
}
