#![allow(clippy::disallowed_methods)]
use super::*;
use crate::store::fault::{Fault, Faults};
use crate::store::memory::MemoryStore;
use crate::testkit::SimClock;

/// Memory that counts calls and says that it is far away.
struct Remote(Faults);

impl Store for Remote {
    fn location(&self) -> String {
        "remote".into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            local: false,
            append_only: false,
            connections: 3,
        }
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
        self.0.get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.0.get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.0.put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.0.delete(name)
    }
}

struct Setup {
    dir: tempfile::TempDir,
    memory: Arc<MemoryStore>,
    remote: Arc<Remote>,
    clock: Arc<SimClock>,
}

impl Setup {
    fn new() -> Self {
        let (memory, clock) = (Arc::new(MemoryStore::new()), SimClock::new());
        let plan = crate::store::fault::Plan::NONE;
        let remote = Arc::new(Remote(Faults::new(memory.clone(), clock.clone(), plan)));
        Self {
            dir: tempfile::tempdir().unwrap(),
            memory,
            remote,
            clock,
        }
    }

    fn cache(&self, bound: u64) -> Cache {
        let base = self.dir.path().join("base");
        Cache::open(
            self.remote.clone(),
            &base,
            &id(b"repo").hex(),
            bound,
            &*self.clock,
        )
        .unwrap()
    }

    fn put(&self, kind: FileKind, content: &[u8]) -> FileName {
        let name = FileName::new(kind, id(content));
        self.memory.put(name, content).unwrap();
        name
    }

    fn calls(&self) -> u64 {
        self.remote.0.calls()
    }
}

fn id(content: &[u8]) -> Id {
    Id::of(content)
}

#[test]
fn keeps_the_contract() {
    let setup = Setup::new();
    let broken = crate::store::contract::violations(&setup.cache(DEFAULT_BOUND));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn keeps_the_contract_without_any_room() {
    let broken = crate::store::contract::violations(&Setup::new().cache(0));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_layout_is_restics() {
    let setup = Setup::new();
    let cache = setup.cache(DEFAULT_BOUND);
    let name = FileName::new(FileKind::Index, id(b"i"));
    cache.put(name, b"i").unwrap();
    let base = setup.dir.path().join("base");
    let tag = std::fs::read_to_string(base.join("CACHEDIR.TAG")).unwrap();
    assert_eq!(tag.lines().next().unwrap(), TAG.trim());
    let root = base.join(id(b"repo").hex());
    assert_eq!(std::fs::read(root.join("version")).unwrap(), b"1");
    let hex = name.id.hex();
    let path = root.join("index").join(&hex[..2]).join(&hex);
    assert_eq!(std::fs::read(&path).unwrap(), b"i");
    assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o644);
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_second_read_asks_the_storage_for_nothing() {
    let setup = Setup::new();
    let (index, key) = (
        setup.put(FileKind::Index, b"i"),
        setup.put(FileKind::Key, b"k"),
    );
    let cache = setup.cache(DEFAULT_BOUND);
    assert_eq!(cache.get(index).unwrap(), b"i");
    let calls = setup.calls();
    assert_eq!(cache.get(index).unwrap(), b"i");
    assert_eq!(setup.cache(DEFAULT_BOUND).get(index).unwrap(), b"i");
    assert_eq!(setup.calls(), calls);
    cache.get(key).unwrap();
    cache.get(key).unwrap();
    assert_eq!(setup.calls(), calls + 2);
}

#[test]
fn only_marked_packs_are_kept_and_fetched_whole_once() {
    let setup = Setup::new();
    let (trees, data) = (
        setup.put(FileKind::Pack, b"trees"),
        setup.put(FileKind::Pack, b"data"),
    );
    let cache = setup.cache(DEFAULT_BOUND);
    cache.mark_tree_packs(&[trees.id]);
    assert_eq!(cache.get_range(trees, 1, 3).unwrap(), b"ree");
    let calls = setup.calls();
    assert_eq!(cache.get_range(trees, 0, 5).unwrap(), b"trees");
    assert_eq!(cache.get_range(trees, 4, 1).unwrap(), b"s");
    assert_eq!(setup.calls(), calls);
    assert_eq!(
        cache.get_range(trees, 4, 2).unwrap_err().code(),
        Code::Damaged
    );
    assert_eq!(cache.get_range(data, 0, 2).unwrap(), b"da");
    assert!(!cache.path(data).exists());
    let saved = FileName::new(FileKind::Pack, id(b"new trees"));
    cache.mark_tree_packs(&[saved.id]);
    cache.put(saved, b"new trees").unwrap();
    assert!(cache.path(saved).exists());
}

#[test]
fn a_bad_cached_file_is_dropped_and_fetched_again() {
    let setup = Setup::new();
    let (index, pack) = (
        setup.put(FileKind::Index, b"good"),
        setup.put(FileKind::Pack, b"tree"),
    );
    for name in [index, pack] {
        let cache = setup.cache(DEFAULT_BOUND);
        cache.mark_tree_packs(&[pack.id]);
        cache.get(name).unwrap();
        for bad in [&b"evil"[..], b"g", b""] {
            std::fs::write(cache.path(name), bad).unwrap();
            let again = setup.cache(DEFAULT_BOUND);
            again.mark_tree_packs(&[pack.id]);
            let got = match name.kind {
                FileKind::Pack => again.get_range(name, 0, 4),
                _ => again.get(name),
            };
            assert_eq!(Id::of(&got.unwrap()), name.id);
            assert!(!again.path(name).exists(), "dropped for this process");
            assert_eq!(Id::of(&setup.cache(1000).get(name).unwrap()), name.id);
        }
    }
}

#[test]
fn damage_in_the_repository_is_not_kept() {
    let setup = Setup::new();
    let index = setup.put(FileKind::Index, b"good");
    setup.memory.overwrite(index, b"damaged");
    let cache = setup.cache(DEFAULT_BOUND);
    assert_eq!(cache.get(index).unwrap(), b"damaged");
    assert!(!cache.path(index).exists());
    setup.memory.overwrite(index, b"good");
    assert_eq!(cache.get(index).unwrap(), b"good");
}

#[test]
fn what_the_repository_lost_leaves_the_cache_at_the_next_list() {
    let setup = Setup::new();
    let (one, two) = (
        setup.put(FileKind::Index, b"1"),
        setup.put(FileKind::Index, b"2"),
    );
    let cache = setup.cache(DEFAULT_BOUND);
    cache.get(one).unwrap();
    cache.get(two).unwrap();
    setup.memory.delete(one).unwrap();
    assert_eq!(cache.list(FileKind::Index).unwrap().len(), 1);
    assert!(!cache.path(one).exists() && cache.path(two).exists());
    assert_eq!(cache.get(one).unwrap_err().code(), Code::FileMissing);
    cache.delete(two).unwrap();
    assert!(!cache.path(two).exists());
}

#[test]
fn it_stays_within_its_bound_and_trims_the_oldest() {
    let setup = Setup::new();
    let cache = setup.cache(25);
    let names: Vec<FileName> = (0..4u8)
        .map(|n| setup.put(FileKind::Index, &[n; 10]))
        .collect();
    for name in &names {
        assert_eq!(cache.get(*name).unwrap().len(), 10);
    }
    let kept = |cache: &Cache| {
        names
            .iter()
            .map(|n| cache.path(*n).exists())
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&cache), [true, true, false, false]);
    let old = std::fs::File::open(cache.path(names[1])).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(kept(&setup.cache(15)), [true, false, false, false]);
    assert_eq!(kept(&setup.cache(0)), [false; 4]);
}

#[test]
fn a_broken_cache_folder_costs_only_speed() {
    let setup = Setup::new();
    let index = setup.put(FileKind::Index, b"i");
    let cache = setup.cache(DEFAULT_BOUND);
    std::fs::remove_dir_all(setup.dir.path().join("base")).unwrap();
    assert_eq!(cache.get(index).unwrap(), b"i");
    assert_eq!(cache.get(index).unwrap(), b"i");
    let other = FileName::new(FileKind::Snapshot, id(b"s"));
    cache.put(other, b"s").unwrap();
    assert_eq!(cache.list(FileKind::Snapshot).unwrap().len(), 1);
}

#[test]
fn an_unknown_version_is_refused() {
    let setup = Setup::new();
    drop(setup.cache(0));
    let version = setup
        .dir
        .path()
        .join("base")
        .join(id(b"repo").hex())
        .join("version");
    std::fs::write(version, "2").unwrap();
    let base = setup.dir.path().join("base");
    let open = |id: &str| Cache::open(setup.remote.clone(), &base, id, 0, &*setup.clock);
    let error = open(&id(b"repo").hex()).err().unwrap();
    assert_eq!(error.code(), Code::RepositoryUnsupported);
    assert_eq!(open("../x").err().unwrap().code(), Code::Internal);
}

#[test]
fn a_failed_put_is_not_cached() {
    let setup = Setup::new();
    let plan = Fault::Fail.at(1);
    let failing = Faults::new(setup.memory.clone(), setup.clock.clone(), plan);
    let base = setup.dir.path().join("base");
    let hex = id(b"repo").hex();
    let cache = Cache::open(Arc::new(failing), &base, &hex, 100, &*setup.clock).unwrap();
    let name = FileName::new(FileKind::Snapshot, id(b"s"));
    assert!(cache.put(name, b"s").is_err());
    assert!(!cache.path(name).exists());
}
