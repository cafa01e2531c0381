//! A check at start that this machine computes what it must: hash, seal, chunker, compression.
//!
//! Wrong CPU features, a miscompiled dependency or bad memory would otherwise show as damage, much later.
//! The values are the format's own vectors (formats: restic 4, 12, 25.1). A few milliseconds.

use crate::chunker::{Chunker, MIN};
use crate::compress::Zstd;
use crate::crypto::{Key, KeyParts};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::polynomial::Polynomial;
use crate::sha256::Hasher;

const BLOB: &[u8] = b"hello restic\n";
const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x20\x0d\x69\x00\x00hello restic\n";
const SEALED: &[u8] = b"\x69\xfb\x41\xc6\x2d\x12\xde\xf4\x59\x3b\xd7\x17\x57\x13\x86\x06\x33\x8f\x62\x1a\xea\xeb\
    \x39\xda\x0f\xe4\xf9\x92\x33\xf8\x03\x7a\x54\xea\x63\x33\x8a\x81\x3b\xcf\x3f\x75\xd8\xc3\xcc\x75\xdd\xdf\x87\x50";

/// Runs all checks once a process; the error is `internal` and names the first that failed.
pub fn once() -> Result<()> {
    static DONE: std::sync::OnceLock<Result<()>> = std::sync::OnceLock::new();
    DONE.get_or_init(run).clone()
}

/// Runs all checks.
pub fn run() -> Result<()> {
    let results = [
        ("SHA-256", hash()),
        ("two SHA-256 at once", two_hashes()),
        ("AES and Poly1305", seal()),
        ("chunker", chunker()),
        ("zstd", compression().unwrap_or(false)),
    ];
    match results.iter().find(|(_, good)| !good) {
        None => Ok(()),
        Some((name, _)) => Err(Error::internal(format!("self-test failed: {name}"))),
    }
}

fn hash() -> bool {
    let expected = "fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f";
    Id::of(BLOB).hex() == expected
}

/// Two messages of several blocks, of which the library knows the hashes too.
fn two_hashes() -> bool {
    let (one, other) = (BLOB.repeat(10), SEALED.repeat(5));
    let (mut first, mut second) = (Hasher::default(), Hasher::default());
    first.update_both(&one, &mut second, &other);
    first.finish() == Id::of(&one) && second.finish() == Id::of(&other)
}

/// Opens a sealed text and refuses it with one bit changed.
fn seal() -> bool {
    let mut parts = KeyParts::default();
    parts.encrypt[..16]
        .copy_from_slice(&0x303e_8687_b1d7_db18_421b_dc6b_b858_8cca_u128.to_be_bytes());
    parts.encrypt[16..]
        .copy_from_slice(&0xdac4_d59e_e87b_8ff7_0c44_e635_790c_afef_u128.to_be_bytes());
    parts.mac_k = 0xef4d_8824_cb80_b2bc_c5fb_ff8a_9b12_a42c_u128.to_be_bytes();
    parts.mac_r = 0xcc8d_4b94_8ee0_ebfe_1d41_5de9_21d1_0353_u128.to_be_bytes();
    let mut altered = SEALED.to_vec();
    altered[20] ^= 1;
    Key::from_parts(parts).is_some_and(|key| {
        let opened = key.open(SEALED);
        opened.is_some_and(|text| text == b"Dies ist ein Test!") && key.open(&altered).is_none()
    })
}

/// A fingerprint, and a cut found by the last of the lanes: the window is the end of the first chunk of the
/// portable vector.
fn chunker() -> bool {
    let chunker = Chunker::new(Polynomial(0x3D_A335_8B4D_C173));
    let window: Vec<u8> = (0..64).collect();
    let at = MIN + 30_000;
    let mut data = vec![1; MIN + 40_000];
    data[at - 64..at - 32].copy_from_slice(&Id::of(&31_747_u64.to_le_bytes()).0);
    data[at - 32..at].copy_from_slice(&Id::of(&31_748_u64.to_le_bytes()).0);
    chunker.fingerprint(&window) == 0x4_4b76_cac5_cee3 && chunker.cut(&data) == at
}

/// A frame of another program, and one of ours there and back.
fn compression() -> Result<bool> {
    let mut zstd = Zstd::new(3)?;
    let (mut frame, mut plain) = (Vec::new(), Vec::new());
    let foreign = zstd.decompress(FRAME, BLOB.len(), &mut plain);
    let read = foreign.is_ok() && plain == BLOB;
    let text = BLOB.repeat(1000);
    zstd.compress(&text, &mut frame)?;
    let back = zstd.decompress(&frame, text.len(), &mut plain);
    Ok(read && back.is_ok() && plain == text && frame.len() < text.len() / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_here() {
        run().expect("this machine computes right");
    }
}
