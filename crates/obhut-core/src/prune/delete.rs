//! Step 3: deletes the packs that no index file names any more.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::make::{Plan, Stage};
use super::swap::read_file;
use crate::error::{Code, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::pool;
use crate::repo::Repository;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeleteReport {
    /// Packs deleted, or gone already.
    pub deleted: u64,
    /// Packs that an index file names again: they stay.
    pub spared: u64,
    /// Packs that could not be deleted; the next prune finds them unindexed.
    pub failed: u64,
}

impl Plan {
    /// Deletes the packs that step 2 took out of the index. A pack that cannot be deleted is an item error.
    pub fn delete_packs(
        &mut self,
        repo: &Repository,
        control: &Control,
        threads: usize,
    ) -> Result<DeleteReport> {
        self.begin(Stage::Swapped)?;
        control.counters.phase.store(6, Relaxed);
        let mut doomed = std::mem::take(&mut self.doomed);
        let planned = doomed.len();
        if planned > 0 {
            // A repair between the locks may have taken packs back into an index file of its own.
            let named = self.named_since(repo, control)?;
            doomed.retain(|id| !named.contains(id));
        }
        control
            .counters
            .total_items
            .fetch_add(doomed.len() as u64, Relaxed);
        let (deleted, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let threads = pool::threads(threads).min(repo.store().capabilities().connections.max(1));
        let delete = |(): &mut (), id: &Id| {
            let name = FileName::new(FileKind::Pack, *id);
            match repo.store().delete(name) {
                Ok(()) => deleted.fetch_add(1, Relaxed),
                Err(error) => match error.code() {
                    Code::FileMissing => deleted.fetch_add(1, Relaxed),
                    Code::Cancelled | Code::LockLost => return Err(error),
                    _ => {
                        control.item_error(name.to_string(), "delete", error);
                        failed.fetch_add(1, Relaxed)
                    }
                },
            };
            control.counters.items_done.fetch_add(1, Relaxed);
            Ok(())
        };
        pool::each(&doomed, threads, control, || Ok(()), delete)?;
        Ok(DeleteReport {
            deleted: deleted.into_inner(),
            spared: (planned - doomed.len()) as u64,
            failed: failed.into_inner(),
        })
    }

    /// Packs named by index files that step 2 did not leave.
    fn named_since(&self, repo: &Repository, control: &Control) -> Result<HashSet<Id>> {
        let mut named = HashSet::new();
        for id in repo.list(FileKind::Index)? {
            control.check()?;
            if !self.index_files.contains(&id) {
                let (parsed, _) = read_file(repo, &id)?;
                named.extend(parsed.packs.iter().map(|(pack, _)| *pack));
            }
        }
        Ok(named)
    }
}
