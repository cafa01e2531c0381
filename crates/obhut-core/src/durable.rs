//! The one module that makes files last. Nothing else in the program may rename, sync or create files for
//! lasting data (`clippy.toml` and ruff's `banned-api` forbid it).
//!
//! # A single file: [`Folder::write`]
//!
//! 1. `openat2(folder, "<name>-tmp-<random>", O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW, 0600)` — in the *target*
//!    folder, so that the rename stays inside one file system; exclusive, so that nobody's file is opened;
//!    0600, so that nobody reads it before it has its mode. `openat` where a kernel or a sandbox does not
//!    know the call.
//! 2. `pwrite` until all bytes are taken.
//! 3. `fchmod` — before the sync, so that the mode is as durable as the content.
//! 4. `fsync(file)` — content and inode are on the medium *before* a name points at them; otherwise a
//!    crash may leave a whole name with an empty file (seen on ext4 and XFS with delayed allocation).
//! 5. `renameat2(…, RENAME_NOREPLACE)`, or `linkat` + `unlinkat` where the file system does not know the
//!    flag (NFS, some FUSE); with [`Existing::Replace`] a plain `renameat`. Readers see the old file or
//!    the whole new one, never a part.
//! 6. `fsync(folder)` — the name itself is on the medium. Only now does the call return `Ok`.
//!
//! A crash at any instant leaves the old state, the new state, or a file `<name>-tmp-<random>`, which every
//! list skips and [`Folder::remove_stale`] removes. An error at any step removes the temporary file; after
//! an error of step 6 without replacement the new name is taken back too, so that another try writes the
//! content again instead of finding a file whose durability nobody knows.
//!
//! # Many files: [`Group`]
//!
//! Steps 1 to 3 for each file, one `syncfs` (an `fsync` each for few or large ones), step 5 for each, one `fsync` a
//! folder (one `syncfs` for many). Each file is atomic; the group is not: after a crash or an error any subset of its files may have its names.
//!
//! # Files whose names are not known yet: [`Unnamed`]
//!
//! A group that ends after the sync ([`Group::unnamed`]): the bytes are on the medium under temporary names, in a folder
//! above the one that they will lie in. Step 5 then moves them there, step 6 syncs the folders that got names. A
//! temporary name that a crash brings back beside the new one is the same file, and skipped like all of them.
//!
//! # What cannot be promised
//!
//! - **A failed `fsync` loses data.** Linux reports a write-back error once and then marks the pages clean:
//!   a second `fsync` on the same descriptor would succeed without having written anything (Rebello et al.,
//!   "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So a failed sync is never retried
//!   here: the temporary file is removed and the caller has to write everything anew. `EINTR` is no such
//!   failure: the wait ended, nothing was reported, the call is repeated.
//! - `syncfs` reports write-back errors since Linux 5.8 only; on older kernels a group can lose data on a
//!   failing disk without notice. The single write does not depend on it.
//! - Some file systems know no sync (`EINVAL`, `ENOTSUP` from a few FUSE and network ones). That is
//!   tolerated, as restic does: durability is then whatever that file system gives.
//! - A disk that acknowledges flushes which it did not carry out cannot be noticed here.
//!
//! # Calls that stand out
//!
//! `openat2`, `pwrite64`, `renameat2`, `fsync`, `fchmod`, `unlinkat` and `mkdirat`: where `openat` and `write`
//! would do as well, these are taken because an interpreter that starts issues thousands of the others. Whoever
//! injects a fault into the n-th call of one kind (`docs/design/faults.md`) can thus mean ours.
//!
//! Source of facts: formats: restic 1; renameat2(2), fsync(2), syncfs(2); sunlight's `internal/durable`.
#![allow(clippy::disallowed_methods)] // The one place for them, see above.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::job::Control;
use crate::world::Timestamp;

mod apart;
mod group;
mod unnamed;

pub use group::{Group, postpone};
pub use unnamed::{Unnamed, sync_folders};

/// What to do if the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fail with `file-exists`; the file there stays as it is.
    Keep,
    /// Put the new file in its place, atomically.
    Replace,
}

/// A folder held open, in which files are written durably.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file written and complete but without its name yet; removed if it never gets it.
struct Staged<'f> {
    folder: &'f Folder,
    file: OwnedFd,
    temp: OsString,
    name: OsString,
    object: String,
    placed: bool,
}

impl Folder {
    /// Opens a folder; symbolic links on the way are followed.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_at(fs::CWD, path)
    }

    /// Opens a folder relative to another one.
    pub fn open_at(base: BorrowedFd<'_>, path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry(|| fs::openat(base, path, flags, Mode::empty()))
            .map_err(|e| failure(&shown(path), "open folder", e))?;
        Ok(Self { fd })
    }

    /// Writes a file atomically and durably (module text). `object` names it in errors; `mode` are the
    /// final permissions, whatever the umask says.
    pub fn write(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: u32,
        existing: Existing,
        object: &str,
    ) -> Result<()> {
        let mut staged = self.stage(name, bytes, mode, object)?;
        sync_fd(&staged.file).map_err(|e| failure(object, "fsync", e))?;
        staged.place(existing)?;
        if let Err(errno) = sync_fd(&self.fd) {
            if existing == Existing::Keep {
                let _ = fs::unlinkat(&self.fd, name, AtFlags::empty());
            }
            return Err(failure(object, "fsync folder", errno));
        }
        Ok(())
    }

    /// Writes a file that may be lost in a crash but is never seen in part: temporary file and rename
    /// without sync. For caches whose content is checked when it is read.
    pub fn write_disposable(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: u32,
        object: &str,
    ) -> Result<()> {
        self.stage(name, bytes, mode, object)?
            .place(Existing::Replace)
    }

    /// Removes a file. With `durable` the name is gone from the medium when the call returns: needed
    /// wherever a later step relies on it. A missing file is `file-missing`.
    pub fn remove(&self, name: &OsStr, durable: bool, object: &str) -> Result<()> {
        retry(|| fs::unlinkat(&self.fd, name, AtFlags::empty()))
            .map_err(|e| failure(object, "unlink", e))?;
        if durable {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes a folder inside, not yet durable (call [`Folder::sync`] after the last one). `false` if it
    /// was there already.
    pub fn make_dir(&self, name: &OsStr, mode: u32) -> Result<bool> {
        match retry(|| fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode))) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(failure(&shown(Path::new(name)), "mkdir", errno)),
        }
    }

    /// Makes the names inside this folder durable.
    pub fn sync(&self) -> Result<()> {
        sync_fd(&self.fd).map_err(|e| failure("", "fsync folder", e))
    }

    /// Removes temporary files that a crash left behind: regular files whose name is a temporary one for a
    /// name that `is_ours` accepts and that were last written before `before` (a running writer's must
    /// stay). Returns how many.
    pub fn remove_stale(&self, before: Timestamp, is_ours: impl Fn(&[u8]) -> bool) -> Result<u64> {
        let about = |e| failure("", "read folder", e);
        let mut removed = 0;
        for entry in fs::Dir::read_from(&self.fd).map_err(about)? {
            let entry = entry.map_err(about)?;
            let name = entry.file_name();
            if !temporary_for(name.to_bytes()).is_some_and(&is_ours) {
                continue;
            }
            let Ok(stat) = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue; // Its writer was faster.
            };
            let regular = fs::FileType::from_raw_mode(stat.st_mode).is_file();
            if regular
                && stat.st_mtime < before.secs
                && fs::unlinkat(&self.fd, name, AtFlags::empty()).is_ok()
            {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Steps 1 to 3.
    fn stage(&self, name: &OsStr, bytes: &[u8], mode: u32, object: &str) -> Result<Staged<'_>> {
        self.stage_with(name, mode, object, |file| write_at(file, bytes, 0, object))
    }

    /// The same; `content` writes it.
    fn stage_with(
        &self,
        name: &OsStr,
        mode: u32,
        object: &str,
        content: impl FnOnce(&OwnedFd) -> Result<()>,
    ) -> Result<Staged<'_>> {
        let temp = temporary_name(name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = create(&self.fd, &temp, flags).map_err(|e| failure(object, "create", e))?;
        let staged = Staged {
            folder: self,
            file,
            temp,
            name: name.to_owned(),
            object: object.to_owned(),
            placed: false,
        };
        content(&staged.file)?;
        match fs::fchmod(&staged.file, Mode::from_raw_mode(mode)) {
            // File systems without Unix permissions refuse; the content matters more than the mode.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::NOSYS) => Ok(staged),
            Err(errno) => Err(failure(object, "chmod", errno)),
        }
    }
}

/// Step 2, or a part of it.
fn write_at(file: &OwnedFd, bytes: &[u8], at: u64, object: &str) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(file, &bytes[done..], at + done as u64) {
            Ok(0) => return Err(failure(object, "write", Errno::IO)),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failure(object, "write", errno)),
        }
    }
    Ok(())
}

impl Staged<'_> {
    /// Step 5.
    fn place(&mut self, existing: Existing) -> Result<()> {
        let folder = &self.folder.fd;
        let done = match existing {
            Existing::Replace => retry(|| fs::renameat(folder, &self.temp, folder, &self.name)),
            Existing::Keep => place_new(folder, &self.temp, folder, &self.name),
        };
        done.map_err(|e| failure(&self.object, "rename", e))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::unlinkat(&self.folder.fd, &self.temp, AtFlags::empty());
        }
    }
}

/// Gives a temporary file its name; `file-exists` if that is taken.
fn place_new(from: &OwnedFd, temp: &OsStr, to: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match retry(|| fs::renameat_with(from, temp, to, name, RenameFlags::NOREPLACE)) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => place_by_link(from, temp, to, name),
        done => done,
    }
}

/// The way of the file systems without `RENAME_NOREPLACE`.
fn place_by_link(from: &OwnedFd, temp: &OsStr, to: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match fs::linkat(from, temp, to, name, AtFlags::empty()) {
        Ok(()) => {}
        // NFS may repeat a request whose answer was lost and then finds its own link.
        Err(Errno::EXIST) if fs::statat(from, temp, AtFlags::SYMLINK_NOFOLLOW)?.st_nlink == 2 => {}
        // Neither flag nor hard links (sshfs, exFAT by FUSE): look, then rename. Two writers of one
        // name could pass the look together; names are hashes of the content, so the later one only
        // replaces equal bytes. The config file is the exception, and its writer looks first as well.
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => {
            return match fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => retry(|| fs::renameat(from, temp, to, name)),
                Err(errno) => Err(errno),
            };
        }
        Err(errno) => return Err(errno),
    }
    // The file has its name; a temporary name that cannot be removed is only untidy.
    let _ = fs::unlinkat(from, temp, AtFlags::empty());
    Ok(())
}

/// Writes the file at `path` atomically and durably; its folder must exist. A symbolic link at `path` is
/// replaced, not followed.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> Result<()> {
    let (folder, name) = split(path)?;
    Folder::open(folder)?.write(name, bytes, mode, existing, &shown(path))
}

/// Removes the file at `path` durably.
pub fn remove(path: &Path) -> Result<()> {
    let (folder, name) = split(path)?;
    Folder::open(folder)?.remove(name, true, &shown(path))
}

/// Makes the folder at `path` and its missing parents, each durable.
pub fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match Folder::open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.code() != Code::FileMissing => return Err(error),
        Err(_) => {}
    }
    let (folder, name) = split(path)?;
    make_dir(folder, mode)?;
    let folder = Folder::open(folder)?;
    let is_new = folder.make_dir(name, mode)?;
    let synced = folder.sync();
    if synced.is_err() && is_new {
        // Whoever comes next would find it there and take it for durable.
        let _ = fs::unlinkat(&folder.fd, name, AtFlags::REMOVEDIR);
    }
    synced
}

/// Makes folders below `root` and their missing parents, durable in the end; those that are there are left alone. Each
/// folder in which one was made is synced once.
pub fn make_dirs<'p>(
    root: &Path,
    paths: impl IntoIterator<Item = &'p Path>,
    mode: u32,
) -> Result<()> {
    let mut new: Vec<(Folder, OsString)> = Vec::new();
    let result = paths.into_iter().try_for_each(|path| {
        let mut parent = root.to_owned();
        for name in path {
            let folder = Folder::open(&parent)?;
            if folder.make_dir(name, mode)? {
                new.push((folder, name.to_owned()));
            }
            parent.push(name);
        }
        Ok(())
    });
    let result = result.and_then(|()| {
        let mut synced = std::collections::BTreeSet::new();
        new.iter().try_for_each(|(folder, _)| {
            let stat = fs::fstat(folder).map_err(|e| failure("", "stat folder", e))?;
            if synced.insert((stat.st_dev, stat.st_ino)) {
                folder.sync()?;
            }
            Ok(())
        })
    });
    if result.is_err() {
        // Whoever comes next would find them there and take them for durable.
        for (folder, name) in new.iter().rev() {
            let _ = fs::unlinkat(&folder.fd, name, AtFlags::REMOVEDIR);
        }
    }
    result
}

/// Makes the name of the folder at `path` durable if whoever made it did not come to it. A parent that may not be
/// opened is somebody else's, and so was the making.
pub fn sync_name(path: &Path) -> Result<()> {
    match Folder::open(&path.join("..")) {
        Ok(parent) => parent.sync(),
        Err(error) if error.code() == Code::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes back the whole file system that `fd` lies in: the end of a restore, where a sync a file would
/// cost more than the restore itself. Errors are those since `fd` was opened (Linux 5.8 and newer).
///
/// The call itself cannot be interrupted and a process cannot end before it has: on a slow disk with much to write
/// back Ctrl-C would wait for minutes. So a child process makes it, which a cancel leaves to the disk.
pub fn sync_file_system(fd: BorrowedFd<'_>, control: &Arc<Control>) -> Result<()> {
    let done = match apart::run(fd, control, apart::sync_file_system)? {
        Some(0) => Ok(()),
        Some(number) => Err(Errno::from_raw_os_error(number)),
        None => retry(|| fs::syncfs(fd)),
    };
    written_back(done)
}

/// The outcome of `syncfs`; file systems that know no sync are tolerated.
fn written_back(done: Result<(), Errno>) -> Result<()> {
    match done {
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(failure("", "syncfs", errno)),
    }
}

/// Whether `name` is a temporary file's, and for which final name (restic's have decimal digits at the end,
/// ours hexadecimal ones).
pub fn temporary_for(name: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"-tmp-";
    let at = name.windows(MARK.len()).rposition(|w| w == MARK)?;
    let random = &name[at + MARK.len()..];
    let digits = !random.is_empty() && random.iter().all(u8::is_ascii_hexdigit);
    (digits && at > 0).then_some(&name[..at])
}

fn temporary_name(name: &OsStr) -> Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| Error::internal(format!("no randomness: {e}")))?;
    let name = name.as_bytes();
    // A name may have 255 bytes; ours takes 21 of them.
    let mut temp = name[..name.len().min(255 - 21)].to_vec();
    temp.extend_from_slice(format!("-tmp-{:016x}", u64::from_ne_bytes(random)).as_bytes());
    Ok(OsString::from_vec(temp))
}

/// Makes a file for its owner alone; the name must lie directly in the folder.
fn create(folder: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mode = Mode::RUSR | Mode::WUSR;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match retry(|| fs::openat2(folder, name, flags, mode, resolve)) {
        // Old kernels, and sandboxes that refuse what they do not know.
        Err(Errno::NOSYS | Errno::PERM) => retry(|| fs::openat(folder, name, flags, mode)),
        opened => opened,
    }
}

fn sync_fd(fd: &OwnedFd) -> Result<(), Errno> {
    match retry(|| fs::fsync(fd)) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        done => done,
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(&mut call)
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or_else(|| {
        Error::new(
            Code::InvalidArgument,
            shown(path),
            "this path names no file",
        )
    })?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => Ok((folder, name)),
        _ => Ok((Path::new("."), name)),
    }
}

fn shown(path: &Path) -> String {
    gojson::display(path.as_os_str().as_bytes())
}

/// The error of one step; `object` is what the caller calls the file.
fn failure(object: &str, step: &str, errno: Errno) -> Error {
    let source = std::io::Error::from(errno);
    let code = match errno {
        Errno::EXIST => Code::FileExists,
        Errno::NOENT => Code::FileMissing,
        _ => Error::io("", &source).code(),
    };
    Error::new(code, object, format!("{step}: {source}"))
}

#[cfg(test)]
mod tests;
