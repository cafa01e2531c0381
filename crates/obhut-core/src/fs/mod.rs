//! Reading a file system: relative to directory handles, without following links, any bytes in names.
//!
//! - Paths are walked by handles, one component at a time, so that no length limit of paths applies and
//!   a directory that is swapped for a link during a backup is not entered.
//! - A file is opened without following links, without touching its access time where the owner may ask
//!   for that, and without blocking (a name may turn into a pipe between listing and opening).
//! - Handles are few: only directories whose entries are still to be opened are held. [`raise_limit`]
//!   takes what the system allows for the rest.
//!
//! Source of facts: formats restic 10 (which fact goes where), Linux man-pages (openat, statx, getdents,
//! xattr, proc(5)).

mod list;
mod names;
mod open;
#[cfg(test)]
mod tests;
mod xattr;

pub use list::{NameList, list};
pub use names::Names;
pub use open::{
    Handle, Kind, Stat, open_directory, open_directory_path, open_file, raise_limit, read_link,
    stat_at, stat_handle, stat_path,
};
pub use xattr::{Xattrs, xattrs_at, xattrs_of_handle, xattrs_of_path};
