//! A made disk: a tree of names, what `lstat` says of them, and the steps of a group with the same preconditions as on a real
//! one. What is thrown away without being kept is noted: the engine may not do that.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::civil::DateTime;
use obhut_bep::{Blocks, digest};
use obhut_sync::internal::is_internal;
use obhut_sync::io::{
    Act, Displaced, Expected, Facts, FactsKind, Failure, Hashed, Outcome, Source, Step,
};
use obhut_sync::versions::tagged;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: FactsKind,
    pub content: Rc<Vec<u8>>,
    pub mode: u32,
    pub modified: (i64, i32),
    pub changed: u64,
    pub inode: u64,
    /// Millisecond of the last change of content.
    pub at: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub nodes: BTreeMap<String, Node>,
    pub generation: Option<u64>,
    pub marker: bool,
    pub counter: u64,
    /// The millisecond that it is.
    pub now: u64,
    /// Files that were dropped by steps: a violation.
    pub dropped: Vec<String>,
    /// How often each outcome occurred.
    pub counts: BTreeMap<&'static str, u64>,
}

pub fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

impl Disk {
    fn tick(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn facts(&self, name: &str) -> Option<Facts> {
        let node = self.nodes.get(name)?;
        Some(Facts {
            kind: node.kind,
            size: if node.kind == FactsKind::File {
                node.content.len() as u64
            } else {
                0
            },
            modified: node.modified,
            changed: (node.changed as i64, 0),
            mode: node.mode,
            device: 1,
            inode: node.inode,
            target: if node.kind == FactsKind::Symlink {
                (*node.content).clone()
            } else {
                Vec::new()
            },
        })
    }

    fn has_parent(&self, name: &str) -> bool {
        parent(name).is_none_or(|parent| {
            self.nodes
                .get(parent)
                .is_some_and(|node| node.kind == FactsKind::Directory)
        })
    }

    pub fn below(&self, name: &str) -> Vec<String> {
        let first = format!("{name}/");
        self.nodes
            .range(first.clone()..)
            .take_while(|(found, _)| found.starts_with(&first))
            .map(|(found, _)| found.clone())
            .collect()
    }

    pub fn make(
        &mut self,
        name: &str,
        kind: FactsKind,
        content: Vec<u8>,
        mode: u32,
        at: (i64, i32),
    ) -> bool {
        if !self.has_parent(name) || self.nodes.contains_key(name) {
            return false;
        }
        let (changed, inode, at_ms) = (self.tick(), self.tick(), self.now);
        self.nodes.insert(
            name.to_owned(),
            Node {
                kind,
                content: Rc::new(content),
                mode,
                modified: at,
                changed,
                inode,
                at: at_ms,
            },
        );
        true
    }

    /// As programs save: another content in the same file.
    pub fn overwrite(&mut self, name: &str, content: Vec<u8>, at: (i64, i32)) {
        let changed = self.tick();
        if let Some(node) = self.nodes.get_mut(name) {
            node.content = Rc::new(content);
            node.at = self.now;
            node.modified = at;
            node.changed = changed;
        }
    }

    pub fn chmod(&mut self, name: &str, mode: u32) {
        let changed = self.tick();
        if let Some(node) = self.nodes.get_mut(name) {
            node.mode = mode;
            node.changed = changed;
        }
    }

    pub fn remove(&mut self, name: &str) {
        for found in self.below(name) {
            self.nodes.remove(&found);
        }
        self.nodes.remove(name);
    }

    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        if !self.has_parent(to)
            || self.nodes.contains_key(to)
            || to.starts_with(&format!("{from}/"))
        {
            return false;
        }
        let Some(mut node) = self.nodes.remove(from) else {
            return false;
        };
        node.changed = self.tick();
        self.nodes.insert(to.to_owned(), node);
        for found in self.below(from) {
            if let Some(node) = self.nodes.remove(&found) {
                self.nodes
                    .insert(format!("{to}{}", &found[from.len()..]), node);
            }
        }
        true
    }

    pub fn hash(&self, name: &str, known: Option<u32>) -> Result<Hashed, Failure> {
        let facts = self
            .facts(name)
            .filter(|facts| facts.kind == FactsKind::File)
            .ok_or(Failure::Gone)?;
        let content = &self.nodes[name].content;
        let block_size = obhut_bep::block_size(facts.size, known);
        Ok(Hashed {
            blocks: blocks(content, block_size),
            facts,
            block_size,
        })
    }

    pub fn read(&self, name: &str, offset: u64, size: u32) -> Option<Vec<u8>> {
        let node = self
            .nodes
            .get(name)
            .filter(|node| node.kind == FactsKind::File)?;
        let first = usize::try_from(offset).ok()?;
        node.content
            .get(first..first + size as usize)
            .map(<[u8]>::to_vec)
    }

    /// A temporary file with the blocks that are there.
    pub fn prepare(
        &mut self,
        temporary: &str,
        size: u64,
        block_size: u32,
        wanted: &Blocks,
        sources: &[Source],
    ) -> Result<Vec<u32>, Failure> {
        let mut content = match self.nodes.get(temporary) {
            Some(node) => (*node.content).clone(),
            None => Vec::new(),
        };
        content.resize(size as usize, 0);
        for source in sources {
            let first = u64::from(source.block) * u64::from(block_size);
            let length = (size - first).min(u64::from(block_size)) as u32;
            if let Some(bytes) = self.read(&source.name, source.offset, length) {
                content[first as usize..][..length as usize].copy_from_slice(&bytes);
            }
        }
        let missing = (0..wanted.len() as u32)
            .filter(|&block| {
                let first = block as usize * block_size as usize;
                let last = content.len().min(first + block_size as usize);
                Some(digest(&content[first..last]).as_slice()) != wanted.hash(block as usize)
            })
            .collect();
        self.put_temporary(temporary, content)?;
        Ok(missing)
    }

    pub fn write_block(
        &mut self,
        temporary: &str,
        total: u64,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Failure> {
        let mut content = match self.nodes.get(temporary) {
            Some(node) => (*node.content).clone(),
            None => Vec::new(),
        };
        if !self.nodes.contains_key(temporary) && data.len() as u64 != total {
            return Err(Failure::Gone);
        }
        let end = offset as usize + data.len();
        content.resize(total as usize, 0);
        content[offset as usize..end].copy_from_slice(data);
        self.put_temporary(temporary, content)
    }

    fn put_temporary(&mut self, temporary: &str, content: Vec<u8>) -> Result<(), Failure> {
        if self.nodes.contains_key(temporary) {
            self.overwrite(temporary, content, (0, 0));
            return Ok(());
        }
        if self.make(temporary, FactsKind::File, content, 0o600, (0, 0)) {
            Ok(())
        } else {
            Err(Failure::Gone)
        }
    }

    /// One step; what is there has to be what is expected.
    pub fn step(&mut self, step: &Step, now: DateTime) -> Outcome {
        let outcome = self.attempt(step, now);
        let counted = match (&outcome, &step.act, step.displaced) {
            (Outcome::Changed(_), ..) => "step: something else was there",
            (Outcome::NotEmpty(_), ..) => "step: a directory is not empty",
            (Outcome::Failed(_), ..) => "step: failed",
            (Outcome::Raced { .. }, ..) => "step: raced",
            (_, _, Displaced::Conflict) => "step: conflict copy made",
            (_, Act::Move { .. }, _) => "step: moved",
            (_, Act::Remove, _) => "step: removed",
            (_, Act::Facts { .. }, _) => "step: mode or time set",
            (_, Act::Directory { .. }, _) => "step: directory made",
            (_, Act::Link { .. }, _) => "step: link made",
            (_, Act::File { .. }, _) => "step: file replaced or made",
        };
        *self.counts.entry(counted).or_default() += 1;
        outcome
    }

    fn attempt(&mut self, step: &Step, now: DateTime) -> Outcome {
        let name = step.name.as_str();
        let there = self.facts(name);
        let fits = match (&step.expected, &there) {
            (Expected::Nothing, None) => true,
            (Expected::Item(expected), Some(facts)) => {
                obhut_sync::entry::unchanged(expected, facts)
            }
            _ => false,
        };
        if !fits {
            return Outcome::Changed(there);
        }
        if !self.has_parent(name) {
            return Outcome::Failed(Failure::Gone);
        }
        match &step.act {
            Act::Facts { mode, modified } => {
                let changed = self.tick();
                if let Some(node) = self.nodes.get_mut(name) {
                    node.changed = changed;
                    node.mode = mode.unwrap_or(node.mode);
                    node.modified = modified.unwrap_or(node.modified);
                }
            }
            Act::Move {
                from,
                facts,
                mode,
                modified,
            } => {
                if self.facts(from).as_ref() != Some(facts) {
                    return Outcome::Changed(None);
                }
                self.rename(from, name);
                let node = self.nodes.get_mut(name).expect("it was moved");
                node.mode = mode.unwrap_or(node.mode);
                node.modified = *modified;
            }
            Act::File {
                temporary,
                mode,
                modified,
            } => {
                if !self.nodes.contains_key(temporary) {
                    return Outcome::Failed(Failure::Gone);
                }
                if let Some(outcome) = self.displace(step, now) {
                    return outcome;
                }
                self.rename(temporary, name);
                let node = self.nodes.get_mut(name).expect("it was moved");
                node.mode = mode.unwrap_or(0o644);
                node.modified = *modified;
            }
            Act::Directory { mode } => {
                if let Some(outcome) = self.displace(step, now) {
                    return outcome;
                }
                self.make(
                    name,
                    FactsKind::Directory,
                    Vec::new(),
                    mode.unwrap_or(0o755),
                    (0, 0),
                );
            }
            Act::Link { target } => {
                if let Some(outcome) = self.displace(step, now) {
                    return outcome;
                }
                self.make(name, FactsKind::Symlink, target.clone(), 0o777, (0, 0));
            }
            Act::Remove => {
                if let Some(outcome) = self.displace(step, now) {
                    return outcome;
                }
            }
        }
        Outcome::Done(self.facts(name))
    }

    /// Takes away what is there; an outcome if that cannot be.
    fn displace(&mut self, step: &Step, now: DateTime) -> Option<Outcome> {
        let name = step.name.as_str();
        let kind = self.nodes.get(name)?.kind;
        if kind == FactsKind::Directory {
            let inside = self.below(name);
            if !inside.is_empty() {
                return Some(Outcome::NotEmpty(inside));
            }
            self.nodes.remove(name);
            return None;
        }
        match step.displaced {
            Displaced::Drop => {
                self.dropped.push(name.to_owned());
                self.nodes.remove(name);
            }
            Displaced::Conflict => {
                if !self.rename(name, &step.copy) {
                    return Some(Outcome::Failed(Failure::Other(
                        "the copy is there".to_owned(),
                    )));
                }
            }
            Displaced::Trash | Displaced::Version => self.archive(name, now),
        }
        None
    }

    pub fn archive(&mut self, name: &str, now: DateTime) {
        let mut at = now;
        let place = loop {
            let place = format!(".stversions/{}", tagged(name, at));
            if !self.nodes.contains_key(&place) {
                break place;
            }
            at = at.saturating_add(jiff::SignedDuration::from_secs(1));
        };
        if let Some(node) = self.nodes.remove(name) {
            self.nodes.insert(place, node);
        }
    }

    /// What is shared: names that are not of the machinery.
    pub fn tree(&self) -> BTreeMap<&str, &Node> {
        self.nodes
            .iter()
            .filter(|(name, _)| !is_internal(name) && !obhut_sync::internal::is_untouchable(name))
            .map(|(name, node)| (name.as_str(), node))
            .collect()
    }
}

pub fn blocks(content: &[u8], block_size: u32) -> Blocks {
    let mut hashes = Vec::new();
    for block in content.chunks(block_size as usize) {
        hashes.extend_from_slice(&digest(block));
    }
    if content.is_empty() {
        hashes.extend_from_slice(&digest(&[]));
    }
    Blocks::new(hashes).expect("whole hashes")
}
