//! Restore: from a tree of a repository to a directory (formats: restic 10, 20).
//!
//! Stages: the walk ([`traverse`]) judges and chooses entries, makes directories and fills batches of
//! bounded size; for each batch threads look at what exists ([`files`]), make links, devices and pipes
//! ([`others`]), read packs by plan ([`plan`], [`fetch`]) and write out of order, add hard links, verify,
//! and complete directories, children first. The walk is one batch ahead.
//!
//! Promises:
//! - Nothing outside the target is written, whatever a tree says and whoever changes directories
//!   meanwhile ([`target`]).
//! - Content, then owner, attributes, times, mode ([`meta`]). New files are 0600 until they are complete.
//! - An interrupted restore goes on when it is run again: what is there and right is recognised by its
//!   content and not written again. A file that failed stays as far as it came, 0600, with the time of
//!   the failure; it is listed as an error, never as restored.
//! - Item errors do not stop the rest; a full or read-only disk and storage that does not answer do.
//! - Memory is bounded by [`batch`]'s figures, not by the size of the snapshot (hard links: about 150
//!   bytes for each object with several names).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crossbeam_channel::bounded;

use crate::durable;
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{BlobKind, Id};
use crate::index::Index;
use crate::job::{Control, guarded};
use crate::repo::Repository;
use crate::tree;

mod batch;
mod delete;
mod entry;
mod fetch;
mod files;
mod handles;
mod inspect;
mod meta;
pub mod model;
mod others;
mod owners;
mod parallel;
pub mod plan;
mod report;
mod rules;
mod select;
mod sparse;
mod target;
#[cfg(test)]
mod tests;
mod traverse;

pub use report::RestoreSummary;
pub use rules::Overwrite;

use batch::Batch;
use files::Files;
use meta::{Applier, XattrFilter};
use parallel::{Spread, each, each_then};
use report::Report;
use select::Selection;
use target::Target;

/// Neighbouring entries that one thread takes at a time.
const CHUNK: usize = 16;

/// What to restore, where, and how. The switches are those of `obhut backup restore`.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct RestoreOptions {
    /// The snapshot's root tree.
    pub tree: Id,
    /// A directory in it whose content is restored; empty or `/`: everything.
    pub subpath: Vec<u8>,
    /// Where to; made (0700) if missing.
    pub target: Vec<u8>,
    /// Only what these name.
    pub includes: Vec<Vec<u8>>,
    /// The same without regard to case.
    pub iincludes: Vec<Vec<u8>>,
    /// All but what these name.
    pub excludes: Vec<Vec<u8>>,
    /// The same without regard to case.
    pub iexcludes: Vec<Vec<u8>>,
    /// What happens to existing entries.
    pub overwrite: Overwrite,
    /// Remove what the snapshot does not have.
    pub delete: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Holes instead of zeros in new files.
    pub sparse: bool,
    /// Read every restored file again.
    pub verify: bool,
    /// Write the file system back before success is reported.
    pub sync: bool,
    /// Restore extended attributes and access lists.
    pub xattrs: bool,
    /// Of them only those whose names fit one of these patterns.
    pub include_xattrs: Vec<Vec<u8>>,
    /// All but those whose names fit one of these.
    pub exclude_xattrs: Vec<Vec<u8>>,
    /// Owners by their names on this host instead of the numbers in the snapshot.
    pub owners_by_name: bool,
    /// A line an entry from 2 on.
    pub verbose: u32,
    /// Lines as JSON.
    pub json: bool,
    /// Threads; 0 = processors.
    pub threads: usize,
}

impl RestoreOptions {
    /// Refuses combinations without meaning, or with a dangerous one.
    fn check(&self, selection: &Selection) -> Result<()> {
        let invalid =
            |object: &str, detail: &str| Err(Error::new(Code::InvalidArgument, object, detail));
        if self.target.is_empty() {
            return invalid("--target", "no directory to restore to");
        }
        if self.dry_run && self.verify {
            return invalid(
                "--verify",
                "a dry run restores nothing that could be verified",
            );
        }
        if self.delete && selection.is_everything() && crate::filter::clean(&self.target) == b"/" {
            let detail = "in / only together with an include or exclude filter";
            return invalid("--delete", detail);
        }
        Ok(())
    }
}

/// What all stages of one restore share.
struct Run<'a> {
    repo: &'a Arc<Repository>,
    index: &'a Arc<Index>,
    options: &'a RestoreOptions,
    selection: Selection,
    target: Target,
    applier: Applier,
    report: Report,
    uid: u32,
    threads: usize,
}

/// Restores. Item errors are reported to `control` (during `restore` or `verify`); an error of the call
/// means that the restore ended early.
pub fn run(
    repo: &Arc<Repository>,
    index: &Arc<Index>,
    options: &RestoreOptions,
    control: &Arc<Control>,
) -> Result<RestoreSummary> {
    let selection = Selection::new(
        [&options.includes, &options.iincludes],
        [&options.excludes, &options.iexcludes],
    )?;
    options.check(&selection)?;
    let xattrs = XattrFilter::new(&options.include_xattrs, &options.exclude_xattrs)?;
    // Everything that can be wrong with the request is found before the target is touched.
    let root = traverse::subtree(repo, index, options.tree, &options.subpath)?;
    let bytes = repo.load_blob(&mut repo.codec(), index, BlobKind::Tree, &root)?;
    let nodes = tree::parse(&format!("tree {root}"), &bytes)?;
    let target = Target::open(&options.target, !options.dry_run)?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let run = Run {
        repo,
        index,
        options,
        selection,
        target,
        applier: Applier::new(options.xattrs.then_some(xattrs)),
        report: Report::new(Arc::clone(control), options.json, options.verbose),
        uid: rustix::process::geteuid().as_raw(),
        threads,
    };
    run.all(nodes)?;
    if options.sync && !options.dry_run {
        let handle = run.target.handle(run.target.root()).map_err(|e| {
            let shown = gojson::display(&options.target);
            Error::os(shown, e)
        })?;
        durable::sync_file_system(std::os::fd::AsFd::as_fd(&handle), control)?;
    }
    Ok(run.report.summary(run.applier.denied()))
}

impl Run<'_> {
    /// Walk and work, side by side.
    fn all(&self, nodes: Vec<tree::Node>) -> Result<()> {
        let (out, batches) = bounded::<Batch>(1);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let walker = std::thread::Builder::new()
                .name("restore-walk".to_owned())
                .spawn_scoped(scope, || {
                    guarded(|| traverse::Walk::new(self, out, &stop).all(nodes))
                })
                .map_err(|e| Error::io("thread", &e))?;
            let worked = guarded(|| batches.iter().try_for_each(|batch| self.batch(&batch)));
            if worked.is_err() {
                stop.store(true, Relaxed);
            }
            drop(batches);
            let walk_ended = walker
                .join()
                .unwrap_or_else(|_| Err(Error::internal("the walk died")));
            worked.and(walk_ended)
        })
    }

    /// All stages for one batch.
    fn batch(&self, batch: &Batch) -> Result<()> {
        let control = self.report.control();
        let files = Files::new(self, &batch.files);
        let spread = Spread {
            threads: self.threads,
            chunk: CHUNK,
        };
        let looks = files.decide_new();
        let reader = |worker| (worker, vec![0u8; inspect::STEP]);
        each(
            control,
            spread,
            looks.len(),
            reader,
            |(worker, buffer), task| {
                files.show(*worker, looks[task]);
                files.inspect(looks[task], buffer)
            },
        )?;
        each(
            control,
            spread,
            batch.others.len(),
            |_| (),
            |(), task| others::other(self, &batch.others[task]),
        )?;
        if self.options.dry_run {
            (0..batch.files.len()).try_for_each(|number| files.pretend(number))?;
        } else {
            self.content(&files, spread)?;
        }
        each(
            control,
            spread,
            batch.links.len(),
            |_| (),
            |(), task| others::link(self, &batch.links[task]),
        )?;
        if self.options.verify {
            each(
                control,
                spread,
                batch.files.len(),
                reader,
                |(worker, buffer), task| {
                    files.show(*worker, task);
                    files.verify(task, buffer)
                },
            )?;
        }
        batch
            .finishes
            .iter()
            .try_for_each(|item| others::finish(self, item))
    }

    /// The content of a batch's files.
    fn content(&self, files: &Files<'_>, spread: Spread) -> Result<()> {
        let control = self.report.control();
        let (wanted, light) = files.wanted();
        each(
            control,
            spread,
            light.len(),
            |_| (),
            |(), task| files.finish_light(light[task]),
        )?;
        let able = self.repo.store().capabilities();
        let limits = if able.local {
            plan::Limits::LOCAL
        } else {
            plan::Limits::REMOTE
        };
        // Waiting for a network needs no processor: as many requests as the storage makes sense of.
        let threads = match self.threads {
            1 => 1,
            threads if able.local => threads,
            threads => threads.max(able.connections),
        };
        let plan = plan::plan(wanted, limits);
        let spread = Spread { threads, chunk: 1 };
        let fetcher = |worker| fetch::Fetcher::new(self, files, &plan, worker);
        each_then(
            control,
            spread,
            plan.reads.len(),
            fetcher,
            |fetcher, task| fetcher.fetch(&plan.reads[task]),
            fetch::Fetcher::end,
        )
    }
}
