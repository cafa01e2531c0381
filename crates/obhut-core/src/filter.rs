//! Exclude and include patterns with restic's rules, on raw bytes.
//!
//! - A pattern and a path are compared component by component; a component pattern follows Go's
//!   `filepath.Match` ([`glob`]). `**` stands for any number of components.
//! - A pattern that starts with `/` is anchored at the root; any other one matches at any depth. Either
//!   one matches a path also if it matches one of its parents.
//! - A trailing `/`, `//` and `./` mean nothing (patterns are cleaned as by `filepath.Clean`).
//! - `!` in front takes back what an earlier pattern of the same list matched; the last word counts.
//! - Without regard to case: both sides are lower-cased character by character first, so that a byte of
//!   invalid UTF-8 counts as U+FFFD.
//!
//! One habit of restic is kept although it looks odd: a pattern with `**` needs a path that is at least
//! as long as the pattern less one component, so `/a/**/b/**/c` does not match `/a/x/b/c`.
//! Source of facts: restic 0.19 (`internal/filter`), observed.

use crate::error::{Code, Error, Result};
use crate::gojson;

mod glob;
#[cfg(test)]
mod tests;

use glob::Glob;

/// What a list of patterns says about a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The path itself (or a parent of it) matches.
    pub matched: bool,
    /// Something below the path could match.
    pub child_may_match: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `/` in front of an anchored pattern, or a component without special characters.
    Plain(Vec<u8>),
    Glob(Glob),
    /// `**`.
    Any,
}

impl Part {
    fn matches(&self, component: &[u8]) -> bool {
        match self {
            Self::Plain(text) => text == component,
            Self::Glob(glob) => glob.matches(component),
            // `**` stands for single components once it is expanded; the root is none.
            Self::Any => component != b"/",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    parts: Vec<Part>,
    negated: bool,
}

/// A parsed list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternList {
    patterns: Vec<Pattern>,
    ignore_case: bool,
}

impl PatternList {
    /// Parses patterns; empty ones are ignored, a malformed one is `invalid-argument`.
    pub fn parse(patterns: &[Vec<u8>], ignore_case: bool) -> Result<Self> {
        let mut parsed = Vec::with_capacity(patterns.len());
        for pattern in patterns.iter().filter(|p| !p.is_empty()) {
            let checked = parse_pattern(pattern);
            let usable = if ignore_case {
                checked.and_then(|_| parse_pattern(&lower(pattern)))
            } else {
                checked
            };
            parsed.push(usable.ok_or_else(|| {
                Error::new(
                    Code::InvalidArgument,
                    gojson::display(pattern),
                    "malformed pattern",
                )
            })?);
        }
        Ok(Self {
            patterns: parsed,
            ignore_case,
        })
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// What the list says about `path` (absolute, clean). Nothing matches an empty list or path.
    pub fn matches(&self, path: &[u8]) -> Match {
        if self.patterns.is_empty() || path.is_empty() {
            return Match::default();
        }
        let lowered;
        let path = if self.ignore_case {
            lowered = lower(path);
            &lowered
        } else {
            path
        };
        let components = if path == b"/" {
            // The root has no name that a component pattern could match (restic never asks about it).
            vec![path]
        } else {
            split(path)
        };
        let mut said = Match::default();
        for pattern in &self.patterns {
            let matched = pattern.matches(&components);
            if pattern.negated {
                said.matched &= !matched;
                said.child_may_match &= !matched;
            } else {
                said.matched |= matched;
                said.child_may_match |= pattern.child_may_match(&components);
            }
        }
        said
    }
}

impl Pattern {
    fn matches(&self, path: &[&[u8]]) -> bool {
        let parts: Vec<&Part> = self.parts.iter().collect();
        expand(&parts, path)
    }

    fn child_may_match(&self, path: &[&[u8]]) -> bool {
        let Some(Part::Plain(first)) = self.parts.first() else {
            return true;
        };
        if first != b"/" {
            return true;
        }
        let path = match self.parts.iter().position(|p| *p == Part::Any) {
            Some(any) if path.len() >= any => &path[..any],
            _ => path,
        };
        let parts: Vec<&Part> = self.parts.iter().take(path.len()).collect();
        expand(&parts, path)
    }
}

static ONE: Part = Part::Any;

/// Replaces the first `**` by zero, one, two … single components until the rest fits.
fn expand(parts: &[&Part], path: &[&[u8]]) -> bool {
    let Some(any) = parts.iter().position(|p| **p == Part::Any) else {
        return fits(parts, path);
    };
    expand_at(parts, any, path)
}

fn expand_at(parts: &[&Part], any: usize, path: &[&[u8]]) -> bool {
    let Some(most) = (path.len() + 1).checked_sub(parts.len()) else {
        return false;
    };
    for count in 0..=most {
        let mut expanded: Vec<&Part> = Vec::with_capacity(path.len());
        expanded.extend_from_slice(&parts[..any]);
        expanded.extend(std::iter::repeat_n(&ONE, count));
        let tail = expanded.len();
        expanded.extend_from_slice(&parts[any + 1..]);
        let next = expanded[tail..].iter().position(|p| **p == Part::Any);
        let fitting = match next {
            Some(next) => expand_at(&expanded, tail + next, path),
            None => fits(&expanded, path),
        };
        if fitting {
            return true;
        }
    }
    false
}

/// Whether the parts (each one component) match components of the path one after another: from the
/// root if anchored, else anywhere.
fn fits(parts: &[&Part], path: &[&[u8]]) -> bool {
    if parts.is_empty() {
        return path.is_empty();
    }
    let Some(last) = path.len().checked_sub(parts.len()) else {
        return false;
    };
    let offsets = if matches!(parts[0], Part::Plain(text) if text == b"/") {
        0..=0
    } else {
        usize::from(path[0] == b"/")..=last
    };
    offsets.rev().any(|offset| {
        let window = &path[offset..];
        parts
            .iter()
            .zip(window)
            .rev()
            .all(|(part, component)| part.matches(component))
    })
}

fn parse_pattern(text: &[u8]) -> Option<Pattern> {
    let negated = text.first() == Some(&b'!');
    let cleaned = clean(&text[usize::from(negated)..]);
    let parts = split(&cleaned)
        .into_iter()
        .map(parse_part)
        .collect::<Option<Vec<_>>>()?;
    Some(Pattern { parts, negated })
}

fn parse_part(part: &[u8]) -> Option<Part> {
    // The empty second component of the pattern `/` means the same as `**`: all below the root.
    if part.is_empty() || part == b"**" {
        Some(Part::Any)
    } else if part.iter().any(|byte| b"\\[]*?".contains(byte)) {
        Glob::parse(part).map(Part::Glob)
    } else {
        Some(Part::Plain(part.to_vec()))
    }
}

/// Components of a clean path; the first one of an absolute path is `/`.
fn split(path: &[u8]) -> Vec<&[u8]> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    if parts[0].is_empty() {
        parts[0] = b"/";
    }
    parts
}

/// Go's `filepath.Clean`: the shortest path of the same meaning by text alone; nothing becomes `.`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match kept.last() {
                Some(&last) if last != b".." => {
                    kept.pop();
                }
                _ if rooted => {}
                _ => kept.push(part),
            },
            _ => kept.push(part),
        }
    }
    let mut cleaned = if rooted { b"/".to_vec() } else { Vec::new() };
    cleaned.extend_from_slice(&kept.join(&b'/'));
    if cleaned.is_empty() {
        cleaned.push(b'.');
    }
    cleaned
}

/// Lower case, one character for one character; a byte of invalid UTF-8 becomes U+FFFD.
fn lower(text: &[u8]) -> Vec<u8> {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut lowered = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        lowered.extend(
            chunk
                .valid()
                .chars()
                .map(|c| c.to_lowercase().next().unwrap_or(c)),
        );
        for _ in chunk.invalid() {
            lowered.push(char::REPLACEMENT_CHARACTER);
        }
    }
    lowered.into_bytes()
}
