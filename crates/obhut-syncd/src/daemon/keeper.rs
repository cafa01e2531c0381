//! The thread of a folder's store: opening, transactions and the number beside the marker, in the order in which the engine
//! asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::JoinHandle;

use obhut_sync::io::{self, Change, Doubt, FolderId, Input, Meta, Ticket};
use tokio::sync::mpsc;

use super::Back;
use crate::disk::Root;
use crate::store::{self, Store};

/// Changes that are loaded together.
const BATCH: usize = 2_000;

/// What is asked of it.
#[derive(Debug)]
pub enum Job {
    /// To look at the root, and load the store.
    Open {
        /// Whether.
        load: bool,
        /// For the engine.
        chance: [u64; 2],
    },
    /// To write the number beside the marker.
    Mark {
        /// For the answer.
        ticket: Ticket,
        /// The number.
        generation: u64,
    },
    /// To keep changes.
    Commit {
        /// For the answer.
        ticket: Ticket,
        /// The changes.
        changes: Vec<Change>,
    },
}

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    jobs: Option<sync_mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    folder: FolderId,
    path: PathBuf,
    index: PathBuf,
    back: mpsc::UnboundedSender<Back>,
    store: Option<Store>,
    root: Option<Arc<Root>>,
    device: Option<u64>,
    /// A transaction failed: none may follow.
    failed: bool,
}

impl Keeper {
    /// Starts it.
    pub fn start(
        folder: FolderId,
        path: PathBuf,
        index: PathBuf,
        back: mpsc::UnboundedSender<Back>,
    ) -> Self {
        let (jobs, asked) = sync_mpsc::channel::<Job>();
        let mut work = Work {
            folder,
            path,
            index,
            back,
            store: None,
            root: None,
            device: None,
            failed: false,
        };
        let thread = std::thread::Builder::new()
            .name("obhut-sync-store".to_owned())
            .spawn(move || {
                for job in asked {
                    work.take(job);
                }
            });
        Self {
            jobs: Some(jobs),
            thread: thread.ok(),
        }
    }

    /// Asks; the answer comes back to the thread of the engine.
    pub fn ask(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Work {
    fn take(&mut self, job: Job) {
        match job {
            Job::Open { load, chance } => self.open(load, chance),
            Job::Mark { ticket, generation } => {
                let written = self
                    .root
                    .as_ref()
                    .map(|root| root.set_generation(generation));
                match written {
                    Some(Ok(())) => self.answer(Input::Marked { ticket }),
                    // Nothing is announced then, and people see why.
                    Some(Err(failure)) => self.trouble(format!("marker: {failure:?}")),
                    None => {}
                }
            }
            Job::Commit { ticket, changes } => self.commit(ticket, &changes),
        }
    }

    /// A transaction that failed may not be followed by another one: what it held would be missing.
    fn commit(&mut self, ticket: Ticket, changes: &[Change]) {
        if self.failed {
            return;
        }
        let Some(store) = &mut self.store else { return };
        match store.commit(changes) {
            Ok(()) => self.answer(Input::Committed { ticket }),
            Err(error) => {
                self.failed = true;
                self.trouble(format!(
                    "{}: {error}; nothing more is announced until the next start",
                    self.index.display()
                ));
            }
        }
    }

    fn open(&mut self, load: bool, chance: [u64; 2]) {
        if load && let Err(error) = self.load() {
            self.failed = true;
            let root = io::Root::Doubt(Doubt::Other(error.to_string()));
            self.opened(root, chance);
            return;
        }
        let root = self.root();
        self.opened(root, chance);
    }

    fn opened(&self, root: io::Root, chance: [u64; 2]) {
        self.answer(Input::Opened {
            folder: Arc::clone(&self.folder),
            root,
            chance,
        });
    }

    /// The root, opened anew: its path may lead elsewhere by now.
    fn root(&mut self) -> io::Root {
        let root = match Root::open(&self.path) {
            Ok(root) => Arc::new(root),
            Err(doubt) => return io::Root::Doubt(doubt),
        };
        let state = root.open_state(self.device);
        if let io::Root::Ready { ignores, .. } = &state {
            self.device = Some(root.device());
            self.root = Some(Arc::clone(&root));
            let back = Back::Rooted(Arc::clone(&self.folder), root, Arc::clone(ignores));
            let _ = self.back.send(back);
        }
        state
    }

    /// A damaged store is set aside: what it knew is found out again.
    fn load(&mut self) -> store::Result<()> {
        match self.try_load(&self.index.clone()) {
            Err(store::Error::Damaged(why)) => {
                let aside = store::set_aside(&self.index)?;
                self.trouble(format!(
                    "the index of {} cannot be used ({why}) and lies at {} now; everything is looked at anew",
                    self.folder,
                    aside.display()
                ));
                self.try_load(&self.index.clone())
            }
            done => done,
        }
    }

    fn try_load(&mut self, index: &Path) -> store::Result<()> {
        let mut store = Store::open(index)?;
        let mut all = Vec::new();
        store.load(BATCH, |changes| all.push(changes))?;
        let known = all.iter().flatten().find_map(|change| match change {
            Change::Meta(meta) => Some(meta),
            _ => None,
        });
        if known.is_some_and(|meta| self.is_of_another_disk(meta)) {
            // What it says is there and this disk lacks would pass for deleted, and go everywhere.
            return Err(store::Error::Damaged(
                "it describes another state of this folder's disk".to_owned(),
            ));
        }
        for changes in all {
            self.answer(Input::Loaded {
                folder: Arc::clone(&self.folder),
                changes,
            });
        }
        self.store = Some(store);
        Ok(())
    }

    /// Whether what lies beside the marker is not what was written there last. If it cannot be read, that is found later.
    fn is_of_another_disk(&self, meta: &Meta) -> bool {
        let Ok(root) = Root::open(&self.path) else {
            return false;
        };
        match root.generation() {
            Ok(Some(seen)) => seen != meta.generation && seen != meta.previous_generation,
            Ok(None) => meta.previous_generation != 0 && root.doubt(None).is_none(),
            Err(_) => false,
        }
    }

    fn answer(&self, input: Input) {
        let _ = self.back.send(Back::Input(input));
    }

    fn trouble(&self, words: String) {
        let _ = self.back.send(Back::Trouble(words));
    }
}
