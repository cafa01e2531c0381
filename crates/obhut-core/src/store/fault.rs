//! A store that fails as real ones do, on purpose and repeatably: the test kit for everything that must not
//! lose data. It is an ordinary wrapper, so that whole commands can be run on it, from Python too.
//!
//! Every call is counted from 1 (`capabilities` and `location` are none). A [`Plan`] says which calls go
//! wrong and how; the same plan and the same order of calls give the same faults. In text form a plan is
//! `<fault>@<n>` (the n-th call), `<fault>%<k>/<seed>` (about one call of k, chosen by the seed) or `none`;
//! the faults are `fail`, `gone`, `tear`, `lose`, `lost-ack`, `stale-list` and `slow`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Capabilities, Listed, Store, pause};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::world::{Clock, Timestamp};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not carried out and fails with `unavailable`.
    Fail,
    /// This call and all later ones fail: the process died or the storage is gone.
    Gone,
    /// `put` leaves the first half of the file under its name and fails; other calls just fail.
    Tear,
    /// `put` says that it has succeeded, and the file is not there; other calls just fail.
    Lose,
    /// The call is carried out, but its answer is lost: it fails with `unavailable`.
    LostAck,
    /// `list` answers as before the last change of that kind; other calls succeed.
    StaleList,
    /// The call takes a minute and succeeds.
    Slow,
}

impl Fault {
    /// Every fault with its word.
    pub const ALL: [(&'static str, Fault); 7] = [
        ("fail", Fault::Fail),
        ("gone", Fault::Gone),
        ("tear", Fault::Tear),
        ("lose", Fault::Lose),
        ("lost-ack", Fault::LostAck),
        ("stale-list", Fault::StaleList),
        ("slow", Fault::Slow),
    ];

    /// At the `call`-th call, from 1.
    pub const fn at(self, call: u64) -> Plan {
        Plan {
            fault: self,
            when: When::At(call),
        }
    }

    /// At about one call of `one_in`, chosen by `seed`.
    pub const fn sometimes(self, one_in: u64, seed: u64) -> Plan {
        Plan {
            fault: self,
            when: When::OneIn(one_in, seed),
        }
    }
}

/// Which calls go wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    fault: Fault,
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    At(u64),
    OneIn(u64, u64),
}

impl Plan {
    /// Nothing goes wrong; calls are only counted.
    pub const NONE: Plan = Plan {
        fault: Fault::Fail,
        when: When::Never,
    };

    fn hits(self, call: u64) -> bool {
        match self.when {
            When::Never => false,
            When::At(n) if self.fault == Fault::Gone => call >= n,
            When::At(n) => call == n,
            When::OneIn(k, seed) => mix(seed ^ mix(call)).is_multiple_of(k.max(1)),
        }
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let detail = "expected none, <fault>@<n> or <fault>%<k>/<seed>";
            Error::new(Code::InvalidArgument, text, detail)
        };
        let fault = |word: &str| {
            let known = Fault::ALL.iter().find(|(name, _)| *name == word);
            known.map(|(_, fault)| *fault).ok_or_else(wrong)
        };
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some((word, call)) = text.split_once('@') {
            return Ok(fault(word)?.at(number(call)?));
        }
        let (word, rest) = text.split_once('%').ok_or_else(wrong)?;
        let (one_in, seed) = rest.split_once('/').ok_or_else(wrong)?;
        Ok(fault(word)?.sometimes(number(one_in)?, number(seed)?))
    }
}

/// The finaliser of splitmix64: neighbouring numbers become unrelated ones.
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A store with faults.
pub struct Faults {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    plan: Plan,
    calls: AtomicU64,
    injected: AtomicU64,
    /// A kind's list before its last change.
    before: Mutex<BTreeMap<FileKind, Vec<Listed>>>,
    stop: AtomicBool,
}

impl Faults {
    /// Runs `inner` with the faults of `plan`.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, plan: Plan) -> Self {
        Self {
            inner,
            clock,
            plan,
            calls: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            before: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }

    /// How many of them went wrong.
    pub fn injected(&self) -> u64 {
        self.injected.load(SeqCst)
    }

    /// Counts a call and says whether it goes wrong.
    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        let fault = self.plan.hits(call).then_some(self.plan.fault);
        if fault.is_some() {
            self.injected.fetch_add(1, SeqCst);
        }
        fault
    }

    fn failed(&self, object: impl Into<String>) -> Error {
        Error::new(
            Code::Unavailable,
            object,
            format!("injected: {:?}", self.plan.fault),
        )
    }

    /// The faults that mean the same for every call.
    fn run<T>(
        &self,
        object: &str,
        fault: Option<Fault>,
        call: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match fault {
            None | Some(Fault::StaleList) => call(),
            Some(Fault::Slow) => {
                pause(&*self.clock, Duration::from_secs(60), &self.stop);
                call()
            }
            Some(Fault::LostAck) => call().and(Err(self.failed(object))),
            Some(Fault::Fail | Fault::Gone | Fault::Tear | Fault::Lose) => Err(self.failed(object)),
        }
    }

    /// Keeps the list as it is, if stale lists are asked for.
    fn remember(&self, kind: FileKind) {
        if self.plan.fault == Fault::StaleList
            && kind != FileKind::Config
            && let Ok(listed) = self.inner.list(kind)
        {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            before.insert(kind, listed);
        }
    }
}

impl Store for Faults {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn create(&self) -> Result<()> {
        let fault = self.next();
        self.run("create", fault, || self.inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let fault = self.next();
        if fault == Some(Fault::StaleList) {
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(listed) = before.get(&kind) {
                return Ok(listed.clone());
            }
        }
        self.run(kind.folder(), fault, || self.inner.list(kind))
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        let fault = self.next();
        self.run(&name.to_string(), fault, || self.inner.stat(name))
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        let fault = self.next();
        self.run(&name.to_string(), fault, || self.inner.get(name))
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let fault = self.next();
        self.run(&name.to_string(), fault, || {
            self.inner.get_range(name, offset, length)
        })
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        let fault = self.next();
        self.remember(name.kind);
        match fault {
            Some(Fault::Tear) => {
                self.inner.put(name, &bytes[..bytes.len() / 2])?;
                Err(self.failed(name.to_string()))
            }
            Some(Fault::Lose) => Ok(()),
            _ => self.run(&name.to_string(), fault, || self.inner.put(name, bytes)),
        }
    }

    // `put_shared` stays the default: one count and one place for the faults of saving.

    fn delete(&self, name: FileName) -> Result<()> {
        let fault = self.next();
        self.remember(name.kind);
        self.run(&name.to_string(), fault, || self.inner.delete(name))
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let fault = self.next();
        self.run("temporary files", fault, || {
            self.inner.remove_leftovers(before)
        })
    }

    fn interrupt(&self, stop: bool) {
        self.stop.store(stop, SeqCst);
        self.inner.interrupt(stop);
    }

    fn mark_tree_packs(&self, packs: &[Id]) {
        self.inner.mark_tree_packs(packs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::testkit::SimClock;

    fn faulty(plan: Plan) -> (Arc<MemoryStore>, Faults, Arc<SimClock>) {
        let (memory, clock) = (Arc::new(MemoryStore::new()), SimClock::new());
        let faults = Faults::new(memory.clone(), clock.clone(), plan);
        (memory, faults, clock)
    }

    fn pack(n: u8) -> FileName {
        FileName::new(FileKind::Pack, Id([n; 32]))
    }

    #[test]
    fn keeps_the_contract_without_faults_and_breaks_it_with_them() {
        let (_, store, _) = faulty(Plan::NONE);
        let broken = crate::store::contract::violations(&store);
        assert!(broken.is_empty(), "{broken:#?}");
        let calls = store.calls();
        assert!(calls > 50);
        // The contract suite must notice a single fault wherever it hits; a slow store breaks nothing.
        for (word, fault) in Fault::ALL {
            let hits = (1..=40).filter(|call| {
                let (_, store, _) = faulty(fault.at(*call));
                !crate::store::contract::violations(&store).is_empty()
            });
            let expected = match fault {
                Fault::Slow => 0,
                Fault::StaleList => 1,
                Fault::Fail | Fault::Gone => 40,
                // Some calls of the suite fail anyway, and then for the right reason.
                Fault::Tear | Fault::Lose | Fault::LostAck => 15,
            };
            let hits = hits.count();
            assert!(hits >= expected, "{word}: {hits}");
        }
    }

    #[test]
    fn each_fault_does_what_it_says() {
        let (memory, store, _) = faulty(Fault::Fail.at(2));
        store.put(pack(1), b"one").unwrap();
        let error = store.put(pack(2), b"two").unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        store.put(pack(2), b"two").unwrap();
        assert_eq!(memory.files().len(), 2);

        let (memory, store, _) = faulty(Fault::Gone.at(2));
        store.put(pack(1), b"one").unwrap();
        assert!(store.put(pack(2), b"two").is_err() && store.get(pack(1)).is_err());
        assert_eq!(memory.files().len(), 1);

        let (memory, store, _) = faulty(Fault::Tear.at(1));
        assert!(store.put(pack(1), b"torn").is_err());
        assert_eq!(memory.get(pack(1)).unwrap(), b"to");

        let (memory, store, _) = faulty(Fault::Lose.at(1));
        store.put(pack(1), b"lost").unwrap();
        assert!(memory.files().is_empty());

        let (memory, store, _) = faulty(Fault::LostAck.at(1));
        assert!(store.put(pack(1), b"there").is_err());
        assert_eq!(memory.get(pack(1)).unwrap(), b"there");

        let (_, store, clock) = faulty(Fault::Slow.at(1));
        store.put(pack(1), b"slow").unwrap();
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    }

    #[test]
    fn a_stale_list_is_the_one_before_the_last_change() {
        let (_, store, _) = faulty(Fault::StaleList.at(3));
        store.put(pack(1), b"one").unwrap();
        store.put(pack(2), b"two").unwrap();
        let stale = store.list(FileKind::Pack).unwrap();
        assert_eq!(stale.iter().map(|l| l.id).collect::<Vec<_>>(), [pack(1).id]);
        assert_eq!(store.list(FileKind::Pack).unwrap().len(), 2);
        let (_, store, _) = faulty(Fault::StaleList.at(3));
        store.put(pack(1), b"one").unwrap();
        store.delete(pack(1)).unwrap();
        assert_eq!(store.list(FileKind::Pack).unwrap().len(), 1);
    }

    #[test]
    fn plans_have_a_text_form() {
        assert_eq!("none".parse(), Ok(Plan::NONE));
        for (word, fault) in Fault::ALL {
            assert_eq!(format!("{word}@7").parse(), Ok(fault.at(7)));
            assert_eq!(format!("{word}%9/3").parse(), Ok(fault.sometimes(9, 3)));
        }
        for wrong in [
            "", "fail", "fail@", "fail@x", "boom@1", "fail%3", "fail%3/x",
        ] {
            let error = wrong.parse::<Plan>().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn a_seed_repeats_and_its_rate_is_about_right() {
        let plan = Fault::Fail.sometimes(10, 42);
        let hits = (1..=10_000).filter(|call| plan.hits(*call)).count();
        assert!((800..1200).contains(&hits), "{hits}");
        let other = Fault::Fail.sometimes(10, 43);
        assert!((1..100).any(|call| plan.hits(call) != other.hits(call)));
    }
}
