//! Bringing: how the entry that won becomes what is on the disk. Content is gathered first; then a group of steps, each
//! with what has to be there before, gives names and takes them.

mod apply;
mod gather;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo, Kind};

use crate::config::Versions;
use crate::conflict::copy_name;
use crate::entry::{MODE, tombstone};
use crate::folder::{Context, Folder};
use crate::index::{Local, Name};
use crate::io::{Act, Displaced, Event, Expected, Facts, Failure, Now, Step, Ticket};
use crate::plan::{Action, Plan, plan};
use crate::scan::Busy;
use crate::session::Asked;

/// Files that are gathered at once.
const JOBS: usize = 256;
/// Steps of one group.
const STEPS: usize = 2_000;
/// Files of one content that are looked at to find one that goes.
const SAME: usize = 16;
/// Milliseconds until what failed is tried again; doubled to the last.
const RETRY: [u64; 2] = [1_000, 3_600_000];
/// A file that is gathered.
#[derive(Debug)]
struct Job {
    /// Which attempt this is: answers to an earlier one say nothing.
    id: Ticket,
    global: Arc<FileInfo>,
    step: Step,
    temporary: String,
    missing: VecDeque<u32>,
    /// Blocks that are asked for.
    under_way: usize,
    /// Blocks that are written. Until they are, nobody else may write this file.
    writing: usize,
    /// It has failed, and waits for what is still written.
    dead: bool,
    failed: HashSet<DeviceId>,
}

/// A step that may be carried out.
#[derive(Debug)]
struct Ready {
    name: Name,
    /// The entry that is taken over; nothing where a directory is made because something has to be in it.
    global: Option<Arc<FileInfo>>,
    step: Step,
    conflict: bool,
}

#[derive(Debug)]
struct Writing {
    name: Name,
    block: u32,
    device: DeviceId,
}

/// What a folder brings.
#[derive(Debug, Default)]
pub struct Pull {
    jobs: HashMap<Name, Job>,
    asking: VecDeque<Name>,
    ready: Vec<Ready>,
    removals: BTreeSet<Name>,
    applying: Option<(Ticket, Vec<Ready>)>,
    preparing: HashMap<Ticket, (Name, Ticket)>,
    writing: HashMap<Ticket, Writing>,
    retry: BTreeMap<Name, (u64, u64)>,
    /// What could not be done, and why.
    pub troubles: BTreeMap<Name, Failure>,
}

impl Pull {
    /// What is under way; nothing at rest.
    pub fn unrest(&self) -> Option<&'static str> {
        let open = [
            (!self.jobs.is_empty(), "files to gather"),
            (!self.ready.is_empty(), "steps to come"),
            (self.applying.is_some(), "steps"),
        ];
        open.iter().find(|(is, _)| *is).map(|(_, what)| *what)
    }

    /// The files that are gathered, and how far they are.
    pub fn gathering(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .jobs
            .iter()
            .map(|(name, job)| {
                format!(
                    "{name}: {} missing, {} asked for, {} written{}",
                    job.missing.len(),
                    job.under_way,
                    job.writing,
                    if job.dead { ", given up" } else { "" }
                )
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// The file that something was asked for, if that attempt goes on.
    fn job(&mut self, asked: &Asked) -> Option<&mut Job> {
        self.jobs
            .get_mut(&asked.name)
            .filter(|job| job.id == asked.job && !job.dead)
    }

    /// When something is tried again.
    pub fn wake(&self) -> Option<u64> {
        self.retry
            .values()
            .map(|(at, _)| *at)
            .filter(|at| *at != u64::MAX)
            .min()
    }
}

impl Folder {
    /// Begins what can be begun, asks for blocks, carries out what is ready.
    pub fn advance_pull(&mut self, cx: &mut Context<'_>) {
        self.retry_due(cx.now.monotonic);
        while self.pull.jobs.len() < JOBS && self.pull.ready.len() < STEPS {
            let Some(name) = self.index.take_dirty() else {
                break;
            };
            self.consider(&name, cx);
        }
        if self.pull.jobs.len() < JOBS {
            for name in std::mem::take(&mut self.pull.removals) {
                self.remove(&name, cx);
            }
        }
        self.ask(cx);
        self.apply(cx);
    }

    pub(super) fn retry_due(&mut self, now: u64) {
        let due: Vec<Name> = self
            .pull
            .retry
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in due {
            if let Some((at, _)) = self.pull.retry.get_mut(&name) {
                *at = u64::MAX; // the delay stays until it was done
            }
            if self.index.needs().contains(&name) {
                self.index.again(&name);
            } else {
                self.pull.retry.remove(&name);
                self.pull.troubles.remove(&name);
            }
        }
    }

    /// What is to be done with an item that needs something.
    pub(super) fn planned(&self, name: &Name) -> Option<(Plan, Arc<FileInfo>, Option<Local>)> {
        let item = self.index.get(name)?;
        let global = Arc::clone(item.global(&self.rules)?);
        let local = item.local.clone();
        let plan = plan(
            local.as_ref().map(|local| &*local.info),
            &global,
            self.rules.direction,
            self.rules.ignore_modes,
        );
        Some((plan, global, local))
    }

    pub(super) fn consider(&mut self, name: &Name, cx: &mut Context<'_>) {
        let waits = self
            .pull
            .retry
            .get(name)
            .is_some_and(|(at, _)| *at != u64::MAX && *at > cx.now.monotonic);
        if waits || self.scan.is_busy(name) {
            return; // it comes again when it is free, or when it is time
        }
        let Some((plan, global, local)) = self.planned(name) else {
            return;
        };
        match plan.action {
            Action::Nothing => {}
            Action::Adopt => {
                let observed = local.and_then(|local| local.observed);
                self.took(name, &global, observed, cx);
            }
            Action::Remove => {
                self.pull.removals.insert(Arc::clone(name));
            }
            Action::Facts => {
                let step = Step {
                    act: Act::Facts {
                        mode: self.mode(&global),
                        modified: (global.kind == Kind::File).then_some(global.modified),
                    },
                    displaced: Displaced::Drop,
                    ..self.step(name, local.as_ref(), false, &global, cx.now)
                };
                self.prepare_step(name, global, step, false);
            }
            Action::Directory | Action::Link | Action::Content => {
                if self.blocked(name, local.as_ref(), &global, cx) {
                    return;
                }
                let mut step = self.step(name, local.as_ref(), plan.conflict, &global, cx.now);
                match plan.action {
                    Action::Directory => {
                        step.act = Act::Directory {
                            mode: self.mode(&global),
                        };
                    }
                    Action::Link => {
                        step.act = Act::Link {
                            target: global.symlink_target.clone(),
                        };
                    }
                    _ => return self.gather(name, &global, local.as_ref(), step, cx),
                }
                self.prepare_step(name, global, step, plan.conflict);
            }
        }
    }

    pub(super) fn prepare_step(
        &mut self,
        name: &Name,
        global: Arc<FileInfo>,
        step: Step,
        conflict: bool,
    ) {
        if self.scan.take(name, Busy::Pulling) {
            self.pull.ready.push(Ready {
                name: Arc::clone(name),
                global: Some(global),
                step,
                conflict,
            });
        }
    }

    /// Whether a directory that should become something else, or go, has something in it. What is wanted by nobody goes
    /// first; what is wanted keeps the directory, and everybody is told so.
    pub(super) fn blocked(
        &mut self,
        name: &Name,
        local: Option<&Local>,
        global: &FileInfo,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(local) = local.filter(|local| {
            !local.info.deleted && local.info.kind == Kind::Directory && local.observed.is_some()
        }) else {
            return false;
        };
        if !global.deleted && global.kind == Kind::Directory {
            return false;
        }
        let mut inside = false;
        let mut wanted = false;
        for (_, item) in self.index.below(name) {
            if item.live().is_some_and(|local| !local.info.invalid) {
                inside = true;
                wanted |= item
                    .global(&self.rules)
                    .is_some_and(|global| !global.deleted && !global.invalid);
            }
        }
        if wanted {
            let base = local.info.version.merged(&global.version);
            self.changed_from(&base, (*local.info).clone(), local.observed.clone(), cx);
        }
        inside
    }

    /// A step for an item, but for what it does.
    pub(super) fn step(
        &self,
        name: &Name,
        local: Option<&Local>,
        conflict: bool,
        global: &FileInfo,
        now: Now,
    ) -> Step {
        let there = local
            .filter(|local| !local.info.deleted)
            .and_then(|local| local.observed.clone());
        let directory = local.is_some_and(|local| local.info.kind == Kind::Directory);
        let copies = self.config.max_conflicts != Some(0);
        let displaced = match (&there, self.config.versions) {
            (Some(_), _) if conflict && copies && !directory => Displaced::Conflict,
            (Some(_), Versions::Trash { .. }) if !directory => Displaced::Trash,
            (Some(_), Versions::Tagged(_)) if !directory => Displaced::Version,
            _ => Displaced::Drop,
        };
        Step {
            name: name.to_string(),
            expected: there.map_or(Expected::Nothing, Expected::Item),
            act: Act::Remove,
            displaced,
            copy: copy_name(name, local_time(now), global.modified_by),
        }
    }

    pub(super) fn mode(&self, global: &FileInfo) -> Option<u32> {
        (!self.config.ignore_modes && !global.no_permissions).then_some(global.permissions & MODE)
    }

    /// An item that only we have goes, because people say so.
    pub fn remove_own(&mut self, name: &Name, local: &Local, cx: &mut Context<'_>) {
        let gone = FileInfo {
            invalid: true,
            ..tombstone(&local.info, cx.now.wall)
        };
        let step = self.step(name, Some(local), false, &gone, cx.now);
        self.prepare_step(name, Arc::new(gone), step, false);
    }

    /// An item that others have removed goes, unless it turned out to be wanted meanwhile.
    pub(super) fn remove(&mut self, name: &Name, cx: &mut Context<'_>) {
        if self.scan.is_busy(name) {
            return;
        }
        let Some((plan, global, local)) = self.planned(name) else {
            return;
        };
        if plan.action != Action::Remove {
            self.index.again(name);
            return;
        }
        let Some(local) = local.filter(|local| local.observed.is_some()) else {
            self.took(name, &global, None, cx);
            return;
        };
        if self.blocked(name, Some(&local), &global, cx) {
            return;
        }
        let step = self.step(name, Some(&local), plan.conflict, &global, cx.now);
        self.prepare_step(name, global, step, plan.conflict);
    }

    /// Something could not be done; later, perhaps.
    pub(super) fn fail(&mut self, name: &Name, failure: Failure, cx: &mut Context<'_>) {
        let delay = self
            .pull
            .retry
            .get(name)
            .map_or(RETRY[0], |(_, delay)| (delay * 2).min(RETRY[1]));
        self.pull
            .retry
            .insert(Arc::clone(name), (cx.now.monotonic + delay, delay));
        if failure == Failure::Gone {
            // A directory that went while nobody was told: what is in it cannot come before that is known.
            let above: Vec<Name> = crate::scan::ancestors(name)
                .map(|above| self.index.name(above))
                .collect();
            for directory in above {
                self.scan.name(directory);
            }
        }
        cx.tell(Event::Trouble {
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            failure: failure.clone(),
        });
        self.pull.troubles.insert(Arc::clone(name), failure);
        if let Some(job) = self.pull.jobs.get_mut(name)
            && job.writing > 0
        {
            job.dead = true;
            return;
        }
        self.pull.jobs.remove(name);
        self.free(name);
    }

    /// The entry that won is ours now.
    pub(super) fn took(
        &mut self,
        name: &Name,
        global: &Arc<FileInfo>,
        observed: Option<Facts>,
        cx: &mut Context<'_>,
    ) {
        self.pull.retry.remove(name);
        self.pull.troubles.remove(name);
        let deleted = global.deleted;
        self.record(Arc::clone(global), if deleted { None } else { observed });
        cx.tell(Event::Took {
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            deleted,
        });
    }

    /// A device is there, or shares more: what nobody could give may be had now.
    pub fn look_again(&mut self) {
        self.index.all_again();
    }
}

/// This place's time, as it stands in names.
fn local_time(now: Now) -> jiff::civil::DateTime {
    jiff::Timestamp::from_second(now.wall.0 + i64::from(now.offset))
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .datetime()
}
