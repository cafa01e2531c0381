//! Names that belong to the machinery, and are never sent, served or removed (formats: bep 14, 20).

/// At the root of a folder: its marker, its ignore patterns, its versions.
const AT_ROOT: [&str; 3] = [".stfolder", ".stignore", ".stversions"];
const BEGINNINGS: [&str; 2] = [".syncthing.", "~syncthing~"];
const END: &str = ".tmp";
/// Bytes of a name from which on the hash stands for it: file systems take 255, some 143.
const LONGEST: usize = 160 - 11 - 4;

/// Whether a name, relative to the folder, is of the machinery, or below what is.
pub fn is_internal(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or(name);
    AT_ROOT.contains(&first)
}

/// Whether it is a file that somebody, on any system, is still writing.
pub fn is_temporary(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    BEGINNINGS
        .iter()
        .any(|beginning| last.starts_with(beginning))
        && last.ends_with(END)
}

/// Whether nobody may send, ask for or change a name: it is of the machinery, or below something that is.
pub fn is_untouchable(name: &str) -> bool {
    is_internal(name) || name.split('/').any(is_temporary)
}

/// What a file is called, in its directory, while it is written; `hash` is the SHA-256 of its last part in hex.
pub fn temporary(name: &str, hash: impl FnOnce(&str) -> String) -> String {
    let (folder, last) = name
        .rsplit_once('/')
        .map_or(("", name), |(folder, last)| (folder, last));
    let slash = if folder.is_empty() { "" } else { "/" };
    let middle = if last.len() > LONGEST {
        hash(last)
    } else {
        last.to_owned()
    };
    format!("{folder}{slash}{}{middle}{END}", BEGINNINGS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_machinery() {
        for name in [
            ".stfolder",
            ".stfolder/x",
            ".stignore",
            ".stversions/a/b~20260102-030405.txt",
        ] {
            assert!(is_internal(name), "{name}");
        }
        for name in ["a/.stfolder", ".stfolders", "stignore", ".stignore2"] {
            assert!(!is_internal(name), "{name}");
        }
        for name in [".syncthing.a.tmp", "d/~syncthing~a.tmp", ".syncthing..tmp"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in [".syncthing.a", "syncthing.a.tmp", ".syncthing.d.tmp/a"] {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn names_while_they_are_written() {
        let hash = |_: &str| "f00d".to_owned();
        assert_eq!(temporary("a.txt", hash), ".syncthing.a.txt.tmp");
        assert_eq!(temporary("d/e/a.txt", hash), "d/e/.syncthing.a.txt.tmp");
        assert_eq!(temporary(&"a".repeat(145), hash).len(), 160);
        assert_eq!(
            temporary(&format!("d/{}", "a".repeat(146)), hash),
            "d/.syncthing.f00d.tmp"
        );
    }
}
