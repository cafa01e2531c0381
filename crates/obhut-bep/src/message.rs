//! The messages of a connection (formats: bep 5, 7, 8, 13).

use crate::blocks::HASH;
use crate::error::{Error, Result};
use crate::file::FileInfo;
use crate::id::DeviceId;
use crate::wire::{Reader, Writer};

/// Bytes that one request may ask for.
pub const LARGEST_REQUEST: u32 = 32 << 20;
/// Entries of one message. Syncthing closes one at a thousand.
const ENTRIES: usize = 100_000;
/// Folders, and devices of one folder.
const MEMBERS: usize = 10_000;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What both share, and what each has of it. The first message.
    ClusterConfig(ClusterConfig),
    /// Entries.
    Index(Index),
    /// Asks for bytes of a file.
    Request(Request),
    /// The bytes, or why there are none.
    Response(Response),
    /// Blocks that a peer has of a file that is not whole. May be ignored, and is.
    DownloadProgress,
    /// Nothing new.
    Ping,
    /// The end, and why.
    Close(String),
    /// A message that this version does not know; skipped.
    Unknown(u64),
}

/// What is shared with the receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterConfig {
    /// Each folder that is shared with the receiver.
    pub folders: Vec<Folder>,
    /// Whether this connection carries only requests.
    pub secondary: bool,
}

/// A folder that is shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// What all devices call it.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// Whether it is paused.
    pub stop_reason: StopReason,
    /// All devices that share it, sender and receiver among them.
    pub devices: Vec<Device>,
}

/// Why a folder does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopReason {
    /// It does.
    #[default]
    Running,
    /// Somebody paused it.
    Paused,
}

/// A device that shares a folder, as the sender sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Who.
    pub id: DeviceId,
    /// What the sender calls it.
    pub name: String,
    /// Where, as URLs, or `dynamic`.
    pub addresses: Vec<String>,
    /// Of the sender's own entry: its newest sequence. Of others': the newest one that it has of them.
    pub max_sequence: u64,
    /// The life of those sequences; 0 for none.
    pub index_id: u64,
    /// Whether it holds the folder encrypted: there is a token of a password.
    pub encrypted: bool,
}

/// Entries of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Whether they add to those before, or take the place of all.
    pub update: bool,
    /// Which folder.
    pub folder: String,
    /// In the order of their sequences.
    pub files: Vec<FileInfo>,
    /// The sequence of the last of them.
    pub last_sequence: u64,
    /// Of an update: the last sequence that was sent before.
    pub prev_sequence: u64,
}

/// Asks for bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Chosen by who asks; the answer has it, too.
    pub id: i32,
    /// Of which folder.
    pub folder: String,
    /// Of which file.
    pub name: String,
    /// From where.
    pub offset: u64,
    /// How many.
    pub size: u32,
    /// SHA-256 of what is expected.
    pub hash: Vec<u8>,
    /// Whether a file that is not whole may serve.
    pub from_temporary: bool,
    /// The number of the block.
    pub block_no: u32,
}

/// Answers a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The request's.
    pub id: i32,
    /// The bytes, all that were asked for.
    pub data: Vec<u8>,
    /// Or why there are none.
    pub code: Code,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Code {
    /// It is.
    #[default]
    None,
    /// No reason that the others say.
    Generic,
    /// There is no such file, or its bytes are others by now.
    NoSuchFile,
    /// Nobody is served this file.
    InvalidFile,
}

impl Message {
    /// The number of its kind.
    pub fn kind(&self) -> u64 {
        match self {
            Self::ClusterConfig(_) => 0,
            Self::Index(index) => 1 + u64::from(index.update),
            Self::Request(_) => 3,
            Self::Response(_) => 4,
            Self::DownloadProgress => 5,
            Self::Ping => 6,
            Self::Close(_) => 7,
            Self::Unknown(kind) => *kind,
        }
    }

    pub(crate) fn read(kind: u64, body: &[u8]) -> Result<Self> {
        Ok(match kind {
            0 => Self::ClusterConfig(ClusterConfig::read(body)?),
            1 | 2 => Self::Index(Index::read(body, kind == 2)?),
            3 => Self::Request(Request::read(body)?),
            4 => Self::Response(Response::read(body)?),
            5 => Self::DownloadProgress,
            6 => Self::Ping,
            7 => Self::Close(read_reason(body)?),
            other => Self::Unknown(other),
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        match self {
            Self::ClusterConfig(config) => config.write(),
            Self::Index(index) => index.write(),
            Self::Request(request) => request.write(),
            Self::Response(response) => response.write(),
            Self::Close(reason) => {
                let mut writer = Writer::default();
                writer.bytes(1, reason.as_bytes());
                writer.done()
            }
            Self::DownloadProgress | Self::Ping | Self::Unknown(_) => Vec::new(),
        }
    }
}

fn read_reason(body: &[u8]) -> Result<String> {
    let mut reason = String::new();
    let mut fields = Reader::new(body);
    while let Some((number, field)) = fields.next()? {
        if number == 1 {
            field.text()?.clone_into(&mut reason);
        }
    }
    Ok(reason)
}

impl ClusterConfig {
    fn read(body: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 if found.folders.len() == MEMBERS => return Err(Error::TooLarge("folders")),
                1 => found.folders.push(Folder::read(field.bytes()?)?),
                2 => found.secondary = field.flag()?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for folder in &self.folders {
            writer.message(1, &folder.write());
        }
        writer.number(2, self.secondary.into());
        writer.done()
    }
}

impl Folder {
    fn read(body: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => field.text()?.clone_into(&mut found.id),
                2 => field.text()?.clone_into(&mut found.label),
                7 if field.number()? == 0 => found.stop_reason = StopReason::Running,
                7 => found.stop_reason = StopReason::Paused,
                16 if found.devices.len() == MEMBERS => {
                    return Err(Error::TooLarge("devices of a folder"));
                }
                16 => found.devices.push(Device::read(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, self.id.as_bytes());
        writer.bytes(2, self.label.as_bytes());
        writer.number(7, (self.stop_reason == StopReason::Paused).into());
        for device in &self.devices {
            writer.message(16, &device.write());
        }
        writer.done()
    }
}

impl Device {
    fn read(body: &[u8]) -> Result<Self> {
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
                2 => field.text()?.clone_into(&mut found.name),
                3 if found.addresses.len() == MEMBERS => return Err(Error::TooLarge("addresses")),
                3 => found.addresses.push(field.text()?.to_owned()),
                6 => found.max_sequence = sequence(field.int64()?)?,
                8 => found.index_id = field.number()?,
                10 => found.encrypted = !field.bytes()?.is_empty(),
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, &self.id.0);
        writer.bytes(2, self.name.as_bytes());
        for address in &self.addresses {
            writer.bytes(3, address.as_bytes());
        }
        writer.number(6, self.max_sequence);
        writer.number(8, self.index_id);
        writer.done()
    }
}

impl Index {
    fn read(body: &[u8], update: bool) -> Result<Self> {
        let mut found = Self {
            update,
            ..Self::default()
        };
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => field.text()?.clone_into(&mut found.folder),
                2 if found.files.len() == ENTRIES => {
                    return Err(Error::TooLarge("entries of a message"));
                }
                2 => found.files.push(FileInfo::read(field.bytes()?)?),
                3 => found.last_sequence = sequence(field.int64()?)?,
                4 => found.prev_sequence = sequence(field.int64()?)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(1, self.folder.as_bytes());
        for file in &self.files {
            writer.message(2, &file.encode());
        }
        writer.number(3, self.last_sequence);
        if self.update {
            writer.number(4, self.prev_sequence);
        }
        writer.done()
    }
}

impl Request {
    fn read(body: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => found.id = field.int32()?,
                2 => field.text()?.clone_into(&mut found.folder),
                3 => field.text()?.clone_into(&mut found.name),
                4 => {
                    found.offset = u64::try_from(field.int64()?)
                        .map_err(|_| Error::Malformed("a negative offset"))?;
                }
                5 => {
                    found.size = u32::try_from(field.int32()?)
                        .map_err(|_| Error::Malformed("a negative size"))?;
                }
                6 if field.bytes()?.len() > 4 * HASH => return Err(Error::TooLarge("a hash")),
                6 => found.hash = field.bytes()?.to_vec(),
                7 => found.from_temporary = field.flag()?,
                9 => {
                    found.block_no = u32::try_from(field.int32()?)
                        .map_err(|_| Error::Malformed("a negative number"))?;
                }
                _ => {}
            }
        }
        if found.size > LARGEST_REQUEST {
            return Err(Error::TooLarge("a request"));
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.signed(1, self.id.into());
        writer.bytes(2, self.folder.as_bytes());
        writer.bytes(3, self.name.as_bytes());
        writer.number(4, self.offset);
        writer.number(5, self.size.into());
        writer.bytes(6, &self.hash);
        writer.number(7, self.from_temporary.into());
        writer.number(9, self.block_no.into());
        writer.done()
    }
}

impl Response {
    fn read(body: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut fields = Reader::new(body);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => found.id = field.int32()?,
                2 => found.data = field.bytes()?.to_vec(),
                3 => {
                    found.code = match field.number()? {
                        0 => Code::None,
                        2 => Code::NoSuchFile,
                        3 => Code::InvalidFile,
                        _ => Code::Generic,
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.signed(1, self.id.into());
        writer.bytes(2, &self.data);
        writer.number(
            3,
            match self.code {
                Code::None => 0,
                Code::Generic => 1,
                Code::NoSuchFile => 2,
                Code::InvalidFile => 3,
            },
        );
        writer.done()
    }
}

fn sequence(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Malformed("a negative sequence"))
}
