//! Vectors, round trips and damage of pack files.

use proptest::prelude::*;

use super::*;
use crate::world::SystemRandom;

fn sealed(length: usize, uncompressed: u32) -> Sealed {
    Sealed {
        bytes: vec![7; length + OVERHEAD],
        uncompressed,
    }
}

fn key() -> Key {
    Key::random(&SystemRandom).unwrap()
}

type Spec = Vec<(bool, [u8; 32], usize, u32)>;

fn build(spec: &Spec) -> PackBuilder {
    let mut pack = PackBuilder::default();
    for (tree, id, length, uncompressed) in spec {
        let kind = if *tree {
            BlobKind::Tree
        } else {
            BlobKind::Data
        };
        pack.add(kind, Id(*id), &sealed(*length, *uncompressed));
    }
    pack
}

fn specs() -> impl Strategy<Value = Spec> {
    prop::collection::vec(
        (any::<bool>(), any::<[u8; 32]>(), 0..300usize, any::<u32>()),
        1..30,
    )
}

proptest! {
    #[test]
    fn a_header_reads_back_from_any_long_enough_tail(a in specs(), b in specs(), cut in 0..400usize) {
        let key = key();
        let mut pack = build(&a);
        pack.absorb(build(&b));
        let size = pack.size();
        let pack = pack.finish(&key, &SystemRandom).unwrap();
        prop_assert_eq!(pack.bytes.len(), size);
        let compressed = pack.blobs.iter().map(|blob| blob.uncompressed != 0);
        let blobs: u64 = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        prop_assert_eq!(header_size(compressed) + blobs, size as u64);
        let tail = &pack.bytes[pack.bytes.len().saturating_sub(cut)..];
        match parse_header("p", &key, size as u64, tail).unwrap() {
            Ok(blobs) => prop_assert_eq!(&blobs, &pack.blobs),
            Err(needed) => {
                prop_assert!(needed > tail.len());
                let tail = &pack.bytes[size - needed..];
                match parse_header("p", &key, size as u64, tail).unwrap() {
                    Ok(blobs) => prop_assert_eq!(&blobs, &pack.blobs),
                    Err(more) => prop_assert!(more > needed),
                }
            }
        }
        for (a, b) in pack.blobs.iter().zip(&pack.blobs[1..]) {
            prop_assert_eq!(a.offset + a.length, b.offset);
        }
    }

    #[test]
    fn any_flipped_bit_of_the_header_is_found(spec in specs(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let key = key();
        let mut pack = build(&spec).finish(&key, &SystemRandom).unwrap();
        let header = header_size(pack.blobs.iter().map(|blob| blob.uncompressed != 0)) as usize;
        let size = pack.bytes.len();
        let at = size - header + at.index(header);
        pack.bytes[at] ^= 1 << bit;
        match parse_header("p", &key, size as u64, &pack.bytes) {
            Err(e) => prop_assert_eq!(e.code(), Code::Damaged),
            Ok(answer) => prop_assert!(answer.is_err(), "asks for more than there is"),
        }
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_allocated() {
    let key = key();
    for (size, tail) in [
        (0u64, &b""[..]),
        (72, &[0; 72]),
        (1 << 40, &[0; 100]),
        (1000, &u32::MAX.to_le_bytes()),
        (1000, &997u32.to_le_bytes()),
        (1 << 30, &(MAX_HEADER as u32 + 5).to_le_bytes()),
        (1000, &10u32.to_le_bytes()),
    ] {
        assert_eq!(
            parse_header("p", &key, size, tail).unwrap_err().code(),
            Code::Damaged,
            "{size}"
        );
    }
}

#[test]
fn unknown_types_and_cut_entries_are_refused() {
    let entry = |kind: u8, length: u32| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0; 36]);
        bytes
    };
    assert!(parse_entries(&entry(2, 40)).is_some());
    assert!(parse_entries(&entry(0, 40)[..37]).is_some());
    assert!(parse_entries(&entry(4, 40)).is_none());
    assert!(parse_entries(&entry(2, 31)).is_none());
    assert!(parse_entries(&entry(2, 40)[..40]).is_none());
    let long = [entry(3, u32::MAX), entry(3, u32::MAX)].concat();
    assert!(parse_entries(&long).is_none());
}
