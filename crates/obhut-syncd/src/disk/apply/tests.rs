use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use obhut_sync::io::Displaced;

use super::super::hash::hash_of;
use super::super::names::tests::{Tree, now};
use super::*;

mod races;
mod random;

const TIME: (i64, i32) = (1_500_000_000, 123_456_789);
const VERSION: &str = ".stversions/a~20260102-030405.txt";

/// Makes a temporary file as others gather it.
fn gathered(tree: &Tree, name: &str, content: &[u8]) -> String {
    let temporary = obhut_sync::internal::temporary(name, |_| String::new());
    tree.root
        .write(
            &temporary,
            content.len() as u64,
            0,
            content,
            &hash_of(content),
            now(),
        )
        .unwrap();
    temporary
}

fn file(tree: &Tree, name: &str, content: &[u8]) -> Act {
    Act::File {
        temporary: gathered(tree, name, content),
        mode: Some(0o640),
        modified: TIME,
    }
}

fn step(tree: &Tree, name: &str, act: Act, displaced: Displaced) -> Step {
    let expected = tree
        .root
        .look(name)
        .unwrap()
        .map_or(Expected::Nothing, Expected::Item);
    Step {
        name: name.to_owned(),
        expected,
        act,
        displaced,
        copy: obhut_sync::conflict::copy_name(name, local(now()), winner()),
    }
}

fn winner() -> obhut_bep::ShortId {
    obhut_bep::ShortId(0)
}

fn copy_of(name: &str) -> String {
    obhut_sync::conflict::copy_name(name, local(now()), winner())
}

fn one(tree: &Tree, step: &Step) -> Outcome {
    tree.root.apply(std::slice::from_ref(step), now()).remove(0)
}

fn done(tree: &Tree, name: &str) -> Outcome {
    Outcome::Done(Some(tree.facts(name)))
}

#[test]
fn a_new_file() {
    let tree = Tree::new();
    tree.make("d");
    let new = step(&tree, "d/a", file(&tree, "d/a", b"new"), Displaced::Drop);
    assert_eq!(one(&tree, &new), done(&tree, "d/a"));
    assert_eq!(tree.names(), ["d/a"]);
    assert_eq!(tree.mode("d/a"), 0o640);
    assert_eq!(tree.facts("d/a").modified, TIME);
}

#[test]
fn where_what_is_replaced_goes() {
    for exchanges in [true, false] {
        for (displaced, place) in [
            (Displaced::Version, VERSION),
            (Displaced::Trash, ".stversions/a.txt"),
            (Displaced::Conflict, &copy_of("a.txt")),
            (Displaced::Drop, ""),
        ] {
            let tree = Tree::new();
            tree.root.exchanges.store(exchanges, Ordering::Relaxed);
            tree.write("a.txt", b"old");
            let new = step(&tree, "a.txt", file(&tree, "a.txt", b"new"), displaced);
            assert_eq!(one(&tree, &new), done(&tree, "a.txt"));
            assert_eq!(tree.read("a.txt").unwrap(), b"new");
            if displaced == Displaced::Drop {
                assert_eq!(tree.names(), ["a.txt"]);
            } else {
                assert_eq!(tree.read(place).unwrap(), b"old", "{place}");
                assert_eq!(tree.names().len(), 2);
            }
            if displaced == Displaced::Trash {
                assert_eq!(tree.facts(place).modified, now().wall);
            }
        }
    }
}

#[test]
fn where_what_is_removed_goes() {
    for (displaced, place) in [
        (Displaced::Version, VERSION),
        (Displaced::Trash, ".stversions/a.txt"),
        (Displaced::Conflict, &copy_of("a.txt")),
        (Displaced::Drop, ""),
    ] {
        let tree = Tree::new();
        tree.write("a.txt", b"old");
        let gone = step(&tree, "a.txt", Act::Remove, displaced);
        assert_eq!(one(&tree, &gone), Outcome::Done(None));
        assert_eq!(one(&tree, &gone), Outcome::Changed(None));
        let expected: &[&str] = if displaced == Displaced::Drop {
            &[]
        } else {
            &[place]
        };
        assert_eq!(tree.names(), expected);
    }
}

#[test]
fn names_that_are_taken_stay() {
    let tree = Tree::new();
    tree.write("a.txt", b"old");
    tree.write(VERSION, b"version");
    tree.write(&copy_of("b.txt"), b"copy");
    tree.write("b.txt", b"mine");
    let steps = [
        step(&tree, "a.txt", Act::Remove, Displaced::Version),
        step(&tree, "b.txt", Act::Remove, Displaced::Conflict),
    ];
    let outcomes = tree.root.apply(&steps, now());
    assert_eq!(outcomes, [Outcome::Done(None), Outcome::Done(None)]);
    assert_eq!(tree.read(VERSION).unwrap(), b"version");
    assert_eq!(
        tree.read(".stversions/a~20260102-030406.txt").unwrap(),
        b"old"
    );
    let mut contents: Vec<Vec<u8>> = tree.files().into_values().collect();
    contents.sort();
    assert_eq!(contents, [&b"copy"[..], b"mine", b"old", b"version"]);
}

#[test]
fn what_is_not_expected_is_not_touched() {
    let tree = Tree::new();
    tree.write("a.txt", b"old");
    tree.write("b.txt", b"old");
    let replaced = step(
        &tree,
        "a.txt",
        file(&tree, "a.txt", b"new"),
        Displaced::Version,
    );
    let mut fresh = step(&tree, "c", file(&tree, "c", b"new"), Displaced::Version);
    let removed = step(&tree, "b.txt", Act::Remove, Displaced::Version);
    tree.write("a.txt", b"his");
    tree.save("b.txt", b"his");
    tree.write("c", b"his");
    let outcomes = tree.root.apply(&[replaced, removed, fresh.clone()], now());
    for (outcome, name) in outcomes.iter().zip(["a.txt", "b.txt", "c"]) {
        assert_eq!(*outcome, Outcome::Changed(Some(tree.facts(name))));
        assert_eq!(tree.read(name).unwrap(), b"his");
    }
    // The temporary files are to be gathered again.
    assert_eq!(tree.mode(".syncthing.a.txt.tmp"), MARKED);
    assert_eq!(tree.mode(".syncthing.c.tmp"), MARKED);
    assert!(!tree.path(".stversions").exists());
    fresh.expected = Expected::Item(tree.facts("c"));
    assert_eq!(one(&tree, &fresh), done(&tree, "c"));
}

#[test]
fn directories_and_links() {
    let tree = Tree::new();
    tree.write("was-file", b"file");
    tree.link("was-link", "nowhere");
    tree.make("was-directory");
    let directory = || Act::Directory { mode: Some(0o750) };
    let link = || Act::Link {
        target: b"to/there".to_vec(),
    };
    let steps = [
        step(&tree, "d", directory(), Displaced::Version),
        step(&tree, "l", link(), Displaced::Version),
        step(&tree, "was-file", directory(), Displaced::Version),
        step(&tree, "was-link", directory(), Displaced::Version),
        step(&tree, "was-directory", link(), Displaced::Version),
    ];
    let outcomes = tree.root.apply(&steps, now());
    for (step, outcome) in steps.iter().zip(outcomes) {
        assert_eq!(outcome, done(&tree, &step.name));
        let facts = tree.facts(&step.name);
        match &step.act {
            Act::Link { target } => assert_eq!(facts.target, *target),
            _ => assert_eq!((facts.kind, facts.mode), (FactsKind::Directory, 0o750)),
        }
    }
    assert_eq!(tree.names(), [".stversions/was-file~20260102-030405"]);
    let kept = tree.facts(".stversions/was-link~20260102-030405");
    assert_eq!(kept.target, b"nowhere");
    let again = step(
        &tree,
        "d",
        Act::Directory { mode: Some(0o700) },
        Displaced::Drop,
    );
    assert_eq!(one(&tree, &again), done(&tree, "d"));
    assert_eq!(tree.mode("d"), 0o700);
    assert_eq!(std::fs::read_dir(tree.path("")).unwrap().count(), 6);
}

#[test]
fn a_file_for_a_directory_that_is_empty() {
    for exchanges in [true, false] {
        let tree = Tree::new();
        tree.root.exchanges.store(exchanges, Ordering::Relaxed);
        tree.write("d/inside", b"x");
        let act = || file(&tree, "d", b"new");
        let full = step(&tree, "d", act(), Displaced::Version);
        let names = vec!["d/inside".to_owned()];
        assert_eq!(one(&tree, &full), Outcome::NotEmpty(names));
        std::fs::remove_file(tree.path("d/inside")).unwrap();
        gathered(&tree, "d/left", b"part");
        let empty = step(&tree, "d", act(), Displaced::Version);
        assert_eq!(one(&tree, &empty), done(&tree, "d"));
        assert_eq!(tree.read("d").unwrap(), b"new");
        assert_eq!(tree.names(), ["d"]);
    }
}

#[test]
fn removing_directories() {
    let tree = Tree::new();
    tree.write("d/e/f", b"x");
    gathered(&tree, "d/e/g", b"part");
    tree.write("d/e/.syncthing.h.tmp", b"displaced");
    let names = |names: &[&str]| Outcome::NotEmpty(names.iter().map(ToString::to_string).collect());
    let gone = |name: &str| step(&tree, name, Act::Remove, Displaced::Drop);
    assert_eq!(one(&tree, &gone("d")), names(&["d/e"]));
    let left = names(&["d/e/.syncthing.h.tmp", "d/e/f"]);
    assert_eq!(one(&tree, &gone("d/e")), left);
    std::fs::remove_file(tree.path("d/e/f")).unwrap();
    assert_eq!(one(&tree, &gone("d/e")), names(&["d/e/.syncthing.h.tmp"]));
    std::fs::remove_file(tree.path("d/e/.syncthing.h.tmp")).unwrap();
    let both = [gone("d/e"), gone("d")];
    let outcomes = tree.root.apply(&both, now());
    assert_eq!(outcomes, [Outcome::Done(None), Outcome::Done(None)]);
}

#[test]
fn mode_and_time_alone() {
    let tree = Tree::new();
    tree.write("a", b"x");
    tree.make("d");
    tree.link("l", "a");
    let act = |mode| Act::Facts {
        mode: Some(mode),
        modified: Some(TIME),
    };
    let steps = [
        step(&tree, "a", act(0o4600), Displaced::Drop),
        step(&tree, "d", act(0o700), Displaced::Drop),
        step(&tree, "l", act(0o600), Displaced::Drop),
    ];
    let outcomes = tree.root.apply(&steps, now());
    for (step, outcome) in steps.iter().zip(outcomes) {
        assert_eq!(outcome, done(&tree, &step.name));
    }
    assert_eq!((tree.mode("a"), tree.facts("a").modified), (0o600, TIME));
    assert_eq!(tree.mode("d"), 0o700);
    let mut strange = step(&tree, "a", act(0o600), Displaced::Drop);
    strange.act = Act::Facts {
        mode: None,
        modified: Some((5, 0x3fff_fffe)), // what the system takes for "leave it"
    };
    assert_eq!(one(&tree, &strange), done(&tree, "a"));
    assert_eq!(tree.facts("a").modified, (5, 999_999_999));
}

#[test]
fn another_name() {
    let tree = Tree::new();
    tree.write("a", b"x");
    tree.make("d");
    let act = |facts| Act::Move {
        from: "a".to_owned(),
        facts,
        mode: Some(0o640),
        modified: TIME,
    };
    let facts = tree.facts("a");
    let moved = step(&tree, "d/b", act(facts.clone()), Displaced::Drop);
    tree.write("d/b", b"his");
    let his = Outcome::Changed(Some(tree.facts("d/b")));
    assert_eq!(one(&tree, &moved), his);
    std::fs::remove_file(tree.path("d/b")).unwrap();
    assert_eq!(one(&tree, &moved), done(&tree, "d/b"));
    assert_eq!(tree.names(), ["d/b"]);
    assert_eq!(
        (tree.mode("d/b"), tree.facts("d/b").modified),
        (0o640, TIME)
    );
    assert_eq!(tree.facts("d/b").inode, facts.inode);
    tree.write("a", b"another");
    let other = step(&tree, "c", act(facts), Displaced::Drop);
    assert_eq!(one(&tree, &other), Outcome::Changed(None));
    assert_eq!(tree.names(), ["a", "d/b"]);
}

#[test]
fn steps_that_cannot_be() {
    let tree = Tree::new();
    tree.write("a", b"x");
    let try_one = |name: &str, act: Act| {
        let mut step = step(&tree, "none", act, Displaced::Version);
        step.name = name.to_owned();
        one(&tree, &step)
    };
    let directory = || Act::Directory { mode: None };
    assert_eq!(
        try_one("none/d", directory()),
        Outcome::Failed(Failure::Gone)
    );
    for name in [
        "../x",
        "/x",
        ".stfolder",
        ".stversions/x",
        ".syncthing.x.tmp",
        "",
    ] {
        let outcome = try_one(name, directory());
        assert!(
            matches!(outcome, Outcome::Failed(Failure::Other(_))),
            "{name} {outcome:?}"
        );
    }
    for temporary in ["a", "../.syncthing.a.tmp", "d/.syncthing.a.tmp"] {
        let act = Act::File {
            temporary: temporary.to_owned(),
            mode: None,
            modified: TIME,
        };
        assert!(
            matches!(try_one("b", act), Outcome::Failed(_)),
            "{temporary}"
        );
    }
    let from = Act::Move {
        from: ".stfolder".to_owned(),
        facts: tree.facts("a"),
        mode: None,
        modified: TIME,
    };
    assert!(matches!(try_one("b", from), Outcome::Failed(_)));
    let missing = Act::File {
        temporary: ".syncthing.b.tmp".to_owned(),
        mode: None,
        modified: TIME,
    };
    assert_eq!(try_one("b", missing), Outcome::Failed(Failure::Gone));
    let mut copy = step(&tree, "a", Act::Remove, Displaced::Conflict);
    copy.copy = "../a".to_owned();
    assert!(matches!(one(&tree, &copy), Outcome::Failed(_)));
    assert_eq!(tree.names(), ["a"]);
}

#[test]
fn links_on_the_way_lead_nowhere() {
    let tree = Tree::new();
    let outside = tree.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("a"), b"outside").unwrap();
    let facts = super::super::facts::facts_of(&rustix::fs::stat(outside.join("a")).unwrap());
    tree.link("d", "../outside");
    for act in [
        Act::Remove,
        Act::Facts {
            mode: Some(0o777),
            modified: Some(TIME),
        },
        Act::Directory { mode: None },
    ] {
        let mut step = step(&tree, "d/a", act, Displaced::Version);
        step.expected = Expected::Item(facts.clone());
        assert_eq!(one(&tree, &step), Outcome::Failed(Failure::Gone));
    }
    let fresh = step(
        &tree,
        "d/b",
        Act::Directory { mode: None },
        Displaced::Version,
    );
    assert_eq!(one(&tree, &fresh), Outcome::Failed(Failure::Gone));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        std::fs::metadata(outside.join("a")).unwrap().mtime(),
        facts.modified.0
    );
}

#[test]
fn versions_that_cannot_be_kept_stop_the_step() {
    let tree = Tree::new();
    std::fs::create_dir(tree.directory.path().join("outside")).unwrap();
    tree.link(".stversions", "../outside");
    tree.write("a.txt", b"old");
    let steps = [
        step(
            &tree,
            "a.txt",
            file(&tree, "a.txt", b"new"),
            Displaced::Version,
        ),
        step(&tree, "a.txt", Act::Remove, Displaced::Version),
    ];
    for outcome in tree.root.apply(&steps, now()) {
        assert!(
            matches!(outcome, Outcome::Failed(Failure::Other(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(tree.read("a.txt").unwrap(), b"old");
    assert_eq!(tree.mode(".syncthing.a.txt.tmp"), MARKED);
}

#[test]
fn many_files_at_once() {
    let tree = Tree::new();
    let steps: Vec<Step> = (0..2 * FEW)
        .map(|at| {
            let name = format!("f{at}");
            tree.write(&name, b"old");
            step(
                &tree,
                &name,
                file(&tree, &name, name.as_bytes()),
                Displaced::Version,
            )
        })
        .collect();
    let outcomes = tree.root.apply(&steps, now());
    for (step, outcome) in steps.iter().zip(outcomes) {
        assert_eq!(outcome, done(&tree, &step.name));
        assert_eq!(tree.read(&step.name).unwrap(), step.name.as_bytes());
    }
    assert_eq!(tree.names().len(), 4 * FEW);
}

#[test]
fn a_mode_that_nobody_said() {
    let tree = Tree::new();
    tree.write("a", b"old");
    std::fs::set_permissions(
        tree.path("a"),
        std::os::unix::fs::PermissionsExt::from_mode(0o604),
    )
    .unwrap();
    for (name, mode) in [("a", 0o604), ("b", usual_mode())] {
        let act = Act::File {
            temporary: gathered(&tree, name, b"new"),
            mode: None,
            modified: TIME,
        };
        assert_eq!(
            one(&tree, &step(&tree, name, act, Displaced::Drop)),
            done(&tree, name)
        );
        assert_eq!(tree.mode(name), mode);
    }
    assert_eq!(usual_mode() & !0o666, 0);
}
