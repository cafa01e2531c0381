//! The thread that watches a folder: what may have changed goes to the engine, as hints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use obhut_core::world::Clock;
use obhut_sync::io::{FolderId, Input};
use tokio::sync::mpsc;

use super::Back;
use super::folders::Open;
use crate::disk::{Batch, Watch};

/// How soon it notices that it is to end.
const TURN: Duration = Duration::from_millis(250);

/// Watches a folder, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Starts to.
    pub fn start(
        folder: FolderId,
        open: &Open,
        back: mpsc::UnboundedSender<Back>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, open) = (Arc::clone(&stop), open.clone());
        let told = back.clone();
        let thread = std::thread::Builder::new()
            .name("obhut-sync-watch".to_owned())
            .spawn(move || watch(&folder, open, &back, &*clock, &stopped));
        if let Err(error) = thread {
            let _ = told.send(Back::Trouble(format!("watching: {error}")));
        }
        Self { stop }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(
    folder: &FolderId,
    open: Open,
    back: &mpsc::UnboundedSender<Back>,
    clock: &dyn Clock,
    stop: &AtomicBool,
) {
    let say = |words: String| {
        let _ = back.send(Back::Trouble(format!("{folder}: {words}")));
    };
    let mut watch = match Watch::start(open.root, open.ignores) {
        Ok(watch) => watch,
        Err(failure) => return say(format!("not watched, only looked at: {failure:?}")),
    };
    if let Some(limit) = watch.limit() {
        say(limit.to_string());
    }
    // What changed before all of it was watched.
    hint(
        folder,
        Batch {
            everything: true,
            ..Batch::default()
        },
        back,
    );
    let milliseconds = || clock.elapsed().as_millis() as u64;
    while !stop.load(Ordering::Relaxed) {
        match watch.poll(TURN, &milliseconds) {
            Ok(batch) => hint(folder, batch, back),
            Err(failure) => return say(format!("no longer watched: {failure:?}")),
        }
    }
}

fn hint(folder: &FolderId, batch: Batch, back: &mpsc::UnboundedSender<Back>) {
    let notice = |names| {
        let _ = back.send(Back::Input(Input::Noticed {
            folder: Arc::clone(folder),
            names,
        }));
    };
    if batch.root {
        notice(Some(vec![".stignore".to_owned()]));
    }
    if batch.everything {
        notice(None);
    } else if !batch.names.is_empty() {
        notice(Some(batch.names));
    }
}
