//! The disposable cache that makes unchanged directories cheap: path → digest of the entries' facts → tree.
//!
//! A directory is taken from the cache only if all of this holds; otherwise it is read as without it:
//! - the cache was committed for exactly the snapshot that this backup compares with, and that snapshot
//!   still exists;
//! - repository, targets, excludes, flags and zone are the same (the key, which names the file);
//! - names and facts (size, times, inode, device, mode, owner, links) of all entries are the same, and so are
//!   the names of their users and groups;
//! - its tree and every data blob of its files are in the index of this run. That needs no look if all index files
//!   that the run knew or wrote which committed the cache are in this run's index: a file's entries never change.
//!
//! Never cached: a directory with an entry that was younger than two seconds when it was looked at (its
//! next change might leave the same times), and one during whose backup any item failed (the failure has
//! to be told again). With access times there is no cache. A file that is damaged in any way is no cache.

mod file;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use sha2::{Digest, Sha256};

use super::facts::Facts;
use super::options::BackupOptions;
use crate::durable::{self, Folder};
use crate::error::{Code, Error, Result};
use crate::fs::{Names, Stat};
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::repo::Repository;
use crate::tree::{Node, TreeBuilder};
use crate::world::Timestamp;

/// Entries younger than this are not trusted.
const YOUNG: i64 = 2;

/// What is known about a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Over names and facts of its entries.
    pub digest: Id,
    /// Over its own node.
    pub node: Id,
    /// Its tree.
    pub tree: Id,
    /// The data blobs of its files.
    pub content: Vec<Id>,
}

type Table = HashMap<Vec<u8>, Arc<Known>>;

/// The cache during one backup.
pub struct DirCache {
    base: PathBuf,
    file: PathBuf,
    key: Id,
    /// What the compared snapshot taught; empty if that is not to be trusted.
    old: Table,
    whole: bool,
    new: Mutex<Table>,
}

/// What waits for its snapshot.
struct Waiting {
    token: String,
    base: PathBuf,
    file: PathBuf,
    key: Id,
    indexes: Vec<Id>,
    table: Table,
}

/// The last backups of this process. The next one usually finds its predecessor committed; of backups whose
/// snapshot was not saved only the last few are kept.
static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());
const WAITING_LIMIT: usize = 4;

impl DirCache {
    /// The cache for a backup, `None` if it is off or has no meaning.
    pub fn open(
        repo: &Repository,
        options: &BackupOptions,
        targets: &[Vec<u8>],
        facts: &Facts,
        index: &Index,
    ) -> Option<Self> {
        let base = options.cache_dir.as_ref()?;
        if options.with_atime || options.dry_run {
            return None;
        }
        let key = key(repo, options, targets, facts);
        let file = base.join(repo.id()).join("dirs").join(&key.hex()[..32]);
        let trusted = options
            .parent_snapshot
            .filter(|parent| options.valid_snapshots.contains(parent));
        let loaded = match (trusted, options.parent_tree) {
            (Some(parent), Some(_)) => file::load(&file, &key, &parent),
            _ => None,
        };
        if loaded.is_some() {
            touch(&file);
        }
        let (old, indexes) = loaded.unwrap_or_default();
        let known = |id| index.files().binary_search(id).is_ok();
        let whole = !indexes.is_empty() && indexes.iter().all(known);
        Some(Self {
            base: base.clone(),
            file,
            key,
            old,
            whole,
            new: Mutex::default(),
        })
    }

    /// What the compared snapshot has at `path`.
    pub fn known(&self, path: &[u8]) -> Option<&Arc<Known>> {
        self.old.get(path)
    }

    /// Whether every blob of every directory that is known is in the index of this run.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Notes a directory of this backup.
    pub fn learn(&self, path: Vec<u8>, known: Arc<Known>) {
        self.new
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, known);
    }

    /// Keeps what was learnt until the snapshot is saved; gives the token for [`commit`]. `indexes`: the index files
    /// that this run knew and wrote.
    pub fn park(self, tree: &Id, indexes: Vec<Id>) -> String {
        let table = self
            .new
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let token = format!("{}-{}", &self.key.hex()[..16], tree.hex());
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|w| w.token != token);
        if waiting.len() >= WAITING_LIMIT {
            waiting.remove(0);
        }
        waiting.push(Waiting {
            token: token.clone(),
            base: self.base,
            file: self.file,
            key: self.key,
            indexes,
            table,
        });
        token
    }
}

/// Binds what a backup learnt to the snapshot that was saved for it, and writes it; gives the base of the cache.
pub fn commit(token: &str, snapshot: &Id) -> Result<PathBuf> {
    let waiting = {
        let mut all = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|w| w.token == token);
        at.map(|at| all.remove(at))
    };
    let Some(waiting) = waiting else {
        let detail = "no backup of this process waits under this token";
        return Err(Error::new(Code::InvalidArgument, "cache token", detail));
    };
    let bytes = file::encode(&waiting.key, snapshot, &waiting.indexes, &waiting.table);
    let folder = waiting.file.parent().unwrap_or(Path::new("/"));
    // A relative path ends in an empty one: the current directory.
    let mut missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    while let Some(path) = missing.pop() {
        durable::make_dir(path, 0o700)?;
    }
    let name = waiting.file.file_name().unwrap_or(OsStr::new("dirs"));
    Folder::open(folder)?.write_disposable(name, &bytes, 0o600, "directory cache")?;
    Ok(waiting.base)
}

/// Marks a file as used now: [`super::sweep`] goes by that. Where it is refused, the file may be forgotten early.
fn touch(file: &Path) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = rustix::fs::utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW);
}

impl Known {
    /// Whether everything below is still in the repository.
    pub fn is_present(&self, index: &Index) -> bool {
        index.contains(BlobKind::Tree, &self.tree)
            && self
                .content
                .iter()
                .all(|id| index.contains(BlobKind::Data, id))
    }
}

/// The digest of entries in order, `None` if one of them is too young at `now`. `names`: of their owners.
pub fn digest<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a Stat)>,
    names: &Names,
    now: Timestamp,
) -> Option<Id> {
    let young = |time: Timestamp| time.secs + YOUNG >= now.secs;
    let mut hash = Sha256::new();
    let mut owner = None;
    let mut record = Vec::new();
    for (name, stat) in entries {
        if young(stat.mtime) || young(stat.ctime) {
            return None;
        }
        record.clear();
        // No name has a zero in it.
        record.extend_from_slice(name);
        record.push(0);
        // Of most directories one owner has everything: names are asked for when it changes.
        let changed = owner != Some((stat.uid, stat.gid));
        record.push(u8::from(changed));
        if changed {
            owner = Some((stat.uid, stat.gid));
            for text in [names.user(stat.uid), names.group(stat.gid)] {
                record.extend_from_slice(&(text.len() as u64).to_le_bytes());
                record.extend_from_slice(text.as_bytes());
            }
        }
        for number in [
            stat.mode,
            stat.mtime.nanos,
            stat.ctime.nanos,
            stat.uid,
            stat.gid,
        ] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        for number in [
            stat.size,
            stat.mtime.secs as u64,
            stat.ctime.secs as u64,
            stat.inode,
            stat.device,
            stat.links,
            stat.special,
        ] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        hash.update(&record);
    }
    Some(Id(hash.finalize().into()))
}

/// The digest of a node: of the tree that holds it alone.
pub fn node_digest(node: &Node) -> Result<Id> {
    let mut builder = TreeBuilder::new();
    builder.add(node)?;
    Ok(Id::of(&builder.finish()))
}

fn key(repo: &Repository, options: &BackupOptions, targets: &[Vec<u8>], facts: &Facts) -> Id {
    let text = format!(
        "{} {targets:?} {:?} {:?} {:?} {} {} {} {} {} {}",
        repo.id(),
        options.excludes,
        options.iexcludes,
        options.exclude_if_present,
        options.exclude_caches,
        options.exclude_larger_than,
        options.one_file_system,
        options.ignore_ctime,
        options.ignore_inode,
        facts.zone.fingerprint(),
    );
    Id::of(text.as_bytes())
}
