//! Step 2, under the exclusive lock: look again, spare what is needed after all, swap the index files.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::make::{Plan, Stage, read_roots};
use super::marked::{self, Marked};
use super::plan::Action;
use super::rewrite::{Changes, Rewritten, rewrite};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::index::{Index, IndexBuilder, file};
use crate::job::Control;
use crate::repo::Repository;
use crate::walk::{SlotSet, mark_used};
use crate::world::Timestamp;

/// A temporary file that was not written to for this long has no writer any more.
const LEFTOVER_SECONDS: i64 = 3600;

/// What the swap has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwapReport {
    /// Packs that the index no longer names.
    pub packs_removed: u64,
    /// Packs that stay because something new needs them.
    pub packs_spared: u64,
    /// Packs that no index named and that go.
    pub packs_unindexed: u64,
    /// Packs that were marked and not removed (with rustic).
    pub packs_marked: u64,
    /// Snapshots made since the plan.
    pub new_snapshots: u64,
    /// Index files written.
    pub indexes_written: u64,
    /// Index files deleted.
    pub indexes_removed: u64,
    /// Temporary files of dead writers that were removed.
    pub leftovers_removed: u64,
    /// 1 if these could not be removed; why is an item error.
    pub leftovers_failed: u64,
}

/// What was found on looking again.
struct Now {
    /// Index files that the plan does not know.
    new_files: Vec<Id>,
    /// What they name.
    new_index: Index,
    new_marked: HashSet<Id>,
    /// Those of the new files that name packs which are not there.
    incomplete_files: Vec<Id>,
    /// Packs there.
    packs: HashSet<Id>,
}

impl Plan {
    /// Looks at index, snapshots and packs again and swaps the index files. To be called under the exclusive
    /// lock. Fails with `plan-void`, having written nothing, if an index file that the plan was made from
    /// is gone.
    pub fn swap_index(
        &mut self,
        repo: &Arc<Repository>,
        control: &Arc<Control>,
        threads: usize,
    ) -> Result<SwapReport> {
        self.begin(Stage::Repacked)?;
        control.counters.phase.store(4, Relaxed);
        let now = self.look_again(repo, control)?;
        let mut report = SwapReport::default();
        let mut removed = self.wanted_gone(&now);
        let wanted = removed.len();
        self.spare(repo, control, threads, &now, &mut removed, &mut report)?;
        report.packs_removed = removed.len() as u64;
        report.packs_spared = (wanted - removed.len()) as u64;
        // Nobody is uploading now: what a new index file names and what is not there never arrived. Every
        // used blob has been found elsewhere, or we would not be here.
        let absent = now.new_index.packs().iter();
        removed.extend(absent.filter(|id| !now.packs.contains(id)));
        let unindexed = self.still_unindexed(&now);
        let ripe = self.ripe(repo, &now);
        report.packs_unindexed = unindexed.len() as u64;
        let absent: HashSet<Id> = removed
            .iter()
            .filter(|id| !now.packs.contains(id))
            .copied()
            .collect();
        let newly_marked = if self.delayed {
            let there = (removed.len() - absent.len()) as u64;
            report.packs_marked = there + report.packs_unindexed;
            unindexed.clone()
        } else {
            Vec::new()
        };
        let changes = Changes {
            removed,
            absent,
            unmarked: ripe,
            newly_marked,
            mark: self.delayed,
            now: repo.clock().now(),
        };
        control.counters.phase.store(5, Relaxed);
        let done = self.rewrite(repo, control, &now, &changes)?;
        report.indexes_written = done.written.len() as u64;
        report.indexes_removed = done.replaced.len() as u64;
        self.doomed = changes.unmarked.into_iter().collect();
        if !self.delayed {
            // A pack that is already gone is not there to be deleted.
            let gone = changes.removed.into_iter();
            self.doomed.extend(gone.filter(|id| now.packs.contains(id)));
            self.doomed.extend(unindexed);
        }
        self.doomed.sort_unstable();
        self.index_files = self.index.files().iter().copied().collect();
        self.index_files.extend(now.new_files);
        self.index_files.extend(done.written);
        for id in done.replaced {
            self.index_files.remove(&id);
        }
        self.stage = Stage::Swapped;
        match remove_leftovers(repo) {
            Ok(count) => report.leftovers_removed = count,
            Err(error) if matches!(error.code(), Code::Cancelled | Code::LockLost) => {
                return Err(error);
            }
            Err(error) => {
                control.item_error("temporary files", "delete", error);
                report.leftovers_failed = 1;
            }
        }
        Ok(report)
    }

    fn look_again(&self, repo: &Repository, control: &Control) -> Result<Now> {
        let files: HashSet<Id> = repo.list(FileKind::Index)?.into_iter().collect();
        if let Some(gone) = self.index.files().iter().find(|id| !files.contains(id)) {
            let name = FileName::new(FileKind::Index, *gone).to_string();
            let detail = "the plan was made from it, and it is gone";
            return Err(Error::new(Code::PlanVoid, name, detail));
        }
        let mut new_files: Vec<Id> = files.into_iter().collect();
        new_files.retain(|id| self.index.files().binary_search(id).is_err());
        new_files.sort_unstable();
        let packs: HashSet<Id> = repo.list(FileKind::Pack)?.into_iter().collect();
        let mut builder = IndexBuilder::default();
        let mut new_marked = HashSet::new();
        let mut incomplete_files = Vec::new();
        for id in &new_files {
            control.check()?;
            let (parsed, marks) = read_file(repo, id)?;
            if parsed.packs.iter().any(|(pack, _)| !packs.contains(pack)) {
                incomplete_files.push(*id);
            }
            builder.add_file(*id, &parsed.packs);
            new_marked.extend(marks.iter().map(|mark| mark.pack));
        }
        Ok(Now {
            new_files,
            new_index: builder.finish(),
            new_marked,
            incomplete_files,
            packs,
        })
    }

    /// The packs that the plan removes and that no new index file names.
    fn wanted_gone(&self, now: &Now) -> HashSet<Id> {
        [Action::Delete, Action::Repack, Action::Missing]
            .into_iter()
            .flat_map(|action| self.packs_to(action))
            .map(|(_, id)| id)
            .filter(|id| now.new_index.packs().binary_search(id).is_err())
            .collect()
    }

    /// Makes sure that every blob that any snapshot uses now has a copy in a pack that is there and stays;
    /// takes packs out of `removed` where it has not.
    fn spare(
        &self,
        repo: &Arc<Repository>,
        control: &Arc<Control>,
        threads: usize,
        now: &Now,
        removed: &mut HashSet<Id>,
        report: &mut SwapReport,
    ) -> Result<()> {
        let mut new: Vec<Id> = repo.list(FileKind::Snapshot)?;
        new.retain(|id| !self.walked.contains(id));
        report.new_snapshots = new.len() as u64;
        if new.is_empty() {
            return keep_one_copy(&self.index, &self.used, now, removed, control);
        }
        let roots = read_roots(repo, &new, control)?;
        let mut files = self.index.files().to_vec();
        files.extend(&now.new_files);
        let index = repo.load_index_files(&files, control, threads)?;
        let mut used = self.translate(&index);
        mark_used(repo, &index, &roots, &mut used, control, threads)?;
        keep_one_copy(&index, &used, now, removed, control)
    }

    /// What the plan knows to be used, as slots of a newer index: trees marked here are not read again.
    fn translate(&self, index: &Index) -> SlotSet {
        let mut used = SlotSet::new(index.len());
        for slot in (0..self.index.len()).filter(|&slot| self.used.contains(slot)) {
            let entry = self.index.entry(slot);
            used.insert(index.slots(entry.kind, &entry.id).start);
        }
        used
    }

    /// Packs that nobody named when the plan was made and nobody names now, when no backup can be running.
    fn still_unindexed(&self, now: &Now) -> Vec<Id> {
        let nobody = |id: &&Id| {
            now.packs.contains(id)
                && now.new_index.packs().binary_search(id).is_err()
                && !now.new_marked.contains(id)
        };
        self.unindexed.iter().filter(nobody).copied().collect()
    }

    /// Marked packs that are old enough, and that no index names as in use.
    fn ripe(&self, repo: &Repository, now: &Now) -> HashSet<Id> {
        let time = repo.clock().now();
        let mut ripe: HashSet<Id> = self.marked.iter().map(|mark| mark.pack).collect();
        let young = |mark: &&Marked| !mark.is_ripe(time);
        for mark in self.marked.iter().filter(young) {
            ripe.remove(&mark.pack);
        }
        ripe.retain(|id| {
            self.index.packs().binary_search(id).is_err()
                && now.new_index.packs().binary_search(id).is_err()
                && !now.new_marked.contains(id)
        });
        ripe
    }

    fn rewrite(
        &self,
        repo: &Repository,
        control: &Control,
        now: &Now,
        changes: &Changes,
    ) -> Result<Rewritten> {
        if changes.removed.is_empty()
            && changes.unmarked.is_empty()
            && changes.newly_marked.is_empty()
        {
            return Ok(Rewritten::default());
        }
        let mut files = self.index.files().to_vec();
        files.extend(&now.incomplete_files);
        let done = rewrite(repo, &files, changes, control)?;
        let there: HashSet<Id> = repo.list(FileKind::Index)?.into_iter().collect();
        if let Some(lost) = done.written.iter().find(|id| !there.contains(id)) {
            let name = FileName::new(FileKind::Index, *lost).to_string();
            let detail = "written just now, but the storage does not list it";
            return Err(Error::new(Code::FileMissing, name, detail));
        }
        for id in &done.replaced {
            control.check()?;
            match repo.store().delete(FileName::new(FileKind::Index, *id)) {
                Err(error) if error.code() != Code::FileMissing => return Err(error),
                _ => {}
            }
        }
        Ok(done)
    }
}

/// Removes the temporary files of writers that were killed. Nobody but those who try to get a lock (and rustic)
/// can be writing under the exclusive lock; that a file has an old date says that not even they are.
fn remove_leftovers(repo: &Repository) -> Result<u64> {
    let now = repo.clock().now();
    repo.store().remove_leftovers(Timestamp {
        secs: now.secs - LEFTOVER_SECONDS,
        ..now
    })
}

pub(super) fn read_file(repo: &Repository, id: &Id) -> Result<(file::IndexFile, Vec<Marked>)> {
    let object = FileName::new(FileKind::Index, *id).to_string();
    let json = repo.load_unpacked(FileKind::Index, id)?;
    let parsed = file::parse(&object, &json)?;
    file::check_version(&object, repo.version(), &parsed)?;
    Ok((parsed, marked::parse(&object, &json)?))
}

/// For every used blob of `index` without a copy that stays, spares one pack that holds it.
fn keep_one_copy(
    index: &Index,
    used: &SlotSet,
    now: &Now,
    removed: &mut HashSet<Id>,
    control: &Control,
) -> Result<()> {
    let is_there = |pack: &Id| now.packs.contains(pack);
    let mut first = 0;
    while first < index.len() {
        if first % 65_536 == 0 {
            control.check()?;
        }
        let entry = index.entry(first);
        let slots = first..index.slots(entry.kind, &entry.id).end;
        let is_used = used.contains(first);
        first = slots.end;
        if !is_used {
            continue;
        }
        let mut packs = slots.map(|slot| index.entry(slot).location.pack);
        let stays = |pack: &Id| is_there(pack) && !removed.contains(pack);
        let copied = || {
            let mut new = now.new_index.slots(entry.kind, &entry.id);
            new.any(|slot| stays(&now.new_index.entry(slot).location.pack))
        };
        if packs.clone().any(|pack| stays(&pack)) || copied() {
            continue;
        }
        if let Some(pack) = packs.clone().find(is_there) {
            removed.remove(&pack);
        } else {
            let pack = packs.next().unwrap_or(Id::ZERO);
            let name = FileName::new(FileKind::Pack, pack).to_string();
            let detail = format!(
                "it is gone and held {} blob {}",
                entry.kind.as_str(),
                entry.id
            );
            return Err(Error::new(Code::FileMissing, name, detail));
        }
    }
    Ok(())
}
