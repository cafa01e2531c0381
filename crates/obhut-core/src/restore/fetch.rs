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

/// Carries out one read of the plan.
pub fn fetch(
    run: &Run<'_>,
    files: &Files<'_>,
    plan: &Plan,
    read: &Read,
    codec: &mut Codec,
) -> Result<()> {
    let control = run.report.control();
    let pieces = &plan.pieces[read.first_piece..read.end_piece];
    let name = FileName::new(FileKind::Pack, run.index.packs()[read.pack]);
    let bounded = pieces.len() > 1 || pieces.iter().all(|p| p.length <= LONGEST);
    let whole = if bounded {
        match run
            .repo
            .store()
            .get_range(name, read.offset, read.length as usize)
        {
            Ok(bytes) => Some(bytes),
            Err(error) if ends_the_fetch(&error) => return Err(error),
            // One damaged place must not cost the other blobs of the range.
            Err(_) => None,
        }
    } else {
        None
    };
    for piece in pieces {
        control.check()?;
        let start = (u64::from(piece.offset) - read.offset) as usize;
        let sealed = whole
            .as_ref()
            .and_then(|bytes| bytes.get(start..start + piece.length as usize));
        match open(run, piece, sealed, codec)? {
            Ok(content) => {
                for target in &plan.targets[piece.first_target..piece.end_target] {
                    control.check()?;
                    files.deliver(target.file as usize, &content, target.at)?;
                }
            }
            Err(error) => {
                for target in &plan.targets[piece.first_target..piece.end_target] {
                    files.lost(target.file as usize, &error)?;
                }
            }
        }
    }
    Ok(())
}

/// The plaintext of a blob from any sound copy; the inner error is that of the first copy.
fn open(
    run: &Run<'_>,
    piece: &Piece,
    sealed: Option<&[u8]>,
    codec: &mut Codec,
) -> Result<Result<Vec<u8>>> {
    let entry = run.index.entry(piece.slot);
    let mut first = None;
    if let Some(sealed) = sealed {
        match bounded(&entry).and_then(|()| {
            run.repo
                .open_blob(codec, &entry.id, &entry.location, sealed)
        }) {
            Ok(plain) => return Ok(Ok(plain)),
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
