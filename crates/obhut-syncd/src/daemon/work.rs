//! Disk work on the pool: each output that is not the store's, carried out and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use obhut_bep::Code;
use obhut_core::world::Clock;
use obhut_sync::io::{FolderId, Input, Output, Ticket};
use tokio::sync::mpsc;

use super::folders::{Folders, Open};
use super::{Back, now};
use crate::disk::{Asked, Wanted};

/// Within so much of its last change a file may change again and look the same: clocks of file systems tick.
const TICK: Duration = Duration::from_millis(20);

/// Carries out an output on the pool. Nothing happens in a folder that is not open: its answers would be of another time.
pub fn start(
    output: Output,
    folders: &Folders,
    back: &mpsc::UnboundedSender<Back>,
    walks: &mpsc::Sender<Input>,
    clock: &Arc<dyn Clock>,
    stopping: &Arc<AtomicBool>,
) {
    let Some(folder) = folder_of(&output).and_then(|id| folders.get(id)) else {
        if let Output::Serve {
            connection,
            request,
            ..
        } = output
        {
            let input = Input::Served {
                connection,
                request,
                result: Err(Code::Generic),
            };
            let _ = back.send(Back::Input(input));
        }
        return;
    };
    let (back, walks) = (back.clone(), walks.clone());
    let (clock, stopping) = (Arc::clone(clock), Arc::clone(stopping));
    tokio::task::spawn_blocking(move || {
        if let Output::Walk {
            ticket,
            below,
            ignores,
            ..
        } = output
        {
            walk(
                &folder,
                ticket,
                below.as_deref(),
                &ignores,
                &walks,
                &*clock,
                &stopping,
            );
        } else if let Some(input) = carry_out(output, &folder, &*clock) {
            let _ = back.send(Back::Input(input));
        }
    });
}

fn folder_of(output: &Output) -> Option<&FolderId> {
    match output {
        Output::Walk { folder, .. }
        | Output::Look { folder, .. }
        | Output::Hash { folder, .. }
        | Output::Serve { folder, .. }
        | Output::Prepare { folder, .. }
        | Output::Write { folder, .. }
        | Output::Discard { folder, .. }
        | Output::Apply { folder, .. } => Some(folder),
        _ => None,
    }
}

fn walk(
    folder: &Open,
    ticket: Ticket,
    below: Option<&str>,
    ignores: &obhut_sync::ignore::Ignores,
    walks: &mpsc::Sender<Input>,
    clock: &dyn Clock,
    stopping: &AtomicBool,
) {
    let walked = folder.root.walk(below, ignores, &mut |seen| {
        !stopping.load(Ordering::Relaxed)
            && walks.blocking_send(Input::Walked { ticket, seen }).is_ok()
    });
    if walked.stopped {
        return;
    }
    if below.is_none() {
        folder
            .root
            .sweep(&walked.temporaries, now(clock), &|_| false);
        // What cannot be thinned out now is so an hour later.
        let _ = folder.root.prune(folder.versions, now(clock));
    }
    let _ = walks.blocking_send(Input::WalkEnded {
        ticket,
        root: folder.root.doubt(Some(folder.device)),
        unreadable: walked.unreadable,
        unnamed: walked.unnamed,
    });
}

fn carry_out(output: Output, folder: &Open, clock: &dyn Clock) -> Option<Input> {
    let root = &folder.root;
    Some(match output {
        Output::Look { ticket, names, .. } => {
            let found = names
                .into_iter()
                .map(|name| {
                    let facts = root.look(&name);
                    (name, facts)
                })
                .collect();
            Input::Looked {
                ticket,
                root: root.doubt(Some(folder.device)),
                found,
            }
        }
        Output::Hash {
            ticket,
            name,
            known,
            ..
        } => {
            wait_a_tick(folder, &name, clock);
            Input::Hashed {
                ticket,
                result: root.hash(&name, known),
            }
        }
        Output::Serve {
            connection,
            request,
            name,
            temporary,
            offset,
            size,
            hash,
            ..
        } => {
            let asked = Asked {
                name: &name,
                temporary,
                offset,
                size,
                hash,
            };
            Input::Served {
                connection,
                request,
                result: root.serve(&asked, &folder.ignores),
            }
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
            let wanted = Wanted {
                temporary: &temporary,
                size,
                block_size,
                blocks: &blocks,
                sources: &sources,
            };
            Input::Prepared {
                ticket,
                result: root.prepare(&wanted, now(clock)),
            }
        }
        Output::Write {
            ticket,
            temporary,
            total,
            offset,
            data,
            hash,
            ..
        } => Input::Wrote {
            ticket,
            result: root.write(&temporary, total, offset, &data, &hash, now(clock)),
        },
        Output::Discard { temporaries, .. } => {
            root.discard(&temporaries, now(clock));
            return None;
        }
        Output::Apply { ticket, steps, .. } => Input::Applied {
            ticket,
            outcomes: root.apply(&steps, now(clock)),
        },
        _ => return None,
    })
}

/// Waits until a change would show.
fn wait_a_tick(folder: &Open, name: &str, clock: &dyn Clock) {
    let Ok(Some(facts)) = folder.root.look(name) else {
        return;
    };
    let wall = clock.now();
    let age = (wall.secs - facts.changed.0) * 1000
        + i64::from((wall.nanos as i32 - facts.changed.1) / 1_000_000);
    if (0..TICK.as_millis() as i64).contains(&age) {
        clock.sleep(TICK.saturating_sub(Duration::from_millis(age as u64)));
    }
}
