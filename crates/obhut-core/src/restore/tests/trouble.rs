//! Damage, cancel, kill and resume, panics, full disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::kit::{Entry, Kit, codes, dir, file, noise};
use crate::error::{Code, Error, Result};
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::job::Control;
use crate::store::memory::MemoryStore;
use crate::store::{Capabilities, Listed, Store};

/// A store that acts at the n-th read of a pack: cancels, panics, waits or fails.
struct Trap {
    inner: Arc<MemoryStore>,
    reads: AtomicU64,
    at: AtomicU64,
    act: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Store for Trap {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner.list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.inner.stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.inner.get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        if name.kind == FileKind::Pack && self.reads.fetch_add(1, Relaxed) >= self.at.load(Relaxed)
        {
            (self.act)()?;
        }
        self.inner.get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.inner.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.inner.delete(name)
    }
}

fn trapped(act: impl Fn() -> Result<()> + Send + Sync + 'static) -> (Kit, Arc<Trap>) {
    let memory = Arc::new(MemoryStore::new());
    let trap = Arc::new(Trap {
        inner: Arc::clone(&memory),
        reads: AtomicU64::new(0),
        at: AtomicU64::new(u64::MAX),
        act: Box::new(act),
    });
    (Kit::on(Arc::clone(&trap) as Arc<dyn Store>, memory), trap)
}

/// Files of several blobs in several directories: six reads of trees, then three of content (2 MiB each).
fn forest() -> Vec<Entry> {
    (0..5u64)
        .map(|d| {
            let files = (0..7u64).map(|f| {
                let content = noise(d * 100 + f, 150_000);
                let pieces: Vec<&[u8]> = content.chunks(60_000).collect();
                file(format!("f{f}"), &pieces)
            });
            dir(format!("d{d}"), files.collect()).mode(0o555)
        })
        .collect()
}

#[test]
fn a_restore_that_was_stopped_anywhere_can_be_run_again() {
    let slot: Arc<std::sync::Mutex<Option<Arc<Control>>>> = Arc::default();
    let inner = Arc::clone(&slot);
    let (kit, trap) = trapped(move || {
        if let Some(control) = &*inner.lock().unwrap() {
            control.cancel();
        }
        Ok(())
    });
    let entries = forest();
    let tree = kit.save(&entries);
    let mut stopped = 0;
    for at in 0..9 {
        let control = Control::new();
        *slot.lock().unwrap() = Some(Arc::clone(&control));
        trap.reads.store(0, Relaxed);
        trap.at.store(at, Relaxed);
        let (result, errors) = kit.restore_under(&kit.options(tree), &control);
        assert!(errors.is_empty(), "{errors:?}");
        if let Err(error) = result {
            assert_eq!(error.code(), Code::Cancelled);
            stopped += 1;
        }
    }
    assert!(stopped >= 5, "only {stopped} runs were stopped");
    trap.at.store(u64::MAX, Relaxed);
    kit.restore_well(&kit.options(tree));
    kit.compare(&entries);
}

#[test]
fn incomplete_files_are_readable_by_nobody_else() {
    let (kit, trap) = trapped(|| Err(Error::new(Code::Unavailable, "pack", "gone")));
    let tree = kit.save(&forest());
    trap.at.store(8, Relaxed);
    let (result, _) = kit.restore(&kit.options(tree));
    assert_eq!(result.unwrap_err().code(), Code::Unavailable);
    let mut open = 0;
    for folder in kit.target().read_dir().unwrap() {
        let folder = folder.unwrap();
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        for file in folder.path().read_dir().unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode() & 0o777;
            assert!(mode == 0o600 || mode == 0o640, "{mode:o}");
            open += usize::from(mode == 0o600);
        }
    }
    assert!(open > 0, "no file was caught half-way");
}

#[test]
fn a_cancel_ends_the_restore_at_once() {
    let (kit, trap) = trapped(|| {
        std::thread::sleep(Duration::from_millis(30));
        Ok(())
    });
    let tree = kit.save(&forest());
    trap.at.store(6, Relaxed);
    let control = Control::new();
    let watcher = Arc::clone(&control);
    let cancelled = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        watcher.cancel();
        Instant::now()
    });
    let (result, _) = kit.restore_under(&kit.options(tree), &control);
    let ended = Instant::now();
    let asked = cancelled.join().unwrap();
    if let Err(error) = result {
        assert_eq!(error.code(), Code::Cancelled);
    }
    assert!(ended.saturating_duration_since(asked) < Duration::from_secs(2));
}

#[test]
fn the_display_is_told_what_is_being_restored() {
    type Seen = Arc<std::sync::Mutex<(Option<Arc<Control>>, Vec<Vec<u8>>)>>;
    let seen: Seen = Arc::default();
    let inner = Arc::clone(&seen);
    let (kit, trap) = trapped(move || {
        let mut seen = inner.lock().unwrap();
        let now = seen.0.as_ref().map(|control| control.current());
        seen.1.extend(now.unwrap_or_default());
        Ok(())
    });
    let entries = forest();
    let tree = kit.save(&entries);
    trap.at.store(0, Relaxed);
    let mut options = kit.options(tree);
    options.threads = 1;
    let restore = |options: &crate::restore::RestoreOptions| {
        let control = Control::new();
        *seen.lock().unwrap() = (Some(Arc::clone(&control)), Vec::new());
        let (result, errors) = kit.restore_under(options, &control);
        assert!(errors.is_empty() && result.is_ok());
        // Nothing is being worked on any more.
        assert_eq!(control.current(), Vec::<Vec<u8>>::new());
        seen.lock().unwrap().1.clone()
    };
    let shown = restore(&options);
    assert!(
        !shown.is_empty(),
        "no file was shown at any read but the first"
    );
    for path in &shown {
        let name = path.strip_prefix(b"/").unwrap();
        assert!(
            kit.path(name).is_file(),
            "{}",
            String::from_utf8_lossy(path)
        );
    }
    // What exists is compared first: nothing is read from packs then but trees.
    options.verify = true;
    assert_eq!(restore(&options), Vec::<Vec<u8>>::new());
}

#[test]
fn a_panic_is_the_error_internal() {
    let (kit, trap) = trapped(|| panic!("broken backend"));
    let tree = kit.save(&forest());
    for at in [1, 4, 7] {
        trap.reads.store(0, Relaxed);
        trap.at.store(at, Relaxed);
        let outcome = crate::job::guarded(|| kit.restore(&kit.options(tree)).0);
        assert_eq!(outcome.unwrap_err().code(), Code::Internal, "at {at}");
    }
}

#[test]
fn a_damaged_blob_costs_its_files_and_no_others() {
    let kit = Kit::new();
    let entries = vec![
        file("bad", &[b"good piece", b"bad piece", b"third"]),
        file("bad too", &[b"bad piece"]),
        file("good", &[b"good piece", b"third"]),
    ];
    let tree = kit.save(&entries);
    kit.damage(b"bad piece");
    let mut options = kit.options(tree);
    options.verify = true;
    let (result, errors) = kit.restore(&options);
    let summary = result.unwrap();
    assert_eq!(
        codes(&errors),
        [
            ("/bad".to_owned(), "restore", Code::Damaged),
            ("/bad too".to_owned(), "restore", Code::Damaged),
        ]
    );
    assert_eq!((summary.files_restored, summary.files_verified), (1, 1));
    assert_eq!(fs::read(kit.path("good")).unwrap(), b"good piecethird");
    // As far as it came: for nobody else to read, and without a byte of the damaged piece.
    if let Ok(stat) = kit.path("bad").metadata() {
        assert_eq!(stat.permissions().mode() & 0o777, 0o600);
        let content = fs::read(kit.path("bad")).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("bad"));
    }
    assert!(!kit.path("bad too").exists());
}

#[test]
fn another_copy_of_a_damaged_blob_is_found() {
    let kit = Kit::new();
    let entries = vec![file("f", &[b"twice", b"once"])];
    let tree = kit.save(&entries);
    kit.damage(b"twice");
    // A second copy, sound, in a pack of its own.
    let writer = crate::packer::BlobWriter::new(
        Arc::clone(&kit.repo),
        Arc::default(),
        Control::new(),
        1,
        false,
    )
    .unwrap();
    let id = Id::of(b"twice");
    assert!(writer.claim(BlobKind::Data, &id));
    let sealed = kit
        .repo
        .codec()
        .seal(BlobKind::Data, &id, b"twice")
        .unwrap();
    writer.put(BlobKind::Data, id, 5, &sealed).unwrap();
    writer.finish().unwrap();
    assert_eq!(kit.index().slots(BlobKind::Data, &id).len(), 2);
    kit.restore_well(&kit.options(tree));
    kit.compare(&entries);
}

#[test]
fn a_truncated_pack_costs_only_what_lay_behind() {
    let kit = Kit::new();
    let (first, last) = (noise(1, 5000), noise(2, 5000));
    let entries = [file("a", &[&first]), file("b", &[&last])];
    let tree = kit.save(&entries);
    let index = kit.index();
    let at = |plain: &[u8]| {
        let slot = index.slots(BlobKind::Data, &Id::of(plain)).start;
        index.entry(slot).location
    };
    let (one, two) = (at(&first), at(&last));
    assert_eq!(one.pack, two.pack);
    let name = FileName::new(FileKind::Pack, one.pack);
    let bytes = kit.memory.get(name).unwrap();
    let end = one.offset.max(two.offset) as usize + 10;
    kit.memory.overwrite(name, &bytes[..end]);
    let (result, errors) = kit.restore(&kit.options(tree));
    assert_eq!(result.unwrap().files_restored, 1);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].error.code(), Code::Damaged);
}

#[test]
fn a_file_with_an_unknown_blob_is_not_touched() {
    let kit = Kit::new();
    fs::create_dir(kit.target()).unwrap();
    fs::write(kit.path("f"), "what I have").unwrap();
    let mut entry = file("f", &[]);
    entry.node.content = Some(vec![Id::of(b"nowhere")]);
    let tree = kit.save(&[entry, file("g", &[b"x"])]);
    let (result, errors) = kit.restore(&kit.options(tree));
    assert_eq!(result.unwrap().files_restored, 1);
    assert_eq!(
        codes(&errors),
        [("/f".to_owned(), "restore", Code::BlobMissing)]
    );
    assert_eq!(fs::read(kit.path("f")).unwrap(), b"what I have");
}

#[test]
fn a_tree_that_is_gone_costs_its_directory() {
    let kit = Kit::new();
    let mut lost = dir("lost", vec![file("f", &[b"x"])]);
    let tree = kit.save(&[lost.clone(), file("g", &[b"y"])]);
    // The same snapshot with a directory whose tree is nowhere.
    lost.node.kind = crate::tree::NodeType::Irregular;
    let (result, errors) = kit.restore(&kit.options(kit.save(&[lost, file("g", &[b"y"])])));
    assert_eq!(result.unwrap().files_restored, 1);
    assert_eq!(errors.len(), 1);
    let (result, errors) = kit.restore(&kit.options(tree));
    assert_eq!((result.unwrap().errors, errors.len()), (0, 0));
}

#[test]
fn verify_finds_a_flipped_byte() {
    let kit = Kit::new();
    let entries = vec![file("f", &[b"first", b"second"]), file("g", &[b"third"])];
    let tree = kit.save(&entries);
    let mut options = kit.options(tree);
    kit.restore_well(&options);
    // Between writing and verifying nothing can be flipped from outside; so the file that verify reads
    // is another one: the second name of a case-insensitive file system does the same.
    let files_seen = super::flip_and_verify(&kit, &mut options);
    assert_eq!(
        files_seen,
        [("/f".to_owned(), "verify", Code::RestoreMismatch)]
    );
}

#[test]
fn a_full_disk_ends_the_restore() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let error = super::write_to(full);
    assert_eq!(error.code(), Code::NoSpace);
}
