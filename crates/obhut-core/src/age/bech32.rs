//! Bech32 (BIP 173) as age uses it: 32 bytes behind a prefix, lower case, no limit on the length.

use zeroize::Zeroizing;

use super::KEY;

const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [
    0x3b6a_57b2,
    0x2650_8e6d,
    0x1ea1_19fa,
    0x3d42_33dd,
    0x2a14_62b3,
];
/// Digits of five bits for the bytes, and of the checksum.
const CONTENT: usize = (KEY * 8).div_ceil(5);
const CHECK: usize = 6;

pub(super) fn encode(prefix: &str, bytes: &[u8; KEY]) -> String {
    let mut digits = Zeroizing::new([0; CONTENT]);
    for bit in 0..KEY * 8 {
        let value = bytes[bit / 8] >> (7 - bit % 8) & 1;
        digits[bit / 5] |= value << (4 - bit % 5);
    }
    let sum = polymod(prefix, digits.iter().copied().chain([0; CHECK])) ^ 1;
    let check = (0..CHECK).map(|at| (sum >> (5 * (CHECK - 1 - at)) & 31) as u8);
    // As long as it will be: a text that grows would leave copies of a secret.
    let mut text = String::with_capacity(prefix.len() + 1 + CONTENT + CHECK);
    text.push_str(prefix);
    text.push('1');
    text.extend(
        digits
            .iter()
            .copied()
            .chain(check)
            .map(|digit| char::from(DIGITS[usize::from(digit)])),
    );
    text
}

/// The bytes; nothing unless the text is just what [`encode`] gives for them.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('1')?.as_bytes();
    if rest.len() != CONTENT + CHECK {
        return None;
    }
    let mut digits = Zeroizing::new([0; CONTENT + CHECK]);
    for (digit, letter) in digits.iter_mut().zip(rest) {
        *digit = DIGITS.iter().position(|known| known == letter)? as u8;
    }
    if polymod(prefix, digits.iter().copied()) != 1 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY]);
    for bit in 0..CONTENT * 5 {
        let value = digits[bit / 5] >> (4 - bit % 5) & 1;
        match bytes.get_mut(bit / 8) {
            Some(byte) => *byte |= value << (7 - bit % 8),
            // Bits that stand for nothing are zero.
            None if value != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

fn polymod(prefix: &str, digits: impl Iterator<Item = u8>) -> u32 {
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(digits);
    all.fold(1, |sum: u32, digit| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(digit);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(next, |sum, (_, generator)| sum ^ generator)
    })
}
