//! restic's locks (formats: restic 13).

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::job::Control;
use crate::repo::Repository;

/// A held lock, refreshed by a thread of its own; released on drop.
pub struct Lock {}

impl Lock {
    /// Takes a lock, retrying for `retry`.
    pub fn acquire(
        _repo: &Arc<Repository>,
        _exclusive: bool,
        _retry: Duration,
        _control: &Control,
    ) -> Result<Self> {
        todo!()
    }
    /// Releases now and reports a failure.
    pub fn release(self) -> Result<()> {
        todo!()
    }
}
