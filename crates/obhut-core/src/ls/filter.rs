//! Which entries a listing shows: pure decisions on paths.

use crate::error::{Code, Error, Result};
use crate::gojson;

/// The paths that were asked for.
#[derive(Clone, Debug)]
pub struct PathFilter {
    /// Cleaned: empty for the root, else `/name/name`. No path at all means everything.
    paths: Vec<Vec<u8>>,
    recursive: bool,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// It is shown.
    pub show: bool,
    /// If it is a directory: what is in it is looked at.
    pub enter: bool,
}

impl PathFilter {
    /// `paths` must be absolute.
    pub fn new(paths: &[Vec<u8>], recursive: bool) -> Result<Self> {
        if let Some(relative) = paths.iter().find(|path| !path.starts_with(b"/")) {
            let object = gojson::display(relative);
            return Err(Error::new(
                Code::InvalidArgument,
                object,
                "not an absolute path",
            ));
        }
        let joined = paths.iter().map(|path| {
            let names = clean(path).into_iter();
            names
                .flat_map(|name| [b"/".as_slice(), name].concat())
                .collect()
        });
        Ok(Self {
            paths: joined.collect(),
            recursive,
        })
    }

    /// Decides about the entry at `path` (`/name/name`), given that the directory it is in was entered.
    ///
    /// Shown is what lies in or is one of the paths. Entered are directories on the way to a path, a path
    /// itself, and what is deeper only if that was asked for.
    pub fn choose(&self, path: &[u8]) -> Choice {
        if self.paths.is_empty() {
            return Choice {
                show: true,
                enter: true,
            };
        }
        let show = self.paths.iter().any(|wanted| is_within(path, wanted));
        let leads = self.paths.iter().any(|wanted| is_within(wanted, path));
        Choice {
            show,
            enter: leads || show && self.recursive,
        }
    }
}

/// Whether `path` is `base` or lies below it.
fn is_within(path: &[u8], base: &[u8]) -> bool {
    let rest = path.strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The names of a path without empty parts and `.`, with `..` taking the name before it away.
pub fn clean(path: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}
