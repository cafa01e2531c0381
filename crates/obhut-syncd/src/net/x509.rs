//! The common name in a certificate. Nothing that TLS needs reads it (it looks at other names only), and all other of a
//! certificate is nobody's business here: so the few bytes on the way to it are walked by hand.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
/// The version of a certificate: [0].
const VERSION: u8 = 0xa0;
/// 2.5.4.3
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The first common name of the subject of a certificate (DER), as it stands there.
pub(super) fn common_name(certificate: &[u8]) -> Option<&[u8]> {
    let (mut certificate, _) = inside(certificate, SEQUENCE)?;
    (certificate, _) = inside(certificate, SEQUENCE)?;
    let mut rest = certificate;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (mut names, _) = inside(rest, SEQUENCE)?;
    while !names.is_empty() {
        let (mut set, after) = inside(names, SET)?;
        while !set.is_empty() {
            let (pair, next) = inside(set, SEQUENCE)?;
            let (object, value) = inside(pair, OBJECT)?;
            if object == COMMON_NAME {
                return Some(element(value)?.1);
            }
            set = next;
        }
        names = after;
    }
    None
}

/// The content of an element of that kind, and what comes after it.
fn inside(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == kind).then_some((content, rest))
}

/// Kind and content of the first element, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        // Nothing in a certificate is that long.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}
