//! What is kept below `.stversions`: listed, put back, thinned out.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use obhut_bep::{ShortId, check_name};
use obhut_sync::config;
use obhut_sync::conflict::copy_name;
use obhut_sync::io::{Act, Displaced, Expected, FactsKind, Failure, Now, Outcome, Step};
use obhut_sync::versions::{surplus, untagged};
use rustix::fs::{self, AtFlags, Dir, OFlags};
use rustix::io::Errno;

use super::facts::{facts_of_open, look_at, look_spot};
use super::gather::{copy, write_at};
use super::hash::read_at;
use super::lasting::Touched;
use super::root::{Root, Spot, check_item, failure, folder_of, gone, joined, retry};
use super::stow::{VERSIONS, local};
use super::take::aside_name;
use super::temporary::{make, unlink};

/// Bytes that are copied at a time where the system does not do it.
const PIECE: usize = 1 << 20;
/// The mode of a directory that a file comes back into, before the umask.
const FOLDER: u32 = 0o777;
/// Temporary names that are tried.
const TRIES: u32 = 100;

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The file.
    pub name: String,
    /// The version's own name, below `.stversions`.
    pub version: String,
    /// When it was put there, by this place's clock; nothing in the trash, where `modified` says it.
    pub at: Option<DateTime>,
    /// Bytes.
    pub size: u64,
    /// Time of its last change.
    pub modified: (i64, i32),
}

impl Root {
    /// All versions, in order of their names; or those of a file, or of what was below a directory.
    pub fn versions(&self, of: Option<&str>) -> Result<Vec<Version>, Failure> {
        if let Some(name) = of {
            check_item(name)?;
        }
        let mut found = self.all_versions(&mut Vec::new())?;
        if let Some(of) = of {
            let inside = format!("{of}/");
            found.retain(|version| version.name == of || version.name.starts_with(&inside));
        }
        Ok(found)
    }

    fn all_versions(&self, folders: &mut Vec<String>) -> Result<Vec<Version>, Failure> {
        let mut found = Vec::new();
        let mut ahead = vec![String::new()];
        while let Some(folder) = ahead.pop() {
            match self.versions_in(&folder, &mut ahead, &mut found) {
                Err(errno) if !gone(errno) => return Err(failure("read versions", errno)),
                _ => folders.push(folder),
            }
        }
        found.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(found)
    }

    fn versions_in(
        &self,
        folder: &str,
        ahead: &mut Vec<String>,
        found: &mut Vec<Version>,
    ) -> Result<(), Errno> {
        let directory = self.below(
            joined(VERSIONS, folder).trim_end_matches('/'),
            OFlags::RDONLY,
        )?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let last = match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => continue,
                Ok(last) => last,
            };
            let Some(facts) = look_at(&directory, last)? else {
                continue;
            };
            let version = joined(folder, last);
            match facts.kind {
                FactsKind::Directory => ahead.push(version),
                FactsKind::Other => {}
                FactsKind::File | FactsKind::Symlink => {
                    let (name, at) = match untagged(&version) {
                        Some((name, at)) => (name, Some(at)),
                        None => (version.clone(), None),
                    };
                    found.push(Version {
                        name,
                        version,
                        at,
                        size: facts.size,
                        modified: facts.modified,
                    });
                }
            }
        }
        Ok(())
    }

    /// Puts a version in the place of the file; what is there now goes to the versions first. The version stays: it is copied.
    /// `into` is another name for it, which has to be free. Should somebody write meanwhile, the name of the copy says that
    /// no device did it.
    pub fn restore(&self, version: &str, into: Option<&str>, now: Now) -> Result<Outcome, Failure> {
        check_name(version).map_err(|error| Failure::Other(error.to_string()))?;
        let before = || untagged(version).map_or_else(|| version.to_owned(), |(name, _)| name);
        let name = into.map_or_else(before, str::to_owned);
        check_item(&name)?;
        let kept = joined(VERSIONS, version);
        let facts = self.look(&kept)?.ok_or(Failure::Gone)?;
        let mut touched = Touched::default();
        let mut made = |handle: OwnedFd| touched.add(&handle);
        let folder = self
            .make_parents(folder_of(&name), FOLDER, &mut made)
            .map_err(|errno| failure("make", errno))?;
        touched.last(self)?;
        let (act, temporary) = match facts.kind {
            FactsKind::File => {
                let temporary = self.copied(&kept, &folder, &name)?;
                let act = Act::File {
                    temporary: joined(folder_of(&name), &temporary),
                    mode: Some(facts.mode & 0o777),
                    modified: facts.modified,
                };
                (act, Some(temporary))
            }
            FactsKind::Symlink => (
                Act::Link {
                    target: facts.target,
                },
                None,
            ),
            _ => return Err(Failure::Gone),
        };
        let step = Step {
            expected: match into {
                Some(_) => Expected::Nothing,
                None => self.look(&name)?.map_or(Expected::Nothing, Expected::Item),
            },
            act,
            displaced: Displaced::Version,
            copy: copy_name(&name, local(now), ShortId::default()),
            name,
        };
        let outcome = self.apply(&[step], now).pop().ok_or(Failure::Gone)?;
        let placed = matches!(outcome, Outcome::Done(_) | Outcome::Raced { .. });
        if let (false, Some(last)) = (placed, &temporary) {
            discard(&folder, last);
        }
        Ok(outcome)
    }

    /// A copy of a version under a temporary name that nobody else uses; gives its last part.
    fn copied(&self, kept: &str, folder: &OwnedFd, name: &str) -> Result<String, Failure> {
        let from = self
            .open_file(kept)
            .map_err(|errno| failure("open version", errno))?;
        // The first of these names is for what is gathered.
        for number in 1..TRIES {
            let last = aside_name(name, number);
            let spot = Spot {
                folder,
                last: &last,
            };
            let to = match make(spot) {
                Err(Errno::EXIST) => continue,
                to => to.map_err(|errno| failure("create", errno))?,
            };
            if let Err(failure) = copy_whole(&from, &to) {
                let _ = unlink(spot);
                return Err(failure);
            }
            return Ok(last);
        }
        Err(Failure::Other("no temporary name is free".into()))
    }

    /// Removes versions that are too many or too old, and directories in which nothing is left; says how many went, and what
    /// could not be removed.
    pub fn prune(
        &self,
        keep: config::Versions,
        now: Now,
    ) -> Result<(usize, Vec<(String, Failure)>), Failure> {
        if keep == config::Versions::None {
            return Ok((0, Vec::new()));
        }
        let mut folders = Vec::new();
        let all = self.all_versions(&mut folders)?;
        let (mut count, mut failed) = (0, Vec::new());
        for version in outdated(&all, keep, now) {
            match self.remove_version(version) {
                Ok(()) => count += 1,
                Err(failure) => failed.push((version.to_owned(), failure)),
            }
        }
        if count > 0 {
            self.remove_empty(&folders);
        }
        Ok((count, failed))
    }

    fn remove_version(&self, version: &str) -> Result<(), Failure> {
        let name = joined(VERSIONS, version);
        let place = self
            .place(&name)
            .map_err(|errno| failure("open directory", errno))?;
        unlink(place.spot())
    }

    /// Parents stand before what is in them. While a group is carried out it may count on a directory that is empty.
    fn remove_empty(&self, folders: &[String]) {
        let _changing = self.change();
        for folder in folders.iter().rev().filter(|folder| !folder.is_empty()) {
            if let Ok(place) = self.place(&joined(VERSIONS, folder)) {
                let _ = retry(|| fs::unlinkat(&place.directory, place.last, AtFlags::REMOVEDIR));
            }
        }
    }
}

/// Which versions go.
fn outdated(all: &[Version], keep: config::Versions, now: Now) -> Vec<&str> {
    let seconds = |at: DateTime| {
        Offset::UTC
            .to_timestamp(at)
            .map_or(0, jiff::Timestamp::as_second)
    };
    let here = seconds(local(now));
    match keep {
        config::Versions::None => Vec::new(),
        config::Versions::Trash { max_age } => {
            let age = |version: &Version| match version.at {
                Some(at) => here.saturating_sub(seconds(at)),
                None => now.wall.0.saturating_sub(version.modified.0),
            };
            let gone = all.iter().filter(|one| max_age > 0 && age(one) > max_age);
            gone.map(|one| one.version.as_str()).collect()
        }
        config::Versions::Tagged(keep) => {
            let mut files: BTreeMap<&str, Vec<(&str, i64)>> = BTreeMap::new();
            for one in all {
                if let Some(at) = one.at {
                    let versions = files.entry(&one.name).or_default();
                    versions.push((&one.version, seconds(at)));
                }
            }
            let mut gone = Vec::new();
            for versions in files.values() {
                let times: Vec<i64> = versions.iter().map(|(_, time)| *time).collect();
                gone.extend(
                    surplus(&times, here, keep)
                        .into_iter()
                        .map(|at| versions[at].0),
                );
            }
            gone
        }
    }
}

/// Copies a file that nobody writes to; one that changed all the same is not taken.
fn copy_whole(from: &OwnedFd, to: &OwnedFd) -> Result<(), Failure> {
    let look = |file: &OwnedFd| facts_of_open(file).map_err(|errno| failure("look", errno));
    let before = look(from)?;
    if before.kind != FactsKind::File {
        return Err(Failure::Gone);
    }
    if !copy(from, 0, to, 0, before.size as usize)? {
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        loop {
            let count = read_at(from, &mut piece, at).map_err(|errno| failure("read", errno))?;
            write_at(to, &piece[..count], at)?;
            at += count as u64;
            if count < PIECE {
                break;
            }
        }
    }
    if look(from)? != before || look(to)?.size != before.size {
        return Err(Failure::Unsteady);
    }
    Ok(())
}

/// Removes a temporary file that did not get its name, if it is still that.
fn discard(folder: &OwnedFd, last: &str) {
    let spot = Spot { folder, last };
    if look_spot(spot)
        .is_ok_and(|found| found.is_some_and(|facts| super::temporary::is_ours(&facts)))
    {
        let _ = unlink(spot);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests;
