//! Calls each durable write once inside the folder given as the argument, for `tests/faults/test_durable_order.py`,
//! which looks at the system calls.

use std::ffi::OsStr;
use std::path::PathBuf;

use obhut_core::durable::{self, Existing, Folder, Group};
use obhut_core::error::{Code, Error, Result};

fn main() -> Result<()> {
    let place = std::env::args_os().nth(1).map(PathBuf::from);
    let place =
        place.ok_or_else(|| Error::new(Code::InvalidArgument, "arguments", "expected a folder"))?;
    durable::write(&place.join("new"), b"new", 0o400, Existing::Keep)?;
    durable::write(&place.join("replaced"), b"new", 0o600, Existing::Replace)?;
    durable::make_dir(&place.join("made"), 0o700)?;
    durable::remove(&place.join("new"))?;
    let folders = [Folder::open(&place)?, Folder::open(&place.join("made"))?];
    // A few files, one of them large, added in another order than they shall get their names.
    let group = Group::new();
    let large = vec![0; 300_000];
    for (place, folder, name, bytes) in [
        (2, &folders[0], "g3", &b"g3"[..]),
        (0, &folders[0], "g1", b"g1"),
        (1, &folders[1], "g2", &large),
    ] {
        group.add(place, folder, OsStr::new(name), bytes, 0o600, name)?;
    }
    group.commit(Existing::Keep)?;
    // Many.
    let group = Group::new();
    for number in 0..9 {
        let name = format!("m{number}");
        group.add(number, &folders[0], OsStr::new(&name), b"m", 0o600, &name)?;
    }
    group.commit(Existing::Keep)
}
