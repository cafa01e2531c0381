//! `--ownership-by-name`: numbers of users and groups by the names that the snapshot has for them.
//!
//! A name that this host does not know, and an entry without a name, keep the snapshot's number, as with tar and
//! rsync. (restic gives such entries to root; a setuid program of a user unknown here would then be root's.)

use std::collections::HashMap;
use std::sync::Arc;

use super::report::Report;
use crate::error::Result;
use crate::tree::Node;
use crate::world::Accounts;

/// Asks for each name once.
pub struct Owners {
    accounts: Arc<dyn Accounts>,
    users: HashMap<String, Option<u32>>,
    groups: HashMap<String, Option<u32>>,
}

impl Owners {
    /// No name is known yet.
    pub fn new(accounts: Arc<dyn Accounts>) -> Self {
        Self {
            accounts,
            users: HashMap::new(),
            groups: HashMap::new(),
        }
    }

    /// Gives the node the numbers that its names have here. `Err` if that cannot be found out now: to go on would
    /// give files to whom they do not belong.
    pub fn translate(&mut self, node: &mut Node, report: &Report) -> Result<()> {
        let accounts = &self.accounts;
        let uid = number(&mut self.users, &node.user, "user", report, |name| {
            accounts.uid(name)
        })?;
        let gid = number(&mut self.groups, &node.group, "group", report, |name| {
            accounts.gid(name)
        })?;
        node.uid = uid.unwrap_or(node.uid);
        node.gid = gid.unwrap_or(node.gid);
        Ok(())
    }
}

fn number(
    known: &mut HashMap<String, Option<u32>>,
    name: &str,
    kind: &str,
    report: &Report,
    ask: impl FnOnce(&str) -> Result<Option<u32>>,
) -> Result<Option<u32>> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(number) = known.get(name) {
        return Ok(*number);
    }
    let number = ask(name)?;
    if number.is_none() {
        report.unknown_owner(kind, name);
    }
    known.insert(name.to_owned(), number);
    Ok(number)
}
