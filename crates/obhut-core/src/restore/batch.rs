//! The unit of work between the walk of the trees and the threads that restore.
//!
//! Memory: a batch is closed at [`FILES`] entries or [`BLOBS`] blob references, whichever comes first
//! (a single larger file is a batch of its own). At about 300 bytes an entry and 8 + 60 bytes a blob
//! reference with its plan, one batch stays below 30 MiB; at most three exist at a time (being walked,
//! waiting, being restored). To this come, for each thread, one read (at most 2 MiB from local storage,
//! 32 MiB from remote storage) and two decoded blobs (at most 8 MiB each as restic cuts them).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::meta::Meta;
use super::target::Dir;
use crate::tree::NodeType;

/// Entries in a batch.
pub const FILES: usize = 32 << 10;
/// Entries in the first batch, so that the threads have work soon.
pub const FIRST_FILES: usize = 2 << 10;
/// Blob references in a batch.
pub const BLOBS: usize = 256 << 10;

/// The first of several names of one object (hard links).
pub struct FirstName {
    /// Its directory.
    pub dir: Arc<Dir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// It could not be restored: nothing may be linked to it.
    pub failed: AtomicBool,
}

/// Where an entry goes.
pub struct Place {
    /// Its directory.
    pub dir: Arc<Dir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Set if other names of the same object follow.
    pub first: Option<Arc<FirstName>>,
}

impl Place {
    /// The location below the target, for messages.
    pub fn location(&self) -> Vec<u8> {
        self.dir.location_of(&self.name)
    }
}

/// A regular file.
pub struct FileItem {
    /// Where.
    pub place: Place,
    /// Owner, times …
    pub meta: Meta,
    /// Index slots of its blobs, in order.
    pub content: Box<[usize]>,
    /// The sum of the blobs' lengths.
    pub size: u64,
    /// The snapshot holds several names of it.
    pub linked: bool,
}

/// A symbolic link, device or pipe.
pub struct OtherItem {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: NodeType,
    /// Owner, times …
    pub meta: Meta,
    /// Target of a link.
    pub linktarget: Vec<u8>,
    /// Device number.
    pub device: u64,
}

/// Another name of an object that was restored before.
pub struct LinkItem {
    /// Where.
    pub place: Place,
    /// Its first name.
    pub first: Arc<FirstName>,
    /// Modification time of the node, for `--overwrite if-newer`.
    pub mtime: crate::world::Timestamp,
}

/// A directory whose entries are complete.
pub struct Finish {
    /// The directory.
    pub dir: Arc<Dir>,
    /// Its metadata; `None` for the target itself.
    pub meta: Option<Meta>,
    /// With `--delete`: the names that belong there, sorted.
    pub expected: Option<Vec<Box<[u8]>>>,
}

/// A bounded part of the restore, in tree order.
#[derive(Default)]
pub struct Batch {
    /// Regular files.
    pub files: Vec<FileItem>,
    /// Other entries.
    pub others: Vec<OtherItem>,
    /// Hard links.
    pub links: Vec<LinkItem>,
    /// Directories, children before parents.
    pub finishes: Vec<Finish>,
    blobs: usize,
}

impl Batch {
    /// Adds a file.
    pub fn push_file(&mut self, file: FileItem) {
        self.blobs += file.content.len();
        self.files.push(file);
    }

    /// Whether it is time to hand it on.
    pub fn is_full(&self, files: usize) -> bool {
        let entries = self.files.len() + self.others.len() + self.links.len() + self.finishes.len();
        entries >= files || self.blobs >= BLOBS
    }
}
