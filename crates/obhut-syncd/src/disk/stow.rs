//! Where what was replaced or removed goes: by rename, never over something that is to stay.
#![allow(clippy::disallowed_methods)] // Sync's own renames.

use std::os::fd::OwnedFd;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use obhut_sync::conflict::MARK;
use obhut_sync::io::{Facts, FactsKind, Failure, Now};
use obhut_sync::versions::tagged;
use rustix::fs::{self, AtFlags, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::facts::look_at;
use super::lasting::Touched;
use super::names::numbered;
use super::root::{Root, Spot, failure, folder_of, gone, joined, last_of, retry};

/// Where versions lie.
pub(super) const VERSIONS: &str = ".stversions";
/// Bytes of the longest name of a file.
const LONGEST: usize = 255;
/// The mode of a directory of versions, before the umask.
const FOLDER: u32 = 0o755;

impl Root {
    /// The directory for versions of a name, made if it is not there.
    pub(super) fn room(
        &self,
        name: &str,
        when: DateTime,
        touched: &mut Touched,
    ) -> Result<OwnedFd, Failure> {
        let folder = joined(VERSIONS, folder_of(name));
        let folder = folder.trim_end_matches('/');
        let mut made = |handle: OwnedFd| touched.add(&handle);
        let opened = match self.make_parents(folder, FOLDER, &mut made) {
            Err(Errno::NOTDIR) => self
                .clear_way(folder, when)
                .and_then(|()| self.make_parents(folder, FOLDER, &mut made)),
            opened => opened,
        };
        let opened = opened.map_err(|errno| match failure("make", errno) {
            Failure::Gone => Failure::Other(format!("{folder} is no directory")),
            Failure::Other(words) => Failure::Other(format!("{folder}: {words}")),
            failure => failure,
        })?;
        touched.add(&opened);
        Ok(opened)
    }

    /// In the trash a file may lie where a directory is needed now: it gets a name with its time.
    fn clear_way(&self, folder: &str, when: DateTime) -> Result<(), Errno> {
        let mut held = self.below(VERSIONS, OFlags::RDONLY)?;
        let mut name = VERSIONS.to_owned();
        for part in folder.split('/').skip(1) {
            match look_at(&held, part)? {
                None => return Ok(()),
                Some(facts) if facts.kind == FactsKind::Directory => {
                    name = joined(&name, part);
                    held = self.below(&name, OFlags::RDONLY)?;
                }
                Some(_) => {
                    let spot = Spot {
                        folder: &held,
                        last: part,
                    };
                    return self.to_version(spot, &held, part, when).map(drop);
                }
            }
        }
        Ok(())
    }

    /// Moves something to the versions of a name, with the first free second from now on; gives its last part there.
    pub(super) fn to_version(
        &self,
        from: Spot<'_>,
        room: &OwnedFd,
        name: &str,
        when: DateTime,
    ) -> Result<String, Errno> {
        self.rename_first_free(from.folder, from.last, room, |number| {
            let then = when.checked_add(SignedDuration::from_secs(i64::from(number)));
            Some(fitted(&tagged(last_of(name), then.ok()?), '~'))
        })
    }

    /// Moves something to the trash, in the place of what is there of that name; gives its last part there.
    pub(super) fn to_trash(
        &self,
        from: Spot<'_>,
        room: &OwnedFd,
        name: &str,
        when: DateTime,
    ) -> Result<String, Errno> {
        let last = last_of(name);
        match retry(|| fs::renameat(from.folder, from.last, room, last)) {
            Ok(()) => Ok(last.to_owned()),
            // A directory of the trash has that name.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                self.to_version(from, room, name, when)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Moves something beside its place, under the name of a copy or the next free one; gives the whole name.
    pub(super) fn to_copy(
        &self,
        from: Spot<'_>,
        beside: &OwnedFd,
        copy: &str,
    ) -> Result<String, Errno> {
        let wanted = last_of(copy);
        let last = self.rename_first_free(from.folder, from.last, beside, |number| {
            Some(fitted(&numbered(wanted, number), '.'))
        })?;
        Ok(joined(folder_of(copy), &last))
    }
}

/// What lies in the trash has the time when it came there.
pub(super) fn date(spot: Spot<'_>, now: Now) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: timespec(now.wall),
    };
    // Without it the trash is emptied by the time of its last change: sooner, at worst.
    let _ = fs::utimensat(spot.folder, spot.last, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// A time for the system. Nanoseconds come from others, and some numbers beyond a second have a meaning of their own.
pub(super) fn timespec((seconds, nanos): (i64, i32)) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanos).clamp(0, 999_999_999),
    }
}

/// The time by this place's clock.
pub(super) fn local(now: Now) -> DateTime {
    let time = Timestamp::from_second(now.wall.0).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::from_seconds(now.offset)
        .unwrap_or(Offset::UTC)
        .to_datetime(time)
}

/// What is there of a file that was put somewhere.
pub(super) fn stowed(spot: Spot<'_>) -> Result<Option<Facts>, Failure> {
    match look_at(spot.folder, spot.last) {
        Err(errno) if gone(errno) => Ok(None),
        found => found.map_err(|errno| failure("look", errno)),
    }
}

/// A name that is too long for a file system loses characters before its tag: the last `~`, or the mark of a copy.
fn fitted(last: &str, tag: char) -> String {
    let excess = last.len().saturating_sub(LONGEST);
    if excess == 0 {
        return last.to_owned();
    }
    let tag = if tag == '~' {
        last.rfind(tag)
    } else {
        last.find(MARK)
    };
    let end = tag.unwrap_or(last.len());
    let mut keep = end.saturating_sub(excess);
    while !last.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{}", &last[..keep], &last[end..])
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::{Tree, now};
    use super::*;

    fn spot<'s>(tree: &'s Tree, last: &'s str) -> Spot<'s> {
        Spot {
            folder: &tree.root.handle,
            last,
        }
    }

    #[test]
    fn the_next_free_second() {
        let tree = Tree::new();
        let when = local(now());
        for content in [b"1", b"2"] {
            tree.write("a.txt", content);
            let mut touched = Touched::default();
            let room = tree.root.room("a.txt", when, &mut touched).unwrap();
            tree.root
                .to_version(spot(&tree, "a.txt"), &room, "a.txt", when)
                .unwrap();
            touched.last(&tree.root).unwrap();
        }
        assert_eq!(
            tree.read(".stversions/a~20260102-030405.txt").unwrap(),
            b"1"
        );
        assert_eq!(
            tree.read(".stversions/a~20260102-030406.txt").unwrap(),
            b"2"
        );
    }

    #[test]
    fn the_trash_where_files_were_directories() {
        let tree = Tree::new();
        let when = local(now());
        tree.write(".stversions/d", b"file");
        tree.write("x", b"x");
        let room = tree
            .root
            .room("d/x", when, &mut Touched::default())
            .unwrap();
        let put = tree.root.to_trash(spot(&tree, "x"), &room, "d/x", when);
        assert_eq!(put.unwrap(), "x");
        tree.write("y", b"y");
        let top = tree.root.room("d", when, &mut Touched::default()).unwrap();
        tree.root
            .to_trash(spot(&tree, "y"), &top, "d", when)
            .unwrap();
        let contents: Vec<Vec<u8>> = tree.files().into_values().collect();
        assert_eq!(contents, [b"x".to_vec(), b"file".to_vec(), b"y".to_vec()]);
        tree.write("z", b"z");
        tree.root
            .to_trash(spot(&tree, "z"), &room, "d/x", when)
            .unwrap();
        assert_eq!(tree.read(".stversions/d/x").unwrap(), b"z");
    }

    #[test]
    fn versions_that_are_a_link_are_not_followed() {
        let tree = Tree::new();
        std::fs::create_dir(tree.directory.path().join("outside")).unwrap();
        tree.link(VERSIONS, "../outside");
        let when = local(now());
        for name in ["a", "d/a"] {
            let room = tree.root.room(name, when, &mut Touched::default());
            assert!(matches!(room, Err(Failure::Other(_))), "{room:?}");
        }
    }

    #[test]
    fn names_that_are_too_long_with_their_tag() {
        let long = format!("{}.txt", "ä".repeat(120));
        let found = fitted(&tagged(&long, local(now())), '~');
        assert!(found.len() <= LONGEST && found.ends_with("ä~20260102-030405.txt"));
        let copy = format!("{}{MARK}20260102-030405-ABCDEFG.txt", "b".repeat(230));
        assert_eq!(fitted(&copy, '.').len(), LONGEST);
    }
}
