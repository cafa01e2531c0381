//! Extended attributes in the kernel's order; ACLs are among them (`system.posix_acl_*`).
//!
//! Linux offers them by open file or by path only. An open file of a link, pipe or device cannot be had,
//! so an entry of a directory is named by `/proc/self/fd/<directory>/<name>`: that is resolved from the
//! directory's handle, whatever its path is by now.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::tree::Xattr;

/// The kernel's limit of one value is 64 KiB; file systems beyond it exist, but not without bound.
const VALUE_LIMIT: usize = 16 << 20;

/// Attributes that were read, and those that were not.
#[derive(Debug, Default)]
pub struct Xattrs {
    /// In the kernel's order.
    pub read: Vec<Xattr>,
    /// Names whose value could not be read, and why.
    pub failed: Vec<(Vec<u8>, Errno)>,
}

enum Place<'a> {
    Path(&'a [u8]),
    Handle(BorrowedFd<'a>),
}

/// Attributes of `name` in `directory`; a link's own, not its target's.
pub fn xattrs_at(directory: impl AsFd, name: &[u8]) -> Result<Xattrs, Errno> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    collect(&Place::Path(&path))
}

/// Attributes of an open file or directory.
pub fn xattrs_of_handle(handle: impl AsFd) -> Result<Xattrs, Errno> {
    collect(&Place::Handle(handle.as_fd()))
}

/// Attributes of a path that a person gave; a link's own.
pub fn xattrs_of_path(path: &[u8]) -> Result<Xattrs, Errno> {
    collect(&Place::Path(path))
}

impl Place<'_> {
    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Path(path) => rustix::fs::llistxattr(*path, buffer),
            Self::Handle(handle) => rustix::fs::flistxattr(handle, buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Path(path) => rustix::fs::lgetxattr(*path, name, buffer),
            Self::Handle(handle) => rustix::fs::fgetxattr(handle, name, buffer),
        }
    }
}

fn collect(place: &Place<'_>) -> Result<Xattrs, Errno> {
    let mut found = Xattrs::default();
    // Most entries have none: one call with a small buffer on the stack answers that.
    let mut small = [0; 256];
    let names = match place.list(&mut small) {
        Ok(length @ 1..) => small[..length].to_vec(),
        Err(Errno::RANGE) => grow(|buffer| place.list(buffer))?,
        // None, or the file system knows none (some network ones say it this way).
        Ok(0) | Err(Errno::NOTSUP | Errno::NODATA) => return Ok(found),
        Err(errno) => return Err(errno),
    };
    for name in names.split(|byte| *byte == 0).filter(|n| !n.is_empty()) {
        let mut small = [0; 256];
        let value = match place.get(name, &mut small) {
            Ok(length) => Ok(small[..length].to_vec()),
            Err(Errno::RANGE) => grow(|buffer| place.get(name, buffer)),
            Err(errno) => Err(errno),
        };
        match value {
            Ok(value) => found.read.push(Xattr {
                name: name.to_vec(),
                value: Some(value),
            }),
            // Listed but without a value that could be had; restic keeps the name alone.
            Err(Errno::NOTSUP | Errno::NODATA) => found.read.push(Xattr {
                name: name.to_vec(),
                value: None,
            }),
            Err(errno) => found.failed.push((name.to_vec(), errno)),
        }
    }
    Ok(found)
}

/// Calls with ever larger buffers until the answer fits: it may grow between two calls.
fn grow(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 4 << 10];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < VALUE_LIMIT => {
                let larger = buffer.len() * 4;
                buffer.resize(larger.min(VALUE_LIMIT), 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}
