//! Counting and telling: restic's counters, and its lines of `-vv` as text or JSON (formats: restic 23).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::options::{BackupSummary, Notice};
use crate::error::{Error, Result};
use crate::gojson;
use crate::job::Control;
use crate::world::Clock;

/// More notices than this are not kept.
const NOTICES: usize = 1000;

/// How an item compares with the parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The parent has none.
    New,
    /// It differs.
    Changed,
    /// It is the same.
    Unmodified,
}

/// Blobs that one item added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Data blobs.
    pub data_blobs: u64,
    /// Their bytes.
    pub data: u64,
    /// Their bytes as stored.
    pub data_packed: u64,
    /// Tree blobs.
    pub tree_blobs: u64,
    /// Their bytes.
    pub tree: u64,
    /// Their bytes as stored.
    pub tree_packed: u64,
}

impl Added {
    /// Adds another item's blobs.
    pub fn add(&mut self, other: Added) {
        self.data_blobs += other.data_blobs;
        self.data += other.data;
        self.data_packed += other.data_packed;
        self.tree_blobs += other.tree_blobs;
        self.tree += other.tree;
        self.tree_packed += other.tree_packed;
    }
}

/// Gathers what all threads have done.
pub struct Report {
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    verbose: u8,
    json: bool,
    /// Files: new, changed, unmodified.
    files: [AtomicU64; 3],
    dirs: [AtomicU64; 3],
    bytes: AtomicU64,
    added: Mutex<Added>,
    notices: Mutex<Vec<Notice>>,
}

impl Report {
    /// Nothing done yet.
    pub fn new(control: Arc<Control>, clock: Arc<dyn Clock>, verbose: u8, json: bool) -> Self {
        Self {
            control,
            clock,
            verbose,
            json,
            files: Default::default(),
            dirs: Default::default(),
            bytes: AtomicU64::new(0),
            added: Mutex::default(),
            notices: Mutex::default(),
        }
    }

    /// A file is done; `path` is its place in the snapshot.
    pub fn file(
        &self,
        path: &[u8],
        change: Change,
        size: u64,
        added: Added,
        since: Duration,
    ) -> Result<()> {
        self.count(change, 1, size);
        self.add(added);
        if !self.lists_items() {
            return Ok(());
        }
        let stored = |seconds: f64| {
            let (data, packed) = (size_text(added.data), size_text(added.data_packed));
            format!(", saved in {seconds:.3}s ({data} added, {packed} stored)")
        };
        self.item(path, change, added, since, &stored)
    }

    /// Whether each item has a line.
    pub fn lists_items(&self) -> bool {
        self.verbose >= 2
    }

    /// Counts files that are done, and their bytes.
    pub fn count(&self, change: Change, files: u64, bytes: u64) {
        self.files[change as usize].fetch_add(files, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.control.counters.items_done.fetch_add(files, Relaxed);
    }

    /// The line of a file that was not read; it is counted apart.
    pub fn unmodified(&self, path: &[u8], since: Duration) -> Result<()> {
        let unchanged = Change::Unmodified;
        self.item(path, unchanged, Added::default(), since, &|_| String::new())
    }

    /// A directory is done; `path` is its place in the snapshot, without a final slash.
    pub fn directory(
        &self,
        path: &[u8],
        change: Change,
        added: Added,
        since: Duration,
    ) -> Result<()> {
        self.dirs[change as usize].fetch_add(1, Relaxed);
        self.add(added);
        if !self.lists_items() {
            return Ok(());
        }
        let mut path = path.to_vec();
        path.push(b'/');
        let stored = |seconds: f64| {
            let (data, packed) = (size_text(added.data), size_text(added.data_packed));
            let tree = size_text(added.tree_packed);
            format!(", saved in {seconds:.3}s ({data} added, {packed} stored, {tree} metadata)")
        };
        self.item(&path, change, added, since, &stored)
    }

    /// Blobs that belong to no item: the root tree.
    pub fn add(&self, added: Added) {
        if added != Added::default() {
            self.control
                .counters
                .bytes_written
                .fetch_add(added.data_packed + added.tree_packed, Relaxed);
            self.added
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(added);
        }
    }

    fn item(
        &self,
        path: &[u8],
        change: Change,
        added: Added,
        since: Duration,
        stored: &dyn Fn(f64) -> String,
    ) -> Result<()> {
        let unmodified = change == Change::Unmodified;
        let seconds = self.clock.elapsed().saturating_sub(since).as_secs_f64();
        if !self.json {
            let path = gojson::display(path);
            let line = match change {
                Change::New => format!("new       {path}{}\n", stored(seconds)),
                Change::Changed => format!("modified  {path}{}\n", stored(seconds)),
                Change::Unmodified => format!("unchanged {path}\n"),
            };
            return self.control.emit(line.as_bytes());
        }
        let action = match change {
            Change::New => "new",
            Change::Changed => "modified",
            Change::Unmodified => "unchanged",
        };
        let seconds = if unmodified { 0.0 } else { seconds };
        self.verbose_line(action, path, seconds, added, 0)
    }

    fn verbose_line(
        &self,
        action: &str,
        path: &[u8],
        seconds: f64,
        added: Added,
        files: u64,
    ) -> Result<()> {
        let mut line =
            format!("{{\"message_type\":\"verbose_status\",\"action\":\"{action}\",\"item\":")
                .into_bytes();
        gojson::write_string(path, &mut line);
        line.extend_from_slice(
            format!(
                ",\"duration\":{},\"data_size\":{},\"data_size_in_repo\":{},\"metadata_size\":{},\
                 \"metadata_size_in_repo\":{},\"total_files\":{files}}}\n",
                serde_json::Value::from(seconds),
                added.data,
                added.data_packed,
                added.tree,
                added.tree_packed,
            )
            .as_bytes(),
        );
        self.control.emit(&line)
    }

    /// An item was left out; `path` is the source's.
    pub fn excluded(&self, path: &[u8]) -> Result<()> {
        if !self.lists_items() {
            return Ok(());
        }
        let line = if self.json {
            let mut line = b"{\"message_type\":\"excluded_item\",\"item\":".to_vec();
            gojson::write_string(path, &mut line);
            line.extend_from_slice(b"}\n");
            line
        } else {
            format!("excluded {}\n", gojson::display(path)).into_bytes()
        };
        self.control.emit(&line)
    }

    /// Whether the end of the estimate is told with a line of its own.
    pub fn tells_scans(&self) -> bool {
        self.verbose >= if self.json { 2 } else { 1 }
    }

    /// The estimate is complete.
    pub fn scanned(&self, files: u64, bytes: u64, since: Duration) -> Result<()> {
        let seconds = self.clock.elapsed().saturating_sub(since).as_secs_f64();
        if !self.tells_scans() {
            return Ok(());
        }
        if self.json {
            let added = Added {
                data: bytes,
                ..Added::default()
            };
            return self.verbose_line("scan_finished", b"", seconds, added, files);
        }
        let bytes = size_text(bytes);
        let line = format!("scan finished in {seconds:.3}s: {files} files, {bytes}\n");
        self.control.emit(line.as_bytes())
    }

    /// All entries were looked at, and what had to be read was read.
    pub fn walked(&self, since: Duration) -> Result<()> {
        if self.json || self.verbose == 0 {
            return Ok(());
        }
        let seconds = self.clock.elapsed().saturating_sub(since).as_secs_f64();
        let line = format!("walk finished in {seconds:.3}s\n");
        self.control.emit(line.as_bytes())
    }

    /// Something worth telling that is no failure.
    pub fn notice(&self, item: &[u8], code: &'static str) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() < NOTICES {
            notices.push(Notice {
                item: item.to_vec(),
                code,
            });
        }
    }

    /// An item failed and is left out (or is incomplete).
    pub fn failed(&self, item: &[u8], error: Error) {
        self.control.item_error(item, "archival", error);
    }

    /// Writes all counters into a summary.
    pub fn fill(&self, summary: &mut BackupSummary) {
        let [new, changed, unmodified] = [0, 1, 2].map(|n: usize| self.files[n].load(Relaxed));
        (
            summary.files_new,
            summary.files_changed,
            summary.files_unmodified,
        ) = (new, changed, unmodified);
        let [new, changed, unmodified] = [0, 1, 2].map(|n: usize| self.dirs[n].load(Relaxed));
        (
            summary.dirs_new,
            summary.dirs_changed,
            summary.dirs_unmodified,
        ) = (new, changed, unmodified);
        let added = *self.added.lock().unwrap_or_else(PoisonError::into_inner);
        summary.data_blobs = added.data_blobs;
        summary.tree_blobs = added.tree_blobs;
        summary.data_added = added.data + added.tree;
        summary.data_added_packed = added.data_packed + added.tree_packed;
        summary.total_bytes_processed = self.bytes.load(Relaxed);
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        summary.notices.clone_from(&notices);
        // Threads meet items in any order; people and tests want one.
        summary
            .notices
            .sort_by(|a, b| (&a.item, a.code).cmp(&(&b.item, b.code)));
        summary.repository_inside_source =
            notices.iter().any(|n| n.code == "repository-inside-source");
    }
}

/// Bytes for people, as restic writes them.
fn size_text(bytes: u64) -> String {
    let units = [
        (1u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (size, unit) in units {
        if bytes >= size {
            return format!("{:.3} {unit}", bytes as f64 / size as f64);
        }
    }
    format!("{bytes} B")
}
