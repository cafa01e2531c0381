//! The first tasks: the directories above the targets, and the targets.

use std::cell::Cell;
use std::sync::Arc;

use rustix::io::Errno;

use super::directory::{Directory, DirectoryTask, Paths, Place};
use super::engine::{Engine, Tools};
use super::file::{FileEntry, FilesTask};
use super::queue::Task;
use super::targets::{Target, absolute, split};
use super::visit::{Listing, Previous, Visit};
use crate::error::{Error, Result};
use crate::fs::{self, Kind, Stat};
use crate::gojson;
use crate::tree::Node;

/// A directory above targets whose entries are to be planted.
struct Above<'a> {
    target: &'a Target,
    paths: Paths,
    place: Option<Place>,
    node: Option<Node>,
    previous: Option<Box<Node>>,
}

impl Engine<'_> {
    /// Adds the tasks for all targets.
    pub fn plant(&self, plan: &Target, current: &[u8], tools: &mut Tools) -> Result<()> {
        let mut rest = vec![Above {
            target: plan,
            paths: Paths {
                source: b"/".to_vec(),
                snapshot: b"/".to_vec(),
            },
            place: None,
            node: None,
            previous: None,
        }];
        // A stack and no recursion: a path may have thousands of components.
        while let Some(above) = rest.pop() {
            self.plant_below(above, current, &mut rest, tools)?;
        }
        Ok(())
    }

    fn plant_below<'t>(
        &self,
        above: Above<'t>,
        current: &[u8],
        rest: &mut Vec<Above<'t>>,
        tools: &mut Tools,
    ) -> Result<()> {
        self.control.check()?;
        let started = self.elapsed();
        let mut previous = match (&above.place, &self.options.parent_tree) {
            (None, Some(tree)) => self.previous_tree(tree, b"/", tools)?,
            (None, None) => Previous::default(),
            (Some(_), _) => self.previous(above.previous.as_deref(), &above.paths.source, tools)?,
        };
        let below = &above.target.below;
        let directory = Directory::new(
            Arc::new(above.paths.clone()),
            above.place,
            above.node,
            above.previous.into(),
            below.len(),
            below.values().map(|t| t.source.is_some()).collect(),
            started,
        );
        for (slot, (name, target)) in below.iter().enumerate() {
            let place = Place {
                directory: Arc::clone(&directory),
                slot,
            };
            let before = previous.take(name);
            if let Some(source) = &target.source {
                self.plant_target(place, name, source, target.explicit, current, before, tools)?;
                continue;
            }
            match self.above_node(name, &target.facts) {
                Ok(node) => rest.push(Above {
                    target,
                    paths: Paths {
                        source: absolute(current, &target.facts),
                        snapshot: above.paths.below(name, name).snapshot,
                    },
                    place: Some(place),
                    node: Some(node),
                    previous: before,
                }),
                Err(errno) => {
                    let error = Error::os(gojson::display(&target.facts), errno);
                    self.report.failed(&target.facts, error);
                    self.settle(place, None, tools)?;
                }
            }
        }
        self.release(&directory, tools)
    }

    /// The node of a directory above a target: a link to it is followed, as in the path that was given.
    fn above_node(&self, name: &[u8], path: &[u8]) -> Result<Node, Errno> {
        let stat = fs::stat_path(path, true)?;
        let node = self
            .facts
            .node(name, &stat)
            .filter(|_| stat.kind == Kind::Directory);
        let mut node = node.ok_or(Errno::NOTDIR)?;
        match fs::xattrs_of_path(path) {
            // Above the source it is common that one may pass but not look.
            Err(Errno::ACCESS | Errno::PERM) => {}
            xattrs => self.keep_xattrs(&mut node, xattrs, path),
        }
        Ok(node)
    }

    #[allow(clippy::too_many_arguments)]
    fn plant_target(
        &self,
        place: Place,
        name: &[u8],
        source: &[u8],
        explicit: bool,
        current: &[u8],
        previous: Option<Box<Node>>,
        tools: &mut Tools,
    ) -> Result<()> {
        let (parent, base) = split(source);
        let opened = fs::open_directory_path(parent)
            .and_then(|handle| fs::stat_handle(&handle).map(|stat| (handle, stat)));
        let (holder, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.report
                    .failed(source, Error::os(gojson::display(source), errno));
                return self.settle(place, None, tools);
            }
        };
        let holder = Arc::new(holder);
        let paths = Paths {
            source: absolute(current, parent),
            snapshot: place.directory.paths.snapshot.clone(),
        };
        let inside = self
            .select
            .inside(&holder, &paths.source, stat.device, None, |_| {});
        let listing = Listing {
            handle: &holder,
            paths: &paths,
            inside: (!explicit).then_some(&inside),
            attested: false,
            tally: Cell::default(),
        };
        let visit = match self.look(&listing, base)? {
            Some(stat) => self.decide(&listing, base, name, stat, previous)?,
            None => Visit::Skip,
        };
        self.count(&listing);
        match visit {
            Visit::Skip => self.settle(place, None, tools),
            Visit::Node(node) => self.settle(place, Some(*node), tools),
            Visit::File(Stat { size, .. }, previous) => {
                let file = FileEntry {
                    slot: place.slot,
                    name: base.to_vec(),
                    node_name: name.to_vec(),
                    size,
                    previous,
                };
                self.queue.push([Task::Files(Box::new(FilesTask {
                    holder,
                    above: Arc::new(paths),
                    directory: place.directory,
                    files: vec![file],
                }))]);
                Ok(())
            }
            Visit::Directory(previous) => {
                self.queue.push([Task::Directory(Box::new(DirectoryTask {
                    holder,
                    paths: Arc::new(paths.below(base, name)),
                    name: base.to_vec(),
                    node_name: name.to_vec(),
                    place,
                    inside: Some(Arc::new(inside)),
                    previous,
                    started: self.elapsed(),
                }))]);
                Ok(())
            }
        }
    }
}
