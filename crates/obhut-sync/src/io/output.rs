//! What the engine asks of its driver.

use std::sync::Arc;

use obhut_bep::{Blocks, HASH, Message};

use super::{Change, Connection, Event, FolderId, Source, Step, Ticket};
use crate::ignore::Ignores;

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
    /// To write a block into a temporary file, which gets its size, after its hash was compared. Only a block that is all of
    /// the file makes one that is not there: else blocks that were written before would be missing.
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
