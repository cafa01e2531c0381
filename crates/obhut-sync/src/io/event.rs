//! What people ask for, and what they may want to know.

use obhut_bep::{DeviceId, Vector};

use super::{Doubt, Failure, FolderId};

/// What people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Look at everything now.
    Scan,
    /// A folder that stopped because all in it is gone: it is meant, and others are to be told.
    Emptied,
    /// A send-only folder: what we have counts, whatever others say.
    Override,
    /// A receive-only folder: what was changed here goes, what others have comes.
    Revert,
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
