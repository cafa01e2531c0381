//! How a folder's root stands: its marker, the number beside that, its ignore file.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::Offset;
use obhut_core::durable::{Existing, Folder};
use obhut_core::id::Id;
use obhut_sync::ignore::Ignores;
use obhut_sync::internal::is_internal;
use obhut_sync::io::{self, Doubt, FactsKind, Failure, Now};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::facts::{facts_of_open, look_at};
use super::hash::read_at;
use super::lasting::sync;
use super::root::{Root, failure, missing, retry};
use super::stow::local;

const MARKER: &str = ".stfolder";
const GENERATION: &str = "obhut-generation";
const IGNORES: &str = ".stignore";
/// Bytes of the largest ignore file: far above what people write, far below what fills memory.
const LARGEST: u64 = 16 << 20;

impl Root {
    /// How the root stands, with what the engine wants to know of it.
    pub fn open_state(&self, remembered: Option<u64>) -> io::Root {
        if let Some(doubt) = self.doubt(remembered) {
            return io::Root::Doubt(doubt);
        }
        match (self.ignores(), self.generation()) {
            (Err(doubt), _) => io::Root::Doubt(doubt),
            (_, Err(failure)) => {
                io::Root::Doubt(Doubt::Other(format!("{GENERATION}: {failure:?}")))
            }
            (Ok(ignores), Ok(generation)) => io::Root::Ready {
                generation,
                ignores: Arc::new(ignores),
                empty: self.is_empty(),
            },
        }
    }

    /// Whether nothing lies at the root but what is of the machinery; no, if it cannot be read.
    fn is_empty(&self) -> bool {
        let Ok(names) = fs::Dir::read_from(&self.handle) else {
            return false;
        };
        names.flatten().all(|entry| {
            let name = entry.file_name().to_string_lossy();
            matches!(&*name, "." | "..") || is_internal(&name)
        })
    }

    /// What speaks against work: the path leads to another directory than the handle, another file system than is
    /// remembered, or the marker is missing.
    pub fn doubt(&self, remembered: Option<u64>) -> Option<Doubt> {
        let there = match fs::stat(&self.path) {
            Ok(there) => there,
            Err(errno) => return Some(missing(errno)),
        };
        let held = match fs::fstat(&self.handle) {
            Ok(held) => held,
            Err(errno) => return Some(missing(errno)),
        };
        if there.st_dev != held.st_dev || remembered.is_some_and(|device| device != held.st_dev) {
            return Some(Doubt::OtherFileSystem);
        }
        if !fs::FileType::from_raw_mode(there.st_mode).is_dir() {
            return Some(Doubt::RootMissing);
        }
        if there.st_ino != held.st_ino {
            let words = "another directory is at the folder's place than when it was opened";
            return Some(Doubt::Other(words.into()));
        }
        match look_at(&self.handle, MARKER) {
            Ok(Some(facts)) if facts.kind == FactsKind::Directory => None,
            Ok(Some(_)) => Some(Doubt::Other(format!("{MARKER} is no directory"))),
            Ok(None) => Some(Doubt::MarkerMissing),
            Err(errno) => Some(missing(errno)),
        }
    }

    /// Makes the marker, as Syncthing does. Only when a folder is set up: never because it is missing.
    pub fn make_marker(&self, folder: &str, now: Now) -> Result<(), Failure> {
        let mode = Mode::from_raw_mode(0o755);
        match retry(|| fs::mkdirat(&self.handle, MARKER, mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failure("make marker", errno)),
        }
        let offset = Offset::from_seconds(now.offset).unwrap_or(Offset::UTC);
        let sign = if offset.is_negative() { '-' } else { '+' };
        let minutes = offset.seconds().abs() / 60;
        let created = format!(
            "{}{sign}{:02}:{:02}",
            local(now).strftime("%Y-%m-%dT%H:%M:%S"),
            minutes / 60,
            minutes % 60,
        );
        let text = format!(
            "# This directory is a Syncthing folder marker.\n# Do not delete.\n\nfolderID: {folder}\ncreated: {created}\n"
        );
        let name = format!(
            "syncthing-folder-{}.txt",
            &Id::of(folder.as_bytes()).hex()[..6]
        );
        self.write_beside(&name, text.as_bytes(), 0o644)?;
        sync(&self.handle)
    }

    /// The number beside the marker; nothing if there is none, or it is none.
    pub fn generation(&self) -> Result<Option<u64>, Failure> {
        let text = self.text(&format!("{MARKER}/{GENERATION}"));
        let text = text.map_err(|errno| failure("read", errno))?;
        Ok(text
            .and_then(|text| u64::from_str_radix(std::str::from_utf8(&text).ok()?.trim(), 16).ok()))
    }

    /// Writes the number beside the marker, lastingly.
    pub fn set_generation(&self, generation: u64) -> Result<(), Failure> {
        self.write_beside(GENERATION, format!("{generation:016x}\n").as_bytes(), 0o600)
    }

    fn write_beside(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Failure> {
        let marker = self
            .below(MARKER, OFlags::RDONLY)
            .map_err(|errno| failure("open marker", errno))?;
        Folder::open_at(std::os::fd::AsFd::as_fd(&marker), Path::new("."))
            .and_then(|folder| folder.write(name.as_ref(), bytes, mode, Existing::Replace, name))
            .map_err(|error| Failure::Other(error.to_string()))
    }

    /// What the ignore file says, with those that it includes. None of them may be a link: they are shared, and somebody else
    /// could make it lead anywhere.
    pub fn ignores(&self) -> Result<Ignores, Doubt> {
        let wrong = |why: String| Doubt::Ignores(why);
        let Some(text) = self.ignore_text(IGNORES).map_err(wrong)? else {
            return Ok(Ignores::default());
        };
        let mut include = |name: &str| self.include(name);
        Ignores::parse(IGNORES, &text, &mut include).map_err(|error| wrong(error.to_string()))
    }

    /// The text of a file that an ignore file includes.
    pub fn include(&self, name: &str) -> Result<String, String> {
        self.ignore_text(name)?
            .ok_or_else(|| format!("there is no {name}"))
    }

    fn ignore_text(&self, name: &str) -> Result<Option<String>, String> {
        let bytes = self.text(name).map_err(|errno| match errno {
            Errno::LOOP => format!("{name} is a link"),
            Errno::FBIG => format!("{name} is too large"),
            errno => format!("{name}: {}", std::io::Error::from(errno)),
        })?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| format!("{name} is not UTF-8"))
    }

    /// A small file whole; nothing if there is none.
    fn text(&self, name: &str) -> Result<Option<Vec<u8>>, Errno> {
        let file = match self.open_file(name) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            file => file?,
        };
        read_small(&file).map(Some)
    }
}

fn read_small(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let facts = facts_of_open(file)?;
    match facts.kind {
        FactsKind::File if facts.size > LARGEST => Err(Errno::FBIG),
        FactsKind::File => {
            let mut bytes = vec![0; facts.size as usize];
            let count = read_at(file, &mut bytes, 0)?;
            bytes.truncate(count);
            Ok(bytes)
        }
        FactsKind::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use obhut_sync::ignore::Verdict;

    use super::super::names::tests::{Tree, now};
    use super::*;

    #[test]
    fn the_marker_as_syncthing_makes_it() {
        let tree = Tree::new();
        assert_eq!(tree.root.doubt(None), Some(Doubt::MarkerMissing));
        tree.root.make_marker("default", now()).unwrap();
        tree.root.make_marker("default", now()).unwrap();
        assert_eq!(tree.root.doubt(None), None);
        assert_eq!(tree.names(), [".stfolder/syncthing-folder-37a8ee.txt"]);
        let text = tree.read(".stfolder/syncthing-folder-37a8ee.txt").unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "# This directory is a Syncthing folder marker.\n# Do not delete.\n\n\
             folderID: default\ncreated: 2026-01-02T03:04:05+02:00\n"
        );
    }

    #[test]
    fn the_number_beside_it() {
        let tree = Tree::new();
        assert_eq!(tree.root.generation(), Ok(None));
        assert_eq!(tree.root.set_generation(1), Err(Failure::Gone));
        tree.root.make_marker("f", now()).unwrap();
        for number in [0, 7, u64::MAX] {
            tree.root.set_generation(number).unwrap();
            assert_eq!(tree.root.generation(), Ok(Some(number)));
        }
        tree.write(".stfolder/obhut-generation", b"no number");
        assert_eq!(tree.root.generation(), Ok(None));
        assert_eq!(tree.names().len(), 2);
    }

    #[test]
    fn when_a_root_is_doubted() {
        let tree = Tree::new();
        tree.root.make_marker("f", now()).unwrap();
        let device = tree.root.device();
        assert_eq!(tree.root.doubt(Some(device)), None);
        assert_eq!(
            tree.root.doubt(Some(device + 1)),
            Some(Doubt::OtherFileSystem)
        );
        let (path, other) = (tree.path(""), tree.directory.path().join("other"));
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(tree.root.doubt(None), Some(Doubt::RootMissing));
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(tree.root.doubt(None), Some(Doubt::Other(_))));
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(tree.directory.path().join("root"), b"").unwrap();
        assert!(tree.root.doubt(None).is_some());
        let missing = Root::open(&tree.directory.path().join("none"));
        assert_eq!(missing.err(), Some(Doubt::RootMissing));
        let other = Root::open(&other).unwrap();
        assert!(matches!(
            other.open_state(None),
            io::Root::Ready {
                generation: None,
                ..
            }
        ));
    }

    #[test]
    fn ignore_files() {
        let tree = Tree::new();
        assert_eq!(tree.root.ignores().unwrap().verdict("a"), Verdict::Shared);
        tree.write(".stignore", b"a\n#include d/more");
        assert!(matches!(tree.root.ignores(), Err(Doubt::Ignores(_))));
        tree.write("d/more", b"b");
        let found = tree.root.ignores().unwrap();
        assert_eq!(found.verdict("x/b"), Verdict::Ignored);
        tree.write("elsewhere", b"c");
        for name in [".stignore", "d/more"] {
            std::fs::remove_file(tree.path(name)).unwrap();
            tree.link(name, &tree.path("elsewhere").to_string_lossy());
            let found = tree.root.ignores();
            let Err(Doubt::Ignores(words)) = found else {
                panic!("{found:?}");
            };
            assert!(words.contains("is a link"), "{words}");
            std::fs::remove_file(tree.path(name)).unwrap();
            tree.write(name, b"#include d/more");
        }
        tree.write(".stignore", b"\xff");
        assert!(matches!(tree.root.ignores(), Err(Doubt::Ignores(_))));
        std::fs::remove_file(tree.path(".stignore")).unwrap();
        tree.make(".stignore");
        assert!(matches!(tree.root.ignores(), Err(Doubt::Ignores(_))));
    }
}
