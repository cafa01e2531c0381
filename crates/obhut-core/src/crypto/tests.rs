use proptest::prelude::*;

use super::*;
use crate::world::SystemRandom;

/// Bytes of a hex text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).expect("a hex digit") as u8;
    let bytes = digits.chunks_exact(2);
    assert!(bytes.remainder().is_empty());
    bytes
        .map(|pair| value(pair[0]) << 4 | value(pair[1]))
        .collect()
}

fn key(encrypt: &str, mac_k: &str, mac_r: &str) -> Key {
    Key::from_parts(KeyParts {
        encrypt: unhex(encrypt).try_into().expect("32 bytes"),
        mac_k: unhex(mac_k).try_into().expect("16 bytes"),
        mac_r: unhex(mac_r).try_into().expect("16 bytes"),
    })
    .expect("a valid key")
}

/// The first vector's key of formats: restic 4; the mini repository of 25.1 uses it as master key.
pub(crate) fn vector_key() -> Key {
    key(
        "303e8687b1d7db18421bdc6bb8588ccadac4d59ee87b8ff70c44e635790cafef",
        "ef4d8824cb80b2bcc5fbff8a9b12a42c",
        "cc8d4b948ee0ebfe1d415de921d10353",
    )
}

/// Randomness that fills with zeros but for the last byte: the IVs of formats: restic 25.1.
pub(crate) struct LastByte(pub(crate) u8);

impl Random for LastByte {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(0);
        if let Some(last) = bytes.last_mut() {
            *last = self.0;
        }
        Ok(())
    }
}

#[test]
fn opens_restics_vector() {
    let sealed = unhex(
        "69fb41c62d12def4593bd71757138606338f621aeaeb39da0fe4f99233f8037a54ea63338a813bcf3f75d8c3cc75dddf8750",
    );
    assert_eq!(
        vector_key().open(&sealed).expect("the tag fits"),
        b"Dies ist ein Test!"
    );
    let mut again = Vec::new();
    let iv = sealed[..16].try_into().expect("an IV");
    vector_key().seal_with_iv(&iv, b"Dies ist ein Test!", &mut again);
    assert_eq!(again, sealed);
}

#[test]
fn authenticates_like_poly1305_aes() {
    let tag = |r: &str, k: &str, nonce: &str, message: &str| {
        let key = key(&"11".repeat(32), k, r);
        let iv = unhex(nonce).try_into().expect("16 bytes");
        finish(key.mac(&iv), &unhex(message)).to_vec()
    };
    assert_eq!(
        tag(
            "851fc40c3467ac0be05cc20404f3f700",
            "ec074c835580741701425b623235add6",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f3f6",
        ),
        unhex("f4c633c3044fc145f84f335cb81953de")
    );
    assert_eq!(
        tag(
            "a0f3080000f46400d0c7e9076c834403",
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "",
        ),
        unhex("dd3fab2251f11ac759f0887129cc2ee7")
    );
}

#[test]
fn counts_over_the_whole_block() {
    // An IV of all ones overflows into zero after the first block: 128 bits, not 32 or 64.
    let key = vector_key();
    let mut sealed = Vec::new();
    key.seal_with_iv(&[0xff; 16], &[0; 48], &mut sealed);
    let mut second = aes::Block::from([0; 16]);
    key.0.cipher.encrypt_block(&mut second);
    assert_eq!(sealed[32..48], second[..]);
    let mut first = aes::Block::from([0xff; 16]);
    key.0.cipher.encrypt_block(&mut first);
    assert_eq!(sealed[16..32], first[..]);
}

#[test]
fn refuses_zero_keys_and_zero_ivs() {
    for zeroed in 0..3 {
        let mut parts = vector_key().parts().clone();
        match zeroed {
            0 => parts.encrypt = [0; 32],
            1 => parts.mac_k = [0; 16],
            _ => parts.mac_r = [0; 16],
        }
        assert!(Key::from_parts(parts).is_none());
    }
    let mut out = Vec::new();
    assert!(vector_key().seal(&LastByte(0), b"x", &mut out).is_err());
    assert!(out.is_empty());
    let mut sealed = Vec::new();
    vector_key().seal_with_iv(&[0; 16], b"x", &mut sealed);
    assert!(vector_key().open(&sealed).is_none());
}

#[test]
fn too_short_does_not_open() {
    for length in 0..OVERHEAD {
        assert!(vector_key().open(&vec![1; length]).is_none());
    }
}

#[test]
fn fresh_ivs_and_keys_differ() {
    let key = Key::random(&SystemRandom).expect("randomness");
    let (mut a, mut b) = (Vec::new(), Vec::new());
    key.seal(&SystemRandom, b"same", &mut a).expect("sealed");
    key.seal(&SystemRandom, b"same", &mut b).expect("sealed");
    assert_ne!(a[..16], b[..16]);
    assert_ne!(a[16..20], b[16..20]);
    let other = Key::random(&SystemRandom).expect("randomness");
    assert!(other.open(&a).is_none());
    assert!(key.same_as(&key) && !key.same_as(&other));
}

/// Each of the three parts counts.
#[test]
fn keys_that_differ_in_one_part_are_not_the_same() {
    let parts = || KeyParts {
        encrypt: [1; 32],
        mac_k: [2; 16],
        mac_r: [3; 16],
    };
    let key = |parts| Key::from_parts(parts).expect("a key");
    assert!(key(parts()).same_as(&key(parts())));
    let mut others = [parts(), parts(), parts()];
    others[0].encrypt[31] ^= 1;
    others[1].mac_k[0] ^= 1;
    others[2].mac_r[5] ^= 1;
    for other in others {
        assert!(!key(parts()).same_as(&key(other)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any length around the piece and block sizes comes back, by all three ways of opening.
    #[test]
    fn round_trip(length in prop_oneof![0..100usize, PIECE - 20..PIECE + 20, 0..4 * PIECE], seed: u8) {
        let plain: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let key = vector_key();
        let mut sealed = b"kept".to_vec();
        key.seal(&SystemRandom, &plain, &mut sealed).expect("sealed");
        prop_assert_eq!(&sealed[..4], b"kept");
        prop_assert_eq!(sealed.len(), 4 + length + OVERHEAD);
        let sealed = &mut sealed[4..];
        prop_assert_eq!(key.open(sealed), Some(plain.clone()));
        let mut into = b"old".to_vec();
        prop_assert!(key.open_into(sealed, &mut into));
        prop_assert_eq!(&into, &plain);
        prop_assert_eq!(key.open_in_place(sealed), Some(&mut plain.clone()[..]));
    }

    /// One flipped bit anywhere closes it, and nothing is touched.
    #[test]
    fn any_flipped_bit_is_refused(length in 0..200usize, at: prop::sample::Index, bit in 0..8u8) {
        let key = vector_key();
        let mut sealed = Vec::new();
        key.seal(&SystemRandom, &vec![7; length], &mut sealed).expect("sealed");
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let before = sealed.clone();
        prop_assert!(key.open(&sealed).is_none());
        prop_assert!(key.open_in_place(&mut sealed).is_none());
        prop_assert_eq!(sealed, before);
    }
}
