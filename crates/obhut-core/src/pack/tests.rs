use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::blob::{Compression, Encoding};
use crate::crypto::tests::{LastByte, unhex, vector_key};
use crate::world::{Random, SystemRandom};

/// The mini repository's pack (formats: restic 25.1).
const PACK: &str = "00000000000000000000000000000001826d9fd2a8bdaa3fa8bbcafa78784f4c09b634c4837a05947600cc5adce38207\
    fbfca79f0311000000000000000000000000000000026ef340ade07d8817edf346c69072edd00089d96fd92c859598b0ac8bc231eeac\
    4dcc21fd4638817ed57c12bea6af656ccce3c027715c1dd94249000000";
const PACK_ID: &str = "d90aaf0ca8f8a741d31e193b56e9e8d11ae066bfbb20277a5315e90b907861c3";
const BLOB_ID: &str = "fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f";

fn mini_blob() -> PackedBlob {
    PackedBlob {
        kind: BlobKind::Data,
        id: Id::parse(BLOB_ID.as_bytes()).expect("an id"),
        offset: 0,
        length: 54,
        uncompressed: 13,
    }
}

fn parse(size: u64, tail: &[u8]) -> Result<std::result::Result<Vec<PackedBlob>, usize>> {
    parse_header("pack x", &vector_key(), size, tail)
}

/// The whole pack of these header bytes, behind `blobs` zero bytes.
fn pack_of(header: &[u8], blobs: usize) -> Vec<u8> {
    let mut pack = vec![0; blobs];
    vector_key()
        .seal(&SystemRandom, header, &mut pack)
        .expect("sealed");
    let length = (pack.len() - blobs) as u32;
    pack.extend_from_slice(&length.to_le_bytes());
    pack
}

fn sealed_blob(kind: BlobKind, id: Id, bytes: &[u8], uncompressed: u32) -> SealedBlob<'_> {
    SealedBlob {
        kind,
        id,
        bytes,
        uncompressed,
        proved: false,
    }
}

fn codec(random: impl Random + 'static, verify: bool) -> Codec {
    let encoding = Encoding {
        version: 2,
        compression: Compression::Auto,
        verify,
    };
    Codec::new(Arc::new(vector_key()), Arc::new(random), encoding)
}

fn detail(pack: &[u8]) -> String {
    let error = parse(pack.len() as u64, pack).expect_err("damaged");
    assert_eq!((error.code(), error.object()), (Code::Damaged, "pack x"));
    error.detail().to_owned()
}

#[test]
fn reads_the_mini_repositorys_pack() {
    let pack = unhex(PACK);
    assert_eq!(pack.len(), 131);
    assert_eq!(parse(131, &pack).expect("read"), Ok(vec![mini_blob()]));
    assert_eq!(
        parse(131, &pack[54..]).expect("read"),
        Ok(vec![mini_blob()])
    );
    assert_eq!(parse(131, &pack[55..]).expect("no error"), Err(77));
    assert_eq!(parse(131, &pack[129..]).expect("no error"), Err(131));
    assert_eq!(parse(131, &[]).expect("no error"), Err(131));
}

#[test]
fn builds_the_mini_repositorys_pack() {
    let pack = unhex(PACK);
    let mut builder = PackBuilder::default();
    builder.add(&sealed_blob(
        BlobKind::Data,
        mini_blob().id,
        &pack[..54],
        13,
    ));
    assert_eq!(
        (builder.size(), builder.count(), builder.is_full()),
        (131, 1, false)
    );
    let finished = builder
        .finish(&mut codec(LastByte(2), true))
        .expect("finished");
    assert_eq!(finished.bytes, pack);
    assert_eq!(finished.id.hex(), PACK_ID);
    assert_eq!(finished.id, Id::of(&finished.bytes));
    assert_eq!(finished.blobs, [mini_blob()]);
}

#[test]
fn damaged_packs_are_named() {
    let pack = unhex(PACK);
    let error = parse(72, &pack[..72]).expect_err("too short");
    assert_eq!(error.code(), Code::Damaged);
    assert!(detail(&pack[..72]).contains("too short for a pack"));
    assert!(!detail(&pack[..73]).contains("for a pack"));
    for (length, about) in [
        (0u32, "too short"),
        (31, "too short"),
        (128, "too long"),
        (16 << 20 | 1, "too long"),
    ] {
        let mut wrong = pack.clone();
        wrong[127..].copy_from_slice(&length.to_le_bytes());
        assert!(detail(&wrong).contains(about), "{length}");
    }
    let mut flipped = pack.clone();
    flipped[80] ^= 1;
    assert!(detail(&flipped).contains("not authentic"));
    // A byte more in front: the sum does not fit.
    assert!(detail(&[&[0], &pack[..]].concat()).contains("more or fewer"));
}

/// The longest header that is read, and one byte more; one that fills its file, and one byte more.
#[test]
fn a_header_too_long_is_not_asked_for() {
    let claims = |length: u32, file: u64| parse(file, &length.to_le_bytes());
    let limit = 16 << 20;
    assert_eq!(claims(limit, 1 << 30), Ok(Err((16 << 20) + 4)));
    assert_eq!(claims(200, 204), Ok(Err(204)));
    for (length, file) in [(limit + 1, 1 << 30), (201, 204)] {
        let error = claims(length, file).expect_err("too long");
        assert!(error.detail().contains("too long"), "{error}");
    }
}

#[test]
fn authentic_nonsense_is_refused() {
    let entry = |kind: u8, length: u32, more: &[u8]| {
        [&[kind][..], &length.to_le_bytes(), more, &[7; 32]].concat()
    };
    assert!(parse(0, &[]).is_err());
    assert!(detail(&pack_of(&entry(4, 40, &[]), 40)).contains("unknown type"));
    assert!(detail(&pack_of(&entry(0, 31, &[]), 31)).contains("too short"));
    assert!(detail(&pack_of(&entry(2, 40, &[0; 4]), 40)).contains("empty compressed"));
    assert!(detail(&pack_of(&[&entry(0, 40, &[])[..], &[0]].concat(), 40)).contains("cut off"));
    assert!(detail(&pack_of(&entry(0, 40, &[])[..36], 45)).contains("cut off"));
    assert!(
        detail(&pack_of(
            &[entry(0, u32::MAX, &[]), entry(0, 40, &[])].concat(),
            40
        ))
        .contains("4 GiB")
    );
    // No entries at all, and bytes that nobody names.
    assert!(detail(&pack_of(&[], 40)).contains("more or fewer"));
}

#[test]
fn a_full_header_is_readable() {
    let blob = PackedBlob {
        length: 32,
        ..mini_blob()
    };
    let header = encode_header(&vec![blob; MAX_ENTRIES]);
    let pack = pack_of(&header, 32 * MAX_ENTRIES);
    assert_eq!(
        header_size((0..MAX_ENTRIES).map(|_| true)),
        (header.len() + 36) as u64
    );
    assert!(header.len() + OVERHEAD <= MAX_HEADER);
    let parsed = parse(pack.len() as u64, &pack)
        .expect("read")
        .expect("whole");
    assert_eq!(parsed.len(), MAX_ENTRIES);
    let builder = PackBuilder {
        blobs: parsed,
        ..PackBuilder::default()
    };
    assert!(builder.is_full());
}

#[test]
fn an_empty_pack_is_a_defect() {
    let error = PackBuilder::default()
        .finish(&mut codec(SystemRandom, true))
        .expect_err("refused");
    assert_eq!(error.code(), Code::Internal);
}

/// A flipped bit at any place of a blob, and a wrong name, are found before anything is stored; what was proved
/// before is not looked at again, and neither is anything if verifying is off.
#[test]
fn a_wrong_blob_is_never_stored() {
    let plain = b"content of a blob".repeat(500);
    let id = Id::of(&plain);
    for kind in [BlobKind::Data, BlobKind::Tree] {
        let sealed = codec(SystemRandom, true).seal(kind, &id, &plain);
        let sealed = sealed.expect("sealed");
        let finish = |id: Id, bytes: &[u8], verify: bool, proved: bool| {
            let mut builder = PackBuilder::default();
            builder.add(&sealed_blob(kind, mini_blob().id, &unhex(PACK)[..54], 13));
            builder.add(&SealedBlob {
                proved,
                ..sealed_blob(kind, id, bytes, sealed.uncompressed)
            });
            builder.finish(&mut codec(SystemRandom, verify))
        };
        finish(id, &sealed.bytes, true, false).expect("right");
        for at in 0..sealed.bytes.len() {
            let mut wrong = sealed.bytes.clone();
            wrong[at] ^= 1 << (at % 8);
            let error = finish(id, &wrong, true, false).expect_err("refused");
            assert_eq!(error.code(), Code::VerifyFailed);
            assert_eq!(error.object(), format!("blob {id}"));
        }
        let other = Id::of(b"other");
        let error = finish(other, &sealed.bytes, true, false).expect_err("refused");
        assert_eq!(error.code(), Code::VerifyFailed);
        finish(other, &sealed.bytes, false, false).expect("not looked at");
        finish(other, &sealed.bytes, true, true).expect("not looked at");
    }
}

/// What an enormous blob needed is given back.
#[test]
fn a_buffer_far_too_large_is_not_used_again() {
    let usual = PackBuilder::in_buffer(Vec::with_capacity(20 << 20), 16 << 20);
    assert!(usual.bytes.capacity() >= 20 << 20);
    let far = PackBuilder::in_buffer(Vec::with_capacity(200 << 20), 16 << 20);
    assert!(far.bytes.capacity() < 200 << 20);
    assert!(usual.bytes.is_empty() && far.bytes.is_empty());
}

fn blobs() -> impl Strategy<Value = Vec<(bool, [u8; 32], u8, u32)>> {
    proptest::collection::vec(
        (
            any::<bool>(),
            any::<[u8; 32]>(),
            any::<u8>(),
            prop_oneof![Just(0), any::<u32>()],
        ),
        1..40,
    )
}

fn builder_of(blobs: &[(bool, [u8; 32], u8, u32)]) -> PackBuilder {
    let mut builder = PackBuilder::default();
    for (tree, id, length, uncompressed) in blobs {
        let kind = if *tree {
            BlobKind::Tree
        } else {
            BlobKind::Data
        };
        let sealed = vec![id[0]; OVERHEAD + usize::from(*length)];
        builder.add(&SealedBlob {
            proved: true,
            ..sealed_blob(kind, Id(*id), &sealed, *uncompressed)
        });
    }
    builder
}

/// formats: restic 7. 41 bytes an entry of a compressed blob, 32 of overhead, 4 of the length field.
#[test]
fn limits_are_those_of_the_format() {
    assert_eq!(USUAL_TAIL, 15 * 41 + 36);
    assert_eq!(MAX_ENTRIES, ((16 << 20) - 32) / 41);
    assert_eq!(MAX_BYTES, 0x8000_0000, "half of what an offset can say");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What was added is read again, also by the way of the first read; sizes were right before.
    #[test]
    fn round_trip(first in blobs(), second in blobs()) {
        let mut builder = builder_of(&first);
        builder.absorb(builder_of(&second));
        let size = builder.size();
        let entries = first.iter().chain(&second).map(|blob| blob.3 != 0);
        let packed: usize = first.iter().chain(&second).map(|blob| OVERHEAD + usize::from(blob.2)).sum();
        prop_assert_eq!(size as u64, packed as u64 + header_size(entries));
        let pack = builder.finish(&mut codec(SystemRandom, true)).expect("finished");
        prop_assert_eq!(pack.bytes.len(), size);
        prop_assert_eq!(pack.id, Id::of(&pack.bytes));
        let file = size as u64;
        let mut tail = USUAL_TAIL.min(size);
        let parsed = loop {
            match parse(file, &pack.bytes[size - tail..]).expect("read") {
                Ok(parsed) => break parsed,
                Err(needed) => {
                    prop_assert!(needed > tail && needed <= size);
                    tail = needed;
                }
            }
        };
        prop_assert_eq!(&parsed, &pack.blobs);
        for (blob, (tree, id, length, uncompressed)) in parsed.iter().zip(first.iter().chain(&second)) {
            prop_assert_eq!(blob.kind == BlobKind::Tree, *tree);
            prop_assert_eq!(blob.id, Id(*id));
            prop_assert_eq!(blob.length as usize, OVERHEAD + usize::from(*length));
            prop_assert_eq!(blob.uncompressed, *uncompressed);
            prop_assert_eq!(pack.bytes[blob.offset as usize], id[0]);
        }
    }

    /// Whatever lies under an authentic seal, it is refused or consistent.
    #[test]
    fn any_header_is_refused_or_consistent(header in proptest::collection::vec(0..4u8, 0..90), blobs in 0..2000usize) {
        let pack = pack_of(&header, blobs);
        if let Ok(Ok(parsed)) = parse(pack.len() as u64, &pack) {
            prop_assert_eq!(parsed.iter().map(|blob| blob.length as usize).sum::<usize>(), blobs);
        }
    }
}
