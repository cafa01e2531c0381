//! restic's content-defined chunker, bit for bit (formats: restic 12).

use crate::polynomial::Polynomial;

/// Smallest chunk but the last of a file.
pub const MIN: usize = 512 << 10;
/// Largest chunk.
pub const MAX: usize = 8 << 20;

/// The chunker for one polynomial; shared by all threads.
pub struct Chunker {}

impl Chunker {
    /// Builds the tables.
    pub fn new(_polynomial: Polynomial) -> Self {
        todo!()
    }
    /// The length of the first chunk of `data`, which starts at a chunk start and holds either `MAX`
    /// bytes or more, or everything up to the end of the file. `data.len()` if no cut lies within it.
    pub fn cut(&self, _data: &[u8]) -> usize {
        todo!()
    }
}
