//! What people decided: devices, folders, roles, limits. Comes in from outside, whole, whenever it changes.

use std::sync::Arc;

use obhut_bep::{Compression, DeviceId};

use crate::versions::Keep;

/// Everything that is configured.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Who we are.
    pub own: DeviceId,
    /// What we are called.
    pub name: String,
    /// Others that we know.
    pub devices: Vec<Device>,
    /// Folders that we have.
    pub folders: Vec<Folder>,
}

/// A device that we know.
#[derive(Debug, Clone, Default)]
pub struct Device {
    /// Who.
    pub id: DeviceId,
    /// What we call it.
    pub name: String,
    /// What is compressed toward it.
    pub compression: Compression,
    /// Whether nothing is exchanged with it for now.
    pub paused: bool,
}

/// A folder that we have.
#[derive(Debug, Clone)]
pub struct Folder {
    /// What all devices call it.
    pub id: Arc<str>,
    /// What people call it.
    pub label: String,
    /// In which directions it goes.
    pub direction: Direction,
    /// With whom it is shared.
    pub members: Vec<Member>,
    /// What is kept of files that are replaced or removed.
    pub versions: Versions,
    /// Conflict copies of one file; none are made where it is 0, any number where it is nothing.
    pub max_conflicts: Option<usize>,
    /// Whether modes are neither sent nor set.
    pub ignore_modes: bool,
    /// Milliseconds between two looks at everything; 0 for never.
    pub rescan: u64,
    /// Whether nothing happens for now.
    pub paused: bool,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            id: Arc::from(""),
            label: String::new(),
            direction: Direction::default(),
            members: Vec::new(),
            versions: Versions::default(),
            max_conflicts: Some(10),
            ignore_modes: false,
            rescan: 3_600_000,
            paused: false,
        }
    }
}

/// Another device that shares a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub device: DeviceId,
    /// Whether its changes count here.
    pub writes: bool,
}

/// Which changes of a folder go where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// In both.
    #[default]
    Both,
    /// Ours go out, others' stay out.
    SendOnly,
    /// Others' come in; ours stay here.
    ReceiveOnly,
}

/// What is kept of files that the engine replaces or removes, below `.stversions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Nothing at all.
    None,
    /// The newest one, under its own name.
    Trash {
        /// Seconds; 0 for any age.
        max_age: i64,
    },
    /// Several, each with its time in its name.
    Tagged(Keep),
}

impl Default for Versions {
    /// Fewer the older they are, for a year.
    fn default() -> Self {
        Self::Tagged(Keep::Staggered {
            max_age: 365 * 24 * 3600,
        })
    }
}
