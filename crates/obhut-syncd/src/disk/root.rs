//! The handle on a folder's root, and the only ways below it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use obhut_bep::check_name;
use obhut_sync::internal::{is_internal, is_temporary};
use obhut_sync::io::{Doubt, Failure};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A folder's root, held open: it stays the same directory wherever its path leads later.
#[derive(Debug)]
pub struct Root {
    pub(super) handle: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) device: u64,
    /// Whether the file system swaps two names, and renames only to free ones; assumed until it says no.
    pub(super) exchanges: AtomicBool,
    pub(super) reserves: AtomicBool,
    /// Whether it keeps the sticky bit of a file.
    pub(super) marks: AtomicBool,
    /// While a group is carried out, temporary names hold what it displaced: nobody may take that for left over.
    changing: Mutex<()>,
}

/// A directory below the root, held open, and a name in it.
#[derive(Debug)]
pub(super) struct Place<'n> {
    pub(super) directory: OwnedFd,
    pub(super) last: &'n str,
}

/// A name in an open directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'s> {
    pub(super) folder: &'s OwnedFd,
    pub(super) last: &'s str,
}

impl Place<'_> {
    pub(super) fn spot(&self) -> Spot<'_> {
        Spot {
            folder: &self.directory,
            last: self.last,
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Root {
    /// Opens the root of a folder. Its own path may have links: people chose it.
    pub fn open(path: &Path) -> Result<Self, Doubt> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = retry(|| fs::openat(fs::CWD, path, flags, Mode::empty())).map_err(missing)?;
        let device = fs::fstat(&handle).map_err(missing)?.st_dev;
        Ok(Self {
            handle,
            path: path.to_owned(),
            device,
            exchanges: AtomicBool::new(true),
            reserves: AtomicBool::new(true),
            marks: AtomicBool::new(true),
            changing: Mutex::new(()),
        })
    }

    /// The file system that the root lies in.
    pub fn device(&self) -> u64 {
        self.device
    }

    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory of a name, for looking.
    pub(super) fn place<'n>(&self, name: &'n str) -> Result<Place<'n>, Errno> {
        self.place_with(name, OFlags::PATH)
    }

    /// The directory of a name, for changes: such a handle can be synced.
    pub(super) fn firm<'n>(&self, name: &'n str) -> Result<Place<'n>, Errno> {
        self.place_with(name, OFlags::RDONLY)
    }

    fn place_with<'n>(&self, name: &'n str, flags: OFlags) -> Result<Place<'n>, Errno> {
        check_name(name).map_err(|_| Errno::INVAL)?;
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        Ok(Place {
            directory: self.below(folder, flags)?,
            last,
        })
    }

    /// A directory by its name, which is checked already; the root where it is empty. Links are nowhere followed.
    pub(super) fn below(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        below(&self.handle, name, flags)
    }
}

/// A directory below another one, without links on the way.
pub(super) fn below(base: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let name = if name.is_empty() { "." } else { name };
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match retry(|| fs::openat2(base, name, flags, Mode::empty(), resolve)) {
        // Old kernels, and sandboxes that refuse what they do not know.
        Err(Errno::NOSYS | Errno::PERM) => part_by_part(base, name, flags),
        opened => opened,
    }
}

/// The same without `openat2`. A clean name has no `..`, and so never leaves what it has entered.
pub(super) fn part_by_part(base: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut parts = name.split('/');
    let last = parts.next_back().ok_or(Errno::INVAL)?;
    let mut held: Option<OwnedFd> = None;
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for part in parts {
        let from = held.as_ref().unwrap_or(base);
        held = Some(retry(|| fs::openat(from, part, through, Mode::empty()))?);
    }
    let from = held.as_ref().unwrap_or(base);
    retry(|| fs::openat(from, last, flags, Mode::empty()))
}

/// Refuses names that no device may have changed or read: unclean ones, those of the machinery, temporary ones.
pub(super) fn check_item(name: &str) -> Result<(), Failure> {
    check_name(name).map_err(|error| Failure::Other(error.to_string()))?;
    if is_internal(name) || is_temporary(name) {
        return Err(Failure::Other(format!("{name:?} is no name of an item")));
    }
    Ok(())
}

/// Refuses what is no temporary name.
pub(super) fn check_temporary(name: &str) -> Result<(), Failure> {
    check_name(name).map_err(|error| Failure::Other(error.to_string()))?;
    if is_internal(name) || !is_temporary(name) {
        return Err(Failure::Other(format!("{name:?} is no temporary name")));
    }
    Ok(())
}

/// The directory of a name; empty for the root.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a name.
pub(super) fn last_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A name in a directory.
pub(super) fn joined(folder: &str, last: &str) -> String {
    if folder.is_empty() {
        last.to_owned()
    } else {
        format!("{folder}/{last}")
    }
}

pub(super) fn retry<T>(call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(call)
}

/// Whether a file system or kernel says that it does not know how.
pub(super) fn unknown(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// Whether it means that nothing has that name. A link or a file on the way leads nowhere.
pub(super) fn gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// What an error of the system means, in the step that it came in.
pub(super) fn failure(step: &str, errno: Errno) -> Failure {
    match errno {
        errno if gone(errno) => Failure::Gone,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Failure::Denied,
        Errno::NOSPC | Errno::DQUOT => Failure::Full,
        errno => Failure::Other(format!("{step}: {}", std::io::Error::from(errno))),
    }
}

/// What it means for the root.
pub(super) fn missing(errno: Errno) -> Doubt {
    if gone(errno) {
        Doubt::RootMissing
    } else {
        Doubt::Other(std::io::Error::from(errno).to_string())
    }
}

/// Bytes as a name for the system.
pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::Tree;
    use super::*;

    #[test]
    fn the_same_directories_with_and_without_the_new_call() {
        let tree = Tree::new();
        tree.write("d/e/file", b"");
        tree.link("l", "d");
        tree.link("d/up", "..");
        tree.link("out", "/etc");
        for name in [
            "", "d", "d/e", "l", "l/e", "d/up", "d/up/d", "out", "none/d", "d/e/file",
        ] {
            let flags = OFlags::RDONLY;
            let new = below(&tree.root.handle, name, flags);
            let all = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let old = part_by_part(
                &tree.root.handle,
                if name.is_empty() { "." } else { name },
                all,
            );
            let inode = |opened: &Result<OwnedFd, Errno>| {
                opened
                    .as_ref()
                    .ok()
                    .map(|handle| fs::fstat(handle).unwrap().st_ino)
            };
            assert_eq!(inode(&new), inode(&old), "{name}");
            assert_eq!(new.is_ok(), ["", "d", "d/e"].contains(&name), "{name}");
            for error in [new.err(), old.err()].into_iter().flatten() {
                assert!(gone(error), "{name} {error}");
            }
        }
    }
}
