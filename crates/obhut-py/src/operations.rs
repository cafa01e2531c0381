//! The long operations of `Repository`: each starts a job and gives its result as JSON.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use obhut_core::backup::{self, BackupOptions};
use obhut_core::check::{self, CheckOptions};
use obhut_core::error::Error;
use obhut_core::id::{FileKind, Id};
use obhut_core::job::Control;
use obhut_core::ls::{self, Format, LsOptions, Order};
use obhut_core::pipe::Interruptible;
use obhut_core::prune::{MaxUnused, Plan, PruneOptions};
use obhut_core::repo::Repository as CoreRepository;
use obhut_core::restore::{self, Overwrite, RestoreOptions};
use pyo3::prelude::*;

use crate::error::{convert, invalid, to_python};
use crate::job::{Job, Outcome};
use crate::repository::{Repository, id};
use crate::store::path;

type CoreResult<T> = obhut_core::error::Result<T>;

/// A prune plan between its steps; a number names it in Python.
#[derive(Default)]
pub struct Plans {
    next: AtomicU64,
    kept: Mutex<std::collections::HashMap<u64, Arc<Mutex<Plan>>>>,
}

impl Plans {
    fn keep(&self, plan: Plan) -> u64 {
        let number = self.next.fetch_add(1, Relaxed) + 1;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(number, Arc::new(Mutex::new(plan)));
        number
    }

    fn get(&self, number: u64) -> PyResult<Arc<Mutex<Plan>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&number)
            .cloned()
            .ok_or_else(|| invalid("plan", "there is no such plan"))
    }
}

fn optional_id(text: Option<String>) -> PyResult<Option<Id>> {
    text.map(|text| id(&text)).transpose()
}

fn ids(texts: &[String]) -> PyResult<Vec<Id>> {
    texts.iter().map(|text| id(text)).collect()
}

fn plain(json: Vec<u8>) -> Outcome {
    Outcome { json, kept: None }
}

impl Repository {
    fn start_step(
        &self,
        name: &str,
        plan: u64,
        step: impl FnOnce(&mut Plan, &Arc<CoreRepository>, &Arc<Control>) -> CoreResult<Outcome>
        + Send
        + 'static,
    ) -> PyResult<Job> {
        let plan = self.plans.get(plan)?;
        self.start(name, move |repo, control| {
            step(
                &mut plan.lock().unwrap_or_else(PoisonError::into_inner),
                repo,
                control,
            )
        })
    }

    /// A job over a freshly loaded index. Snapshots are listed first (formats: restic 14).
    fn start_backup(
        &self,
        mut options: BackupOptions,
        work: impl FnOnce(
            &Arc<CoreRepository>,
            &Arc<obhut_core::index::Index>,
            &BackupOptions,
            &Arc<Control>,
        ) -> CoreResult<backup::BackupSummary>
        + Send
        + 'static,
    ) -> PyResult<Job> {
        options.repository_dir.clone_from(&self.folder);
        if options.threads == 0 {
            options.threads = self.threads;
        }
        self.start("backup", move |repo, control| {
            options.valid_snapshots = repo.list(FileKind::Snapshot)?;
            let index = repo.load_index(control, options.threads)?;
            Ok(plain(work(repo, &index, &options, control)?.to_json()))
        })
    }
}

#[pymethods]
impl Repository {
    #[pyo3(signature = (targets, *, parent_tree, parent_snapshot, excludes, iexcludes, exclude_if_present, exclude_caches, exclude_larger_than, one_file_system, ignore_ctime, ignore_inode, with_atime, dry_run, verbose, json, cache_dir, threads, scan=true))]
    #[allow(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        clippy::similar_names
    )]
    fn backup(
        &self,
        targets: Vec<Vec<u8>>,
        parent_tree: Option<String>,
        parent_snapshot: Option<String>,
        excludes: Vec<Vec<u8>>,
        iexcludes: Vec<Vec<u8>>,
        exclude_if_present: Vec<Vec<u8>>,
        exclude_caches: bool,
        exclude_larger_than: u64,
        one_file_system: bool,
        ignore_ctime: bool,
        ignore_inode: bool,
        with_atime: bool,
        dry_run: bool,
        verbose: u8,
        json: bool,
        cache_dir: Option<Vec<u8>>,
        threads: usize,
        scan: bool,
    ) -> PyResult<Job> {
        let options = BackupOptions {
            targets,
            parent_tree: optional_id(parent_tree)?,
            parent_snapshot: optional_id(parent_snapshot)?,
            excludes,
            iexcludes,
            exclude_if_present,
            exclude_caches,
            exclude_larger_than,
            one_file_system,
            ignore_ctime,
            ignore_inode,
            with_atime,
            dry_run,
            scan,
            verbose,
            json,
            cache_dir: cache_dir.as_deref().map(path),
            threads,
            ..BackupOptions::default()
        };
        self.start_backup(options, |repo, index, options, control| {
            backup::run(repo, index, options, control)
        })
    }

    /// Binds what a backup learned about directories to the snapshot that was saved for it.
    fn commit_cache(&self, py: Python<'_>, token: &str, snapshot: &str) -> PyResult<()> {
        let snapshot = id(snapshot)?;
        convert(py.detach(|| backup::commit_cache(&self.inner, token, &snapshot)))
    }

    #[pyo3(signature = (fd, name, *, dry_run, json, threads))]
    fn backup_stream(
        &self,
        fd: i32,
        name: Vec<u8>,
        dry_run: bool,
        json: bool,
        threads: usize,
    ) -> PyResult<Job> {
        if fd < 0 {
            return Err(invalid("fd", "a descriptor is not negative"));
        }
        // SAFETY: Python keeps `fd` open for the length of this call; the clone is ours.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let owned = convert(
            borrowed
                .try_clone_to_owned()
                .map_err(|e| Error::io("stream", &e)),
        )?;
        let options = BackupOptions {
            dry_run,
            json,
            threads,
            ..BackupOptions::default()
        };
        self.start_backup(options, move |repo, index, options, control| {
            let mut source = Interruptible::new(owned, Arc::clone(control));
            backup::run_stream(repo, index, &mut source, &name, options, control)
        })
    }

    #[pyo3(signature = (tree, subpath, target, *, includes, iincludes, excludes, iexcludes, overwrite, delete, dry_run, sparse, verify, sync, xattrs, include_xattrs, exclude_xattrs, owners_by_name, verbose, json, threads))]
    #[allow(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        clippy::similar_names
    )]
    fn restore(
        &self,
        tree: &str,
        subpath: Vec<u8>,
        target: Vec<u8>,
        includes: Vec<Vec<u8>>,
        iincludes: Vec<Vec<u8>>,
        excludes: Vec<Vec<u8>>,
        iexcludes: Vec<Vec<u8>>,
        overwrite: &str,
        delete: bool,
        dry_run: bool,
        sparse: bool,
        verify: bool,
        sync: bool,
        xattrs: bool,
        include_xattrs: Vec<Vec<u8>>,
        exclude_xattrs: Vec<Vec<u8>>,
        owners_by_name: bool,
        verbose: u32,
        json: bool,
        threads: usize,
    ) -> PyResult<Job> {
        let options = RestoreOptions {
            tree: id(tree)?,
            subpath,
            target,
            includes,
            iincludes,
            excludes,
            iexcludes,
            overwrite: convert(Overwrite::parse(overwrite))?,
            delete,
            dry_run,
            sparse,
            verify,
            sync,
            xattrs,
            include_xattrs,
            exclude_xattrs,
            owners_by_name,
            verbose,
            json,
            threads: if threads == 0 { self.threads } else { threads },
        };
        self.start("restore", move |repo, control| {
            let index = repo.load_index(control, options.threads)?;
            Outcome::json(&restore::run(repo, &index, &options, control)?)
        })
    }

    #[pyo3(signature = (tree, *, paths, recursive, format, human, sort="name", reverse=false))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn ls(
        &self,
        tree: &str,
        paths: Vec<Vec<u8>>,
        recursive: bool,
        format: &str,
        human: bool,
        sort: &str,
        reverse: bool,
    ) -> PyResult<Job> {
        let options = LsOptions {
            tree: id(tree)?,
            paths,
            recursive,
            format: convert(format.parse::<Format>())?,
            human,
            order: Order {
                by: convert(sort.parse())?,
                reverse,
            },
        };
        let threads = self.threads;
        self.start("ls", move |repo, control| {
            let index = repo.load_index(control, threads)?;
            Outcome::json(&ls::run(repo, &index, &options, control)?)
        })
    }

    #[pyo3(signature = (*, read_data, subset, threads, only=None))]
    fn check(
        &self,
        read_data: bool,
        subset: &str,
        threads: usize,
        only: Option<Vec<String>>,
    ) -> PyResult<Job> {
        let read = match (read_data, subset) {
            (_, text) if !text.is_empty() => Some(convert(check::Subset::parse(text))?),
            (true, _) => Some(check::Subset::All),
            (false, _) => None,
        };
        let options = CheckOptions {
            read,
            only: only.as_deref().map(ids).transpose()?,
            threads: if threads == 0 { self.threads } else { threads },
        };
        self.start("check", move |repo, control| {
            Outcome::json(&check::check(repo, &options, control)?)
        })
    }

    #[pyo3(signature = (*, max_unused, max_repack_bytes, repack_cacheable_only, repack_small, repack_smaller_than, repack_uncompressed, ignore_snapshots, threads))]
    #[allow(clippy::too_many_arguments)]
    fn plan_prune(
        &self,
        max_unused: &str,
        max_repack_bytes: u64,
        repack_cacheable_only: bool,
        repack_small: bool,
        repack_smaller_than: u64,
        repack_uncompressed: bool,
        ignore_snapshots: Vec<String>,
        threads: usize,
    ) -> PyResult<Job> {
        let options = PruneOptions {
            max_unused: convert(MaxUnused::parse(max_unused))?,
            max_repack_bytes,
            repack_cacheable_only,
            repack_small,
            repack_smaller_than,
            repack_uncompressed,
        };
        let ignored = ids(&ignore_snapshots)?;
        let threads = if threads == 0 { self.threads } else { threads };
        let plans = Arc::clone(&self.plans);
        self.start("plan prune", move |repo, control| {
            let plan = Plan::make(repo, &options, &ignored, false, control, threads)?;
            let (summary, table) = (plan.summary(), plan.summary().stats.table());
            let mut json = serde_json::to_value(summary).map_err(internal)?;
            json["table"] = table.into();
            json["plan"] = plans.keep(plan).into();
            Outcome::json(&json)
        })
    }

    #[pyo3(signature = (plan, *, threads))]
    fn repack(&self, plan: u64, threads: usize) -> PyResult<Job> {
        let threads = if threads == 0 { self.threads } else { threads };
        self.start_step("repack", plan, move |plan, repo, control| {
            Outcome::json(&plan.repack(repo, control, threads)?)
        })
    }

    #[pyo3(signature = (plan, *, threads))]
    fn swap_index(&self, plan: u64, threads: usize) -> PyResult<Job> {
        let threads = if threads == 0 { self.threads } else { threads };
        self.start_step("swap index", plan, move |plan, repo, control| {
            Outcome::json(&plan.swap_index(repo, control, threads)?)
        })
    }

    fn delete_packs(&self, plan: u64) -> PyResult<Job> {
        let threads = self.threads;
        self.start_step("delete packs", plan, move |plan, repo, control| {
            Outcome::json(&plan.delete_packs(repo, control, threads)?)
        })
    }
}

fn internal(error: serde_json::Error) -> Error {
    Error::internal(error.to_string())
}

/// The prune plan's reference input and output as JSON, for the Python model in the tests.
#[pyfunction]
pub fn prune_plan_model<'py>(
    py: Python<'py>,
    input: &[u8],
) -> PyResult<Bound<'py, pyo3::types::PyBytes>> {
    let output = obhut_core::prune::plan::from_json(input).map_err(|error| to_python(&error))?;
    Ok(pyo3::types::PyBytes::new(py, &output))
}

/// The restore plan's reference input and output as JSON, for the Python model in the tests.
#[pyfunction]
pub fn restore_plan_model<'py>(
    py: Python<'py>,
    input: &[u8],
) -> PyResult<Bound<'py, pyo3::types::PyBytes>> {
    let output = convert(obhut_core::restore::model::from_json(input))?;
    Ok(pyo3::types::PyBytes::new(py, &output))
}
