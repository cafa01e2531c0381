//! Looking at everything.

use obhut_sync::ignore::{Ignores, Verdict};
use obhut_sync::internal::{is_internal, is_temporary};
use obhut_sync::io::{Facts, FactsKind, Failure, Seen};
use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;

use super::facts::look_at;
use super::root::{Root, failure, gone, joined};

/// Names that are handed on together.
const BATCH: usize = 1000;

/// What a walk brought besides names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// Names that could not be looked at, and why. What lies below them is neither seen nor gone.
    pub unreadable: Vec<(String, Failure)>,
    /// Names that are not UTF-8, as well as they can be shown.
    pub unnamed: Vec<String>,
    /// Temporary names, for [`Root::sweep`].
    pub temporaries: Vec<(String, Facts)>,
    /// Whether it was ended from outside.
    pub stopped: bool,
}

struct Walk<'w> {
    root: &'w Root,
    ignores: &'w Ignores,
    take: &'w mut dyn FnMut(Vec<Seen>) -> bool,
    batch: Vec<Seen>,
    /// Directories that are to be read. Each is found from the root again, so that no number of handles is held.
    ahead: Vec<String>,
    done: Walked,
}

impl Root {
    /// Looks at everything, or at a name and everything below it. A directory comes before what is in it; one that is ignored
    /// comes only if something in it may be shared. `take` gets names in batches, and says whether to go on.
    pub fn walk(
        &self,
        below: Option<&str>,
        ignores: &Ignores,
        take: &mut dyn FnMut(Vec<Seen>) -> bool,
    ) -> Walked {
        let mut walk = Walk {
            root: self,
            ignores,
            take,
            batch: Vec::new(),
            ahead: Vec::new(),
            done: Walked::default(),
        };
        match below.filter(|name| !name.is_empty()) {
            None => walk.ahead.push(String::new()),
            Some(name) => match self.look(name) {
                Ok(Some(facts)) => walk.see(name.to_owned(), facts),
                Ok(None) => {}
                Err(failure) => walk.done.unreadable.push((name.to_owned(), failure)),
            },
        }
        while let Some(name) = walk.ahead.pop()
            && !walk.done.stopped
        {
            if let Err(errno) = walk.read(&name)
                && !gone(errno)
            {
                walk.unreadable(name, errno);
            }
        }
        walk.hand_on();
        walk.done
    }
}

impl Walk<'_> {
    fn read(&mut self, name: &str) -> Result<(), Errno> {
        let directory = self.root.below(name, OFlags::RDONLY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            if let Ok(last) = std::str::from_utf8(bytes) {
                names.push(last.to_owned());
            } else {
                let shown = String::from_utf8_lossy(bytes);
                self.done.unnamed.push(joined(name, &shown));
            }
        }
        names.sort_unstable();
        let first = self.ahead.len();
        for last in names {
            let name = joined(name, &last);
            if is_internal(&name) {
                continue;
            }
            match look_at(&directory, &last) {
                Ok(Some(facts)) => self.see(name, facts),
                Ok(None) => {}
                Err(errno) => self.unreadable(name, errno),
            }
        }
        // The last one is taken first.
        self.ahead[first..].reverse();
        Ok(())
    }

    fn see(&mut self, name: String, facts: Facts) {
        if is_internal(&name) {
            return;
        }
        if is_temporary(&name) {
            return self.done.temporaries.push((name, facts));
        }
        let directory = facts.kind == FactsKind::Directory;
        let ignored = self.ignores.verdict(&name) != Verdict::Shared;
        if ignored && !(directory && self.ignores.descends()) {
            return;
        }
        if directory {
            self.ahead.push(name.clone());
        }
        self.batch.push(Seen {
            name,
            facts,
            ignored,
        });
        if self.batch.len() >= BATCH {
            self.hand_on();
        }
    }

    fn unreadable(&mut self, name: String, errno: Errno) {
        if self.ignores.verdict(&name) == Verdict::Shared || self.ignores.descends() {
            self.done.unreadable.push((name, failure("look", errno)));
        }
    }

    fn hand_on(&mut self) {
        if !self.batch.is_empty() && !self.done.stopped {
            self.done.stopped = !(self.take)(std::mem::take(&mut self.batch));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make the files.
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::super::names::tests::Tree;
    use super::*;

    fn walk(tree: &Tree, below: Option<&str>, ignores: &str) -> (Vec<(String, bool)>, Walked) {
        let ignores = Ignores::parse(".stignore", ignores, &mut |_| Err(String::new())).unwrap();
        let mut seen = Vec::new();
        let done = tree.root.walk(below, &ignores, &mut |batch| {
            for one in batch {
                assert_eq!(tree.facts(&one.name), one.facts);
                seen.push((one.name, one.ignored));
            }
            true
        });
        (seen, done)
    }

    fn names(seen: &[(String, bool)]) -> Vec<&str> {
        seen.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn tree() -> Tree {
        let tree = Tree::new();
        for name in ["a", "d/b", "d/e/c", ".stfolder/x", ".stversions/y", "z"] {
            tree.write(name, b"");
        }
        tree.write(".stignore", b"");
        tree.write("d/.syncthing.q.tmp", b"part");
        tree.make("empty");
        tree.link("l", "d");
        tree
    }

    #[test]
    fn everything_but_the_machinery_and_what_is_behind_links() {
        let tree = tree();
        let (seen, done) = walk(&tree, None, "");
        assert_eq!(
            names(&seen),
            ["a", "d", "empty", "l", "z", "d/b", "d/e", "d/e/c"]
        );
        assert_eq!(done.temporaries[0].0, "d/.syncthing.q.tmp");
        assert!(done.unreadable.is_empty() && done.unnamed.is_empty());
        assert_eq!(
            names(&walk(&tree, Some("d"), "").0),
            ["d", "d/b", "d/e", "d/e/c"]
        );
        assert_eq!(names(&walk(&tree, Some("d/b"), "").0), ["d/b"]);
        for nothing in ["none", "l/b", ".stversions", "../root"] {
            assert!(walk(&tree, Some(nothing), "").0.is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_ignored() {
        let tree = tree();
        assert_eq!(names(&walk(&tree, None, "d\nz").0), ["a", "empty", "l"]);
        let (seen, _) = walk(&tree, None, "!c\nd\nempty");
        let ignored: Vec<&str> = seen
            .iter()
            .filter(|(_, ignored)| *ignored)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(ignored, ["d", "empty", "d/e"]);
        assert!(names(&seen).contains(&"d/e/c") && !names(&seen).contains(&"d/b"));
    }

    #[test]
    fn names_that_nobody_could_send() {
        let tree = tree();
        std::fs::write(tree.path("d").join(OsStr::from_bytes(b"\xff")), b"").unwrap();
        assert_eq!(walk(&tree, None, "").1.unnamed, ["d/\u{fffd}"]);
    }

    #[test]
    fn in_batches_and_until_it_is_ended() {
        let tree = Tree::new();
        for at in 0..2 * BATCH {
            tree.write(&format!("f{at}"), b"");
        }
        let mut sizes = Vec::new();
        let done = tree.root.walk(None, &Ignores::default(), &mut |batch| {
            sizes.push(batch.len());
            false
        });
        assert_eq!((sizes, done.stopped), (vec![BATCH], true));
    }

    /// What a walk should bring, the slow way.
    fn model(path: &std::path::Path, name: &str, rules: &Ignores, found: &mut Vec<(String, bool)>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = joined(name, entry.file_name().to_str().unwrap());
            let directory = entry.file_type().unwrap().is_dir();
            let ignored = rules.verdict(&name) != Verdict::Shared;
            if is_internal(&name)
                || is_temporary(&name)
                || ignored && !(directory && rules.descends())
            {
                continue;
            }
            if directory {
                model(&entry.path(), &name, rules, found);
            }
            found.push((name, ignored));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn as_a_model_walks(
            names in prop::collection::vec("[abc](/[abc]){0,3}", 0..12),
            ignores in prop::collection::vec("!?/?[abc](/[abc*])?", 0..3),
        ) {
            let tree = Tree::new();
            for (at, name) in names.iter().enumerate() {
                let path = tree.path(name);
                if std::fs::create_dir_all(path.parent().unwrap()).is_err() {
                    continue;
                }
                let _ = match at % 3 {
                    0 => std::fs::write(path, b""),
                    1 => std::fs::create_dir(path),
                    _ => std::os::unix::fs::symlink("a", path),
                };
            }
            let text = ignores.join("\n");
            let parsed = Ignores::parse(".stignore", &text, &mut |_| Err(String::new())).unwrap();
            let mut expected = Vec::new();
            model(&tree.path(""), "", &parsed, &mut expected);
            let (mut seen, _) = walk(&tree, None, &text);
            for (at, (name, _)) in seen.iter().enumerate() {
                let parent = super::super::root::folder_of(name);
                prop_assert!(parent.is_empty() || seen[..at].iter().any(|(name, _)| name == parent));
            }
            seen.sort();
            expected.sort();
            prop_assert_eq!(seen, expected);
        }
    }
}
