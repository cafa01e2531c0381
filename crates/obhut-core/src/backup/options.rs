//! What a backup is asked to do, and what it says in the end.

use std::path::PathBuf;

use crate::gojson;
use crate::id::Id;

/// What to back up and how.
// Each of these is an independent switch of the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    /// Paths as the person gave them; relative ones are seen from the current directory.
    pub targets: Vec<Vec<u8>>,
    /// Root tree of the snapshot to compare with.
    pub parent_tree: Option<Id>,
    /// That snapshot: what the directory cache has to be bound to.
    pub parent_snapshot: Option<Id>,
    /// Exclude patterns.
    pub excludes: Vec<Vec<u8>>,
    /// The same, without regard to case.
    pub iexcludes: Vec<Vec<u8>>,
    /// `name[:header]`: the contents of a directory that holds such a file are left out.
    pub exclude_if_present: Vec<Vec<u8>>,
    /// Leave out the contents of directories with a `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Leave out files of more bytes; 0 = no limit.
    pub exclude_larger_than: u64,
    /// Do not cross into other file systems.
    pub one_file_system: bool,
    /// A changed change time alone is no change.
    pub ignore_ctime: bool,
    /// A changed inode number or change time alone is no change.
    pub ignore_inode: bool,
    /// Keep access times.
    pub with_atime: bool,
    /// Write nothing, count only.
    pub dry_run: bool,
    /// 2 and more: a line for each item.
    pub verbose: u8,
    /// Those lines as JSON.
    pub json: bool,
    /// Base of the disposable directory cache; `None` = off.
    pub cache_dir: Option<PathBuf>,
    /// Snapshots that exist now.
    pub valid_snapshots: Vec<Id>,
    /// The folder of a local repository, to notice that it is being backed up into itself.
    pub repository_dir: Option<Vec<u8>>,
    /// Estimate the total beside the backup.
    pub scan: bool,
    /// Threads; 0 = processors.
    pub threads: usize,
}

/// Something worth telling that is no failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The path (or the user or group without a name).
    pub item: Vec<u8>,
    /// `socket-skipped`, `tagfile-unusable`, `source-changed`, `repository-inside-source`, `names-unavailable`.
    pub code: &'static str,
}

/// The outcome of a backup; the snapshot is not saved yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// The root tree.
    pub tree: Option<Id>,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files whose content was not read again, or equal ones.
    pub files_unmodified: u64,
    /// Directories that the parent does not have.
    pub dirs_new: u64,
    /// Directories that differ from the parent's.
    pub dirs_changed: u64,
    /// Directories that equal the parent's.
    pub dirs_unmodified: u64,
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Bytes of new blobs.
    pub data_added: u64,
    /// The same as stored.
    pub data_added_packed: u64,
    /// Bytes of all files.
    pub total_bytes_processed: u64,
    /// Targets that do not exist or cannot be asked.
    pub missing_targets: Vec<Vec<u8>>,
    /// The folder of the repository was met inside the source.
    pub repository_inside_source: bool,
    /// The first thousand notices.
    pub notices: Vec<Notice>,
    /// For [`super::commit_cache`]; empty without a cache.
    pub cache_token: String,
}

impl BackupSummary {
    /// All files.
    pub fn total_files_processed(&self) -> u64 {
        self.files_new + self.files_changed + self.files_unmodified
    }

    /// One JSON object. Names in it are escaped for display.
    pub fn to_json(&self) -> Vec<u8> {
        let tree = self.tree.map(|id| id.hex()).unwrap_or_default();
        let missing: Vec<String> = self
            .missing_targets
            .iter()
            .map(|m| gojson::display(m))
            .collect();
        let notices: Vec<_> = self
            .notices
            .iter()
            .map(|n| serde_json::json!({"item": gojson::display(&n.item), "code": n.code}))
            .collect();
        serde_json::json!({
            "tree": tree,
            "files_new": self.files_new,
            "files_changed": self.files_changed,
            "files_unmodified": self.files_unmodified,
            "dirs_new": self.dirs_new,
            "dirs_changed": self.dirs_changed,
            "dirs_unmodified": self.dirs_unmodified,
            "data_blobs": self.data_blobs,
            "tree_blobs": self.tree_blobs,
            "data_added": self.data_added,
            "data_added_packed": self.data_added_packed,
            "total_files_processed": self.total_files_processed(),
            "total_bytes_processed": self.total_bytes_processed,
            "missing_targets": missing,
            "repository_inside_source": self.repository_inside_source,
            "notices": notices,
            "cache_token": self.cache_token,
        })
        .to_string()
        .into_bytes()
    }
}
