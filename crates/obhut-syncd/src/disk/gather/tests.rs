use std::os::unix::fs::MetadataExt;

use super::super::names::tests::{Tree, now};
use super::super::temporary::MARKED;
use super::*;

const BLOCK: usize = SMALLEST_BLOCK as usize;
const NAME: &str = "d/.syncthing.f.tmp";

fn content(seed: u8, blocks: usize, rest: usize) -> Vec<u8> {
    (0..blocks * BLOCK + rest)
        .map(|at| seed ^ (at / BLOCK) as u8 ^ (at % 251) as u8)
        .collect()
}

fn blocks(content: &[u8]) -> Blocks {
    let hashes = if content.is_empty() {
        hash_of(b"").to_vec()
    } else {
        content.chunks(BLOCK).flat_map(hash_of).collect()
    };
    Blocks::new(hashes).unwrap()
}

fn prepare(tree: &Tree, content: &[u8], sources: &[Source]) -> Vec<u32> {
    let wanted = Wanted {
        temporary: NAME,
        size: content.len() as u64,
        block_size: SMALLEST_BLOCK,
        blocks: &blocks(content),
        sources,
    };
    tree.root.prepare(&wanted, now()).unwrap()
}

fn write(tree: &Tree, content: &[u8], block: usize) {
    let data = content.chunks(BLOCK).nth(block).unwrap();
    let offset = (block * BLOCK) as u64;
    tree.root
        .write(
            NAME,
            content.len() as u64,
            offset,
            data,
            &hash_of(data),
            now(),
        )
        .unwrap();
}

fn source(block: u32, name: &str, offset: usize) -> Source {
    Source {
        block,
        name: name.to_owned(),
        offset: offset as u64,
    }
}

#[test]
fn all_blocks_come_from_elsewhere() {
    let tree = Tree::new();
    tree.make("d");
    let wanted = content(1, 3, 10);
    assert_eq!(prepare(&tree, &wanted, &[]), [0, 1, 2, 3]);
    assert_eq!(tree.mode(NAME), MARKED);
    for block in [3, 0, 2] {
        write(&tree, &wanted, block);
    }
    // Another life: what is there is kept.
    assert_eq!(prepare(&tree, &wanted, &[]), [1]);
    write(&tree, &wanted, 1);
    assert_eq!(prepare(&tree, &wanted, &[]), [] as [u32; 0]);
    assert_eq!(tree.read(NAME).unwrap(), wanted);
    // The same place for another content: shorter, then longer.
    for other in [content(2, 1, 1), content(1, 5, 0), Vec::new()] {
        for block in prepare(&tree, &other, &[]) {
            write(&tree, &other, block as usize);
        }
        assert_eq!(tree.read(NAME).unwrap(), other);
    }
}

#[test]
fn blocks_of_other_files_only_if_they_are_right() {
    let tree = Tree::new();
    let wanted = content(1, 4, 10);
    tree.write("d/f", &wanted[..2 * BLOCK]);
    tree.write(
        "g",
        &[&[7; 100][..], &wanted[2 * BLOCK..3 * BLOCK]].concat(),
    );
    tree.write("h", &wanted[4 * BLOCK..]);
    tree.write("wrong", &vec![9; BLOCK]);
    tree.link("l", "d/f");
    tree.write(".stversions/v", &wanted);
    let sources = [
        source(0, "d/f", 0),
        source(1, "wrong", 0),
        source(1, "l", BLOCK),
        source(1, "../root/d/f", BLOCK),
        source(1, ".stversions/v", BLOCK),
        source(1, "none", 0),
        source(2, "g", 100),
        source(3, "d/f", 3 * BLOCK),
        source(4, "h", 0),
        source(99, "h", 0),
    ];
    assert_eq!(prepare(&tree, &wanted, &sources), [1, 3]);
    write(&tree, &wanted, 1);
    write(&tree, &wanted, 3);
    assert_eq!(tree.read(NAME).unwrap(), wanted);
}

#[test]
fn zeros_are_holes() {
    let tree = Tree::new();
    tree.make("d");
    let mut wanted = vec![0; 6 * BLOCK];
    wanted[5 * BLOCK..].fill(3);
    assert_eq!(prepare(&tree, &wanted, &[]), [5]);
    let taken = std::fs::metadata(tree.path(NAME)).unwrap().blocks();
    assert!(taken < 8, "{taken}");
    // Where something else lay before.
    let full = content(1, 6, 0);
    for block in prepare(&tree, &full, &[]) {
        write(&tree, &full, block as usize);
    }
    tree.write("wrong", &vec![9; BLOCK]);
    assert_eq!(prepare(&tree, &wanted, &[source(0, "wrong", 0)]), [5]);
    write(&tree, &wanted, 5);
    assert_eq!(tree.read(NAME).unwrap(), wanted);
    assert_eq!(prepare(&tree, b"", &[]), [] as [u32; 0]);
    assert_eq!(tree.read(NAME).unwrap(), b"");
}

#[test]
fn what_is_refused() {
    let tree = Tree::new();
    let hash = hash_of(b"x");
    let write = |name: &str, data: &[u8]| tree.root.write(name, 1, 0, data, &hash, now());
    assert_eq!(write(NAME, b"y"), Err(Failure::WrongHash));
    assert_eq!(write(NAME, b"x"), Err(Failure::Gone));
    tree.make("d");
    assert_eq!(write(NAME, b"x"), Ok(()));
    assert!(write("d/f", b"x").is_err());
    assert!(write(".stversions/.syncthing.f.tmp", b"x").is_err());
    assert!(write("../.syncthing.f.tmp", b"x").is_err());
    tree.link("l", "d");
    assert_eq!(write("l/.syncthing.f.tmp", b"x"), Err(Failure::Gone));
    tree.link("d/.syncthing.g.tmp", "../l");
    assert!(write("d/.syncthing.g.tmp", b"x").is_err());
    // Where others were written before, they are gone with the file.
    let half = |name: &str| tree.root.write(name, 2, 1, b"x", &hash, now());
    assert_eq!(half("d/.syncthing.half.tmp"), Err(Failure::Gone));
    assert!(tree.read("d/.syncthing.half.tmp").is_none());
    // One that is left of a longer version gets the size of the new one.
    let long = vec![7; 50];
    tree.root
        .write(NAME, 50, 0, &long, &hash_of(&long), now())
        .unwrap();
    assert_eq!(write(NAME, b"x"), Ok(()));
    assert_eq!(tree.read(NAME).unwrap(), b"x");
    // What was displaced by an exchange is no temporary file.
    tree.write("d/.syncthing.h.tmp", b"somebody's");
    assert!(write("d/.syncthing.h.tmp", b"x").is_err());
    assert_eq!(tree.read("d/.syncthing.h.tmp").unwrap(), b"somebody's");
    let wanted = Wanted {
        temporary: NAME,
        size: 5 * u64::from(SMALLEST_BLOCK),
        block_size: SMALLEST_BLOCK,
        blocks: &blocks(b"x"),
        sources: &[],
    };
    assert!(tree.root.prepare(&wanted, now()).is_err());
}
