//! Directories: listing one, deciding about each entry, and writing its tree when the last entry is done.
//!
//! Whoever completes the last entry of a directory writes the tree and completes the entry in the
//! directory above, and so on: nobody waits. A directory's handle is held only by the tasks that still
//! have to open something in it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::dircache::{Known, node_digest};
use super::engine::{Engine, Tools};
use super::facts::equal;
use super::file::{FileEntry, FilesTask, batches};
use super::found::Found;
use super::queue::Task;
use super::report::Change;
use super::reuse::Memo;
use super::select::Inside;
use super::visit::{Listing, Visit};
use crate::error::{Error, Result};
use crate::fs::{self, Handle, Stat};
use crate::gojson;
use crate::process;
use crate::tree::Node;

/// Where something lies: in the source and in the snapshot (absolute, clean).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// In the source.
    pub source: Vec<u8>,
    /// In the snapshot.
    pub snapshot: Vec<u8>,
}

impl Paths {
    /// The paths of an entry; its name in the snapshot may be another one.
    pub fn below(&self, source_name: &[u8], name: &[u8]) -> Self {
        Self {
            source: child(&self.source, source_name),
            snapshot: child(&self.snapshot, name),
        }
    }
}

/// The path of an entry.
pub fn child(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// An entry of a directory that is being saved.
pub struct Place {
    /// The directory.
    pub directory: Arc<Directory>,
    /// The entry's number among those that are saved.
    pub slot: usize,
}

/// A directory that is being saved.
pub struct Directory {
    /// Where it lies.
    pub paths: Arc<Paths>,
    started: Duration,
    /// Entries not done yet, and one more while entries are still being found.
    pending: AtomicUsize,
    /// The directory lies above targets: its entry of this number is one.
    targets: Vec<bool>,
    state: Mutex<State>,
}

struct State {
    above: Option<Place>,
    /// The directory itself; `None` for the root.
    node: Option<Node>,
    previous: Before,
    children: Vec<Option<Node>>,
    /// How many of them are as the directory cache has them.
    same: usize,
    memo: Option<Memo>,
}

/// An entry that is done; without a node it is left out.
struct Done {
    place: Place,
    node: Option<Node>,
    /// The node is as the directory cache has it.
    same: bool,
}

/// What the parent snapshot has in a directory's place.
pub enum Before {
    /// Nothing.
    Nothing,
    /// This node.
    Node(Box<Node>),
    /// What the directory cache knows of it.
    Cached(Arc<Known>),
}

impl From<Option<Box<Node>>> for Before {
    fn from(node: Option<Box<Node>>) -> Self {
        node.map_or(Self::Nothing, Self::Node)
    }
}

impl Directory {
    /// A directory with so many entries to be saved. It is complete after `entries` + 1 calls of
    /// [`Engine::settle`] or [`Engine::release`].
    pub fn new(
        paths: Arc<Paths>,
        above: Option<Place>,
        node: Option<Node>,
        previous: Before,
        entries: usize,
        targets: Vec<bool>,
        started: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            paths,
            started,
            pending: AtomicUsize::new(entries + 1),
            targets,
            state: Mutex::new(State {
                above,
                node,
                previous,
                children: std::iter::repeat_with(|| None).take(entries).collect(),
                same: 0,
                memo: None,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Directory {
    /// Lets go of the directories above one by one: a chain of thousands must not recurse.
    fn drop(&mut self) {
        let mut above = self.lock().above.take();
        while let Some(place) = above {
            above = Arc::into_inner(place.directory).and_then(|last| last.lock().above.take());
        }
    }
}

/// A directory to be listed.
pub struct DirectoryTask {
    /// The directory that holds it.
    pub holder: Arc<Handle>,
    /// Its name there.
    pub name: Vec<u8>,
    /// Its name in the snapshot.
    pub node_name: Vec<u8>,
    /// Where it lies.
    pub paths: Arc<Paths>,
    /// Where the finished node goes.
    pub place: Place,
    /// The rules of the directory that holds it; `None` if it is a target.
    pub inside: Option<Arc<Inside>>,
    /// What the parent snapshot has there.
    pub previous: Before,
    /// When it was met.
    pub started: Duration,
}

/// An open directory: handle, facts, its own node.
type Opened = (Handle, Stat, Node);

impl Engine<'_> {
    /// Lists a directory, completes what needs no reading, and adds tasks for the rest.
    pub fn list_directory(&self, task: DirectoryTask, tools: &mut Tools) -> Result<()> {
        // The worker's scratch, on loan: nothing that a listing calls lists another directory.
        let mut found = std::mem::take(&mut tools.found);
        let result = self.list_into(task, &mut found, tools);
        tools.found = found;
        result
    }

    fn list_into(&self, task: DirectoryTask, found: &mut Found, tools: &mut Tools) -> Result<()> {
        self.control.check()?;
        let paths = Arc::clone(&task.paths);
        self.control.set_current(tools.worker, &paths.snapshot);
        let waits = process::waits();
        let opened = self.open(&task, &paths, found);
        let (handle, stat, node) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                let error = Error::os(gojson::display(&paths.source), errno);
                self.report.failed(&paths.source, error);
                return self.settle(task.place, None, tools);
            }
        };
        if self.repository == Some((stat.device, stat.inode)) {
            self.report
                .notice(&paths.source, "repository-inside-source");
        }
        let above = task.inside.as_deref();
        let unusable = |tag: Vec<u8>| self.report.notice(&tag, "tagfile-unusable");
        let inside = self
            .select
            .inside(&handle, &paths.source, stat.device, above, unusable);
        let inside = Arc::new(inside);
        let learnt = self.learnt(&task);
        let listing = Listing {
            handle: &handle,
            paths: &paths,
            inside: Some(&inside),
            attested: learnt.is_some(),
            tally: Cell::default(),
        };
        let errors = self.control.counters.errors.load(Ordering::Relaxed);
        found.look(|name| {
            self.control.check()?;
            self.look(&listing, name)
        })?;
        self.queue.listed(process::waits() > waits);
        let mut memo = self.memo(found, errors);
        let mut visits = Vec::new();
        if let Some(reused) = self.reusable(&task, learnt, found, memo.as_ref()) {
            self.reuse(&listing, found, reused.below, &mut visits)?;
            if let Some(memo) = &mut memo {
                memo.reused = Some(reused.known);
            }
        } else {
            let mut previous = self.entries_before(&task, tools)?;
            for (name, stat) in found.iter() {
                self.control.check()?;
                let before = previous.take(name);
                match self.decide(&listing, name, name, *stat, before)? {
                    Visit::Skip => {}
                    visit => visits.push((name.to_vec(), visit)),
                }
            }
        }
        self.count(&listing);
        let directory = Directory::new(
            paths,
            Some(task.place),
            Some(node),
            task.previous,
            visits.len(),
            Vec::new(),
            task.started,
        );
        directory.lock().memo = memo;
        self.spread(&directory, &Arc::new(handle), &inside, visits, tools)?;
        self.release(&directory, tools)
    }

    fn open(
        &self,
        task: &DirectoryTask,
        paths: &Paths,
        found: &mut Found,
    ) -> Result<Opened, Errno> {
        let handle = fs::open_directory(&task.holder, &task.name)?;
        let stat = fs::stat_handle(&handle)?;
        let mut node = self
            .facts
            .node(&task.node_name, &stat)
            .ok_or(Errno::NOTDIR)?;
        self.keep_xattrs(&mut node, fs::xattrs_of_handle(&handle), &paths.source);
        found.list(&handle)?;
        Ok((handle, stat, node))
    }

    /// Completes entries that are done and adds tasks for the others.
    fn spread(
        &self,
        directory: &Arc<Directory>,
        handle: &Arc<Handle>,
        inside: &Arc<Inside>,
        visits: Vec<(Vec<u8>, Visit)>,
        tools: &mut Tools,
    ) -> Result<()> {
        let mut tasks = Vec::new();
        let mut files = Vec::new();
        for (slot, (name, visit)) in visits.into_iter().enumerate() {
            let place = || Place {
                directory: Arc::clone(directory),
                slot,
            };
            match visit {
                Visit::Skip => {}
                Visit::Node(node) => self.settle(place(), Some(*node), tools)?,
                Visit::File(stat, previous) => files.push(FileEntry {
                    slot,
                    node_name: name.clone(),
                    name,
                    size: stat.size,
                    previous,
                }),
                Visit::Directory(previous) => {
                    tasks.push(Task::Directory(Box::new(DirectoryTask {
                        holder: Arc::clone(handle),
                        node_name: name.clone(),
                        paths: Arc::new(directory.paths.below(&name, &name)),
                        name,
                        place: place(),
                        inside: Some(Arc::clone(inside)),
                        previous,
                        started: self.elapsed(),
                    })));
                }
            }
        }
        // The last task is taken first: files before sub-directories, both in order of names.
        tasks.extend(batches(files).map(|files| {
            Task::Files(Box::new(FilesTask {
                holder: Arc::clone(handle),
                above: Arc::clone(&directory.paths),
                directory: Arc::clone(directory),
                files,
            }))
        }));
        tasks.reverse();
        let directories = tasks
            .iter()
            .filter(|t| matches!(t, Task::Directory(_)))
            .count();
        // After reversing, files lie in front; they have to be on top of the stack.
        let split = tasks.len() - directories;
        tasks.rotate_left(split);
        self.queue.push(tasks);
        Ok(())
    }

    /// An entry is done; `None` leaves it out. Completes the directories above as far as they are done.
    pub fn settle(&self, place: Place, node: Option<Node>, tools: &mut Tools) -> Result<()> {
        let same = false;
        self.settle_all(Some(Done { place, node, same }), tools)
    }

    fn settle_all(&self, mut next: Option<Done>, tools: &mut Tools) -> Result<()> {
        while let Some(Done { place, node, same }) = next {
            let Place { directory, slot } = place;
            if node.is_some() && directory.targets.get(slot) == Some(&true) {
                self.saved_targets.fetch_add(1, Ordering::Relaxed);
            }
            let mut state = directory.lock();
            state.children[slot] = node;
            state.same += usize::from(same);
            drop(state);
            next = self.count_down(&directory, tools)?;
        }
        Ok(())
    }

    /// All entries of a directory are found: it is complete as soon as they are done.
    pub fn release(&self, directory: &Arc<Directory>, tools: &mut Tools) -> Result<()> {
        let next = self.count_down(directory, tools)?;
        self.settle_all(next, tools)
    }

    fn count_down(&self, directory: &Directory, tools: &mut Tools) -> Result<Option<Done>> {
        if directory.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(None);
        }
        let (above, node, previous, children, same, memo) = {
            let mut state = directory.lock();
            (
                state.above.take(),
                state.node.take(),
                std::mem::replace(&mut state.previous, Before::Nothing),
                std::mem::take(&mut state.children),
                state.same,
                state.memo.take(),
            )
        };
        let saved = self.save_tree(children, same, memo.as_ref(), tools)?;
        let added = saved.added;
        let (Some(place), Some(mut node)) = (above, node) else {
            self.report.add(added);
            // Set once: only the root has nothing above, and it completes once.
            let _ = self.root.set(saved.tree);
            return Ok(None);
        };
        node.subtree = Some(saved.tree);
        let digest = match (&previous, &memo) {
            (Before::Cached(_), _) | (_, Some(_)) => Some(node_digest(&node)?),
            _ => None,
        };
        let same = matches!(&previous, Before::Cached(known) if digest == Some(known.node));
        let change = match previous {
            Before::Nothing => Change::New,
            Before::Node(previous) if equal(&previous, &node) => Change::Unmodified,
            Before::Cached(_) if same => Change::Unmodified,
            Before::Node(_) | Before::Cached(_) => Change::Changed,
        };
        let path = &directory.paths.snapshot;
        if let (Some(memo), Some(digest)) = (memo, digest) {
            self.learn(path, digest, saved, memo);
        }
        self.report
            .directory(path, change, added, directory.started)?;
        let node = Some(node);
        Ok(Some(Done { place, node, same }))
    }
}
