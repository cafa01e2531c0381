//! The entries of a directory, names and facts, in memory that is used again.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::{NameList, Stat};

/// Memory for more entries than these is given back before the next directory.
const KEPT: usize = 1 << 13;

/// What was found in a directory, in order of names.
#[derive(Default)]
pub struct Found {
    names: NameList,
    /// Numbers of names, with the facts.
    entries: Vec<(usize, Stat)>,
}

impl Found {
    /// Reads the names in `directory`; no entry is found yet.
    pub fn list(&mut self, directory: impl AsFd) -> Result<(), Errno> {
        self.entries.clear();
        self.entries.shrink_to(KEPT);
        self.names.read(directory)
    }

    /// Takes each name for which `look` gives facts.
    pub fn look(&mut self, mut look: impl FnMut(&[u8]) -> Result<Option<Stat>>) -> Result<()> {
        for (number, name) in self.names.iter().enumerate() {
            if let Some(stat) = look(name)? {
                self.entries.push((number, stat));
            }
        }
        Ok(())
    }

    /// Names and facts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Stat)> {
        let names = &self.names;
        self.entries
            .iter()
            .map(|(number, stat)| (names.get(*number), stat))
    }
}
