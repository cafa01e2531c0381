//! What is restored: everything, all but what exclude patterns name, or only what include patterns name.

use crate::error::{Code, Error, Result};
use crate::filter::PatternList;

/// The choice for one restore.
pub struct Selection {
    lists: Vec<PatternList>,
    include: bool,
}

/// What the choice says about one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The entry itself is restored.
    pub itself: bool,
    /// Something below it may be.
    pub below: bool,
}

impl Selection {
    /// Parses the patterns: of each sort those that regard case, then those that do not. Includes and
    /// excludes together are refused, as in restic.
    pub fn new(includes: [&[Vec<u8>]; 2], excludes: [&[Vec<u8>]; 2]) -> Result<Self> {
        let include = includes.iter().any(|l| !l.is_empty());
        if include && excludes.iter().any(|l| !l.is_empty()) {
            let detail = "exclude and include patterns cannot be combined";
            return Err(Error::new(Code::InvalidArgument, "--include", detail));
        }
        let [plain, folded] = if include { includes } else { excludes };
        let lists = vec![
            PatternList::parse(plain, false)?,
            PatternList::parse(folded, true)?,
        ];
        Ok(Self {
            lists: lists.into_iter().filter(|l| !l.is_empty()).collect(),
            include,
        })
    }

    /// Whether there is no pattern.
    pub fn is_everything(&self) -> bool {
        !self.include && self.lists.is_empty()
    }

    /// What to do with the entry at `location` (from `/` on, below the restored tree).
    pub fn of(&self, location: &[u8], is_dir: bool) -> Selected {
        if self.include {
            let mut said = Selected {
                itself: false,
                below: false,
            };
            for list in &self.lists {
                let found = list.matches(location);
                said.itself |= found.matched;
                said.below |= found.child_may_match;
            }
            said.below &= is_dir;
            return said;
        }
        let itself = !self.lists.iter().any(|l| l.matches(location).matched);
        Selected {
            itself,
            below: itself && is_dir,
        }
    }
}
