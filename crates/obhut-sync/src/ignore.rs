//! Ignore files: which names are left alone (formats: bep 19). The first line that matches decides.

use std::collections::HashSet;
use std::fmt;

use crate::glob::Glob;

/// Files that include each other, and patterns, of one folder.
const FILES: usize = 1_000;
const PATTERNS: usize = 100_000;

/// What is said of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is shared.
    Shared,
    /// It is left alone.
    Ignored,
    /// It is left alone, and may go where it keeps a directory from being removed.
    Deletable,
}

/// Why an ignore file cannot be used; the folder stops, for nobody knows what should be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreError {
    /// In which file.
    pub file: String,
    /// The line, as it stands there.
    pub line: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {:?}: {}", self.file, self.line, self.why)
    }
}

impl std::error::Error for IgnoreError {}

/// The lines of a folder's ignore file, and of those that it includes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ignores {
    rules: Vec<Rule>,
    descends: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    glob: Glob,
    ignores: bool,
    deletable: bool,
    folds: bool,
}

/// A line that is a pattern, taken apart.
struct Line<'a> {
    pattern: &'a str,
    ignores: bool,
    deletable: bool,
    folds: bool,
}

impl Ignores {
    /// From the text of the ignore file `name`; `include` gives the text of another one, by its name relative to the folder.
    pub fn parse(
        name: &str,
        text: &str,
        include: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, IgnoreError> {
        let mut parser = Parser {
            found: Self::default(),
            lines: HashSet::new(),
            files: HashSet::from([name.to_owned()]),
            escape: '\\',
            include,
        };
        parser.file(name, text)?;
        Ok(parser.found)
    }

    /// What is said of a name, relative to the folder. Names of the machinery are asked about elsewhere ([`crate::internal`]).
    pub fn verdict(&self, name: &str) -> Verdict {
        let mut lower: Option<String> = None;
        for rule in &self.rules {
            let asked = if rule.folds {
                lower.get_or_insert_with(|| name.to_lowercase()).as_str()
            } else {
                name
            };
            if rule.glob.matches(asked) {
                return match (rule.ignores, rule.deletable) {
                    (false, _) => Verdict::Shared,
                    (true, false) => Verdict::Ignored,
                    (true, true) => Verdict::Deletable,
                };
            }
        }
        Verdict::Shared
    }

    /// Whether something below a directory that is left alone may be shared all the same: then it has to be walked.
    pub fn descends(&self) -> bool {
        self.descends
    }
}

/// What is wrong with a line, or with one of a file that it includes.
enum Wrong {
    Here(String),
    There(IgnoreError),
}

impl From<&str> for Wrong {
    fn from(why: &str) -> Self {
        Self::Here(why.to_owned())
    }
}

struct Parser<'a> {
    found: Ignores,
    /// Lines that were there already count once.
    lines: HashSet<String>,
    files: HashSet<String>,
    escape: char,
    include: &'a mut dyn FnMut(&str) -> Result<String, String>,
}

impl Parser<'_> {
    fn file(&mut self, name: &str, text: &str) -> Result<(), IgnoreError> {
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("//") || !self.lines.insert(line.to_owned()) {
                continue;
            }
            self.line(name, line).map_err(|wrong| match wrong {
                Wrong::Here(why) => IgnoreError {
                    file: name.to_owned(),
                    line: line.to_owned(),
                    why,
                },
                Wrong::There(error) => error,
            })?;
        }
        Ok(())
    }

    fn line(&mut self, file: &str, line: &str) -> Result<(), Wrong> {
        if let Some(escape) = line.strip_prefix("#escape=") {
            let mut characters = escape.chars();
            let (Some(chosen), None) = (characters.next(), characters.next()) else {
                return Err("an escape is one character".into());
            };
            if !self.found.rules.is_empty() {
                return Err("the escape has to stand before all patterns".into());
            }
            self.escape = chosen;
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("#include") {
            let wanted = rest
                .strip_prefix(' ')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            return self.included(file, wanted.ok_or("it includes nothing")?);
        }
        let taken = take_apart(line)?;
        if taken.pattern.ends_with("/**") {
            self.add(&taken, taken.pattern)?;
        } else if taken.pattern.ends_with('/') {
            self.add(&taken, &format!("{}**", taken.pattern))?;
        } else {
            self.add(&taken, taken.pattern)?;
            self.add(&taken, &format!("{}/**", taken.pattern))?;
        }
        if !taken.ignores && !may_skip(taken.pattern) {
            self.found.descends = true;
        }
        Ok(())
    }

    fn included(&mut self, file: &str, wanted: &str) -> Result<(), Wrong> {
        let name = beside(file, wanted).ok_or("it lies outside the folder")?;
        if !self.files.insert(name.clone()) {
            return Err("it is included twice".into());
        }
        if self.files.len() > FILES {
            return Err("too many files".into());
        }
        let text = (self.include)(&name).map_err(Wrong::Here)?;
        self.file(&name, &text).map_err(Wrong::There)
    }

    fn add(&mut self, line: &Line<'_>, pattern: &str) -> Result<(), Wrong> {
        let pattern = if line.folds {
            pattern.to_lowercase()
        } else {
            pattern.to_owned()
        };
        if let Some(rooted) = pattern.strip_prefix('/') {
            return self.rule(line, rooted);
        }
        self.rule(line, &pattern)?;
        match pattern.strip_prefix("**/") {
            Some(rest) => self.rule(line, rest),
            None => self.rule(line, &format!("**/{pattern}")),
        }
    }

    fn rule(&mut self, line: &Line<'_>, pattern: &str) -> Result<(), Wrong> {
        if self.found.rules.len() >= PATTERNS {
            return Err("too many patterns".into());
        }
        let glob = Glob::parse(pattern, self.escape)?;
        self.found.rules.push(Rule {
            glob,
            ignores: line.ignores,
            deletable: line.deletable,
            folds: line.folds,
        });
        Ok(())
    }
}

/// Prefixes in any order, each once.
fn take_apart(line: &str) -> Result<Line<'_>, Wrong> {
    let mut found = Line {
        pattern: line,
        ignores: true,
        deletable: false,
        folds: false,
    };
    loop {
        if let (true, Some(rest)) = (found.ignores, found.pattern.strip_prefix('!')) {
            (found.ignores, found.pattern) = (false, rest);
        } else if let (false, Some(rest)) = (found.folds, found.pattern.strip_prefix("(?i)")) {
            (found.folds, found.pattern) = (true, rest);
        } else if let (false, Some(rest)) = (found.deletable, found.pattern.strip_prefix("(?d)")) {
            (found.deletable, found.pattern) = (true, rest);
        } else {
            break;
        }
    }
    if found.pattern.is_empty() {
        Err("there is no pattern".into())
    } else {
        Ok(found)
    }
}

/// Whether what a line shares lies at the root, so that no directory that is left alone has to be walked for it.
fn may_skip(pattern: &str) -> bool {
    let Some(rooted) = pattern.strip_prefix('/') else {
        return false;
    };
    !rooted.contains('/') && !rooted.trim_end_matches("**").contains("**")
}

/// A name beside a file, cleaned; nothing for what lies outside the folder.
fn beside(file: &str, wanted: &str) -> Option<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = format!("{folder}/{wanted}");
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(text: &str) -> Ignores {
        Ignores::parse(".stignore", text, &mut |name| Err(format!("no {name}"))).unwrap()
    }

    fn error(text: &str) -> String {
        let files = |name: &str| match name {
            "bad" => Ok("fine\n[".to_owned()),
            "loop" => Ok("#include bad\n#include loop".to_owned()),
            other => Err(format!("no {other}")),
        };
        Ignores::parse(".stignore", text, &mut { files })
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_rules_of_the_formats_page() {
        use Verdict::{Deletable, Ignored, Shared};
        let cases: [(&str, &[(&str, Verdict)]); 12] = [
            (
                "foo",
                &[
                    ("foo", Ignored),
                    ("a/foo", Ignored),
                    ("foo/a", Ignored),
                    ("a/foo/b", Ignored),
                    ("food", Shared),
                ],
            ),
            (
                "/foo",
                &[("foo", Ignored), ("foo/a", Ignored), ("a/foo", Shared)],
            ),
            (
                "foo/",
                &[("foo", Shared), ("foo/a", Ignored), ("a/foo/b", Ignored)],
            ),
            ("foo/**", &[("foo", Shared), ("foo/a", Ignored)]),
            ("**/foo", &[("foo", Ignored), ("a/b/foo", Ignored)]),
            (
                "*.txt",
                &[
                    ("a.txt", Ignored),
                    ("d/a.txt", Ignored),
                    ("a.txt/b", Ignored),
                    ("atxt", Shared),
                ],
            ),
            (
                "!/keep\n*",
                &[("keep", Shared), ("keep/a", Shared), ("lose", Ignored)],
            ),
            ("(?i)Foo", &[("fOO", Ignored), ("bar", Shared)]),
            ("(?d)x\n(?i)(?d)Y", &[("x", Deletable), ("y", Deletable)]),
            ("(?d)!x\n*", &[("x", Shared), ("y", Ignored)]),
            ("// foo\n\n  foo  ", &[("foo", Ignored), ("bar", Shared)]),
            ("#escape=|\na|*", &[("a*", Ignored), ("ab", Shared)]),
        ];
        for (text, names) in cases {
            let found = ignores(text);
            for &(name, expected) in names {
                assert_eq!(found.verdict(name), expected, "{text:?} {name:?}");
            }
        }
    }

    #[test]
    fn when_ignored_directories_are_walked() {
        for (text, expected) in [
            ("foo", false),
            ("!/foo\n*", false),
            ("!foo\n*", true),
            ("!/a/b\n*", true),
            ("!/a**b\n*", true),
            ("!/a**\n*", false),
        ] {
            assert_eq!(ignores(text).descends(), expected, "{text:?}");
        }
    }

    #[test]
    fn files_that_are_included() {
        let mut asked = Vec::new();
        let found = Ignores::parse(".stignore", "#include sub/more\nlast", &mut |name| {
            asked.push(name.to_owned());
            Ok(if name == "sub/more" {
                "!last\n#include ../other"
            } else {
                "third"
            }
            .to_owned())
        })
        .unwrap();
        assert_eq!(asked, ["sub/more", "other"]);
        assert_eq!(
            (found.verdict("last"), found.verdict("third")),
            (Verdict::Shared, Verdict::Ignored)
        );
    }

    #[test]
    fn lines_that_cannot_be_used() {
        assert_eq!(error("a\n!"), ".stignore: \"!\": there is no pattern");
        assert_eq!(error("[a"), ".stignore: \"[a\": a [ that is not closed");
        assert_eq!(
            error("#include"),
            ".stignore: \"#include\": it includes nothing"
        );
        assert_eq!(
            error("#include absent"),
            ".stignore: \"#include absent\": no absent"
        );
        assert_eq!(error("#include bad"), "bad: \"[\": a [ that is not closed");
        assert_eq!(
            error("#include ../up"),
            ".stignore: \"#include ../up\": it lies outside the folder"
        );
        assert_eq!(
            error("a\n#escape=x"),
            ".stignore: \"#escape=x\": the escape has to stand before all patterns"
        );
        assert_eq!(
            error("#escape="),
            ".stignore: \"#escape=\": an escape is one character"
        );
        assert!(
            error("#include loop").contains("a ["),
            "the first thing that is wrong"
        );
        let own = Ignores::parse(
            ".stignore",
            "#include .stignore",
            &mut |_| Ok(String::new()),
        )
        .unwrap_err();
        assert_eq!(own.why, "it is included twice");
    }
}
