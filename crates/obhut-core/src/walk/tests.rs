use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::index::IndexBuilder;
use crate::pack::PackedBlob;
use crate::tree::{Node, NodeType, TreeBuilder};

/// Trees by id, and how often each was read.
#[derive(Default)]
struct Forest {
    trees: BTreeMap<Id, Vec<u8>>,
    reads: Mutex<BTreeMap<Id, usize>>,
    data: BTreeSet<Id>,
}

impl Forest {
    /// Adds a tree of these files and directories; gives its id.
    fn plant(&mut self, files: &[&[Id]], subtrees: &[Id]) -> Id {
        let mut builder = TreeBuilder::new();
        for (n, content) in files.iter().enumerate() {
            let mut node = Node::new(format!("a{n:03}").into_bytes(), NodeType::File);
            node.content = Some(content.to_vec());
            self.data.extend(*content);
            builder.add(&node).unwrap();
        }
        for (n, subtree) in subtrees.iter().enumerate() {
            let mut node = Node::new(format!("b{n:03}").into_bytes(), NodeType::Dir);
            node.subtree = Some(*subtree);
            builder.add(&node).unwrap();
        }
        let bytes = builder.finish();
        let id = Id::of(&bytes);
        self.trees.insert(id, bytes);
        id
    }

    /// An index of all blobs but `missing`, those of even ids in two packs.
    fn index(&self, missing: Option<Id>) -> Index {
        let trees = self.trees.keys().map(|id| (BlobKind::Tree, *id));
        let all = self
            .data
            .iter()
            .map(|id| (BlobKind::Data, *id))
            .chain(trees);
        let blobs: Vec<PackedBlob> = all
            .filter(|(_, id)| Some(*id) != missing)
            .map(|(kind, id)| PackedBlob {
                kind,
                id,
                offset: 0,
                length: 40,
                uncompressed: 0,
            })
            .collect();
        let (twice, _): (Vec<_>, Vec<_>) = blobs.iter().partition(|blob| blob.id.0[31] % 2 == 0);
        let mut builder = IndexBuilder::default();
        builder.add_pack(Id([1; 32]), &blobs);
        builder.add_pack(Id([2; 32]), &twice);
        builder.finish()
    }

    fn mark(&self, index: &Index, roots: &[Id], used: &mut SlotSet, threads: usize) -> Result<()> {
        mark(index, roots, used, &Control::default(), threads, &|| {
            Box::new(|id| {
                *self.reads.lock().unwrap().entry(*id).or_default() += 1;
                self.trees
                    .get(id)
                    .cloned()
                    .ok_or_else(|| Error::internal("no such tree"))
            })
        })
    }

    /// The plain model: what the roots reach.
    fn reach(&self, roots: &[Id]) -> BTreeSet<(BlobKind, Id)> {
        let mut found = BTreeSet::new();
        let mut waiting = roots.to_vec();
        while let Some(id) = waiting.pop() {
            if found.insert((BlobKind::Tree, id)) {
                for node in crate::tree::parse("tree", &self.trees[&id]).unwrap() {
                    found.extend(
                        node.content
                            .unwrap_or_default()
                            .into_iter()
                            .map(|id| (BlobKind::Data, id)),
                    );
                    waiting.extend(node.subtree);
                }
            }
        }
        found
    }
}

/// The blobs of marked slots; every one must be the first copy.
fn marked(index: &Index, used: &SlotSet) -> BTreeSet<(BlobKind, Id)> {
    let slots = (0..index.len()).filter(|&slot| used.contains(slot));
    slots
        .map(|slot| {
            let entry = index.entry(slot);
            assert_eq!(index.slots(entry.kind, &entry.id).start, slot);
            (entry.kind, entry.id)
        })
        .collect()
}

fn blob(n: u8) -> Id {
    Id::of(&[n])
}

#[test]
fn sets_hold_what_was_put_in() {
    let mut set = SlotSet::new(70);
    assert_eq!(set.bits.len(), 2);
    assert!(set.insert(69) && set.insert(0) && !set.insert(69));
    assert!(set.contains(69) && !set.contains(68) && !set.contains(100_000));
    let mut other = SlotSet::default();
    assert!(other.insert(200) && other.insert(69));
    set.union(&other);
    assert_eq!(set.count(), 3);
    other.union(&set);
    assert_eq!(other, set);
}

#[test]
fn a_missing_blob_is_named_with_the_tree_that_needs_it() {
    let mut forest = Forest::default();
    let leaf = forest.plant(&[&[blob(1)]], &[]);
    let root = forest.plant(&[], &[leaf]);
    for (missing, user) in [
        (blob(1), format!("tree {leaf}")),
        (leaf, format!("tree {root}")),
        (root, "a snapshot".to_owned()),
    ] {
        let index = forest.index(Some(missing));
        let error = forest
            .mark(&index, &[root], &mut SlotSet::default(), 2)
            .unwrap_err();
        assert_eq!(error.code(), Code::BlobMissing);
        assert!(
            error.object().contains(&missing.hex()) && error.detail().contains(&user),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_tree_stops_the_walk_and_is_named() {
    let mut forest = Forest::default();
    let leaf = forest.plant(&[&[blob(1)]], &[]);
    let root = forest.plant(&[], &[leaf]);
    let index = forest.index(None);
    forest.trees.insert(leaf, b"{\"nodes\":[".to_vec());
    let error = forest
        .mark(&index, &[root], &mut SlotSet::default(), 3)
        .unwrap_err();
    assert_eq!(
        (error.code(), error.object()),
        (Code::Damaged, format!("tree {leaf}").as_str())
    );
}

#[test]
fn a_panic_in_a_thread_ends_the_walk() {
    let mut forest = Forest::default();
    let root = forest.plant(&[], &[]);
    let index = forest.index(None);
    let result = mark(
        &index,
        &[root],
        &mut SlotSet::default(),
        &Control::default(),
        4,
        &|| Box::new(|_| panic!("on purpose")),
    );
    assert_eq!(result.unwrap_err().code(), Code::Internal);
}

#[test]
fn a_cancel_ends_the_walk() {
    let mut forest = Forest::default();
    let leaves: Vec<Id> = (0..20).map(|n| forest.plant(&[&[blob(n)]], &[])).collect();
    let root = forest.plant(&[], &leaves);
    let index = forest.index(None);
    let (control, reads) = (Control::default(), AtomicUsize::new(0));
    let result = mark(
        &index,
        &[root],
        &mut SlotSet::default(),
        &control,
        3,
        &|| {
            Box::new(|id| {
                if reads.fetch_add(1, Relaxed) == 2 {
                    control.cancel();
                }
                Ok(forest.trees[id].clone())
            })
        },
    );
    assert_eq!(result.unwrap_err().code(), Code::Cancelled);
    assert!(reads.load(Relaxed) < 10);
}

/// For each tree, which of the earlier trees it holds and which blobs its file has.
fn arbitrary_forest() -> impl Strategy<Value = Vec<(Vec<usize>, Vec<u8>)>> {
    let tree = (
        prop::collection::vec(0usize..30, 0..4),
        prop::collection::vec(any::<u8>(), 0..4),
    );
    prop::collection::vec(tree, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn marks_what_the_model_reaches_and_reads_each_tree_once(
        shape in arbitrary_forest(),
        first in prop::collection::vec(0usize..30, 0..4),
        second in prop::collection::vec(0usize..30, 0..4),
        threads in 1usize..5,
    ) {
        let mut forest = Forest::default();
        let mut ids = Vec::new();
        for (subtrees, data) in shape {
            let subtrees: Vec<Id> = subtrees.into_iter().filter_map(|n| ids.get(n).copied()).collect();
            let content: Vec<Id> = data.into_iter().map(blob).collect();
            ids.push(forest.plant(&[&content], &subtrees));
        }
        let pick = |wanted: Vec<usize>| -> Vec<Id> { wanted.into_iter().filter_map(|n| ids.get(n).copied()).collect() };
        let (first, second) = (pick(first), pick(second));
        let index = forest.index(None);
        let mut used = SlotSet::new(index.len());
        forest.mark(&index, &first, &mut used, threads).unwrap();
        prop_assert_eq!(marked(&index, &used), forest.reach(&first));
        // A second call goes on from the first.
        forest.mark(&index, &second, &mut used, threads).unwrap();
        let both = [first, second].concat();
        prop_assert_eq!(marked(&index, &used), forest.reach(&both));
        prop_assert!(forest.reads.lock().unwrap().values().all(|&reads| reads == 1));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(64)
}
