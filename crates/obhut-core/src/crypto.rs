//! Sealing: AES-256-CTR with Poly1305-AES (formats: restic 4).

use crate::error::Result;
use crate::world::Random;

/// Bytes that sealing adds: IV and tag.
pub const OVERHEAD: usize = 32;

/// An encryption key with its MAC key (the master key, or a password's user key).
pub struct Key {
    pub(crate) encrypt: [u8; 32],
    pub(crate) mac_k: [u8; 16],
    pub(crate) mac_r: [u8; 16],
}

impl Key {
    /// A fresh random key.
    pub fn random(_random: &dyn Random) -> Result<Self> {
        todo!()
    }
    /// Seals `plain` with a fresh random IV, appending `IV || ciphertext || tag` to `out`.
    pub fn seal(&self, _random: &dyn Random, _plain: &[u8], _out: &mut Vec<u8>) -> Result<()> {
        todo!()
    }
    /// Opens; the tag is checked before anything is decrypted. `None` if it does not fit.
    pub fn open(&self, _sealed: &[u8]) -> Option<Vec<u8>> {
        todo!()
    }
}
