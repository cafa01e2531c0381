//! Opening repositories (formats: restic 2, 3).

use std::sync::Arc;

use crate::blob::{Compression, Encoding};
use crate::chunker::Chunker;
use crate::crypto::Key;
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::keyfile::KeyFile;
use crate::repo::config::Config;
use crate::repo::{Identity, PACK_SIZE, Repository, unpacked};
use crate::selftest;
use crate::store::Store;
use crate::store::cache::{Cache, DEFAULT_BOUND};
use crate::store::latch::Latch;
use crate::world::{Accounts, Clock, Random};

/// How many key files are tried before giving up (restic's limit: each costs a key derivation).
pub(super) const MAX_KEYS: usize = 20;
/// Allowed target sizes of packs (restic's limits).
const PACK_SIZES: std::ops::RangeInclusive<usize> = 4 << 20..=128 << 20;

/// The ports to the outside.
#[derive(Clone)]
pub struct Ports {
    /// Where the files rest.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Users and groups of the host.
    pub accounts: Arc<dyn Accounts>,
}

/// How to open.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Try the key file with this prefix first.
    pub key_hint: Option<String>,
    /// zstd effort.
    pub compression: Compression,
    /// Target size of packs in bytes; 0 = 16 MiB.
    pub pack_size: usize,
    /// Re-open what was sealed before it is uploaded.
    pub verify: bool,
    /// Who works here.
    pub identity: Identity,
    /// Base of the local cache of repository files; `None` = no cache.
    pub cache: Option<std::path::PathBuf>,
    /// A cancel of it ends the wait for the key derivation.
    pub control: Arc<Control>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            key_hint: None,
            compression: Compression::Auto,
            pack_size: 0,
            verify: true,
            identity: Identity::default(),
            cache: None,
            control: Control::new(),
        }
    }
}

impl Repository {
    /// Opens a repository with a password.
    pub fn open(ports: Ports, password: &[u8], options: &OpenOptions) -> Result<Self> {
        selftest::once()?;
        check_pack_size(options.pack_size)?;
        let store = ports.store.as_ref();
        let sealed = store.get(FileName::CONFIG).map_err(|e| match e.code() {
            Code::FileMissing => Error::new(
                Code::RepositoryMissing,
                store.location(),
                "there is no config file",
            ),
            _ => e,
        })?;
        let found = find_key(store, password, options)?;
        // The config is not named by its hash; in every version it is raw JSON.
        let plain = unpacked::decode("config", &found.master, 1, &sealed)?;
        let config = Config::parse(&plain)?;
        Ok(Self::assemble(
            ports,
            config,
            found.master,
            found.id,
            options,
            found.warnings,
        ))
    }

    pub(super) fn assemble(
        mut ports: Ports,
        config: Config,
        master: Key,
        key_id: Id,
        options: &OpenOptions,
        mut warnings: Vec<Error>,
    ) -> Self {
        if let Some(base) = &options.cache {
            let inner = Arc::clone(&ports.store);
            match Cache::open(inner, base, &config.id, DEFAULT_BOUND, ports.clock.as_ref()) {
                Ok(cache) => ports.store = Arc::new(cache),
                // A cache only saves time.
                Err(e) => warnings.push(e),
            }
        }
        let latch = Arc::new(Latch::new(ports.store));
        let store: Arc<dyn Store> = latch.clone();
        let encoding = Encoding {
            version: config.version,
            compression: options.compression,
            verify: options.verify,
        };
        Self {
            store,
            latch,
            clock: ports.clock,
            random: ports.random,
            accounts: ports.accounts,
            key: Arc::new(master),
            key_id,
            chunker: Arc::new(Chunker::new(config.polynomial)),
            config,
            encoding,
            pack_size: if options.pack_size == 0 {
                PACK_SIZE
            } else {
                options.pack_size
            },
            identity: options.identity.clone(),
            warnings,
            prefetched: super::prefetch::Slot::default(),
        }
    }
}

pub(super) fn check_pack_size(size: usize) -> Result<()> {
    if size == 0 || PACK_SIZES.contains(&size) {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidArgument,
        "pack size",
        format!("{size} bytes: allowed are 4 MiB to 128 MiB"),
    ))
}

struct FoundKey {
    master: Key,
    id: Id,
    warnings: Vec<Error>,
}

/// Tries the hinted key files, then the others, at most [`MAX_KEYS`]. One that cannot be read (damaged, on a bad
/// sector, of an unknown kind) is skipped with a warning, so that it does not lock out the owners of the others
/// (formats: restic 3, pitfall). If no other fits either, it is named: the password may well be right.
fn find_key(store: &dyn Store, password: &[u8], options: &OpenOptions) -> Result<FoundKey> {
    let hint = options.key_hint.as_deref();
    let mut ids: Vec<Id> = store
        .list(FileKind::Key)?
        .into_iter()
        .map(|file| file.id)
        .collect();
    let hinted = |id: &Id| hint.is_some_and(|hint| id.hex().starts_with(hint));
    ids.sort_unstable_by_key(|id| (!hinted(id), *id));
    let mut warnings = Vec::new();
    let mut tried = 0;
    for id in &ids {
        if tried == MAX_KEYS {
            let text = format!("{tried} of {} key files do not fit", ids.len());
            return Err(Error::new(Code::TooManyKeys, store.location(), text));
        }
        let opened = read_key(store, *id).and_then(|file| file.open(password, &options.control));
        match opened {
            Ok(Some(master)) => {
                return Ok(FoundKey {
                    master,
                    id: *id,
                    warnings,
                });
            }
            Ok(None) => tried += 1,
            // Removed since it was listed.
            Err(e) if e.code() == Code::FileMissing => {}
            Err(e) if concerns_one_file(&e) => warnings.push(e),
            Err(e) => return Err(e),
        }
    }
    Err(no_key(store, tried, &warnings))
}

/// Whether other files may well be readable: not so if the storage does not answer.
pub(super) fn concerns_one_file(error: &Error) -> bool {
    use Code::{Damaged, Io, LimitExceeded, RepositoryUnsupported};
    matches!(
        error.code(),
        Damaged | Io | LimitExceeded | RepositoryUnsupported
    )
}

/// Why none of the key files gave the master key: `tried` did not fit, `unreadable` could not be tried.
fn no_key(store: &dyn Store, tried: usize, unreadable: &[Error]) -> Error {
    match unreadable.first() {
        Some(error) if tried == 0 => error.clone(),
        None if tried == 0 => Error::damaged(store.location(), "there is a config but no key file"),
        None => Error::new(Code::WrongPassword, store.location(), "no key file fits"),
        Some(_) => {
            let names: Vec<&str> = unreadable.iter().map(Error::object).collect();
            let detail = format!("no key file fits, but not readable: {}", names.join(", "));
            Error::new(Code::WrongPassword, store.location(), detail)
        }
    }
}

/// Reads and parses one key file; the hash in its name is checked.
pub(super) fn read_key(store: &dyn Store, id: Id) -> Result<KeyFile> {
    let name = FileName::new(FileKind::Key, id);
    let bytes = store.get(name)?;
    if Id::of(&bytes) != id {
        return Err(Error::damaged(
            name.to_string(),
            "its bytes do not hash to its name",
        ));
    }
    KeyFile::parse(&name.to_string(), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::store::memory::MemoryStore;
    use crate::store::{Capabilities, Listed};
    use crate::testkit::{CHEAP, PASSWORD, SimClock, ports, repository_on};

    /// Reading one file ends with an error of the device.
    struct BadSector {
        inner: Arc<MemoryStore>,
        at: FileName,
        code: Code,
    }

    impl Store for BadSector {
        fn location(&self) -> String {
            self.inner.location()
        }
        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }
        fn create(&self) -> Result<()> {
            self.inner.create()
        }
        fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
            self.inner.list(kind)
        }
        fn stat(&self, name: FileName) -> Result<u64> {
            self.inner.stat(name)
        }
        fn get(&self, name: FileName) -> Result<Vec<u8>> {
            if name == self.at {
                return Err(Error::new(self.code, name.to_string(), "read error"));
            }
            self.inner.get(name)
        }
        fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
            self.inner.get_range(name, offset, length)
        }
        fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
            self.inner.put(name, bytes)
        }
        fn delete(&self, name: FileName) -> Result<()> {
            self.inner.delete(name)
        }
    }

    fn open(store: Arc<dyn Store>, password: &[u8]) -> Result<Repository> {
        let ports = ports(store, SimClock::new());
        Repository::open(ports, password, &OpenOptions::default())
    }

    fn key(id: Id) -> FileName {
        FileName::new(FileKind::Key, id)
    }

    /// A repository with two passwords; the names of their key files.
    fn with_two_keys() -> (Arc<MemoryStore>, FileName, FileName) {
        let store = Arc::new(MemoryStore::new());
        let repo = repository_on(store.clone(), SimClock::new());
        let second = repo.key_add(b"second", CHEAP, &Identity::default(), &Control::default());
        (store, key(repo.key_id()), key(second.unwrap()))
    }

    #[test]
    fn a_key_file_that_cannot_be_read_does_not_lock_out_the_others() {
        let (store, first, second) = with_two_keys();
        for (bad, good, password) in [(first, second, &b"second"[..]), (second, first, PASSWORD)] {
            for code in [Code::Io, Code::Damaged, Code::LimitExceeded] {
                let inner = Arc::clone(&store);
                let at = bad;
                let repo = open(Arc::new(BadSector { inner, at, code }), password).unwrap();
                assert_eq!(key(repo.key_id()), good);
            }
        }
    }

    #[test]
    fn a_key_file_that_cannot_be_read_is_named_when_no_other_fits() {
        let (inner, at, _) = with_two_keys();
        let code = Code::Io;
        let error = open(Arc::new(BadSector { inner, at, code }), PASSWORD)
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::WrongPassword);
        assert!(error.detail().contains(&at.to_string()), "{error}");
    }

    #[test]
    fn the_only_key_file_says_itself_what_is_wrong() {
        let inner = Arc::new(MemoryStore::new());
        let at = key(repository_on(inner.clone(), SimClock::new()).key_id());
        for code in [Code::Io, Code::Damaged] {
            let inner = Arc::clone(&inner);
            let error = open(Arc::new(BadSector { inner, at, code }), PASSWORD)
                .err()
                .unwrap();
            assert_eq!((error.code(), error.object()), (code, &*at.to_string()));
        }
        inner.delete(at).unwrap();
        assert_eq!(open(inner, PASSWORD).err().unwrap().code(), Code::Damaged);
    }

    #[test]
    fn a_storage_that_does_not_answer_is_not_asked_for_every_key() {
        let (inner, first, second) = with_two_keys();
        let (at, code) = (first.min(second), Code::Unavailable);
        let error = open(Arc::new(BadSector { inner, at, code }), b"neither")
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::Unavailable);
    }
}
