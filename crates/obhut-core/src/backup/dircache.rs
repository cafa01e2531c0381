//! The disposable cache that makes unchanged directories cheap: path → digest of the entries' facts → tree.
//!
//! A directory is taken from the cache only if all of this holds; otherwise it is read as without it:
//! - the cache was committed for exactly the snapshot that this backup compares with, and that snapshot
//!   still exists;
//! - repository, targets, excludes, flags and zone are the same (the key, which names the file);
//! - names and facts (size, times, inode, device, mode, owner, links) of all entries are the same, and so are
//!   the names of their users and groups;
//! - its tree and every data blob of its files are in the index of this run.
//!
//! Never cached: a directory with an entry that was younger than two seconds when it was looked at (its
//! next change might leave the same times), and one during whose backup any item failed (the failure has
//! to be told again). With access times there is no cache. A file that is damaged in any way is no cache.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

/// First bytes of a file: name and version.
const MAGIC: &[u8; 8] = b"obdirs\0\x02";
/// A larger file is not read.
const LIMIT: u64 = 4 << 30;
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

type Table = HashMap<Vec<u8>, Known>;

/// The cache during one backup.
pub struct DirCache {
    base: PathBuf,
    file: PathBuf,
    key: Id,
    /// What the compared snapshot taught; empty if that is not to be trusted.
    old: Table,
    new: Mutex<Table>,
}

/// What waits for its snapshot.
struct Waiting {
    token: String,
    base: PathBuf,
    file: PathBuf,
    key: Id,
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
        let old = match (trusted, options.parent_tree) {
            (Some(parent), Some(_)) => match load(&file, &key, &parent) {
                Some(table) => {
                    touch(&file);
                    table
                }
                None => Table::new(),
            },
            _ => Table::new(),
        };
        Some(Self {
            base: base.clone(),
            file,
            key,
            old,
            new: Mutex::default(),
        })
    }

    /// What the compared snapshot has at `path`.
    pub fn known(&self, path: &[u8]) -> Option<&Known> {
        self.old.get(path)
    }

    /// Notes a directory of this backup.
    pub fn learn(&self, path: Vec<u8>, known: Known) {
        self.new
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, known);
    }

    /// Keeps what was learnt until the snapshot is saved; gives the token for [`commit`].
    pub fn park(self, tree: &Id) -> String {
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
    let bytes = encode(&waiting.key, snapshot, &waiting.table);
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
pub fn digest(entries: &[(Vec<u8>, Stat)], names: &Names, now: Timestamp) -> Option<Id> {
    let young = |time: Timestamp| time.secs + YOUNG >= now.secs;
    let mut hash = Sha256::new();
    for (name, stat) in entries {
        if young(stat.mtime) || young(stat.ctime) {
            return None;
        }
        let (user, group) = (names.user(stat.uid), names.group(stat.gid));
        for text in [name.as_slice(), user.as_bytes(), group.as_bytes()] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        for number in [
            u64::from(stat.mode),
            stat.size,
            stat.mtime.secs as u64,
            u64::from(stat.mtime.nanos),
            stat.ctime.secs as u64,
            u64::from(stat.ctime.nanos),
            u64::from(stat.uid),
            u64::from(stat.gid),
            stat.inode,
            stat.device,
            stat.links,
            stat.special,
        ] {
            hash.update(number.to_le_bytes());
        }
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

fn encode(key: &Id, snapshot: &Id, table: &Table) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&key.0);
    bytes.extend_from_slice(&snapshot.0);
    for (path, known) in table {
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(&(known.content.len() as u32).to_le_bytes());
        for id in [&known.digest, &known.node, &known.tree]
            .into_iter()
            .chain(&known.content)
        {
            bytes.extend_from_slice(&id.0);
        }
    }
    let check = Id::of(&bytes);
    bytes.extend_from_slice(&check.0);
    bytes
}

/// Reads a file that was committed for `snapshot` under `key`; anything else is `None`.
fn load(file: &Path, key: &Id, snapshot: &Id) -> Option<Table> {
    if std::fs::metadata(file).ok()?.len() > LIMIT {
        return None;
    }
    decode(&std::fs::read(file).ok()?, key, snapshot)
}

fn decode(bytes: &[u8], key: &Id, snapshot: &Id) -> Option<Table> {
    let (body, check) = bytes.split_last_chunk::<32>()?;
    if Id::of(body).0 != *check {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    if take_id(&mut rest)? != *key || take_id(&mut rest)? != *snapshot {
        return None;
    }
    let mut table = Table::new();
    while !rest.is_empty() {
        let length = take_length(&mut rest)?;
        let (path, tail) = rest.split_at_checked(length)?;
        rest = tail;
        let count = take_length(&mut rest)?;
        let (digest, node, tree) = (
            take_id(&mut rest)?,
            take_id(&mut rest)?,
            take_id(&mut rest)?,
        );
        let (ids, tail) = rest.split_at_checked(count.checked_mul(32)?)?;
        rest = tail;
        let content = ids
            .chunks_exact(32)
            .filter_map(|id| id.try_into().ok().map(Id))
            .collect();
        table.insert(
            path.to_vec(),
            Known {
                digest,
                node,
                tree,
                content,
            },
        );
    }
    Some(table)
}

fn take_id(rest: &mut &[u8]) -> Option<Id> {
    let (id, tail) = rest.split_first_chunk::<32>()?;
    *rest = tail;
    Some(Id(*id))
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_or_foreign_file_is_no_cache() {
        let id = |n: u8| Id([n; 32]);
        let known = Known {
            digest: id(1),
            node: id(2),
            tree: id(3),
            content: vec![id(4), id(5)],
        };
        let table = Table::from([(b"/a\xff".to_vec(), known.clone()), (b"/".to_vec(), known)]);
        let bytes = encode(&id(7), &id(8), &table);
        assert_eq!(decode(&bytes, &id(7), &id(8)), Some(table));
        assert_eq!(decode(&bytes, &id(7), &id(9)), None);
        assert_eq!(decode(&bytes, &id(9), &id(8)), None);
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at], &id(7), &id(8)), None);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped, &id(7), &id(8)), None);
        }
    }
}
