//! What goes into the engine and what comes out of it. A driver carries outputs out and answers with inputs; the driver may
//! be a real machine or a simulated one. Nothing here does anything.

use std::sync::Arc;

use obhut_bep::{Blocks, Code, DeviceId, FileInfo, HASH, Hello, Message, Vector};

use crate::config::Config;
use crate::ignore::Ignores;

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

/// What happens to the engine.
#[derive(Debug)]
pub enum Input {
    /// What is configured, from now on. Comes first.
    Configured(Config),
    /// A folder was looked at, its store was opened: answers [`Output::Open`].
    Opened {
        /// Which.
        folder: FolderId,
        /// Its root.
        root: Root,
        /// Numbers by chance, for a new life or generation.
        chance: [u64; 2],
    },
    /// What a folder's store holds; in pieces, before [`Input::Opened`] of the first opening. A reopening brings none.
    Loaded {
        /// Which.
        folder: FolderId,
        /// In any order, but [`Change::RemoteReset`] of a device before its entries.
        changes: Vec<Change>,
    },
    /// A device is connected: greetings are exchanged and its certificate is that of a known device.
    Up {
        /// The connection.
        connection: Connection,
        /// Whose.
        device: DeviceId,
        /// How it greeted.
        hello: Hello,
    },
    /// A message came.
    Received {
        /// On which.
        connection: Connection,
        /// The message.
        message: Message,
    },
    /// A connection has ended.
    Down {
        /// Which.
        connection: Connection,
    },
    /// So many messages have gone to the system since the last time.
    Drained {
        /// On which.
        connection: Connection,
        /// How many.
        messages: u64,
    },
    /// Names of a walk, in any order.
    Walked {
        /// Which walk.
        ticket: Ticket,
        /// What was seen.
        seen: Vec<Seen>,
    },
    /// A walk has ended. What it could not look at is neither seen nor gone.
    WalkEnded {
        /// Which walk.
        ticket: Ticket,
        /// How the root stands, looked at after the walk.
        root: Option<Doubt>,
        /// Names that could not be looked at, and why.
        unreadable: Vec<(String, Failure)>,
        /// Names that are not UTF-8, as well as they can be shown.
        unnamed: Vec<String>,
    },
    /// Names were looked at: answers [`Output::Look`].
    Looked {
        /// Which question.
        ticket: Ticket,
        /// How the root stands, looked at afterwards.
        root: Option<Doubt>,
        /// Each name asked for; nothing where nothing is.
        found: Vec<(String, Result<Option<Facts>, Failure>)>,
    },
    /// A file was read: answers [`Output::Hash`].
    Hashed {
        /// Which question.
        ticket: Ticket,
        /// Its facts, the same before and after, and its blocks.
        result: Result<Hashed, Failure>,
    },
    /// Names may have changed, or everything (none).
    Noticed {
        /// Where.
        folder: FolderId,
        /// Which.
        names: Option<Vec<String>>,
    },
    /// Bytes were read: answers [`Output::Serve`].
    Served {
        /// Who asked.
        connection: Connection,
        /// Its number.
        request: i32,
        /// The bytes, all that were asked for, or why not.
        result: Result<Vec<u8>, Code>,
    },
    /// A temporary file is there: answers [`Output::Prepare`].
    Prepared {
        /// Which.
        ticket: Ticket,
        /// Blocks that are missing, in order.
        result: Result<Vec<u32>, Failure>,
    },
    /// A block was written: answers [`Output::Write`].
    Wrote {
        /// Which.
        ticket: Ticket,
        /// Whether.
        result: Result<(), Failure>,
    },
    /// A group of steps was carried out and will last: answers [`Output::Apply`].
    Applied {
        /// Which.
        ticket: Ticket,
        /// One for each step. If the sync failed, all have.
        outcomes: Vec<Outcome>,
    },
    /// A transaction will last: answers [`Output::Commit`]. They come in order.
    Committed {
        /// Which.
        ticket: Ticket,
    },
    /// A number is beside the marker: answers [`Output::Mark`].
    Marked {
        /// Which.
        ticket: Ticket,
    },
    /// Somebody asks for something: [`Command`].
    Told {
        /// Where.
        folder: FolderId,
        /// What.
        command: Command,
    },
    /// Time has passed.
    Tick,
}

/// What people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Look at everything now.
    Scan,
    /// A send-only folder: what we have counts, whatever others say.
    Override,
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

/// What the engine asks of its driver.
#[derive(Debug)]
pub enum Output {
    /// To look at a folder's root, read its ignore file and, the first time, its store.
    Open {
        /// Which.
        folder: FolderId,
        /// Whether the store is to be loaded.
        load: bool,
    },
    /// To write a number beside the marker, lastingly. Nothing is announced before it is there.
    Mark {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// The number.
        generation: u64,
    },
    /// To send a message. Never refused: how much is under way is the engine's business.
    Send {
        /// Where to.
        connection: Connection,
        /// The message.
        message: Message,
    },
    /// To end a connection, having said why.
    Close {
        /// Which.
        connection: Connection,
        /// Why.
        reason: String,
    },
    /// To look at everything, or at everything below a directory (itself included).
    Walk {
        /// For the answers.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// Below what; nothing for all.
        below: Option<String>,
        /// What is not looked at.
        ignores: Arc<Ignores>,
    },
    /// To look at names.
    Look {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// Which.
        names: Vec<String>,
    },
    /// To read a file.
    Hash {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// Which.
        name: String,
        /// The size of its blocks so far: kept if it is near enough (`obhut_bep::block_size`).
        known: Option<u32>,
    },
    /// To read bytes for a device. They are checked against the hash, if there is one.
    Serve {
        /// For whom.
        connection: Connection,
        /// Its number.
        request: i32,
        /// Where.
        folder: FolderId,
        /// Which file; or its temporary one, if `temporary` and that has them.
        name: String,
        /// Whether a temporary file may serve.
        temporary: bool,
        /// From where.
        offset: u64,
        /// How many.
        size: u32,
        /// What they should be.
        hash: Option<[u8; HASH]>,
    },
    /// To make a temporary file with the blocks that are there: those in one that is there already, those of sources, zeros.
    /// Each is read and hashed before it counts.
    Prepare {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// Its temporary name.
        temporary: String,
        /// Its size.
        size: u64,
        /// Bytes of all blocks but the last.
        block_size: u32,
        /// Its blocks.
        blocks: Blocks,
        /// Where some of them are.
        sources: Vec<Source>,
    },
    /// To write a block into a temporary file, which is made if it is not there and gets its size, after its hash was compared.
    Write {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// Its temporary name.
        temporary: String,
        /// Bytes of the whole file.
        total: u64,
        /// At which byte.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
        /// Their hash.
        hash: [u8; HASH],
    },
    /// To remove temporary files that nobody needs. No answer.
    Discard {
        /// Where.
        folder: FolderId,
        /// Temporary names.
        temporaries: Vec<String>,
    },
    /// To carry out steps in order, and make them last: the temporary files first, then the names.
    Apply {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// The steps.
        steps: Vec<Step>,
    },
    /// To keep changes in one transaction that lasts.
    Commit {
        /// For the answer.
        ticket: Ticket,
        /// Where.
        folder: FolderId,
        /// The changes.
        changes: Vec<Change>,
    },
    /// To tick no later than then (monotonic milliseconds). The newest one counts.
    Wake {
        /// When.
        at: u64,
    },
    /// To tell people.
    Tell(Event),
}

/// What people may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device has connected, and both know what they share.
    Connected {
        /// Who.
        device: DeviceId,
    },
    /// It has gone.
    Disconnected {
        /// Who.
        device: DeviceId,
        /// Why, if we ended it.
        reason: Option<String>,
    },
    /// A device offers a folder that we do not have, or not with it.
    Offered {
        /// Who.
        device: DeviceId,
        /// Which.
        folder: String,
        /// What its people call it.
        label: String,
    },
    /// A folder stands still, and why; or goes on.
    Stopped {
        /// Which.
        folder: FolderId,
        /// Why; nothing if it goes on.
        doubt: Option<Doubt>,
    },
    /// An item of ours changed here.
    Changed {
        /// Where.
        folder: FolderId,
        /// Which.
        name: String,
        /// Whether it is gone.
        deleted: bool,
    },
    /// An item came from others.
    Took {
        /// Where.
        folder: FolderId,
        /// Which.
        name: String,
        /// Whether it is gone.
        deleted: bool,
    },
    /// Two contents stood against each other: both are there.
    Conflict {
        /// Where.
        folder: FolderId,
        /// The one that won.
        name: String,
        /// The one that lost.
        copy: String,
    },
    /// Something could not be done; it will be tried again.
    Trouble {
        /// Where.
        folder: FolderId,
        /// Which.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// An entry was not taken, because its device may not write.
    Refused {
        /// Where.
        folder: FolderId,
        /// Which.
        name: String,
        /// Its version.
        version: Vector,
    },
}
