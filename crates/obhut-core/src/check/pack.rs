//! One pack read whole: its name, its header, every blob (formats: restic 7).

use std::borrow::Cow;
use std::collections::HashSet;

use crate::blob::{Codec, Opener};
use crate::crypto::Key;
use crate::error::{Code, Error, Result};
use crate::id::{FileKind, FileName, Id};
use crate::job::Control;
use crate::pack::{PackedBlob, parse_header};
use crate::sha256::Hasher;
use crate::store::Store;

/// Packs up to this size are read in one piece; larger ones (legal up to 4 GiB) in windows and by blob.
pub(super) const WHOLE: u64 = 64 << 20;
/// Bytes read at once of larger packs.
const WINDOW: u64 = 8 << 20;
/// A wrong index entry is often one of thousands; more of a kind than this say nothing new.
const SHOWN: usize = 8;

/// Why a pack failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The storage did not give it; says nothing about its content.
    Unreadable(Error),
    /// Its content is wrong; what exactly.
    Broken(Vec<String>),
}

/// Reads packs for one thread.
pub(super) struct PackReader<'a> {
    pub store: &'a dyn Store,
    pub key: &'a Key,
    pub codec: Codec,
    pub control: &'a Control,
    /// [`WHOLE`], except in tests.
    pub whole: u64,
    /// Scratch: the bytes of a pack.
    pub bytes: Vec<u8>,
}

enum Content<'a> {
    Whole(&'a [u8]),
    Windows(FileName),
}

impl PackReader<'_> {
    /// Checks pack `id` of `size` bytes against its index entries, which are sorted by offset. The inner
    /// result is the judgement; the outer error ends the check (cancelled).
    pub fn verify(
        &mut self,
        id: Id,
        size: u64,
        entries: &[PackedBlob],
    ) -> Result<std::result::Result<(), Fault>> {
        match self.problems(id, size, entries) {
            Ok(problems) if problems.is_empty() => Ok(Ok(())),
            Ok(problems) => Ok(Err(Fault::Broken(problems))),
            Err(error) if error.code() == Code::Cancelled => Err(error),
            Err(error) => Ok(Err(Fault::Unreadable(error))),
        }
    }

    fn problems(&mut self, id: Id, size: u64, entries: &[PackedBlob]) -> Result<Vec<String>> {
        // Taken out for as long as it is read; lost with an error, which costs a new one.
        let mut bytes = std::mem::take(&mut self.bytes);
        let problems = self.problems_with(&mut bytes, id, size, entries)?;
        self.bytes = bytes;
        Ok(problems)
    }

    fn problems_with(
        &mut self,
        bytes: &mut Vec<u8>,
        id: Id,
        size: u64,
        entries: &[PackedBlob],
    ) -> Result<Vec<String>> {
        let name = FileName::new(FileKind::Pack, id);
        let mut problems = Vec::new();
        // The hash of a pack is taken while its blobs' are; of one read in windows it is there before.
        let (content, size, mut opener, hash) = if size <= self.whole {
            self.store.get_into(name, bytes)?;
            let bytes = bytes.as_slice();
            let size = bytes.len() as u64;
            (Content::Whole(bytes), size, Opener::beside(bytes), None)
        } else {
            let hash = self.hash_windows(name, size)?;
            (Content::Windows(name), size, Opener::default(), Some(hash))
        };
        match self.header(&name.to_string(), &content, size)? {
            Ok(header) => compare(&header, entries, &mut problems),
            Err(problem) => problems.push(problem),
        }
        for blob in entries {
            self.control.check()?;
            if let Some(problem) = self.blob(&content, size, blob, &mut opener)? {
                problems.push(problem);
            }
            self.judged(&mut opener, &mut problems);
        }
        opener.end();
        self.judged(&mut opener, &mut problems);
        let hash = hash.unwrap_or_else(|| opener.into_hash()).finish();
        if hash != id {
            problems.insert(0, format!("its content has the hash {hash}"));
        }
        Ok(problems)
    }

    fn hash_windows(&self, name: FileName, size: u64) -> Result<Hasher> {
        let mut hash = Hasher::default();
        let mut at = 0;
        while at < size {
            self.control.check()?;
            let length = WINDOW.min(size - at);
            hash.update(&self.store.get_range(name, at, length as usize)?);
            at += length;
        }
        Ok(hash)
    }

    fn slice<'c>(&self, content: &Content<'c>, at: u64, length: u64) -> Result<Cow<'c, [u8]>> {
        match content {
            Content::Whole(bytes) => Ok(Cow::Borrowed(&bytes[at as usize..(at + length) as usize])),
            Content::Windows(name) => Ok(Cow::Owned(self.store.get_range(
                *name,
                at,
                length as usize,
            )?)),
        }
    }

    /// The header's entries, or what is wrong with it.
    fn header(
        &self,
        name: &str,
        content: &Content<'_>,
        size: u64,
    ) -> Result<std::result::Result<Vec<PackedBlob>, String>> {
        let mut wanted = 4096.min(size);
        loop {
            let tail = self.slice(content, size - wanted, wanted)?;
            match parse_header(name, self.key, size, &tail) {
                Ok(Ok(blobs)) => return Ok(Ok(blobs)),
                Ok(Err(more)) if more as u64 > wanted && more as u64 <= size => {
                    wanted = more as u64;
                }
                Ok(Err(_)) => return Ok(Err("its header does not fit into it".to_owned())),
                Err(error) => return Ok(Err(format!("header: {}", error.detail()))),
            }
        }
    }

    /// Opens a blob, or says why that is not possible.
    fn blob(
        &mut self,
        content: &Content<'_>,
        size: u64,
        blob: &PackedBlob,
        opener: &mut Opener<'_, Id>,
    ) -> Result<Option<String>> {
        let (at, length) = (u64::from(blob.offset), u64::from(blob.length));
        if at + length > size {
            return Ok(Some(format!("blob {} lies beyond its end", blob.id)));
        }
        let sealed = self.slice(content, at, length)?;
        opener.open(
            &mut self.codec,
            blob.id,
            &blob.id,
            &sealed,
            blob.uncompressed,
        );
        Ok(None)
    }

    /// Notes what is wrong with the blobs that are done.
    fn judged(&mut self, opener: &mut Opener<'_, Id>, problems: &mut Vec<String>) {
        while let Some((id, opened)) = opener.ready() {
            match opened {
                Ok(plain) => self.codec.give_back(plain),
                Err(detail) => problems.push(format!("blob {id}: {detail}")),
            }
        }
    }
}

/// Whether the header and the index say the same, and without gaps.
fn compare(header: &[PackedBlob], entries: &[PackedBlob], problems: &mut Vec<String>) {
    let mut end = 0;
    if entries.iter().any(|blob| {
        let gap = blob.offset != end;
        end = blob.offset.saturating_add(blob.length);
        gap
    }) {
        problems.push("its blobs in the index leave gaps or overlap".to_owned());
    }
    if header == entries {
        return;
    }
    let key = |blob: &PackedBlob| {
        (
            blob.offset,
            blob.kind,
            blob.id,
            blob.length,
            blob.uncompressed,
        )
    };
    let in_header: HashSet<_> = header.iter().map(key).collect();
    let in_index: HashSet<_> = entries.iter().map(key).collect();
    let unknown = header.iter().filter(|blob| !in_index.contains(&key(blob)));
    for blob in unknown.take(SHOWN) {
        problems.push(format!(
            "blob {} of its header is not so in the index",
            blob.id
        ));
    }
    let foreign = entries
        .iter()
        .filter(|blob| !in_header.contains(&key(blob)));
    for blob in foreign.take(SHOWN) {
        problems.push(format!(
            "blob {} of the index is not so in its header",
            blob.id
        ));
    }
}
