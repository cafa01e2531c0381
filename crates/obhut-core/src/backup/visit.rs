//! Looking at one entry of a directory: left out, done at once, or to be read.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::dircache::DirCache;
use super::directory::{Before, Paths, child};
use super::engine::{Engine, Tools};
use super::facts::{Ignore, unchanged};
use super::report::Change;
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
    /// Unchanged files that are not counted yet.
    pub tally: Cell<Tally>,
}

/// Unchanged files. They are many and quickly done: threads that counted each of them in the counters they share would
/// mostly wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counted together at most: the display goes on within the largest directory too.
const TALLY: u64 = 512;

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
        let directory = listing.paths.source.as_slice();
        let excluded = || self.report.excluded(&child(directory, name));
        if let Some(inside) = listing.inside
            && self.select.rejects_name(inside, directory, name)
        {
            return excluded().map(|()| None);
        }
        let stat = match fs::stat_at(listing.handle, name) {
            Ok(stat) => stat,
            // Gone since the directory was read: as if it had never been there.
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                let path = child(directory, name);
                self.report
                    .failed(&path, Error::os(gojson::display(&path), errno));
                return Ok(None);
            }
        };
        if let Some(inside) = listing.inside
            && self.select.rejects(inside, directory, name, &stat)
        {
            return excluded().map(|()| None);
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
        match stat.kind {
            Kind::File => self.visit_file(listing, name, node_name, stat, previous),
            Kind::Directory => Ok(Visit::Directory(previous.into())),
            Kind::Socket => {
                self.skipped_socket(listing, name);
                Ok(Visit::Skip)
            }
            _ => Ok(self.visit_special(listing, name, node_name, &stat)),
        }
    }

    fn visit_file(
        &self,
        listing: &Listing<'_>,
        name: &[u8],
        node_name: &[u8],
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
        let whole = listing.attested && self.cache.as_ref().is_some_and(DirCache::is_whole);
        let lost = |id: &&Id| !whole && !self.index.contains(BlobKind::Data, id);
        let missing = content.iter().find(lost);
        if let Some(id) = missing {
            let path = child(&listing.paths.source, name);
            let object = gojson::display(&path);
            let detail = format!("data blob {id} is in no index; the file is stored again");
            self.report
                .failed(&path, Error::new(Code::BlobMissing, object, detail));
            return Ok(Visit::File(stat, previous));
        }
        let Some(mut node) = self.facts.node(node_name, &stat) else {
            return Ok(Visit::Skip);
        };
        node.content = Some(content.to_vec());
        if listing.attested && !self.options.ignore_ctime {
            node.xattrs.clone_from(&before.xattrs);
        } else {
            let path = child(&listing.paths.source, name);
            self.keep_xattrs(&mut node, fs::xattrs_at(listing.handle, name), &path);
        }
        self.unmodified_file(listing, node_name, stat.size)?;
        Ok(Visit::Node(Box::new(node)))
    }

    /// Tells of a file whose content was not read; it is counted by [`Engine::count`] at the latest.
    pub fn unmodified_file(&self, listing: &Listing<'_>, name: &[u8], size: u64) -> Result<()> {
        if self.report.lists_items() {
            let path = child(&listing.paths.snapshot, name);
            self.report.unmodified(&path, self.elapsed())?;
        }
        let mut tally = listing.tally.get();
        tally.files += 1;
        tally.bytes += size;
        listing.tally.set(tally);
        if tally.files >= TALLY {
            self.count(listing);
        }
        Ok(())
    }

    /// Counts the files of a listing that are not counted yet.
    pub fn count(&self, listing: &Listing<'_>) {
        let tally = listing.tally.take();
        if tally.files > 0 {
            let done = &self.control.counters.bytes_done;
            done.fetch_add(tally.bytes, Ordering::Relaxed);
            let unmodified = Change::Unmodified;
            self.report.count(unmodified, tally.files, tally.bytes);
        }
    }

    /// A socket has no content and is not saved: it is made anew by who listens on it.
    pub fn skipped_socket(&self, listing: &Listing<'_>, name: &[u8]) {
        let path = child(&listing.paths.source, name);
        self.report.notice(&path, "socket-skipped");
    }

    /// Links, devices and pipes: facts are all there is.
    fn visit_special(
        &self,
        listing: &Listing<'_>,
        name: &[u8],
        node_name: &[u8],
        stat: &Stat,
    ) -> Visit {
        let path = child(&listing.paths.source, name);
        let path = path.as_slice();
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
