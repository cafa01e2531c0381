//! Versions: which of two entries is newer (formats: bep 11).

use crate::error::{Error, Result};
use crate::id::ShortId;
use crate::wire::{Reader, Writer};

/// More counters than so many are refused: devices that ever changed one item.
const COUNTERS: usize = 10_000;

/// A counter for each device that changed an item, by their ids. What is missing is 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Vector {
    counters: Vec<(ShortId, u64)>,
}

/// How two versions stand. Concurrent ones have an order, too, the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// The same version.
    Equal,
    /// The first one is newer.
    Greater,
    /// The second one is newer.
    Lesser,
    /// Neither knows of the other; at the lowest id in which they differ the first one counts more.
    ConcurrentGreater,
    /// Neither knows of the other; at the lowest id in which they differ the first one counts less.
    ConcurrentLesser,
}

impl Vector {
    /// Of counters in any order; of two for one device the larger.
    pub fn new(counters: impl IntoIterator<Item = (ShortId, u64)>) -> Self {
        let mut counters: Vec<_> = counters.into_iter().collect();
        counters.sort_unstable();
        // Ascending: of two with one id the larger comes last, and is the one that stays.
        counters.reverse();
        counters.dedup_by_key(|counter| counter.0);
        counters.reverse();
        Self { counters }
    }

    /// The counters, by ids.
    pub fn counters(&self) -> &[(ShortId, u64)] {
        &self.counters
    }

    /// The counter of a device.
    pub fn value(&self, id: ShortId) -> u64 {
        self.counters
            .binary_search_by_key(&id, |counter| counter.0)
            .map_or(0, |at| self.counters[at].1)
    }

    /// Whether no device ever counted: such a version never wins.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// After one more change by a device, at so many seconds since 1970: counters never go back, whatever the clock does.
    #[must_use]
    pub fn updated(&self, id: ShortId, seconds: u64) -> Self {
        let value = seconds.max(self.value(id).saturating_add(1));
        Self::new(self.counters.iter().copied().chain([(id, value)]))
    }

    /// What knows of both: for each device the larger counter.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self::new(self.counters.iter().chain(&other.counters).copied())
    }

    /// Only the counter of one device: what it says alone, when it must not win by what others said.
    #[must_use]
    pub fn only(&self, id: ShortId) -> Self {
        Self {
            counters: self
                .counters
                .iter()
                .copied()
                .filter(|counter| counter.0 == id)
                .collect(),
        }
    }

    /// How this version stands to another one.
    pub fn compare(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (
            self.counters.iter().peekable(),
            other.counters.iter().peekable(),
        );
        let mut found = Ordering::Equal;
        loop {
            let (left, right) = match (ours.peek(), theirs.peek()) {
                (None, None) => return found,
                (Some(&&(_, value)), None) => (value, 0),
                (None, Some(&&(_, value))) => (0, value),
                (Some(&&(one, value)), Some(&&(other, _))) if one < other => (value, 0),
                (Some(&&(one, _)), Some(&&(other, value))) if one > other => (0, value),
                (Some(&&(_, one)), Some(&&(_, other))) => (one, other),
            };
            let low = [ours.peek(), theirs.peek()]
                .into_iter()
                .flatten()
                .map(|counter| counter.0)
                .min();
            ours.next_if(|counter| Some(counter.0) == low);
            theirs.next_if(|counter| Some(counter.0) == low);
            found = match (found, left.cmp(&right)) {
                (known, std::cmp::Ordering::Equal) => known,
                (Ordering::Lesser, std::cmp::Ordering::Greater) => {
                    return Ordering::ConcurrentLesser;
                }
                (Ordering::Greater, std::cmp::Ordering::Less) => {
                    return Ordering::ConcurrentGreater;
                }
                (_, std::cmp::Ordering::Greater) => Ordering::Greater,
                (_, std::cmp::Ordering::Less) => Ordering::Lesser,
            };
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut counters = Vec::new();
        let mut fields = Reader::new(bytes);
        while let Some((number, field)) = fields.next()? {
            if number == 1 {
                if counters.len() == COUNTERS {
                    return Err(Error::TooLarge("counters of a version"));
                }
                counters.push(counter(field.bytes()?)?);
            }
        }
        Ok(Self::new(counters))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for &(id, value) in &self.counters {
            let mut counter = Writer::default();
            counter.number(1, id.0);
            counter.number(2, value);
            writer.message(1, &counter.done());
        }
        writer.done()
    }
}

fn counter(bytes: &[u8]) -> Result<(ShortId, u64)> {
    let (mut id, mut value) = (0, 0);
    let mut fields = Reader::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => id = field.number()?,
            2 => value = field.number()?,
            _ => {}
        }
    }
    Ok((ShortId(id), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(counters: &[(u64, u64)]) -> Vector {
        Vector::new(counters.iter().map(|&(id, value)| (ShortId(id), value)))
    }

    #[test]
    fn the_vectors_of_the_formats_page() {
        use Ordering::{ConcurrentGreater, ConcurrentLesser, Equal, Greater};
        type Counters<'a> = &'a [(u64, u64)];
        let cases: [(Counters<'_>, Counters<'_>, Ordering); 10] = [
            (&[], &[(42, 0)], Equal),
            (&[(42, 0)], &[(77, 0)], Equal),
            (&[(42, 1)], &[], Greater),
            (&[(22, 22), (42, 2)], &[(22, 22), (42, 1)], Greater),
            (&[(42, 2)], &[(43, 1)], ConcurrentGreater),
            (&[(43, 1)], &[(42, 2)], ConcurrentLesser),
            (
                &[(22, 23), (42, 1)],
                &[(22, 22), (42, 2)],
                ConcurrentGreater,
            ),
            (&[(22, 21), (42, 2)], &[(22, 22), (42, 1)], ConcurrentLesser),
            (
                &[(22, 21), (42, 2), (43, 1)],
                &[(20, 1), (22, 22), (42, 1)],
                ConcurrentLesser,
            ),
            (&[(1, 1)], &[(1, 2)], Ordering::Lesser),
        ];
        for (one, other, expected) in cases {
            assert_eq!(
                vector(one).compare(&vector(other)),
                expected,
                "{one:?} {other:?}"
            );
        }
    }

    /// The same rules, said in another way: each counter of each device, one by one.
    fn by_the_book(one: &Vector, other: &Vector) -> Ordering {
        let mut ids: Vec<_> = one
            .counters()
            .iter()
            .chain(other.counters())
            .map(|counter| counter.0)
            .collect();
        ids.sort_unstable();
        let signs: Vec<_> = ids
            .iter()
            .map(|&id| one.value(id).cmp(&other.value(id)))
            .filter(|sign| sign.is_ne())
            .collect();
        let (more, less) = (
            signs.iter().any(|sign| sign.is_gt()),
            signs.iter().any(|sign| sign.is_lt()),
        );
        match (more, less) {
            (false, false) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Lesser,
            (true, true) if signs[0].is_gt() => Ordering::ConcurrentGreater,
            (true, true) => Ordering::ConcurrentLesser,
        }
    }

    fn any() -> impl Strategy<Value = Vector> {
        prop::collection::vec((0_u64..6, 0_u64..4), 0..6).prop_map(|counters| vector(&counters))
    }

    proptest! {
        #[test]
        fn compared_as_the_book_says(one in any(), other in any()) {
            prop_assert_eq!(one.compare(&other), by_the_book(&one, &other));
            let turned = match one.compare(&other) {
                Ordering::Equal => Ordering::Equal,
                Ordering::Greater => Ordering::Lesser,
                Ordering::Lesser => Ordering::Greater,
                Ordering::ConcurrentGreater => Ordering::ConcurrentLesser,
                Ordering::ConcurrentLesser => Ordering::ConcurrentGreater,
            };
            prop_assert_eq!(other.compare(&one), turned);
        }

        #[test]
        fn merging_knows_both_and_updating_is_newer(one in any(), other in any(), id in 0_u64..6, seconds in 0_u64..9) {
            let both = one.merged(&other);
            for part in [&one, &other] {
                prop_assert!(matches!(both.compare(part), Ordering::Equal | Ordering::Greater));
            }
            prop_assert_eq!(&both, &other.merged(&one));
            prop_assert_eq!(one.updated(ShortId(id), seconds).compare(&one), Ordering::Greater);
            prop_assert!(one.updated(ShortId(id), seconds).value(ShortId(id)) >= seconds.max(1));
        }

        #[test]
        fn bytes_come_back(one in any()) {
            prop_assert_eq!(Vector::read(&one.write()).unwrap(), one);
        }
    }

    #[test]
    fn no_more_than_so_many() {
        let counter = [0x0a, 0x00];
        assert!(Vector::read(&counter.repeat(COUNTERS)).is_ok());
        assert!(Vector::read(&counter.repeat(COUNTERS + 1)).is_err());
    }
}
