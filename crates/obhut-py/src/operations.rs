//! The long operations of `Repository`: each starts a job and gives its result as JSON.

use std::sync::Arc;

use obhut_core::backup::{self, BackupOptions};
use obhut_core::error::Error;
use obhut_core::id::{FileKind, Id};
use obhut_core::job::Control;
use obhut_core::pipe::Interruptible;
use obhut_core::repo::Repository as CoreRepository;
use obhut_core::restore::{self, Overwrite, RestoreOptions};
use pyo3::prelude::*;

use crate::error::{convert, invalid};
use crate::job::{Job, Outcome};
use crate::repository::{Repository, id};
use crate::store::path;

type CoreResult<T> = obhut_core::error::Result<T>;

fn optional_id(text: Option<String>) -> PyResult<Option<Id>> {
    text.map(|text| id(&text)).transpose()
}

fn plain(json: Vec<u8>) -> Outcome {
    Outcome { json, kept: None }
}

impl Repository {
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
        options.repository_dir = self.folder.clone();
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
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
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

    #[pyo3(signature = (tree, subpath, target, *, includes, iincludes, excludes, iexcludes, overwrite, delete, dry_run, sparse, verify, sync, xattrs, verbose, json, threads))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
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
            verbose,
            json,
            threads: if threads == 0 { self.threads } else { threads },
        };
        self.start("restore", move |repo, control| {
            let index = repo.load_index(control, options.threads)?;
            Outcome::json(&restore::run(repo, &index, &options, control)?)
        })
    }
}
