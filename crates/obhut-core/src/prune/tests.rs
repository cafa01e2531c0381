//! Prune as a whole: random histories, runs beside it, faults at every call, cancel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;

use super::testworld::{Content, World, chunk, content};
use super::{MaxUnused, Plan, PruneOptions};
use crate::error::Code;
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::Index;
use crate::job::Control;
use crate::store::fault::{Fault, Faults, Plan as FaultPlan};
use crate::store::{Capabilities, Listed, Store};
use crate::world::{Clock, SystemClock};

/// Everything unused goes.
fn thorough() -> PruneOptions {
    PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        ..PruneOptions::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// With or without knowing what is stored already.
    Backup(Content, bool),
    Forget(prop::sample::Index),
    Prune(PruneOptions),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = ((0..3u8, 0..4u8), prop::collection::vec(0..24u8, 0..5));
    let files = prop::collection::btree_map(file.0, file.1, 0..6);
    let max_unused = prop_oneof![
        Just(MaxUnused::Bytes(0)),
        Just(MaxUnused::Percent(30.0)),
        Just(MaxUnused::Unlimited),
    ];
    let prune = (max_unused, any::<bool>(), any::<bool>()).prop_map(|(max, cacheable, raw)| {
        Step::Prune(PruneOptions {
            max_unused: max,
            repack_cacheable_only: cacheable,
            repack_uncompressed: raw,
            ..PruneOptions::default()
        })
    });
    let step = prop_oneof![
        4 => (files, any::<bool>()).prop_map(|(files, knows)| Step::Backup(files, knows)),
        2 => any::<prop::sample::Index>().prop_map(Step::Forget),
        2 => prune,
    ];
    prop::collection::vec(step, 1..12)
}

fn cases(default: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(default)
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// After every prune all snapshots hold what they held, the check finds nothing, nothing lies about
    /// unnamed, and no more is unused than was allowed.
    #[test]
    fn histories_keep_every_snapshot(steps in steps(), threads in 1..3usize) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Backup(files, knows) => {
                    let known = if knows { world.index() } else { Arc::new(Index::default()) };
                    world.backup(&files, known);
                }
                Step::Forget(which) if !world.snapshots.is_empty() => {
                    world.forget(which.index(world.snapshots.len()));
                }
                Step::Forget(_) => {}
                Step::Prune(options) => {
                    let mut plan = world.plan(&options).unwrap();
                    let promised = plan.summary().stats.bytes.remaining_unused;
                    world.carry_out(&mut plan, threads).unwrap();
                    world.assert_restores();
                    let report = world.assert_sound();
                    prop_assert_eq!(report.orphaned_packs, 0);
                    let after = world.plan(&options).unwrap().summary().stats.bytes;
                    prop_assert_eq!(after.unused + after.duplicate, promised);
                    if !options.repack_cacheable_only {
                        prop_assert!(promised <= options.max_unused.limit(after.used));
                    }
                }
            }
        }
        world.assert_restores();
        world.assert_sound();
    }

    /// A backup beside the prune, before the repack or after it, that refers to blobs which the plan drops.
    #[test]
    fn a_backup_beside_the_prune_loses_nothing(
        old in steps_content(), kept in steps_content(), new in steps_content(), late in any::<bool>(),
    ) {
        let mut world = World::new();
        let first = world.backup(&old, world.index());
        world.backup(&kept, world.index());
        let stale = world.index();
        let at = world.snapshots.keys().position(|id| *id == first).unwrap();
        world.forget(at);
        let control = Control::new();
        let mut plan = world.plan(&thorough()).unwrap();
        if late {
            plan.repack(&world.repo, &control, 1).unwrap();
        }
        // The run loaded the index before, so it takes everything of `old` for stored.
        let mut both = old.clone();
        both.extend(new);
        world.backup(&both, stale);
        if !late {
            plan.repack(&world.repo, &control, 1).unwrap();
        }
        let report = plan.swap_index(&world.repo, &control, 1).unwrap();
        prop_assert_eq!(report.new_snapshots, 1);
        plan.delete_packs(&world.repo, &control, 1).unwrap();
        world.assert_restores();
        prop_assert_eq!(world.assert_sound().orphaned_packs, 0);
        world.prune(&thorough()).unwrap();
        world.assert_restores();
        prop_assert_eq!(world.assert_sound().unused_blobs, 0);
    }
}

fn steps_content() -> impl Strategy<Value = Content> {
    let chunks = prop::collection::vec(0..24u8, 1..4);
    prop::collection::btree_map((0..2u8, 0..3u8), chunks, 1..4)
}

/// Two snapshots that share blobs, a forgotten one, duplicates, and an unindexed pack.
fn scenario() -> World {
    let mut world = World::new();
    let nothing = || Arc::new(Index::default());
    world.backup(&content(&[(0, 0, &[1, 2, 3]), (1, 0, &[4])]), nothing());
    world.backup(&content(&[(0, 0, &[1, 5]), (2, 1, &[6, 7])]), world.index());
    world.backup(&content(&[(0, 1, &[2, 8, 9])]), nothing());
    let forgotten = content(&[(0, 0, &[1, 2, 3]), (1, 0, &[4])]);
    let at = world.snapshots.values().position(|c| *c == forgotten);
    world.forget(at.unwrap());
    let orphan = b"not a pack that any index names";
    let name = FileName::new(FileKind::Pack, Id::of(orphan));
    world.repo.store().put(name, orphan).unwrap();
    world
}

#[test]
fn everything_unused_goes() {
    let world = scenario();
    let (swapped, deleted) = world.prune(&thorough()).unwrap();
    assert_eq!(swapped.packs_unindexed, 1);
    assert_eq!(deleted.deleted, swapped.packs_removed + 1);
    world.assert_restores();
    let report = world.assert_sound();
    assert_eq!((report.unused_blobs, report.orphaned_packs), (0, 0));
    // What is tidy is left alone.
    let before = world.memory.files();
    world.prune(&thorough()).unwrap();
    assert!(world.memory.files() == before);
}

#[test]
fn a_plan_alone_changes_nothing() {
    let world = scenario();
    let before = world.memory.files();
    let plan = world.plan(&thorough()).unwrap();
    assert!(plan.summary().stats.packfiles.repack > 0);
    assert!(world.memory.files() == before);
}

#[test]
fn steps_come_in_order_and_once() {
    let world = scenario();
    let control = Control::new();
    let mut plan = world.plan(&thorough()).unwrap();
    let error = plan.swap_index(&world.repo, &control, 1).unwrap_err();
    assert_eq!(error.code(), Code::PlanVoid);
    world.carry_out(&mut plan, 1).unwrap();
    let error = plan.repack(&world.repo, &control, 1).unwrap_err();
    assert_eq!(error.code(), Code::PlanVoid);
}

#[test]
fn a_vanished_index_file_voids_the_plan() {
    let world = scenario();
    let control = Control::new();
    let mut plan = world.plan(&thorough()).unwrap();
    plan.repack(&world.repo, &control, 1).unwrap();
    world.prune(&thorough()).unwrap();
    let before = world.memory.files();
    let error = plan.swap_index(&world.repo, &control, 1).unwrap_err();
    assert_eq!(error.code(), Code::PlanVoid);
    assert!(world.memory.files() == before);
    assert!(plan.delete_packs(&world.repo, &control, 1).is_err());
    world.assert_restores();
}

#[test]
fn a_pack_of_a_running_backup_is_not_unindexed_when_its_index_comes() {
    let mut world = scenario();
    let files = world.memory.files();
    world.backup(&content(&[(5, 5, &[20, 21])]), world.index());
    let after = world.memory.files();
    // The packs are there, the index and snapshot not yet.
    let early = after
        .iter()
        .filter(|(name, _)| files.contains_key(name) || name.kind == FileKind::Pack);
    world.load(early.map(|(n, b)| (*n, Arc::clone(b))).collect());
    let control = Control::new();
    let mut plan = world.plan(&thorough()).unwrap();
    plan.repack(&world.repo, &control, 1).unwrap();
    for (name, bytes) in &after {
        if !files.contains_key(name) && name.kind != FileKind::Pack {
            world.memory.put(*name, bytes).unwrap();
        }
    }
    let report = plan.swap_index(&world.repo, &control, 1).unwrap();
    assert_eq!(report.packs_unindexed, 1, "only the real orphan");
    plan.delete_packs(&world.repo, &control, 1).unwrap();
    world.assert_restores();
    world.assert_sound();
}

#[test]
fn packs_taken_back_into_an_index_are_not_deleted() {
    let world = scenario();
    let control = Control::new();
    let mut plan = world.plan(&thorough()).unwrap();
    plan.repack(&world.repo, &control, 1).unwrap();
    let old = world.index();
    plan.swap_index(&world.repo, &control, 1).unwrap();
    // Somebody repairs the index between the locks: all packs are named again.
    let mut packs: Vec<(Id, Vec<crate::pack::PackedBlob>)> = Vec::new();
    for pack in old.packs() {
        let entries = (0..old.len()).map(|slot| old.entry(slot));
        let of_pack = entries.filter(|e| e.location.pack == *pack);
        let blobs = of_pack.map(|e| crate::pack::PackedBlob {
            kind: e.kind,
            id: e.id,
            offset: e.location.offset,
            length: e.location.length,
            uncompressed: e.location.uncompressed,
        });
        packs.push((*pack, blobs.collect()));
    }
    let json = crate::index::file::encode(&packs);
    world.repo.save_unpacked(FileKind::Index, &json).unwrap();
    let report = plan.delete_packs(&world.repo, &control, 1).unwrap();
    assert!(report.spared > 0);
    world.assert_restores();
    world.assert_sound();
}

/// Flips a byte of the copies of chunks in a pack.
fn damage(world: &World, pack: Id, chunks: &[u8]) {
    let index = world.index();
    let name = FileName::new(FileKind::Pack, pack);
    let mut bytes = world.memory.get(name).unwrap();
    for n in chunks {
        let slots = index.slots(BlobKind::Data, &Id::of(&chunk(*n)));
        let at = slots.map(|slot| index.entry(slot).location);
        let here = at.clone().find(|at| at.pack == pack).unwrap();
        bytes[here.offset as usize + 20] ^= 1;
    }
    world.memory.overwrite(name, &bytes);
}

/// The pack that holds the only copy of a chunk.
fn pack_of(world: &World, n: u8) -> Id {
    let index = world.index();
    index.get(BlobKind::Data, &Id::of(&chunk(n))).unwrap().pack
}

/// Two packs with copies of 1, 2 and 3; both are repacked, and the copies of the first are taken.
fn two_copies() -> (World, Id) {
    loop {
        let mut world = World::new();
        let all = content(&[(0, 0, &[1, 2, 3]), (0, 1, &[5]), (0, 2, &[30])]);
        let gone = world.backup(&all, world.index());
        world.backup(&content(&[(0, 1, &[5])]), world.index());
        let other = content(&[(0, 0, &[1, 2, 3, 4]), (0, 3, &[31])]);
        world.backup(&other, Arc::new(Index::default()));
        let at = world.snapshots.keys().position(|id| *id == gone);
        world.forget(at.unwrap());
        let (first, second) = (pack_of(&world, 5), pack_of(&world, 4));
        if first < second {
            return (world, first);
        }
    }
}

#[test]
fn a_damaged_copy_is_replaced_by_another() {
    let (world, pack) = two_copies();
    damage(&world, pack, &[1, 3]);
    let (_, errors) = world.check();
    assert!(errors.iter().any(|e| e.contains(&pack.hex())), "{errors:?}");
    let control = Control::new();
    let mut plan = world.plan(&thorough()).unwrap();
    assert_eq!(plan.repack(&world.repo, &control, 1).unwrap().blobs, 6);
    let told = control.drain_errors();
    assert_eq!(told.len(), 2);
    assert!(told[0].error.object().contains(&pack.hex()));
    plan.swap_index(&world.repo, &control, 1).unwrap();
    plan.delete_packs(&world.repo, &control, 1).unwrap();
    world.assert_restores();
    world.assert_sound();
}

#[test]
fn a_damaged_only_copy_stops_the_prune() {
    let (world, pack) = two_copies();
    damage(&world, pack, &[5]);
    let before = world.memory.files();
    let error = world.prune(&thorough()).unwrap_err();
    assert_eq!(error.code(), Code::Damaged);
    assert!(error.object().contains(&pack.hex()), "{error}");
    let after = world.memory.files();
    assert!(before.keys().all(|name| after.contains_key(name)));
}

#[test]
fn append_only_refuses() {
    struct AppendOnly(Arc<dyn Store>);
    impl Store for AppendOnly {
        fn location(&self) -> String {
            "x".to_owned()
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities {
                append_only: true,
                ..Capabilities::default()
            }
        }
        fn create(&self) -> crate::error::Result<()> {
            self.0.create()
        }
        fn list(&self, kind: FileKind) -> crate::error::Result<Vec<Listed>> {
            self.0.list(kind)
        }
        fn stat(&self, name: FileName) -> crate::error::Result<u64> {
            self.0.stat(name)
        }
        fn get(&self, name: FileName) -> crate::error::Result<Vec<u8>> {
            self.0.get(name)
        }
        fn get_range(&self, n: FileName, o: u64, l: usize) -> crate::error::Result<Vec<u8>> {
            self.0.get_range(n, o, l)
        }
        fn put(&self, name: FileName, bytes: &[u8]) -> crate::error::Result<()> {
            self.0.put(name, bytes)
        }
        fn delete(&self, name: FileName) -> crate::error::Result<()> {
            self.0.delete(name)
        }
    }
    let world = scenario();
    world
        .exchange
        .set(Arc::new(AppendOnly(world.memory.clone())));
    let before = world.memory.files();
    let mut plan = world.plan(&thorough()).unwrap();
    let error = world.carry_out(&mut plan, 1).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(world.memory.files() == before);
}

#[test]
fn beside_rustic_packs_are_marked_and_deleted_a_day_later() {
    let world = scenario();
    let control = Control::new();
    let make = |delay| Plan::make(&world.repo, &thorough(), &[], delay, &control, 1).unwrap();
    let packs = world.repo.list(FileKind::Pack).unwrap();
    let mut plan = make(true);
    assert!(plan.summary().delayed);
    let (swapped, deleted) = world.carry_out(&mut plan, 1).unwrap();
    assert!(swapped.packs_marked > 1 && deleted.deleted == 0);
    let there = world.repo.list(FileKind::Pack).unwrap();
    assert!(packs.iter().all(|id| there.contains(id)));
    world.assert_restores();
    assert_eq!(world.assert_sound().marked_packs, swapped.packs_marked);
    // An hour later nothing happens; the marks themselves make the next prune careful.
    world.clock.advance(Duration::from_secs(3600));
    let mut plan = make(false);
    assert!(plan.summary().delayed);
    assert_eq!(world.carry_out(&mut plan, 1).unwrap().1.deleted, 0);
    world.clock.advance(Duration::from_secs(23 * 3600));
    let (_, deleted) = world.carry_out(&mut make(false), 1).unwrap();
    assert_eq!(deleted.deleted, swapped.packs_marked);
    world.assert_restores();
    let report = world.assert_sound();
    assert_eq!((report.marked_packs, report.orphaned_packs), (0, 0));
    assert!(!make(false).summary().delayed);
}

/// Removes files whose content does not fit their name, as after a crash on a store that tears writes.
fn drop_torn(world: &mut World) {
    let files = world.memory.files().into_iter();
    let whole =
        files.filter(|(name, bytes)| name.kind == FileKind::Config || Id::of(bytes) == name.id);
    world.load(whole.collect());
}

#[test]
fn no_fault_at_any_call_loses_anything() {
    let mut world = scenario();
    let start = world.memory.files();
    let count = Arc::new(Faults::new(
        world.memory.clone(),
        world.clock.clone(),
        FaultPlan::NONE,
    ));
    world.exchange.set(count.clone());
    world
        .carry_out(&mut world.plan(&thorough()).unwrap(), 1)
        .unwrap();
    let calls = count.calls();
    assert!(calls > 20, "{calls}");
    for (word, fault) in Fault::ALL {
        for call in 1..=calls {
            world.load(start.clone());
            let faults = Faults::new(world.memory.clone(), world.clock.clone(), fault.at(call));
            world.exchange.set(Arc::new(faults));
            let result = world
                .plan(&thorough())
                .and_then(|mut plan| world.carry_out(&mut plan, 1));
            if matches!(fault, Fault::Slow) {
                assert!(result.is_ok(), "{word}@{call}: {result:?}");
            }
            world.exchange.set(world.memory.clone());
            if result.is_err() && world.memory.files() == start {
                continue;
            }
            if matches!(fault, Fault::Tear) {
                drop_torn(&mut world);
            }
            world.assert_restores();
            let (_, errors) = world.check();
            assert!(
                errors.is_empty(),
                "{word}@{call}: {errors:?} after {result:?}"
            );
            // And the next prune tidies up whatever is left.
            world.prune(&thorough()).unwrap();
            world.assert_restores();
            let report = world.assert_sound();
            let left = (report.unused_blobs, report.orphaned_packs);
            assert_eq!(left, (0, 0), "{word}@{call}");
        }
    }
}

/// Cancels its operation at the n-th call.
struct CancelAt {
    inner: Arc<dyn Store>,
    control: Arc<Control>,
    at: u64,
    calls: AtomicU64,
}

impl CancelAt {
    fn count(&self) {
        if self.calls.fetch_add(1, Relaxed) + 1 == self.at {
            self.control.cancel();
        }
    }
}

impl Store for CancelAt {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn create(&self) -> crate::error::Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> crate::error::Result<Vec<Listed>> {
        self.count();
        self.inner.list(kind)
    }
    fn stat(&self, name: FileName) -> crate::error::Result<u64> {
        self.count();
        self.inner.stat(name)
    }
    fn get(&self, name: FileName) -> crate::error::Result<Vec<u8>> {
        self.count();
        self.inner.get(name)
    }
    fn get_range(&self, n: FileName, o: u64, l: usize) -> crate::error::Result<Vec<u8>> {
        self.count();
        self.inner.get_range(n, o, l)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> crate::error::Result<()> {
        self.count();
        self.inner.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> crate::error::Result<()> {
        self.count();
        self.inner.delete(name)
    }
}

#[test]
fn cancelled_at_any_call_the_repository_is_whole() {
    let mut world = scenario();
    let start = world.memory.files();
    for threads in [1, 3] {
        for at in 1.. {
            world.load(start.clone());
            let control = Control::new();
            world.exchange.set(Arc::new(CancelAt {
                inner: world.memory.clone(),
                control: Arc::clone(&control),
                at,
                calls: AtomicU64::new(0),
            }));
            let began = SystemClock.elapsed();
            let run = || {
                let repo = &world.repo;
                let mut plan = Plan::make(repo, &thorough(), &[], false, &control, threads)?;
                plan.repack(repo, &control, threads)?;
                plan.swap_index(repo, &control, threads)?;
                plan.delete_packs(repo, &control, threads)
            };
            let result = run();
            assert!(SystemClock.elapsed() < began + Duration::from_secs(2));
            if !control.is_cancelled() {
                assert!(result.is_ok() && at > 20);
                break;
            }
            if let Err(error) = result {
                assert_eq!(error.code(), Code::Cancelled, "{at}: {error}");
            }
            world.exchange.set(world.memory.clone());
            if world.memory.files() != start {
                world.assert_restores();
                world.assert_sound();
            }
        }
    }
}
