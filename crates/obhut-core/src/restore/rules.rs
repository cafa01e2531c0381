//! Decisions about what is at a place already. Pure, with restic's rules (formats: restic 20).

use rustix::fs::{FileType, Stat};

use crate::error::{Code, Error, Result};
use crate::world::Timestamp;

/// restic's `--overwrite`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Compare the content, write what differs.
    #[default]
    Always,
    /// The same, but equal size and modification time count as equal content.
    IfChanged,
    /// Keep what is there unless the snapshot's entry is newer.
    IfNewer,
    /// Keep what is there.
    Never,
}

impl Overwrite {
    /// Parses the option's value.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "always" => Ok(Self::Always),
            "if-changed" => Ok(Self::IfChanged),
            "if-newer" => Ok(Self::IfNewer),
            "never" => Ok(Self::Never),
            _ => Err(Error::new(
                Code::InvalidArgument,
                "--overwrite",
                "must be always, if-changed, if-newer or never",
            )),
        }
    }

    /// Whether existing entries can be kept because of what they are.
    pub fn looks_first(self) -> bool {
        matches!(self, Self::IfNewer | Self::Never)
    }
}

/// Whether an entry of the snapshot may take the place of what exists there (`None`: nothing).
pub fn overwrites(rule: Overwrite, snapshot: Timestamp, existing: Option<Timestamp>) -> bool {
    match (rule, existing) {
        (_, None) | (Overwrite::Always | Overwrite::IfChanged, _) => true,
        (Overwrite::IfNewer, Some(existing)) => snapshot > existing,
        (Overwrite::Never, Some(_)) => false,
    }
}

/// What to do with an existing regular file once `--overwrite` allows to touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Take it for right without reading.
    Trust,
    /// Compare its content and change what differs in place.
    Compare,
    /// Replace it by a new file: changing it in place would reach further than this name, or would let
    /// somebody read along.
    Replace,
}

/// What counts about an existing file.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// A regular file.
    pub regular: bool,
    /// Its size.
    pub size: u64,
    /// Its modification time.
    pub mtime: Timestamp,
    /// Names that it has.
    pub links: u64,
    /// Its owner.
    pub uid: u32,
}

/// What the snapshot says about the file, and who we are.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Its size.
    pub size: u64,
    /// Its modification time.
    pub mtime: Timestamp,
    /// The snapshot has several names of it.
    pub linked: bool,
    /// Its owner.
    pub uid: u32,
    /// This process's user.
    pub our_uid: u32,
    /// `--verify`: nothing is taken for right without reading.
    pub verify: bool,
}

/// Decides about an existing entry in the place of a regular file.
pub fn existing(rule: Overwrite, seen: &Seen, wish: &Wish) -> Existing {
    if !seen.regular || (seen.links > 1 && !wish.linked) {
        return Existing::Replace;
    }
    let same = seen.size == wish.size && seen.mtime == wish.mtime;
    if rule == Overwrite::IfChanged && same && !wish.verify {
        return Existing::Trust;
    }
    if seen.uid != wish.uid && seen.uid != wish.our_uid {
        return Existing::Replace;
    }
    Existing::Compare
}

/// Modification time of what exists.
pub fn mtime_of(stat: &Stat) -> Timestamp {
    Timestamp {
        secs: stat.st_mtime,
        nanos: stat.st_mtime_nsec as u32,
    }
}

/// What counts about what exists.
#[allow(clippy::unnecessary_cast)] // the number of links is 32 bits wide on other processors
pub fn seen(stat: &Stat) -> Seen {
    Seen {
        regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        size: stat.st_size as u64,
        mtime: mtime_of(stat),
        links: stat.st_nlink as u64,
        uid: stat.st_uid,
    }
}

#[cfg(test)]
mod tests {
    use super::Existing::{Compare, Replace, Trust};
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp { secs, nanos: 5 }
    }

    #[test]
    fn overwrite_matrix() {
        use Overwrite::{Always, IfChanged, IfNewer, Never};
        for rule in [Always, IfChanged, IfNewer, Never] {
            assert!(overwrites(rule, at(1), None), "{rule:?}");
        }
        for (rule, older, same, newer) in [
            (Always, true, true, true),
            (IfChanged, true, true, true),
            (IfNewer, false, false, true),
            (Never, false, false, false),
        ] {
            assert_eq!(overwrites(rule, at(1), Some(at(2))), older, "{rule:?}");
            assert_eq!(overwrites(rule, at(2), Some(at(2))), same, "{rule:?}");
            assert_eq!(overwrites(rule, at(3), Some(at(2))), newer, "{rule:?}");
        }
    }

    #[test]
    fn words() {
        for word in ["always", "if-changed", "if-newer", "never"] {
            assert!(Overwrite::parse(word).is_ok());
        }
        let error = Overwrite::parse("sometimes").unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }

    #[test]
    fn existing_files() {
        let seen = Seen {
            regular: true,
            size: 10,
            mtime: at(7),
            links: 1,
            uid: 5,
        };
        let wish = Wish {
            size: 10,
            mtime: at(7),
            linked: false,
            uid: 5,
            our_uid: 0,
            verify: false,
        };
        let decide = |rule, seen: Seen, wish: Wish| existing(rule, &seen, &wish);
        assert_eq!(decide(Overwrite::IfChanged, seen, wish), Trust);
        assert_eq!(decide(Overwrite::Always, seen, wish), Compare);
        let verify = Wish {
            verify: true,
            ..wish
        };
        assert_eq!(decide(Overwrite::IfChanged, seen, verify), Compare);
        let longer = Seen { size: 11, ..seen };
        assert_eq!(decide(Overwrite::IfChanged, longer, wish), Compare);
        let linked = Seen { links: 2, ..seen };
        assert_eq!(decide(Overwrite::IfChanged, linked, wish), Replace);
        let wanted = Wish {
            linked: true,
            ..wish
        };
        assert_eq!(decide(Overwrite::Always, linked, wanted), Compare);
        let pipe = Seen {
            regular: false,
            ..seen
        };
        assert_eq!(decide(Overwrite::Always, pipe, wish), Replace);
        let foreign = Seen { uid: 9, ..seen };
        assert_eq!(decide(Overwrite::Always, foreign, wish), Replace);
    }
}
