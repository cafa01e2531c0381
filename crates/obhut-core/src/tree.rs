//! Trees and nodes: directories as restic writes them, byte for byte (formats: restic 10, 11).

use serde_json::value::RawValue;

use crate::error::Result;
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

/// An extended attribute; `None` is JSON `null` (an empty value).
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

/// Moves `st_mode` to Go's `FileMode`.
pub fn mode_to_go(_st_mode: u32) -> u32 {
    todo!()
}

/// Moves Go's `FileMode` to the permission bits of `st_mode` (07777).
pub fn permissions_from_go(_mode: u32) -> u32 {
    todo!()
}

/// Builds a tree blob: nodes must come strictly ascending by raw name.
#[derive(Default)]
pub struct TreeBuilder {}

impl TreeBuilder {
    /// Appends a node; an empty name or one not above the last is an error.
    pub fn add(&mut self, _node: &Node) -> Result<()> {
        todo!()
    }
    /// The exact bytes.
    pub fn finish(self) -> Vec<u8> {
        todo!()
    }
}

/// Parses a tree blob; `object` names it in errors. Lenient on unknown keys, bounded in size; order and
/// names are not judged here (see `check`), but every field is of its type.
pub fn parse(_object: &str, _bytes: &[u8]) -> Result<Vec<Node>> {
    todo!()
}
