//! Which packs are worth repacking, and what that copies.

use super::plan::{Action, Bits, Copies, Input, Refusal};
use super::stats::Stats;
use super::tally::{Content, Pack, each_blob};
use crate::id::BlobKind;

/// restic's smallest pack target: packs above 80 % of it are never "small" by themselves.
const MIN_PACK_SIZE: u64 = 4 << 20;
/// Fewer small packs than this are left alone, so that the last short pack is not rewritten for ever.
const SMALL_PACKS_WORTH_REPACKING: usize = 10;

/// A pack that may be repacked.
pub(super) struct Candidate {
    number: usize,
    must_compress: bool,
}

/// Packs below this size are worth joining: 80 % of the larger of restic's smallest target and the third
/// percentile of the sizes found, so that a repository without small packs is left alone.
pub(super) fn small_threshold<C: Copies + ?Sized>(input: &Input<'_, C>, packs: &[Pack]) -> u64 {
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

pub(super) fn classify<C: Copies + ?Sized>(
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
pub(super) fn select<C: Copies + ?Sized>(
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
pub(super) fn copies_to_make<C: Copies + ?Sized>(
    copies: &C,
    chosen: &Bits,
    actions: &[Action],
) -> Bits {
    let mut out = Bits::new(copies.len());
    each_blob(copies, |slots| {
        let kept = |slot: usize| actions[copies.copy(slot).pack] == Action::Keep;
        if copies.copy(slots.start).used
            && !slots.clone().any(kept)
            && let Some(slot) = slots.clone().find(|&slot| chosen.get(slot))
        {
            out.set(slot);
        }
    });
    out
}
