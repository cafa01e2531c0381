//! Index files: JSON to entries and back (formats: restic 8, 24).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::error::{Error, Result};
use crate::id::{BlobKind, Id};
use crate::pack::PackedBlob;

/// An index file is closed once it names this many blobs (restic's own limit).
pub const FULL: usize = 50_000;

/// The packs of an index file with their blobs.
pub type Packs = Vec<(Id, Vec<PackedBlob>)>;

/// What an index file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFile {
    /// Packs and their blobs, in the file's order.
    pub packs: Packs,
    /// rustic: packs that are still there but must not be referred to any more.
    pub packs_to_delete: Packs,
}

// Every optional value may also be `null`: Go reads and writes it for an empty one, rustic writes it for the
// missing `uncompressed_length` of a raw blob.
#[derive(Deserialize)]
struct FileJson<'a> {
    #[serde(borrow)]
    packs: Option<Vec<PackJson<'a>>>,
    #[serde(borrow)]
    packs_to_delete: Option<Vec<PackJson<'a>>>,
}

#[derive(Deserialize)]
struct PackJson<'a> {
    id: HexId,
    #[serde(borrow)]
    blobs: Option<Vec<BlobJson<'a>>>,
}

#[derive(Deserialize)]
struct BlobJson<'a> {
    id: HexId,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    offset: u32,
    length: u32,
    uncompressed_length: Option<u32>,
}

struct HexId(Id);

impl<'de> Deserialize<'de> for HexId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl Visitor<'_> for Hex {
            type Value = HexId;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("64 lower-case hex digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HexId, E> {
                Id::parse(text.as_bytes())
                    .map(HexId)
                    .ok_or_else(|| E::custom("not an id"))
            }
        }
        deserializer.deserialize_str(Hex)
    }
}

/// Parses an index file's plaintext; `object` names it in errors. In a repository of version 1 nothing may
/// be compressed, which the caller checks ([`check_version`]).
pub fn parse(object: &str, json: &[u8]) -> Result<IndexFile> {
    // serde would read a top-level array (the obsolete format before 2015) as a struct without fields.
    if json.first() != Some(&b'{') {
        return Err(Error::damaged(object, "not a JSON object"));
    }
    let file: FileJson<'_> =
        serde_json::from_slice(json).map_err(|e| Error::damaged(object, e.to_string()))?;
    Ok(IndexFile {
        packs: convert(object, file.packs.unwrap_or_default())?,
        packs_to_delete: convert(object, file.packs_to_delete.unwrap_or_default())?,
    })
}

fn convert(object: &str, packs: Vec<PackJson<'_>>) -> Result<Packs> {
    packs
        .into_iter()
        .map(|pack| {
            let blobs = pack.blobs.unwrap_or_default().into_iter().map(|blob| {
                let kind = match &*blob.kind {
                    "data" => BlobKind::Data,
                    "tree" => BlobKind::Tree,
                    other => {
                        return Err(Error::damaged(object, format!("blob type {other:?}")));
                    }
                };
                let fits = blob.length >= crate::crypto::OVERHEAD as u32
                    && blob.offset.checked_add(blob.length).is_some();
                if !fits {
                    let text = format!("blob {} has an impossible place in its pack", blob.id.0);
                    return Err(Error::damaged(object, text));
                }
                Ok(PackedBlob {
                    kind,
                    id: blob.id.0,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed: blob.uncompressed_length.unwrap_or(0),
                })
            });
            Ok((pack.id.0, blobs.collect::<Result<_>>()?))
        })
        .collect()
}

/// Refuses compressed entries in a repository of version 1 (formats: restic 6, 8).
pub fn check_version(object: &str, version: u32, file: &IndexFile) -> Result<()> {
    let compressed = file
        .packs
        .iter()
        .flat_map(|(_, blobs)| blobs)
        .any(|blob| blob.uncompressed != 0);
    if version < 2 && compressed {
        return Err(Error::damaged(
            object,
            "compressed blobs in a repository of version 1",
        ));
    }
    Ok(())
}

/// The exact plaintext of an index file: restic's key order, one final newline.
pub fn encode(packs: &[(Id, Vec<PackedBlob>)]) -> Vec<u8> {
    let blobs: usize = packs.iter().map(|(_, blobs)| blobs.len()).sum();
    let mut out = Vec::with_capacity(blobs * 160 + packs.len() * 96 + 16);
    out.extend_from_slice(b"{\"packs\":[");
    for (n, (pack, blobs)) in packs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"id\":\"");
        pack.write_hex(&mut out);
        out.extend_from_slice(b"\",\"blobs\":[");
        for (n, blob) in blobs.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            encode_blob(blob, &mut out);
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}\n");
    out
}

fn encode_blob(blob: &PackedBlob, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.extend_from_slice(b"{\"id\":\"");
    blob.id.write_hex(out);
    let kind = blob.kind.as_str();
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "\",\"type\":\"{kind}\",\"offset\":{},\"length\":{}",
        blob.offset, blob.length
    );
    if blob.uncompressed != 0 {
        let _ = write!(out, ",\"uncompressed_length\":{}", blob.uncompressed);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use proptest::prelude::*;

    pub(crate) fn blobs() -> impl Strategy<Value = Packs> {
        let blob = (
            any::<bool>(),
            any::<[u8; 32]>(),
            0..1u32 << 30,
            32..1u32 << 24,
            any::<u32>(),
        );
        let blob = blob.prop_map(|(tree, id, offset, length, uncompressed)| PackedBlob {
            kind: if tree { BlobKind::Tree } else { BlobKind::Data },
            id: Id(id),
            offset,
            length,
            uncompressed,
        });
        let pack = (
            any::<[u8; 32]>().prop_map(Id),
            prop::collection::vec(blob, 0..6),
        );
        prop::collection::vec(pack, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses_back(packs in blobs()) {
            let file = parse("index x", &encode(&packs)).unwrap();
            prop_assert_eq!(file.packs, packs);
            prop_assert!(file.packs_to_delete.is_empty());
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse("index x", &bytes);
        }
    }

    #[test]
    fn the_mini_repository_index_is_byte_exact() {
        // formats: restic 25.1
        let pack = Id::parse(b"d90aaf0ca8f8a741d31e193b56e9e8d11ae066bfbb20277a5315e90b907861c3");
        let blob = Id::parse(b"fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f");
        let blob = PackedBlob {
            kind: BlobKind::Data,
            id: blob.unwrap(),
            offset: 0,
            length: 54,
            uncompressed: 13,
        };
        let json = encode(&[(pack.unwrap(), vec![blob])]);
        assert_eq!(json.len(), 232);
        assert!(json.ends_with(b"\"uncompressed_length\":13}]}]}\n"));
    }

    #[test]
    fn foreign_keys_are_ignored_and_marked_packs_kept_apart() {
        let id = "ab".repeat(32);
        let json = format!(
            r#"{{"supersedes":["{id}"],"packs":[],"packs_to_delete":[{{"id":"{id}","time":"x","size":3,"blobs":[]}}]}}"#
        );
        let file = parse("index x", json.as_bytes()).unwrap();
        assert!(file.packs.is_empty());
        assert_eq!(file.packs_to_delete.len(), 1);
    }

    #[test]
    fn null_stands_for_empty() {
        let id = "ab".repeat(32);
        let json = format!(
            r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data","offset":0,"length":40,"uncompressed_length":null}}]}},{{"id":"{id}","blobs":null}}],"packs_to_delete":null}}"#
        );
        let file = parse("index x", json.as_bytes()).unwrap();
        assert_eq!(file.packs[0].1[0].uncompressed, 0);
        assert!(file.packs[1].1.is_empty());
        let empty = parse("index x", br#"{"packs":null}"#).unwrap();
        assert_eq!(empty, IndexFile::default());
    }

    #[test]
    fn what_should_have_been_an_id_is_said() {
        let error = parse("index x", br#"{"packs":[{"id":5,"blobs":[]}]}"#).unwrap_err();
        assert!(
            error.detail().contains("64 lower-case hex digits"),
            "{error}"
        );
    }

    #[test]
    fn nonsense_is_damaged() {
        let id = "ab".repeat(32);
        for json in [
            String::new(),
            "[]".to_owned(),
            format!(r#"{{"packs":[{{"id":"{id}x","blobs":[]}}]}}"#),
            format!(
                r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data","offset":4294967295,"length":40}}]}}]}}"#
            ),
            format!(
                r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data","offset":0,"length":31}}]}}]}}"#
            ),
            format!(
                r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"x","offset":0,"length":40}}]}}]}}"#
            ),
        ] {
            assert_eq!(
                parse("index x", json.as_bytes()).unwrap_err().code(),
                Code::Damaged,
                "{json}"
            );
        }
    }
}
