//! Device ids: the SHA-256 of a certificate, and how people write it (formats: bep 2).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters before each check character.
const GROUP: usize = 13;
/// Characters of a text without check characters, and with them.
const BARE: usize = 52;
const CHECKED: usize = 56;

/// Who a device is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceId(pub [u8; 32]);

/// The first eight bytes of an id: whose a counter of a version is. 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShortId(pub u64);

impl DeviceId {
    /// Of a certificate (DER).
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The short form.
    pub fn short(&self) -> ShortId {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        ShortId(u64::from_be_bytes(first))
    }

    /// From a text as people write it: with or without check characters, hyphens, blanks; in any case; `0`, `1` and `8` for
    /// the letters that they are mistaken for. Nothing at all is the id of nobody.
    pub fn parse(text: &str) -> Result<Self> {
        let mut found: Vec<u8> = Vec::with_capacity(CHECKED);
        for character in text.trim_end_matches('=').chars() {
            let letter = match character.to_ascii_uppercase() {
                '-' | ' ' => continue,
                '0' => b'O',
                '1' => b'I',
                '8' => b'B',
                other => u8::try_from(other).map_err(|_| Error::Text("a device id"))?,
            };
            if found.len() == CHECKED {
                return Err(Error::Text("a device id"));
            }
            found.push(letter);
        }
        match found.len() {
            0 => Ok(Self::default()),
            BARE => Ok(Self(from_base32(&found)?)),
            CHECKED => {
                let mut bare = Vec::with_capacity(BARE);
                for group in found.chunks(GROUP + 1) {
                    if check_letter(&group[..GROUP])? != group[GROUP] {
                        return Err(Error::Text("a device id: a letter of it is wrong"));
                    }
                    bare.extend_from_slice(&group[..GROUP]);
                }
                Ok(Self(from_base32(&bare)?))
            }
            _ => Err(Error::Text("a device id")),
        }
    }
}

impl fmt::Display for DeviceId {
    /// Eight groups of seven, check characters among them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Vec::with_capacity(CHECKED);
        for group in base32(&self.0).chunks(GROUP) {
            letters.extend_from_slice(group);
            letters.push(check_letter(group).map_err(|_| fmt::Error)?);
        }
        for (number, group) in letters.chunks(7).enumerate() {
            let hyphen = if number == 0 { "" } else { "-" };
            write!(formatter, "{hyphen}{}", String::from_utf8_lossy(group))?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.short(), formatter)
    }
}

impl fmt::Display for ShortId {
    /// Seven letters: those that the whole id begins with.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}",
            String::from_utf8_lossy(&base32(&self.0.to_be_bytes())[..7])
        )
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The check character of some letters. Not the textbook Luhn: from left to right, and the first weight is 1.
fn check_letter(letters: &[u8]) -> Result<u8> {
    let mut sum = 0;
    for (at, letter) in letters.iter().enumerate() {
        let product = value_of(*letter)? * if at % 2 == 0 { 1 } else { 2 };
        sum += product / 32 + product % 32;
    }
    Ok(ALPHABET[(32 - sum % 32) % 32])
}

fn value_of(letter: u8) -> Result<usize> {
    ALPHABET
        .iter()
        .position(|&known| known == letter)
        .ok_or(Error::Text("a device id"))
}

fn base32(bytes: &[u8]) -> Vec<u8> {
    let mut letters = Vec::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in bytes {
        bits = (bits << 8 | u32::from(byte)) & 0xfff;
        count += 8;
        while count >= 5 {
            count -= 5;
            letters.push(ALPHABET[(bits >> count & 31) as usize]);
        }
    }
    if count > 0 {
        letters.push(ALPHABET[(bits << (5 - count) & 31) as usize]);
    }
    letters
}

fn from_base32(letters: &[u8]) -> Result<[u8; 32]> {
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut count) = (0_u32, 0);
    for &letter in letters {
        bits = (bits << 5 | value_of(letter)? as u32) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    // 52 letters are 260 bits; the last four say nothing.
    bytes.try_into().map_err(|_| Error::Text("a device id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> [u8; 32] {
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn the_vectors_of_the_formats_page() {
        assert_eq!(check_letter(b"AB725E4GHIQPL3ZFGT").unwrap(), b'G');
        let counted: Vec<u8> = (0..32).collect();
        let cases = [
            (
                counted.try_into().unwrap(),
                "AAAQEAY-EAUDAOB-CAJBIFQ-YDIOB4B-IBCEQTC-QKRMFYX-YDENBWH-A5DYPQG",
            ),
            (
                hex("7f7c8723ecca5b4d22061c4981b34c34d865ec376be1eb74330873c9a6f9b205"),
                "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2",
            ),
            (
                [0xff; 32],
                "7777777-777777N-7777777-777777N-7777777-777777N-7777777-77777Q4",
            ),
        ];
        for (bytes, text) in cases {
            assert_eq!(DeviceId(bytes).to_string(), text);
            assert_eq!(DeviceId::parse(text).unwrap(), DeviceId(bytes));
        }
        let id = DeviceId::of_certificate(b"obhut test certificate");
        assert_eq!(
            id.to_string(),
            "EPKKLP6-PIJELXQ-I5BYT43-W7U7JRN-QCTKJYG-DJUACGD-PMLDJFW-6KQE4A2"
        );
        assert_eq!(
            DeviceId(hex(
                "7f7c8723ecca5b4d22061c4981b34c34d865ec376be1eb74330873c9a6f9b205"
            ))
            .short()
            .0,
            0x7f7c_8723_ecca_5b4d
        );
        assert_eq!(id.short().to_string(), "EPKKLP6");
    }

    #[test]
    fn how_people_write_them() {
        let id = DeviceId([0xff; 32]);
        let text = id.to_string();
        for written in [
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!("{text}=="),
        ] {
            assert_eq!(DeviceId::parse(&written).unwrap(), id, "{written}");
        }
        let with_letters = DeviceId([0x74; 32]).to_string();
        let mistaken = with_letters
            .replace('O', "0")
            .replace('I', "1")
            .replace('B', "8");
        assert_eq!(DeviceId::parse(&mistaken).unwrap(), DeviceId([0x74; 32]));
        assert_eq!(DeviceId::parse("").unwrap(), DeviceId::default());
        for wrong in [
            "A",
            "ä",
            "7777777-777777N-7777777-777777N-7777777-777777N-7777777-77777Q5",
            &"7".repeat(57),
            "9999999",
        ] {
            assert!(DeviceId::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back_and_no_letter_can_be_wrong(bytes: [u8; 32], at in 0_usize..63, other in 0_usize..32) {
            let text = DeviceId(bytes).to_string();
            prop_assert_eq!(DeviceId::parse(&text).unwrap(), DeviceId(bytes));
            prop_assert!(text.starts_with(&DeviceId(bytes).short().to_string()));
            let mut wrong = text.clone().into_bytes();
            if wrong[at] != b'-' && wrong[at] != ALPHABET[other] {
                wrong[at] = ALPHABET[other];
                prop_assert!(DeviceId::parse(std::str::from_utf8(&wrong).unwrap()).is_err());
            }
        }
    }
}
