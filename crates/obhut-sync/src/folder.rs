//! A folder: its state, the sequences of its entries, and what its store is asked to keep.

use std::collections::HashMap;
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo, ShortId, Vector};

use crate::config::{self, Direction};
use crate::entry::{stays_here, tombstone, versioned};
use crate::index::{Index, Item, Local, Name, Rules};
use crate::io::{Change, Doubt, Event, Facts, FolderId, Input, Meta, Now, Output, Root, Ticket};
use crate::pull::Pull;
use crate::scan::Scan;
use crate::session::Sessions;

/// Sequences that a store is told of ahead.
const AHEAD: u64 = 1_000;
/// Runs that are remembered. After so many, a new life begins, and others are told everything once.
const RUNS: usize = 1_000;
/// Milliseconds until a folder in doubt is looked at again.
const DOUBTFUL: u64 = 10_000;

/// What all parts of a step need: the time, who we are, where outputs go.
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// Who we are.
    pub own: DeviceId,
    /// The next ticket.
    pub next: &'a mut u64,
    /// Which folder asked.
    pub routes: &'a mut HashMap<Ticket, FolderId>,
    /// All connections.
    pub sessions: &'a mut Sessions,
    /// What is asked of the driver.
    pub out: &'a mut Vec<Output>,
}

impl Context<'_> {
    /// A ticket, whose answer goes to a folder.
    pub fn ticket(&mut self, folder: &FolderId) -> Ticket {
        *self.next += 1;
        let ticket = Ticket(*self.next);
        self.routes.insert(ticket, Arc::clone(folder));
        ticket
    }

    /// Whose counters ours are.
    pub fn short(&self) -> ShortId {
        self.own.short()
    }

    /// Tells people.
    pub fn tell(&mut self, event: Event) {
        self.out.push(Output::Tell(event));
    }
}

/// How a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is looked at for the first time.
    Opening,
    /// It stands still.
    Stopped(Doubt),
    /// It works.
    Running,
}

/// The number beside the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Due,
    Asked(Ticket),
    There,
}

/// A folder.
#[derive(Debug)]
pub struct Folder {
    /// What all devices call it.
    pub id: FolderId,
    /// What people decided.
    pub config: config::Folder,
    /// What entries are worth.
    pub rules: Rules,
    /// The items.
    pub index: Index,
    /// How it is.
    pub state: State,
    /// Whether its store was loaded, so that others can be told of it.
    pub loaded: bool,
    /// What it looks at.
    pub scan: Scan,
    /// What it brings.
    pub pull: Pull,
    /// Whether people said that all is gone on purpose.
    pub emptied: bool,
    meta: Meta,
    first_sequence: u64,
    next_sequence: u64,
    committed: u64,
    loaded_upto: u64,
    pending: Vec<Change>,
    mark: Mark,
    committing: Option<(Ticket, u64)>,
    reopen: Option<u64>,
}

impl Folder {
    /// A folder that nobody has looked at.
    pub fn new(config: config::Folder, own: ShortId) -> Self {
        let rules = Rules {
            own,
            direction: config.direction,
            members: config.members.clone(),
            ignore_modes: config.ignore_modes,
            ignores: Arc::default(),
        };
        Self {
            id: Arc::clone(&config.id),
            config,
            rules,
            index: Index::default(),
            state: State::Opening,
            loaded: false,
            scan: Scan::default(),
            pull: Pull::default(),
            emptied: false,
            meta: Meta::default(),
            first_sequence: 1,
            next_sequence: 1,
            committed: 0,
            loaded_upto: 0,
            pending: Vec::new(),
            mark: Mark::Due,
            committing: None,
            reopen: None,
        }
    }

    /// Other decisions of people.
    pub fn configure(&mut self, config: config::Folder) {
        self.rules.direction = config.direction;
        self.rules.members.clone_from(&config.members);
        self.rules.ignore_modes = config.ignore_modes;
        self.config = config;
        self.index.refresh_all(&self.rules);
    }

    /// Whether it works.
    pub fn running(&self) -> bool {
        self.state == State::Running && !self.config.paused
    }

    /// The life of our sequences, and the newest that others may be told of: it is committed, and the disk knows that this
    /// life goes on. (Else an old copy of the store might pass for the present one.)
    pub fn sequences(&self) -> (u64, u64) {
        let told = if self.mark == Mark::There {
            self.committed
        } else {
            self.loaded_upto
        };
        (self.meta.index_id, told)
    }

    /// Whether a sequence was given by this store: kept when it was loaded, or since. If a device knows another one, the
    /// store is an old copy.
    pub fn gave(&self, sequence: u64) -> bool {
        let before = |(first, last): &(u64, u64)| (*first..=*last).contains(&sequence);
        sequence == 0
            || self.meta.runs.iter().any(before)
            || (self.first_sequence..self.next_sequence).contains(&sequence)
    }

    /// Takes what the store held.
    pub fn load(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Meta(meta) => self.meta = meta,
                Change::RemoteReset { device, index_id } => {
                    self.index.reset_remote(device, index_id, &self.rules);
                }
                Change::Remote { device, info } => {
                    self.index.set_remote(device, info, &self.rules);
                }
                Change::Local { info, observed } => {
                    let name = self.index.name(&info.name);
                    self.committed = self.committed.max(info.sequence);
                    self.index
                        .set_local(&name, Local { info, observed }, &self.rules);
                }
                Change::Observed { name, observed } => {
                    let name = self.index.name(&name);
                    self.index.observe(&name, observed);
                }
            }
        }
    }

    /// The root was looked at.
    pub fn opened(&mut self, root: Root, chance: [u64; 2], cx: &mut Context<'_>) {
        let first = !self.loaded;
        match root {
            Root::Doubt(doubt) => {
                if first {
                    self.begin(None, chance);
                }
                self.stop(doubt, cx);
            }
            Root::Ready {
                generation,
                ignores,
                empty,
            } => {
                if first {
                    self.begin(generation, chance);
                }
                if empty && self.state == State::Stopped(Doubt::Emptied) && !self.emptied {
                    self.reopen = Some(cx.now.monotonic + DOUBTFUL);
                    return;
                }
                if self.state != State::Running {
                    self.reopen = None;
                    if matches!(self.state, State::Stopped(_)) {
                        cx.tell(Event::Stopped {
                            folder: Arc::clone(&self.id),
                            doubt: None,
                        });
                    }
                    self.state = State::Running;
                }
                self.rules.ignores = ignores;
                self.index.refresh_all(&self.rules);
                self.scan.everything();
            }
        }
    }

    /// The first opening: which life of sequences this is. What lies beside the marker has to be what we wrote there last;
    /// else the disk or the store is a copy of another time, and others must not take its sequences for the old ones.
    fn begin(&mut self, generation: Option<u64>, chance: [u64; 2]) {
        self.loaded = true;
        self.loaded_upto = self.committed;
        let ours = generation.is_none_or(|seen| {
            seen == self.meta.generation || seen == self.meta.previous_generation
        });
        let meta = &mut self.meta;
        if self.committed > 0 && self.committed >= meta.first {
            meta.runs.push((meta.first, self.committed));
        }
        // A copy that was set back goes on elsewhere than we did: the gap is drawn by chance.
        let gap = chance[0] >> 40;
        self.next_sequence = meta.ceiling.max(self.committed + 1).max(1) + gap;
        self.first_sequence = self.next_sequence;
        meta.first = self.next_sequence;
        if meta.index_id == 0 || !ours || meta.runs.len() > RUNS {
            meta.index_id = chance[0].max(1);
            meta.runs = vec![(0, self.committed)];
        }
        if let Some(seen) = generation {
            meta.previous_generation = seen;
        }
        meta.generation = chance[1].max(1);
        self.meta.ceiling = self.next_sequence + AHEAD;
        self.pending.push(Change::Meta(self.meta.clone()));
    }

    /// A new life of our sequences: somebody knows of later ones than we ever gave.
    pub fn new_life(&mut self, index_id: u64) {
        self.meta.index_id = index_id.max(1);
        self.meta.runs = vec![(0, self.loaded_upto)];
        self.pending.push(Change::Meta(self.meta.clone()));
    }

    /// Everything is looked at, the root first.
    pub fn look_at_all(&self, cx: &mut Context<'_>) {
        cx.out.push(Output::Open {
            folder: Arc::clone(&self.id),
            load: false,
        });
    }

    /// Stands still, and says why.
    pub fn stop(&mut self, doubt: Doubt, cx: &mut Context<'_>) {
        self.reopen = Some(cx.now.monotonic + DOUBTFUL);
        let state = State::Stopped(doubt.clone());
        if self.state != state {
            self.state = state;
            cx.tell(Event::Stopped {
                folder: Arc::clone(&self.id),
                doubt: Some(doubt),
            });
        }
    }

    /// Records our own change of an item: a new version, which others will take.
    pub fn changed(&mut self, info: FileInfo, observed: Option<Facts>, cx: &mut Context<'_>) {
        let before = self
            .index
            .get(&info.name)
            .and_then(|item| item.local.as_ref());
        let base = match before {
            // What was not shared until now must not win by what others said of it.
            Some(local) if local.info.invalid => local.info.version.only(cx.short()),
            Some(local) => local.info.version.clone(),
            None => Vector::default(),
        };
        self.changed_from(&base, info, observed, cx);
    }

    /// The same, where the new version is to follow another one than ours.
    pub fn changed_from(
        &mut self,
        base: &Vector,
        info: FileInfo,
        observed: Option<Facts>,
        cx: &mut Context<'_>,
    ) {
        let own = cx.short();
        let name = self.index.name(&info.name);
        if self.rules.direction == Direction::ReceiveOnly {
            let info = FileInfo {
                invalid: true,
                ..info
            };
            self.record(versioned(info, Vector::default(), own), observed);
            return;
        }
        let item = self.index.get(&name);
        let mut seconds = u64::try_from(cx.now.wall.0).unwrap_or(0);
        let counted = item.map_or(0, |item| item.counted(own));
        if counted > base.value(own) {
            seconds = seconds.max(counted + 1);
        }
        let deleted = info.deleted;
        let version = base.updated(own, seconds);
        self.record(versioned(info, version, own), observed);
        cx.tell(Event::Changed {
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            deleted,
        });
    }

    /// Records our entry of an item as it stands, with a new sequence.
    pub fn record(&mut self, info: Arc<FileInfo>, observed: Option<Facts>) {
        let mut info = Arc::unwrap_or_clone(info);
        info.sequence = self.next_sequence;
        self.next_sequence += 1;
        if self.next_sequence >= self.meta.ceiling {
            self.meta.ceiling = self.next_sequence + AHEAD;
            self.pending.push(Change::Meta(self.meta.clone()));
        }
        let name = self.index.name(&info.name);
        let info = Arc::new(info);
        self.pending.push(Change::Local {
            info: Arc::clone(&info),
            observed: observed.clone(),
        });
        let directory = info.kind == obhut_bep::Kind::Directory && !info.deleted;
        let seen = self
            .index
            .get(&name)
            .and_then(|item| item.local.as_ref())
            .is_none_or(|local| local.observed != observed);
        self.index
            .set_local(&name, Local { info, observed }, &self.rules);
        if seen {
            self.scan.recorded(&name, &mut self.index);
        }
        self.again_above(&name);
        if directory {
            self.index.again_below(&name);
        }
    }

    /// What is in a directory decides whether it may go, or become something else.
    fn again_above(&mut self, name: &str) {
        if self.index.needs().is_empty() {
            return;
        }
        for above in crate::scan::ancestors(name) {
            let above = self.index.name(above);
            self.index.again(&above);
        }
    }

    /// Records what the disk shows of an item whose entry stays.
    pub fn observed(&mut self, name: &Name, facts: Facts) {
        self.pending.push(Change::Observed {
            name: name.to_string(),
            observed: facts.clone(),
        });
        self.index.observe(name, facts);
    }

    /// Records another device's entry.
    pub fn remote(&mut self, device: DeviceId, info: FileInfo, cx: &mut Context<'_>) {
        let refused = self.index.get(&info.name).map_or_else(
            || Item::default().refused(&info, &self.rules),
            |item| item.refused(&info, &self.rules),
        );
        if refused {
            cx.tell(Event::Refused {
                folder: Arc::clone(&self.id),
                name: info.name.clone(),
                version: info.version.clone(),
            });
        }
        let info = Arc::new(info);
        self.pending.push(Change::Remote {
            device,
            info: Arc::clone(&info),
        });
        self.index
            .set_remote(device, Arc::clone(&info), &self.rules);
        self.again_above(&info.name);
    }

    /// Forgets a device's entries.
    pub fn reset(&mut self, device: DeviceId, index_id: u64) {
        self.pending.push(Change::RemoteReset { device, index_id });
        self.index.reset_remote(device, index_id, &self.rules);
    }

    /// Items of ours that share a version with something else get one of their own.
    fn settle_clashes(&mut self, cx: &mut Context<'_>) {
        for name in self.index.take_clashes() {
            let local = self.index.get(&name).and_then(|item| item.local.clone());
            if let Some(local) = local {
                self.changed((*local.info).clone(), local.observed, cx);
            }
        }
    }

    /// Does whatever can be done now.
    pub fn advance(&mut self, cx: &mut Context<'_>) {
        if self.reopen.is_some_and(|at| at <= cx.now.monotonic) {
            self.reopen = None;
            cx.out.push(Output::Open {
                folder: Arc::clone(&self.id),
                load: false,
            });
        }
        if self.loaded {
            self.settle_clashes(cx);
        }
        if self.running() {
            self.advance_scan(cx);
            self.advance_pull(cx);
        }
        self.commit(cx);
    }

    /// One transaction at a time; what comes meanwhile goes into the next.
    fn commit(&mut self, cx: &mut Context<'_>) {
        if self.committing.is_some() || self.pending.is_empty() {
            return;
        }
        let ticket = cx.ticket(&self.id);
        self.committing = Some((ticket, self.next_sequence - 1));
        cx.out.push(Output::Commit {
            ticket,
            folder: Arc::clone(&self.id),
            changes: std::mem::take(&mut self.pending),
        });
    }

    /// A transaction lasts: others may be told.
    pub fn committed(&mut self, ticket: Ticket, cx: &mut Context<'_>) {
        let Some((_, sequence)) = self.committing.take_if(|(known, _)| *known == ticket) else {
            return;
        };
        self.committed = sequence;
        if self.mark == Mark::Due && self.running() {
            let ticket = cx.ticket(&self.id);
            self.mark = Mark::Asked(ticket);
            cx.out.push(Output::Mark {
                ticket,
                folder: Arc::clone(&self.id),
                generation: self.meta.generation,
            });
        }
    }

    /// Whether everything that was given is kept.
    pub fn settled(&self) -> bool {
        self.pending.is_empty() && self.committing.is_none()
    }

    /// When something is to be done at the latest.
    pub fn wake(&self) -> Option<u64> {
        [self.reopen, self.scan.wake(), self.pull.wake()]
            .into_iter()
            .flatten()
            .min()
    }

    /// An answer to something that this folder asked for.
    pub fn answer(&mut self, input: Input, cx: &mut Context<'_>) {
        match input {
            Input::Walked { ticket, seen } => self.walked(ticket, seen, cx),
            Input::WalkEnded {
                ticket,
                root,
                unreadable,
                unnamed,
            } => self.walk_ended(ticket, root, unreadable, unnamed, cx),
            Input::Looked {
                ticket,
                root,
                found,
            } => self.looked(ticket, root, found, cx),
            Input::Hashed { ticket, result } => self.hashed(ticket, result, cx),
            Input::Prepared { ticket, result } => self.prepared(ticket, result, cx),
            Input::Wrote { ticket, result } => self.wrote(ticket, result, cx),
            Input::Applied { ticket, outcomes } => self.applied(ticket, outcomes, cx),
            Input::Committed { ticket } => self.committed(ticket, cx),
            Input::Marked { ticket } if self.mark == Mark::Asked(ticket) => self.mark = Mark::There,
            _ => {}
        }
    }
}

/// What people decide about what differs.
impl Folder {
    /// A send-only folder: what we have counts from now on, whatever others say.
    pub fn override_others(&mut self, cx: &mut Context<'_>) {
        let needed: Vec<Name> = self.index.needs().iter().map(Arc::clone).collect();
        for name in needed {
            let Some(item) = self.index.get(&name) else {
                continue;
            };
            let Some(global) = item.global(&self.rules).map(Arc::clone) else {
                continue;
            };
            let (info, observed) = match &item.local {
                Some(local) => ((*local.info).clone(), local.observed.clone()),
                None => (tombstone(&global, cx.now.wall), None),
            };
            let base = info.version.merged(&global.version);
            self.changed_from(&base, info, observed, cx);
        }
    }

    /// A receive-only folder: what was changed here goes to the versions, and what others have comes.
    pub fn revert(&mut self, cx: &mut Context<'_>) {
        let ours: Vec<(Name, Local)> = self
            .index
            .items()
            .filter_map(|(name, item)| Some((Arc::clone(name), item.local.clone()?)))
            .filter(|(_, local)| stays_here(&local.info))
            .collect();
        for (name, local) in ours {
            let others = self.index.get(&name).is_some_and(|item| {
                item.remotes
                    .iter()
                    .any(|(_, info)| !info.invalid && !info.deleted)
            });
            if others || local.info.deleted {
                // Without a version it is older than everything.
                let info = FileInfo {
                    invalid: false,
                    ..(*local.info).clone()
                };
                self.record(Arc::new(info), local.observed);
            } else {
                self.remove_own(&name, &local, cx);
            }
        }
    }
}
