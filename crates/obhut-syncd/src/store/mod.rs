//! The store: entries, sequences and lives of them, in `SQLite`, one file a folder.
//!
//! It is disposable (`docs/design/sync.md`, State): what is refused as [`Error::Damaged`] is set aside with [`set_aside`],
//! and begun anew. What it gives back is what was committed or nothing: each row carries a check of its bytes.

mod aside;
mod codec;
pub mod contract;
mod error;
mod sqlite;

pub use aside::set_aside;
pub use error::{Error, Result};
pub use sqlite::Store;
