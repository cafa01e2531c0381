use obhut_sync::versions::Keep;

use super::super::names::tests::{Tree, now};
use super::*;

#[test]
fn all_versions_and_those_of_a_file() {
    let tree = Tree::new();
    assert_eq!(tree.root.versions(None), Ok(Vec::new()));
    for name in [
        "a~20260102-030405.txt",
        "a~20250102-030405.txt",
        "d/b~20260102-030405",
        "d/trash.txt",
    ] {
        tree.write(&format!(".stversions/{name}"), b"1234");
    }
    let names = |of| -> Vec<(String, bool)> {
        let found = tree.root.versions(of).unwrap().into_iter();
        found.map(|one| (one.name, one.at.is_some())).collect()
    };
    let one = |name: &str, tagged| (name.to_owned(), tagged);
    assert_eq!(
        names(Some("a.txt")),
        [one("a.txt", true), one("a.txt", true)]
    );
    assert_eq!(
        names(Some("d")),
        [one("d/b", true), one("d/trash.txt", false)]
    );
    assert_eq!(names(None).len(), 4);
    let first = tree.root.versions(None).unwrap().remove(0);
    assert_eq!(
        (first.version.as_str(), first.size),
        ("a~20250102-030405.txt", 4)
    );
    assert!(tree.root.versions(Some("../x")).is_err());
}

#[test]
fn what_comes_back() {
    let tree = Tree::new();
    let kept = ".stversions/d/a~20250102-030405.txt";
    tree.write(kept, b"version");
    let restore = |version: &str| tree.root.restore(version, None, now());
    // Into a directory that is not there any more.
    let outcome = restore("d/a~20250102-030405.txt").unwrap();
    assert_eq!(outcome, Outcome::Done(Some(tree.facts("d/a.txt"))));
    assert_eq!(tree.read("d/a.txt").unwrap(), b"version");
    assert_eq!(tree.facts("d/a.txt").modified, tree.facts(kept).modified);
    // In the place of another one, while somebody gathers.
    tree.write("d/a.txt", b"present");
    tree.write("d/.syncthing.a.txt.tmp", b"gathered");
    restore("d/a~20250102-030405.txt").unwrap();
    assert_eq!(tree.read("d/a.txt").unwrap(), b"version");
    assert_eq!(
        tree.read(".stversions/d/a~20260102-030405.txt").unwrap(),
        b"present"
    );
    assert_eq!(tree.read("d/.syncthing.a.txt.tmp").unwrap(), b"gathered");
    assert_eq!(tree.read(kept).unwrap(), b"version");
    assert_eq!(tree.names().len(), 4);
    for wrong in ["none", "../d/a.txt", "d", ".stfolder", ""] {
        assert!(restore(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_link_comes_back_and_a_directory_stays() {
    let tree = Tree::new();
    tree.make(".stversions");
    tree.link(".stversions/l~20250102-030405", "/etc/passwd");
    let outcome = tree.root.restore("l~20250102-030405", None, now()).unwrap();
    assert_eq!(outcome, Outcome::Done(Some(tree.facts("l"))));
    assert_eq!(tree.facts("l").target, b"/etc/passwd");
    tree.write(".stversions/d~20250102-030405", b"was a file");
    tree.write("d/inside", b"x");
    let outcome = tree.root.restore("d~20250102-030405", None, now()).unwrap();
    assert_eq!(outcome, Outcome::NotEmpty(vec!["d/inside".to_owned()]));
    assert_eq!(tree.names(), [".stversions/d~20250102-030405", "d/inside"]);
}

#[test]
fn too_many_and_too_old() {
    let tree = Tree::new();
    for day in 1..=9 {
        tree.write(&format!(".stversions/d/a~2025010{day}-000000.txt"), b"");
    }
    tree.write(".stversions/e/f/b~20240101-000000", b"");
    tree.write(".stversions/trash", b"");
    let keep = config::Versions::Tagged(Keep::Simple {
        count: 2,
        max_age: 366 * 24 * 3600,
    });
    assert_eq!(
        tree.root.prune(config::Versions::None, now()),
        Ok((0, vec![]))
    );
    assert_eq!(tree.root.prune(keep, now()), Ok((8, vec![])));
    assert_eq!(
        tree.names(),
        [
            ".stversions/d/a~20250108-000000.txt",
            ".stversions/d/a~20250109-000000.txt",
            ".stversions/trash"
        ]
    );
    assert!(!tree.path(".stversions/e").exists());
    assert_eq!(tree.root.prune(keep, now()), Ok((0, vec![])));
}

#[test]
fn the_trash_by_the_time_of_deletion() {
    let tree = Tree::new();
    let mut late = now();
    late.wall.0 = 4_000_000_000;
    tree.write(".stversions/old", b"");
    tree.write(".stversions/tagged~20250102-030405", b"");
    let keep = |max_age| config::Versions::Trash { max_age };
    assert_eq!(tree.root.prune(keep(0), late), Ok((0, vec![])));
    assert_eq!(tree.root.prune(keep(10), late), Ok((2, vec![])));
    assert_eq!(tree.names(), [] as [&str; 0]);
}
