//! The bodies of the fuzz targets: the fuzzer, and the replay of the kept corpus by an ordinary test, run the
//! same code. Each takes any bytes and panics if a parser does, or if what it accepted is inconsistent.
//! Not part of the program's interface.

pub mod trees;

use crate::age::{Identity, Keyring};
use crate::chunker::{ChunkReader, Chunker, MIN};
use crate::crypto::{Key, KeyParts};
use crate::error::Result;
use crate::id::{BlobKind, Id};
use crate::job::Control;
use crate::keyfile::KeyFile;
use crate::polynomial::Polynomial;
use crate::repo::config::Config;
use crate::world::Random;
use crate::{index, pack};

/// A target: any bytes in, a panic if something is wrong.
pub type Target = fn(&[u8]);

/// All targets by name, which is also that of the corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("age", age_file),
    ("chunker", chunker),
    ("config", config),
    ("index", index_file),
    ("key", key),
    ("pack_header", pack_header),
    ("snapshot", trees::snapshot),
    ("tree", trees::tree),
];

/// Randomness that repeats: findings must too.
struct Fixed;

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(1);
        Ok(())
    }
}

fn fixed_key() -> Key {
    let parts = KeyParts {
        encrypt: [1; 32],
        mac_k: [2; 16],
        mac_r: [3; 16],
    };
    Key::from_parts(parts).expect("no part is zero")
}

/// The end of a pack. The first byte chooses: raw bytes as the pack's end, or a header under an authentic
/// seal, where a fuzzer never gets by itself.
pub fn pack_header(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let key = fixed_key();
    if choice & 1 == 0 {
        let Some((size, tail)) = data.split_first_chunk() else {
            return;
        };
        let size = u64::from_le_bytes(*size).max(tail.len() as u64);
        // Without the key nothing parses; it must only not panic.
        assert!(!matches!(
            pack::parse_header("fuzz", &key, size, tail),
            Ok(Ok(_))
        ));
        return;
    }
    let mut tail = Vec::new();
    key.seal(&Fixed, data, &mut tail)
        .expect("randomness is fixed");
    let length = u32::try_from(tail.len()).expect("inputs are small");
    tail.extend_from_slice(&length.to_le_bytes());
    let blobs = named_bytes(data);
    let size = blobs + tail.len() as u64;
    let Ok(Ok(parsed)) = pack::parse_header("fuzz", &key, size, &tail) else {
        return;
    };
    let mut offset = 0;
    for blob in &parsed {
        assert_eq!(u64::from(blob.offset), offset);
        assert!(blob.length as usize >= crate::crypto::OVERHEAD);
        offset += u64::from(blob.length);
    }
    assert_eq!(offset, blobs);
    let compressed = parsed.iter().map(|blob| blob.uncompressed != 0);
    assert_eq!(pack::header_size(compressed), tail.len() as u64);
    assert_eq!(pack::encode_header(&parsed), data);
    assert!(pack::parse_header("fuzz", &key, size + 1, &tail).is_err());
}

/// Bytes of the blobs that a header names, as far as it can be read: makes its sum fit.
fn named_bytes(mut header: &[u8]) -> u64 {
    let mut sum = 0;
    while header.len() >= 5 {
        sum += u64::from(u32::from_le_bytes([
            header[1], header[2], header[3], header[4],
        ]));
        let size = if header[0] < 2 { 37 } else { 41 };
        header = header.get(size..).unwrap_or_default();
    }
    sum
}

fn fixed_keyring() -> Keyring {
    let identity = Identity::random(&Fixed).expect("randomness is fixed");
    let recipient = identity.recipient();
    Keyring::new(identity, vec![recipient]).expect("it is one of them")
}

/// An age file as it comes, and as the content behind a header that opens; and what we seal ourselves.
pub fn age_file(data: &[u8]) {
    let keyring = fixed_keyring();
    let _ = keyring.open(data, "fuzz");
    let mut behind = keyring.seal(&[], &Fixed).expect("randomness is fixed");
    behind.truncate(behind.len() - 16);
    behind.extend_from_slice(data);
    let _ = keyring.open(&behind, "fuzz");
    let sealed = keyring.seal(data, &Fixed).expect("randomness is fixed");
    let opened = keyring
        .open(&sealed, "fuzz")
        .expect("we read what we write");
    assert_eq!(opened, data);
}

/// A key file, and the master key inside one.
pub fn key(data: &[u8]) {
    if let Ok(file) = KeyFile::parse("fuzz", data) {
        let params = file.params();
        let work = u128::from(params.n) * u128::from(params.r) * u128::from(params.p);
        assert!(params.n.is_power_of_two() && work <= 1 << 26);
        if work <= 1024 {
            let _ = file.open(b"obhut", &Control::default());
        }
    }
    if let Some(master) = crate::keyfile::parse_master(data) {
        let json = crate::keyfile::master_json(&master);
        let again = crate::keyfile::parse_master(&json).expect("we read what we write");
        assert!(again.same_as(&master));
    }
}

/// A config's plaintext.
pub fn config(data: &[u8]) {
    if let Ok(config) = Config::parse(data) {
        assert!(Id::parse(config.id.as_bytes()).is_some());
        assert!(config.polynomial.is_irreducible());
        // The tables can be built.
        let _ = Chunker::new(config.polynomial);
        let again = Config::parse(&config.encode()).expect("we read what we write");
        assert_eq!(
            (again.version, again.id, again.polynomial),
            (config.version, config.id, config.polynomial)
        );
    }
}

/// An index file's plaintext.
pub fn index_file(data: &[u8]) {
    let Ok(file) = index::file::parse("fuzz", data) else {
        return;
    };
    let blobs = || file.packs.iter().flat_map(|(_, blobs)| blobs);
    assert!(blobs().all(|blob| blob.offset.checked_add(blob.length).is_some()));
    let raw = blobs().all(|blob| blob.uncompressed == 0);
    assert_eq!(index::file::check_version("fuzz", 1, &file).is_ok(), raw);
    let encoded = index::file::encode(&file.packs);
    let again = index::file::parse("fuzz", &encoded).expect("we read what we write");
    assert_eq!(again.packs, file.packs);
}

/// A stream that the input describes in steps of four bytes (what, where in two, with what), chunked by the
/// lanes, by the definition, and through a reader with short reads: all must agree.
pub fn chunker(data: &[u8]) {
    const SPAN: usize = 160 << 10;
    let Some((&[fill, length, piece], steps)) = data.split_first_chunk() else {
        return;
    };
    let chunker = std::sync::Arc::new(Chunker::new(Polynomial(0x3D_A335_8B4D_C173)));
    let mut stream = vec![fill; MIN - 100 + usize::from(length) * SPAN / 256];
    for step in steps.chunks_exact(4).take(64) {
        let place = usize::from(u16::from_le_bytes([step[1], step[2]])) * SPAN / 65_536;
        let start = (MIN - 164 + place).min(stream.len());
        apply(step[0], step[3], &mut stream[start..]);
    }
    let expected = chunker.cut_serially(&stream);
    assert_eq!(chunker.cut(&stream), expected);
    let half = stream.len() - usize::from(piece).min(stream.len());
    let found = chunker.search(&stream[..half], 0);
    let found = found.or_else(|| chunker.search(&stream, half + 1));
    assert_eq!(found.unwrap_or(stream.len()), expected);
    let mut reader = ChunkReader::new(chunker);
    let mut source = Short(&stream, 1000 + usize::from(piece) * 300);
    let chunk = reader
        .next_chunk(&mut source)
        .expect("memory does not fail");
    assert_eq!(chunk, Some(&stream[..expected]));
}

/// One step: plants the end of a chunk, noise, or a run of one byte.
fn apply(what: u8, with: u8, stream: &mut [u8]) {
    let size = match what % 3 {
        0 => 64,
        1 => usize::from(with) * 16,
        _ => usize::from(what) * 64,
    };
    let Some(place) = stream.get_mut(..size) else {
        return;
    };
    match what % 3 {
        0 => {
            place[..32].copy_from_slice(&Id::of(&31_747_u64.to_le_bytes()).0);
            place[32..].copy_from_slice(&Id::of(&31_748_u64.to_le_bytes()).0);
        }
        1 => {
            for (n, block) in place.chunks_mut(32).enumerate() {
                block.copy_from_slice(&Id::of(&[what, n as u8]).0[..block.len()]);
            }
        }
        _ => place.fill(with),
    }
}

/// A source that gives few bytes a read.
struct Short<'a>(&'a [u8], usize);

impl std::io::Read for Short<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(out.len());
        self.0.read(&mut out[..length])
    }
}

/// The seeds of the corpus that are made rather than written: `(target, name, bytes)`.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let entry = |kind: BlobKind, uncompressed| pack::PackedBlob {
        kind,
        id: Id([7; 32]),
        offset: 0,
        length: 54,
        uncompressed,
    };
    let blobs = [
        entry(BlobKind::Data, 13),
        entry(BlobKind::Tree, 0),
        entry(BlobKind::Tree, 99),
    ];
    let header = [&[1][..], &pack::encode_header(&blobs)].concat();
    let master = crate::keyfile::master_json(&fixed_key()).to_vec();
    let params = crate::keyfile::ScryptParams { n: 2, r: 8, p: 1 };
    let file = KeyFile::create(
        &fixed_key(),
        b"obhut",
        params,
        &crate::repo::Identity {
            username: "u".to_owned(),
            hostname: "h".to_owned(),
        },
        crate::world::Timestamp::default(),
        &Fixed,
        &Control::default(),
    );
    let index = index::file::encode(&[(Id([1; 32]), blobs.to_vec()), (Id([2; 32]), Vec::new())]);
    vec![
        (
            "age",
            "sealed",
            fixed_keyring()
                .seal(b"content", &Fixed)
                .expect("randomness is fixed"),
        ),
        ("pack_header", "sealed", header),
        ("key", "master", master),
        ("key", "cheap", file.expect("randomness is fixed")),
        ("index", "two-packs", index),
    ]
}
