//! What the index of many blobs costs: `cargo run --release --example index_memory [BLOBS] [BLOBS_A_PACK] [THREADS]`.
//!
//! Index files of the size that restic and Obhut write are made up one by one, as JSON, and read by the real
//! loader; nothing is kept of them. Prints, one a line: `name value unit`.

use std::hint::black_box;
use std::io::Write;

use obhut_core::error::Result;
use obhut_core::id::{BlobKind, Id};
use obhut_core::index::{Index, file, load};
use obhut_core::job::Control;
use obhut_core::pack::PackedBlob;

/// Numbers that look random and are the same every time (splitmix64).
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn id(kind: u64, n: u64) -> Id {
    let mut out = [0; 32];
    for (word, piece) in out.chunks_exact_mut(8).enumerate() {
        let value = scatter((n << 3 | kind << 2 | word as u64).wrapping_add(1) << 8);
        piece.copy_from_slice(&value.to_be_bytes());
    }
    Id(out)
}

/// One blob in sixteen is a tree.
fn kind(n: u64) -> BlobKind {
    if n.is_multiple_of(16) {
        BlobKind::Tree
    } else {
        BlobKind::Data
    }
}

/// The index file that names the blobs from `first` on.
fn index_file(first: u64, count: u64, a_pack: u64) -> Vec<u8> {
    let mut packs = Vec::new();
    let mut n = first;
    while n < first + count {
        let end = (n + a_pack).min(first + count);
        let mut offset = 0;
        let mut blobs = Vec::new();
        for n in n..end {
            let uncompressed = 300 + (scatter(n) % (1 << 20)) as u32;
            let length = uncompressed / 3 + 32;
            blobs.push(PackedBlob {
                kind: kind(n),
                id: id(0, n),
                offset,
                length,
                uncompressed,
            });
            offset += length;
        }
        packs.push((id(1, n), blobs));
        n = end;
    }
    file::encode(&packs)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measuring is what this program is for"
)]
fn clock(id: rustix::time::ClockId) -> f64 {
    let time = rustix::time::clock_gettime(id);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds that pass, and seconds of processor time of all threads.
fn now() -> (f64, f64) {
    use rustix::time::ClockId::{Monotonic, ProcessCPUTime};
    (clock(Monotonic), clock(ProcessCPUTime))
}

/// A figure of `/proc/self/status`, in bytes.
fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

fn line(name: &str, value: f64, unit: &str) {
    let _ = writeln!(std::io::stdout(), "{name:<40} {value:>12.2} {unit}");
}

/// Nanoseconds a call of `look` for the blobs `from..`, in a scattered order.
fn lookups(name: &str, threads: u64, blobs: u64, from: u64, look: &(dyn Fn(Id, BlobKind) + Sync)) {
    let each = 2_000_000;
    let began = now().0;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for call in 0..each {
                    let n = from + scatter(call * threads + thread) % blobs;
                    look(id(0, n), kind(n));
                }
            });
        }
    });
    let seconds = now().0 - began;
    line(name, seconds * 1e9 / each as f64, "ns a call of one thread");
}

fn measure_lookups(index: &Index, blobs: u64) {
    for threads in [1, 2] {
        let suffix = format!("{threads} thread(s)");
        lookups(
            &format!("making an id, {suffix}"),
            threads,
            blobs,
            0,
            &|id, kind| {
                black_box((id, kind));
            },
        );
        lookups(
            &format!("known blob, {suffix}"),
            threads,
            blobs,
            0,
            &|id, kind| {
                let found = index.contains(kind, &id);
                assert!(found, "a blob is missing");
            },
        );
        lookups(
            &format!("place of a known blob, {suffix}"),
            threads,
            blobs,
            0,
            &|id, kind| {
                black_box(index.get(kind, &id));
            },
        );
        lookups(
            &format!("unknown blob, {suffix}"),
            threads,
            blobs,
            blobs,
            &|id, kind| {
                let found = index.contains(kind, &id);
                assert!(!found, "an unknown blob was found");
            },
        );
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .map_while(|text| text.parse::<u64>().ok());
    let blobs = arguments.next().unwrap_or(20_000_000).max(1);
    let a_pack = arguments.next().unwrap_or(100).max(1);
    let threads = arguments.next().unwrap_or(2).max(1);
    obhut_core::process::return_memory();
    let full = file::FULL as u64;
    let ids: Vec<Id> = (0..blobs.div_ceil(full))
        .map(|n| id(1, u64::MAX - n))
        .collect();
    let place: std::collections::HashMap<Id, u64> = ids.iter().copied().zip(0..).collect();
    let read = |id: &Id| {
        let first = place[id] * full;
        Ok(index_file(first, full.min(blobs - first), a_pack))
    };
    // What making the files up costs is not the loader's.
    let sample = ids.iter().take(20);
    let began = now();
    let bytes: usize = sample
        .clone()
        .filter_map(|id| read(id).ok())
        .map(|json| json.len())
        .sum();
    let making = (now().1 - began.1) / sample.len() as f64 * ids.len() as f64;
    line("blobs", blobs as f64, "");
    line(
        "JSON",
        bytes as f64 / sample.len() as f64 * ids.len() as f64 / 1e6,
        "MB",
    );
    let before = status("VmRSS:");
    let began = now();
    let index = load::load(&ids, 2, threads as usize, &Control::new(), &read)?;
    let (wall, cpu) = (now().0 - began.0, now().1 - began.1);
    line(
        "load, without making the files",
        wall - making / threads as f64,
        "s",
    );
    line("load, processor time", cpu - making, "s");
    line("entries", index.len() as f64, "");
    line(
        "peak while loading",
        (status("VmHWM:") - before) / blobs as f64,
        "B a blob",
    );
    line(
        "loaded",
        (status("VmRSS:") - before) / blobs as f64,
        "B a blob",
    );
    measure_lookups(&index, blobs);
    Ok(())
}
