//! Names of items: relative, clean, with `/` between their parts.

use crate::error::{Error, Result};

/// Bytes of the longest name: far above what file systems take, far below what fills memory.
const LONGEST: usize = 64 << 10;

/// Refuses names that could leave the folder, and those that name the same item in two ways.
pub fn check_name(name: &str) -> Result<()> {
    let refuse = |rule| Err(Error::Entry(name.chars().take(200).collect(), rule));
    if name.is_empty() {
        return refuse("an item has a name");
    }
    if name.len() > LONGEST {
        return refuse("its name is too long");
    }
    if name.contains('\0') {
        return refuse("no name has a zero byte");
    }
    if name
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return refuse("its name is not in the clean form");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none() {
        for name in [
            "",
            ".",
            "..",
            "/a",
            "a/",
            "a//b",
            "a/./b",
            "a/../b",
            "../a",
            "a/..",
            "a\0b",
            &"a".repeat(LONGEST + 1),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_that_are_fine() {
        for name in [
            "a",
            "a/b",
            "...",
            "..a",
            "a..",
            ".a/b.",
            "ä/\u{301}",
            "a\\b",
            " ",
            "a\nb",
            &"a".repeat(LONGEST),
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }
}
