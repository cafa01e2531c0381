//! Blobs: compress, seal, verify, and back (formats: restic 6).
//!
//! A blob's id is the SHA-256 of its plaintext. In repositories of version 2 tree blobs are always
//! compressed and data blobs where it pays; empty ones never, since an uncompressed length of 0 means "raw".
//! Before a pack is stored, each blob that was encoded into it is opened again and its hash checked
//! ([`crate::pack::PackBuilder::finish`]): an encoder's fault or a flipped bit in memory is found while the source
//! is still there (restic #4677).

use std::sync::Arc;

mod opener;

pub use opener::{Opened, Opener};

use crate::buffer;
use crate::compress::Zstd;
use crate::crypto::{Key, OVERHEAD};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, Id};
use crate::world::Random;

const OTHER_CONTENT: &str = "other content than its id says";

/// Buffers that are kept: one for the blob being opened, one for the one that waits.
const BUFFERS: usize = 2;

/// A sealed blob, ready for a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// IV, ciphertext, tag.
    pub bytes: Vec<u8>,
    /// Length of the plaintext if it was compressed, 0 if it is raw.
    pub uncompressed: u32,
}

/// restic's `--compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// zstd 3; incompressible data raw.
    #[default]
    Auto,
    /// Data blobs raw.
    Off,
    /// zstd 1.
    Fastest,
    /// zstd 7.
    Better,
    /// zstd 12.
    Max,
}

impl Compression {
    /// zstd's level. Trees are compressed even with `Off`.
    pub const fn level(self) -> i32 {
        match self {
            Self::Auto | Self::Off => 3,
            Self::Fastest => 1,
            Self::Better => 7,
            Self::Max => 12,
        }
    }
}

/// How blobs are encoded.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Repository version: 1 knows no compression.
    pub version: u32,
    /// The effort.
    pub compression: Compression,
    /// Open and compare before storing (`--no-extra-verify` turns it off).
    pub verify: bool,
}

/// Encodes and decodes blobs; one per thread (it owns reusable zstd contexts).
pub struct Codec {
    key: Arc<Key>,
    random: Arc<dyn Random>,
    encoding: Encoding,
    /// Made when first needed.
    zstd: Option<Zstd>,
    /// Scratch: a compressed blob.
    packed: Vec<u8>,
    /// Buffers for contents, to be used again.
    buffers: Vec<Vec<u8>>,
}

impl Codec {
    /// A codec for `key`.
    pub fn new(key: Arc<Key>, random: Arc<dyn Random>, encoding: Encoding) -> Self {
        Self {
            key,
            random,
            encoding,
            zstd: None,
            packed: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Compresses and seals a blob whose id is already known.
    pub fn seal(&mut self, kind: BlobKind, id: &Id, plain: &[u8]) -> Result<Sealed> {
        let mut sealed = Sealed::default();
        self.seal_into(kind, id, plain, &mut sealed)?;
        Ok(sealed)
    }

    /// [`Codec::seal`] into a buffer that is used again; what it holds after an error is not defined.
    pub fn seal_into(
        &mut self,
        kind: BlobKind,
        id: &Id,
        plain: &[u8],
        out: &mut Sealed,
    ) -> Result<()> {
        let length = u32::try_from(plain.len()).map_err(|_| too_large(id))?;
        let compressed = self.compress(kind, plain)?;
        let payload = if compressed { &self.packed } else { plain };
        buffer::reserve(&mut out.bytes, payload.len() + OVERHEAD)
            .map_err(|detail| Error::new(Code::LimitExceeded, object(id), detail))?;
        self.key.seal(&*self.random, payload, &mut out.bytes)?;
        out.uncompressed = if compressed { length } else { 0 };
        u32::try_from(out.bytes.len()).map_err(|_| too_large(id))?;
        Ok(())
    }

    /// Seals what is no blob (a pack's header), appending to `out`.
    pub fn seal_plain(&self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.key.seal(&*self.random, plain, out)
    }

    /// The key it seals with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether blobs are opened again before they are stored.
    pub const fn verifies(&self) -> bool {
        self.encoding.verify
    }

    /// Whether the blob is to be stored compressed; then its frame lies in `self.packed`.
    fn compress(&mut self, kind: BlobKind, plain: &[u8]) -> Result<bool> {
        let wanted = kind == BlobKind::Tree || self.encoding.compression != Compression::Off;
        if self.encoding.version < 2 || plain.is_empty() || !wanted {
            return Ok(false);
        }
        let zstd = contexts(&mut self.zstd, self.encoding)?;
        if kind == BlobKind::Data && zstd.is_incompressible(plain)? {
            return Ok(false);
        }
        zstd.compress(plain, &mut self.packed)?;
        Ok(kind == BlobKind::Tree || self.packed.len() < plain.len())
    }

    /// Takes a buffer back that [`Opener::ready`] gave.
    pub fn give_back(&mut self, plain: Vec<u8>) {
        if self.buffers.len() < BUFFERS {
            self.buffers.push(plain);
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Opens a sealed blob and checks its hash; the error is `damaged` about the blob.
    /// Allocates at most `uncompressed` bytes for a compressed one (0 = raw).
    pub fn open(&mut self, id: &Id, sealed: &[u8], uncompressed: u32) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.open_into(id, sealed, uncompressed, &mut plain)?;
        Ok(plain)
    }

    /// [`Codec::open`] into a buffer that is reused; it is empty after an error.
    pub fn open_into(
        &mut self,
        id: &Id,
        sealed: &[u8],
        uncompressed: u32,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let opened = self.decode(sealed, uncompressed, out);
        opened.map_err(|detail| Error::damaged(object(id), detail))?;
        if Id::of(out) != *id {
            out.clear();
            return Err(Error::damaged(object(id), OTHER_CONTENT));
        }
        Ok(())
    }

    /// Opens and decompresses. Nothing is said about the content's hash: outside this module there is no such thing.
    fn decode(
        &mut self,
        sealed: &[u8],
        uncompressed: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let not_authentic = || "not authentic".to_owned();
        if uncompressed == 0 {
            return self
                .key
                .open_into(sealed, out)
                .then_some(())
                .ok_or_else(not_authentic);
        }
        out.clear();
        if !self.key.open_into(sealed, &mut self.packed) {
            return Err(not_authentic());
        }
        let zstd = contexts(&mut self.zstd, self.encoding).map_err(|e| e.to_string())?;
        zstd.decompress(&self.packed, uncompressed as usize, out)
    }
}

/// The codec's zstd contexts, made on first use.
fn contexts(slot: &mut Option<Zstd>, encoding: Encoding) -> Result<&mut Zstd> {
    if slot.is_none() {
        *slot = Some(Zstd::new(encoding.compression.level())?);
    }
    slot.as_mut()
        .ok_or_else(|| Error::internal("zstd contexts vanished"))
}

fn object(id: &Id) -> String {
    format!("blob {id}")
}

fn too_large(id: &Id) -> Error {
    Error::new(
        Code::LimitExceeded,
        object(id),
        "a blob holds less than 4 GiB",
    )
}

#[cfg(test)]
mod tests {
    use BlobKind::{Data, Tree};
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::tests::{unhex, vector_key};
    use crate::world::SystemRandom;

    fn codec(version: u32, compression: Compression) -> Codec {
        let encoding = Encoding {
            version,
            compression,
            verify: true,
        };
        Codec::new(Arc::new(vector_key()), Arc::new(SystemRandom), encoding)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        SystemRandom.fill(&mut bytes).expect("randomness");
        bytes
    }

    #[test]
    fn opens_the_mini_repositorys_blob() {
        let sealed = unhex(
            "00000000000000000000000000000001826d9fd2a8bdaa3fa8bbcafa78784f4c09b634c4837a05947600cc5adce38207fbfca79f0311",
        );
        let id = Id::parse(b"fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f")
            .expect("an id");
        let mut codec = codec(2, Compression::Auto);
        assert_eq!(
            codec.open(&id, &sealed, 13).expect("opened"),
            b"hello restic\n"
        );
        for wrong in [0, 1, 12, 14, u32::MAX] {
            let error = codec.open(&id, &sealed, wrong).expect_err("refused");
            assert_eq!(error.code(), Code::Damaged);
            assert!(error.object().contains(&id.hex()));
        }
        let error = codec.open(&Id::ZERO, &sealed, 13).expect_err("another id");
        assert_eq!(error.code(), Code::Damaged);
    }

    #[test]
    fn what_is_compressed() {
        let text = b"compressible ".repeat(50_000);
        let noise = noise(300_000);
        let short_noise = noise[..64].to_vec();
        let compressed = |version, compression, kind, plain: &[u8]| {
            let mut codec = codec(version, compression);
            let sealed = codec.seal(kind, &Id::of(plain), plain).expect("sealed");
            assert_eq!(
                codec
                    .open(&Id::of(plain), &sealed.bytes, sealed.uncompressed)
                    .expect("opened"),
                plain
            );
            assert_eq!(sealed.bytes.capacity(), sealed.bytes.len());
            sealed.uncompressed != 0
        };
        for compression in [
            Compression::Auto,
            Compression::Fastest,
            Compression::Better,
            Compression::Max,
        ] {
            assert!(compressed(2, compression, Data, &text));
            assert!(compressed(2, compression, Tree, &text));
            assert!(!compressed(2, compression, Data, &noise));
            assert!(!compressed(2, compression, Data, &short_noise));
            assert!(compressed(2, compression, Tree, &noise));
            assert!(!compressed(2, compression, Data, b""));
            assert!(!compressed(2, compression, Tree, b""));
            assert!(!compressed(1, compression, Data, &text));
            assert!(!compressed(1, compression, Tree, &text));
        }
        assert!(!compressed(2, Compression::Off, Data, &text));
        assert!(compressed(2, Compression::Off, Tree, &text));
    }

    #[test]
    fn higher_efforts_shrink_more() {
        let words: Vec<u8> = (0..200_000u32)
            .flat_map(|i| {
                (i.wrapping_mul(2_654_435_761) >> 20)
                    .to_string()
                    .into_bytes()
            })
            .collect();
        let size = |compression| {
            let sealed = codec(2, compression).seal(BlobKind::Data, &Id::of(&words), &words);
            sealed.expect("sealed").bytes.len()
        };
        assert!(size(Compression::Max) < size(Compression::Fastest));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn round_trip_and_every_flipped_bit(
            plain in proptest::collection::vec(0..4u8, 0..600),
            tree: bool,
            at: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let kind = if tree { BlobKind::Tree } else { BlobKind::Data };
            let mut codec = codec(2, Compression::Auto);
            let id = Id::of(&plain);
            let mut sealed = codec.seal(kind, &id, &plain).expect("sealed");
            let mut out = b"old".to_vec();
            codec.open_into(&id, &sealed.bytes, sealed.uncompressed, &mut out).expect("opened");
            prop_assert_eq!(&out, &plain);
            let at = at.index(sealed.bytes.len());
            sealed.bytes[at] ^= 1 << bit;
            prop_assert!(codec.open_into(&id, &sealed.bytes, sealed.uncompressed, &mut out).is_err());
            prop_assert!(out.is_empty());
        }
    }
}
