//! The part of a snapshot that byte-level code needs (formats: restic 9). Python models the rest.

use crate::error::Result;
use crate::id::Id;

/// A snapshot's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRoot {
    /// The snapshot.
    pub id: Id,
    /// Its root tree.
    pub tree: Id,
}

/// Parses a snapshot's JSON far enough for its root tree; `damaged` if there is none.
pub fn parse_root(_id: Id, _json: &[u8]) -> Result<SnapshotRoot> {
    todo!()
}
