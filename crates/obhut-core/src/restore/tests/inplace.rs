//! Restores over existing entries: `--overwrite`, `--delete`, `--dry-run`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use super::kit::{Entry, Kit, THEN, codes, dir, file, link, noise, special};
use crate::error::Code;
use crate::restore::Overwrite;
use crate::tree::NodeType;

fn set_mtime(path: &std::path::Path, secs: i64, nanos: u32) {
    let file = fs::File::open(path).unwrap();
    let at = UNIX_EPOCH + Duration::new(secs as u64, nanos);
    file.set_modified(at).unwrap();
}

/// A target with a file of content `there` and time `secs` in the place of the snapshot's file.
fn existing(there: &[u8], secs: i64) -> (Kit, Vec<Entry>) {
    let kit = Kit::new();
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("f"), there).unwrap();
    set_mtime(&kit.path("f"), secs, 123_456_789);
    (kit, vec![file("f", &[b"first", b"second"])])
}

#[test]
fn the_overwrite_matrix() {
    let then = THEN.secs;
    // (rule, what is there, its time) -> (is it replaced, restored bytes, skipped files)
    let cases = [
        (Overwrite::Always, &b"firstSECOND"[..], then, true, 11, 0),
        (Overwrite::Always, b"firstsecond", then - 9, true, 0, 1),
        (Overwrite::IfChanged, b"FIRSTsecond", then, false, 0, 1),
        (Overwrite::IfChanged, b"FIRSTsecond", then - 1, true, 11, 0),
        (Overwrite::IfChanged, b"firstsecond+", then, true, 11, 0),
        (Overwrite::IfNewer, b"old", then - 1, true, 11, 0),
        (Overwrite::IfNewer, b"same", then, false, 0, 1),
        (Overwrite::IfNewer, b"new", then + 1, false, 0, 1),
        (Overwrite::Never, b"old", then - 1, false, 0, 1),
    ];
    for (rule, there, secs, replaced, bytes, skipped) in cases {
        let (kit, entries) = existing(there, secs);
        let tree = kit.save(&entries);
        let mut options = kit.options(tree);
        options.overwrite = rule;
        let summary = kit.restore_well(&options);
        let case = format!(
            "{rule:?} over {:?} at {secs}",
            String::from_utf8_lossy(there)
        );
        assert_eq!(summary.bytes_restored, bytes, "{case}");
        assert_eq!(summary.files_skipped, skipped, "{case}");
        if replaced {
            kit.compare(&entries);
        } else {
            assert_eq!(fs::read(kit.path("f")).unwrap(), there, "{case}");
        }
    }
}

#[test]
fn verify_trusts_no_times() {
    let (kit, entries) = existing(b"FIRSTsecond", THEN.secs);
    let tree = kit.save(&entries);
    let mut options = kit.options(tree);
    (options.overwrite, options.verify) = (Overwrite::IfChanged, true);
    let summary = kit.restore_well(&options);
    assert_eq!(summary.files_verified, 1);
    kit.compare(&entries);
}

#[test]
fn only_blobs_that_differ_are_written_in_place() {
    let kit = Kit::new();
    let content = noise(5, 4 << 20);
    let pieces: Vec<&[u8]> = content.chunks(1 << 20).collect();
    let entries = vec![file("f", &pieces)];
    kit.round_trip(&entries);
    let before = kit.path("f").metadata().unwrap().ino();
    let mut broken = content.clone();
    broken[(2 << 20) + 7] ^= 1;
    broken.truncate((4 << 20) - 10);
    fs::write(kit.path("f"), &broken).unwrap();
    let tree = kit.save(&entries);
    // Damage the blobs that are right on the disk: they must not be needed.
    kit.damage(pieces[0]);
    kit.damage(pieces[1]);
    let summary = kit.restore_well(&kit.options(tree));
    kit.compare(&entries);
    assert_eq!(kit.path("f").metadata().unwrap().ino(), before);
    assert_eq!(summary.bytes_restored, 4 << 20);
    fs::write(kit.path("f"), [&content[..], b"tail"].concat()).unwrap();
    kit.restore_well(&kit.options(tree));
    kit.compare(&entries);
}

#[test]
fn an_empty_file_over_a_full_one() {
    let kit = Kit::new();
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("f"), "full").unwrap();
    kit.round_trip(&[file("f", &[])]);
}

#[test]
fn types_that_changed_are_replaced() {
    let kit = Kit::new();
    fs::create_dir_all(kit.path("was empty dir")).unwrap();
    fs::write(kit.path("was file"), "x").unwrap();
    fs::write(kit.path("was file too"), "x").unwrap();
    symlink("nowhere", kit.path("was link")).unwrap();
    symlink("old", kit.path("link")).unwrap();
    kit.round_trip(&[
        file("was empty dir", &[b"file"]),
        dir("was file", vec![file("f", &[b"x"])]),
        special("was file too", NodeType::Fifo, 0),
        file("was link", &[b"file"]),
        link("link", b"new"),
    ]);
}

#[test]
fn a_full_directory_gives_way_only_with_delete() {
    let kit = Kit::new();
    fs::create_dir_all(kit.path("d/deep/er")).unwrap();
    fs::write(kit.path("d/deep/er/mine"), "mine").unwrap();
    let entries = [file("d", &[b"file"])];
    let tree = kit.save(&entries);
    let mut options = kit.options(tree);
    let (result, errors) = kit.restore(&options);
    result.unwrap();
    assert_eq!(codes(&errors), [("/d".to_owned(), "restore", Code::Io)]);
    assert!(kit.path("d/deep/er/mine").exists());
    options.delete = true;
    kit.restore_well(&options);
    kit.compare(&entries);
}

#[test]
fn never_keeps_a_file_in_the_way_of_a_directory() {
    let kit = Kit::new();
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("d"), "mine").unwrap();
    let tree = kit.save(&[dir("d", vec![file("f", &[b"x"])]), file("g", &[b"y"])]);
    let mut options = kit.options(tree);
    options.overwrite = Overwrite::Never;
    let (result, errors) = kit.restore(&options);
    result.unwrap();
    assert_eq!(codes(&errors), [("/d".to_owned(), "restore", Code::Io)]);
    assert_eq!(fs::read(kit.path("d")).unwrap(), b"mine");
    assert!(kit.path("g").exists());
}

#[test]
fn a_kept_name_is_not_the_first_of_a_hard_link() {
    let kit = Kit::new();
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("a"), "kept").unwrap();
    let tree = kit.save(&[
        file("a", &[b"one"]).linked(3),
        file("b", &[b"one"]).linked(3),
    ]);
    let mut options = kit.options(tree);
    options.overwrite = Overwrite::Never;
    kit.restore_well(&options);
    assert_eq!(fs::read(kit.path("a")).unwrap(), b"kept");
    assert_eq!(fs::read(kit.path("b")).unwrap(), b"one");
}

#[test]
fn delete_removes_what_was_chosen_and_nothing_else() {
    let build = || {
        let kit = Kit::new();
        fs::create_dir_all(kit.path("d/extra/deep")).unwrap();
        fs::create_dir_all(kit.path("unrelated")).unwrap();
        fs::write(kit.path("d/extra/deep/x"), "x").unwrap();
        fs::write(kit.path("d/x.keep"), "x").unwrap();
        fs::write(kit.path("top"), "x").unwrap();
        let tree = kit.save(&[dir("d", vec![file("f", &[b"1"])]), dir("e", vec![])]);
        let mut options = kit.options(tree);
        options.delete = true;
        (kit, options)
    };
    let state = |kit: &Kit| {
        let names = ["d/extra", "d/x.keep", "top", "unrelated", "d/f"];
        names.map(|name| kit.path(name).exists())
    };
    let (kit, mut options) = build();
    options.dry_run = true;
    assert_eq!(kit.restore_well(&options).files_deleted, 6);
    assert_eq!(state(&kit), [true, true, true, true, false]);
    options.dry_run = false;
    assert_eq!(kit.restore_well(&options).files_deleted, 6);
    assert_eq!(state(&kit), [false, false, false, false, true]);

    let (kit, mut options) = build();
    options.excludes = vec![b"*.keep".to_vec(), b"/unrelated".to_vec()];
    assert_eq!(kit.restore_well(&options).files_deleted, 4);
    assert_eq!(state(&kit), [false, true, false, true, true]);

    let (kit, mut options) = build();
    options.includes = vec![b"/d".to_vec()];
    kit.restore_well(&options);
    assert_eq!(state(&kit), [false, false, true, true, true]);

    // Links are removed themselves; what they lead to stays.
    let (kit, options) = build();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("safe"), "safe").unwrap();
    symlink(outside.path(), kit.path("d/extra/link")).unwrap();
    kit.restore_well(&options);
    assert_eq!(state(&kit), [false, false, false, false, true]);
    assert!(outside.path().join("safe").exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let kit = Kit::new();
    let tree = kit.save(&[dir("d", vec![file("f", &[b"123"])]), file("g", &[b"4"])]);
    let mut options = kit.options(tree);
    options.dry_run = true;
    let summary = kit.restore_well(&options);
    assert!(!kit.target().exists());
    assert_eq!((summary.files_restored, summary.bytes_restored), (3, 4));
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("g"), "other").unwrap();
    let before = kit.path("g").metadata().unwrap();
    kit.restore_well(&options);
    let after = kit.path("g").metadata().unwrap();
    assert_eq!(
        (before.ctime(), before.ctime_nsec()),
        (after.ctime(), after.ctime_nsec())
    );
    assert_eq!(kit.target().read_dir().unwrap().count(), 1);
}
