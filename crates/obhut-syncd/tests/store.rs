//! The store on a disk: the contract, power that fails, bytes that turn, versions to come.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout)] // Tests make files and tell of what they saw.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use obhut_bep::{Blocks, DeviceId, FileInfo, ShortId, Vector};
use obhut_sync::io::{Change, Facts, Meta};
use obhut_syncd::store::contract::{Known, Shelf, change_of, contract, mixed};
use obhut_syncd::store::{Error, Store, set_aside};
use proptest::prelude::*;
use tempfile::TempDir;

/// A directory of stores.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.0.path().join(format!("{folder}.sqlite"))
    }
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

impl Shelf for Disk {
    type Store = Store;

    fn open(&mut self, folder: &str) -> Store {
        Store::open(&self.path(folder)).unwrap()
    }

    /// What is on the disk is taken before the store can tidy up.
    fn fail(&mut self, folder: &str, store: Store) {
        let path = self.path(folder);
        let held = (
            std::fs::read(&path).unwrap(),
            std::fs::read(log_of(&path)).unwrap(),
        );
        drop(store);
        std::fs::write(&path, held.0).unwrap();
        std::fs::write(log_of(&path), held.1).unwrap();
    }

    /// The log is as long as it came to the disk; what was there before is, what follows is cut anywhere, or is zeros.
    fn fail_within(&mut self, folder: &str, mut store: Store, changes: &[Change], chance: u64) {
        let path = self.path(folder);
        let before = std::fs::metadata(log_of(&path)).unwrap().len();
        store.commit(changes).unwrap();
        let mut log = std::fs::read(log_of(&path)).unwrap();
        let added = log.len() as u64 - before;
        let cut = (before + chance % (added + 1)) as usize;
        if chance >> 32 & 1 == 0 {
            log.truncate(cut);
        } else {
            log[cut..].fill(0);
        }
        self.fail(folder, store);
        std::fs::write(log_of(&path), log).unwrap();
    }
}

#[test]
fn the_contract() {
    contract(Disk::new);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_changes_come_back(commits in prop::collection::vec((prop::collection::vec(any::<u64>(), 0..30), 0..4_u8), 0..8)) {
        let mut disk = Disk::new();
        let mut store = disk.open("f");
        let mut known = Known::default();
        for (numbers, then) in commits {
            let changes: Vec<_> = numbers.into_iter().map(change_of).collect();
            store.commit(&changes).unwrap();
            known = known.with(&changes);
            match then {
                0 => disk.fail("f", store),
                1 => drop(store),
                _ => {
                    prop_assert_eq!(Known::of(&mut store, 5), known.clone());
                    continue;
                }
            }
            store = disk.open("f");
        }
        prop_assert_eq!(Known::of(&mut store, 64), known);
    }
}

/// So many changes has each commit of the writer below.
const EACH: u64 = 50;

fn commit_number(number: u64) -> Vec<Change> {
    let mut changes: Vec<_> = (0..EACH)
        .map(|at| change_of(mixed(number * EACH + at)))
        .collect();
    changes.push(Change::Meta(Meta {
        ceiling: number,
        ..Meta::default()
    }));
    changes
}

/// No test of its own: what the test below kills.
#[test]
#[ignore = "the writer of another test"]
fn writer() {
    let Some(path) = std::env::var_os("OBHUT_STORE_WRITER") else {
        return;
    };
    let mut store = Store::open(Path::new(&path)).unwrap();
    for number in 1.. {
        store.commit(&commit_number(number)).unwrap();
        std::fs::write(Path::new(&path).with_extension("done"), number.to_string()).unwrap();
    }
}

#[test]
fn a_writer_that_is_killed_leaves_whole_commits() {
    for round in 0..6_u64 {
        let disk = Disk::new();
        let path = disk.path("f");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored", "--quiet"])
            .env("OBHUT_STORE_WRITER", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !path.with_extension("done").exists() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(mixed(round) % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut store = Store::open(&path).unwrap();
        let found = Known::of(&mut store, 100);
        let mut ceiling = 0;
        store
            .load(1, |changes| {
                if let Change::Meta(meta) = &changes[0] {
                    ceiling = meta.ceiling;
                }
            })
            .unwrap();
        let mut known = Known::default();
        for number in 1..=ceiling {
            known = known.with(&commit_number(number));
        }
        assert_eq!(found, known, "after {ceiling} commits");
        let said: u64 = std::fs::read_to_string(path.with_extension("done"))
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        assert!(
            ceiling >= said,
            "{said} commits were promised, {ceiling} are there"
        );
    }
}

fn filled(path: &Path, commits: u64) -> Known {
    let mut store = Store::open(path).unwrap();
    let mut known = Known::default();
    for number in 1..=commits {
        store.commit(&commit_number(number)).unwrap();
        known = known.with(&commit_number(number));
    }
    known
}

#[test]
fn damage_is_seen_and_set_aside() {
    let disk = Disk::new();
    let path = disk.path("f");
    let known = filled(&path, 6);
    let whole = std::fs::read(&path).unwrap();
    let (mut seen, mut harmless) = (0, 0);
    for round in 0..200_u64 {
        let mut bytes = whole.clone();
        let at = (mixed(round) % bytes.len() as u64) as usize;
        match round % 4 {
            0 => bytes.truncate(at),
            1 => {
                let end = bytes.len().min(at + 512);
                bytes[at..end].fill(0);
            }
            _ => bytes[at] ^= 1 << (round / 4 % 8),
        }
        std::fs::write(&path, bytes).unwrap();
        let opened = Store::open(&path).and_then(|mut store| store.check().map(|()| store));
        match opened {
            Err(Error::Damaged(_)) => seen += 1,
            // A file of no bytes is a new one, and room that nothing uses may be anything; a number of a program or a
            // version that turned makes it somebody else's.
            Err(Error::Foreign | Error::Newer { .. }) => harmless += 1,
            Ok(mut store) => {
                let found = Known::of(&mut store, 100);
                assert!(
                    found == known || found == Known::default(),
                    "round {round}: byte {at}"
                );
                harmless += 1;
            }
            Err(other) => panic!("round {round}: {other}"),
        }
        std::fs::remove_file(log_of(&path)).ok();
    }
    println!("{seen} damages were seen, {harmless} did no harm");
    assert!(seen > 50);

    std::fs::write(
        &path,
        b"no database at all, but longer than its header would be".repeat(9),
    )
    .unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Damaged(_))));
    let aside = set_aside(&path).unwrap();
    assert!(aside.exists() && !path.exists());
    assert_eq!(
        Known::of(&mut Store::open(&path).unwrap(), 1),
        Known::default()
    );
}

#[test]
fn a_log_without_its_database_is_of_no_use() {
    let mut disk = Disk::new();
    let path = disk.path("f");
    let mut store = disk.open("f");
    store.commit(&commit_number(1)).unwrap();
    disk.fail("f", store);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Known::of(&mut disk.open("f"), 1), Known::default());
}

#[test]
fn others_are_left_alone() {
    let disk = Disk::new();
    let path = disk.path("f");
    drop(filled(&path, 1));
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert_eq!(refused, Error::Newer { found: 2, known: 1 });
    assert_eq!(
        refused.to_string(),
        "the index has version 2; this Obhut knows versions up to 1"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let path = disk.path("g");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE mine (a)").unwrap();
    drop(database);
    assert_eq!(Store::open(&path).unwrap_err(), Error::Foreign);
}

#[test]
fn one_at_a_time() {
    let mut disk = Disk::new();
    let first = disk.open("f");
    assert_eq!(Store::open(&disk.path("f")).unwrap_err(), Error::Busy);
    drop(first);
    disk.open("f");
}

/// Entries as most are: a name of four parts, two blocks, two counters.
fn usual(number: u64) -> FileInfo {
    FileInfo {
        name: format!(
            "photos/{}/{}/picture-{number:08}.jpg",
            number % 30,
            number % 900
        ),
        size: 200_000,
        permissions: 0o644,
        modified: (1_700_000_000 + number as i64, 123_456_789),
        modified_by: ShortId(mixed(1)),
        version: Vector::new([(ShortId(mixed(1)), 1_700_000_000), (ShortId(mixed(2)), 3)]),
        sequence: number,
        block_size: 128 << 10,
        blocks: Blocks::new(
            (0..8)
                .flat_map(|at| mixed(number + at).to_le_bytes())
                .collect(),
        )
        .unwrap(),
        ..FileInfo::default()
    }
}

/// A person's tree at the start of a day: half of it local, half another device's. Prints what it took (`--nocapture`).
#[test]
fn many_entries_load_in_little_time() {
    let disk = Disk::new();
    let path = disk.path("f");
    let count = 100_000;
    let mut store = Store::open(&path).unwrap();
    let begun = Instant::now();
    for first in (0..count).step_by(1000) {
        let mut changes = Vec::new();
        for number in first..first + 1000 {
            let info = Arc::new(usual(number));
            changes.push(Change::Local {
                info: Arc::clone(&info),
                observed: Some(Facts {
                    size: 200_000,
                    inode: number,
                    ..Facts::default()
                }),
            });
            changes.push(Change::Remote {
                device: DeviceId([1; 32]),
                info,
            });
        }
        store.commit(&changes).unwrap();
    }
    drop(store);
    let written = begun.elapsed();
    let mut store = Store::open(&path).unwrap();
    let begun = Instant::now();
    store.check().unwrap();
    let checked = begun.elapsed();
    let begun = Instant::now();
    let mut found = 0;
    store.load(1000, |changes| found += changes.len()).unwrap();
    let loaded = begun.elapsed();
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!(
        "{found} changes: written in {written:?}, checked in {checked:?}, loaded in {loaded:?}, {bytes} bytes"
    );
    assert_eq!(found as u64, 2 * count + 1);
    assert!(loaded < Duration::from_secs(20));
}
