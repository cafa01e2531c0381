//! Names of repository files and blobs.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256: the name of a repository file (over its stored bytes) or of a blob (over its plaintext).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// The id of the config file inside the program; it has no hash name (formats: restic 1).
    pub const ZERO: Id = Id([0; 32]);

    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Parses exactly 64 lower-case hex digits; anything else is `None`.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        let mut out = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(out))
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        text
    }

    /// Appends the 64 hex digits to `out`.
    pub fn write_hex(&self, out: &mut Vec<u8>) {
        for byte in self.0 {
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }

    /// The first eight hex digits, for display.
    pub fn short(&self) -> String {
        self.hex()[..8].to_owned()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// The two kinds of blobs. The same id may exist once per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum BlobKind {
    /// A piece of a file's content.
    Data = 0,
    /// A directory.
    Tree = 1,
}

impl BlobKind {
    /// `data` or `tree`, as the index writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tree => "tree",
        }
    }
}

/// The kinds of repository files (formats: restic 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The single file `config`.
    Config,
    /// A password's wrapping of the master key.
    Key,
    /// A point in time.
    Snapshot,
    /// Which blob lies where.
    Index,
    /// A lock.
    Lock,
    /// Blobs together.
    Pack,
}

impl FileKind {
    /// All kinds but config, in the order of the layout.
    pub const LISTED: [FileKind; 5] = [
        Self::Key,
        Self::Snapshot,
        Self::Index,
        Self::Lock,
        Self::Pack,
    ];

    /// The directory in the default layout (`data` for packs); for config its file name.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Lock => "locks",
            Self::Pack => "data",
        }
    }

    /// The word for people and for `obhut backup list`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Snapshot => "snapshot",
            Self::Index => "index",
            Self::Lock => "lock",
            Self::Pack => "pack",
        }
    }
}

/// One file of a repository: its kind and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    /// The kind.
    pub kind: FileKind,
    /// The name; [`Id::ZERO`] for config.
    pub id: Id,
}

impl FileName {
    /// The config file.
    pub const CONFIG: FileName = FileName {
        kind: FileKind::Config,
        id: Id::ZERO,
    };

    /// A named file.
    pub const fn new(kind: FileKind, id: Id) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FileKind::Config => f.write_str("config"),
            kind => write!(f, "{} {}", kind.noun(), self.id),
        }
    }
}
