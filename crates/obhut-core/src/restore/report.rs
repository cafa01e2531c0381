//! What a restore tells: counters, lines for `-vv`, item errors, the summary.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::job::Control;

/// Lines are rendered from this verbosity on (`-vv`, as in restic).
const VERBOSE: u32 = 2;

/// The result of a restore, as it crosses to Python. Shapes only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// Entries to restore, without skipped ones.
    pub total_files: u64,
    /// Entries restored.
    pub files_restored: u64,
    /// Entries that were right already or that `--overwrite` keeps.
    pub files_skipped: u64,
    /// Entries that `--delete` removed.
    pub files_deleted: u64,
    /// Bytes of files to restore, without skipped ones.
    pub total_bytes: u64,
    /// Bytes of them that are right now.
    pub bytes_restored: u64,
    /// Bytes of skipped files.
    pub bytes_skipped: u64,
    /// Files read again and found right (`--verify`).
    pub files_verified: u64,
    /// Their bytes.
    pub bytes_verified: u64,
    /// Item errors.
    pub errors: u64,
    /// Sockets, which cannot be restored.
    pub sockets_skipped: u64,
    /// Entries whose owner, mode or attributes are incomplete for want of rights or support.
    pub metadata_denied: u64,
    /// Entries with Windows attributes, which this system does not know.
    pub foreign_attributes: u64,
    /// Names of owners that this host does not know (`user anna`), with `--ownership-by-name`; at most a hundred.
    pub unknown_owners: Vec<String>,
}

/// More unknown names are not gathered.
const UNKNOWN_OWNERS: usize = 100;

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not there, or not of this type.
    Restored,
    /// A file whose content was changed in place.
    Updated,
    /// It was right already, or kept.
    Unchanged,
    /// It is not in the snapshot and was removed.
    Deleted,
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        }
    }
}

macro_rules! tallies {
    ($($name:ident,)*) => {
        /// Shared counts of one restore.
        #[derive(Default)]
        pub struct Tally { $(pub $name: AtomicU64,)* }
    };
}
tallies! { total_files, total_bytes, restored, skipped, deleted, bytes_restored, bytes_skipped,
verified, bytes_verified, sockets, foreign, }

/// Where all stages report to.
pub struct Report {
    control: Arc<Control>,
    json: bool,
    verbose: u32,
    /// The counts.
    pub tally: Tally,
    unknown_owners: Mutex<BTreeSet<String>>,
}

impl Report {
    /// A report to `control`.
    pub fn new(control: Arc<Control>, json: bool, verbose: u32) -> Self {
        Self {
            control,
            json,
            verbose,
            tally: Tally::default(),
            unknown_owners: Mutex::default(),
        }
    }

    /// This host has no user (`kind`) or group of this name.
    pub fn unknown_owner(&self, kind: &str, name: &str) {
        let mut unknown = self.unknown_owners();
        if unknown.len() < UNKNOWN_OWNERS {
            unknown.insert(format!("{kind} {name}"));
        }
    }

    fn unknown_owners(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unknown_owners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The control.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// An entry that is to be restored (or skipped) was found.
    pub fn found(&self, bytes: u64) {
        self.tally.total_files.fetch_add(1, Relaxed);
        self.tally.total_bytes.fetch_add(bytes, Relaxed);
        self.control.counters.total_items.fetch_add(1, Relaxed);
        self.control.counters.total_bytes.fetch_add(bytes, Relaxed);
    }

    /// `bytes` of a file that is being restored are right now.
    pub fn bytes(&self, bytes: u64) {
        self.tally.bytes_restored.fetch_add(bytes, Relaxed);
        self.control.counters.bytes_done.fetch_add(bytes, Relaxed);
    }

    /// An entry is complete. `size`: bytes of a regular file.
    pub fn restored(
        &self,
        action: Action,
        size: Option<u64>,
        location: impl FnOnce() -> Vec<u8>,
    ) -> Result<()> {
        self.tally.restored.fetch_add(1, Relaxed);
        self.control.counters.items_done.fetch_add(1, Relaxed);
        self.line(action, size, location)
    }

    /// An entry needs nothing: it was right, or it is kept.
    pub fn skipped(&self, size: Option<u64>, location: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let bytes = size.unwrap_or(0);
        self.tally.skipped.fetch_add(1, Relaxed);
        self.tally.bytes_skipped.fetch_add(bytes, Relaxed);
        self.control.counters.items_done.fetch_add(1, Relaxed);
        self.control.counters.bytes_done.fetch_add(bytes, Relaxed);
        self.line(Action::Unchanged, size, location)
    }

    /// An entry was deleted.
    pub fn deleted(&self, path: impl FnOnce() -> Vec<u8>) -> Result<()> {
        self.tally.deleted.fetch_add(1, Relaxed);
        self.line(Action::Deleted, None, path)
    }

    /// An item error; what ends the whole restore is handed back.
    pub fn failed(&self, location: Vec<u8>, during: &'static str, error: Error) -> Result<()> {
        if ends_the_run(error.code()) {
            return Err(error);
        }
        self.control.item_error(location, during, error);
        Ok(())
    }

    /// The end result.
    pub fn summary(&self, denied: u64) -> RestoreSummary {
        let tally = &self.tally;
        let skipped = tally.skipped.load(Relaxed);
        let bytes_skipped = tally.bytes_skipped.load(Relaxed);
        RestoreSummary {
            total_files: tally.total_files.load(Relaxed).saturating_sub(skipped),
            files_restored: tally.restored.load(Relaxed),
            files_skipped: skipped,
            files_deleted: tally.deleted.load(Relaxed),
            total_bytes: tally
                .total_bytes
                .load(Relaxed)
                .saturating_sub(bytes_skipped),
            bytes_restored: tally.bytes_restored.load(Relaxed),
            bytes_skipped,
            files_verified: tally.verified.load(Relaxed),
            bytes_verified: tally.bytes_verified.load(Relaxed),
            errors: self.control.counters.errors.load(Relaxed),
            sockets_skipped: tally.sockets.load(Relaxed),
            metadata_denied: denied,
            foreign_attributes: tally.foreign.load(Relaxed),
            unknown_owners: self.unknown_owners().iter().cloned().collect(),
        }
    }

    fn line(
        &self,
        action: Action,
        size: Option<u64>,
        location: impl FnOnce() -> Vec<u8>,
    ) -> Result<()> {
        if self.verbose < VERBOSE {
            return Ok(());
        }
        self.control
            .emit(&render(self.json, action, size, &location()))
    }
}

/// Whether an error ends the whole restore instead of failing one entry.
fn ends_the_run(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::Internal
            | Code::NoSpace
            | Code::ReadOnly
            | Code::Unavailable
            | Code::LockLost
    )
}

fn render(json: bool, action: Action, size: Option<u64>, location: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(location.len() + 80);
    if json {
        line.extend_from_slice(b"{\"message_type\":\"verbose_status\",\"action\":\"");
        line.extend_from_slice(action.as_str().as_bytes());
        line.extend_from_slice(b"\",\"item\":");
        gojson::write_string(location, &mut line);
        line.extend_from_slice(format!(",\"size\":{}}}\n", size.unwrap_or(0)).as_bytes());
        return line;
    }
    let shown = gojson::display(location);
    let end = size.map_or(String::new(), |s| format!(" with size {}", human(s)));
    line.extend_from_slice(format!("{:<9} {shown}{end}\n", action.as_str()).as_bytes());
    line
}

/// Bytes for people, in restic's form.
fn human(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes > 1 << shift {
            return format!("{:.3} {unit}", bytes as f64 / (1u64 << shift) as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_restics_shape() {
        let json = render(true, Action::Updated, Some(7), b"/a\"b");
        assert_eq!(
            String::from_utf8_lossy(&json),
            "{\"message_type\":\"verbose_status\",\"action\":\"updated\",\"item\":\"/a\\\"b\",\"size\":7}\n"
        );
        let text = render(false, Action::Restored, Some(1536), b"/a\nb");
        assert_eq!(text, b"restored  /a\\nb with size 1.500 KiB\n");
        assert_eq!(
            render(false, Action::Deleted, None, b"/x"),
            b"deleted   /x\n"
        );
    }

    #[test]
    fn a_full_disk_ends_the_run_and_a_lost_file_does_not() {
        let report = Report::new(Control::new(), false, 0);
        let lost = Error::new(Code::BlobMissing, "x", "");
        assert!(report.failed(b"/x".to_vec(), "restore", lost).is_ok());
        let full = Error::new(Code::NoSpace, "x", "");
        assert!(report.failed(b"/x".to_vec(), "restore", full).is_err());
        assert_eq!(report.summary(0).errors, 1);
    }
}
