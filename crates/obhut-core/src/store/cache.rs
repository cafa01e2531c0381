//! restic's local cache (formats: restic 15): index files, snapshot files and packs with trees, unchanged as
//! they are in the repository (still sealed), below `<base>/<repository id>/`. The folder can be shared with
//! restic.
//!
//! The cache is disposable: every failure of it means a read from the storage, never a failed call. What is
//! read from it was checked against its name's hash in this process; a bad file is dropped once and fetched
//! again. It never grows beyond its bound: what does not fit is not kept, and at the start the oldest files
//! go first.
//!
//! Whether a pack holds trees is the caller's knowledge: [`Store::mark_tree_packs`]. A marked pack is kept
//! when it is put and fetched whole at its first read, because reading trees touches most of it. Over a
//! local store packs are not cached at all.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Capabilities, Listed, Store, check_range, slice};
use crate::durable::{Folder, make_dir};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::world::{Clock, Timestamp};

const VERSION: &str = "1";
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o644;
const KINDS: [FileKind; 3] = [FileKind::Snapshot, FileKind::Index, FileKind::Pack];
/// The bound of a repository's cache in bytes unless told otherwise.
pub const DEFAULT_BOUND: u64 = 16 << 30;
/// Packs above this size are not fetched whole for a part of them.
const WHOLE_PACK: u64 = 256 << 20;
/// Temporary files this old have no writer any more.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// A store whose metadata is kept on the local disk.
pub struct Cache {
    inner: Arc<dyn Store>,
    root: PathBuf,
    bound: u64,
    used: AtomicU64,
    state: Mutex<State>,
    /// Keeps two threads from fetching the same pack; by a byte of its name.
    fetching: [Mutex<()>; 16],
}

#[derive(Default)]
struct State {
    tree_packs: HashSet<Id>,
    /// Files whose hash was checked in this process.
    checked: HashSet<FileName>,
    /// Files that were found bad: kept out from now on.
    dropped: HashSet<FileName>,
}

impl Cache {
    /// The cache of repository `id` below `base`, with at most `bound` bytes. Fails if there can be no
    /// cache there; the caller then works without one.
    pub fn open(
        inner: Arc<dyn Store>,
        base: &Path,
        id: &str,
        bound: u64,
        clock: &dyn Clock,
    ) -> Result<Self> {
        if Id::parse(id.as_bytes()).is_none() {
            return Err(Error::internal("the cache is named by a repository id"));
        }
        make_dir(base, FOLDER_MODE)?;
        if !base.join("CACHEDIR.TAG").exists() {
            write(base, "CACHEDIR.TAG", TAG.as_bytes())?;
        }
        let root = base.join(id);
        make_dir(&root, FOLDER_MODE)?;
        check_version(&root)?;
        let folder = Folder::open(&root)?;
        for kind in KINDS {
            folder.make_dir(kind.folder().as_ref(), FOLDER_MODE)?;
        }
        // The folder's time tells `restic cache --cleanup` that it is in use.
        let now = rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = rustix::fs::Timestamps {
            last_access: now,
            last_modification: now,
        };
        let _ = rustix::fs::futimens(&folder, &times);
        let cache = Self {
            inner,
            root,
            bound,
            used: AtomicU64::new(0),
            state: Mutex::default(),
            fetching: Default::default(),
        };
        cache.trim(clock.now());
        Ok(cache)
    }

    /// Measures what is there, removes crashed writers' files, and the oldest files beyond the bound.
    fn trim(&self, now: Timestamp) {
        let mut files = Vec::new();
        for kind in KINDS {
            for (path, id) in self.cached(kind) {
                match (id, std::fs::metadata(&path)) {
                    (Some(_), Ok(meta)) => files.push((meta.mtime(), meta.len(), path)),
                    (None, Ok(meta)) if now.secs - meta.mtime() > STALE.as_secs() as i64 => {
                        remove(&path);
                    }
                    _ => {}
                }
            }
        }
        files.sort_unstable();
        let mut used: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if used <= self.bound {
                break;
            }
            remove(&path);
            used -= size;
        }
        self.used.store(used, Relaxed);
    }

    /// Every file in a kind's folders, with its id if it is named like a repository file.
    fn cached(&self, kind: FileKind) -> Vec<(PathBuf, Option<Id>)> {
        let mut found = Vec::new();
        let read = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
        for folder in read(&self.root.join(kind.folder())) {
            for file in read(&folder.path()) {
                found.push((file.path(), Id::parse(file.file_name().as_bytes())));
            }
        }
        found
    }

    fn path(&self, name: FileName) -> PathBuf {
        let hex = name.id.hex();
        let mut path = self.root.join(name.kind.folder());
        path.push(&hex[..2]);
        path.push(hex);
        path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this file belongs into the cache.
    fn keeps(&self, name: FileName) -> bool {
        match name.kind {
            FileKind::Snapshot | FileKind::Index => true,
            FileKind::Pack => {
                !self.inner.capabilities().local && self.state().tree_packs.contains(&name.id)
            }
            FileKind::Config | FileKind::Key | FileKind::Lock => false,
        }
    }

    /// The whole file from the cache, if it is there and good.
    fn load(&self, name: FileName) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.path(name)).ok()?;
        if Id::of(&bytes) == name.id {
            self.state().checked.insert(name);
            return Some(bytes);
        }
        self.forget(name);
        self.state().dropped.insert(name);
        None
    }

    /// A part of a file that was checked before.
    fn load_range(&self, name: FileName, offset: u64, length: usize) -> Option<Vec<u8>> {
        if !self.state().checked.contains(&name) {
            return None;
        }
        let file = File::open(self.path(name)).ok()?;
        check_range(name, file.metadata().ok()?.len(), offset, length).ok()?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    fn save(&self, name: FileName, bytes: &[u8]) {
        let size = bytes.len() as u64;
        let used = self.used.fetch_add(size, Relaxed);
        let fits = used.saturating_add(size) <= self.bound;
        if !fits || self.state().dropped.contains(&name) || self.try_save(name, bytes).is_err() {
            self.used.fetch_sub(size, Relaxed);
            return;
        }
        self.state().checked.insert(name);
    }

    fn try_save(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        let hex = name.id.hex();
        let kind = Folder::open(&self.root.join(name.kind.folder()))?;
        kind.make_dir(hex[..2].as_ref(), FOLDER_MODE)?;
        let folder = Folder::open_at(rustix::fd::AsFd::as_fd(&kind), Path::new(&hex[..2]))?;
        folder.write_disposable(hex.as_ref(), bytes, FILE_MODE, "cache")
    }

    fn forget(&self, name: FileName) {
        self.state().checked.remove(&name);
        let path = self.path(name);
        if let Ok(meta) = std::fs::metadata(&path)
            && remove(&path)
        {
            let size = meta.len();
            let less = |used: u64| Some(used.saturating_sub(size));
            let _ = self.used.fetch_update(Relaxed, Relaxed, less);
        }
    }

    /// A kept file: from the cache, else from the storage and into the cache.
    fn fetch(&self, name: FileName) -> Result<Vec<u8>> {
        let shard = &self.fetching[usize::from(name.id.0[0] & 15)];
        let _one_at_a_time = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = self.load(name) {
            return Ok(bytes);
        }
        let bytes = self.inner.get(name)?;
        // Damage in the repository is for the caller to judge; it is not kept.
        if Id::of(&bytes) == name.id {
            self.save(name, &bytes);
        }
        Ok(bytes)
    }

    fn after_put(&self, name: FileName, bytes: &[u8]) {
        if self.keeps(name) {
            self.save(name, bytes);
        }
    }
}

impl Store for Cache {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let listed = self.inner.list(kind)?;
        if KINDS.contains(&kind) {
            let there: HashSet<Id> = listed.iter().map(|l| l.id).collect();
            let gone = |id: &Id| !there.contains(id);
            for id in self
                .cached(kind)
                .into_iter()
                .filter_map(|(_, id)| id)
                .filter(gone)
            {
                self.forget(FileName::new(kind, id));
            }
        }
        Ok(listed)
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        self.inner.stat(name)
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        if self.keeps(name) {
            self.fetch(name)
        } else {
            self.inner.get(name)
        }
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        if name.kind != FileKind::Pack || !self.keeps(name) {
            return self.inner.get_range(name, offset, length);
        }
        if let Some(bytes) = self.load_range(name, offset, length) {
            return Ok(bytes);
        }
        let dropped = self.state().dropped.contains(&name);
        if dropped || self.inner.stat(name)? > WHOLE_PACK {
            return self.inner.get_range(name, offset, length);
        }
        slice(name, &self.fetch(name)?, offset, length).map(<[u8]>::to_vec)
    }

    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        if self.keeps(name) {
            *out = self.fetch(name)?;
            return Ok(());
        }
        self.inner.get_into(name, out)
    }

    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if name.kind != FileKind::Pack || !self.keeps(name) {
            return self.inner.get_range_into(name, offset, length, out);
        }
        *out = self.get_range(name, offset, length)?;
        Ok(())
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.inner.put(name, bytes)?;
        self.after_put(name, bytes);
        Ok(())
    }

    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        self.inner.put_shared(name, bytes)?;
        self.after_put(name, bytes);
        Ok(())
    }

    fn delete(&self, name: FileName) -> Result<()> {
        let deleted = self.inner.delete(name);
        if KINDS.contains(&name.kind) {
            self.forget(name);
        }
        deleted
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.inner.remove_leftovers(before)
    }

    fn interrupt(&self, stop: bool) {
        self.inner.interrupt(stop);
    }

    fn mark_tree_packs(&self, packs: &[Id]) {
        self.state().tree_packs.extend(packs);
        self.inner.mark_tree_packs(packs);
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    Folder::open(folder)?.write_disposable(name.as_ref(), bytes, FILE_MODE, "cache")
}

fn check_version(root: &Path) -> Result<()> {
    match std::fs::read_to_string(root.join("version")) {
        Ok(text) if text.trim() == VERSION => Ok(()),
        Ok(text) => {
            let detail = format!("cache version {:?} is not known", text.trim());
            Err(Error::new(Code::RepositoryUnsupported, "cache", detail))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write(root, "version", VERSION.as_bytes())
        }
        Err(error) => Err(Error::io("cache", &error)),
    }
}

fn remove(path: &Path) -> bool {
    std::fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests;
