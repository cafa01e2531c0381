//! The file of a directory cache: magic, key, snapshot, index files, a record a directory, and a SHA-256 of it all.

use std::path::Path;
use std::sync::Arc;

use super::{Known, Table};
use crate::id::Id;

/// First bytes of a file: name and version.
const MAGIC: &[u8; 8] = b"obdirs\0\x03";
/// A larger file is not read.
const LIMIT: u64 = 4 << 30;

/// The bytes of a file. `indexes`: see [`super::DirCache::park`].
pub fn encode(key: &Id, snapshot: &Id, indexes: &[Id], table: &Table) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&key.0);
    bytes.extend_from_slice(&snapshot.0);
    bytes.extend_from_slice(&(indexes.len() as u32).to_le_bytes());
    for id in indexes {
        bytes.extend_from_slice(&id.0);
    }
    for (path, known) in table {
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(&(known.content.len() as u32).to_le_bytes());
        for id in [&known.digest, &known.node, &known.tree]
            .into_iter()
            .chain(&known.content)
        {
            bytes.extend_from_slice(&id.0);
        }
    }
    let check = Id::of(&bytes);
    bytes.extend_from_slice(&check.0);
    bytes
}

/// Reads a file that was committed for `snapshot` under `key`; anything else is `None`.
pub fn load(file: &Path, key: &Id, snapshot: &Id) -> Option<(Table, Vec<Id>)> {
    if std::fs::metadata(file).ok()?.len() > LIMIT {
        return None;
    }
    decode(&std::fs::read(file).ok()?, key, snapshot)
}

fn decode(bytes: &[u8], key: &Id, snapshot: &Id) -> Option<(Table, Vec<Id>)> {
    let (body, check) = bytes.split_last_chunk::<32>()?;
    if Id::of(body).0 != *check {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    if take_id(&mut rest)? != *key || take_id(&mut rest)? != *snapshot {
        return None;
    }
    let count = take_length(&mut rest)?;
    let indexes = take_ids(&mut rest, count)?;
    let mut table = Table::new();
    while !rest.is_empty() {
        let length = take_length(&mut rest)?;
        let (path, tail) = rest.split_at_checked(length)?;
        rest = tail;
        let count = take_length(&mut rest)?;
        let (digest, node, tree) = (
            take_id(&mut rest)?,
            take_id(&mut rest)?,
            take_id(&mut rest)?,
        );
        let content = take_ids(&mut rest, count)?;
        table.insert(
            path.to_vec(),
            Arc::new(Known {
                digest,
                node,
                tree,
                content,
            }),
        );
    }
    Some((table, indexes))
}

fn take_id(rest: &mut &[u8]) -> Option<Id> {
    let (id, tail) = rest.split_first_chunk::<32>()?;
    *rest = tail;
    Some(Id(*id))
}

fn take_ids(rest: &mut &[u8], count: usize) -> Option<Vec<Id>> {
    let (ids, tail) = rest.split_at_checked(count.checked_mul(32)?)?;
    *rest = tail;
    let ids = ids.chunks_exact(32);
    Some(ids.filter_map(|id| id.try_into().ok().map(Id)).collect())
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_or_foreign_file_is_no_cache() {
        let id = |n: u8| Id([n; 32]);
        let known = Arc::new(Known {
            digest: id(1),
            node: id(2),
            tree: id(3),
            content: vec![id(4), id(5)],
        });
        let again = Arc::clone(&known);
        let table = Table::from([(b"/a\xff".to_vec(), known), (b"/".to_vec(), again)]);
        let indexes = vec![id(10), id(11)];
        let bytes = encode(&id(7), &id(8), &indexes, &table);
        assert_eq!(decode(&bytes, &id(7), &id(8)), Some((table, indexes)));
        assert_eq!(decode(&bytes, &id(7), &id(9)), None);
        assert_eq!(decode(&bytes, &id(9), &id(8)), None);
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at], &id(7), &id(8)), None);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped, &id(7), &id(8)), None);
        }
    }
}
