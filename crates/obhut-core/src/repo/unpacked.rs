//! Unpacked files: snapshots, indexes, locks, config as sealed files of their own (formats: restic 5).

use std::io::Read as _;

use crate::crypto::Key;
use crate::error::{Code, Error, Result};
use crate::world::Random;

/// The byte before a zstd frame in version 2.
const ZSTD: u8 = 2;
/// An unpacked file's plaintext is bounded: an index of 50,000 blobs has about 8 MB, old repositories hold
/// larger ones. A hostile frame must not make us allocate without end.
const MAX_PLAIN: usize = 1 << 30;

/// Encodes, seals, re-opens and compares.
pub fn encode(
    key: &Key,
    random: &dyn Random,
    version: u32,
    plain: &[u8],
    verify: bool,
) -> Result<Vec<u8>> {
    let mut sealed = Vec::new();
    if version < 2 {
        key.seal(random, plain, &mut sealed)?;
    } else {
        let mut framed = vec![ZSTD];
        framed.extend_from_slice(&compress(plain)?);
        key.seal(random, &framed, &mut sealed)?;
    }
    if verify && decode("a new file", key, version, &sealed)? != plain {
        return Err(Error::new(
            Code::VerifyFailed,
            "a new file",
            "re-opening gave other bytes than were sealed",
        ));
    }
    Ok(sealed)
}

/// Opens a file's bytes; `object` names it in errors.
pub fn decode(object: &str, key: &Key, version: u32, sealed: &[u8]) -> Result<Vec<u8>> {
    let plain = key.open(sealed).ok_or_else(|| {
        Error::damaged(
            object,
            "the authentication tag does not fit: altered or truncated",
        )
    })?;
    if version < 2 {
        return Ok(plain);
    }
    match plain.first() {
        // Files kept from before an upgrade are raw JSON.
        None | Some(b'{' | b'[') => Ok(plain),
        Some(&ZSTD) => decompress(&plain[1..]).map_err(|e| Error::damaged(object, e.to_string())),
        Some(other) => Err(Error::damaged(object, format!("unknown encoding {other}"))),
    }
}

fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(plain, 3).map_err(|e| Error::internal(format!("zstd: {e}")))
}

/// Grows with what comes out, so that a frame's own claim of a size allocates nothing.
fn decompress(frame: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let read = zstd::stream::read::Decoder::new(frame)?
        .take(MAX_PLAIN as u64 + 1)
        .read_to_end(&mut plain)?;
    if read > MAX_PLAIN {
        return Err(std::io::Error::other(
            "larger than any unpacked file may be",
        ));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SystemRandom;

    #[test]
    fn goes_both_ways_in_both_versions() {
        let key = Key::random(&SystemRandom).unwrap();
        for version in [1, 2] {
            for plain in [&b"{\"a\":1}"[..], b"{}", &vec![b'{'; 100_000]] {
                let sealed = encode(&key, &SystemRandom, version, plain, true).unwrap();
                assert_eq!(decode("x", &key, version, &sealed).unwrap(), plain);
                for at in [0, 16, sealed.len() - 1] {
                    let mut bad = sealed.clone();
                    bad[at] ^= 1;
                    assert_eq!(
                        decode("x", &key, version, &bad).unwrap_err().code(),
                        Code::Damaged
                    );
                }
            }
        }
    }

    #[test]
    fn version_2_reads_raw_json_of_upgraded_repositories() {
        let key = Key::random(&SystemRandom).unwrap();
        let mut sealed = Vec::new();
        key.seal(&SystemRandom, b"{\"old\":true}", &mut sealed)
            .unwrap();
        assert_eq!(decode("x", &key, 2, &sealed).unwrap(), b"{\"old\":true}");
        let mut sealed = Vec::new();
        key.seal(&SystemRandom, b"\x07abc", &mut sealed).unwrap();
        assert_eq!(
            decode("x", &key, 2, &sealed).unwrap_err().code(),
            Code::Damaged
        );
    }
}
