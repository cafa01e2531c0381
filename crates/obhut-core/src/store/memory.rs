//! Files in memory: the reference model that every other backend is compared with, and the place for tests
//! and simulations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Capabilities, Listed, Store, slice};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName};

/// Everything a [`MemoryStore`] holds.
pub type Files = BTreeMap<FileName, Arc<[u8]>>;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    files: Mutex<Files>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that holds `files`: the state after a simulated crash.
    pub fn with_files(files: Files) -> Self {
        Self {
            files: Mutex::new(files),
        }
    }

    /// What it holds now; cheap, the contents are shared.
    pub fn files(&self) -> Files {
        self.lock().clone()
    }

    /// Sets a file's content past all rules: for damage in tests.
    pub fn overwrite(&self, name: FileName, bytes: &[u8]) {
        self.lock().insert(name, Arc::from(bytes));
    }

    fn file(&self, name: FileName) -> Result<Arc<[u8]>> {
        let found = self.lock().get(&name).cloned();
        found.ok_or_else(|| Error::new(Code::FileMissing, name.to_string(), ""))
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            local: true,
            append_only: false,
            connections: 4,
        }
    }

    fn create(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let files = self.lock();
        let of_kind = files.iter().filter(|(name, _)| name.kind == kind);
        Ok(of_kind
            .map(|(name, bytes)| Listed {
                id: name.id,
                size: bytes.len() as u64,
            })
            .collect())
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        Ok(self.file(name)?.len() as u64)
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        Ok(self.file(name)?.to_vec())
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        slice(name, &self.file(name)?, offset, length).map(<[u8]>::to_vec)
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        use std::collections::btree_map::Entry;
        match self.lock().entry(name) {
            Entry::Occupied(_) => Err(Error::new(Code::FileExists, name.to_string(), "")),
            Entry::Vacant(free) => {
                free.insert(Arc::from(bytes));
                Ok(())
            }
        }
    }

    fn delete(&self, name: FileName) -> Result<()> {
        match self.lock().remove(&name) {
            Some(_) => Ok(()),
            None => Err(Error::new(Code::FileMissing, name.to_string(), "")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    #[test]
    fn keeps_the_contract() {
        let broken = crate::store::contract::violations(&MemoryStore::default());
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn damage_and_crash_states_can_be_made() {
        let store = MemoryStore::new();
        let name = FileName::new(FileKind::Index, Id::of(b"x"));
        store.put(name, b"x").unwrap();
        let before = store.files();
        store.overwrite(name, b"y");
        assert_eq!(store.get(name).unwrap(), b"y");
        assert_eq!(MemoryStore::with_files(before).get(name).unwrap(), b"x");
    }
}
