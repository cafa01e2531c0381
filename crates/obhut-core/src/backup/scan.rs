//! The estimate for the progress display: counts what the backup will meet, by the same rules.
//!
//! It runs beside the backup, changes nothing, reports no errors, and stops when the backup has ended. It
//! asks for the facts of every entry as the backup does, so it waits a moment: a short backup needs no estimate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::Thread;
use std::time::Duration;

use super::directory::child;
use super::engine::Engine;
use super::select::Inside;
use super::targets::{Target, absolute, split};
use crate::fs::{self, Handle, Kind};

/// How long a backup has to last before its whole is estimated.
const PATIENCE: Duration = Duration::from_secs(1);

/// A directory to be counted.
struct Pending {
    holder: Arc<Handle>,
    name: Vec<u8>,
    path: Vec<u8>,
    inside: Arc<Inside>,
}

struct Scan<'a> {
    engine: &'a Engine<'a>,
    wanted: &'a AtomicBool,
    files: u64,
    bytes: u64,
    rest: Vec<Pending>,
}

/// Ends the estimate when it is dropped, on every way out of a backup, a panic included: the estimate may be
/// waiting, and who started its thread waits for that.
pub struct Ended<'a> {
    /// What [`estimate`] was given.
    pub wanted: &'a AtomicBool,
    /// Its thread, if there is one.
    pub thread: Option<Thread>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.wanted.store(false, Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// Counts everything below the targets while `wanted` stays set.
pub fn estimate(engine: &Engine<'_>, plan: &Target, current: &[u8], wanted: &AtomicBool) {
    if !engine.report.tells_scans() {
        wait(engine, wanted);
    }
    let started = engine.elapsed();
    let mut scan = Scan {
        engine,
        wanted,
        files: 0,
        bytes: 0,
        rest: Vec::new(),
    };
    let mut targets = vec![plan];
    while let Some(target) = targets.pop() {
        if let Some(source) = &target.source {
            scan.target(source, target.explicit, current);
            while let Some(pending) = scan.rest.pop() {
                if !scan.goes_on() {
                    return;
                }
                scan.directory(&pending);
            }
        }
        targets.extend(target.below.values());
    }
    if scan.goes_on() {
        let counters = &engine.control.counters;
        counters.total_items.store(scan.files, Relaxed);
        counters.total_bytes.store(scan.bytes, Relaxed);
        counters.total_known.store(1, Relaxed);
        // The line is for information: a watcher that is gone ends the backup by other ways.
        let _ = engine.report.scanned(scan.files, scan.bytes, started);
    }
}

/// Until [`PATIENCE`] is over or nobody wants an estimate any more (whoever ends it wakes this thread).
fn wait(engine: &Engine<'_>, wanted: &AtomicBool) {
    let began = engine.elapsed();
    while wanted.load(Relaxed) {
        let left = PATIENCE.saturating_sub(engine.elapsed().saturating_sub(began));
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

impl Scan<'_> {
    fn goes_on(&self) -> bool {
        self.wanted.load(Relaxed) && !self.engine.control.is_cancelled()
    }

    fn target(&mut self, source: &[u8], explicit: bool, current: &[u8]) {
        let (parent, base) = split(source);
        let Ok(holder) = fs::open_directory_path(parent) else {
            return;
        };
        let Ok(stat) = fs::stat_handle(&holder) else {
            return;
        };
        let holder = Arc::new(holder);
        let path = absolute(current, parent);
        let select = &self.engine.select;
        let inside = Arc::new(select.inside(&holder, &path, stat.device, None, |_| {}));
        self.entry(&holder, &inside, &path, base, explicit);
    }

    fn directory(&mut self, pending: &Pending) {
        let Ok(handle) = fs::open_directory(&pending.holder, &pending.name) else {
            return;
        };
        let (Ok(stat), Ok(names)) = (fs::stat_handle(&handle), fs::list(&handle)) else {
            return;
        };
        let above = Some(pending.inside.as_ref());
        let select = &self.engine.select;
        let inside = select.inside(&handle, &pending.path, stat.device, above, |_| {});
        let (handle, inside) = (Arc::new(handle), Arc::new(inside));
        for name in names.iter() {
            if !self.goes_on() {
                return;
            }
            self.entry(&handle, &inside, &pending.path, name, false);
        }
        let counters = &self.engine.control.counters;
        counters.total_items.store(self.files, Relaxed);
        counters.total_bytes.store(self.bytes, Relaxed);
    }

    fn entry(
        &mut self,
        holder: &Arc<Handle>,
        inside: &Arc<Inside>,
        above: &[u8],
        name: &[u8],
        explicit: bool,
    ) {
        let select = &self.engine.select;
        if !explicit && select.rejects_name(inside, above, name) {
            return;
        }
        let Ok(stat) = fs::stat_at(holder, name) else {
            return;
        };
        if !explicit && select.rejects(inside, above, name, &stat) {
            return;
        }
        match stat.kind {
            Kind::File => {
                self.files += 1;
                self.bytes += stat.size;
            }
            Kind::Directory => self.rest.push(Pending {
                holder: Arc::clone(holder),
                name: name.to_vec(),
                path: child(above, name),
                inside: Arc::clone(inside),
            }),
            _ => {}
        }
    }
}
