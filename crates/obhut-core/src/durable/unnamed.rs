//! Files whose bytes last before anybody knows what they will be called.
#![allow(clippy::disallowed_methods)] // A part of the one place for them.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use rustix::fs::{self, AtFlags};

use super::group::FEW;
use super::{Folder, Staged, failure, place_new, retry, written_back};
use crate::error::Result;

/// A file that is on the medium, whole, and has no name yet; removed if it never gets one. It holds no descriptor.
#[derive(Debug)]
pub struct Unnamed {
    folder: Arc<Folder>,
    temp: OsString,
    placed: bool,
}

impl Unnamed {
    /// What was staged in `folder` and is synced.
    pub(super) fn of(mut staged: Staged<'_>, folder: &Arc<Folder>) -> Self {
        debug_assert!(std::ptr::eq(staged.folder, &raw const **folder));
        staged.placed = true;
        Self {
            folder: Arc::clone(folder),
            temp: std::mem::take(&mut staged.temp),
            placed: false,
        }
    }

    /// Moves it to its name, which no file may have yet, in another folder of the same file system. The name lasts once
    /// that folder is synced ([`sync_folders`]).
    pub fn name(&mut self, folder: &Folder, name: &OsStr, object: &str) -> Result<()> {
        place_new(&self.folder.fd, &self.temp, &folder.fd, name)
            .map_err(|e| failure(object, "rename", e))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::unlinkat(&self.folder.fd, &self.temp, AtFlags::empty());
        }
    }
}

/// Makes the names in folders of one file system durable.
pub fn sync_folders(folders: &[&Folder]) -> Result<()> {
    match folders.first() {
        // Each sync of a folder waits for the disk, even if the one before has done its work.
        Some(first) if folders.len() > FEW => written_back(retry(|| fs::syncfs(first))),
        _ => folders.iter().try_for_each(|folder| folder.sync()),
    }
}
