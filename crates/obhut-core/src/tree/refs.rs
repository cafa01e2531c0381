//! The ids that a tree names, without the rest: what walks need.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::parse::{HexId, Text, each_node, fold};
use crate::error::Result;
use crate::id::Id;

/// What a tree refers to, in order, repetitions kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeRefs {
    /// Data blobs.
    pub content: Vec<Id>,
    /// Trees.
    pub subtrees: Vec<Id>,
}

/// Reads only the ids that the tree names into `refs` (emptied first, its space is used again).
///
/// Node types are not looked at: in trees that are as they should be only files have content and only
/// directories a subtree, and in others one reference too many keeps a blob, one too few loses it.
pub fn parse_refs(object: &str, bytes: &[u8], refs: &mut TreeRefs) -> Result<()> {
    refs.content.clear();
    refs.subtrees.clear();
    each_node(object, bytes, refs)
}

impl<'de> DeserializeSeed<'de> for &mut TreeRefs {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut TreeRefs {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            match fold(&key).as_ref() {
                "content" => map.next_value_seed(Ids(&mut self.content))?,
                "subtree" => {
                    let id: Option<HexId> = map.next_value()?;
                    self.subtrees.extend(id.map(|HexId(id)| id));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A list of ids or `null`, appended.
struct Ids<'s>(&'s mut Vec<Id>);

impl<'de> DeserializeSeed<'de> for Ids<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ids<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ids")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(HexId(id)) = seq.next_element()? {
            self.0.push(id);
        }
        Ok(())
    }
}
