//! Renames, and the ways around what a file system does not know.
#![allow(clippy::disallowed_methods)] // Sync's own renames: nothing here overwrites.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{self, AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

use super::root::{Root, joined, retry, unknown};

/// Free names that are tried.
const TRIES: u32 = 10_000;

impl Root {
    /// Swaps two names of one directory.
    pub(super) fn exchange(&self, folder: &OwnedFd, one: &str, other: &str) -> Result<(), Errno> {
        if !self.exchanges.load(Ordering::Relaxed) {
            return Err(Errno::INVAL);
        }
        let done = retry(|| fs::renameat_with(folder, one, folder, other, RenameFlags::EXCHANGE));
        if done.is_err_and(unknown) {
            self.exchanges.store(false, Ordering::Relaxed);
        }
        done
    }

    /// Gives something another name, if that is free.
    pub(super) fn rename_free(
        &self,
        from: &OwnedFd,
        old: &str,
        to: &OwnedFd,
        new: &str,
    ) -> Result<(), Errno> {
        if self.reserves.load(Ordering::Relaxed) {
            match retry(|| fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE)) {
                Err(errno) if unknown(errno) => self.reserves.store(false, Ordering::Relaxed),
                done => return done,
            }
        }
        match fs::linkat(from, old, to, new, AtFlags::empty()) {
            Ok(()) => retry(|| fs::unlinkat(from, old, AtFlags::empty())),
            // Directories, and file systems without hard links: a look, then the rename. Of what is there at that moment
            // only an empty directory could be lost, or what comes in between the two calls.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                match fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EXIST),
                    Err(Errno::NOENT) => retry(|| fs::renameat(from, old, to, new)),
                    Err(errno) => Err(errno),
                }
            }
            Err(errno) => Err(errno),
        }
    }

    /// Gives something the first of several names that is free; gives that.
    pub(super) fn rename_first_free(
        &self,
        from: &OwnedFd,
        old: &str,
        to: &OwnedFd,
        mut new: impl FnMut(u32) -> Option<String>,
    ) -> Result<String, Errno> {
        for number in 0..TRIES {
            let name = new(number).ok_or(Errno::INVAL)?;
            match self.rename_free(from, old, to, &name) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    /// The directory of a name, with all that are missing above it; gives those in which one was made, too.
    pub(super) fn make_parents(
        &self,
        folder: &str,
        mode: u32,
        new: &mut dyn FnMut(OwnedFd),
    ) -> Result<OwnedFd, Errno> {
        let flags = fs::OFlags::RDONLY;
        match self.below(folder, flags) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        let mut name = String::new();
        let mut held = self.below("", flags)?;
        for part in folder.split('/') {
            name = joined(&name, part);
            match retry(|| fs::mkdirat(&held, part, Mode::from_raw_mode(mode))) {
                Ok(()) => new(held),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            held = self.below(&name, flags)?;
        }
        Ok(held)
    }
}

/// A name with a number before its extension; the name itself for 0.
pub(super) fn numbered(last: &str, number: u32) -> String {
    if number == 0 {
        return last.to_owned();
    }
    // What begins with a dot and has no other has no extension here.
    match last.rfind('.').filter(|&dot| dot > 0) {
        Some(dot) => format!("{}-{number}{}", &last[..dot], &last[dot..]),
        None => format!("{last}-{number}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use obhut_sync::io::{Facts, Now};

    use super::*;

    /// A folder on a real disk.
    pub(crate) struct Tree {
        pub(crate) directory: tempfile::TempDir,
        pub(crate) root: Root,
    }

    impl Tree {
        pub(crate) fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("root");
            std::fs::create_dir(&path).unwrap();
            let root = Root::open(&path).unwrap();
            Self { directory, root }
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join("root").join(name)
        }

        /// Writes a file, in place.
        pub(crate) fn write(&self, name: &str, content: &[u8]) {
            std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            std::fs::write(self.path(name), content).unwrap();
        }

        /// Writes a file as editors do: another one under its name.
        pub(crate) fn save(&self, name: &str, content: &[u8]) {
            let other = self.directory.path().join("saved");
            std::fs::write(&other, content).unwrap();
            std::fs::rename(other, self.path(name)).unwrap();
        }

        pub(crate) fn link(&self, name: &str, target: &str) {
            std::os::unix::fs::symlink(target, self.path(name)).unwrap();
        }

        pub(crate) fn make(&self, name: &str) {
            std::fs::create_dir_all(self.path(name)).unwrap();
        }

        pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
            std::fs::read(self.path(name)).ok()
        }

        pub(crate) fn facts(&self, name: &str) -> Facts {
            self.root.look(name).unwrap().expect(name)
        }

        pub(crate) fn mode(&self, name: &str) -> u32 {
            std::fs::symlink_metadata(self.path(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777
        }

        /// Every file and its content, versions included.
        pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
            let mut found = BTreeMap::new();
            gather(&self.path(""), "", &mut found);
            found
        }

        pub(crate) fn names(&self) -> Vec<String> {
            self.files().into_keys().collect()
        }
    }

    fn gather(path: &Path, name: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = joined(name, entry.file_name().to_str().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                gather(&entry.path(), &name, found);
            } else if kind.is_file() {
                found.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// 2026-01-02 03:04:05, two hours ahead of UTC.
    pub(crate) fn now() -> Now {
        Now {
            monotonic: 0,
            wall: (1_767_315_845, 0),
            offset: 7200,
        }
    }

    #[test]
    fn numbers_in_names() {
        assert_eq!(numbered("a.txt", 0), "a.txt");
        assert_eq!(numbered("a.b.txt", 2), "a.b-2.txt");
        assert_eq!(numbered(".a", 3), ".a-3");
    }

    #[test]
    fn only_to_free_names_whatever_the_file_system_knows() {
        for knows in [true, false] {
            let tree = Tree::new();
            tree.root.reserves.store(knows, Ordering::Relaxed);
            tree.write("a", b"a");
            tree.write("b", b"b");
            tree.make("d");
            tree.make("e");
            let at = &tree.root.handle;
            assert_eq!(tree.root.rename_free(at, "a", at, "b"), Err(Errno::EXIST));
            assert_eq!(tree.root.rename_free(at, "d", at, "e"), Err(Errno::EXIST));
            assert_eq!(tree.root.rename_free(at, "a", at, "c"), Ok(()));
            assert_eq!(tree.root.rename_free(at, "d", at, "f"), Ok(()));
            assert_eq!(tree.names(), ["b", "c"]);
            assert!(tree.path("f").is_dir() && !tree.path("d").exists());
        }
    }
}
