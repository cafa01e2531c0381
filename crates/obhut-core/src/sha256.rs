//! Two SHA-256 at once.
//!
//! A SHA-256 is one chain: each round waits for the one before, and the processor's SHA unit idles in between.
//! Two independent messages fill each other's waiting: on processors with SHA instructions both together take
//! about as long as one alone (`examples/rates.rs` measures it). Whoever needs two hashes over the same bytes' way
//! (a pack and the blobs in it) uses [`Hasher::update_both`]; single hashes are the library's ([`Id::of`]).
//!
//! Block for block this is the library's `compress256`; only the two-lane kernel is ours. Tests and the self test
//! compare it with the library.

use sha2::block_api::compress256;

use crate::id::Id;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Where the length lies in the last block.
const LENGTH_AT: usize = 56;
/// The state before the first block (FIPS 180-4, 5.3.3).
const START: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

type State = [u32; 8];
type Block = [u8; BLOCK];

/// A SHA-256 under way.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    /// Bytes taken in.
    length: u64,
    /// The last `length % BLOCK` of them.
    rest: Block,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            state: START,
            length: 0,
            rest: [0; BLOCK],
        }
    }
}

impl Hasher {
    /// Takes in `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.align(bytes).as_chunks();
        compress256(&mut self.state, blocks);
        self.keep(blocks.len(), rest);
    }

    /// Takes in `mine`, and `theirs` into `other`. Fast as far as both are long.
    pub fn update_both(&mut self, mine: &[u8], other: &mut Self, theirs: &[u8]) {
        let (my_blocks, my_rest) = self.align(mine).as_chunks();
        let (their_blocks, their_rest) = other.align(theirs).as_chunks();
        let both = my_blocks.len().min(their_blocks.len());
        compress_both(
            &mut self.state,
            &my_blocks[..both],
            &mut other.state,
            &their_blocks[..both],
        );
        compress256(&mut self.state, &my_blocks[both..]);
        compress256(&mut other.state, &their_blocks[both..]);
        self.keep(my_blocks.len(), my_rest);
        other.keep(their_blocks.len(), their_rest);
    }

    /// The hash of everything taken in.
    pub fn finish(mut self) -> Id {
        let bits = self.length << 3;
        let held = self.held();
        let mut last = [[0; BLOCK]; 2];
        last[0][..held].copy_from_slice(&self.rest[..held]);
        last[0][held] = 0x80;
        let blocks = if held < LENGTH_AT { 1 } else { 2 };
        last[blocks - 1][LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &last[..blocks]);
        let mut id = Id([0; 32]);
        for (bytes, word) in id.0.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        id
    }

    /// Bytes held back: too few for a block.
    fn held(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Fills the block that was begun, and gives the bytes after it: nothing is held back then, or nothing is left.
    fn align<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let held = self.held();
        if held == 0 {
            return bytes;
        }
        let (first, after) = bytes.split_at(bytes.len().min(BLOCK - held));
        self.rest[held..held + first.len()].copy_from_slice(first);
        self.length += first.len() as u64;
        if self.held() == 0 {
            compress256(&mut self.state, &[self.rest]);
        }
        after
    }

    /// So many blocks are done; `rest` waits for more.
    fn keep(&mut self, blocks: usize, rest: &[u8]) {
        if blocks + rest.len() == 0 {
            return;
        }
        self.length += (blocks * BLOCK + rest.len()) as u64;
        self.rest[..rest.len()].copy_from_slice(rest);
    }
}

/// As many blocks of the one as of the other.
fn compress_both(a: &mut State, blocks_a: &[Block], b: &mut State, blocks_b: &[Block]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
    {
        // SAFETY: the processor has the instructions, as was just asked.
        unsafe { two_lanes::compress(a, blocks_a, b, blocks_b) };
        return;
    }
    compress256(a, blocks_a);
    compress256(b, blocks_b);
}

/// The two chains in the processor's SHA unit (Intel SHA extensions; AMD has the same).
#[cfg(target_arch = "x86_64")]
mod two_lanes {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
        _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
    };

    use super::{Block, State};

    /// The rounds' constants (FIPS 180-4, 4.2.2).
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// A state as the instructions want it: words a, b, e, f and c, d, g, h.
    #[derive(Clone, Copy)]
    struct Halves {
        abef: __m128i,
        cdgh: __m128i,
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub fn compress(a: &mut State, blocks_a: &[Block], b: &mut State, blocks_b: &[Block]) {
        let mut states = [load(a), load(b)];
        for (block_a, block_b) in blocks_a.iter().zip(blocks_b) {
            let before = states;
            let mut words = [message(block_a), message(block_b)];
            let (s, w) = (&mut states, &mut words);
            four_rounds::<0>(s, w);
            four_rounds::<1>(s, w);
            four_rounds::<2>(s, w);
            four_rounds::<3>(s, w);
            four_rounds::<4>(s, w);
            four_rounds::<5>(s, w);
            four_rounds::<6>(s, w);
            four_rounds::<7>(s, w);
            four_rounds::<8>(s, w);
            four_rounds::<9>(s, w);
            four_rounds::<10>(s, w);
            four_rounds::<11>(s, w);
            four_rounds::<12>(s, w);
            four_rounds::<13>(s, w);
            four_rounds::<14>(s, w);
            four_rounds::<15>(s, w);
            for (state, before) in states.iter_mut().zip(before) {
                state.abef = _mm_add_epi32(state.abef, before.abef);
                state.cdgh = _mm_add_epi32(state.cdgh, before.cdgh);
            }
        }
        *a = store(states[0]);
        *b = store(states[1]);
    }

    /// Four of the 64 rounds of both. Their number is a constant, so that all words stay in registers.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn four_rounds<const GROUP: usize>(states: &mut [Halves; 2], words: &mut [[__m128i; 4]; 2]) {
        let constants = unaligned(&ROUNDS[GROUP]);
        for (state, words) in states.iter_mut().zip(words) {
            if GROUP >= 4 {
                extend::<GROUP>(words);
            }
            let sum = _mm_add_epi32(words[GROUP % 4], constants);
            state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, sum);
            let upper = _mm_shuffle_epi32(sum, 0x0e);
            state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, upper);
        }
    }

    /// Replaces the oldest four of the last sixteen words of the schedule by the next four.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn extend<const GROUP: usize>(words: &mut [__m128i; 4]) {
        let at = |back: usize| (GROUP - back) % 4;
        let sum = _mm_sha256msg1_epu32(words[at(4)], words[at(3)]);
        let seven_back = _mm_alignr_epi8(words[at(1)], words[at(2)], 4);
        words[at(4)] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, seven_back), words[at(1)]);
    }

    /// The block's sixteen words, which lie in it with the highest byte first.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn message(block: &Block) -> [__m128i; 4] {
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let mut words = [_mm_setzero_si128(); 4];
        for (words, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
            *words = _mm_shuffle_epi8(unaligned(bytes), swap);
        }
        words
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn load(state: &State) -> Halves {
        let [low, high] = state.as_chunks::<4>().0 else {
            unreachable!("eight words are two fours");
        };
        let cdab = _mm_shuffle_epi32(unaligned(low), 0xb1);
        let efgh = _mm_shuffle_epi32(unaligned(high), 0x1b);
        Halves {
            abef: _mm_alignr_epi8(cdab, efgh, 8),
            cdgh: _mm_blend_epi16(efgh, cdab, 0xf0),
        }
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn store(halves: Halves) -> State {
        let feba = _mm_shuffle_epi32(halves.abef, 0x1b);
        let dchg = _mm_shuffle_epi32(halves.cdgh, 0xb1);
        let mut state = [0; 8];
        let ordered = [
            _mm_blend_epi16(feba, dchg, 0xf0),
            _mm_alignr_epi8(dchg, feba, 8),
        ];
        for (words, half) in state.as_chunks_mut::<4>().0.iter_mut().zip(ordered) {
            // SAFETY: four words are the 16 bytes that are written; no alignment is asked for.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), half) };
        }
        state
    }

    /// 16 bytes from memory.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn unaligned<T>(from: &T) -> __m128i {
        const { assert!(size_of::<T>() == size_of::<__m128i>()) };
        // SAFETY: as many bytes as are read belong to `from`; any of them make a vector; no alignment is asked for.
        unsafe { _mm_loadu_si128(std::ptr::from_ref(from).cast()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(length: usize, seed: u32) -> Vec<u8> {
        let mut word = seed.wrapping_mul(2).wrapping_add(1);
        std::iter::repeat_with(|| {
            word = word.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (word >> 24) as u8
        })
        .take(length)
        .collect()
    }

    /// FIPS 180-4's examples, and the million times "a".
    #[test]
    fn known_answers() {
        let long = vec![b'a'; 1_000_000];
        for (message, hash) in [
            (
                &b""[..],
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                &long,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ] {
            let (mut one, mut other) = (Hasher::default(), Hasher::default());
            one.update_both(message, &mut other, &long[1..]);
            assert_eq!(one.finish().hex(), hash);
            assert_eq!(other.finish(), Id::of(&long[1..]));
            let mut single = Hasher::default();
            single.update(message);
            assert_eq!(single.finish().hex(), hash);
        }
    }

    /// Every length around the ends of blocks, in one piece and in two.
    #[test]
    fn every_short_length() {
        let message = bytes(300, 7);
        for length in 0..message.len() {
            let expected = Id::of(&message[..length]);
            for cut in [0, 1, 55, 56, 63, 64, 65, 128] {
                let cut = cut.min(length);
                let (mut one, mut other) = (Hasher::default(), Hasher::default());
                one.update(&message[..cut]);
                one.update_both(&message[cut..length], &mut other, &message[..length]);
                assert_eq!((one.finish(), other.finish()), (expected, expected));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        /// Whatever the pieces, both hashes are the library's.
        #[test]
        fn equals_the_library(
            pieces in prop::collection::vec((0..5000usize, 0..5000usize, any::<u32>(), any::<bool>()), 0..12),
        ) {
            let (mut a, mut b) = (Hasher::default(), Hasher::default());
            let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
            for (length_a, length_b, seed, alone) in pieces {
                let (piece_a, piece_b) = (bytes(length_a, seed), bytes(length_b, !seed));
                if alone {
                    a.update(&piece_a);
                    b.update(&piece_b);
                } else {
                    a.update_both(&piece_a, &mut b, &piece_b);
                }
                all_a.extend(piece_a);
                all_b.extend(piece_b);
            }
            prop_assert_eq!(a.finish(), Id::of(&all_a));
            prop_assert_eq!(b.finish(), Id::of(&all_b));
        }
    }
}
