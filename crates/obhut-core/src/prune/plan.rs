//! The decisions of a prune: which packs stay, are repacked or go, and which copies of blobs are copied.
//!
//! Pure: plain data in, plain data out, no I/O, no clock; the same input gives the same plan. A short
//! Python model of the same rules (`tests/property/test_prune_plan.py`) judges it. Facts: formats,
//! restic 18. What holds for every plan:
//! - a used blob has a copy in a kept pack, or exactly one of its copies is copied out of a repacked pack;
//! - a pack that holds the chosen copy of a used blob is never deleted and never counts as missing;
//! - a pack that holds a used blob and whose size is unlike the index stops the prune.

use super::options::PruneOptions;
use super::stats::Stats;
use crate::id::BlobKind;

pub use super::model::from_json;

/// Sealed header and its length field, without entries (formats: restic 7).
const HEADER: u64 = 36;
/// Bytes of a raw and of a compressed entry of the header.
const ENTRY: [u64; 2] = [37, 41];
/// restic's smallest pack target: packs above 80 % of it are never "small" by themselves.
const MIN_PACK_SIZE: u64 = 4 << 20;
/// Fewer small packs than this are left alone, so that the last short pack is not rewritten for ever.
const SMALL_PACKS_WORTH_REPACKING: usize = 10;

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

/// What kinds of blobs a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Only(BlobKind),
    Mixed,
}

#[derive(Clone, Copy, Debug)]
struct Pack {
    used_blobs: u64,
    unused_blobs: u64,
    /// Copies of used blobs that have other copies; they count as unused until chosen.
    duplicates: u64,
    /// With the header.
    used_size: u64,
    unused_size: u64,
    content: Content,
    uncompressed: bool,
}

impl Pack {
    const EMPTY: Self = Self {
        used_blobs: 0,
        unused_blobs: 0,
        duplicates: 0,
        used_size: HEADER,
        unused_size: 0,
        content: Content::Nothing,
        uncompressed: false,
    };

    fn size(&self) -> u64 {
        self.used_size + self.unused_size
    }

    fn add(&mut self, copy: &Copy, used: bool) {
        self.used_size += ENTRY[usize::from(copy.compressed)];
        self.content = match self.content {
            Content::Nothing => Content::Only(copy.kind),
            Content::Only(kind) if kind == copy.kind => self.content,
            _ => Content::Mixed,
        };
        self.uncompressed |= !copy.compressed;
        if used {
            self.used_blobs += 1;
            self.used_size += u64::from(copy.length);
        } else {
            self.unused_blobs += 1;
            self.unused_size += u64::from(copy.length);
        }
    }

    fn choose(&mut self, length: u32) {
        self.used_blobs += 1;
        self.unused_blobs -= 1;
        self.used_size += u64::from(length);
        self.unused_size -= u64::from(length);
    }

    fn is_data(&self) -> bool {
        self.content == Content::Only(BlobKind::Data)
    }
}

/// A pack that may be repacked.
struct Candidate {
    number: usize,
    must_compress: bool,
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

/// Calls `visit` with the slots of every blob.
fn each_blob<C: Copies + ?Sized>(copies: &C, mut visit: impl FnMut(std::ops::Range<usize>)) {
    let mut start = 0;
    for slot in 1..=copies.len() {
        if slot == copies.len() || copies.copy(slot).first {
            visit(start..slot);
            start = slot;
        }
    }
}

/// Sums up every pack and chooses one copy of every used blob.
///
/// A copy in a pack that is not there is chosen only if there is no other. Among several copies the
/// first one wins whose pack holds other used blobs or nothing but such duplicates (as the new packs of
/// an interrupted prune do, so that its work is not done again); else the last.
fn judge_packs<C: Copies + ?Sized>(input: &Input<'_, C>, stats: &mut Stats) -> (Vec<Pack>, Bits) {
    let copies = input.copies;
    let mut packs = vec![Pack::EMPTY; input.packs.len()];
    let mut chosen = Bits::new(copies.len());
    let mut open: Vec<usize> = Vec::new();
    each_blob(copies, |slots| {
        let used = copies.copy(slots.start).used;
        let present =
            |slot: usize| slots.len() == 1 || input.packs[copies.copy(slot).pack].is_some();
        let sound = slots.clone().filter(|&slot| present(slot)).count();
        let single = used && (slots.len() == 1 || sound == 1);
        for slot in slots.clone() {
            let copy = copies.copy(slot);
            let length = u64::from(copy.length);
            let pack = &mut packs[copy.pack];
            if single && present(slot) {
                pack.add(&copy, true);
                chosen.set(slot);
                stats.blobs.used += 1;
                stats.bytes.used += length;
                continue;
            }
            pack.add(&copy, false);
            if used {
                pack.duplicates += 1;
                stats.blobs.duplicate += 1;
                stats.bytes.duplicate += length;
            } else {
                stats.blobs.unused += 1;
                stats.bytes.unused += length;
            }
        }
        if used && !single {
            open.push(slots.start);
        }
    });
    for start in open {
        let slot = choose_copy(input, &packs, start);
        let copy = copies.copy(slot);
        packs[copy.pack].choose(copy.length);
        chosen.set(slot);
        stats.blobs.used += 1;
        stats.blobs.duplicate -= 1;
        stats.bytes.used += u64::from(copy.length);
        stats.bytes.duplicate -= u64::from(copy.length);
    }
    (packs, chosen)
}

fn choose_copy<C: Copies + ?Sized>(input: &Input<'_, C>, packs: &[Pack], start: usize) -> usize {
    let copies = input.copies;
    let end = (start + 1..copies.len())
        .find(|&slot| copies.copy(slot).first)
        .unwrap_or(copies.len());
    let any_present = (start..end).any(|slot| input.packs[copies.copy(slot).pack].is_some());
    let mut last = start;
    for slot in start..end {
        let number = copies.copy(slot).pack;
        if any_present && input.packs[number].is_none() {
            continue;
        }
        let pack = &packs[number];
        if pack.used_blobs > 0 || pack.duplicates == pack.unused_blobs {
            return slot;
        }
        last = slot;
    }
    last
}

/// Packs below this size are worth joining: 80 % of the larger of restic's smallest target and the third
/// percentile of the sizes found, so that a repository without small packs is left alone.
fn small_threshold<C: Copies + ?Sized>(input: &Input<'_, C>, packs: &[Pack]) -> u64 {
    if input.options.repack_smaller_than > 0 {
        return input.options.repack_smaller_than;
    }
    let mut sizes: Vec<u64> = packs.iter().map(Pack::size).collect();
    sizes.sort_unstable();
    let percentile = sizes.get(sizes.len() * 3 / 100).copied().unwrap_or(0);
    let found = percentile.max(MIN_PACK_SIZE) / 5 * 4;
    if input.options.repack_small {
        found.max(input.pack_size / 5 * 4)
    } else {
        found
    }
}

fn classify<C: Copies + ?Sized>(
    input: &Input<'_, C>,
    packs: &[Pack],
    threshold: u64,
    actions: &mut [Action],
    stats: &mut Stats,
) -> Result<Vec<Candidate>, Refusal> {
    let mut lost = Vec::new();
    let mut candidates = Vec::new();
    let mut small = Vec::new();
    for (number, pack) in packs.iter().enumerate() {
        let Some(listed) = input.packs[number] else {
            if pack.used_blobs > 0 {
                lost.push(number);
            }
            actions[number] = Action::Missing;
            stats.blobs.remove += pack.unused_blobs;
            stats.bytes.remove += pack.unused_size;
            continue;
        };
        if listed != pack.size() && pack.used_blobs + pack.duplicates > 0 {
            let expected = pack.size();
            return Err(Refusal::Size {
                pack: number,
                expected,
                listed,
            });
        }
        match (pack.used_blobs, pack.unused_blobs) {
            (0, _) => stats.packfiles.unused += 1,
            (_, 0) => stats.packfiles.used += 1,
            _ => stats.packfiles.partly_used += 1,
        }
        if pack.uncompressed {
            stats.bytes.uncompressed += pack.size();
        }
        let is_tree = pack.content == Content::Only(BlobKind::Tree);
        let must_compress = input.version >= 2
            && pack.uncompressed
            && (is_tree || input.options.repack_uncompressed);
        let candidate = Candidate {
            number,
            must_compress,
        };
        if pack.used_blobs == 0 {
            actions[number] = Action::Delete;
            stats.packfiles.remove += 1;
            stats.blobs.remove += pack.unused_blobs;
            stats.bytes.remove += pack.unused_size;
        } else if input.options.repack_cacheable_only && pack.is_data() {
            stats.packfiles.keep += 1;
        } else if pack.unused_blobs > 0 || pack.content == Content::Mixed || must_compress {
            candidates.push(candidate);
        } else if pack.size() >= threshold {
            stats.packfiles.keep += 1;
        } else {
            small.push(candidate);
        }
    }
    if !lost.is_empty() {
        return Err(Refusal::Missing(lost));
    }
    if small.len() < SMALL_PACKS_WORTH_REPACKING {
        stats.packfiles.keep += small.len() as u64;
    } else {
        candidates.append(&mut small);
    }
    Ok(candidates)
}

/// Picks the packs to repack: tree and mixed packs first, small ones first, then by their share of
/// unused bytes, until the limits are reached.
fn select<C: Copies + ?Sized>(
    input: &Input<'_, C>,
    packs: &[Pack],
    threshold: u64,
    mut candidates: Vec<Candidate>,
    actions: &mut [Action],
    stats: &mut Stats,
) {
    candidates.sort_by(|a, b| {
        let (a, b) = (&packs[a.number], &packs[b.number]);
        let is_large = |pack: &Pack| pack.size() >= threshold;
        let share = |x: &Pack, y: &Pack| u128::from(x.unused_size) * u128::from(y.used_size);
        (a.is_data().cmp(&b.is_data()))
            .then(is_large(a).cmp(&is_large(b)))
            .then(share(b, a).cmp(&share(a, b)))
    });
    let tolerated = input.options.max_unused.limit(stats.bytes.used);
    for candidate in candidates {
        let pack = &packs[candidate.number];
        let size = pack.size();
        let repack_limit = stats.bytes.repack + size >= input.options.max_repack_bytes;
        let needed = !pack.is_data() || candidate.must_compress;
        let tolerable = stats.unused_left() < tolerated && size >= threshold;
        if repack_limit || (!needed && tolerable) {
            stats.packfiles.keep += 1;
            continue;
        }
        actions[candidate.number] = Action::Repack;
        stats.packfiles.repack += 1;
        stats.blobs.repack += pack.used_blobs + pack.unused_blobs;
        stats.blobs.repack_remove += pack.unused_blobs;
        stats.bytes.repack += size;
        stats.bytes.repack_remove += pack.unused_size;
        if pack.uncompressed {
            stats.bytes.uncompressed -= size;
        }
    }
}

/// The chosen copies of used blobs that no kept pack holds.
fn copies_to_make<C: Copies + ?Sized>(copies: &C, chosen: &Bits, actions: &[Action]) -> Bits {
    let mut out = Bits::new(copies.len());
    each_blob(copies, |slots| {
        let kept = |slot: usize| actions[copies.copy(slot).pack] == Action::Keep;
        if copies.copy(slots.start).used && !slots.clone().any(kept) {
            if let Some(slot) = slots.clone().find(|&slot| chosen.get(slot)) {
                out.set(slot);
            }
        }
    });
    out
}
