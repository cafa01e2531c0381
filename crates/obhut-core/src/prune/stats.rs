//! The figures of a plan, in the shape of restic's newest `prune --json` summary (formats: restic 23).

use std::fmt::Write as _;

use serde::Serialize;

/// Counts of blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlobStats {
    /// Blobs that a snapshot uses, each counted once.
    pub used: u64,
    /// Further copies of used blobs.
    pub duplicate: u64,
    /// Copies that nothing uses.
    pub unused: u64,
    /// All copies.
    pub total: u64,
    /// Copies in packs to repack.
    pub repack: u64,
    /// Of those, the ones that will not be copied.
    pub repack_remove: u64,
    /// Copies in packs to delete.
    pub remove: u64,
    /// All copies that go.
    pub remove_total: u64,
    /// Copies that stay.
    pub remaining: u64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByteStats {
    /// Of used blobs.
    pub used: u64,
    /// Of further copies of used blobs.
    pub duplicate: u64,
    /// Of unused copies.
    pub unused: u64,
    /// Of packs that no index names.
    pub unreferenced: u64,
    /// Of packs that hold uncompressed blobs and stay (0 in version 1).
    pub uncompressed: u64,
    /// Of everything.
    pub total: u64,
    /// Of packs to repack.
    pub repack: u64,
    /// Of blobs that repacking drops.
    pub repack_remove: u64,
    /// Of packs to delete.
    pub remove: u64,
    /// Of everything that goes.
    pub remove_total: u64,
    /// Of everything that stays.
    pub remaining: u64,
    /// Of unused copies that stay.
    pub remaining_unused: u64,
}

/// Counts of packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackStats {
    /// Wholly in use.
    pub used: u64,
    /// Without a used blob.
    pub unused: u64,
    /// With used and unused blobs.
    pub partly_used: u64,
    /// Named by no index.
    pub unreferenced: u64,
    /// All.
    pub total: u64,
    /// Stay as they are.
    pub keep: u64,
    /// To repack.
    pub repack: u64,
    /// To delete.
    pub remove: u64,
    /// To delete, with those that no index names.
    pub remove_total: u64,
}

/// The figures of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Blobs.
    pub blobs: BlobStats,
    /// Bytes.
    pub bytes: ByteStats,
    /// Packs.
    pub packfiles: PackStats,
}

impl Stats {
    /// Fills in the sums once every pack is decided.
    pub(super) fn total_up(&mut self) {
        self.bytes.remaining_unused = self.unused_left();
        let (blobs, bytes, packs) = (&mut self.blobs, &mut self.bytes, &mut self.packfiles);
        blobs.total = blobs.used + blobs.unused + blobs.duplicate;
        blobs.remove_total = blobs.remove + blobs.repack_remove;
        blobs.remaining = blobs.total - blobs.remove_total;
        bytes.total = bytes.used + bytes.duplicate + bytes.unused + bytes.unreferenced;
        bytes.remove_total = bytes.remove + bytes.repack_remove + bytes.unreferenced;
        bytes.remaining = bytes.total - bytes.remove_total;
        packs.total = packs.used + packs.partly_used + packs.unused + packs.unreferenced;
        packs.remove_total = packs.unreferenced + packs.remove;
    }

    /// Unused bytes that stay under the decisions so far.
    pub(super) fn unused_left(&self) -> u64 {
        let bytes = &self.bytes;
        bytes.duplicate + bytes.unused - bytes.remove - bytes.repack_remove
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let (blobs, bytes, packs) = (&self.blobs, &self.bytes, &self.packfiles);
        let mut out = String::new();
        let mut row = |label: &str, count: Option<u64>, size: u64| {
            let count = count.map_or_else(String::new, |n| format!("{n} blobs"));
            let _ = writeln!(out, "{label:<22}{count:>18}  {:>12}", human(size));
        };
        row("in use", Some(blobs.used), bytes.used);
        row("duplicate", Some(blobs.duplicate), bytes.duplicate);
        row("unused", Some(blobs.unused), bytes.unused);
        row("in packs not indexed", None, bytes.unreferenced);
        row("total", Some(blobs.total), bytes.total);
        row("will be repacked", Some(blobs.repack), bytes.repack);
        row(
            "  of it removed",
            Some(blobs.repack_remove),
            bytes.repack_remove,
        );
        row(
            "will be deleted",
            Some(blobs.remove),
            bytes.remove + bytes.unreferenced,
        );
        row(
            "removed in all",
            Some(blobs.remove_total),
            bytes.remove_total,
        );
        row("remaining", Some(blobs.remaining), bytes.remaining);
        row("unused afterwards", None, bytes.remaining_unused);
        if bytes.uncompressed > 0 {
            row("not compressed", None, bytes.uncompressed);
        }
        let _ = writeln!(
            out,
            "packs: {} of {} kept, {} repacked, {} deleted, {} not indexed deleted",
            packs.keep, packs.total, packs.repack, packs.remove, packs.unreferenced
        );
        out
    }
}

/// A size with a binary unit.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.3} {}", UNITS[unit])
}
