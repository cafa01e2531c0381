//! When a file that another one takes the place of is kept beside it, and what it is called then (formats: bep 12).

use jiff::civil::DateTime;
use obhut_bep::{HASH, Ordering, ShortId, Vector};

/// What marks the name of a conflict copy.
pub const MARK: &str = ".sync-conflict-";

/// What is asked of an entry to tell whether it conflicts.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Its version.
    pub version: &'a Vector,
    /// The hash of all hashes of its content; nothing for what has none.
    pub blocks_hash: Option<&'a [u8; HASH]>,
    /// That of the content which it was made from.
    pub previous_blocks_hash: Option<&'a [u8; HASH]>,
}

/// Whether a new entry, taking the place of our own, would make a change of ours vanish.
pub fn conflicts(new: &Content<'_>, own: &Content<'_>) -> bool {
    if matches!(
        new.version.compare(own.version),
        Ordering::Equal | Ordering::Greater
    ) {
        return false;
    }
    // The same content is no loss; nor is one from which exactly the new one was made.
    let same = new.blocks_hash.is_some() && new.blocks_hash == own.blocks_hash;
    let made_from = new.blocks_hash.is_some()
        && new.previous_blocks_hash.is_some()
        && new.previous_blocks_hash == own.blocks_hash;
    !same && !made_from
}

/// Whether a file is a conflict copy already: of such none is made again.
pub fn is_copy(name: &str) -> bool {
    last_part(name).contains(MARK)
}

/// What the loser is called: when, by this place's clock, and whose version won.
pub fn copy_name(name: &str, now: DateTime, winner: ShortId) -> String {
    let (stem, extension) = split(name);
    format!("{stem}{MARK}{}-{winner}{extension}", stamp(now))
}

/// A time as it stands in names: `20260102-030405`.
pub(crate) fn stamp(now: DateTime) -> String {
    now.strftime("%Y%m%d-%H%M%S").to_string()
}

/// A name before its last extension, and that with its dot. What begins with a dot and has no other is all extension, as in Go.
pub(crate) fn split(name: &str) -> (&str, &str) {
    let last = name.len() - last_part(name).len();
    name[last..]
        .rfind('.')
        .map_or((name, ""), |dot| name.split_at(last + dot))
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use obhut_bep::DeviceId;

    fn winner() -> ShortId {
        DeviceId::parse("P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2")
            .unwrap()
            .short()
    }

    #[test]
    fn names_as_syncthing_gives_them() {
        let now = date(2026, 1, 2).at(3, 4, 5, 0);
        let cases = [
            (
                "report.txt",
                "report.sync-conflict-20260102-030405-P56IOI7.txt",
            ),
            (
                "archive.tar.gz",
                "archive.tar.sync-conflict-20260102-030405-P56IOI7.gz",
            ),
            (
                "d.e/plain",
                "d.e/plain.sync-conflict-20260102-030405-P56IOI7",
            ),
            (
                "d/.hidden",
                "d/.sync-conflict-20260102-030405-P56IOI7.hidden",
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(copy_name(name, now, winner()), expected);
            assert!(is_copy(expected) && !is_copy(name));
        }
        assert!(!is_copy("a.sync-conflict-x/b"));
    }

    #[test]
    fn what_conflicts() {
        let vector = |counters: &[(u64, u64)]| {
            Vector::new(counters.iter().map(|&(id, value)| (ShortId(id), value)))
        };
        let (one, two, both) = (
            vector(&[(1, 1)]),
            vector(&[(2, 1)]),
            vector(&[(1, 1), (2, 1)]),
        );
        let (a, b) = ([1; HASH], [2; HASH]);
        let content = |version, blocks_hash, previous_blocks_hash| Content {
            version,
            blocks_hash,
            previous_blocks_hash,
        };
        let own = content(&one, Some(&a), None);
        assert!(
            !conflicts(&content(&one, Some(&b), None), &own),
            "the same version"
        );
        assert!(
            !conflicts(&content(&both, Some(&b), None), &own),
            "it knows of ours"
        );
        assert!(conflicts(&content(&two, Some(&b), None), &own));
        assert!(
            !conflicts(&content(&two, Some(&a), None), &own),
            "the same content"
        );
        assert!(
            !conflicts(&content(&two, Some(&b), Some(&a)), &own),
            "made from ours"
        );
        assert!(
            conflicts(&content(&two, None, Some(&a)), &own),
            "a deletion is made from nothing"
        );
        assert!(conflicts(
            &content(&two, None, None),
            &content(&one, None, None)
        ));
    }
}
