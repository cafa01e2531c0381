use super::*;
use crate::gotime::GoTime;
use crate::testkit::repository;
use crate::world::Clock as _;

fn acquire(repo: &Arc<Repository>, exclusive: bool) -> Result<Lock> {
    Lock::acquire(repo, exclusive, Duration::ZERO, &Control::default())
}

fn locks(repo: &Repository) -> Vec<Id> {
    repo.list(FileKind::Lock).unwrap()
}

fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        SystemSleep::millis(5);
    }
    panic!("it did not happen within five seconds");
}

struct SystemSleep;
impl SystemSleep {
    fn millis(n: u64) {
        use crate::world::SystemClock;
        SystemClock.sleep(Duration::from_millis(n));
    }
}

#[test]
fn shared_locks_stand_together_exclusive_ones_alone() {
    let (repo, _) = repository();
    let (a, b) = (
        acquire(&repo, false).unwrap(),
        acquire(&repo, false).unwrap(),
    );
    assert_eq!(
        acquire(&repo, true).err().unwrap().code(),
        Code::RepositoryLocked
    );
    assert_eq!(
        locks(&repo).len(),
        2,
        "a refused lock leaves nothing behind"
    );
    a.release().unwrap();
    drop(b);
    let exclusive = acquire(&repo, true).unwrap();
    for kind in [true, false] {
        let error = acquire(&repo, kind).err().unwrap();
        assert_eq!(error.code(), Code::RepositoryLocked);
        assert!(
            error.detail().contains("exclusive lock of process"),
            "{error}"
        );
    }
    drop(exclusive);
    assert!(locks(&repo).is_empty());
}

#[test]
fn retrying_waits_until_the_other_is_gone_or_the_time_is_over() {
    let (repo, clock) = repository();
    let held = acquire(&repo, true).unwrap();
    let before = clock.elapsed();
    let retry = Duration::from_secs(60);
    let error = Lock::acquire(&repo, false, retry, &Control::default())
        .err()
        .unwrap();
    assert_eq!(error.code(), Code::RepositoryLocked);
    assert!(clock.elapsed() >= before + retry);
    drop(held);
    assert!(Lock::acquire(&repo, false, retry, &Control::default()).is_ok());
}

#[test]
fn whoever_waits_is_told_once_for_whom() {
    let (repo, _) = repository();
    let held = acquire(&repo, true).unwrap();
    let control = Control::default();
    let retry = Duration::from_secs(60);
    assert!(Lock::acquire(&repo, false, retry, &control).is_err());
    let said = String::from_utf8(control.drain_output()).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["lock"], locks(&repo)[0].hex());
    assert_eq!(line["pid"], std::process::id());
    assert_eq!(line["exclusive"], true);
    assert_eq!(line["stale"], false);
    let seconds = line["seconds"].as_f64().unwrap();
    assert!(seconds > 59.0 && seconds <= 60.0, "{seconds}");
    // Without a wait there is nothing to tell but the error.
    let control = Control::default();
    assert!(Lock::acquire(&repo, false, Duration::ZERO, &control).is_err());
    assert!(control.drain_output().is_empty());
    drop(held);
    Lock::acquire(&repo, false, retry, &control).unwrap();
    assert!(control.drain_output().is_empty());
}

#[test]
fn a_lock_is_refreshed_and_a_removed_one_latches_the_store() {
    let (repo, clock) = repository();
    let held = acquire(&repo, false).unwrap();
    let first = locks(&repo);
    clock.advance(REFRESH);
    until(|| locks(&repo).len() == 1 && locks(&repo) != first);
    let second = locks(&repo);
    repo.store()
        .delete(FileName::new(FileKind::Lock, second[0]))
        .unwrap();
    clock.advance(REFRESH);
    until(|| repo.save_unpacked(FileKind::Snapshot, b"{}").is_err());
    let error = repo.save_unpacked(FileKind::Snapshot, b"{}").unwrap_err();
    assert_eq!(error.code(), Code::LockLost);
    drop(held);
}

#[test]
fn an_exclusive_lock_becomes_a_shared_one_and_stays_one() {
    let (repo, clock) = repository();
    let held = acquire(&repo, true).unwrap();
    let before = clock.elapsed();
    held.share().unwrap();
    assert_eq!(clock.elapsed(), before, "nothing to wait for");
    let first = locks(&repo);
    assert_eq!(first.len(), 1);
    held.share().unwrap();
    assert_eq!(locks(&repo), first, "a shared lock is one already");
    acquire(&repo, false).unwrap().release().unwrap();
    let error = acquire(&repo, true).err().unwrap();
    assert_eq!(error.code(), Code::RepositoryLocked);
    clock.advance(REFRESH);
    until(|| locks(&repo).len() == 1 && locks(&repo) != first);
    acquire(&repo, false).unwrap().release().unwrap();
    held.release().unwrap();
    assert!(locks(&repo).is_empty());
}

#[test]
fn a_lost_lock_is_not_shared_and_nothing_is_written_after_it() {
    let (repo, _) = repository();
    let held = acquire(&repo, true).unwrap();
    let name = FileName::new(FileKind::Lock, locks(&repo)[0]);
    repo.store().delete(name).unwrap();
    assert_eq!(held.share().unwrap_err().code(), Code::LockLost);
    assert!(locks(&repo).is_empty());
    let error = repo.save_unpacked(FileKind::Snapshot, b"{}").unwrap_err();
    assert_eq!(error.code(), Code::LockLost);
}

#[test]
fn after_a_long_suspend_the_old_file_must_still_be_there() {
    for removed in [false, true] {
        let (repo, clock) = repository();
        let held = acquire(&repo, false).unwrap();
        let first = locks(&repo);
        if removed {
            repo.store()
                .delete(FileName::new(FileKind::Lock, first[0]))
                .unwrap();
        }
        clock.advance(Duration::from_secs(8 * 3600));
        if removed {
            until(|| repo.save_unpacked(FileKind::Snapshot, b"{}").is_err());
            assert!(locks(&repo).is_empty());
        } else {
            until(|| locks(&repo).len() == 1 && locks(&repo) != first);
            repo.save_unpacked(FileKind::Snapshot, b"{}").unwrap();
        }
        drop(held);
        assert!(locks(&repo).is_empty());
    }
}

#[test]
fn an_unreadable_lock_is_an_error_and_an_empty_one_is_ignored() {
    let (repo, clock) = repository();
    let name = FileName::new(FileKind::Lock, Id([7; 32]));
    repo.store().put(name, b"").unwrap();
    acquire(&repo, true).unwrap().release().unwrap();
    repo.store().delete(name).unwrap();
    repo.store().put(name, &[9; 100]).unwrap();
    let before = clock.elapsed();
    let error = acquire(&repo, false).err().unwrap();
    assert_eq!(error.code(), Code::Damaged);
    assert!(error.object().contains(&name.id.hex()));
    assert!(clock.elapsed() >= before + Duration::from_secs(35));
    assert_eq!(remove(&repo, false, &Control::default()).unwrap(), 0);
    assert_eq!(remove(&repo, true, &Control::default()).unwrap(), 1);
}

#[test]
fn cancel_while_waiting_leaves_no_lock() {
    let (repo, _) = repository();
    let control = Control::default();
    control.cancel();
    let error = Lock::acquire(&repo, false, Duration::ZERO, &control)
        .err()
        .unwrap();
    assert_eq!(error.code(), Code::Cancelled);
    assert!(locks(&repo).is_empty());
}

#[test]
fn what_is_stale() {
    let written = LockInfo {
        time: "2026-01-01T00:00:00.5+01:00".to_owned(),
        hostname: "h".to_owned(),
        pid: 5,
        ..LockInfo::default()
    };
    let at = GoTime::parse(&written.time).unwrap().at.secs;
    assert!(!written.is_stale(at + STALE_SECONDS, "h", &|_| true));
    assert!(written.is_stale(at + STALE_SECONDS + 1, "other", &|_| true));
    assert!(written.is_stale(at, "h", &|_| false), "its process is dead");
    assert!(
        !written.is_stale(at, "other", &|_| false),
        "nobody here knows"
    );
    // A clock in the past: the lock seems to come from the future and stands.
    assert!(!written.is_stale(at - 86400, "other", &|_| true));
    let odd = LockInfo {
        time: "yesterday".to_owned(),
        ..written
    };
    assert!(!odd.is_stale(at, "h", &|_| false));
}

#[test]
fn the_bytes_are_restics() {
    let info = LockInfo {
        time: "2026-01-02T03:04:05.6Z".to_owned(),
        exclusive: true,
        hostname: "h<1>".to_owned(),
        username: "u".to_owned(),
        pid: 123,
        uid: 1000,
        gid: 0,
    };
    let json = info.encode();
    let want = "{\"time\":\"2026-01-02T03:04:05.6Z\",\"exclusive\":true,\"hostname\":\"h\\u003c1\\u003e\",\"username\":\"u\",\"pid\":123,\"uid\":1000}";
    assert_eq!(String::from_utf8_lossy(&json), want);
    assert_eq!(LockInfo::parse("x", &json).unwrap(), info);
}
