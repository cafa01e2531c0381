//! Which entry of an item is the global one: each device computes it, from the same entries, without asking (formats: bep 12).

use std::cmp::Ordering;

use obhut_bep::{Ordering as Versions, Vector};

/// What is asked of an entry to tell whether it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Its version.
    pub version: &'a Vector,
    /// Time of the last change: seconds since 1970, and nanoseconds.
    pub modified: (i64, i32),
    /// Whether nobody can have it from there.
    pub invalid: bool,
    /// Whether it is our own.
    pub local: bool,
}

/// `Less` if `one` comes before `other`: it is newer, or wins where neither is.
pub fn order(one: &Claim<'_>, other: &Claim<'_>) -> Ordering {
    let sooner = |first: bool| {
        if first {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    };
    match one.version.compare(other.version) {
        Versions::Greater => Ordering::Less,
        Versions::Lesser => Ordering::Greater,
        Versions::Equal => one
            .invalid
            .cmp(&other.invalid)
            .then(other.local.cmp(&one.local)),
        concurrent => one
            .invalid
            .cmp(&other.invalid)
            .then(other.modified.cmp(&one.modified))
            .then_with(|| sooner(concurrent == Versions::ConcurrentGreater)),
    }
}

/// The place of the winner: of those that can be had, or of all where none can. Nothing of nothing.
///
/// Nothing wins that another one was made from. What is left is equal or concurrent, and those have one order. (All entries
/// together have none: of three, each may come before the next, so sorting them would hang on how they came.)
pub fn winner(claims: &[Claim<'_>]) -> Option<usize> {
    let all_invalid = claims.iter().all(|claim| claim.invalid);
    let chosen: Vec<usize> = (0..claims.len())
        .filter(|&at| all_invalid || !claims[at].invalid)
        .collect();
    let newest: Vec<usize> = chosen
        .iter()
        .copied()
        .filter(|&at| {
            chosen
                .iter()
                .all(|&other| claims[at].version.compare(claims[other].version) != Versions::Lesser)
        })
        .collect();
    // Entries of one version are one, and should have one time; a device that rounds times must not change the winner.
    let agreed = |at: usize| {
        let same = newest
            .iter()
            .filter(|&&other| claims[other].version.compare(claims[at].version) == Versions::Equal);
        Claim {
            modified: same
                .map(|&other| claims[other].modified)
                .max()
                .unwrap_or_default(),
            ..claims[at]
        }
    };
    newest
        .iter()
        .copied()
        .min_by(|&one, &other| order(&agreed(one), &agreed(other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use obhut_bep::ShortId;
    use proptest::prelude::*;

    type Facts = (Vec<(u64, u64)>, i64, bool);

    fn vector(facts: &Facts) -> Vector {
        Vector::new(facts.0.iter().map(|&(id, value)| (ShortId(id), value)))
    }

    fn claims<'a>(all: &[Facts], vectors: &'a [Vector]) -> Vec<Claim<'a>> {
        all.iter()
            .zip(vectors)
            .map(|(facts, version)| Claim {
                version,
                modified: (facts.1, 0),
                invalid: facts.2,
                local: false,
            })
            .collect()
    }

    fn facts() -> impl Strategy<Value = Facts> {
        (
            prop::collection::vec((0_u64..3, 1_u64..4), 1..3),
            0_i64..3,
            any::<bool>(),
        )
    }

    fn chosen(all: &[Facts]) -> Option<Facts> {
        let vectors: Vec<Vector> = all.iter().map(vector).collect();
        winner(&claims(all, &vectors)).map(|at| all[at].clone())
    }

    #[test]
    fn the_rules_of_the_formats_page() {
        let cases: [(&[Facts], usize); 7] = [
            (&[(vec![(1, 1)], 9, false), (vec![(1, 2)], 0, false)], 1),
            (&[(vec![(1, 1)], 9, true), (vec![(1, 1)], 9, false)], 1),
            (&[(vec![(1, 1)], 5, false), (vec![(2, 1)], 6, false)], 1),
            (&[(vec![(1, 1)], 5, false), (vec![(2, 1)], 5, false)], 0),
            (&[(vec![(1, 1)], 9, true), (vec![(2, 1)], 5, false)], 1),
            // The newest has nothing to give, so it does not win: whoever has the next one keeps it.
            (&[(vec![(1, 2)], 9, true), (vec![(1, 1)], 5, false)], 1),
            (&[(vec![(1, 2)], 9, true), (vec![(1, 1)], 5, true)], 0),
        ];
        for (all, expected) in cases {
            assert_eq!(chosen(all).as_ref(), Some(&all[expected]), "{all:?}");
        }
        assert_eq!(chosen(&[]), None);
    }

    proptest! {
        /// Invariant 5: the winner hangs neither on the order of arrival nor on who computes it.
        #[test]
        fn any_order_has_the_same_winner(all in prop::collection::vec(facts(), 1..5), by in any::<prop::sample::Index>()) {
            let mut turned = all.clone();
            turned.rotate_left(by.index(all.len()));
            let mut reversed = all.clone();
            reversed.reverse();
            let found = chosen(&all).map(|facts| (vector(&facts), facts.2));
            for other in [turned, reversed] {
                prop_assert_eq!(&chosen(&other).map(|facts| (vector(&facts), facts.2)), &found);
            }
        }

        /// Nothing that can be had and that another one knows of, which can be had, too, wins.
        #[test]
        fn nothing_older_wins(all in prop::collection::vec(facts(), 1..6)) {
            let vectors: Vec<Vector> = all.iter().map(vector).collect();
            let found = winner(&claims(&all, &vectors)).unwrap();
            let some_valid = all.iter().any(|facts| !facts.2);
            prop_assert_eq!(all[found].2, !some_valid);
            for (at, facts) in all.iter().enumerate().filter(|(_, facts)| !facts.2) {
                if some_valid {
                    prop_assert_ne!(vectors[found].compare(&vectors[at]), Versions::Lesser, "{:?}", facts);
                }
            }
        }

        /// Nothing that is newer than all others, and can be had, ever loses.
        #[test]
        fn the_newest_wins(all in prop::collection::vec(facts(), 1..5)) {
            let vectors: Vec<Vector> = all.iter().map(vector).collect();
            let newest = vectors.iter().fold(Vector::default(), |sum, vector| sum.merged(vector));
            let first = (0..all.len()).find(|&at| !all[at].2 && vectors[at] == newest);
            if let Some(at) = first {
                let found = winner(&claims(&all, &vectors)).unwrap();
                prop_assert_eq!((&vectors[found], all[found].2), (&vectors[at], false));
            }
        }
    }
}
