//! Adding, listing, removing and changing passwords (formats: restic 3).
//!
//! The master key never changes. The key file that opened the repository is never removed except by
//! [`Repository::change_password`], after the new one was read back from the store and opened.

use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::keyfile::ScryptParams;
use crate::repo::open::{concerns_one_file, read_key};
use crate::repo::{Identity, Repository, keys};

/// One key file, for `key list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name.
    pub id: Id,
    /// Whether it opened this repository.
    pub current: bool,
    /// Who made it.
    pub username: String,
    /// Where.
    pub hostname: String,
    /// When, as written.
    pub created: String,
}

impl Repository {
    /// All readable key files, ascending by id, and what was wrong with the others.
    pub fn key_list(&self) -> Result<(Vec<KeyInfo>, Vec<Error>)> {
        let (mut keys, mut damaged) = (Vec::new(), Vec::new());
        for id in self.list(FileKind::Key)? {
            match read_key(self.store().as_ref(), id) {
                Ok(file) => keys.push(KeyInfo {
                    id,
                    current: id == self.key_id(),
                    username: file.username.clone(),
                    hostname: file.hostname.clone(),
                    created: file.created.clone(),
                }),
                Err(e) if e.code() == Code::FileMissing => {}
                Err(e) if concerns_one_file(&e) => damaged.push(e),
                Err(e) => return Err(e),
            }
        }
        Ok((keys, damaged))
    }

    /// Adds a password. The new file is read back and opened before it counts; if it does not open it is
    /// removed again; so it is if a cancel comes before.
    pub fn key_add(
        &self,
        password: &[u8],
        params: ScryptParams,
        who: &Identity,
        control: &Control,
    ) -> Result<Id> {
        let bytes = crate::keyfile::KeyFile::create(
            self.key(),
            password,
            params,
            who,
            self.clock().now(),
            self.random().as_ref(),
            control,
        )?;
        let id = Id::of(&bytes);
        let name = FileName::new(FileKind::Key, id);
        self.store().put(name, &bytes)?;
        match keys::opens_this(self, id, password, control) {
            Ok(()) => Ok(id),
            Err(e) => {
                let _ = self.store().delete(name);
                Err(e)
            }
        }
    }

    /// Removes a key file other than the one in use.
    pub fn key_remove(&self, id: Id) -> Result<()> {
        if id == self.key_id() {
            let text = "this key file opened the repository; open it with another password first";
            return Err(Error::new(Code::InvalidArgument, format!("key {id}"), text));
        }
        self.store().delete(FileName::new(FileKind::Key, id))
    }

    /// Adds the new password, proves it, then removes the key file in use. A crash between leaves both.
    pub fn key_change(
        &self,
        password: &[u8],
        params: ScryptParams,
        who: &Identity,
        control: &Control,
    ) -> Result<Id> {
        let id = self.key_add(password, params, who, control)?;
        self.store()
            .delete(FileName::new(FileKind::Key, self.key_id()))?;
        Ok(id)
    }
}

/// Whether key file `id` opens with `password` and holds this repository's master key.
fn opens_this(repo: &Repository, id: Id, password: &[u8], control: &Control) -> Result<()> {
    let object = FileName::new(FileKind::Key, id).to_string();
    let fails = |text: &str| Error::new(Code::VerifyFailed, object.clone(), text);
    let master = read_key(repo.store().as_ref(), id)?.open(password, control)?;
    let master = master.ok_or_else(|| fails("the new key file does not open"))?;
    let mut sealed = Vec::new();
    repo.key()
        .seal(repo.random().as_ref(), b"obhut", &mut sealed)?;
    if master.open(&sealed).as_deref() == Some(b"obhut") {
        Ok(())
    } else {
        Err(fails("the new key file holds another master key"))
    }
}
