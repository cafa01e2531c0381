//! Times as Go's `time.RFC3339Nano` writes them (formats: restic 10), and the zone they are written in.
//!
//! Trees hold local times with the offset in force at each instant, so the zone of the host is part of what
//! is hashed. It is found exactly as Go finds it: `TZ`, else `/etc/localtime`, else UTC.

mod zone;

pub use zone::LocalZone;

use crate::world::Timestamp;

/// An instant with the zone offset that it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GoTime {
    /// The instant.
    pub at: Timestamp,
    /// Seconds east of UTC.
    pub offset: i32,
}

const DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01: counting from a first of March puts the leap day last in its year.
const EPOCH_FROM_MARCH_0: i64 = 719_468;
/// Days in 400 years, after which the Gregorian calendar repeats, weekdays included.
const ERA: i64 = 146_097;

impl GoTime {
    /// Go's zero time, 0001-01-01T00:00:00Z: what a missing time means.
    pub const ZERO: Self = Self {
        at: Timestamp {
            secs: -62_135_596_800,
            nanos: 0,
        },
        offset: 0,
    };

    /// Appends the text (year clamped to 0..=9999, trailing zeros cut, `Z` for offset 0).
    pub fn write(&self, out: &mut Vec<u8>) {
        let local = self.at.secs.saturating_add(i64::from(self.offset));
        let (year, month, day) = clamp_year(civil(local.div_euclid(DAY)));
        let second = local.rem_euclid(DAY) as u32;
        let mut text = *b"0000-00-00T00:00:00";
        decimal(&mut text[0..4], year as u32);
        decimal(&mut text[5..7], month);
        decimal(&mut text[8..10], day);
        decimal(&mut text[11..13], second / 3600);
        decimal(&mut text[14..16], second / 60 % 60);
        decimal(&mut text[17..19], second % 60);
        out.extend_from_slice(&text);
        write_fraction(self.at.nanos, out);
        write_offset(self.offset, out);
    }

    /// Parses RFC 3339 with up to nine fraction digits (more are cut, as Go does); `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (head, tail) = bytes.split_at_checked(19)?;
        let marks = [head[4], head[7], head[10], head[13], head[16]];
        if &marks != b"--T::" {
            return None;
        }
        let year = i64::from(digits(&head[0..4])?);
        let month = digits(&head[5..7]).filter(|month| (1..=12).contains(month))?;
        let day =
            digits(&head[8..10]).filter(|day| (1..=month_length(year, month)).contains(day))?;
        let hour = digits(&head[11..13]).filter(|&hour| hour < 24)?;
        let minute = digits(&head[14..16]).filter(|&minute| minute < 60)?;
        let second = digits(&head[17..19]).filter(|&second| second < 60)?;
        let (nanos, zone) = parse_fraction(tail)?;
        let offset = parse_offset(zone)?;
        let local = days(year, month, day) * DAY + i64::from(hour * 3600 + minute * 60 + second);
        Some(Self {
            at: Timestamp {
                secs: local - i64::from(offset),
                nanos,
            },
            offset,
        })
    }

    /// Year, month, day, hour, minute, second on the wall where it was written.
    pub fn wall(&self) -> (i64, u32, u32, u32, u32, u32) {
        let local = self.at.secs.saturating_add(i64::from(self.offset));
        let (year, month, day) = civil(local.div_euclid(DAY));
        let second = local.rem_euclid(DAY) as u32;
        (
            year,
            month,
            day,
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

/// Writes `value` into `text` with leading zeros.
fn decimal(text: &mut [u8], mut value: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn write_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut fraction = *b".000000000";
    decimal(&mut fraction[1..], nanos);
    let zeros = fraction
        .iter()
        .rev()
        .take_while(|&&digit| digit == b'0')
        .count();
    out.extend_from_slice(&fraction[..fraction.len() - zeros]);
}

/// Offsets with seconds (historic local mean times) are cut to minutes towards zero.
fn write_offset(offset: i32, out: &mut Vec<u8>) {
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    let minutes = offset / 60;
    let mut text = *b"+00:00";
    if minutes < 0 {
        text[0] = b'-';
    }
    decimal(&mut text[1..3], minutes.unsigned_abs() / 60);
    decimal(&mut text[4..6], minutes.unsigned_abs() % 60);
    out.extend_from_slice(&text);
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u32::from(digit - b'0'))
    })
}

/// Nanoseconds, and what follows the fraction.
fn parse_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(fraction) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = fraction
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .count();
    let (fraction, rest) = fraction.split_at(length);
    let used = &fraction[..length.min(9)];
    let nanos = digits(used)? * 10u32.pow(9 - used.len() as u32);
    (length > 0).then_some((nanos, rest))
}

fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, rest) = match text {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if rest.len() != 5 || rest[2] != b':' {
        return None;
    }
    let hours = digits(&rest[..2]).filter(|&hours| hours < 24)?;
    let minutes = digits(&rest[3..]).filter(|&minutes| minutes < 60)?;
    Some(sign * (hours * 3600 + minutes * 60) as i32)
}

/// The date of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + EPOCH_FROM_MARCH_0;
    let era = shifted.div_euclid(ERA);
    let day_of_era = shifted.rem_euclid(ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// Days from 1970-01-01 to a date; the inverse of [`civil`].
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA + day_of_era - EPOCH_FROM_MARCH_0
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The same day in year 0 or 9999 if the year lies outside; a 29 February that 9999 lacks is 1 March.
fn clamp_year((year, month, day): (i64, u32, u32)) -> (i64, u32, u32) {
    let clamped = year.clamp(0, 9999);
    if clamped != year && day > month_length(clamped, month) {
        return (clamped, month + 1, 1);
    }
    (clamped, month, day)
}

#[cfg(test)]
mod tests;
