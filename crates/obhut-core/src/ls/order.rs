//! Other orders than that of the trees: restic's keys, ties by path (observed: restic 0.19, `ls --sort`).
//!
//! An order needs all entries before the first can be shown: about 150 bytes and the rendered line each.

use std::str::FromStr;

use crate::error::{Code, Error, Result};
use crate::job::Control;
use crate::tree::{Node, NodeType};
use crate::world::Timestamp;

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// As the trees have them: names, depth first.
    #[default]
    Name,
    /// Size of files; anything else counts as 0.
    Size,
    /// Time of the last change of content.
    Mtime,
    /// Time of the last access.
    Atime,
    /// Time of the last change of anything.
    Ctime,
    /// What follows the last dot of the name, with the dot.
    Extension,
}

impl FromStr for SortKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "name" => Self::Name,
            "size" => Self::Size,
            "time" | "mtime" => Self::Mtime,
            "atime" => Self::Atime,
            "ctime" => Self::Ctime,
            "extension" => Self::Extension,
            _ => return Err(Error::new(Code::InvalidArgument, "sort", text)),
        })
    }
}

/// A key and a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: SortKey,
    /// The last first.
    pub reverse: bool,
}

impl Order {
    /// Whether entries can be shown as they are met.
    pub fn is_of_trees(self) -> bool {
        self == Self::default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    None,
    Size(u64),
    Time(Timestamp),
    /// Where in the path it begins.
    Extension(usize),
}

struct Kept {
    key: Key,
    path: Box<[u8]>,
    line: Box<[u8]>,
}

impl Kept {
    /// The text that an order by extension compares; empty for other orders.
    fn extension(&self) -> &[u8] {
        match self.key {
            Key::Extension(at) => &self.path[at..],
            _ => b"",
        }
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let keys = match (self.key, other.key) {
            (Key::Extension(_), Key::Extension(_)) => self.extension().cmp(other.extension()),
            (a, b) => a.cmp(&b),
        };
        keys.then_with(|| self.path.cmp(&other.path))
    }
}

/// Holds rendered entries back until their order is known; does nothing for the order of the trees.
pub(super) struct Sorter {
    order: Order,
    kept: Vec<Kept>,
}

impl Sorter {
    pub fn new(order: Order) -> Self {
        Self {
            order,
            kept: Vec::new(),
        }
    }

    /// Takes the entry that was just rendered out of `out`.
    pub fn keep(&mut self, path: &[u8], node: &Node, out: &mut Vec<u8>) {
        if self.order.is_of_trees() {
            return;
        }
        let key = match self.order.by {
            SortKey::Name => Key::None,
            SortKey::Size if node.kind == NodeType::File => Key::Size(node.size),
            SortKey::Size => Key::Size(0),
            SortKey::Mtime => Key::Time(node.mtime.at),
            SortKey::Atime => Key::Time(node.atime.at),
            SortKey::Ctime => Key::Time(node.ctime.at),
            SortKey::Extension => Key::Extension(extension_start(path)),
        };
        self.kept.push(Kept {
            key,
            path: path.into(),
            line: std::mem::take(out).into_boxed_slice(),
        });
    }

    /// Shows all that was held back, in order.
    pub fn emit(mut self, control: &Control) -> Result<()> {
        if self.order.by != SortKey::Name {
            self.kept.sort_by(Kept::compare);
        }
        if self.order.reverse {
            self.kept.reverse();
        }
        for kept in &self.kept {
            control.check()?;
            control.emit(&kept.line)?;
        }
        Ok(())
    }
}

/// Where Go's `filepath.Ext` begins: at the last dot of the last name, else at the end.
fn extension_start(path: &[u8]) -> usize {
    let name = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    let dot = path[name..].iter().rposition(|b| *b == b'.');
    dot.map_or(path.len(), |at| name + at)
}
