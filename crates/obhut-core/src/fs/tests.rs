// Tests make the files that they look at.
#![allow(clippy::disallowed_methods)]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::fs::{Mode, XattrFlags};
use rustix::io::Errno;

use super::*;
use crate::error::{Error, Result};
use crate::world::Accounts;

fn open(directory: &std::path::Path) -> Handle {
    let base = open_directory_path(directory.as_os_str().as_bytes()).unwrap();
    open_directory(&base, b".").unwrap()
}

#[test]
fn lists_every_name_sorted_by_bytes() {
    let place = tempfile::tempdir().unwrap();
    let written: [&[u8]; 8] = [
        b"a",
        b"same-eight-bytes-2",
        b"same-eight-bytes",
        b"b",
        b"\xff\xfe",
        b"a b\n",
        b"Z",
        b"\xc3\xa4",
    ];
    for name in written {
        std::fs::write(place.path().join(std::ffi::OsStr::from_bytes(name)), b"x").unwrap();
    }
    let names = list(open(place.path())).unwrap();
    let listed: Vec<Vec<u8>> = names.iter().map(<[u8]>::to_vec).collect();
    let mut expected: Vec<Vec<u8>> = written.iter().map(|n| n.to_vec()).collect();
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn a_list_that_is_used_again_holds_the_last_directory_alone() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["z", "a"] {
        std::fs::write(one.path().join(name), b"").unwrap();
    }
    std::fs::write(other.path().join("m"), b"").unwrap();
    let mut names = NameList::default();
    names.read(open(one.path())).unwrap();
    assert_eq!(
        (names.iter().len(), names.get(0), names.get(1)),
        (2, &b"a"[..], &b"z"[..])
    );
    names.read(open(other.path())).unwrap();
    assert_eq!((names.iter().len(), names.get(0)), (1, &b"m"[..]));
    let file = std::fs::File::open(other.path().join("m")).unwrap();
    assert_eq!(names.read(&file), Err(Errno::NOTDIR));
    assert_eq!(names.iter().len(), 0);
}

#[test]
fn a_large_directory_is_listed_whole() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        std::fs::write(place.path().join(format!("{number:0>40}")), b"").unwrap();
    }
    assert_eq!(list(open(place.path())).unwrap().iter().len(), 3000);
}

#[test]
fn facts_equal_those_of_the_standard_library() {
    use std::os::unix::fs::MetadataExt;
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("f"), b"hello").unwrap();
    symlink("nowhere", place.path().join("l")).unwrap();
    let directory = open(place.path());
    for (name, kind) in [("f", Kind::File), ("l", Kind::Symlink)] {
        let ours = stat_at(&directory, name.as_bytes()).unwrap();
        let theirs = std::fs::symlink_metadata(place.path().join(name)).unwrap();
        assert_eq!(ours.kind, kind);
        assert_eq!(ours.mode, theirs.mode());
        assert_eq!(ours.size, theirs.size());
        assert_eq!(
            (ours.mtime.secs, i64::from(ours.mtime.nanos)),
            (theirs.mtime(), theirs.mtime_nsec())
        );
        assert_eq!(
            (ours.ctime.secs, i64::from(ours.ctime.nanos)),
            (theirs.ctime(), theirs.ctime_nsec())
        );
        assert_eq!(
            (ours.inode, ours.device, ours.links),
            (theirs.ino(), theirs.dev(), theirs.nlink())
        );
        assert_eq!((ours.uid, ours.gid), (theirs.uid(), theirs.gid()));
    }
    assert_eq!(read_link(&directory, b"l").unwrap(), b"nowhere");
}

#[test]
fn links_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("f"), b"x").unwrap();
    symlink("d", place.path().join("ld")).unwrap();
    symlink("f", place.path().join("lf")).unwrap();
    let directory = open(place.path());
    assert!(open_directory(&directory, b"d").is_ok());
    assert!(open_directory(&directory, b"ld").is_err());
    assert!(open_file(&directory, b"f").is_ok());
    assert!(open_file(&directory, b"lf").is_err());
}

#[test]
fn opening_a_pipe_does_not_wait() {
    let place = tempfile::tempdir().unwrap();
    let directory = open(place.path());
    rustix::fs::mknodat(&directory, "p", rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    let pipe = open_file(&directory, b"p").unwrap();
    assert_eq!(stat_handle(&pipe).unwrap().kind, Kind::Fifo);
}

#[test]
fn attributes_of_any_size_are_read() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("f"), b"x").unwrap();
    let directory = open(place.path());
    let file = open_file(&directory, b"f").unwrap();
    assert!(
        xattrs_at(&directory, b"f")
            .unwrap()
            .read
            .iter()
            .all(|x| !x.name.starts_with(b"user."))
    );
    let large = vec![7; 2000];
    for (name, value) in [
        ("user.empty", &b""[..]),
        ("user.large", &large),
        ("user.small", b"abc"),
    ] {
        match rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()) {
            Err(rustix::io::Errno::NOTSUP) => return, // a file system without attributes: nothing to see
            result => result.unwrap(),
        }
    }
    let by_name = xattrs_at(&directory, b"f").unwrap();
    let by_handle = xattrs_of_handle(&file).unwrap();
    assert_eq!(by_name.read, by_handle.read);
    let value = |name: &[u8]| {
        by_name
            .read
            .iter()
            .find(|x| x.name == name)
            .unwrap()
            .value
            .clone()
    };
    assert_eq!(value(b"user.empty"), Some(Vec::new()));
    assert_eq!(value(b"user.large"), Some(large.clone()));
    assert_eq!(value(b"user.small"), Some(b"abc".to_vec()));
}

/// Counts the questions; user 1 and group 1 cannot be found out, 2 has no name.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    fn answer(&self, kind: &str, number: u32) -> Result<Option<String>> {
        self.0.fetch_add(1, Relaxed);
        match number {
            1 => Err(Error::os(format!("name of {kind} 1"), Errno::TIMEDOUT)),
            2 => Ok(None),
            _ => Ok(Some(format!("{kind}{number}"))),
        }
    }
}

impl Accounts for Counting {
    fn user(&self, uid: u32) -> Result<Option<String>> {
        self.answer("user", uid)
    }
    fn group(&self, gid: u32) -> Result<Option<String>> {
        self.answer("group", gid)
    }
    fn uid(&self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }
    fn gid(&self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }
}

#[test]
fn a_name_is_asked_for_once() {
    let accounts = Arc::new(Counting::default());
    let names = Names::new(Arc::clone(&accounts) as Arc<dyn Accounts>);
    for _ in 0..3 {
        assert_eq!(
            (names.user(7), names.group(7)),
            ("user7".into(), "group7".into())
        );
        assert_eq!(
            (names.user(2), names.group(2)),
            (String::new(), String::new())
        );
    }
    assert_eq!(accounts.0.load(Relaxed), 4);
    assert!(names.failure().is_none());
    for _ in 0..3 {
        assert_eq!(
            (names.group(1), names.user(1)),
            (String::new(), String::new())
        );
    }
    assert_eq!(accounts.0.load(Relaxed), 6);
    assert_eq!(names.failure().unwrap().object(), "name of group 1");
}

#[test]
fn names_are_the_same_for_all_threads() {
    /// Another name each time: a directory that changes while it is asked.
    struct Restless(AtomicUsize);
    impl Accounts for Restless {
        fn user(&self, _: u32) -> Result<Option<String>> {
            Ok(Some(self.0.fetch_add(1, Relaxed).to_string()))
        }
        fn group(&self, _: u32) -> Result<Option<String>> {
            Ok(None)
        }
        fn uid(&self, _: &str) -> Result<Option<u32>> {
            Ok(None)
        }
        fn gid(&self, _: &str) -> Result<Option<u32>> {
            Ok(None)
        }
    }
    let names = Names::new(Arc::new(Restless(AtomicUsize::new(0))));
    let seen: std::collections::HashSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..50).map(|_| names.user(5)).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(seen.len(), 1);
}
