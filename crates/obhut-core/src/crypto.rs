//! Sealing: AES-256-CTR with Poly1305-AES (formats: restic 4).
//!
//! `sealed = IV (16) || AES-256-CTR(encrypt, IV, plain) || tag (16)`. The tag is Bernstein's original
//! Poly1305-AES over the ciphertext alone: the IV is bound through `AES-128(mac_k, IV)`, half of the one-time key.
//!
//! Invariants: nothing is decrypted before its tag was checked in constant time; a key's bytes and its
//! expanded forms are wiped when it is dropped, lie on the heap (moving a [`Key`] leaves no copies behind)
//! and appear in no `Debug` text. AES and SHA instructions of the CPU are found at run time by the crates.

use aes::cipher::{
    BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use aes::{Aes128Enc, Aes256Enc};
use ctr::CtrCore;
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::buffer;
use crate::error::{Error, Result};
use crate::world::Random;

/// Bytes that sealing adds: IV and tag.
pub const OVERHEAD: usize = IV + TAG;
/// Bytes of the initial counter block.
const IV: usize = 16;
/// Bytes of the tag.
const TAG: usize = 16;
/// Encrypting and authenticating alternate over pieces of this size, which stay in the CPU's first cache.
const PIECE: usize = 8 << 10;

type Ctr<'a> = StreamCipherCoreWrapper<CtrCore<&'a Aes256Enc, ctr::flavors::Ctr128BE>>;

/// An encryption key with its MAC key (the master key, or a password's user key).
pub struct Key(Box<Inner>);

struct Inner {
    parts: KeyParts,
    cipher: Aes256Enc,
    mac_cipher: Aes128Enc,
}

/// The raw bytes of a [`Key`], wiped on drop.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub(crate) struct KeyParts {
    pub(crate) encrypt: [u8; 32],
    pub(crate) mac_k: [u8; 16],
    pub(crate) mac_r: [u8; 16],
}

impl Key {
    /// A fresh random key.
    pub fn random(random: &dyn Random) -> Result<Self> {
        wiped(|| Self::drawn(random))
    }

    fn drawn(random: &dyn Random) -> Result<Self> {
        let mut parts = KeyParts::default();
        random.fill(&mut parts.encrypt)?;
        random.fill(&mut parts.mac_k)?;
        random.fill(&mut parts.mac_r)?;
        Self::from_parts(parts).ok_or_else(|| Error::internal("randomness gave an all-zero key"))
    }

    /// A key of given bytes; `None` if one of its parts is all zero.
    pub(crate) fn from_parts(parts: KeyParts) -> Option<Self> {
        let zero = |bytes: &[u8]| bytes.iter().fold(0, |seen, byte| seen | byte) == 0;
        if zero(&parts.encrypt) || zero(&parts.mac_k) || zero(&parts.mac_r) {
            return None;
        }
        Some(Self(Box::new(Inner {
            cipher: Aes256Enc::new((&parts.encrypt).into()),
            mac_cipher: Aes128Enc::new((&parts.mac_k).into()),
            parts,
        })))
    }

    /// The raw bytes, to be written into a key file.
    pub(crate) fn parts(&self) -> &KeyParts {
        &self.0.parts
    }

    /// Whether two keys are the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let (a, b) = (self.parts(), other.parts());
        let equal = a.encrypt.ct_eq(&b.encrypt) & a.mac_k.ct_eq(&b.mac_k) & a.mac_r.ct_eq(&b.mac_r);
        equal.into()
    }

    /// Seals `plain` with a fresh random IV, appending `IV || ciphertext || tag` to `out`.
    pub fn seal(&self, random: &dyn Random, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut iv = [0; IV];
        random.fill(&mut iv)?;
        if iv == [0; IV] {
            return Err(Error::internal("randomness gave an all-zero IV"));
        }
        self.seal_with_iv(&iv, plain, out);
        Ok(())
    }

    fn seal_with_iv(&self, iv: &[u8; IV], plain: &[u8], out: &mut Vec<u8>) {
        out.reserve(plain.len() + OVERHEAD);
        out.extend_from_slice(iv);
        let mut cipher = self.ctr(iv);
        let mut mac = self.mac(iv);
        // All pieces but the last are whole MAC blocks; the last may end in part of one.
        let mut pieces = plain.chunks_exact(PIECE);
        for piece in &mut pieces {
            let start = out.len();
            out.extend_from_slice(piece);
            cipher.apply_keystream(&mut out[start..]);
            absorb(&mut mac, &out[start..]);
        }
        let start = out.len();
        out.extend_from_slice(pieces.remainder());
        cipher.apply_keystream(&mut out[start..]);
        let tag = finish(mac, &out[start..]);
        out.extend_from_slice(&tag);
    }

    /// Opens; the tag is checked before anything is decrypted. `None` if it does not fit.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.open_into(sealed, &mut out).then_some(out)
    }

    /// Opens, replacing the content of `out` by the plaintext; `false` (and `out` empty) if the tag does not fit.
    pub fn open_into(&self, sealed: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some((iv, text)) = self.check(sealed) else {
            return false;
        };
        buffer::clear(out, text.len());
        out.reserve(text.len());
        let mut cipher = self.ctr(iv);
        for piece in text.chunks(PIECE) {
            let start = out.len();
            out.extend_from_slice(piece);
            cipher.apply_keystream(&mut out[start..]);
        }
        true
    }

    /// Opens where it lies and gives the plaintext's part of `sealed`; `None` (and `sealed` unchanged) if
    /// the tag does not fit.
    pub fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let iv = *self.check(sealed)?.0;
        let end = sealed.len() - TAG;
        let text = &mut sealed[IV..end];
        self.ctr(&iv).apply_keystream(text);
        Some(text)
    }

    /// Checks the tag and splits; `None` if it does not fit.
    fn check<'a>(&self, sealed: &'a [u8]) -> Option<(&'a [u8; IV], &'a [u8])> {
        let (iv, rest) = sealed.split_first_chunk::<IV>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        if iv == &[0; IV] {
            return None;
        }
        let expected = finish(self.mac(iv), text);
        bool::from(expected.ct_eq(tag)).then_some((iv, text))
    }

    fn ctr(&self, iv: &[u8; IV]) -> Ctr<'_> {
        Ctr::from_core(CtrCore::inner_iv_init(&self.0.cipher, iv.into()))
    }

    /// The one-time authenticator of this IV. Clamping `r` is its constructor's business.
    fn mac(&self, iv: &[u8; IV]) -> Poly1305 {
        let mut one_time = Zeroizing::new([0; 32]);
        one_time[..16].copy_from_slice(&self.0.parts.mac_r);
        let mut pad = (*iv).into();
        self.0.mac_cipher.encrypt_block(&mut pad);
        one_time[16..].copy_from_slice(&pad);
        pad.zeroize();
        Poly1305::new((&*one_time).into())
    }
}

/// Stack that [`wiped`] clears: several times of what deriving and parsing keys needs.
const STACK: usize = 64 << 10;

/// Runs `work`, which handles secrets, and then clears the stack that it used: arguments, moved values and what the
/// crates of the algorithms keep in variables are copies that no `Drop` knows. What is returned must hold its secrets
/// on the heap.
pub(crate) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    clear_stack();
    result
}

/// In a frame of its own, where [`clear_stack`] will be.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is there to cover the stack")]
fn clear_stack() {
    let mut room = [0_u8; STACK];
    room.zeroize();
    std::hint::black_box(&mut room);
}

/// Feeds whole MAC blocks.
fn absorb(mac: &mut Poly1305, text: &[u8]) {
    let (blocks, rest) = poly1305::Block::slice_as_chunks(text);
    debug_assert!(rest.is_empty(), "only the last piece may be ragged");
    mac.update(blocks);
}

/// Feeds the rest, whose last block may be ragged, and gives the tag.
fn finish(mut mac: Poly1305, text: &[u8]) -> [u8; TAG] {
    let (whole, ragged) = text.split_at(text.len() & !15);
    absorb(&mut mac, whole);
    mac.compute_unpadded(ragged).into()
}

#[cfg(test)]
pub(crate) mod tests;
