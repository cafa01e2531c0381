//! A made world: devices with disks, stores and clocks, and the net between them. Everything that happens is drawn from one
//! seed, and everything that an engine asks for happens later, in any order that a real machine could choose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::civil::DateTime;
use obhut_bep::{Code, DeviceId, FileInfo, Hello, Message, digest};
use obhut_sync::config::{Config, Device as Known, Folder, Member};
use obhut_sync::engine::Engine;
use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::internal::is_untouchable;
use obhut_sync::io::{
    Connection, Doubt, Event, FactsKind, Failure, Input, Now, Outcome, Output, Root, Seen, Step, Ticket,
};

use crate::disk::Disk;
use crate::rng::Rng;
use crate::store::Store;

pub const FOLDER: &str = "f";
const START: i64 = 1_800_000_000;

/// Something that an engine asked for and that has not happened yet.
#[derive(Debug)]
pub enum Task {
    Plain(Output),
    Walk { ticket: Ticket, names: VecDeque<String>, ignores: Arc<Ignores> },
    Apply { ticket: Ticket, steps: VecDeque<Step>, outcomes: Vec<Outcome> },
    Give(Input),
}

pub struct Device {
    pub id: DeviceId,
    pub engine: Option<Engine>,
    pub disk: Disk,
    pub store: Store,
    pub config: Config,
    pub ignores: Arc<Ignores>,
    pub ahead: i64,
    pub snapshots: Vec<(Disk, Store)>,
    tasks: Vec<Task>,
    ordered: VecDeque<Output>,
    wake: Option<u64>,
    /// That of its sequences, as it last said.
    life: u64,
}

struct Pipe {
    ends: [usize; 2],
    names: [Connection; 2],
    up: [bool; 2],
    /// Toward each end.
    queues: [VecDeque<Message>; 2],
}

/// What no engine may do.
#[derive(Debug)]
pub struct Violation(#[allow(dead_code)] pub String); // shown

pub struct World {
    pub rng: Rng,
    pub devices: Vec<Device>,
    pub now: u64,
    pub counts: BTreeMap<String, u64>,
    pub verbose: bool,
    pub trace: u64,
    pub violations: Vec<Violation>,
    /// Contents that people took away themselves.
    pub released: BTreeSet<Vec<u8>>,
    /// All that were ever on a disk.
    pub written: BTreeSet<Vec<u8>>,
    /// Devices whose memory was lost or set back: what was settled may come up again as a conflict.
    pub forgetful: bool,
    pipes: BTreeMap<u64, Pipe>,
    next: u64,
    chance: u64,
    /// Of each life of sequences: which entry had which.
    sequences: BTreeMap<(DeviceId, u64, u64), FileInfo>,
}

impl World {
    pub fn new(seed: u64, count: usize) -> Self {
        let ids: Vec<DeviceId> = (0..count as u64)
            .map(|number| DeviceId(digest(format!("{seed} {number}").as_bytes())))
            .collect();
        let devices = ids
            .iter()
            .enumerate()
            .map(|(at, &id)| {
                let others = ids.iter().copied().filter(|&other| other != id);
                let config = Config {
                    own: id,
                    name: format!("d{at}"),
                    devices: others
                        .clone()
                        .map(|id| Known { id, ..Known::default() })
                        .collect(),
                    folders: vec![Folder {
                        id: Arc::from(FOLDER),
                        members: others.map(|device| Member { device, writes: true }).collect(),
                        max_conflicts: None,
                        rescan: 0,
                        ..Folder::default()
                    }],
                };
                Device {
                    id,
                    engine: None,
                    disk: Disk { marker: true, ..Disk::default() },
                    store: Store::default(),
                    config,
                    ignores: Arc::new(
                        Ignores::parse(".stignore", "*.ign\n", &mut |_| Err(String::new()))
                            .expect("a pattern"),
                    ),
                    ahead: 0,
                    snapshots: Vec::new(),
                    tasks: Vec::new(),
                    ordered: VecDeque::new(),
                    wake: None,
                    life: 0,
                }
            })
            .collect();
        Self {
            rng: Rng::new(seed),
            devices,
            now: 1,
            counts: BTreeMap::new(),
            verbose: false,
            trace: 0,
            violations: Vec::new(),
            released: BTreeSet::new(),
            written: BTreeSet::new(),
            forgetful: false,
            pipes: BTreeMap::new(),
            next: 0,
            chance: seed,
            sequences: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    pub fn violate(&mut self, what: String) {
        self.say(|| format!("VIOLATION {what}"));
        self.violations.push(Violation(what));
    }

    /// One line of the trace.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        let mut hasher = DefaultHasher::new();
        (self.trace, &line).hash(&mut hasher);
        self.trace = hasher.finish();
        if self.verbose {
            println!("{:>8} {line}", self.now);
        }
    }

    pub fn clock(&self, at: usize) -> Now {
        Now {
            monotonic: self.now,
            wall: (START + (self.now / 1000) as i64 + self.devices[at].ahead, (self.now % 1000) as i32 * 1_000_000),
            offset: 3600,
        }
    }

    pub fn local_time(&self, at: usize) -> DateTime {
        let now = self.clock(at);
        jiff::Timestamp::from_second(now.wall.0 + i64::from(now.offset))
            .expect("a time")
            .to_zoned(jiff::tz::TimeZone::UTC)
            .datetime()
    }

    pub fn alive(&self, at: usize) -> bool {
        self.devices[at].engine.is_some()
    }

    /// Starts an engine.
    pub fn start(&mut self, at: usize) {
        self.say(|| format!("d{at} starts"));
        self.devices[at].engine = Some(Engine::default());
        let config = self.devices[at].config.clone();
        self.give(at, Input::Configured(config));
    }

    /// Drops an engine: whatever it asked for and that has not happened does not.
    pub fn crash(&mut self, at: usize) {
        self.say(|| format!("d{at} crashes"));
        let device = &mut self.devices[at];
        device.engine = None;
        device.tasks.clear();
        device.ordered.clear();
        device.wake = None;
        let cut: Vec<u64> = self
            .pipes
            .iter()
            .filter(|(_, pipe)| pipe.ends.contains(&at))
            .map(|(key, _)| *key)
            .collect();
        for key in cut {
            self.cut(key);
        }
        self.sweep(at);
    }

    /// What a driver does when it starts: temporary files are left, but one that took the place of a file is kept.
    fn sweep(&mut self, _at: usize) {}

    pub fn connected(&self, one: usize, other: usize) -> bool {
        self.pipes
            .values()
            .any(|pipe| pipe.ends.contains(&one) && pipe.ends.contains(&other) && pipe.up == [true, true])
    }

    pub fn connect(&mut self, one: usize, other: usize) {
        if !self.alive(one) || !self.alive(other) || self.connected(one, other) {
            return;
        }
        self.say(|| format!("d{one} and d{other} connect"));
        self.count("connected");
        self.next += 1;
        let key = self.next;
        let names = [Connection(2 * key), Connection(2 * key + 1)];
        self.pipes.insert(
            key,
            Pipe {
                ends: [one, other],
                names,
                up: [true, true],
                queues: [VecDeque::new(), VecDeque::new()],
            },
        );
        for (end, at, peer) in [(0, one, other), (1, other, one)] {
            let device = self.devices[peer].id;
            self.give(at, Input::Up { connection: names[end], device, hello: Hello::default() });
        }
    }

    pub fn cut_some(&mut self) {
        let keys: Vec<u64> = self.pipes.keys().copied().collect();
        if !keys.is_empty() {
            let key = *self.rng.pick(&keys);
            self.count("cut");
            self.cut(key);
        }
    }

    fn cut(&mut self, key: u64) {
        if let Some(pipe) = self.pipes.remove(&key) {
            for end in 0..2 {
                if pipe.up[end] && self.alive(pipe.ends[end]) {
                    self.devices[pipe.ends[end]]
                        .tasks
                        .push(Task::Give(Input::Down { connection: pipe.names[end] }));
                }
            }
        }
    }

    /// An engine takes an input; what it asks for waits.
    pub fn give(&mut self, at: usize, input: Input) {
        let now = self.clock(at);
        if self.verbose {
            self.say(|| short(&format!("d{at} <- {input:?}")));
        } else {
            self.say(|| format!("d{at} <- {:?}", std::mem::discriminant(&input)));
        }
        let Some(engine) = self.devices[at].engine.as_mut() else {
            return;
        };
        let outputs = engine.step(now, input);
        for output in outputs {
            if self.verbose {
                self.say(|| short(&format!("d{at} -> {output:?}")));
            }
            self.take(at, output);
        }
    }

    fn take(&mut self, at: usize, output: Output) {
        match output {
            Output::Wake { at: when } => self.devices[at].wake = Some(when),
            Output::Tell(event) => self.told(&event),
            Output::Send { connection, message } => self.send(at, connection, message),
            Output::Close { connection, reason } => {
                self.count("closed");
                self.say(|| format!("d{at} closes: {reason}"));
                let key = connection.0 / 2;
                self.cut(key);
            }
            ordered @ (Output::Commit { .. } | Output::Mark { .. } | Output::Open { .. }) => {
                self.devices[at].ordered.push_back(ordered);
            }
            plain => self.devices[at].tasks.push(Task::Plain(plain)),
        }
    }

    fn told(&mut self, event: &Event) {
        let name = match event {
            Event::Conflict { .. } => "event: conflict",
            Event::Trouble { .. } => "event: trouble",
            Event::Stopped { .. } => "event: stopped",
            Event::Took { deleted: true, .. } => "event: took a deletion",
            Event::Took { .. } => "event: took an item",
            Event::Changed { .. } => "event: changed",
            _ => return,
        };
        self.count(name);
    }

    fn send(&mut self, at: usize, connection: Connection, message: Message) {
        self.inspect(at, &message);
        let key = connection.0 / 2;
        let end = (connection.0 % 2) as usize;
        if let Some(pipe) = self.pipes.get_mut(&key) {
            pipe.queues[1 - end].push_back(message);
        }
        self.devices[at]
            .tasks
            .push(Task::Give(Input::Drained { connection, messages: 1 }));
    }

    /// Invariants 10 and 11, of what is sent.
    fn inspect(&mut self, at: usize, message: &Message) {
        let id = self.devices[at].id;
        if let Message::ClusterConfig(config) = message {
            let ours = config
                .folders
                .iter()
                .flat_map(|folder| &folder.devices)
                .find(|device| device.id == id);
            self.devices[at].life = ours.map_or(0, |device| device.index_id);
        }
        let Message::Index(index) = message else { return };
        let life = self.devices[at].life;
        let mut before = index.prev_sequence;
        for info in &index.files {
            if info.sequence <= before {
                self.violate(format!("d{at}: sequence {} after {before}", info.sequence));
            }
            before = info.sequence;
            if is_untouchable(&info.name) {
                self.violate(format!("d{at}: sends {}", info.name));
            }
            let known = self
                .sequences
                .insert((id, life, info.sequence), info.clone());
            if known.is_some_and(|known| known != *info) {
                self.violate(format!("d{at}: sequence {} is used twice ({})", info.sequence, info.name));
            }
        }
        self.count(if index.update { "sent: update" } else { "sent: whole index" });
    }

    /// Something happens; false if nothing can.
    pub fn happen(&mut self) -> bool {
        let mut choices: Vec<(usize, u64)> = Vec::new();
        for (at, device) in self.devices.iter().enumerate() {
            if device.engine.is_some() {
                if !device.tasks.is_empty() {
                    choices.push((0, at as u64));
                }
                if !device.ordered.is_empty() {
                    choices.push((1, at as u64));
                }
            }
        }
        for (key, pipe) in &self.pipes {
            for end in 0..2 {
                if !pipe.queues[end].is_empty() {
                    choices.push((2 + end, *key));
                }
            }
        }
        if choices.is_empty() {
            return false;
        }
        let (kind, which) = *self.rng.pick(&choices);
        match kind {
            0 => self.task(which as usize),
            1 => self.ordered(which as usize),
            _ => self.deliver(which, kind - 2),
        }
        if self.rng.once_in(3) {
            self.now += self.rng.next() % 20;
            self.due();
        }
        true
    }

    /// Ticks where one is due.
    fn due(&mut self) {
        for at in 0..self.devices.len() {
            if self.alive(at) && self.devices[at].wake.is_some_and(|wake| wake <= self.now) {
                self.devices[at].wake = None;
                self.give(at, Input::Tick);
            }
        }
    }

    /// Nothing can happen until somebody wakes: time goes on till then. False if nobody will.
    pub fn skip(&mut self) -> bool {
        let next = self
            .devices
            .iter()
            .filter(|device| device.engine.is_some())
            .filter_map(|device| device.wake)
            .min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        self.due();
        true
    }

    fn deliver(&mut self, key: u64, end: usize) {
        let Some(pipe) = self.pipes.get_mut(&key) else { return };
        let (at, connection) = (pipe.ends[end], pipe.names[end]);
        if let Some(message) = pipe.queues[end].pop_front() {
            self.give(at, Input::Received { connection, message });
        }
    }

    fn ordered(&mut self, at: usize) {
        let Some(output) = self.devices[at].ordered.pop_front() else { return };
        match output {
            Output::Commit { ticket, changes, .. } => {
                self.devices[at].store.commit(changes);
                self.give(at, Input::Committed { ticket });
            }
            Output::Mark { ticket, generation, .. } => {
                self.devices[at].disk.generation = Some(generation);
                self.give(at, Input::Marked { ticket });
            }
            Output::Open { folder, load } => {
                if load {
                    let mut changes = self.devices[at].store.load();
                    while !changes.is_empty() {
                        let rest = changes.split_off(changes.len().min(7));
                        self.give(at, Input::Loaded { folder: Arc::clone(&folder), changes });
                        changes = rest;
                    }
                }
                let root = match self.root(at) {
                    Some(doubt) => Root::Doubt(doubt),
                    None => Root::Ready {
                        generation: self.devices[at].disk.generation,
                        ignores: Arc::clone(&self.devices[at].ignores),
                        empty: self.devices[at].disk.tree().is_empty(),
                    },
                };
                self.chance += 2;
                let chance = [Rng::new(self.chance).next(), Rng::new(self.chance + 1).next()];
                self.give(at, Input::Opened { folder, root, chance });
            }
            _ => {}
        }
    }

    fn root(&self, at: usize) -> Option<Doubt> {
        (!self.devices[at].disk.marker).then_some(Doubt::MarkerMissing)
    }

    fn task(&mut self, at: usize) {
        let place = self.rng.below(self.devices[at].tasks.len());
        let task = self.devices[at].tasks.remove(place);
        match task {
            Task::Give(input) => self.give_in_order(at, input),
            Task::Plain(output) => self.carry_out(at, output),
            Task::Walk { ticket, names, ignores } => self.walk(at, ticket, names, ignores),
            Task::Apply { ticket, steps, outcomes } => self.apply(at, ticket, steps, outcomes),
        }
    }

    /// The end of a connection comes after everything that its driver said of it before.
    fn give_in_order(&mut self, at: usize, input: Input) {
        if let Input::Down { connection } = &input {
            let connection = *connection;
            self.devices[at].tasks.retain(|task| {
                !matches!(task, Task::Give(Input::Drained { connection: other, .. }) if *other == connection)
            });
        }
        self.give(at, input);
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        let unsteady = self.rng.once_in(25);
        let fails = self.rng.once_in(60);
        let wrong = self.rng.once_in(40);
        let root = self.root(at);
        let now = self.now;
        let disk = &mut self.devices[at].disk;
        disk.now = now;
        // Within the tick of its last change a file may change again and look the same: a driver waits until that is over.
        if let Output::Hash { name, .. } = &output
            && disk.nodes.get(name).is_some_and(|node| node.at == now)
        {
            self.devices[at].tasks.push(Task::Plain(output));
            return;
        }
        match output {
            Output::Walk { ticket, below, ignores, .. } => {
                let names = disk
                    .nodes
                    .keys()
                    .filter(|name| {
                        below.as_ref().is_none_or(|below| {
                            *name == below || name.starts_with(&format!("{below}/"))
                        })
                    })
                    .filter(|name| !is_untouchable(name))
                    .cloned()
                    .collect();
                self.walk(at, ticket, names, ignores);
            }
            Output::Look { ticket, names, .. } => {
                let found = names
                    .into_iter()
                    .map(|name| {
                        let facts = disk.facts(&name);
                        (name, Ok(facts))
                    })
                    .collect();
                self.give(at, Input::Looked { ticket, root, found });
            }
            Output::Hash { ticket, name, known, .. } => {
                let result = if unsteady { Err(Failure::Unsteady) } else { disk.hash(&name, known) };
                if unsteady {
                    self.count("fault: changed while read");
                }
                self.give(at, Input::Hashed { ticket, result });
            }
            Output::Serve { connection, request, name, offset, size, hash, .. } => {
                let found = disk
                    .read(&name, offset, size)
                    .filter(|bytes| hash.is_none_or(|hash| digest(bytes) == hash));
                let result = match found {
                    Some(_) if fails => Err(Code::Generic),
                    Some(mut bytes) if wrong && !bytes.is_empty() => {
                        bytes[0] ^= 1;
                        Ok(bytes)
                    }
                    Some(bytes) => Ok(bytes),
                    None => Err(Code::NoSuchFile),
                };
                if result.is_err() {
                    self.count("serve: refused");
                }
                self.give(at, Input::Served { connection, request, result });
            }
            Output::Prepare { ticket, temporary, size, block_size, blocks, sources, .. } => {
                let result = if fails {
                    Err(Failure::Full)
                } else {
                    disk.prepare(&temporary, size, block_size, &blocks, &sources)
                };
                if fails {
                    self.count("fault: disk full");
                }
                self.give(at, Input::Prepared { ticket, result });
            }
            Output::Write { ticket, temporary, total, offset, data, hash, .. } => {
                let result = if digest(&data) == hash {
                    disk.write_block(&temporary, total, offset, &data)
                } else {
                    self.count("fault: wrong bytes from a device");
                    Err(Failure::WrongHash)
                };
                self.give(at, Input::Wrote { ticket, result });
            }
            Output::Apply { ticket, steps, .. } => self.apply(at, ticket, steps.into(), Vec::new()),
            Output::Discard { temporaries, .. } => {
                for name in temporaries {
                    disk.remove(&name);
                }
            }
            _ => {}
        }
    }

    /// A walk looks at a few names, then others get their turn.
    fn walk(&mut self, at: usize, ticket: Ticket, mut names: VecDeque<String>, ignores: Arc<Ignores>) {
        let mut seen = Vec::new();
        for _ in 0..=self.rng.below(8) {
            let Some(name) = names.pop_front() else { break };
            let Some(facts) = self.devices[at].disk.facts(&name) else { continue };
            let ignored = ignores.verdict(&name) != Verdict::Shared;
            if !ignored || facts.kind == FactsKind::Directory {
                seen.push(Seen { name, facts, ignored });
            }
        }
        let ended = names.is_empty();
        self.give(at, Input::Walked { ticket, seen });
        if ended {
            let root = self.root(at);
            self.give(
                at,
                Input::WalkEnded { ticket, root, unreadable: Vec::new(), unnamed: Vec::new() },
            );
        } else if self.alive(at) {
            self.devices[at].tasks.push(Task::Walk { ticket, names, ignores });
        }
    }

    /// A group of steps does a few, then others get their turn.
    fn apply(&mut self, at: usize, ticket: Ticket, mut steps: VecDeque<Step>, mut outcomes: Vec<Outcome>) {
        let now = self.local_time(at);
        for _ in 0..=self.rng.below(3) {
            let Some(step) = steps.pop_front() else { break };
            let fails = self.rng.once_in(80);
            let disk = &mut self.devices[at].disk;
            let outcome = if fails {
                Outcome::Failed(Failure::Denied)
            } else {
                disk.step(&step, now)
            };
            let dropped = std::mem::take(&mut disk.dropped);
            self.say(|| short(&format!("d{at} does {step:?}: {outcome:?}")));
            for name in dropped {
                self.violate(format!("d{at}: {name} was not kept"));
            }
            outcomes.push(outcome);
        }
        if steps.is_empty() {
            self.give(at, Input::Applied { ticket, outcomes });
        } else {
            self.devices[at].tasks.push(Task::Apply { ticket, steps, outcomes });
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(900).collect()
}
