//! Config, keys, index files, and the packs by their names and sizes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use super::findings::Findings;
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::file::{self, IndexFile};
use crate::index::{Index, IndexBuilder};
use crate::keyfile::KeyFile;
use crate::pack::{PackedBlob, header_size};
use crate::pool;
use crate::repo::Repository;

/// A pack that is there, with its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresentPack {
    /// Its number in the index.
    pub number: usize,
    pub size: u64,
}

/// The index with what it said about marked packs.
pub(super) struct LoadedIndex {
    pub index: Index,
    pub marked: Vec<Id>,
}

pub(super) fn config_and_keys(repo: &Repository, findings: &Findings<'_>) -> Result<()> {
    let store = repo.store();
    let readable = store.get(FileName::CONFIG).and_then(|bytes| {
        let plain = repo.key().open(&bytes);
        let plain = plain.ok_or_else(|| Error::damaged("config", "the tag does not fit"))?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&plain)
            .map_err(|e| Error::damaged("config", e.to_string()))
    });
    if let Err(error) = readable {
        findings.error(error);
    }
    for key in store.list(FileKind::Key)? {
        findings.control.check()?;
        let name = FileName::new(FileKind::Key, key.id);
        let readable = store.get(name).and_then(|bytes| {
            if Id::of(&bytes) != key.id {
                return Err(Error::damaged(
                    name.to_string(),
                    "its content has another hash",
                ));
            }
            KeyFile::parse(&name.to_string(), &bytes)
        });
        if let Err(error) = readable {
            findings.error(error);
        }
    }
    Ok(())
}

/// What index files say about one pack.
struct Said {
    /// Hash of its entries in the first file.
    entries: u64,
    /// How often it is named.
    times: u32,
    /// Whether two files name different blobs for it.
    differs: bool,
}

/// Loads all index files; `None` if one of them is damaged.
pub(super) fn load_index(
    repo: &Repository,
    findings: &mut Findings<'_>,
    threads: usize,
) -> Result<Option<LoadedIndex>> {
    let files = repo.store().list(FileKind::Index)?;
    let gathered = Mutex::new((IndexBuilder::default(), HashMap::new(), Vec::new()));
    let errors_before = Mutex::new(0u64);
    let shared: &Findings<'_> = findings;
    pool::each(
        &files,
        threads,
        shared.control,
        || Ok(()),
        |(), listed| {
            let name = FileName::new(FileKind::Index, listed.id).to_string();
            match read_index(repo, &name, &listed.id) {
                Ok(parsed) => {
                    let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                    note_packs(&mut gathered.1, &parsed);
                    gathered.0.add_file(listed.id, &parsed.packs);
                    gathered
                        .2
                        .extend(parsed.packs_to_delete.iter().map(|(id, _)| *id));
                }
                Err(error) => {
                    *errors_before.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    shared.error(error);
                }
            }
            Ok(())
        },
    )?;
    let failed = errors_before
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if failed > 0 {
        findings.report.suggest_repair_index = true;
        return Ok(None);
    }
    let (builder, said, marked) = gathered
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    report_packs_named_twice(&said, findings)?;
    let index = builder.finish();
    findings.report.blobs = index.len() as u64;
    findings.report.packs = index.packs().len() as u64;
    Ok(Some(LoadedIndex { index, marked }))
}

fn read_index(repo: &Repository, name: &str, id: &Id) -> Result<IndexFile> {
    let parsed = file::parse(name, &repo.load_unpacked(FileKind::Index, id)?)?;
    file::check_version(name, repo.version(), &parsed)?;
    Ok(parsed)
}

fn note_packs(said: &mut HashMap<Id, Said>, parsed: &IndexFile) {
    for (pack, blobs) in &parsed.packs {
        let entries = hash_entries(blobs);
        let known = said.entry(*pack).or_insert(Said {
            entries,
            times: 0,
            differs: false,
        });
        known.times += 1;
        known.differs |= known.entries != entries;
    }
}

fn hash_entries(blobs: &[PackedBlob]) -> u64 {
    let mut sorted: Vec<_> = blobs
        .iter()
        .map(|b| (b.offset, b.kind, b.id, b.length, b.uncompressed))
        .collect();
    sorted.sort_unstable();
    let mut hasher = DefaultHasher::new();
    sorted.hash(&mut hasher);
    hasher.finish()
}

fn report_packs_named_twice(said: &HashMap<Id, Said>, findings: &mut Findings<'_>) -> Result<()> {
    let mut twice: Vec<_> = said.iter().filter(|(_, said)| said.times > 1).collect();
    twice.sort_unstable_by_key(|(pack, _)| **pack);
    for (pack, said) in twice {
        if said.differs {
            let name = FileName::new(FileKind::Pack, *pack).to_string();
            let detail = format!("{} index files name different blobs for it", said.times);
            findings.broken_pack(*pack, Error::damaged(name, detail));
        } else {
            findings.report.suggest_repair_index = true;
            findings.hint(&format!(
                "pack {pack} is listed {} times in index files; harmless, repairing the index removes the repetition",
                said.times
            ))?;
        }
    }
    Ok(())
}

/// Compares the packs that the index names with those that are there.
pub(super) fn packs(
    repo: &Repository,
    loaded: &LoadedIndex,
    findings: &mut Findings<'_>,
) -> Result<Vec<PresentPack>> {
    let expected = expected_sizes(&loaded.index, findings)?;
    let mut there: HashMap<Id, u64> = repo
        .store()
        .list(FileKind::Pack)?
        .into_iter()
        .map(|listed| (listed.id, listed.size))
        .collect();
    let mut present = Vec::with_capacity(expected.len());
    for (number, (pack, expected)) in loaded.index.packs().iter().zip(expected).enumerate() {
        findings.control.check()?;
        let name = || FileName::new(FileKind::Pack, *pack).to_string();
        let Some(size) = there.remove(pack) else {
            let detail = "an index names it, but it is not there";
            findings.broken_pack(*pack, Error::new(Code::FileMissing, name(), detail));
            continue;
        };
        if size != expected {
            let detail = format!("{size} bytes long, {expected} expected");
            findings.broken_pack(*pack, Error::damaged(name(), detail));
        }
        present.push(PresentPack { number, size });
    }
    for marked in &loaded.marked {
        findings.report.marked_packs += u64::from(there.remove(marked).is_some());
    }
    if !there.is_empty() {
        findings.report.orphaned_packs = there.len() as u64;
        findings.report.suggest_prune = true;
        findings.hint(&format!(
            "{} packs are named by no index file; harmless, prune removes them",
            there.len()
        ))?;
    }
    Ok(present)
}

/// The size that each pack must have by its entries; hints at packs that hold both kinds of blobs.
fn expected_sizes(index: &Index, findings: &mut Findings<'_>) -> Result<Vec<u64>> {
    let empty = header_size(std::iter::empty());
    let entry = [false, true].map(|compressed| header_size(std::iter::once(compressed)) - empty);
    let mut sizes = vec![empty; index.packs().len()];
    let mut kinds = vec![0u8; sizes.len()];
    for slot in 0..index.len() {
        let found = index.entry(slot);
        let number = index.pack_number(slot);
        let compressed = usize::from(found.location.uncompressed != 0);
        sizes[number] += u64::from(found.location.length) + entry[compressed];
        kinds[number] |= match found.kind {
            BlobKind::Data => 1,
            BlobKind::Tree => 2,
        };
    }
    for (pack, _) in index.packs().iter().zip(&kinds).filter(|(_, k)| **k == 3) {
        findings.report.suggest_prune = true;
        findings.hint(&format!(
            "pack {pack} holds both trees and data; harmless, prune separates them"
        ))?;
    }
    Ok(sizes)
}
