//! Looking at one entry of a directory: left out, done at once, or to be read.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::directory::{Before, Paths, child};
use super::engine::{Engine, Tools};
use super::facts::{Ignore, unchanged};
use super::report::{Added, Change};
use super::select::Inside;
use crate::error::{Code, Error, Result};
use crate::fs::{self, Handle, Kind, Stat, Xattrs};
use crate::gojson;
use crate::id::{BlobKind, Id};
use crate::tree::{self, Node, NodeType};

/// An open directory whose entries are being looked at.
pub struct Listing<'a> {
    /// Its handle.
    pub handle: &'a Handle,
    /// Where it lies.
    pub paths: &'a Paths,
    /// The rules inside; `None`: no excludes apply (a target that a person named).
    pub inside: Option<&'a Inside>,
    /// The parent snapshot's tree of this directory is one that the directory cache learnt: its nodes are as this
    /// program read them, with all attributes, when no entry was young. So an entry with the same change time has
    /// the same attributes.
    pub attested: bool,
}

/// What an entry needs.
pub enum Visit {
    /// Nothing: left out.
    Skip,
    /// It is done.
    Node(Box<Node>),
    /// Its content has to be read.
    File(Stat, Option<Box<Node>>),
    /// It has to be listed.
    Directory(Before),
}

/// The nodes of the parent snapshot's directory, by name.
#[derive(Default)]
pub struct Previous {
    nodes: Vec<(Vec<u8>, Option<Box<Node>>)>,
    /// The one after the last that was taken: names are mostly asked for in their order.
    next: usize,
}

impl Previous {
    /// Takes the node of that name.
    pub fn take(&mut self, name: &[u8]) -> Option<Box<Node>> {
        let at = match self.nodes.get(self.next) {
            Some((next, _)) if next == name => self.next,
            _ => {
                let found = self.nodes.binary_search_by(|(n, _)| n.as_slice().cmp(name));
                found.ok()?
            }
        };
        self.next = at + 1;
        self.nodes[at].1.take()
    }
}

impl Engine<'_> {
    /// Loads the entries of a directory of the parent snapshot. One that cannot be read is an item error
    /// and counts as none.
    pub fn previous(
        &self,
        node: Option<&Node>,
        path: &[u8],
        tools: &mut Tools,
    ) -> Result<Previous> {
        match node {
            Some(node) if node.kind == NodeType::Dir => match &node.subtree {
                Some(tree) => self.previous_tree(tree, path, tools),
                None => Ok(Previous::default()),
            },
            _ => Ok(Previous::default()),
        }
    }

    /// The same for a known tree.
    pub fn previous_tree(&self, tree: &Id, path: &[u8], tools: &mut Tools) -> Result<Previous> {
        let loaded = self
            .repo
            .load_blob(&mut tools.codec, self.index, BlobKind::Tree, tree)
            .and_then(|bytes| tree::parse(&format!("tree {tree}"), &bytes));
        match loaded {
            Ok(nodes) => {
                let mut nodes: Vec<_> = nodes
                    .into_iter()
                    .map(|mut n| (std::mem::take(&mut n.name), n))
                    .collect();
                nodes.sort_by(|a, b| a.0.cmp(&b.0));
                let boxed = nodes.into_iter().map(|(name, mut node)| {
                    node.name.clone_from(&name);
                    (name, Some(Box::new(node)))
                });
                Ok(Previous {
                    nodes: boxed.collect(),
                    next: 0,
                })
            }
            Err(error) if error.code() == Code::Cancelled => Err(error),
            Err(error) => {
                self.report.failed(path, error);
                Ok(Previous::default())
            }
        }
    }

    /// Asks for the facts of one entry; `None` if it is left out.
    pub fn look(&self, listing: &Listing<'_>, name: &[u8]) -> Result<Option<Stat>> {
        let path = child(&listing.paths.source, name);
        if listing.inside.is_some() && self.select.rejects_path(&path) {
            self.report.excluded(&path)?;
            return Ok(None);
        }
        let stat = match fs::stat_at(listing.handle, name) {
            Ok(stat) => stat,
            // Gone since the directory was read: as if it had never been there.
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                self.report
                    .failed(&path, Error::os(gojson::display(&path), errno));
                return Ok(None);
            }
        };
        if let Some(inside) = listing.inside
            && self.select.rejects(inside, &path, name, &stat)
        {
            self.report.excluded(&path)?;
            return Ok(None);
        }
        Ok(Some(stat))
    }

    /// What an entry takes that is not left out.
    pub fn decide(
        &self,
        listing: &Listing<'_>,
        name: &[u8],
        node_name: &[u8],
        stat: Stat,
        previous: Option<Box<Node>>,
    ) -> Result<Visit> {
        let path = child(&listing.paths.source, name);
        match stat.kind {
            Kind::File => self.visit_file(listing, name, node_name, &path, stat, previous),
            Kind::Directory => Ok(Visit::Directory(previous.into())),
            Kind::Socket => {
                self.report.notice(&path, "socket-skipped");
                Ok(Visit::Skip)
            }
            _ => Ok(self.visit_special(listing, name, node_name, &path, &stat)),
        }
    }

    fn visit_file(
        &self,
        listing: &Listing<'_>,
        name: &[u8],
        node_name: &[u8],
        path: &[u8],
        stat: Stat,
        previous: Option<Box<Node>>,
    ) -> Result<Visit> {
        let ignore = Ignore {
            ctime: self.options.ignore_ctime,
            inode: self.options.ignore_inode,
        };
        let Some(before) = previous.as_deref().filter(|p| unchanged(&stat, p, ignore)) else {
            return Ok(Visit::File(stat, previous));
        };
        let content = before.content.as_deref().unwrap_or_default();
        let missing = content
            .iter()
            .find(|id| !self.index.contains(BlobKind::Data, id));
        if let Some(id) = missing {
            let object = gojson::display(path);
            let detail = format!("data blob {id} is in no index; the file is stored again");
            self.report
                .failed(path, Error::new(Code::BlobMissing, object, detail));
            return Ok(Visit::File(stat, previous));
        }
        let Some(mut node) = self.facts.node(node_name, &stat) else {
            return Ok(Visit::Skip);
        };
        node.content = Some(content.to_vec());
        if listing.attested && !self.options.ignore_ctime {
            node.xattrs.clone_from(&before.xattrs);
        } else {
            self.keep_xattrs(&mut node, fs::xattrs_at(listing.handle, name), path);
        }
        let place = child(&listing.paths.snapshot, node_name);
        self.unmodified_file(&place, stat.size)?;
        Ok(Visit::Node(Box::new(node)))
    }

    /// Counts a file whose content was not read.
    pub fn unmodified_file(&self, path: &[u8], size: u64) -> Result<()> {
        let done = &self.control.counters.bytes_done;
        done.fetch_add(size, Ordering::Relaxed);
        let since = self.elapsed();
        self.report
            .file(path, Change::Unmodified, size, Added::default(), since)
    }

    /// Links, devices and pipes: facts are all there is.
    fn visit_special(
        &self,
        listing: &Listing<'_>,
        name: &[u8],
        node_name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Visit {
        let failed = |errno| {
            let error = Error::os(gojson::display(path), errno);
            self.report.failed(path, error);
        };
        let Some(mut node) = self.facts.node(node_name, stat) else {
            failed(Errno::NOTSUP);
            return Visit::Skip;
        };
        if stat.kind == Kind::Symlink {
            match fs::read_link(listing.handle, name) {
                Ok(target) => node.linktarget = target,
                Err(errno) => {
                    // A link without a target could not be restored.
                    failed(errno);
                    return Visit::Skip;
                }
            }
        }
        self.keep_xattrs(&mut node, fs::xattrs_at(listing.handle, name), path);
        Visit::Node(Box::new(node))
    }

    /// Puts attributes into a node; those that cannot be read are item errors, the node stays.
    pub fn keep_xattrs(&self, node: &mut Node, xattrs: Result<Xattrs, Errno>, path: &[u8]) {
        match xattrs {
            Ok(xattrs) => {
                node.xattrs = xattrs.read;
                for (name, errno) in xattrs.failed {
                    let error = Error::os(gojson::display(path), errno);
                    let detail =
                        format!("attribute {}: {}", gojson::display(&name), error.detail());
                    self.report
                        .failed(path, Error::new(error.code(), error.object(), detail));
                }
            }
            Err(errno) => {
                let error = Error::os(gojson::display(path), errno);
                let detail = format!("attributes: {}", error.detail());
                self.report
                    .failed(path, Error::new(error.code(), error.object(), detail));
            }
        }
    }
}
