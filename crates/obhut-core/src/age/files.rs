//! Whole files sealed and opened, several at a time.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use super::stream::{CHUNK, Sealer};
use super::{Identity, Keyring, Opener};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::Id;
use crate::job::Control;
use crate::pool;
use crate::world::Random;

/// A file that is to be sealed.
pub struct Sealing {
    /// What is sealed, if it still has this hash and so many bytes.
    pub source: PathBuf,
    /// SHA-256 of the source.
    pub digest: Id,
    /// Bytes of the source.
    pub size: u64,
    /// A new file.
    pub target: PathBuf,
}

/// SHA-256 and bytes of what an age file holds, and of the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the content.
    pub plain: (Id, u64),
    /// Of the file.
    pub sealed: (Id, u64),
}

/// Seals files to new ones, which need not last; gives hash and size of each. A source that is not what was promised is
/// `source-changed`.
pub fn seal_files(
    items: &[Sealing],
    keyring: &Keyring,
    random: &dyn Random,
    threads: usize,
    control: &Control,
) -> Result<Vec<(Id, u64)>> {
    each(items, threads, control, |item| {
        seal_file(item, keyring, random, control)
    })
}

/// Opens age files to their ends.
pub fn read_files(
    paths: &[PathBuf],
    identity: &Identity,
    threads: usize,
    control: &Control,
) -> Result<Vec<Found>> {
    each(paths, threads, control, |path| {
        let mut opened = Opened::begin(path, identity)?;
        let mut piece = Vec::new();
        while opened.next_piece(&mut piece)? {
            control.check()?;
        }
        Ok(opened.found())
    })
}

/// A result for each item, in order.
fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    control: &Control,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let found = Mutex::new(Vec::with_capacity(items.len()));
    let numbered: Vec<_> = items.iter().enumerate().collect();
    let nothing = || Ok(());
    pool::each(&numbered, threads, control, nothing, |(), (at, item)| {
        let result = work(item)?;
        found
            .lock()
            .expect("no panic while it is held")
            .push((*at, result));
        Ok(())
    })?;
    let mut found = found.into_inner().expect("no panic while it was held");
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}

fn seal_file(
    item: &Sealing,
    keyring: &Keyring,
    random: &dyn Random,
    control: &Control,
) -> Result<(Id, u64)> {
    let (mut source, about) = open(&item.source)?;
    let mut target = Target::create(&item.target)?;
    let mut sealer = Sealer::begin(keyring, random)?;
    target.write(sealer.head())?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut read = |chunk: &mut Vec<u8>| -> Result<()> {
        chunk.clear();
        (&mut source)
            .take(CHUNK as u64)
            .read_to_end(chunk)
            .map_err(|e| Error::io(&*about, &e))?;
        hasher.update(&*chunk);
        size += chunk.len() as u64;
        Ok(())
    };
    let (mut chunk, mut next) = (Vec::new(), Vec::new());
    read(&mut chunk)?;
    loop {
        control.check()?;
        next.clear();
        if chunk.len() == CHUNK {
            read(&mut next)?;
        }
        target.write(sealer.chunk(&chunk, next.is_empty())?)?;
        if next.is_empty() {
            break;
        }
        std::mem::swap(&mut chunk, &mut next);
    }
    if (Id(hasher.finalize().into()), size) != (item.digest, item.size) {
        let detail = "while it was being read";
        return Err(Error::new(Code::SourceChanged, about, detail));
    }
    Ok(target.found())
}

/// A file that is written and hashed.
struct Target {
    file: File,
    about: String,
    hasher: Sha256,
    size: u64,
}

impl Target {
    /// It is sealed, and whoever copies it to where it stays makes it last.
    #[allow(clippy::disallowed_methods)]
    fn create(path: &Path) -> Result<Self> {
        let about = gojson::display(path.as_os_str().as_encoded_bytes());
        Ok(Self {
            file: File::create_new(path).map_err(|e| Error::io(&*about, &e))?,
            about,
            hasher: Sha256::new(),
            size: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| Error::io(&*self.about, &e))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn found(self) -> (Id, u64) {
        (Id(self.hasher.finalize().into()), self.size)
    }
}

/// An age file that is opened piece by piece, while both sides of it are hashed.
pub(crate) struct Opened {
    opener: Opener<Watched>,
    about: String,
    hasher: Sha256,
    size: u64,
}

impl Opened {
    pub(crate) fn begin(path: &Path, identity: &Identity) -> Result<Self> {
        let (file, about) = open(path)?;
        let watched = Watched {
            file,
            hasher: Sha256::new(),
            size: 0,
        };
        Ok(Self {
            opener: Opener::begin(watched, identity, &about)?,
            about,
            hasher: Sha256::new(),
            size: 0,
        })
    }

    /// The next piece; `false` at the end.
    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let more = self.opener.next(piece)?;
        self.hasher.update(&*piece);
        self.size += piece.len() as u64;
        Ok(more)
    }

    /// The next piece; at the end the content must be the one that was promised.
    pub(crate) fn next(&mut self, piece: &mut Vec<u8>, promised: (Id, u64)) -> Result<bool> {
        if self.next_piece(piece)? {
            return Ok(true);
        }
        let hasher = std::mem::take(&mut self.hasher);
        if (Id(hasher.finalize().into()), self.size) == promised {
            return Ok(false);
        }
        let detail = "it holds other bytes";
        Err(Error::new(Code::SourceChanged, &*self.about, detail))
    }

    /// After the end.
    fn found(self) -> Found {
        let watched = self.opener.into_inner();
        Found {
            plain: (Id(self.hasher.finalize().into()), self.size),
            sealed: (Id(watched.hasher.finalize().into()), watched.size),
        }
    }
}

/// A file whose bytes are hashed as they are read.
struct Watched {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// A regular file, and its name for people.
pub(crate) fn open(path: &Path) -> Result<(File, String)> {
    let about = gojson::display(path.as_os_str().as_encoded_bytes());
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(Code::FileMissing, &*about, "no such file"),
        _ => Error::io(&*about, &e),
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let regular = std::fs::metadata(path).map_err(failed)?.is_file();
    if !regular {
        let detail = "not a regular file";
        return Err(Error::new(Code::InvalidArgument, about, detail));
    }
    Ok((File::open(path).map_err(failed)?, about))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::*;
    use crate::world::SystemRandom;

    #[test]
    fn files_are_sealed_and_read_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::random(&SystemRandom).unwrap();
        let recipient = identity.recipient();
        let keyring = Keyring::new(identity, vec![recipient]).unwrap();
        let contents: Vec<Vec<u8>> = [0, 1, 65_536, 65_537, 300_000]
            .iter()
            .map(|length| (0..*length).map(|n: usize| (n % 251) as u8).collect())
            .collect();
        let mut items = Vec::new();
        for (n, content) in contents.iter().enumerate() {
            let source = folder.path().join(format!("{n}"));
            std::fs::write(&source, content).unwrap();
            items.push(Sealing {
                source,
                digest: Id::of(content),
                size: content.len() as u64,
                target: folder.path().join(format!("{n}.age")),
            });
        }
        let control = Control::default();
        let sealed = seal_files(&items, &keyring, &SystemRandom, 3, &control).unwrap();
        let paths: Vec<_> = items.iter().map(|item| item.target.clone()).collect();
        let found = read_files(&paths, keyring.identity(), 3, &control).unwrap();
        for (n, content) in contents.iter().enumerate() {
            let file = std::fs::read(&paths[n]).unwrap();
            assert_eq!(sealed[n], (Id::of(&file), file.len() as u64));
            assert_eq!(found[n].sealed, sealed[n]);
            assert_eq!(found[n].plain, (Id::of(content), content.len() as u64));
            assert_eq!(keyring.open(&file, "x").unwrap(), *content);
        }
        // A target that is there stays as it is; a source that changed is refused.
        let again = seal_files(&items[..1], &keyring, &SystemRandom, 1, &control);
        assert_eq!(again.unwrap_err().code(), Code::Io);
        for changed in [&b"x"[..], b"", b"xy"] {
            std::fs::write(&items[1].source, changed).unwrap();
            let item = Sealing {
                source: items[1].source.clone(),
                digest: Id::of(b"z"),
                size: 1,
                target: folder.path().join(format!("{}.changed", changed.len())),
            };
            let error = seal_files(&[item], &keyring, &SystemRandom, 1, &control).unwrap_err();
            assert_eq!(error.code(), Code::SourceChanged);
        }
    }
}
