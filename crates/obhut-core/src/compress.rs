//! zstd as the repository uses it: single frames, no checksum, content size written (formats: restic 6).
//!
//! Windows are those of zstd's levels, never over 8 MiB. restic's 512 KiB would cost half a percent on usual
//! chunks and up to a fifth on the largest ones; every reader of the format takes the larger ones.
//!
//! Contexts are kept from call to call: creating one costs more than compressing a small blob. Nothing is
//! allocated because a frame says so: the caller's bound counts. What a frame was sealed with authenticates it.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound, get_frame_content_size};

use crate::buffer;
use crate::error::{Error, Result};

/// Bytes of each of the three samples that decide whether data shrinks at all.
const SAMPLE: usize = 16 << 10;
/// Data of fewer bytes is not probed but compressed, and kept raw if that did not help.
const PROBE_FROM: usize = 8 * SAMPLE;

/// Compresses and decompresses; one per thread.
pub struct Zstd {
    compressor: Compressor<'static>,
    probe: Compressor<'static>,
    decompressor: Decompressor<'static>,
    sample: Vec<u8>,
}

impl Zstd {
    /// New contexts for the effort `level` (zstd's own scale).
    pub fn new(level: i32) -> Result<Self> {
        Ok(Self {
            compressor: compressor(level)?,
            probe: compressor(1)?,
            decompressor: Decompressor::new().map_err(|e| internal(&e))?,
            sample: Vec::new(),
        })
    }

    /// Compresses `plain` into a frame, replacing the content of `out`.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        compress_into(&mut self.compressor, plain, out)
    }

    /// Whether neither the start, the middle nor the end of `plain` shrinks: media, archives, ciphertext.
    /// Compressing the whole would cost time and gain nothing.
    pub fn is_incompressible(&mut self, plain: &[u8]) -> Result<bool> {
        if plain.len() < PROBE_FROM {
            return Ok(false);
        }
        for start in [0, (plain.len() - SAMPLE) / 2, plain.len() - SAMPLE] {
            let sample = &plain[start..start + SAMPLE];
            compress_into(&mut self.probe, sample, &mut self.sample)?;
            if self.sample.len() < SAMPLE - SAMPLE / 64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decompresses `frame` to exactly `expected` bytes, replacing the content of `out`; at most that much is
    /// allocated. The error says what is wrong with the frame, to be put beside the name of its object.
    pub fn decompress(
        &mut self,
        frame: &[u8],
        expected: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        out.clear();
        // Frames need not say their size, but one that says another one is refused before allocating.
        match get_frame_content_size(frame) {
            Err(_) => return Err("no zstd frame".to_owned()),
            Ok(Some(size)) if size != expected as u64 => {
                return Err(format!("{size} bytes compressed instead of {expected}"));
            }
            Ok(_) => {}
        }
        buffer::reserve(out, expected)?;
        let written = self.decompressor.decompress_to_buffer(frame, out);
        match written {
            Ok(written) if written == expected => Ok(()),
            Ok(written) => {
                out.clear();
                Err(format!(
                    "{written} bytes decompressed instead of {expected}"
                ))
            }
            Err(error) => {
                out.clear();
                Err(error.to_string())
            }
        }
    }
}

fn compressor(level: i32) -> Result<Compressor<'static>> {
    let make = || {
        let mut compressor = Compressor::new(level)?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        compressor.set_parameter(CParameter::ChecksumFlag(false))?;
        compressor.set_parameter(CParameter::DictIdFlag(false))?;
        Ok(compressor)
    };
    make().map_err(|e: std::io::Error| internal(&e))
}

fn compress_into(compressor: &mut Compressor<'_>, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
    buffer::reserve(out, compress_bound(plain.len())).map_err(Error::internal)?;
    compressor
        .compress_to_buffer(plain, out)
        .map(drop)
        .map_err(|e| internal(&e))
}

fn internal(error: &std::io::Error) -> Error {
    Error::internal(format!("zstd: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader of restic's frames may expect windows of 8 MiB at most.
    const WINDOW_LOG_MAX: u32 = 23;

    use crate::world::{Random, SystemRandom};

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        SystemRandom.fill(&mut bytes).expect("randomness");
        bytes
    }

    fn zstd() -> Zstd {
        Zstd::new(3).expect("contexts")
    }

    /// The mini repository's frame (formats: restic 25.1).
    const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x20\x0d\x69\x00\x00hello restic\n";

    #[test]
    fn reads_a_foreign_frame() {
        let mut out = Vec::new();
        zstd()
            .decompress(FRAME, 13, &mut out)
            .expect("decompressed");
        assert_eq!(out, b"hello restic\n");
    }

    #[test]
    fn other_lengths_are_refused() {
        let (mut zstd, mut out) = (zstd(), b"old".to_vec());
        for wrong in [0, 12, 14, u32::MAX as usize] {
            assert!(zstd.decompress(FRAME, wrong, &mut out).is_err());
            assert!(out.is_empty() && out.capacity() < 100);
        }
        assert!(
            zstd.decompress(&FRAME[..FRAME.len() - 1], 13, &mut out)
                .is_err()
        );
        assert!(
            zstd.decompress(&[FRAME, b"x"].concat(), 13, &mut out)
                .is_err()
        );
        assert!(zstd.decompress(b"", 13, &mut out).is_err());
        assert!(zstd.decompress(b"no frame at all", 13, &mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn frames_without_a_size_are_read() {
        let plain = b"no size in the header ".repeat(5000);
        let mut encoder = zstd::bulk::Compressor::new(3).expect("a context");
        encoder
            .set_parameter(CParameter::ContentSizeFlag(false))
            .expect("set");
        let mut frame = encoder.compress(&plain).expect("compressed");
        assert_eq!(get_frame_content_size(&frame).expect("a frame"), None);
        let (mut zstd, mut out) = (zstd(), Vec::new());
        zstd.decompress(&frame, plain.len(), &mut out)
            .expect("decompressed");
        assert_eq!(out, plain);
        assert!(zstd.decompress(&frame, plain.len() - 1, &mut out).is_err());
        assert!(zstd.decompress(&frame, plain.len() + 1, &mut out).is_err());
        frame.truncate(frame.len() - 3);
        assert!(zstd.decompress(&frame, plain.len(), &mut out).is_err());
    }

    #[test]
    fn frames_are_as_restic_expects_them() {
        for length in [1, 255, 256, 70_000, 9 << 20] {
            let plain = b"abcdefgh".repeat(length / 8 + 1);
            for level in [1, 3, 7, 12] {
                let mut frame = Vec::new();
                let mut zstd = Zstd::new(level).expect("contexts");
                zstd.compress(&plain, &mut frame).expect("compressed");
                assert_eq!(
                    get_frame_content_size(&frame).expect("a frame"),
                    Some(plain.len() as u64)
                );
                assert_eq!(frame[4] & 0b100, 0, "no checksum");
                assert_eq!(frame[4] & 0b11, 0, "no dictionary id");
                let single_segment = frame[4] & 0b10_0000 != 0;
                let window_log = 10 + u32::from(frame[5] >> 3);
                assert!(
                    single_segment && plain.len() <= 1 << WINDOW_LOG_MAX
                        || window_log <= WINDOW_LOG_MAX
                );
            }
        }
    }

    #[test]
    fn only_data_that_never_shrinks_is_incompressible() {
        let mut zstd = zstd();
        let noise = random(1 << 20);
        assert!(zstd.is_incompressible(&noise).expect("probed"));
        assert!(
            !zstd
                .is_incompressible(&noise[..PROBE_FROM - 1])
                .expect("probed")
        );
        assert!(
            !zstd
                .is_incompressible(&b"text ".repeat(100_000))
                .expect("probed")
        );
        for at in [0, (1 << 19) - 4000, (1 << 20) - 8000] {
            let mut mixed = noise.clone();
            mixed[at..at + 8000].fill(b' ');
            assert!(!zstd.is_incompressible(&mixed).expect("probed"), "{at}");
        }
        // Text in six bits a byte shrinks by a quarter.
        let base64: Vec<u8> = noise.iter().map(|byte| b'0' + byte % 64).collect();
        assert!(!zstd.is_incompressible(&base64).expect("probed"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn round_trip(words in proptest::collection::vec("[a-z]{0,9}", 0..2000), level in 1..13) {
            let plain = words.concat().into_bytes();
            let mut zstd = Zstd::new(level).expect("contexts");
            let (mut frame, mut out) = (b"old".to_vec(), b"old".to_vec());
            zstd.compress(&plain, &mut frame).expect("compressed");
            zstd.decompress(&frame, plain.len(), &mut out).expect("decompressed");
            prop_assert_eq!(&out, &plain);
        }

        #[test]
        fn foreign_bytes_never_exceed_the_bound(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            let frame = [&FRAME[..4], &tail].concat();
            let mut out = Vec::new();
            if zstd().decompress(&frame, 1000, &mut out).is_ok() {
                prop_assert_eq!(out.len(), 1000);
            }
        }
    }
}
