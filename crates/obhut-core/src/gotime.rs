//! Times as Go's `time.RFC3339Nano` writes them (formats: restic 10).

use crate::world::Timestamp;

/// An instant with the zone offset that it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GoTime {
    /// The instant.
    pub at: Timestamp,
    /// Seconds east of UTC.
    pub offset: i32,
}

impl GoTime {
    /// Appends the text (year clamped to 0..=9999, trailing zeros cut, `Z` for offset 0).
    pub fn write(&self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// Parses RFC 3339 with up to nine fraction digits; `None` if it is none.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }
}

/// The host's zone (`TZ`, else `/etc/localtime`), with a cache for lookups; cheap to share.
pub struct LocalZone {}

impl LocalZone {
    /// Reads the zone of this host; an unknown one is UTC, as in Go.
    pub fn system() -> Self {
        todo!()
    }
    /// UTC, for tests.
    pub fn utc() -> Self {
        todo!()
    }
    /// `at` with the offset in force at that instant.
    pub fn at(&self, _at: Timestamp) -> GoTime {
        todo!()
    }
    /// A text that changes when any offset could: part of the directory cache's key.
    pub fn fingerprint(&self) -> String {
        todo!()
    }
}
