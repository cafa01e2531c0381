//! Entries and facts as bytes, for nobody but this store. The protocol's own form does not do: it leaves out what is not
//! for others, and its reader refuses and mends what peers must not say.
//!
//! Numbers are LEB128, signed ones zigzag; bytes have their length before them. At the end of each row stand the first four
//! bytes of the SHA-256 of its name and content: `SQLite` does not see bits that turn inside of a row.

use obhut_bep::{Blocks, FileInfo, HASH, Kind, ShortId, Vector};
use obhut_sync::io::{Facts, FactsKind, Meta};
use sha2::{Digest, Sha256};

/// Bytes of the check at the end of a row.
const CHECK: usize = 4;

const NO_PERMISSIONS: u8 = 1 << 2;
const DELETED: u8 = 1 << 3;
const INVALID: u8 = 1 << 4;
const ENCRYPTED: u8 = 1 << 5;
const PREVIOUS: u8 = 1 << 6;

/// Takes bytes apart; nothing where they end too early.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn time(&mut self) -> Option<(i64, i32)> {
        Some((self.signed()?, self.signed()?.try_into().ok()?))
    }

    fn fixed(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length).map(<[u8]>::to_vec)
    }
}

/// Puts bytes together.
#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }

    fn time(&mut self, (seconds, nanoseconds): (i64, i32)) {
        self.signed(seconds);
        self.signed(nanoseconds.into());
    }

    fn fixed(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn sealed(mut self, name: &[u8]) -> Vec<u8> {
        let check = check(name, &self.0);
        self.0.extend_from_slice(&check);
        self.0
    }
}

fn check(name: &[u8], content: &[u8]) -> [u8; CHECK] {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([0]);
    hash.update(content);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hash.finalize()[..CHECK]);
    check
}

/// The content of a row, if it is what was written under this name.
fn opened<'a>(name: &[u8], row: &'a [u8]) -> Option<Input<'a>> {
    let (content, found) = row.split_at_checked(row.len().checked_sub(CHECK)?)?;
    (found == check(name, content)).then_some(Input(content))
}

/// An entry without its name.
pub(super) fn entry(info: &FileInfo) -> Vec<u8> {
    let mut out = Output::default();
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.0.push(
        match info.kind {
            Kind::File => 0,
            Kind::Directory => 1,
            Kind::Symlink => 2,
        } | flag(info.no_permissions, NO_PERMISSIONS)
            | flag(info.deleted, DELETED)
            | flag(info.invalid, INVALID)
            | flag(info.encrypted, ENCRYPTED)
            | flag(info.previous_blocks_hash.is_some(), PREVIOUS),
    );
    out.number(info.size);
    out.number(info.permissions.into());
    out.time(info.modified);
    out.fixed(info.modified_by.0);
    out.number(info.version.counters().len() as u64);
    for (device, value) in info.version.counters() {
        out.fixed(device.0);
        out.number(*value);
    }
    out.number(info.sequence);
    out.number(info.block_size.into());
    out.bytes(&info.symlink_target);
    out.bytes(&info.platform);
    if let Some(hash) = &info.previous_blocks_hash {
        out.0.extend_from_slice(hash);
    }
    out.0.extend_from_slice(info.blocks.hashes());
    out.sealed(info.name.as_bytes())
}

/// See [`entry`]; nothing if the bytes are not those that were written.
pub(super) fn read_entry(name: &str, row: &[u8]) -> Option<FileInfo> {
    let mut from = opened(name.as_bytes(), row)?;
    let flags = from.byte()?;
    Some(FileInfo {
        name: name.to_owned(),
        kind: match flags & 3 {
            0 => Kind::File,
            1 => Kind::Directory,
            2 => Kind::Symlink,
            _ => return None,
        },
        size: from.number()?,
        permissions: from.small()?,
        no_permissions: flags & NO_PERMISSIONS != 0,
        modified: from.time()?,
        modified_by: ShortId(from.fixed()?),
        deleted: flags & DELETED != 0,
        invalid: flags & INVALID != 0,
        encrypted: flags & ENCRYPTED != 0,
        version: read_version(&mut from)?,
        sequence: from.number()?,
        block_size: from.small()?,
        symlink_target: from.bytes()?,
        platform: from.bytes()?,
        previous_blocks_hash: match flags & PREVIOUS {
            0 => None,
            _ => Some(from.take(HASH)?.try_into().ok()?),
        },
        blocks: Blocks::new(from.0.to_vec())?,
    })
}

fn read_version(from: &mut Input<'_>) -> Option<Vector> {
    let count = from.number()?;
    let mut counters = Vec::new();
    for _ in 0..count {
        counters.push((ShortId(from.fixed()?), from.number()?));
    }
    Some(Vector::new(counters))
}

/// What a disk showed of a name.
pub(super) fn facts(name: &str, facts: &Facts) -> Vec<u8> {
    let mut out = Output::default();
    out.0.push(match facts.kind {
        FactsKind::File => 0,
        FactsKind::Directory => 1,
        FactsKind::Symlink => 2,
        FactsKind::Other => 3,
    });
    out.number(facts.size);
    out.time(facts.modified);
    out.time(facts.changed);
    out.number(facts.mode.into());
    out.number(facts.device);
    out.number(facts.inode);
    out.bytes(&facts.target);
    out.sealed(name.as_bytes())
}

/// See [`facts`]; nothing if the bytes are not those that were written.
pub(super) fn read_facts(name: &str, row: &[u8]) -> Option<Facts> {
    let mut from = opened(name.as_bytes(), row)?;
    let found = Facts {
        kind: match from.byte()? {
            0 => FactsKind::File,
            1 => FactsKind::Directory,
            2 => FactsKind::Symlink,
            3 => FactsKind::Other,
            _ => return None,
        },
        size: from.number()?,
        modified: from.time()?,
        changed: from.time()?,
        mode: from.small()?,
        device: from.number()?,
        inode: from.number()?,
        target: from.bytes()?,
    };
    from.0.is_empty().then_some(found)
}

/// Some numbers under a name.
pub(super) fn numbers<const N: usize>(name: &[u8], numbers: [u64; N]) -> Vec<u8> {
    let mut out = Output::default();
    for number in numbers {
        out.fixed(number);
    }
    out.sealed(name)
}

/// See [`numbers`]; nothing if the bytes are not those that were written.
pub(super) fn read_numbers<const N: usize>(name: &[u8], row: &[u8]) -> Option<[u64; N]> {
    let mut from = opened(name, row)?;
    let mut found = [0; N];
    for number in &mut found {
        *number = from.fixed()?;
    }
    from.0.is_empty().then_some(found)
}

/// The name under which [`Meta`] is kept.
const META: &[u8] = b"meta";

/// What a store knows of our own sequences: its numbers, then the first and last sequence of each run.
pub(super) fn meta(meta: &Meta) -> Vec<u8> {
    let mut out = Output::default();
    for number in [
        meta.index_id,
        meta.ceiling,
        meta.generation,
        meta.previous_generation,
        meta.first,
    ] {
        out.fixed(number);
    }
    for (first, last) in &meta.runs {
        out.fixed(*first);
        out.fixed(*last);
    }
    out.sealed(META)
}

/// See [`meta`]; nothing if the bytes are not those that were written.
pub(super) fn read_meta(row: &[u8]) -> Option<Meta> {
    let mut from = opened(META, row)?;
    let mut found = Meta {
        index_id: from.fixed()?,
        ceiling: from.fixed()?,
        generation: from.fixed()?,
        previous_generation: from.fixed()?,
        first: from.fixed()?,
        runs: Vec::new(),
    };
    while !from.0.is_empty() {
        found.runs.push((from.fixed()?, from.fixed()?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{facts_of, info_of};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_and_facts_come_back(number: u64) {
            let info = info_of(number);
            prop_assert_eq!(read_entry(&info.name, &entry(&info)), Some(info));
            let shown = facts_of(number);
            prop_assert_eq!(read_facts("a", &facts("a", &shown)), Some(shown));
        }

        #[test]
        fn no_bit_can_turn_and_no_row_be_another(number: u64, at: prop::sample::Index) {
            let info = info_of(number);
            let mut row = entry(&info);
            prop_assert_eq!(read_entry(&format!("{}x", info.name), &row), None);
            prop_assert_eq!(read_entry(&info.name, &row[..at.index(row.len())]), None);
            let bit = at.index(row.len() * 8);
            row[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read_entry(&info.name, &row), None);
        }

        #[test]
        fn numbers_come_back(values: [u64; 4], signed: i64) {
            prop_assert_eq!(read_numbers(b"n", &numbers(b"n", values)), Some(values));
            let mut out = Output::default();
            out.signed(signed);
            prop_assert_eq!(Input(&out.0).signed(), Some(signed));
        }
    }
}
