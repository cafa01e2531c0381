//! What a device says of one item: BEP's `FileInfo` (formats: bep 5, 9).

use crate::blocks::{self, Blocks, HASH, SMALLEST_BLOCK, Taken, is_block_size};
use crate::error::{Error, Result};
use crate::id::ShortId;
use crate::name::check_name;
use crate::vector::Vector;
use crate::wire::{Field, Reader, Writer};

/// Bytes of what a device may say of owners and extended attributes of one item.
const PLATFORM: usize = 64 << 10;
/// Bytes of the longest target of a link.
const TARGET: usize = 64 << 10;
/// The only bits of a mode that travel.
const MODE: u32 = 0o777;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A regular file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// An entry of an index.
#[allow(clippy::struct_excessive_bools)] // the protocol's
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileInfo {
    /// Relative to the folder, clean, UTF-8.
    pub name: String,
    /// What it is, or was.
    pub kind: Kind,
    /// Bytes; 0 for all but live files.
    pub size: u64,
    /// Nine bits of the mode.
    pub permissions: u32,
    /// Whether the sender cannot know them.
    pub no_permissions: bool,
    /// Time of the last change: seconds since 1970, and nanoseconds.
    pub modified: (i64, i32),
    /// Whose version it is.
    pub modified_by: ShortId,
    /// It was there, and is no more.
    pub deleted: bool,
    /// The sender has no copy that could be used.
    pub invalid: bool,
    /// Its version.
    pub version: Vector,
    /// The sender's count of changes when it came to this.
    pub sequence: u64,
    /// Bytes of each block but the last.
    pub block_size: u32,
    /// The hashes of a live file.
    pub blocks: Blocks,
    /// What a link says, as it is.
    pub symlink_target: Vec<u8>,
    /// The hash of all hashes of the content that this version took the place of.
    pub previous_blocks_hash: Option<[u8; HASH]>,
    /// Owners and attributes as they came; for others, not for us.
    pub platform: Vec<u8>,
    /// Whether the sender holds it encrypted.
    pub encrypted: bool,
}

impl FileInfo {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut found = Self {
            block_size: SMALLEST_BLOCK,
            ..Self::default()
        };
        let mut taken = Taken::default();
        let mut fields = Reader::new(bytes);
        while let Some((number, field)) = fields.next()? {
            if number == 16 {
                taken.add(field.bytes()?)?;
            } else {
                found.take(number, field)?;
            }
        }
        if (found.deleted || found.kind != Kind::File) && !taken.is_empty() {
            return Err(found.refused("only files that are there have blocks"));
        }
        found.blocks = match taken.done(found.size, found.block_size) {
            Ok(blocks) => blocks,
            Err(Error::Malformed(rule)) if found.is_content() => return Err(found.refused(rule)),
            Err(_) => Blocks::default(), // what nobody can have needs none
        };
        found.check()?;
        Ok(found)
    }

    fn take(&mut self, number: u64, field: Field<'_>) -> Result<()> {
        match number {
            1 => field.text()?.clone_into(&mut self.name),
            2 => {
                self.kind = match field.number()? {
                    0 => Kind::File,
                    1 => Kind::Directory,
                    2..=4 => Kind::Symlink,
                    _ => return Err(Error::Malformed("an item of a kind that is none")),
                }
            }
            3 => {
                self.size = u64::try_from(field.int64()?)
                    .map_err(|_| Error::Malformed("a negative size"))?;
            }
            4 => self.permissions = field.number()? as u32 & MODE,
            5 => self.modified.0 = field.int64()?,
            6 => self.deleted = field.flag()?,
            7 => self.invalid = field.flag()?,
            8 => self.no_permissions = field.flag()?,
            9 => self.version = Vector::read(field.bytes()?)?,
            10 => {
                self.sequence = u64::try_from(field.int64()?)
                    .map_err(|_| Error::Malformed("a negative sequence"))?;
            }
            11 => self.modified.1 = field.int32()?,
            12 => self.modified_by = ShortId(field.number()?),
            13 => self.block_size = read_block_size(field.int32()?)?,
            14 => {
                self.platform = limited(
                    field.bytes()?,
                    PLATFORM,
                    "what is said of owners and attributes",
                )?;
            }
            17 => self.symlink_target = limited(field.bytes()?, TARGET, "the target of a link")?,
            19 => self.encrypted = !field.bytes()?.is_empty(),
            20 => self.previous_blocks_hash = field.bytes()?.try_into().ok(),
            _ => {}
        }
        Ok(())
    }

    /// Whether it is content: a file that is there and can be had.
    pub fn is_content(&self) -> bool {
        self.kind == Kind::File && !self.deleted && !self.invalid
    }

    /// The rules for which Syncthing ends a connection.
    fn check(&mut self) -> Result<()> {
        check_name(&self.name)?;
        if self.is_content() && self.blocks.is_empty() {
            return Err(self.refused("a file has a block"));
        }
        if self.kind == Kind::Symlink && self.size != 0
            || self.kind == Kind::Directory && self.size > 128
        {
            return Err(self.refused("only files have a size"));
        }
        if self.kind != Kind::File {
            self.size = 0;
        }
        Ok(())
    }

    fn refused(&self, rule: &'static str) -> Error {
        Error::Entry(self.name.chars().take(200).collect(), rule)
    }

    /// The bytes of this entry. Those of an entry that breaks a rule are for nobody.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, self.name.as_bytes());
        writer.number(
            2,
            match self.kind {
                Kind::File => 0,
                Kind::Directory => 1,
                Kind::Symlink => 4,
            },
        );
        writer.number(3, self.size);
        writer.number(4, u64::from(self.permissions));
        writer.signed(5, self.modified.0);
        writer.number(6, self.deleted.into());
        writer.number(7, self.invalid.into());
        writer.number(8, self.no_permissions.into());
        writer.message(9, &self.version.write());
        writer.number(10, self.sequence);
        writer.signed(11, self.modified.1.into());
        writer.number(12, self.modified_by.0);
        if !self.blocks.is_empty() {
            writer.number(13, self.block_size.into());
        }
        writer.bytes(14, &self.platform);
        blocks::write(&mut writer, 16, &self.blocks, self.size, self.block_size);
        writer.bytes(17, &self.symlink_target);
        if !self.blocks.is_empty() {
            writer.bytes(18, &self.blocks.hash_of_all());
        }
        writer.bytes(
            20,
            self.previous_blocks_hash
                .as_ref()
                .map_or(&[], |hash| hash.as_slice()),
        );
        writer.done()
    }
}

/// What is missing, or below the smallest, reads as the smallest.
fn read_block_size(size: i32) -> Result<u32> {
    let size = u32::try_from(size).unwrap_or(0).max(SMALLEST_BLOCK);
    if is_block_size(size) {
        Ok(size)
    } else {
        Err(Error::Malformed("a size that blocks do not have"))
    }
}

fn limited(bytes: &[u8], limit: usize, what: &'static str) -> Result<Vec<u8>> {
    if bytes.len() > limit {
        Err(Error::TooLarge(what))
    } else {
        Ok(bytes.to_vec())
    }
}
