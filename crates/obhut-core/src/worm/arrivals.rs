//! Documents that come in: copied and hashed in one go, on the medium before anything is said of them, named later.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{FOLDER, changed, holds, read, split, threads};
use crate::age::open;
use crate::durable::{self, Folder, Group, Unnamed};
use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::job::Control;
use crate::pool;
use crate::sha256::Hasher;
use crate::world::Timestamp;

/// What the temporary files are called before their random digits.
const NAME: &str = "incoming";
/// Times of change are no finer than that everywhere (FAT has two seconds).
const COARSE: i64 = 2;

/// Copies without names, whole and on the medium; those that get none are removed with this.
#[derive(Debug)]
pub struct Arrivals {
    root: PathBuf,
    files: Vec<(Unnamed, Id, u64)>,
}

/// Takes copies of files, which will lie below `folder` of `root`. Each is read once: what is hashed are the bytes that
/// are written. One that changes meanwhile is `source-changed`.
///
/// `until` becomes their time of last change. `began` is now or earlier: a file that changed later, or shortly before, is
/// read again, since its time of change may not tell of another change.
pub fn take(
    root: &Path,
    folder: &str,
    sources: &[PathBuf],
    mode: u32,
    until: Option<i64>,
    began: Timestamp,
) -> Result<Arrivals> {
    durable::make_dirs(root, [Path::new(folder)], FOLDER)?;
    let place = Arc::new(Folder::open(&root.join(folder))?);
    let group = Group::dated(until);
    let found = Mutex::new(vec![(Id::ZERO, 0); sources.len()]);
    let numbered: Vec<_> = sources.iter().enumerate().collect();
    let empty = || Ok(Vec::new());
    let control = Control::default();
    let threads = threads(sources.len(), true);
    pool::each(
        &numbered,
        threads,
        &control,
        empty,
        |buffer, (at, source)| {
            let mut taking = Taking::begin(source)?;
            group.add_pieces(*at, &place, NAME.as_ref(), mode, folder, buffer, |piece| {
                taking.next(piece)
            })?;
            let taken = taking.end(buffer, began)?;
            found.lock().expect("no panic while it is held")[*at] = taken;
            Ok(())
        },
    )?;
    let found = found.into_inner().expect("no panic while it was held");
    let files = group.unnamed(&place)?.into_iter().zip(found);
    Ok(Arrivals {
        root: root.to_owned(),
        files: files.map(|(file, (id, size))| (file, id, size)).collect(),
    })
}

impl Arrivals {
    /// SHA-256 and size of each.
    pub fn found(&self) -> impl Iterator<Item = (Id, u64)> {
        self.files.iter().map(|(_, id, size)| (*id, *size))
    }

    /// Gives some of them, by their numbers, their keys, in the order given; all names last in the end. A key that is there
    /// already stays, and lasts then, too; if it has other bytes that is `file-exists`.
    pub fn name(&mut self, items: &[(usize, String)]) -> Result<()> {
        let keys = items.iter().map(|(_, key)| split(key));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let parents: std::collections::BTreeSet<&Path> = keys.iter().map(|(p, _)| *p).collect();
        durable::make_dirs(&self.root, parents.iter().copied(), FOLDER)?;
        let open = |parent: &Path| Folder::open(&self.root.join(parent));
        let folders = parents.iter().map(|p| open(p));
        let folders = folders.collect::<Result<Vec<_>>>()?;
        let folder_of = |parent| &folders[parents.iter().take_while(|p| **p < parent).count()];
        for ((at, key), (parent, name)) in items.iter().zip(keys) {
            let missing = || Error::new(Code::InvalidArgument, key, "no such file was taken");
            let (file, id, size) = self.files.get_mut(*at).ok_or_else(missing)?;
            if !holds(&self.root, key, || (*id, *size))? {
                file.name(folder_of(parent), name, key)?;
            }
        }
        durable::sync_folders(&folders.iter().collect::<Vec<_>>())
    }
}

/// A file that is being taken.
struct Taking {
    file: File,
    about: String,
    hasher: Hasher,
    size: u64,
    /// What it was like when it was opened.
    before: std::fs::Metadata,
}

impl Taking {
    fn begin(source: &Path) -> Result<Self> {
        let (file, about) = open(source)?;
        let before = file.metadata().map_err(|e| Error::io(&*about, &e))?;
        Ok(Self {
            file,
            about,
            hasher: Hasher::default(),
            size: 0,
            before,
        })
    }

    fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let more = read(&mut self.file, piece, &self.about)?;
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        Ok(more)
    }

    /// What was read, if the file is still that.
    fn end(self, piece: &mut Vec<u8>, began: Timestamp) -> Result<(Id, u64)> {
        let failed = |e| Error::io(&*self.about, &e);
        let after = self.file.metadata().map_err(failed)?;
        let times = |m: &std::fs::Metadata| {
            (
                m.len(),
                m.mtime(),
                m.mtime_nsec(),
                m.ctime(),
                m.ctime_nsec(),
            )
        };
        if times(&self.before) != times(&after) {
            return Err(changed(&self.about));
        }
        let id = self.hasher.finish();
        if after.ctime() >= began.secs - COARSE && again(&self.file, piece, &self.about)? != id {
            return Err(changed(&self.about));
        }
        Ok((id, self.size))
    }
}

/// SHA-256 of a file from its beginning.
fn again(file: &File, piece: &mut Vec<u8>, about: &str) -> Result<Id> {
    let mut hasher = Hasher::default();
    let mut at = 0;
    piece.resize(super::PIECE, 0);
    loop {
        let next = || rustix::io::pread(file, &mut piece[..], at);
        let count = rustix::io::retry_on_intr(next).map_err(|e| Error::io(about, &e.into()))?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&piece[..count]);
        at += count as u64;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::worm::PIECE;

    /// Before any file of a test was made, and long after it.
    const LONG_AGO: Timestamp = Timestamp { secs: 1, nanos: 0 };
    const TO_COME: Timestamp = Timestamp {
        secs: 8_000_000_000,
        nanos: 0,
    };
    const LOCK: i64 = 1_900_000_000;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
        let mut found: Vec<_> = entries
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        found.sort();
        found
    }

    /// A root, and files with these contents beside it.
    fn place(contents: &[&[u8]]) -> (tempfile::TempDir, PathBuf, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let paths = contents.iter().enumerate().map(|(number, content)| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, content).unwrap();
            path
        });
        let paths = paths.collect();
        (folder, root, paths)
    }

    #[test]
    fn copies_are_hashed_get_their_keys_later_and_the_others_go() {
        let long: Vec<u8> = (0..PIECE * 3 + 17).map(|n| (n % 251) as u8).collect();
        for (count, began) in [(3, LONG_AGO), (20, LONG_AGO), (3, TO_COME), (20, TO_COME)] {
            let small: Vec<[u8; 1]> = (0..count).map(|n| [n]).collect();
            let mut contents: Vec<&[u8]> = small.iter().map(|c| &c[..]).collect();
            contents.extend([&long[..], b""]);
            let (_folder, root, paths) = place(&contents);
            let mut arrivals = take(&root, "o", &paths, 0o440, Some(LOCK), began).unwrap();
            let expected: Vec<_> = contents
                .iter()
                .map(|c| (Id::of(c), c.len() as u64))
                .collect();
            assert_eq!(arrivals.found().collect::<Vec<_>>(), expected);
            assert_eq!(names(&root), ["o"]);
            let waiting = names(&root.join("o"));
            assert_eq!(waiting.len(), contents.len());
            assert!(waiting.iter().all(|name| name.starts_with("incoming-tmp-")));
            let key = |n: usize| (n, format!("o/{}/{n}", n % 3));
            let items: Vec<_> = (1..contents.len()).map(key).collect();
            arrivals.name(&items).unwrap();
            for (n, key) in &items {
                let path = root.join(key);
                assert_eq!(std::fs::read(&path).unwrap(), contents[*n]);
                let about = std::fs::metadata(&path).unwrap();
                assert_eq!((about.mode() & 0o777, about.mtime()), (0o440, LOCK));
            }
            assert_eq!(names(&root.join("o")).len(), 4);
            drop(arrivals);
            assert_eq!(names(&root.join("o")), ["0", "1", "2"]);
        }
    }

    #[test]
    fn what_has_a_key_already_stays_and_other_bytes_are_refused() {
        let (_folder, root, paths) = place(&[b"same", b"same", b"another"]);
        let mut arrivals = take(&root, "o", &paths, 0o440, None, LONG_AGO).unwrap();
        arrivals
            .name(&[(0, "o/x".to_owned()), (1, "o/x".to_owned())])
            .unwrap();
        let error = arrivals.name(&[(2, "o/x".to_owned())]).unwrap_err();
        assert_eq!((error.code(), error.object()), (Code::FileExists, "o/x"));
        for (number, key) in [(3, "o/y"), (2, "../y")] {
            let error = arrivals.name(&[(number, key.to_owned())]).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
        }
        drop(arrivals);
        assert_eq!(names(&root.join("o")), ["x"]);
        assert_eq!(std::fs::read(root.join("o/x")).unwrap(), b"same");
    }

    #[test]
    fn one_that_is_missing_leaves_nothing() {
        let (folder, root, mut paths) = place(&[b"one", b"two"]);
        for absent in [folder.path().join("absent"), folder.path().to_owned()] {
            paths.push(absent);
            take(&root, "o", &paths, 0o440, None, LONG_AGO).unwrap_err();
            paths.pop();
            assert!(names(&root.join("o")).is_empty());
        }
        let error = take(
            &folder.path().join("no"),
            "o",
            &paths,
            0o440,
            None,
            LONG_AGO,
        );
        assert_eq!(error.unwrap_err().code(), Code::FileMissing);
    }

    /// What is said of a file that `change` meets between its first piece and its second.
    fn changed_meanwhile(began: Timestamp, change: impl Fn(&Path)) -> Result<(Id, u64)> {
        let content = vec![7; 2 * PIECE];
        let (_folder, _root, paths) = place(&[&content]);
        let mut taking = Taking::begin(&paths[0]).unwrap();
        let mut piece = Vec::new();
        assert!(taking.next(&mut piece).unwrap());
        change(&paths[0]);
        while taking.next(&mut piece).unwrap() {}
        taking.end(&mut piece, began)
    }

    #[test]
    fn one_that_changes_while_it_is_read_is_refused() {
        let write_at = |path: &Path, at: u64| {
            // A change within one tick of the clock may leave the time as it is.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.write_at(b"x", at).unwrap();
        };
        let refused = |change: &dyn Fn(&Path)| {
            let error = changed_meanwhile(TO_COME, change).unwrap_err();
            assert_eq!(error.code(), Code::SourceChanged);
        };
        refused(&|path| write_at(path, 0));
        refused(&|path| write_at(path, 2 * PIECE as u64));
        refused(&|path| std::fs::write(path, b"short").unwrap());
        assert!(changed_meanwhile(TO_COME, |_| {}).is_ok());
    }

    #[test]
    fn one_that_changed_lately_is_read_again() {
        let content = vec![7; 2 * PIECE];
        let (_folder, _root, paths) = place(&[&content]);
        let read = |began| {
            let mut taking = Taking::begin(&paths[0]).unwrap();
            let mut piece = Vec::new();
            while taking.next(&mut piece).unwrap() {}
            // As after a change that its times do not show.
            taking.hasher.update(b"x");
            taking.end(&mut piece, began)
        };
        assert!(
            read(TO_COME).is_ok(),
            "its time of change is old: it was not looked at again"
        );
        assert_eq!(read(LONG_AGO).unwrap_err().code(), Code::SourceChanged);
    }
}
