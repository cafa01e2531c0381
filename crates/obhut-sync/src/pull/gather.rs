//! Gathering: the content of a file, from this disk and from other devices, into a temporary file.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use obhut_bep::{DeviceId, FileInfo, HASH, Request, Response};

use super::apply::Place;
use super::{Job, Ready, SAME, Writing};
use crate::entry::content;
use crate::folder::{Context, Folder};
use crate::index::{Local, Name};
use crate::internal::temporary;
use crate::io::{Act, Displaced, Expected, Failure, Output, Source, Step, Ticket};
use crate::plan::Action;
use crate::scan::Busy;
use crate::session::Asked;

impl Folder {
    /// Gathers the content of a file.
    pub(super) fn gather(
        &mut self,
        name: &Name,
        global: &Arc<FileInfo>,
        local: Option<&Local>,
        mut step: Step,
        cx: &mut Context<'_>,
    ) {
        match self.above(name, cx.now) {
            Place::There => {}
            Place::Later => return, // the directory has what waits for it looked at again
            Place::Taken => return self.taken(name, cx),
        }
        let hash = content(global);
        if step.expected == Expected::Nothing
            && let Some(hash) = hash
            && self.move_here(name, global, &hash, &step)
        {
            return;
        }
        let sources = self.sources(global, local, hash.as_ref());
        let holders = self.index.get(name).is_some_and(|item| {
            item.holders(global)
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
            mode: self.mode(global),
            modified: global.modified,
        };
        let id = cx.ticket(&self.id);
        cx.routes.remove(&id);
        let mut job = Job {
            id,
            global: Arc::clone(global),
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
    pub(super) fn sources(
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
    pub(super) fn move_here(
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

    /// Asks for blocks, as many as connections take.
    pub(super) fn ask(&mut self, cx: &mut Context<'_>) {
        for _ in 0..self.pull.asking.len() {
            if !cx.sessions.any_takes_request() {
                return;
            }
            let Some(name) = self.pull.asking.pop_front() else {
                return;
            };
            if !self.ask_for(&name, cx) {
                self.pull.asking.push_back(name);
            }
        }
    }

    /// Whether all that a file lacks was asked for.
    pub(super) fn ask_for(&mut self, name: &Name, cx: &mut Context<'_>) -> bool {
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
        let right =
            response.code == obhut_bep::Code::None && response.data.len() == asked.size as usize;
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

    pub(super) fn ask_again(&mut self, name: Name) {
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
    pub(super) fn gathered(&mut self, name: &Name) {
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
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
