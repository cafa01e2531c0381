//! A repository in memory beside a plain model of what its snapshots hold, for the tests of prune and check.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use crate::blob::Codec;
use crate::check::{CheckOptions, CheckReport, Subset, check};
use crate::error::Result;
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::Index;
use crate::job::Control;
use crate::packer::BlobWriter;
use crate::prune::{DeleteReport, Plan, PruneOptions, SwapReport};
use crate::repo::Repository;
use crate::store::memory::{Files, MemoryStore};
use crate::store::{Capabilities, Listed, Store};
use crate::testkit::{SimClock, repository_on};
use crate::tree::{self, Node, NodeType, TreeBuilder};

/// A store whose inside can be exchanged under an opened repository: opening costs a key derivation.
pub struct Exchange(Mutex<Arc<dyn Store>>);

impl Exchange {
    pub fn set(&self, store: Arc<dyn Store>) {
        *self.0.lock().unwrap() = store;
    }

    fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl Store for Exchange {
    fn location(&self) -> String {
        self.inner().location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }
    fn create(&self) -> Result<()> {
        self.inner().create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner().list(kind)
    }
    fn stat(&self, name: FileName) -> Result<u64> {
        self.inner().stat(name)
    }
    fn get(&self, name: FileName) -> Result<Vec<u8>> {
        self.inner().get(name)
    }
    fn get_range(&self, name: FileName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner().get_range(name, offset, length)
    }
    fn put(&self, name: FileName, bytes: &[u8]) -> Result<()> {
        self.inner().put(name, bytes)
    }
    fn delete(&self, name: FileName) -> Result<()> {
        self.inner().delete(name)
    }
}

/// What a snapshot holds: directory and file number → numbers of its chunks.
pub type Content = BTreeMap<(u8, u8), Vec<u8>>;

/// The bytes of chunk `n`: of different lengths, half of them compressible.
pub fn chunk(n: u8) -> Vec<u8> {
    let length = 60 + usize::from(n) * 17;
    if n.is_multiple_of(2) {
        return vec![n; length];
    }
    let blocks = (0..length.div_ceil(32)).flat_map(|k| Id::of(&[n, k as u8]).0);
    blocks.take(length).collect()
}

/// Chunk numbers by id.
static CHUNKS: LazyLock<BTreeMap<Id, u8>> =
    LazyLock::new(|| (0..=255).map(|n| (Id::of(&chunk(n)), n)).collect());

pub struct World {
    pub memory: Arc<MemoryStore>,
    pub exchange: Arc<Exchange>,
    pub clock: Arc<SimClock>,
    pub repo: Arc<Repository>,
    pub snapshots: BTreeMap<Id, Content>,
}

impl World {
    pub fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        let exchange = Arc::new(Exchange(Mutex::new(memory.clone())));
        let clock = SimClock::new();
        let repo = repository_on(exchange.clone(), Arc::clone(&clock));
        Self {
            memory,
            exchange,
            clock,
            repo,
            snapshots: BTreeMap::new(),
        }
    }

    /// Goes on with another state of the store.
    pub fn load(&mut self, files: Files) {
        self.memory = Arc::new(MemoryStore::with_files(files));
        self.exchange.set(self.memory.clone());
    }

    pub fn index(&self) -> Arc<Index> {
        self.repo.load_index(&Control::default(), 1).unwrap()
    }

    /// Stores a snapshot. `known` is what the run takes for stored already: an empty index makes duplicates.
    pub fn backup(&mut self, content: &Content, known: Arc<Index>) -> Id {
        let control = Control::new();
        let writer = BlobWriter::new(Arc::clone(&self.repo), known, control, 1, false).unwrap();
        let mut codec = self.repo.codec();
        let mut put = |kind, plain: &[u8]| {
            let id = Id::of(plain);
            if writer.claim(kind, &id) {
                let sealed = codec.seal(kind, &id, plain).unwrap();
                writer.put(kind, id, plain.len() as u64, &sealed).unwrap();
            }
            id
        };
        let mut root = TreeBuilder::new();
        let mut folders: BTreeMap<u8, Vec<Node>> = BTreeMap::new();
        for ((folder, file), chunks) in content {
            let mut node = Node::new(vec![b'f', b'a' + *file], NodeType::File);
            let ids = chunks.iter().map(|n| put(BlobKind::Data, &chunk(*n)));
            node.content = Some(ids.collect());
            folders.entry(*folder).or_default().push(node);
        }
        for (folder, nodes) in folders {
            let mut tree = TreeBuilder::new();
            for node in nodes {
                tree.add(&node).unwrap();
            }
            let mut node = Node::new(vec![b'd', b'a' + folder], NodeType::Dir);
            node.subtree = Some(put(BlobKind::Tree, &tree.finish()));
            root.add(&node).unwrap();
        }
        let root = put(BlobKind::Tree, &root.finish());
        writer.finish().unwrap();
        let json = format!(
            r#"{{"time":"2026-01-01T00:00:00Z","tree":"{root}","paths":["/{}"]}}"#,
            self.snapshots.len()
        );
        let id = self
            .repo
            .save_unpacked(FileKind::Snapshot, json.as_bytes())
            .unwrap();
        self.snapshots.insert(id, content.clone());
        id
    }

    pub fn forget(&mut self, at: usize) {
        let id = *self.snapshots.keys().nth(at).unwrap();
        self.snapshots.remove(&id);
        let name = FileName::new(FileKind::Snapshot, id);
        self.repo.store().delete(name).unwrap();
    }

    pub fn plan(&self, options: &PruneOptions) -> Result<Plan> {
        Plan::make(&self.repo, options, &[], false, &Control::new(), 1)
    }

    /// Steps 1 to 3.
    pub fn carry_out(&self, plan: &mut Plan, threads: usize) -> Result<(SwapReport, DeleteReport)> {
        let control = Control::new();
        plan.repack(&self.repo, &control, threads)?;
        let swapped = plan.swap_index(&self.repo, &control, threads)?;
        let deleted = plan.delete_packs(&self.repo, &control, threads)?;
        Ok((swapped, deleted))
    }

    pub fn prune(&self, options: &PruneOptions) -> Result<(SwapReport, DeleteReport)> {
        self.carry_out(&mut self.plan(options)?, 2)
    }

    /// Every snapshot of the model is there and holds exactly what the model says.
    pub fn assert_restores(&self) {
        let index = self.index();
        let mut codec = self.repo.codec();
        let stored = self.repo.snapshot_roots(&Control::default()).unwrap();
        let names: Vec<Id> = stored.iter().map(|root| root.id).collect();
        assert_eq!(names, self.snapshots.keys().copied().collect::<Vec<_>>());
        for root in stored {
            let found = self.read(&mut codec, &index, &root.tree);
            assert_eq!(found, self.snapshots[&root.id]);
        }
    }

    fn read(&self, codec: &mut Codec, index: &Index, root: &Id) -> Content {
        let mut load = |kind, id: &Id| self.repo.load_blob(codec, index, kind, id).unwrap();
        let mut content = Content::new();
        for folder in tree::parse("root", &load(BlobKind::Tree, root)).unwrap() {
            let subtree = load(BlobKind::Tree, &folder.subtree.unwrap());
            for file in tree::parse("folder", &subtree).unwrap() {
                let mut chunks = Vec::new();
                for id in file.content.unwrap() {
                    assert_eq!(Id::of(&load(BlobKind::Data, &id)), id);
                    chunks.push(CHUNKS[&id]);
                }
                content.insert((folder.name[1] - b'a', file.name[1] - b'a'), chunks);
            }
        }
        content
    }

    /// A check that reads all data.
    pub fn check(&self) -> (CheckReport, Vec<String>) {
        let control = Control::new();
        let options = CheckOptions {
            read: Some(Subset::All),
            only: None,
            threads: 2,
        };
        let report = check(&self.repo, &options, &control).unwrap();
        let errors: Vec<String> = control
            .drain_errors()
            .into_iter()
            .map(|item| item.error.to_string())
            .collect();
        assert_eq!(report.num_errors, errors.len() as u64);
        (report, errors)
    }

    pub fn assert_sound(&self) -> CheckReport {
        let (report, errors) = self.check();
        assert!(errors.is_empty(), "{errors:#?}");
        report
    }
}

/// Content made of `files`: (folder, file, chunks).
pub fn content(files: &[(u8, u8, &[u8])]) -> Content {
    let files = files.iter();
    files
        .map(|(d, f, chunks)| ((*d, *f), chunks.to_vec()))
        .collect()
}
