//! Owner, extended attributes, times and mode of restored entries, in this order: a change of the owner
//! clears capabilities and setuid, so those come after it; times come after everything that would move
//! them; the mode comes last (formats: restic 20).
//!
//! Invariants:
//! - An entry is addressed by a handle on exactly the object that was made, never by a path.
//! - A file whose owner could not be set keeps neither setuid nor setgid: the bits would give the
//!   rights of whoever runs the restore.
//! - What an unprivileged user may not set, and what a file system does not know, is counted
//!   ([`Applier::denied`]) and no error, as with restic. Everything else that fails is an error.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::target::Os;
use crate::error::{Code, Error, Result};
use crate::filter::PatternList;
use crate::tree::{Node, NodeType, Xattr, permissions_from_go};
use crate::world::Timestamp;

/// What a node says beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits of `st_mode` (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Access time.
    pub atime: Timestamp,
    /// Extended attributes.
    pub xattrs: Box<[Xattr]>,
}

impl Meta {
    /// Takes them out of a node.
    pub fn of(node: &mut Node) -> Self {
        Self {
            mode: permissions_from_go(node.mode),
            uid: node.uid,
            gid: node.gid,
            mtime: node.mtime.at,
            atime: node.atime.at,
            xattrs: std::mem::take(&mut node.xattrs).into_boxed_slice(),
        }
    }

    fn times(&self) -> Timestamps {
        let spec = |at: Timestamp| Timespec {
            tv_sec: at.secs,
            tv_nsec: i64::from(at.nanos),
        };
        Timestamps {
            last_access: spec(self.atime),
            last_modification: spec(self.mtime),
        }
    }
}

/// The state in which an entry is found when its metadata is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It is new, 0600 (0700), with this process's owner and group.
    pub plain: bool,
    /// It may have extended attributes that the node does not name (it existed, or inherited them).
    pub may_have_xattrs: bool,
}

/// Applies metadata and counts what could not be applied for want of rights.
pub struct Applier {
    privileged: bool,
    uid: u32,
    gid: u32,
    xattrs: Option<XattrFilter>,
    denied: AtomicU64,
}

/// Which extended attributes are restored: all, all but what patterns name, or only what they name. Others are
/// neither set nor removed.
#[derive(Debug, Default)]
pub struct XattrFilter {
    patterns: PatternList,
    include: bool,
}

impl XattrFilter {
    /// Parses the patterns (of names such as `user.origin`). Includes and excludes together are refused, as
    /// in restic.
    pub fn new(includes: &[Vec<u8>], excludes: &[Vec<u8>]) -> Result<Self> {
        let include = !includes.is_empty();
        if include && !excludes.is_empty() {
            let detail = "exclude and include patterns cannot be combined";
            return Err(Error::new(Code::InvalidArgument, "--include-xattr", detail));
        }
        let patterns = PatternList::parse(if include { includes } else { excludes }, false)?;
        Ok(Self { patterns, include })
    }

    /// Whether the attribute of this name is restored.
    pub fn selects(&self, name: &[u8]) -> bool {
        self.patterns.matches(name).matched == self.include
    }
}

/// How an entry is reached.
enum Reach<'a> {
    /// By a handle that allows everything (files, directories).
    Open(&'a OwnedFd),
    /// By an `O_PATH` handle and its name in `/proc` (links, devices, pipes).
    Path(&'a OwnedFd, String),
}

impl Applier {
    /// For this process; `xattrs`: which extended attributes are restored, `None` = none.
    pub fn new(xattrs: Option<XattrFilter>) -> Self {
        Self {
            privileged: rustix::process::geteuid().is_root(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            xattrs,
            denied: AtomicU64::new(0),
        }
    }

    /// Entries whose metadata is incomplete because we may not set it, or the file system cannot hold it.
    pub fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Everything, on an open file or directory.
    pub fn apply(&self, handle: &OwnedFd, kind: NodeType, meta: &Meta, found: Found) -> Os<()> {
        self.all(&Reach::Open(handle), kind, meta, found)
    }

    /// Everything, on an entry that cannot be opened (`O_PATH` handle).
    pub fn apply_path(
        &self,
        handle: &OwnedFd,
        kind: NodeType,
        meta: &Meta,
        found: Found,
    ) -> Os<()> {
        let reach = Reach::Path(handle, format!("/proc/self/fd/{}", handle.as_raw_fd()));
        self.all(&reach, kind, meta, found)
    }

    fn all(&self, reach: &Reach<'_>, kind: NodeType, meta: &Meta, found: Found) -> Os<()> {
        let mut denied = false;
        let mut first = Ok(());
        let mut note = |result: Os<()>| -> bool {
            match result {
                Ok(()) => return true,
                Err(Errno::OPNOTSUPP) => denied = true,
                Err(Errno::PERM | Errno::ACCESS) if !self.privileged => denied = true,
                Err(e) if first.is_ok() => first = Err(e),
                Err(_) => {}
            }
            false
        };
        let owned = found.plain && meta.uid == self.uid && meta.gid == self.gid;
        let owner_set = owned || note(reach.chown(meta));
        if let Some(filter) = &self.xattrs {
            note(set_xattrs(reach, meta, filter, found.may_have_xattrs));
        }
        note(reach.set_times(&meta.times()));
        let mut mode = meta.mode;
        if !owner_set && kind != NodeType::Dir {
            mode &= 0o1777;
        }
        let initial = if kind == NodeType::Dir { 0o700 } else { 0o600 };
        let untouched = owned && mode == initial && meta.xattrs.is_empty();
        if kind != NodeType::Symlink && !untouched {
            note(reach.chmod(mode));
        }
        if denied {
            self.denied.fetch_add(1, Relaxed);
        }
        first
    }
}

impl Reach<'_> {
    fn chown(&self, meta: &Meta) -> Os<()> {
        // 2^32-1 is "leave as it is" to the kernel and no owner.
        if meta.uid == u32::MAX || meta.gid == u32::MAX {
            return Err(Errno::INVAL);
        }
        let (uid, gid) = (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)));
        match self {
            Self::Open(handle) => fs::fchown(handle, uid, gid),
            Self::Path(handle, _) => fs::chownat(handle, "", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Os<()> {
        match self {
            Self::Open(handle) => fs::futimens(handle, times),
            Self::Path(handle, proc) => {
                match fs::utimensat(handle, "", times, AtFlags::EMPTY_PATH) {
                    // Kernels before 5.8.
                    Err(Errno::INVAL) => {
                        fs::utimensat(fs::CWD, proc.as_str(), times, AtFlags::empty())
                    }
                    other => other,
                }
            }
        }
    }

    fn chmod(&self, mode: u32) -> Os<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(handle) => fs::fchmod(handle, mode),
            Self::Path(_, proc) => fs::chmod(proc.as_str(), mode),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Os<()> {
        match self {
            Self::Open(handle) => fs::fsetxattr(handle, name, value, XattrFlags::empty()),
            Self::Path(_, proc) => fs::setxattr(proc.as_str(), name, value, XattrFlags::empty()),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> Os<()> {
        match self {
            Self::Open(handle) => fs::fremovexattr(handle, name),
            Self::Path(_, proc) => fs::removexattr(proc.as_str(), name),
        }
    }

    fn xattr_names(&self) -> Os<Vec<u8>> {
        // The kernel's limit for a list is 64 KiB.
        let mut names = vec![0u8; 64 << 10];
        let length = match self {
            Self::Open(handle) => fs::flistxattr(handle, &mut names[..])?,
            Self::Path(_, proc) => fs::listxattr(proc.as_str(), &mut names[..])?,
        };
        names.truncate(length);
        Ok(names)
    }
}

/// Sets what the node names and removes what it does not name, among what `filter` selects; goes on after a
/// failure, gives the first.
fn set_xattrs(
    reach: &Reach<'_>,
    meta: &Meta,
    filter: &XattrFilter,
    may_have_others: bool,
) -> Os<()> {
    let mut first = Ok(());
    for xattr in meta.xattrs.iter().filter(|x| filter.selects(&x.name)) {
        let result = reach.set_xattr(&xattr.name, xattr.value.as_deref().unwrap_or_default());
        first = first.and(result);
    }
    if !may_have_others {
        return first;
    }
    let names = match reach.xattr_names() {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) if meta.xattrs.is_empty() => return first,
        Err(e) => return first.and(Err(e)),
    };
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        // Labels that the system itself keeps on every file are not ours to remove.
        let kept = name.starts_with(b"security.") && name != b"security.capability";
        if !kept && filter.selects(name) && !meta.xattrs.iter().any(|x| x.name == name) {
            first = first.and(reach.remove_xattr(name));
        }
    }
    first
}

/// Makes a file of ours that its mode keeps from us (we are not root) readable and writable, through an
/// `O_PATH` handle; gives its mode before.
pub fn unlock_mode(handle: impl AsFd) -> Os<u32> {
    let stat = fs::fstat(&handle)?;
    let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    fs::chmod(path.as_str(), Mode::RUSR | Mode::WUSR)?;
    Ok(stat.st_mode & 0o7777)
}
