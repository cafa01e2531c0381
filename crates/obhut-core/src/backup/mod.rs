//! Backup: from files to trees and blobs, byte for byte as restic does it (formats: restic 10, 12, 16).
//!
//! - [`targets`]: the shape of the snapshot from the paths that were given.
//! - [`select`]: what is left out.
//! - [`visit`], [`directory`], [`file`]: looking at entries, writing trees, reading.
//! - [`queue`], [`engine`]: tasks and workers; [`report`]: counters and lines.
//! - [`dircache`], [`reuse`]: what makes unchanged directories cheap; [`sweep`]: old files of it.
//! - [`scan`]: the estimate for the progress display.
//!
//! The caller holds the lock, has listed the snapshots before the index was loaded, and saves the snapshot
//! afterwards: nothing counts until then. Memory: a chunk buffer of at most 9 MiB and 16 MiB of pieces a
//! thread, the entries of directories in progress, and what [`crate::packer`] states.
//!
//! An item that cannot be read is an item error and is left out; the rest is saved. Everything else that
//! fails ends the backup: no index file is written then that names a pack of unknown fate.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::error::{Code, Error, Result};
use crate::fs::{self, Names};
use crate::gojson;
use crate::gotime::LocalZone;
use crate::id::Id;
use crate::index::Index;
use crate::job::Control;
use crate::packer::BlobWriter;
use crate::repo::Repository;

mod dircache;
mod directory;
mod engine;
mod facts;
mod file;
mod found;
mod options;
mod plant;
mod queue;
mod report;
mod reuse;
mod scan;
mod select;
mod stream;
mod sweep;
mod targets;
#[cfg(test)]
mod tests;
mod visit;

pub use options::{BackupOptions, BackupSummary, Notice};

use dircache::DirCache;
use engine::Engine;
use facts::Facts;
use report::Report;
use select::Select;
use targets::Target;

/// Backs up the targets; no snapshot is saved yet.
pub fn run(
    repo: &Arc<Repository>,
    index: &Arc<Index>,
    options: &BackupOptions,
    control: &Arc<Control>,
) -> Result<BackupSummary> {
    fs::raise_limit();
    let current = current_directory()?;
    let (targets, missing) = existing(&options.targets, control)?;
    let plan = targets::plan(&targets, &targets::list_path)?;
    let scene = Scene {
        repo,
        index,
        options,
        control,
    };
    // What the cache has to be of: the targets as given (they shape the snapshot) and where they lie.
    let mut sources = targets.clone();
    sources.extend(targets.iter().map(|t| targets::absolute(&current, t)));
    let cache_failed = AtomicBool::new(false);
    let save = |cached: Option<&[Vec<u8>]>| {
        let select = Select::new(options, &current, &targets)?;
        scene.save(select, cached, &cache_failed, |engine, threads| {
            run_on(engine, threads, &plan, &current)
        })
    };
    let mut summary = match save(Some(&sources)) {
        // A tree that only the cache needed is damaged: the files are still there.
        Err(_) if cache_failed.load(Relaxed) && !control.is_cancelled() => save(None)?,
        result => result?,
    };
    summary.missing_targets = missing;
    Ok(summary)
}

/// Runs the engine on the targets, the estimate beside it.
fn run_on(engine: &Engine<'_>, threads: usize, plan: &Target, current: &[u8]) -> Result<()> {
    let wanted = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let wanted = &wanted;
        let estimate = || scan::estimate(engine, plan, current, wanted);
        // Without a thread for it there is no estimate; the backup is the same.
        let thread = engine
            .options
            .scan
            .then(|| std::thread::Builder::new().name("scan".to_owned()))
            .and_then(|builder| builder.spawn_scoped(scope, estimate).ok());
        let ended = scan::Ended {
            wanted,
            thread: thread.as_ref().map(|scan| scan.thread().clone()),
        };
        let began = engine.elapsed();
        engine.run(threads, |tools| engine.plant(plan, current, tools))?;
        // For information, like the estimate's: what follows is no part of the walk.
        let _ = engine.report.walked(began);
        // Who asked for the line of the estimate gets it, from the shortest backup too.
        if let Some(scan) = thread.filter(|_| engine.report.tells_scans()) {
            scan.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        drop(ended);
        Ok(())
    })
}

/// Binds what a backup learnt about directories to the snapshot that was saved for it. `token` is the
/// summary's `cache_token`. Caches that were not used for long are removed on the way.
pub fn commit_cache(repo: &Repository, token: &str, snapshot: &Id) -> Result<()> {
    let base = dircache::commit(token, snapshot)?;
    sweep::sweep(&base, repo.clock().now());
    Ok(())
}

/// Backs up one stream as the file `name` (a path from the root); its directories are made up.
pub fn run_stream(
    repo: &Arc<Repository>,
    index: &Arc<Index>,
    source: &mut (dyn Read + Send),
    name: &[u8],
    options: &BackupOptions,
    control: &Arc<Control>,
) -> Result<BackupSummary> {
    let select = Select::new(&BackupOptions::default(), b"/", &[])?;
    let scene = Scene {
        repo,
        index,
        options,
        control,
    };
    scene.save(select, None, &AtomicBool::new(false), |engine, threads| {
        engine.run(threads, |tools| engine.plant_stream(source, name, tools))
    })
}

/// What a backup works with.
struct Scene<'a> {
    repo: &'a Arc<Repository>,
    index: &'a Arc<Index>,
    options: &'a BackupOptions,
    control: &'a Arc<Control>,
}

impl Scene<'_> {
    /// Sets up writer and engine, runs `work`, finishes the writer, and sums up. `cached`: the sources that
    /// the directory cache has to be of; `None` does without it.
    fn save(
        &self,
        select: Select,
        cached: Option<&[Vec<u8>]>,
        cache_failed: &AtomicBool,
        work: impl FnOnce(&Engine<'_>, usize) -> Result<()>,
    ) -> Result<BackupSummary> {
        let threads = match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            given => given,
        };
        let writer = BlobWriter::new(
            Arc::clone(self.repo),
            Arc::clone(self.index),
            Arc::clone(self.control),
            threads,
            self.options.dry_run,
        )?;
        let mut engine = self.engine(&writer, select, cached, cache_failed, threads);
        work(&engine, threads)?;
        if engine.saved_targets.load(Relaxed) == 0 {
            let detail = "no target could be saved";
            return Err(Error::new(Code::NothingSaved, "", detail));
        }
        let cache = engine.cache.take();
        if let Some(error) = engine.facts.names.failure() {
            engine
                .report
                .notice(error.object().as_bytes(), "names-unavailable");
        }
        let mut summary = BackupSummary::default();
        engine.report.fill(&mut summary);
        let tree = engine.root.get().copied();
        let tree = tree.ok_or_else(|| Error::internal("the root tree was not completed"))?;
        summary.tree = Some(tree);
        drop(engine);
        let mut indexes = writer.finish()?.indexes;
        indexes.extend_from_slice(self.index.files());
        summary.cache_token = cache
            .map(|cache| cache.park(&tree, indexes))
            .unwrap_or_default();
        Ok(summary)
    }

    fn engine<'e>(
        &'e self,
        writer: &'e BlobWriter,
        select: Select,
        cached: Option<&[Vec<u8>]>,
        cache_failed: &'e AtomicBool,
        threads: usize,
    ) -> Engine<'e> {
        let options = self.options;
        let facts = Facts {
            names: Names::new(Arc::clone(self.repo.accounts())),
            zone: LocalZone::system(),
            with_atime: options.with_atime,
        };
        let clock = Arc::clone(self.repo.clock());
        let control = Arc::clone(self.control);
        Engine {
            repo: self.repo,
            index: self.index,
            writer,
            control: self.control,
            options,
            select,
            cache: cached.and_then(|sources| {
                DirCache::open(self.repo, options, sources, &facts, self.index)
            }),
            cache_failed,
            facts,
            report: Report::new(control, clock, options.verbose, options.json),
            queue: queue::Queue::new(threads),
            saved_targets: AtomicU64::new(0),
            root: OnceLock::new(),
            repository: repository_directory(options),
        }
    }
}

/// Device and inode of a local repository's folder.
fn repository_directory(options: &BackupOptions) -> Option<(u64, u64)> {
    let path = options.repository_dir.as_deref()?;
    let stat = fs::stat_path(path, true).ok()?;
    Some((stat.device, stat.inode))
}

fn current_directory() -> Result<Vec<u8>> {
    let current = std::env::current_dir().map_err(|e| Error::io("current directory", &e))?;
    Ok(current.as_os_str().as_bytes().to_vec())
}

/// Paths.
type List = Vec<Vec<u8>>;

/// The targets that exist, and those that do not (item errors). None at all is an error.
fn existing(targets: &[Vec<u8>], control: &Control) -> Result<(List, List)> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for target in targets {
        if target.is_empty() || target.contains(&0) {
            let object = gojson::display(target);
            return Err(Error::new(Code::InvalidArgument, object, "no path"));
        }
        match fs::stat_path(target, false) {
            Ok(_) => found.push(target.clone()),
            Err(errno) => {
                let error = Error::os("", errno);
                let object = gojson::display(target);
                let error = Error::new(Code::SourceMissing, object, error.detail());
                control.item_error(target.as_slice(), "scan", error);
                missing.push(target.clone());
            }
        }
    }
    if found.is_empty() {
        let names: Vec<String> = missing.iter().map(|m| gojson::display(m)).collect();
        let detail = "none of the sources exists";
        return Err(Error::new(Code::SourceMissing, names.join(", "), detail));
    }
    Ok((found, missing))
}
