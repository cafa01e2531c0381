//! Messages on the wire: a header, a length, and bytes that may be LZ4 (formats: bep 4).

use crate::error::{Error, Result};
use crate::message::Message;
use crate::wire::{Reader, Writer};

/// Bytes of the longest message that the protocol knows.
pub const LARGEST_MESSAGE: usize = 500_000_000;
/// Bytes before which nothing is compressed.
const SHORT: usize = 128;
/// No LZ4 block holds more than so many times its own bytes.
const RATIO: usize = 255;
const LENGTH: usize = 4;

/// What is compressed on the way out. On the way in everything may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Everything but contents.
    #[default]
    Metadata,
    /// Nothing.
    Never,
    /// Everything.
    Always,
}

/// Messages out of what comes in, in pieces of any length.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the next message begins.
    at: usize,
    limit: usize,
}

impl Frames {
    /// For messages of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            at: 0,
            limit: limit.min(LARGEST_MESSAGE),
        }
    }

    /// Takes what came in.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message; nothing while it is not whole. After an error the connection is of no use.
    #[allow(clippy::should_implement_trait)] // it fails
    pub fn next(&mut self) -> Result<Option<Message>> {
        let rest = &self.bytes[self.at..];
        let Some(head) = prefix::<2>(rest) else {
            return Ok(None);
        };
        let header = u16::from_be_bytes(head);
        if header & 0x8000 != 0 {
            return Err(Error::TooLarge("a header"));
        }
        let header = usize::from(header);
        let Some(length) = rest.get(2 + header..).and_then(prefix::<LENGTH>) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            return Err(Error::TooLarge("a message"));
        }
        let begin = 2 + header + LENGTH;
        let Some(body) = rest.get(begin..begin + length) else {
            return Ok(None);
        };
        let (kind, compressed) = read_header(&rest[2..2 + header])?;
        let message = if compressed {
            Message::read(kind, &expanded(body, self.limit)?)?
        } else {
            Message::read(kind, body)?
        };
        self.at += begin + length;
        Ok(Some(message))
    }
}

/// The bytes of a message on the wire.
pub fn encode_frame(message: &Message, compression: Compression) -> Vec<u8> {
    let body = message.write();
    let wanted = match compression {
        Compression::Never => false,
        Compression::Always => true,
        Compression::Metadata => !matches!(message, Message::Response(_)),
    };
    let small = if wanted && body.len() >= SHORT {
        smaller(&body)
    } else {
        None
    };
    let mut header = Writer::default();
    header.number(1, message.kind());
    header.number(2, small.is_some().into());
    let (header, body) = (header.done(), small.unwrap_or(body));
    let mut bytes = Vec::with_capacity(2 + header.len() + LENGTH + body.len());
    bytes.extend_from_slice(&(header.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn prefix<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(..N)?.try_into().ok()
}

/// What kind of message it is, and whether it is compressed.
fn read_header(bytes: &[u8]) -> Result<(u64, bool)> {
    let (mut kind, mut compression) = (0, 0);
    let mut fields = Reader::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => kind = field.number()?,
            2 => compression = field.number()?,
            _ => {}
        }
    }
    match compression {
        0 => Ok((kind, false)),
        1 => Ok((kind, true)),
        _ => Err(Error::Malformed("a compression that nobody knows")),
    }
}

/// The size of what is in it, and one LZ4 block.
fn expanded(body: &[u8], limit: usize) -> Result<Vec<u8>> {
    let size =
        prefix::<LENGTH>(body).ok_or(Error::Malformed("a compressed message without a size"))?;
    let (size, block) = (u32::from_be_bytes(size) as usize, &body[LENGTH..]);
    if size > limit || size / RATIO > block.len() {
        return Err(Error::TooLarge("a compressed message"));
    }
    let mut bytes = vec![0; size];
    match lz4_flex::block::decompress_into(block, &mut bytes) {
        Ok(found) if found == size => Ok(bytes),
        _ => Err(Error::Malformed(
            "a compressed message that does not expand to its size",
        )),
    }
}

/// Compressed, if that saves one part in 32.
fn smaller(body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&lz4_flex::block::compress(body));
    (bytes.len() + body.len() / 32 < body.len()).then_some(bytes)
}
