//! A directory and the directory cache: when its tree is taken from there, and what the cache learns.

use std::sync::atomic::Ordering;

use super::dircache::{Known, digest, node_digest};
use super::directory::{Before, Directory, DirectoryTask, child};
use super::engine::{Engine, Tools};
use super::report::Added;
use super::visit::{Listing, Previous, Visit};
use crate::error::{Error, Result};
use crate::fs::{Kind, Stat};
use crate::id::{BlobKind, Id};
use crate::tree::{Node, NodeType, TreeBuilder};

/// What the directory cache may learn from a directory.
pub struct Memo {
    /// Of its entries; `None`: one is too young.
    pub digest: Option<Id>,
    /// Item errors before it was listed.
    pub errors: u64,
    /// Taken from the cache: only sub-directories are among the children then.
    pub reused: Option<Known>,
}

impl Engine<'_> {
    /// What the cache may learn; nothing without one.
    pub fn memo(&self, entries: &[(Vec<u8>, Stat)], errors: u64) -> Option<Memo> {
        self.cache.as_ref()?;
        Some(Memo {
            digest: digest(entries, &self.facts.names, self.repo.clock().now()),
            errors,
            reused: None,
        })
    }

    /// The cache's knowledge of a directory, if the parent snapshot has the tree there that it learnt.
    fn learnt(&self, task: &DirectoryTask) -> Option<&Known> {
        let known = self.cache.as_ref()?.known(&task.paths.snapshot)?;
        let same_tree = match &task.previous {
            Before::Nothing => false,
            Before::Node(node) => node.subtree == Some(known.tree),
            Before::Cached(_) => true,
        };
        same_tree.then_some(known)
    }

    /// See [`Listing::attested`].
    pub fn attested(&self, task: &DirectoryTask) -> bool {
        self.learnt(task).is_some()
    }

    /// The cache's knowledge of a directory, if nothing in it has changed and nothing of it is lost.
    pub fn reusable(
        &self,
        task: &DirectoryTask,
        entries: &[(Vec<u8>, Stat)],
        memo: Option<&Memo>,
    ) -> Option<Known> {
        let cache = self.cache.as_ref()?;
        let known = self.learnt(task)?;
        if memo?.digest != Some(known.digest) || !known.is_present(self.index) {
            return None;
        }
        // Every sub-directory has to be known: what it was like is asked of the cache then.
        let all = entries
            .iter()
            .filter(|(_, stat)| stat.kind == Kind::Directory)
            .all(|(name, _)| cache.known(&child(&task.paths.snapshot, name)).is_some());
        all.then(|| known.clone())
    }

    /// Tells about the unchanged entries of a reused directory; sub-directories are to be listed.
    pub fn reuse(
        &self,
        listing: &Listing<'_>,
        entries: Vec<(Vec<u8>, Stat)>,
        visits: &mut Vec<(Vec<u8>, Visit)>,
    ) -> Result<()> {
        for (name, stat) in entries {
            let place = child(&listing.paths.snapshot, &name);
            match stat.kind {
                Kind::Directory => {
                    let known = self.cache.as_ref().and_then(|cache| cache.known(&place));
                    let node = known
                        .ok_or_else(|| Error::internal("a cached directory is gone"))?
                        .node;
                    visits.push((name, Visit::Directory(Before::Cached(node))));
                }
                Kind::File => self.unmodified_file(&place, stat.size)?,
                Kind::Socket => {
                    let path = child(&listing.paths.source, &name);
                    self.report.notice(&path, "socket-skipped");
                }
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
            Before::Cached(_) => {
                let known = self
                    .cache
                    .as_ref()
                    .and_then(|c| c.known(&task.paths.snapshot));
                match known {
                    Some(known) => self.previous_tree(&known.tree, path, tools),
                    None => Ok(Previous::default()),
                }
            }
        }
    }

    /// Saves a directory's tree; gives its id, what was added, and the data blobs of its files.
    pub fn save_tree(
        &self,
        directory: &Directory,
        children: Vec<Option<Node>>,
        memo: Option<&Memo>,
        tools: &mut Tools,
    ) -> Result<(Id, Added, Vec<Id>)> {
        let known = memo.and_then(|memo| memo.reused.as_ref());
        let mut nodes: Vec<Node> = Vec::new();
        if let Some(known) = known {
            if self.all_as_cached(directory, &children) {
                return Ok((known.tree, Added::default(), known.content.clone()));
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
        Ok((tree, added, content))
    }

    fn all_as_cached(&self, directory: &Directory, children: &[Option<Node>]) -> bool {
        for node in children {
            let Some(node) = node else { return false };
            let path = child(&directory.paths.snapshot, &node.name);
            let known = self.cache.as_ref().and_then(|cache| cache.known(&path));
            if known.is_none_or(|known| Ok(known.node) != node_digest(node)) {
                return false;
            }
        }
        true
    }

    /// The nodes of a tree that the cache relies on. If it cannot be read, the cache cannot be used at all.
    fn cached_nodes(&self, tree: &Id, tools: &mut Tools) -> Result<Vec<Node>> {
        self.repo
            .load_blob(&mut tools.codec, self.index, BlobKind::Tree, tree)
            .and_then(|bytes| crate::tree::parse(&format!("tree {tree}"), &bytes))
            .inspect_err(|_| self.cache_failed.store(true, Ordering::Relaxed))
    }

    /// Lets the cache learn a directory that went without any failure.
    pub fn learn(
        &self,
        path: &[u8],
        node: &Node,
        tree: Id,
        content: Vec<Id>,
        memo: Option<Memo>,
    ) -> Result<()> {
        let (Some(cache), Some(memo)) = (&self.cache, memo) else {
            return Ok(());
        };
        let Some(digest) = memo.digest else {
            return Ok(());
        };
        // Errors elsewhere at the same time count too: that only makes the next backup read more.
        if self.control.counters.errors.load(Ordering::Relaxed) == memo.errors {
            let node = node_digest(node)?;
            let known = Known {
                digest,
                node,
                tree,
                content,
            };
            cache.learn(path.to_vec(), known);
        }
        Ok(())
    }
}
