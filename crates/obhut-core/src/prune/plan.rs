//! The decisions of a prune: which packs stay, are repacked or go, and which copies of blobs are copied.
//!
//! Pure: plain data in, plain data out, no I/O, no clock; the same input gives the same plan. A short
//! Python model of the same rules (`tests/property/test_prune_plan.py`) judges it. Facts: formats,
//! restic 18. What holds for every plan:
//! - a used blob has a copy in a kept pack, or exactly one of its copies is copied out of a repacked pack;
//! - a pack that holds the chosen copy of a used blob is never deleted and never counts as missing;
//! - a pack that holds a used blob and whose size is unlike the index stops the prune.

use super::options::PruneOptions;
use super::select::{classify, copies_to_make, select, small_threshold};
use super::stats::Stats;
use super::tally::judge_packs;
use crate::id::BlobKind;

pub use super::model::from_json;

/// One copy of a blob, as the index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Data or tree.
    pub kind: BlobKind,
    /// Whether the copy before this one is of another blob.
    pub first: bool,
    /// Whether a snapshot uses the blob; counts only where `first`.
    pub used: bool,
    /// Number of the pack that holds the copy.
    pub pack: usize,
    /// Sealed bytes.
    pub length: u32,
    /// Whether the blob is stored compressed.
    pub compressed: bool,
}

/// All copies of all blobs, by slot; copies of one blob are adjacent.
pub trait Copies {
    /// Number of slots.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The copy in a slot.
    fn copy(&self, slot: usize) -> Copy;
}

impl Copies for [Copy] {
    fn len(&self) -> usize {
        <[Copy]>::len(self)
    }
    fn copy(&self, slot: usize) -> Copy {
        self[slot]
    }
}

/// What becomes of an indexed pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Stays.
    Keep,
    /// What is used is copied into new packs, then it goes.
    Repack,
    /// Holds nothing that is needed: goes.
    Delete,
    /// Is not there any more and is not needed: the index forgets it.
    Missing,
}

/// Everything that a plan depends on.
pub struct Input<'a, C: Copies + ?Sized> {
    /// The copies.
    pub copies: &'a C,
    /// The listed size of every indexed pack, by pack number; `None` = not there.
    pub packs: &'a [Option<u64>],
    /// The sizes of listed packs that no index names.
    pub unindexed: &'a [u64],
    /// The options.
    pub options: &'a PruneOptions,
    /// Version of the repository.
    pub version: u32,
    /// Target size of packs.
    pub pack_size: u64,
}

/// The decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// By pack number.
    pub actions: Vec<Action>,
    /// Slots that repacking copies.
    pub copy: Bits,
    /// The figures.
    pub stats: Stats,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// These packs hold the only copies of used blobs and are not there.
    Missing(Vec<usize>),
    /// A pack that holds used blobs has another size than the index says.
    Size {
        /// Its number.
        pack: usize,
        /// What the index says.
        expected: u64,
        /// What is there.
        listed: u64,
    },
}

/// One bit a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// All off.
    pub fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }
    /// Whether a bit is on.
    pub fn get(&self, at: usize) -> bool {
        self.0[at / 64] & 1 << (at % 64) != 0
    }
    /// Switches a bit on.
    pub fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }
    /// How many are on.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|w| u64::from(w.count_ones())).sum()
    }
}

/// Decides.
pub fn decide<C: Copies + ?Sized>(input: &Input<'_, C>) -> Result<Decisions, Refusal> {
    let mut stats = Stats::default();
    let (packs, chosen) = judge_packs(input, &mut stats);
    let mut actions = vec![Action::Keep; packs.len()];
    let threshold = small_threshold(input, &packs);
    let candidates = classify(input, &packs, threshold, &mut actions, &mut stats)?;
    select(
        input,
        &packs,
        threshold,
        candidates,
        &mut actions,
        &mut stats,
    );
    let copy = copies_to_make(input.copies, &chosen, &actions);
    stats.packfiles.unreferenced = input.unindexed.len() as u64;
    stats.bytes.unreferenced = input.unindexed.iter().sum();
    if input.version < 2 {
        stats.bytes.uncompressed = 0;
    }
    stats.total_up();
    Ok(Decisions {
        actions,
        copy,
        stats,
    })
}
