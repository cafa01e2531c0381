//! The driver: one thread that runs the engine and hands its outputs to those who carry them out.
//!
//! Messages and answers come to that thread over channels; it never waits for a disk. What goes through a store is done by
//! one thread a folder, in order; everything else on disks by a pool. A walk that is faster than the engine waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as sync_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use obhut_core::error::{Code, Error, Result};
use obhut_core::world::{Clock, Random, SystemClock, SystemRandom};
use obhut_sync::engine::Engine;
use obhut_sync::io::{Command, FolderId, Input, Now, Output};
use tokio::sync::{mpsc, oneshot};

use crate::net::{Discovery, Identity, Net, NetEvent, Settings as NetSettings};

mod config;
mod folders;
mod keeper;
mod notices;
mod offline;
mod status;
mod watcher;
mod work;

use config::Parts;
use folders::Folders;
pub use notices::Notices;
pub use offline::{ignored, prune, restore, versions};

/// Threads of the pool for disks.
const POOL: usize = 8;
/// Messages of the net that wait for the engine.
const NET_EVENTS: usize = 1_024;
/// Batches of walks that wait for the engine.
const WALK_BATCHES: usize = 8;

/// What the thread of the engine takes besides messages.
#[derive(Debug)]
enum Ask {
    Configure(String, oneshot::Sender<Result<()>>),
    Status(oneshot::Sender<String>),
    Command(FolderId, Command),
    Redial,
    Stop,
}

/// What is answered by those who carry out.
#[derive(Debug)]
enum Back {
    Input(Input),
    Rooted(
        FolderId,
        Arc<crate::disk::Root>,
        Arc<obhut_sync::ignore::Ignores>,
    ),
    Trouble(String),
}

/// A running device. Dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    asks: mpsc::UnboundedSender<Ask>,
    thread: Mutex<Option<JoinHandle<()>>>,
    notices: Arc<Notices>,
    listening: Vec<String>,
    /// Held as long as it runs: one process a home.
    _lock: std::fs::File,
}

impl Daemon {
    /// Starts the device of a home, listening at URLs (`tcp://HOST:PORT`), with a configuration as JSON.
    ///
    /// Errors: another process has the home; an address cannot be listened on; the configuration cannot be used.
    pub fn start(home: &Path, json: &str, listen: Vec<String>) -> Result<Self> {
        let lock = take_lock(home)?;
        let identity = Identity::load(home)?;
        let parts = config::parse(json, identity.device())?;
        std::fs::create_dir_all(home.join("index"))
            .map_err(|e| Error::io(home.join("index").display().to_string(), &e))?;
        let (asks, asked) = mpsc::unbounded_channel();
        let notices = Arc::new(Notices::default());
        let (ready, started) = sync_mpsc::channel();
        let home = home.to_owned();
        let told = Arc::clone(&notices);
        let thread = std::thread::Builder::new()
            .name("obhut-sync".to_owned())
            .spawn(move || run(&home, &identity, parts, listen, asked, &told, &ready))
            .map_err(|e| Error::internal(format!("thread: {e}")))?;
        let listening = started
            .recv()
            .map_err(|_| Error::internal("the thread of sync ended"))??;
        Ok(Self {
            asks,
            thread: Mutex::new(Some(thread)),
            notices,
            listening,
            _lock: lock,
        })
    }

    /// Where it listens, with the ports that there really are.
    pub fn listening(&self) -> &[String] {
        &self.listening
    }

    /// Another configuration.
    pub fn configure(&self, json: &str) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Configure(json.to_owned(), answer))?;
        answered.blocking_recv().map_err(|_| ended())?
    }

    /// How everything stands, as JSON (`status.rs`).
    pub fn status(&self) -> Result<String> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Status(answer))?;
        answered.blocking_recv().map_err(|_| ended())
    }

    /// Asks a folder for something.
    pub fn command(&self, folder: &str, command: Command) -> Result<()> {
        self.ask(Ask::Command(Arc::from(folder), command))
    }

    /// Dials everybody now.
    pub fn redial(&self) -> Result<()> {
        self.ask(Ask::Redial)
    }

    /// What happened since the last time, as lines of JSON; waits so long for the first.
    pub fn events(&self, wait: Duration) -> Vec<String> {
        self.notices.take(wait)
    }

    /// Stops it, and waits until all that is kept is kept.
    pub fn stop(&self) {
        let _ = self.asks.send(Ask::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.notices.end();
    }

    fn ask(&self, ask: Ask) -> Result<()> {
        self.asks.send(ask).map_err(|_| ended())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ended() -> Error {
    Error::internal("sync has stopped")
}

/// One process a home: a lock that the system drops with the process.
fn take_lock(home: &Path) -> Result<std::fs::File> {
    let path = home.join("lock");
    let named = |e: &std::io::Error| Error::io(path.display().to_string(), e);
    let handle = rustix::fs::openat(
        rustix::fs::CWD,
        &path,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .map_err(|e| named(&e.into()))?;
    rustix::fs::flock(
        &handle,
        rustix::fs::FlockOperation::NonBlockingLockExclusive,
    )
    .map_err(|errno| {
        if errno == rustix::io::Errno::WOULDBLOCK {
            Error::new(
                Code::RepositoryLocked,
                "home of sync",
                format!("another process has {}", home.display()),
            )
        } else {
            named(&errno.into())
        }
    })?;
    Ok(handle.into())
}

/// The thread of the engine.
fn run(
    home: &Path,
    identity: &Identity,
    parts: Parts,
    listen: Vec<String>,
    asked: mpsc::UnboundedReceiver<Ask>,
    notices: &Arc<Notices>,
    ready: &sync_mpsc::Sender<Result<Vec<String>>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(POOL)
        .thread_name("obhut-sync-disk")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ = ready.send(Err(Error::internal(format!("runtime: {e}"))));
            return;
        }
    };
    runtime.block_on(async {
        let (net_events, net) = mpsc::channel(NET_EVENTS);
        // Whoever listens to this machine alone has nothing to announce.
        let only_here = listen.iter().all(|url| {
            ["tcp://127.", "tcp://[::1]", "tcp://localhost"]
                .iter()
                .any(|here| url.starts_with(here))
        });
        let settings = NetSettings {
            listen,
            name: parts.engine.name.clone(),
            discovery: (parts.discovery && !only_here).then(Discovery::default),
            ..NetSettings::default()
        };
        match Net::start(identity, settings, net_events).await {
            Err(error) => {
                let _ = ready.send(Err(error));
            }
            Ok(started) => {
                let _ = ready.send(Ok(started.listening()));
                Loop::new(home.to_owned(), identity, started, Arc::clone(notices))
                    .run(parts, net, asked)
                    .await;
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    notices.end();
}

/// What the thread of the engine has.
struct Loop {
    engine: Engine,
    own: obhut_bep::DeviceId,
    net: Net,
    folders: Folders,
    notices: Arc<Notices>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    back: mpsc::UnboundedSender<Back>,
    walks: mpsc::Sender<Input>,
    returned: Option<(mpsc::UnboundedReceiver<Back>, mpsc::Receiver<Input>)>,
    wake: Option<u64>,
    names: BTreeMap<obhut_bep::DeviceId, String>,
    clients: BTreeMap<obhut_bep::DeviceId, String>,
    stopping: Arc<AtomicBool>,
}

impl Loop {
    fn new(home: PathBuf, identity: &Identity, net: Net, notices: Arc<Notices>) -> Self {
        let (back, backs) = mpsc::unbounded_channel();
        let (walks, walked) = mpsc::channel(WALK_BATCHES);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            engine: Engine::default(),
            own: identity.device(),
            net,
            folders: Folders::new(home, back.clone(), Arc::clone(&clock)),
            notices,
            clock,
            random: Arc::new(SystemRandom),
            back,
            walks,
            returned: Some((backs, walked)),
            wake: None,
            names: BTreeMap::new(),
            clients: BTreeMap::new(),
            stopping: Arc::new(AtomicBool::new(false)),
        }
    }

    async fn run(
        mut self,
        parts: Parts,
        mut net: mpsc::Receiver<NetEvent>,
        mut asked: mpsc::UnboundedReceiver<Ask>,
    ) {
        let Some((mut backs, mut walks)) = self.returned.take() else {
            return;
        };
        self.configure(parts);
        loop {
            let wait = self.wake.map_or(Duration::from_secs(3600), |at| {
                Duration::from_millis(at.saturating_sub(now(&*self.clock).monotonic))
            });
            tokio::select! {
                Some(event) = net.recv() => self.happened(event),
                Some(back) = backs.recv() => self.came_back(back),
                Some(input) = walks.recv() => self.step(input),
                ask = asked.recv() => match ask {
                    None | Some(Ask::Stop) => break,
                    Some(ask) => self.asked(ask),
                },
                () = tokio::time::sleep(wait) => {
                    self.wake = None;
                    self.step(Input::Tick);
                }
            }
        }
        self.stopping.store(true, Ordering::Relaxed);
        drop(walks);
        self.net.stop().await;
        self.folders.stop();
    }

    fn configure(&mut self, parts: Parts) {
        // What lies elsewhere now is another folder under the same id: the engine forgets the one that was.
        let mut before = parts.engine.clone();
        before
            .folders
            .retain(|folder| !self.folders.moves(&folder.id, &parts.paths));
        if before.folders.len() < parts.engine.folders.len() {
            self.step(Input::Configured(before));
        }
        self.folders.configure(&parts.paths);
        self.names = parts
            .peers
            .iter()
            .map(|peer| (peer.device, peer.name.clone()))
            .collect();
        self.net.configure(parts.peers);
        self.step(Input::Configured(parts.engine));
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Configure(json, answer) => {
                let done = config::parse(&json, self.own).map(|parts| self.configure(parts));
                let _ = answer.send(done);
            }
            Ask::Status(answer) => {
                let text = status::json(self);
                let _ = answer.send(text);
            }
            Ask::Command(folder, command) => self.step(Input::Told { folder, command }),
            Ask::Redial => self.net.redial(),
            Ask::Stop => {}
        }
    }

    fn happened(&mut self, event: NetEvent) {
        match event {
            NetEvent::Up {
                connection,
                device,
                hello,
                ..
            } => {
                let client = format!("{} {}", hello.client_name, hello.client_version);
                self.clients.insert(device, client);
                self.step(Input::Up {
                    connection,
                    device,
                    hello,
                });
            }
            NetEvent::Received {
                connection,
                message,
                held,
            } => {
                self.step(Input::Received {
                    connection,
                    message,
                });
                drop(held);
            }
            NetEvent::Drained {
                connection,
                messages,
                ..
            } => self.step(Input::Drained {
                connection,
                messages,
            }),
            NetEvent::Down { connection, reason } => {
                self.notices.disconnected(&reason);
                self.step(Input::Down { connection });
            }
            NetEvent::Stranger {
                device,
                name,
                address,
            } => self.notices.stranger(device, &name, &address),
        }
    }

    fn came_back(&mut self, back: Back) {
        match back {
            Back::Input(input) => self.step(input),
            Back::Rooted(folder, root, ignores) => self.folders.rooted(&folder, root, ignores),
            Back::Trouble(words) => self.notices.trouble(&words),
        }
    }

    /// One step of the engine, and all that it asks for.
    fn step(&mut self, input: Input) {
        let time = now(&*self.clock);
        for output in self.engine.step(time, input) {
            match output {
                Output::Send {
                    connection,
                    message,
                } => self.net.send(connection, message),
                Output::Close { connection, reason } => self.net.close(connection, &reason),
                Output::Wake { at } => self.wake = Some(at),
                Output::Tell(event) => self.notices.tell(&event),
                output => self.carry_out(output),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open { folder, load } => {
                let mut bytes = [0; 16];
                // Without chance there are no new lives of sequences that differ: then nothing is opened.
                if let Err(error) = self.random.fill(&mut bytes) {
                    self.notices.trouble(&error.to_string());
                    return;
                }
                let (one, other) = bytes.split_at(8);
                let number = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
                self.folders
                    .open(&folder, load, [number(one), number(other)]);
            }
            Output::Mark {
                ticket,
                folder,
                generation,
            } => self.folders.mark(&folder, ticket, generation),
            Output::Commit {
                ticket,
                folder,
                changes,
            } => self.folders.commit(&folder, ticket, changes),
            output => work::start(
                output,
                &self.folders,
                &self.back,
                &self.walks,
                &self.clock,
                &self.stopping,
            ),
        }
    }
}

/// The time, by both clocks, and how far this place is ahead of UTC.
fn now(clock: &dyn Clock) -> Now {
    let wall = clock.now();
    Now {
        monotonic: clock.elapsed().as_millis() as u64,
        wall: (wall.secs, wall.nanos as i32),
        offset: jiff::Timestamp::from_second(wall.secs)
            .map_or(0, |at| jiff::tz::TimeZone::system().to_offset(at).seconds()),
    }
}
