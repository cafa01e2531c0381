//! Builds snapshots of imagined trees in a repository in memory and looks at what was restored.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Code, Result};
use crate::gotime::GoTime;
use crate::id::{BlobKind, FileKind, FileName, Id};
use crate::index::Index;
use crate::job::{Control, ItemError};
use crate::keyfile::ScryptParams;
use crate::packer::BlobWriter;
use crate::repo::Repository;
use crate::repo::open::{OpenOptions, Ports};
use crate::restore::{Overwrite, RestoreOptions, RestoreSummary, run};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::testkit::MadeUp;
use crate::tree::{Node, NodeType, TreeBuilder, mode_to_go};
use crate::world::{SystemClock, SystemRandom, Timestamp};

/// An entry of an imagined tree.
#[derive(Clone)]
pub struct Entry {
    pub node: Node,
    /// Blobs of a file.
    pub chunks: Vec<Vec<u8>>,
    /// Entries of a directory.
    pub entries: Vec<Entry>,
}

/// The time that entries have unless told otherwise.
pub const THEN: Timestamp = Timestamp {
    secs: 1_500_000_000,
    nanos: 123_456_789,
};

fn entry(name: &[u8], kind: NodeType, st_mode: u32) -> Entry {
    let mut node = Node::new(name.to_vec(), kind);
    node.mode = mode_to_go(st_mode);
    node.mtime = GoTime {
        at: THEN,
        offset: 0,
    };
    node.atime = node.mtime;
    node.ctime = node.mtime;
    node.uid = rustix::process::geteuid().as_raw();
    node.gid = rustix::process::getegid().as_raw();
    Entry {
        node,
        chunks: Vec::new(),
        entries: Vec::new(),
    }
}

/// A file with these blobs.
pub fn file(name: impl AsRef<[u8]>, chunks: &[&[u8]]) -> Entry {
    let mut made = entry(name.as_ref(), NodeType::File, 0o100_640);
    made.chunks = chunks.iter().map(|c| c.to_vec()).collect();
    made.node.size = made.chunks.iter().map(|c| c.len() as u64).sum();
    made.node.links = 1;
    made
}

/// A directory.
pub fn dir(name: impl AsRef<[u8]>, entries: Vec<Entry>) -> Entry {
    let mut made = entry(name.as_ref(), NodeType::Dir, 0o040_750);
    made.entries = entries;
    made
}

/// A symbolic link.
pub fn link(name: impl AsRef<[u8]>, target: &[u8]) -> Entry {
    let mut made = entry(name.as_ref(), NodeType::Symlink, 0o120_777);
    made.node.linktarget = target.to_vec();
    made
}

/// A pipe, a socket or a device.
pub fn special(name: impl AsRef<[u8]>, kind: NodeType, device: u64) -> Entry {
    let st_mode = match kind {
        NodeType::Fifo => 0o010_600,
        NodeType::Socket => 0o140_600,
        NodeType::CharDev => 0o020_600,
        _ => 0o060_600,
    };
    let mut made = entry(name.as_ref(), kind, st_mode);
    made.node.device = device;
    made
}

impl Entry {
    /// Another mode (07777).
    pub fn mode(mut self, permissions: u32) -> Self {
        let bits = |st_mode: u32| mode_to_go(0o100_000 | st_mode);
        self.node.mode = self.node.mode & !bits(0o7777) | bits(permissions);
        self
    }

    /// Another modification time.
    pub fn mtime(mut self, secs: i64) -> Self {
        self.node.mtime.at = Timestamp { secs, nanos: 1 };
        self
    }

    /// One of several names of an object.
    pub fn linked(mut self, inode: u64) -> Self {
        self.node.links = 2;
        self.node.inode = inode;
        self.node.device_id = 7;
        self
    }

    /// What the file holds.
    pub fn content(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// A repository in memory and a place to restore to.
pub struct Kit {
    pub memory: Arc<MemoryStore>,
    pub repo: Arc<Repository>,
    pub place: tempfile::TempDir,
}

impl Kit {
    pub fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        Self::on(Arc::clone(&memory) as Arc<dyn Store>, memory)
    }

    /// A repository whose calls go through `store`, which keeps its files in `memory`.
    pub fn on(store: Arc<dyn Store>, memory: Arc<MemoryStore>) -> Self {
        let ports = Ports {
            store,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            accounts: Arc::new(MadeUp),
        };
        let params = ScryptParams {
            n: 1 << 14,
            r: 8,
            p: 1,
        };
        let options = OpenOptions::default();
        let repo = Repository::init(ports, b"pw", 2, None, params, &options).unwrap();
        Self {
            memory,
            repo: Arc::new(repo),
            place: tempfile::tempdir().unwrap(),
        }
    }

    /// Where it is restored to.
    pub fn target(&self) -> PathBuf {
        self.place.path().join("target")
    }

    pub fn path(&self, below: impl AsRef<[u8]>) -> PathBuf {
        self.target()
            .join(std::ffi::OsStr::from_bytes(below.as_ref()))
    }

    pub fn index(&self) -> Arc<Index> {
        self.repo.load_index(&Control::default(), 1).unwrap()
    }

    /// Saves a tree; gives its id. Entries stay in the given order, names are not judged.
    pub fn save(&self, entries: &[Entry]) -> Id {
        let index = self.index();
        let control = Control::new();
        let writer = BlobWriter::new(Arc::clone(&self.repo), index, control, 1, false).unwrap();
        let root = self.save_into(&writer, entries);
        writer.finish().unwrap();
        root
    }

    fn save_into(&self, writer: &BlobWriter, entries: &[Entry]) -> Id {
        let mut nodes: Vec<Vec<u8>> = Vec::new();
        for entry in entries {
            let mut node = entry.node.clone();
            match node.kind {
                NodeType::Dir => node.subtree = Some(self.save_into(writer, &entry.entries)),
                NodeType::File if node.content.is_none() => {
                    let ids = entry
                        .chunks
                        .iter()
                        .map(|c| self.put(writer, BlobKind::Data, c));
                    node.content = Some(ids.collect());
                }
                _ => {}
            }
            nodes.push(node_bytes(&node));
        }
        let mut tree = b"{\"nodes\":[".to_vec();
        tree.extend_from_slice(&nodes.join(&b','));
        tree.extend_from_slice(b"]}\n");
        self.put(writer, BlobKind::Tree, &tree)
    }

    fn put(&self, writer: &BlobWriter, kind: BlobKind, plain: &[u8]) -> Id {
        let id = Id::of(plain);
        if writer.claim(kind, &id) {
            let sealed = self.repo.codec().seal(kind, &id, plain).unwrap();
            writer.put(kind, id, plain.len() as u64, &sealed).unwrap();
        }
        id
    }

    /// Damages every copy of the data blob with this content.
    pub fn damage(&self, plain: &[u8]) {
        let index = self.index();
        for slot in index.slots(BlobKind::Data, &Id::of(plain)) {
            let at = index.entry(slot).location;
            let name = FileName::new(FileKind::Pack, at.pack);
            let mut bytes = self.memory.get(name).unwrap();
            bytes[at.offset as usize + 20] ^= 1;
            self.memory.overwrite(name, &bytes);
        }
    }

    pub fn options(&self, tree: Id) -> RestoreOptions {
        RestoreOptions {
            tree,
            subpath: Vec::new(),
            target: self.target().into_os_string().into_encoded_bytes(),
            includes: Vec::new(),
            iincludes: Vec::new(),
            excludes: Vec::new(),
            iexcludes: Vec::new(),
            overwrite: Overwrite::Always,
            delete: false,
            dry_run: false,
            sparse: false,
            verify: false,
            sync: false,
            xattrs: true,
            include_xattrs: Vec::new(),
            exclude_xattrs: Vec::new(),
            owners_by_name: false,
            verbose: 0,
            json: false,
            threads: 2,
        }
    }

    pub fn restore(&self, options: &RestoreOptions) -> (Result<RestoreSummary>, Vec<ItemError>) {
        self.restore_under(options, &Control::new())
    }

    pub fn restore_under(
        &self,
        options: &RestoreOptions,
        control: &Arc<Control>,
    ) -> (Result<RestoreSummary>, Vec<ItemError>) {
        let result = run(&self.repo, &self.index(), options, control);
        (result, control.drain_errors())
    }

    /// Restores without any error.
    pub fn restore_well(&self, options: &RestoreOptions) -> RestoreSummary {
        let (result, errors) = self.restore(options);
        assert!(errors.is_empty(), "{errors:?}");
        result.unwrap()
    }

    /// Saves, restores, compares.
    pub fn round_trip(&self, entries: &[Entry]) -> RestoreSummary {
        let tree = self.save(entries);
        let summary = self.restore_well(&self.options(tree));
        self.compare(entries);
        summary
    }

    /// The target equals the imagined tree.
    pub fn compare(&self, entries: &[Entry]) {
        compare(&self.target(), entries);
    }
}

/// A node as a tree holds it, whatever its name: the builder refuses some, so the name is put in after.
fn node_bytes(node: &Node) -> Vec<u8> {
    const STAND_IN: &str = "STAND-IN";
    let mut stand_in = node.clone();
    stand_in.name = STAND_IN.into();
    let mut builder = TreeBuilder::default();
    builder.add(&stand_in).unwrap();
    let tree = String::from_utf8(builder.finish()).unwrap();
    let inner = tree
        .strip_prefix("{\"nodes\":[")
        .and_then(|t| t.strip_suffix("]}\n"))
        .unwrap();
    let mut quoted = Vec::new();
    crate::gojson::quote(&node.name, &mut quoted);
    let mut json = Vec::new();
    crate::gojson::write_string(&quoted, &mut json);
    let json = String::from_utf8(json).unwrap();
    inner
        .replacen(&format!("\"{STAND_IN}\""), &json, 1)
        .into_bytes()
}

/// A directory equals the imagined entries, and holds nothing else.
pub fn compare(path: &Path, entries: &[Entry]) {
    let mut there: Vec<Vec<u8>> = path
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name().into_encoded_bytes())
        .collect();
    there.sort();
    let mut wanted: Vec<Vec<u8>> = entries
        .iter()
        .filter(|e| e.node.kind != NodeType::Socket)
        .map(|e| e.node.name.clone())
        .collect();
    wanted.sort();
    assert_eq!(there, wanted, "in {}", path.display());
    for entry in entries {
        if entry.node.kind != NodeType::Socket {
            compare_one(
                &path.join(std::ffi::OsStr::from_bytes(&entry.node.name)),
                entry,
            );
        }
    }
}

fn compare_one(path: &Path, entry: &Entry) {
    let node = &entry.node;
    let stat = path.symlink_metadata().unwrap();
    let shown = path.display();
    if node.kind == NodeType::Dir {
        compare(path, &entry.entries);
    }
    assert_eq!(mode_to_go(stat.mode()), node.mode, "mode of {shown}");
    assert_eq!((stat.uid(), stat.gid()), (node.uid, node.gid), "{shown}");
    let mtime = (stat.mtime(), stat.mtime_nsec());
    let wanted = (node.mtime.at.secs, i64::from(node.mtime.at.nanos));
    assert_eq!(mtime, wanted, "time of {shown}");
    match node.kind {
        NodeType::File => {
            assert_eq!(std::fs::read(path).unwrap(), entry.content(), "{shown}");
        }
        NodeType::Symlink => {
            let target = std::fs::read_link(path).unwrap();
            assert_eq!(target.as_os_str().as_bytes(), node.linktarget, "{shown}");
        }
        NodeType::CharDev | NodeType::Dev => assert_eq!(stat.rdev(), node.device),
        _ => {}
    }
}

/// The codes of item errors with their items.
pub fn codes(errors: &[ItemError]) -> Vec<(String, &'static str, Code)> {
    let mut found: Vec<_> = errors
        .iter()
        .map(|e| {
            let item = String::from_utf8_lossy(&e.item).into_owned();
            (item, e.during, e.error.code())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Bytes that look random but are not.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}
