//! Making repositories (formats: restic 2, 3), also where an earlier attempt stopped half-way.
//!
//! The key file comes before the config, because a config without a key is a repository that nobody can open. An
//! attempt that fails between the two takes its key file away again; one that is killed leaves it. The next one goes
//! on with the master key of such a file, if the password opens it and nothing else was ever stored: it writes a key
//! file of its own and the config, and only then removes the other, which holds nothing that is not in its own.
//!
//! No key is removed while anything could depend on it. Where there are packs, index files, snapshots or locks
//! without a config, the config was lost, and `init` touches nothing.

use crate::crypto::Key;
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::keyfile::{KeyFile, ScryptParams};
use crate::polynomial::Polynomial;
use crate::repo::Repository;
use crate::repo::config::Config;
use crate::repo::open::{
    MAX_KEYS, OpenOptions, Ports, check_pack_size, concerns_one_file, read_key,
};
use crate::selftest;
use crate::store::Store;
use crate::world::Random;

impl Repository {
    /// Creates a repository (module text). `params` is the key derivation's cost, calibrated by the caller.
    pub fn init(
        ports: Ports,
        password: &[u8],
        version: u32,
        polynomial: Option<Polynomial>,
        params: ScryptParams,
        options: &OpenOptions,
    ) -> Result<Self> {
        let (store, random) = (ports.store.as_ref(), ports.random.as_ref());
        selftest::once()?;
        check_pack_size(options.pack_size)?;
        let left = left_keys(store)?;
        let config = Config::create(version, polynomial, random)?;
        let master = if left.is_empty() {
            Key::random(random)?
        } else {
            adopted(store, random, &left, password, options)?
        };
        let file = KeyFile::create(
            &master,
            password,
            params,
            &options.identity,
            ports.clock.now(),
            random,
            &options.control,
        )?;
        let mut sealed = Vec::new();
        master.seal(random, &config.encode(), &mut sealed)?;
        // The last moment at which an interrupted `init` leaves nothing.
        options.control.check()?;
        store.create()?;
        let key_id = Id::of(&file);
        let key = FileName::new(FileKind::Key, key_id);
        let written = store
            .put(key, &file)
            .and_then(|()| store.put(FileName::CONFIG, &sealed));
        if let Err(e) = written {
            take_back(store, &master, key, &e);
            return Err(e);
        }
        let removed = left
            .iter()
            .map(|id| store.delete(FileName::new(FileKind::Key, *id)));
        let warnings = removed.filter_map(Result::err).collect();
        Ok(Self::assemble(
            ports, config, master, key_id, options, warnings,
        ))
    }
}

/// The key files of an `init` that did not finish; refuses where there is more than that.
fn left_keys(store: &dyn Store) -> Result<Vec<Id>> {
    let refused = |code, detail| Err(Error::new(code, store.location(), detail));
    match store.stat(FileName::CONFIG) {
        Ok(_) => return refused(Code::RepositoryExists, "it holds a config".to_owned()),
        Err(e) if e.code() == Code::FileMissing => {}
        Err(e) => return Err(e),
    }
    let keys = store.list(FileKind::Key)?;
    let mut found = Vec::new();
    for (kind, what) in [
        (FileKind::Snapshot, "snapshots"),
        (FileKind::Index, "index files"),
        (FileKind::Pack, "packs"),
        (FileKind::Lock, "locks"),
    ] {
        let count = store.list(kind)?.len();
        if count > 0 {
            found.push(format!("{what}: {count}"));
        }
    }
    if found.is_empty() {
        return Ok(keys.into_iter().map(|file| file.id).collect());
    }
    found.push(format!("key files: {}", keys.len()));
    refused(Code::ConfigLost, found.join(", "))
}

/// The master key that all key files hold, if the password opens each of them.
fn adopted(
    store: &dyn Store,
    random: &dyn Random,
    ids: &[Id],
    password: &[u8],
    options: &OpenOptions,
) -> Result<Key> {
    let unfit = |id: &Id, why: &str| {
        let detail = format!("{}: {why}", FileName::new(FileKind::Key, *id));
        Error::new(Code::InitUnfinished, store.location(), detail)
    };
    let mut common: Option<Key> = None;
    for (tried, id) in ids.iter().enumerate() {
        if tried == MAX_KEYS {
            return Err(unfit(id, "there are too many to try each"));
        }
        let opened = read_key(store, *id).and_then(|file| file.open(password, &options.control));
        let master = match opened {
            Ok(Some(master)) => master,
            Ok(None) => return Err(unfit(id, "this password does not open it")),
            Err(e) if concerns_one_file(&e) => return Err(unfit(id, &e.to_string())),
            Err(e) => return Err(e),
        };
        if let Some(first) = &common {
            let mut sealed = Vec::new();
            first.seal(random, b"obhut", &mut sealed)?;
            if master.open(&sealed).is_none() {
                return Err(unfit(id, "it holds another master key than the others"));
            }
        } else {
            common = Some(master);
        }
    }
    common.ok_or_else(|| Error::internal("no key file to go on with"))
}

/// After a failed write our key file goes, unless there is, or may be, a config that its master key opens: the write
/// may have succeeded nevertheless, or another `init` at the same time may have gone on with our master key.
fn take_back(store: &dyn Store, master: &Key, key: FileName, failure: &Error) {
    let needed = match store.get(FileName::CONFIG) {
        Ok(sealed) => failure.code() != Code::FileExists || master.open(&sealed).is_some(),
        Err(e) => e.code() != Code::FileMissing,
    };
    if !needed {
        // What failed first is told; if this fails as well, the next `init` goes on with the file.
        let _ = store.delete(key).or_else(|_| store.delete(key));
    }
}

#[cfg(test)]
mod tests;
