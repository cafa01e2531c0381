//! The part of a snapshot that byte-level code needs (formats: restic 9). Python models the rest.

use serde::Deserialize;

use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::id::{FileKind, FileName, Id};

/// A snapshot's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRoot {
    /// The snapshot.
    pub id: Id,
    /// Its root tree.
    pub tree: Id,
}

/// Snapshots are a few kilobytes; long lists of paths and excludes stay far below this.
const MAX_SNAPSHOT_BYTES: usize = 64 << 20;

/// Keys match exactly: every known writer uses this spelling.
#[derive(Deserialize)]
struct Root {
    #[serde(default)]
    tree: Option<String>,
}

/// Parses a snapshot's JSON far enough for its root tree; `damaged` if there is none.
pub fn parse_root(id: Id, json: &[u8]) -> Result<SnapshotRoot> {
    let object = || FileName::new(FileKind::Snapshot, id).to_string();
    if json.len() > MAX_SNAPSHOT_BYTES {
        let detail = format!("a snapshot of {} bytes", json.len());
        return Err(Error::new(Code::LimitExceeded, object(), detail));
    }
    // Reading as a structure would take a list for its fields.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::damaged(object(), "it is no object"));
    }
    let root: Root = serde_json::from_slice(json)
        .map_err(|e| Error::damaged(object(), gojson::display(e.to_string().as_bytes())))?;
    let tree = root
        .tree
        .ok_or_else(|| Error::damaged(object(), "it names no tree"))?;
    let tree = Id::parse(tree.as_bytes())
        .ok_or_else(|| Error::damaged(object(), "the name of its tree is no id"))?;
    Ok(SnapshotRoot { id, tree })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Id = Id([7; 32]);

    fn tree_of(json: &str) -> Result<Id, Code> {
        parse_root(ID, json.as_bytes())
            .map(|root| root.tree)
            .map_err(|e| e.code())
    }

    #[test]
    fn finds_the_tree_among_all_else() {
        let hex = "45996370aa5ca6a9b6bc6004375aaaeb6e2c61a1a1fcdce379e50b2915a71841";
        let expected = Id::parse(hex.as_bytes()).unwrap();
        let bare = format!(r#"{{"tree":"{hex}"}}"#);
        assert_eq!(tree_of(&bare), Ok(expected));
        let full = format!(
            "{{\"time\":\"2015-01-01T00:00:00Z\",\"label\":{{\"x\":[1.5e300]}},\"tree\":\"{hex}\",\"paths\":[\"/\"],\"uid\":5}}\n"
        );
        assert_eq!(tree_of(&full), Ok(expected));
    }

    #[test]
    fn without_a_tree_it_is_damaged_and_named() {
        for bad in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"tree":null}"#,
            r#"{"tree":5}"#,
            r#"{"tree":"00"}"#,
            r#"{"tree":"\u001b"}"#,
            r#"["45996370aa5ca6a9b6bc6004375aaaeb6e2c61a1a1fcdce379e50b2915a71841"]"#,
            r#"{"tree":"#,
        ] {
            assert_eq!(tree_of(bad), Err(Code::Damaged), "{bad}");
        }
        let error = parse_root(ID, b"{}").unwrap_err();
        assert_eq!(error.object(), format!("snapshot {ID}"));
    }

    #[test]
    fn a_snapshot_that_no_one_writes_is_refused_unread() {
        assert_eq!(
            tree_of(&" ".repeat(MAX_SNAPSHOT_BYTES + 1)),
            Err(Code::LimitExceeded)
        );
    }
}
