//! The acts that give names. Each either changes nothing or leaves everything that was there under some name.

use std::os::fd::OwnedFd;

use obhut_sync::io::{Expected, Facts, FactsKind, Failure, Outcome, Step};
use rustix::fs::{self, AtFlags, Mode};
use rustix::io::Errno;

use super::apply::{Group, Moment};
use super::facts::{equal, is_expected, look_spot, same_moved};
use super::root::{Place, Spot, check_item, failure, os, retry, unknown};
use super::take::{Away, aside_name, left_in};

/// Temporary names that are tried.
const TRIES: u32 = 100;

impl Group<'_> {
    pub(super) fn directory(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        mode: Option<u32>,
    ) -> Result<Outcome, Failure> {
        let raw = Mode::from_raw_mode(mode.unwrap_or(0o777) & 0o777);
        if let Expected::Item(facts) = &step.expected {
            if facts.kind == FactsKind::Directory {
                if mode.is_some() && !self.set(place, facts, mode, None)? {
                    return Ok(Outcome::Changed(look_spot(place.spot())?));
                }
                return Ok(Outcome::Done(look_spot(place.spot())?));
            }
            let last = self.aside(step, place, |last| fs::mkdirat(&place.directory, last, raw))?;
            return self.put_aside(step, place, &last, mode);
        }
        (self.between)(Moment::Looked, &step.name);
        match retry(|| fs::mkdirat(&place.directory, place.last, raw)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Outcome::Changed(look_spot(place.spot())?)),
            Err(errno) => return Err(failure("make directory", errno)),
        }
        self.touched.add(&place.directory);
        self.made(place, FactsKind::Directory, mode)
    }

    pub(super) fn link(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        target: &[u8],
    ) -> Result<Outcome, Failure> {
        if target.is_empty() || target.contains(&0) {
            return Err(Failure::Other("a link that points nowhere".into()));
        }
        let make = |last: &str| fs::symlinkat(os(target), &place.directory, last);
        if matches!(step.expected, Expected::Item(_)) {
            let last = self.aside(step, place, make)?;
            return self.put_aside(step, place, &last, None);
        }
        (self.between)(Moment::Looked, &step.name);
        match retry(|| make(place.last)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Outcome::Changed(look_spot(place.spot())?)),
            Err(errno) => return Err(failure("make link", errno)),
        }
        self.touched.add(&place.directory);
        self.made(place, FactsKind::Symlink, None)
    }

    /// What was just made; or what somebody else put there since.
    fn made(
        &mut self,
        place: &Place<'_>,
        kind: FactsKind,
        mode: Option<u32>,
    ) -> Result<Outcome, Failure> {
        let Some(facts) = look_spot(place.spot())?.filter(|facts| facts.kind == kind) else {
            return Ok(Outcome::Changed(look_spot(place.spot())?));
        };
        // The umask took bits away.
        if mode.is_some_and(|mode| mode & 0o777 != facts.mode & 0o777) {
            self.set(place, &facts, mode, None)?;
            return Ok(Outcome::Done(look_spot(place.spot())?));
        }
        Ok(Outcome::Done(Some(facts)))
    }

    /// Makes something under a temporary name, to swap it in.
    fn aside(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        make: impl Fn(&str) -> Result<(), Errno>,
    ) -> Result<String, Failure> {
        self.touched.add(&place.directory);
        for number in 0..TRIES {
            let last = aside_name(&step.name, number);
            match retry(|| make(&last)) {
                Ok(()) => return Ok(last),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failure("make aside", errno)),
            }
        }
        Err(Failure::Other("no temporary name is free".into()))
    }

    /// Puts what was made aside in its place, or removes it.
    fn put_aside(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        last: &str,
        mode: Option<u32>,
    ) -> Result<Outcome, Failure> {
        let aside = Spot {
            folder: &place.directory,
            last,
        };
        let mut new = look_spot(aside)?.ok_or(Failure::Unsteady)?;
        if mode.is_some() {
            let there = Place {
                directory: clone(&place.directory)?,
                last,
            };
            self.set(&there, &new, mode, None)?;
            new = look_spot(aside)?.ok_or(Failure::Unsteady)?;
        }
        let outcome = self.put(step, place, last, &new);
        let placed = matches!(outcome, Ok(Outcome::Done(_) | Outcome::Raced { .. }));
        if !placed && look_spot(aside)?.is_some_and(|found| same_moved(&found, &new)) {
            let flags = if new.kind == FactsKind::Directory {
                AtFlags::REMOVEDIR
            } else {
                AtFlags::empty()
            };
            let _ = fs::unlinkat(aside.folder, aside.last, flags);
        }
        outcome
    }

    /// Gives what has a temporary name beside the item the item's name.
    pub(super) fn put(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        last: &str,
        new: &Facts,
    ) -> Result<Outcome, Failure> {
        let aside = Spot {
            folder: &place.directory,
            last,
        };
        match &step.expected {
            Expected::Nothing => {
                (self.between)(Moment::Looked, &step.name);
                self.put_free(place, aside, new)
            }
            Expected::Item(expected) => self.replace(step, place, expected, aside, new),
        }
    }

    fn put_free(
        &mut self,
        place: &Place<'_>,
        aside: Spot<'_>,
        new: &Facts,
    ) -> Result<Outcome, Failure> {
        let folder = &place.directory;
        match self
            .root
            .rename_free(folder, aside.last, folder, place.last)
        {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Outcome::Changed(look_spot(place.spot())?)),
            Err(errno) => return Err(failure("rename", errno)),
        }
        self.touched.add(folder);
        Ok(Outcome::Done(Some(placed(place, new))))
    }

    /// Swaps the new item and the present one, and then sees what the present one was.
    fn replace(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        expected: &Facts,
        aside: Spot<'_>,
        new: &Facts,
    ) -> Result<Outcome, Failure> {
        if expected.kind == FactsKind::Directory
            && let Some(names) = left_in(place.spot(), &step.name)?
        {
            return Ok(Outcome::NotEmpty(names));
        }
        let room = self.room_of(step, expected)?;
        (self.between)(Moment::Looked, &step.name);
        match self.root.exchange(&place.directory, aside.last, place.last) {
            Ok(()) => {}
            Err(Errno::NOENT) => return changed_or_gone(place, &step.expected),
            Err(errno) if unknown(errno) => {
                return self.replace_in_two(step, place, expected, aside, new, room);
            }
            Err(errno) => return Err(failure("exchange", errno)),
        }
        self.touched.add(&place.directory);
        (self.between)(Moment::Exchanged, &step.name);
        match self.take_away(step, aside, expected, room, None) {
            Ok(Away::Kept | Away::Back(_)) => Ok(Outcome::Done(Some(placed(place, new)))),
            Ok(Away::Beside(copy)) => Ok(Outcome::Raced {
                now: Some(placed(place, new)),
                copy,
            }),
            Ok(Away::NotEmpty(names)) => {
                self.undo(step, place, aside, new)?;
                Ok(Outcome::NotEmpty(names))
            }
            Err(failure) => {
                self.undo(step, place, aside, new)?;
                Err(failure)
            }
        }
    }

    /// Swaps back. What somebody put in the place meanwhile goes beside it.
    fn undo(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        aside: Spot<'_>,
        new: &Facts,
    ) -> Result<(), Failure> {
        let folder = &place.directory;
        match self.root.exchange(folder, aside.last, place.last) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                let back = self
                    .root
                    .rename_free(folder, aside.last, folder, place.last);
                return back.map_err(|errno| failure("put back", errno));
            }
            Err(errno) => return Err(failure("put back", errno)),
        }
        match look_spot(aside)? {
            Some(found) if !same_moved(&found, new) => self.beside(aside, folder, step).map(drop),
            _ => Ok(()),
        }
    }

    /// The way of file systems that do not swap names: the old one away, then the new one in its place.
    fn replace_in_two(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        expected: &Facts,
        aside: Spot<'_>,
        new: &Facts,
        room: Option<OwnedFd>,
    ) -> Result<Outcome, Failure> {
        self.touched.add(&place.directory);
        if look_spot(aside)?.is_none() {
            return Err(Failure::Gone);
        }
        match self.take_away(step, place.spot(), expected, room, Some(place.spot()))? {
            Away::Kept => self.put_free(place, aside, new),
            Away::Back(found) => Ok(Outcome::Changed(found)),
            Away::NotEmpty(names) => Ok(Outcome::NotEmpty(names)),
            Away::Beside(copy) => Ok(Outcome::Raced {
                now: look_spot(place.spot())?,
                copy,
            }),
        }
    }

    /// Gives a file that is there another name, mode and time.
    pub(super) fn rename(
        &mut self,
        step: &Step,
        place: &Place<'_>,
        (from, facts): (&str, &Facts),
        mode: Option<u32>,
        modified: (i64, i32),
    ) -> Result<Outcome, Failure> {
        check_item(from)?;
        if step.expected != Expected::Nothing {
            return Err(Failure::Other("a file is moved to a free name only".into()));
        }
        let source = self
            .root
            .firm(from)
            .map_err(|errno| failure("open directory", errno))?;
        if !look_spot(source.spot())?.is_some_and(|found| equal(&found, facts)) {
            return Ok(Outcome::Changed(None));
        }
        (self.between)(Moment::Looked, &step.name);
        let (old, new) = (&source.directory, &place.directory);
        match self.root.rename_free(old, source.last, new, place.last) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOENT) => {
                return Ok(Outcome::Changed(look_spot(place.spot())?));
            }
            Err(errno) => return Err(failure("rename", errno)),
        }
        self.touched.add(old);
        self.touched.add(new);
        (self.between)(Moment::Exchanged, &step.name);
        match look_spot(place.spot())? {
            Some(found) if same_moved(&found, facts) => {
                self.set(place, facts, mode, Some(modified))?;
                Ok(Outcome::Done(look_spot(place.spot())?))
            }
            None => Ok(Outcome::Changed(None)),
            Some(found) => self.rename_back(&source, place, found),
        }
    }

    /// What was moved is not what was meant. If its name is taken by now it stays where it is: a new file for everybody.
    fn rename_back(
        &mut self,
        source: &Place<'_>,
        place: &Place<'_>,
        found: Facts,
    ) -> Result<Outcome, Failure> {
        let (old, new) = (&source.directory, &place.directory);
        match self.root.rename_free(new, place.last, old, source.last) {
            Ok(()) => Ok(Outcome::Changed(look_spot(place.spot())?)),
            Err(Errno::EXIST) => Ok(Outcome::Changed(Some(found))),
            Err(errno) => Err(failure("put back", errno)),
        }
    }
}

/// The facts of what was put in a place. If something else is there by now they are older than that, so that the next look
/// finds it.
fn placed(place: &Place<'_>, new: &Facts) -> Facts {
    match look_spot(place.spot()) {
        Ok(Some(found)) if same_moved(&found, new) => found,
        _ => new.clone(),
    }
}

/// One of two names is gone: the item's own, or the new one's.
fn changed_or_gone(place: &Place<'_>, expected: &Expected) -> Result<Outcome, Failure> {
    let found = look_spot(place.spot())?;
    if is_expected(found.as_ref(), expected) {
        return Err(Failure::Gone);
    }
    Ok(Outcome::Changed(found))
}

fn clone(handle: &OwnedFd) -> Result<OwnedFd, Failure> {
    handle
        .try_clone()
        .map_err(|error| Failure::Other(error.to_string()))
}
