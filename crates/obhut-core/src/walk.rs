//! Walking trees: which blobs do these roots use.

use std::sync::Arc;

use crate::error::Result;
use crate::id::Id;
use crate::index::Index;
use crate::job::Control;
use crate::repo::Repository;

/// One bit a slot of an [`Index`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet {
    /// The bits.
    pub bits: Vec<u64>,
}

/// Marks the first slot of every blob that the trees `roots` reach (parallel; each tree is read once).
/// A tree that cannot be read or a blob that no index names is an error.
pub fn mark_used(
    _repo: &Arc<Repository>,
    _index: &Arc<Index>,
    _roots: &[Id],
    _used: &mut SlotSet,
    _control: &Arc<Control>,
    _threads: usize,
) -> Result<()> {
    todo!()
}
