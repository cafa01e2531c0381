//! Step 0: look at the repository and decide.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::marked::{self, Marked};
use super::options::PruneOptions;
use super::plan::{Action, Copies, Copy, Decisions, Input, Refusal, decide};
use super::stats::Stats;
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::index::{self, Index};
use crate::job::Control;
use crate::pool;
use crate::repo::Repository;
use crate::snapshot;
use crate::store::Listed;
use crate::walk::{SlotSet, mark_used};

/// How far a plan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Planned,
    Repacked,
    Swapped,
    /// Done, or a step failed: nothing more can be done with it.
    Over,
}

/// What a prune is going to do; kept by the caller between the steps.
pub struct Plan {
    pub(super) stage: Stage,
    pub(super) options: PruneOptions,
    pub(super) index: Arc<Index>,
    pub(super) used: SlotSet,
    /// Snapshots whose trees were walked.
    pub(super) walked: HashSet<Id>,
    pub(super) decisions: Decisions,
    /// Packs that no index named when the plan was made.
    pub(super) unindexed: Vec<Id>,
    /// What the index files said of marked packs.
    pub(super) marked: Vec<Marked>,
    /// Packs are marked instead of deleted.
    pub(super) delayed: bool,
    /// What step 3 deletes.
    pub(super) doomed: Vec<Id>,
    /// The index files that step 2 left.
    pub(super) index_files: HashSet<Id>,
}

/// What the plan says, for people and scripts: restic's summary and whether deletion is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlanSummary {
    message_type: &'static str,
    /// The figures.
    #[serde(flatten)]
    pub stats: Stats,
    /// Packs will be marked, and deleted by a later prune.
    pub delayed: bool,
}

impl Plan {
    /// Lists snapshots, loads the index, lists packs (in this order), walks all trees but those of the
    /// snapshots `ignore`, and decides. Writes nothing. `delay` marks packs instead of deleting them, which
    /// is always done where rustic has left a trace.
    pub fn make(
        repo: &Arc<Repository>,
        options: &PruneOptions,
        ignore: &[Id],
        delay: bool,
        control: &Arc<Control>,
        threads: usize,
    ) -> Result<Self> {
        options.validate(repo.version(), repo.pack_size() as u64)?;
        let threads = pool::threads(threads);
        let mut snapshots = repo.list(FileKind::Snapshot)?;
        snapshots.retain(|id| !ignore.contains(id));
        let roots = read_roots(repo, &snapshots, control)?;
        let (index, marked) = load_index(repo, control, threads)?;
        let packs = repo.store().list(FileKind::Pack)?;
        control.counters.phase.store(1, Relaxed);
        let mut used = SlotSet::new(index.len());
        mark_used(repo, &index, &roots, &mut used, control, threads)?;
        control.counters.phase.store(2, Relaxed);
        let (listed, unindexed) = match_packs(&index, &marked, packs);
        let copies = IndexCopies {
            index: &index,
            used: &used,
        };
        let sizes: Vec<u64> = unindexed.iter().map(|pack| pack.size).collect();
        let decisions = decide(&Input {
            copies: &copies,
            packs: &listed,
            unindexed: &sizes,
            options,
            version: repo.version(),
            pack_size: repo.pack_size() as u64,
        })
        .map_err(|refusal| refused(&refusal, &index))?;
        Ok(Self {
            stage: Stage::Planned,
            options: options.clone(),
            walked: snapshots.into_iter().collect(),
            decisions,
            unindexed: unindexed.iter().map(|pack| pack.id).collect(),
            delayed: delay || repo.config().rustic || !marked.is_empty(),
            index,
            used,
            marked,
            doomed: Vec::new(),
            index_files: HashSet::new(),
        })
    }

    /// The figures.
    pub fn summary(&self) -> PlanSummary {
        PlanSummary {
            message_type: "summary",
            stats: self.decisions.stats,
            delayed: self.delayed,
        }
    }

    /// Takes the plan from one stage to the next; whatever fails in between leaves it unusable.
    pub(super) fn begin(&mut self, stage: Stage) -> Result<()> {
        if self.stage != stage {
            let text = format!("the plan is {:?}, not {stage:?}", self.stage);
            return Err(Error::new(Code::PlanVoid, "", text));
        }
        self.stage = Stage::Over;
        Ok(())
    }

    /// The number in the index and id of every pack with this action.
    pub(super) fn packs_to(&self, action: Action) -> impl Iterator<Item = (usize, Id)> + '_ {
        let actions = self.decisions.actions.iter().enumerate();
        actions
            .filter(move |(_, found)| **found == action)
            .map(|(number, _)| (number, self.index.packs()[number]))
    }
}

/// The root trees of snapshots; one that cannot be read is an error, for what it uses is not known.
pub(super) fn read_roots(repo: &Repository, ids: &[Id], control: &Control) -> Result<Vec<Id>> {
    repo.each_snapshot(ids, control, &|id, json| {
        snapshot::parse_root(id, &json?).map(|root| root.tree)
    })
    .into_iter()
    .collect()
}

fn load_index(
    repo: &Repository,
    control: &Control,
    threads: usize,
) -> Result<(Arc<Index>, Vec<Marked>)> {
    let marked = Mutex::new(Vec::new());
    let read = |id: &Id| {
        let json = repo.load_unpacked(FileKind::Index, id)?;
        let object = FileName::new(FileKind::Index, *id).to_string();
        let found = marked::parse(&object, &json)?;
        let mut marked = marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.extend(found);
        Ok(json)
    };
    let files = repo.list(FileKind::Index)?;
    let index = index::load::load(&files, repo.version(), threads, control, &read)?;
    let marked = marked.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((Arc::new(index), marked))
}

/// The listed sizes by pack number, and the packs that nothing names.
fn match_packs(
    index: &Index,
    marked: &[Marked],
    packs: Vec<Listed>,
) -> (Vec<Option<u64>>, Vec<Listed>) {
    let mut there: HashMap<Id, u64> = packs.into_iter().map(|p| (p.id, p.size)).collect();
    let listed = index.packs().iter().map(|id| there.remove(id)).collect();
    for pack in marked {
        there.remove(&pack.pack);
    }
    let mut unindexed: Vec<Listed> = there
        .into_iter()
        .map(|(id, size)| Listed { id, size })
        .collect();
    unindexed.sort_unstable_by_key(|pack| pack.id);
    (listed, unindexed)
}

fn refused(refusal: &Refusal, index: &Index) -> Error {
    let name = |pack: usize| FileName::new(FileKind::Pack, index.packs()[pack]).to_string();
    match refusal {
        Refusal::Missing(packs) => {
            let others = packs.len() - 1;
            let detail = format!("it is needed and not there ({others} more are missing)");
            Error::new(Code::FileMissing, name(packs[0]), detail)
        }
        Refusal::Size {
            pack,
            expected,
            listed,
        } => {
            let detail = format!("{listed} bytes long, {expected} expected by the index");
            Error::damaged(name(*pack), detail)
        }
    }
}

/// The index and what is used of it, as the plan wants it.
pub(super) struct IndexCopies<'a> {
    pub index: &'a Index,
    pub used: &'a SlotSet,
}

impl Copies for IndexCopies<'_> {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn copy(&self, slot: usize) -> Copy {
        let entry = self.index.entry(slot);
        let first = slot == 0 || {
            let before = self.index.entry(slot - 1);
            (before.kind, before.id) != (entry.kind, entry.id)
        };
        Copy {
            kind: entry.kind,
            first,
            used: self.used.contains(slot),
            pack: self.index.pack_number(slot),
            length: entry.location.length,
            compressed: entry.location.uncompressed != 0,
        }
    }
}
