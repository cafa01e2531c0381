//! Backup: from files to trees and blobs, byte for byte as restic does it (formats: restic 10, 12, 16).
//!
//! - [`targets`]: the shape of the snapshot from the paths that were given.
//! - [`select`]: what is left out.
//! - [`visit`], [`directory`], [`file`]: looking at entries, writing trees, reading.
//! - [`queue`], [`engine`]: tasks and workers; [`report`]: counters and lines.
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
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{Code, Error, Result};
use crate::fs::{self, Names};
use crate::gojson;
use crate::gotime::LocalZone;
use crate::index::Index;
use crate::job::Control;
use crate::packer::BlobWriter;
use crate::repo::Repository;

mod directory;
mod engine;
mod facts;
mod file;
mod options;
mod plant;
mod queue;
mod report;
mod scan;
mod select;
mod stream;
mod targets;
#[cfg(test)]
mod tests;
mod visit;

pub use options::{BackupOptions, BackupSummary, Notice};

use engine::Engine;
use facts::Facts;
use report::Report;
use select::Select;

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
    let select = Select::new(options, &current, &targets)?;
    let plan = targets::plan(&targets, &targets::list_path)?;
    let mut summary = with_engine(repo, index, options, control, select, |engine, threads| {
        let scanning = std::sync::atomic::AtomicBool::new(options.scan);
        std::thread::scope(|scope| {
            if options.scan {
                let (engine, plan, current, scanning) = (&*engine, &plan, &current, &scanning);
                // Without a thread for it there is no estimate; the backup is the same.
                let _ = std::thread::Builder::new()
                    .name("scan".to_owned())
                    .spawn_scoped(scope, move || {
                        scan::estimate(engine, plan, current, scanning);
                    });
            }
            let saved = engine.run(threads, |tools| engine.plant(&plan, &current, tools));
            scanning.store(false, Relaxed);
            saved
        })
    })?;
    summary.missing_targets = missing;
    Ok(summary)
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
    with_engine(repo, index, options, control, select, |engine, threads| {
        engine.run(threads, |tools| engine.plant_stream(source, name, tools))
    })
}

/// Sets up writer and engine, runs `work`, finishes the writer, and sums up.
fn with_engine(
    repo: &Arc<Repository>,
    index: &Arc<Index>,
    options: &BackupOptions,
    control: &Arc<Control>,
    select: Select,
    work: impl FnOnce(&Engine<'_>, usize) -> Result<()>,
) -> Result<BackupSummary> {
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        given => given,
    };
    let writer = BlobWriter::new(
        Arc::clone(repo),
        Arc::clone(index),
        Arc::clone(control),
        threads,
        options.dry_run,
    )?;
    let engine = Engine {
        repo,
        index,
        writer: &writer,
        control,
        options,
        select,
        facts: Facts {
            names: Names::system(),
            zone: LocalZone::system(),
            with_atime: options.with_atime,
        },
        report: Report::new(
            Arc::clone(control),
            Arc::clone(repo.clock()),
            options.verbose,
            options.json,
        ),
        queue: engine::queue(threads),
        saved_targets: AtomicU64::new(0),
        root: OnceLock::new(),
        repository: repository_directory(options),
    };
    work(&engine, threads)?;
    if engine.saved_targets.load(Relaxed) == 0 {
        return Err(Error::new(
            Code::NothingSaved,
            "",
            "no target could be saved",
        ));
    }
    let mut summary = BackupSummary {
        tree: engine.root.get().copied(),
        ..BackupSummary::default()
    };
    if summary.tree.is_none() {
        return Err(Error::internal("the root tree was not completed"));
    }
    engine.report.fill(&mut summary);
    writer.finish()?;
    Ok(summary)
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
