//! restic's content-defined chunker, bit for bit (formats: restic 12).
//!
//! The fingerprint at a position is the polynomial of the 64 bytes before it, modulo the repository's
//! secret polynomial P. A chunk ends at the first position, at least [`MIN`] bytes after its start, whose
//! fingerprint ends in 20 zero bits, or after [`MAX`] bytes, or with the file.
//!
//! restic slides byte by byte, each step waiting for the one before: a table look-up and an exclusive or.
//! Because a fingerprint depends on its 64 bytes only, a stretch can be cut into four slices that slide
//! side by side, and the CPU overlaps their waiting. The first hit in order of position is then the cut.
//! [`Chunker::cut_serially`] is the plain definition that tests, fuzzing and measuring compare with.

use crate::polynomial::{DEGREE, Polynomial};

pub use reader::ChunkReader;

mod reader;

/// Smallest chunk but the last of a file.
pub const MIN: usize = 512 << 10;
/// Largest chunk.
pub const MAX: usize = 8 << 20;

/// Bytes that a fingerprint depends on.
const WINDOW: usize = 64;
/// Fingerprints are kept this far to the left: their top byte is the word's, so that one shift gives it as
/// an index and another one drops it.
const SCALE: u32 = 64 - DEGREE;
/// A position is a cut if these bits of its fingerprint are zero: once in 2^20 positions.
const MASK: u64 = ((1 << 20) - 1) << SCALE;
/// Bytes that one lane searches before the lanes start anew. Work behind a hit is wasted (half of
/// `4 * SLICE` on average), and every start costs a window's bytes.
const SLICE: usize = 8 << 10;

/// The chunker for one polynomial; shared by all threads. Holds the secret polynomial: no `Debug`.
pub struct Chunker {
    /// `reduce[b]`: the remainder of a top byte `b` that a shift drops (scaled).
    reduce: [u64; 256],
    /// `left[b]`: what a byte `b` contributes after the step in which it leaves the window (scaled). restic
    /// removes it before the shift; after it, a step waits for one look-up only.
    left: [u64; 256],
}

/// The four fingerprints of a stretch.
type Lanes = [u64; 4];

impl Chunker {
    /// Builds the tables. The polynomial has degree 53 (a config with another one is refused on opening).
    pub fn new(polynomial: Polynomial) -> Self {
        assert_eq!(
            polynomial.degree(),
            Some(DEGREE),
            "checked when the config was read"
        );
        let modulo = |value: u64| Polynomial(value).modulo(polynomial).0;
        let mut reduce = [0; 256];
        let mut left = [0; 256];
        for byte in 0..256 {
            reduce[byte] = modulo((byte as u64) << DEGREE) << SCALE;
            let shift_in = |power: u64, _| modulo(power << 8);
            left[byte] = (0..WINDOW).fold(byte as u64, shift_in) << SCALE;
        }
        Self { reduce, left }
    }

    /// The length of the first chunk of `data`, which starts at a chunk start and holds either `MAX`
    /// bytes or more, or everything up to the end of the file. `data.len()` if no cut lies within it.
    pub fn cut(&self, data: &[u8]) -> usize {
        self.search(data, 0).unwrap_or(data.len())
    }

    /// The length of the first chunk of `data`, which starts at a chunk start, if it ends within it.
    /// No position before `searched` is a cut (0 if nothing is known).
    pub fn search(&self, data: &[u8], searched: usize) -> Option<usize> {
        let full = data.len() >= MAX;
        let data = &data[..data.len().min(MAX)];
        let start = searched.max(MIN);
        if data.len() < start {
            return None;
        }
        self.first_hit(data, start).or(full.then_some(MAX))
    }

    /// The first position in `start..=data.len()` whose fingerprint is a cut.
    fn first_hit(&self, data: &[u8], start: usize) -> Option<usize> {
        let mut at = start;
        let mut digest = self.scaled(&data[at - WINDOW..at]);
        if digest & MASK == 0 {
            return Some(at);
        }
        while data.len() - at >= 4 * SLICE {
            let from = |lane: usize| at + lane * SLICE;
            let mut lanes = [digest, 0, 0, 0];
            for (lane, digest) in lanes.iter_mut().enumerate().skip(1) {
                *digest = self.scaled(&data[from(lane) - WINDOW..from(lane)]);
            }
            if let Some(hit) = self.stretch(&data[at - WINDOW..at + 4 * SLICE], &mut lanes) {
                return Some(at + hit);
            }
            digest = lanes[3];
            at += 4 * SLICE;
        }
        for position in at..data.len() {
            digest = self.slide(digest, data[position - WINDOW], data[position]);
            if digest & MASK == 0 {
                return Some(position + 1);
            }
        }
        None
    }

    /// Searches a stretch of four slices, which begins with the window before it. `lanes` are the
    /// fingerprints before each slice, and after it on return. The result counts from the end of that window.
    #[inline(never)]
    fn stretch(&self, data: &[u8], lanes: &mut Lanes) -> Option<usize> {
        let old = |lane: usize| -> &[u8; SLICE] { slice(data, lane * SLICE) };
        let new = |lane: usize| -> &[u8; SLICE] { slice(data, lane * SLICE + WINDOW) };
        let (old0, old1, old2, old3) = (old(0), old(1), old(2), old(3));
        let (new0, new1, new2, new3) = (new(0), new(1), new(2), new(3));
        let [mut a, mut b, mut c, mut d] = *lanes;
        // The first hit of the lanes behind the first one; the earliest lane's counts.
        let mut hits = [None; 4];
        for i in 0..SLICE {
            a = self.slide(a, old0[i], new0[i]);
            b = self.slide(b, old1[i], new1[i]);
            c = self.slide(c, old2[i], new2[i]);
            d = self.slide(d, old3[i], new3[i]);
            if a & MASK == 0 {
                return Some(i + 1);
            }
            if b & MASK == 0 {
                note_hit(&mut hits, 1, i);
            }
            if c & MASK == 0 {
                note_hit(&mut hits, 2, i);
            }
            if d & MASK == 0 {
                note_hit(&mut hits, 3, i);
            }
        }
        *lanes = [a, b, c, d];
        hits.iter().flatten().next().copied()
    }

    /// The scaled fingerprint after `new` enters the window and `old` leaves it.
    #[inline]
    fn slide(&self, digest: u64, old: u8, new: u8) -> u64 {
        let aside = self.left[usize::from(old)] ^ (u64::from(new) << SCALE);
        (digest << 8) ^ self.reduce[(digest >> 56) as usize] ^ aside
    }

    /// The scaled fingerprint of at most one window's bytes.
    fn scaled(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |digest, byte| {
            (digest << 8) ^ self.reduce[(digest >> 56) as usize] ^ (u64::from(*byte) << SCALE)
        })
    }

    /// The fingerprint of at most one window's bytes.
    pub(crate) fn fingerprint(&self, window: &[u8]) -> u64 {
        self.scaled(window) >> SCALE
    }

    /// [`Chunker::cut`] by the definition: one byte after the other, the window a ring that begins with a 1.
    /// Slow; for comparison.
    #[doc(hidden)]
    pub fn cut_serially(&self, data: &[u8]) -> usize {
        let mut window = [0; WINDOW];
        window[0] = 1;
        let mut digest = 1 << SCALE;
        for (at, &byte) in data.iter().enumerate().take(MAX).skip(MIN - WINDOW) {
            let length = at + 1;
            let old = std::mem::replace(&mut window[length % WINDOW], byte);
            digest = self.slide(digest, old, byte);
            if length >= MAX || length >= MIN && digest & MASK == 0 {
                return length;
            }
        }
        data.len()
    }
}

/// One lane's bytes with a length that the compiler knows.
fn slice(data: &[u8], from: usize) -> &[u8; SLICE] {
    data[from..]
        .first_chunk()
        .expect("a stretch holds a window and four slices")
}

/// Notes where in a stretch a lane has hit for the first time.
#[cold]
fn note_hit(hits: &mut [Option<usize>; 4], lane: usize, step: usize) {
    hits[lane].get_or_insert(lane * SLICE + step + 1);
}

#[cfg(test)]
mod tests;
