//! The walk through the snapshot's trees: names are judged, entries chosen, directories made, batches filled.
//!
//! Depth first in the order of the trees, with a stack of our own (a tree may be deeper than a thread's
//! stack). A tree that cannot be read, a name that must not be used or a directory that cannot be made is
//! an item error: what lies below is left out, the rest goes on. In a directory whose tree is not wholly
//! usable nothing is deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender};
use rustix::fs::{self, AtFlags, Stat};
use rustix::io::Errno;

use super::Run;
use super::batch::{
    Batch, FILES, FIRST_FILES, FileItem, Finish, FirstName, LinkItem, OtherItem, Place,
};
use super::meta::Meta;
use super::owners::Owners;
use super::rules;
use super::target::{Dir, Facts, Os, Target, check_name, error_at};
use crate::blob::Codec;
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::ls;
use crate::repo::Repository;
use crate::tree::{self, Node, NodeType};

/// One directory on the way down.
struct Frame {
    dir: Arc<Dir>,
    nodes: std::vec::IntoIter<Node>,
    /// With `--delete`: what belongs into it; `None` if nothing may be deleted.
    expected: Option<Vec<Box<[u8]>>>,
    meta: Option<Meta>,
    /// The patterns chose the directory itself.
    selected: bool,
    /// Something in or below it was restored.
    restored: bool,
    /// Length of its location in [`Walk::path`].
    path: usize,
}

/// Objects with several names: inode, device and type lead to the first name and a hash of the content.
type Links = HashMap<(u64, u64, u8), (Id, Arc<FirstName>)>;

/// The walk of one restore.
pub struct Walk<'a> {
    run: &'a Run<'a>,
    out: Sender<Batch>,
    stop: &'a AtomicBool,
    codec: Codec,
    batch: Batch,
    limit: usize,
    links: Links,
    owners: Option<Owners>,
    path: Vec<u8>,
}

impl<'a> Walk<'a> {
    /// A walk that hands its batches to `out` until `stop` is set.
    pub fn new(run: &'a Run<'a>, out: Sender<Batch>, stop: &'a AtomicBool) -> Self {
        Self {
            run,
            out,
            stop,
            codec: run.repo.codec(),
            batch: Batch::default(),
            limit: FIRST_FILES,
            links: HashMap::new(),
            owners: run
                .options
                .owners_by_name
                .then(|| Owners::new(Arc::clone(run.repo.accounts()))),
            path: Vec::new(),
        }
    }

    /// Walks everything below the root tree, whose nodes are given.
    pub fn all(mut self, nodes: Vec<Node>) -> Result<()> {
        let mut stack = vec![self.frame(Arc::clone(self.run.target.root()), nodes, None, false)?];
        while let Some(frame) = stack.last_mut() {
            self.run.report.control().check()?;
            if self.stop.load(Relaxed) {
                return Ok(());
            }
            self.path.truncate(frame.path);
            let Some(node) = frame.nodes.next() else {
                if let Some(done) = stack.pop() {
                    if let (true, Some(above)) = (done.restored, stack.last_mut()) {
                        above.restored = true;
                    }
                    self.leave(done);
                }
                continue;
            };
            if let Some(below) = self.visit(frame, node)? {
                stack.push(below);
            }
            if self.batch.is_full(self.limit) {
                self.hand_on()?;
            }
        }
        let counters = &self.run.report.control().counters;
        counters.total_known.store(1, Relaxed);
        self.hand_on()
    }

    fn meta(&mut self, node: &mut Node) -> Result<Meta> {
        if let Some(owners) = &mut self.owners {
            owners.translate(node, &self.run.report)?;
        }
        Ok(Meta::of(node))
    }

    fn load(&mut self, id: &Id) -> Result<Vec<Node>> {
        let run = self.run;
        let bytes = run
            .repo
            .load_blob(&mut self.codec, run.index, BlobKind::Tree, id)?;
        tree::parse(&format!("tree {id}"), &bytes)
    }

    /// Judges the names of a tree and prepares the walk through it.
    fn frame(
        &mut self,
        dir: Arc<Dir>,
        nodes: Vec<Node>,
        meta: Option<Meta>,
        selected: bool,
    ) -> Result<Frame> {
        let before = nodes.len();
        let nodes = self.judge(nodes)?;
        let sound = nodes.len() == before;
        let expected = (self.run.options.delete && sound).then(|| {
            let mut names: Vec<Box<[u8]>> = nodes.iter().map(|n| n.name[..].into()).collect();
            names.sort_unstable();
            names
        });
        Ok(Frame {
            dir,
            nodes: nodes.into_iter(),
            expected,
            meta,
            selected,
            restored: false,
            path: self.path.len(),
        })
    }

    /// Takes out what must not be restored: names that leave the directory, and second uses of a name.
    fn judge(&self, mut nodes: Vec<Node>) -> Result<Vec<Node>> {
        let ascending = nodes.windows(2).all(|w| w[0].name < w[1].name);
        let mut verdicts: Vec<Option<&'static str>> = Vec::with_capacity(nodes.len());
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for node in &nodes {
            let again = !ascending && !seen.insert(&node.name);
            let verdict = check_name(&node.name).err();
            verdicts.push(verdict.or(again.then_some("the tree names this entry twice")));
        }
        if verdicts.iter().all(Option::is_none) {
            return Ok(nodes);
        }
        drop(seen);
        for (node, verdict) in nodes.iter().zip(&verdicts) {
            if let Some(detail) = verdict {
                let mut location = self.path.clone();
                location.push(b'/');
                location.extend_from_slice(&node.name);
                let error = Error::new(Code::HostileTree, gojson::display(&location), *detail);
                self.run.report.failed(location, "restore", error)?;
            }
        }
        let mut verdicts = verdicts.into_iter();
        nodes.retain(|_| verdicts.next().flatten().is_none());
        Ok(nodes)
    }

    /// One entry; a directory gives the frame below.
    fn visit(&mut self, frame: &mut Frame, node: Node) -> Result<Option<Frame>> {
        self.path.push(b'/');
        self.path.extend_from_slice(&node.name);
        if node.kind == NodeType::Socket {
            self.run.report.tally.sockets.fetch_add(1, Relaxed);
            return Ok(None);
        }
        let is_dir = node.kind == NodeType::Dir;
        let selected = self.run.selection.of(&self.path, is_dir);
        frame.restored |= selected.itself;
        if is_dir {
            return self.enter(frame, node, selected.itself, selected.below);
        }
        if selected.itself {
            match self.ensure(&frame.dir) {
                Ok(facts) => self.entry(frame, node, facts)?,
                Err(errno) => self.failed(errno)?,
            }
        }
        Ok(None)
    }

    fn enter(
        &mut self,
        frame: &Frame,
        mut node: Node,
        selected: bool,
        below: bool,
    ) -> Result<Option<Frame>> {
        let dir = Target::child(&frame.dir, &node.name);
        if selected && let Err(errno) = self.ensure(&dir) {
            self.failed(errno)?;
            return Ok(None);
        }
        let meta = Some(self.meta(&mut node)?);
        self.note_foreign(&node);
        let loaded = match node.subtree {
            _ if !below => Ok(Vec::new()),
            Some(id) => self.load(&id),
            None => Err(Error::damaged("tree", "a directory without a tree")),
        };
        let (nodes, sound) = match loaded {
            Ok(nodes) => (nodes, below),
            Err(error) => {
                let location = self.path.clone();
                self.run.report.failed(location, "restore", error)?;
                (Vec::new(), false)
            }
        };
        let mut frame = self.frame(dir, nodes, meta, selected)?;
        if !sound {
            frame.expected = None;
        }
        Ok(Some(frame))
    }

    /// A directory is complete as far as the walk is concerned.
    fn leave(&mut self, frame: Frame) {
        let root = frame.dir.parent().is_none();
        if !frame.selected && !frame.restored {
            return;
        }
        if !root {
            // Something below may have failed before the directory was made: then there is nothing to do.
            if !self.run.options.dry_run && frame.dir.facts().is_none() {
                return;
            }
            self.run.report.found(0);
        }
        self.batch.finishes.push(Finish {
            dir: frame.dir,
            meta: frame.meta,
            expected: frame.expected,
        });
    }

    fn entry(&mut self, frame: &Frame, mut node: Node, facts: Option<Facts>) -> Result<()> {
        let meta = self.meta(&mut node)?;
        self.note_foreign(&node);
        let mut place = Place {
            dir: Arc::clone(&frame.dir),
            name: node.name[..].into(),
            first: None,
        };
        if node.links > 1 && node.inode != 0 && !self.keeps(&place, meta.mtime, facts) {
            let key = (node.inode, node.device_id, node.kind as u8);
            let print = fingerprint(&node);
            match self.links.get(&key) {
                Some((content, first)) if *content == print => {
                    self.run.report.found(0);
                    let first = Arc::clone(first);
                    let mtime = meta.mtime;
                    self.batch.links.push(LinkItem {
                        place,
                        first,
                        mtime,
                    });
                    return Ok(());
                }
                // The same number for something else: the file system used it again during the backup.
                Some(_) => {}
                None => {
                    let first = Arc::new(FirstName {
                        dir: Arc::clone(&place.dir),
                        name: place.name.clone(),
                        failed: AtomicBool::new(false),
                    });
                    self.links.insert(key, (print, Arc::clone(&first)));
                    place.first = Some(first);
                }
            }
        }
        match node.kind {
            NodeType::File => self.file(place, meta, &node),
            NodeType::Symlink | NodeType::Dev | NodeType::CharDev | NodeType::Fifo => {
                self.run.report.found(0);
                self.batch.others.push(OtherItem {
                    place,
                    kind: node.kind,
                    meta,
                    linktarget: node.linktarget,
                    device: node.device,
                });
                Ok(())
            }
            NodeType::Dir | NodeType::Socket | NodeType::Irregular => {
                let error = Error::damaged("node", "an entry of this type cannot be restored");
                self.run.report.failed(self.path.clone(), "restore", error)
            }
        }
    }

    /// Whether `--overwrite` keeps what is there: such an entry must not become the first of its names.
    fn keeps(&self, place: &Place, mtime: crate::world::Timestamp, facts: Option<Facts>) -> bool {
        let rule = self.run.options.overwrite;
        if !rule.looks_first() || facts.is_none_or(|f| f.fresh) {
            return false;
        }
        let existing = self
            .run
            .target
            .handle(&place.dir)
            .and_then(|dir| fs::statat(&dir, &place.name[..], AtFlags::SYMLINK_NOFOLLOW));
        existing.is_ok_and(|stat| !rules::overwrites(rule, mtime, Some(rules::mtime_of(&stat))))
    }

    fn file(&mut self, place: Place, meta: Meta, node: &Node) -> Result<()> {
        let mut size = 0u64;
        let mut content = Vec::with_capacity(node.content.as_ref().map_or(0, Vec::len));
        for id in node.content.iter().flatten() {
            let slots = self.run.index.slots(BlobKind::Data, id);
            if slots.is_empty() {
                // Nothing is touched: what is there now may be better than a file with a hole.
                if let Some(first) = &place.first {
                    first.failed.store(true, Relaxed);
                }
                self.run.report.found(node.size);
                let error = Error::new(Code::BlobMissing, format!("data {id}"), "in no index");
                return self.run.report.failed(self.path.clone(), "restore", error);
            }
            size += self.run.index.entry(slots.start).location.plain_length();
            content.push(slots.start);
        }
        self.run.report.found(size);
        self.batch.push_file(FileItem {
            linked: node.links > 1,
            place,
            meta,
            content: content.into_boxed_slice(),
            size,
        });
        Ok(())
    }

    /// The directory, made if needed (looked at only, in a dry run: `None` if it is not there).
    fn ensure(&self, dir: &Arc<Dir>) -> Os<Option<Facts>> {
        if self.run.options.dry_run {
            return self.run.target.look(dir);
        }
        let replaces = !self.run.options.overwrite.looks_first();
        let may_replace = |_: &Stat| replaces;
        self.run.target.ensure(dir, &may_replace).map(Some)
    }

    fn failed(&self, errno: Errno) -> Result<()> {
        let error = if errno == Errno::EXIST {
            let detail = "something that is no directory is in the way, and --overwrite keeps it";
            Error::new(Code::Io, gojson::display(&self.path), detail)
        } else {
            error_at(&self.path, errno)
        };
        self.run.report.failed(self.path.clone(), "restore", error)
    }

    fn note_foreign(&self, node: &Node) {
        if node.generic_attributes.is_some() {
            self.run.report.tally.foreign.fetch_add(1, Relaxed);
        }
    }

    fn hand_on(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        self.limit = FILES;
        loop {
            self.run.report.control().check()?;
            match self.out.send_timeout(batch, Duration::from_millis(50)) {
                Err(SendTimeoutError::Timeout(back)) => batch = back,
                // The other side ended with an error of its own, which is the one that counts.
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return Ok(()),
            }
        }
    }
}

/// What two names of one object must have in common.
fn fingerprint(node: &Node) -> Id {
    let mut bytes = Vec::new();
    for id in node.content.iter().flatten() {
        bytes.extend_from_slice(&id.0);
    }
    bytes.extend_from_slice(&node.linktarget);
    bytes.extend_from_slice(&node.device.to_le_bytes());
    Id::of(&bytes)
}

/// The tree of the directory `path` below `root`; `path` as people give it after `SNAPSHOT:`.
pub fn subtree(repo: &Repository, index: &Index, root: Id, path: &[u8]) -> Result<Id> {
    match ls::resolve(repo, index, root, path)? {
        (Some(node), _) if node.kind != NodeType::Dir => Err(Error::new(
            Code::PathMissing,
            gojson::display(path),
            "not a directory",
        )),
        (_, tree) => Ok(tree),
    }
}
