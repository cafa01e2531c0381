//! Pack files: blobs together, with a sealed header at the end (formats: restic 7).
//!
//! `pack = blob_1 || … || blob_n || seal(header) || u32 length of the sealed header`. The header names the
//! blobs in order; offsets are the running sum of their lengths. A pack's name is the SHA-256 of all its bytes.

use crate::blob::{Codec, Opener};
use crate::buffer;
use crate::crypto::{Key, OVERHEAD};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, Id};
use crate::sha256::Hasher;

/// Bytes of a header entry of a raw blob: type, sealed length, id.
const RAW_ENTRY: usize = 1 + 4 + 32;
/// Bytes of a header entry of a compressed blob, which also names the plaintext's length.
const COMPRESSED_ENTRY: usize = RAW_ENTRY + 4;
/// Bytes of the length field at the end.
const LENGTH_FIELD: usize = 4;
/// Bytes of the header part without entries.
const HEADER_BASE: usize = LENGTH_FIELD + OVERHEAD;
/// Largest sealed header that a reader accepts.
const MAX_HEADER: usize = 16 << 20;
/// As many entries always fit into a header.
const MAX_ENTRIES: usize = (MAX_HEADER - OVERHEAD) / COMPRESSED_ENTRY;
/// A pack this large is full, so that the offset of what follows fits its field with room to spare.
const MAX_BYTES: usize = 2 << 30;

/// The last bytes of a pack to read first: they hold the whole header of up to 15 blobs.
pub const USUAL_TAIL: usize = 15 * COMPRESSED_ENTRY + HEADER_BASE;

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

/// A sealed blob on its way into a pack.
#[derive(Clone, Copy, Debug)]
pub struct SealedBlob<'a> {
    /// Data or tree.
    pub kind: BlobKind,
    /// The blob's id.
    pub id: Id,
    /// IV, ciphertext, tag.
    pub bytes: &'a [u8],
    /// Plaintext length if compressed, else 0.
    pub uncompressed: u32,
    /// It was opened and found right after it had been sealed: [`PackBuilder::finish`] does not do so again.
    pub proved: bool,
}

/// A pack being filled.
#[derive(Debug, Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    blobs: Vec<PackedBlob>,
    /// A blob each: whether it was opened and found right as it lies here.
    proved: Vec<bool>,
    header: usize,
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
    /// An empty pack in a buffer that was used before, for about so many bytes.
    pub fn in_buffer(mut bytes: Vec<u8>, length: usize) -> Self {
        buffer::clear(&mut bytes, length);
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// Adds a sealed blob. The pack must not be [full](Self::is_full).
    pub fn add(&mut self, blob: &SealedBlob<'_>) {
        let offset = u32::try_from(self.bytes.len()).expect("a full pack takes no more blobs");
        let length = u32::try_from(blob.bytes.len()).expect("checked when the blob was sealed");
        self.bytes.extend_from_slice(blob.bytes);
        self.header += entry_size(blob.uncompressed != 0);
        self.proved.push(blob.proved);
        self.blobs.push(PackedBlob {
            kind: blob.kind,
            id: blob.id,
            offset,
            length,
            uncompressed: blob.uncompressed,
        });
    }

    /// Bytes of the finished file if it were closed now.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.header + HEADER_BASE
    }

    /// Number of blobs.
    pub fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Whether another blob would exceed the header's limit of 16 MiB, or offsets their field.
    pub fn is_full(&self) -> bool {
        self.blobs.len() >= MAX_ENTRIES || self.bytes.len() >= MAX_BYTES
    }

    /// Appends the blobs of another unfinished pack; the two together must not be [full](Self::is_full).
    pub fn absorb(&mut self, other: Self) {
        let base = u32::try_from(self.bytes.len()).expect("a full pack takes no more blobs");
        self.bytes.extend_from_slice(&other.bytes);
        self.header += other.header;
        self.proved.extend(other.proved);
        self.blobs
            .extend(other.blobs.into_iter().map(|blob| PackedBlob {
                offset: base + blob.offset,
                ..blob
            }));
    }

    /// Proves the blobs (unless `codec` is told not to), seals the header, parses it back, names the pack. An error
    /// means that nothing of this pack may be stored.
    pub fn finish(mut self, codec: &mut Codec) -> Result<FinishedPack> {
        if self.blobs.is_empty() {
            return Err(Error::internal("a pack without blobs"));
        }
        let mut hash = self.prove(codec)?;
        let header = encode_header(&self.blobs);
        let start = self.bytes.len();
        self.bytes.reserve(header.len() + HEADER_BASE);
        codec.seal_plain(&header, &mut self.bytes)?;
        let length = u32::try_from(self.bytes.len() - start).expect("a header has at most 16 MiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        hash.update(&self.bytes[start..]);
        let id = hash.finish();
        let object = format!("pack {id}");
        let size = self.bytes.len() as u64;
        let unequal = |detail: &str| Error::new(Code::VerifyFailed, &object, detail);
        match parse_header(&object, codec.key(), size, &self.bytes) {
            Ok(Ok(parsed)) if parsed == self.blobs => {}
            Ok(_) => return Err(unequal("its header reads differently")),
            Err(error) => return Err(unequal(error.detail())),
        }
        Ok(FinishedPack {
            id,
            bytes: self.bytes,
            blobs: self.blobs,
        })
    }

    /// Opens every blob that nobody has opened since it was sealed, from where it will be stored from; the hash of
    /// all that is in the pack so far.
    fn prove(&self, codec: &mut Codec) -> Result<Hasher> {
        let mut opener = Opener::beside(&self.bytes);
        for (blob, proved) in self.blobs.iter().zip(&self.proved) {
            if !*proved && codec.verifies() {
                let sealed = &self.bytes[blob.offset as usize..][..blob.length as usize];
                opener.open(codec, blob.id, &blob.id, sealed, blob.uncompressed);
                all_right(&mut opener, codec)?;
            }
        }
        opener.end();
        all_right(&mut opener, codec)?;
        Ok(opener.into_hash())
    }
}

fn all_right(opener: &mut Opener<'_, Id>, codec: &mut Codec) -> Result<()> {
    while let Some((id, opened)) = opener.ready() {
        let plain = opened.map_err(|detail| {
            let detail = format!("opened again before it is stored: {detail}");
            Error::new(Code::VerifyFailed, format!("blob {id}"), detail)
        })?;
        codec.give_back(plain);
    }
    Ok(())
}

const fn entry_size(compressed: bool) -> usize {
    if compressed {
        COMPRESSED_ENTRY
    } else {
        RAW_ENTRY
    }
}

/// The plaintext of the header that names these blobs.
pub(crate) fn encode_header(blobs: &[PackedBlob]) -> Vec<u8> {
    let mut header = Vec::with_capacity(blobs.len() * COMPRESSED_ENTRY);
    for blob in blobs {
        let compressed = blob.uncompressed != 0;
        header.push(blob.kind as u8 | u8::from(compressed) << 1);
        header.extend_from_slice(&blob.length.to_le_bytes());
        if compressed {
            header.extend_from_slice(&blob.uncompressed.to_le_bytes());
        }
        header.extend_from_slice(&blob.id.0);
    }
    header
}

/// Size in bytes of the header part (sealed header and its length field) of a pack with these blobs
/// (`true` = compressed entry).
pub fn header_size(blobs: impl Iterator<Item = bool>) -> u64 {
    blobs.fold(HEADER_BASE as u64, |size, compressed| {
        size + entry_size(compressed) as u64
    })
}

/// Parses the header out of `tail`, the last bytes of a pack of `file_size` bytes named `object`.
/// `Ok(Err(n))`: `tail` is too short, the last `n` bytes are needed.
pub fn parse_header(
    object: &str,
    key: &Key,
    file_size: u64,
    tail: &[u8],
) -> Result<std::result::Result<Vec<PackedBlob>, usize>> {
    let damaged = |detail: &str| Error::damaged(object, detail);
    if file_size < (RAW_ENTRY + OVERHEAD + LENGTH_FIELD) as u64 {
        return Err(damaged("too short for a pack"));
    }
    if tail.len() as u64 > file_size {
        return Err(Error::internal("more bytes of a pack than it has"));
    }
    let Some((before, field)) = tail.split_last_chunk::<LENGTH_FIELD>() else {
        return Ok(Err(USUAL_TAIL.min(file_size as usize)));
    };
    let length = u32::from_le_bytes(*field) as usize;
    if length < OVERHEAD {
        return Err(damaged("its header is too short"));
    }
    if length > MAX_HEADER || length as u64 > file_size - LENGTH_FIELD as u64 {
        return Err(damaged("its header is too long"));
    }
    let Some(start) = before.len().checked_sub(length) else {
        return Ok(Err(length + LENGTH_FIELD));
    };
    let header = key.open(&before[start..]);
    let header = header.ok_or_else(|| damaged("its header is not authentic"))?;
    let blobs = parse_entries(&header).map_err(damaged)?;
    let end = blobs
        .last()
        .map_or(0, |last| u64::from(last.offset) + u64::from(last.length));
    if end != file_size - (LENGTH_FIELD + length) as u64 {
        return Err(damaged("its header names more or fewer bytes than it has"));
    }
    Ok(Ok(blobs))
}

/// The entries of an opened header.
fn parse_entries(mut header: &[u8]) -> std::result::Result<Vec<PackedBlob>, &'static str> {
    const CUT_OFF: &str = "an entry of its header is cut off";
    let mut blobs = Vec::with_capacity(header.len() / RAW_ENTRY);
    let mut offset = 0u32;
    while let Some((&kind, rest)) = header.split_first() {
        let compressed = match kind {
            0 | 1 => false,
            2 | 3 => true,
            _ => return Err("its header names an unknown type of blob"),
        };
        let (length, mut rest) = rest.split_first_chunk().ok_or(CUT_OFF)?;
        let length = u32::from_le_bytes(*length);
        let mut uncompressed = 0;
        if compressed {
            let (field, after) = rest.split_first_chunk().ok_or(CUT_OFF)?;
            (uncompressed, rest) = (u32::from_le_bytes(*field), after);
            if uncompressed == 0 {
                return Err("its header names an empty compressed blob");
            }
        }
        let (id, rest) = rest.split_first_chunk().ok_or(CUT_OFF)?;
        if (length as usize) < OVERHEAD {
            return Err("its header names a blob too short to be sealed");
        }
        blobs.push(PackedBlob {
            kind: if kind & 1 == 0 {
                BlobKind::Data
            } else {
                BlobKind::Tree
            },
            id: Id(*id),
            offset,
            length,
            uncompressed,
        });
        offset = offset
            .checked_add(length)
            .ok_or("its header names more than 4 GiB")?;
        header = rest;
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests;
