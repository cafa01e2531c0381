//! Looking: how what the disk shows becomes our entries. Hints are never believed; each name is looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use obhut_bep::{FileInfo, Kind};

use crate::entry::{
    content, of_disk, of_hashed, same_content, same_file, says_disk, stays_here, tombstone,
    unchanged,
};
use crate::folder::{Context, Folder};
use crate::ignore::Verdict;
use crate::index::{Index, Name};
use crate::internal::{is_internal, is_untouchable};
use crate::io::{Doubt, Event, Facts, FactsKind, Failure, Hashed, Output, Seen, Ticket};

/// Names of one look.
const NAMES: usize = 1_000;
/// Files that are read at once.
const HASHING: usize = 32;
/// Everything gone is doubtful if it was more than so many items.
const HANDFUL: usize = 5;
/// Milliseconds until a file that changes is looked at again; doubled to the last.
const UNSTEADY: [u64; 2] = [1_000, 60_000];

/// What is done with an item; one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It is looked at.
    Looking,
    /// It is read.
    Hashing,
    /// It is changed.
    Pulling,
}

#[derive(Debug)]
struct Walk {
    ticket: Ticket,
    below: Option<String>,
    /// Ignored directories that nothing shared was seen below so far.
    ignored: BTreeMap<String, Facts>,
}

/// What a folder looks at.
#[derive(Debug, Default)]
pub struct Scan {
    walk: Option<Walk>,
    again: bool,
    next_walk: Option<u64>,
    below: BTreeSet<String>,
    look: BTreeSet<Name>,
    looking: HashMap<Ticket, Vec<Name>>,
    hash: BTreeSet<Name>,
    hashing: HashMap<Ticket, Name>,
    busy: HashMap<Name, Busy>,
    unsteady: BTreeMap<Name, (u64, u64)>,
    /// Names that are not UTF-8, from the last walk.
    pub unnamed: Vec<String>,
    /// Items that could not be read, and why.
    pub unreadable: BTreeMap<Name, Failure>,
}

impl Scan {
    /// Everything is to be looked at.
    pub fn everything(&mut self) {
        self.again = true;
    }

    /// A name is to be looked at.
    pub fn name(&mut self, name: Name) {
        self.look.insert(name);
    }

    /// Whether an item is free; if so it is taken.
    pub fn take(&mut self, name: &Name, what: Busy) -> bool {
        if self.busy.contains_key(name) {
            return false;
        }
        self.busy.insert(Arc::clone(name), what);
        true
    }

    /// Whether something is done with an item.
    pub fn is_busy(&self, name: &str) -> bool {
        self.busy.contains_key(name)
    }

    /// An entry was recorded: a walk that is under way may have seen what was before.
    pub fn recorded(&mut self, name: &Name, index: &mut Index) {
        if let Some(walk) = &self.walk {
            index.mark_walked(name, walk.ticket);
        }
    }

    /// What is looked at or is to be; nothing at rest.
    pub fn unrest(&self) -> Option<&'static str> {
        let open = [
            (self.walk.is_some(), "a walk"),
            (self.again || !self.below.is_empty(), "a walk to come"),
            (!self.look.is_empty(), "names to look at"),
            (!self.looking.is_empty(), "a look"),
            (!self.hash.is_empty(), "files to read"),
            (!self.hashing.is_empty(), "a file that is read"),
        ];
        open.iter().find(|(is, _)| *is).map(|(_, what)| *what)
    }

    /// When something is to be looked at.
    pub fn wake(&self) -> Option<u64> {
        let unsteady = self
            .unsteady
            .values()
            .map(|(at, _)| *at)
            .filter(|at| *at != u64::MAX)
            .min();
        [unsteady, self.next_walk].into_iter().flatten().min()
    }
}

impl Folder {
    /// An item is free again.
    pub fn free(&mut self, name: &Name) {
        self.scan.busy.remove(name);
        self.index.again(name);
    }

    /// Looks at what is to be looked at.
    pub fn advance_scan(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.monotonic;
        if self.scan.next_walk.is_some_and(|at| at <= now) {
            self.scan.next_walk = None;
            self.scan.again = true;
        }
        self.start_walk(cx);
        let due: Vec<Name> = self
            .scan
            .unsteady
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in due {
            if let Some((at, _)) = self.scan.unsteady.get_mut(&name) {
                *at = u64::MAX; // the delay stays until the file is steady
            }
            self.scan.look.insert(name);
        }
        self.start_look(cx);
        while self.scan.hashing.len() < HASHING {
            let Some(name) = self.scan.hash.pop_first() else {
                break;
            };
            self.start_hash(name, cx);
        }
    }

    fn start_walk(&mut self, cx: &mut Context<'_>) {
        if self.scan.walk.is_some() {
            return;
        }
        let below = if self.scan.again {
            self.scan.again = false;
            self.scan.below.clear();
            None
        } else {
            let Some(below) = self.scan.below.pop_first() else {
                return;
            };
            Some(below)
        };
        let ticket = cx.ticket(&self.id);
        cx.out.push(Output::Walk {
            ticket,
            folder: Arc::clone(&self.id),
            below: below.clone(),
            ignores: Arc::clone(&self.rules.ignores),
        });
        self.scan.walk = Some(Walk {
            ticket,
            below,
            ignored: BTreeMap::new(),
        });
    }

    fn start_look(&mut self, cx: &mut Context<'_>) {
        // What is about to be read need not be looked at.
        let hash = &self.scan.hash;
        self.scan.look.retain(|name| !hash.contains(name));
        let free: Vec<Name> = self
            .scan
            .look
            .iter()
            .filter(|name| !self.scan.busy.contains_key(*name))
            .map(Arc::clone)
            .collect();
        for names in free.chunks(NAMES) {
            let ticket = cx.ticket(&self.id);
            for name in names {
                self.scan.look.remove(name);
                self.scan.busy.insert(Arc::clone(name), Busy::Looking);
            }
            self.scan.looking.insert(ticket, names.to_vec());
            cx.out.push(Output::Look {
                ticket,
                folder: Arc::clone(&self.id),
                names: names.iter().map(ToString::to_string).collect(),
            });
        }
    }

    fn start_hash(&mut self, name: Name, cx: &mut Context<'_>) {
        if !self.scan.take(&name, Busy::Hashing) {
            self.scan.look.insert(name);
            return;
        }
        let known = self
            .index
            .get(&name)
            .and_then(|item| item.live())
            .filter(|local| local.info.kind == Kind::File)
            .map(|local| local.info.block_size);
        let ticket = cx.ticket(&self.id);
        cx.out.push(Output::Hash {
            ticket,
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            known,
        });
        self.scan.hashing.insert(ticket, name);
    }

    /// People or the system say that names may have changed.
    pub fn noticed(&mut self, names: Option<Vec<String>>, cx: &mut Context<'_>) {
        let Some(names) = names else {
            self.scan.everything();
            return;
        };
        for name in names {
            if name == ".stignore" || name.starts_with(".stfolder") {
                cx.out.push(Output::Open {
                    folder: Arc::clone(&self.id),
                    load: false,
                });
            } else if !is_untouchable(&name) && obhut_bep::check_name(&name).is_ok() {
                let name = self.index.name(&name);
                self.scan.look.insert(name);
            }
        }
    }

    /// Names of a walk.
    pub fn walked(&mut self, ticket: Ticket, seen: Vec<Seen>, cx: &mut Context<'_>) {
        for one in seen {
            let Some(walk) = self.scan.walk.as_mut().filter(|walk| walk.ticket == ticket) else {
                return;
            };
            if is_untouchable(&one.name) {
                continue;
            }
            if one.ignored {
                walk.ignored.insert(one.name, one.facts);
                continue;
            }
            // A directory above something that is shared is shared, too.
            let above: Vec<(String, Facts)> = ancestors(&one.name)
                .filter_map(|name| walk.ignored.remove_entry(name))
                .collect();
            for (name, facts) in above {
                self.saw(&name, facts, ticket, cx);
            }
            self.saw(&one.name, one.facts, ticket, cx);
        }
    }

    /// A walk saw a name. What was touched since it began may have been seen as it was before: it is looked at again.
    fn saw(&mut self, name: &str, facts: Facts, walk: Ticket, cx: &mut Context<'_>) {
        let name = self.index.name(name);
        let item = self.index.get(&name);
        let touched = item.is_some_and(|item| item.walked == Some(walk));
        let same = item
            .and_then(|item| item.live())
            .and_then(|local| local.observed.as_ref())
            .is_some_and(|before| unchanged(before, &facts));
        self.index.mark_walked(&name, walk);
        if same
            && self
                .index
                .get(&name)
                .and_then(|item| item.local.as_ref())
                .is_some_and(|local| says_disk(&local.info))
        {
            return;
        }
        if touched || self.scan.is_busy(&name) {
            self.scan.look.insert(name);
        } else {
            self.judge(&name, Some(facts), true, cx);
        }
    }

    /// A walk has ended: what it did not see is looked at.
    pub fn walk_ended(
        &mut self,
        ticket: Ticket,
        root: Option<Doubt>,
        unreadable: Vec<(String, Failure)>,
        unnamed: Vec<String>,
        cx: &mut Context<'_>,
    ) {
        let Some(walk) = self.scan.walk.take_if(|walk| walk.ticket == ticket) else {
            return;
        };
        if let Some(doubt) = root {
            self.stop(doubt, cx);
            return;
        }
        let whole = walk.below.is_none();
        if whole {
            self.scan.unnamed = unnamed;
            self.scan.unreadable.clear();
            if self.config.rescan > 0 {
                self.scan.next_walk = Some(cx.now.monotonic + self.config.rescan);
            }
        }
        let missed = self.unseen(&walk, &unreadable);
        for (name, failure) in unreadable {
            let name = self.index.name(&name);
            self.scan.unreadable.insert(name, failure);
        }
        if whole && missed.len() > HANDFUL && missed.len() == self.index.live() && !self.emptied {
            self.stop(Doubt::Emptied, cx);
            return;
        }
        self.emptied = false;
        self.scan.look.extend(missed);
    }

    /// Items of ours that a walk should have seen.
    fn unseen(&self, walk: &Walk, unreadable: &[(String, Failure)]) -> Vec<Name> {
        let hidden = |name: &str| {
            unreadable
                .iter()
                .any(|(above, _)| name == above || is_below(name, above))
        };
        let missed = |(name, item): &(&Name, &crate::index::Item)| {
            item.live().is_some() && item.walked != Some(walk.ticket) && !hidden(name)
        };
        match &walk.below {
            None => self
                .index
                .items()
                .filter(missed)
                .map(|(name, _)| Arc::clone(name))
                .collect(),
            Some(below) => self
                .index
                .below(below)
                .filter(missed)
                .map(|(name, _)| Arc::clone(name))
                .collect(),
        }
    }

    /// Names were looked at.
    pub fn looked(
        &mut self,
        ticket: Ticket,
        root: Option<Doubt>,
        found: Vec<(String, Result<Option<Facts>, Failure>)>,
        cx: &mut Context<'_>,
    ) {
        let Some(names) = self.scan.looking.remove(&ticket) else {
            return;
        };
        for name in &names {
            self.free(name);
        }
        if let Some(doubt) = root {
            self.scan.look.extend(names);
            self.stop(doubt, cx);
            return;
        }
        for (name, result) in found {
            let name = self.index.name(&name);
            match result {
                Ok(facts) => self.judge(&name, facts, false, cx),
                Err(failure) => {
                    self.scan.unreadable.insert(name, failure);
                }
            }
        }
    }

    /// What the disk shows of a name against our entry. `walking`: what is below is seen anyway.
    fn judge(&mut self, name: &Name, facts: Option<Facts>, walking: bool, cx: &mut Context<'_>) {
        if is_internal(name) || self.scan.is_busy(name) {
            return;
        }
        self.scan.unreadable.remove(name);
        let Some(facts) = facts else {
            self.gone(name, cx);
            return;
        };
        let holds = facts.kind == FactsKind::Directory && (walking || self.holds(name));
        let ignored = self.rules.ignores.verdict(name) != Verdict::Shared && !holds;
        if facts.kind == FactsKind::Other || ignored {
            self.unshared(name);
            return;
        }
        let local = self.index.get(name).and_then(|item| item.local.clone());
        let before = local.as_ref().filter(|local| says_disk(&local.info));
        if let Some(local) = before
            && local
                .observed
                .as_ref()
                .is_some_and(|seen| unchanged(seen, &facts))
        {
            return;
        }
        if facts.kind == FactsKind::File {
            match self.known_content(name, &facts) {
                Some(hashed) => self.content(name, hashed, cx),
                None => {
                    self.scan.hash.insert(Arc::clone(name));
                }
            }
            return;
        }
        if facts.kind == FactsKind::Directory && !walking {
            self.scan.below.insert(name.to_string());
        }
        let info = of_disk(name, &facts, None, self.config.ignore_modes);
        match before {
            Some(local)
                if same_content(&local.info, &info)
                    && (local.info.no_permissions
                        || info.no_permissions
                        || local.info.permissions == info.permissions) =>
            {
                self.observed(name, facts);
            }
            _ => self.changed(info, Some(facts), cx),
        }
    }

    /// A file that was seen under another name, or whose name came back: what is in it is known without reading.
    fn known_content(&self, name: &Name, facts: &Facts) -> Option<Hashed> {
        let other = self.index.with_inode(facts)?;
        if other == name {
            return None;
        }
        let local = self.index.get(other)?.live()?;
        let known = local.info.is_content() && same_file(local.observed.as_ref()?, facts);
        known.then(|| Hashed {
            facts: facts.clone(),
            block_size: local.info.block_size,
            blocks: local.info.blocks.clone(),
        })
    }

    /// A file was read.
    pub fn hashed(
        &mut self,
        ticket: Ticket,
        result: Result<Hashed, Failure>,
        cx: &mut Context<'_>,
    ) {
        let Some(name) = self.scan.hashing.remove(&ticket) else {
            return;
        };
        self.free(&name);
        match result {
            Ok(hashed) => {
                self.scan.unsteady.remove(&name);
                self.content(&name, hashed, cx);
            }
            Err(Failure::Gone) => self.scan.name(name),
            Err(Failure::Unsteady) => {
                let delay = self
                    .scan
                    .unsteady
                    .get(&name)
                    .map_or(UNSTEADY[0], |(_, delay)| (delay * 2).min(UNSTEADY[1]));
                self.scan
                    .unsteady
                    .insert(name, (cx.now.monotonic + delay, delay));
            }
            Err(failure) => {
                cx.tell(Event::Trouble {
                    folder: Arc::clone(&self.id),
                    name: name.to_string(),
                    failure: failure.clone(),
                });
                self.scan.unreadable.insert(name, failure);
            }
        }
    }

    /// What is in a file is known: our entry says so from now on.
    fn content(&mut self, name: &Name, hashed: Hashed, cx: &mut Context<'_>) {
        let mut info = of_hashed(name, &hashed, self.config.ignore_modes);
        let local = self.index.get(name).and_then(|item| item.local.clone());
        let before = local.as_ref().filter(|local| says_disk(&local.info));
        if let Some(local) = before {
            let same = same_content(&local.info, &info);
            let modes = local.info.no_permissions
                || info.no_permissions
                || local.info.permissions == info.permissions;
            // The disk's time may be rounded: it is ours if it is what we saw when we wrote it.
            let times = local.info.modified == info.modified
                || local
                    .observed
                    .as_ref()
                    .is_some_and(|seen| seen.modified == hashed.facts.modified);
            if same && modes && times {
                self.observed(name, hashed.facts);
                return;
            }
            info.previous_blocks_hash = if same {
                local.info.previous_blocks_hash
            } else {
                content(&local.info)
            };
        }
        self.changed(info, Some(hashed.facts), cx);
    }

    /// An item is gone from the disk.
    fn gone(&mut self, name: &Name, cx: &mut Context<'_>) {
        let local = self.index.get(name).and_then(|item| item.live().cloned());
        let Some(local) = local else { return };
        if local.info.invalid && !stays_here(&local.info) {
            self.record(local.info, None);
            return;
        }
        if local.info.kind == Kind::Directory {
            let below: Vec<Name> = self
                .index
                .below(name)
                .filter(|(_, item)| item.live().is_some())
                .map(|(name, _)| Arc::clone(name))
                .collect();
            self.scan.look.extend(below);
        }
        self.changed(tombstone(&local.info, cx.now.wall), None, cx);
    }

    /// Whether something that is shared lies below a directory.
    fn holds(&self, name: &str) -> bool {
        self.index
            .below(name)
            .any(|(_, item)| item.live().is_some_and(|local| !local.info.invalid))
    }

    /// An item is there, and not for others: they are told that we have nothing of it to give.
    fn unshared(&mut self, name: &Name) {
        let local = self.index.get(name).and_then(|item| item.local.clone());
        if let Some(local) = local
            && !local.info.deleted
            && !local.info.invalid
        {
            let info = FileInfo {
                invalid: true,
                ..(*local.info).clone()
            };
            self.record(Arc::new(info), local.observed);
        }
    }
}

/// The directories above a name, from the top.
pub fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// Whether a name is below a directory.
pub fn is_below(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}
