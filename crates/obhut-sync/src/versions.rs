//! What is kept of files that were replaced or removed: names and intervals of Syncthing (formats: bep 21).

use jiff::civil::DateTime;

use crate::conflict::{split, stamp};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Up to what age (seconds) one is kept in each step of so many seconds.
const STEPS: [(i64, i64); 4] = [
    (HOUR, 30),
    (DAY, HOUR),
    (30 * DAY, DAY),
    (i64::MAX, 7 * DAY),
];

/// Where a version of a file lies below the folder of versions: its name and when it was put there, by this place's clock.
pub fn tagged(name: &str, now: DateTime) -> String {
    let (stem, extension) = split(name);
    format!("{stem}~{}{extension}", stamp(now))
}

/// The name of the file, and when the version was made, out of the name of a version; nothing for any other name.
pub fn untagged(name: &str) -> Option<(String, DateTime)> {
    const TAG: usize = 16; // ~20260102-030405
    let last = name.len() - name.rsplit('/').next()?.len();
    // Before the last extension; where there is none, at the end.
    let (stem, extension) = split(name);
    let (stem, extension) = if stem.len() >= last + TAG {
        (stem, extension)
    } else {
        (name, "")
    };
    let at = stem
        .len()
        .checked_sub(TAG)
        .filter(|&at| at >= last && stem.is_char_boundary(at))?;
    let tag = stem[at..].strip_prefix('~')?;
    let plain = tag.len() == 15
        && tag.bytes().enumerate().all(|(at, byte)| {
            if at == 8 {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        });
    if !plain {
        return None;
    }
    let time = DateTime::strptime("%Y%m%d-%H%M%S", tag).ok()?;
    Some((format!("{}{extension}", &stem[..at]), time))
}

/// How many versions of a file are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest ones, so many; none that is older than so many seconds, if that is said.
    Simple {
        /// How many.
        count: usize,
        /// Seconds; 0 for any age.
        max_age: i64,
    },
    /// Fewer the older they are: one in 30 s of the last hour, one an hour of the last day, one a day of the last 30 days,
    /// then one a week.
    Staggered {
        /// Seconds; 0 for any age.
        max_age: i64,
    },
}

/// Which versions of one file go: places in `times`, seconds of each on one clock, in any order; `now` on the same clock.
pub fn surplus(times: &[i64], now: i64, keep: Keep) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&at| (times[at], at));
    let mut gone = match keep {
        Keep::Simple { count, max_age } => {
            let old = order.len().saturating_sub(count);
            order
                .iter()
                .enumerate()
                .filter(|&(rank, &at)| rank < old || is_older(times[at], now, max_age))
                .map(|(_, &at)| at)
                .collect()
        }
        Keep::Staggered { max_age } => staggered(times, &order, now, max_age),
    };
    gone.sort_unstable();
    gone
}

fn is_older(time: i64, now: i64, max_age: i64) -> bool {
    max_age > 0 && now.saturating_sub(time) > max_age
}

/// The oldest one stays, and each next one that is not too near to the one that stayed before it.
fn staggered(times: &[i64], order: &[usize], now: i64, max_age: i64) -> Vec<usize> {
    let mut gone = Vec::new();
    let mut last: Option<i64> = None;
    for &at in order {
        let age = now.saturating_sub(times[at]);
        let step = STEPS
            .iter()
            .find(|step| age < step.0)
            .map_or(7 * DAY, |step| step.1);
        let near = last.is_some_and(|before| times[at] - before < step);
        if is_older(times[at], now, max_age) || near {
            gone.push(at);
        } else {
            last = Some(times[at]);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn names_as_syncthing_gives_them() {
        let now = date(2026, 1, 2).at(3, 4, 5, 0);
        let cases = [
            ("dir/name.txt", "dir/name~20260102-030405.txt"),
            ("dir.d/name", "dir.d/name~20260102-030405"),
            ("a.tar.gz", "a.tar~20260102-030405.gz"),
            (".hidden", "~20260102-030405.hidden"),
        ];
        for (name, expected) in cases {
            assert_eq!(tagged(name, now), expected);
            assert_eq!(
                untagged(expected),
                Some((name.to_owned(), now)),
                "{expected}"
            );
        }
        for name in [
            "a",
            "a.txt",
            "a~2026.txt",
            "a~20261302-030405.txt",
            "d~20260102-030405/a",
            "a~20260102x030405.txt",
            "ä~\u{301}",
        ] {
            assert_eq!(untagged(name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_ones() {
        let times = [50, 10, 40, 20, 30];
        assert_eq!(
            surplus(
                &times,
                100,
                Keep::Simple {
                    count: 2,
                    max_age: 0
                }
            ),
            [1, 3, 4]
        );
        assert_eq!(
            surplus(
                &times,
                100,
                Keep::Simple {
                    count: 9,
                    max_age: 60
                }
            ),
            [1, 3, 4]
                .into_iter()
                .filter(|&at| times[at] < 40)
                .collect::<Vec<_>>()
        );
        assert_eq!(
            surplus(
                &times,
                100,
                Keep::Simple {
                    count: 0,
                    max_age: 0
                }
            )
            .len(),
            5
        );
    }

    #[test]
    fn fewer_the_older_they_are() {
        let now = 1_000 * DAY;
        let keep = Keep::Staggered { max_age: 365 * DAY };
        let left = |times: &[i64]| -> Vec<i64> {
            let gone = surplus(times, now, keep);
            times
                .iter()
                .enumerate()
                .filter(|(at, _)| !gone.contains(at))
                .map(|(_, &time)| now - time)
                .collect()
        };
        let ages = |ages: &[i64]| -> Vec<i64> { ages.iter().map(|age| now - age).collect() };
        assert_eq!(left(&ages(&[50, 40, 25, 10])), [50, 10]);
        assert_eq!(
            left(&ages(&[3 * HOUR, 3 * HOUR - 10 * MINUTE, 2 * HOUR])),
            [3 * HOUR, 2 * HOUR]
        );
        assert_eq!(
            left(&ages(&[5 * DAY, 5 * DAY - HOUR, 4 * DAY])),
            [5 * DAY, 4 * DAY]
        );
        assert_eq!(
            left(&ages(&[60 * DAY, 55 * DAY, 53 * DAY])),
            [60 * DAY, 53 * DAY]
        );
        assert_eq!(left(&ages(&[400 * DAY, 366 * DAY, 365 * DAY])), [365 * DAY]);
    }

    proptest! {
        /// Whatever is kept: of what is not too old the oldest one stays, and no two that stay are nearer than their step.
        #[test]
        fn steps(ages in prop::collection::vec(0_i64..400 * DAY, 0..40)) {
            let now = 1_000 * DAY;
            let times: Vec<i64> = ages.iter().map(|age| now - age).collect();
            let gone = surplus(&times, now, Keep::Staggered { max_age: 365 * DAY });
            let mut left: Vec<i64> = (0..times.len()).filter(|at| !gone.contains(at)).map(|at| times[at]).collect();
            left.sort_unstable();
            let young = times.iter().copied().filter(|time| now - time <= 365 * DAY).min();
            prop_assert_eq!(left.first().copied(), young);
            for pair in left.windows(2) {
                let step = STEPS.iter().find(|step| now - pair[1] < step.0).unwrap().1;
                prop_assert!(pair[1] - pair[0] >= step);
            }
            // Asked again, nothing more goes.
            let again = surplus(&left, now, Keep::Staggered { max_age: 365 * DAY });
            prop_assert!(again.is_empty());
        }
    }
}
