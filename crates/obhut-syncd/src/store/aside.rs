//! The files of a store as files: what is damaged goes out of the way, and what was left over is not taken for anything.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// The files that `SQLite` keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Removes what `SQLite` kept beside a database that is not there: it must not be carried over into a new one.
pub(super) fn remove_leftovers(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    for ending in BESIDE {
        match std::fs::remove_file(with_ending(path, ending)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::Other(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts a store that is closed and damaged out of the way, for people to look at; what was set aside before goes. Says where
/// it is. The database goes first: what is left beside a place where none is, is not used ([`super::Store::open`]), but a database
/// without its log would pass for an older state of itself.
pub fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = with_ending(path, ".damaged");
    for ending in BESIDE {
        // Of what was set aside before.
        std::fs::remove_file(with_ending(&aside, ending)).ok();
    }
    for ending in ["", "-wal", "-shm", "-journal"] {
        #[allow(clippy::disallowed_methods)] // nothing of it has to last
        let moved = std::fs::rename(with_ending(path, ending), with_ending(&aside, ending));
        match moved {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::Other(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(aside)
}
