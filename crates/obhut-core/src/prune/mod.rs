//! Prune: removes what no snapshot uses (design: `docs/design/prune.md`; facts: formats, restic 14, 18, 24).
//!
//! [`plan`] decides, purely.

mod model;
pub mod options;
pub mod plan;
pub mod stats;

#[cfg(test)]
mod plan_tests;

pub use options::{MaxUnused, PruneOptions};
pub use stats::Stats;
