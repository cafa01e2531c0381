//! A connection to a device: what both share there, what has been sent of it, what is asked for and not answered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use obhut_bep::{ClusterConfig, DeviceId, Message, Request, Response};

use crate::index::Name;
use crate::io::{Connection, FolderId, Output, Ticket};

/// Bytes that are asked for and not here yet, of one device. A stock device serves so many at once.
const WINDOW: u64 = 32 << 20;
/// Bytes that are read for a device, or wait to be sent to it.
const SERVING: u64 = 32 << 20;
/// Requests that may wait. More is no use to anybody.
const WAITING: usize = 100_000;
/// Messages under way, above which no entries are added.
const QUEUED: usize = 16;

/// What was asked for.
#[derive(Debug)]
pub struct Asked {
    /// In which folder.
    pub folder: FolderId,
    /// Of which item.
    pub name: Name,
    /// For which attempt to gather it.
    pub job: Ticket,
    /// Which block.
    pub block: u32,
    /// Its bytes.
    pub size: u32,
}

/// A folder on a connection.
#[derive(Debug, Default)]
pub struct Link {
    /// Whether the other side shares it with us, and runs it.
    pub shared: bool,
    /// The last of our sequences that was sent, or that it had before; nothing until that is known.
    pub sent: Option<u64>,
    /// Whether the next message takes the place of all before.
    pub whole: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    /// Which.
    pub connection: Connection,
    /// With whom.
    pub device: DeviceId,
    /// Whether our own list of folders was sent.
    pub introduced: bool,
    /// Whether theirs came.
    pub known: bool,
    /// Theirs: what we share may change later.
    pub theirs: Option<ClusterConfig>,
    /// The folders.
    pub links: BTreeMap<FolderId, Link>,
    next_request: i32,
    asked: HashMap<i32, Asked>,
    asked_bytes: u64,
    requests: VecDeque<Request>,
    serving: u64,
    queue: VecDeque<u64>,
}

impl Session {
    /// A new one.
    pub fn new(connection: Connection, device: DeviceId) -> Self {
        Self {
            connection,
            device,
            introduced: false,
            known: false,
            theirs: None,
            links: BTreeMap::new(),
            next_request: 0,
            asked: HashMap::new(),
            asked_bytes: 0,
            requests: VecDeque::new(),
            serving: 0,
            queue: VecDeque::new(),
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: Message, out: &mut Vec<Output>) {
        let weight = match &message {
            Message::Response(response) => response.data.len() as u64,
            _ => 0,
        };
        self.queue.push_back(weight);
        out.push(Output::Send {
            connection: self.connection,
            message,
        });
    }

    /// So many messages have gone.
    pub fn drained(&mut self, messages: u64) {
        for _ in 0..messages {
            let Some(weight) = self.queue.pop_front() else {
                return;
            };
            self.serving = self.serving.saturating_sub(weight);
        }
    }

    /// Whether entries may be added to what is under way.
    pub fn takes_entries(&self) -> bool {
        self.introduced && self.known && self.queue.len() < QUEUED
    }

    /// Whether so many bytes may be asked for. One request may always be under way.
    pub fn takes_request(&self, size: u32) -> bool {
        self.known && (self.asked.is_empty() || self.asked_bytes + u64::from(size) <= WINDOW)
    }

    /// Bytes that are asked for.
    pub fn asked_bytes(&self) -> u64 {
        self.asked_bytes
    }

    /// Asks.
    pub fn ask(&mut self, asked: Asked, mut request: Request, out: &mut Vec<Output>) {
        request.id = self.next_request;
        self.next_request = self.next_request.wrapping_add(1) & i32::MAX;
        self.asked_bytes += u64::from(asked.size);
        self.asked.insert(request.id, asked);
        self.send(Message::Request(request), out);
    }

    /// What an answer is to; nothing if nobody asked.
    pub fn answered(&mut self, response: &Response) -> Option<Asked> {
        let asked = self.asked.remove(&response.id)?;
        self.asked_bytes = self.asked_bytes.saturating_sub(u64::from(asked.size));
        Some(asked)
    }

    /// All that will not be answered any more.
    pub fn unanswered(&mut self) -> Vec<Asked> {
        self.asked_bytes = 0;
        let mut all: Vec<(i32, Asked)> = self.asked.drain().collect();
        all.sort_unstable_by_key(|(request, _)| *request);
        all.into_iter().map(|(_, asked)| asked).collect()
    }

    /// Takes a request; false if there are too many.
    pub fn requested(&mut self, request: Request) -> bool {
        self.requests.push_back(request);
        self.requests.len() <= WAITING
    }

    /// The next request that may be served now.
    pub fn next_served(&mut self) -> Option<Request> {
        let size = u64::from(self.requests.front()?.size);
        if self.serving > 0 && self.serving + size > SERVING {
            return None;
        }
        self.serving += size;
        self.requests.pop_front()
    }

    /// A request was answered by fewer bytes than it asked for: the rest does not wait to be sent.
    pub fn unserved(&mut self, size: u64) {
        self.serving = self.serving.saturating_sub(size);
    }
}

/// All connections.
#[derive(Debug, Default)]
pub struct Sessions {
    all: BTreeMap<Connection, Session>,
}

impl Sessions {
    /// One of them.
    pub fn get(&mut self, connection: Connection) -> Option<&mut Session> {
        self.all.get_mut(&connection)
    }

    /// All.
    pub fn iter(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.values_mut()
    }

    /// A new one.
    pub fn add(&mut self, session: Session) {
        self.all.insert(session.connection, session);
    }

    /// The end of one.
    pub fn remove(&mut self, connection: Connection) -> Option<Session> {
        self.all.remove(&connection)
    }

    /// Whether a device is connected.
    pub fn connected(&self, device: DeviceId) -> bool {
        self.all.values().any(|session| session.device == device)
    }

    /// Whether anybody may be asked for anything.
    pub fn any_takes_request(&self) -> bool {
        self.all.values().any(|session| session.takes_request(1))
    }

    /// The connection to one of some devices that has the least to do and takes a request for a folder.
    pub fn least_busy(
        &mut self,
        folder: &FolderId,
        size: u32,
        wanted: impl Fn(DeviceId) -> bool,
    ) -> Option<&mut Session> {
        self.all
            .values_mut()
            .filter(|session| {
                wanted(session.device)
                    && session.takes_request(size)
                    && session.links.get(folder).is_some_and(|link| link.shared)
            })
            .min_by_key(|session| session.asked_bytes())
    }
}
