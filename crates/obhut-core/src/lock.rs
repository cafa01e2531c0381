//! restic's locks: taking, refreshing, losing, removing stale ones (formats: restic 13).
//!
//! A held [`Lock`] refreshes itself from a thread of its own, measured on a clock that counts suspend. If the
//! lock file vanished, or no refresh succeeded in time and the old file is gone, the repository's latch trips:
//! nothing but locks can be written or deleted from then on, because another process may hold the exclusive
//! lock. Order of a refresh: the new file is durable before the old one is deleted.
//!
//! No file of ours outlives the run if the storage lets us remove it: the name of each is noted before it is
//! written, and whatever failed to be written, replaced or removed meanwhile is removed at the end at last.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::gotime::LocalZone;
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::repo::Repository;

mod info;

pub use info::LockInfo;

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

/// Files of ours that must go, and may or may not be there.
type Spare = Vec<Id>;

#[derive(Default)]
struct Held {
    /// The file that holds the lock.
    id: Option<Id>,
    exclusive: bool,
    /// When that file was begun, on the clock that only goes forward.
    written: Duration,
    /// Those that were replaced, or whose write failed.
    spare: Spare,
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
                exclusive,
                written,
                ..Held::default()
            }),
            Condvar::new(),
        ));
        let refresher = {
            let (repo, held) = (Arc::clone(repo), Arc::clone(&held));
            std::thread::Builder::new()
                .name("lock-refresh".to_owned())
                .spawn(move || refresh_until_ended(&repo, &held))
        };
        let mut lock = Self {
            repo: Arc::clone(repo),
            held,
            refresher: None,
        };
        lock.refresher = Some(refresher.map_err(|e| Error::io("lock refresh thread", &e))?);
        Ok(lock)
    }

    /// Makes it a shared lock, without a moment in which nothing is held: the shared lock is written while the
    /// exclusive one still keeps everybody out, so nothing has to be waited for. A file that cannot be removed keeps
    /// others out until a refresh or the release removes it, which reports it.
    pub fn share(&self) -> Result<()> {
        let mut held = self.held();
        if !held.exclusive {
            return Ok(());
        }
        let now = self.repo.clock().elapsed();
        renew(&self.repo, false, &mut held, now).inspect_err(|e| {
            if e.code() == Code::LockLost {
                self.repo.latch().trip(e.detail());
            }
        })?;
        let _ = remove_ours(&self.repo, &mut held.spare);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases now and reports a failure.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        {
            let mut held = self.held();
            held.ended = true;
            self.held.1.notify_all();
        }
        if let Some(thread) = self.refresher.take() {
            let _ = thread.join();
        }
        let mut files = {
            let mut held = self.held();
            let mut files = std::mem::take(&mut held.spare);
            files.extend(held.id.take());
            files
        };
        remove_ours(&self.repo, &mut files)
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

/// Removes files of ours; each gets a second try. Those that stay remain in `files`, and the first reason is told.
fn remove_ours(repo: &Repository, files: &mut Spare) -> Result<()> {
    let mut failed = None;
    files.retain(|id| {
        let gone = forgiving_delete(repo, *id).or_else(|_| forgiving_delete(repo, *id));
        let stays = gone.is_err();
        failed = failed.take().or(gone.err());
        stays
    });
    failed.map_or(Ok(()), Err)
}

/// The same after a failure, which stays the one that is told.
fn withdraw(repo: &Repository, mut files: Spare, failure: Error) -> Error {
    match remove_ours(repo, &mut files) {
        Ok(()) => failure,
        Err(e) => {
            let detail = format!("{}; our lock stays: {e}", failure.detail());
            Error::new(failure.code(), failure.object(), detail)
        }
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
    let mut ours = Spare::new();
    let settled = write(repo, exclusive, &mut ours).and_then(|id| {
        sleep(repo, SETTLE, control)?;
        Ok((id, conflict(repo, exclusive, Some(id), control)?))
    });
    match settled {
        Ok((id, None)) => Ok(Taken::Ours(id)),
        Ok((_, Some((other, info)))) => {
            // A lock of ours that stays would keep us out at the next try.
            remove_ours(repo, &mut ours)?;
            Ok(Taken::Refused(other, info))
        }
        Err(e) => Err(withdraw(repo, ours, e)),
    }
}

/// Writes a lock file; its name is in `files` before, for a failed write may have left it.
fn write(repo: &Repository, exclusive: bool, files: &mut Spare) -> Result<Id> {
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
    let (id, bytes) = repo.seal_unpacked(&info.encode())?;
    files.push(id);
    repo.store()
        .put(FileName::new(FileKind::Lock, id), &bytes)?;
    Ok(id)
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

fn refresh_until_ended(repo: &Repository, shared: &(Mutex<Held>, Condvar)) {
    let mut held = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !held.ended {
        let waited = shared.1.wait_timeout(held, TICK);
        held = waited.unwrap_or_else(PoisonError::into_inner).0;
        let now = repo.clock().elapsed();
        let age = now.saturating_sub(held.written);
        if held.ended || age < REFRESH {
            continue;
        }
        let exclusive = held.exclusive;
        let done = renew(repo, exclusive, &mut held, now);
        // What cannot be removed now is tried again at the next refresh and at the end.
        let _ = remove_ours(repo, &mut held.spare);
        let Err(e) = done else { continue };
        if e.code() == Code::LockLost {
            repo.latch().trip(e.detail());
            break;
        }
        if age >= GIVE_UP {
            let seconds = age.as_secs();
            repo.latch()
                .trip(&format!("it could not be refreshed for {seconds} s: {e}"));
            break;
        }
        // Another try at the next tick; until GIVE_UP nobody may take our lock for stale.
    }
}

/// Writes a new lock file, after which the old one is to be deleted. After a long pause (suspend) somebody may have removed
/// the old one and taken an exclusive lock: then the old file must still be there before *and* after.
fn renew(repo: &Repository, exclusive: bool, held: &mut Held, now: Duration) -> Result<()> {
    let age = now.saturating_sub(held.written);
    let Some(old) = held.id else { return Ok(()) };
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
    let new = write(repo, exclusive, &mut held.spare)?;
    if age >= GIVE_UP {
        repo.clock().sleep(SETTLE);
        must_exist()?;
    }
    held.spare.retain(|id| *id != new);
    held.spare.push(old);
    held.id = Some(new);
    held.exclusive = exclusive;
    held.written = now;
    Ok(())
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
mod leftover_tests;
#[cfg(test)]
mod tests;
