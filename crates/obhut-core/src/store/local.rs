//! A repository in a folder, in restic's default layout (formats: restic 1).
//!
//! Packs lie in `data/<first two digits>/`, everything else one level deep. Folders are 0700 and files
//! read-only for the owner; if the config file is readable for the group, the group may do what the owner
//! may. Saving goes through [`crate::durable`].

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Capabilities, Listed, Store, size_limit};
use crate::buffer;
use crate::durable::{self, Existing, Folder};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{FileKind, FileName, Id};
use crate::world::Timestamp;

/// A repository's folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    location: String,
}

/// Permissions that follow from the config file's.
#[derive(Clone, Copy)]
struct Modes {
    folder: u32,
    file: u32,
}

impl LocalStore {
    /// The repository at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let location = gojson::display(root.as_os_str().as_bytes());
        Self { root, location }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root and every folder that may hold repository files.
    fn folders(&self) -> Result<Vec<PathBuf>> {
        let mut folders = vec![self.root.clone()];
        for kind in FileKind::LISTED {
            match kind {
                FileKind::Pack => folders.extend(self.pack_folders()?),
                _ => folders.push(self.root.join(kind.folder())),
            }
        }
        Ok(folders)
    }

    /// The folders `data/00` to `data/ff` that exist.
    fn pack_folders(&self) -> Result<Vec<PathBuf>> {
        let data = self.root.join(FileKind::Pack.folder());
        let entries = match std::fs::read_dir(&data) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(FileKind::Pack, &error)),
        };
        let mut folders = Vec::with_capacity(256);
        for entry in entries {
            let entry = entry.map_err(|e| self.failed(FileKind::Pack, &e))?;
            if prefix_of(entry.file_name().as_bytes()).is_some() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    fn folder(&self, name: FileName) -> PathBuf {
        match name.kind {
            FileKind::Config => self.root.clone(),
            FileKind::Pack => {
                let mut folder = self.root.join(FileKind::Pack.folder());
                folder.push(&name.id.hex()[..2]);
                folder
            }
            kind => self.root.join(kind.folder()),
        }
    }

    fn base(name: FileName) -> String {
        match name.kind {
            FileKind::Config => FileKind::Config.folder().to_owned(),
            _ => name.id.hex(),
        }
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.folder(name).join(Self::base(name))
    }

    fn open(&self, name: FileName) -> Result<(File, u64)> {
        let about = |e| about(name, &e);
        let file = File::open(self.path(name)).map_err(about)?;
        let meta = file.metadata().map_err(about)?;
        if !meta.is_file() {
            return Err(Error::damaged(name.to_string(), "not a regular file"));
        }
        Ok((file, meta.len()))
    }

    fn modes(&self) -> Modes {
        let config = std::fs::metadata(self.path(FileName::CONFIG));
        match config {
            Ok(meta) if meta.permissions().mode() & 0o040 != 0 => Modes {
                folder: 0o770,
                file: 0o440,
            },
            _ => Modes {
                folder: 0o700,
                file: 0o400,
            },
        }
    }

    /// Opens the folder for a new file; a missing one is made if the repository itself is there.
    fn folder_for(&self, name: FileName, modes: Modes) -> Result<Folder> {
        let path = self.folder(name);
        match Folder::open(&path) {
            Err(error) if error.code() == Code::FileMissing && path != self.root => {
                // A repository that vanished (unmounted disk) must not come back as a few folders.
                Folder::open(&self.root)?;
                durable::make_dir(&path, modes.folder)?;
                Folder::open(&path)
            }
            opened => opened,
        }
    }

    fn list_folder(&self, kind: FileKind, path: &Path, out: &mut Vec<Listed>) -> Result<()> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A stray file with a two-digit name among the pack folders.
            Err(error)
                if error.kind() == io::ErrorKind::NotADirectory && kind == FileKind::Pack =>
            {
                return Ok(());
            }
            Err(error) => return Err(self.failed(kind, &error)),
        };
        let prefix = (kind == FileKind::Pack)
            .then(|| path.file_name().and_then(|name| prefix_of(name.as_bytes())))
            .flatten();
        for entry in entries {
            let entry = entry.map_err(|e| self.failed(kind, &e))?;
            let Some(id) = Id::parse(entry.file_name().as_bytes()) else {
                continue; // A temporary file or somebody's note.
            };
            if prefix.is_some_and(|p| p != id.0[0]) {
                continue; // No reader would look for it here.
            }
            match std::fs::metadata(entry.path()) {
                Ok(meta) if meta.is_file() => out.push(Listed {
                    id,
                    size: meta.len(),
                }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // Deleted meanwhile.
                Err(error) => return Err(about(FileName::new(kind, id), &error)),
            }
        }
        Ok(())
    }

    fn failed(&self, kind: FileKind, error: &io::Error) -> Error {
        Error::io(format!("{}/{}", self.location, kind.folder()), error)
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            local: true,
            append_only: false,
            connections: 2,
        }
    }

    fn create(&self) -> Result<()> {
        let modes = self.modes();
        durable::make_dir(&self.root, modes.folder)?;
        // An `init` that was killed may have left all of these folders, none of them durable.
        durable::sync_name(&self.root)?;
        let root = Folder::open(&self.root)?;
        for kind in FileKind::LISTED {
            root.make_dir(kind.folder().as_ref(), modes.folder)?;
        }
        root.sync()?;
        let data = Folder::open(&self.root.join(FileKind::Pack.folder()))?;
        for prefix in 0..=255 {
            data.make_dir(format!("{prefix:02x}").as_ref(), modes.folder)?;
        }
        data.sync()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let mut out = Vec::new();
        match kind {
            FileKind::Config => return Err(Error::internal("config cannot be listed")),
            FileKind::Pack => {
                for folder in self.pack_folders()? {
                    self.list_folder(kind, &folder, &mut out)?;
                }
            }
            _ => self.list_folder(kind, &self.root.join(kind.folder()), &mut out)?,
        }
        Ok(out)
    }

    fn stat(&self, name: FileName) -> Result<u64> {
        let meta = std::fs::metadata(self.path(name)).map_err(|e| about(name, &e))?;
        if meta.is_file() {
            Ok(meta.len())
        } else {
            Err(Error::damaged(name.to_string(), "not a regular file"))
        }
    }

    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.get_into(name, &mut bytes)?;
        Ok(bytes)
    }

    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.get_range_into(name, offset, length, &mut bytes)?;
        Ok(bytes)
    }

    fn get_into(&self, name: FileName, out: &mut Vec<u8>) -> Result<()> {
        let (file, size) = self.open(name)?;
        if size > size_limit(name.kind) {
            let detail = format!("{size} bytes");
            return Err(Error::new(Code::LimitExceeded, name.to_string(), detail));
        }
        read_exact(name, &file, 0, size as usize, out)
    }

    fn get_range_into(
        &self,
        name: FileName,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (file, size) = self.open(name)?;
        super::check_range(name, size, offset, length)?;
        read_exact(name, &file, offset, length, out)
    }

    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        let modes = self.modes();
        let object = name.to_string();
        self.folder_for(name, modes)?.write(
            Self::base(name).as_ref(),
            bytes,
            modes.file,
            Existing::Keep,
            &object,
        )
    }

    fn delete(&self, name: FileName) -> Result<()> {
        // What comes after relies on these being gone (old index before packs, snapshot before prune, a
        // withdrawn key for ever). Nothing relies on a pack or a lock being gone.
        let durable = !matches!(name.kind, FileKind::Pack | FileKind::Lock);
        let object = name.to_string();
        let folder = Folder::open(&self.folder(name)).map_err(|e| {
            let code = e.code();
            Error::new(code, object.as_str(), e.detail())
        })?;
        folder.remove(Self::base(name).as_ref(), durable, &object)
    }

    fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let ours = |name: &[u8]| name == b"config" || Id::parse(name).is_some();
        let mut removed = 0;
        for folder in self.folders()? {
            match Folder::open(&folder) {
                Ok(folder) => removed += folder.remove_stale(before, ours)?,
                Err(error) if error.code() == Code::FileMissing => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

fn read_exact(
    name: FileName,
    file: &File,
    offset: u64,
    length: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    buffer::reserve(out, length)
        .map_err(|detail| Error::new(Code::LimitExceeded, name.to_string(), detail))?;
    let read = buffer::read_exact_at(file, offset, length, out);
    read.map_err(|errno| about(name, &errno.into()))?
        .ok_or_else(|| about(name, &io::ErrorKind::UnexpectedEof.into()))
}

/// `Some(0xab)` for `ab`.
fn prefix_of(name: &[u8]) -> Option<u8> {
    let digit = |d: u8| {
        char::from(d)
            .to_digit(16)
            .filter(|_| !d.is_ascii_uppercase())
    };
    match name {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    }
}

fn about(name: FileName, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Code::FileMissing, name.to_string(), error.to_string())
        }
        // The file became shorter between stat and read.
        io::ErrorKind::UnexpectedEof => Error::damaged(name.to_string(), "short file"),
        _ => Error::io(name.to_string(), error),
    }
}

#[cfg(test)]
mod tests;
