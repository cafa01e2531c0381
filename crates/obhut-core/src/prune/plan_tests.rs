//! The plan's properties on random repositories, and its rules one by one.

use proptest::prelude::*;

use super::options::{MaxUnused, PruneOptions};
use super::plan::{Action, Copy, Decisions, Input, Refusal, decide};
use crate::id::BlobKind;

/// A small repository: copies sorted by blob, the size that every pack has.
#[derive(Clone, Debug)]
struct Repo {
    copies: Vec<Copy>,
    packs: Vec<Option<u64>>,
}

/// Tree or not, used or not, copies as (pack, length, compressed).
type Blob = (bool, bool, Vec<(usize, u32, bool)>);

impl Repo {
    fn new(packs: usize, blobs: &[Blob]) -> Self {
        let mut copies = Vec::new();
        let mut sizes = vec![36; packs];
        for (tree, used, places) in blobs {
            for (n, &(pack, length, compressed)) in places.iter().enumerate() {
                sizes[pack] += u64::from(length) + if compressed { 41 } else { 37 };
                copies.push(Copy {
                    kind: if *tree {
                        BlobKind::Tree
                    } else {
                        BlobKind::Data
                    },
                    first: n == 0,
                    used: *used,
                    pack,
                    length,
                    compressed,
                });
            }
        }
        let packs = sizes.into_iter().map(Some).collect();
        Self { copies, packs }
    }

    fn plan(&self, options: &PruneOptions, version: u32) -> Result<Decisions, Refusal> {
        decide(&Input {
            copies: self.copies.as_slice(),
            packs: &self.packs,
            unindexed: &[],
            options,
            version,
            pack_size: 16 << 20,
        })
    }

    fn blobs(&self) -> Vec<Vec<usize>> {
        let mut blobs: Vec<Vec<usize>> = Vec::new();
        for (slot, copy) in self.copies.iter().enumerate() {
            if copy.first {
                blobs.push(Vec::new());
            }
            blobs.last_mut().unwrap().push(slot);
        }
        blobs
    }
}

fn repos() -> impl Strategy<Value = Repo> {
    let length = prop_oneof![32..2000u32, 1_000_000..4_000_000u32];
    (1..14usize).prop_flat_map(move |packs| {
        let place = (0..packs, length.clone(), any::<bool>());
        let places = prop::collection::vec(place, 1..4);
        let blob = (any::<bool>(), prop::bool::weighted(0.7), places);
        let repo = prop::collection::vec(blob, 0..40).prop_map(move |b| Repo::new(packs, &b));
        let gone = prop::collection::vec(prop::bool::weighted(0.05), packs);
        (repo, gone).prop_map(|(mut repo, gone)| {
            for (pack, gone) in repo.packs.iter_mut().zip(gone) {
                if gone {
                    *pack = None;
                }
            }
            repo
        })
    })
}

fn options() -> impl Strategy<Value = PruneOptions> {
    let max_unused = prop_oneof![
        Just(MaxUnused::Unlimited),
        (0..10_000_000u64).prop_map(MaxUnused::Bytes),
        (0..100u32).prop_map(|p| MaxUnused::Percent(f64::from(p))),
    ];
    let max_repack = prop_oneof![Just(u64::MAX), 0..20_000_000u64];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let smaller = prop_oneof![Just(0), 1..8_000_000u64];
    (max_unused, max_repack, flags, smaller).prop_map(|(max_unused, max_repack, flags, smaller)| {
        PruneOptions {
            max_unused,
            max_repack_bytes: max_repack,
            repack_cacheable_only: flags.0,
            repack_small: flags.1,
            repack_uncompressed: flags.2,
            repack_smaller_than: smaller,
        }
    })
}

fn config() -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(64)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_used_blob_survives_exactly_once_or_in_kept_packs(repo in repos(), options in options()) {
        let plan = match repo.plan(&options, 2) {
            Ok(plan) => plan,
            Err(Refusal::Missing(packs)) => {
                // Refused only for a blob that really has no copy left.
                for pack in packs {
                    prop_assert!(repo.packs[pack].is_none());
                    prop_assert!(repo.blobs().iter().any(|slots| repo.copies[slots[0]].used
                        && slots.iter().all(|&s| repo.packs[repo.copies[s].pack].is_none())));
                }
                return Ok(());
            }
            Err(refusal) => panic!("{refusal:?}"),
        };
        for slots in repo.blobs() {
            let action = |slot: &&usize| plan.actions[repo.copies[**slot].pack];
            let kept = slots.iter().filter(|s| action(s) == Action::Keep).count();
            let copied: Vec<_> = slots.iter().filter(|s| plan.copy.get(**s)).collect();
            if repo.copies[slots[0]].used {
                prop_assert_eq!(copied.len(), usize::from(kept == 0));
                prop_assert!(copied.iter().all(|s| action(s) == Action::Repack));
            } else {
                prop_assert!(copied.is_empty());
            }
        }
        for (pack, action) in plan.actions.iter().enumerate() {
            prop_assert_eq!(repo.packs[pack].is_none(), *action == Action::Missing);
        }
    }

    #[test]
    fn the_figures_add_up(repo in repos(), options in options()) {
        let Ok(plan) = repo.plan(&options, 2) else { return Ok(()) };
        let (blobs, bytes, packs) = (plan.stats.blobs, plan.stats.bytes, plan.stats.packfiles);
        prop_assert_eq!(blobs.total, repo.copies.len() as u64);
        prop_assert_eq!(bytes.total, repo.copies.iter().map(|c| u64::from(c.length)).sum::<u64>());
        let used = repo.copies.iter().filter(|c| c.first && c.used).count() as u64;
        prop_assert_eq!(blobs.used, used);
        let count = |action| plan.actions.iter().filter(|a| **a == action).count() as u64;
        prop_assert_eq!(packs.keep, count(Action::Keep));
        prop_assert_eq!(packs.repack, count(Action::Repack));
        prop_assert_eq!(packs.remove, count(Action::Delete));
        prop_assert_eq!(packs.total, packs.keep + packs.repack + packs.remove);
        prop_assert_eq!(bytes.remaining_unused, bytes.remaining - bytes.used);
    }

    #[test]
    fn the_limits_hold(repo in repos(), options in options()) {
        let Ok(plan) = repo.plan(&options, 2) else { return Ok(()) };
        let bytes = plan.stats.bytes;
        prop_assert!(bytes.repack <= options.max_repack_bytes);
        let free = options.max_repack_bytes == u64::MAX && !options.repack_cacheable_only;
        if free {
            let limit = options.max_unused.limit(bytes.used);
            prop_assert!(bytes.remaining_unused <= limit, "{} > {limit}", bytes.remaining_unused);
        }
    }

    #[test]
    fn a_changed_size_of_a_needed_pack_stops_the_prune(repo in repos(), pick: prop::sample::Index) {
        let options = PruneOptions::default();
        if repo.plan(&options, 2).is_err() { return Ok(()) }
        let mut repo = repo;
        let needed: Vec<usize> = repo.blobs().iter()
            .filter(|slots| repo.copies[slots[0]].used)
            .flat_map(|slots| slots.iter().map(|&s| repo.copies[s].pack))
            .filter(|&pack| repo.packs[pack].is_some())
            .collect();
        if needed.is_empty() { return Ok(()) }
        let pack = needed[pick.index(needed.len())];
        repo.packs[pack] = repo.packs[pack].map(|size| size - 1);
        let refused = matches!(repo.plan(&options, 2), Err(Refusal::Size { pack: p, .. }) if p == pack);
        prop_assert!(refused);
    }
}

fn all() -> PruneOptions {
    PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        ..PruneOptions::default()
    }
}

const BIG: u32 = 5 << 20;

#[test]
fn a_blob_twice_in_one_pack_is_copied_once() {
    let twice = vec![(0, 100, true), (0, 100, true)];
    let repo = Repo::new(
        1,
        &[(false, true, twice), (false, false, vec![(0, 50, true)])],
    );
    let plan = repo.plan(&all(), 2).unwrap();
    assert_eq!(plan.actions, [Action::Repack]);
    assert_eq!(plan.copy.count(), 1);
    assert_eq!(plan.stats.blobs.duplicate, 1);
}

#[test]
fn the_packs_of_an_interrupted_prune_are_kept() {
    // Pack 1 is what a prune wrote out of pack 0 before it died: only duplicates.
    let both = |n| vec![(0, n, true), (1, n, true)];
    let blobs = [
        (false, true, both(BIG)),
        (false, true, both(BIG + 1)),
        (false, false, vec![(0, BIG, true)]),
    ];
    let plan = Repo::new(2, &blobs).plan(&all(), 2).unwrap();
    assert_eq!(plan.actions, [Action::Delete, Action::Keep]);
    assert_eq!(plan.copy.count(), 0);
}

#[test]
fn a_missing_pack_with_duplicates_elsewhere_is_forgotten() {
    let both = vec![(0, BIG, true), (1, BIG, true)];
    let mut repo = Repo::new(2, &[(false, true, both)]);
    repo.packs[0] = None;
    let plan = repo.plan(&all(), 2).unwrap();
    assert_eq!(plan.actions, [Action::Missing, Action::Keep]);
    repo.packs[1] = None;
    assert!(matches!(repo.plan(&all(), 2), Err(Refusal::Missing(_))));
}

#[test]
fn mixed_packs_and_uncompressed_trees_are_repacked() {
    let mixed = [
        (false, true, vec![(0, BIG, true)]),
        (true, true, vec![(0, BIG, true)]),
    ];
    let plan = Repo::new(1, &mixed)
        .plan(&PruneOptions::default(), 2)
        .unwrap();
    assert_eq!(plan.actions, [Action::Repack]);
    let raw_tree = Repo::new(1, &[(true, true, vec![(0, BIG, false)])]);
    let raw_data = Repo::new(1, &[(false, true, vec![(0, BIG, false)])]);
    let action = |repo: &Repo, options: &PruneOptions, version| {
        repo.plan(options, version).unwrap().actions[0]
    };
    assert_eq!(
        action(&raw_tree, &PruneOptions::default(), 2),
        Action::Repack
    );
    assert_eq!(action(&raw_tree, &PruneOptions::default(), 1), Action::Keep);
    assert_eq!(action(&raw_data, &PruneOptions::default(), 2), Action::Keep);
    let options = PruneOptions {
        repack_uncompressed: true,
        ..PruneOptions::default()
    };
    assert_eq!(action(&raw_data, &options, 2), Action::Repack);
}

#[test]
fn small_packs_are_joined_only_from_ten_on() {
    for (count, action) in [(9, Action::Keep), (10, Action::Repack)] {
        let blobs: Vec<_> = (0..count)
            .map(|n| (false, true, vec![(n, 1000, true)]))
            .collect();
        let plan = Repo::new(count, &blobs)
            .plan(&PruneOptions::default(), 2)
            .unwrap();
        assert!(plan.actions.iter().all(|a| *a == action), "{count}");
    }
}

#[test]
fn unused_within_the_tolerance_stays() {
    let blobs = [
        (false, true, vec![(0, 50 * BIG, true)]),
        (false, false, vec![(0, BIG, true)]),
        (false, false, vec![(1, BIG, true)]),
    ];
    let plan = Repo::new(2, &blobs)
        .plan(&PruneOptions::default(), 2)
        .unwrap();
    assert_eq!(plan.actions, [Action::Keep, Action::Delete]);
    assert_eq!(
        Repo::new(2, &blobs).plan(&all(), 2).unwrap().actions[0],
        Action::Repack
    );
}
