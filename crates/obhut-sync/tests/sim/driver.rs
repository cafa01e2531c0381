//! What a driver does for an engine, on a made disk and store: late, in pieces, and sometimes not at all.

use std::collections::VecDeque;
use std::sync::Arc;

use obhut_bep::{Code, digest};
use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::internal::is_untouchable;
use obhut_sync::io::{Doubt, FactsKind, Failure, Input, Outcome, Output, Root, Seen, Step, Ticket};

use crate::rng::Rng;
use crate::world::{Task, World, short};

impl World {
    pub fn ordered(&mut self, at: usize) {
        let Some(output) = self.devices[at].ordered.pop_front() else {
            return;
        };
        match output {
            Output::Commit {
                ticket, changes, ..
            } => {
                self.devices[at].store.commit(changes);
                self.give(at, Input::Committed { ticket });
            }
            Output::Mark {
                ticket, generation, ..
            } => {
                self.devices[at].disk.generation = Some(generation);
                self.give(at, Input::Marked { ticket });
            }
            Output::Open { folder, load } => {
                if load {
                    let mut changes = self.devices[at].store.load();
                    while !changes.is_empty() {
                        let rest = changes.split_off(changes.len().min(7));
                        self.give(
                            at,
                            Input::Loaded {
                                folder: Arc::clone(&folder),
                                changes,
                            },
                        );
                        changes = rest;
                    }
                }
                let root = match self.root(at) {
                    Some(doubt) => Root::Doubt(doubt),
                    None => Root::Ready {
                        generation: self.devices[at].disk.generation,
                        ignores: Arc::clone(&self.devices[at].ignores),
                        empty: self.devices[at].disk.tree().is_empty(),
                    },
                };
                self.chance += 2;
                let chance = [
                    Rng::new(self.chance).next(),
                    Rng::new(self.chance + 1).next(),
                ];
                self.give(
                    at,
                    Input::Opened {
                        folder,
                        root,
                        chance,
                    },
                );
            }
            _ => {}
        }
    }

    fn root(&self, at: usize) -> Option<Doubt> {
        (!self.devices[at].disk.marker).then_some(Doubt::MarkerMissing)
    }

    pub fn task(&mut self, at: usize) {
        let place = self.rng.below(self.devices[at].tasks.len());
        let task = self.devices[at].tasks.remove(place);
        match task {
            Task::Give(input) => self.give_in_order(at, input),
            Task::Plain(output) => self.carry_out(at, output),
            Task::Walk {
                ticket,
                names,
                ignores,
            } => self.walk(at, ticket, names, ignores),
            Task::Apply {
                ticket,
                steps,
                outcomes,
            } => self.apply(at, ticket, steps, outcomes),
        }
    }

    /// The end of a connection comes after everything that its driver said of it before.
    fn give_in_order(&mut self, at: usize, input: Input) {
        if let Input::Down { connection } = &input {
            let connection = *connection;
            self.devices[at].tasks.retain(|task| {
                !matches!(task, Task::Give(Input::Drained { connection: other, .. }) if *other == connection)
            });
        }
        self.give(at, input);
    }

    #[allow(clippy::too_many_lines)] // one arm for each output
    fn carry_out(&mut self, at: usize, output: Output) {
        let unsteady = self.rng.once_in(25);
        let fails = self.rng.once_in(60);
        let wrong = self.rng.once_in(40);
        let root = self.root(at);
        let now = self.now;
        let disk = &mut self.devices[at].disk;
        disk.now = now;
        // Within the tick of its last change a file may change again and look the same: a driver waits until that is over.
        if let Output::Hash { name, .. } = &output
            && disk.nodes.get(name).is_some_and(|node| node.at == now)
        {
            self.devices[at].tasks.push(Task::Plain(output));
            return;
        }
        match output {
            Output::Walk {
                ticket,
                below,
                ignores,
                ..
            } => {
                let names = disk
                    .nodes
                    .keys()
                    .filter(|name| {
                        below.as_ref().is_none_or(|below| {
                            *name == below || name.starts_with(&format!("{below}/"))
                        })
                    })
                    .filter(|name| !is_untouchable(name))
                    .cloned()
                    .collect();
                self.walk(at, ticket, names, ignores);
            }
            Output::Look { ticket, names, .. } => {
                let found = names
                    .into_iter()
                    .map(|name| {
                        let facts = disk.facts(&name);
                        (name, Ok(facts))
                    })
                    .collect();
                self.give(
                    at,
                    Input::Looked {
                        ticket,
                        root,
                        found,
                    },
                );
            }
            Output::Hash {
                ticket,
                name,
                known,
                ..
            } => {
                let result = if unsteady {
                    Err(Failure::Unsteady)
                } else {
                    disk.hash(&name, known)
                };
                if unsteady {
                    self.count("fault: changed while read");
                }
                self.give(at, Input::Hashed { ticket, result });
            }
            Output::Serve {
                connection,
                request,
                name,
                offset,
                size,
                hash,
                ..
            } => {
                let found = disk
                    .read(&name, offset, size)
                    .filter(|bytes| hash.is_none_or(|hash| digest(bytes) == hash));
                let result = match found {
                    Some(_) if fails => Err(Code::Generic),
                    Some(mut bytes) if wrong && !bytes.is_empty() => {
                        bytes[0] ^= 1;
                        Ok(bytes)
                    }
                    Some(bytes) => Ok(bytes),
                    None => Err(Code::NoSuchFile),
                };
                if result.is_err() {
                    self.count("serve: refused");
                }
                self.give(
                    at,
                    Input::Served {
                        connection,
                        request,
                        result,
                    },
                );
            }
            Output::Prepare {
                ticket,
                temporary,
                size,
                block_size,
                blocks,
                sources,
                ..
            } => {
                let result = if fails {
                    Err(Failure::Full)
                } else {
                    disk.prepare(&temporary, size, block_size, &blocks, &sources)
                };
                if fails {
                    self.count("fault: disk full");
                }
                self.give(at, Input::Prepared { ticket, result });
            }
            Output::Write {
                ticket,
                temporary,
                total,
                offset,
                data,
                hash,
                ..
            } => {
                let result = if digest(&data) == hash {
                    disk.write_block(&temporary, total, offset, &data)
                } else {
                    self.count("fault: wrong bytes from a device");
                    Err(Failure::WrongHash)
                };
                self.give(at, Input::Wrote { ticket, result });
            }
            Output::Apply { ticket, steps, .. } => self.apply(at, ticket, steps.into(), Vec::new()),
            Output::Discard { temporaries, .. } => {
                for name in temporaries {
                    disk.remove(&name);
                }
            }
            _ => {}
        }
    }

    /// A walk looks at a few names, then others get their turn.
    fn walk(
        &mut self,
        at: usize,
        ticket: Ticket,
        mut names: VecDeque<String>,
        ignores: Arc<Ignores>,
    ) {
        let mut seen = Vec::new();
        for _ in 0..=self.rng.below(8) {
            let Some(name) = names.pop_front() else { break };
            let Some(facts) = self.devices[at].disk.facts(&name) else {
                continue;
            };
            let alone = ignores.verdict(&name) != Verdict::Shared;
            if !alone || facts.kind == FactsKind::Directory {
                seen.push(Seen {
                    name,
                    facts,
                    ignored: alone,
                });
            }
        }
        let ended = names.is_empty();
        self.give(at, Input::Walked { ticket, seen });
        if ended {
            let root = self.root(at);
            self.give(
                at,
                Input::WalkEnded {
                    ticket,
                    root,
                    unreadable: Vec::new(),
                    unnamed: Vec::new(),
                },
            );
        } else if self.alive(at) {
            self.devices[at].tasks.push(Task::Walk {
                ticket,
                names,
                ignores,
            });
        }
    }

    /// A group of steps does a few, then others get their turn.
    fn apply(
        &mut self,
        at: usize,
        ticket: Ticket,
        mut steps: VecDeque<Step>,
        mut outcomes: Vec<Outcome>,
    ) {
        let now = self.local_time(at);
        for _ in 0..=self.rng.below(3) {
            let Some(step) = steps.pop_front() else { break };
            let fails = self.rng.once_in(80);
            let disk = &mut self.devices[at].disk;
            let outcome = if fails {
                Outcome::Failed(Failure::Denied)
            } else {
                disk.step(&step, now)
            };
            let dropped = std::mem::take(&mut disk.dropped);
            self.say(|| short(&format!("d{at} does {step:?}: {outcome:?}")));
            for name in dropped {
                self.violate(format!("d{at}: {name} was not kept"));
            }
            outcomes.push(outcome);
        }
        if steps.is_empty() {
            self.give(at, Input::Applied { ticket, outcomes });
        } else {
            self.devices[at].tasks.push(Task::Apply {
                ticket,
                steps,
                outcomes,
            });
        }
    }
}
