//! The greeting before all messages (formats: bep 3).

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

const MAGIC: u32 = 0x2ea7_d90b;
/// What peers before BEP v1 began with.
const OLD: [u32; 3] = [0x9f79_bc40, 0x0001_0000, 0x0001_0001];
const HEAD: usize = 6;
/// Bytes of the longest greeting.
pub const LARGEST_HELLO: usize = 32767;

/// Who greets, and with what program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The device's name; said to those whom it knows.
    pub device_name: String,
    /// The program.
    pub client_name: String,
    /// Its version.
    pub client_version: String,
    /// Connections that it would like to have side by side.
    pub num_connections: i32,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
}

impl Hello {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, self.device_name.as_bytes());
        writer.bytes(2, self.client_name.as_bytes());
        writer.bytes(3, self.client_version.as_bytes());
        writer.signed(4, self.num_connections.into());
        writer.signed(5, self.timestamp);
        let body = writer.done();
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(body.len().min(LARGEST_HELLO) as u16).to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The greeting at the beginning of what came in, and how many bytes it is; nothing while it is not whole.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some(head) = bytes.get(..HEAD) else {
            return Ok(None);
        };
        match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            MAGIC => {}
            old if OLD.contains(&old) => return Err(Error::TooOld),
            _ => return Err(Error::Malformed("it does not begin as BEP does")),
        }
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if length > LARGEST_HELLO {
            return Err(Error::TooLarge("a greeting"));
        }
        let Some(body) = bytes.get(HEAD..HEAD + length) else {
            return Ok(None);
        };
        Ok(Some((Self::read(body)?, HEAD + length)))
    }

    fn read(body: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => field.text()?.clone_into(&mut found.device_name),
                2 => field.text()?.clone_into(&mut found.client_name),
                3 => field.text()?.clone_into(&mut found.client_version),
                4 => found.num_connections = field.int32()?,
                5 => found.timestamp = field.int64()?,
                _ => {}
            }
        }
        Ok(found)
    }
}
