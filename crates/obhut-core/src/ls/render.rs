//! Entries as text: restic's shapes.

use std::io::Write;

use super::Format;
use crate::gojson;
use crate::gotime::{GoTime, LocalZone};
use crate::tree::{Node, NodeType, mode_string, permissions_from_go};

/// Go's type bits, which the long form adds where a tree lacks them.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_CHAR_DEVICE: u32 = 1 << 21;

/// ncdu counts disk space in these.
const BLOCK: u64 = 512;

/// Writes entries one after another.
pub struct Renderer {
    format: Format,
    human: bool,
    zone: LocalZone,
    /// ncdu: how many lists are open.
    depth: usize,
}

impl Renderer {
    pub fn new(format: Format, human: bool, zone: LocalZone) -> Self {
        Self {
            format,
            human,
            zone,
            depth: 1,
        }
    }

    /// Whether directories that only lead to what is shown must be written too.
    pub fn wants_parents(&self) -> bool {
        self.format == Format::Ncdu
    }

    /// Appends an entry.
    pub fn node(&mut self, path: &[u8], node: &Node, out: &mut Vec<u8>) {
        match self.format {
            Format::Names => {
                out.extend_from_slice(gojson::display(path).as_bytes());
                out.push(b'\n');
            }
            Format::Long => self.long(path, node, out),
            Format::Json => json(path, node, out),
            Format::Ncdu => self.ncdu(node, out),
        }
    }

    /// A directory that was shown is finished.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if self.format == Format::Ncdu {
            self.depth = self.depth.saturating_sub(1);
            out.push(b'\n');
            indent(self.depth, out);
            out.push(b']');
        }
    }

    fn long(&self, path: &[u8], node: &Node, out: &mut Vec<u8>) {
        let mode = node.mode | type_bits(node.kind);
        let size = if self.human {
            human_size(file_size(node))
        } else {
            format!("{:6}", file_size(node))
        };
        let (year, month, day, hour, minute, second) = self.zone.at(node.mtime.at).wall();
        let mode = mode_string(mode);
        write_text(
            out,
            format_args!(
                "{mode} {:5} {:5} {size} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} ",
                node.uid, node.gid
            ),
        );
        out.extend_from_slice(gojson::display(path).as_bytes());
        if node.kind == NodeType::Symlink {
            out.extend_from_slice(b" -> ");
            out.extend_from_slice(gojson::display(&node.linktarget).as_bytes());
        }
        out.push(b'\n');
    }

    fn ncdu(&mut self, node: &Node, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\n");
        indent(self.depth, out);
        if node.kind == NodeType::Dir {
            out.extend_from_slice(b"[\n");
            indent(self.depth + 1, out);
            self.depth += 1;
        }
        let size = file_size(node);
        let regular = matches!(node.kind, NodeType::Dir | NodeType::File);
        out.extend_from_slice(b"{\"name\":");
        gojson::write_string(&node.name, out);
        write_text(
            out,
            format_args!(
                ",\"asize\":{size},\"dsize\":{},\"dev\":{},\"ino\":{},\"nlink\":{},\"notreg\":{},\"uid\":{},\"gid\":{},\"mode\":{},\"mtime\":{}}}",
                size.div_ceil(BLOCK).saturating_mul(BLOCK),
                node.device_id,
                node.inode,
                node.links,
                !regular,
                node.uid,
                node.gid,
                permissions_from_go(node.mode),
                // ncdu knows no times before 1970.
                node.mtime.at.secs.max(0),
            ),
        );
    }
}

fn json(path: &[u8], node: &Node, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    gojson::write_string(&node.name, out);
    write_text(
        out,
        format_args!(",\"type\":\"{}\",\"path\":", node.kind.as_str()),
    );
    gojson::write_string(path, out);
    write_text(
        out,
        format_args!(",\"uid\":{},\"gid\":{}", node.uid, node.gid),
    );
    if node.kind == NodeType::File {
        write_text(out, format_args!(",\"size\":{}", node.size));
    }
    if node.mode != 0 {
        write_text(out, format_args!(",\"mode\":{}", node.mode));
    }
    write_text(
        out,
        format_args!(",\"permissions\":\"{}\"", mode_string(node.mode)),
    );
    time(b",\"mtime\":\"", &node.mtime, out);
    time(b",\"atime\":\"", &node.atime, out);
    time(b",\"ctime\":\"", &node.ctime, out);
    if node.inode != 0 {
        write_text(out, format_args!(",\"inode\":{}", node.inode));
    }
    out.extend_from_slice(b",\"message_type\":\"node\",\"struct_type\":\"node\"}\n");
}

fn time(key: &[u8], value: &GoTime, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    value.write(out);
    out.push(b'"');
}

fn write_text(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(text);
}

fn indent(depth: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * depth, b' ');
}

/// Only files have a size that means something.
fn file_size(node: &Node) -> u64 {
    if node.kind == NodeType::File {
        node.size
    } else {
        0
    }
}

fn type_bits(kind: NodeType) -> u32 {
    match kind {
        NodeType::File | NodeType::Irregular => 0,
        NodeType::Dir => GO_DIR,
        NodeType::Symlink => GO_SYMLINK,
        NodeType::Dev => GO_DEVICE,
        NodeType::CharDev => GO_DEVICE | GO_CHAR_DEVICE,
        NodeType::Fifo => GO_FIFO,
        NodeType::Socket => GO_SOCKET,
    }
}

/// restic's form: three decimals of the largest unit that gives at least one.
pub(super) fn human_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.3} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}
