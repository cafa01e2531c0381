//! What every pack holds, and which copy of every used blob is the one that counts.

use super::plan::{Bits, Copies, Copy, Input};
use super::stats::Stats;
use crate::id::BlobKind;

/// Sealed header and its length field, without entries (formats: restic 7).
const HEADER: u64 = 36;
/// Bytes of a raw and of a compressed entry of the header.
const ENTRY: [u64; 2] = [37, 41];

/// What kinds of blobs a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Only(BlobKind),
    Mixed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pack {
    pub used_blobs: u64,
    pub unused_blobs: u64,
    /// Copies of used blobs that have other copies; they count as unused until chosen.
    pub duplicates: u64,
    /// With the header.
    pub used_size: u64,
    pub unused_size: u64,
    pub content: Content,
    pub uncompressed: bool,
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

    pub fn size(&self) -> u64 {
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

    pub fn is_data(&self) -> bool {
        self.content == Content::Only(BlobKind::Data)
    }
}

/// Calls `visit` with the slots of every blob.
pub(super) fn each_blob<C: Copies + ?Sized>(
    copies: &C,
    mut visit: impl FnMut(std::ops::Range<usize>),
) {
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
pub(super) fn judge_packs<C: Copies + ?Sized>(
    input: &Input<'_, C>,
    stats: &mut Stats,
) -> (Vec<Pack>, Bits) {
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
