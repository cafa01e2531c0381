//! Directory handles: swapped directories, deep trees, many directories, what is in the way.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Code;
use crate::restore::target::{Dir, Target, check_name, error_at};

fn open(path: &Path) -> Target {
    Target::open(path.as_os_str().as_bytes(), true).unwrap()
}

fn create(target: &Target, dir: &Arc<Dir>, name: &[u8]) -> Result<(), Errno> {
    let handle = target.handle(dir)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = target.open_entry(&handle, name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::io::write(&file, b"secret")?;
    Ok(())
}

#[test]
fn names_that_are_none() {
    for bad in [
        &b""[..],
        b".",
        b"..",
        b"/etc",
        b"a/b",
        b"a/",
        b"a\0b",
        b"../x",
    ] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
    for good in [
        &b"a"[..],
        b"...",
        b"..a",
        b"-rf",
        b"\xff\xfe",
        b" ",
        b"\n",
        b"a\\b",
    ] {
        assert!(check_name(good).is_ok(), "{good:?}");
    }
}

#[test]
fn a_missing_target_is_made_for_its_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("new/deep");
    let looked = Target::open(path.as_os_str().as_bytes(), false).unwrap();
    assert!(looked.root().facts().is_none());
    assert!(!path.exists());
    let target = open(&path);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
    assert!(!target.root().facts().unwrap().fresh);
}

#[test]
fn directories_are_made_for_the_owner_and_told_apart() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("old")).unwrap();
    let target = open(place.path());
    let old = Target::child(target.root(), b"old");
    assert!(!target.ensure(&old, &|_| true).unwrap().fresh);
    let new = Target::child(&Target::child(&old, b"x"), b"y");
    assert!(target.ensure(&new, &|_| true).unwrap().fresh);
    let mode = place.path().join("old/x/y").metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(new.location_of(b"z"), b"/old/x/y/z");
}

#[test]
fn what_is_in_the_way_is_replaced_and_never_followed() {
    let place = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), place.path().join("d")).unwrap();
    let target = open(place.path());
    let dir = Target::child(target.root(), b"d");
    assert_eq!(target.ensure(&dir, &|_| false).unwrap_err(), Errno::EXIST);
    assert!(target.ensure(&dir, &|_| true).unwrap().fresh);
    create(&target, &dir, b"file").unwrap();
    assert!(place.path().join("d/file").is_file());
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_directory_swapped_for_a_link_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let target = open(place.path());
    let dir = Target::child(target.root(), b"d");
    target.ensure(&dir, &|_| true).unwrap();
    dir.release();
    std::fs::rename(place.path().join("d"), place.path().join("moved")).unwrap();
    symlink(outside.path(), place.path().join("d")).unwrap();
    let errno = create(&target, &dir, b"file").unwrap_err();
    assert!(matches!(errno, Errno::LOOP | Errno::NOTDIR), "{errno:?}");
    assert_eq!(error_at(b"/d", Errno::LOOP).code(), Code::HostileTree);
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn swapping_all_the_time_never_writes_outside() {
    let place = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (real, link) = (place.path().join("d"), place.path().join("link"));
    let aside = place.path().join("aside");
    let stop = AtomicBool::new(false);
    std::fs::create_dir(&real).unwrap();
    let mut written = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let _ = symlink(outside.path(), &link);
                let _ = std::fs::rename(&real, &aside);
                let _ = std::fs::rename(&link, &real);
                let _ = std::fs::remove_file(&real);
                let _ = std::fs::rename(&aside, &real);
            }
        });
        let target = open(place.path());
        for number in 0..300u32 {
            let dir = Target::child(target.root(), b"d");
            let name = format!("f{number}");
            // Whatever state is met: no following, and never a removal of the real directory.
            let made = target.ensure(&dir, &|_| false);
            if made.is_ok() && create(&target, &dir, name.as_bytes()).is_ok() {
                written += 1;
            }
        }
        stop.store(true, Relaxed);
    });
    assert!(written > 0, "the race never let a file through");
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn paths_may_be_longer_than_the_kernel_takes_at_once() {
    let place = tempfile::tempdir().unwrap();
    let target = open(place.path());
    let mut dir = Arc::clone(target.root());
    for _ in 0..450 {
        dir = Target::child(&dir, b"directory.");
    }
    target.ensure(&dir, &|_| true).unwrap();
    create(&target, &dir, b"file").unwrap();
    // All handles but the first were closed on the way (more directories than are kept open).
    let mut at = Arc::clone(&dir);
    while let Some(parent) = at.parent().cloned() {
        at.release();
        at = parent;
    }
    assert_eq!(create(&target, &dir, b"file").unwrap_err(), Errno::EXIST);
    assert!(dir.location().len() > 4096);
}

#[test]
fn handles_are_bounded() {
    let place = tempfile::tempdir().unwrap();
    let target = open(place.path());
    // Other tests of this process open files too: only handles below our place count.
    let count = || {
        let handles = Path::new("/proc/self/fd").read_dir().unwrap();
        let paths = handles.filter_map(|handle| handle.unwrap().path().read_link().ok());
        paths.filter(|path| path.starts_with(place.path())).count()
    };
    let dirs: Vec<_> = (0..700)
        .map(|n| Target::child(target.root(), format!("{n}").as_bytes()))
        .collect();
    for dir in &dirs {
        target.ensure(dir, &|_| true).unwrap();
    }
    assert!((200..300).contains(&count()), "{} handles", count());
    for dir in &dirs {
        create(&target, dir, b"f").unwrap();
    }
}

#[test]
fn a_very_deep_chain_is_let_go_without_recursion() {
    let place = tempfile::tempdir().unwrap();
    let target = open(place.path());
    let mut dir = Arc::clone(target.root());
    for _ in 0..500_000 {
        dir = Target::child(&dir, b"d");
    }
    drop(dir);
}
