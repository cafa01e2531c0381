//! Chunks of a stream in bounded memory.

use std::io::{ErrorKind, Read, Result};
use std::sync::Arc;

use super::{Chunker, MAX};

/// Bytes asked of the source at once at most.
const BLOCK: usize = 1 << 20;
/// The buffer's first size: small files need no more.
const FIRST: usize = 256 << 10;
/// Less room than this is made bigger before reading.
const ROOM: usize = 128 << 10;

/// Cuts streams into chunks, one after the other, with one buffer of at most 9 MiB that is kept between them.
pub struct ChunkReader {
    chunker: Arc<Chunker>,
    buffer: Vec<u8>,
    /// The current chunk starts here.
    start: usize,
    /// The bytes read end here.
    end: usize,
    /// No cut lies before `start + searched`.
    searched: usize,
    ended: bool,
}

impl ChunkReader {
    /// A reader without a buffer yet.
    pub fn new(chunker: Arc<Chunker>) -> Self {
        Self {
            chunker,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            ended: false,
        }
    }

    /// Forgets the current stream; the next call of [`ChunkReader::next_chunk`] begins another one.
    pub fn begin(&mut self) {
        self.start = 0;
        self.end = 0;
        self.searched = 0;
        self.ended = false;
    }

    /// The next chunk of `source`, `None` at its end. Short reads and interruptions are handled; after an
    /// error only [`ChunkReader::begin`] makes sense.
    pub fn next_chunk(&mut self, source: &mut dyn Read) -> Result<Option<&[u8]>> {
        loop {
            let data = &self.buffer[self.start..self.end];
            let cut = match self.chunker.search(data, self.searched) {
                Some(cut) => cut,
                None if !self.ended => {
                    self.searched = data.len() + 1;
                    self.fill(source)?;
                    continue;
                }
                None if data.is_empty() => return Ok(None),
                None => data.len(),
            };
            let chunk = self.start..self.start + cut;
            self.start += cut;
            self.searched = 0;
            return Ok(Some(&self.buffer[chunk]));
        }
    }

    /// Bytes of the buffer.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Reads once.
    fn fill(&mut self, source: &mut dyn Read) -> Result<()> {
        self.make_room();
        let until = self.buffer.len().min(self.end + BLOCK);
        let read = loop {
            match source.read(&mut self.buffer[self.end..until]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.ended = read == 0;
        self.end += read;
        Ok(())
    }

    /// Makes at least [`ROOM`] bytes of room behind the bytes read: an unfinished chunk is shorter than
    /// [`MAX`], so a buffer of `MAX + BLOCK` always suffices.
    fn make_room(&mut self) {
        if self.buffer.len() - self.end >= ROOM {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < ROOM {
            let size = (self.buffer.len() * 2).clamp(FIRST, MAX + BLOCK);
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
    }
}
