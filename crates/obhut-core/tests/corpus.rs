//! The kept fuzz corpus, replayed by an ordinary test: no nightly compiler and no sanitizer needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use obhut_core::fuzzing::{TARGETS, seeds};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).into_string().expect("a plain name"))
        .collect()
}

#[test]
fn every_input_that_was_ever_interesting_passes() {
    for (target, run) in TARGETS {
        let folder = corpus().join(target);
        let inputs = names(&folder);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let data = fs::read(folder.join(&input)).expect("readable");
            let result = std::panic::catch_unwind(|| run(&data));
            assert!(result.is_ok(), "{target} fails on {input}");
        }
    }
}

#[test]
fn every_corpus_has_a_target_and_every_target_a_program() {
    // Those of the protocol of devices run in their own crate (`crates/obhut-bep/tests/corpus.rs`).
    let names_of = TARGETS.iter().map(|(name, _)| *name).chain(["bep"]);
    let targets: BTreeSet<String> = names_of.map(str::to_owned).collect();
    assert_eq!(names(&corpus()), targets);
    let programs = names(&corpus().join("../fuzz_targets"));
    let expected = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(programs, expected);
}

#[test]
fn the_made_seeds_are_in_the_corpus() {
    for (target, name, bytes) in seeds() {
        let kept = fs::read(corpus().join(target).join(name)).expect("kept: see `write_the_seeds`");
        assert_eq!(kept, bytes, "{target}/{name}");
    }
}

/// Run by hand after the seeds have changed.
#[test]
#[ignore = "writes into the source tree"]
#[expect(
    clippy::disallowed_methods,
    reason = "sources are no lasting data of users"
)]
fn write_the_seeds() {
    for (target, name, bytes) in seeds() {
        let folder = corpus().join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), bytes).expect("written");
    }
}
