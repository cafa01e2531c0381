//! Carrying out a group of steps: files last, names change, names last.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use jiff::civil::DateTime;
use obhut_sync::io::{Act, Expected, Facts, FactsKind, Failure, Now, Outcome, Step};
use rustix::fs::{self, AtFlags, Mode, OFlags, Timestamps};

use super::facts::{facts_of_open, is_expected, look_spot};
use super::lasting::{FEW, Touched, sync, sync_all};
use super::root::{Place, Root, check_item, check_temporary, failure, folder_of, gone, retry};
use super::stow::{local, timespec};
use super::temporary::MARKED;

/// Where between the calls of a step somebody else may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// What is there was compared, and nothing is changed yet.
    Looked,
    /// The new item has its name; what was displaced is not compared yet.
    Exchanged,
    /// What was displaced, or removed, lies where it belongs; it is not compared yet, or not again.
    Stowed,
}

/// A group under way.
pub(super) struct Group<'g> {
    pub(super) root: &'g Root,
    pub(super) now: Now,
    pub(super) when: DateTime,
    pub(super) touched: Touched,
    pub(super) between: &'g mut dyn FnMut(Moment, &str),
}

/// A temporary file that is fit for its name.
struct Fit {
    facts: Facts,
    /// Still to be synced.
    file: Option<OwnedFd>,
}

impl Root {
    /// Carries out steps in order, and makes them last. If a sync failed, all have.
    pub fn apply(&self, steps: &[Step], now: Now) -> Vec<Outcome> {
        self.apply_between(steps, now, &mut |_, _| {})
    }

    /// The same; `between` is called where somebody else could come in, with the name of the step.
    pub fn apply_between(
        &self,
        steps: &[Step],
        now: Now,
        between: &mut dyn FnMut(Moment, &str),
    ) -> Vec<Outcome> {
        let _changing = self.change();
        let fits = match self.fit_all(steps) {
            Ok(fits) => fits,
            Err(failure) => {
                self.forget(steps);
                return vec![Outcome::Failed(failure); steps.len()];
            }
        };
        let mut group = Group {
            root: self,
            now,
            when: local(now),
            touched: Touched::default(),
            between,
        };
        let mut outcomes = Vec::with_capacity(steps.len());
        for (step, fit) in steps.iter().zip(&fits) {
            let outcome = match fit {
                Some(Err(failure)) => Err(failure.clone()),
                Some(Ok(fit)) => group.step(step, Some(&fit.facts)),
                None => group.step(step, None),
            };
            outcomes.push(outcome.unwrap_or_else(Outcome::Failed));
        }
        let synced = group.touched.last(self);
        for ((step, fit), outcome) in steps.iter().zip(fits).zip(&outcomes) {
            let placed = matches!(outcome, Outcome::Done(_) | Outcome::Raced { .. });
            if let (Act::File { temporary, .. }, Some(Ok(fit)), false) = (&step.act, fit, placed) {
                self.mark_again(temporary, &fit.facts);
            }
        }
        match synced {
            Ok(()) => outcomes,
            Err(failure) => vec![Outcome::Failed(failure); steps.len()],
        }
    }

    /// Gives all temporary files their mode and time, and makes them last.
    fn fit_all(&self, steps: &[Step]) -> Result<Vec<Option<Result<Fit, Failure>>>, Failure> {
        let files = steps
            .iter()
            .filter(|step| matches!(step.act, Act::File { .. }));
        let many = files.count() >= FEW;
        let mut whole = false;
        let mut fits = Vec::with_capacity(steps.len());
        for step in steps {
            let fit = self.fit(step);
            if let Some(Ok(mut fit)) = fit {
                let own = fit.facts.device == self.device;
                if let Some(file) = fit.file.take_if(|_| many) {
                    whole |= own;
                    if !own {
                        sync(&file)?;
                    }
                }
                fits.push(Some(Ok(fit)));
            } else {
                fits.push(fit);
            }
        }
        if whole {
            sync_all(self)?;
        }
        for fit in fits.iter_mut().flatten().flatten() {
            if let Some(file) = fit.file.take() {
                sync(&file)?;
            }
        }
        Ok(fits)
    }

    /// Gives a temporary file its mode and time; from then on it has no mark.
    fn fit(&self, step: &Step) -> Option<Result<Fit, Failure>> {
        let Act::File {
            temporary,
            mode,
            modified,
        } = &step.act
        else {
            return None;
        };
        let kept = match &step.expected {
            Expected::Item(facts) if facts.kind == FactsKind::File => Some(facts.mode & 0o777),
            _ => None,
        };
        let mode = mode.or(kept).unwrap_or_else(usual_mode);
        Some(self.fit_one(&step.name, temporary, mode, *modified))
    }

    fn fit_one(
        &self,
        name: &str,
        temporary: &str,
        mode: u32,
        modified: (i64, i32),
    ) -> Result<Fit, Failure> {
        check_temporary(temporary)?;
        if folder_of(temporary) != folder_of(name) {
            return Err(Failure::Other(
                "a temporary file of another directory".into(),
            ));
        }
        let file = self
            .open_file(temporary)
            .map_err(|errno| failure("open", errno))?;
        let facts = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
        if facts.kind != FactsKind::File {
            return Err(Failure::Other("the temporary file is no file".into()));
        }
        fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))
            .map_err(|errno| failure("set mode", errno))?;
        fs::futimens(&file, &times(modified)).map_err(|errno| failure("set time", errno))?;
        let facts = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
        Ok(Fit {
            facts,
            file: Some(file),
        })
    }

    /// A temporary file that did not get its name is one to be gathered again.
    fn mark_again(&self, temporary: &str, facts: &Facts) {
        let Ok(file) = self.open_file(temporary) else {
            return;
        };
        let same = facts_of_open(&file)
            .is_ok_and(|found| (found.device, found.inode) == (facts.device, facts.inode));
        if same {
            let _ = fs::fchmod(&file, Mode::from_raw_mode(MARKED));
        }
    }

    /// After a sync that failed nobody knows what of a group's files is on the disk: they go.
    fn forget(&self, steps: &[Step]) {
        for step in steps {
            if let Act::File { temporary, .. } = &step.act
                && check_temporary(temporary).is_ok()
                && let Ok(place) = self.place(temporary)
            {
                let _ = fs::unlinkat(&place.directory, place.last, AtFlags::empty());
            }
        }
    }
}

impl Group<'_> {
    fn step(&mut self, step: &Step, fit: Option<&Facts>) -> Result<Outcome, Failure> {
        check_item(&step.name)?;
        if matches!(step.expected, Expected::Item(_)) && displaces(&step.act) {
            check_item(&step.copy)?;
            if folder_of(&step.copy) != folder_of(&step.name) {
                return Err(Failure::Other("a copy in another directory".into()));
            }
        }
        let place = self
            .root
            .firm(&step.name)
            .map_err(|errno| failure("open directory", errno))?;
        let found = look_spot(place.spot())?;
        if !is_expected(found.as_ref(), &step.expected) {
            return Ok(Outcome::Changed(found));
        }
        match &step.act {
            Act::Directory { mode } => self.directory(step, &place, *mode),
            Act::Link { target } => self.link(step, &place, target),
            Act::File { temporary, .. } => {
                let new = fit.ok_or(Failure::Gone)?;
                let last = super::root::last_of(temporary);
                self.put(step, &place, last, new)
            }
            Act::Move {
                from,
                facts,
                mode,
                modified,
            } => self.rename(step, &place, (from, facts), *mode, *modified),
            Act::Facts { mode, modified } => match &step.expected {
                Expected::Nothing => Err(Failure::Gone),
                Expected::Item(facts) => self.repair(&place, facts, *mode, *modified),
            },
            Act::Remove => match &step.expected {
                Expected::Nothing => Ok(Outcome::Done(None)),
                Expected::Item(facts) if facts.kind == FactsKind::Directory => {
                    self.remove_directory(step, &place)
                }
                Expected::Item(facts) => self.remove(step, &place, facts),
            },
        }
    }

    /// Sets mode and time of what is there, if it is still that.
    fn repair(
        &mut self,
        place: &Place<'_>,
        facts: &Facts,
        mode: Option<u32>,
        modified: Option<(i64, i32)>,
    ) -> Result<Outcome, Failure> {
        if matches!(facts.kind, FactsKind::File | FactsKind::Directory)
            && !self.set(place, facts, mode, modified)?
        {
            return Ok(Outcome::Changed(look_spot(place.spot())?));
        }
        Ok(Outcome::Done(look_spot(place.spot())?))
    }

    /// Sets mode and, of a file, time, through a handle on exactly the file or directory that is meant; false if it is
    /// another one by now.
    pub(super) fn set(
        &mut self,
        place: &Place<'_>,
        facts: &Facts,
        mode: Option<u32>,
        modified: Option<(i64, i32)>,
    ) -> Result<bool, Failure> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match retry(|| fs::openat(&place.directory, place.last, flags, Mode::empty()))
        {
            Err(errno) if gone(errno) => return Ok(false),
            handle => handle.map_err(|errno| failure("open", errno))?,
        };
        let found = facts_of_open(&handle).map_err(|errno| failure("look", errno))?;
        if (found.kind, found.device, found.inode) != (facts.kind, facts.device, facts.inode) {
            return Ok(false);
        }
        // Such a handle needs no permission to read, but is good for nothing else: this is the way from it to the file.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle));
        if let Some(mode) = mode {
            retry(|| fs::chmod(&*path, Mode::from_raw_mode(mode & 0o777)))
                .map_err(|errno| failure("set mode", errno))?;
        }
        if let Some(modified) = modified.filter(|_| facts.kind == FactsKind::File) {
            fs::utimensat(fs::CWD, &*path, &times(modified), AtFlags::empty())
                .map_err(|errno| failure("set time", errno))?;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        // One that may not be read cannot be synced: its mode and time last with the next one that can, or are set again.
        if let Ok(readable) = retry(|| fs::openat(fs::CWD, &*path, flags, Mode::empty())) {
            self.touched.add(&readable);
        }
        Ok(true)
    }
}

/// Whether an act may take something away.
fn displaces(act: &Act) -> bool {
    matches!(
        act,
        Act::Directory { .. } | Act::Link { .. } | Act::File { .. } | Act::Remove
    )
}

fn times(modified: (i64, i32)) -> Timestamps {
    Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        last_modification: timespec(modified),
    }
}

/// The mode of a file that nobody said one for. The umask can be asked for only by setting it, or here.
fn usual_mode() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    let umask = UMASK.get_or_init(|| {
        std::fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("Umask:"))?;
                u32::from_str_radix(line.trim(), 8).ok()
            })
            .unwrap_or(0o022)
    });
    0o666 & !umask
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests;
