//! Somebody writes between the calls of a step.

use super::*;

/// How somebody writes.
type Writer = fn(&Tree, &str);

fn in_place(tree: &Tree, name: &str) {
    tree.write(name, b"his own");
}

fn as_editors(tree: &Tree, name: &str) {
    tree.save(name, b"his own");
}

fn moved_away(tree: &Tree, name: &str) {
    std::fs::rename(tree.path(name), tree.path("elsewhere")).unwrap();
    tree.write(name, b"his own");
}

fn only_away(tree: &Tree, name: &str) {
    std::fs::rename(tree.path(name), tree.path("elsewhere")).unwrap();
    tree.write("his", b"his own");
}

fn link_there(tree: &Tree, name: &str) {
    std::fs::rename(tree.path(name), tree.path("elsewhere")).unwrap();
    tree.link(name, "/etc/passwd");
    tree.write("his", b"his own");
}

fn directory_there(tree: &Tree, name: &str) {
    std::fs::rename(tree.path(name), tree.path("elsewhere")).unwrap();
    tree.write(&format!("{name}/inside"), b"his own");
}

/// What a writer leaves of the content that it finds.
const WRITERS: [(Writer, bool); 6] = [
    (in_place, false),
    (as_editors, false),
    (moved_away, true),
    (only_away, true),
    (link_there, true),
    (directory_there, true),
];

const PLACES: [Displaced; 3] = [Displaced::Version, Displaced::Trash, Displaced::Conflict];

fn contents(tree: &Tree) -> Vec<Vec<u8>> {
    tree.files().into_values().collect()
}

/// Whether a content is in the folder itself: what is only in the versions nobody else gets.
fn lives(tree: &Tree, content: &[u8]) -> bool {
    let mut files = tree.files().into_iter();
    files.any(|(name, found)| !name.starts_with(".stversions") && found == content)
}

fn with(tree: &Tree, step: &Step, moment: Moment, writer: Writer) -> Outcome {
    let mut wrote = false;
    let outcome = tree
        .root
        .apply_between(std::slice::from_ref(step), now(), &mut |at, name| {
            // A name that is just gone cannot be moved away.
            if at == moment && !wrote && tree.root.look(name).unwrap().is_some() {
                writer(tree, name);
                wrote = true;
            }
        })
        .remove(0);
    assert!(wrote || moment != Moment::Looked);
    if !wrote {
        tree.write("his", b"his own");
    }
    outcome
}

#[test]
fn a_writer_while_a_file_is_replaced() {
    for exchanges in [true, false] {
        for moment in [Moment::Looked, Moment::Exchanged, Moment::Stowed] {
            for (at, (writer, keeps)) in WRITERS.into_iter().enumerate() {
                for displaced in PLACES {
                    let tree = Tree::new();
                    tree.root.exchanges.store(exchanges, Ordering::Relaxed);
                    tree.write("a.txt", b"old");
                    let act = file(&tree, "a.txt", b"new");
                    let step = step(&tree, "a.txt", act, displaced);
                    let outcome = with(&tree, &step, moment, writer);
                    let about = format!("{exchanges} {moment:?} {at} {displaced:?} {outcome:?}");
                    let found = contents(&tree);
                    let has = |content: &[u8]| found.iter().any(|found| found == content);
                    assert!(lives(&tree, b"his own"), "{about}");
                    // What the writer itself overwrote is not ours to keep.
                    let before = moment == Moment::Looked;
                    assert!(has(b"old") || before && !keeps, "{about}");
                    assert!(has(b"new") || !before && !keeps, "{about}");
                    known(&tree, &outcome, &about);
                }
            }
        }
    }
}

/// What an outcome says of the name is there, or is older than what is there: never the writer's own facts as ours.
fn known(tree: &Tree, outcome: &Outcome, about: &str) {
    if let Outcome::Done(Some(facts))
    | Outcome::Raced {
        now: Some(facts), ..
    } = outcome
        && tree.root.look("a.txt").unwrap().as_ref() == Some(facts)
        && facts.kind == FactsKind::File
    {
        assert_eq!(tree.read("a.txt").unwrap(), b"new", "{about}");
    }
    if let Outcome::Raced { copy, .. } = outcome {
        assert!(tree.root.look(copy).unwrap().is_some(), "{about}");
    }
    if let Outcome::Changed(found) = outcome {
        assert_eq!(tree.root.look("a.txt").unwrap(), *found, "{about}");
    }
}

#[test]
fn a_writer_while_a_file_is_removed() {
    for moment in [Moment::Looked, Moment::Stowed] {
        for (at, (writer, keeps)) in WRITERS.into_iter().enumerate() {
            for displaced in [
                Displaced::Version,
                Displaced::Trash,
                Displaced::Conflict,
                Displaced::Drop,
            ] {
                let tree = Tree::new();
                tree.write("a.txt", b"old");
                let step = step(&tree, "a.txt", Act::Remove, displaced);
                let outcome = with(&tree, &step, moment, writer);
                let about = format!("{moment:?} {at} {displaced:?} {outcome:?}");
                let found = contents(&tree);
                let has = |content: &[u8]| found.iter().any(|found| found == content);
                assert!(lives(&tree, b"his own"), "{about}");
                let dropped = displaced == Displaced::Drop && outcome == Outcome::Done(None);
                let before = moment == Moment::Looked;
                assert!(has(b"old") || dropped || before && !keeps, "{about}");
                known(&tree, &outcome, &about);
            }
        }
    }
}

#[test]
fn the_trash_keeps_what_it_has_for_what_was_not_expected() {
    for act in 0..2 {
        let tree = Tree::new();
        tree.write("a.txt", b"old");
        tree.write(".stversions/a.txt", b"before");
        let act = if act == 0 {
            file(&tree, "a.txt", b"new")
        } else {
            Act::Remove
        };
        let step = step(&tree, "a.txt", act, Displaced::Trash);
        with(&tree, &step, Moment::Looked, as_editors);
        assert!(lives(&tree, b"his own"));
        assert_eq!(tree.read(".stversions/a.txt").unwrap(), b"before");
    }
}

#[test]
fn a_writer_that_has_the_old_file_open() {
    use std::io::Write;
    for displaced in PLACES {
        let tree = Tree::new();
        tree.write("a.txt", b"old");
        let act = file(&tree, "a.txt", b"new");
        let step = step(&tree, "a.txt", act, displaced);
        let mut open = std::fs::OpenOptions::new()
            .append(true)
            .open(tree.path("a.txt"))
            .unwrap();
        let outcome = tree
            .root
            .apply_between(&[step], now(), &mut |at, _| {
                if at == Moment::Stowed {
                    open.write_all(b" and more").unwrap();
                }
            })
            .remove(0);
        let Outcome::Raced { copy, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(tree.read(&copy).unwrap(), b"old and more");
        assert_eq!(tree.read("a.txt").unwrap(), b"new");
    }
}

#[test]
fn somebody_takes_a_name_that_was_free() {
    let tree = Tree::new();
    tree.write("from", b"moved");
    let moved = Act::Move {
        from: "from".to_owned(),
        facts: tree.facts("from"),
        mode: None,
        modified: TIME,
    };
    let acts = [
        ("f", file(&tree, "f", b"new")),
        ("d", Act::Directory { mode: None }),
        (
            "l",
            Act::Link {
                target: b"x".to_vec(),
            },
        ),
        ("m", moved),
    ];
    for (name, act) in acts {
        let step = step(&tree, name, act, Displaced::Version);
        let outcome = tree
            .root
            .apply_between(&[step], now(), &mut |_, name| tree.write(name, b"his own"))
            .remove(0);
        assert_eq!(outcome, Outcome::Changed(Some(tree.facts(name))));
        assert_eq!(tree.read(name).unwrap(), b"his own");
    }
    assert_eq!(tree.read("from").unwrap(), b"moved");
}

#[test]
fn somebody_swaps_a_directory_for_a_link() {
    let tree = Tree::new();
    let outside = tree.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("a.txt"), b"outside").unwrap();
    for moment in [Moment::Looked, Moment::Exchanged, Moment::Stowed] {
        for act in 0..2 {
            tree.write("d/a.txt", b"old");
            let act = if act == 0 {
                file(&tree, "d/a.txt", b"new")
            } else {
                Act::Remove
            };
            let step = step(&tree, "d/a.txt", act, Displaced::Version);
            tree.root.apply_between(&[step], now(), &mut |at, _| {
                if at == moment && tree.path("d").is_dir() {
                    std::fs::rename(tree.path("d"), tree.path("e")).unwrap();
                    tree.link("d", "../outside");
                }
            });
            if tree.path("d").is_symlink() {
                std::fs::remove_file(tree.path("d")).unwrap();
                std::fs::rename(tree.path("e"), tree.path("d")).unwrap();
            }
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
            assert_eq!(std::fs::read(outside.join("a.txt")).unwrap(), b"outside");
            assert!(contents(&tree).iter().any(|content| content == b"old"));
        }
    }
}

#[test]
fn something_comes_into_a_directory_that_is_replaced() {
    let tree = Tree::new();
    tree.make("d");
    let act = file(&tree, "d", b"new");
    let step = step(&tree, "d", act, Displaced::Version);
    let outcome = tree
        .root
        .apply_between(&[step], now(), &mut |at, _| {
            if at == Moment::Exchanged {
                tree.write(".syncthing.d.tmp/inside", b"his own");
            }
        })
        .remove(0);
    assert!(matches!(outcome, Outcome::NotEmpty(_)), "{outcome:?}");
    assert_eq!(tree.read("d/inside").unwrap(), b"his own");
    assert_eq!(tree.read(".syncthing.d.tmp").unwrap(), b"new");
}

/// At any stop the name has the old content or the new one, whole; what it displaced is found by the next life.
#[test]
fn a_stop_at_any_moment() {
    for moment in [Moment::Looked, Moment::Exchanged, Moment::Stowed] {
        for displaced in PLACES {
            for remove in [false, true] {
                let tree = Tree::new();
                tree.write("a.txt", b"old");
                let act = if remove {
                    Act::Remove
                } else {
                    file(&tree, "a.txt", b"new")
                };
                let step = step(&tree, "a.txt", act, displaced);
                let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    tree.root.apply_between(&[step], now(), &mut |at, _| {
                        if at == moment {
                            std::panic::resume_unwind(Box::new(()));
                        }
                    })
                }));
                assert!(stopped.is_err() || remove && moment == Moment::Exchanged);
                let root = Root::open(&tree.path("")).unwrap();
                let ignores = obhut_sync::ignore::Ignores::default();
                let left = root.walk(None, &ignores, &mut |_| true).temporaries;
                assert_eq!(root.sweep(&left, now(), &|_| true), []);
                let found = contents(&tree);
                let about = format!("{moment:?} {displaced:?} {remove} {:?}", tree.names());
                assert!(found.iter().any(|content| content == b"old"), "{about}");
                if !remove {
                    let there = tree.read("a.txt").unwrap();
                    assert!(there == b"old" || there == b"new", "{about}");
                    assert!(!tree.path(".syncthing.a.txt.tmp").exists(), "{about}");
                }
            }
        }
    }
}
