//! The Block Exchange Protocol v1 of Syncthing, as bytes and values (formats: bep; `docs/design/sync.md`).
//!
//! Nothing here reads or writes anything, and nothing here trusts a length, a count or a name: what a peer sends is bounded
//! before it is taken apart, and whatever breaks a rule for which Syncthing ends a connection is an [`Error`].

mod announce;
mod blocks;
mod error;
mod file;
mod frame;
pub mod fuzzing;
mod hello;
mod id;
mod message;
mod name;
mod vector;
mod wire;

pub use announce::Announce;
pub use blocks::{Blocks, HASH, LARGEST_BLOCK, SMALLEST_BLOCK, block_size, digest};
pub use error::{Error, Result};
pub use file::{FileInfo, Kind};
pub use frame::{Compression, Frames, LARGEST_MESSAGE, encode_frame};
pub use hello::{Hello, LARGEST_HELLO};
pub use id::{DeviceId, ShortId};
pub use message::{
    ClusterConfig, Code, Device, Folder, Index, LARGEST_REQUEST, Message, Request, Response,
    StopReason,
};
pub use name::check_name;
pub use vector::{Ordering, Vector};
