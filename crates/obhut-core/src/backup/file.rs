//! Reading files: small ones whole by one thread, large ones cut by one and sealed by whoever is idle.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::Advice;
use rustix::io::Errno;

use super::directory::{Directory, Paths, Place};
use super::engine::{Engine, Tools};
use super::facts::equal;
use super::report::{Added, Change};
use crate::error::{Code, Error, Result};
use crate::fs::{self, Handle, Kind};
use crate::gojson;
use crate::id::{BlobKind, Id};
use crate::tree::Node;

/// A task holds files up to so many, or up to so many bytes: enough to be worth a turn, few enough to
/// share the work of one large directory.
const BATCH_FILES: usize = 32;
const BATCH_BYTES: u64 = 4 << 20;
/// Larger files are announced to the kernel as read from front to back.
const SEQUENTIAL: u64 = 1 << 20;

/// A file to be read.
pub struct FileEntry {
    /// Its number in the directory.
    pub slot: usize,
    /// Its name.
    pub name: Vec<u8>,
    /// Its name in the snapshot.
    pub node_name: Vec<u8>,
    /// Its size when it was met.
    pub size: u64,
    /// The parent snapshot's node.
    pub previous: Option<Box<Node>>,
}

/// Files of one directory.
pub struct FilesTask {
    /// The directory's handle.
    pub holder: Arc<Handle>,
    /// Where that directory lies.
    pub above: Arc<Paths>,
    /// Where the finished nodes go.
    pub directory: Arc<Directory>,
    /// The files, in order.
    pub files: Vec<FileEntry>,
}

/// Splits files into tasks.
pub fn batches(files: Vec<FileEntry>) -> impl Iterator<Item = Vec<FileEntry>> {
    let mut files = files.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = files.next()?;
        let mut bytes = first.size;
        let mut batch = vec![first];
        while let Some(next) = files.next_if(|next| {
            bytes = bytes.saturating_add(next.size);
            batch.len() < BATCH_FILES && bytes <= BATCH_BYTES
        }) {
            batch.push(next);
        }
        Some(batch)
    })
}

/// A piece of a large file.
pub struct ChunkTask {
    file: Arc<Shared>,
    number: usize,
    bytes: Vec<u8>,
}

/// A file whose pieces are sealed by several threads.
struct Shared {
    /// Pieces not done yet, and one more while the file is being read.
    pending: AtomicUsize,
    state: Mutex<SharedState>,
}

#[derive(Default)]
struct SharedState {
    pieces: Vec<(usize, Id)>,
    added: Added,
    /// What the reader leaves when it has finished.
    done: Option<(Reading, Option<Node>)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known about the file that is being read.
struct Reading {
    place: Place,
    snapshot: Vec<u8>,
    previous: Option<Box<Node>>,
    started: Duration,
}

/// The content so far.
#[derive(Default)]
struct Content {
    ids: Vec<Id>,
    size: u64,
    added: Added,
    shared: Option<Arc<Shared>>,
}

impl Engine<'_> {
    /// Reads the files of a task one after the other.
    pub fn save_files(&self, task: FilesTask, tools: &mut Tools) -> Result<()> {
        for file in task.files {
            self.control.check()?;
            let paths = task.above.below(&file.name, &file.node_name);
            self.save_file(&task.holder, paths, &task.directory, file, tools)?;
        }
        Ok(())
    }

    fn save_file(
        &self,
        holder: &Handle,
        paths: Paths,
        directory: &Arc<Directory>,
        entry: FileEntry,
        tools: &mut Tools,
    ) -> Result<()> {
        self.control.set_current(tools.worker, &paths.snapshot);
        let reading = Reading {
            place: Place {
                directory: Arc::clone(directory),
                slot: entry.slot,
            },
            snapshot: paths.snapshot,
            previous: entry.previous,
            started: self.elapsed(),
        };
        let (handle, mut node) =
            match self.open_file(holder, &entry.name, &entry.node_name, &paths.source) {
                Ok(opened) => opened,
                Err(error) => {
                    self.report.failed(&paths.source, error);
                    return self.settle(reading.place, None, tools);
                }
            };
        let mut source = std::fs::File::from(handle);
        let mut content = Content::default();
        let node = match self.read(&mut source, &mut content, &paths.source, tools)? {
            Ok(()) => {
                if changed_meanwhile(&source, &node, content.size) {
                    self.report.notice(&paths.source, "source-changed");
                }
                node.size = content.size;
                node.content = Some(std::mem::take(&mut content.ids));
                Some(node)
            }
            Err(error) => {
                self.report.failed(&paths.source, error);
                None
            }
        };
        drop(source);
        self.finish_reading(reading, node, content, tools)
    }

    fn open_file(
        &self,
        holder: &Handle,
        name: &[u8],
        node_name: &[u8],
        path: &[u8],
    ) -> Result<(Handle, Node)> {
        let failed = |errno: Errno| Error::os(gojson::display(path), errno);
        let handle = fs::open_file(holder, name).map_err(failed)?;
        let stat = fs::stat_handle(&handle).map_err(failed)?;
        let node = self
            .facts
            .node(node_name, &stat)
            .filter(|_| stat.kind == Kind::File);
        let mut node = node.ok_or_else(|| {
            let detail = "no regular file any more";
            Error::new(Code::SourceChanged, gojson::display(path), detail)
        })?;
        if stat.size > SEQUENTIAL {
            // A hint only.
            let _ = rustix::fs::fadvise(&handle, 0, None, Advice::Sequential);
        }
        self.keep_xattrs(&mut node, fs::xattrs_of_handle(&handle), path);
        Ok((handle, node))
    }

    /// Cuts `source` into blobs. The outer result fails the backup, the inner one only this file.
    fn read(
        &self,
        source: &mut dyn Read,
        content: &mut Content,
        path: &[u8],
        tools: &mut Tools,
    ) -> Result<Result<()>> {
        // The reader is taken out of the tools: its chunk is used while the codec works.
        let mut reader = std::mem::replace(
            &mut tools.reader,
            crate::chunker::ChunkReader::new(self.repo.chunker()),
        );
        reader.begin();
        let outcome = loop {
            self.control.check()?;
            match reader.next_chunk(source) {
                Ok(Some(chunk)) => {
                    content.size += chunk.len() as u64;
                    self.save_piece(chunk, content, tools)?;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Error::io(gojson::display(path), &error)),
            }
        };
        tools.reader = reader;
        Ok(outcome)
    }

    /// Seals a piece here, or hands it to a thread that has nothing to do.
    fn save_piece(&self, chunk: &[u8], content: &mut Content, tools: &mut Tools) -> Result<()> {
        if !self.queue.reserve(chunk.len()) {
            let (id, added) = self.save_blob(BlobKind::Data, chunk, tools)?;
            content.ids.push(id);
            content.added.add(added);
            return Ok(());
        }
        let shared = content.shared.get_or_insert_with(|| {
            Arc::new(Shared {
                pending: AtomicUsize::new(1),
                state: Mutex::default(),
            })
        });
        shared.pending.fetch_add(1, Ordering::AcqRel);
        let mut bytes = self.queue.buffer();
        crate::buffer::clear(&mut bytes, chunk.len());
        bytes.extend_from_slice(chunk);
        self.queue.push_chunk(ChunkTask {
            file: Arc::clone(shared),
            number: content.ids.len(),
            bytes,
        });
        // Filled in by whoever seals it.
        content.ids.push(Id::ZERO);
        Ok(())
    }

    /// Seals a piece of another thread's file.
    pub fn save_chunk(&self, task: ChunkTask, tools: &mut Tools) -> Result<()> {
        let saved = self.save_blob(BlobKind::Data, &task.bytes, tools);
        self.queue.release(task.bytes);
        let (id, added) = saved?;
        {
            let mut state = task.file.lock();
            state.pieces.push((task.number, id));
            state.added.add(added);
        }
        self.finish_piece(&task.file, tools)
    }

    fn finish_piece(&self, shared: &Shared, tools: &mut Tools) -> Result<()> {
        if shared.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let (done, pieces, added) = {
            let mut state = shared.lock();
            (
                state.done.take(),
                std::mem::take(&mut state.pieces),
                state.added,
            )
        };
        let Some((reading, mut node)) = done else {
            return Err(Error::internal("a file ended before it was read"));
        };
        if let Some(content) = node.as_mut().and_then(|node| node.content.as_mut()) {
            for (number, id) in pieces {
                content[number] = id;
            }
        }
        self.complete_file(reading, node, added, tools)
    }

    /// The reader is through: the file is complete unless pieces of it are still being sealed.
    fn finish_reading(
        &self,
        reading: Reading,
        node: Option<Node>,
        content: Content,
        tools: &mut Tools,
    ) -> Result<()> {
        let Some(shared) = content.shared else {
            return self.complete_file(reading, node, content.added, tools);
        };
        {
            let mut state = shared.lock();
            state.done = Some((reading, node));
            state.added.add(content.added);
        }
        self.finish_piece(&shared, tools)
    }

    fn complete_file(
        &self,
        reading: Reading,
        node: Option<Node>,
        added: Added,
        tools: &mut Tools,
    ) -> Result<()> {
        if let Some(node) = &node {
            let change = match &reading.previous {
                None => Change::New,
                Some(previous) if equal(previous, node) => Change::Unmodified,
                Some(_) => Change::Changed,
            };
            self.report
                .file(&reading.snapshot, change, node.size, added, reading.started)?;
        }
        self.settle(reading.place, node, tools)
    }

    /// Reads a stream as the content of `node`; an empty one is an item error.
    pub fn save_stream(
        &self,
        source: &mut dyn Read,
        place: Place,
        mut node: Node,
        path: &[u8],
        tools: &mut Tools,
    ) -> Result<()> {
        let reading = Reading {
            place,
            snapshot: path.to_vec(),
            previous: None,
            started: self.elapsed(),
        };
        self.control.set_current(tools.worker, path);
        let mut content = Content::default();
        let outcome = self
            .read(source, &mut content, path, tools)?
            .and_then(|()| {
                if content.size == 0 {
                    let detail = "the stream gave no data";
                    return Err(Error::new(
                        Code::NothingSaved,
                        gojson::display(path),
                        detail,
                    ));
                }
                Ok(())
            });
        let node = match outcome {
            Ok(()) => {
                node.size = content.size;
                node.content = Some(std::mem::take(&mut content.ids));
                Some(node)
            }
            Err(error) => {
                self.report.failed(path, error);
                None
            }
        };
        self.finish_reading(reading, node, content, tools)
    }
}

/// Whether a file was written to while it was read. What was read is kept.
fn changed_meanwhile(file: &std::fs::File, node: &Node, size: u64) -> bool {
    fs::stat_handle(file).is_ok_and(|after| {
        after.size != size || after.mtime != node.mtime.at || after.ctime != node.ctime.at
    })
}
