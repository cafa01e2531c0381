//! Packs that rustic (or a delayed prune of ours) has marked for deletion: `packs_to_delete` of index files
//! (formats: restic 24).
//!
//! Entries are carried over as the JSON text they came in, so that keys unknown to us stay.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::gotime::GoTime;
use crate::id::Id;
use crate::index::file;
use crate::pack::PackedBlob;
use crate::world::Timestamp;

/// A marked pack may be deleted after this time: no run of rustic, which takes no locks, that still knew the
/// pack can be going on then (rustic's own default).
pub const KEEP_MARKED: Duration = Duration::from_secs(23 * 3600);

/// A marked pack as an index file says it.
#[derive(Clone, Debug)]
pub struct Marked {
    /// The pack.
    pub pack: Id,
    /// Since when; unreadable or absent is `None`, which never gets old enough.
    pub since: Option<Timestamp>,
    /// The whole entry.
    pub json: Box<RawValue>,
}

impl Marked {
    /// Whether the pack may be deleted at `now`.
    pub fn is_ripe(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| {
            since.secs.saturating_add(KEEP_MARKED.as_secs() as i64) <= now.secs
        })
    }
}

#[derive(Deserialize)]
struct FileJson<'a> {
    #[serde(borrow)]
    packs_to_delete: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct PackJson<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    time: Option<std::borrow::Cow<'a, str>>,
}

/// The marked packs of an index file's plaintext.
pub fn parse(object: &str, json: &[u8]) -> Result<Vec<Marked>> {
    const KEY: &[u8] = b"\"packs_to_delete\"";
    if !json.windows(KEY.len()).any(|window| window == KEY) {
        return Ok(Vec::new());
    }
    let damaged = |text: String| Error::damaged(object, text);
    let file: FileJson<'_> = serde_json::from_slice(json).map_err(|e| damaged(e.to_string()))?;
    file.packs_to_delete
        .unwrap_or_default()
        .into_iter()
        .map(|raw| {
            let pack: PackJson<'_> =
                serde_json::from_str(raw.get()).map_err(|e| damaged(e.to_string()))?;
            let id = Id::parse(pack.id.as_bytes());
            Ok(Marked {
                pack: id.ok_or_else(|| damaged("not an id in packs_to_delete".to_owned()))?,
                since: pack.time.and_then(|t| GoTime::parse(&t)).map(|t| t.at),
                json: raw.to_owned(),
            })
        })
        .collect()
}

/// A new mark: the pack's entry with the time.
pub fn mark(pack: Id, blobs: Vec<PackedBlob>, now: Timestamp) -> Result<Marked> {
    let entry = file::encode(&[(pack, blobs)]);
    let entry = entry
        .strip_prefix(b"{\"packs\":[")
        .and_then(|rest| rest.strip_suffix(b"}]}\n"))
        .ok_or_else(|| Error::internal("an index entry is not framed as expected"))?;
    let mut json = entry.to_vec();
    json.extend_from_slice(b",\"time\":\"");
    let time = GoTime { at: now, offset: 0 };
    time.write(&mut json);
    json.extend_from_slice(b"\"}");
    let json = String::from_utf8(json)
        .ok()
        .and_then(|json| RawValue::from_string(json).ok())
        .ok_or_else(|| Error::internal("an index entry is not JSON"))?;
    Ok(Marked {
        pack,
        since: Some(now),
        json,
    })
}

/// The plaintext of an index file with marked packs.
pub fn encode(packs: &[(Id, Vec<PackedBlob>)], marked: &[Marked]) -> Vec<u8> {
    let mut json = file::encode(packs);
    if marked.is_empty() {
        return json;
    }
    json.truncate(json.len() - b"}\n".len());
    json.extend_from_slice(b",\"packs_to_delete\":[");
    for (n, marked) in marked.iter().enumerate() {
        if n > 0 {
            json.push(b',');
        }
        json.extend_from_slice(marked.json.get().as_bytes());
    }
    json.extend_from_slice(b"]}\n");
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BlobKind;

    const NOW: Timestamp = Timestamp {
        secs: 1_780_000_000,
        nanos: 5,
    };

    fn blob() -> PackedBlob {
        PackedBlob {
            kind: BlobKind::Data,
            id: Id::of(b"blob"),
            offset: 0,
            length: 50,
            uncompressed: 0,
        }
    }

    #[test]
    fn marks_go_both_ways_beside_packs() {
        let (kept, gone) = (Id::of(b"kept"), Id::of(b"gone"));
        let marked = mark(gone, vec![blob()], NOW).unwrap();
        let json = encode(&[(kept, vec![blob()])], &[marked]);
        let back = file::parse("index x", &json).unwrap();
        assert_eq!(back.packs, [(kept, vec![blob()])]);
        assert_eq!(back.packs_to_delete, [(gone, vec![blob()])]);
        let marks = parse("index x", &json).unwrap();
        assert_eq!(marks.len(), 1);
        assert_eq!((marks[0].pack, marks[0].since), (gone, Some(NOW)));
    }

    #[test]
    fn marks_ripen_after_23_hours_and_unknown_keys_stay() {
        let pack = Id::of(b"x");
        let json = format!(
            r#"{{"packs":[],"packs_to_delete":[{{"id":"{pack}","blobs":[],"time":"2026-01-01T10:00:00+01:00","size":7,"new":1}},{{"id":"{pack}","blobs":[]}}]}}"#
        );
        let marks = parse("index x", json.as_bytes()).unwrap();
        let ripe_at = marks[0].since.unwrap().secs + 23 * 3600;
        let at = |secs| Timestamp { secs, nanos: 0 };
        assert!(!marks[0].is_ripe(at(ripe_at - 1)));
        assert!(marks[0].is_ripe(at(ripe_at)));
        assert!(!marks[1].is_ripe(at(i64::MAX)));
        let again = encode(&[], &marks);
        assert!(
            String::from_utf8(again)
                .unwrap()
                .contains(r#""size":7,"new":1"#)
        );
    }

    #[test]
    fn nonsense_is_damaged_and_nothing_is_nothing() {
        assert!(parse("index x", b"{\"packs\":[]}").unwrap().is_empty());
        let wrong = br#"{"packs_to_delete":[{"id":"zz"}]}"#;
        assert_eq!(
            parse("index x", wrong).unwrap_err().code(),
            crate::error::Code::Damaged
        );
    }
}
