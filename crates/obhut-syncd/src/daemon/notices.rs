//! What people may want to know, as lines of JSON, until somebody takes them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use obhut_bep::DeviceId;
use obhut_sync::io::Event;
use serde_json::{Value, json};

use super::status::{doubt, words};

/// Lines that are kept; older ones go, and that is said.
const KEPT: usize = 10_000;

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<String>,
    lost: u64,
    ended: bool,
}

/// The lines.
#[derive(Debug, Default)]
pub struct Notices {
    lines: Mutex<Lines>,
    more: Condvar,
}

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &Value) {
        let mut lines = self.lock();
        if lines.waiting.len() == KEPT {
            lines.waiting.pop_front();
            lines.lost += 1;
        }
        lines.waiting.push_back(line.to_string());
        self.more.notify_all();
    }

    /// What happened since the last time; waits so long for the first.
    pub fn take(&self, wait: Duration) -> Vec<String> {
        let lines = self.lock();
        let (mut lines, _) = self
            .more
            .wait_timeout_while(lines, wait, |lines| {
                lines.waiting.is_empty() && !lines.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<String> = lines.waiting.drain(..).collect();
        let lost = std::mem::take(&mut lines.lost);
        if lost > 0 {
            taken.insert(0, json!({"event": "lost", "lines": lost}).to_string());
        }
        taken
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.more.notify_all();
    }

    /// A connection has ended, and why.
    pub fn disconnected(&self, reason: &str) {
        self.add(&json!({"event": "connection-ended", "reason": reason}));
    }

    /// Somebody whom nobody knows.
    pub fn stranger(&self, device: DeviceId, name: &str, address: &str) {
        self.add(&json!({
            "event": "stranger",
            "device": device.to_string(),
            "name": name,
            "address": address,
        }));
    }

    /// Something that the driver itself could not do.
    pub fn trouble(&self, words: &str) {
        self.add(&json!({"event": "trouble", "why": words}));
    }

    /// What the engine tells.
    pub fn tell(&self, event: &Event) {
        self.add(&line(event));
    }
}

fn line(event: &Event) -> Value {
    match event {
        Event::Connected { device } => {
            json!({"event": "connected", "device": device.to_string()})
        }
        Event::Disconnected { device, reason } => {
            json!({"event": "disconnected", "device": device.to_string(), "reason": reason})
        }
        Event::Offered {
            device,
            folder,
            label,
        } => json!({
            "event": "offered",
            "device": device.to_string(),
            "folder": folder,
            "label": label,
        }),
        Event::Stopped { folder, doubt: why } => json!({
            "event": "stopped",
            "folder": &**folder,
            "doubt": why.as_ref().map(doubt),
        }),
        Event::Changed {
            folder,
            name,
            deleted,
        } => json!({"event": "changed", "folder": &**folder, "name": name, "deleted": deleted}),
        Event::Took {
            folder,
            name,
            deleted,
        } => json!({"event": "took", "folder": &**folder, "name": name, "deleted": deleted}),
        Event::Conflict { folder, name, copy } => {
            json!({"event": "conflict", "folder": &**folder, "name": name, "copy": copy})
        }
        Event::Trouble {
            folder,
            name,
            failure: why,
        } => json!({
            "event": "trouble",
            "folder": &**folder,
            "name": name,
            "why": words(why),
        }),
        Event::Refused { folder, name, .. } => {
            json!({"event": "refused", "folder": &**folder, "name": name})
        }
    }
}
