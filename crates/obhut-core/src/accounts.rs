//! The host's users and groups, as its name service switch knows them: files, LDAP, systemd, …
//!
//! Asked through the C library, one entry at a time and thread-safe (`getpwuid_r` and its kin). A restic that is
//! built with cgo asks the same functions; its released binaries are built without and read `/etc/passwd` and
//! `/etc/group` only. The buffer's bound is Go's, so that a group that is too large for one is so for both.

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::gojson;
use crate::world::Accounts;

/// Room for the strings of an entry: at first, and at most (a group carries the names of its members).
const ROOM: usize = 1 << 10;
const MOST_ROOM: usize = 1 << 20;

/// The machine's accounts.
#[derive(Debug, Default)]
pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, uid: u32) -> Result<Option<String>> {
        let found = ask(
            // SAFETY: `ask` gives pointers to a place for an entry, a buffer of that length, and a place for a pointer.
            |entry, buffer, room, found| unsafe {
                libc::getpwuid_r(uid, entry, buffer, room, found)
            },
            // SAFETY: the name of an entry that was found is a string that lives as long as the entry.
            |entry| unsafe { text(entry.pw_name) },
        );
        found.map_err(|errno| Error::os(format!("name of user {uid}"), errno))
    }

    fn group(&self, gid: u32) -> Result<Option<String>> {
        let found = ask(
            // SAFETY: as above.
            |entry, buffer, room, found| unsafe {
                libc::getgrgid_r(gid, entry, buffer, room, found)
            },
            // SAFETY: as above.
            |entry| unsafe { text(entry.gr_name) },
        );
        found.map_err(|errno| Error::os(format!("name of group {gid}"), errno))
    }

    fn uid(&self, name: &str) -> Result<Option<u32>> {
        let Ok(wanted) = CString::new(name) else {
            return Ok(None);
        };
        let found = ask(
            // SAFETY: as above; `wanted` outlives the call.
            |entry, buffer, room, found| unsafe {
                libc::getpwnam_r(wanted.as_ptr(), entry, buffer, room, found)
            },
            |entry| entry.pw_uid,
        );
        found
            .map_err(|errno| Error::os(format!("user {}", gojson::display(name.as_bytes())), errno))
    }

    fn gid(&self, name: &str) -> Result<Option<u32>> {
        let Ok(wanted) = CString::new(name) else {
            return Ok(None);
        };
        let found = ask(
            // SAFETY: as above; `wanted` outlives the call.
            |entry, buffer, room, found| unsafe {
                libc::getgrnam_r(wanted.as_ptr(), entry, buffer, room, found)
            },
            |entry| entry.gr_gid,
        );
        found.map_err(|errno| {
            Error::os(format!("group {}", gojson::display(name.as_bytes())), errno)
        })
    }
}

/// Calls one of the `_r` functions with a buffer that grows while it is too small. `take` sees the entry while its
/// strings are alive. "No such entry" has several numbers (man page of `getpwnam_r`).
fn ask<E, T>(
    call: impl Fn(*mut E, *mut c_char, usize, *mut *mut E) -> c_int,
    take: impl Fn(&E) -> T,
) -> std::result::Result<Option<T>, Errno> {
    let mut room = ROOM;
    loop {
        let mut buffer: Vec<c_char> = vec![0; room];
        let mut entry = MaybeUninit::<E>::uninit();
        let mut found: *mut E = std::ptr::null_mut();
        let failure = call(
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        match failure {
            // SAFETY: not null, so the call has filled `entry` and points to it.
            0 => return Ok(unsafe { found.as_ref() }.map(&take)),
            libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            libc::ERANGE if room < MOST_ROOM => room *= 2,
            libc::EINTR => {}
            number => return Err(Errno::from_raw_os_error(number)),
        }
    }
}

/// A C string; bytes that are no UTF-8 become U+FFFD.
///
/// # Safety
/// `name` is null or a string that ends with zero and lives during the call.
unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_superuser_is_known_both_ways() {
        let accounts = SystemAccounts;
        assert_eq!(accounts.user(0).unwrap().as_deref(), Some("root"));
        assert_eq!(accounts.uid("root").unwrap(), Some(0));
        assert_eq!(accounts.group(0).unwrap().as_deref(), Some("root"));
        assert_eq!(accounts.gid("root").unwrap(), Some(0));
    }

    #[test]
    fn what_nobody_has_is_none() {
        let accounts = SystemAccounts;
        assert_eq!(accounts.user(3_999_999_999).unwrap(), None);
        assert_eq!(accounts.group(3_999_999_999).unwrap(), None);
        for name in ["no such user at all", "zero\0inside", ""] {
            assert_eq!(accounts.uid(name).unwrap(), None);
            assert_eq!(accounts.gid(name).unwrap(), None);
        }
    }

    /// `ask` on a made-up function; gives the outcome and the rooms that were offered.
    fn ask_of(answers: &[c_int]) -> (std::result::Result<Option<u32>, Errno>, Vec<usize>) {
        let calls = Cell::new(0);
        let rooms = std::cell::RefCell::new(Vec::new());
        let outcome = ask(
            |entry: *mut u32, _, room, found| {
                rooms.borrow_mut().push(room);
                let answer = answers[calls.get().min(answers.len() - 1)];
                calls.set(calls.get() + 1);
                if answer == 0 {
                    // SAFETY: both places are given by `ask`.
                    unsafe {
                        entry.write(7);
                        found.write(entry);
                    }
                }
                answer
            },
            |entry| *entry,
        );
        (outcome, rooms.into_inner())
    }

    #[test]
    fn the_buffer_grows_to_a_bound() {
        let (found, rooms) = ask_of(&[libc::ERANGE, libc::EINTR, libc::ERANGE, 0]);
        assert_eq!((found, rooms), (Ok(Some(7)), vec![1024, 2048, 2048, 4096]));
        let (found, rooms) = ask_of(&[libc::ERANGE]);
        assert_eq!(found, Err(Errno::RANGE));
        assert_eq!(rooms.last(), Some(&MOST_ROOM));
    }

    #[test]
    fn absent_is_no_failure() {
        assert_eq!(ask_of(&[libc::ENOENT]).0, Ok(None));
        assert_eq!(ask_of(&[libc::ESRCH]).0, Ok(None));
        assert_eq!(ask_of(&[libc::EIO]).0, Err(Errno::IO));
    }
}
