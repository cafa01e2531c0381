//! One bit a slot of the index, set by many threads at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(super) struct Marks(Vec<AtomicU64>);

impl Marks {
    pub fn new(len: usize) -> Self {
        Self((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit; gives whether it was set before.
    pub fn set(&self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        // Most blobs are seen many times: a plain read spares the other threads a cache line fight.
        let word = &self.0[at / 64];
        word.load(Relaxed) & bit != 0 || word.fetch_or(bit, Relaxed) & bit != 0
    }

    pub fn get(&self, at: usize) -> bool {
        self.0[at / 64].load(Relaxed) & 1 << (at % 64) != 0
    }
}
