//! Reading files: the hash of each block.

use std::os::fd::OwnedFd;

use obhut_bep::{Blocks, HASH, block_size};
use obhut_core::sha256::Hasher;
use obhut_sync::io::{Facts, FactsKind, Failure, Hashed};
use rustix::fs::{self, Advice, Mode, OFlags};
use rustix::io::Errno;

use super::facts::facts_of_open;
use super::root::{Root, failure, retry};

impl Root {
    /// Reads a file once. What is not the same before and after, by its handle and by its name, is not steady.
    pub fn hash(&self, name: &str, known: Option<u32>) -> Result<Hashed, Failure> {
        let file = self.open_file(name).map_err(|errno| match errno {
            // A link by now, or a directory.
            Errno::LOOP | Errno::ISDIR | Errno::INVAL => Failure::Unsteady,
            errno => failure("open", errno),
        })?;
        let facts = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
        if facts.kind != FactsKind::File {
            return Err(Failure::Unsteady);
        }
        let block_size = block_size(facts.size, known);
        let _ = fs::fadvise(&file, 0, None, Advice::Sequential);
        let hashes = read_blocks(&file, &facts, block_size)?;
        let after = facts_of_open(&file).map_err(|errno| failure("look", errno))?;
        if after != facts || self.look(name)?.as_ref() != Some(&facts) {
            return Err(Failure::Unsteady);
        }
        let blocks = Blocks::new(hashes).ok_or(Failure::Unsteady)?;
        Ok(Hashed {
            facts,
            block_size,
            blocks,
        })
    }

    /// Opens what is there, unless it is a link. A pipe does not keep the caller.
    pub(super) fn open_file(&self, name: &str) -> Result<OwnedFd, Errno> {
        let place = self.place(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        retry(|| fs::openat(&place.directory, place.last, flags, Mode::empty()))
    }
}

/// The hashes of all blocks, two at a time; of one that is empty if nothing is there.
fn read_blocks(file: &OwnedFd, facts: &Facts, block_size: u32) -> Result<Vec<u8>, Failure> {
    let count = facts.size.div_ceil(u64::from(block_size)).max(1);
    let mut hashes = Vec::with_capacity(count as usize * HASH);
    let step = 2 * u64::from(block_size);
    let mut buffer = vec![0; step.min(facts.size) as usize];
    let mut at = 0;
    while at < facts.size {
        let piece = &mut buffer[..step.min(facts.size - at) as usize];
        if read_at(file, piece, at).map_err(|errno| failure("read", errno))? < piece.len() {
            return Err(Failure::Unsteady);
        }
        let (one, other) = piece.split_at(piece.len().min(block_size as usize));
        let (first, second) = hash_both(one, other);
        hashes.extend_from_slice(&first);
        if !other.is_empty() {
            hashes.extend_from_slice(&second);
        }
        at += piece.len() as u64;
    }
    if facts.size == 0 {
        hashes.extend_from_slice(&hash_of(b""));
    }
    Ok(hashes)
}

/// Two hashes for about the time of one.
fn hash_both(one: &[u8], other: &[u8]) -> ([u8; HASH], [u8; HASH]) {
    let (mut first, mut second) = (Hasher::default(), Hasher::default());
    first.update_both(one, &mut second, other);
    (first.finish().0, second.finish().0)
}

pub(super) fn hash_of(bytes: &[u8]) -> [u8; HASH] {
    obhut_core::id::Id::of(bytes).0
}

/// Reads until the room is full or the file ends.
pub(super) fn read_at(file: &OwnedFd, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < room.len() {
        match rustix::io::pread(file, &mut room[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::super::names::tests::Tree;
    use super::*;
    use obhut_bep::SMALLEST_BLOCK;

    const BLOCK: usize = SMALLEST_BLOCK as usize;

    #[test]
    fn blocks_of_files_of_any_length() {
        let tree = Tree::new();
        for size in [
            0,
            1,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            2 * BLOCK,
            3 * BLOCK + 7,
            4 * BLOCK,
        ] {
            let content: Vec<u8> = (0..size).map(|at| (at * 7 + at / 251) as u8).collect();
            tree.write("d/f", &content);
            let found = tree.root.hash("d/f", None).unwrap();
            let expected: Vec<u8> = if size == 0 {
                hash_of(b"").to_vec()
            } else {
                content.chunks(BLOCK).flat_map(hash_of).collect()
            };
            assert_eq!(found.blocks.hashes(), expected, "{size}");
            assert_eq!(found.facts, tree.facts("d/f"));
        }
        tree.write("g", &vec![1; 2 * BLOCK]);
        let known = tree.root.hash("g", Some(2 * SMALLEST_BLOCK)).unwrap();
        assert_eq!(
            (known.block_size as usize, known.blocks.len()),
            (2 * BLOCK, 1)
        );
    }

    #[test]
    fn what_is_no_file_of_the_folder() {
        let tree = Tree::new();
        tree.write("d/f", b"x");
        tree.link("l", "d/f");
        tree.link("m", "d");
        assert_eq!(tree.root.hash("l", None), Err(Failure::Unsteady));
        assert_eq!(tree.root.hash("d", None), Err(Failure::Unsteady));
        assert_eq!(tree.root.hash("m/f", None), Err(Failure::Gone));
        assert_eq!(tree.root.hash("none", None), Err(Failure::Gone));
        assert!(tree.root.hash("../root/d/f", None).is_err());
    }

    #[test]
    fn a_file_that_is_written_is_never_hashed_in_part() {
        let tree = Tree::new();
        tree.write("f", &vec![0; 40 * BLOCK]);
        let path = tree.path("f");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 1..=20_u8 {
                    std::fs::write(&path, vec![round; 40 * BLOCK]).unwrap();
                }
            });
            let mut steady = 0;
            while !writer.is_finished() {
                match tree.root.hash("f", None) {
                    // The clock of a file system is coarse: what was written within the same tick as the look before is
                    // found by the next look. What was found steady has one size at least.
                    Ok(found) => {
                        steady += 1;
                        assert!(found.facts.size <= 40 * BLOCK as u64);
                    }
                    Err(failure) => assert_eq!(failure, Failure::Unsteady),
                }
            }
            let _ = steady;
        });
        let found = tree.root.hash("f", None).unwrap();
        assert_eq!(found.blocks.hash(39).unwrap(), hash_of(&vec![20; BLOCK]));
    }
}
