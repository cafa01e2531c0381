//! The blocks of a file: its hashes, one after another (formats: bep 10).

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

/// Bytes of a block's hash.
pub const HASH: usize = 32;
/// Bytes of the smallest block, and of the largest one.
pub const SMALLEST_BLOCK: u32 = 128 << 10;
/// See [`SMALLEST_BLOCK`].
pub const LARGEST_BLOCK: u32 = 16 << 20;
/// A file has fewer blocks than so many, as long as there are larger ones.
const WANTED: u64 = 2000;

/// The size of blocks for a file of so many bytes. One that was known with blocks that differ by no more than a factor of two
/// keeps them, so that what did not change still has its hashes.
pub fn block_size(size: u64, known: Option<u32>) -> u32 {
    let mut found = SMALLEST_BLOCK;
    while found < LARGEST_BLOCK && size >= WANTED * u64::from(found) {
        found *= 2;
    }
    match known {
        Some(before) if is_block_size(before) && (before / 2 == found || before == found / 2) => {
            before
        }
        _ => found,
    }
}

/// Whether a peer may use blocks of this size.
pub(crate) fn is_block_size(size: u32) -> bool {
    (SMALLEST_BLOCK..=LARGEST_BLOCK).contains(&size) && size.is_power_of_two()
}

/// The hashes of a file's blocks. Where each block begins and ends follows from the sizes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocks {
    hashes: Vec<u8>,
}

impl Blocks {
    /// Of hashes, one after another; `None` if the last one is cut.
    pub fn new(hashes: Vec<u8>) -> Option<Self> {
        hashes.len().is_multiple_of(HASH).then_some(Self { hashes })
    }

    /// How many there are. A file has at least one, an empty file one of no bytes.
    pub fn len(&self) -> usize {
        self.hashes.len() / HASH
    }

    /// Whether there is none: what is no live file has none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a block.
    pub fn hash(&self, at: usize) -> Option<&[u8]> {
        self.hashes.get(at * HASH..(at + 1) * HASH)
    }

    /// All hashes, one after another.
    pub fn hashes(&self) -> &[u8] {
        &self.hashes
    }

    /// The hash of all hashes: what tells contents apart.
    pub fn hash_of_all(&self) -> [u8; HASH] {
        Sha256::digest(&self.hashes).into()
    }
}

/// SHA-256 of some bytes: what a block is known by.
pub fn digest(bytes: &[u8]) -> [u8; HASH] {
    Sha256::digest(bytes).into()
}

/// Takes blocks as they come in, and sees that they follow each other.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    hashes: Vec<u8>,
    first: u32,
    last: u32,
    end: u64,
}

impl Taken {
    /// Whether none came.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The next block. One that does not begin where the one before ended, or follows a shorter one, is refused.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let (mut offset, mut size, mut hash) = (0_i64, 0_i32, &[][..]);
        let mut fields = Reader::new(bytes);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => offset = field.int64()?,
                2 => size = field.int32()?,
                3 => hash = field.bytes()?,
                _ => {}
            }
        }
        let size = u32::try_from(size).map_err(|_| Error::Malformed("the size of a block"))?;
        if size > LARGEST_BLOCK {
            return Err(Error::TooLarge("a block"));
        }
        if hash.len() != HASH {
            return Err(Error::Malformed("the hash of a block"));
        }
        if u64::try_from(offset) != Ok(self.end) {
            return Err(Error::Malformed("blocks that do not follow each other"));
        }
        if self.hashes.is_empty() {
            self.first = size;
        } else if self.last != self.first || size == 0 || size > self.first {
            return Err(Error::Malformed("a short block that is not the last one"));
        }
        self.last = size;
        self.end += u64::from(size);
        self.hashes.extend_from_slice(hash);
        Ok(())
    }

    /// The blocks of a file of so many bytes, in blocks of this size.
    pub(crate) fn done(self, size: u64, block_size: u32) -> Result<Blocks> {
        if self.end != size {
            return Err(Error::Malformed("blocks that do not make up the file"));
        }
        if self.hashes.len() > HASH && self.first != block_size || self.first > block_size {
            return Err(Error::Malformed(
                "blocks of another size than the file says",
            ));
        }
        Ok(Blocks {
            hashes: self.hashes,
        })
    }
}

/// Writes the blocks of a file of so many bytes.
pub(crate) fn write(writer: &mut Writer, field: u32, blocks: &Blocks, size: u64, block_size: u32) {
    for (at, hash) in blocks.hashes.chunks(HASH).enumerate() {
        let offset = at as u64 * u64::from(block_size);
        let mut block = Writer::default();
        block.number(1, offset);
        block.number(2, size.saturating_sub(offset).min(u64::from(block_size)));
        block.bytes(3, hash);
        writer.message(field, &block.done());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_formats_page() {
        let mib = 1 << 20;
        let table = [
            (262_144_000, 128 << 10),
            (524_288_000, 256 << 10),
            (1_048_576_000, 512 << 10),
            (2_097_152_000, mib),
            (4_194_304_000, 2 * mib),
            (8_388_608_000, 4 * mib),
            (16_777_216_000, 8 * mib),
        ];
        for (below, size) in table {
            assert_eq!(block_size(below - 1, None), size);
            assert_eq!(block_size(below, None), 2 * size);
        }
        assert_eq!(
            (block_size(0, None), block_size(u64::MAX, None)),
            (SMALLEST_BLOCK, LARGEST_BLOCK)
        );
        assert_eq!(
            (block_size(1 << 30, None), block_size(1 << 32, None)),
            (mib, 4 * mib)
        );
    }

    #[test]
    fn known_sizes_stay_where_they_are_near() {
        assert_eq!(block_size(262_144_000, Some(128 << 10)), 128 << 10);
        assert_eq!(block_size(262_143_999, Some(256 << 10)), 256 << 10);
        assert_eq!(block_size(524_288_000, Some(128 << 10)), 512 << 10);
        assert_eq!(block_size(1, Some(3)), SMALLEST_BLOCK);
        assert_eq!(block_size(u64::MAX, Some(2 * LARGEST_BLOCK)), LARGEST_BLOCK);
    }
}
