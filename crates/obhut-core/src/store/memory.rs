//! Repository files in memory: the reference model of the store contract, and the store of unit tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Capabilities, Listed, Store};
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName};

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    files: Mutex<BTreeMap<FileName, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileName, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: FileName) -> Error {
    Error::new(Code::FileMissing, name.to_string(), "")
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
        self.lock()
            .get(&name)
            .map(|bytes| bytes.len() as u64)
            .ok_or_else(|| missing(name))
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.lock().get(&name).cloned().ok_or_else(|| missing(name))
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let files = self.lock();
        let bytes = files.get(&name).ok_or_else(|| missing(name))?;
        let end = offset
            .checked_add(length as u64)
            .filter(|end| *end <= bytes.len() as u64);
        let Some(end) = end else {
            let text = format!(
                "it has {} bytes, wanted {length} from {offset}",
                bytes.len()
            );
            return Err(Error::damaged(name.to_string(), text));
        };
        Ok(bytes[offset as usize..end as usize].to_vec())
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        let mut files = self.lock();
        if files.contains_key(&name) {
            return Err(Error::new(Code::FileExists, name.to_string(), ""));
        }
        files.insert(name, bytes.to_vec());
        Ok(())
    }

    fn delete(&self, name: FileName) -> Result<()> {
        self.lock()
            .remove(&name)
            .map(|_| ())
            .ok_or_else(|| missing(name))
    }
}
