//! Write-once files below a folder: what an archive in a local folder is made of (docs/design/archive.md).
//!
//! A key is a path of plain names with slashes. What has a key keeps its bytes: putting the same bytes again is fine and
//! makes sure that they last, other bytes are refused. Many files are made durable together ([`crate::durable`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::buffer::spare_capacity;
use sha2::{Digest, Sha256};

use crate::age::{self, Identity, open};
use crate::durable::{self, Existing, Folder, Group};
use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::job::Control;
use crate::pool;

mod arrivals;
mod hashing;

pub use arrivals::{Arrivals, take};
use hashing::hash_file;
pub use hashing::hash_files;

/// Read at a time: two of them stay in a processor's cache from the reading to the hashing and the writing.
const PIECE: usize = 256 << 10;
/// Up to so many files are one thread's work.
const FEW: usize = 8;
/// Copies of so many bytes are synced one by one, by whoever writes them ([`Group`]).
const LARGE: u64 = 256 << 10;
/// Threads a processor: while some wait for the medium, others hash.
pub const OVERLAP: usize = 4;
/// Folders are for their owner and for those of the group who may look.
const FOLDER: u32 = 0o750;

/// What a key shall hold.
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What lies in this file, if it still has this hash and so many bytes.
    Copy(PathBuf, Id, u64),
    /// What this age file holds, likewise.
    Opened(PathBuf, Id, u64, Arc<Identity>),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Copy(_, _, size) | Content::Opened(_, _, size, _) => *size,
        }
    }

    fn wanted(&self) -> (Id, u64) {
        match self {
            Content::Bytes(bytes) => (Id::of(bytes), bytes.len() as u64),
            Content::Copy(_, digest, size) | Content::Opened(_, digest, size, _) => {
                (*digest, *size)
            }
        }
    }
}

/// Puts contents under their keys, all of them durable in the end. They get their names in the order given, after all
/// bytes are on the medium; a crash on the way leaves any of them, each whole, or none.
///
/// A key that is there already with other bytes is `file-exists`; a source that is not what it was is `source-changed`.
///
/// `until` becomes their time of last change (seconds since 1970): the date of a lock. Files that are there already
/// keep theirs ([`postpone`]).
pub fn put_once(
    root: &Path,
    items: &[(String, Content)],
    mode: u32,
    until: Option<i64>,
) -> Result<()> {
    put(root, items, mode, until, Existing::Keep)
}

/// How many write so many files. Few are the caller's own work: faults can then be injected into each call
/// (docs/design/faults.md).
fn threads(files: usize, large: bool) -> usize {
    match files {
        0..=FEW => 1,
        _ if large => OVERLAP * pool::threads(0),
        _ => pool::threads(0),
    }
}

/// Moves the dates of locks to later ones, durably; one that is later already stays.
pub fn postpone(root: &Path, items: &[(String, i64)]) -> Result<()> {
    items.iter().try_for_each(|(key, _)| split(key).map(drop))?;
    durable::postpone(&Folder::open(root)?, items)
}

/// The same as [`put_once`]; with [`Existing::Replace`] in the place of what may be there.
pub fn put(
    root: &Path,
    items: &[(String, Content)],
    mode: u32,
    until: Option<i64>,
    existing: Existing,
) -> Result<()> {
    let parents = items.iter().map(|(key, _)| Ok(split(key)?.0));
    let parents: BTreeSet<&Path> = parents.collect::<Result<_>>()?;
    // A disk that is not mounted must not become a few folders: the root itself is never made.
    durable::make_dirs(root, parents.iter().copied(), FOLDER)?;
    let folders = parents
        .into_iter()
        .map(|parent| Ok((parent, Folder::open(&root.join(parent))?)));
    let folders: BTreeMap<&Path, Folder> = folders.collect::<Result<_>>()?;
    let group = Group::dated(until);
    let known = Mutex::new(Vec::new());
    let numbered: Vec<_> = items.iter().enumerate().collect();
    let threads = threads(items.len(), items.iter().any(|item| item.1.size() >= LARGE));
    let empty = || Ok(Vec::new());
    let control = Control::default();
    pool::each(
        &numbered,
        threads,
        &control,
        empty,
        |buffer, (place, item)| {
            let (key, content) = item;
            let (parent, name) = split(key)?;
            let folder = &folders[parent];
            if existing == Existing::Keep && holds(root, key, || content.wanted())? {
                known
                    .lock()
                    .expect("no panic while it is held")
                    .push(folder);
                return Ok(());
            }
            match content {
                Content::Bytes(bytes) => group.add(*place, folder, name, bytes, mode, key),
                Content::Copy(source, digest, size) => {
                    let mut copy = Copy::begin(source, *digest, *size)?;
                    group.add_pieces(*place, folder, name, mode, key, buffer, |piece| {
                        copy.next(piece)
                    })
                }
                Content::Opened(source, digest, size, identity) => {
                    let mut opened = age::Opened::begin(source, identity)?;
                    let promised = (*digest, *size);
                    group.add_pieces(*place, folder, name, mode, key, buffer, |piece| {
                        opened.next(piece, promised)
                    })
                }
            }
        },
    )?;
    group.commit(existing)?;
    // Whoever wrote these may not have come to it.
    let known = known.into_inner().expect("no panic while it was held");
    known.into_iter().try_for_each(Folder::sync)
}

/// Whether the file is there with this hash and so many bytes.
fn holds(root: &Path, key: &str, wanted: impl FnOnce() -> (Id, u64)) -> Result<bool> {
    let found = match hash_file(&root.join(key), &mut Vec::new(), &Control::default()) {
        Ok(found) => found,
        Err(error) if error.code() == Code::FileMissing => return Ok(false),
        Err(error) => return Err(error),
    };
    if found == wanted() {
        return Ok(true);
    }
    let detail = "other bytes lie there already";
    Err(Error::new(Code::FileExists, key, detail))
}

/// A file that is copied and watched.
struct Copy {
    file: File,
    about: String,
    hasher: Sha256,
    left: u64,
    digest: Id,
}

impl Copy {
    fn begin(source: &Path, digest: Id, size: u64) -> Result<Self> {
        let (file, about) = open(source)?;
        Ok(Self {
            file,
            about,
            hasher: Sha256::new(),
            left: size,
            digest,
        })
    }

    /// The next piece; at the end the hash must be the one that was promised.
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let changed = || changed(&self.about);
        if read(&mut self.file, piece, &self.about)? {
            let left = self.left.checked_sub(piece.len() as u64);
            self.left = left.ok_or_else(changed)?;
            self.hasher.update(&piece);
            return Ok(true);
        }
        let hasher = std::mem::take(&mut self.hasher);
        if Id(hasher.finalize().into()) == self.digest {
            return Ok(false);
        }
        Err(changed())
    }
}

fn changed(about: &str) -> Error {
    Error::new(Code::SourceChanged, about, "while it was being read")
}

/// The next piece of a file; `false` at its end.
fn read(file: &mut File, piece: &mut Vec<u8>, about: &str) -> Result<bool> {
    piece.clear();
    piece.reserve_exact(PIECE);
    let next = || rustix::io::read(&*file, spare_capacity(piece));
    let count = rustix::io::retry_on_intr(next).map_err(|e| Error::io(about, &e.into()))?;
    Ok(count > 0)
}

/// Folder and name of a key.
fn split(key: &str) -> Result<(&Path, &std::ffi::OsStr)> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if !key.split('/').all(plain) {
        return Err(Error::new(Code::InvalidArgument, key, "no key"));
    }
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    Ok((Path::new(folder), name.as_ref()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn bytes(key: &str, bytes: &[u8]) -> (String, Content) {
        (key.to_owned(), Content::Bytes(bytes.to_vec()))
    }

    fn copy(key: &str, source: &Path, promised: &[u8]) -> (String, Content) {
        let size = promised.len() as u64;
        let content = Content::Copy(source.to_owned(), Id::of(promised), size);
        (key.to_owned(), content)
    }

    /// All files below a folder.
    fn files(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                found.extend(files(&entry));
            } else {
                found.push(entry.to_string_lossy().into_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_is_put_is_there_with_its_mode_and_may_be_put_again() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let long: Vec<u8> = (0..PIECE * 2 + 17).map(|n| (n % 251) as u8).collect();
        std::fs::write(&source, &long).unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for count in [3, 20] {
            let mut items: Vec<_> = (0..count)
                .map(|n| bytes(&format!("a/{n}/x"), &[n]))
                .collect();
            items.push(copy("b/long", &source, &long));
            items.push(bytes("top", b""));
            for _ in 0..2 {
                put_once(&root, &items, 0o440, None).unwrap();
                assert_eq!(std::fs::read(root.join("a/2/x")).unwrap(), [2]);
                assert_eq!(std::fs::read(root.join("b/long")).unwrap(), long);
                let mode = std::fs::metadata(root.join("b/long")).unwrap();
                assert_eq!(mode.permissions().mode() & 0o777, 0o440);
            }
            assert_eq!(files(&root).len(), usize::from(count) + 2);
        }
    }

    #[test]
    fn other_bytes_are_refused_and_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put_once(root, &[bytes("a/x", b"one")], 0o400, None).unwrap();
        let before = files(root);
        for content in [&b"two"[..], b"", b"one "] {
            let error = put_once(
                root,
                &[bytes("a/y", b"new"), bytes("a/x", content)],
                0o400,
                None,
            );
            let error = error.unwrap_err();
            assert_eq!((error.code(), error.object()), (Code::FileExists, "a/x"));
            assert_eq!(files(root), before);
        }
        assert_eq!(std::fs::read(root.join("a/x")).unwrap(), b"one");
    }

    #[test]
    fn what_may_be_replaced_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for content in [&b"one"[..], b"two", b"two"] {
            put(
                root,
                &[bytes("a/x", content)],
                0o400,
                None,
                Existing::Replace,
            )
            .unwrap();
            assert_eq!(std::fs::read(root.join("a/x")).unwrap(), content);
        }
        assert_eq!(files(root).len(), 1);
    }

    #[test]
    fn a_source_that_changes_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let source = folder.path().join("source");
        for (promised, found) in [
            (&b"abc"[..], &b"abd"[..]),
            (b"abc", b"abcd"),
            (b"abc", b"ab"),
        ] {
            std::fs::write(&source, found).unwrap();
            let error =
                put_once(&root, &[copy("o/x", &source, promised)], 0o400, None).unwrap_err();
            assert_eq!(error.code(), Code::SourceChanged);
            assert_eq!(files(&root), [""; 0]);
        }
        std::fs::remove_file(&source).unwrap();
        let error = put_once(&root, &[copy("o/x", &source, b"abc")], 0o400, None).unwrap_err();
        assert_eq!(error.code(), Code::FileMissing);
    }

    #[test]
    fn keys_stay_below_the_root_and_the_root_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        for key in ["", "/x", "a//x", "../x", "a/../x", "a/.", "x/", "a\0b"] {
            let error = put_once(folder.path(), &[bytes(key, b"")], 0o400, None).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{key:?}");
        }
        let absent = folder.path().join("absent");
        let error = put_once(&absent, &[bytes("a/x", b"")], 0o400, None).unwrap_err();
        assert_eq!(error.code(), Code::FileMissing);
        assert!(!absent.exists());
    }

    #[test]
    fn files_keep_the_date_of_their_lock_which_only_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let source = root.join("source");
        std::fs::write(&source, b"copied").unwrap();
        let dates = |keys: &[&str]| -> Vec<i64> {
            let time = |key: &&str| std::fs::metadata(root.join(key)).unwrap().mtime();
            keys.iter().map(time).collect()
        };
        // Two days of this century, and one behind 2038.
        let (early, late, later) = (1_800_000_000, 1_900_000_000, 4_000_000_000);
        let items = [bytes("a/x", b"one"), copy("b/y", &source, b"copied")];
        put_once(root, &items, 0o440, Some(late)).unwrap();
        assert_eq!(dates(&["a/x", "b/y"]), [late, late]);
        // Put again, with another date: what is there stays.
        put_once(root, &items, 0o440, Some(early)).unwrap();
        assert_eq!(dates(&["a/x", "b/y"]), [late, late]);
        for count in [2, 20] {
            let mut items = vec![("a/x".to_owned(), early), ("b/y".to_owned(), later)];
            for n in 2..count {
                let key = format!("c/{n}");
                put_once(root, &[bytes(&key, b"c")], 0o440, Some(early)).unwrap();
                items.push((key, late));
            }
            postpone(root, &items).unwrap();
            assert_eq!(dates(&["a/x", "b/y"]), [late, later]);
            assert!(count == 2 || dates(&["c/2", "c/19"]) == [late, late]);
        }
        let absent = postpone(root, &[("a/absent".to_owned(), late)]).unwrap_err();
        assert_eq!(absent.code(), Code::FileMissing);
        let outside = postpone(root, &[("../x".to_owned(), late)]).unwrap_err();
        assert_eq!(outside.code(), Code::InvalidArgument);
    }

    #[test]
    fn a_date_that_the_file_system_cannot_keep_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let put = put_once(root, &[bytes("a/x", b"one")], 0o440, Some(i64::MAX / 2));
        // Everyone ends somewhere; whoever keeps it keeps it rightly.
        match put {
            Ok(()) => {
                let kept = std::fs::metadata(root.join("a/x")).unwrap().mtime();
                assert_eq!(kept, i64::MAX / 2);
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Io);
                assert!(files(&root.join("a")).is_empty());
            }
        }
    }
}
