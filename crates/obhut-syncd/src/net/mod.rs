//! The network: certificates, TLS, greetings, connections. What comes in is bounded here and understood elsewhere.
//!
//! A device is whoever shows a certificate and proves that it has its key. One that is not configured is greeted, told that
//! it is not known, and listed for people. Of a device that is, one connection is kept ([`shared`] says which). Toward the
//! engine a connection is one [`NetEvent::Up`], messages, and one [`NetEvent::Down`]; of one device the next `Up` comes after
//! that.
//!
//! Memory: of each connection the bytes of one message that is not whole (the limit of frames), one that is decoded, and what
//! the engine has not let go of ([`Held`]). Beyond that nothing is read, and TCP makes the other side wait.

use std::sync::Arc;
use std::time::Duration;

use obhut_bep::{Compression, DeviceId, Hello, Message};
use obhut_core::error::{Code, Error, Result};
use obhut_core::world::{Clock, Random, SystemClock, SystemRandom};
use obhut_sync::io::Connection;
use tokio::sync::mpsc;

mod address;
mod budget;
mod connection;
mod dial;
mod discovery;
pub mod identity;
mod interfaces;
mod listen;
mod peer;
mod shared;
mod status;
mod tls;
mod x509;

pub use budget::Held;
pub use discovery::Discovery;
pub use identity::Identity;
pub use status::{PeerStatus, Status};

use shared::Shared;

/// What happens on the net.
#[derive(Debug)]
pub enum NetEvent {
    /// A known device is connected and has greeted.
    Up {
        /// The connection; never used twice.
        connection: Connection,
        /// Whose.
        device: DeviceId,
        /// How it greeted.
        hello: Hello,
        /// Where it is.
        address: String,
    },
    /// A message came. Never a [`Message::Close`]: that is a `Down`.
    Received {
        /// On which.
        connection: Connection,
        /// The message.
        message: Message,
        /// To be dropped when the message is done with.
        held: Held,
    },
    /// Messages have gone to the system since the last time.
    Drained {
        /// On which.
        connection: Connection,
        /// Their bytes, as they went: compressed, with headers.
        bytes: u64,
        /// How many they were.
        messages: u64,
    },
    /// A connection has ended. The last of it.
    Down {
        /// Which.
        connection: Connection,
        /// Why, in words.
        reason: String,
    },
    /// A device that is not configured has greeted, and was sent away.
    Stranger {
        /// Who, proven.
        device: DeviceId,
        /// What it says it is called.
        name: String,
        /// From where.
        address: String,
    },
}

/// A device that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerConfig {
    /// Who.
    pub device: DeviceId,
    /// What it is called here.
    pub name: String,
    /// Where to look for it: URLs, or `dynamic`.
    pub addresses: Vec<String>,
    /// What is compressed toward it.
    pub compression: Compression,
    /// Whether nothing is exchanged with it for now.
    pub paused: bool,
}

/// What holds as long as the net runs.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen: `tcp://HOST:PORT`; port 0 for any.
    pub listen: Vec<String>,
    /// What we are called; said to known devices only.
    pub name: String,
    /// The program, and its version.
    pub client: String,
    /// See above.
    pub version: String,
    /// Whether devices in the same net are looked for, and how.
    pub discovery: Option<Discovery>,
    /// Bytes of the longest message that is taken.
    pub frame_limit: usize,
    /// Bytes of messages of one connection that the engine may have without having done with them.
    pub backlog: usize,
    /// Times and counts.
    pub limits: Limits,
    /// The host's clock: greetings say when they were sent.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            name: String::new(),
            client: "obhut".to_owned(),
            version: format!("v{}", env!("CARGO_PKG_VERSION")),
            discovery: None,
            frame_limit: 64 << 20,
            backlog: 64 << 20,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }
}

/// Times and counts of the net. The defaults are those of the protocol's other programs; tests take shorter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Incoming connections that have not greeted yet.
    pub handshakes: usize,
    /// For TCP.
    pub connect: Duration,
    /// For TLS.
    pub tls: Duration,
    /// For both greetings.
    pub hello: Duration,
    /// Without a write, after which a ping goes out.
    pub ping: Duration,
    /// Without a byte from the other side, after which it is gone.
    pub silence: Duration,
    /// For the last words.
    pub close: Duration,
    /// The first wait between two rounds of dialling; doubles.
    pub first_wait: Duration,
    /// The longest one.
    pub longest_wait: Duration,
    /// What a connection has to last to count as a good one.
    pub good: Duration,
    /// Younger than this, a connection may be one of two that were dialled from both sides at once.
    pub race: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 32,
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            hello: Duration::from_secs(20),
            ping: Duration::from_secs(45),
            silence: Duration::from_secs(300),
            close: Duration::from_secs(10),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(20),
            good: Duration::from_secs(5),
            race: Duration::from_secs(45),
        }
    }
}

/// The network, running. All but [`Net::start`] and [`Net::stop`] may be called from any thread, and never wait.
#[derive(Debug)]
pub struct Net {
    shared: Arc<Shared>,
    /// Ends when the last task has ended.
    tasks: mpsc::Receiver<()>,
}

impl Net {
    /// Starts it within a runtime of tokio: listens, announces, and dials nobody before [`Net::configure`]. An address that
    /// cannot be listened on is an error. What happens goes to `events`, whose capacity bounds what is read ahead.
    pub async fn start(
        identity: &Identity,
        settings: Settings,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<Self> {
        let tls = tls::Tls::new(identity).map_err(|e| Error::internal(format!("TLS: {e}")))?;
        let (alive, tasks) = mpsc::channel(1);
        let listeners = listen::bind(&settings.listen).await?;
        let shared = Shared::new(identity.device(), tls, settings, events, alive);
        for listener in listeners {
            shared.listens(listener.address());
            shared.spawn(listen::run(shared.clone(), listener));
        }
        if let Some(discovery) = shared.settings.discovery.clone() {
            discovery::start(&shared, discovery);
        }
        Ok(Self { shared, tasks })
    }

    /// Who is known from now on: all of them. Whoever is not, or is paused, is disconnected.
    pub fn configure(&self, peers: Vec<PeerConfig>) {
        self.shared.configure(peers);
    }

    /// Sends a message; nothing happens if the connection has ended. Waits in a queue that has no bound: what is in it is
    /// known from [`NetEvent::Drained`].
    pub fn send(&self, connection: Connection, message: Message) {
        self.shared.send(connection, message);
    }

    /// Ends a connection after what was sent before and the reason, if that goes in time.
    pub fn close(&self, connection: Connection, reason: &str) {
        self.shared.close(connection, reason);
    }

    /// Dials everybody who is not connected, now.
    pub fn redial(&self) {
        self.shared.redial();
    }

    /// Where it listens, as URLs with the ports that there really are.
    pub fn listening(&self) -> Vec<String> {
        self.shared.listening()
    }

    /// How everything stands.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Ends all connections, with their last words, and everything else.
    pub async fn stop(mut self) {
        self.shared.stop();
        let limit = self.shared.settings.limits.close + connection::LINGER;
        // Whatever is left then, waits for events that nobody takes; it goes with the runtime.
        let _ = tokio::time::timeout(limit, self.tasks.recv()).await;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// An argument that means nothing.
fn invalid(what: &str, why: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, what, why)
}
