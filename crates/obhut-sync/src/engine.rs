//! The engine: one thread, no I/O. `step` takes what happened and says what is to be done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use obhut_bep::{
    ClusterConfig, Code, Device, DeviceId, Folder as Shared, HASH, Hello, Index as Entries,
    Message, Request, Response, StopReason, check_name,
};

use crate::config::Config;
use crate::folder::{Context, Folder, State};
use crate::ignore::Verdict;
use crate::internal::is_untouchable;
use crate::io::{Command, Connection, Doubt, Event, FolderId, Input, Now, Output, Ticket};
use crate::session::{Link, Session, Sessions};

/// Entries of one message, and blocks that they have together.
const ENTRIES: usize = 1_000;
const BLOCKS: usize = 5_000;

/// The engine of one device.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) folders: BTreeMap<FolderId, Folder>,
    pub(crate) sessions: Sessions,
    routes: HashMap<Ticket, FolderId>,
    next: u64,
    out: Vec<Output>,
    wake: Option<u64>,
}

impl Engine {
    /// Takes what happened; says what is to be done.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        match input {
            Input::Configured(config) => self.configured(config, now),
            Input::Opened {
                folder,
                root,
                chance,
            } => {
                self.with(&folder, now, |folder, cx| folder.opened(root, chance, cx));
                self.introduce();
            }
            Input::Loaded { folder, changes } => {
                if let Some(folder) = self.folders.get_mut(&folder) {
                    folder.load(changes);
                }
            }
            Input::Up {
                connection,
                device,
                hello,
            } => self.up(connection, device, &hello),
            Input::Received {
                connection,
                message,
            } => self.received(connection, message, now),
            Input::Down { connection } => self.down(connection, now),
            Input::Drained {
                connection,
                messages,
            } => {
                if let Some(session) = self.sessions.get(connection) {
                    session.drained(messages);
                }
                self.serve(connection);
            }
            Input::Noticed { folder, names } => {
                self.with(&folder, now, |folder, cx| folder.noticed(names, cx));
            }
            Input::Served {
                connection,
                request,
                result,
            } => self.served(connection, request, result),
            Input::Told { folder, command } => self.told(&folder, &command, now),
            Input::Tick => self.wake = None, // it was the driver's last: another one is asked for below
            Input::Walked { ticket, .. } => self.answer(ticket, false, input, now),
            Input::WalkEnded { ticket, .. }
            | Input::Looked { ticket, .. }
            | Input::Hashed { ticket, .. }
            | Input::Prepared { ticket, .. }
            | Input::Wrote { ticket, .. }
            | Input::Applied { ticket, .. }
            | Input::Committed { ticket }
            | Input::Marked { ticket } => self.answer(ticket, true, input, now),
        }
        self.advance(now);
        std::mem::take(&mut self.out)
    }

    fn answer(&mut self, ticket: Ticket, last: bool, input: Input, now: Now) {
        let folder = if last {
            self.routes.remove(&ticket)
        } else {
            self.routes.get(&ticket).map(Arc::clone)
        };
        if let Some(folder) = folder {
            self.with(&folder, now, |folder, cx| folder.answer(input, cx));
        }
    }

    /// Something with a folder, and what it needs around it.
    fn with<T>(
        &mut self,
        folder: &FolderId,
        now: Now,
        act: impl FnOnce(&mut Folder, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let folder = self.folders.get_mut(folder)?;
        let mut cx = Context {
            now,
            own: self.config.own,
            next: &mut self.next,
            routes: &mut self.routes,
            sessions: &mut self.sessions,
            out: &mut self.out,
        };
        Some(act(folder, &mut cx))
    }

    /// Every folder does what it can; every connection is sent what it lacks.
    fn advance(&mut self, now: Now) {
        let ids: Vec<FolderId> = self.folders.keys().map(Arc::clone).collect();
        for id in &ids {
            self.with(id, now, Folder::advance);
            self.announce(id);
        }
        let wake = self.folders.values().filter_map(Folder::wake).min();
        if wake != self.wake {
            self.wake = wake;
            if let Some(at) = wake {
                self.out.push(Output::Wake { at });
            }
        }
    }

    fn configured(&mut self, config: Config, now: Now) {
        let own = config.own.short();
        self.folders
            .retain(|id, _| config.folders.iter().any(|folder| folder.id == *id));
        for folder in &config.folders {
            if let Some(known) = self.folders.get_mut(&folder.id) {
                known.configure(folder.clone());
            } else {
                self.folders
                    .insert(Arc::clone(&folder.id), Folder::new(folder.clone(), own));
                self.out.push(Output::Open {
                    folder: Arc::clone(&folder.id),
                    load: true,
                });
            }
        }
        self.config = config;
        let strangers: Vec<Connection> = self
            .sessions
            .iter()
            .filter(|session| {
                !self
                    .config
                    .devices
                    .iter()
                    .any(|device| device.id == session.device && !device.paused)
            })
            .map(|session| session.connection)
            .collect();
        for connection in strangers {
            self.close(connection, "this device is not shared with any more", now);
        }
        let mut heard = Vec::new();
        for session in self.sessions.iter() {
            session.introduced = false;
            if let Some(theirs) = session.theirs.clone() {
                heard.push((session.connection, session.device, theirs));
            }
        }
        self.introduce();
        // What they share was judged by what we shared then.
        for (connection, device, theirs) in heard {
            self.introduced(connection, device, theirs, now);
        }
    }

    fn up(&mut self, connection: Connection, device: DeviceId, _hello: &Hello) {
        let known = self
            .config
            .devices
            .iter()
            .any(|known| known.id == device && !known.paused);
        if !known {
            self.out.push(Output::Close {
                connection,
                reason: "unknown device".to_owned(),
            });
            return;
        }
        self.sessions.add(Session::new(connection, device));
        self.introduce();
    }

    /// Says what is shared, on every connection that has not heard it, once all stores are open: before, nobody knows how
    /// far our sequences go.
    fn introduce(&mut self) {
        if self.folders.values().any(|folder| !folder.loaded) {
            return;
        }
        let Self {
            config,
            folders,
            sessions,
            out,
            ..
        } = self;
        for session in sessions.iter().filter(|session| !session.introduced) {
            let shared = folders
                .values()
                .filter(|folder| is_member(folder, session.device))
                .map(|folder| shared(folder, config))
                .collect();
            session.introduced = true;
            session.send(
                Message::ClusterConfig(ClusterConfig {
                    folders: shared,
                    secondary: false,
                }),
                out,
            );
        }
    }

    fn down(&mut self, connection: Connection, now: Now) {
        let Some(mut session) = self.sessions.remove(connection) else {
            return;
        };
        for asked in session.unanswered() {
            let folder = Arc::clone(&asked.folder);
            self.with(&folder, now, |folder, _| folder.unanswered(asked, None));
        }
        self.out.push(Output::Tell(Event::Disconnected {
            device: session.device,
            reason: None,
        }));
    }

    fn close(&mut self, connection: Connection, reason: &str, now: Now) {
        self.out.push(Output::Close {
            connection,
            reason: reason.to_owned(),
        });
        self.down(connection, now);
    }

    fn received(&mut self, connection: Connection, message: Message, now: Now) {
        let Some(session) = self.sessions.get(connection) else {
            return;
        };
        let device = session.device;
        match message {
            Message::ClusterConfig(config) => self.introduced(connection, device, config, now),
            Message::DownloadProgress | Message::Ping | Message::Unknown(_) => {}
            Message::Close(_) => self.close(connection, "closed by the other side", now),
            _ if !session.known => {
                self.close(connection, "something else came before what is shared", now);
            }
            Message::Index(entries) => self.entries(connection, device, entries, now),
            Message::Request(request) => {
                if session.requested(request) {
                    self.serve(connection);
                } else {
                    self.close(connection, "too many requests at once", now);
                }
            }
            Message::Response(response) => {
                if let Some(asked) = session.answered(&response) {
                    let folder = Arc::clone(&asked.folder);
                    self.with(&folder, now, |folder, cx| {
                        folder.answered(asked, device, response, cx);
                    });
                }
            }
        }
    }

    /// A device says what it shares, and how far it knows us.
    fn introduced(
        &mut self,
        connection: Connection,
        device: DeviceId,
        config: ClusterConfig,
        now: Now,
    ) {
        let own = self.config.own;
        let heard = config.clone();
        let mut links: BTreeMap<FolderId, Link> = BTreeMap::new();
        let mut renewed = false;
        for theirs in config.folders {
            let Some(folder) = self
                .folders
                .get_mut(theirs.id.as_str())
                .filter(|folder| is_member(folder, device))
            else {
                self.out.push(Output::Tell(Event::Offered {
                    device,
                    folder: theirs.id,
                    label: theirs.label,
                }));
                continue;
            };
            let entry = |id: DeviceId| theirs.devices.iter().find(|one| one.id == id);
            let (Some(ours), Some(them)) = (entry(own), entry(device)) else {
                continue;
            };
            let peer = folder.index.peer(device);
            if them.index_id == 0 || them.index_id != peer.index_id {
                folder.reset(device, them.index_id);
            }
            let (index_id, _) = folder.sequences();
            let known = ours.index_id == index_id && ours.index_id != 0;
            if known && !folder.gave(ours.max_sequence) {
                // We are an old copy of ourselves: what they know of us was another life.
                let chance = index_id.rotate_left(17) ^ ours.max_sequence ^ now.monotonic << 32;
                folder.new_life(chance);
                renewed = true;
            }
            let sent = if known && !renewed {
                ours.max_sequence
            } else {
                0
            };
            links.insert(
                Arc::clone(&folder.id),
                Link {
                    shared: theirs.stop_reason == StopReason::Running,
                    sent: Some(sent),
                    whole: sent == 0,
                },
            );
        }
        if let Some(session) = self.sessions.get(connection) {
            session.links = links;
            session.theirs = Some(heard);
            if !session.known {
                session.known = true;
                self.out.push(Output::Tell(Event::Connected { device }));
            }
        }
        if renewed {
            for session in self.sessions.iter() {
                session.introduced = false;
                for link in session.links.values_mut() {
                    link.sent = Some(0);
                    link.whole = true;
                }
            }
            self.introduce();
        }
        for folder in self.folders.values_mut() {
            folder.look_again();
        }
    }

    /// Entries of a device.
    fn entries(&mut self, connection: Connection, device: DeviceId, entries: Entries, now: Now) {
        let linked = self
            .sessions
            .get(connection)
            .is_some_and(|session| session.links.contains_key(entries.folder.as_str()));
        let id: FolderId = Arc::from(entries.folder.as_str());
        if !linked {
            // Sharing it has just begun or ended here; the next list of folders says from where they are to be sent again.
            return;
        }
        self.with(&id, now, |folder, cx| {
            if !entries.update {
                let index_id = folder.index.peer(device).index_id;
                folder.reset(device, index_id);
            }
            for info in entries.files {
                folder.remote(device, info, cx);
            }
        });
    }

    /// Requests that may be served now.
    fn serve(&mut self, connection: Connection) {
        let Some(session) = self.sessions.get(connection) else {
            return;
        };
        let device = session.device;
        let mut served = Vec::new();
        while let Some(request) = session.next_served() {
            served.push(request);
        }
        for request in served {
            match self.servable(device, &request) {
                Ok(folder) => self.out.push(Output::Serve {
                    connection,
                    request: request.id,
                    folder,
                    hash: <[u8; HASH]>::try_from(request.hash).ok(),
                    name: request.name,
                    temporary: request.from_temporary,
                    offset: request.offset,
                    size: request.size,
                }),
                Err(code) => {
                    if let Some(session) = self.sessions.get(connection) {
                        session.unserved(u64::from(request.size));
                    }
                    self.respond(connection, request.id, Err(code));
                }
            }
        }
    }

    /// The folder that a request is about, if its device may have what it asks for.
    fn servable(&self, device: DeviceId, request: &Request) -> Result<FolderId, Code> {
        let folder = self
            .folders
            .get(request.folder.as_str())
            .filter(|folder| is_member(folder, device) && !folder.config.paused)
            .ok_or(Code::Generic)?;
        check_name(&request.name).map_err(|_| Code::Generic)?;
        if is_untouchable(&request.name)
            || folder.rules.ignores.verdict(&request.name) != Verdict::Shared
        {
            return Err(Code::InvalidFile);
        }
        if folder.state != State::Running {
            return Err(Code::Generic);
        }
        Ok(Arc::clone(&folder.id))
    }

    fn served(&mut self, connection: Connection, request: i32, result: Result<Vec<u8>, Code>) {
        self.respond(connection, request, result);
        self.serve(connection);
    }

    fn respond(&mut self, connection: Connection, request: i32, result: Result<Vec<u8>, Code>) {
        let Some(session) = self.sessions.get(connection) else {
            return;
        };
        let (data, code) = match result {
            Ok(data) => (data, Code::None),
            Err(code) => (Vec::new(), code),
        };
        session.send(
            Message::Response(Response {
                id: request,
                data,
                code,
            }),
            &mut self.out,
        );
    }

    /// Sends each connection the entries that are committed and that it lacks.
    fn announce(&mut self, id: &FolderId) {
        let Self {
            folders,
            sessions,
            out,
            ..
        } = self;
        let Some(folder) = folders.get(id) else {
            return;
        };
        let (_, newest) = folder.sequences();
        for session in sessions.iter() {
            while session.takes_entries() {
                let Some(link) = session.links.get_mut(id) else {
                    break;
                };
                let Some(message) = next_entries(folder, link, newest) else {
                    break;
                };
                session.send(Message::Index(message), out);
            }
        }
    }

    fn told(&mut self, folder: &FolderId, command: &Command, now: Now) {
        self.with(folder, now, |folder, cx| match command {
            Command::Scan => folder.look_at_all(cx),
            Command::Emptied => {
                // Said beforehand it would count for whatever vanishes next.
                folder.emptied = folder.state == State::Stopped(Doubt::Emptied);
                folder.look_at_all(cx);
            }
            Command::Override => folder.override_others(cx),
            Command::Revert => folder.revert(cx),
        });
    }
}

/// The next message of entries for a connection; nothing if it has all.
fn next_entries(folder: &Folder, link: &mut Link, newest: u64) -> Option<Entries> {
    let sent = link.sent.filter(|sent| link.shared && *sent < newest)?;
    let mut files = Vec::new();
    let mut blocks = 0;
    for (_, info) in folder.index.sequenced(sent, newest) {
        blocks += info.blocks.len();
        files.push((**info).clone());
        if files.len() >= ENTRIES || blocks >= BLOCKS {
            break;
        }
    }
    let Some(last) = files.last().map(|info| info.sequence) else {
        link.sent = Some(newest);
        return None;
    };
    let update = !std::mem::take(&mut link.whole);
    link.sent = Some(last);
    Some(Entries {
        update,
        folder: folder.id.to_string(),
        files,
        last_sequence: last,
        prev_sequence: sent,
    })
}

fn is_member(folder: &Folder, device: DeviceId) -> bool {
    folder
        .config
        .members
        .iter()
        .any(|member| member.device == device)
}

/// A folder as others are told of it.
fn shared(folder: &Folder, config: &Config) -> Shared {
    let (index_id, max_sequence) = folder.sequences();
    let ours = Device {
        id: config.own,
        name: config.name.clone(),
        addresses: vec!["dynamic".to_owned()],
        max_sequence,
        index_id,
        encrypted: false,
    };
    let others = folder.config.members.iter().map(|member| {
        let peer = folder.index.peer(member.device);
        let name = config
            .devices
            .iter()
            .find(|device| device.id == member.device)
            .map(|device| device.name.clone());
        Device {
            id: member.device,
            name: name.unwrap_or_default(),
            addresses: vec!["dynamic".to_owned()],
            max_sequence: peer.max_sequence,
            index_id: peer.index_id,
            encrypted: false,
        }
    });
    Shared {
        id: folder.id.to_string(),
        label: folder.config.label.clone(),
        stop_reason: if folder.config.paused {
            StopReason::Paused
        } else {
            StopReason::Running
        },
        devices: std::iter::once(ours).chain(others).collect(),
    }
}
