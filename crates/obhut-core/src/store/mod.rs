//! Where repository files rest: one small trait, one file a backend, wrappers that stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::world::{Clock, Timestamp};

pub mod cache;
pub mod contract;
pub mod fault;
pub mod latch;
pub mod limit;
pub mod local;
pub mod memory;
pub mod one_writer;
pub mod retry;

/// A listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: Id,
    /// Its size in bytes.
    pub size: u64,
}

/// What a backend can do beyond the minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// A read of a few bytes costs about as little as a local read (no request latency).
    pub local: bool,
    /// `delete` is refused by the storage (append-only).
    pub append_only: bool,
    /// Concurrent requests that make sense.
    pub connections: usize,
}

/// A place that keeps repository files. Blocking; every call may come from any thread.
///
/// Contract (one suite tests all backends, `tests/contract` and `store::contract`):
/// - `put` is atomic and durable when it returns `Ok`: after a crash the file is there whole or not at
///   all. Files are write-once: `put` of an existing name fails with `file-exists`.
/// - `get` gives exactly the bytes asked for or fails: a missing file is `file-missing`, a range beyond
///   the end is `damaged` (a short file), never a shorter answer.
/// - `list` gives every file of the kind whose name is 64 lower-case hex digits, once, in any order;
///   a missing folder lists as empty.
/// - `delete` of a missing file is `file-missing`.
pub trait Store: Send + Sync {
    /// The place for messages, without credentials.
    fn location(&self) -> String;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// Makes the place ready for a new repository (folders). Does not fail if it is ready already.
    fn create(&self) -> Result<()>;
    /// All files of a kind (never called with `Config`).
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>>;
    /// The size of a file.
    fn stat(&self, name: FileName) -> Result<u64>;
    /// The whole file.
    fn get(&self, name: FileName) -> Result<Vec<u8>>;
    /// `length` bytes from `offset`.
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>>;
    /// [`Store::get`] into a buffer that is used again, so that reading pack after pack takes no new memory
    /// each time. What `out` holds after an error is not defined.
    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        *out = self.get(name)?;
        Ok(())
    }
    /// [`Store::get_range`] into a buffer that is used again, likewise.
    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        *out = self.get_range(name, offset, length)?;
        Ok(())
    }
    /// Saves a new file.
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()>;
    /// Saves a new file whose bytes the caller shares, so that a backend that has to keep or hand them on
    /// need not copy them.
    fn put_shared(&self, name: FileName, bytes: &Arc<Vec<u8>>) -> Result<()> {
        self.put(name, bytes)
    }
    /// Removes a file.
    fn delete(&self, name: FileName) -> Result<()>;
    /// Removes what writers that died before `before` left of files that never got their names; gives how
    /// many. To be called under the exclusive lock. Backends that put a file in one go have none.
    fn remove_leftovers(&self, _before: Timestamp) -> Result<u64> {
        Ok(0)
    }
    /// Ends (`true`) or allows again (`false`) all waiting inside wrappers: pauses between tries and
    /// bandwidth limits. Called when an operation is cancelled; calls still go through, once and at once.
    fn interrupt(&self, _stop: bool) {}
    /// Tells the cache which packs hold trees: call it before such a pack is put or read.
    fn mark_tree_packs(&self, _packs: &[Id]) {}
}

/// The most bytes that a whole file of this kind may have before it is read into memory; far above what
/// any program writes, so that a foreign file cannot exhaust memory.
pub const fn size_limit(kind: FileKind) -> u64 {
    match kind {
        FileKind::Config | FileKind::Key | FileKind::Lock => 16 << 20,
        FileKind::Snapshot => 256 << 20,
        FileKind::Index => 1 << 30,
        // Offsets are 32 bits wide; the header comes after the last blob (formats: restic 26).
        FileKind::Pack => (4 << 30) + (32 << 20),
    }
}

/// Waits in slices; `false` if `stop` was set before the time was over.
fn pause(clock: &dyn Clock, time: Duration, stop: &AtomicBool) -> bool {
    const SLICE: Duration = Duration::from_millis(100);
    let end = clock.elapsed().saturating_add(time);
    while !stop.load(Relaxed) {
        let left = end.saturating_sub(clock.elapsed());
        if left.is_zero() {
            return true;
        }
        clock.sleep(left.min(SLICE));
    }
    false
}

/// `damaged` unless the range lies inside a file of `size` bytes.
pub fn check_range(name: FileName, size: u64, offset: u64, length: usize) -> Result<()> {
    if offset
        .checked_add(length as u64)
        .is_some_and(|end| end <= size)
    {
        return Ok(());
    }
    let detail = format!("{length} bytes wanted from {offset}, but the file has {size}");
    Err(Error::damaged(name.to_string(), detail))
}

/// The range of a file that is in memory.
pub fn slice(name: FileName, bytes: &[u8], offset: u64, length: usize) -> Result<&[u8]> {
    check_range(name, bytes.len() as u64, offset, length)?;
    Ok(&bytes[offset as usize..][..length])
}
