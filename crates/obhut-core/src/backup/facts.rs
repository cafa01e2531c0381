//! From the facts of a file system to a node, and when two nodes are equal (formats: restic 10, 16).

use crate::fs::{Kind, Names, Stat};
use crate::gotime::LocalZone;
use crate::tree::{Node, NodeType, mode_to_go};

/// What turns numbers into names and instants into times of a zone.
pub struct Facts {
    /// Names of users and groups, remembered for this backup.
    pub names: Names,
    /// The host's zone.
    pub zone: LocalZone,
    /// Keep access times.
    pub with_atime: bool,
}

impl Facts {
    /// A node with all facts but links' targets, attributes, content and subtree; `None` for kinds that
    /// are not saved.
    pub fn node(&self, name: &[u8], stat: &Stat) -> Option<Node> {
        let kind = match stat.kind {
            Kind::File => NodeType::File,
            Kind::Directory => NodeType::Dir,
            Kind::Symlink => NodeType::Symlink,
            Kind::BlockDevice => NodeType::Dev,
            Kind::CharacterDevice => NodeType::CharDev,
            Kind::Fifo => NodeType::Fifo,
            Kind::Socket | Kind::Unknown => return None,
        };
        let mut node = Node::new(name.to_vec(), kind);
        node.mode = mode_to_go(stat.mode);
        node.mtime = self.zone.at(stat.mtime);
        node.atime = if self.with_atime {
            self.zone.at(stat.atime)
        } else {
            node.mtime
        };
        node.ctime = self.zone.at(stat.ctime);
        node.uid = stat.uid;
        node.gid = stat.gid;
        node.user = self.names.user(stat.uid);
        node.group = self.names.group(stat.gid);
        node.inode = stat.inode;
        node.device_id = stat.device;
        match kind {
            NodeType::File => {
                node.size = stat.size;
                node.links = stat.links;
                node.content = Some(Vec::new());
            }
            NodeType::Symlink => node.links = stat.links,
            NodeType::Dev | NodeType::CharDev => {
                node.links = stat.links;
                node.device = stat.special;
            }
            _ => {}
        }
        Some(node)
    }
}

/// Which differences do not make a file changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The change time.
    pub ctime: bool,
    /// The inode number (implies `ctime`: where one is unreliable the other is too).
    pub inode: bool,
}

/// Whether the content of a regular file may be taken from the parent's node.
pub fn unchanged(stat: &Stat, previous: &Node, ignore: Ignore) -> bool {
    previous.kind == NodeType::File
        && previous.size == stat.size
        && previous.mtime.at == stat.mtime
        && (ignore.ctime || ignore.inode || previous.ctime.at == stat.ctime)
        && (ignore.inode || previous.inode == stat.inode)
}

/// Whether nothing differs between two nodes; times are compared as instants.
pub fn equal(a: &Node, b: &Node) -> bool {
    let raw = |node: &Node| {
        node.generic_attributes
            .as_ref()
            .map(|raw| raw.get().to_owned())
    };
    a.name == b.name
        && a.kind == b.kind
        && a.mode == b.mode
        && a.mtime.at == b.mtime.at
        && a.atime.at == b.atime.at
        && a.ctime.at == b.ctime.at
        && (a.uid, a.gid, &a.user, &a.group) == (b.uid, b.gid, &b.user, &b.group)
        && (a.inode, a.device_id, a.size) == (b.inode, b.device_id, b.size)
        && (a.links, a.device) == (b.links, b.device)
        && a.linktarget == b.linktarget
        && a.content.as_deref().unwrap_or_default() == b.content.as_deref().unwrap_or_default()
        && a.xattrs == b.xattrs
        && raw(a) == raw(b)
        && a.subtree == b.subtree
        && a.error == b.error
}
