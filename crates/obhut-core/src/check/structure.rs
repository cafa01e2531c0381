//! Snapshots and trees: everything that a snapshot names is in the index, and every tree can be read.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::findings::Findings;
use super::marks::Marks;
use crate::blob::Codec;
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::Index;
use crate::job::guarded;
use crate::pool;
use crate::repo::Repository;
use crate::snapshot;
use crate::store::Listed;
use crate::tree::{self, Node, NodeType};

/// Gives the first slots of the blobs that the snapshots use.
pub(super) fn check(
    repo: &Repository,
    index: &Index,
    snapshots: &[Listed],
    findings: &mut Findings<'_>,
    threads: usize,
) -> Result<Marks> {
    let roots = read_snapshots(repo, snapshots, findings, threads)?;
    let walk = Walk::new(repo, index, findings);
    for root in roots {
        walk.enqueue(&mut walk.lock(), root, &|| "a snapshot's root".to_owned());
    }
    pool::join_all(threads, || {
        let result = guarded(|| walk.work());
        if result.is_err() {
            walk.lock().stopped = true;
            walk.ready.notify_all();
        }
        result
    })?;
    let trees = walk.trees.load(Relaxed);
    let used = walk.used;
    findings.report.trees = trees;
    Ok(used)
}

fn read_snapshots(
    repo: &Repository,
    snapshots: &[Listed],
    findings: &mut Findings<'_>,
    threads: usize,
) -> Result<Vec<Id>> {
    let roots = Mutex::new(Vec::new());
    let broken = Mutex::new(Vec::new());
    let shared: &Findings<'_> = findings;
    pool::each(
        snapshots,
        threads,
        shared.control,
        || Ok(()),
        |(), listed| {
            let root = repo
                .load_unpacked(FileKind::Snapshot, &listed.id)
                .and_then(|json| snapshot::parse_root(listed.id, &json));
            match root {
                Ok(root) => push(&roots, root.tree),
                Err(error) => {
                    push(&broken, listed.id.hex());
                    shared.error(name_it(error, FileName::new(FileKind::Snapshot, listed.id)));
                }
            }
            Ok(())
        },
    )?;
    findings.report.snapshots = snapshots.len() as u64;
    let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    broken.sort_unstable();
    findings.report.broken_snapshots = broken;
    Ok(roots.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(item);
}

/// The error with an object, if it had none.
fn name_it(error: Error, name: FileName) -> Error {
    if error.object().is_empty() {
        Error::new(error.code(), name.to_string(), error.detail())
    } else {
        error
    }
}

#[derive(Default)]
struct Queue {
    /// Trees to read. Last in, first out: the stack stays as deep as a directory tree, not as wide.
    trees: Vec<Id>,
    /// Trees that a thread is reading now.
    busy: usize,
    /// Trees that no index names and that were reported.
    missing: HashSet<Id>,
    stopped: bool,
}

struct Walk<'a> {
    repo: &'a Repository,
    index: &'a Index,
    findings: &'a Findings<'a>,
    /// First slots of the blobs seen.
    used: Marks,
    queue: Mutex<Queue>,
    ready: Condvar,
    trees: AtomicU64,
}

impl<'a> Walk<'a> {
    fn new(repo: &'a Repository, index: &'a Index, findings: &'a Findings<'a>) -> Self {
        Self {
            repo,
            index,
            findings,
            used: Marks::new(index.len()),
            queue: Mutex::default(),
            ready: Condvar::new(),
            trees: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a tree that was not seen yet; `by` says what names it.
    fn enqueue(&self, queue: &mut Queue, tree: Id, by: &dyn Fn() -> String) {
        let slots = self.index.slots(BlobKind::Tree, &tree);
        if slots.is_empty() {
            if queue.missing.insert(tree) {
                let detail = format!("no index names it; named by {}", by());
                self.findings.error(Error::new(
                    Code::BlobMissing,
                    format!("tree {tree}"),
                    detail,
                ));
            }
        } else if !self.used.set(slots.start) {
            self.findings
                .control
                .counters
                .total_items
                .fetch_add(1, Relaxed);
            queue.trees.push(tree);
        }
    }

    fn work(&self) -> Result<()> {
        let mut codec = self.repo.codec();
        while let Some(tree) = self.next()? {
            let children = self.read(&mut codec, &tree);
            let mut queue = self.lock();
            queue.busy -= 1;
            for child in children {
                self.enqueue(&mut queue, child, &|| format!("tree {tree}"));
            }
            drop(queue);
            self.ready.notify_all();
            self.trees.fetch_add(1, Relaxed);
            self.findings
                .control
                .counters
                .items_done
                .fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// The next tree; waits while other threads may still find some.
    fn next(&self) -> Result<Option<Id>> {
        let mut queue = self.lock();
        loop {
            self.findings.control.check()?;
            if queue.stopped {
                return Ok(None);
            }
            if let Some(tree) = queue.trees.pop() {
                queue.busy += 1;
                return Ok(Some(tree));
            }
            if queue.busy == 0 {
                self.ready.notify_all();
                return Ok(None);
            }
            let waited = self.ready.wait_timeout(queue, Duration::from_millis(100));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads and judges a tree; gives its subtrees.
    fn read(&self, codec: &mut Codec, id: &Id) -> Vec<Id> {
        let name = format!("tree {id}");
        let nodes = self
            .repo
            .load_blob(codec, self.index, BlobKind::Tree, id)
            .and_then(|bytes| tree::parse(&name, &bytes));
        match nodes {
            Ok(nodes) => self.judge(&name, &nodes),
            Err(error) => {
                // Whatever object failed below, the tree is what the user has to know.
                let detail = error.to_string();
                self.findings.error(Error::new(error.code(), name, detail));
                Vec::new()
            }
        }
    }

    fn judge(&self, tree: &str, nodes: &[Node]) -> Vec<Id> {
        let complain = |code: Code, detail: String| {
            self.findings.error(Error::new(code, tree, detail));
        };
        let mut children = Vec::new();
        let mut last: Option<&[u8]> = None;
        for node in nodes {
            let shown = gojson::display(&node.name);
            if let Some(problem) = name_problem(&node.name) {
                complain(Code::Damaged, format!("{shown:?}: {problem}"));
            }
            if last.is_some_and(|last| last >= node.name.as_slice()) {
                complain(
                    Code::Damaged,
                    format!("{shown:?} is not in ascending order"),
                );
            }
            last = Some(&node.name);
            match node.kind {
                NodeType::File => match &node.content {
                    None => complain(
                        Code::Damaged,
                        format!("file {shown:?} has no list of blobs"),
                    ),
                    Some(content) => self.judge_content(tree, &shown, content),
                },
                NodeType::Dir => match node.subtree {
                    None | Some(Id::ZERO) => {
                        complain(Code::Damaged, format!("directory {shown:?} has no tree"));
                    }
                    Some(subtree) => children.push(subtree),
                },
                NodeType::Irregular => {
                    complain(Code::Damaged, format!("{shown:?} has an unknown type"));
                }
                _ => {}
            }
        }
        children
    }

    /// The sum of the blobs' lengths is not compared with the file's size: restic has written snapshots where
    /// they differ, and nobody could repair that (formats: restic 19).
    fn judge_content(&self, tree: &str, file: &str, content: &[Id]) {
        for blob in content {
            let slots = self.index.slots(BlobKind::Data, blob);
            if slots.is_empty() {
                let detail = format!("file {file:?}: no index names its blob {blob}");
                self.findings
                    .error(Error::new(Code::BlobMissing, tree, detail));
            } else {
                self.used.set(slots.start);
            }
        }
    }
}

fn name_problem(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("empty name"),
        b"." | b".." => Some("reserved name"),
        _ if name.contains(&b'/') || name.contains(&0) => Some("name with a separator"),
        _ => None,
    }
}

/// Every slot, and whether its blob is used: all copies of a blob count as used.
fn each_slot(index: &Index, used: &Marks, mut tell: impl FnMut(usize, bool)) {
    let mut last = None;
    let mut is_used = false;
    for slot in 0..index.len() {
        let entry = index.entry(slot);
        if last != Some((entry.kind, entry.id)) {
            last = Some((entry.kind, entry.id));
            is_used = used.get(slot);
        }
        tell(slot, is_used);
    }
}

/// By number, which packs hold a copy of a used blob.
pub(super) fn needed_packs(index: &Index, used: &Marks) -> Vec<bool> {
    let mut needed = vec![false; index.packs().len()];
    each_slot(index, used, |slot, is_used| {
        needed[index.pack_number(slot)] |= is_used;
    });
    needed
}

pub(super) fn report_unused(
    index: &Index,
    used: &Marks,
    findings: &mut Findings<'_>,
) -> Result<()> {
    let report = &mut findings.report;
    each_slot(index, used, |slot, is_used| {
        if !is_used {
            report.unused_blobs += 1;
            report.unused_bytes += u64::from(index.entry(slot).location.length);
        }
    });
    if findings.report.unused_blobs > 0 {
        findings.hint(&format!(
            "{} blobs ({}) are used by no snapshot; prune frees them",
            findings.report.unused_blobs,
            crate::prune::stats::human(findings.report.unused_bytes)
        ))?;
    }
    Ok(())
}
