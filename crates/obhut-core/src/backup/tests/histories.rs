//! Random trees and random changes: same tree as the reference, right counters.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A change of a small tree.
#[derive(Clone, Debug)]
pub enum Change {
    Write(Vec<u8>, u32, u8),
    Directory(Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Mode(Vec<u8>, u32),
}

/// Names meet often, so that changes hit what is there; some are odd.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]),
        1 => prop::sample::select(vec![b"\xff".to_vec(), b"a\n".to_vec(), "\u{e9}".as_bytes().to_vec()]),
    ];
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join(&b'/'))
}

pub fn change() -> impl Strategy<Value = Change> {
    let size = prop_oneof![8 => 0u32..5000, 1 => 600_000u32..1_500_000];
    prop_oneof![
        4 => (path(), size, any::<u8>()).prop_map(|(p, s, b)| Change::Write(p, s, b)),
        2 => path().prop_map(Change::Directory),
        1 => (path(), path()).prop_map(|(p, t)| Change::Link(p, t)),
        2 => path().prop_map(Change::Remove),
        1 => (path(), 0u32..0o200).prop_map(|(p, m)| Change::Mode(p, m | 0o600)),
    ]
}

/// Carries a change out; what does not fit the tree does nothing.
pub fn apply(root: &Path, change: &Change) {
    let at = |path: &[u8]| -> PathBuf { root.join(std::ffi::OsStr::from_bytes(path)) };
    let parents = |path: &PathBuf| std::fs::create_dir_all(path.parent().unwrap()).is_ok();
    match change {
        Change::Write(path, size, byte) => {
            let path = at(path);
            if parents(&path) {
                let mut bytes = vec![*byte; *size as usize];
                for (number, byte) in bytes.iter_mut().enumerate().step_by(97) {
                    *byte = byte.wrapping_add(number as u8);
                }
                let _ = std::fs::write(path, bytes);
            }
        }
        Change::Directory(path) => {
            let _ = std::fs::create_dir_all(at(path));
        }
        Change::Link(path, target) => {
            let path = at(path);
            if parents(&path) {
                let _ = std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path);
            }
        }
        Change::Remove(path) => {
            let path = at(path);
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir_all(&path);
        }
        Change::Mode(path, mode) => {
            use std::os::unix::fs::PermissionsExt;
            let path = at(path);
            let mode = if path.is_dir() { mode | 0o700 } else { *mode };
            if std::fs::symlink_metadata(&path).is_ok_and(|m| !m.is_symlink()) {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

/// Files by plain recursion: inode, size and times are what change detection looks at.
fn files(directory: &Path) -> std::collections::BTreeMap<PathBuf, (u64, u64, i64, i64, i64, i64)> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let m = std::fs::symlink_metadata(&path).unwrap();
        if m.is_dir() {
            found.extend(files(&path));
        } else if m.is_file() {
            let facts = (
                m.ino(),
                m.size(),
                m.mtime(),
                m.mtime_nsec(),
                m.ctime(),
                m.ctime_nsec(),
            );
            found.insert(path, facts);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_backup_of_a_history_equals_the_reference(
        steps in prop::collection::vec(prop::collection::vec(change(), 0..8), 1..5),
        threads in 1usize..4,
    ) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("source");
        std::fs::create_dir(&root).unwrap();
        let bench = Bench::new();
        let mut parent = None;
        let mut before = std::collections::BTreeMap::new();
        for step in steps {
            for change in &step {
                apply(&root, change);
            }
            let options = BackupOptions { parent_tree: parent, ..options(&root, threads) };
            let summary = bench.run(&options).unwrap();
            prop_assert!(bench.errors().is_empty());
            prop_assert_eq!(bench.tree(&summary, &root), reference(&root, &bench.repo.chunker()));
            let now = files(&root);
            let same = now.iter().filter(|(path, facts)| before.get(*path) == Some(*facts)).count() as u64;
            let new = now.keys().filter(|path| !before.contains_key(*path)).count() as u64;
            prop_assert_eq!(summary.total_files_processed(), now.len() as u64);
            prop_assert_eq!(summary.files_unmodified, same);
            // A name that was something else before counts as changed, as in restic.
            prop_assert!(summary.files_new <= new);
            prop_assert_eq!(summary.total_bytes_processed, now.values().map(|f| f.1).sum::<u64>());
            let all = bench.control.counters.items_done.swap(0, Relaxed);
            prop_assert_eq!(all, now.len() as u64);
            parent = summary.tree;
            before = now;
        }
        // Nothing has changed now: nothing is added.
        let options = BackupOptions { parent_tree: parent, ..options(&root, threads) };
        let again = bench.run(&options).unwrap();
        prop_assert_eq!(again.files_new + again.files_changed, 0);
        prop_assert_eq!(again.data_blobs, 0);
        // Above the source others may have changed something; the source itself has not.
        prop_assert_eq!(bench.tree(&again, &root), reference(&root, &bench.repo.chunker()));
    }
}
