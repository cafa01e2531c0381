//! The whole backup against a plain recursive reference, on real directories and a store in memory.

// Tests make the files that are backed up, and measure real time.
#![allow(clippy::disallowed_methods)]

mod caching;
mod faults;
mod histories;
mod items;
mod queue;
mod rules;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::chunker::Chunker;
use crate::fs;
use crate::gotime::GoTime;
use crate::id::{BlobKind, Id};
use crate::job::ItemError;
use crate::testkit;
use crate::tree::{Node, NodeType, TreeBuilder, mode_to_go, parse};
use crate::world::Timestamp;

/// A repository in memory and what was done with it.
pub struct Bench {
    pub repo: Arc<Repository>,
    pub control: Arc<Control>,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            repo: testkit::repository().0,
            control: Control::new(),
        }
    }

    pub fn index(&self) -> Arc<Index> {
        self.repo.load_index(&self.control, 1).unwrap()
    }

    pub fn run(&self, options: &BackupOptions) -> Result<BackupSummary> {
        run(&self.repo, &self.index(), options, &self.control)
    }

    pub fn errors(&self) -> Vec<ItemError> {
        self.control.drain_errors()
    }

    pub fn nodes(&self, tree: &Id) -> Vec<Node> {
        let mut codec = self.repo.codec();
        let index = self.index();
        let bytes = self
            .repo
            .load_blob(&mut codec, &index, BlobKind::Tree, tree)
            .unwrap();
        parse("tree", &bytes).unwrap()
    }

    /// The node at an absolute path of a snapshot.
    pub fn node(&self, root: Id, path: &Path) -> Option<Node> {
        let mut tree = Some(root);
        let mut found = None;
        for part in path
            .as_os_str()
            .as_bytes()
            .split(|b| *b == b'/')
            .filter(|p| !p.is_empty())
        {
            let node = self.nodes(&tree?).into_iter().find(|n| n.name == part)?;
            tree = node.subtree;
            found = Some(node);
        }
        found
    }

    /// The tree of the directory at `path`.
    pub fn tree(&self, summary: &BackupSummary, path: &Path) -> Id {
        let node = self
            .node(summary.tree.unwrap(), path)
            .expect("path is in the snapshot");
        node.subtree.expect("it is a directory")
    }

    pub fn content(&self, node: &Node) -> Vec<u8> {
        let (mut codec, index) = (self.repo.codec(), self.index());
        let ids = node.content.as_deref().unwrap();
        let blob = |id| {
            self.repo
                .load_blob(&mut codec, &index, BlobKind::Data, id)
                .unwrap()
        };
        ids.iter().flat_map(blob).collect()
    }
}

pub fn options(target: &Path, threads: usize) -> BackupOptions {
    BackupOptions {
        targets: vec![target.as_os_str().as_bytes().to_vec()],
        threads,
        ..BackupOptions::default()
    }
}

/// The tree id of a directory by plain recursion over the standard library.
pub fn reference(directory: &Path, chunker: &Chunker) -> Id {
    let mut entries: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap())
        .collect();
    entries.sort_by(|a, b| a.file_name().as_bytes().cmp(b.file_name().as_bytes()));
    let mut builder = TreeBuilder::new();
    for entry in entries {
        if let Some(node) = reference_node(&entry.path(), chunker) {
            builder.add(&node).unwrap();
        }
    }
    Id::of(&builder.finish())
}

fn reference_node(path: &Path, chunker: &Chunker) -> Option<Node> {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let kind = match () {
        () if kind.is_file() => NodeType::File,
        () if kind.is_dir() => NodeType::Dir,
        () if kind.is_symlink() => NodeType::Symlink,
        () if kind.is_block_device() => NodeType::Dev,
        () if kind.is_char_device() => NodeType::CharDev,
        () if kind.is_fifo() => NodeType::Fifo,
        () => return None,
    };
    let zone = LocalZone::system();
    let time = |secs, nanos: i64| -> GoTime {
        zone.at(Timestamp {
            secs,
            nanos: nanos as u32,
        })
    };
    let names = Names::new(Arc::new(testkit::MadeUp));
    let mut node = Node::new(path.file_name().unwrap().as_bytes().to_vec(), kind);
    node.mode = mode_to_go(meta.mode());
    node.mtime = time(meta.mtime(), meta.mtime_nsec());
    node.atime = node.mtime;
    node.ctime = time(meta.ctime(), meta.ctime_nsec());
    (node.uid, node.gid) = (meta.uid(), meta.gid());
    (node.user, node.group) = (names.user(meta.uid()), names.group(meta.gid()));
    (node.inode, node.device_id) = (meta.ino(), meta.dev());
    if !matches!(kind, NodeType::Dir | NodeType::Fifo) {
        node.links = meta.nlink();
    }
    node.xattrs = fs::xattrs_of_path(path.as_os_str().as_bytes())
        .unwrap()
        .read;
    match kind {
        NodeType::File => {
            let bytes = std::fs::read(path).unwrap();
            let mut rest = &bytes[..];
            let mut content = Vec::new();
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(chunker.cut(rest));
                content.push(Id::of(chunk));
                rest = tail;
            }
            node.size = bytes.len() as u64;
            node.content = Some(content);
        }
        NodeType::Dir => node.subtree = Some(reference(path, chunker)),
        NodeType::Symlink => {
            node.linktarget = std::fs::read_link(path)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
        }
        NodeType::Dev | NodeType::CharDev => node.device = meta.rdev(),
        _ => {}
    }
    Some(node)
}
