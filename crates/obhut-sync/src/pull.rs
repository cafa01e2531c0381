//! Bringing: how the entry that won becomes what is on the disk. Content is gathered first; then a group of steps, each
//! with what has to be there before, gives names and takes them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo, HASH, Kind, Request, Response};

use crate::config::Versions;
use crate::conflict::copy_name;
use crate::entry::{MODE, content, of_disk};
use crate::folder::{Context, Folder};
use crate::index::{Local, Name};
use crate::internal::{is_temporary, temporary};
use crate::io::{
    Act, Displaced, Event, Expected, Facts, Failure, Now, Outcome, Output, Source, Step, Ticket,
};
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

    fn retry_due(&mut self, now: u64) {
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
    fn planned(&self, name: &Name) -> Option<(Plan, Arc<FileInfo>, Option<Local>)> {
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

    fn consider(&mut self, name: &Name, cx: &mut Context<'_>) {
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
                    _ => return self.gather(name, global, local.as_ref(), step, cx),
                }
                self.prepare_step(name, global, step, plan.conflict);
            }
        }
    }

    fn prepare_step(&mut self, name: &Name, global: Arc<FileInfo>, step: Step, conflict: bool) {
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
    fn blocked(
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
            self.changed_from(base, (*local.info).clone(), local.observed.clone(), cx);
        }
        inside
    }

    /// A step for an item, but for what it does.
    fn step(
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
            (None, _) => Displaced::Drop,
            (Some(_), _) if directory => Displaced::Drop,
            (Some(_), _) if conflict && copies => Displaced::Conflict,
            (Some(_), Versions::None) => Displaced::Drop,
            (Some(_), Versions::Trash { .. }) => Displaced::Trash,
            (Some(_), Versions::Tagged(_)) => Displaced::Version,
        };
        Step {
            name: name.to_string(),
            expected: there.map_or(Expected::Nothing, Expected::Item),
            act: Act::Remove,
            displaced,
            copy: copy_name(name, local_time(now), global.modified_by),
        }
    }

    fn mode(&self, global: &FileInfo) -> Option<u32> {
        (!self.config.ignore_modes && !global.no_permissions).then_some(global.permissions & MODE)
    }

    /// Gathers the content of a file.
    fn gather(
        &mut self,
        name: &Name,
        global: Arc<FileInfo>,
        local: Option<&Local>,
        mut step: Step,
        cx: &mut Context<'_>,
    ) {
        match self.above(name, cx.now) {
            Place::There => {}
            Place::Later => return, // the directory has what waits for it looked at again
            Place::Taken => return self.taken(name, cx),
        }
        let hash = content(&global);
        if step.expected == Expected::Nothing
            && let Some(hash) = hash
            && self.move_here(name, &global, &hash, &step)
        {
            return;
        }
        let sources = self.sources(&global, local, hash.as_ref());
        let holders = self.index.get(name).is_some_and(|item| {
            item.holders(&global)
                .any(|device| cx.sessions.connected(device))
        });
        if !holders && sources.len() < global.blocks.len() {
            return; // nobody is there to give it; connecting has it looked at again
        }
        if !self.scan.take(name, Busy::Pulling) {
            return;
        }
        let temporary = temporary(name, |last| hex(&obhut_bep::digest(last.as_bytes())));
        step.act = Act::File {
            temporary: temporary.clone(),
            mode: self.mode(&global),
            modified: global.modified,
        };
        let id = cx.ticket(&self.id);
        cx.routes.remove(&id);
        let mut job = Job {
            id,
            global: Arc::clone(&global),
            step,
            temporary: temporary.clone(),
            missing: VecDeque::new(),
            under_way: 0,
            writing: 0,
            dead: false,
            failed: HashSet::new(),
        };
        if sources.is_empty() && global.blocks.len() == 1 && global.size > 0 {
            // One block from somebody else: writing it makes the file.
            job.missing.push_back(0);
            self.pull.asking.push_back(Arc::clone(name));
        } else {
            let ticket = cx.ticket(&self.id);
            self.pull.preparing.insert(ticket, (Arc::clone(name), id));
            cx.out.push(Output::Prepare {
                ticket,
                folder: Arc::clone(&self.id),
                temporary,
                size: global.size,
                block_size: global.block_size,
                blocks: global.blocks.clone(),
                sources,
            });
        }
        self.pull.jobs.insert(Arc::clone(name), job);
    }

    /// Blocks that are on this disk: those at the same place of the file that is there, or all of another one.
    fn sources(
        &self,
        global: &FileInfo,
        local: Option<&Local>,
        hash: Option<&[u8; HASH]>,
    ) -> Vec<Source> {
        let whole = hash.and_then(|hash| {
            self.index.with_content(hash).find(|name| {
                self.index
                    .get(name)
                    .and_then(|item| item.live())
                    .is_some_and(|local| local.info.block_size == global.block_size)
            })
        });
        let count = global.blocks.len();
        let source = |block: usize, name: &str| Source {
            block: block as u32,
            name: name.to_owned(),
            offset: block as u64 * u64::from(global.block_size),
        };
        if let Some(name) = whole {
            return (0..count).map(|block| source(block, name)).collect();
        }
        let Some(local) = local.filter(|local| {
            local.info.is_content()
                && local.observed.is_some()
                && local.info.block_size == global.block_size
        }) else {
            return Vec::new();
        };
        (0..count.min(local.info.blocks.len()))
            .filter(|&block| local.info.blocks.hash(block) == global.blocks.hash(block))
            .map(|block| source(block, &local.info.name))
            .collect()
    }

    /// A file that goes and whose content is wanted here is given the new name.
    fn move_here(
        &mut self,
        name: &Name,
        global: &Arc<FileInfo>,
        hash: &[u8; HASH],
        step: &Step,
    ) -> bool {
        let found = self.index.with_content(hash).take(SAME).find_map(|from| {
            if self.scan.is_busy(from) || !self.index.needs().contains(from) {
                return None;
            }
            let (plan, gone, local) = self.planned(from)?;
            let local = local?;
            let goes = plan.action == Action::Remove
                && !plan.conflict
                && gone.deleted
                && local.info.size == global.size;
            goes.then(|| (Arc::clone(from), local.observed))
        });
        let Some((from, Some(facts))) = found else {
            return false;
        };
        if !self.scan.take(name, Busy::Pulling) {
            return true;
        }
        if !self.scan.take(&from, Busy::Pulling) {
            self.free(name);
            return false;
        }
        let step = Step {
            act: Act::Move {
                from: from.to_string(),
                facts,
                mode: self.mode(global),
                modified: global.modified,
            },
            displaced: Displaced::Drop,
            ..step.clone()
        };
        self.pull.ready.push(Ready {
            name: Arc::clone(name),
            global: Some(Arc::clone(global)),
            step,
            conflict: false,
        });
        true
    }

    /// An item that others have removed goes, unless it turned out to be wanted meanwhile.
    fn remove(&mut self, name: &Name, cx: &mut Context<'_>) {
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

    /// Asks for blocks, as many as connections take.
    fn ask(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.pull.asking.len() {
            let Some(name) = self.pull.asking.pop_front() else {
                return;
            };
            if !self.ask_for(&name, cx) {
                self.pull.asking.push_back(name);
            }
        }
    }

    /// Whether all that a file lacks was asked for.
    fn ask_for(&mut self, name: &Name, cx: &mut Context<'_>) -> bool {
        let Some(job) = self.pull.jobs.get_mut(name).filter(|job| !job.dead) else {
            return true;
        };
        let holders: HashSet<DeviceId> = self
            .index
            .get(name)
            .into_iter()
            .flat_map(|item| item.holders(&job.global))
            .filter(|device| !job.failed.contains(device) && cx.sessions.connected(*device))
            .collect();
        if holders.is_empty() && job.under_way + job.writing == 0 && !job.missing.is_empty() {
            self.fail(name, Failure::Gone, cx);
            return true;
        }
        while let Some(&block) = job.missing.front() {
            let offset = u64::from(block) * u64::from(job.global.block_size);
            let size = (job.global.size - offset).min(u64::from(job.global.block_size)) as u32;
            let session = cx
                .sessions
                .least_busy(&self.id, size, |device| holders.contains(&device));
            let (Some(session), Some(hash)) = (session, job.global.blocks.hash(block as usize))
            else {
                return false;
            };
            let request = Request {
                folder: self.id.to_string(),
                name: name.to_string(),
                offset,
                size,
                hash: hash.to_vec(),
                block_no: block,
                ..Request::default()
            };
            let asked = Asked {
                folder: Arc::clone(&self.id),
                name: Arc::clone(name),
                job: job.id,
                block,
                size,
            };
            session.ask(asked, request, cx.out);
            job.missing.pop_front();
            job.under_way += 1;
        }
        true
    }

    /// A temporary file is there.
    pub fn prepared(
        &mut self,
        ticket: Ticket,
        result: Result<Vec<u32>, Failure>,
        cx: &mut Context<'_>,
    ) {
        let Some((name, id)) = self.pull.preparing.remove(&ticket) else {
            return;
        };
        let Some(job) = self.pull.jobs.get_mut(&name).filter(|job| job.id == id) else {
            return;
        };
        match result {
            Ok(missing) => {
                job.missing = missing.into();
                if job.missing.is_empty() {
                    self.gathered(&name);
                } else {
                    self.pull.asking.push_back(name);
                }
            }
            Err(failure) => self.fail(&name, failure, cx),
        }
    }

    /// A device answered.
    pub fn answered(
        &mut self,
        asked: Asked,
        device: DeviceId,
        response: Response,
        cx: &mut Context<'_>,
    ) {
        let Some(job) = self.pull.job(&asked) else {
            return;
        };
        let hash = job
            .global
            .blocks
            .hash(asked.block as usize)
            .and_then(|hash| <[u8; HASH]>::try_from(hash).ok());
        let right = response.code == obhut_bep::Code::None
            && response.data.len() == asked.size as usize;
        let Some(hash) = hash.filter(|_| right) else {
            self.unanswered(asked, Some(device));
            return;
        };
        job.under_way -= 1;
        job.writing += 1;
        let ticket = cx.ticket(&self.id);
        let offset = u64::from(asked.block) * u64::from(job.global.block_size);
        cx.out.push(Output::Write {
            ticket,
            folder: Arc::clone(&self.id),
            temporary: job.temporary.clone(),
            total: job.global.size,
            offset,
            data: response.data,
            hash,
        });
        self.pull.writing.insert(
            ticket,
            Writing {
                name: asked.name,
                block: asked.block,
                device,
            },
        );
    }

    /// A block has not come, and is missing again; from whom it should not be asked any more.
    pub fn unanswered(&mut self, asked: Asked, failed: Option<DeviceId>) {
        let Some(job) = self.pull.job(&asked) else {
            return;
        };
        job.under_way -= 1;
        job.missing.push_front(asked.block);
        job.failed.extend(failed);
        self.ask_again(asked.name);
    }

    fn ask_again(&mut self, name: Name) {
        if !self.pull.asking.contains(&name) {
            self.pull.asking.push_back(name);
        }
    }

    /// A block was written.
    pub fn wrote(&mut self, ticket: Ticket, result: Result<(), Failure>, cx: &mut Context<'_>) {
        let Some(writing) = self.pull.writing.remove(&ticket) else {
            return;
        };
        let Some(job) = self.pull.jobs.get_mut(&writing.name) else {
            return;
        };
        job.writing -= 1;
        if job.dead {
            if job.writing == 0 {
                self.pull.jobs.remove(&writing.name);
                self.free(&writing.name);
            }
            return;
        }
        match result {
            Ok(()) => {
                if job.under_way + job.writing == 0 && job.missing.is_empty() {
                    self.gathered(&writing.name);
                }
            }
            Err(Failure::WrongHash) => {
                job.missing.push_front(writing.block);
                job.failed.insert(writing.device);
                self.ask_again(writing.name);
            }
            Err(failure) => self.fail(&writing.name, failure, cx),
        }
    }

    /// All of a file is here. If another entry won meanwhile, it is gathered instead: what is here serves it.
    fn gathered(&mut self, name: &Name) {
        let Some(job) = self.pull.jobs.remove(name) else {
            return;
        };
        let wanted = self.planned(name).is_some_and(|(plan, global, _)| {
            plan.action == Action::Content && global.version == job.global.version
        });
        if wanted {
            self.pull.ready.push(Ready {
                name: Arc::clone(name),
                global: Some(job.global),
                conflict: job.step.displaced == Displaced::Conflict,
                step: job.step,
            });
        } else {
            self.free(name);
        }
    }

    /// Something could not be done; later, perhaps.
    fn fail(&mut self, name: &Name, failure: Failure, cx: &mut Context<'_>) {
        let delay = self
            .pull
            .retry
            .get(name)
            .map_or(RETRY[0], |(_, delay)| (delay * 2).min(RETRY[1]));
        self.pull
            .retry
            .insert(Arc::clone(name), (cx.now.monotonic + delay, delay));
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

    /// Carries out what is ready, one group at a time: directories from the top, what goes into them, what goes from them.
    fn apply(&mut self, cx: &mut Context<'_>) {
        if self.pull.applying.is_some() || self.pull.ready.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.pull.ready);
        ready.sort_by(|one, other| order(one).cmp(&order(other)));
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
    fn place(
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

    fn taken(&mut self, name: &Name, cx: &mut Context<'_>) {
        let failure = Failure::Other("a file is where a directory should be".to_owned());
        self.fail(name, failure, cx);
    }

    /// Whether the directories above a name are there, so that a temporary file can be made. What nobody else will make is
    /// made ready.
    fn above(&mut self, name: &Name, now: Now) -> Place {
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
    fn comes(&self, directory: &Name) -> bool {
        self.index.needs().contains(directory)
            && self
                .planned(directory)
                .is_some_and(|(plan, ..)| plan.action == Action::Directory)
    }

    /// Whether a directory is about to go.
    fn goes(&self, directory: &Name) -> bool {
        self.pull
            .applying
            .iter()
            .flat_map(|(_, group)| group)
            .chain(&self.pull.ready)
            .any(|ready| ready.name == *directory && ready.step.act == Act::Remove)
    }

    /// A directory that nobody announced, or that somebody removed, but that something has to be in.
    fn implied(&self, name: &Name, now: Now) -> Ready {
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

    fn outcome(&mut self, one: Ready, outcome: Outcome, cx: &mut Context<'_>) {
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
                self.fail(&name, Failure::Other("the directory is not empty".to_owned()), cx);
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
    fn leftovers(&self, inside: Vec<String>, cx: &mut Context<'_>) {
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

    fn done(
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
                self.changed_from(base.unwrap_or_default(), info, Some(facts), cx);
            }
            (None, None) => {}
        }
    }

    /// The entry that won is ours now.
    fn took(
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

    /// The name that a file had before it was moved is gone, as others wanted.
    fn moved(&mut self, from: &Name, cx: &mut Context<'_>) {
        if let Some((plan, global, _)) = self.planned(from)
            && plan.action == Action::Remove
        {
            self.took(from, &global, None, cx);
        }
    }

    fn conflict(&mut self, name: &Name, copy: String, cx: &mut Context<'_>) {
        let made = self.index.name(&copy);
        self.scan.name(made);
        cx.tell(Event::Conflict {
            folder: Arc::clone(&self.id),
            name: name.to_string(),
            copy,
        });
    }

    /// A device is there, or shares more: what nobody could give may be had now.
    pub fn look_again(&mut self) {
        self.index.all_again();
    }
}

/// Whether a step's directory is there.
enum Place {
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

/// This place's time, as it stands in names.
fn local_time(now: Now) -> jiff::civil::DateTime {
    jiff::Timestamp::from_second(now.wall.0 + i64::from(now.offset))
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .datetime()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
