//! Protocol Buffers (proto3) as far as BEP uses them: varints, lengths, fields.
//!
//! Written here, and not by a library, because messages hold millions of blocks: a reader that goes through the bytes once
//! needs no object for each, and can refuse before it makes any.

use crate::error::{Error, Result};

/// A number of seven bits a byte.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A field as it stands in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number.
    Number(u64),
    /// A length and so many bytes.
    Bytes(&'a [u8]),
    /// Another kind: known to nobody here, and skipped.
    Other,
}

impl<'a> Field<'a> {
    /// The number; a field of another kind is an error.
    pub fn number(self) -> Result<u64> {
        match self {
            Self::Number(value) => Ok(value),
            _ => Err(Error::Malformed("a field that should be a number")),
        }
    }

    /// The bytes; a field of another kind is an error.
    pub fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(value) => Ok(value),
            _ => Err(Error::Malformed("a field that should be bytes")),
        }
    }

    /// A text: UTF-8, as Go's decoder wants it.
    pub fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Text("UTF-8"))
    }

    /// An `int32`: negative ones are sent as 64 bits; what is above them is cut, as Go does.
    pub fn int32(self) -> Result<i32> {
        Ok(self.number()? as i32)
    }

    /// An `int64`.
    pub fn int64(self) -> Result<i64> {
        Ok(self.number()? as i64)
    }

    /// A `bool`.
    pub fn flag(self) -> Result<bool> {
        Ok(self.number()? != 0)
    }
}

/// Reads the fields of a message, one after another.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of a message's bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has one bit left.
            if at == 9 && byte > 1 {
                return Err(Error::Malformed("a number of more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Error::Malformed("a number that does not end"))
    }

    /// The next field: its number and what it holds.
    #[allow(clippy::should_implement_trait)] // it fails
    pub fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let (number, kind) = (key >> 3, (key & 7) as u8);
        if number == 0 || number > (1 << 29) - 1 {
            return Err(Error::Malformed("a field without a number"));
        }
        let field = match kind {
            VARINT => Field::Number(self.varint()?),
            BYTES => {
                let length =
                    usize::try_from(self.varint()?).map_err(|_| Error::Malformed("a length"))?;
                Field::Bytes(self.take(length)?)
            }
            FIXED64 => self.take(8).map(|_| Field::Other)?,
            FIXED32 => self.take(4).map(|_| Field::Other)?,
            _ => return Err(Error::Malformed("a field of a kind that proto3 has not")),
        };
        Ok(Some((number, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        if length > self.rest.len() {
            return Err(Error::Malformed("a length beyond the end"));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }
}

/// Writes fields; what is zero or empty is left out, as proto3 does.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }

    /// A number.
    pub fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.always(field, value);
        }
    }

    /// A number, zero too: one of a list that is not packed.
    pub fn always(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | u64::from(VARINT));
        self.varint(value);
    }

    /// A signed number: negative ones take ten bytes.
    pub fn signed(&mut self, field: u32, value: i64) {
        self.number(field, value as u64);
    }

    /// Bytes or a text.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.message(field, value);
        }
    }

    /// A message inside this one, an empty one too.
    pub fn message(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | u64::from(BYTES));
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, field in 1_u32..1 << 20) {
            let mut writer = Writer::default();
            writer.always(field, value);
            let bytes = writer.done();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.next().unwrap(), Some((u64::from(field), Field::Number(value))));
            prop_assert_eq!(reader.next().unwrap(), None);
            for cut in 1..bytes.len() {
                prop_assert!(Reader::new(&bytes[..cut]).next().is_err());
            }
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }

    #[test]
    fn numbers_that_are_none() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0xff],
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
        ] {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:x?}");
        }
        let most = [
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        assert_eq!(
            Reader::new(&most).next().unwrap(),
            Some((1, Field::Number(u64::MAX)))
        );
    }

    #[test]
    fn fields_that_are_none() {
        // Field 0; groups; a length beyond the end.
        for bytes in [&[0x00, 0x01][..], &[0x0b], &[0x0c], &[0x0a, 0x02, 0x01]] {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:x?}");
        }
        assert_eq!(
            Reader::new(&[0x0d, 1, 2, 3, 4]).next().unwrap(),
            Some((1, Field::Other))
        );
        assert_eq!(
            Reader::new(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8]).next().unwrap(),
            Some((1, Field::Other))
        );
    }
}
