//! What devices that share folders decide, each by itself and all alike (`docs/design/sync.md`). No I/O, no clock, no chance.

pub mod config;
pub mod conflict;
pub mod ignore;
pub mod internal;
pub mod io;
pub mod versions;
pub mod winner;

mod glob;
