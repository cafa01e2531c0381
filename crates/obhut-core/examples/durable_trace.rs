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
    let mut group = Group::new();
    for (folder, name) in [
        (&folders[0], "g1"),
        (&folders[1], "g2"),
        (&folders[0], "g3"),
    ] {
        group.add(folder, OsStr::new(name), name.as_bytes(), 0o600, name)?;
    }
    group.commit(Existing::Keep)
}
