//! Reading trees as Go reads them: keys in any order and case, unknown ones skipped, the last of duplicates
//! wins, `null` is the empty value.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use serde_json::value::RawValue;

use super::{MAX_TREE_BYTES, Node, NodeType, Xattr};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::gotime::GoTime;
use crate::id::Id;

/// Parses a tree blob; `object` names it in errors. Lenient on unknown keys, bounded in size; order and
/// names are not judged here (see `check`), but every field is of its type and every node has a name and
/// a type (a type that this program does not know is [`NodeType::Irregular`]).
pub fn parse(object: &str, bytes: &[u8]) -> Result<Vec<Node>> {
    let mut nodes = Nodes(Vec::new());
    each_node(object, bytes, &mut nodes)?;
    Ok(nodes.0)
}

struct Nodes(Vec<Node>);

impl<'de> DeserializeSeed<'de> for &mut Nodes {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.push(deserializer.deserialize_map(NodeVisitor)?);
        Ok(())
    }
}

/// Hands every node of the tree to `sink`.
pub(super) fn each_node<'de, S>(object: &str, bytes: &'de [u8], sink: &mut S) -> Result<()>
where
    for<'s> &'s mut S: DeserializeSeed<'de, Value = ()>,
{
    if bytes.len() > MAX_TREE_BYTES {
        return Err(Error::new(
            Code::LimitExceeded,
            object,
            format!("a tree of {} bytes", bytes.len()),
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer
        .deserialize_map(Top(sink))
        .and_then(|()| deserializer.end())
        // The text may quote what stands in the tree.
        .map_err(|e| Error::damaged(object, gojson::display(e.to_string().as_bytes())))
}

/// The object around the nodes.
struct Top<'s, S>(&'s mut S);

impl<'de, S> Visitor<'de> for Top<'_, S>
where
    for<'s> &'s mut S: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tree")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(Text(key)) = map.next_key()? {
            if key == "nodes" && !found {
                found = true;
                map.next_value_seed(List(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        found
            .then_some(())
            .ok_or_else(|| A::Error::missing_field("nodes"))
    }
}

/// The list of nodes; `null` is an empty one.
struct List<'s, S>(&'s mut S);

impl<'de, S> DeserializeSeed<'de> for List<'_, S>
where
    for<'s> &'s mut S: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S> Visitor<'de> for List<'_, S>
where
    for<'s> &'s mut S: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of nodes")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(&mut *self.0)?.is_some() {}
        Ok(())
    }
}

/// A key as Go folds it when no key matches exactly: ASCII case, and the two other letters that fold to ASCII.
pub(super) fn fold(key: &str) -> Cow<'_, str> {
    let is_folded = |c: char| c.is_ascii() && !c.is_ascii_uppercase();
    if key.chars().all(is_folded) {
        return Cow::Borrowed(key);
    }
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    });
    Cow::Owned(folded.collect())
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::new(Vec::new(), NodeType::Irregular);
        let mut seen = Seen::default();
        while let Some(Text(key)) = map.next_key()? {
            if !field(&fold(&key), &mut map, &mut node, &mut seen)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if let Some(raw) = seen.linktarget_raw {
            node.linktarget = raw;
        }
        match (seen.name, seen.kind) {
            (true, true) => Ok(node),
            (false, _) => Err(A::Error::missing_field("name")),
            (true, false) => Err(A::Error::missing_field("type")),
        }
    }
}

/// What a node must have, and what replaces another field in the end.
#[derive(Default)]
struct Seen {
    name: bool,
    kind: bool,
    linktarget_raw: Option<Vec<u8>>,
}

/// Reads the value of `key` if it is a known one; otherwise the value is left unread.
fn field<'de, A: MapAccess<'de>>(
    key: &str,
    map: &mut A,
    node: &mut Node,
    seen: &mut Seen,
) -> Result<bool, A::Error> {
    match key {
        "name" => {
            if let Some(Text(quoted)) = map.next_value()? {
                node.name = gojson::unquote(&quoted)
                    .ok_or_else(|| A::Error::custom("a name that is not quoted as it must be"))?;
                seen.name = true;
            }
        }
        "type" => {
            if let Some(Text(word)) = map.next_value()? {
                node.kind = NodeType::from_word(&word);
                seen.kind = true;
            }
        }
        "mode" => set(map, &mut node.mode)?,
        "mtime" => set_time(map, &mut node.mtime)?,
        "atime" => set_time(map, &mut node.atime)?,
        "ctime" => set_time(map, &mut node.ctime)?,
        "uid" => set(map, &mut node.uid)?,
        "gid" => set(map, &mut node.gid)?,
        "user" => set(map, &mut node.user)?,
        "group" => set(map, &mut node.group)?,
        "inode" => set(map, &mut node.inode)?,
        "device_id" => set(map, &mut node.device_id)?,
        "size" => set(map, &mut node.size)?,
        "links" => set(map, &mut node.links)?,
        "linktarget" => {
            if let Some(Text(target)) = map.next_value()? {
                node.linktarget = target.into_owned().into_bytes();
            }
        }
        "linktarget_raw" => {
            let raw: Option<Base64> = map.next_value()?;
            seen.linktarget_raw = raw.map(|Base64(bytes)| bytes);
        }
        "extended_attributes" => {
            let list: Option<Vec<ParsedXattr>> = map.next_value()?;
            node.xattrs = list
                .unwrap_or_default()
                .into_iter()
                .map(|parsed| parsed.0)
                .collect();
        }
        "generic_attributes" => {
            let raw: Option<Box<RawValue>> = map.next_value()?;
            if raw.as_ref().is_some_and(|raw| !raw.get().starts_with('{')) {
                return Err(A::Error::custom("generic attributes that are no object"));
            }
            node.generic_attributes = raw;
        }
        "device" => set(map, &mut node.device)?,
        "content" => {
            let list: Option<Vec<HexId>> = map.next_value()?;
            node.content = list.map(|ids| ids.into_iter().map(|HexId(id)| id).collect());
        }
        "subtree" => {
            let id: Option<HexId> = map.next_value()?;
            node.subtree = id.map(|HexId(id)| id);
        }
        "error" => set(map, &mut node.error)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// `null` leaves the field as it is.
fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    field: &mut T,
) -> Result<(), A::Error> {
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

fn set_time<'de, A: MapAccess<'de>>(map: &mut A, field: &mut GoTime) -> Result<(), A::Error> {
    if let Some(Text(text)) = map.next_value()? {
        *field = GoTime::parse(&text).ok_or_else(|| A::Error::custom("a time that is none"))?;
    }
    Ok(())
}

/// A string, borrowed from the input where it has no escapes.
pub(super) struct Text<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// An id as 64 hex digits.
pub(super) struct HexId(pub Id);

impl<'de> Deserialize<'de> for HexId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        Id::parse(text.as_bytes())
            .map(Self)
            .ok_or_else(|| D::Error::custom("an id that is none"))
    }
}

/// Padded base64; line ends inside and stray bits at the end are ignored, as Go does.
struct Base64(Vec<u8>);

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(mut text) = Text::deserialize(deserializer)?;
        if text.contains(['\r', '\n']) {
            text = Cow::Owned(text.replace(['\r', '\n'], ""));
        }
        LENIENT
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| D::Error::custom("a base64 value that is none"))
    }
}

struct ParsedXattr(Xattr);

impl<'de> Deserialize<'de> for ParsedXattr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct XattrVisitor;
        impl<'de> Visitor<'de> for XattrVisitor {
            type Value = ParsedXattr;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an extended attribute")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParsedXattr, A::Error> {
                let mut name = Vec::new();
                let mut value = None;
                while let Some(Text(key)) = map.next_key()? {
                    match fold(&key).as_ref() {
                        "name" => {
                            if let Some(Text(text)) = map.next_value()? {
                                name = text.into_owned().into_bytes();
                            }
                        }
                        "value" => {
                            let bytes: Option<Base64> = map.next_value()?;
                            value = bytes.map(|Base64(bytes)| bytes);
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(ParsedXattr(Xattr { name, value }))
            }
        }
        deserializer.deserialize_map(XattrVisitor)
    }
}
