//! What goes into the engine and what comes out of it. A driver carries outputs out and answers with inputs; the driver may
//! be a real machine or a simulated one. Nothing here does anything.

mod event;
mod input;
mod output;

use std::sync::Arc;

use obhut_bep::{Blocks, DeviceId, FileInfo};

use crate::ignore::Ignores;

pub use event::{Command, Event};
pub use input::Input;
pub use output::Output;

/// A folder, by what all devices call it.
pub type FolderId = Arc<str>;

/// A connection to a device. Never used twice in one life of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

/// Ties an answer to what asked for it. Never used twice in one life of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub monotonic: u64,
    /// Seconds since 1970 and nanoseconds, by a clock that people and networks may set.
    pub wall: (i64, i32),
    /// Seconds that this place's clock is ahead of UTC.
    pub offset: i32,
}

/// What a name on a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FactsKind {
    /// A regular file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe: not ours.
    Other,
}

/// What `lstat` (and `readlink`) say of a name. Two that are equal are taken for the same content, never read again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Facts {
    /// What it is.
    pub kind: FactsKind,
    /// Bytes; of a file only.
    pub size: u64,
    /// Time of the last change of content: seconds since 1970, nanoseconds.
    pub modified: (i64, i32),
    /// Time of the last change of anything; 0 of directories, where it says nothing.
    pub changed: (i64, i32),
    /// The bits below 0o7777.
    pub mode: u32,
    /// File system and number; 0 where they say nothing.
    pub device: u64,
    /// Number of the file in its file system.
    pub inode: u64,
    /// Where a link points, as it stands there.
    pub target: Vec<u8>,
}

/// Why something on a disk could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is nothing of that name.
    Gone,
    /// It may not be touched.
    Denied,
    /// No room.
    Full,
    /// It changed while it was read.
    Unsteady,
    /// Bytes are not those that the hash says.
    WrongHash,
    /// Something else, in words of the system.
    Other(String),
}

/// How a folder's root stands.
#[derive(Debug, Clone)]
pub enum Root {
    /// Fit for work.
    Ready {
        /// What the file beside the marker says.
        generation: Option<u64>,
        /// What is ignored.
        ignores: Arc<Ignores>,
        /// Whether nothing lies there but what is of the machinery.
        empty: bool,
    },
    /// Not fit: nothing is looked at, announced or changed.
    Doubt(Doubt),
}

/// Why a folder stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// There is no `.stfolder`: perhaps the disk is not there.
    MarkerMissing,
    /// There is no directory at that place.
    RootMissing,
    /// It is on another file system than before.
    OtherFileSystem,
    /// All that was there is gone.
    Emptied,
    /// The ignore file cannot be read or understood.
    Ignores(String),
    /// The system said something else.
    Other(String),
}

/// One name of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Relative to the root, with `/`.
    pub name: String,
    /// What it is.
    pub facts: Facts,
    /// A directory that is ignored, listed because something below it may be shared.
    pub ignored: bool,
}

/// What the name of a step has to be before it is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing there.
    Nothing,
    /// Exactly this.
    Item(Facts),
}

/// Where what a step takes away goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displaced {
    /// Nowhere. Only for directories, and where nothing is to be kept.
    Drop,
    /// Below `.stversions`, under its own name, in the place of the one before.
    Trash,
    /// Below `.stversions`, its time in its name. What is there stays: the driver takes the next free second.
    Version,
    /// Beside its place, as a conflict copy.
    Conflict,
}

/// One change of a folder's tree. All of a group are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The item.
    pub name: String,
    /// What has to be there, or nothing is done.
    pub expected: Expected,
    /// What is done.
    pub act: Act,
    /// Where what is there goes.
    pub displaced: Displaced,
    /// The name of a conflict copy, should one be needed: of what is there, or of what somebody put there meanwhile.
    pub copy: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Makes a directory.
    Directory {
        /// Bits below 0o777.
        mode: Option<u32>,
    },
    /// Makes a link.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Gives a file that was gathered its name, mode and time.
    File {
        /// Its temporary name.
        temporary: String,
        /// Bits below 0o777.
        mode: Option<u32>,
        /// Time of the last change.
        modified: (i64, i32),
    },
    /// Gives a file that is there another name, mode and time. Nothing is displaced.
    Move {
        /// Its name now.
        from: String,
        /// What has to be there.
        facts: Facts,
        /// Bits below 0o777.
        mode: Option<u32>,
        /// Time of the last change.
        modified: (i64, i32),
    },
    /// Sets mode and, of files, the time.
    Facts {
        /// Bits below 0o777.
        mode: Option<u32>,
        /// Time of the last change.
        modified: Option<(i64, i32)>,
    },
    /// Takes the item away; a directory only if nothing is in it.
    Remove,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; what is there now.
    Done(Option<Facts>),
    /// Something else was there than expected: nothing was done. What is there.
    Changed(Option<Facts>),
    /// It was done, and somebody had put something else there meanwhile: that lies beside it now.
    Raced {
        /// What is there now.
        now: Option<Facts>,
        /// The name of the copy.
        copy: String,
    },
    /// A directory that is not empty; some of the names in it.
    NotEmpty(Vec<String>),
    /// It was not done.
    Failed(Failure),
}

/// Where a block of a file lies already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which block is wanted.
    pub block: u32,
    /// In which file.
    pub name: String,
    /// At which byte.
    pub offset: u64,
}

/// What a store keeps. A store that is loaded gives back the newest of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Our entry of an item, with its sequence, and what the disk showed then.
    Local {
        /// The entry.
        info: Arc<FileInfo>,
        /// What the disk shows, if the item is there.
        observed: Option<Facts>,
    },
    /// What the disk shows of an item whose entry stays.
    Observed {
        /// The item.
        name: String,
        /// What the disk shows.
        observed: Facts,
    },
    /// Another device's entry, with its sequence.
    Remote {
        /// Whose.
        device: DeviceId,
        /// The entry.
        info: Arc<FileInfo>,
    },
    /// Everything of a device is forgotten; its sequences have a new life (0: none).
    RemoteReset {
        /// Whose.
        device: DeviceId,
        /// The life.
        index_id: u64,
    },
    /// About ourselves.
    Meta(Meta),
}

/// What a store knows of our own sequences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// The life of our sequences.
    pub index_id: u64,
    /// No sequence at or above it was ever given.
    pub ceiling: u64,
    /// What the file beside the marker says, or is about to say.
    pub generation: u64,
    /// What it said before; both are ours.
    pub previous_generation: u64,
    /// The first sequence of this run.
    pub first: u64,
    /// First and last sequence of each run before this one. Between two runs lies a gap by chance: whoever knows a sequence
    /// that is in none of them knows another life of this store.
    pub runs: Vec<(u64, u64)>,
}

/// What reading a file brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// What it was, before and after.
    pub facts: Facts,
    /// Bytes of all blocks but the last.
    pub block_size: u32,
    /// Its blocks.
    pub blocks: Blocks,
}
