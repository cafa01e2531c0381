//! Prune: removes what no snapshot uses (design: `docs/design/prune.md`; facts: formats, restic 14, 18, 24).
//!
//! [`plan::decide`] decides, purely. A [`Plan`] is made and carried out in steps, between which the caller
//! changes locks: [`Plan::make`] and [`Plan::repack`] under a shared lock, [`Plan::swap_index`] under an
//! exclusive one, [`Plan::delete_packs`] under a shared one or none. After a stop at any instant the
//! repository is valid; a step that failed cannot be continued, a new plan can be made.

mod delete;
mod make;
pub mod marked;
mod model;
pub mod options;
pub mod plan;
mod repack;
mod rewrite;
mod select;
pub mod stats;
mod swap;
mod tally;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod testworld;

pub use delete::DeleteReport;
pub use make::{Plan, PlanSummary};
pub use options::{MaxUnused, PruneOptions};
pub use repack::RepackReport;
pub use stats::Stats;
pub use swap::SwapReport;
