//! Trees and snapshots under the fuzzer.

use crate::id::Id;
use crate::snapshot::parse_root;
use crate::tree::{Node, TreeBuilder, TreeRefs, parse, parse_refs};

/// A tree's plaintext: what is read can be rebuilt, and what was rebuilt is stable.
pub fn tree(data: &[u8]) {
    let mut refs = TreeRefs::default();
    let refs_read = parse_refs("fuzz", data, &mut refs);
    let Ok(mut nodes) = parse("fuzz", data) else {
        return;
    };
    refs_read.expect("the walk reads every tree that the restore reads");
    for node in &nodes {
        let content = node.content.iter().flatten();
        assert!(content.into_iter().all(|id| refs.content.contains(id)));
        assert!(node.subtree.is_none_or(|id| refs.subtrees.contains(&id)));
    }
    nodes.retain(|node| !node.name.is_empty());
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    let Some(canonical) = build(&nodes) else {
        return;
    };
    let again = parse("fuzz", &canonical).expect("we read what we write");
    assert_eq!(again.len(), nodes.len());
    for (again, node) in again.iter().zip(&nodes) {
        assert_eq!(plain(again), plain(node));
    }
    assert_eq!(build(&again), Some(canonical));
}

/// `None` if a node cannot be written, which only attributes of Windows may cause: they are kept unread.
fn build(nodes: &[Node]) -> Option<Vec<u8>> {
    let mut builder = TreeBuilder::new();
    for node in nodes {
        if builder.add(node).is_err() {
            assert!(node.generic_attributes.is_some());
            return None;
        }
    }
    let size = builder.size();
    let bytes = builder.finish();
    assert_eq!(bytes.len(), size);
    Some(bytes)
}

/// All of a node that survives writing as it is.
fn plain(node: &Node) -> String {
    format!(
        "{:?}",
        Node {
            generic_attributes: None,
            ..node.clone()
        }
    )
}

/// A snapshot's plaintext: the root is the value of its key.
pub fn snapshot(data: &[u8]) {
    let Ok(root) = parse_root(Id::ZERO, data) else {
        return;
    };
    // This reader gives up on deep nesting, which ours skips.
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) {
        assert_eq!(json["tree"].as_str(), Some(root.tree.hex().as_str()));
    }
}
