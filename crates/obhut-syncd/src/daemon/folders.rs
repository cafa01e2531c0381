//! The folders of a device: their roots, and the threads that keep their stores and watch them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use obhut_core::world::Clock;
use obhut_sync::config::Versions;
use obhut_sync::ignore::Ignores;
use obhut_sync::io::{Change, FolderId, Ticket};
use tokio::sync::mpsc;

use super::Back;
use super::keeper::{Job, Keeper};
use super::watcher::Watcher;
use crate::disk::Root;

/// A folder that is open.
#[derive(Debug, Clone)]
pub struct Open {
    /// Its root.
    pub root: Arc<Root>,
    /// What is ignored in it.
    pub ignores: Arc<Ignores>,
    /// The file system that it was found on.
    pub device: u64,
    /// What is kept of what was replaced.
    pub versions: Versions,
}

struct Folder {
    path: PathBuf,
    versions: Versions,
    keeper: Keeper,
    open: Option<Open>,
    watcher: Option<Watcher>,
}

/// All folders.
pub struct Folders {
    home: PathBuf,
    back: mpsc::UnboundedSender<Back>,
    clock: Arc<dyn Clock>,
    all: BTreeMap<FolderId, Folder>,
}

impl Folders {
    /// None.
    pub fn new(home: PathBuf, back: mpsc::UnboundedSender<Back>, clock: Arc<dyn Clock>) -> Self {
        Self {
            home,
            back,
            clock,
            all: BTreeMap::new(),
        }
    }

    /// Those that there are from now on. One that went elsewhere is another one.
    pub fn configure(&mut self, paths: &BTreeMap<FolderId, (PathBuf, Versions)>) {
        self.all
            .retain(|id, folder| paths.get(id).is_some_and(|(path, _)| *path == folder.path));
        for (id, (path, versions)) in paths {
            if let Some(known) = self.all.get_mut(id) {
                known.versions = *versions;
                if let Some(open) = &mut known.open {
                    open.versions = *versions;
                }
            } else {
                let index = self.home.join("index").join(file_name(id));
                let keeper = Keeper::start(Arc::clone(id), path.clone(), index, self.back.clone());
                self.all.insert(
                    Arc::clone(id),
                    Folder {
                        path: path.clone(),
                        versions: *versions,
                        keeper,
                        open: None,
                        watcher: None,
                    },
                );
            }
        }
    }

    /// Whether a folder that there is lies elsewhere from now on.
    pub fn moves(&self, id: &FolderId, paths: &BTreeMap<FolderId, (PathBuf, Versions)>) -> bool {
        let now = paths.get(id).map(|(path, _)| path);
        self.all
            .get(id)
            .is_some_and(|folder| now != Some(&folder.path))
    }

    /// A folder, if it is open.
    pub fn get(&self, id: &FolderId) -> Option<Open> {
        self.all.get(id)?.open.clone()
    }

    /// Where a folder lies.
    pub fn path(&self, id: &str) -> Option<&PathBuf> {
        self.all.get(id).map(|folder| &folder.path)
    }

    /// A folder's root was opened, perhaps anew.
    pub fn rooted(&mut self, id: &FolderId, root: Arc<Root>, ignores: Arc<Ignores>) {
        let Some(folder) = self.all.get_mut(id) else {
            return;
        };
        let open = Open {
            device: root.device(),
            root,
            ignores,
            versions: folder.versions,
        };
        let same = folder.open.as_ref().is_some_and(|before| {
            before.root.doubt(None).is_none() && before.ignores == open.ignores
        });
        if !same {
            folder.watcher = Some(Watcher::start(
                Arc::clone(id),
                &open,
                self.back.clone(),
                Arc::clone(&self.clock),
            ));
        }
        folder.open = Some(open);
    }

    /// Opens a folder.
    pub fn open(&self, id: &FolderId, load: bool, chance: [u64; 2]) {
        self.keep(id, Job::Open { load, chance });
    }

    /// Writes the number beside the marker.
    pub fn mark(&self, id: &FolderId, ticket: Ticket, generation: u64) {
        self.keep(id, Job::Mark { ticket, generation });
    }

    /// Keeps changes.
    pub fn commit(&self, id: &FolderId, ticket: Ticket, changes: Vec<Change>) {
        self.keep(id, Job::Commit { ticket, changes });
    }

    fn keep(&self, id: &FolderId, job: Job) {
        if let Some(folder) = self.all.get(id) {
            folder.keeper.ask(job);
        }
    }

    /// Ends all threads, after what they were asked for.
    pub fn stop(self) {
        drop(self.all);
    }
}

/// A folder's index: its id, as far as it is fit for a name, and its hash, so that no two share one.
fn file_name(id: &str) -> String {
    use std::fmt::Write as _;
    let shown: String = id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(40)
        .collect();
    let mut name = format!("{shown}-");
    for byte in &obhut_bep::digest(id.as_bytes())[..4] {
        let _ = write!(name, "{byte:02x}");
    }
    name + ".sqlite"
}
