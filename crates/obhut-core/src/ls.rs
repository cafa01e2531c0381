//! Listing a snapshot's tree, as `restic ls` does: which entries are shown, in which form.
//!
//! The order is that of the trees, depth first, unless another one is asked for ([`Order`]). A tree that cannot be read ends the listing with an error:
//! what was listed until then is not the whole.

mod filter;
mod order;
mod render;

pub use filter::PathFilter;
pub use order::{Order, SortKey};

use std::str::FromStr;

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::gotime::LocalZone;
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::job::Control;
use crate::repo::Repository;
use crate::tree::{self, Node, NodeType};
use order::Sorter;
use render::Renderer;

/// How entries are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Paths, a line each, unprintable characters escaped.
    Names,
    /// As `ls -l`: mode, owner, group, size, local time, path, target.
    Long,
    /// restic's JSON, an object a line.
    Json,
    /// The entries of ncdu's export format; its head and its last lines belong to whoever knows the snapshot.
    Ncdu,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "names" => Ok(Self::Names),
            "long" => Ok(Self::Long),
            "json" => Ok(Self::Json),
            "ncdu" => Ok(Self::Ncdu),
            _ => Err(Error::new(Code::InvalidArgument, "format", text)),
        }
    }
}

/// What is listed and how.
#[derive(Clone, Debug)]
pub struct LsOptions {
    /// The tree to start from.
    pub tree: Id,
    /// Absolute paths below it: only what is in them is shown; empty shows all.
    pub paths: Vec<Vec<u8>>,
    /// With `paths`: also what lies deeper in them.
    pub recursive: bool,
    /// The form.
    pub format: Format,
    /// Sizes as `1.500 MiB` in the long form.
    pub human: bool,
    /// In which order; another one than that of the trees is not possible for ncdu, which nests.
    pub order: Order,
}

/// What was listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LsReport {
    /// Entries shown (for ncdu also the directories that lead to them).
    pub entries: u64,
}

/// Bytes that are gathered before they are handed over.
const BATCH: usize = 64 << 10;

/// Renders the tree's entries through [`Control::emit`].
pub fn run(
    repo: &Repository,
    index: &Index,
    options: &LsOptions,
    control: &Control,
) -> Result<LsReport> {
    let mut codec = repo.codec();
    let mut load = |id: &Id| repo.load_blob(&mut codec, index, BlobKind::Tree, id);
    list(&mut load, options, LocalZone::system(), control)
}

/// Reads the tree of an id.
type Load<'a> = dyn FnMut(&Id) -> Result<Vec<u8>> + 'a;

/// A directory that is being listed.
struct Frame {
    nodes: std::vec::IntoIter<Node>,
    /// Length of the path of the directory above.
    above: usize,
}

/// [`run`] on trees from anywhere.
fn list(
    load: &mut Load<'_>,
    options: &LsOptions,
    zone: LocalZone,
    control: &Control,
) -> Result<LsReport> {
    let filter = PathFilter::new(&options.paths, options.recursive)?;
    if options.format == Format::Ncdu && !options.order.is_of_trees() {
        let detail = "ncdu's format nests, so it has the order of the trees";
        return Err(Error::new(Code::InvalidArgument, "--sort", detail));
    }
    let mut sorter = Sorter::new(options.order);
    let mut renderer = Renderer::new(options.format, options.human, zone);
    let mut report = LsReport::default();
    let mut path = Vec::new();
    let mut out = Vec::with_capacity(BATCH + 4096);
    let mut frames = vec![Frame {
        nodes: load_nodes(load, &options.tree)?.into_iter(),
        above: 0,
    }];
    while let Some(frame) = frames.last_mut() {
        control.check()?;
        let Some(node) = frame.nodes.next() else {
            path.truncate(frame.above);
            frames.pop();
            if !frames.is_empty() {
                renderer.leave(&mut out);
            }
            continue;
        };
        let above = path.len();
        path.push(b'/');
        path.extend_from_slice(&node.name);
        let choice = filter.choose(&path);
        if choice.show || choice.enter && renderer.wants_parents() {
            renderer.node(&path, &node, &mut out);
            report.entries += 1;
            sorter.keep(&path, &node, &mut out);
        }
        if node.kind == NodeType::Dir && choice.enter {
            let subtree = node.subtree.ok_or_else(|| {
                Error::damaged(gojson::display(&path), "a directory without a tree")
            })?;
            let nodes = load_nodes(load, &subtree)?.into_iter();
            frames.push(Frame { nodes, above });
        } else {
            if node.kind == NodeType::Dir && choice.show {
                renderer.leave(&mut out);
            }
            path.truncate(above);
        }
        if out.len() >= BATCH {
            control.emit(&out)?;
            out.clear();
        }
    }
    control.emit(&out)?;
    sorter.emit(control)?;
    Ok(report)
}

fn load_nodes(load: &mut Load<'_>, id: &Id) -> Result<Vec<Node>> {
    tree::parse(&format!("tree {id}"), &load(id)?)
}

/// Follows `subpath` (slashes between names; empty and `.` parts are skipped, `..` goes up) from `tree`.
///
/// Gives the entry it names, `None` for the start itself, and a tree: of a directory its own, of anything
/// else the one that it is an entry of. `path-missing` if there is no such entry.
pub fn resolve(
    repo: &Repository,
    index: &Index,
    tree: Id,
    subpath: &[u8],
) -> Result<(Option<Node>, Id)> {
    let mut codec = repo.codec();
    let mut load = |id: &Id| repo.load_blob(&mut codec, index, BlobKind::Tree, id);
    follow(&mut load, tree, subpath)
}

/// [`resolve`] on trees from anywhere.
fn follow(load: &mut Load<'_>, tree: Id, subpath: &[u8]) -> Result<(Option<Node>, Id)> {
    let mut at = tree;
    let mut found: Option<Node> = None;
    let mut path = Vec::new();
    for name in filter::clean(subpath) {
        if found
            .as_ref()
            .is_some_and(|node| node.kind != NodeType::Dir)
        {
            let object = gojson::display(&path);
            return Err(Error::new(Code::PathMissing, object, "not a directory"));
        }
        path.push(b'/');
        path.extend_from_slice(name);
        let nodes = load_nodes(load, &at)?;
        let node = nodes.into_iter().find(|node| node.name == name);
        let node = node.ok_or_else(|| {
            Error::new(
                Code::PathMissing,
                gojson::display(&path),
                "not in the snapshot",
            )
        })?;
        if node.kind == NodeType::Dir {
            at = node.subtree.ok_or_else(|| {
                Error::damaged(gojson::display(&path), "a directory without a tree")
            })?;
        }
        found = Some(node);
    }
    Ok((found, at))
}

#[cfg(test)]
mod tests;
