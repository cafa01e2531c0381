//! Names of users and groups by number, from `/etc/passwd` and `/etc/group`.
//!
//! The released restic is built without the system's C library and reads the same two files, so that
//! names equal. Users that only a directory service knows stay without a name (numbers are kept always).

use std::collections::HashMap;

use crate::id::Id;

/// The names of one moment: read once a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// The host's names; a file that cannot be read has none.
    pub fn system() -> Self {
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        let group = std::fs::read("/etc/group").unwrap_or_default();
        Self::parse(&passwd, &group)
    }

    /// Reads both tables; the first line with a number counts, a bad line is skipped.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self {
            users: table(passwd, 6, true),
            groups: table(group, 4, false),
        }
    }

    /// The user's name, empty if unknown.
    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_default()
    }

    /// The group's name, empty if unknown.
    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_default()
    }

    /// A text that changes when any name does: part of the directory cache's key.
    pub fn fingerprint(&self) -> String {
        let mut lines: Vec<String> = Vec::with_capacity(self.users.len() + self.groups.len());
        lines.extend(self.users.iter().map(|(id, name)| format!("u{id}:{name}")));
        lines.extend(self.groups.iter().map(|(id, name)| format!("g{id}:{name}")));
        lines.sort_unstable();
        Id::of(lines.join("\n").as_bytes()).hex()
    }
}

fn table(text: &[u8], fields: usize, also_group: bool) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '+', '-', ':']) {
            continue;
        }
        let parts: Vec<&str> = line.split(':').collect();
        if parts.len() < fields || (also_group && parts[3].parse::<i64>().is_err()) {
            continue;
        }
        // Numbers are compared as text by restic: `007` names nobody.
        if let Ok(id) = parts[2].parse::<u32>()
            && id.to_string() == parts[2]
        {
            names.entry(id).or_insert_with(|| parts[0].to_owned());
        }
    }
    names
}
