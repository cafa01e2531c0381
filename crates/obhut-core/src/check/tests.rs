//! Every kind of damage is found and named; what is sound is not complained about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;

use super::pack::{Fault, PackReader};
use super::{CheckOptions, CheckReport, Subset, check};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::{Index, file};
use crate::job::Control;
use crate::pack::PackedBlob;
use crate::packer::BlobWriter;
use crate::prune::testworld::{World, chunk, content};
use crate::store::{Capabilities, Listed, Store};

fn world() -> World {
    let mut world = World::new();
    world.backup(&content(&[(0, 0, &[1, 2, 3]), (1, 0, &[4])]), world.index());
    world.backup(&content(&[(0, 0, &[1, 5]), (2, 1, &[6])]), world.index());
    world
}

/// A check without reading data; gives its report, errors and output.
fn structure(world: &World) -> (CheckReport, Vec<String>, String) {
    let control = Control::new();
    let report = check(&world.repo, &CheckOptions::default(), &control).unwrap();
    let errors = control.drain_errors().into_iter();
    let errors: Vec<String> = errors.map(|item| item.error.to_string()).collect();
    assert_eq!(report.num_errors, errors.len() as u64);
    let output = String::from_utf8(control.drain_output()).unwrap();
    (report, errors, output)
}

fn first(world: &World, kind: FileKind) -> FileName {
    FileName::new(kind, world.repo.list(kind).unwrap()[0])
}

fn assert_named(errors: &[String], name: FileName) {
    let hex = name.id.hex();
    assert!(
        errors.iter().any(|e| e.contains(&hex)),
        "{name}: {errors:?}"
    );
}

/// The entries of the index, by pack.
fn entries(index: &Index, pack: Id) -> Vec<PackedBlob> {
    let all = (0..index.len()).map(|slot| index.entry(slot));
    let mut blobs: Vec<PackedBlob> = all
        .filter(|entry| entry.location.pack == pack)
        .map(|entry| PackedBlob {
            kind: entry.kind,
            id: entry.id,
            offset: entry.location.offset,
            length: entry.location.length,
            uncompressed: entry.location.uncompressed,
        })
        .collect();
    blobs.sort_unstable_by_key(|blob| blob.offset);
    blobs
}

#[test]
fn a_sound_repository_has_no_errors() {
    let world = world();
    let report = world.assert_sound();
    assert_eq!(
        (report.snapshots, report.trees, report.unused_blobs),
        (2, 6, 0)
    );
    assert_eq!(report.packs_read, report.packs);
    let sizes = world.repo.store().list(FileKind::Pack).unwrap();
    assert_eq!(report.bytes_read, sizes.iter().map(|p| p.size).sum::<u64>());
    let (report, _, output) = structure(&world);
    assert_eq!((report.packs_read, output.as_str()), (0, ""));
    assert!(!report.suggest_prune && !report.suggest_repair_index);
}

#[test]
fn the_summary_has_the_keys_that_scripts_know() {
    let report = world().assert_sound();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["message_type"], "summary");
    assert_eq!(json["num_errors"], 0);
    assert!(json["broken_packs"].as_array().unwrap().is_empty());
    assert_eq!(json["suggest_repair_index"], false);
    assert_eq!(json["suggest_prune"], false);
}

#[test]
fn missing_and_truncated_packs_are_named_without_reading_data() {
    let world = world();
    let pack = first(&world, FileKind::Pack);
    let bytes = world.memory.get(pack).unwrap();
    world.memory.overwrite(pack, &bytes[..bytes.len() - 1]);
    let (report, errors, _) = structure(&world);
    assert_named(&errors, pack);
    assert_eq!(report.broken_packs, [pack.id.hex()]);
    world.memory.delete(pack).unwrap();
    let (report, errors, _) = structure(&world);
    assert_named(&errors, pack);
    assert!(errors.iter().any(|e| e.starts_with("file-missing")));
    assert_eq!(report.broken_packs, [pack.id.hex()]);
}

#[test]
fn packs_without_index_and_unused_blobs_are_hints() {
    let mut world = world();
    world
        .memory
        .put(FileName::new(FileKind::Pack, Id::of(b"x")), b"x")
        .unwrap();
    world.forget(0);
    let (report, errors, output) = structure(&world);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(report.orphaned_packs, 1);
    assert!(report.suggest_prune && report.unused_blobs > 0);
    assert_eq!(output.lines().count(), 2);
}

#[test]
fn repeated_and_contradicting_index_entries() {
    let world = world();
    let index = world.index();
    let pack = index.packs()[0];
    let blobs = entries(&index, pack);
    let again = file::encode(&[(pack, blobs.clone())]);
    let extra = world.repo.save_unpacked(FileKind::Index, &again).unwrap();
    let (report, errors, output) = structure(&world);
    assert!(errors.is_empty() && report.suggest_repair_index);
    assert!(output.contains(&pack.hex()));
    world
        .memory
        .delete(FileName::new(FileKind::Index, extra))
        .unwrap();
    let part = file::encode(&[(pack, blobs[1..].to_vec())]);
    world.repo.save_unpacked(FileKind::Index, &part).unwrap();
    let (report, errors, _) = structure(&world);
    assert_named(&errors, FileName::new(FileKind::Pack, pack));
    assert_eq!(report.broken_packs, [pack.hex()]);
}

#[test]
fn damaged_snapshots_index_files_keys_and_config_are_named() {
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Key] {
        let world = world();
        let name = first(&world, kind);
        let mut bytes = world.memory.get(name).unwrap();
        bytes[20] ^= 1;
        world.memory.overwrite(name, &bytes);
        let (report, errors, _) = structure(&world);
        assert_named(&errors, name);
        assert_eq!(report.suggest_repair_index, kind == FileKind::Index);
        assert_eq!(
            report.broken_snapshots.len(),
            usize::from(kind == FileKind::Snapshot)
        );
    }
    let world = world();
    let mut bytes = world.memory.get(FileName::CONFIG).unwrap();
    bytes[20] ^= 1;
    world.memory.overwrite(FileName::CONFIG, &bytes);
    let (_, errors, _) = structure(&world);
    assert!(errors[0].contains("config"));
}

#[test]
fn blobs_that_no_index_names_are_found() {
    let mut world = world();
    let index = world.index();
    let files = world.memory.files();
    // An index without one data blob, and one without one subtree.
    for kind in [BlobKind::Data, BlobKind::Tree] {
        world.load(files.clone());
        let missing = match kind {
            BlobKind::Data => Id::of(&chunk(3)),
            BlobKind::Tree => {
                (0..index.len())
                    .map(|s| index.entry(s))
                    .find(|e| {
                        let roots = world.repo.snapshot_roots(&Control::default()).unwrap();
                        e.kind == BlobKind::Tree && roots.iter().all(|root| root.tree != e.id)
                    })
                    .unwrap()
                    .id
            }
        };
        for name in world.repo.list(FileKind::Index).unwrap() {
            world
                .memory
                .delete(FileName::new(FileKind::Index, name))
                .unwrap();
        }
        let packs: Vec<_> = index
            .packs()
            .iter()
            .map(|pack| {
                let mut blobs = entries(&index, *pack);
                blobs.retain(|blob| blob.id != missing);
                (*pack, blobs)
            })
            .collect();
        world
            .repo
            .save_unpacked(FileKind::Index, &file::encode(&packs))
            .unwrap();
        let (_, errors, _) = structure(&world);
        let found = errors
            .iter()
            .any(|e| e.starts_with("blob-missing") && e.contains(&missing.hex()));
        assert!(found, "{errors:?}");
    }
}

/// Stores a tree as it is and a snapshot of it; gives what the check says of the tree.
fn judge(nodes: &str) -> Vec<String> {
    let mut world = World::new();
    let json = format!("{{\"nodes\":[{nodes}]}}\n");
    let id = Id::of(json.as_bytes());
    let index = Arc::new(Index::default());
    let writer = BlobWriter::new(Arc::clone(&world.repo), index, Control::new(), 1, false).unwrap();
    assert!(writer.claim(BlobKind::Tree, &id));
    let sealed = world
        .repo
        .codec()
        .seal(BlobKind::Tree, &id, json.as_bytes())
        .unwrap();
    writer
        .put(BlobKind::Tree, id, json.len() as u64, &sealed)
        .unwrap();
    writer.finish().unwrap();
    let snapshot = format!(r#"{{"time":"2026-01-01T00:00:00Z","tree":"{id}","paths":["/"]}}"#);
    world
        .repo
        .save_unpacked(FileKind::Snapshot, snapshot.as_bytes())
        .unwrap();
    world.snapshots.clear();
    let (_, errors, _) = structure(&world);
    assert!(errors.iter().all(|e| e.contains(&id.hex())), "{errors:?}");
    errors
}

fn node(name: &str, rest: &str) -> String {
    let time = "2026-01-01T00:00:00Z";
    format!(
        r#"{{"name":"{name}",{rest},"mode":420,"mtime":"{time}","atime":"{time}","ctime":"{time}","uid":0,"gid":0}}"#
    )
}

#[test]
fn trees_are_judged() {
    let file = r#""type":"file","content":[]"#;
    let zero = "0".repeat(64);
    for (problem, nodes) in [
        ("", node("a", file)),
        (
            "",
            format!(
                "{},{}",
                node("a", file),
                node("b", r#""type":"symlink","linktarget":"x","content":null"#)
            ),
        ),
        (
            "ascending",
            format!("{},{}", node("b", file), node("a", file)),
        ),
        (
            "ascending",
            format!("{},{}", node("a", file), node("a", file)),
        ),
        ("empty name", node("", file)),
        ("reserved", node("..", file)),
        ("separator", node("a/b", file)),
        (
            "list of blobs",
            node("a", r#""type":"file","content":null"#),
        ),
        (
            "no index",
            node("a", &format!(r#""type":"file","content":["{zero}"]"#)),
        ),
        ("no tree", node("a", r#""type":"dir""#)),
        (
            "no tree",
            node("a", &format!(r#""type":"dir","subtree":"{zero}""#)),
        ),
        ("unknown type", node("a", r#""type":"odd""#)),
        ("tree", "nonsense".to_owned()),
    ] {
        let errors = judge(&nodes);
        assert_eq!(
            errors.len(),
            usize::from(!problem.is_empty()),
            "{nodes}: {errors:?}"
        );
        assert!(
            errors.iter().all(|e| e.contains(problem)),
            "{nodes}: {errors:?}"
        );
    }
}

#[test]
fn header_and_index_must_agree() {
    let mut world = world();
    let files = world.memory.files();
    let index = world.index();
    let number = (0..index.packs().len()).find(|n| entries(&index, index.packs()[*n]).len() > 1);
    let pack = index.packs()[number.unwrap()];
    let change = |blobs: &mut Vec<PackedBlob>, how: usize| match how {
        // Lengths moved from one blob to its neighbour: the pack's size still fits.
        0 => {
            blobs[0].length += 1;
            blobs[1].offset += 1;
            blobs[1].length -= 1;
        }
        1 => {
            blobs[0].kind = match blobs[0].kind {
                BlobKind::Data => BlobKind::Tree,
                BlobKind::Tree => BlobKind::Data,
            }
        }
        _ => blobs[0].id = Id::of(b"another"),
    };
    for how in 0..3 {
        world.load(files.clone());
        for id in world.repo.list(FileKind::Index).unwrap() {
            world
                .memory
                .delete(FileName::new(FileKind::Index, id))
                .unwrap();
        }
        let packs: Vec<_> = index
            .packs()
            .iter()
            .map(|id| {
                let mut blobs = entries(&index, *id);
                if *id == pack {
                    change(&mut blobs, how);
                }
                (*id, blobs)
            })
            .collect();
        world
            .repo
            .save_unpacked(FileKind::Index, &file::encode(&packs))
            .unwrap();
        let (report, errors) = world.check();
        assert_eq!(report.broken_packs, [pack.hex()], "{how}: {errors:?}");
        assert!(errors.iter().any(|e| e.contains("header")), "{errors:?}");
    }
}

/// Fails the first read of a pack.
struct FailsOnce(Arc<dyn Store>, AtomicU64);

impl Store for FailsOnce {
    fn location(&self) -> String {
        self.0.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn create(&self) -> Result<()> {
        self.0.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.0.list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.0.stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        if name.kind == FileKind::Pack && self.1.fetch_add(1, Relaxed) == 0 {
            return Err(Error::new(Code::Unavailable, name.to_string(), "once"));
        }
        self.0.get(name)
    }
    fn get_range(&self, n: FileName, o: u64, l: usize) -> Result<Vec<u8>> {
        self.0.get_range(n, o, l)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.0.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.0.delete(name)
    }
}

#[test]
fn a_pack_is_read_a_second_time() {
    let world = world();
    world
        .exchange
        .set(Arc::new(FailsOnce(world.memory.clone(), AtomicU64::new(0))));
    let (report, errors) = world.check();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("second time"), "{errors:?}");
    assert!(report.broken_packs.is_empty());
}

#[test]
fn large_packs_are_read_in_windows_with_the_same_result() {
    let world = world();
    let index = world.index();
    let control = Control::new();
    for pack in index.packs() {
        let name = FileName::new(FileKind::Pack, *pack);
        let size = world.memory.stat(name).unwrap();
        let blobs = entries(&index, *pack);
        let mut reader = PackReader {
            store: world.repo.store().as_ref(),
            key: world.repo.key(),
            codec: world.repo.codec(),
            control: &control,
            whole: 0,
            bytes: Vec::new(),
        };
        assert!(reader.verify(*pack, size, &blobs).unwrap().is_ok());
        let mut bytes = world.memory.get(name).unwrap();
        bytes[blobs[0].offset as usize + 16] ^= 1;
        world.memory.overwrite(name, &bytes);
        let Err(Fault::Broken(problems)) = reader.verify(*pack, size, &blobs).unwrap() else {
            panic!("damage was not noticed");
        };
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}

#[test]
fn a_cancelled_check_ends() {
    let world = world();
    let control = Control::new();
    control.cancel();
    let error = check(&world.repo, &CheckOptions::default(), &control).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 32 }))]

    /// One changed byte, or a lost end, anywhere in any file but locks is found, and the file is named.
    #[test]
    fn no_changed_byte_goes_unnoticed(which: prop::sample::Index, at: prop::sample::Index, bit in 0..8u32, cut: bool, threads in 1..4usize) {
        let world = world();
        let names: Vec<FileName> = world.memory.files().into_keys().collect();
        let name = names[which.index(names.len())];
        let mut bytes = world.memory.get(name).unwrap();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        world.memory.overwrite(name, &bytes);
        let control = Control::new();
        let options = CheckOptions { read: Some(Subset::All), threads, only: None };
        let report = check(&world.repo, &options, &control).unwrap();
        let errors: Vec<String> = control.drain_errors().into_iter().map(|e| e.error.to_string()).collect();
        prop_assert!(report.num_errors > 0);
        let text = if name.kind == FileKind::Config { "config".to_owned() } else { name.id.hex() };
        prop_assert!(errors.iter().any(|e| e.contains(&text)), "{name}: {errors:?}");
    }
}

/// A check of some snapshots with their data; gives its report and errors.
fn of_some(world: &World, only: &[Id]) -> (CheckReport, Vec<String>) {
    let control = Control::new();
    let options = CheckOptions {
        read: Some(Subset::All),
        only: Some(only.to_vec()),
        threads: 2,
    };
    let report = check(&world.repo, &options, &control).unwrap();
    let errors = control.drain_errors().into_iter();
    (report, errors.map(|item| item.error.to_string()).collect())
}

#[test]
fn some_snapshots_are_checked_with_the_packs_that_they_use() {
    let world = world();
    let ids = world.repo.list(FileKind::Snapshot).unwrap();
    let (all, _, _) = structure(&world);
    let whole = of_some(&world, &ids);
    assert_eq!((whole.0.snapshots, whole.0.packs_read), (2, all.packs));
    let each: Vec<CheckReport> = ids.iter().map(|id| of_some(&world, &[*id]).0).collect();
    for report in &each {
        assert_eq!((report.snapshots, report.num_errors), (1, 0));
        assert!(report.packs_read < all.packs && report.packs_read > 0);
        assert!(report.trees < all.trees);
        // What others use is not called unused.
        assert_eq!(report.unused_blobs, 0);
    }
    // A damaged pack is found by exactly the snapshots that use it.
    let mut found = vec![0; ids.len()];
    for pack in world.repo.list(FileKind::Pack).unwrap() {
        let name = FileName::new(FileKind::Pack, pack);
        let sound = world.memory.get(name).unwrap();
        let mut bytes = sound.clone();
        bytes[3] ^= 1;
        world.memory.overwrite(name, &bytes);
        let hits: Vec<bool> = ids
            .iter()
            .map(|id| !of_some(&world, &[*id]).1.is_empty())
            .collect();
        assert!(hits.contains(&true), "{pack}");
        for (count, hit) in found.iter_mut().zip(hits) {
            *count += u64::from(hit);
        }
        world.memory.overwrite(name, &sound);
    }
    let read: Vec<u64> = each.iter().map(|report| report.packs_read).collect();
    assert_eq!(found, read);
    let gone = CheckOptions {
        only: Some(vec![Id([9; 32])]),
        ..CheckOptions::default()
    };
    let error = check(&world.repo, &gone, &Control::new()).unwrap_err();
    assert_eq!(error.code(), Code::FileMissing);
}
