//! The index: which blob lies where (formats: restic 8).

use crate::id::{BlobKind, Id};

/// Where one copy of a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Id,
    /// Where the sealed blob starts.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
    /// Plaintext length if compressed, else 0.
    pub uncompressed: u32,
}

impl Location {
    /// Bytes of the plaintext.
    pub fn plain_length(&self) -> u64 {
        if self.uncompressed == 0 {
            u64::from(self.length.saturating_sub(32))
        } else {
            u64::from(self.uncompressed)
        }
    }
}

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Data or tree.
    pub kind: BlobKind,
    /// The blob.
    pub id: Id,
    /// Where this copy lies.
    pub location: Location,
}

/// The loaded index: immutable, compact, sorted by (kind, id); shared by all threads.
#[derive(Default)]
pub struct Index {}

impl Index {
    /// Number of entries (a blob in two packs counts twice).
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether the blob is known.
    pub fn contains(&self, _kind: BlobKind, _id: &Id) -> bool {
        todo!()
    }
    /// The first copy of a blob.
    pub fn get(&self, _kind: BlobKind, _id: &Id) -> Option<Location> {
        todo!()
    }
    /// All copies of a blob, as slot numbers (0..len), adjacent; empty if unknown.
    pub fn slots(&self, _kind: BlobKind, _id: &Id) -> std::ops::Range<usize> {
        todo!()
    }
    /// The entry in a slot. All entries: `(0..index.len()).map(|slot| index.entry(slot))`, ordered by kind
    /// (data, then tree), then id.
    pub fn entry(&self, _slot: usize) -> Entry {
        todo!()
    }
    /// All packs named by the index, ascending by id; `pack_number` of an entry indexes it.
    pub fn packs(&self) -> &[Id] {
        todo!()
    }
    /// The position in [`Index::packs`] of the pack of a slot.
    pub fn pack_number(&self, _slot: usize) -> usize {
        todo!()
    }
    /// The ids of the index files it was loaded from, sorted.
    pub fn files(&self) -> &[Id] {
        todo!()
    }
}
