//! Every pipeline, stage by stage: at each single look of any of its threads at the control, and at each call of the
//! store, it is cancelled, fails, or panics. It ends within two seconds with the right error, leaves no thread behind,
//! and nothing of what the repository held is lost.

// Tests make the files that are backed up.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backup::{self, BackupOptions};
use crate::check::{CheckOptions, Subset, check};
use crate::error::{Code, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::trap::Act;
use crate::job::{Control, guarded};
use crate::prune::testworld::{World, content};
use crate::prune::{MaxUnused, Plan, PruneOptions};
use crate::restore::{self, RestoreOptions};
use crate::store::memory::{Files, MemoryStore};
use crate::store::{Capabilities, Listed, Store};

/// Each call is a step of the trap.
struct Stepping {
    inner: Arc<MemoryStore>,
    control: Arc<Control>,
}

impl Stepping {
    #[track_caller]
    fn step(&self) -> Result<()> {
        self.control.trap.step(&self.control)
    }
}

impl Store for Stepping {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.step()?;
        self.inner.list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.step()?;
        self.inner.stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.step()?;
        self.inner.get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.step()?;
        self.inner.get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.step()?;
        self.inner.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.step()?;
        self.inner.delete(name)
    }
}

/// One pipeline, run from the same state again and again.
struct Pipeline<'a> {
    world: World,
    files: Files,
    #[allow(clippy::type_complexity)]
    work: Box<dyn Fn(&World, &Arc<Control>, usize) -> Result<()> + 'a>,
}

/// How one run ended.
struct Ended {
    result: Result<()>,
    /// The source file of the look at which it happened; `None` if the run was over before.
    place: Option<&'static str>,
    /// From the act to the end.
    took: Duration,
    /// Errors of single items.
    items: Vec<Code>,
}

impl Pipeline<'_> {
    fn run(&mut self, act: Act, at: u64, threads: usize) -> Ended {
        self.world.load(self.files.clone());
        let control = Control::new();
        self.world.exchange.set(Arc::new(Stepping {
            inner: Arc::clone(&self.world.memory),
            control: Arc::clone(&control),
        }));
        control.trap.arm(act, at);
        let result = guarded(|| (self.work)(&self.world, &control, threads));
        let sprung = control.trap.sprung();
        let took = sprung.map_or(Duration::ZERO, |(when, _)| when.elapsed());
        // Threads hold the repository or the control: one holder and our store mean that none is left.
        assert_eq!(Arc::strong_count(&self.world.repo), 1, "{sprung:?}");
        assert_eq!(Arc::strong_count(&control), 2, "{sprung:?}");
        let errors = control.drain_errors();
        self.world.exchange.set(self.world.memory.clone());
        Ended {
            result,
            place: sprung.map(|(_, place)| place),
            took,
            items: errors.iter().map(|item| item.error.code()).collect(),
        }
    }

    /// Within two seconds. Who has many neighbours on few processors may be late; who is late three times is slow.
    fn promptly(&mut self, act: Act, at: u64, threads: usize) -> Ended {
        let mut took = Vec::new();
        for _ in 0..3 {
            let ended = self.run(act, at, threads);
            if ended.took < Duration::from_secs(2) {
                return ended;
            }
            took.push((ended.took, ended.place));
        }
        panic!("{act:?} at step {at}: {took:?}");
    }

    /// Every step for every act; gives the source files in which it happened.
    fn everywhere(&mut self) -> BTreeSet<&'static str> {
        let mut places = BTreeSet::new();
        for act in [Act::Cancel, Act::Fail, Act::Panic] {
            for threads in [1, 3] {
                let mut late = 0;
                // With several threads the order is another one each time: a third of the steps finds as much.
                for at in (1..).step_by(threads) {
                    let ended = self.promptly(act, at, threads);
                    let Some(place) = ended.place else {
                        assert!(ended.result.is_ok(), "{:?}", ended.result);
                        break;
                    };
                    places.insert(place);
                    let code = match act {
                        Act::Cancel => Code::Cancelled,
                        Act::Fail => Code::Unavailable,
                        Act::Panic => Code::Internal,
                    };
                    match ended.result {
                        Err(error) => assert_eq!(error.code(), code, "{act:?} {at} in {place}"),
                        // An item that failed is named; a cancel at the very last look comes too late.
                        Ok(()) if ended.items.contains(&code) => {}
                        Ok(()) => {
                            late += 1;
                        }
                    }
                    self.world.assert_restores();
                }
                assert!(late <= 3, "{act:?} was not noticed {late} times");
            }
        }
        places
    }
}

/// A folder in memory, where there is one: how long the disk takes for `syncfs` is not the question here.
fn place_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A source with files of several chunks, small ones, links and directories.
fn source() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for n in 0..3u8 {
        let folder = place.path().join(format!("d{n}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("small"), [n; 300]).unwrap();
        std::os::unix::fs::symlink("small", folder.join("link")).unwrap();
        std::fs::hard_link(folder.join("small"), folder.join("twin")).unwrap();
    }
    let noise: Vec<u8> = (0..18_000u32)
        .flat_map(|n| Id::of(&n.to_le_bytes()).0)
        .collect();
    std::fs::write(place.path().join("large"), noise).unwrap();
    place
}

fn backup_options(place: &Path, threads: usize) -> BackupOptions {
    BackupOptions {
        targets: vec![place.as_os_str().as_bytes().to_vec()],
        threads,
        scan: true,
        ..BackupOptions::default()
    }
}

/// A repository with two snapshots, one forgotten, and garbage of every kind.
fn history() -> World {
    let mut world = World::new();
    let empty = world.index();
    let many: Vec<u8> = (1..20).collect();
    let gone = world.backup(
        &content(&[(0, 0, &many), (1, 0, &[30])]),
        Arc::clone(&empty),
    );
    // Shares some chunks of the packs, so that these have to be written anew.
    world.backup(&content(&[(0, 0, &many[..9])]), world.index());
    world.backup(&content(&[(0, 0, &[1, 2]), (2, 1, &[5, 6])]), empty);
    world.forget(world.snapshots.keys().position(|id| *id == gone).unwrap());
    world
}

fn pipeline<'a>(
    world: World,
    work: impl Fn(&World, &Arc<Control>, usize) -> Result<()> + 'a,
) -> Pipeline<'a> {
    let files = world.memory.files();
    Pipeline {
        world,
        files,
        work: Box::new(work),
    }
}

#[test]
fn backup_stops_at_every_step_of_every_stage() {
    let place = source();
    let places = pipeline(history(), |world, control, threads| {
        let index = world.repo.load_index(control, threads)?;
        let options = BackupOptions {
            // Who wants to know when the estimate has ended gets it at once.
            verbose: 1,
            ..backup_options(place.path(), threads)
        };
        backup::run(&world.repo, &index, &options, control).map(drop)
    })
    .everywhere();
    let expected = [
        "backup/directory.rs",
        "backup/engine.rs",
        "backup/file.rs",
        "backup/plant.rs",
        "backup/queue.rs",
        "backup/scan.rs",
        "index/load.rs",
        "packer.rs",
        "stages.rs",
    ];
    assert_eq!(places, BTreeSet::from(expected));
}

/// The simulated clock stands still: an estimate that waits would wait for ever.
#[test]
fn an_estimate_that_waits_ends_with_its_backup() {
    let place = source();
    let mut backup = pipeline(history(), |world, control, threads| {
        let index = world.repo.load_index(control, threads)?;
        let options = backup_options(place.path(), threads);
        backup::run(&world.repo, &index, &options, control).map(drop)
    });
    for act in [Act::Cancel, Act::Fail, Act::Panic] {
        for at in 1..60 {
            backup.promptly(act, at, 2);
        }
    }
}

#[test]
fn restore_stops_at_every_step_of_every_stage() {
    let place = source();
    let world = history();
    let control = Control::new();
    let options = backup_options(place.path(), 1);
    let saved = backup::run(&world.repo, &world.index(), &options, &control).unwrap();
    let places = pipeline(world, |world, control, threads| {
        let target = place_in_memory();
        std::fs::write(target.path().join("in the way"), "").unwrap();
        let index = world.repo.load_index(control, threads)?;
        let options = RestoreOptions {
            tree: saved.tree.unwrap(),
            subpath: Vec::new(),
            target: target.path().as_os_str().as_bytes().to_vec(),
            includes: Vec::new(),
            iincludes: Vec::new(),
            excludes: Vec::new(),
            iexcludes: Vec::new(),
            overwrite: restore::Overwrite::Always,
            delete: true,
            dry_run: false,
            sparse: false,
            verify: true,
            sync: true,
            xattrs: true,
            include_xattrs: Vec::new(),
            exclude_xattrs: Vec::new(),
            owners_by_name: false,
            verbose: 0,
            json: false,
            threads,
        };
        restore::run(&world.repo, &index, &options, control).map(drop)
    })
    .everywhere();
    let expected = [
        "durable/apart.rs",
        "index/load.rs",
        "pipe.rs",
        "restore/delete.rs",
        "restore/fetch.rs",
        "restore/inspect.rs",
        "restore/others.rs",
        "restore/parallel.rs",
        "restore/traverse.rs",
        "stages.rs",
    ];
    assert_eq!(places, BTreeSet::from(expected));
}

#[test]
fn check_stops_at_every_step_of_every_stage() {
    let places = pipeline(history(), |world, control, threads| {
        let options = CheckOptions {
            read: Some(Subset::All),
            only: None,
            threads,
        };
        check(&world.repo, &options, control).map(drop)
    })
    .everywhere();
    let expected = [
        "check/metadata.rs",
        "check/pack.rs",
        "check/structure.rs",
        "pool.rs",
        "stages.rs",
    ];
    assert_eq!(places, BTreeSet::from(expected));
}

#[test]
fn prune_stops_at_every_step_of_every_stage() {
    let places = pipeline(history(), |world, control, threads| {
        let options = PruneOptions {
            max_unused: MaxUnused::parse("0")?,
            ..PruneOptions::default()
        };
        let mut plan = Plan::make(&world.repo, &options, &[], false, control, threads)?;
        plan.repack(&world.repo, control, threads)?;
        plan.swap_index(&world.repo, control, threads)?;
        plan.delete_packs(&world.repo, control, threads).map(drop)
    })
    .everywhere();
    let expected = [
        "index/load.rs",
        "packer.rs",
        "pool.rs",
        "prune/delete.rs",
        "prune/repack.rs",
        "prune/rewrite.rs",
        "prune/swap.rs",
        "repo/mod.rs",
        "stages.rs",
        "walk.rs",
    ];
    assert_eq!(places, BTreeSet::from(expected));
}
