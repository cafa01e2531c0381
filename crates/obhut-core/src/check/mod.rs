//! Check: is everything that the snapshots need there and sound (formats: restic 19).
//!
//! The repository is only read. What is wrong goes to [`Control::item_error`] under the name of the object;
//! what is merely untidy is a line of output. Phases: 0 metadata (config, keys, index), 1 packs by their
//! listed sizes, 2 snapshots and trees, 3 the content of packs, if asked for.

mod data;
mod findings;
mod marks;
mod metadata;
mod pack;
mod structure;
pub mod subset;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use findings::CheckReport;
pub use subset::Subset;

use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::pool;
use crate::repo::Repository;
use crate::store::Listed;
use findings::Findings;

/// What to check beyond the structure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckOptions {
    /// Which packs to read whole; `None` = none.
    pub read: Option<Subset>,
    /// Only these snapshots, and of the content only packs that they use; `None` = all. What concerns the
    /// repository as a whole (config, keys, index, packs by their sizes) is checked always.
    pub only: Option<Vec<Id>>,
    /// Threads, 0 = one a processor.
    pub threads: usize,
}

/// Checks `repo`. `Err` only if the check itself could not be carried out (storage does not list, cancelled).
///
/// Snapshots are listed before the index is loaded, and packs last: a backup that runs meanwhile then
/// never looks like damage, only like packs that no index names.
pub fn check(
    repo: &Arc<Repository>,
    options: &CheckOptions,
    control: &Control,
) -> Result<CheckReport> {
    let threads = pool::threads(options.threads);
    let mut findings = Findings::new(control);
    let store = repo.store();
    metadata::config_and_keys(repo, &findings)?;
    let mut snapshots = store.list(FileKind::Snapshot)?;
    if let Some(only) = &options.only {
        choose(&mut snapshots, only)?;
    }
    let Some(index) = metadata::load_index(repo, &mut findings, threads)? else {
        // Without a whole index everything else would only repeat that it is damaged.
        return Ok(findings.finish());
    };
    control.counters.phase.store(1, Relaxed);
    let packs = metadata::packs(repo, &index, &mut findings)?;
    control.counters.phase.store(2, Relaxed);
    let used = structure::check(repo, &index.index, &snapshots, &mut findings, threads)?;
    if options.only.is_none() {
        structure::report_unused(&index.index, &used, &mut findings)?;
    }
    if let Some(subset) = &options.read {
        control.counters.phase.store(3, Relaxed);
        let mut packs = packs;
        if options.only.is_some() {
            let needed = structure::needed_packs(&index.index, &used);
            packs.retain(|pack| needed[pack.number]);
        }
        data::check(repo, &index.index, &packs, subset, &mut findings, threads)?;
    }
    Ok(findings.finish())
}

/// Keeps the chosen snapshots; one that is not there was removed between the choice and our lock.
fn choose(snapshots: &mut Vec<Listed>, only: &[Id]) -> Result<()> {
    let there: HashSet<Id> = snapshots.iter().map(|listed| listed.id).collect();
    if let Some(gone) = only.iter().find(|id| !there.contains(id)) {
        let name = FileName::new(FileKind::Snapshot, *gone).to_string();
        return Err(Error::new(Code::FileMissing, name, "it was to be checked"));
    }
    let wanted: HashSet<&Id> = only.iter().collect();
    snapshots.retain(|listed| wanted.contains(&listed.id));
    Ok(())
}
