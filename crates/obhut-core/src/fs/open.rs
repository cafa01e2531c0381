//! Opening, listing and asking for facts, relative to handles.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::world::Timestamp;

/// An open directory or file.
pub type Handle = OwnedFd;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something this program does not know.
    Unknown,
}

/// The facts of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its kind.
    pub kind: Kind,
    /// `st_mode`, whole.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: Timestamp,
    /// Access time.
    pub atime: Timestamp,
    /// Change time.
    pub ctime: Timestamp,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number.
    pub inode: u64,
    /// `st_dev`.
    pub device: u64,
    /// Hard links.
    pub links: u64,
    /// `st_rdev`.
    pub special: u64,
}

// The types of the fields differ between architectures.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn facts(stat: &rustix::fs::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => Kind::Unknown,
    };
    let time = |secs: i64, nanos: u64| Timestamp {
        secs,
        nanos: nanos as u32,
    };
    Stat {
        kind,
        mode: stat.st_mode,
        size: stat.st_size as u64,
        mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        atime: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        uid: stat.st_uid,
        gid: stat.st_gid,
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        links: stat.st_nlink as u64,
        special: stat.st_rdev as u64,
    }
}

/// The facts of `name` in `directory`; a link is not followed.
pub fn stat_at(directory: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|s| facts(&s))
}

/// The facts of an open file or directory.
pub fn stat_handle(handle: impl AsFd) -> Result<Stat, Errno> {
    rustix::fs::fstat(handle).map(|s| facts(&s))
}

/// The facts of a path that a person gave, seen from the current directory.
pub fn stat_path(path: &[u8], follow: bool) -> Result<Stat, Errno> {
    let flags = if follow {
        AtFlags::empty()
    } else {
        AtFlags::SYMLINK_NOFOLLOW
    };
    rustix::fs::statat(CWD, path, flags).map(|s| facts(&s))
}

/// Opens `name` in `directory` for reading: a regular file, or the error says why not. The caller looks
/// at its facts again, because the name may stand for something else by now.
pub fn open_file(directory: impl AsFd, name: &[u8]) -> Result<Handle, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    open(directory, name, flags)
}

/// Opens the directory `name` in `directory` for listing; a link is refused.
pub fn open_directory(directory: impl AsFd, name: &[u8]) -> Result<Handle, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY;
    open(directory, name, flags)
}

/// Opens a directory by a path that a person gave, links on the way included, to walk on from: `path`
/// may be unreadable but searchable.
pub fn open_directory_path(path: &[u8]) -> Result<Handle, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    retry(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
}

/// `O_NOATIME` is for owners only; whoever may not ask for it reads without.
fn open(directory: impl AsFd, name: &[u8], flags: OFlags) -> Result<Handle, Errno> {
    let directory = directory.as_fd();
    let quiet = flags | OFlags::NOATIME;
    match retry(|| rustix::fs::openat(directory, name, quiet, Mode::empty())) {
        Err(Errno::PERM) => retry(|| rustix::fs::openat(directory, name, flags, Mode::empty())),
        result => result,
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// All names in an open directory but `.` and `..`, sorted by bytes.
pub fn list(directory: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 64 << 10];
    let mut names = Vec::new();
    let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(name.to_vec());
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The target of the symbolic link `name` in `directory`, as bytes.
pub fn read_link(directory: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(directory, name, Vec::new()).map(std::ffi::CString::into_bytes)
}

/// Raises the soft limit of open files to the hard one: deep trees need a handle a level.
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // A refusal leaves the limit that was good enough for everything else.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
}
