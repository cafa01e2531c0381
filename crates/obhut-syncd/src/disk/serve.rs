//! Bytes of files for other devices.

use std::os::fd::OwnedFd;

use obhut_bep::{Code, HASH, LARGEST_REQUEST, check_name};
use obhut_core::id::Id;
use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::internal::{is_internal, is_temporary, temporary};
use obhut_sync::io::FactsKind;
use rustix::io::Errno;

use super::facts::facts_of_open;
use super::hash::{hash_of, read_at};
use super::root::{Root, gone};

/// What a device asks for.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The file.
    pub name: &'a str,
    /// Whether its temporary one may serve.
    pub temporary: bool,
    /// From where.
    pub offset: u64,
    /// How many bytes.
    pub size: u32,
    /// What they should be.
    pub hash: Option<[u8; HASH]>,
}

impl Root {
    /// Exactly the bytes that are asked for, or why not.
    pub fn serve(&self, asked: &Asked<'_>, ignores: &Ignores) -> Result<Vec<u8>, Code> {
        if check_name(asked.name).is_err() || asked.size > LARGEST_REQUEST {
            return Err(Code::Generic);
        }
        if is_internal(asked.name)
            || is_temporary(asked.name)
            || ignores.verdict(asked.name) != Verdict::Shared
        {
            return Err(Code::InvalidFile);
        }
        // Without a hash nobody could tell what of a temporary file is there already.
        if asked.temporary && asked.hash.is_some() {
            let name = temporary(asked.name, |last| Id::of(last.as_bytes()).hex());
            if let Ok(bytes) = self.read_asked(&name, asked) {
                return Ok(bytes);
            }
        }
        self.read_asked(asked.name, asked)
    }

    fn read_asked(&self, name: &str, asked: &Asked<'_>) -> Result<Vec<u8>, Code> {
        let file = self.open_file(name).map_err(code)?;
        let facts = facts_of_open(&file).map_err(code)?;
        let end = asked.offset.checked_add(u64::from(asked.size));
        if facts.kind != FactsKind::File || end.is_none_or(|end| end > facts.size) {
            return Err(Code::NoSuchFile);
        }
        let bytes = read_exactly(&file, asked.offset, asked.size)?;
        if asked.hash.is_some_and(|hash| hash_of(&bytes) != hash) {
            return Err(Code::NoSuchFile);
        }
        Ok(bytes)
    }
}

fn read_exactly(file: &OwnedFd, offset: u64, size: u32) -> Result<Vec<u8>, Code> {
    let mut bytes = vec![0; size as usize];
    let count = read_at(file, &mut bytes, offset).map_err(code)?;
    if count < bytes.len() {
        return Err(Code::NoSuchFile);
    }
    Ok(bytes)
}

fn code(errno: Errno) -> Code {
    if gone(errno) || errno == Errno::ISDIR {
        Code::NoSuchFile
    } else {
        Code::Generic
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use super::super::names::tests::Tree;
    use super::*;

    fn asked(name: &str, offset: u64, size: u32) -> Asked<'_> {
        Asked {
            name,
            temporary: false,
            offset,
            size,
            hash: None,
        }
    }

    #[test]
    fn what_is_served() {
        let tree = Tree::new();
        let ignores = Ignores::parse(".stignore", "secret", &mut |_| Err(String::new())).unwrap();
        tree.write("d/f", b"0123456789");
        tree.write("secret", b"s");
        tree.write(".stignore", b"secret");
        tree.write(".syncthing.f.tmp", b"t");
        tree.write(".stversions/a", b"v");
        tree.link("l", "d");
        tree.link("out", "/etc/passwd");
        let serve = |asked: &Asked<'_>| tree.root.serve(asked, &ignores);
        assert_eq!(serve(&asked("d/f", 2, 3)), Ok(b"234".to_vec()));
        assert_eq!(serve(&asked("d/f", 10, 0)), Ok(Vec::new()));
        for (name, offset, size, code) in [
            ("d/f", 8, 3, Code::NoSuchFile),
            ("d/f", u64::MAX, 1, Code::NoSuchFile),
            ("d", 0, 1, Code::NoSuchFile),
            ("none", 0, 1, Code::NoSuchFile),
            ("l/f", 0, 1, Code::NoSuchFile),
            ("out", 0, 1, Code::NoSuchFile),
            ("secret", 0, 1, Code::InvalidFile),
            (".stignore", 0, 1, Code::InvalidFile),
            (".syncthing.f.tmp", 0, 1, Code::InvalidFile),
            (".stversions/a", 0, 1, Code::InvalidFile),
            ("../x", 0, 1, Code::Generic),
            ("d/f", 0, LARGEST_REQUEST + 1, Code::Generic),
        ] {
            assert_eq!(serve(&asked(name, offset, size)), Err(code), "{name}");
        }
    }

    #[test]
    fn a_temporary_file_only_where_the_hash_fits() {
        let tree = Tree::new();
        let ignores = Ignores::default();
        tree.write("f", b"old");
        tree.write(".syncthing.f.tmp", b"new");
        let ask = |temporary, content: Option<&[u8]>| {
            let asked = Asked {
                temporary,
                hash: content.map(hash_of),
                ..asked("f", 0, 3)
            };
            tree.root.serve(&asked, &ignores)
        };
        assert_eq!(ask(true, Some(b"new")), Ok(b"new".to_vec()));
        assert_eq!(ask(true, Some(b"old")), Ok(b"old".to_vec()));
        assert_eq!(ask(true, None), Ok(b"old".to_vec()));
        assert_eq!(ask(false, Some(b"new")), Err(Code::NoSuchFile));
    }
}
