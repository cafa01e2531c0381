//! From packs to files: each planned range is read once, its blobs are opened and handed to their files.
//!
//! A blob that does not open is looked for once more where it was, then in every other pack that the
//! index names for it. Only if none of these copies is sound, the files that need it fail, and no
//! others. Bytes that did not pass the check of their hash are never written.

use super::Run;
use super::files::Files;
use super::plan::{Piece, Plan, Read};
use crate::blob::Codec;
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName};
use crate::index::Entry;

/// Longest blob that is taken into memory; restic cuts at 8 MiB.
const LONGEST: u32 = 512 << 20;

/// What a thread fetches with.
pub struct Fetcher<'a> {
    run: &'a Run<'a>,
    files: &'a Files<'a>,
    plan: &'a Plan,
    codec: Codec,
    /// Scratch: the bytes of a read.
    sealed: Vec<u8>,
    /// Scratch: the plaintext of a blob.
    plain: Vec<u8>,
    worker: usize,
    /// The file that the display shows for this thread.
    shown: Option<u32>,
}

impl<'a> Fetcher<'a> {
    /// For the thread number `worker`.
    pub fn new(run: &'a Run<'a>, files: &'a Files<'a>, plan: &'a Plan, worker: usize) -> Self {
        Self {
            run,
            files,
            plan,
            codec: run.repo.codec(),
            sealed: Vec::new(),
            plain: Vec::new(),
            worker,
            shown: None,
        }
    }

    /// Carries out one read of the plan.
    pub fn fetch(&mut self, read: &Read) -> Result<()> {
        let (run, plan) = (self.run, self.plan);
        let pieces = &plan.pieces[read.first_piece..read.end_piece];
        let whole = whole(run, read, pieces, &mut self.sealed)?;
        for piece in pieces {
            run.report.control().check()?;
            let start = (u64::from(piece.offset) - read.offset) as usize;
            let sealed = whole
                .then(|| self.sealed.get(start..start + piece.length as usize))
                .flatten();
            let opened = open(run, piece, sealed, &mut self.codec, &mut self.plain)?;
            for target in &plan.targets[piece.first_target..piece.end_target] {
                run.report.control().check()?;
                if self.shown.replace(target.file) != Some(target.file) {
                    self.files.show(self.worker, target.file as usize);
                }
                match &opened {
                    Ok(()) => {
                        self.files
                            .deliver(target.file as usize, &self.plain, target.at)?;
                    }
                    Err(error) => self.files.lost(target.file as usize, error)?,
                }
            }
        }
        Ok(())
    }
}

/// Reads the bytes of a read into `out`; `false` if its blobs have to be had one by one.
fn whole(run: &Run<'_>, read: &Read, pieces: &[Piece], out: &mut Vec<u8>) -> Result<bool> {
    if pieces.len() == 1 && pieces[0].length > LONGEST {
        return Ok(false);
    }
    let name = FileName::new(FileKind::Pack, run.index.packs()[read.pack]);
    let store = run.repo.store();
    match store.get_range_into(name, read.offset, read.length as usize, out) {
        Ok(()) => Ok(true),
        Err(error) if ends_the_fetch(&error) => Err(error),
        // One damaged place must not cost the other blobs of the range.
        Err(_) => Ok(false),
    }
}

/// Puts the plaintext of a blob from any sound copy into `out`; the inner error is that of the first copy.
fn open(
    run: &Run<'_>,
    piece: &Piece,
    sealed: Option<&[u8]>,
    codec: &mut Codec,
    out: &mut Vec<u8>,
) -> Result<Result<()>> {
    let entry = run.index.entry(piece.slot);
    let mut first = None;
    if let Some(sealed) = sealed {
        let uncompressed = entry.location.uncompressed;
        match bounded(&entry).and_then(|()| codec.open_into(&entry.id, sealed, uncompressed, out)) {
            Ok(()) => return Ok(Ok(())),
            Err(error) => first = Some(error),
        }
    }
    let others = run
        .index
        .slots(entry.kind, &entry.id)
        .filter(|slot| *slot != piece.slot);
    for slot in std::iter::once(piece.slot).chain(others) {
        run.report.control().check()?;
        match again(run, &run.index.entry(slot), codec) {
            Ok(plain) => {
                *out = plain;
                return Ok(Ok(()));
            }
            Err(error) if ends_the_fetch(&error) => return Err(error),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Ok(Err(first.unwrap_or_else(|| {
        Error::internal("a blob without a copy was planned")
    })))
}

fn again(run: &Run<'_>, entry: &Entry, codec: &mut Codec) -> Result<Vec<u8>> {
    bounded(entry)?;
    let location = &entry.location;
    let name = FileName::new(FileKind::Pack, location.pack);
    let sealed =
        run.repo
            .store()
            .get_range(name, u64::from(location.offset), location.length as usize)?;
    run.repo.open_blob(codec, &entry.id, location, &sealed)
}

fn bounded(entry: &Entry) -> Result<()> {
    if entry.location.length > LONGEST || entry.location.uncompressed > LONGEST {
        let object = format!("data {}", entry.id);
        return Err(Error::new(Code::LimitExceeded, object, "blob over 512 MiB"));
    }
    Ok(())
}

/// The storage as a whole does not answer, or we are asked to stop: no other copy will help.
fn ends_the_fetch(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Cancelled | Code::Unavailable | Code::Internal | Code::LockLost
    )
}
