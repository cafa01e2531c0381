//! Any steps, with anybody writing in between, lose nothing.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 6] = ["a.txt", "b", "d", "d/a.txt", "d/e", "d/e/f"];

#[derive(Debug, Clone)]
struct Plan {
    name: usize,
    act: u8,
    displaced: u8,
    /// What is expected is what is there, or something else.
    right: bool,
    /// Another name: of a move.
    from: usize,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        0..NAMES.len(),
        0..6_u8,
        0..3_u8,
        prop::bool::weighted(0.85),
        0..NAMES.len(),
    );
    prop::collection::vec(
        plan.prop_map(|(name, act, displaced, right, from)| Plan {
            name,
            act,
            displaced,
            right,
            from,
        }),
        1..8,
    )
}

fn steps(tree: &Tree, plans: &[Plan]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, plan) in plans.iter().enumerate() {
        let name = NAMES[plan.name];
        let folder = tree.path(name).parent().unwrap().to_owned();
        let act = match plan.act {
            0 | 1 if folder.is_dir() => file(tree, name, format!("new {at}").as_bytes()),
            0..=2 => Act::Directory { mode: Some(0o755) },
            3 => Act::Link {
                target: b"/etc/passwd".to_vec(),
            },
            4 => match tree.root.look(NAMES[plan.from]).unwrap() {
                Some(facts) if facts.kind == FactsKind::File => Act::Move {
                    from: NAMES[plan.from].to_owned(),
                    facts,
                    mode: None,
                    modified: TIME,
                },
                _ => Act::Remove,
            },
            _ => Act::Remove,
        };
        let displaced = [Displaced::Version, Displaced::Conflict, Displaced::Version];
        let mut step = step(tree, name, act, displaced[usize::from(plan.displaced)]);
        if !plan.right {
            step.expected = match step.expected {
                Expected::Nothing => Expected::Item(Facts::default()),
                Expected::Item(mut facts) => {
                    facts.inode ^= 1;
                    Expected::Item(facts)
                }
            };
        }
        steps.push(step);
    }
    steps
}

/// Contents that were put there, by us or by somebody.
fn contents(tree: &Tree) -> Vec<Vec<u8>> {
    let files = tree.files().into_iter();
    let mut found: Vec<Vec<u8>> = files
        .filter(|(name, _)| !name.contains(".tmp"))
        .map(|(_, content)| content)
        .collect();
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost(
        plans in plans(),
        exchanges in any::<bool>(),
        writes in prop::collection::vec((0..12_usize, 0..NAMES.len()), 0..3),
    ) {
        let tree = Tree::new();
        tree.root.exchanges.store(exchanges, Ordering::Relaxed);
        for name in ["a.txt", "b", "d/a.txt", "d/e/f"] {
            tree.write(name, name.as_bytes());
        }
        let steps = steps(&tree, &plans);
        let before = contents(&tree);
        let (mut moment, mut written) = (0, Vec::new());
        let outcomes = tree.root.apply_between(&steps, now(), &mut |_, _| {
            for (number, (at, name)) in writes.iter().enumerate() {
                // As editors do: what was there is moved, not written over.
                let path = tree.path(NAMES[*name]);
                if *at == moment && path.parent().unwrap().is_dir() && !path.is_dir() {
                    let content = format!("his {number}");
                    let _ = std::fs::rename(&path, tree.path(&format!("old {number}")));
                    std::fs::write(&path, &content).unwrap();
                    written.push(content.into_bytes());
                }
            }
            moment += 1;
        });
        let mut after = contents(&tree);
        for content in before.iter().chain(&written) {
            let at = after.iter().position(|found| found == content);
            prop_assert!(at.is_some(), "{:?} is lost: {:?}", String::from_utf8_lossy(content), outcomes);
            after.remove(at.unwrap());
        }
        for (step, outcome) in steps.iter().zip(&outcomes) {
            if let (Expected::Item(facts), Outcome::Done(_)) = (&step.expected, outcome) {
                prop_assert!(facts.inode != 0, "what was not expected was done");
            }
        }
    }
}
