//! What a check has found, gathered from all threads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::job::Control;

/// The result, a superset of restic's `check --json` summary (formats: restic 23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Always `summary`.
    pub message_type: &'static str,
    /// How many errors were reported.
    pub num_errors: u64,
    /// Packs that are missing, of a wrong size or damaged: what `repair packs` has to look at.
    pub broken_packs: Vec<String>,
    /// The index does not fit the packs.
    pub suggest_repair_index: bool,
    /// A prune would tidy up.
    pub suggest_prune: bool,
    /// Snapshots that could not be read.
    pub broken_snapshots: Vec<String>,
    /// Snapshots found.
    pub snapshots: u64,
    /// Different trees read.
    pub trees: u64,
    /// Copies of blobs in the index.
    pub blobs: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs that no index names.
    pub orphaned_packs: u64,
    /// Packs that rustic has marked for deletion.
    pub marked_packs: u64,
    /// Copies that no snapshot uses.
    pub unused_blobs: u64,
    /// Their bytes.
    pub unused_bytes: u64,
    /// Packs read whole.
    pub packs_read: u64,
    /// Bytes of those.
    pub bytes_read: u64,
}

pub(super) struct Findings<'a> {
    pub control: &'a Control,
    pub report: CheckReport,
    errors: AtomicU64,
    broken_packs: Mutex<BTreeSet<Id>>,
}

impl<'a> Findings<'a> {
    pub fn new(control: &'a Control) -> Self {
        Self {
            control,
            report: CheckReport {
                message_type: "summary",
                num_errors: 0,
                broken_packs: Vec::new(),
                suggest_repair_index: false,
                suggest_prune: false,
                broken_snapshots: Vec::new(),
                snapshots: 0,
                trees: 0,
                blobs: 0,
                packs: 0,
                orphaned_packs: 0,
                marked_packs: 0,
                unused_blobs: 0,
                unused_bytes: 0,
                packs_read: 0,
                bytes_read: 0,
            },
            errors: AtomicU64::new(0),
            broken_packs: Mutex::default(),
        }
    }

    /// Something is wrong with the object that `error` names.
    pub fn error(&self, error: Error) {
        self.errors.fetch_add(1, Relaxed);
        let object = error.object().to_owned();
        self.control.item_error(object, "check", error);
    }

    /// The same about a pack that has to be repaired.
    pub fn broken_pack(&self, pack: Id, error: Error) {
        self.broken_packs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pack);
        self.error(error);
    }

    /// Something is untidy, not wrong.
    pub fn hint(&self, line: &str) -> Result<()> {
        self.control.emit(format!("{line}\n").as_bytes())
    }

    pub fn finish(self) -> CheckReport {
        let packs = self
            .broken_packs
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        CheckReport {
            num_errors: self.errors.into_inner(),
            broken_packs: packs.iter().map(Id::hex).collect(),
            ..self.report
        }
    }
}
