//! Facts about a folder that measurements are compared with.
//!
//! - `folder_facts walk FOLDER [THREADS]`: looks at every entry with statx, nothing else, and prints how long it took:
//!   no backup can find out faster that nothing changed.
//! - `folder_facts describe FOLDER`: files, bytes, the share of bytes in pieces of at most 1 MiB that came before, and
//!   what zstd level 3 makes of the others.
//!
//! Both print one JSON object.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use obhut_core::id::Id;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PIECE: usize = 1 << 20;

/// Directories that wait, each with the handle of its parent, and how many are being read.
#[derive(Default)]
struct Queue {
    waiting: Vec<(Arc<OwnedFd>, CString)>,
    busy: usize,
}

#[derive(Default)]
struct Walk {
    queue: Mutex<Queue>,
    changed: Condvar,
    entries: AtomicU64,
}

impl Walk {
    /// Takes directories until all are read.
    fn work(&self) -> Result<(), Failure> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
        loop {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let (parent, name) = loop {
                if let Some(next) = queue.waiting.pop() {
                    break next;
                }
                if queue.busy == 0 {
                    return Ok(());
                }
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            queue.busy += 1;
            drop(queue);
            let read = self.directory(&parent, &name, &mut buffer);
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy -= 1;
            queue.waiting.extend(read?);
            drop(queue);
            self.changed.notify_all();
        }
    }

    /// Looks at all entries of a directory; gives its directories.
    fn directory(
        &self,
        parent: &OwnedFd,
        name: &CString,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Result<Vec<(Arc<OwnedFd>, CString)>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = Arc::new(openat(parent, name, flags, Mode::empty())?);
        let mut directories = Vec::new();
        let mut entries = RawDir::new(&*handle, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let name = entry.file_name();
            let found = statx(
                &*handle,
                name,
                AtFlags::SYMLINK_NOFOLLOW,
                StatxFlags::BASIC_STATS,
            )?;
            self.entries.fetch_add(1, Relaxed);
            if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory {
                directories.push((Arc::clone(&handle), name.to_owned()));
            }
        }
        Ok(directories)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measuring is what this program is for"
)]
fn seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs `work` in some threads.
fn in_threads(
    threads: usize,
    work: impl Fn() -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        for handle in handles {
            handle.join().map_err(|_| "a thread died")??;
        }
        Ok(())
    })
}

fn walk(folder: &Path, threads: usize) -> Result<String, Failure> {
    obhut_core::fs::raise_limit();
    let walk = Walk::default();
    let root = openat(
        CWD,
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let began = seconds();
    walk.queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .waiting = vec![(Arc::new(root), c".".to_owned())];
    in_threads(threads, || walk.work())?;
    let taken = seconds() - began;
    let entries = walk.entries.load(Relaxed);
    Ok(format!(
        "{{\"seconds\":{taken:.6},\"entries\":{entries},\"threads\":{threads}}}\n"
    ))
}

/// All regular files below a folder, links not followed; the number of folders and of the entries of the largest.
fn files(folder: &Path) -> Result<(Vec<PathBuf>, usize, usize), Failure> {
    let (mut files, mut folders, mut largest) = (Vec::new(), 0, 0);
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let mut entries = 0;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            entries += 1;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders += 1;
                waiting.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
        largest = largest.max(entries);
    }
    Ok((files, folders, largest))
}

/// Bytes of all files, of pieces that came before, and of the others compressed.
#[derive(Default)]
struct Sums {
    all: AtomicU64,
    again: AtomicU64,
    compressed: AtomicU64,
    seen: Mutex<HashSet<Id>>,
}

impl Sums {
    fn add(&self, piece: &[u8], zstd: &mut zstd::bulk::Compressor<'_>) -> Result<(), Failure> {
        self.all.fetch_add(piece.len() as u64, Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let new = seen.insert(Id::of(piece));
        drop(seen);
        if new {
            let size = zstd.compress(piece)?.len();
            self.compressed.fetch_add(size as u64, Relaxed);
        } else {
            self.again.fetch_add(piece.len() as u64, Relaxed);
        }
        Ok(())
    }

    fn add_file(&self, path: &Path, zstd: &mut zstd::bulk::Compressor<'_>) -> Result<(), Failure> {
        let file = File::open(path)?;
        let mut piece = Vec::new();
        loop {
            piece.clear();
            (&file).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.add(&piece, zstd)?;
        }
    }
}

fn describe(folder: &Path, threads: usize) -> Result<String, Failure> {
    let (files, folders, largest) = files(folder)?;
    let (next, sums) = (AtomicUsize::new(0), Sums::default());
    in_threads(threads, || {
        let mut zstd = zstd::bulk::Compressor::new(3)?;
        while let Some(path) = files.get(next.fetch_add(1, Relaxed)) {
            sums.add_file(path, &mut zstd)?;
        }
        Ok(())
    })?;
    let [all, again, compressed] =
        [&sums.all, &sums.again, &sums.compressed].map(|sum| sum.load(Relaxed) as f64);
    Ok(format!(
        "{{\"files\":{},\"folders\":{folders},\"largest_folder\":{largest},\"bytes\":{all},\"duplicate_share\":{:.4},\"zstd3_ratio\":{:.3}}}\n",
        files.len(),
        again / all.max(1.0),
        (all - again) / compressed.max(1.0),
    ))
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let threads = arguments
        .get(2)
        .and_then(|text| text.to_str()?.parse().ok());
    let threads = threads.unwrap_or(2);
    let text = match (
        arguments.first().and_then(|verb| verb.to_str()),
        arguments.get(1),
    ) {
        (Some("walk"), Some(folder)) => walk(Path::new(folder), threads)?,
        (Some("describe"), Some(folder)) => describe(Path::new(folder), threads)?,
        _ => return Err("folder_facts walk|describe FOLDER [THREADS]".into()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
