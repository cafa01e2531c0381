//! Symbolic links, devices, pipes, further names of an object, and the end of a directory.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{self, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use super::Run;
use super::batch::{Finish, LinkItem, OtherItem, Place};
use super::delete;
use super::entry;
use super::meta::Found;
use super::report::Action;
use super::rules;
use super::target::{Os, error_at};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::tree::NodeType;
use crate::world::Timestamp;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Restored,
    Unchanged,
}

/// Restores a link, device or pipe.
pub fn other(run: &Run<'_>, item: &OtherItem) -> Result<()> {
    match make_other(run, item) {
        Ok(done) => report(run, &item.place, done),
        Err(errno) => {
            if let Some(first) = &item.place.first {
                first.failed.store(true, Relaxed);
            }
            let location = item.place.location();
            let error = error_at(&location, errno);
            run.report.failed(location, "restore", error)
        }
    }
}

fn report(run: &Run<'_>, place: &Place, done: Done) -> Result<()> {
    match done {
        Done::Restored => run
            .report
            .restored(Action::Restored, None, || place.location()),
        Done::Unchanged => run.report.skipped(None, || place.location()),
    }
}

/// What exists in the place of an entry, if anything can exist there.
fn existing(run: &Run<'_>, place: &Place) -> Os<Option<Stat>> {
    if place.dir.facts().is_none_or(|f| f.fresh) {
        return Ok(None);
    }
    entry::look(run.target.handle(&place.dir)?, &place.name)
}

fn kept(run: &Run<'_>, mtime: Timestamp, stat: Option<&Stat>) -> bool {
    !rules::overwrites(run.options.overwrite, mtime, stat.map(rules::mtime_of))
}

fn make_other(run: &Run<'_>, item: &OtherItem) -> Os<Done> {
    let stat = existing(run, &item.place)?;
    if kept(run, item.meta.mtime, stat.as_ref()) {
        return Ok(Done::Unchanged);
    }
    let right = match &stat {
        Some(stat) => is_right(run, item, stat)?,
        None => false,
    };
    if run.options.dry_run {
        return Ok(if right {
            Done::Unchanged
        } else {
            Done::Restored
        });
    }
    let dir = run.target.handle(&item.place.dir)?;
    if !right {
        if stat.is_some() {
            delete::make_way(run, dir.as_fd(), &item.place.name)?;
        }
        create(dir.as_fd(), item)?;
    }
    let (handle, now) = entry::open_path(&run.target, dir.as_fd(), &item.place.name)?;
    if FileType::from_raw_mode(now.st_mode) != file_type(item.kind) {
        return Err(Errno::STALE);
    }
    let facts = item.place.dir.facts();
    let found = Found {
        plain: !right && facts.is_some_and(|f| f.plain),
        may_have_xattrs: right || facts.is_none_or(|f| f.inherits),
    };
    run.applier
        .apply_path(&handle, item.kind, &item.meta, found)?;
    Ok(if right {
        Done::Unchanged
    } else {
        Done::Restored
    })
}

fn is_right(run: &Run<'_>, item: &OtherItem, stat: &Stat) -> Os<bool> {
    if FileType::from_raw_mode(stat.st_mode) != file_type(item.kind) {
        return Ok(false);
    }
    match item.kind {
        NodeType::Symlink => {
            let dir = run.target.handle(&item.place.dir)?;
            let target = fs::readlinkat(&dir, &item.place.name[..], Vec::new())?;
            Ok(target.as_bytes() == &item.linktarget[..])
        }
        NodeType::Dev | NodeType::CharDev => Ok(stat.st_rdev == item.device),
        _ => Ok(true),
    }
}

fn file_type(kind: NodeType) -> FileType {
    match kind {
        NodeType::Symlink => FileType::Symlink,
        NodeType::Dev => FileType::BlockDevice,
        NodeType::CharDev => FileType::CharacterDevice,
        NodeType::Fifo => FileType::Fifo,
        _ => FileType::Unknown,
    }
}

fn create(dir: BorrowedFd<'_>, item: &OtherItem) -> Os<()> {
    let name = &item.place.name[..];
    if item.kind == NodeType::Symlink {
        return fs::symlinkat(&item.linktarget[..], dir, name);
    }
    let mode = Mode::RUSR | Mode::WUSR;
    let device = match item.kind {
        NodeType::Dev | NodeType::CharDev => item.device,
        _ => 0,
    };
    fs::mknodat(dir, name, file_type(item.kind), mode, device)
}

/// Gives an object a further name.
pub fn link(run: &Run<'_>, item: &LinkItem) -> Result<()> {
    let location = || item.place.location();
    if item.first.failed.load(Relaxed) {
        let location = location();
        let first = item.first.dir.location_of(&item.first.name);
        let error = Error::new(
            Code::Io,
            gojson::display(&location),
            format!(
                "its first name was not restored: {}",
                gojson::display(&first)
            ),
        );
        return run.report.failed(location, "restore", error);
    }
    match make_link(run, item) {
        Ok(done) => report(run, &item.place, done),
        Err(errno) => run
            .report
            .failed(location(), "restore", error_at(&location(), errno)),
    }
}

fn make_link(run: &Run<'_>, item: &LinkItem) -> Os<Done> {
    let stat = existing(run, &item.place)?;
    if kept(run, item.mtime, stat.as_ref()) {
        return Ok(Done::Unchanged);
    }
    if item.first.dir.facts().is_none() {
        return Ok(Done::Restored);
    }
    let from = run.target.handle(&item.first.dir)?;
    if let Some(stat) = &stat {
        let first = entry::look(&from, &item.first.name)?;
        if first.is_some_and(|f| (f.st_dev, f.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(Done::Unchanged);
        }
    }
    if run.options.dry_run {
        return Ok(Done::Restored);
    }
    let dir = run.target.handle(&item.place.dir)?;
    if stat.is_some() {
        delete::make_way(run, dir.as_fd(), &item.place.name)?;
    }
    let (first, name) = (&item.first.name[..], &item.place.name[..]);
    fs::linkat(&from, first, &dir, name, AtFlags::empty())?;
    Ok(Done::Restored)
}

/// Completes a directory: what does not belong there goes (`--delete`), then its own metadata.
pub fn finish(run: &Run<'_>, item: &Finish) -> Result<()> {
    run.report.control().check()?;
    if let (Some(expected), Some(_)) = (&item.expected, item.dir.facts()) {
        delete::remove_unexpected(run, &item.dir, expected)?;
    }
    let Some(meta) = &item.meta else {
        return Ok(());
    };
    if !run.options.dry_run {
        let facts = item.dir.facts();
        let found = Found {
            plain: facts.is_some_and(|f| f.plain),
            may_have_xattrs: facts.is_none_or(|f| !f.fresh || f.inherits),
        };
        let applied = run
            .target
            .handle(&item.dir)
            .and_then(|handle| run.applier.apply(&handle, NodeType::Dir, meta, found));
        item.dir.release();
        if let Err(errno) = applied {
            let location = item.dir.location();
            let error = error_at(&location, errno);
            return run.report.failed(location, "restore", error);
        }
    }
    run.report
        .restored(Action::Restored, None, || item.dir.location())
}
