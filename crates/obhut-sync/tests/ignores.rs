//! What a real Syncthing ignores (`tests/record_bep.py`): line by line and name by name the same here.

use obhut_sync::ignore::{Ignores, Verdict};

const RECORDED: &str = include_str!("../../../tests/data/bep/ignores-2.1.3.txt");
const PARTS: [&str; 8] = ["a", "b", "ab", "A", "foo", "foo.txt", "x.b", "ä"];

/// Directories above what is shared are shared, too, or it would have no place: the engine sees to that, not the lines.
fn has_something_shared(found: &Ignores, name: &str) -> bool {
    let below = || PARTS.iter().map(|part| format!("{name}/{part}"));
    found.descends()
        && (below().any(|inner| found.verdict(&inner) == Verdict::Shared)
            || below().any(|inner| {
                PARTS
                    .iter()
                    .any(|part| found.verdict(&format!("{inner}/{part}")) == Verdict::Shared)
            }))
}

/// Its patterns count bytes where a single character stands at the end of one: `?` is no `ä` there, and is one at the root.
fn counts_bytes(patterns: &str, name: &str) -> bool {
    name.ends_with('ä') && patterns.contains(['?', '['])
}

#[test]
fn as_syncthing_2_1_3_ignores() {
    let mut lines = RECORDED.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let (mut cases, mut asked, mut different) = (0, 0, Vec::new());
    while let (Some(patterns), Some(said)) = (lines.next(), lines.next()) {
        let found = Ignores::parse(
            ".stignore",
            &patterns.replace('\t', "\n"),
            &mut |_| unreachable!(),
        )
        .unwrap();
        for (name, theirs) in names
            .iter()
            .zip(said.chars())
            .filter(|(name, _)| !counts_bytes(patterns, name))
        {
            let ours = found.verdict(name) != Verdict::Shared;
            if ours != (theirs == '1') && !(ours && has_something_shared(&found, name)) {
                different.push(format!("{patterns:?} {name:?}: they {theirs}"));
            }
            asked += 1;
        }
        cases += 1;
    }
    assert_eq!((cases, asked > 11_000), (100, true));
    assert!(
        different.is_empty(),
        "{} of {asked}: {:#?}",
        different.len(),
        &different[..different.len().min(20)]
    );
}
