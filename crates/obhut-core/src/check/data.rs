//! `--read-data`: packs read whole by several threads, each pack by one of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::findings::Findings;
use super::metadata::PresentPack;
use super::pack::{Fault, PackReader, WHOLE};
use super::subset::Subset;
use crate::error::{Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::index::Index;
use crate::pack::PackedBlob;
use crate::pool;
use crate::repo::Repository;
use crate::world::Random;

pub(super) fn check(
    repo: &Repository,
    index: &Index,
    packs: &[PresentPack],
    subset: &Subset,
    findings: &mut Findings<'_>,
    threads: usize,
) -> Result<()> {
    let packs = choose(packs, index, *subset, repo.random().as_ref())?;
    let counters = &findings.control.counters;
    counters.total_items.fetch_add(packs.len() as u64, Relaxed);
    counters
        .total_bytes
        .fetch_add(packs.iter().map(|p| p.size).sum(), Relaxed);
    counters.total_known.store(1, Relaxed);
    let slots = SlotsByPack::new(index);
    let (read, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let shared: &Findings<'_> = findings;
    pool::each(
        &packs,
        threads,
        shared.control,
        || {
            Ok(PackReader {
                store: repo.store().as_ref(),
                key: repo.key(),
                codec: repo.codec(),
                control: shared.control,
                whole: WHOLE,
                bytes: Vec::new(),
            })
        },
        |reader, pack| {
            let entries = slots.entries(index, pack.number);
            check_pack(
                reader,
                index.packs()[pack.number],
                pack.size,
                &entries,
                shared,
            )?;
            read.fetch_add(1, Relaxed);
            bytes.fetch_add(pack.size, Relaxed);
            shared.control.counters.items_done.fetch_add(1, Relaxed);
            shared
                .control
                .counters
                .bytes_done
                .fetch_add(pack.size, Relaxed);
            Ok(())
        },
    )?;
    findings.report.packs_read = read.into_inner();
    findings.report.bytes_read = bytes.into_inner();
    Ok(())
}

fn choose(
    packs: &[PresentPack],
    index: &Index,
    subset: Subset,
    random: &dyn Random,
) -> Result<Vec<PresentPack>> {
    let listed: Vec<(Id, u64)> = packs
        .iter()
        .map(|pack| (index.packs()[pack.number], pack.size))
        .collect();
    let mut failed = None;
    let chosen = subset.select(&listed, |n| {
        let mut bytes = [0; 8];
        if let Err(error) = random.fill(&mut bytes) {
            failed = Some(error);
        }
        (u64::from_le_bytes(bytes) % n as u64) as usize
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(chosen.into_iter().map(|at| packs[at]).collect()),
    }
}

/// A pack that fails is read a second time: a passing fault on the way is told apart from a damaged pack.
fn check_pack(
    reader: &mut PackReader<'_>,
    id: Id,
    size: u64,
    entries: &[PackedBlob],
    findings: &Findings<'_>,
) -> Result<()> {
    let Err(first) = reader.verify(id, size, entries)? else {
        return Ok(());
    };
    let name = FileName::new(FileKind::Pack, id).to_string();
    match reader.verify(id, size, entries)? {
        Ok(()) => {
            let (code, detail) = match first {
                Fault::Unreadable(error) => (error.code(), error.to_string()),
                Fault::Broken(problems) => (crate::error::Code::Damaged, problems.join("; ")),
            };
            let detail = format!("sound when read a second time; at first: {detail}");
            findings.error(Error::new(code, name, detail));
        }
        Err(Fault::Unreadable(error)) => {
            findings.error(Error::new(error.code(), name, error.detail()));
        }
        Err(Fault::Broken(problems)) => {
            findings.broken_pack(id, Error::damaged(name, problems.join("; ")));
        }
    }
    Ok(())
}

/// The slots of the index grouped by pack: four bytes a slot.
struct SlotsByPack {
    starts: Vec<usize>,
    slots: Vec<u32>,
}

impl SlotsByPack {
    fn new(index: &Index) -> Self {
        let mut starts = vec![0usize; index.packs().len() + 1];
        for slot in 0..index.len() {
            starts[index.pack_number(slot) + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        let mut next = starts.clone();
        let mut slots = vec![0u32; index.len()];
        for slot in 0..index.len() {
            let place = &mut next[index.pack_number(slot)];
            slots[*place] = slot as u32;
            *place += 1;
        }
        Self { starts, slots }
    }

    /// The blobs of a pack, by offset.
    fn entries(&self, index: &Index, pack: usize) -> Vec<PackedBlob> {
        let slots = &self.slots[self.starts[pack]..self.starts[pack + 1]];
        let mut entries: Vec<PackedBlob> = slots
            .iter()
            .map(|&slot| {
                let entry = index.entry(slot as usize);
                PackedBlob {
                    kind: entry.kind,
                    id: entry.id,
                    offset: entry.location.offset,
                    length: entry.location.length,
                    uncompressed: entry.location.uncompressed,
                }
            })
            .collect();
        entries.sort_unstable_by_key(|blob| (blob.offset, blob.length, blob.id));
        entries
    }
}
