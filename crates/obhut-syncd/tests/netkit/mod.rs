//! Devices for tests of the net: all on loopback, all with times that a test can wait for.
#![allow(dead_code)] // each test has its own use for it

pub mod syncthing;

use std::time::Duration;

use obhut_bep::{ClusterConfig, Compression, DeviceId, Folder, Hello, Message};
use obhut_core::world::{SystemRandom, Timestamp};
use obhut_sync::io::Connection;
use obhut_syncd::net::{Identity, Limits, Net, NetEvent, PeerConfig, Settings};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes here.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A device: its identity, and what happens on its net.
pub struct Device {
    pub home: TempDir,
    pub identity: Identity,
    pub net: Net,
    pub events: mpsc::Receiver<NetEvent>,
}

pub fn identity(home: &TempDir) -> Identity {
    let now = Timestamp {
        secs: 1_780_000_000,
        nanos: 0,
    };
    Identity::create(home.path(), now, &SystemRandom).unwrap()
}

pub fn settings(name: &str) -> Settings {
    Settings {
        listen: vec!["tcp://127.0.0.1:0".to_owned()],
        name: name.to_owned(),
        limits: Limits {
            first_wait: Duration::from_millis(50),
            longest_wait: Duration::from_secs(1),
            close: Duration::from_secs(2),
            ..Limits::default()
        },
        ..Settings::default()
    }
}

impl Device {
    pub async fn new(name: &str) -> Self {
        Self::with(settings(name)).await
    }

    pub async fn with(settings: Settings) -> Self {
        let home = tempfile::tempdir().unwrap();
        let identity = identity(&home);
        let (sender, events) = mpsc::channel(64);
        let net = Net::start(&identity, settings, sender).await.unwrap();
        Self {
            home,
            identity,
            net,
            events,
        }
    }

    pub fn id(&self) -> DeviceId {
        self.identity.device()
    }

    pub fn address(&self) -> String {
        self.net.listening()[0].clone()
    }

    pub fn socket(&self) -> std::net::SocketAddr {
        self.address()
            .strip_prefix("tcp://")
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Knows others, without and with a place to dial.
    pub fn knows(&self, others: &[(&Device, bool)]) {
        let peers = others.iter().map(|(other, dials)| {
            let address = dials.then(|| other.address());
            peer(other.id(), address)
        });
        self.net.configure(peers.collect());
    }

    pub async fn event(&mut self) -> NetEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event in time")
            .expect("an event")
    }

    /// The next event but those of bytes that went out.
    pub async fn said(&mut self) -> NetEvent {
        loop {
            let event = self.event().await;
            if !matches!(event, NetEvent::Drained { .. }) {
                return event;
            }
        }
    }

    pub async fn up(&mut self) -> (Connection, DeviceId, Hello, String) {
        match self.said().await {
            NetEvent::Up {
                connection,
                device,
                hello,
                address,
            } => (connection, device, hello, address),
            other => panic!("no Up: {other:?}"),
        }
    }

    pub async fn received(&mut self) -> Message {
        match self.said().await {
            NetEvent::Received { message, .. } => message,
            other => panic!("nothing received: {other:?}"),
        }
    }

    pub async fn down(&mut self) -> (Connection, String) {
        match self.said().await {
            NetEvent::Down { connection, reason } => (connection, reason),
            other => panic!("no Down: {other:?}"),
        }
    }

    /// Whether nothing but bytes that went out happens for a while.
    pub async fn is_quiet(&mut self, time: Duration) -> bool {
        timeout(time, self.said()).await.is_err()
    }
}

pub fn peer(device: DeviceId, address: Option<String>) -> PeerConfig {
    PeerConfig {
        device,
        name: "other".to_owned(),
        addresses: address.into_iter().collect(),
        compression: Compression::Metadata,
        paused: false,
    }
}

/// Two that are connected; the first has dialled. With the connections, as each calls it.
pub async fn pair(first: Settings, second: Settings) -> (Device, Connection, Device, Connection) {
    let (mut a, mut b) = (Device::with(first).await, Device::with(second).await);
    b.knows(&[(&a, false)]);
    a.knows(&[(&b, true)]);
    let (on_a, who, ..) = a.up().await;
    assert_eq!(who, b.id());
    let (on_b, who, ..) = b.up().await;
    assert_eq!(who, a.id());
    (a, on_a, b, on_b)
}

pub fn cluster(folder: &str) -> Message {
    Message::ClusterConfig(ClusterConfig {
        folders: vec![Folder {
            id: folder.to_owned(),
            ..Folder::default()
        }],
        secondary: false,
    })
}
