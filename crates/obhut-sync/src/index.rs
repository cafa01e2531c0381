//! What all devices say of a folder's items, and what follows: which entry wins, what is needed, what has which sequence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo, HASH, Kind, Ordering, ShortId};

use crate::config::{Direction, Member};
use crate::entry::{content, same_content, same_facts};
use crate::ignore::{Ignores, Verdict};
use crate::internal::is_untouchable;
use crate::io::{Facts, Ticket};
use crate::plan::{Action, plan};
use crate::winner::{Claim, winner};

/// The name of an item.
pub type Name = Arc<str>;

/// Our own entry, and what the disk showed.
#[derive(Debug, Clone)]
pub struct Local {
    /// The entry, with our sequence.
    pub info: Arc<FileInfo>,
    /// What the disk showed, if the item was there.
    pub observed: Option<Facts>,
}

/// All that is known of an item.
#[derive(Debug, Default)]
pub struct Item {
    /// Ours.
    pub local: Option<Local>,
    /// Others', each with its sequence.
    pub remotes: Vec<(DeviceId, Arc<FileInfo>)>,
    /// The last walk that saw it.
    pub walked: Option<Ticket>,
}

/// What a device's entries are worth, and which items are looked at all.
#[derive(Debug)]
pub struct Rules {
    /// Whose entries are ours.
    pub own: ShortId,
    /// In which directions changes go.
    pub direction: Direction,
    /// Who shares the folder.
    pub members: Vec<Member>,
    /// Whether modes say nothing.
    pub ignore_modes: bool,
    /// What is not shared.
    pub ignores: Arc<Ignores>,
}

/// A device's sequences, as far as we have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// The life of them; 0 for none.
    pub index_id: u64,
    /// The newest one that we have.
    pub max_sequence: u64,
}

/// The items of a folder.
#[derive(Debug, Default)]
pub struct Index {
    items: BTreeMap<Name, Item>,
    by_sequence: BTreeMap<u64, Name>,
    by_content: HashMap<[u8; HASH], BTreeSet<Name>>,
    by_inode: HashMap<(u64, u64), Name>,
    needs: BTreeSet<Name>,
    dirty: BTreeSet<Name>,
    clashes: BTreeSet<Name>,
    peers: BTreeMap<DeviceId, Peer>,
    live: usize,
}

impl Item {
    /// The entry that wins, of those that count.
    pub fn global(&self, rules: &Rules) -> Option<&Arc<FileInfo>> {
        let mut counted = Vec::with_capacity(1 + self.remotes.len());
        if let Some(local) = &self.local {
            counted.push((true, &local.info));
        }
        for (device, info) in &self.remotes {
            if rules.members.iter().any(|member| member.device == *device)
                && !self.refused(info, rules)
            {
                counted.push((false, info));
            }
        }
        let claims: Vec<Claim<'_>> = counted
            .iter()
            .map(|(local, info)| Claim {
                version: &info.version,
                modified: info.modified,
                invalid: info.invalid,
                local: *local,
            })
            .collect();
        winner(&claims).map(|at| counted[at].1)
    }

    /// Whether an entry is the work of a device that may not write: it has made it, or counted in its version beyond what
    /// was taken from it while it still could.
    pub fn refused(&self, info: &FileInfo, rules: &Rules) -> bool {
        rules.members.iter().any(|member| {
            let short = member.device.short();
            let known = self
                .local
                .as_ref()
                .map_or(0, |local| local.info.version.value(short));
            !member.writes && info.version.value(short) > known
        })
    }

    /// Our own entry, if the item is there.
    pub fn live(&self) -> Option<&Local> {
        self.local
            .as_ref()
            .filter(|local| !local.info.deleted && local.observed.is_some())
    }

    /// The largest counter of a device that anybody knows.
    pub fn counted(&self, device: ShortId) -> u64 {
        self.remotes
            .iter()
            .map(|(_, info)| info.version.value(device))
            .chain(
                self.local
                    .iter()
                    .map(|local| local.info.version.value(device)),
            )
            .max()
            .unwrap_or(0)
    }

    /// Who has an entry's content.
    pub fn holders<'a>(&'a self, wanted: &'a FileInfo) -> impl Iterator<Item = DeviceId> + 'a {
        self.remotes
            .iter()
            .filter(|(_, info)| {
                !info.invalid
                    && !info.deleted
                    && info.version.compare(&wanted.version) == Ordering::Equal
                    && same_content(info, wanted)
            })
            .map(|(device, _)| *device)
    }
}

impl Index {
    /// An item.
    pub fn get(&self, name: &str) -> Option<&Item> {
        self.items.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.items.keys()
    }

    /// All items.
    pub fn items(&self) -> impl Iterator<Item = (&Name, &Item)> {
        self.items.iter()
    }

    /// Items below a directory, by name.
    pub fn below<'a>(&'a self, directory: &str) -> impl Iterator<Item = (&'a Name, &'a Item)> {
        let first: Name = Arc::from(format!("{directory}/"));
        // `0` is what follows `/`.
        let last: Name = Arc::from(format!("{directory}0"));
        self.items
            .range::<Name, _>((Bound::Included(first), Bound::Excluded(last)))
    }

    /// The name as it is kept, so that it is there only once.
    pub fn name(&self, name: &str) -> Name {
        self.items
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known))
    }

    /// How many items of ours are there.
    pub fn live(&self) -> usize {
        self.live
    }

    /// What has to be done, by name.
    pub fn needs(&self) -> &BTreeSet<Name> {
        &self.needs
    }

    /// Takes the first of the needed items that nobody has looked at since they changed.
    pub fn take_dirty(&mut self) -> Option<Name> {
        while let Some(name) = self.dirty.pop_first() {
            if self.needs.contains(&name) {
                return Some(name);
            }
        }
        None
    }

    /// Has an item looked at again, if it needs something.
    pub fn again(&mut self, name: &Name) {
        if self.needs.contains(name) {
            self.dirty.insert(Arc::clone(name));
        }
    }

    /// Has all needed items below a directory looked at again.
    pub fn again_below(&mut self, directory: &str) {
        let first: Name = Arc::from(format!("{directory}/"));
        let last: Name = Arc::from(format!("{directory}0"));
        let names: Vec<Name> = self
            .needs
            .range::<Name, _>((Bound::Included(first), Bound::Excluded(last)))
            .map(Arc::clone)
            .collect();
        self.dirty.extend(names);
    }

    /// Has all needed items looked at again.
    pub fn all_again(&mut self) {
        self.dirty = self.needs.clone();
    }

    /// Items of ours whose version another device gives to something else: one of the two lost its memory.
    pub fn take_clashes(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.clashes)
    }

    /// A device's sequences.
    pub fn peer(&self, device: DeviceId) -> Peer {
        self.peers.get(&device).copied().unwrap_or_default()
    }

    /// Our entries with a sequence above one and up to another.
    pub fn sequenced(&self, after: u64, upto: u64) -> impl Iterator<Item = (u64, &Arc<FileInfo>)> {
        self.by_sequence
            .range((Bound::Excluded(after), Bound::Included(upto.max(after))))
            .filter_map(|(sequence, name)| {
                let local = self.items.get(name)?.local.as_ref()?;
                Some((*sequence, &local.info))
            })
    }

    /// A file of ours that has a content.
    pub fn with_content(&self, hash: &[u8; HASH]) -> impl Iterator<Item = &Name> {
        self.by_content.get(hash).into_iter().flatten()
    }

    /// The item of ours that a file of the disk was seen under.
    pub fn with_inode(&self, facts: &Facts) -> Option<&Name> {
        self.by_inode.get(&(facts.device, facts.inode))
    }

    /// Takes our own entry, with its sequence.
    pub fn set_local(&mut self, name: &Name, local: Local, rules: &Rules) {
        self.forget_local(name);
        let live = !local.info.deleted && local.observed.is_some();
        if live {
            self.live += 1;
            if let Some(hash) = content(&local.info) {
                self.by_content
                    .entry(hash)
                    .or_default()
                    .insert(Arc::clone(name));
            }
            self.note_inode(name, &local);
        }
        self.by_sequence
            .insert(local.info.sequence, Arc::clone(name));
        self.items.entry(Arc::clone(name)).or_default().local = Some(local);
        self.refresh(name, rules);
    }

    /// Takes what the disk shows of an item whose entry stays.
    pub fn observe(&mut self, name: &Name, facts: Facts) {
        let Some(local) = self
            .items
            .get_mut(name)
            .and_then(|item| item.local.as_mut())
        else {
            return;
        };
        local.observed = Some(facts);
        let local = local.clone();
        self.note_inode(name, &local);
    }

    fn note_inode(&mut self, name: &Name, local: &Local) {
        if let Some(facts) = &local.observed
            && facts.inode != 0
            && local.info.kind == Kind::File
        {
            self.by_inode
                .insert((facts.device, facts.inode), Arc::clone(name));
        }
    }

    fn forget_local(&mut self, name: &Name) {
        let Some(item) = self.items.get(name) else {
            return;
        };
        let Some(local) = &item.local else { return };
        self.by_sequence.remove(&local.info.sequence);
        if item.live().is_none() {
            return;
        }
        self.live -= 1;
        if let Some(hash) = content(&local.info)
            && let Some(names) = self.by_content.get_mut(&hash)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_content.remove(&hash);
            }
        }
        if let Some(facts) = &local.observed
            && self.by_inode.get(&(facts.device, facts.inode)) == Some(name)
        {
            self.by_inode.remove(&(facts.device, facts.inode));
        }
    }

    /// Notes that a walk saw an item.
    pub fn mark_walked(&mut self, name: &str, walk: Ticket) {
        if let Some(item) = self.items.get_mut(name) {
            item.walked = Some(walk);
        }
    }

    /// Takes another device's entry.
    pub fn set_remote(&mut self, device: DeviceId, info: Arc<FileInfo>, rules: &Rules) {
        let peer = self.peers.entry(device).or_default();
        peer.max_sequence = peer.max_sequence.max(info.sequence);
        let name = self.name(&info.name);
        let item = self.items.entry(Arc::clone(&name)).or_default();
        match item.remotes.iter_mut().find(|(known, _)| *known == device) {
            Some(known) => known.1 = info,
            None => item.remotes.push((device, info)),
        }
        self.refresh(&name, rules);
    }

    /// Forgets everything of a device. Its sequences have a new life.
    pub fn reset_remote(&mut self, device: DeviceId, index_id: u64, rules: &Rules) {
        self.peers.insert(
            device,
            Peer {
                index_id,
                max_sequence: 0,
            },
        );
        let names: Vec<Name> = self
            .items
            .iter()
            .filter(|(_, item)| item.remotes.iter().any(|(known, _)| *known == device))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            if let Some(item) = self.items.get_mut(&name) {
                item.remotes.retain(|(known, _)| *known != device);
                if item.remotes.is_empty() && item.local.is_none() {
                    self.items.remove(&name);
                    self.needs.remove(&name);
                    continue;
                }
            }
            self.refresh(&name, rules);
        }
    }

    /// Tells a device's sequences apart from those of an earlier life without forgetting what is there.
    pub fn set_life(&mut self, device: DeviceId, index_id: u64) {
        self.peers.entry(device).or_default().index_id = index_id;
    }

    /// Decides anew for all items: rules have changed.
    pub fn refresh_all(&mut self, rules: &Rules) {
        let names: Vec<Name> = self.items.keys().map(Arc::clone).collect();
        for name in names {
            self.refresh(&name, rules);
        }
    }

    /// Decides anew whether an item needs something.
    pub fn refresh(&mut self, name: &Name, rules: &Rules) {
        let Some(item) = self.items.get(name) else {
            return;
        };
        let local = item.local.as_ref().map(|local| &*local.info);
        let needed = item.global(rules).is_some_and(|global| {
            let plan = plan(local, global, rules.direction, rules.ignore_modes);
            plan.action != Action::Nothing
                && !is_untouchable(name)
                && rules.ignores.verdict(name) == Verdict::Shared
        });
        let clash = local.is_some_and(|local| {
            !local.invalid
                && item.remotes.iter().any(|(_, info)| {
                    // Times may be rounded elsewhere: only whoever made the version settles what differs in them.
                    let same = same_content(local, info)
                        && (local.deleted
                            || local.modified_by != rules.own
                            || same_facts(local, info, rules.ignore_modes));
                    !info.invalid
                        && info.version.compare(&local.version) == Ordering::Equal
                        && !same
                })
        });
        if needed {
            self.needs.insert(Arc::clone(name));
            self.dirty.insert(Arc::clone(name));
        } else {
            self.needs.remove(name);
        }
        if clash {
            self.clashes.insert(Arc::clone(name));
        } else {
            self.clashes.remove(name);
        }
    }
}
