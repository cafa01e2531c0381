//! What a peer can do wrong.

use std::fmt;

/// Why bytes of a peer are not what they have to be. The connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Bytes that no message can be: what is wrong.
    Malformed(&'static str),
    /// More than the protocol, or this program, allows: of what.
    TooLarge(&'static str),
    /// A text that is not UTF-8, or no text of this kind: which.
    Text(&'static str),
    /// An entry that breaks a rule of the protocol: its name, and which rule.
    Entry(String, &'static str),
    /// The greeting of a protocol before this one.
    TooOld,
}

/// A value, or what was wrong with the bytes.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(formatter, "malformed: {what}"),
            Self::TooLarge(what) => write!(formatter, "too large: {what}"),
            Self::Text(what) => write!(formatter, "no such text: {what}"),
            Self::Entry(name, rule) => write!(formatter, "entry {name:?}: {rule}"),
            Self::TooOld => write!(formatter, "the peer speaks a protocol before BEP v1"),
        }
    }
}

impl std::error::Error for Error {}
