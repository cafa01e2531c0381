//! restic's locks: taking, refreshing, losing, removing stale ones (formats: restic 13).
//!
//! A held [`Lock`] refreshes itself from a thread of its own, measured on a clock that counts suspend. If the
//! lock file vanished, or no refresh succeeded in time and the old file is gone, the repository's latch trips:
//! nothing but locks can be written or deleted from then on, because another process may hold the exclusive
//! lock. Order of a refresh: the new file is durable before the old one is deleted.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::gotime::{GoTime, LocalZone};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::repo::Repository;

/// How often a lock is refreshed.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// A lock this old is stale: whoever made it refreshes every five minutes.
const STALE_SECONDS: i64 = 30 * 60;
/// Without a refresh for this long others may soon take our lock for stale.
const GIVE_UP: Duration = Duration::from_secs(22 * 60 + 30);
/// Between writing a lock and looking again: the time a listing may lag.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the refresher looks at the clock; suspend is noticed within this time.
const TICK: Duration = if cfg!(test) {
    Duration::from_millis(5)
} else {
    Duration::from_secs(5)
};

/// What a lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LockInfo {
    /// When it was written (RFC 3339).
    pub time: String,
    /// Whether it excludes all others.
    pub exclusive: bool,
    /// By which host.
    pub hostname: String,
    /// By whom.
    pub username: String,
    /// By which process.
    pub pid: i64,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl LockInfo {
    fn encode(&self) -> Vec<u8> {
        let mut out = b"{\"time\":".to_vec();
        gojson::write_string(self.time.as_bytes(), &mut out);
        out.extend_from_slice(
            format!(",\"exclusive\":{},\"hostname\":", self.exclusive).as_bytes(),
        );
        gojson::write_string(self.hostname.as_bytes(), &mut out);
        out.extend_from_slice(b",\"username\":");
        gojson::write_string(self.username.as_bytes(), &mut out);
        out.extend_from_slice(format!(",\"pid\":{}", self.pid).as_bytes());
        for (name, number) in [("uid", self.uid), ("gid", self.gid)] {
            if number != 0 {
                out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
            }
        }
        out.push(b'}');
        out
    }

    fn parse(object: &str, json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|e| Error::damaged(object, e.to_string()))
    }

    /// Whether it can be removed without asking: older than 30 minutes, or of a dead process on this host.
    /// `is_alive` answers for a process of this host.
    pub fn is_stale(&self, now: i64, hostname: &str, is_alive: &dyn Fn(i64) -> bool) -> bool {
        let Some(written) = GoTime::parse(&self.time) else {
            return false;
        };
        let old = now.saturating_sub(written.at.secs) > STALE_SECONDS;
        old || (self.hostname == hostname && !is_alive(self.pid))
    }

    /// A line for whoever waits for this lock to go: who holds it, since when, and whether it was left behind.
    /// `left` seconds are waited at most.
    fn waiting_line(&self, id: Id, stale: bool, left: Duration) -> Vec<u8> {
        let line = serde_json::json!({
            "lock": id.hex(), "exclusive": self.exclusive, "hostname": self.hostname,
            "username": self.username, "pid": self.pid, "time": self.time, "stale": stale,
            "seconds": left.as_secs_f64(),
        });
        format!("{line}\n").into_bytes()
    }

    fn describe(&self) -> String {
        let kind = if self.exclusive {
            "exclusive lock"
        } else {
            "lock"
        };
        let (user, host) = (
            gojson::display(self.username.as_bytes()),
            gojson::display(self.hostname.as_bytes()),
        );
        let time = gojson::display(self.time.as_bytes());
        format!(
            "{kind} of process {} by {user} on {host} since {time}",
            self.pid
        )
    }
}

struct Held {
    id: Option<Id>,
    ended: bool,
}

/// A held lock, refreshed by a thread of its own; released on drop.
pub struct Lock {
    repo: Arc<Repository>,
    held: Arc<(Mutex<Held>, Condvar)>,
    refresher: Option<std::thread::JoinHandle<()>>,
}

impl Lock {
    /// Takes a lock, retrying for `retry`: after 5 s, doubling up to 60 s. A line of JSON goes to
    /// [`Control::emit`] when the wait begins, and again when it is another process that is waited for.
    pub fn acquire(
        repo: &Arc<Repository>,
        exclusive: bool,
        retry: Duration,
        control: &Control,
    ) -> Result<Self> {
        let clock = repo.clock();
        let start = clock.elapsed();
        let mut pause = Duration::from_secs(5);
        let mut told: Option<(String, i64)> = None;
        // The age of our lock counts from before it was written.
        let (id, written) = loop {
            let before = clock.elapsed();
            let (other, info) = match take(repo, exclusive, control)? {
                Taken::Ours(id) => break (id, before),
                Taken::Refused(other, info) => (other, info),
            };
            let left = retry.saturating_sub(clock.elapsed().saturating_sub(start));
            if left.is_zero() {
                let name = FileName::new(FileKind::Lock, other).to_string();
                return Err(Error::new(Code::RepositoryLocked, name, info.describe()));
            }
            // A refreshed lock has another name and time, and is still the same process's.
            let holder = Some((info.hostname.clone(), info.pid));
            if told != holder {
                let stale = info.is_stale(clock.now().secs, &repo.identity().hostname, &is_alive);
                control.emit(&info.waiting_line(other, stale, left))?;
                told = holder;
            }
            sleep(repo, pause.min(left), control)?;
            pause = (pause * 2).min(Duration::from_secs(60));
        };
        let held = Arc::new((
            Mutex::new(Held {
                id: Some(id),
                ended: false,
            }),
            Condvar::new(),
        ));
        let refresher = {
            let (repo, held) = (Arc::clone(repo), Arc::clone(&held));
            std::thread::Builder::new()
                .name("lock-refresh".to_owned())
                .spawn(move || refresh_until_ended(&repo, exclusive, written, &held))
        };
        let mut lock = Self {
            repo: Arc::clone(repo),
            held,
            refresher: None,
        };
        lock.refresher = Some(refresher.map_err(|e| Error::io("lock refresh thread", &e))?);
        Ok(lock)
    }

    /// Releases now and reports a failure.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let id = {
            let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.ended = true;
            self.held.1.notify_all();
            held.id.take()
        };
        if let Some(thread) = self.refresher.take() {
            let _ = thread.join();
        }
        match id {
            Some(id) => forgiving_delete(&self.repo, id),
            None => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A failure leaves a lock that goes stale; there is nobody to tell here.
        let _ = self.end();
    }
}

/// Sleeps in slices that notice a cancel.
fn sleep(repo: &Repository, time: Duration, control: &Control) -> Result<()> {
    let clock = repo.clock();
    let end = clock.elapsed() + time;
    loop {
        control.check()?;
        let left = end.saturating_sub(clock.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        clock.sleep(left.min(SETTLE));
    }
}

/// Deletes our own lock; one that is gone already is gone.
fn forgiving_delete(repo: &Repository, id: Id) -> Result<()> {
    match repo.store().delete(FileName::new(FileKind::Lock, id)) {
        Err(e) if e.code() != Code::FileMissing => Err(e),
        _ => Ok(()),
    }
}

enum Taken {
    Ours(Id),
    /// Another process holds a lock that ours cannot stand beside.
    Refused(Id, LockInfo),
}

/// Checks all others, writes ours, waits, checks again; on conflict ours is removed.
fn take(repo: &Repository, exclusive: bool, control: &Control) -> Result<Taken> {
    if let Some((other, info)) = conflict(repo, exclusive, None, control)? {
        return Ok(Taken::Refused(other, info));
    }
    let id = write(repo, exclusive)?;
    let settled =
        sleep(repo, SETTLE, control).and_then(|()| conflict(repo, exclusive, Some(id), control));
    match settled {
        Ok(None) => Ok(Taken::Ours(id)),
        Ok(Some((other, info))) => {
            forgiving_delete(repo, id)?;
            Ok(Taken::Refused(other, info))
        }
        Err(e) => {
            forgiving_delete(repo, id)?;
            Err(e)
        }
    }
}

fn write(repo: &Repository, exclusive: bool) -> Result<Id> {
    let now = LocalZone::system().at(repo.clock().now());
    let mut time = Vec::new();
    now.write(&mut time);
    let info = LockInfo {
        time: String::from_utf8_lossy(&time).into_owned(),
        exclusive,
        hostname: repo.identity().hostname.clone(),
        username: repo.identity().username.clone(),
        pid: i64::from(std::process::id()),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    };
    repo.save_unpacked(FileKind::Lock, &info.encode())
}

/// The first lock that excludes ours.
fn conflict(
    repo: &Repository,
    exclusive: bool,
    own: Option<Id>,
    control: &Control,
) -> Result<Option<(Id, LockInfo)>> {
    let locks = read_all(repo, control)?.into_iter();
    let mut others = locks.filter(|(id, _)| own != Some(*id));
    Ok(others.find(|(_, info)| exclusive || info.exclusive))
}

/// All locks. Empty files are ignored (power loss), vanished ones too; an unreadable one is tried up to four
/// times, waiting 5, 10 and 20 seconds, and is then an error: it may be somebody's lock.
fn read_all(repo: &Repository, control: &Control) -> Result<Vec<(Id, LockInfo)>> {
    let mut locks = Vec::new();
    for file in repo.store().list(FileKind::Lock)? {
        if file.size == 0 {
            continue;
        }
        let mut pauses = [5, 10, 20].into_iter();
        let info = loop {
            match read_one(repo, file.id) {
                Err(e) if e.code() == Code::FileMissing => break None,
                Err(e) if e.code() == Code::Damaged => match pauses.next() {
                    Some(seconds) => sleep(repo, Duration::from_secs(seconds), control)?,
                    None => return Err(e),
                },
                other => break Some(other?),
            }
        };
        locks.extend(info.map(|info| (file.id, info)));
    }
    Ok(locks)
}

fn read_one(repo: &Repository, id: Id) -> Result<LockInfo> {
    let json = repo.load_unpacked(FileKind::Lock, &id)?;
    LockInfo::parse(&FileName::new(FileKind::Lock, id).to_string(), &json)
}

fn refresh_until_ended(
    repo: &Repository,
    exclusive: bool,
    written: Duration,
    shared: &(Mutex<Held>, Condvar),
) {
    let mut last = written;
    let mut held = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !held.ended {
        let waited = shared.1.wait_timeout(held, TICK);
        held = waited.unwrap_or_else(PoisonError::into_inner).0;
        let age = repo.clock().elapsed().saturating_sub(last);
        if held.ended || age < REFRESH {
            continue;
        }
        let Some(old) = held.id else { break };
        match refresh(repo, exclusive, old, age) {
            Ok(new) => {
                held.id = Some(new);
                last += age;
            }
            Err(e) if e.code() == Code::LockLost => {
                repo.latch().trip(e.detail());
                break;
            }
            Err(e) if age >= GIVE_UP => {
                repo.latch().trip(&format!(
                    "it could not be refreshed for {} s: {e}",
                    age.as_secs()
                ));
                break;
            }
            // Another try at the next tick; until GIVE_UP nobody may take our lock for stale.
            Err(_) => {}
        }
    }
}

/// Writes a new lock file, then deletes the old one. After a long pause (suspend) somebody may have removed
/// the old one and taken an exclusive lock: then the old file must still be there before *and* after.
fn refresh(repo: &Repository, exclusive: bool, old: Id, age: Duration) -> Result<Id> {
    let old_name = FileName::new(FileKind::Lock, old);
    let must_exist = || {
        repo.store().stat(old_name).map_err(|e| match e.code() {
            Code::FileMissing => Error::new(
                Code::LockLost,
                old_name.to_string(),
                "somebody removed it; another process may hold the exclusive lock",
            ),
            _ => e,
        })
    };
    must_exist()?;
    let new = write(repo, exclusive)?;
    if age >= GIVE_UP {
        repo.clock().sleep(SETTLE);
        if let Err(e) = must_exist() {
            forgiving_delete(repo, new)?;
            return Err(e);
        }
    }
    // If this fails the old lock stays until it is stale; ours is the new one.
    let _ = forgiving_delete(repo, old);
    Ok(new)
}

/// Removes stale locks, or all of them; gives how many. Unreadable ones go only with `all`.
pub fn remove(repo: &Repository, all: bool, control: &Control) -> Result<u64> {
    let now = repo.clock().now().secs;
    let mut removed = 0;
    for file in repo.store().list(FileKind::Lock)? {
        control.check()?;
        let goes = all
            || match read_one(repo, file.id) {
                Ok(info) => info.is_stale(now, &repo.identity().hostname, &is_alive),
                Err(e) if matches!(e.code(), Code::FileMissing | Code::Damaged) => false,
                Err(e) => return Err(e),
            };
        if goes {
            forgiving_delete(repo, file.id)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a process of this machine exists.
fn is_alive(pid: i64) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests;
