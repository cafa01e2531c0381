//! Why a store cannot be used.

use std::fmt;

use rusqlite::ErrorCode;

/// What a store refuses or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Its bytes are not those that were written. To be set aside; what it knew can be found out again.
    Damaged(String),
    /// A newer Obhut made it. To be left alone.
    Newer {
        /// Its version.
        found: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// It is a database of something else. To be left alone.
    Foreign,
    /// Another process has it open.
    Busy,
    /// No room.
    Full,
    /// Something else, in words of the system.
    Other(String),
}

/// See [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(formatter, "the index is damaged: {what}"),
            Self::Newer { found, known } => write!(
                formatter,
                "the index has version {found}; this Obhut knows versions up to {known}"
            ),
            Self::Foreign => write!(formatter, "the file is a database, but no index of Obhut"),
            Self::Busy => write!(formatter, "another process has the index open"),
            Self::Full => write!(formatter, "no room for the index"),
            Self::Other(what) => write!(formatter, "the index: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let words = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                // Our own statements are right: what they miss (`Unknown`) is a table that was there.
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => {
                    Self::Damaged(words)
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                ErrorCode::DiskFull => Self::Full,
                _ => Self::Other(words),
            },
            // A column that holds another type than was written.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Self::Damaged(words),
            _ => Self::Other(words),
        }
    }
}
