//! Writing trees (formats: restic 10). The order of keys and what is left out when empty are hashed: they
//! are part of the format.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::{MAX_TREE_BYTES, Node, Xattr};
use crate::error::{Code, Error, Result};
use crate::gojson;
use crate::gotime::GoTime;
use crate::id::Id;

const HEAD: &[u8] = b"{\"nodes\":[";
/// The line feed belongs to the hashed bytes.
const TAIL: &[u8] = b"]}\n";

/// Builds a tree blob: nodes must come strictly ascending by raw name.
#[derive(Debug)]
pub struct TreeBuilder {
    text: Vec<u8>,
    last: Vec<u8>,
    scratch: Vec<u8>,
    count: usize,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// An empty tree.
    pub fn new() -> Self {
        Self {
            text: HEAD.to_vec(),
            last: Vec::new(),
            scratch: Vec::new(),
            count: 0,
        }
    }

    /// Appends a node; an empty name or one not above the last is an error, after which the tree is as before.
    pub fn add(&mut self, node: &Node) -> Result<()> {
        // The empty name is below every other, so this refuses it too.
        if node.name <= self.last {
            return Err(Error::new(
                Code::InvalidArgument,
                gojson::display(&node.name),
                "names in a tree must be ascending, unique and not empty",
            ));
        }
        let before = self.text.len();
        if self.count > 0 {
            self.text.push(b',');
        }
        let written = write_node(node, &mut self.scratch, &mut self.text).and_then(|()| {
            if self.text.len() + TAIL.len() > MAX_TREE_BYTES {
                let name = gojson::display(&node.name);
                return Err(Error::new(
                    Code::LimitExceeded,
                    name,
                    "too many entries in a directory",
                ));
            }
            Ok(())
        });
        if written.is_err() {
            self.text.truncate(before);
            return written;
        }
        self.last.clear();
        self.last.extend_from_slice(&node.name);
        self.count += 1;
        Ok(())
    }

    /// Number of nodes so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that [`TreeBuilder::finish`] would give now.
    pub fn size(&self) -> usize {
        self.text.len() + TAIL.len()
    }

    /// The exact bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.text.extend_from_slice(TAIL);
        self.text
    }
}

fn write_node(node: &Node, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"name\":");
    gojson::write_name(&node.name, scratch, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(node.kind.as_str().as_bytes());
    out.push(b'"');
    number_or_nothing(b",\"mode\":", u64::from(node.mode), out);
    time(b",\"mtime\":\"", &node.mtime, out);
    time(b",\"atime\":\"", &node.atime, out);
    time(b",\"ctime\":\"", &node.ctime, out);
    number(b",\"uid\":", u64::from(node.uid), out);
    number(b",\"gid\":", u64::from(node.gid), out);
    text_or_nothing(b",\"user\":", node.user.as_bytes(), out);
    text_or_nothing(b",\"group\":", node.group.as_bytes(), out);
    number_or_nothing(b",\"inode\":", node.inode, out);
    number_or_nothing(b",\"device_id\":", node.device_id, out);
    number_or_nothing(b",\"size\":", node.size, out);
    number_or_nothing(b",\"links\":", node.links, out);
    link_target(&node.linktarget, out);
    xattrs(&node.xattrs, out);
    if let Some(attributes) = &node.generic_attributes {
        generic_attributes(attributes, out)
            .map_err(|e| Error::damaged(gojson::display(&node.name), e.to_string()))?;
    }
    number_or_nothing(b",\"device\":", node.device, out);
    content(node.content.as_deref(), out);
    if let Some(subtree) = &node.subtree {
        out.extend_from_slice(b",\"subtree\":\"");
        subtree.write_hex(out);
        out.push(b'"');
    }
    text_or_nothing(b",\"error\":", node.error.as_bytes(), out);
    out.push(b'}');
    Ok(())
}

/// Appends a key and a number in decimal digits.
fn number(key: &[u8], value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn number_or_nothing(key: &[u8], value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        number(key, value, out);
    }
}

fn text_or_nothing(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        gojson::write_string(value, out);
    }
}

fn time(key: &[u8], value: &GoTime, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    value.write(out);
    out.push(b'"');
}

/// A target that is not UTF-8 is written twice: readable with losses, and as it is.
fn link_target(target: &[u8], out: &mut Vec<u8>) {
    text_or_nothing(b",\"linktarget\":", target, out);
    if std::str::from_utf8(target).is_err() {
        out.extend_from_slice(b",\"linktarget_raw\":");
        base64(target, out);
    }
}

fn xattrs(xattrs: &[Xattr], out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"extended_attributes\":[");
    for (at, xattr) in xattrs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        gojson::write_string(&xattr.name, out);
        out.extend_from_slice(b",\"value\":");
        match &xattr.value {
            Some(value) => base64(value, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The space is exactly what padded base64 takes, so this cannot fail.
    let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.push(b'"');
}

fn content(ids: Option<&[Id]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"content\":");
    let Some(ids) = ids else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'[');
    out.reserve(ids.len() * 67);
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'"');
        id.write_hex(out);
        out.push(b'"');
    }
    out.push(b']');
}

/// Keys sorted by bytes, values as they were but compacted: what Go makes of a map of raw values.
fn generic_attributes(raw: &RawValue, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let attributes: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
    if attributes.is_empty() {
        return Ok(());
    }
    out.extend_from_slice(b",\"generic_attributes\":");
    for (at, (key, value)) in attributes.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        gojson::write_string(key.as_bytes(), out);
        out.push(b':');
        compact(value.get(), out);
    }
    out.push(b'}');
    Ok(())
}

/// Valid JSON without white space between tokens, with the characters escaped that Go escapes everywhere.
fn compact(json: &str, out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for c in json.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '<' => out.extend_from_slice(br"\u003c"),
            '>' => out.extend_from_slice(br"\u003e"),
            '&' => out.extend_from_slice(br"\u0026"),
            '\u{2028}' => out.extend_from_slice(br"\u2028"),
            '\u{2029}' => out.extend_from_slice(br"\u2029"),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
    }
}
