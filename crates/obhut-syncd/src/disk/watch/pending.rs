//! Names that were noticed and are not handed on yet.

use std::collections::BTreeSet;

use super::Batch;

/// Milliseconds without an event after which names are handed on, and after the first event at the latest.
const QUIET: u64 = 15;
const CEILING: u64 = 200;

#[derive(Debug, Default)]
struct Names {
    set: BTreeSet<String>,
    first: u64,
    last: u64,
}

impl Names {
    fn add(&mut self, name: String, now: u64) {
        if self.set.is_empty() {
            self.first = now;
        }
        self.last = now;
        self.set.insert(name);
    }

    /// When they are handed on.
    fn due(&self) -> Option<u64> {
        let due = (self.last + QUIET).min(self.first + CEILING);
        (!self.set.is_empty()).then_some(due)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    settled: Names,
    /// Files that somebody may still be writing.
    open: Names,
    /// Whether what is settled is handed on at once.
    urgent: bool,
    everything: bool,
    root: bool,
}

impl Pending {
    /// A name of which the system says that what happened to it is over.
    pub(super) fn settled(&mut self, name: String, now: u64, urgent: bool) {
        self.open.set.remove(&name);
        self.settled.add(name, now);
        self.urgent |= urgent;
    }

    /// A file that is being written.
    pub(super) fn open(&mut self, name: String, now: u64) {
        self.open.add(name, now);
    }

    pub(super) fn everything(&mut self) {
        self.everything = true;
    }

    pub(super) fn root(&mut self) {
        self.root = true;
    }

    /// What is to be handed on by now.
    pub(super) fn due(&mut self, now: u64) -> Option<Batch> {
        let at_once = self.urgent || self.everything || self.root;
        let is_due = |names: &Names| names.due().is_some_and(|due| due <= now);
        let mut names = BTreeSet::new();
        if at_once || is_due(&self.settled) {
            names.append(&mut self.settled.set);
        }
        if is_due(&self.open) {
            names.append(&mut self.open.set);
        }
        if names.is_empty() && !at_once {
            return None;
        }
        self.urgent = false;
        Some(Batch {
            names: names.into_iter().collect(),
            everything: std::mem::take(&mut self.everything),
            root: std::mem::take(&mut self.root),
        })
    }

    /// Milliseconds until something is.
    pub(super) fn due_in(&self, now: u64) -> Option<u64> {
        let due = [self.settled.due(), self.open.due()];
        Some(due.into_iter().flatten().min()?.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(batch: Option<Batch>) -> Option<Vec<String>> {
        batch.map(|batch| batch.names)
    }

    #[test]
    fn together_after_a_quiet_moment() {
        let mut pending = Pending::default();
        pending.settled("b".into(), 100, false);
        pending.open("a".into(), 110);
        pending.settled("b".into(), 112, false);
        assert_eq!(pending.due(124), None);
        assert_eq!(pending.due_in(124), Some(1));
        assert_eq!(names(pending.due(127)), Some(vec!["a".into(), "b".into()]));
        assert_eq!((pending.due(500), pending.due_in(500)), (None, None));
    }

    #[test]
    fn at_once_and_at_the_latest() {
        let mut pending = Pending::default();
        for now in (0..200).step_by(10) {
            pending.open("written".into(), now);
            assert_eq!(pending.due(now), None);
            pending.settled("closed".into(), now, true);
            assert_eq!(names(pending.due(now)), Some(vec!["closed".into()]));
        }
        pending.open("written".into(), 199);
        assert_eq!(names(pending.due(200)), Some(vec!["written".into()]));
    }
}
