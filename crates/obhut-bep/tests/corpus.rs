//! The kept corpus of the fuzzer, and what a real Syncthing said, through the same function as under the fuzzer.

use obhut_bep::fuzzing::connection;

#[test]
fn everything_that_was_kept() {
    let mut count = 0;
    for folder in ["../../fuzz/corpus/bep", "../../tests/data/bep"] {
        for entry in std::fs::read_dir(folder).unwrap() {
            connection(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
    }
    assert!(count > 1, "the corpus is there");
}
