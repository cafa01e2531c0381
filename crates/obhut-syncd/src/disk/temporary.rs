//! Temporary files: which are ours to write to, and what becomes of those that are left over.
#![allow(clippy::disallowed_methods)] // Sync's own: a temporary file lasts only when its group does.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use obhut_sync::internal::temporary;
use obhut_sync::io::{Facts, FactsKind, Failure, Now};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::facts::{facts_of_open, look_spot, same_moved};
use super::lasting::Touched;
use super::root::{Root, Spot, check_temporary, failure, folder_of, gone, joined, last_of, retry};
use super::stow::local;

/// The mode of a temporary file that is ours: nobody else reads it, and the sticky bit is the mark.
pub(super) const MARKED: u32 = 0o1600;
const MARK: u32 = 0o1000;
/// Seconds after which a temporary file that nobody took up again is removed.
const KEPT: i64 = 24 * 3600;

impl Root {
    /// Removes temporary files that nobody needs; what is not ours goes to the versions.
    pub fn discard(&self, temporaries: &[String], now: Now) -> Vec<(String, Failure)> {
        let mut failed = Vec::new();
        for name in temporaries {
            if let Err(failure) = self.discard_one(name, now) {
                failed.push((name.clone(), failure));
            }
        }
        failed
    }

    fn discard_one(&self, name: &str, now: Now) -> Result<(), Failure> {
        check_temporary(name)?;
        let _changing = self.change();
        let place = match self.firm(name) {
            Err(errno) if gone(errno) => return Ok(()),
            place => place.map_err(|errno| failure("open directory", errno))?,
        };
        match look_spot(place.spot())? {
            None => Ok(()),
            Some(facts) if is_ours(&facts) => unlink(place.spot()),
            Some(facts) => self.rescue(name, place.spot(), &facts, now),
        }
    }

    /// What a walk found under temporary names: ours are removed a day after they were last written, unless `needed` says
    /// that they are still; what is not ours was left there by a stop in the midst of an exchange, and goes to the versions.
    pub fn sweep(
        &self,
        found: &[(String, Facts)],
        now: Now,
        needed: &dyn Fn(&str) -> bool,
    ) -> Vec<(String, Failure)> {
        let mut failed = Vec::new();
        for (name, facts) in found {
            let young = now.wall.0.saturating_sub(facts.modified.0) < KEPT;
            if is_ours(facts) && (young || needed(name)) {
                continue;
            }
            if let Err(failure) = self.sweep_one(name, facts, now) {
                failed.push((name.clone(), failure));
            }
        }
        failed
    }

    fn sweep_one(&self, name: &str, facts: &Facts, now: Now) -> Result<(), Failure> {
        check_temporary(name)?;
        let _changing = self.change();
        let place = match self.firm(name) {
            Err(errno) if gone(errno) => return Ok(()),
            place => place.map_err(|errno| failure("open directory", errno))?,
        };
        match look_spot(place.spot())? {
            Some(there) if same_moved(&there, facts) => {}
            // Somebody works with it.
            _ => return Ok(()),
        }
        if is_ours(facts) {
            unlink(place.spot())
        } else {
            self.rescue(name, place.spot(), facts, now)
        }
    }

    /// Moves what has a temporary name without being ours to the versions of the file that it was, as far as its name tells.
    pub(super) fn rescue(
        &self,
        name: &str,
        spot: Spot<'_>,
        facts: &Facts,
        now: Now,
    ) -> Result<(), Failure> {
        if facts.kind == FactsKind::Directory {
            // One that was to take the place of a file, or was displaced by one: nothing is in it.
            match retry(|| fs::unlinkat(spot.folder, spot.last, AtFlags::REMOVEDIR)) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failure("remove directory", errno)),
            }
        }
        let original = original(name);
        let mut touched = Touched::default();
        let room = self.room(&original, local(now), &mut touched)?;
        self.to_version(spot, &room, &original, local(now))
            .map_err(|errno| failure("rename into versions", errno))?;
        touched.add(spot.folder);
        touched.last(self)
    }

    /// Some file systems have no such bit: there every file that was left over counts as somebody's.
    fn learn_marks(&self, made: &OwnedFd) {
        if facts_of_open(made).is_ok_and(|facts| !is_ours(&facts)) {
            self.marks.store(false, Ordering::Relaxed);
        }
    }

    /// Opens a temporary file that is ours, or makes it; gives whether it was there. What is there and not ours goes to the
    /// versions.
    pub(super) fn open_temporary(&self, name: &str, now: Now) -> Result<(OwnedFd, bool), Failure> {
        check_temporary(name)?;
        let place = self
            .firm(name)
            .map_err(|errno| failure("open directory", errno))?;
        match make(place.spot()) {
            Err(Errno::EXIST) => {}
            made => {
                let file = made.map_err(|errno| failure("create", errno))?;
                self.learn_marks(&file);
                return Ok((file, false));
            }
        }
        let _changing = self.change();
        match look_spot(place.spot())? {
            Some(facts) if !is_ours(&facts) => self.rescue(name, place.spot(), &facts, now)?,
            Some(_) => {
                let file = open(place.spot()).map_err(|errno| failure("open", errno))?;
                let facts = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
                if !is_ours(&facts) {
                    return Err(Failure::Unsteady);
                }
                return Ok((file, true));
            }
            None => {}
        }
        let file = make(place.spot()).map_err(|errno| failure("create", errno))?;
        Ok((file, false))
    }
}

/// Opens a temporary file that is there, to write to it; nothing if none is there.
pub(super) fn reopen(root: &Root, spot: Spot<'_>) -> Result<Option<OwnedFd>, Failure> {
    let file = match open(spot) {
        Err(Errno::NOENT) => return Ok(None),
        file => file.map_err(|errno| failure("open", errno))?,
    };
    let facts = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
    let unmarked = facts.kind == FactsKind::File && !root.marks.load(Ordering::Relaxed);
    if is_ours(&facts) || unmarked {
        Ok(Some(file))
    } else {
        Err(Failure::Unsteady)
    }
}

/// Whether it is a file that we made and that never had another name.
pub(super) fn is_ours(facts: &Facts) -> bool {
    facts.kind == FactsKind::File && facts.mode & MARK != 0
}

pub(super) fn make(spot: Spot<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(MARKED);
    retry(|| fs::openat(spot.folder, spot.last, flags, mode))
}

fn open(spot: Spot<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    retry(|| fs::openat(spot.folder, spot.last, flags, Mode::empty()))
}

pub(super) fn unlink(spot: Spot<'_>) -> Result<(), Failure> {
    match retry(|| fs::unlinkat(spot.folder, spot.last, AtFlags::empty())) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failure("remove", errno)),
    }
}

/// The name that a temporary one stands for; where a hash stands in it, the temporary one without its dot.
fn original(name: &str) -> String {
    let folder = folder_of(name);
    let last = last_of(name);
    let middle = last
        .strip_prefix(".syncthing.")
        .or_else(|| last.strip_prefix("~syncthing~"))
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .unwrap_or("");
    let whole = joined(folder, middle);
    if !middle.is_empty() && temporary(&whole, |_| String::new()) == name {
        whole
    } else {
        joined(folder, last.trim_start_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::{Tree, now};
    use super::*;

    #[test]
    fn what_temporary_names_stand_for() {
        assert_eq!(original("d/.syncthing.a.txt.tmp"), "d/a.txt");
        assert_eq!(original(".syncthing.a.tmp"), "a");
        assert_eq!(original("d/.syncthing..tmp"), "d/syncthing..tmp");
    }

    #[test]
    fn only_what_is_ours_is_removed() {
        let tree = Tree::new();
        tree.make("d");
        for name in ["d/.syncthing.a.tmp", "d/.syncthing.b.tmp"] {
            drop(tree.root.open_temporary(name, now()).unwrap());
        }
        tree.write("d/.syncthing.c.txt.tmp", b"displaced");
        let names = ["a", "c.txt", "none"].map(|name| format!("d/.syncthing.{name}.tmp"));
        assert_eq!(tree.root.discard(&names, now()), []);
        assert_eq!(
            tree.names(),
            [".stversions/d/c~20260102-030405.txt", "d/.syncthing.b.tmp"]
        );
        assert_eq!(tree.root.discard(&["d/b".to_owned()], now()).len(), 1);
    }

    #[test]
    fn what_a_stop_left_goes_to_the_versions() {
        let tree = Tree::new();
        drop(
            tree.root
                .open_temporary(".syncthing.old.tmp", now())
                .unwrap(),
        );
        drop(
            tree.root
                .open_temporary(".syncthing.kept.tmp", now())
                .unwrap(),
        );
        tree.write(".syncthing.x.tmp", b"displaced");
        tree.make(".syncthing.y.tmp");
        let found = tree
            .root
            .walk(None, &obhut_sync::ignore::Ignores::default(), &mut |_| true)
            .temporaries;
        assert_eq!(found.len(), 4);
        let mut late = now();
        late.wall.0 = found[0].1.modified.0 + KEPT + 1;
        let kept = |name: &str| name.contains("kept");
        assert_eq!(tree.root.sweep(&found, late, &kept), []);
        let names = tree.names();
        assert_eq!(names.len(), 2);
        assert!(names[0].starts_with(".stversions/x~"), "{names:?}");
        assert_eq!(names[1], ".syncthing.kept.tmp");
        assert!(!tree.path(".syncthing.y.tmp").exists());
    }

    #[test]
    fn a_file_that_is_not_ours_is_never_written_to() {
        let tree = Tree::new();
        tree.write(".syncthing.a.tmp", b"somebody's");
        let (_, there) = tree.root.open_temporary(".syncthing.a.tmp", now()).unwrap();
        assert!(!there);
        assert_eq!(
            tree.read(".stversions/a~20260102-030405").unwrap(),
            b"somebody's"
        );
        assert_eq!(tree.mode(".syncthing.a.tmp"), MARKED);
        let (_, there) = tree.root.open_temporary(".syncthing.a.tmp", now()).unwrap();
        assert!(there);
    }
}
