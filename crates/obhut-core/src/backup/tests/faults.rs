//! Cancel, panics and storage faults at any point: the right error, soon, and no thread left.

use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use super::*;
use crate::repo::open::{OpenOptions, Ports};
use crate::store::Store;
use crate::store::fault::{Fault, Faults};
use crate::store::memory::MemoryStore;
use crate::testkit::{CHEAP, MadeUp, PASSWORD, SimClock};
use crate::world::{Clock, Random, SystemRandom};

/// Randomness that does something at its n-th call: every sealed blob asks for some.
struct Trap {
    left: AtomicI64,
    action: fn(&Control) -> Result<()>,
    control: Arc<Control>,
    /// When it happened.
    sprung: OnceLock<Instant>,
}

impl Random for Trap {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            let _ = self.sprung.set(Instant::now());
            (self.action)(&self.control)?;
        }
        SystemRandom.fill(bytes)
    }
}

fn source() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for n in 0..12u8 {
        let directory = place.path().join(format!("d{n}"));
        std::fs::create_dir(&directory).unwrap();
        for m in 0..6u8 {
            std::fs::write(
                directory.join(format!("{m}")),
                vec![n ^ m.rotate_left(4); 300],
            )
            .unwrap();
        }
    }
    let noise: Vec<u8> = (0..2u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(place.path().join("large"), noise).unwrap();
    place
}

/// Backs up with a trap at the n-th random number; gives the result, after checking time and threads.
fn trapped(
    place: &Path,
    call: i64,
    threads: usize,
    action: fn(&Control) -> Result<()>,
) -> Result<BackupSummary> {
    let control = Control::new();
    let trap = Arc::new(Trap {
        left: AtomicI64::new(i64::MAX),
        action,
        control: Arc::clone(&control),
        sprung: OnceLock::new(),
    });
    let ports = Ports {
        store: Arc::new(MemoryStore::new()),
        clock: SimClock::new(),
        random: Arc::clone(&trap) as Arc<dyn Random>,
        accounts: Arc::new(MadeUp),
    };
    let repo = Repository::init(ports, PASSWORD, 2, None, CHEAP, &OpenOptions::default()).unwrap();
    let repo = Arc::new(repo);
    let index = repo.load_index(&control, 1).unwrap();
    trap.left.store(call, Relaxed);
    let result = run(&repo, &index, &options(place, threads), &control);
    if result.is_err() {
        let took = trap.sprung.get().expect("the trap was met").elapsed();
        assert!(took < Duration::from_secs(2), "took {took:?}");
        assert!(
            repo.load_index(&Control::new(), 1).unwrap().is_empty(),
            "an index was written"
        );
    }
    // Every upload thread holds the repository: one holder means that none is left.
    assert_eq!(Arc::strong_count(&repo), 1);
    result
}

#[test]
fn a_cancel_anywhere_ends_soon() {
    let place = source();
    for threads in [1, 3] {
        for call in [1, 5, 60, 85] {
            let result = trapped(place.path(), call, threads, |control| {
                control.cancel();
                Ok(())
            });
            assert_eq!(result.unwrap_err().code(), Code::Cancelled, "call {call}");
        }
    }
}

#[test]
fn a_panic_anywhere_is_an_internal_error() {
    let place = source();
    for threads in [1, 3] {
        for call in [1, 30, 80] {
            let result = trapped(place.path(), call, threads, |_| panic!("injected"));
            assert_eq!(result.unwrap_err().code(), Code::Internal, "call {call}");
        }
    }
}

#[test]
fn an_error_anywhere_ends_the_backup() {
    let place = source();
    for call in [1, 10, 70] {
        let result = trapped(place.path(), call, 2, |_| {
            Err(Error::new(Code::Io, "random", "injected"))
        });
        assert_eq!(result.unwrap_err().code(), Code::Io);
    }
}

#[test]
fn every_storage_call_may_fail() {
    let place = source();
    let memory: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    let clock: Arc<dyn Clock> = SimClock::new();
    testkit::repository_on(Arc::clone(&memory) as Arc<dyn Store>, SimClock::new());
    let files = memory.files();
    let mut failed = 0;
    for call in 1..40 {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::with_files(files.clone()));
        let open = |store: Arc<dyn Store>| {
            let ports = testkit::ports(store, SimClock::new());
            Arc::new(Repository::open(ports, PASSWORD, &OpenOptions::default()).unwrap())
        };
        // Opening is not judged here: the faults begin afterwards.
        let plain = Arc::new(Faults::new(
            Arc::clone(&memory),
            Arc::clone(&clock),
            Fault::Fail.at(u64::MAX),
        ));
        open(Arc::clone(&plain) as Arc<dyn Store>);
        let opening = plain.calls();
        let faults = Arc::new(Faults::new(
            Arc::clone(&memory),
            Arc::clone(&clock),
            Fault::Fail.at(opening + 1 + call),
        ));
        let repo = open(Arc::clone(&faults) as Arc<dyn Store>);
        let control = Control::new();
        let Ok(index) = repo.load_index(&control, 1) else {
            failed += 1;
            continue;
        };
        let result = run(&repo, &index, &options(place.path(), 2), &control);
        if faults.injected() == 0 {
            assert!(result.is_ok());
            break;
        }
        failed += 1;
        assert!(result.is_err(), "call {call}");
        // What was written names nothing that is not there.
        let after = open(memory);
        let index = after.load_index(&Control::new(), 1).unwrap();
        assert!(index.is_empty());
    }
    assert!(failed > 1);
}
