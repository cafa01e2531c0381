//! What the engine relies on in a store, as tests for any of them: the real one, and those that are made (a simulator's).
//! Hangs on nothing but the engine's types, so that tests elsewhere can take this file in.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use obhut_bep::{Blocks, DeviceId, FileInfo, HASH, Kind, ShortId, Vector};
use obhut_sync::io::{Change, Facts, FactsKind, Meta};

/// What keeps the changes of one folder.
pub trait Keep {
    /// Why it cannot.
    type Error: Debug;

    /// Gives back the newest of each, never more than `batch` at a time, [`Change::RemoteReset`] of a device before its
    /// entries; what the disk showed comes with the entry.
    fn load(&mut self, batch: usize, take: &mut dyn FnMut(Vec<Change>)) -> Result<(), Self::Error>;

    /// Keeps all changes, in their order, or none of them; they last when this returns.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Self::Error>;
}

/// Where stores lie, and how they come to harm.
pub trait Shelf {
    /// A store that is open.
    type Store: Keep;

    /// Opens the store of a folder, or makes it.
    fn open(&mut self, folder: &str) -> Self::Store;

    /// The power fails while nothing is being done.
    fn fail(&mut self, folder: &str, store: Self::Store);

    /// The power fails at some moment of a commit; which one hangs on `chance`.
    fn fail_within(&mut self, folder: &str, store: Self::Store, changes: &[Change], chance: u64);
}

/// What a store should know. Also what makes two of them comparable: none of it hangs on the order of loading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    meta: Option<Meta>,
    local: BTreeMap<String, (Arc<FileInfo>, Option<Facts>)>,
    remote: BTreeMap<DeviceId, (u64, BTreeMap<String, Arc<FileInfo>>)>,
}

impl Known {
    /// One more change. What was observed of an item without an entry is not kept. A life of 0 is none: a device with it is
    /// not known at all until an entry of it comes.
    pub fn take(&mut self, change: &Change) {
        match change.clone() {
            Change::Meta(meta) => self.meta = Some(meta),
            Change::Local { info, observed } => {
                self.local.insert(info.name.clone(), (info, observed));
            }
            Change::Observed { name, observed } => {
                if let Some(item) = self.local.get_mut(&name) {
                    item.1 = Some(observed);
                }
            }
            Change::Remote { device, info } => {
                let entries = &mut self.remote.entry(device).or_default().1;
                entries.insert(info.name.clone(), info);
            }
            Change::RemoteReset { device, index_id } => {
                self.remote.remove(&device);
                if index_id != 0 {
                    self.remote.insert(device, (index_id, BTreeMap::new()));
                }
            }
        }
    }

    /// What it knows after all of them.
    #[must_use]
    pub fn with(&self, changes: &[Change]) -> Self {
        let mut after = self.clone();
        for change in changes {
            after.take(change);
        }
        after
    }

    /// What a store gives back; each of it once, and in an order that the engine can use.
    pub fn of(store: &mut impl Keep, batch: usize) -> Self {
        let mut known = Self::default();
        let mut take = |changes: Vec<Change>| {
            assert!(
                (1..=batch).contains(&changes.len()),
                "{} changes in a piece",
                changes.len()
            );
            for change in changes {
                known.take_loaded(&change);
            }
        };
        store.load(batch, &mut take).expect("it can be loaded");
        known
    }

    fn take_loaded(&mut self, change: &Change) {
        let twice = match change {
            Change::Meta(_) => self.meta.is_some(),
            Change::Local { info, .. } => self.local.contains_key(&info.name),
            Change::RemoteReset { device, .. } => self.remote.contains_key(device),
            Change::Remote { device, info } => match self.remote.get(device) {
                Some((_, entries)) => entries.contains_key(&info.name),
                None => panic!("an entry before its device"),
            },
            Change::Observed { .. } => panic!("what was observed comes with the entry"),
        };
        assert!(!twice, "loaded twice: {change:?}");
        // Not `take`: a life of 0 before entries is said, and is a device.
        if let Change::RemoteReset { device, index_id } = change {
            self.remote.insert(*device, (*index_id, BTreeMap::new()));
        } else {
            self.take(change);
        }
    }
}

/// All of it. `make` gives an empty shelf each time.
pub fn contract<S: Shelf>(mut make: impl FnMut() -> S) {
    nothing_is_in_a_new_one(&mut make());
    the_newest_of_each_comes_back(&mut make());
    resets_forget_one_device(&mut make());
    later_changes_of_a_commit_win(&mut make());
    what_is_committed_outlives_the_power(&mut make());
    a_commit_is_all_or_nothing(&mut make);
    folders_know_nothing_of_each_other(&mut make());
    any_history(&mut make);
}

fn commit(store: &mut impl Keep, changes: &[Change]) {
    store.commit(changes).expect("it can be kept");
}

fn local(name: &str, number: u64) -> Change {
    Change::Local {
        info: Arc::new(named(name, number)),
        observed: number.is_multiple_of(2).then(|| facts_of(number)),
    }
}

fn remote(device: u8, name: &str, number: u64) -> Change {
    Change::Remote {
        device: DeviceId([device; 32]),
        info: Arc::new(named(name, number)),
    }
}

fn reset(device: u8, index_id: u64) -> Change {
    Change::RemoteReset {
        device: DeviceId([device; 32]),
        index_id,
    }
}

fn named(name: &str, number: u64) -> FileInfo {
    FileInfo {
        name: name.to_owned(),
        ..info_of(number)
    }
}

fn nothing_is_in_a_new_one<S: Shelf>(shelf: &mut S) {
    let mut store = shelf.open("f");
    assert_eq!(Known::of(&mut store, 10), Known::default());
    commit(&mut store, &[]);
    assert_eq!(Known::of(&mut store, 10), Known::default());
}

fn the_newest_of_each_comes_back<S: Shelf>(shelf: &mut S) {
    let mut store = shelf.open("f");
    let mut known = Known::default();
    let commits = [
        vec![meta_of(1), local("a", 1), local("b", 2), remote(1, "a", 3)],
        vec![local("a", 4), remote(1, "a", 5), meta_of(6)],
        vec![
            Change::Observed {
                name: "a".to_owned(),
                observed: facts_of(7),
            },
            Change::Observed {
                name: "nobody's".to_owned(),
                observed: facts_of(8),
            },
        ],
        // The older sequence came later: what came later counts.
        vec![local("b", 1), local("b", 0)],
    ];
    for changes in commits {
        commit(&mut store, &changes);
        known = known.with(&changes);
        for batch in [1, 2, 1000] {
            assert_eq!(Known::of(&mut store, batch), known);
        }
    }
}

fn resets_forget_one_device<S: Shelf>(shelf: &mut S) {
    let mut store = shelf.open("f");
    let mut known = Known::default();
    let commits = [
        vec![
            reset(1, u64::MAX),
            remote(1, "a", 1),
            reset(2, 1 << 63),
            remote(2, "a", 2),
            local("a", 3),
        ],
        vec![reset(1, 5), remote(1, "b", 4)],
        vec![reset(2, 0)],
        vec![remote(2, "c", 5)],
        vec![reset(1, 7), reset(1, 8)],
        vec![reset(3, 0), reset(3, 9), remote(3, "d", 6), reset(3, 0)],
    ];
    for changes in commits {
        commit(&mut store, &changes);
        known = known.with(&changes);
        assert_eq!(Known::of(&mut store, 3), known);
    }
}

fn later_changes_of_a_commit_win<S: Shelf>(shelf: &mut S) {
    let mut store = shelf.open("f");
    let changes = [
        remote(1, "a", 1),
        reset(1, 3),
        remote(1, "b", 2),
        local("a", 1),
        local("a", 2),
        meta_of(1),
        meta_of(2),
    ];
    commit(&mut store, &changes);
    assert_eq!(
        Known::of(&mut store, 100),
        Known::default().with(&changes[1..])
    );
}

fn what_is_committed_outlives_the_power<S: Shelf>(shelf: &mut S) {
    let mut known = Known::default();
    for round in 0..5 {
        let mut store = shelf.open("f");
        assert_eq!(Known::of(&mut store, 100), known, "round {round}");
        let changes: Vec<_> = (0..20).map(|at| change_of(round * 20 + at)).collect();
        commit(&mut store, &changes);
        known = known.with(&changes);
        shelf.fail("f", store);
    }
}

fn a_commit_is_all_or_nothing<S: Shelf>(make: &mut impl FnMut() -> S) {
    let (mut all, mut none) = (0, 0);
    for round in 0..40 {
        let mut shelf = make();
        let mut store = shelf.open("f");
        let first: Vec<_> = (0..30)
            .map(|at| change_of(mixed(round * 100 + at)))
            .collect();
        commit(&mut store, &first);
        let before = Known::default().with(&first);
        let mut second: Vec<_> = (30..60)
            .map(|at| change_of(mixed(round * 100 + at)))
            .collect();
        second.push(meta_of(round + 1_000_000));
        shelf.fail_within("f", store, &second, mixed(round));
        let found = Known::of(&mut shelf.open("f"), 100);
        if found == before {
            none += 1;
        } else {
            assert_eq!(found, before.with(&second), "round {round}");
            all += 1;
        }
    }
    assert!(none > 0, "{all} commits held, none was cut");
}

fn folders_know_nothing_of_each_other<S: Shelf>(shelf: &mut S) {
    let (mut one, mut other) = (shelf.open("f"), shelf.open("g"));
    let (first, second) = (
        [local("a", 1), meta_of(1)],
        [local("a", 2), remote(1, "b", 3)],
    );
    commit(&mut one, &first);
    commit(&mut other, &second);
    commit(&mut one, &[reset(1, 4)]);
    assert_eq!(
        Known::of(&mut one, 100),
        Known::default().with(&first).with(&[reset(1, 4)])
    );
    assert_eq!(Known::of(&mut other, 100), Known::default().with(&second));
}

fn any_history<S: Shelf>(make: &mut impl FnMut() -> S) {
    for seed in 0..10 {
        let mut shelf = make();
        let mut store = shelf.open("f");
        let mut known = Known::default();
        for round in 0..10_u64 {
            let chance = mixed(seed * 1000 + round);
            let changes: Vec<_> = (0..chance % 40)
                .map(|at| change_of(mixed(chance ^ at)))
                .collect();
            commit(&mut store, &changes);
            known = known.with(&changes);
            if chance & 0x300 == 0 {
                shelf.fail("f", store);
                store = shelf.open("f");
            }
            assert_eq!(Known::of(&mut store, 7), known, "seed {seed} round {round}");
        }
    }
}

/// A number that hangs on another one as by chance (`SplitMix64`).
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A change for each number; few names and devices, so that they meet again.
pub fn change_of(number: u64) -> Change {
    let chance = mixed(number);
    let device = DeviceId([(chance >> 8 & 3) as u8; 32]);
    match chance & 15 {
        0..=4 => Change::Local {
            info: Arc::new(info_of(number)),
            observed: (chance & 16 == 0).then(|| facts_of(number)),
        },
        5..=6 => Change::Observed {
            name: name_of(number),
            observed: facts_of(number),
        },
        7..=12 => Change::Remote {
            device,
            info: Arc::new(info_of(number)),
        },
        13 => Change::RemoteReset {
            device,
            index_id: if chance & 16 == 0 { 0 } else { chance },
        },
        _ => meta_of(number),
    }
}

/// What is known of ourselves, for each number another one.
pub fn meta_of(number: u64) -> Change {
    Change::Meta(Meta {
        index_id: mixed(number ^ 1),
        ceiling: number,
        generation: mixed(number ^ 2),
        previous_generation: mixed(number ^ 3),
        first: number / 2,
        runs: (0..number % 5).map(|at| (at * 10, at * 10 + 3)).collect(),
    })
}

fn name_of(number: u64) -> String {
    let chance = mixed(number ^ 4);
    // Names that are equal to eyes, or to those who do not tell cases apart, are not the same.
    let forms = ["a", "A", "a/ä", "a/a\u{308}", "a b", "a\nb", "日本", "x"];
    format!("{}{}", forms[(chance & 7) as usize], chance >> 8 & 1)
}

/// An entry for each number. It need not be one that peers may send: a store keeps what it is given.
pub fn info_of(number: u64) -> FileInfo {
    let chance = mixed(number ^ 5);
    let bit = |at: u32| chance >> at & 1 == 1;
    let counters = (0..chance & 3).map(|at| (ShortId(mixed(at)), mixed(number ^ at)));
    let hashes = (0..chance >> 2 & 7)
        .flat_map(|at| [mixed(number ^ at) as u8; HASH])
        .collect();
    FileInfo {
        name: name_of(number),
        kind: [Kind::File, Kind::Directory, Kind::Symlink, Kind::File][(chance >> 5 & 3) as usize],
        size: chance >> (chance >> 7 & 63),
        permissions: (chance >> 13 & 0o777) as u32,
        no_permissions: bit(22),
        modified: (mixed(number) as i64 >> (chance >> 23 & 63), chance as i32),
        modified_by: ShortId(mixed(number ^ 6)),
        deleted: bit(29),
        invalid: bit(30),
        version: Vector::new(counters),
        sequence: mixed(number ^ 7) >> (chance >> 31 & 63),
        block_size: if bit(37) { 0 } else { 128 << 10 },
        blocks: Blocks::new(hashes).unwrap_or_default(),
        symlink_target: vec![b'/'; (chance >> 38 & 3) as usize],
        previous_blocks_hash: bit(40).then_some([chance as u8; HASH]),
        platform: vec![0xff; (chance >> 41 & 3) as usize],
        encrypted: bit(43),
    }
}

/// What a disk showed, for each number.
pub fn facts_of(number: u64) -> Facts {
    let chance = mixed(number ^ 8);
    Facts {
        kind: [
            FactsKind::File,
            FactsKind::Directory,
            FactsKind::Symlink,
            FactsKind::Other,
        ][(chance & 3) as usize],
        size: chance >> (chance >> 2 & 63),
        modified: (mixed(number) as i64 >> (chance >> 8 & 63), chance as i32),
        changed: (-(number as i64 >> 1), 999_999_999),
        mode: (chance >> 14 & 0o7777) as u32,
        device: mixed(number ^ 9),
        inode: number,
        target: vec![0; (chance >> 26 & 3) as usize],
    }
}
