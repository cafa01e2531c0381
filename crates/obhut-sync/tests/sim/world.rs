//! A made world: devices with disks, stores and clocks, and the net between them. Everything that happens is drawn from one
//! seed, and everything that an engine asks for happens later, in any order that a real machine could choose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::civil::DateTime;
use obhut_bep::{DeviceId, FileInfo, Hello, Message, digest};
use obhut_sync::config::{Config, Device as Known, Folder, Member};
use obhut_sync::engine::Engine;
use obhut_sync::ignore::Ignores;
use obhut_sync::internal::is_untouchable;
use obhut_sync::io::{Connection, Event, Input, Now, Outcome, Output, Step, Ticket};

use crate::disk::Disk;
use crate::rng::Rng;
use crate::store::Store;

pub const FOLDER: &str = "f";
const START: i64 = 1_800_000_000;

/// Something that an engine asked for and that has not happened yet.
#[derive(Debug)]
pub enum Task {
    Plain(Output),
    Walk {
        ticket: Ticket,
        names: VecDeque<String>,
        ignores: Arc<Ignores>,
    },
    Apply {
        ticket: Ticket,
        steps: VecDeque<Step>,
        outcomes: Vec<Outcome>,
    },
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
    pub tasks: Vec<Task>,
    pub ordered: VecDeque<Output>,
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
    pub chance: u64,
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
                        .map(|id| Known {
                            id,
                            ..Known::default()
                        })
                        .collect(),
                    folders: vec![Folder {
                        id: Arc::from(FOLDER),
                        members: others
                            .map(|device| Member {
                                device,
                                writes: true,
                            })
                            .collect(),
                        max_conflicts: None,
                        rescan: 0,
                        ..Folder::default()
                    }],
                };
                Device {
                    id,
                    engine: None,
                    disk: Disk {
                        marker: true,
                        ..Disk::default()
                    },
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
            wall: (
                START + (self.now / 1000) as i64 + self.devices[at].ahead,
                (self.now % 1000) as i32 * 1_000_000,
            ),
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
    }

    pub fn connected(&self, one: usize, other: usize) -> bool {
        self.pipes.values().any(|pipe| {
            pipe.ends.contains(&one) && pipe.ends.contains(&other) && pipe.up == [true, true]
        })
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
            self.give(
                at,
                Input::Up {
                    connection: names[end],
                    device,
                    hello: Hello::default(),
                },
            );
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
                        .push(Task::Give(Input::Down {
                            connection: pipe.names[end],
                        }));
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
            Output::Send {
                connection,
                message,
            } => self.send(at, connection, message),
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
        self.devices[at].tasks.push(Task::Give(Input::Drained {
            connection,
            messages: 1,
        }));
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
        let Message::Index(index) = message else {
            return;
        };
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
                self.violate(format!(
                    "d{at}: sequence {} is used twice ({})",
                    info.sequence, info.name
                ));
            }
        }
        self.count(if index.update {
            "sent: update"
        } else {
            "sent: whole index"
        });
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
        let Some(pipe) = self.pipes.get_mut(&key) else {
            return;
        };
        let (at, connection) = (pipe.ends[end], pipe.names[end]);
        if let Some(message) = pipe.queues[end].pop_front() {
            self.give(
                at,
                Input::Received {
                    connection,
                    message,
                },
            );
        }
    }
}

pub fn short(text: &str) -> String {
    text.chars().take(900).collect()
}
