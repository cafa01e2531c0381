//! Replacement index files: the old ones without the packs that go, not more than 50,000 blobs a file.
//!
//! A file is written anew if it names a pack that goes, or is not full, or is far too full. Everything is
//! written before the caller deletes what it replaces.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::marked::{self, Marked};
use crate::error::Result;
use crate::id::{FileKind, FileName, Id};
use crate::index::file::{self, FULL, Packs};
use crate::job::Control;
use crate::pack::PackedBlob;
use crate::repo::Repository;
use crate::world::Timestamp;

/// The most blobs one pack can name: a header of 16 MiB of the smallest entries.
const PACK_MAX: usize = (16 << 20) / 37;

/// What the new index files leave out.
pub(super) struct Changes {
    /// Packs that go.
    pub removed: HashSet<Id>,
    /// Those of them that are not there, so that there is nothing to mark.
    pub absent: HashSet<Id>,
    /// Marked packs whose mark goes, because they are deleted now.
    pub unmarked: HashSet<Id>,
    /// Packs that no index names and that get a mark (with rustic).
    pub newly_marked: Vec<Id>,
    /// `removed` get a mark instead of vanishing.
    pub mark: bool,
    /// The time of new marks.
    pub now: Timestamp,
}

/// What was written and what it replaces.
#[derive(Default)]
pub(super) struct Rewritten {
    pub written: Vec<Id>,
    pub replaced: Vec<Id>,
}

pub(super) fn rewrite(
    repo: &Repository,
    files: &[Id],
    changes: &Changes,
    control: &Control,
) -> Result<Rewritten> {
    let mut out = Rewriter {
        repo,
        packs: Vec::new(),
        marks: Vec::new(),
        blobs: 0,
        seen: HashMap::new(),
        marked: HashSet::new(),
        done: Rewritten::default(),
    };
    for id in files {
        control.check()?;
        let object = FileName::new(FileKind::Index, *id).to_string();
        let json = repo.load_unpacked(FileKind::Index, id)?;
        let parsed = file::parse(&object, &json)?;
        let marks = marked::parse(&object, &json)?;
        if must_rewrite(&parsed.packs, &marks, changes) {
            out.take_file(parsed.packs, marks, changes)?;
            out.done.replaced.push(*id);
        }
    }
    for pack in &changes.newly_marked {
        out.add_mark(marked::mark(*pack, Vec::new(), changes.now)?);
    }
    out.flush()?;
    Ok(out.done)
}

fn must_rewrite(packs: &Packs, marks: &[Marked], changes: &Changes) -> bool {
    let blobs: usize = packs.iter().map(|(_, blobs)| blobs.len()).sum();
    !(FULL..=FULL + PACK_MAX).contains(&blobs)
        || packs.iter().any(|(pack, _)| changes.removed.contains(pack))
        || marks
            .iter()
            .any(|mark| changes.unmarked.contains(&mark.pack))
}

struct Rewriter<'a> {
    repo: &'a Repository,
    packs: Packs,
    marks: Vec<Marked>,
    blobs: usize,
    /// Hashes of what was written for a pack: the same in two old files is written once.
    seen: HashMap<Id, Vec<u64>>,
    marked: HashSet<Id>,
    done: Rewritten,
}

impl Rewriter<'_> {
    fn take_file(&mut self, packs: Packs, marks: Vec<Marked>, changes: &Changes) -> Result<()> {
        for (pack, blobs) in packs {
            if !changes.removed.contains(&pack) {
                self.add_pack(pack, blobs)?;
            } else if changes.mark && !changes.absent.contains(&pack) {
                self.add_mark(marked::mark(pack, blobs, changes.now)?);
            }
        }
        for mark in marks {
            if !changes.unmarked.contains(&mark.pack) {
                self.add_mark(mark);
            }
        }
        Ok(())
    }

    fn add_pack(&mut self, pack: Id, blobs: Vec<PackedBlob>) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        for b in &blobs {
            (b.kind, b.id, b.offset, b.length, b.uncompressed).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let seen = self.seen.entry(pack).or_default();
        if seen.contains(&hash) {
            return Ok(());
        }
        seen.push(hash);
        if self.blobs + blobs.len() > FULL {
            self.flush()?;
        }
        self.blobs += blobs.len();
        self.packs.push((pack, blobs));
        Ok(())
    }

    fn add_mark(&mut self, mark: Marked) {
        if self.marked.insert(mark.pack) {
            self.marks.push(mark);
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.packs.is_empty() && self.marks.is_empty() {
            return Ok(());
        }
        let json = marked::encode(&self.packs, &self.marks);
        let id = self.repo.save_unpacked(FileKind::Index, &json)?;
        self.done.written.push(id);
        self.packs.clear();
        self.marks.clear();
        self.blobs = 0;
        Ok(())
    }
}
