//! The byte engine of Obhut: restic-format repositories on any [`store::Store`].
//!
//! Layers, lower ones know nothing of higher ones:
//! `error id world job accounts` → `durable store` → `gojson gotime crypto age worm keyfile chunker compress blob pack` →
//! `tree snapshot index` → `repo lock packer` → `fs filter` → `backup restore check prune ls`.

pub mod accounts;
pub mod age;
pub mod backup;
pub mod blob;
pub mod buffer;
pub mod check;
pub mod chunker;
pub mod compress;
pub mod crypto;
pub mod durable;
pub mod ed25519;
pub mod error;
pub mod filter;
pub mod fs;
#[doc(hidden)]
pub mod fuzzing;
pub mod gojson;
pub mod gotime;
pub mod id;
pub mod index;
pub mod job;
pub mod keyfile;
pub mod lock;
pub mod ls;
pub mod pack;
pub mod packer;
pub mod pipe;
pub mod polynomial;
pub mod pool;
pub mod process;
pub mod prune;
pub mod repo;
pub mod restore;
pub mod selftest;
pub mod sha256;
pub mod snapshot;
#[cfg(test)]
mod stages;
pub mod store;
#[cfg(test)]
pub(crate) mod testkit;
pub mod tree;
pub mod walk;
pub mod world;
pub mod worm;
