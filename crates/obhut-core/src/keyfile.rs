//! Key files: a password's wrapping of the master key (formats: restic 3).

use crate::crypto::Key;
use crate::error::Result;
use crate::world::{Random, Timestamp};

/// A parsed key file.
pub struct KeyFile {
    /// When it was made, as written.
    pub created: String,
    /// By whom.
    pub username: String,
    /// On which host.
    pub hostname: String,
}

/// scrypt's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScryptParams {
    /// A power of two.
    pub n: u64,
    /// Block size.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

impl ScryptParams {
    /// About half a second and at most 60 MiB on this machine; never under N=2^15, r=8, p=1.
    pub fn calibrate() -> Self {
        todo!()
    }
}

impl KeyFile {
    /// Parses and bounds a key file's bytes (`object` names it in errors).
    pub fn parse(_object: &str, _bytes: &[u8]) -> Result<Self> {
        todo!()
    }
    /// The master key, or `None` if the password does not fit.
    pub fn open(&self, _password: &[u8]) -> Result<Option<Key>> {
        todo!()
    }
    /// The bytes of a new key file for `master`.
    pub fn create(
        _master: &Key,
        _password: &[u8],
        _params: ScryptParams,
        _username: &str,
        _hostname: &str,
        _created: Timestamp,
        _random: &dyn Random,
    ) -> Result<Vec<u8>> {
        todo!()
    }
}
