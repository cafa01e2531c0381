//! SHA-256 of many files, two at a time a thread.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::read;
use crate::age::open;
use crate::error::Result;
use crate::id::Id;
use crate::job::Control;
use crate::pool;
use crate::sha256::Hasher;

/// SHA-256 and size of each file; the first error ends it.
pub fn hash_files(paths: &[PathBuf], threads: usize, control: &Control) -> Result<Vec<(Id, u64)>> {
    let found = Mutex::new(vec![(Id::ZERO, 0); paths.len()]);
    let numbered: Vec<_> = paths.iter().enumerate().collect();
    let pairs: Vec<_> = numbered.chunks(2).collect();
    let pieces = || Ok((Vec::new(), Vec::new()));
    let note = |at: usize, hashed| found.lock().expect("no panic while it is held")[at] = hashed;
    pool::each(&pairs, threads, control, pieces, |(mine, theirs), pair| {
        match pair {
            [(at, path), (other_at, other)] => {
                let (hashed, other) = hash_both(path, mine, other, theirs, control)?;
                note(*at, hashed);
                note(*other_at, other);
            }
            rest => {
                for (at, path) in *rest {
                    note(*at, hash_file(path, mine, control)?);
                }
            }
        }
        Ok(())
    })?;
    Ok(found.into_inner().expect("no panic while it was held"))
}

pub(super) fn hash_file(path: &Path, piece: &mut Vec<u8>, control: &Control) -> Result<(Id, u64)> {
    let mut one = Hashing::begin(path)?;
    while one.read(piece)? {
        control.check()?;
        one.hasher.update(piece);
    }
    Ok(one.finish())
}

/// Two files together take hardly longer than one, as far as both are long ([`crate::sha256`]).
fn hash_both(
    path: &Path,
    mine: &mut Vec<u8>,
    other: &Path,
    theirs: &mut Vec<u8>,
    control: &Control,
) -> Result<((Id, u64), (Id, u64))> {
    let (mut one, mut two) = (Hashing::begin(path)?, Hashing::begin(other)?);
    // The one that has ended gives empty pieces.
    while one.read(mine)? | two.read(theirs)? {
        control.check()?;
        one.hasher.update_both(mine, &mut two.hasher, theirs);
    }
    Ok((one.finish(), two.finish()))
}

/// A file that is being hashed.
struct Hashing {
    file: File,
    about: String,
    hasher: Hasher,
    size: u64,
}

impl Hashing {
    fn begin(path: &Path) -> Result<Self> {
        let (file, about) = open(path)?;
        Ok(Self {
            file,
            about,
            hasher: Hasher::default(),
            size: 0,
        })
    }

    fn read(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let more = read(&mut self.file, piece, &self.about)?;
        self.size += piece.len() as u64;
        Ok(more)
    }

    fn finish(self) -> (Id, u64) {
        (self.hasher.finish(), self.size)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn hashes_come_in_the_order_of_the_paths() {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<Vec<u8>> = (0..40).map(|n| vec![n; usize::from(n) * 300]).collect();
        let paths: Vec<PathBuf> = (0..40).map(|n| folder.path().join(n.to_string())).collect();
        for (path, content) in paths.iter().zip(&contents) {
            std::fs::write(path, content).unwrap();
        }
        let expected: Vec<_> = contents
            .iter()
            .map(|c| (Id::of(c), c.len() as u64))
            .collect();
        for threads in [1, 3] {
            let found = hash_files(&paths, threads, &Control::default()).unwrap();
            assert_eq!(found, expected);
        }
        let absent = [folder.path().join("absent")];
        let error = hash_files(&absent, 2, &Control::default()).unwrap_err();
        assert_eq!(error.code(), Code::FileMissing);
        let error = hash_files(&[folder.path().to_owned()], 1, &Control::default());
        assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn files_of_any_lengths_are_hashed_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let lengths = [
            0,
            1,
            super::super::PIECE,
            3 * super::super::PIECE + 65,
            64,
            700_001,
        ];
        let mut paths = Vec::new();
        let mut expected = Vec::new();
        for (one, two) in lengths.iter().flat_map(|a| lengths.map(|b| (*a, b))) {
            for length in [one, two] {
                let content: Vec<u8> = (0..length).map(|n| ((n * 7 + one) % 251) as u8).collect();
                let path = folder.path().join(paths.len().to_string());
                std::fs::write(&path, &content).unwrap();
                paths.push(path);
                expected.push((Id::of(&content), length as u64));
            }
        }
        paths.pop();
        expected.pop();
        let found = hash_files(&paths, 2, &Control::default()).unwrap();
        assert_eq!(found, expected);
    }
}
