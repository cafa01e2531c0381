//! What people see of the engine: how each folder stands, and with whom.

use obhut_bep::{DeviceId, Kind, Ordering};

use crate::engine::Engine;
use crate::folder::{Folder, State};
use crate::io::{Doubt, Failure};

/// Items that are there, and those that are remembered as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Items that are gone.
    pub deleted: u64,
}

/// What is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lack {
    /// Items.
    pub items: u64,
    /// Bytes of those that are files.
    pub bytes: u64,
}

/// Another device of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Who.
    pub device: DeviceId,
    /// What it lacks, as far as it said.
    pub lack: Lack,
    /// Whether it is connected and shares the folder.
    pub shares: bool,
    /// Whether its changes count.
    pub writes: bool,
}

/// A folder.
#[derive(Debug, Clone)]
pub struct FolderStatus {
    /// Which.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// `starting`, `stopped`, `paused`, `scanning`, `syncing`, `waiting` or `idle`.
    pub state: &'static str,
    /// Why it stands still.
    pub doubt: Option<Doubt>,
    /// Ours.
    pub local: Counts,
    /// That of all devices together.
    pub global: Counts,
    /// What we lack.
    pub need: Lack,
    /// Items that could not be read or brought, and why.
    pub troubles: Vec<(String, Failure)>,
    /// Names that are not UTF-8.
    pub unnamed: Vec<String>,
    /// The others.
    pub members: Vec<MemberStatus>,
}

impl Engine {
    /// How each folder stands. Counts all items: not for every tick.
    pub fn status(&mut self) -> Vec<FolderStatus> {
        let mut all = Vec::new();
        for folder in self.folders.values() {
            let mut status = of(folder);
            for member in &mut status.members {
                member.shares = self.sessions.iter().any(|session| {
                    session.device == member.device
                        && session
                            .links
                            .get(&folder.id)
                            .is_some_and(|link| link.shared)
                });
            }
            all.push(status);
        }
        all
    }

    /// The files that are gathered, and how far they are.
    pub fn gathering(&self) -> Vec<String> {
        self.folders
            .values()
            .flat_map(|folder| folder.pull.gathering())
            .collect()
    }

    /// What is under way or waits, connections aside; nothing at rest.
    pub fn unrest(&self) -> Option<&'static str> {
        self.folders.values().find_map(|folder| {
            if !folder.loaded {
                return Some("its store is loaded");
            }
            if !folder.settled() {
                return Some("something is kept");
            }
            if folder.state != State::Running || folder.config.paused {
                return None;
            }
            folder.scan.unrest().or_else(|| folder.pull.unrest())
        })
    }
}

fn of(folder: &Folder) -> FolderStatus {
    let mut status = FolderStatus {
        id: folder.id.to_string(),
        label: folder.config.label.clone(),
        state: state(folder),
        doubt: match &folder.state {
            State::Stopped(doubt) => Some(doubt.clone()),
            _ => None,
        },
        local: Counts::default(),
        global: Counts::default(),
        need: Lack::default(),
        troubles: folder
            .scan
            .unreadable
            .iter()
            .chain(
                folder
                    .pull
                    .troubles
                    .iter()
                    .filter(|(name, _)| folder.index.needs().contains(*name)),
            )
            .map(|(name, failure)| (name.to_string(), failure.clone()))
            .collect(),
        unnamed: folder.scan.unnamed.clone(),
        members: folder
            .config
            .members
            .iter()
            .map(|member| MemberStatus {
                device: member.device,
                lack: Lack::default(),
                shares: false,
                writes: member.writes,
            })
            .collect(),
    };
    for (name, item) in folder.index.items() {
        if let Some(local) = &item.local
            && !local.info.invalid
        {
            count(&mut status.local, &local.info);
        }
        let Some(global) = item.global(&folder.rules) else {
            continue;
        };
        count(&mut status.global, global);
        let size = if global.deleted { 0 } else { global.size };
        if folder.index.needs().contains(name) {
            status.need.items += 1;
            status.need.bytes += size;
        }
        for member in &mut status.members {
            let has = item.remotes.iter().any(|(device, info)| {
                *device == member.device && info.version.compare(&global.version) == Ordering::Equal
            });
            let never = global.deleted
                && !item
                    .remotes
                    .iter()
                    .any(|(device, _)| *device == member.device);
            if !has && !never && !global.invalid {
                member.lack.items += 1;
                member.lack.bytes += size;
            }
        }
    }
    status
}

fn state(folder: &Folder) -> &'static str {
    match folder.state {
        _ if folder.config.paused => "paused",
        State::Opening => "starting",
        State::Stopped(_) => "stopped",
        State::Running if folder.pull.unrest().is_some() => "syncing",
        State::Running if folder.scan.unrest().is_some() => "scanning",
        State::Running if !folder.index.needs().is_empty() => "waiting",
        State::Running => "idle",
    }
}

fn count(counts: &mut Counts, info: &obhut_bep::FileInfo) {
    if info.deleted {
        counts.deleted += 1;
        return;
    }
    match info.kind {
        Kind::File => {
            counts.files += 1;
            counts.bytes += info.size;
        }
        Kind::Directory => counts.directories += 1,
        Kind::Symlink => counts.links += 1,
    }
}
