//! Removal below the target: what `--delete` finds, and what is in the way of an entry.
//!
//! Invariants: only names relative to handles, links are removed and never followed; a mount point is
//! never entered or removed; what is deleted was chosen by the same patterns as what is restored; in a
//! directory whose tree was not wholly usable nothing is deleted (the walk gives no names then).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Run;
use super::entry;
use super::target::{Dir, Os, Target, error_at};
use crate::error::{Code, Error, Result};
use crate::gojson;

/// Deepest folder that is removed in one go; each level holds a handle.
const DEPTH: usize = 400;

/// One folder on the way down.
struct Level {
    handle: OwnedFd,
    name: Box<[u8]>,
    names: std::vec::IntoIter<Box<[u8]>>,
}

/// Removes `name` and everything below it, children first; `gone` hears of each path (relative to and
/// beginning with `name`). With `only_look` nothing is removed.
pub fn remove_tree(
    target: &Target,
    dir: BorrowedFd<'_>,
    name: &[u8],
    only_look: bool,
    gone: &mut dyn FnMut(&[u8]) -> Os<()>,
) -> Os<()> {
    let Some(stat) = entry::look(dir, name)? else {
        return Ok(());
    };
    if !entry::is_directory(&stat) {
        return remove_one(dir, name, AtFlags::empty(), only_look, name, gone);
    }
    let device = fs::fstat(dir)?.st_dev;
    let mut path = name.to_vec();
    let mut stack = vec![level(target, dir, name, device)?];
    loop {
        let depth = stack.len();
        let Some(top) = stack.last_mut() else {
            return Ok(());
        };
        if let Some(child) = top.names.next() {
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(&child);
            let is_folder =
                entry::look(&top.handle, &child)?.is_some_and(|s| entry::is_directory(&s));
            if is_folder {
                if depth >= DEPTH {
                    return Err(Errno::NAMETOOLONG);
                }
                let below = level(target, top.handle.as_fd(), &child, device)?;
                stack.push(below);
            } else {
                let above = top.handle.as_fd();
                remove_one(above, &child, AtFlags::empty(), only_look, &path, gone)?;
                path.truncate(length);
            }
            continue;
        }
        if let Some(done) = stack.pop() {
            let above = stack.last().map_or(dir, |l| l.handle.as_fd());
            remove_one(
                above,
                &done.name,
                AtFlags::REMOVEDIR,
                only_look,
                &path,
                gone,
            )?;
            path.truncate(path.len().saturating_sub(done.name.len() + 1));
        }
    }
}

fn level(target: &Target, dir: BorrowedFd<'_>, name: &[u8], device: u64) -> Os<Level> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let handle = target.open_entry(dir, name, flags, Mode::empty())?;
    if fs::fstat(&handle)?.st_dev != device {
        return Err(Errno::XDEV);
    }
    let names = entry::names(target, handle.as_fd())?;
    Ok(Level {
        handle,
        name: name.into(),
        names: names.into_iter(),
    })
}

fn remove_one(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: AtFlags,
    only_look: bool,
    path: &[u8],
    gone: &mut dyn FnMut(&[u8]) -> Os<()>,
) -> Os<()> {
    if !only_look {
        match fs::unlinkat(dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
    }
    gone(path)
}

/// Makes way for an entry: what is at its place goes, a folder only if it is empty or `--delete` is given.
pub fn make_way(run: &Run<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Os<()> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    if run.options.delete {
        return remove_tree(&run.target, dir, name, false, &mut |_| Ok(()));
    }
    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// `--delete` in one directory: removes what the snapshot does not have there, if it was chosen.
pub fn remove_unexpected(run: &Run<'_>, dir: &Arc<Dir>, expected: &[Box<[u8]>]) -> Result<()> {
    let failed = |location: Vec<u8>, errno| {
        let error = match errno {
            Errno::XDEV => Error::new(
                Code::Io,
                gojson::display(&location),
                "another file system is mounted here; it is not deleted",
            ),
            errno => error_at(&location, errno),
        };
        run.report.failed(location, "restore", error)
    };
    let listed = run
        .target
        .handle(dir)
        .and_then(|handle| Ok((entry::names(&run.target, handle.as_fd())?, handle)));
    let (names, handle) = match listed {
        Ok(listed) => listed,
        Err(e) => return failed(dir.location(), e),
    };
    for name in names {
        run.report.control().check()?;
        if expected.binary_search(&name).is_ok() {
            continue;
        }
        let location = dir.location_of(&name);
        if !run.selection.of(&location, false).itself {
            continue;
        }
        let mut stopped = Ok(());
        let above = dir.location();
        let mut gone = |path: &[u8]| {
            stopped = run
                .report
                .deleted(|| shown_path(run, &above, path))
                .and_then(|()| run.report.control().check());
            if stopped.is_ok() {
                Ok(())
            } else {
                Err(Errno::CANCELED)
            }
        };
        let dry = run.options.dry_run;
        let removed = remove_tree(&run.target, handle.as_fd(), &name, dry, &mut gone);
        stopped?;
        if let Err(errno) = removed {
            failed(location, errno)?;
        }
    }
    Ok(())
}

/// The path in the file system of a deleted entry, as restic tells it.
fn shown_path(run: &Run<'_>, above: &[u8], path: &[u8]) -> Vec<u8> {
    let mut shown = run.target.path().to_vec();
    while shown.len() > 1 && shown.last() == Some(&b'/') {
        shown.pop();
    }
    if above != b"/" {
        shown.extend_from_slice(above);
    }
    if shown.last() != Some(&b'/') {
        shown.push(b'/');
    }
    shown.extend_from_slice(path);
    shown
}
