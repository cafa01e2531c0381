//! Which ranges of which packs to read, and where every blob goes. Pure: numbers in, numbers out.
//!
//! Facts: formats, restic 20. Packs come in the order of first use, so that files fill up roughly in the
//! order of the tree and few are open at a time. Inside a pack ranges ascend; two blobs share a read if
//! the gap between them is at most [`Limits::gap`] and the read stays within [`Limits::part`] (a single
//! blob may be longer). A blob that several files (or several places of one file) need is read and decoded
//! once a plan.
//!
//! The reference model, in words that a short Python function follows (`tests/property`): group the
//! wanted pieces by pack, packs in the order in which they first appear; in each group sort by
//! (offset, slot), and walk: a piece with the slot of the piece before adds a target to that blob; a
//! piece whose end fits into `part` from the read's start and whose offset lies at most `gap` behind
//! the read's end joins the read; anything else starts a new read. Then: every wanted piece is a target
//! of exactly one blob, every blob lies inside its read, no slot occurs twice, reads of one pack do not
//! share bytes unless the blobs themselves overlap.

use std::collections::HashMap;

/// How far reads are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unused bytes between two blobs that are read along rather than asked for separately.
    pub gap: u64,
    /// Longest merged read in bytes.
    pub part: u64,
}

impl Limits {
    /// For storage behind a network: restic's numbers.
    pub const REMOTE: Limits = Limits {
        gap: 1 << 20,
        part: 32 << 20,
    };
    /// For local storage: a request costs little, a read that fits the processor's cache decodes faster.
    pub const LOCAL: Limits = Limits {
        gap: 64 << 10,
        part: 2 << 20,
    };
}

/// One piece of a file that has to come from the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The index slot of the copy to read.
    pub slot: usize,
    /// The pack's number in the index.
    pub pack: usize,
    /// Where the sealed blob starts in the pack.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
    /// The file, as the caller counts them.
    pub file: u32,
    /// Where the plaintext goes in the file.
    pub at: u64,
}

/// A place that a blob's plaintext goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub file: u32,
    /// The offset in it.
    pub at: u64,
}

/// A blob inside a read; its targets are `first_target..end_target` of [`Plan::targets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The index slot.
    pub slot: usize,
    /// Where the sealed blob starts in the pack.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
    /// First target.
    pub first_target: usize,
    /// One past the last target.
    pub end_target: usize,
}

/// One request to the storage; its blobs are `first_piece..end_piece` of [`Plan::pieces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The pack's number in the index.
    pub pack: usize,
    /// Where to start.
    pub offset: u64,
    /// How much.
    pub length: u64,
    /// First blob.
    pub first_piece: usize,
    /// One past the last blob.
    pub end_piece: usize,
}

/// The whole plan: three flat tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are to be started.
    pub reads: Vec<Read>,
    /// Blobs, grouped by read.
    pub pieces: Vec<Piece>,
    /// Targets, grouped by blob.
    pub targets: Vec<Target>,
}

/// Orders and merges; the order of `wanted` (tree order) decides the order of packs.
pub fn plan(mut wanted: Vec<Wanted>, limits: Limits) -> Plan {
    let mut rank: HashMap<usize, usize> = HashMap::new();
    for piece in &wanted {
        let next = rank.len();
        rank.entry(piece.pack).or_insert(next);
    }
    wanted.sort_by_cached_key(|w| (rank[&w.pack], w.offset, w.slot, w.file, w.at));
    let mut plan = Plan {
        targets: Vec::with_capacity(wanted.len()),
        ..Plan::default()
    };
    for piece in &wanted {
        plan.push(piece, limits);
    }
    plan
}

impl Plan {
    fn push(&mut self, wanted: &Wanted, limits: Limits) {
        let target = Target {
            file: wanted.file,
            at: wanted.at,
        };
        let start = u64::from(wanted.offset);
        let end = start + u64::from(wanted.length);
        self.targets.push(target);
        let end_target = self.targets.len();
        let open = self.reads.last_mut().filter(|r| r.pack == wanted.pack);
        if let Some(read) = open {
            if let Some(last) = self.pieces.last_mut().filter(|p| p.slot == wanted.slot) {
                last.end_target = end_target;
                return;
            }
            let read_end = read.offset + read.length;
            let merged = end.max(read_end) - read.offset;
            if start <= read_end + limits.gap && merged <= limits.part {
                read.length = merged;
                read.end_piece += 1;
                self.pieces.push(piece(wanted, end_target));
                return;
            }
        }
        let first_piece = self.pieces.len();
        self.pieces.push(piece(wanted, end_target));
        self.reads.push(Read {
            pack: wanted.pack,
            offset: start,
            length: end - start,
            first_piece,
            end_piece: first_piece + 1,
        });
    }
}

fn piece(wanted: &Wanted, end_target: usize) -> Piece {
    Piece {
        slot: wanted.slot,
        offset: wanted.offset,
        length: wanted.length,
        first_target: end_target - 1,
        end_target,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn want(slot: usize, pack: usize, offset: u32, length: u32, file: u32, at: u64) -> Wanted {
        Wanted {
            slot,
            pack,
            offset,
            length,
            file,
            at,
        }
    }

    #[test]
    fn merges_over_small_gaps_only() {
        let limits = Limits { gap: 10, part: 100 };
        let wanted = vec![
            want(2, 7, 60, 10, 0, 20),
            want(0, 7, 0, 20, 0, 0),
            want(1, 7, 30, 10, 1, 0),
            want(3, 5, 0, 500, 1, 10),
        ];
        let plan = plan(wanted, limits);
        let spans: Vec<_> = plan
            .reads
            .iter()
            .map(|r| (r.pack, r.offset, r.length))
            .collect();
        assert_eq!(spans, [(7, 0, 40), (7, 60, 10), (5, 0, 500)]);
    }

    #[test]
    fn a_part_has_a_longest_length() {
        let limits = Limits { gap: 10, part: 30 };
        let wanted = (0..4)
            .map(|i| want(i, 0, i as u32 * 10, 10, 0, i as u64 * 10))
            .collect();
        let lengths: Vec<_> = plan(wanted, limits)
            .reads
            .iter()
            .map(|r| r.length)
            .collect();
        assert_eq!(lengths, [30, 10]);
    }

    #[test]
    fn a_shared_blob_is_decoded_once() {
        let wanted = (0..1000).map(|i| want(4, 1, 64, 100, i, 0)).collect();
        let plan = plan(wanted, Limits::REMOTE);
        assert_eq!((plan.reads.len(), plan.pieces.len()), (1, 1));
        assert_eq!(plan.targets.len(), 1000);
    }

    #[test]
    fn nothing_wanted_is_nothing_read() {
        assert_eq!(plan(Vec::new(), Limits::LOCAL), Plan::default());
    }

    /// The model of the module documentation, over maps.
    fn model(wanted: &[Wanted], limits: Limits) -> Vec<(usize, u64, u64, Vec<usize>)> {
        let mut order = Vec::new();
        let mut groups: BTreeMap<usize, BTreeMap<(u32, usize), u32>> = BTreeMap::new();
        for w in wanted {
            if !order.contains(&w.pack) {
                order.push(w.pack);
            }
            let group = groups.entry(w.pack).or_default();
            group.insert((w.offset, w.slot), w.length);
        }
        let mut reads: Vec<(usize, u64, u64, Vec<usize>)> = Vec::new();
        for pack in order {
            let mut open = false;
            for (&(offset, slot), &length) in &groups[&pack] {
                let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(length));
                if let Some(read) = reads.last_mut().filter(|_| open) {
                    let whole = end.max(read.1 + read.2) - read.1;
                    if start <= read.1 + read.2 + limits.gap && whole <= limits.part {
                        read.2 = whole;
                        read.3.push(slot);
                        continue;
                    }
                }
                reads.push((pack, start, end - start, vec![slot]));
                open = true;
            }
        }
        reads
    }

    /// An index of a few packs with blobs back to back or with holes, and wishes drawn from it.
    fn wishes() -> impl Strategy<Value = Vec<Wanted>> {
        let blobs = prop::collection::vec((0usize..4, 0u32..40, 1u32..60), 1..30);
        (blobs, prop::collection::vec((any::<u16>(), 0u32..6), 0..80)).prop_map(|(blobs, picks)| {
            let mut ends = [0u32; 4];
            let mut table = Vec::new();
            for (slot, (pack, hole, length)) in blobs.into_iter().enumerate() {
                let offset = ends[pack] + hole;
                ends[pack] = offset + length;
                table.push(want(slot, pack, offset, length, 0, 0));
            }
            let mut sizes = [0u64; 6];
            picks
                .into_iter()
                .map(|(pick, file)| {
                    let mut wanted = table[usize::from(pick) % table.len()];
                    wanted.file = file;
                    wanted.at = sizes[file as usize];
                    sizes[file as usize] += u64::from(wanted.length);
                    wanted
                })
                .collect()
        })
    }

    /// 64 cases, or what `PROPTEST_CASES` says.
    fn cases() -> ProptestConfig {
        match std::env::var_os("PROPTEST_CASES") {
            Some(_) => ProptestConfig::default(),
            None => ProptestConfig::with_cases(64),
        }
    }

    proptest! {
        #![proptest_config(cases())]
        #[test]
        fn agrees_with_the_model(wanted in wishes(), gap in 0u64..30, part in 1u64..200) {
            let limits = Limits { gap, part };
            let plan = plan(wanted.clone(), limits);
            let got: Vec<_> = plan
                .reads
                .iter()
                .map(|r| {
                    let slots = plan.pieces[r.first_piece..r.end_piece].iter().map(|p| p.slot);
                    (r.pack, r.offset, r.length, slots.collect::<Vec<_>>())
                })
                .collect();
            prop_assert_eq!(got, model(&wanted, limits));
            let mut reached: Vec<(usize, u32, u64)> = Vec::new();
            for read in &plan.reads {
                for piece in &plan.pieces[read.first_piece..read.end_piece] {
                    prop_assert!(u64::from(piece.offset) >= read.offset);
                    prop_assert!(
                        u64::from(piece.offset) + u64::from(piece.length) <= read.offset + read.length
                    );
                    for target in &plan.targets[piece.first_target..piece.end_target] {
                        reached.push((piece.slot, target.file, target.at));
                    }
                }
            }
            let mut asked: Vec<_> = wanted.iter().map(|w| (w.slot, w.file, w.at)).collect();
            reached.sort_unstable();
            asked.sort_unstable();
            prop_assert_eq!(reached, asked);
        }
    }
}
