//! What devices that share folders decide, each by itself and all alike (`docs/design/sync.md`). No I/O, no clock, no chance.

pub mod config;
pub mod conflict;
pub mod engine;
pub mod entry;
pub mod folder;
pub mod ignore;
pub mod index;
pub mod internal;
pub mod io;
pub mod plan;
pub mod pull;
pub mod scan;
pub mod session;
pub mod status;
pub mod versions;
pub mod winner;

mod glob;
