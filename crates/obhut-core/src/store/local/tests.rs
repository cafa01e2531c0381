#![allow(clippy::disallowed_methods)]
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn repository() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("repo"));
    store.create().unwrap();
    (dir, store)
}

fn pack(content: &[u8]) -> FileName {
    FileName::new(FileKind::Pack, Id::of(content))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn keeps_the_contract() {
    let (_dir, store) = repository();
    let broken = crate::store::contract::violations(&store);
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn create_makes_restics_folders_and_does_it_twice() {
    let (_dir, store) = repository();
    store.create().unwrap();
    for name in [
        "keys",
        "snapshots",
        "index",
        "locks",
        "data",
        "data/00",
        "data/ff",
    ] {
        assert_eq!(mode(&store.root().join(name)), 0o700, "{name}");
    }
    assert_eq!(
        std::fs::read_dir(store.root().join("data"))
            .unwrap()
            .count(),
        256
    );
}

#[test]
fn files_lie_where_restic_looks_and_are_read_only() {
    let (_dir, store) = repository();
    let name = pack(b"p");
    store.put(name, b"p").unwrap();
    let hex = name.id.hex();
    let path = store.root().join("data").join(&hex[..2]).join(&hex);
    assert_eq!(std::fs::read(&path).unwrap(), b"p");
    assert_eq!(mode(&path), 0o400);
    store.put(FileName::CONFIG, b"c").unwrap();
    assert_eq!(std::fs::read(store.root().join("config")).unwrap(), b"c");
}

#[test]
fn a_group_readable_config_opens_everything_to_the_group() {
    let (_dir, store) = repository();
    store.put(FileName::CONFIG, b"c").unwrap();
    let config = store.root().join("config");
    std::fs::set_permissions(&config, PermissionsExt::from_mode(0o440)).unwrap();
    let name = pack(b"p");
    std::fs::remove_dir(store.folder(name)).unwrap();
    store.put(name, b"p").unwrap();
    assert_eq!(mode(&store.path(name)), 0o440);
    // The umask of the test process decides about the group's write bit.
    assert_eq!(mode(&store.folder(name)) & 0o707, 0o700);
    assert_eq!(mode(&store.folder(name)) & 0o050, 0o050);
}

#[test]
fn a_missing_pack_folder_is_made_but_never_a_missing_repository() {
    let (_dir, store) = repository();
    std::fs::remove_dir_all(store.root().join("data")).unwrap();
    store.put(pack(b"p"), b"p").unwrap();
    assert_eq!(store.get(pack(b"p")).unwrap(), b"p");
    std::fs::remove_dir_all(store.root()).unwrap();
    let error = store.put(pack(b"q"), b"q").unwrap_err();
    assert_eq!(error.code(), Code::FileMissing);
    assert!(!store.root().exists());
}

#[test]
fn lists_skip_what_is_no_repository_file() {
    let (_dir, store) = repository();
    store.put(pack(b"p"), b"pp").unwrap();
    let folder = store.folder(pack(b"p"));
    let hex = pack(b"p").id.hex();
    for stray in [format!("{hex}-tmp-0011"), hex.to_uppercase(), "note".into()] {
        std::fs::write(folder.join(stray), b"x").unwrap();
    }
    let elsewhere = Id([pack(b"p").id.0[0] ^ 1; 32]);
    std::fs::write(folder.join(elsewhere.hex()), b"x").unwrap();
    std::fs::create_dir(folder.join(Id([pack(b"p").id.0[0]; 32]).hex())).unwrap();
    std::fs::write(store.root().join("data/README"), b"x").unwrap();
    std::fs::create_dir(store.root().join("tmp")).unwrap();
    let listed = store.list(FileKind::Pack).unwrap();
    let expected = Listed {
        id: pack(b"p").id,
        size: 2,
    };
    assert_eq!(listed, [expected]);
    std::fs::remove_dir_all(store.root().join("index")).unwrap();
    assert!(store.list(FileKind::Index).unwrap().is_empty());
}

#[test]
fn a_file_that_became_short_is_damaged_and_a_huge_one_is_refused() {
    let (_dir, store) = repository();
    store.put(pack(b"p"), b"0123456789").unwrap();
    let error = store.get_range(pack(b"p"), 8, 3).unwrap_err();
    assert_eq!(error.code(), Code::Damaged);
    assert_eq!(error.object(), pack(b"p").to_string());
    let overflow = store.get_range(pack(b"p"), u64::MAX, 2).unwrap_err();
    assert_eq!(overflow.code(), Code::Damaged);
    let file = std::fs::File::create(store.path(FileName::CONFIG)).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = store.get(FileName::CONFIG).unwrap_err();
    assert_eq!(error.code(), Code::LimitExceeded);
}

#[test]
fn crashed_writers_leave_files_that_can_be_removed() {
    let (_dir, store) = repository();
    store.put(pack(b"p"), b"p").unwrap();
    let stale = store
        .folder(pack(b"p"))
        .join(format!("{}-tmp-1", pack(b"p").id));
    std::fs::write(&stale, b"half").unwrap();
    std::fs::write(store.root().join("config-tmp-00aa"), b"half").unwrap();
    std::fs::write(store.root().join("other-tmp-00aa"), b"keep").unwrap();
    let future = Timestamp {
        secs: i64::MAX,
        nanos: 0,
    };
    assert_eq!(store.remove_leftovers(future).unwrap(), 2);
    assert!(!stale.exists() && store.root().join("other-tmp-00aa").exists());
    assert_eq!(store.get(pack(b"p")).unwrap(), b"p");
}

#[test]
fn every_wrapper_passes_the_removal_of_leftovers_on() {
    use crate::store::{
        cache::Cache, fault, latch::Latch, limit::Limit, one_writer::OneWriter, retry::Retry,
    };
    let (dir, store) = repository();
    let inner: Arc<dyn Store> = Arc::new(store);
    let clock = crate::testkit::SimClock::new();
    let cached = Cache::open(
        inner.clone(),
        &dir.path().join("cache"),
        &"c".repeat(64),
        1,
        &*clock,
    );
    let wrappers: [Arc<dyn Store>; 6] = [
        Arc::new(cached.unwrap()),
        Arc::new(Latch::new(inner.clone())),
        Arc::new(OneWriter::new(inner.clone()).unwrap()),
        Arc::new(Limit::new(inner.clone(), clock.clone(), 1, 1)),
        Arc::new(Retry::new(inner.clone(), clock.clone(), Duration::ZERO)),
        Arc::new(fault::Faults::new(inner.clone(), clock, fault::Plan::NONE)),
    ];
    let leftover = dir.path().join("repo/config-tmp-00aa");
    let long_ago = Timestamp { secs: 1, nanos: 0 };
    let future = Timestamp {
        secs: i64::MAX,
        nanos: 0,
    };
    for wrapper in wrappers {
        std::fs::write(&leftover, b"half").unwrap();
        assert_eq!(wrapper.remove_leftovers(long_ago).unwrap(), 0);
        assert_eq!(wrapper.remove_leftovers(future).unwrap(), 1);
        assert!(!leftover.exists());
    }
}

#[test]
fn prefixes_are_two_lower_case_digits() {
    assert_eq!(prefix_of(b"ab"), Some(0xab));
    for other in ["", "a", "abc", "AB", "g0", ".."] {
        assert_eq!(prefix_of(other.as_bytes()), None, "{other}");
    }
}
