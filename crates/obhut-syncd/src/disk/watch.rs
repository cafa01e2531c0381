//! What happens in a folder, as the system tells it (inotify): names that may have changed. Never more than a hint.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::internal::{is_internal, is_temporary};
use obhut_sync::io::{FactsKind, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{
    CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch,
};
use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;

use super::facts::look_at;
use super::root::{Root, failure, joined};
use pending::Pending;

mod pending;

/// Bytes of room for events.
const ROOM: usize = 64 << 10;

/// Names that may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Which. Of a directory that is gone, nothing below it.
    pub names: Vec<String>,
    /// Events were lost: anything may have changed.
    pub everything: bool,
    /// The root itself, its marker or its ignore file may have changed: the folder is to be opened again.
    pub root: bool,
}

/// More directories than the system lets anybody watch: of the others nothing is noticed, and only walks find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The setting that is to be raised.
    pub setting: &'static str,
    /// So many directories are watched.
    pub watched: usize,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, watched } = self;
        write!(
            formatter,
            "{watched} directories are watched, and the system lets no more: raise {setting} (sysctl)"
        )
    }
}

/// A folder that is watched.
#[derive(Debug)]
pub struct Watch {
    root: Arc<Root>,
    ignores: Arc<Ignores>,
    inotify: OwnedFd,
    /// Directories by their numbers, and the other way round.
    folders: HashMap<i32, String>,
    numbers: BTreeMap<String, i32>,
    pending: Pending,
    limit: Option<Limit>,
    room: Vec<MaybeUninit<u8>>,
}

/// One event, copied out.
struct Event {
    number: i32,
    what: ReadFlags,
    last: Option<String>,
}

impl Watch {
    /// Watches a folder from now on. What was there before is not reported: walk after this, not before.
    pub fn start(root: Arc<Root>, ignores: Arc<Ignores>) -> Result<Self, Failure> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| {
            if errno == Errno::MFILE {
                let setting = "fs.inotify.max_user_instances";
                Failure::Other(
                    Limit {
                        setting,
                        watched: 0,
                    }
                    .to_string(),
                )
            } else {
                failure("inotify", errno)
            }
        })?;
        let mut watch = Self {
            root,
            ignores,
            inotify,
            folders: HashMap::new(),
            numbers: BTreeMap::new(),
            pending: Pending::default(),
            limit: None,
            room: vec![MaybeUninit::uninit(); ROOM],
        };
        watch.enter(String::new(), None);
        Ok(watch)
    }

    /// Whether there are more directories than may be watched.
    pub fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    /// Waits until something happened, no longer than so long. Names come together: 15 ms after the last event, or 200 ms
    /// after the first; at once if a file was closed or put in its place. `clock` gives milliseconds that only go forward.
    pub fn poll(&mut self, timeout: Duration, clock: &dyn Fn() -> u64) -> Result<Batch, Failure> {
        let end = clock().saturating_add(timeout.as_millis() as u64);
        loop {
            self.drain(clock())?;
            let now = clock();
            if let Some(batch) = self.pending.due(now) {
                return Ok(batch);
            }
            if now >= end {
                return Ok(Batch::default());
            }
            let wait = self.pending.due_in(now).unwrap_or(u64::MAX).min(end - now);
            self.wait(wait)?;
        }
    }

    fn wait(&self, milliseconds: u64) -> Result<(), Failure> {
        let wait = Timespec {
            tv_sec: (milliseconds / 1000) as i64,
            tv_nsec: (milliseconds % 1000 * 1_000_000) as i64,
        };
        let mut handles = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut handles, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(failure("wait", errno)),
        }
    }

    /// Takes all events that are there.
    fn drain(&mut self, now: u64) -> Result<(), Failure> {
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.inotify, &mut self.room);
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    number: event.wd(),
                    what: event.events(),
                    // What is not UTF-8 cannot be shared.
                    last: match event.file_name().map(std::ffi::CStr::to_str) {
                        Some(Ok(last)) => Some(last.to_owned()),
                        Some(Err(_)) => continue,
                        None => None,
                    },
                }),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failure("read events", errno)),
            }
        }
        for event in events {
            self.event(event, now);
        }
        Ok(())
    }

    fn event(&mut self, event: Event, now: u64) {
        let what = event.what;
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            // Directories may have come and moved unseen.
            self.folders.clear();
            self.numbers.clear();
            self.enter(String::new(), None);
            self.pending.everything();
            return;
        }
        if what.contains(ReadFlags::UNMOUNT) {
            self.pending.root();
        }
        let Some(folder) = self.folders.get(&event.number) else {
            return;
        };
        let Some(last) = event.last else {
            let own = folder.is_empty();
            if own && what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                self.pending.root();
            }
            if what.contains(ReadFlags::IGNORED) {
                self.forget_number(event.number);
            }
            return;
        };
        let name = joined(folder, &last);
        if matches!(&*name, ".stfolder" | ".stignore") {
            return self.pending.root();
        }
        let directory = what.contains(ReadFlags::ISDIR);
        if directory {
            self.directory(name, what, now);
        } else if self.is_shared(&name) {
            self.file(name, what, now);
        }
    }

    fn file(&mut self, name: String, what: ReadFlags, now: u64) {
        if what.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
            self.pending.settled(name, now, true);
        } else if what.intersects(ReadFlags::CREATE | ReadFlags::MODIFY) {
            self.pending.open(name, now);
        } else {
            self.pending.settled(name, now, false);
        }
    }

    fn directory(&mut self, name: String, what: ReadFlags, now: u64) {
        let watched = self.numbers.contains_key(&name);
        if what.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
            self.leave(&name);
        }
        if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            // What came into it before it was watched.
            self.enter(name, Some(now));
        } else if self.is_shared(&name) || watched {
            self.pending.settled(name, now, false);
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        !is_internal(name) && !is_temporary(name) && self.ignores.verdict(name) == Verdict::Shared
    }

    /// Whether something below a directory may be shared.
    fn is_entered(&self, name: &str) -> bool {
        !is_internal(name)
            && !is_temporary(name)
            && (self.ignores.descends() || self.ignores.verdict(name) == Verdict::Shared)
    }

    /// Watches a directory and those below it; what is in them is reported if it is new.
    fn enter(&mut self, name: String, new: Option<u64>) {
        if !name.is_empty() {
            if let Some(now) = new
                && self.is_shared(&name)
            {
                self.pending.settled(name.clone(), now, false);
            }
            if !self.is_entered(&name) {
                return;
            }
        }
        let mut ahead = vec![name];
        while let Some(name) = ahead.pop() {
            // One that is gone by now, or may not be read, is nothing to watch: walks say so.
            let _ = self.enter_one(&name, new, &mut ahead);
        }
    }

    fn enter_one(
        &mut self,
        name: &str,
        new: Option<u64>,
        ahead: &mut Vec<String>,
    ) -> Result<(), Errno> {
        let directory = self.root.below(name, OFlags::RDONLY)?;
        self.add(name, &directory)?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let last = match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => continue,
                Ok(last) => last,
            };
            let name = joined(name, last);
            let is_directory = match entry.file_type() {
                FileType::Unknown => look_at(&directory, last)?
                    .is_some_and(|facts| facts.kind == FactsKind::Directory),
                kind => kind == FileType::Directory,
            };
            if let Some(now) = new
                && self.is_shared(&name)
            {
                self.pending.settled(name.clone(), now, false);
            }
            if is_directory && self.is_entered(&name) {
                ahead.push(name);
            }
        }
        Ok(())
    }

    /// Watches one directory, by a handle on it: its name may lead elsewhere by now.
    fn add(&mut self, name: &str, directory: &OwnedFd) -> Result<(), Errno> {
        if self.limit.is_some() {
            return Ok(());
        }
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match add_watch(&self.inotify, path, what) {
            Ok(number) => {
                self.forget_number(number);
                self.folders.insert(number, name.to_owned());
                self.numbers.insert(name.to_owned(), number);
                Ok(())
            }
            Err(Errno::NOSPC) => {
                self.limit = Some(Limit {
                    setting: "fs.inotify.max_user_watches",
                    watched: self.folders.len(),
                });
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    /// Stops watching a directory and those below it: they have other names now, or none.
    fn leave(&mut self, name: &str) {
        let below = format!("{name}/");
        let range = self.numbers.range(below.clone()..);
        let mut numbers: Vec<i32> = range
            .take_while(|(name, _)| name.starts_with(&below))
            .map(|(_, number)| *number)
            .collect();
        numbers.extend(self.numbers.get(name));
        for number in numbers {
            self.forget_number(number);
            // One that is removed is not watched any more.
            let _ = remove_watch(&self.inotify, number);
        }
    }

    fn forget_number(&mut self, number: i32) {
        if let Some(name) = self.folders.remove(&number)
            && self.numbers.get(&name) == Some(&number)
        {
            self.numbers.remove(&name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files, and have a clock.
mod tests;
