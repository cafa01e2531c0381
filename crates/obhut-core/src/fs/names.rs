//! Names of users and groups by number: each asked for once a backup.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::world::Accounts;

/// The names that one backup has seen. A name that cannot be found out now is empty, as one that nobody has:
/// the numbers are kept always.
pub struct Names {
    accounts: Arc<dyn Accounts>,
    users: Table,
    groups: Table,
    failure: Mutex<Option<Error>>,
}

type Table = RwLock<HashMap<u32, String>>;

impl Names {
    /// No name is known yet.
    pub fn new(accounts: Arc<dyn Accounts>) -> Self {
        Self {
            accounts,
            users: Table::default(),
            groups: Table::default(),
            failure: Mutex::default(),
        }
    }

    /// The user's name, empty if unknown.
    pub fn user(&self, uid: u32) -> String {
        self.look_up(&self.users, uid, |accounts| accounts.user(uid))
    }

    /// The group's name, empty if unknown.
    pub fn group(&self, gid: u32) -> String {
        self.look_up(&self.groups, gid, |accounts| accounts.group(gid))
    }

    /// The first look-up that failed: some names may be missing then that are there at other times.
    pub fn failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn look_up(
        &self,
        table: &Table,
        number: u32,
        ask: impl FnOnce(&dyn Accounts) -> Result<Option<String>>,
    ) -> String {
        if let Some(name) = table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&number)
        {
            return name.clone();
        }
        // Asked without holding the lock: a directory service may take its time. Whoever comes first counts, so that
        // one backup never has two names for a number.
        let name = ask(self.accounts.as_ref()).unwrap_or_else(|error| {
            let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
            None
        });
        let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
        table
            .entry(number)
            .or_insert_with(|| name.unwrap_or_default())
            .clone()
    }
}
