//! A directory and the directory cache: when its tree is taken from there, and what the cache learns.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dircache::{Known, digest};
use super::directory::{Before, DirectoryTask, child};
use super::engine::{Engine, Tools};
use super::found::Found;
use super::report::Added;
use super::visit::{Listing, Previous, Visit};
use crate::error::{Error, Result};
use crate::fs::Kind;
use crate::id::{BlobKind, Id};
use crate::tree::{Node, NodeType, TreeBuilder};

/// What the directory cache may learn from a directory.
pub struct Memo {
    /// Of its entries; `None`: one is too young.
    pub digest: Option<Id>,
    /// Item errors before it was listed.
    pub errors: u64,
    /// Taken from the cache: only sub-directories are among the children then.
    pub reused: Option<Arc<Known>>,
}

/// A directory that is as the cache knows it.
pub struct Reused {
    /// It.
    pub known: Arc<Known>,
    /// Its sub-directories, in order of names.
    pub below: Vec<Arc<Known>>,
}

/// The tree of a directory.
pub struct Saved {
    /// Its id.
    pub tree: Id,
    /// What was added.
    pub added: Added,
    /// The data blobs of its files; `None`: those that the cache knows.
    content: Option<Vec<Id>>,
}

impl Engine<'_> {
    /// What the cache may learn; nothing without one.
    pub fn memo(&self, found: &Found, errors: u64) -> Option<Memo> {
        self.cache.as_ref()?;
        Some(Memo {
            digest: digest(found.iter(), &self.facts.names, self.repo.clock().now()),
            errors,
            reused: None,
        })
    }

    /// The cache's knowledge of a directory, if the parent snapshot has the tree there that it learnt (see
    /// [`Listing::attested`]).
    pub fn learnt<'t>(&'t self, task: &'t DirectoryTask) -> Option<&'t Arc<Known>> {
        match &task.previous {
            Before::Nothing => None,
            Before::Cached(known) => Some(known),
            Before::Node(node) => {
                let known = self.cache.as_ref()?.known(&task.paths.snapshot)?;
                (node.subtree == Some(known.tree)).then_some(known)
            }
        }
    }

    /// The cache's knowledge of a directory and of those below it, if nothing in it has changed and nothing of it is
    /// lost. `learnt`: see [`Engine::learnt`].
    pub fn reusable(
        &self,
        task: &DirectoryTask,
        learnt: Option<&Arc<Known>>,
        found: &Found,
        memo: Option<&Memo>,
    ) -> Option<Reused> {
        let cache = self.cache.as_ref()?;
        let known = learnt?;
        if memo?.digest != Some(known.digest) {
            return None;
        }
        if !cache.is_whole() && !known.is_present(self.index) {
            return None;
        }
        // Every sub-directory has to be known: what it was like is asked of the cache then.
        let directories = found
            .iter()
            .filter(|(_, stat)| stat.kind == Kind::Directory);
        let below = directories
            .map(|(name, _)| cache.known(&child(&task.paths.snapshot, name)).cloned())
            .collect::<Option<_>>()?;
        let known = Arc::clone(known);
        Some(Reused { known, below })
    }

    /// Tells about the unchanged entries of a reused directory; sub-directories are to be listed. `below`: what
    /// [`Engine::reusable`] gave.
    pub fn reuse(
        &self,
        listing: &Listing<'_>,
        found: &Found,
        below: Vec<Arc<Known>>,
        visits: &mut Vec<(Vec<u8>, Visit)>,
    ) -> Result<()> {
        let mut below = below.into_iter();
        for (name, stat) in found.iter() {
            match stat.kind {
                Kind::Directory => {
                    let known = below
                        .next()
                        .ok_or_else(|| Error::internal("a cached directory is gone"))?;
                    visits.push((name.to_vec(), Visit::Directory(Before::Cached(known))));
                }
                Kind::File => self.unmodified_file(listing, name, stat.size)?,
                Kind::Socket => self.skipped_socket(listing, name),
                _ => {}
            }
        }
        Ok(())
    }

    /// The nodes that the parent snapshot has in a directory.
    pub fn entries_before(&self, task: &DirectoryTask, tools: &mut Tools) -> Result<Previous> {
        let path = &task.paths.source;
        match &task.previous {
            Before::Nothing => Ok(Previous::default()),
            Before::Node(node) => self.previous(Some(node), path, tools),
            Before::Cached(known) => self.previous_tree(&known.tree, path, tools),
        }
    }

    /// Saves a directory's tree. `same`: how many of the children are as the cache has them.
    pub fn save_tree(
        &self,
        children: Vec<Option<Node>>,
        same: usize,
        memo: Option<&Memo>,
        tools: &mut Tools,
    ) -> Result<Saved> {
        let known = memo.and_then(|memo| memo.reused.as_ref());
        let mut nodes: Vec<Node> = Vec::new();
        if let Some(known) = known {
            if same == children.len() {
                return Ok(Saved {
                    tree: known.tree,
                    added: Added::default(),
                    content: None,
                });
            }
            // A sub-directory has changed: everything else is as in the tree that is known.
            let before = self.cached_nodes(&known.tree, tools)?;
            nodes.extend(before.into_iter().filter(|node| node.kind != NodeType::Dir));
        }
        nodes.extend(children.into_iter().flatten());
        if known.is_some() {
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let mut builder = TreeBuilder::new();
        let mut content = Vec::new();
        for node in &nodes {
            builder.add(node)?;
            if memo.is_some() {
                content.extend(node.content.iter().flatten());
            }
        }
        let (tree, added) = self.save_blob(BlobKind::Tree, &builder.finish(), tools)?;
        let content = Some(content);
        Ok(Saved {
            tree,
            added,
            content,
        })
    }

    /// The nodes of a tree that the cache relies on. If it cannot be read, the cache cannot be used at all.
    fn cached_nodes(&self, tree: &Id, tools: &mut Tools) -> Result<Vec<Node>> {
        self.repo
            .load_blob(&mut tools.codec, self.index, BlobKind::Tree, tree)
            .and_then(|bytes| crate::tree::parse(&format!("tree {tree}"), &bytes))
            .inspect_err(|_| self.cache_failed.store(true, Ordering::Relaxed))
    }

    /// Lets the cache learn a directory that went without any failure. `node`: the digest of its own node.
    pub fn learn(&self, path: &[u8], node: Id, saved: Saved, memo: Memo) {
        let (Some(cache), Some(digest)) = (&self.cache, memo.digest) else {
            return;
        };
        // Errors elsewhere at the same time count too: that only makes the next backup read more.
        if self.control.counters.errors.load(Ordering::Relaxed) != memo.errors {
            return;
        }
        let tree = saved.tree;
        let new = |content| {
            Arc::new(Known {
                digest,
                node,
                tree,
                content,
            })
        };
        let known = match (saved.content, memo.reused) {
            (Some(content), _) => new(content),
            (None, Some(known)) if known.node == node => known,
            (None, Some(known)) => new(known.content.clone()),
            // Without content there is a directory that was reused.
            (None, None) => return,
        };
        cache.learn(path.to_vec(), known);
    }
}
