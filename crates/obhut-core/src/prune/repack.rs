//! Step 1: copies what is used out of packs that will go. Nothing is removed; a stop leaves duplicates.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::make::{Plan, Stage};
use crate::blob::{Codec, Sealed};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::{Entry, Index};
use crate::job::Control;
use crate::pack::SealedBlob;
use crate::packer::BlobWriter;
use crate::pool;
use crate::repo::Repository;

/// Neighbouring blobs are read at once if no more than this lies between them …
const GAP: u32 = 256 << 10;
/// … and the whole is not longer than this.
const PART: u32 = 16 << 20;

/// What repacking has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepackReport {
    /// Packs out of which blobs were copied.
    pub packs: u64,
    /// Blobs copied.
    pub blobs: u64,
    /// Packs written.
    pub packs_written: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Index files written.
    pub indexes_written: u64,
}

/// What is copied out of one pack, by offset.
struct Source {
    pack: Id,
    slots: Vec<u32>,
}

impl Plan {
    /// Copies the chosen blobs of repacked packs into new packs and saves the index files that name these.
    /// Refuses an append-only repository, of which a plan alone may be made (a dry run).
    pub fn repack(
        &mut self,
        repo: &Arc<Repository>,
        control: &Arc<Control>,
        threads: usize,
    ) -> Result<RepackReport> {
        self.begin(Stage::Planned)?;
        if repo.is_append_only() {
            let place = repo.store().location();
            return Err(Error::new(Code::PermissionDenied, place, "append-only"));
        }
        let threads = pool::threads(threads);
        let sources = self.sources();
        let wanted = self.decisions.copy.count();
        control.counters.phase.store(3, Relaxed);
        control
            .counters
            .total_items
            .fetch_add(sources.len() as u64, Relaxed);
        if wanted == 0 {
            self.stage = Stage::Repacked;
            return Ok(RepackReport::default());
        }
        let nothing_known = Arc::new(Index::default());
        let writer = BlobWriter::new(
            Arc::clone(repo),
            nothing_known,
            Arc::clone(control),
            threads,
            false,
        )?;
        let copying = Copier {
            repo,
            index: &self.index,
            writer: &writer,
            control,
            recompress_data: self.options.repack_uncompressed,
        };
        pool::each(
            &sources,
            threads,
            control,
            || Ok(Tools::new(repo)),
            |tools, source| copying.copy_pack(tools, source),
        )?;
        let written = writer.finish()?;
        let copied = written.data_blobs + written.tree_blobs;
        if copied != wanted {
            let text = format!("{copied} of {wanted} blobs were copied");
            return Err(Error::internal(text));
        }
        self.stage = Stage::Repacked;
        Ok(RepackReport {
            packs: sources.len() as u64,
            blobs: copied,
            packs_written: written.packs,
            bytes_written: written.packed_bytes,
            indexes_written: written.indexes.len() as u64,
        })
    }

    /// What is copied, by pack and offset: four bytes a blob.
    fn sources(&self) -> Vec<Source> {
        let mut slots: Vec<u32> = (0..self.index.len())
            .filter(|&slot| self.decisions.copy.get(slot))
            .map(|slot| slot as u32)
            .collect();
        let place = |slot: u32| {
            let slot = slot as usize;
            let offset = self.index.entry(slot).location.offset;
            (self.index.pack_number(slot), offset)
        };
        slots.sort_unstable_by_key(|&slot| place(slot));
        slots
            .chunk_by(|a, b| place(*a).0 == place(*b).0)
            .map(|slots| Source {
                pack: self.index.packs()[place(slots[0]).0],
                slots: slots.to_vec(),
            })
            .collect()
    }
}

struct Copier<'a> {
    repo: &'a Arc<Repository>,
    index: &'a Index,
    writer: &'a BlobWriter,
    control: &'a Control,
    recompress_data: bool,
}

impl Copier<'_> {
    fn copy_pack(&self, tools: &mut Tools, source: &Source) -> Result<()> {
        let slots = source.slots.iter();
        let blobs: Vec<Entry> = slots.map(|s| self.index.entry(*s as usize)).collect();
        let mut rest = blobs.as_slice();
        while !rest.is_empty() {
            self.control.check()?;
            let (part, tail) = rest.split_at(part_length(rest));
            self.copy_part(tools, source.pack, part)?;
            rest = tail;
        }
        self.control.counters.items_done.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Copies blobs that lie near each other with one read.
    fn copy_part(&self, tools: &mut Tools, pack: Id, part: &[Entry]) -> Result<()> {
        let start = part[0].location.offset;
        let end = part.iter().map(end_of).max().unwrap_or(start);
        let name = FileName::new(FileKind::Pack, pack);
        let length = (end - start) as usize;
        // Taken out while the blobs are copied from it.
        let mut bytes = std::mem::take(&mut tools.bytes);
        let store = self.repo.store();
        let read = match store.get_range_into(name, u64::from(start), length, &mut bytes) {
            Ok(()) => true,
            Err(error) => {
                self.note(name, error)?;
                false
            }
        };
        for blob in part {
            self.control.check()?;
            let from = (blob.location.offset - start) as usize;
            let sealed = read.then(|| &bytes[from..from + blob.location.length as usize]);
            self.copy_blob(tools, name, blob, sealed)?;
        }
        tools.bytes = bytes;
        self.control
            .counters
            .bytes_done
            .fetch_add(length as u64, Relaxed);
        Ok(())
    }

    /// Copies one blob: as it is if it opens and hashes right, else from another copy of it.
    fn copy_blob(
        &self,
        tools: &mut Tools,
        pack: FileName,
        blob: &Entry,
        sealed: Option<&[u8]>,
    ) -> Result<()> {
        let (codec, plain, out) = (&mut tools.codec, &mut tools.plain, &mut tools.sealed);
        let uncompressed = blob.location.uncompressed;
        let opened = sealed.map(|sealed| {
            codec
                .open_into(&blob.id, sealed, uncompressed, plain)
                .map(|()| sealed)
        });
        match opened {
            Some(Ok(sealed)) if !self.must_recompress(blob) => {
                let copy = SealedBlob {
                    kind: blob.kind,
                    id: blob.id,
                    bytes: sealed,
                    uncompressed,
                    proved: true,
                };
                self.writer.put_blob(&copy, plain.len() as u64)?;
                return Ok(());
            }
            Some(Ok(_)) => codec.seal_into(blob.kind, &blob.id, plain, out)?,
            failed => {
                if let Some(Err(error)) = failed {
                    self.note(pack, error)?;
                }
                *plain = self
                    .repo
                    .load_blob(codec, self.index, blob.kind, &blob.id)?;
                codec.seal_into(blob.kind, &blob.id, plain, out)?;
            }
        }
        let length = plain.len() as u64;
        self.writer.put(blob.kind, blob.id, length, out)?;
        Ok(())
    }

    fn must_recompress(&self, blob: &Entry) -> bool {
        self.repo.version() >= 2
            && blob.location.uncompressed == 0
            && (blob.kind == BlobKind::Tree || self.recompress_data)
    }

    /// A copy could not be read: the user is told; whether there is another one will be seen.
    fn note(&self, pack: FileName, error: Error) -> Result<()> {
        if error.code() == Code::Cancelled {
            return Err(error);
        }
        let error = Error::new(error.code(), pack.to_string(), error.to_string());
        self.control.item_error(pack.to_string(), "repack", error);
        Ok(())
    }
}

/// What a thread copies with.
struct Tools {
    codec: Codec,
    /// Scratch: the bytes of a read.
    bytes: Vec<u8>,
    /// Scratch: the plaintext of a blob.
    plain: Vec<u8>,
    /// Scratch: a blob on its way into a pack.
    sealed: Sealed,
}

impl Tools {
    fn new(repo: &Repository) -> Self {
        Self {
            codec: repo.codec(),
            bytes: Vec::new(),
            plain: Vec::new(),
            sealed: Sealed::default(),
        }
    }
}

fn end_of(blob: &Entry) -> u32 {
    blob.location.offset.saturating_add(blob.location.length)
}

/// How many of the next blobs (at least one) are read together.
fn part_length(blobs: &[Entry]) -> usize {
    let start = blobs[0].location.offset;
    let mut end = end_of(&blobs[0]);
    for (n, blob) in blobs.iter().enumerate().skip(1) {
        let far = blob.location.offset.saturating_sub(end) > GAP;
        if far || end_of(blob) - start > PART {
            return n;
        }
        end = end.max(end_of(blob));
    }
    blobs.len()
}
