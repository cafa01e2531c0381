//! The planner: what has to be done so that a device's item becomes the one that won. Pure; it sees one item.

use obhut_bep::{FileInfo, Kind, Ordering};

use crate::config::Direction;
use crate::conflict::{conflicts, is_copy};
use crate::entry::{claim, content, same_content, same_facts, stays_here};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// The disk is right already: only the entry is taken over.
    Adopt,
    /// Mode or time is set.
    Facts,
    /// A directory is made.
    Directory,
    /// A link is made.
    Link,
    /// Content is gathered, then gets the name.
    Content,
    /// The item goes.
    Remove,
}

/// The action, and what becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What is done.
    pub action: Action,
    /// Whether what is there stands against it: it is kept beside, and people are told.
    pub conflict: bool,
}

const NOTHING: Plan = Plan {
    action: Action::Nothing,
    conflict: false,
};

/// Of our own entry and the one that won.
pub fn plan(
    local: Option<&FileInfo>,
    global: &FileInfo,
    direction: Direction,
    ignore_modes: bool,
) -> Plan {
    if global.invalid {
        return NOTHING;
    }
    let only = |action| Plan {
        action,
        conflict: false,
    };
    let Some(local) = local else {
        return match direction {
            Direction::SendOnly if !global.deleted => NOTHING,
            _ if global.deleted => only(Action::Adopt),
            _ => only(make(global)),
        };
    };
    if stays_here(local) {
        return NOTHING; // until people say that it goes
    }
    if local.version.compare(&global.version) == Ordering::Equal && !local.invalid {
        return NOTHING;
    }
    let same = same_content(local, global) && !local.invalid;
    if same && (global.deleted || same_facts(local, global, ignore_modes)) {
        return only(Action::Adopt);
    }
    if direction == Direction::SendOnly {
        return NOTHING;
    }
    if same && global.kind != Kind::Symlink {
        return only(Action::Facts);
    }
    if global.deleted && local.deleted {
        return only(Action::Adopt);
    }
    let action = if global.deleted {
        Action::Remove
    } else {
        make(global)
    };
    Plan {
        action,
        conflict: stands_against(local, global),
    }
}

fn make(global: &FileInfo) -> Action {
    match global.kind {
        Kind::File => Action::Content,
        Kind::Directory => Action::Directory,
        Kind::Symlink => Action::Link,
    }
}

/// Whether our own content would vanish by a change that did not know of it. Only files are copied, and copies are not.
fn stands_against(local: &FileInfo, global: &FileInfo) -> bool {
    if local.deleted || local.kind != Kind::File || is_copy(&local.name) {
        return false;
    }
    let (new, own) = (content(global), content(local));
    conflicts(
        &claim(&global.version, &new, &global.previous_blocks_hash),
        &claim(&local.version, &own, &local.previous_blocks_hash),
    )
}
