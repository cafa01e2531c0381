//! What happens to the engine.

use obhut_bep::{Code, DeviceId, Hello, Message};

use super::{
    Change, Command, Connection, Doubt, Facts, Failure, FolderId, Hashed, Outcome, Root, Seen,
    Ticket,
};
use crate::config::Config;

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
