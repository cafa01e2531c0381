//! Carrying out: a group of steps, and what came of each.

use std::collections::HashSet;
use std::sync::Arc;

use obhut_bep::{FileInfo, Kind};

use super::{Ready, STEPS};
use crate::entry::of_disk;
use crate::folder::{Context, Folder};
use crate::index::Name;
use crate::internal::is_temporary;
use crate::io::{Act, Displaced, Event, Facts, Failure, Now, Outcome, Output, Ticket};
use crate::plan::Action;
use crate::scan::Busy;

impl Folder {
    /// Carries out what is ready, one group at a time: directories from the top, what goes into them, what goes from them.
    pub(super) fn apply(&mut self, cx: &mut Context<'_>) {
        if self.pull.applying.is_some() || self.pull.ready.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.pull.ready);
        ready.sort_by_cached_key(order);
        let mut group: Vec<Ready> = Vec::new();
        let mut made: HashSet<Name> = HashSet::new();
        for one in ready {
            if group.len() >= STEPS {
                self.pull.ready.push(one);
                continue;
            }
            match self.place(&one, &mut made, &mut group, cx) {
                Place::There => group.push(one),
                Place::Later => self.pull.ready.push(one),
                Place::Taken => {
                    let from = match &one.step.act {
                        Act::Move { from, .. } => Some(self.index.name(from)),
                        _ => None,
                    };
                    self.taken(&one.name, cx);
                    if let Some(from) = from {
                        self.free(&from);
                    }
                }
            }
        }
        if group.is_empty() {
            return;
        }
        let ticket = cx.ticket(&self.id);
        cx.out.push(Output::Apply {
            ticket,
            folder: Arc::clone(&self.id),
            steps: group.iter().map(|one| one.step.clone()).collect(),
        });
        self.pull.applying = Some((ticket, group));
    }

    /// Whether the directory that a step needs is there, or made by this group.
    pub(super) fn place(
        &mut self,
        one: &Ready,
        made: &mut HashSet<Name>,
        group: &mut Vec<Ready>,
        cx: &mut Context<'_>,
    ) -> Place {
        let makes = matches!(one.step.act, Act::Directory { .. });
        if matches!(one.step.act, Act::Remove | Act::Facts { .. }) {
            return Place::There;
        }
        let above: Vec<Name> = crate::scan::ancestors(&one.name)
            .map(|name| self.index.name(name))
            .collect();
        for directory in above {
            if made.contains(&directory) {
                continue;
            }
            let live = self.index.get(&directory).and_then(|item| item.live());
            match live.map(|local| (local.info.kind, local.info.invalid)) {
                Some((Kind::Directory, _)) if !self.goes(&directory) => continue,
                Some((Kind::Directory, _)) => return Place::Later,
                Some(_) => return Place::Taken,
                None => {}
            }
            if self.comes(&directory) || !self.scan.take(&directory, Busy::Pulling) {
                // Its own step is on its way: nothing may come into it before it is there.
                return Place::Later;
            }
            group.push(self.implied(&directory, cx.now));
            made.insert(directory);
        }
        if makes {
            made.insert(Arc::clone(&one.name));
        }
        Place::There
    }

    pub(super) fn taken(&mut self, name: &Name, cx: &mut Context<'_>) {
        let failure = Failure::Other("a file is where a directory should be".to_owned());
        self.fail(name, failure, cx);
    }

    /// Whether the directories above a name are there, so that a temporary file can be made. What nobody else will make is
    /// made ready.
    pub(super) fn above(&mut self, name: &Name, now: Now) -> Place {
        let above: Vec<Name> = crate::scan::ancestors(name)
            .map(|name| self.index.name(name))
            .collect();
        for directory in above {
            let live = self.index.get(&directory).and_then(|item| item.live());
            match live.map(|local| local.info.kind) {
                Some(Kind::Directory) => {}
                Some(_) => return Place::Taken,
                None => {
                    if !self.comes(&directory) && self.scan.take(&directory, Busy::Pulling) {
                        let implied = self.implied(&directory, now);
                        self.pull.ready.push(implied);
                    }
                    return Place::Later;
                }
            }
        }
        Place::There
    }

    /// Whether a directory is wanted anyway.
    pub(super) fn comes(&self, directory: &Name) -> bool {
        self.index.needs().contains(directory)
            && self
                .planned(directory)
                .is_some_and(|(plan, ..)| plan.action == Action::Directory)
    }

    /// Whether a directory is about to go.
    pub(super) fn goes(&self, directory: &Name) -> bool {
        self.pull
            .applying
            .iter()
            .flat_map(|(_, group)| group)
            .chain(&self.pull.ready)
            .any(|ready| ready.name == *directory && ready.step.act == Act::Remove)
    }

    /// A directory that nobody announced, or that somebody removed, but that something has to be in.
    pub(super) fn implied(&self, name: &Name, now: Now) -> Ready {
        let global = FileInfo::default();
        let local = self.index.get(name).and_then(|item| item.local.as_ref());
        let mut step = self.step(name, local, false, &global, now);
        step.act = Act::Directory { mode: None };
        Ready {
            name: Arc::clone(name),
            global: None,
            step,
            conflict: false,
        }
    }

    /// A group was carried out.
    pub fn applied(&mut self, ticket: Ticket, outcomes: Vec<Outcome>, cx: &mut Context<'_>) {
        let Some((_, group)) = self.pull.applying.take_if(|(known, _)| *known == ticket) else {
            return;
        };
        for (one, outcome) in group.into_iter().zip(outcomes) {
            self.outcome(one, outcome, cx);
        }
    }

    pub(super) fn outcome(&mut self, one: Ready, outcome: Outcome, cx: &mut Context<'_>) {
        let name = one.name;
        let from = match &one.step.act {
            Act::Move { from, .. } => Some(self.index.name(from)),
            _ => None,
        };
        if let Some(from) = &from {
            self.scan.name(Arc::clone(from));
        }
        match outcome {
            Outcome::Done(facts) => {
                self.done(&name, one.global.as_ref(), facts, cx);
                if one.conflict && one.step.displaced == Displaced::Conflict {
                    self.conflict(&name, one.step.copy, cx);
                }
                if let Some(from) = &from {
                    self.moved(from, cx);
                }
            }
            Outcome::Raced { now, copy } => {
                self.done(&name, one.global.as_ref(), now, cx);
                self.conflict(&name, copy, cx);
            }
            Outcome::Changed(_) => self.scan.name(Arc::clone(&name)),
            Outcome::NotEmpty(inside) => {
                self.leftovers(inside, cx);
                self.scan.name(Arc::clone(&name));
                self.fail(
                    &name,
                    Failure::Other("the directory is not empty".to_owned()),
                    cx,
                );
            }
            Outcome::Failed(failure) => {
                self.scan.name(Arc::clone(&name));
                self.fail(&name, failure, cx);
            }
        }
        self.free(&name);
        if let Some(from) = from {
            self.free(&from);
        }
    }

    /// Temporary files that nobody writes any more do not keep a directory.
    pub(super) fn leftovers(&self, inside: Vec<String>, cx: &mut Context<'_>) {
        let temporaries: Vec<String> = inside
            .into_iter()
            .filter(|name| {
                is_temporary(name) && !self.pull.jobs.values().any(|job| job.temporary == *name)
            })
            .collect();
        if !temporaries.is_empty() {
            cx.out.push(Output::Discard {
                folder: Arc::clone(&self.id),
                temporaries,
            });
        }
    }

    pub(super) fn done(
        &mut self,
        name: &Name,
        global: Option<&Arc<FileInfo>>,
        facts: Option<Facts>,
        cx: &mut Context<'_>,
    ) {
        match (global, facts) {
            (Some(global), facts) => self.took(name, global, facts, cx),
            (None, Some(facts)) => {
                // Made by us: it has to win over whoever removed it.
                let info = of_disk(name, &facts, None, self.config.ignore_modes);
                let item = self.index.get(name);
                let base = item
                    .and_then(|item| item.global(&self.rules))
                    .map(|global| global.version.clone());
                self.changed_from(&base.unwrap_or_default(), info, Some(facts), cx);
            }
            (None, None) => {}
        }
    }

    /// The name that a file had before it was moved is gone, as others wanted.
    pub(super) fn moved(&mut self, from: &Name, cx: &mut Context<'_>) {
        if let Some((plan, global, _)) = self.planned(from)
            && plan.action == Action::Remove
        {
            self.took(from, &global, None, cx);
        }
    }

    pub(super) fn conflict(&mut self, name: &Name, copy: String, cx: &mut Context<'_>) {
        let made = self.index.name(&copy);
        self.scan.name(made);
        cx.tell(Event::Conflict {
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            copy,
        });
    }
}

/// Whether a step's directory is there.
pub(super) enum Place {
    There,
    Later,
    Taken,
}

/// Directories from the top, links, files; then what goes, from the bottom.
fn order(ready: &Ready) -> (u8, std::cmp::Reverse<Option<Name>>, Name) {
    let class = match &ready.step.act {
        Act::Directory { .. } => 0,
        Act::Link { .. } => 1,
        Act::File { .. } | Act::Move { .. } | Act::Facts { .. } => 2,
        Act::Remove => 3,
    };
    let last = (class == 3).then(|| Arc::clone(&ready.name));
    (class, std::cmp::Reverse(last), Arc::clone(&ready.name))
}
