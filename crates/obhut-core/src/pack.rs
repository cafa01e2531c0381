//! Pack files: blobs together, with a sealed header at the end (formats: restic 7).
//!
//! `pack = blob_1 ‖ … ‖ blob_n ‖ seal(header) ‖ u32 LE length of the sealed header`. The header lists kind,
//! lengths and id of each blob in order; offsets are running sums. After sealing, the header is parsed back.

use crate::blob::Sealed;
use crate::crypto::{Key, OVERHEAD};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, Id};
use crate::world::Random;

/// Header entry of a raw blob: type, sealed length, id.
const ENTRY_RAW: usize = 37;
/// Header entry of a compressed blob: type, sealed length, plaintext length, id.
const ENTRY_COMPRESSED: usize = 41;
/// The length field at the very end.
const TRAILER: usize = 4;
/// A header may not be larger (restic refuses it when reading).
const MAX_HEADER: usize = 16 << 20;
/// So many entries fit in a header whatever their type.
const MAX_ENTRIES: usize = (MAX_HEADER + TRAILER - OVERHEAD - TRAILER) / ENTRY_COMPRESSED;
/// Offsets and lengths are 32 bits.
const MAX_PACK: u64 = u32::MAX as u64;

/// How many bytes of a pack's end are worth reading at once: a header of 15 entries.
pub const USUAL_TAIL: usize = 15 * ENTRY_COMPRESSED + OVERHEAD + TRAILER;

/// One blob in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Data or tree.
    pub kind: BlobKind,
    /// The blob's id.
    pub id: Id,
    /// Where it starts in the pack.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
    /// Plaintext length if compressed, else 0.
    pub uncompressed: u32,
}

impl PackedBlob {
    fn entry_size(&self) -> usize {
        if self.uncompressed == 0 {
            ENTRY_RAW
        } else {
            ENTRY_COMPRESSED
        }
    }
}

/// A pack being filled.
#[derive(Debug, Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    blobs: Vec<PackedBlob>,
    entries: usize,
}

/// A finished pack.
#[derive(Debug)]
pub struct FinishedPack {
    /// SHA-256 of `bytes`.
    pub id: Id,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What it holds, in order.
    pub blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// Adds a sealed blob. The caller closes a pack at its target size, far below 4 GiB.
    pub fn add(&mut self, kind: BlobKind, id: Id, sealed: &Sealed) {
        let blob = PackedBlob {
            kind,
            id,
            offset: self.bytes.len() as u32,
            length: sealed.bytes.len() as u32,
            uncompressed: sealed.uncompressed,
        };
        assert!(
            self.bytes.len() as u64 + sealed.bytes.len() as u64 <= MAX_PACK,
            "a pack must stay under 4 GiB"
        );
        self.bytes.extend_from_slice(&sealed.bytes);
        self.entries += blob.entry_size();
        self.blobs.push(blob);
    }

    /// Appends the blobs of another unfinished pack.
    pub fn absorb(&mut self, other: Self) {
        let base = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.entries += other.entries;
        self.blobs.extend(other.blobs.iter().map(|blob| PackedBlob {
            offset: base + blob.offset,
            ..*blob
        }));
    }

    /// Bytes of the finished file if it were closed now.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.entries + OVERHEAD + TRAILER
    }

    /// Number of blobs.
    pub fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Whether another blob would exceed the header's limit of 16 MiB.
    pub fn is_full(&self) -> bool {
        self.blobs.len() >= MAX_ENTRIES
    }

    /// Seals the header, parses it back, names the pack.
    pub fn finish(mut self, key: &Key, random: &dyn Random) -> Result<FinishedPack> {
        let mut header = Vec::with_capacity(self.entries);
        for blob in &self.blobs {
            let kind = blob.kind as u8 | if blob.uncompressed == 0 { 0 } else { 2 };
            header.push(kind);
            header.extend_from_slice(&blob.length.to_le_bytes());
            if blob.uncompressed != 0 {
                header.extend_from_slice(&blob.uncompressed.to_le_bytes());
            }
            header.extend_from_slice(&blob.id.0);
        }
        let start = self.bytes.len();
        key.seal(random, &header, &mut self.bytes)?;
        let sealed = (self.bytes.len() - start) as u32;
        self.bytes.extend_from_slice(&sealed.to_le_bytes());
        let again = parse_header(
            "a new pack",
            key,
            self.bytes.len() as u64,
            &self.bytes[start..],
        )?;
        if again.as_ref() != Ok(&self.blobs) {
            let text = "the header reads back otherwise than it was written";
            return Err(Error::new(Code::VerifyFailed, "a new pack", text));
        }
        Ok(FinishedPack {
            id: Id::of(&self.bytes),
            bytes: self.bytes,
            blobs: self.blobs,
        })
    }
}

/// Size in bytes of the header part (sealed header and its length field) of a pack with these blobs
/// (`true` = compressed entry).
pub fn header_size(blobs: impl Iterator<Item = bool>) -> u64 {
    let entry = |compressed| {
        if compressed {
            ENTRY_COMPRESSED
        } else {
            ENTRY_RAW
        }
    };
    (blobs.map(entry).sum::<usize>() + OVERHEAD + TRAILER) as u64
}

/// Parses the header out of `tail`, the last bytes of a pack of `file_size` bytes named `object`.
/// `Ok(Err(n))`: `tail` is too short, the last `n` bytes are needed.
pub fn parse_header(
    object: &str,
    key: &Key,
    file_size: u64,
    tail: &[u8],
) -> Result<std::result::Result<Vec<PackedBlob>, usize>> {
    let damaged = |text: String| Error::damaged(object, text);
    if file_size < (ENTRY_RAW + OVERHEAD + TRAILER) as u64 || file_size > MAX_PACK {
        return Err(damaged(format!("{file_size} bytes are no pack")));
    }
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER>() else {
        return Ok(Err(TRAILER));
    };
    let length = u32::from_le_bytes(*trailer) as usize;
    let fits = (OVERHEAD + ENTRY_RAW..=MAX_HEADER + TRAILER).contains(&length)
        && (length + TRAILER) as u64 <= file_size;
    if !fits {
        return Err(damaged(format!("impossible header length {length}")));
    }
    let Some(start) = before.len().checked_sub(length) else {
        return Ok(Err(length + TRAILER));
    };
    let header = key
        .open(&before[start..])
        .ok_or_else(|| damaged("the header's authentication tag does not fit".to_owned()))?;
    let blobs =
        parse_entries(&header).ok_or_else(|| damaged("the header is nonsense".to_owned()))?;
    let sum: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    if sum + (length + TRAILER) as u64 != file_size {
        return Err(damaged(
            "blobs and header do not add up to the file's size".to_owned(),
        ));
    }
    Ok(Ok(blobs))
}

/// The entries of an opened header; `None` for an unknown type, a cut entry or an impossible length.
fn parse_entries(mut header: &[u8]) -> Option<Vec<PackedBlob>> {
    let mut blobs = Vec::with_capacity(header.len() / ENTRY_RAW + 1);
    let mut offset = 0u32;
    while let Some((&kind, rest)) = header.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        let (uncompressed, rest) = if kind & 2 == 0 {
            (0, rest)
        } else {
            let (uncompressed, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*uncompressed), rest)
        };
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let kind = match kind {
            0 | 2 => BlobKind::Data,
            1 | 3 => BlobKind::Tree,
            _ => return None,
        };
        if (length as usize) < OVERHEAD {
            return None;
        }
        blobs.push(PackedBlob {
            kind,
            id: Id(*id),
            offset,
            length,
            uncompressed,
        });
        offset = offset.checked_add(length)?;
        header = rest;
    }
    Some(blobs)
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
