//! What devices call into the local net: who they are and where (formats: bep 22).

use crate::error::{Error, Result};
use crate::id::DeviceId;
use crate::wire::{Reader, Writer};

const MAGIC: [u8; 4] = [0x2e, 0xa7, 0xd9, 0x0b];
/// Addresses of one device.
const ADDRESSES: usize = 64;

/// A packet of local discovery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announce {
    /// Who.
    pub id: DeviceId,
    /// Where, as URLs.
    pub addresses: Vec<String>,
    /// Another number at each start.
    pub instance: i64,
}

impl Announce {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, &self.id.0);
        for address in &self.addresses {
            writer.bytes(2, address.as_bytes());
        }
        writer.signed(3, self.instance);
        [&MAGIC[..], &writer.done()].concat()
    }

    /// From a packet.
    pub fn decode(packet: &[u8]) -> Result<Self> {
        let body = packet
            .strip_prefix(&MAGIC)
            .ok_or(Error::Malformed("a packet of something else"))?;
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => {
                    found.id = DeviceId(
                        field
                            .bytes()?
                            .try_into()
                            .map_err(|_| Error::Malformed("a device id"))?,
                    );
                }
                2 if found.addresses.len() == ADDRESSES => {
                    return Err(Error::TooLarge("addresses"));
                }
                2 => found.addresses.push(field.text()?.to_owned()),
                3 => found.instance = field.int64()?,
                _ => {}
            }
        }
        if found.id == DeviceId::default() {
            return Err(Error::Malformed("nobody announces nothing"));
        }
        Ok(found)
    }
}
