//! The zone of this host, found as Go finds it, its offsets precomputed.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::{DAY, ERA, GoTime, civil, clamp_year, days};
use crate::id::Id;
use crate::world::Timestamp;

/// Where Go looks for a zone by name.
const SOURCES: [&str; 4] = [
    "/usr/share/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/usr/lib/locale/TZ",
    "/etc/zoneinfo",
];
/// Zone files are a few kilobytes; Go refuses larger ones than this.
const FILE_LIMIT: u64 = 10 << 20;
/// Offsets are precomputed up to here (the year 2500), farther than times on most file systems reach.
const HORIZON: i64 = 16_725_225_600;
/// More changes than any zone has up to the horizon: a bound on what a strange file can make us compute.
const MAX_CHANGES: usize = 4000;
/// Instants whose year is within 0..=9999 in every zone: the years 1 to 9998.
const SAFE_FROM: i64 = -62_135_596_800;
const SAFE_UNTIL: i64 = 253_370_764_800;
/// Seconds after which the calendar repeats.
const CYCLE: i64 = ERA * DAY;

/// The host's zone (`TZ`, else `/etc/localtime`): immutable, so any thread may look up without waiting.
pub struct LocalZone {
    /// Ascending instants from which the offset of the same position holds; the first is `i64::MIN`.
    starts: Vec<i64>,
    offsets: Vec<i32>,
    /// For instants beyond the horizon; `None` is UTC.
    zone: Option<TimeZone>,
    fingerprint: String,
}

impl LocalZone {
    /// Reads the zone of this host; an unknown one is UTC, as in Go.
    pub fn system() -> Self {
        let tz = std::env::var_os("TZ");
        candidates(tz.as_deref())
            .iter()
            .find_map(|path| Self::from_file(path))
            .unwrap_or_else(Self::utc)
    }

    /// UTC, for tests.
    pub fn utc() -> Self {
        Self {
            starts: vec![i64::MIN],
            offsets: vec![0],
            zone: None,
            fingerprint: "utc".to_owned(),
        }
    }

    fn from_file(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        if !about.is_file() || about.len() > FILE_LIMIT {
            return None;
        }
        Self::from_tzif(&std::fs::read(path).ok()?)
    }

    /// The zone that a compiled zone file (`TZif`) describes; `None` if it is none.
    pub fn from_tzif(bytes: &[u8]) -> Option<Self> {
        let zone = TimeZone::tzif("Local", bytes).ok()?;
        let mut starts = vec![i64::MIN];
        let mut offsets = vec![offset_of(&zone, jiff::Timestamp::MIN)];
        for change in zone.following(jiff::Timestamp::MIN).take(MAX_CHANGES) {
            let start = change.timestamp().as_second();
            if start > HORIZON {
                break;
            }
            starts.push(start);
            offsets.push(change.offset().seconds());
        }
        Some(Self {
            starts,
            offsets,
            zone: Some(zone),
            fingerprint: format!("tzif {}", Id::of(bytes)),
        })
    }

    /// `at` with the offset in force at that instant. An instant whose local year lies outside 0..=9999 is
    /// moved to the same day of the nearest year inside: trees cannot hold another, and so what is read from
    /// a tree equals what was read from the file system.
    pub fn at(&self, at: Timestamp) -> GoTime {
        let time = GoTime {
            at,
            offset: self.offset(at.secs),
        };
        if (SAFE_FROM..SAFE_UNTIL).contains(&at.secs) {
            return time;
        }
        let local = at.secs.saturating_add(i64::from(time.offset));
        let (year, month, day) = civil(local.div_euclid(DAY));
        if (0..=9999).contains(&year) {
            return time;
        }
        let (year, month, day) = clamp_year((year, month, day));
        self.at_wall(
            days(year, month, day) * DAY + local.rem_euclid(DAY),
            at.nanos,
        )
    }

    /// The instant whose wall clock shows `local` (seconds since 1970 if the wall were UTC); in a gap or
    /// overlap the choice is that of Go's `time.Date`.
    fn at_wall(&self, local: i64, nanos: u32) -> GoTime {
        let offset = match self.offset(local) {
            0 => 0,
            guess => self.offset(local - i64::from(guess)),
        };
        let secs = local - i64::from(offset);
        GoTime {
            at: Timestamp { secs, nanos },
            offset,
        }
    }

    fn offset(&self, secs: i64) -> i32 {
        match &self.zone {
            Some(zone) if secs > HORIZON || self.starts.len() > MAX_CHANGES => {
                offset_of(zone, representable(secs))
            }
            _ => self.offsets[self.starts.partition_point(|&start| start <= secs) - 1],
        }
    }

    /// A text that changes when any offset could: part of the directory cache's key.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

impl fmt::Debug for LocalZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalZone({})", self.fingerprint)
    }
}

fn offset_of(zone: &TimeZone, at: jiff::Timestamp) -> i32 {
    zone.to_offset(at).seconds()
}

/// The instant, or for one that is too late for the library another with the same place in the calendar's cycle.
fn representable(secs: i64) -> jiff::Timestamp {
    let limit = jiff::Timestamp::MAX.as_second();
    let cycles = if secs > limit {
        (secs - limit) / CYCLE + 1
    } else {
        0
    };
    jiff::Timestamp::from_second(secs - cycles * CYCLE).unwrap_or(jiff::Timestamp::MIN)
}

/// The files to try for a value of `TZ`; none means UTC.
fn candidates(tz: Option<&OsStr>) -> Vec<PathBuf> {
    let Some(tz) = tz else {
        return vec![PathBuf::from("/etc/localtime")];
    };
    let name = tz.as_bytes();
    let name = OsStr::from_bytes(name.strip_prefix(b":").unwrap_or(name));
    match name.as_bytes() {
        b"" | b"UTC" => Vec::new(),
        [b'/', ..] => vec![PathBuf::from(name)],
        _ => SOURCES
            .iter()
            .map(|folder| Path::new(folder).join(name))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
