//! Files of the directory cache that nobody uses any more are removed: of other sources and option sets, of
//! repositories that are gone.
//!
//! A file is used when a backup reads or writes it, and both set its modification time. Only what is surely
//! ours goes: `<base>/<64 hex digits>/dirs/<32 hex digits>…`, regular files, reached by handles without
//! following a link. The folders go when they are empty and old, too. A program that works in them meanwhile
//! may lose what it knows about a source, never more: a cache only saves time. So nothing here is an error.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::AtFlags;

use crate::fs::{self, Kind, Stat};
use crate::world::Timestamp;

/// Unused for so many seconds: 90 days.
pub const MAX_AGE: i64 = 90 * 24 * 3600;

/// Removes what is old below `base`; gives the number of files removed.
pub fn sweep(base: &Path, now: Timestamp) -> usize {
    let Ok(base) = fs::open_directory_path(base.as_os_str().as_bytes())
        .and_then(|base| fs::open_directory(base, b"."))
    else {
        return 0;
    };
    let mut removed = 0;
    for repository in fs::list(&base).unwrap_or_default().iter() {
        if repository.len() == 64 && is_hex(repository) {
            removed += sweep_repository(&base, repository, now).unwrap_or(0);
        }
    }
    removed
}

/// One repository's cache; `None` if there is nothing to look at.
fn sweep_repository(base: impl AsFd, repository: &[u8], now: Timestamp) -> Option<usize> {
    let base = base.as_fd();
    let folder = fs::open_directory(base, repository).ok()?;
    let dirs = fs::open_directory(&folder, b"dirs").ok()?;
    // Asked before anything is removed: removing makes a folder young.
    let (folder_old, dirs_old) = (
        is_old(&fs::stat_handle(&folder).ok()?, now),
        is_old(&fs::stat_handle(&dirs).ok()?, now),
    );
    let mut removed = 0;
    for name in fs::list(&dirs).ok()?.iter() {
        let ours = name.len() >= 32 && is_hex(&name[..32]);
        let old =
            ours && fs::stat_at(&dirs, name).is_ok_and(|s| s.kind == Kind::File && is_old(&s, now));
        if old && rustix::fs::unlinkat(&dirs, name, AtFlags::empty()).is_ok() {
            removed += 1;
        }
    }
    // Refused by the system if something is in them: restic keeps its own cache beside ours.
    if dirs_old && rustix::fs::unlinkat(&folder, "dirs", AtFlags::REMOVEDIR).is_ok() && folder_old {
        let _ = rustix::fs::unlinkat(base, repository, AtFlags::REMOVEDIR);
    }
    Some(removed)
}

fn is_hex(name: &[u8]) -> bool {
    name.iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// In either direction: what a wrong clock dated far ahead would stay for ever.
fn is_old(stat: &Stat, now: Timestamp) -> bool {
    stat.mtime.secs.abs_diff(now.secs) > MAX_AGE.unsigned_abs()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use super::*;

    const NOW: Timestamp = Timestamp {
        secs: 1_800_000_000,
        nanos: 0,
    };
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// A cache folder whose things have an age in days (negative: dated ahead).
    struct Base(tempfile::TempDir);

    impl Base {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, below: &str) -> PathBuf {
            self.0.path().join(below)
        }

        fn age(&self, below: &str, days: i64) {
            let at = (NOW.secs - days * 24 * 3600) as u64;
            let file = std::fs::File::open(self.path(below)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
                .unwrap();
        }

        fn file(&self, below: &str, days: i64) {
            std::fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
            std::fs::write(self.path(below), b"x").unwrap();
            self.age(below, days);
        }

        fn sweep(&self) -> usize {
            sweep(self.0.path(), NOW)
        }
    }

    #[test]
    fn what_was_not_used_for_long_goes_and_nothing_else() {
        let base = Base::new();
        let inside = |name: &str| format!("{ID}/dirs/{name}");
        let gone = [
            (inside(KEY), 91),
            (inside(&KEY.replace('0', "1")), -91),
            (inside(&format!("{KEY}-tmp-5a")), 91),
        ];
        let stays = [
            (inside(&KEY.replace('0', "2")), 89),
            (inside(&KEY.replace('0', "3")), -89),
            (inside("README"), 1000),
            (inside(&KEY[1..]), 1000),
            (inside(&KEY.to_uppercase()), 1000),
            (format!("{ID}/data/00/{KEY}"), 1000),
            (format!("{ID}/version"), 1000),
            (format!("{}/dirs/{KEY}", &ID[1..]), 1000),
            (format!("{KEY}/dirs/{KEY}"), 1000),
            (format!("dirs/{KEY}"), 1000),
        ];
        for (name, days) in gone.iter().chain(&stays) {
            base.file(name, *days);
        }
        std::fs::create_dir(base.path(&inside(&KEY.replace('0', "4")))).unwrap();
        assert_eq!(base.sweep(), gone.len());
        for (name, _) in &gone {
            assert!(!base.path(name).exists(), "{name}");
        }
        for (name, _) in &stays {
            assert!(base.path(name).exists(), "{name}");
        }
        assert!(base.path(&inside(&KEY.replace('0', "4"))).is_dir());
        assert_eq!(base.sweep(), 0);
    }

    #[test]
    fn folders_go_when_they_are_empty_and_old() {
        let base = Base::new();
        base.file(&format!("{ID}/dirs/{KEY}"), 91);
        assert_eq!(base.sweep(), 1);
        // Young by the removal: another program may be about to write there.
        assert!(base.path(&format!("{ID}/dirs")).is_dir());
        base.age(&format!("{ID}/dirs"), 91);
        base.age(ID, 91);
        base.sweep();
        assert!(!base.path(ID).exists());
        // restic's part keeps the folder.
        base.file(&format!("{ID}/version"), 91);
        std::fs::create_dir(base.path(&format!("{ID}/dirs"))).unwrap();
        base.age(&format!("{ID}/dirs"), 91);
        base.age(ID, 91);
        base.sweep();
        assert!(!base.path(&format!("{ID}/dirs")).exists());
        assert!(base.path(&format!("{ID}/version")).exists());
    }

    #[test]
    fn links_are_not_followed() {
        let (base, elsewhere) = (Base::new(), Base::new());
        elsewhere.file(KEY, 91);
        elsewhere.file(&format!("dirs/{KEY}"), 91);
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(elsewhere.path(""), base.path(ID)).unwrap();
        let other = ID.replace('0', "1");
        std::fs::create_dir(base.path(&other)).unwrap();
        link(elsewhere.path(""), base.path(&format!("{other}/dirs"))).unwrap();
        assert_eq!(base.sweep(), 0);
        assert!(elsewhere.path(KEY).exists() && elsewhere.path(&format!("dirs/{KEY}")).exists());
    }

    #[test]
    fn a_base_that_is_not_there_is_nothing() {
        assert_eq!(sweep(Path::new("/nowhere/at/all"), NOW), 0);
        assert_eq!(sweep(Path::new("/dev/null"), NOW), 0);
    }
}
