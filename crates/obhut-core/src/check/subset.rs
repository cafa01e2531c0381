//! Which packs a check reads whole: `--read-data` and `--read-data-subset` (formats: restic 19).

use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::prune::options::parse_bytes;

/// Groups are made of the first byte of a pack's id.
const MAX_GROUPS: u32 = 256;

/// A part of the packs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// All.
    All,
    /// Group `n` (from 1) of `of`: the same packs on every run.
    Group {
        /// Which, from 1.
        n: u32,
        /// How many groups there are.
        of: u32,
    },
    /// This share of the packs, drawn at random, in percent.
    Percent(f64),
    /// Packs drawn at random until they hold this many bytes.
    Bytes(u64),
}

impl Subset {
    /// Parses `n/m`, `x%` or a number of bytes with an optional suffix `k m g t`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(
                Code::InvalidArgument,
                "read-data-subset",
                format!("{text:?}"),
            )
        };
        if let Some((n, of)) = text.split_once('/') {
            let n: u32 = n.parse().map_err(|_| wrong())?;
            let of: u32 = of.parse().map_err(|_| wrong())?;
            let fits = 1 <= n && n <= of && of <= MAX_GROUPS;
            return fits.then_some(Self::Group { n, of }).ok_or_else(wrong);
        }
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.parse().map_err(|_| wrong())?;
            let fits = percent > 0.0 && percent <= 100.0;
            return fits.then_some(Self::Percent(percent)).ok_or_else(wrong);
        }
        match parse_bytes(text) {
            Some(bytes) if bytes > 0 => Ok(Self::Bytes(bytes)),
            _ => Err(wrong()),
        }
    }

    /// The positions of the packs to read, ascending. `draw(n)` gives a random number below `n`.
    pub fn select(self, packs: &[(Id, u64)], mut draw: impl FnMut(usize) -> usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..packs.len()).collect();
        match self {
            Self::All => {}
            Self::Group { n, of } => {
                order.retain(|&at| u32::from(packs[at].0.0[0]) % of == n - 1);
            }
            Self::Percent(percent) => {
                let wanted = (packs.len() as f64 * percent / 100.0) as usize;
                shuffle(&mut order, &mut draw);
                order.truncate(wanted.max(1));
            }
            Self::Bytes(bytes) => {
                shuffle(&mut order, &mut draw);
                let mut sum = 0u64;
                order.retain(|&at| {
                    let wanted = sum < bytes;
                    sum = sum.saturating_add(packs[at].1);
                    wanted
                });
            }
        }
        order.sort_unstable();
        order
    }
}

fn shuffle(order: &mut [usize], draw: &mut impl FnMut(usize) -> usize) {
    for last in (1..order.len()).rev() {
        order.swap(last, draw(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_parsed() {
        assert_eq!(Subset::parse("1/5").unwrap(), Subset::Group { n: 1, of: 5 });
        assert_eq!(Subset::parse("2.5%").unwrap(), Subset::Percent(2.5));
        assert_eq!(Subset::parse("3M").unwrap(), Subset::Bytes(3 << 20));
        for wrong in [
            "", "0/5", "6/5", "1/257", "1/2/3", "0%", "101%", "x%", "0", "-1", "1x",
        ] {
            let error = Subset::parse(wrong).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn groups_share_out_all_packs(ids in prop::collection::vec(any::<u8>(), 0..60), of in 1..20u32) {
            let packs: Vec<(Id, u64)> = ids.iter().map(|&b| (Id([b; 32]), 1)).collect();
            let mut all: Vec<usize> = (1..=of)
                .flat_map(|n| Subset::Group { n, of }.select(&packs, |_| 0))
                .collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..packs.len()).collect::<Vec<_>>());
        }

        #[test]
        fn random_parts_are_as_large_as_asked(count in 1..60usize, percent in 1..=100u32, bytes in 1..600u64) {
            let packs: Vec<(Id, u64)> = (0..count).map(|n| (Id::of(&n.to_le_bytes()), 10)).collect();
            let mut seed = 7usize;
            let mut draw = |n: usize| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) % n
            };
            let part = Subset::Percent(f64::from(percent)).select(&packs, &mut draw);
            prop_assert_eq!(part.len(), (count * percent as usize / 100).max(1));
            let part = Subset::Bytes(bytes).select(&packs, &mut draw);
            prop_assert_eq!(part.len(), count.min(bytes.div_ceil(10) as usize));
            prop_assert!(part.is_sorted());
        }
    }
}
