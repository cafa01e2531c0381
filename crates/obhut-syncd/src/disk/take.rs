//! Taking something away: by rename, then a comparison. What is not what was expected goes back, or lies beside its place.

use std::os::fd::OwnedFd;

use obhut_core::id::Id;
use obhut_sync::internal::{is_temporary, temporary};
use obhut_sync::io::{Displaced, Facts, FactsKind, Failure, Outcome, Step};
use rustix::fs::{self, AtFlags, Dir, OFlags};
use rustix::io::Errno;

use super::apply::{Group, Moment};
use super::facts::{equal, look_spot, same_moved};
use super::names::numbered;
use super::root::{Place, Spot, below, failure, folder_of, gone, joined, last_of, retry};
use super::stow::{date, stowed};
use super::temporary::is_ours;

/// So many names of a directory are said that cannot be removed.
const SHOWN: usize = 100;

/// Where something was put.
struct Put {
    /// Another directory than that of the item.
    folder: Option<OwnedFd>,
    last: String,
}

/// What came of taking something away.
pub(super) enum Away {
    /// It was what was expected, and lies where it belongs.
    Kept,
    /// It was something else, and lies beside its place.
    Beside(String),
    /// It is a directory that is not empty, and is where it was.
    NotEmpty(Vec<String>),
    /// It was something else and is back in its place, or there was nothing.
    Back(Option<Facts>),
}

impl Group<'_> {
    pub(super) fn remove(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        expected: &Facts,
    ) -> Result<Outcome, Failure> {
        let room = self.room_of(step, expected)?;
        (self.between)(Moment::Looked, &step.name);
        self.touched.add(&place.directory);
        Ok(
            match self.take_away(step, place.spot(), expected, room, Some(place.spot()))? {
                // Whatever is there now came after: the next look finds it.
                Away::Kept => Outcome::Done(None),
                Away::Back(found) => Outcome::Changed(found),
                Away::NotEmpty(names) => Outcome::NotEmpty(names),
                Away::Beside(copy) => Outcome::Raced {
                    now: look_spot(place.spot())?,
                    copy,
                },
            },
        )
    }

    /// Moves something to where it belongs, and compares it there with what was expected. What is something else goes back to
    /// where it came from, if `back` says so and that is free; beside its place otherwise.
    pub(super) fn take_away(
        &mut self,
        step: &Step,
        from: Spot<'_>,
        expected: &Facts,
        room: Option<OwnedFd>,
        back: Option<Spot<'_>>,
    ) -> Result<Away, Failure> {
        let Some(found) = look_spot(from)? else {
            return Ok(Away::Back(None));
        };
        let is_it = if back.is_some() {
            equal(&found, expected)
        } else {
            fits(&found, expected)
        };
        match (is_it, back) {
            (true, _) if expected.kind == FactsKind::Directory => {
                return empty_away(&step.name, from);
            }
            (true, _) => {}
            (false, Some(_)) => return Ok(Away::Back(Some(found))),
            (false, None) => return self.beside(from, from.folder, step).map(Away::Beside),
        }
        let put = match self.move_away(step, from, room, back.is_none()) {
            Err(errno) if errno == Errno::NOENT => return Ok(Away::Back(look_spot(from)?)),
            put => put.map_err(|errno| failure("move away", errno))?,
        };
        (self.between)(Moment::Stowed, &step.name);
        let at = Spot {
            folder: put.folder.as_ref().unwrap_or(from.folder),
            last: &put.last,
        };
        match stowed(at)? {
            Some(found) if !fits(&found, expected) => self.give_back(step, at, from, back),
            _ => {
                self.finish(step, at);
                Ok(Away::Kept)
            }
        }
    }

    /// What was moved away and is not what was expected.
    fn give_back(
        &mut self,
        step: &Step,
        at: Spot<'_>,
        from: Spot<'_>,
        back: Option<Spot<'_>>,
    ) -> Result<Away, Failure> {
        if let Some(back) = back {
            match self
                .root
                .rename_free(at.folder, at.last, back.folder, back.last)
            {
                Ok(()) => return Ok(Away::Back(look_spot(back)?)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failure("put back", errno)),
            }
        }
        if step.displaced == Displaced::Conflict {
            return Ok(Away::Beside(joined(folder_of(&step.name), at.last)));
        }
        self.beside(at, from.folder, step).map(Away::Beside)
    }

    /// The last of what was to go.
    fn finish(&self, step: &Step, at: Spot<'_>) {
        match step.displaced {
            // If it stays, the next sweep finds it.
            Displaced::Drop => drop(fs::unlinkat(at.folder, at.last, AtFlags::empty())),
            Displaced::Trash => date(at, self.now),
            Displaced::Version | Displaced::Conflict => {}
        }
    }

    /// Moves to versions, trash or copy; what is to be dropped to a temporary name, unless it has one.
    fn move_away(
        &mut self,
        step: &Step,
        from: Spot<'_>,
        room: Option<OwnedFd>,
        temporary: bool,
    ) -> Result<Put, Errno> {
        let last = match (step.displaced, &room) {
            (Displaced::Version, Some(room)) => {
                self.root.to_version(from, room, &step.name, self.when)?
            }
            (Displaced::Trash, Some(room)) => {
                self.root.to_trash(from, room, &step.name, self.when)?
            }
            (Displaced::Conflict, _) => {
                last_of(&self.root.to_copy(from, from.folder, &step.copy)?).to_owned()
            }
            _ if temporary => from.last.to_owned(),
            _ => self
                .root
                .rename_first_free(from.folder, from.last, from.folder, |number| {
                    Some(aside_name(&step.name, number))
                })?,
        };
        Ok(Put { folder: room, last })
    }

    /// Moves something beside the place of a step; gives its name there.
    pub(super) fn beside(
        &mut self,
        from: Spot<'_>,
        folder: &OwnedFd,
        step: &Step,
    ) -> Result<String, Failure> {
        let copy = self
            .root
            .to_copy(from, folder, &step.copy)
            .map_err(|errno| failure("move beside", errno))?;
        self.touched.add(folder);
        Ok(copy)
    }

    /// Where versions of the item lie, if what is displaced goes there.
    pub(super) fn room_of(
        &mut self,
        step: &Step,
        expected: &Facts,
    ) -> Result<Option<OwnedFd>, Failure> {
        let versions = matches!(step.displaced, Displaced::Version | Displaced::Trash);
        if !versions || expected.kind == FactsKind::Directory {
            return Ok(None);
        }
        let room = self.root.room(&step.name, self.when, &mut self.touched);
        room.map(Some)
    }

    pub(super) fn remove_directory(
        &mut self,
        step: &Step,
        place: &Place<'_>,
    ) -> Result<Outcome, Failure> {
        (self.between)(Moment::Looked, &step.name);
        let outcome = match empty_away(&step.name, place.spot())? {
            Away::NotEmpty(names) => Outcome::NotEmpty(names),
            Away::Back(found) => Outcome::Changed(found),
            Away::Kept | Away::Beside(_) => Outcome::Done(None),
        };
        self.touched.add(&place.directory);
        Ok(outcome)
    }
}

/// Removes a directory if nothing is in it but temporary files of ours.
fn empty_away(name: &str, spot: Spot<'_>) -> Result<Away, Failure> {
    for _ in 0..2 {
        match retry(|| fs::unlinkat(spot.folder, spot.last, AtFlags::REMOVEDIR)) {
            Ok(()) => return Ok(Away::Kept),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) if gone(errno) => return Ok(Away::Back(look_spot(spot)?)),
            Err(errno) => return Err(failure("remove directory", errno)),
        }
        if let Some(names) = left_in(spot, name)? {
            return Ok(Away::NotEmpty(names));
        }
    }
    Ok(Away::NotEmpty(Vec::new()))
}

/// Names in a directory, if it is not empty. Temporary files of ours go where nothing else is in it.
pub(super) fn left_in(spot: Spot<'_>, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let words = |errno| failure("read directory", errno);
    let directory = below(spot.folder, spot.last, OFlags::RDONLY).map_err(words)?;
    let (mut names, mut ours) = (Vec::new(), Vec::new());
    for entry in Dir::read_from(&directory).map_err(words)? {
        let entry = entry.map_err(words)?;
        let last = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
        if last == "." || last == ".." {
            continue;
        }
        let inside = Spot {
            folder: &directory,
            last: &last,
        };
        if is_temporary(&last) && look_spot(inside)?.is_some_and(|facts| is_ours(&facts)) {
            ours.push(last);
        } else if names.len() < SHOWN {
            names.push(joined(name, &last));
        }
    }
    if !names.is_empty() {
        names.sort_unstable();
        return Ok(Some(names));
    }
    for last in ours {
        let _ = fs::unlinkat(&directory, last, AtFlags::empty());
    }
    Ok(None)
}

/// Whether something that was renamed is what was expected.
fn fits(found: &Facts, expected: &Facts) -> bool {
    same_moved(found, expected) || found.kind == FactsKind::Directory && equal(found, expected)
}

/// A temporary name beside an item.
pub(super) fn aside_name(name: &str, number: u32) -> String {
    let last = numbered(last_of(name), number);
    temporary(&last, |last| Id::of(last.as_bytes()).hex())
}
