//! What a name is.

use std::os::fd::{AsFd, OwnedFd};

use obhut_sync::io::{Expected, Facts, FactsKind, Failure};
use rustix::fs::{self, AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::root::{Root, Spot, failure, gone, retry};

impl Root {
    /// What a name is; nothing where nothing is, a link on the way included. The empty name is the root.
    pub fn look(&self, name: &str) -> Result<Option<Facts>, Failure> {
        let found = if name.is_empty() {
            fs::fstat(&self.handle).map(|stat| Some(facts_of(&stat)))
        } else {
            self.place(name)
                .and_then(|place| look_at(&place.directory, place.last))
        };
        match found {
            // No file system has such a name.
            Err(Errno::NAMETOOLONG) => Ok(None),
            Err(errno) if gone(errno) => Ok(None),
            other => other.map_err(|errno| failure("look", errno)),
        }
    }
}

/// What the last part of a name is.
pub(super) fn look_at(directory: &OwnedFd, last: &str) -> Result<Option<Facts>, Errno> {
    let stat = match retry(|| fs::statat(directory, last, AtFlags::SYMLINK_NOFOLLOW)) {
        Err(Errno::NOENT) => return Ok(None),
        stat => stat?,
    };
    let mut facts = facts_of(&stat);
    if facts.kind == FactsKind::Symlink {
        match retry(|| fs::readlinkat(directory, last, Vec::new())) {
            Ok(target) => facts.target = target.into_bytes(),
            // Just removed, or no link any more; then it is something else at the next look.
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::INVAL) => facts.kind = FactsKind::Other,
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some(facts))
}

/// The same of a spot.
pub(super) fn look_spot(spot: Spot<'_>) -> Result<Option<Facts>, Failure> {
    look_at(spot.folder, spot.last).map_err(|errno| failure("look", errno))
}

/// What an open file is.
pub(super) fn facts_of_open(file: impl AsFd) -> Result<Facts, Errno> {
    Ok(facts_of(&fs::fstat(file)?))
}

/// The facts of what is no link. A directory's times only say that something in it came or went: they are left out.
pub(super) fn facts_of(stat: &Stat) -> Facts {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FactsKind::File,
        FileType::Directory => FactsKind::Directory,
        FileType::Symlink => FactsKind::Symlink,
        _ => FactsKind::Other,
    };
    let timed = kind != FactsKind::Directory;
    let time = |seconds: i64, nanos: i32| if timed { (seconds, nanos) } else { (0, 0) };
    Facts {
        kind,
        size: if kind == FactsKind::File {
            stat.st_size as u64
        } else {
            0
        },
        modified: time(stat.st_mtime, stat.st_mtime_nsec as i32),
        changed: time(stat.st_ctime, stat.st_ctime_nsec as i32),
        mode: stat.st_mode & 0o7777,
        device: stat.st_dev,
        inode: stat.st_ino,
        target: Vec::new(),
    }
}

/// Whether it is the same, renamed perhaps: that alone sets the time of the last change of anything.
pub(super) fn same_moved(one: &Facts, other: &Facts) -> bool {
    Facts {
        changed: (0, 0),
        ..one.clone()
    } == Facts {
        changed: (0, 0),
        ..other.clone()
    }
}

/// Whether it is what was expected. The times of a directory say nothing, whoever wrote them down.
pub(super) fn is_expected(found: Option<&Facts>, expected: &Expected) -> bool {
    match (found, expected) {
        (None, Expected::Nothing) => true,
        (Some(found), Expected::Item(facts)) => equal(found, facts),
        _ => false,
    }
}

/// The same, of two that are there.
pub(super) fn equal(found: &Facts, facts: &Facts) -> bool {
    if found.kind == FactsKind::Directory && facts.kind == FactsKind::Directory {
        (found.mode, found.device, found.inode) == (facts.mode, facts.device, facts.inode)
    } else {
        found == facts
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::super::names::tests::Tree;
    use super::*;

    #[test]
    fn what_names_are() {
        let tree = Tree::new();
        tree.write("d/file", b"content");
        tree.link("link", "d/file");
        let file = tree.root.look("d/file").unwrap().unwrap();
        assert_eq!((file.kind, file.size), (FactsKind::File, 7));
        assert!(file.inode != 0 && file.changed != (0, 0));
        let link = tree.root.look("link").unwrap().unwrap();
        assert_eq!(
            (link.kind, link.target, link.size),
            (FactsKind::Symlink, b"d/file".to_vec(), 0)
        );
        let before = tree.root.look("d").unwrap().unwrap();
        tree.write("d/more", b"");
        assert_eq!(tree.root.look("d").unwrap(), Some(before));
        for name in ["none", "d/none/x", "d/file/x", &"n".repeat(300)] {
            assert_eq!(tree.root.look(name), Ok(None), "{name}");
        }
    }

    #[test]
    fn nothing_behind_a_link() {
        let tree = Tree::new();
        tree.write("d/file", b"content");
        tree.link("link", "d");
        tree.link("out", "/etc");
        for name in ["link/file", "out/passwd"] {
            assert_eq!(tree.root.look(name), Ok(None), "{name}");
        }
        for name in ["../x", "/etc/passwd", "d/../d/file", ""] {
            assert!(
                !matches!(tree.root.look(name), Ok(Some(facts)) if facts.kind == FactsKind::File),
                "{name}"
            );
        }
    }
}
