//! From packs to files: each planned range is read once, its blobs are opened and handed to their files.
//!
//! A blob that does not open is looked for once more where it was, then in every other pack that the
//! index names for it. Only if none of these copies is sound, the files that need it fail, and no
//! others. Bytes that did not pass the check of their hash are never written.

use super::Run;
use super::files::Files;
use super::plan::{Piece, Plan, Read};
use crate::blob::{Codec, Opener};
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
    /// Holds back at most one blob, also from read to read.
    opener: Opener<'a, Piece>,
    /// Scratch: the bytes of a read.
    sealed: Vec<u8>,
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
            opener: Opener::default(),
            sealed: Vec::new(),
            worker,
            shown: None,
        }
    }

    /// Carries out one read of the plan. One of its blobs may be delivered by the next read, or [`Fetcher::end`].
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
            let entry = run.index.entry(piece.slot);
            match (sealed, bounded(&entry)) {
                (Some(sealed), Ok(())) => {
                    let uncompressed = entry.location.uncompressed;
                    let (opener, codec) = (&mut self.opener, &mut self.codec);
                    opener.open(codec, *piece, &entry.id, sealed, uncompressed);
                }
                (_, fits) => self.recover(piece, &entry, fits.err())?,
            }
            self.deliver_ready()?;
        }
        Ok(())
    }

    /// After the last read.
    pub fn end(mut self) -> Result<()> {
        self.opener.end();
        self.deliver_ready()
    }

    fn deliver_ready(&mut self) -> Result<()> {
        while let Some((piece, opened)) = self.opener.ready() {
            match opened {
                Ok(plain) => {
                    self.deliver(&piece, Ok(&plain))?;
                    self.codec.give_back(plain);
                }
                Err(detail) => {
                    let entry = self.run.index.entry(piece.slot);
                    let error = Error::damaged(format!("blob {}", entry.id), detail);
                    self.recover(&piece, &entry, Some(error))?;
                }
            }
        }
        Ok(())
    }

    /// Delivers a blob from any sound copy; `first` is what was wrong with the first one.
    fn recover(&mut self, piece: &Piece, entry: &Entry, first: Option<Error>) -> Result<()> {
        match another_copy(self.run, piece, entry, first, &mut self.codec)? {
            Ok(plain) => self.deliver(piece, Ok(&plain)),
            Err(error) => self.deliver(piece, Err(&error)),
        }
    }

    /// Hands a blob, or that there is none, to the files that it belongs to.
    fn deliver(&mut self, piece: &Piece, opened: std::result::Result<&[u8], &Error>) -> Result<()> {
        for target in &self.plan.targets[piece.first_target..piece.end_target] {
            self.run.report.control().check()?;
            if self.shown.replace(target.file) != Some(target.file) {
                self.files.show(self.worker, target.file as usize);
            }
            let file = target.file as usize;
            match opened {
                Ok(plain) => self.files.deliver(file, plain, target.at)?,
                Err(error) => self.files.lost(file, error)?,
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

/// The content of a blob from where it was, read once more, or from another pack; the inner error is that of the
/// first copy.
fn another_copy(
    run: &Run<'_>,
    piece: &Piece,
    entry: &Entry,
    mut first: Option<Error>,
    codec: &mut Codec,
) -> Result<Result<Vec<u8>>> {
    let others = run
        .index
        .slots(entry.kind, &entry.id)
        .filter(|slot| *slot != piece.slot);
    for slot in std::iter::once(piece.slot).chain(others) {
        run.report.control().check()?;
        match again(run, &run.index.entry(slot), codec) {
            Ok(plain) => return Ok(Ok(plain)),
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
