//! Single entries of a target directory: create, open, replace, remove. One name relative to a handle each.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::{self, Errno};

use super::meta::unlock_mode;
use super::target::{Os, Target};

/// Size of the buffer for directory listings.
const LISTING: usize = 32 << 10;

/// Looks at an entry without following it; `None` if there is none.
pub fn look(dir: impl AsFd, name: &[u8]) -> Os<Option<Stat>> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether it is a regular file.
pub fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether it is a directory.
pub fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Makes a new file, 0600. In a directory that we made nothing can exist but by another name that this
/// file system takes for the same (or by a hostile neighbour): that is an error (`EEXIST`). Elsewhere
/// what exists is removed first, a directory only if it is empty or `recursive`.
pub fn create(
    target: &Target,
    dir: BorrowedFd<'_>,
    name: &[u8],
    fresh: bool,
    remove: &mut dyn FnMut(BorrowedFd<'_>, &[u8]) -> Os<()>,
) -> Os<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let mode = Mode::RUSR | Mode::WUSR;
    match target.open_entry(dir, name, flags, mode) {
        Err(Errno::EXIST) if !fresh => {
            remove(dir, name)?;
            target.open_entry(dir, name, flags, mode)
        }
        other => other,
    }
}

/// Opens an existing regular file. A pipe or device in its place does not block or react; it is refused.
/// Files of ours whose mode keeps us out are opened all the same (they become 0600 until the end).
pub fn open_existing(
    target: &Target,
    dir: BorrowedFd<'_>,
    name: &[u8],
    access: OFlags,
) -> Os<(OwnedFd, Stat)> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match target.open_entry(dir, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) if !target.is_privileged() => {
            let path = target.open_entry(dir, name, OFlags::PATH, Mode::empty())?;
            if !is_regular(&fs::fstat(&path)?) {
                return Err(Errno::ACCESS);
            }
            unlock_mode(&path)?;
            target.open_entry(dir, name, flags, Mode::empty())?
        }
        other => other?,
    };
    let stat = fs::fstat(&opened)?;
    if is_regular(&stat) {
        Ok((opened, stat))
    } else {
        Err(Errno::STALE)
    }
}

/// Opens for reading without leaving a trace in the access time, if we may.
pub fn open_for_reading(target: &Target, dir: BorrowedFd<'_>, name: &[u8]) -> Os<(OwnedFd, Stat)> {
    match open_existing(target, dir, name, OFlags::RDONLY | OFlags::NOATIME) {
        Err(Errno::PERM) => open_existing(target, dir, name, OFlags::RDONLY),
        other => other,
    }
}

/// A handle on a link, device or pipe (or anything else) itself.
pub fn open_path(target: &Target, dir: BorrowedFd<'_>, name: &[u8]) -> Os<(OwnedFd, Stat)> {
    // `openat2` without links would refuse the link itself, so this one is `O_PATH | O_NOFOLLOW`.
    let _ = target;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = fs::openat(dir, name, flags, Mode::empty())?;
    let stat = fs::fstat(&handle)?;
    Ok((handle, stat))
}

/// Writes all of `bytes` at `at`.
pub fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Os<()> {
    while !bytes.is_empty() {
        match io::pwrite(&file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Closes a file and hears what its file system has to say: NFS and its like tell only now that what was
/// written did not arrive. After `EINTR` the handle is gone all the same, and nothing is known.
pub fn close(file: OwnedFd) -> Os<()> {
    // SAFETY: `into_raw_fd` gives up the ownership: the number is closed once, here.
    if unsafe { libc::close(file.into_raw_fd()) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Reads up to `buffer.len()` bytes at `at`; fewer only at the end of the file.
pub fn read_full(file: impl AsFd, buffer: &mut [u8], at: u64) -> Os<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match io::pread(&file, &mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// The names in a directory, without `.` and `..`.
pub fn names(target: &Target, dir: BorrowedFd<'_>) -> Os<Vec<Box<[u8]>>> {
    // A handle of its own: the position in a directory belongs to the open file.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let handle = target.open_entry(dir, b".", flags, Mode::empty())?;
    let mut buffer = vec![MaybeUninit::uninit(); LISTING];
    let mut listing = RawDir::new(&handle, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    Ok(names)
}
