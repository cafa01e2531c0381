use std::io::{self, Read};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::id::Id;

const P: Polynomial = Polynomial(0x3D_A335_8B4D_C173);

fn chunker() -> Chunker {
    Chunker::new(P)
}

/// SHA-256(u64 little endian) for 0, 1, …: the data of the portable vector, and bytes for other tests.
fn noise(first: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (block, i) in bytes.chunks_mut(32).zip(first..) {
        block.copy_from_slice(&Id::of(&i.to_le_bytes()).0[..block.len()]);
    }
    bytes
}

fn lengths(cut: impl Fn(&[u8]) -> usize, mut data: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !data.is_empty() {
        let length = cut(data);
        lengths.push(length);
        data = &data[length..];
    }
    lengths
}

#[test]
fn the_smallest_chunk_ends_at_the_first_position_that_is_allowed() {
    let chunker = chunker();
    let mut data = vec![0; MIN + 1000];
    data[MIN - WINDOW..MIN].copy_from_slice(&cutting_window());
    assert_eq!(chunker.cut_serially(&data), MIN);
    assert_eq!(chunker.cut(&data), MIN);
    assert_eq!(chunker.search(&data[..MIN], 0), Some(MIN));
    assert_eq!(chunker.search(&data[..MIN - 1], 0), None);
}

#[test]
fn tables_equal_restics() {
    let chunker = chunker();
    let out = [
        (1, 0x17_eb42_32e1_9216),
        (2, 0x12_75b1_ee8e_e55f),
        (3, 0x5_9ef3_dc6f_7749),
        (255, 0xb_80b9_8cec_c39a),
    ];
    for (byte, value) in out {
        // Ours is restic's one step later.
        let after = Polynomial(value << 8).modulo(P).0;
        assert_eq!(chunker.left[byte] >> SCALE, after, "out[{byte}]");
    }
    let reduce = [
        (1, 0x3d_a335_8b4d_c173),
        (2, 0x46_e55e_9dd6_4395),
        (3, 0x7b_466b_169b_82e6),
        (255, 0x1ff7_ac8a_5af4_76a7),
    ];
    for (byte, value) in reduce {
        // restic's clears the top byte, which we shift out.
        let remainder = value ^ (byte as u64) << DEGREE;
        assert_eq!(chunker.reduce[byte] >> SCALE, remainder, "mod[{byte}]");
    }
    let window: Vec<u8> = (0..64).collect();
    assert_eq!(chunker.fingerprint(&window), 0x4_4b76_cac5_cee3);
}

#[test]
fn the_portable_vector() {
    let data = noise(0, 5 << 20);
    assert_eq!(
        Id::of(&data).hex(),
        "7baeb18927b6832040570dbd18148951f463c01ade2764518ba79a9c72518bca"
    );
    let expected = [1_015_968, 1_087_132, 693_439, 2_344_058, 102_283];
    let chunker = chunker();
    assert_eq!(lengths(|data| chunker.cut(data), &data), expected);
    assert_eq!(lengths(|data| chunker.cut_serially(data), &data), expected);
    let ends = [
        0x10_51a0_5530_0000,
        0xe_8c1a_5530_0000,
        0xc_0ae2_2460_0000,
        0xc_b246_7690_0000,
    ];
    let mut end = 0;
    for (length, fingerprint) in expected.into_iter().zip(ends) {
        end += length;
        assert_eq!(chunker.fingerprint(&data[end - WINDOW..end]), fingerprint);
    }
}

/// Go's `math/rand` with seed 23, successive `Uint32` little endian. The generator adds the outputs 607 and
/// 273 calls ago; its first 607 outputs, which seeding determines, lie beside this file.
fn go_noise(length: usize) -> Vec<u8> {
    let seeded = include_bytes!("go_rand_23.bin").chunks_exact(8);
    let mut outputs: Vec<u64> = seeded
        .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
        .collect();
    assert_eq!(outputs.len(), 607);
    for n in 607..length / 4 {
        outputs.push(outputs[n - 607].wrapping_add(outputs[n - 273]));
    }
    let bytes = outputs
        .iter()
        .flat_map(|output| ((output >> 31) as u32).to_le_bytes());
    bytes.take(length).collect()
}

#[test]
fn the_official_vector() {
    let data = go_noise(32 << 20);
    let expected = [
        2_163_460, 643_703, 1_528_956, 1_955_808, 2_222_372, 2_538_687, 609_606, 1_205_738,
        959_742, 4_036_109, 1_525_894, 1_352_720, 811_884, 1_282_314, 1_318_021, 948_640, 645_464,
        533_758, 1_128_303, 800_374, 2_453_512, 2_651_975, 237_392,
    ];
    assert_eq!(
        Id::of(&data[..expected[0]]).hex(),
        "4b94cb2cf293855ea43bf766731c74969b91aa6bf3c078719aabdd19860d590d"
    );
    let chunker = chunker();
    assert_eq!(lengths(|data| chunker.cut(data), &data), expected);
    assert_eq!(
        chunker.fingerprint(&data[expected[0] - WINDOW..expected[0]]),
        0xb_98d4_cdf0_0000
    );
    let second = expected[0] + expected[1];
    assert_eq!(
        chunker.fingerprint(&data[second - WINDOW..second]),
        0xd_4e83_64d0_0000
    );
}

#[test]
fn zeros_cut_at_the_minimum() {
    let data = vec![0; 3 * MIN + 5];
    assert_eq!(
        lengths(|data| chunker().cut(data), &data),
        [MIN, MIN, MIN, 5]
    );
    assert_eq!(
        Id::of(&data[..MIN]).hex(),
        "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541"
    );
}

#[test]
fn never_longer_than_the_maximum() {
    // A constant byte gives one fingerprint everywhere; that of 1 is no cut.
    let data = vec![1; MAX + 10];
    let chunker = chunker();
    assert_ne!(chunker.fingerprint(&[1; WINDOW]) & MASK, 0);
    assert_eq!(chunker.cut(&data), MAX);
    assert_eq!(chunker.cut(&data[..MAX]), MAX);
    assert_eq!(chunker.cut(&data[..MAX - 1]), MAX - 1);
    assert_eq!(chunker.search(&data[..MAX - 1], 0), None);
    assert_eq!(chunker.search(&data[..MAX], MAX - 3), Some(MAX));
}

/// 64 bytes whose fingerprint is a cut, for planting: the last bytes of a chunk of the portable vector.
fn cutting_window() -> Vec<u8> {
    noise(0, 1_015_968).split_off(1_015_968 - WINDOW)
}

#[test]
fn finds_a_cut_at_every_edge_of_a_lane() {
    let chunker = chunker();
    let window = cutting_window();
    let quiet = vec![1; MIN + 10 * SLICE];
    for edge in (MIN..MIN + 9 * SLICE).step_by(SLICE) {
        for position in [edge, edge + 1, edge + 63, edge + 64, edge + SLICE - 1] {
            let mut data = quiet.clone();
            data[position - WINDOW..position].copy_from_slice(&window);
            assert_eq!(chunker.cut(&data), position);
            // A later one in the same stretch, in a later lane, does not win.
            let later = position + SLICE - 7;
            data[later - WINDOW..later].copy_from_slice(&window);
            assert_eq!(chunker.cut(&data), position);
            assert_eq!(chunker.search(&data, position + 1), Some(later));
        }
    }
}

/// A source that gives at most `piece` bytes a read and is interrupted now and then.
struct Trickle<'a> {
    data: &'a [u8],
    piece: usize,
    reads: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = self.piece.min(out.len());
        self.data.read(&mut out[..length])
    }
}

#[test]
fn a_stream_gives_the_same_chunks_in_bounded_memory() {
    let data = [noise(0, 3 << 20), vec![1; 2 * MAX + 3], noise(7, MIN + 1)].concat();
    let chunker = Arc::new(chunker());
    let expected = lengths(|data| chunker.cut(data), &data);
    let mut reader = ChunkReader::new(Arc::clone(&chunker));
    for piece in [usize::MAX, 70_001, 4096] {
        let mut source = Trickle {
            data: &data,
            piece,
            reads: 0,
        };
        let (mut seen, mut rest) = (Vec::new(), &data[..]);
        reader.begin();
        while let Some(chunk) = reader.next_chunk(&mut source).expect("no error") {
            assert_eq!(chunk, &rest[..chunk.len()]);
            rest = &rest[chunk.len()..];
            seen.push(chunk.len());
        }
        assert_eq!(seen, expected, "pieces of {piece}");
        assert!(reader.next_chunk(&mut source).expect("no error").is_none());
    }
    assert!(reader.capacity() <= MAX + (1 << 20));
}

#[test]
fn small_and_empty_streams_need_little() {
    let mut reader = ChunkReader::new(Arc::new(chunker()));
    assert!(
        reader
            .next_chunk(&mut io::empty())
            .expect("no error")
            .is_none()
    );
    reader.begin();
    assert_eq!(
        reader.next_chunk(&mut &b"abc"[..]).expect("no error"),
        Some(&b"abc"[..])
    );
    assert!(reader.capacity() <= 256 << 10);
}

#[test]
fn an_error_of_the_source_is_handed_on() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let mut reader = ChunkReader::new(Arc::new(chunker()));
    let error = reader.next_chunk(&mut Broken).expect_err("broken");
    assert_eq!(error.raw_os_error(), Some(5));
    reader.begin();
    assert_eq!(
        reader.next_chunk(&mut &b"x"[..]).expect("no error"),
        Some(&b"x"[..])
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The lanes equal the definition, on noise with stretches of constant bytes and planted cuts.
    #[test]
    fn lanes_equal_the_definition(
        seed: u64,
        length in MIN - 3..MIN + 20 * SLICE,
        constant in proptest::option::of((any::<prop::sample::Index>(), 1..2 * SLICE, any::<u8>())),
        plants in proptest::collection::vec(MIN - 10..MIN + 20 * SLICE, 0..6),
    ) {
        let mut data = noise(seed >> 1, length);
        if let Some((at, size, byte)) = constant {
            let at = at.index(data.len());
            let end = data.len().min(at + size);
            data[at..end].fill(byte);
        }
        let window = cutting_window();
        for position in plants {
            if position <= data.len() {
                data[position - WINDOW..position].copy_from_slice(&window);
            }
        }
        let chunker = chunker();
        let expected = chunker.cut_serially(&data);
        prop_assert_eq!(chunker.cut(&data), expected);
        // Searched in two steps, as a stream is.
        let half = MIN + (length.saturating_sub(MIN)) / 2;
        let found = chunker
            .search(&data[..half.min(length)], 0)
            .or_else(|| chunker.search(&data, half + 1));
        prop_assert_eq!(found.unwrap_or(length), expected);
    }

    /// Any polynomial of degree 53: the tables agree with polynomial arithmetic.
    #[test]
    fn fingerprints_are_remainders(low in 0..1u64 << 52, window in proptest::collection::vec(any::<u8>(), 64)) {
        let polynomial = Polynomial(1 << 53 | low << 1 | 1);
        let chunker = Chunker::new(polynomial);
        let plain = window.iter().fold(0, |value: u64, byte| {
            (0..8).rev().fold(value, |value, bit| {
                Polynomial(value << 1 | u64::from(byte >> bit & 1)).modulo(polynomial).0
            })
        });
        prop_assert_eq!(chunker.fingerprint(&window), plain);
        let slid = chunker.slide(chunker.scaled(&window), window[0], 77);
        prop_assert_eq!(slid, chunker.scaled(&[&window[1..], &[77]].concat()));
    }
}
