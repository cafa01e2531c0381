//! The driver of sync: what carries out the outputs of the engine on a real network, disk and store (`docs/design/sync.md`).

pub mod daemon;
pub mod disk;
pub mod net;
pub mod store;
