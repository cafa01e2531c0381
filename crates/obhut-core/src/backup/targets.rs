//! From the paths that a person gave to the shape of the snapshot (formats: restic 10, "tree for targets").
//!
//! - `/home/u/x` becomes the chain `home` → `u` → `x`; the directories above the target carry their real
//!   facts, but nothing else of theirs is saved.
//! - A relative path keeps its named part only (`../a/b` → `a` → `b`); `.`, `..` and `/` stand for what
//!   they contain.
//! - Two relative targets from different places with the same first name: the second one gets `-1`.

use std::collections::BTreeMap;

use crate::error::{Code, Error, Result};
use crate::filter::clean;
use crate::fs;
use crate::gojson;

/// A place in the snapshot above or at a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// What is below, by name in the snapshot.
    pub below: BTreeMap<Vec<u8>, Target>,
    /// The source, if this is a target itself.
    pub source: Option<Vec<u8>>,
    /// Given by the person and not found by listing: excludes do not apply to it.
    pub explicit: bool,
    /// Where the facts of a directory above targets are found.
    pub facts: Vec<u8>,
    /// The directory in which a first name was found.
    root: Vec<u8>,
}

/// Names the entries of a directory.
type List<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<Vec<u8>>>;

/// A source path and whether a person named it.
type Source = (Vec<u8>, bool);

/// The tree for `targets`; `list` names the entries of a directory.
pub fn plan(targets: &[Vec<u8>], list: List<'_>) -> Result<Target> {
    let mut root = Target::default();
    let mut seen = std::collections::HashSet::new();
    for (path, explicit) in resolve(targets, list)? {
        let path = clean(&path);
        if seen.insert(path.clone()) {
            root.add(&path, explicit)?;
        }
    }
    root.unroll(list)?;
    Ok(root)
}

/// The names in a directory that a person gave as a path.
pub fn list_path(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let failed = |errno| Error::os(gojson::display(path), errno);
    let base = fs::open_directory_path(path).map_err(failed)?;
    let directory = fs::open_directory(&base, b".").map_err(failed)?;
    let names = fs::list(&directory).map_err(failed)?;
    Ok(names.iter().map(<[u8]>::to_vec).collect())
}

/// Replaces targets without a name of their own by what they contain.
fn resolve(targets: &[Vec<u8>], list: List<'_>) -> Result<Vec<Source>> {
    let mut resolved = Vec::new();
    for target in targets {
        let target = clean(target);
        if components(&target).is_empty() {
            for name in list(&target)? {
                resolved.push((join(&target, &name), false));
            }
        } else {
            resolved.push((target, true));
        }
    }
    Ok(resolved)
}

impl Target {
    fn add(&mut self, path: &[u8], explicit: bool) -> Result<()> {
        let parts = components(path);
        let Some((&first, rest)) = parts.split_first() else {
            return Err(invalid(path, "a path without a name"));
        };
        let root = root_directory(path);
        let mut name = first.to_vec();
        let mut suffix = 0;
        while self
            .below
            .get(&name)
            .is_some_and(|other| other.root != root)
        {
            suffix += 1;
            name = first.to_vec();
            name.extend_from_slice(format!("-{suffix}").as_bytes());
        }
        let place = self.below.entry(name).or_default();
        let facts = join(&root, first);
        place.root = root;
        if rest.is_empty() {
            place.source = Some(path.to_vec());
            place.explicit = explicit;
            return Ok(());
        }
        place.facts.clone_from(&facts);
        place.add_below(path, &facts, rest, explicit)
    }

    fn add_below(
        &mut self,
        path: &[u8],
        above: &[u8],
        parts: &[&[u8]],
        explicit: bool,
    ) -> Result<()> {
        let mut place = self;
        let mut above = above.to_vec();
        for (depth, part) in parts.iter().enumerate() {
            place = place.below.entry(part.to_vec()).or_default();
            above = join(&above, part);
            if depth + 1 < parts.len() {
                place.facts.clone_from(&above);
            }
        }
        if place.source.is_some() {
            return Err(invalid(
                path,
                "two targets take the same place in the snapshot",
            ));
        }
        place.source = Some(path.to_vec());
        place.explicit = explicit;
        Ok(())
    }

    /// A target that contains other targets is replaced by its entries: only leaves have a source then.
    fn unroll(&mut self, list: List<'_>) -> Result<()> {
        if !self.below.is_empty()
            && let Some(source) = self.source.take()
        {
            self.explicit = false;
            for name in list(&source)? {
                let path = join(&source, &name);
                let place = self.below.entry(name).or_default();
                match &place.source {
                    None => place.source = Some(path),
                    Some(same) if *same == path => {}
                    Some(_) => {
                        return Err(invalid(
                            &path,
                            "two targets take the same place in the snapshot",
                        ));
                    }
                }
            }
        }
        self.below
            .values_mut()
            .try_for_each(|place| place.unroll(list))
    }
}

fn invalid(path: &[u8], why: &str) -> Error {
    Error::new(Code::InvalidArgument, gojson::display(path), why)
}

/// The named components of a clean path: none of `/`, `.`, leading `..`.
fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"." | b".."))
        .collect()
}

/// The directory that holds the first named component of a clean path.
fn root_directory(path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return b"/".to_vec();
    }
    let ups = path
        .split(|byte| *byte == b'/')
        .take_while(|part| *part == b"..")
        .count();
    if ups == 0 {
        return b".".to_vec();
    }
    vec![&b".."[..]; ups].join(&b'/')
}

/// Joins and cleans.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    path.push(b'/');
    path.extend_from_slice(name);
    clean(&path)
}

/// The path seen from `current`, absolute and clean.
pub fn absolute(current: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        clean(path)
    } else {
        join(current, path)
    }
}

/// Directory and base name of a clean path with a name of its own.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b".", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(target: &Target, above: &str, lines: &mut Vec<String>) {
        for (name, place) in &target.below {
            let path = format!("{above}/{}", String::from_utf8_lossy(name));
            if let Some(source) = &place.source {
                let mark = if place.explicit { "!" } else { "" };
                lines.push(format!(
                    "{path} = {}{mark}",
                    String::from_utf8_lossy(source)
                ));
            } else {
                lines.push(format!(
                    "{path} ({})",
                    String::from_utf8_lossy(&place.facts)
                ));
            }
            shape(place, &path, lines);
        }
    }

    fn planned(targets: &[&str]) -> Result<Vec<String>> {
        let targets: Vec<Vec<u8>> = targets.iter().map(|t| t.as_bytes().to_vec()).collect();
        let list = |path: &[u8]| -> Result<Vec<Vec<u8>>> {
            Ok(match path {
                b"." => vec![b"p".to_vec(), b"q".to_vec()],
                b"/" => vec![b"bin".to_vec(), b"etc".to_vec()],
                b"/home/u" => vec![b"a".to_vec(), b"x".to_vec()],
                _ => Vec::new(),
            })
        };
        let mut lines = Vec::new();
        shape(&plan(&targets, &list)?, "", &mut lines);
        Ok(lines)
    }

    #[test]
    fn absolute_targets_make_chains() {
        assert_eq!(
            planned(&["/home/u/x", "/home/v/"]).unwrap(),
            [
                "/home (/home)",
                "/home/u (/home/u)",
                "/home/u/x = /home/u/x!",
                "/home/v = /home/v!"
            ]
        );
    }

    #[test]
    fn places_without_a_name_stand_for_their_entries() {
        assert_eq!(planned(&["."]).unwrap(), ["/p = p", "/q = q"]);
        assert_eq!(planned(&["/"]).unwrap(), ["/bin = /bin", "/etc = /etc"]);
    }

    #[test]
    fn relative_targets_keep_their_named_part() {
        assert_eq!(
            planned(&["../../a/b", "c"]).unwrap(),
            ["/a (../../a)", "/a/b = ../../a/b!", "/c = c!"]
        );
    }

    #[test]
    fn equal_first_names_from_other_places_get_a_suffix() {
        assert_eq!(
            planned(&["a", "../a", "../../a"]).unwrap(),
            ["/a = a!", "/a-1 = ../a!", "/a-2 = ../../a!"]
        );
    }

    #[test]
    fn a_target_inside_another_one_is_saved_once() {
        assert_eq!(
            planned(&["/home/u", "/home/u/x"]).unwrap(),
            [
                "/home (/home)",
                "/home/u (/home/u)",
                "/home/u/a = /home/u/a",
                "/home/u/x = /home/u/x!"
            ]
        );
        assert_eq!(
            planned(&["/home/u", "/home/u/"]).unwrap(),
            ["/home (/home)", "/home/u = /home/u!"]
        );
    }

    #[test]
    fn paths_are_seen_from_the_current_directory() {
        assert_eq!(absolute(b"/w", b"a/../b"), b"/w/b");
        assert_eq!(absolute(b"/w", b"../b"), b"/b");
        assert_eq!(absolute(b"/w", b"/c/."), b"/c");
        assert_eq!(split(b"/a"), (&b"/"[..], &b"a"[..]));
        assert_eq!(split(b"../a"), (&b".."[..], &b"a"[..]));
        assert_eq!(split(b"a"), (&b"."[..], &b"a"[..]));
    }
}
