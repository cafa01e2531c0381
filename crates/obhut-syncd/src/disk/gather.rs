//! Temporary files: the blocks that are here already, and those that come.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use obhut_bep::{Blocks, HASH, LARGEST_BLOCK, SMALLEST_BLOCK, check_name};
use obhut_sync::internal::is_internal;
use obhut_sync::io::{Failure, Now, Source};
use rustix::fs::{self, FallocateFlags};
use rustix::io::Errno;

use super::facts::facts_of_open;
use super::hash::{hash_of, read_at};
use super::root::{Root, check_temporary, failure};
use super::temporary::reopen;

/// A file that is to be gathered.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its temporary name.
    pub temporary: &'a str,
    /// Its size.
    pub size: u64,
    /// Bytes of all blocks but the last.
    pub block_size: u32,
    /// Its blocks.
    pub blocks: &'a Blocks,
    /// Where some of them are.
    pub sources: &'a [Source],
}

/// One that is being gathered.
struct Gather<'g> {
    root: &'g Root,
    wanted: &'g Wanted<'g>,
    file: OwnedFd,
    /// Which blocks are there.
    has: Vec<bool>,
    buffer: Vec<u8>,
    /// The source that was read last.
    source: Option<(&'g str, Option<OwnedFd>)>,
}

impl Root {
    /// Makes a temporary file with the blocks that are here: in one that is there already, in sources, zeros. Each is hashed
    /// as it lies there. Gives those that are missing.
    pub fn prepare(&self, wanted: &Wanted<'_>, now: Now) -> Result<Vec<u32>, Failure> {
        check_wanted(wanted)?;
        let (file, was_there) = self.open_temporary(wanted.temporary, now)?;
        let mut gather = Gather {
            root: self,
            wanted,
            file,
            has: vec![false; wanted.blocks.len()],
            buffer: Vec::new(),
            source: None,
        };
        if was_there {
            gather.keep()?;
        }
        fs::ftruncate(&gather.file, wanted.size).map_err(|errno| failure("set size", errno))?;
        for source in wanted.sources {
            gather.take(source)?;
        }
        gather.zeros(was_there)?;
        let has = gather.has.iter().enumerate();
        Ok(has
            .filter(|(_, has)| !**has)
            .map(|(at, _)| at as u32)
            .collect())
    }

    /// Writes a block into a temporary file, which has its whole size from then on. Only a block that is all of the file makes
    /// one that is not there: where others were written before, it went with its directory, and its blocks with it.
    pub fn write(
        &self,
        temporary: &str,
        total: u64,
        offset: u64,
        data: &[u8],
        hash: &[u8; HASH],
        now: Now,
    ) -> Result<(), Failure> {
        check_temporary(temporary)?;
        if hash_of(data) != *hash {
            return Err(Failure::WrongHash);
        }
        let place = self
            .place(temporary)
            .map_err(|errno| failure("open directory", errno))?;
        let file = match reopen(self, place.spot())? {
            Some(file) => file,
            None if data.len() as u64 == total => self.open_temporary(temporary, now)?.0,
            None => return Err(Failure::Gone),
        };
        // One that is left of another version may be longer.
        let size = fs::fstat(&file)
            .map_err(|errno| failure("look at", errno))?
            .st_size;
        if u64::try_from(size) != Ok(total) {
            fs::ftruncate(&file, total).map_err(|errno| failure("set size", errno))?;
        }
        write_at(&file, data, offset)
    }
}

/// A wish that contradicts itself would leave parts of a file that nobody asked about.
fn check_wanted(wanted: &Wanted<'_>) -> Result<(), Failure> {
    let sound = (1..=LARGEST_BLOCK).contains(&wanted.block_size)
        && wanted.size.div_ceil(u64::from(wanted.block_size)).max(1) == wanted.blocks.len() as u64;
    if sound {
        Ok(())
    } else {
        Err(Failure::Other("blocks that do not make up the file".into()))
    }
}

impl<'g> Gather<'g> {
    /// Where a block begins, and its bytes.
    fn range(&self, block: usize) -> (u64, usize) {
        let offset = block as u64 * u64::from(self.wanted.block_size);
        let length = self.wanted.size.saturating_sub(offset);
        (
            offset,
            length.min(u64::from(self.wanted.block_size)) as usize,
        )
    }

    /// Whether a block lies in the temporary file as it should.
    fn is_right(&mut self, block: usize) -> Result<bool, Failure> {
        let (offset, length) = self.range(block);
        self.buffer.resize(length, 0);
        let count = read_at(&self.file, &mut self.buffer, offset)
            .map_err(|errno| failure("read", errno))?;
        Ok(count == length && Some(&hash_of(&self.buffer)[..]) == self.wanted.blocks.hash(block))
    }

    /// Keeps what is right already.
    fn keep(&mut self) -> Result<(), Failure> {
        let facts = facts_of_open(&self.file).map_err(|errno| failure("look", errno))?;
        for block in 0..self.has.len() {
            let (offset, length) = self.range(block);
            if offset + length as u64 <= facts.size {
                self.has[block] = self.is_right(block)?;
            }
        }
        Ok(())
    }

    /// Takes a block from another file. One that cannot be read, or has other bytes by now, gives nothing.
    fn take(&mut self, source: &'g Source) -> Result<(), Failure> {
        let block = source.block as usize;
        if self.has.get(block).is_none_or(|has| *has) || check_name(&source.name).is_err() {
            return Ok(());
        }
        if self
            .source
            .as_ref()
            .is_none_or(|(name, _)| *name != source.name)
        {
            let file = (!is_internal(&source.name))
                .then(|| self.root.open_file(&source.name).ok())
                .flatten();
            self.source = Some((&source.name, file));
        }
        let Some((_, Some(from))) = &self.source else {
            return Ok(());
        };
        let (offset, length) = self.range(block);
        if copy(from, source.offset, &self.file, offset, length)? {
            self.has[block] = self.is_right(block)?;
            return Ok(());
        }
        self.buffer.resize(length, 0);
        let read = read_at(from, &mut self.buffer, source.offset);
        if read == Ok(length) && Some(&hash_of(&self.buffer)[..]) == self.wanted.blocks.hash(block)
        {
            write_at(&self.file, &self.buffer, offset)?;
            self.has[block] = true;
        }
        Ok(())
    }

    /// Blocks of zeros become holes.
    fn zeros(&mut self, was_there: bool) -> Result<(), Failure> {
        let Some(zero) = zero_hash(self.wanted.block_size) else {
            return Ok(());
        };
        for block in 0..self.has.len() {
            let (offset, length) = self.range(block);
            if self.has[block]
                || length != self.wanted.block_size as usize
                || self.wanted.blocks.hash(block) != Some(&zero[..])
            {
                continue;
            }
            // Something may lie there: what the file had before, or what a source had that was not right.
            if was_there || !self.wanted.sources.is_empty() {
                self.clear(offset, length)?;
            }
            self.has[block] = true;
        }
        if self.wanted.size == 0 {
            self.has[0] = self.is_right(0)?;
        }
        Ok(())
    }

    fn clear(&self, offset: u64, length: usize) -> Result<(), Failure> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fs::fallocate(&self.file, hole, offset, length as u64) {
            Ok(()) => Ok(()),
            Err(_) => write_at(&self.file, &vec![0; length], offset),
        }
    }
}

/// Copies within the system, which shares the bytes where the file system can; false if it does not come to the end.
pub(super) fn copy(
    from: &OwnedFd,
    at: u64,
    to: &OwnedFd,
    offset: u64,
    length: usize,
) -> Result<bool, Failure> {
    let (mut at, mut offset, mut left) = (at, offset, length);
    while left > 0 {
        match fs::copy_file_range(from, Some(&mut at), to, Some(&mut offset), left) {
            Ok(0) => return Ok(false),
            Ok(count) => left -= count,
            Err(Errno::INTR) => {}
            Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => return Err(failure("copy", errno)),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

pub(super) fn write_at(file: &OwnedFd, bytes: &[u8], at: u64) -> Result<(), Failure> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(file, &bytes[done..], at + done as u64) {
            Ok(0) => return Err(failure("write", Errno::IO)),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failure("write", errno)),
        }
    }
    Ok(())
}

/// The hash of a whole block of zeros, of each size that there is.
fn zero_hash(block_size: u32) -> Option<[u8; HASH]> {
    static KNOWN: [OnceLock<[u8; HASH]>; 8] = [const { OnceLock::new() }; 8];
    if !block_size.is_power_of_two() || block_size < SMALLEST_BLOCK {
        return None;
    }
    let at = (block_size / SMALLEST_BLOCK).trailing_zeros() as usize;
    let known = KNOWN.get(at)?;
    Some(*known.get_or_init(|| hash_of(&vec![0; block_size as usize])))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests;
