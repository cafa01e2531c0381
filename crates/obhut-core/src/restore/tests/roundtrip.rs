//! What a file system can hold comes back as it was; patterns, subpaths, sparse files, lines.

use std::os::unix::fs::MetadataExt;

use rustix::fs::XattrFlags;

use super::kit::{Kit, dir, file, link, noise, special};
use crate::error::Code;
use crate::job::Control;
use crate::tree::{NodeType, Xattr};
use crate::world::Timestamp;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn everything_comes_back() {
    let kit = Kit::new();
    let big = noise(1, 3 << 20);
    let pieces: Vec<&[u8]> = big.chunks(700_001).collect();
    let mut entries = vec![
        dir(
            "a",
            vec![
                dir("empty dir", vec![]).mode(0o1777),
                file("big", &pieces),
                file("big again", &pieces).mode(0o4755),
                file("empty", &[]),
                file("small", &[b"hello"]).mtime(-5).mode(0o000),
            ],
        )
        .mode(0o2500),
        link("dangling", b"/nowhere/\xff\xfe"),
        link("to a", b"a"),
        file(b"odd \xff\n\"\\name", &[b"x"]),
        file("repeats", &[b"block", b"block", b"other", b"block"]),
        special("pipe", NodeType::Fifo, 0).mode(0o622),
        special("socket", NodeType::Socket, 0),
    ];
    if is_root() {
        let mut foreign = file("foreign", &[b"y"]).mode(0o6755);
        (foreign.node.uid, foreign.node.gid) = (12345, 54321);
        entries.push(foreign);
        entries.push(special("null", NodeType::CharDev, 0x103));
        entries.push(special("disk", NodeType::Dev, 0x801).mode(0o660));
    }
    let summary = kit.round_trip(&entries);
    assert_eq!(summary.sockets_skipped, 1);
    assert_eq!(summary.total_files, summary.files_restored);
    assert_eq!(summary.total_bytes, summary.bytes_restored);
    assert_eq!(summary.files_skipped + summary.metadata_denied, 0);
    // Again: everything is recognised, only directories count as restored.
    let tree = kit.save(&entries);
    let before = kit.path("a/big").metadata().unwrap();
    let summary = kit.restore_well(&kit.options(tree));
    kit.compare(&entries);
    assert_eq!(summary.bytes_restored, 0);
    assert_eq!(summary.files_restored, 2, "only the directories");
    let after = kit.path("a/big").metadata().unwrap();
    assert_eq!(before.ino(), after.ino());
}

#[test]
fn hard_links_are_one_object_and_false_ones_are_not() {
    let kit = Kit::new();
    let entries = vec![
        file("a", &[b"one"]).linked(5),
        dir("d", vec![file("b", &[b"one"]).linked(5)]),
        // The same numbers, another content: the inode was used again while the backup ran.
        file("e", &[b"two"]).linked(5),
        link("l1", b"t").linked(6),
        link("l2", b"t").linked(6),
    ];
    kit.round_trip(&entries);
    let inode = |name: &str| kit.path(name).symlink_metadata().unwrap().ino();
    assert_eq!(inode("a"), inode("d/b"));
    assert_ne!(inode("a"), inode("e"));
    assert_eq!(inode("l1"), inode("l2"));
    let tree = kit.save(&entries);
    let summary = kit.restore_well(&kit.options(tree));
    assert_eq!((summary.files_restored, summary.files_skipped), (1, 5));
}

#[test]
fn attributes_come_back_and_foreign_ones_go() {
    let kit = Kit::new();
    let mut entries = vec![dir("d", vec![file("f", &[b"x"])])];
    let xattr = |name: &[u8], value: &[u8]| Xattr {
        name: name.to_vec(),
        value: Some(value.to_vec()),
    };
    entries[0].node.xattrs = vec![xattr(b"user.on directory", b"1")];
    entries[0].entries[0].node.xattrs = vec![xattr(b"user.a", b"\0\xff"), xattr(b"user.b", b"")];
    if is_root() {
        let extra = xattr(b"trusted.t", b"t");
        entries[0].entries[0].node.xattrs.push(extra);
    }
    kit.round_trip(&entries);
    let mut value = [0u8; 16];
    let path = kit.path("d/f");
    let length = rustix::fs::getxattr(&path, "user.a", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"\0\xff");
    rustix::fs::setxattr(&path, "user.intruder", b"x", XattrFlags::empty()).unwrap();
    let tree = kit.save(&entries);
    kit.restore_well(&kit.options(tree));
    let gone = rustix::fs::getxattr(&path, "user.intruder", &mut value[..]);
    assert_eq!(gone.unwrap_err(), rustix::io::Errno::NODATA);
    assert!(rustix::fs::getxattr(&path, "user.b", &mut value[..]).is_ok());
    let fresh = Kit::new();
    let tree = fresh.save(&entries);
    let mut options = fresh.options(tree);
    options.xattrs = false;
    fresh.restore_well(&options);
    let none = rustix::fs::getxattr(fresh.path("d/f"), "user.a", &mut value[..]);
    assert_eq!(none.unwrap_err(), rustix::io::Errno::NODATA);
}

#[test]
fn attributes_are_chosen_by_name() {
    let kit = Kit::new();
    let xattr = |name: &[u8]| Xattr {
        name: name.to_vec(),
        value: Some(b"v".to_vec()),
    };
    let mut entry = file("f", &[b"x"]);
    entry.node.xattrs = vec![xattr(b"user.keep.a"), xattr(b"user.other")];
    let tree = kit.save(&[entry]);
    let path = kit.path("f");
    let names = || {
        let mut list = vec![0u8; 4096];
        let length = rustix::fs::listxattr(&path, &mut list[..]).unwrap();
        let mut names: Vec<String> = list[..length]
            .split(|b| *b == 0)
            .filter(|name| name.starts_with(b"user."))
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        names.sort_unstable();
        names
    };
    let mut options = kit.options(tree);
    options.include_xattrs = vec![b"user.keep.*".to_vec()];
    kit.restore_well(&options);
    assert_eq!(names(), ["user.keep.a"]);
    // What is not chosen is not removed either.
    for name in ["user.keep.b", "user.mine"] {
        rustix::fs::setxattr(&path, name, b"x", XattrFlags::empty()).unwrap();
    }
    kit.restore_well(&options);
    assert_eq!(names(), ["user.keep.a", "user.mine"]);
    let mut options = kit.options(tree);
    options.exclude_xattrs = vec![b"user.keep.*".to_vec(), b"user.mine".to_vec()];
    kit.restore_well(&options);
    assert_eq!(names(), ["user.keep.a", "user.mine", "user.other"]);
    options.include_xattrs = vec![b"user.*".to_vec()];
    let (result, _) = kit.restore(&options);
    assert_eq!(result.unwrap_err().code(), Code::InvalidArgument);
    options.include_xattrs.clear();
    options.exclude_xattrs = vec![b"[".to_vec()];
    let (result, _) = kit.restore(&options);
    assert_eq!(result.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn sparse_files_get_holes_and_keep_their_content() {
    let kit = Kit::new();
    let zeros = vec![0u8; 1 << 20];
    let mut mixed = vec![0u8; 1 << 20];
    mixed[500_000] = 1;
    let entries = vec![
        file("all zero", &[&zeros, &zeros]),
        file("mixed", &[&zeros, &mixed, b"end"]),
        file("one", &[&mixed]),
    ];
    let tree = kit.save(&entries);
    let mut options = kit.options(tree);
    options.sparse = true;
    options.verify = true;
    let summary = kit.restore_well(&options);
    kit.compare(&entries);
    assert_eq!(summary.files_verified, 3);
    for name in ["all zero", "mixed", "one"] {
        let blocks = kit.path(name).metadata().unwrap().blocks();
        assert!(blocks <= 64, "{name} takes {blocks} blocks");
    }
    // A hole over an existing file would keep what is there: content wins.
    std::fs::write(kit.path("all zero"), noise(3, 2 << 20)).unwrap();
    kit.restore_well(&options);
    kit.compare(&entries);
}

#[test]
fn patterns_choose() {
    let entries = vec![
        dir(
            "home",
            vec![
                dir(
                    "u",
                    vec![file("keep.txt", &[b"1"]), file("Junk.TMP", &[b"2"])],
                ),
                file("other", &[b"3"]),
            ],
        )
        .mode(0o711),
    ];
    let restore = |change: &dyn Fn(&mut crate::restore::RestoreOptions)| {
        let kit = Kit::new();
        let tree = kit.save(&entries);
        let mut options = kit.options(tree);
        change(&mut options);
        let summary = kit.restore_well(&options);
        let found = |name| kit.path(name).exists();
        let state = (
            found("home/u/keep.txt"),
            found("home/u/Junk.TMP"),
            found("home/other"),
        );
        if found("home") {
            let mode = kit.path("home").metadata().unwrap().mode();
            assert_eq!(mode & 0o7777, 0o711, "a directory on the way");
        }
        (state, summary.total_files)
    };
    let none = restore(&|o| o.includes = vec![b"/home/x".to_vec()]);
    assert_eq!(none, ((false, false, false), 0));
    let one = restore(&|o| o.includes = vec![b"/home/u/keep.txt".to_vec()]);
    assert_eq!(one, ((true, false, false), 3));
    let folded = restore(&|o| o.iexcludes = vec![b"*.tmp".to_vec()]);
    assert_eq!(folded, ((true, false, true), 4));
    let exact = restore(&|o| o.excludes = vec![b"*.tmp".to_vec()]);
    assert_eq!(exact, ((true, true, true), 5));
    let below = restore(&|o| o.iincludes = vec![b"/HOME/U".to_vec()]);
    assert_eq!(below, ((true, true, false), 4));
}

#[test]
fn a_directory_of_the_snapshot_can_be_restored_alone() {
    let kit = Kit::new();
    let inner = vec![file("f", &[b"x"]), dir("e", vec![])];
    let tree = kit.save(&[dir("a", vec![dir("b", inner.clone())]), file("g", &[b"y"])]);
    let mut options = kit.options(tree);
    options.subpath = b"/a/b/".to_vec();
    kit.restore_well(&options);
    kit.compare(&inner);
    for path in [&b"a/x"[..], b"g", b"g/below"] {
        options.subpath = path.to_vec();
        let error = kit.restore(&options).0.unwrap_err();
        assert_eq!(error.code(), Code::PathMissing, "{error}");
    }
}

#[test]
fn bad_requests_change_nothing() {
    let kit = Kit::new();
    let tree = kit.save(&[file("f", &[b"x"])]);
    let refused = |change: &dyn Fn(&mut crate::restore::RestoreOptions)| {
        let mut options = kit.options(tree);
        change(&mut options);
        let error = kit.restore(&options).0.unwrap_err();
        assert!(!kit.target().exists());
        error.code()
    };
    let both = refused(&|o| (o.includes, o.excludes) = (vec![b"a".into()], vec![b"b".into()]));
    assert_eq!(both, Code::InvalidArgument);
    let blind = refused(&|o| (o.dry_run, o.verify) = (true, true));
    assert_eq!(blind, Code::InvalidArgument);
    let pattern = refused(&|o| o.excludes = vec![b"[".into()]);
    assert_eq!(pattern, Code::InvalidArgument);
    let root = refused(&|o| (o.delete, o.target) = (true, b"/tmp/..//".to_vec()));
    assert_eq!(root, Code::InvalidArgument);
    let missing = refused(&|o| o.tree = crate::id::Id::ZERO);
    assert_eq!(missing, Code::BlobMissing);
}

#[test]
fn many_files_take_several_batches() {
    let kit = Kit::new();
    let shared = noise(9, 1000);
    let names: Vec<String> = (0..2600).map(|n| format!("f{n:05}")).collect();
    let files = |names: &[String]| {
        let make = |name: &String| file(name, &[&shared, name.as_bytes()]);
        names.iter().map(make).collect::<Vec<_>>()
    };
    let entries = vec![
        dir("a", files(&names[..1300])).mtime(7),
        dir("b", files(&names[1300..])).mtime(8),
    ];
    let summary = kit.round_trip(&entries);
    assert_eq!(summary.files_restored, 2602);
}

#[test]
fn lines_tell_what_happened() {
    let kit = Kit::new();
    let tree = kit.save(&[dir("d", vec![file("f", &[b"xyz"])])]);
    let mut options = kit.options(tree);
    (options.verbose, options.json) = (2, true);
    let control = Control::new();
    kit.restore_under(&options, &control).0.unwrap();
    let lines = String::from_utf8(control.drain_output()).unwrap();
    assert_eq!(
        lines,
        "{\"message_type\":\"verbose_status\",\"action\":\"restored\",\"item\":\"/d/f\",\"size\":3}\n\
         {\"message_type\":\"verbose_status\",\"action\":\"restored\",\"item\":\"/d\",\"size\":0}\n"
    );
    let counters: std::collections::HashMap<_, _> =
        control.counters.snapshot().into_iter().collect();
    assert_eq!((counters["items_done"], counters["total_items"]), (2, 2));
    assert_eq!((counters["bytes_done"], counters["total_known"]), (3, 1));
}

#[test]
fn what_windows_attributes_say_is_counted_and_left_out() {
    let kit = Kit::new();
    let mut entry = file("f", &[b"x"]);
    let raw = "{\"windows.file_attributes\":32}".to_owned();
    entry.node.generic_attributes = Some(serde_json::value::RawValue::from_string(raw).unwrap());
    assert_eq!(kit.round_trip(&[entry]).foreign_attributes, 1);
}

#[test]
fn access_times_come_back_and_verification_leaves_them() {
    let kit = Kit::new();
    let mut entry = file("f", &[b"x"]);
    entry.node.atime.at = Timestamp {
        secs: 1_400_000_000,
        nanos: 42,
    };
    let tree = kit.save(&[entry]);
    let mut options = kit.options(tree);
    options.verify = true;
    kit.restore_well(&options);
    let stat = kit.path("f").metadata().unwrap();
    assert_eq!((stat.atime(), stat.atime_nsec()), (1_400_000_000, 42));
}

#[test]
fn owners_are_found_by_name_and_unknown_ones_keep_their_numbers() {
    if !is_root() {
        return;
    }
    let kit = Kit::new();
    let owned = |name: &str, user: &str, group: &str| {
        let mut entry = file(name, &[b"x"]);
        (entry.node.uid, entry.node.gid) = (11, 22);
        (entry.node.user, entry.node.group) = (user.to_owned(), group.to_owned());
        entry
    };
    let mut folder = dir("d", vec![owned("inner", "u401", "")]);
    (folder.node.user, folder.node.group) = ("u402".to_owned(), "g502".to_owned());
    let entries = [
        folder,
        owned("known", "u400", "g500"),
        owned("nameless", "", ""),
        owned("unknown", "nobody here", "g500"),
    ];
    let mut options = kit.options(kit.save(&entries));
    let ids_of = |name: &str| {
        let found = kit.path(name).metadata().unwrap();
        (found.uid(), found.gid())
    };
    assert!(kit.restore_well(&options).unknown_owners.is_empty());
    assert_eq!(ids_of("known"), (11, 22));
    options.owners_by_name = true;
    let summary = kit.restore_well(&options);
    assert_eq!(ids_of("d"), (402, 502));
    assert_eq!(ids_of("d/inner"), (401, 22));
    assert_eq!(ids_of("known"), (400, 500));
    assert_eq!(ids_of("nameless"), (11, 22));
    assert_eq!(ids_of("unknown"), (11, 500));
    assert_eq!(summary.unknown_owners, ["user nobody here"]);
}
