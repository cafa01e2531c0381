//! Trees and nodes: directories as restic writes them, byte for byte (formats: restic 10, 11).
//!
//! What [`TreeBuilder`] writes is canonical: the bytes that restic itself would write for the same nodes, so
//! that ids agree. [`parse`] reads canonical trees without loss; foreign trees (other key order, unknown keys)
//! are read leniently and must be carried over as raw bytes, never rebuilt.

mod build;
mod mode;
mod parse;
mod refs;

pub use build::TreeBuilder;
pub use mode::{mode_string, mode_to_go, permissions_from_go};
pub use parse::parse;
pub use refs::{TreeRefs, parse_refs};

use serde_json::value::RawValue;

use crate::gotime::GoTime;
use crate::id::Id;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    CharDev,
    /// A named pipe.
    Fifo,
    /// A socket (only read, never written).
    Socket,
    /// Anything else (only read).
    Irregular,
}

impl NodeType {
    /// The word in a tree.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Dev => "dev",
            Self::CharDev => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Irregular => "irregular",
        }
    }

    /// The type that a tree's word names; an unknown word is [`NodeType::Irregular`].
    pub fn from_word(word: &str) -> Self {
        match word {
            "file" => Self::File,
            "dir" => Self::Dir,
            "symlink" => Self::Symlink,
            "dev" => Self::Dev,
            "chardev" => Self::CharDev,
            "fifo" => Self::Fifo,
            "socket" => Self::Socket,
            _ => Self::Irregular,
        }
    }
}

/// The largest tree that is read or written: several million entries in one directory. The format's own
/// limit is 4 GiB; parsed nodes take several times the memory of their text.
pub const MAX_TREE_BYTES: usize = 2 << 30;

/// An extended attribute. An empty value is `Some` of no bytes (written `""`); `None` is JSON `null`, a name
/// whose value could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// One entry of a directory. Field meanings: formats, restic 10.
#[derive(Clone, Debug)]
pub struct Node {
    /// Raw bytes of the base name.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: NodeType,
    /// Go's `FileMode` bits, not `st_mode` (see [`mode_to_go`]).
    pub mode: u32,
    /// Modification time, with the zone it was written in.
    pub mtime: GoTime,
    /// Access time (equal to `mtime` unless asked for).
    pub atime: GoTime,
    /// Change time.
    pub ctime: GoTime,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name, may be empty.
    pub user: String,
    /// Group's name, may be empty.
    pub group: String,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device_id: u64,
    /// Bytes, for files.
    pub size: u64,
    /// Hard links.
    pub links: u64,
    /// Target bytes, for symlinks.
    pub linktarget: Vec<u8>,
    /// In the kernel's order.
    pub xattrs: Vec<Xattr>,
    /// `generic_attributes` of Windows, kept as they are.
    pub generic_attributes: Option<Box<RawValue>>,
    /// `st_rdev`, for devices.
    pub device: u64,
    /// `None` is `null`; for a file the ids of its data blobs.
    pub content: Option<Vec<Id>>,
    /// The tree of a directory.
    pub subtree: Option<Id>,
    /// A legacy error text.
    pub error: String,
}

impl Node {
    /// A node of which nothing but name and type is known.
    pub fn new(name: Vec<u8>, kind: NodeType) -> Self {
        Self {
            name,
            kind,
            mode: 0,
            mtime: GoTime::ZERO,
            atime: GoTime::ZERO,
            ctime: GoTime::ZERO,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: Vec::new(),
            xattrs: Vec::new(),
            generic_attributes: None,
            device: 0,
            content: None,
            subtree: None,
            error: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
