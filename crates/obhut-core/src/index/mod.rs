//! The index: which blob lies where (formats: restic 8).
//!
//! [`Index`] is one sorted array of 48-byte records (id, pack number, offset, lengths) with a table over the
//! leading bits of the ids, so a lookup is one table read and a short search. Nothing is allocated per blob:
//! 20 million blobs take 0.96 GB and the table. [`file`] reads and writes index files, [`load`] fills an
//! index from a repository with several threads.

pub mod file;
pub mod load;

use crate::id::{BlobKind, Id};
use crate::pack::PackedBlob;

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
            u64::from(self.length.saturating_sub(crate::crypto::OVERHEAD as u32))
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

/// One copy of a blob, 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

/// Records of one kind, sorted, with a table over the first bits of the id.
#[derive(Debug, Default)]
struct Table {
    records: Vec<Record>,
    /// `starts[b]` = first record whose leading bits are `b` or more; one entry past the end.
    starts: Vec<u32>,
    shift: u32,
}

impl Table {
    fn new(mut records: Vec<Record>) -> Self {
        records.sort_unstable();
        records.dedup();
        records.shrink_to_fit();
        // About eight records a bucket: the search stays within two or three cache lines' worth of ids.
        let bits = (usize::BITS - records.len().leading_zeros())
            .saturating_sub(3)
            .min(24);
        let shift = 32 - bits;
        let mut starts = vec![0u32; (1usize << bits) + 1];
        for record in &records {
            starts[bucket(&record.id, shift) + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        Self {
            records,
            starts,
            shift,
        }
    }

    fn find(&self, id: &Id) -> std::ops::Range<usize> {
        if self.records.is_empty() {
            return 0..0;
        }
        let b = bucket(id, self.shift);
        let (low, high) = (self.starts[b] as usize, self.starts[b + 1] as usize);
        // Eight bytes decide nearly always, and numbers are compared without a branch that cannot be foretold.
        let wanted = head(id);
        let run = &self.records[low..high];
        let low = low + run.partition_point(|record| head(&record.id) < wanted);
        let alike = |record: &&Record| head(&record.id) == wanted;
        let run = &self.records[low..high];
        let run = &run[..run.iter().take_while(alike).count()];
        let first = run.partition_point(|record| record.id < *id);
        let same = |record: &&Record| record.id == *id;
        let count = run[first..].iter().take_while(same).count();
        low + first..low + first + count
    }
}

/// The first bytes of an id as a number of the same order.
fn head(id: &Id) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(first)
}

fn bucket(id: &Id, shift: u32) -> usize {
    // A shift by 32 (one bucket) would overflow on u32.
    ((head(id) >> 32) >> shift) as usize
}

/// The loaded index: immutable, compact, sorted by (kind, id); shared by all threads.
#[derive(Debug, Default)]
pub struct Index {
    data: Table,
    tree: Table,
    packs: Vec<Id>,
    files: Vec<Id>,
}

impl Index {
    /// Number of entries (a blob in two packs counts twice).
    pub fn len(&self) -> usize {
        self.data.records.len() + self.tree.records.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the blob is known.
    pub fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        !self.table(kind).find(id).is_empty()
    }

    /// The first copy of a blob.
    pub fn get(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        let table = self.table(kind);
        table
            .find(id)
            .next()
            .map(|n| self.location(&table.records[n]))
    }

    /// All copies of a blob, as slot numbers (0..len), adjacent; empty if unknown.
    pub fn slots(&self, kind: BlobKind, id: &Id) -> std::ops::Range<usize> {
        let range = self.table(kind).find(id);
        let base = if kind == BlobKind::Data {
            0
        } else {
            self.data.records.len()
        };
        range.start + base..range.end + base
    }

    /// The entry in a slot. All entries: `(0..index.len()).map(|slot| index.entry(slot))`, ordered by kind
    /// (data, then tree), then id.
    pub fn entry(&self, slot: usize) -> Entry {
        let (kind, record) = self.record(slot);
        Entry {
            kind,
            id: record.id,
            location: self.location(record),
        }
    }

    /// All packs named by the index, ascending by id; `pack_number` of an entry indexes it.
    pub fn packs(&self) -> &[Id] {
        &self.packs
    }

    /// The packs that hold trees: what a local cache keeps.
    pub fn tree_packs(&self) -> Vec<Id> {
        let mut numbers: Vec<u32> = self.tree.records.iter().map(|record| record.pack).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .map(|number| self.packs[number as usize])
            .collect()
    }

    /// The position in [`Index::packs`] of the pack of a slot.
    pub fn pack_number(&self, slot: usize) -> usize {
        self.record(slot).1.pack as usize
    }

    /// The ids of the index files it was loaded from, sorted.
    pub fn files(&self) -> &[Id] {
        &self.files
    }

    fn table(&self, kind: BlobKind) -> &Table {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.tree,
        }
    }

    fn record(&self, slot: usize) -> (BlobKind, &Record) {
        let data = self.data.records.len();
        if slot < data {
            (BlobKind::Data, &self.data.records[slot])
        } else {
            (BlobKind::Tree, &self.tree.records[slot - data])
        }
    }

    fn location(&self, record: &Record) -> Location {
        Location {
            pack: self.packs[record.pack as usize],
            offset: record.offset,
            length: record.length,
            uncompressed: record.uncompressed,
        }
    }
}

/// Gathers index files in any order; [`IndexBuilder::finish`] sorts.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    data: Vec<Record>,
    tree: Vec<Record>,
    packs: Vec<Id>,
    numbers: std::collections::HashMap<Id, u32>,
    files: Vec<Id>,
}

impl IndexBuilder {
    /// Adds one index file's packs.
    pub fn add_file(&mut self, file: Id, packs: &[(Id, Vec<PackedBlob>)]) {
        self.files.push(file);
        for (pack, blobs) in packs {
            self.add_pack(*pack, blobs);
        }
    }

    /// Adds one pack.
    pub fn add_pack(&mut self, pack: Id, blobs: &[PackedBlob]) {
        let next = self.packs.len() as u32;
        let number = *self.numbers.entry(pack).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        for blob in blobs {
            let record = Record {
                id: blob.id,
                pack: number,
                offset: blob.offset,
                length: blob.length,
                uncompressed: blob.uncompressed,
            };
            match blob.kind {
                BlobKind::Data => self.data.push(record),
                BlobKind::Tree => self.tree.push(record),
            }
        }
    }

    /// Sorts and gives the index. Exact duplicates collapse.
    pub fn finish(mut self) -> Index {
        drop(std::mem::take(&mut self.numbers));
        let mut order: Vec<u32> = (0..self.packs.len() as u32).collect();
        order.sort_unstable_by_key(|n| self.packs[*n as usize]);
        let mut new_number = vec![0u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            new_number[*old as usize] = new as u32;
        }
        let renumber = |mut records: Vec<Record>| {
            for record in &mut records {
                record.pack = new_number[record.pack as usize];
            }
            records
        };
        let packs = order.iter().map(|n| self.packs[*n as usize]).collect();
        self.files.sort_unstable();
        self.files.dedup();
        let (data, tree) = (renumber(self.data), renumber(self.tree));
        // The two kinds are independent; data is by far the larger.
        let (data, tree) = std::thread::scope(|scope| {
            let tree = scope.spawn(move || Table::new(tree));
            (Table::new(data), tree.join())
        });
        let tree = tree.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Index {
            data,
            tree,
            packs,
            files: self.files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn blob_id(n: u8, spread: bool) -> Id {
        if spread {
            Id::of(&[n])
        } else {
            // Four of them begin alike.
            let mut id = [n / 4; 32];
            id[31] = n;
            Id(id)
        }
    }

    type Model = BTreeMap<(BlobKind, Id), BTreeSet<(Id, u32, u32, u32)>>;

    proptest! {
        /// The sorted table answers like a plain map, also with duplicates and ids in few buckets.
        #[test]
        fn agrees_with_a_map(
            entries in prop::collection::vec((0..6u8, 0..40u8, any::<bool>(), 0..3u32), 0..300),
            spread in any::<bool>(),
        ) {
            let mut builder = IndexBuilder::default();
            let mut model = Model::new();
            for (pack, blob, tree, offset) in entries {
                let kind = if tree { BlobKind::Tree } else { BlobKind::Data };
                let (pack, id) = (Id::of(&[pack, 1]), blob_id(blob, spread));
                let packed = PackedBlob { kind, id, offset, length: 40, uncompressed: 9 };
                builder.add_file(Id::of(&[blob]), &[(pack, vec![packed])]);
                model.entry((kind, id)).or_default().insert((pack, offset, 40, 9));
            }
            let index = builder.finish();
            prop_assert_eq!(index.len(), model.values().map(BTreeSet::len).sum::<usize>());
            prop_assert!(index.packs().is_sorted());
            let tree_packs: BTreeSet<Id> = model.iter().filter(|((kind, _), _)| *kind == BlobKind::Tree)
                .flat_map(|(_, copies)| copies.iter().map(|copy| copy.0)).collect();
            prop_assert_eq!(index.tree_packs(), tree_packs.into_iter().collect::<Vec<_>>());
            for kind in [BlobKind::Data, BlobKind::Tree] {
                for n in 0..=40 {
                    let id = blob_id(n, spread);
                    let want = model.get(&(kind, id)).cloned().unwrap_or_default();
                    let slots = index.slots(kind, &id);
                    prop_assert_eq!(index.contains(kind, &id), !want.is_empty());
                    let got: BTreeSet<_> = slots.clone().map(|slot| {
                        let entry = index.entry(slot);
                        assert_eq!((entry.kind, entry.id), (kind, id));
                        assert_eq!(index.packs()[index.pack_number(slot)], entry.location.pack);
                        let at = entry.location;
                        (at.pack, at.offset, at.length, at.uncompressed)
                    }).collect();
                    prop_assert_eq!(&got, &want);
                    prop_assert_eq!(index.get(kind, &id).is_some(), !want.is_empty());
                }
            }
        }
    }

    /// A table whose buckets were all the same would answer rightly, and slowly.
    #[test]
    fn ids_are_spread_over_the_buckets() {
        let mut builder = IndexBuilder::default();
        let blobs: Vec<_> = (0..4096u32)
            .map(|n| PackedBlob {
                kind: BlobKind::Data,
                id: Id::of(&n.to_le_bytes()),
                offset: 0,
                length: 40,
                uncompressed: 0,
            })
            .collect();
        builder.add_pack(Id::of(b"pack"), &blobs);
        let index = builder.finish();
        let sizes = index.data.starts.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(sizes.max() < Some(40));
        assert!(!index.is_empty());
        assert!(Index::default().is_empty());
    }

    #[test]
    fn the_plain_length_of_what_is_not_compressed_follows_from_the_sealed_one() {
        let length = |length, uncompressed| {
            let location = Location {
                pack: Id([0; 32]),
                offset: 0,
                length,
                uncompressed,
            };
            location.plain_length()
        };
        assert_eq!((length(40, 9), length(40, 0), length(32, 0)), (9, 8, 0));
        assert_eq!(length(31, 0), 0);
    }

    #[test]
    fn a_record_takes_48_bytes() {
        assert_eq!(size_of::<Record>(), 48);
    }
}
