//! With the directory cache everything comes out as without it.

use proptest::prelude::*;

use super::histories::{apply, change};
use super::*;
use crate::id::FileKind;
use crate::pack::PackedBlob;
use crate::repo::open::{OpenOptions, Ports};
use crate::store::Store;
use crate::store::fault::{Faults, Plan};
use crate::store::memory::MemoryStore;
use crate::testkit::{CHEAP, MadeUp, PASSWORD};
use crate::world::{Accounts, Clock, SystemClock, SystemRandom};

/// The machine's clock, an hour ahead: no entry is young.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        Timestamp {
            secs: now.secs + 3600,
            ..now
        }
    }
    fn elapsed(&self) -> std::time::Duration {
        SystemClock.elapsed()
    }
    fn sleep(&self, time: std::time::Duration) {
        SystemClock.sleep(time);
    }
}

fn bench(clock: Arc<dyn Clock>) -> Bench {
    bench_on(Arc::new(MemoryStore::new()), clock)
}

fn ports_on(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Ports {
    Ports {
        store,
        clock,
        random: Arc::new(SystemRandom),
        accounts: Arc::new(MadeUp),
    }
}

fn bench_on(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Bench {
    bench_of(ports_on(store, clock))
}

fn bench_of(ports: Ports) -> Bench {
    // One polynomial for all: trees of two repositories are compared, so files must be cut alike.
    let cuts = Some(crate::polynomial::Polynomial(0x3d_a335_8b4d_c173));
    let repo = Repository::init(ports, PASSWORD, 2, cuts, CHEAP, &OpenOptions::default()).unwrap();
    Bench {
        repo: Arc::new(repo),
        control: Control::new(),
    }
}

/// One backup of a chain: compares with `parent`, binds the cache to a made-up snapshot.
struct Chain<'a> {
    bench: &'a Bench,
    options: BackupOptions,
    count: u8,
}

impl<'a> Chain<'a> {
    /// Of `place`, by one thread, with a cache below `cache`.
    fn cached(bench: &'a Bench, place: &Path, cache: &Path) -> Self {
        Self {
            bench,
            options: BackupOptions {
                cache_dir: Some(cache.to_owned()),
                ..options(place, 1)
            },
            count: 0,
        }
    }

    fn next(&mut self) -> BackupSummary {
        let mut summary = self.bench.run(&self.options).unwrap();
        self.count += 1;
        let snapshot = Id([self.count; 32]);
        if !summary.cache_token.is_empty() {
            commit_cache(&self.bench.repo, &summary.cache_token, &snapshot).unwrap();
        }
        self.options.parent_tree = summary.tree;
        self.options.parent_snapshot = Some(snapshot);
        self.options.valid_snapshots = vec![snapshot];
        summary.cache_token.clear();
        summary
    }
}

/// Backups that commit a cache share one place in the process: one test at a time.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn one() -> std::sync::MutexGuard<'static, ()> {
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How many caches there are: one a set of options.
fn caches(chain: &Chain<'_>, cache: &Path) -> usize {
    let folder = cache.join(chain.bench.repo.id()).join("dirs");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_with_cache_equals_one_without(
        steps in prop::collection::vec(prop::collection::vec(change(), 0..5), 2..6),
        threads in 1usize..3,
    ) {
        let _one = one();
        let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cached, plain) = (bench(Arc::new(Later)), bench(Arc::new(Later)));
        let mut with = Chain {
            bench: &cached,
            options: BackupOptions {
                cache_dir: Some(cache.path().to_owned()),
                ..options(place.path(), threads)
            },
            count: 0,
        };
        let mut without = Chain { bench: &plain, options: options(place.path(), threads), count: 0 };
        for step in steps {
            for change in &step {
                apply(place.path(), change);
            }
            let (a, b) = (with.next(), without.next());
            prop_assert!(cached.errors().is_empty());
            let tree = cached.tree(&a, place.path());
            let wanted = reference(place.path(), &cached.repo.chunker());
            prop_assert_eq!(plain.tree(&b, place.path()), wanted, "without cache");
            prop_assert_eq!(tree, wanted, "with cache");
            prop_assert_eq!((a.files_new, a.files_changed, a.files_unmodified), (b.files_new, b.files_changed, b.files_unmodified));
            prop_assert_eq!((a.data_blobs, a.total_bytes_processed), (b.data_blobs, b.total_bytes_processed));
            // Directories above the source may change under our feet: one is above in any case.
            prop_assert_eq!(a.dirs_new, b.dirs_new);
            prop_assert_eq!(
                a.dirs_changed + a.dirs_unmodified,
                b.dirs_changed + b.dirs_unmodified
            );
            prop_assert_eq!(caches(&with, cache.path()), 1);
        }
    }
}

/// The cache that the chain's next backup finds.
fn cache_of(chain: &Chain<'_>) -> Option<DirCache> {
    let facts = Facts {
        names: Names::new(Arc::clone(chain.bench.repo.accounts())),
        zone: LocalZone::system(),
        with_atime: false,
    };
    let mut sources = chain.options.targets.clone();
    sources.extend(chain.options.targets.clone());
    let index = chain.bench.repo.load_index(&Control::default(), 1).unwrap();
    DirCache::open(&chain.bench.repo, &chain.options, &sources, &facts, &index)
}

/// A cache that would be wrong shows by what it leaves out: its table is asked directly.
fn knows(chain: &Chain<'_>, path: &Path) -> bool {
    cache_of(chain).is_some_and(|cache| cache.known(path.as_os_str().as_bytes()).is_some())
}

fn attribute(path: &Path, value: &[u8]) {
    let file = std::fs::File::open(path).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(&file, "user.a", value, flags).expect("a file system with attributes");
}

#[test]
fn attributes_of_unchanged_files_are_those_of_the_parent_and_changed_ones_are_read() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| place.path().join("d").join(name);
    std::fs::create_dir(place.path().join("d")).unwrap();
    for name in ["changes", "gets", "keeps", "plain"] {
        std::fs::write(path(name), name).unwrap();
    }
    attribute(&path("keeps"), b"1");
    attribute(&path("changes"), b"1");
    let bench = bench(Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    chain.next();
    assert!(knows(&chain, &place.path().join("d")));
    attribute(&path("changes"), b"2");
    attribute(&path("gets"), b"new");
    std::fs::write(path("plain"), b"other content").unwrap();
    let second = chain.next();
    let wanted = reference(place.path(), &bench.repo.chunker());
    assert_eq!(bench.tree(&second, place.path()), wanted);
    let node = bench.node(second.tree.unwrap(), &path("keeps")).unwrap();
    assert_eq!(node.xattrs.len(), 1);
}

#[test]
fn a_parent_that_this_program_did_not_read_vouches_for_no_attributes() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = place.path().join("f");
    std::fs::write(&file, b"x").unwrap();
    attribute(&file, b"1");
    let bench = bench(Arc::new(Later));
    let mut chain = Chain {
        bench: &bench,
        options: options(place.path(), 1),
        count: 0,
    };
    // As another program may have written it: everything but the attributes.
    let first = chain.next();
    let bare = without_attributes(&bench, first.tree.unwrap());
    chain.options.parent_tree = Some(bare);
    chain.options.cache_dir = Some(cache.path().to_owned());
    let second = chain.next();
    let wanted = reference(place.path(), &bench.repo.chunker());
    assert_eq!(bench.tree(&second, place.path()), wanted);
}

/// Stores a copy of a tree whose nodes have no attributes.
fn without_attributes(bench: &Bench, tree: Id) -> Id {
    let mut builder = TreeBuilder::new();
    for mut node in bench.nodes(&tree) {
        node.xattrs.clear();
        node.subtree = node.subtree.map(|tree| without_attributes(bench, tree));
        builder.add(&node).unwrap();
    }
    let json = builder.finish();
    let control = Control::new();
    let (repo, index) = (Arc::clone(&bench.repo), bench.index());
    let writer = crate::packer::BlobWriter::new(repo, index, control, 1, false).unwrap();
    let id = Id::of(&json);
    if writer.claim(BlobKind::Tree, &id) {
        let sealed = bench.repo.codec().seal(BlobKind::Tree, &id, &json).unwrap();
        writer
            .put(BlobKind::Tree, id, json.len() as u64, &sealed)
            .unwrap();
        writer.finish().unwrap();
    }
    id
}

#[test]
fn the_cache_is_used_only_for_the_snapshot_it_belongs_to() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("d/f"), b"x").unwrap();
    let bench = bench(Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    chain.next();
    assert!(knows(&chain, &place.path().join("d")));
    let good = chain.options.clone();
    chain.options.valid_snapshots.clear(); // forgotten
    assert!(!knows(&chain, &place.path().join("d")));
    chain.options = good.clone();
    chain.options.parent_snapshot = Some(Id([9; 32])); // another one
    chain.options.valid_snapshots = vec![Id([9; 32])];
    assert!(!knows(&chain, &place.path().join("d")));
    chain.options = good.clone();
    chain.options.excludes = vec![b"f".to_vec()];
    assert!(!knows(&chain, &place.path().join("d")));
    chain.options = good;
    chain.options.with_atime = true;
    assert!(!knows(&chain, &place.path().join("d")));
    assert_eq!(
        commit_cache(&bench.repo, "unknown", &Id([1; 32]))
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
}

/// A change of one option.
type Change = fn(&mut BackupOptions);

#[test]
fn a_cache_is_of_one_repository_one_source_and_one_set_of_options() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("d/f"), b"x").unwrap();
    let another = || bench(Arc::new(Later));
    let bench = another();
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    chain.next();
    let good = chain.options.clone();
    let changes: [Change; 9] = [
        |o| o.targets.push(b"/nowhere".to_vec()),
        |o| o.excludes.push(b"x".to_vec()),
        |o| o.iexcludes.push(b"x".to_vec()),
        |o| o.exclude_if_present.push(b"x".to_vec()),
        |o| o.exclude_caches = true,
        |o| o.exclude_larger_than = 1 << 30,
        |o| o.one_file_system = true,
        |o| o.ignore_ctime = true,
        |o| o.ignore_inode = true,
    ];
    for (n, change) in changes.iter().enumerate() {
        chain.options = good.clone();
        change(&mut chain.options);
        assert!(!knows(&chain, &place.path().join("d")), "option {n}");
    }
    // Another repository, even if it lies in the folder of the first one's cache.
    let other = another();
    let folder = |bench: &Bench| cache.path().join(bench.repo.id());
    std::fs::rename(folder(&bench), folder(&other)).unwrap();
    let foreign = Chain {
        bench: &other,
        options: good.clone(),
        count: 0,
    };
    assert!(!knows(&foreign, &place.path().join("d")), "repository");
    std::fs::rename(folder(&other), folder(&bench)).unwrap();
    chain.options = good;
    assert!(knows(&chain, &place.path().join("d")));
}

/// Accounts whose names can be changed.
struct Renamed(std::sync::Mutex<&'static str>);

impl Accounts for Renamed {
    fn user(&self, uid: u32) -> Result<Option<String>> {
        Ok(Some(format!("{}{uid}", self.0.lock().unwrap())))
    }
    fn group(&self, _: u32) -> Result<Option<String>> {
        Err(Error::os("name of a group", rustix::io::Errno::TIMEDOUT))
    }
    fn uid(&self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }
    fn gid(&self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }
}

#[test]
fn a_user_with_a_new_name_is_noticed_in_spite_of_the_cache() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("d/f"), b"x").unwrap();
    let accounts = Arc::new(Renamed(std::sync::Mutex::new("old")));
    let ports = Ports {
        accounts: Arc::clone(&accounts) as Arc<dyn Accounts>,
        ..ports_on(Arc::new(MemoryStore::new()), Arc::new(Later))
    };
    let bench = bench_of(ports);
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    let owner = |summary: &BackupSummary| {
        let file = bench.node(summary.tree.unwrap(), &place.path().join("d/f"));
        file.unwrap().user
    };
    let uid = std::fs::metadata(place.path()).unwrap().uid();
    let first = chain.next();
    assert_eq!(owner(&first), format!("old{uid}"));
    assert!(first.notices.iter().any(|n| n.code == "names-unavailable"));
    assert_eq!(chain.next().tree_blobs, 0);
    *accounts.0.lock().unwrap() = "new";
    let renamed = chain.next();
    assert_eq!(owner(&renamed), format!("new{uid}"));
    assert_eq!(renamed.data_blobs, 0);
    assert!(bench.errors().is_empty());
}

#[test]
fn caches_that_nobody_uses_go_and_the_used_one_stays() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    let bench = bench(Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    let mut first = chain.options.clone();
    chain.next();
    std::mem::swap(&mut first, &mut chain.options);
    chain.options.one_file_system = true; // a second option set
    chain.next();
    assert_eq!(caches(&chain, cache.path()), 2);
    let folder = cache.path().join(bench.repo.id()).join("dirs");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(91 * 24 * 3600);
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = std::fs::File::open(file.unwrap().path()).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    // The first one is used: read by a backup that saves no snapshot, as with --skip-if-unchanged.
    assert_eq!(bench.run(&first).unwrap().tree_blobs, 0);
    chain.options.ignore_inode = true; // a third set, whose commit sweeps
    chain.next();
    assert_eq!(caches(&chain, cache.path()), 2);
    chain.options = first;
    assert!(
        knows(&chain, &place.path().join("d")),
        "the used cache is gone"
    );
}

#[test]
fn young_entries_are_not_cached() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(place.path().join("d/e")).unwrap();
    std::fs::write(place.path().join("d/f"), b"x").unwrap();
    let bench = bench(Arc::new(SystemClock));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    chain.next();
    assert!(!knows(&chain, &place.path().join("d")));
    // A directory without entries has none that is young.
    assert!(knows(&chain, &place.path().join("d/e")));
}

#[test]
fn lost_content_is_stored_again_in_spite_of_the_cache() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("d/f"), b"content").unwrap();
    let bench = bench(Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    let first = chain.next();
    let unchanged = bench.run(&chain.options).unwrap();
    assert_eq!((unchanged.files_unmodified, unchanged.data_blobs), (1, 0));
    // An index that knows nothing: what a repository looks like from which everything was pruned.
    let empty = Arc::new(Index::default());
    let summary = run(&bench.repo, &empty, &chain.options, &bench.control).unwrap();
    assert_eq!(summary.data_blobs, 1);
    assert!(summary.tree_blobs >= 2);
    assert_eq!(
        bench.tree(&summary, place.path()),
        bench.tree(&first, place.path())
    );
}

/// Writes the repository's index anew as one file, without the data blobs.
fn forget_content(bench: &Bench) {
    let index = bench.index();
    let entries = (0..index.len()).map(|slot| index.entry(slot));
    let mut packs: std::collections::BTreeMap<Id, Vec<PackedBlob>> =
        std::collections::BTreeMap::new();
    for entry in entries.filter(|entry| entry.kind == BlobKind::Tree) {
        let at = entry.location;
        let blob = PackedBlob {
            kind: entry.kind,
            id: entry.id,
            offset: at.offset,
            length: at.length,
            uncompressed: at.uncompressed,
        };
        packs.entry(at.pack).or_default().push(blob);
    }
    let packs: Vec<_> = packs.into_iter().collect();
    let written = bench
        .repo
        .save_unpacked(FileKind::Index, &crate::index::file::encode(&packs))
        .unwrap();
    for id in bench.repo.list(FileKind::Index).unwrap() {
        if id != written {
            let name = crate::id::FileName::new(FileKind::Index, id);
            bench.repo.store().delete(name).unwrap();
        }
    }
}

#[test]
fn index_files_that_are_all_there_vouch_for_the_content_and_rewritten_ones_do_not() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(place.path().join("d")).unwrap();
    std::fs::write(place.path().join("d/f"), b"content").unwrap();
    let bench = bench(Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    let is_whole = |chain: &Chain<'_>| {
        let cache = cache_of(chain).expect("a cache");
        let known = place.path().join("d");
        assert!(cache.known(known.as_os_str().as_bytes()).is_some());
        cache.is_whole()
    };
    let first = chain.next();
    assert!(is_whole(&chain));
    // Another source's backup adds an index file; a second backup of this one adds none.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("g"), b"other").unwrap();
    bench.run(&options(other.path(), 1)).unwrap();
    chain.next();
    assert!(is_whole(&chain));
    forget_content(&bench);
    assert!(!is_whole(&chain));
    let again = chain.next();
    assert_eq!((again.data_blobs, again.files_changed), (1, 0), "{again:?}");
    assert_eq!(
        bench.tree(&again, place.path()),
        bench.tree(&first, place.path())
    );
    // A loss is an error, and with one nothing is learnt.
    assert_eq!(chain.next().data_blobs, 0);
    assert!(is_whole(&chain));
}

#[test]
fn unchanged_directories_are_not_read_from_the_repository() {
    let _one = one();
    let (place, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for n in 0..20 {
        std::fs::create_dir_all(place.path().join(format!("{n}/below"))).unwrap();
    }
    let memory = Arc::new(MemoryStore::new());
    let store = Arc::new(Faults::new(memory, Arc::new(Later), Plan::NONE));
    let bench = bench_on(Arc::clone(&store) as Arc<dyn Store>, Arc::new(Later));
    let mut chain = Chain::cached(&bench, place.path(), cache.path());
    chain.next();
    let reads = |options: &BackupOptions| {
        let (index, before) = (bench.index(), store.calls());
        let summary = run(&bench.repo, &index, options, &bench.control).unwrap();
        assert_eq!(summary.files_new + summary.dirs_new, 0);
        store.calls() - before
    };
    let with = reads(&chain.options);
    chain.options.cache_dir = None;
    let without = reads(&chain.options);
    assert!(
        with + 40 <= without,
        "{with} calls with the cache, {without} without"
    );
}
