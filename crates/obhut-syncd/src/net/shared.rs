//! What all tasks of the net share: who is known, who is connected, and which of two connections stays.
//!
//! # Two connections to one device
//!
//! One is kept. A device that greets on a new one has not refused it, so either it does not have the older one any more, or
//! both were dialled at once, from both sides. Stock Syncthing refuses, before it greets, whatever is one too many for it: its
//! greeting is a choice, and the newer one takes the place of the older. Two of ours have to choose the same without asking:
//!
//! - dialled from the same side: the newer one (nobody dials whom they are connected with);
//! - the older one has lasted too long to be dialled at the same time: the newer one;
//! - otherwise the one that the device with the larger id has dialled.
//!
//! What loses hears why, and its `Down` comes before the `Up` of what takes its place.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use obhut_bep::{Compression, DeviceId, Hello, Message};
use obhut_sync::io::Connection;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::connection::{Line, Session};
use super::discovery::Heard;
use super::tls::Tls;
use super::{NetEvent, PeerConfig, Settings, dial};

/// For the last words on a connection that is probably dead, while another one waits for its place.
const REPLACED: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub own: DeviceId,
    pub tls: Tls,
    pub settings: Settings,
    pub events: mpsc::Sender<NetEvent>,
    /// Incoming connections that may greet at once.
    pub handshakes: Arc<Semaphore>,
    runtime: Handle,
    stop: watch::Sender<bool>,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Net({:?})", self.own)
    }
}

/// What changes.
#[derive(Default)]
pub(super) struct State {
    pub peers: BTreeMap<DeviceId, Peer>,
    lines: HashMap<Connection, Arc<Line>>,
    connections: u64,
    pub listening: Vec<String>,
    pub announced: BTreeMap<DeviceId, Heard>,
    pub discovery: Vec<String>,
    /// Goes with the last task; nothing once the end has come.
    alive: Option<mpsc::Sender<()>>,
}

/// A device that is configured.
pub(super) struct Peer {
    pub config: PeerConfig,
    pub line: Option<Arc<Line>>,
    wake: Arc<Wake>,
    dialer: Option<AbortHandle>,
    pub error: Option<String>,
    pub tried: Vec<(String, String)>,
}

/// Gets a dialler out of its sleep.
#[derive(Default)]
pub(super) struct Wake {
    notify: Notify,
    /// Whether it is to dial at once, as if for the first time.
    afresh: AtomicBool,
}

impl Wake {
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    pub fn is_afresh(&self) -> bool {
        self.afresh.swap(false, Ordering::Relaxed)
    }

    fn afresh(&self) {
        self.afresh.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.rest();
    }
}

impl Peer {
    fn rest(&mut self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.abort();
        }
    }
}

/// What becomes of a device that has greeted.
pub(super) enum Admission {
    Up(Session),
    Stranger,
    Refused(&'static str),
}

impl Shared {
    pub fn new(
        own: DeviceId,
        tls: Tls,
        settings: Settings,
        events: mpsc::Sender<NetEvent>,
        alive: mpsc::Sender<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            own,
            tls,
            events,
            handshakes: Arc::new(Semaphore::new(settings.limits.handshakes.max(1))),
            settings,
            runtime: Handle::current(),
            stop: watch::channel(false).0,
            state: Mutex::new(State {
                alive: Some(alive),
                ..State::default()
            }),
        })
    }

    /// Nothing is left half done by a panic: what is held is changed in single steps.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task, for whose end [`super::Net::stop`] waits.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let alive = self.lock().alive.clone();
        self.start(alive, task)
    }

    fn start(
        &self,
        alive: Option<mpsc::Sender<()>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let tracked = async move {
            task.await;
            drop(alive);
        };
        self.runtime.spawn(tracked).abort_handle()
    }

    pub async fn stopped(&self) {
        // Fails only without a sender, which is here.
        let _ = self.stop.subscribe().wait_for(|stopped| *stopped).await;
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
        let mut state = self.lock();
        state.alive = None;
        state.peers.values_mut().for_each(Peer::rest);
        for line in state.lines.values() {
            line.close("this program ends", self.settings.limits.close);
        }
    }

    pub fn configure(self: &Arc<Self>, configs: Vec<PeerConfig>) {
        let mut state = self.lock();
        let Some(alive) = state.alive.clone() else {
            return;
        };
        let mut before = std::mem::take(&mut state.peers);
        for config in configs {
            let device = config.device;
            if device == self.own || state.peers.contains_key(&device) {
                continue;
            }
            let mut peer = before.remove(&device).unwrap_or_else(|| Peer {
                config: config.clone(),
                line: None,
                wake: Arc::new(Wake::default()),
                dialer: None,
                error: None,
                tried: Vec::new(),
            });
            if peer.config.addresses != config.addresses {
                peer.wake.afresh();
            }
            peer.config = config;
            if peer.config.paused {
                peer.rest();
                self.end(&peer, "this device is paused here");
            } else if peer.dialer.is_none() {
                let task = dial::run(self.clone(), device, peer.wake.clone());
                peer.dialer = Some(self.start(Some(alive.clone()), task));
            }
            state.peers.insert(device, peer);
        }
        for peer in before.values() {
            self.end(peer, "this device is not known here any more");
        }
    }

    fn end(&self, peer: &Peer, reason: &str) {
        if let Some(line) = &peer.line {
            line.close(reason, self.settings.limits.close);
        }
    }

    /// Our greeting. Only those whom we know learn what we are called.
    pub fn hello(&self, device: DeviceId) -> Hello {
        let is_known = self.lock().peers.contains_key(&device);
        let now = self.settings.clock.now();
        Hello {
            device_name: if is_known {
                self.settings.name.clone()
            } else {
                String::new()
            },
            client_name: self.settings.client.clone(),
            client_version: self.settings.version.clone(),
            num_connections: i32::from(is_known),
            timestamp: now
                .secs
                .saturating_mul(1_000_000_000)
                .saturating_add(now.nanos.into()),
        }
    }

    /// What becomes of a device that has greeted.
    pub fn admit(
        &self,
        device: DeviceId,
        address: &str,
        dialled: bool,
        hello: &Hello,
    ) -> Admission {
        let mut state = self.lock();
        let state = &mut *state;
        if state.alive.is_none() {
            return Admission::Refused("this program ends");
        }
        let Some(peer) = state.peers.get_mut(&device) else {
            return Admission::Stranger;
        };
        if peer.config.paused {
            return Admission::Refused("this device is paused here");
        }
        let is_ours = hello.client_name == self.settings.client;
        if let Some(older) = &peer.line
            && is_ours
            && self.is_older_kept(older, dialled)
        {
            return Admission::Refused("another connection is kept");
        }
        state.connections += 1;
        let connection = Connection(state.connections);
        let mut session = Session::new(connection, device, address, dialled);
        session.before = peer.line.replace(session.line.clone());
        if let Some(older) = &session.before {
            older.close("another connection took its place", REPLACED);
        }
        state.lines.insert(connection, session.line.clone());
        Admission::Up(session)
    }

    /// Whether both were dialled at once, and the older one by the device with the larger id (see above).
    fn is_older_kept(&self, older: &Line, dialled: bool) -> bool {
        older.dialled != dialled
            && older.since.elapsed() < self.settings.limits.race
            && older.dialled == (self.own > older.device)
    }

    /// A connection has ended.
    pub fn forget(&self, line: &Line, reason: &str) {
        let mut state = self.lock();
        state.lines.remove(&line.connection);
        if let Some(peer) = state.peers.get_mut(&line.device)
            && peer
                .line
                .as_ref()
                .is_some_and(|one| one.connection == line.connection)
        {
            peer.line = None;
            peer.error = Some(reason.to_owned());
        }
    }

    /// The dialler of a device looks again.
    pub fn wake(&self, device: DeviceId) {
        if let Some(peer) = self.lock().peers.get(&device) {
            peer.wake.notify.notify_one();
        }
    }

    /// The dialler of a device dials at once.
    pub fn wake_afresh(&self, device: DeviceId) {
        if let Some(peer) = self.lock().peers.get(&device) {
            peer.wake.afresh();
        }
    }

    pub fn redial(&self) {
        for peer in self.lock().peers.values() {
            peer.wake.afresh();
        }
    }

    pub fn send(&self, connection: Connection, message: Message) {
        if let Some(line) = self.lock().lines.get(&connection) {
            line.send(message);
        }
    }

    pub fn close(&self, connection: Connection, reason: &str) {
        if let Some(line) = self.lock().lines.get(&connection) {
            line.close(reason, self.settings.limits.close);
        }
    }

    pub fn compression(&self, device: DeviceId) -> Compression {
        let state = self.lock();
        let peer = state.peers.get(&device);
        peer.map_or(Compression::default(), |peer| peer.config.compression)
    }

    /// The connection to a device.
    pub fn line(&self, device: DeviceId) -> Option<Arc<Line>> {
        self.lock().peers.get(&device)?.line.clone()
    }

    /// Where a device is looked for, as it is configured.
    pub fn addresses(&self, device: DeviceId) -> Vec<String> {
        let state = self.lock();
        let peer = state.peers.get(&device);
        peer.map_or_else(Vec::new, |peer| peer.config.addresses.clone())
    }

    /// What a round of dialling came to.
    pub fn tried(&self, device: DeviceId, tried: Vec<(String, String)>, in_vain: bool) {
        if let Some(peer) = self.lock().peers.get_mut(&device) {
            if let Some((_, why)) = tried.last()
                && in_vain
            {
                peer.error = Some(why.clone());
            }
            peer.tried = tried;
        }
    }

    pub fn is_known(&self, device: DeviceId) -> bool {
        self.lock().peers.contains_key(&device)
    }

    pub fn listens(&self, address: std::net::SocketAddr) {
        self.lock().listening.push(format!("tcp://{address}"));
    }

    pub fn listening(&self) -> Vec<String> {
        self.lock().listening.clone()
    }
}
