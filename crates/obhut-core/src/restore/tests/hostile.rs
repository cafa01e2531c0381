//! Trees and neighbours that mean harm.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::kit::{Kit, codes, dir, file, link};
use crate::error::Code;

#[test]
fn names_that_lead_elsewhere_are_refused_and_the_rest_is_restored() {
    let kit = Kit::new();
    let outside = kit.place.path().join("outside");
    let absolute = outside.to_str().unwrap().as_bytes().to_vec();
    let tree = kit.save(&[
        file(absolute, &[b"evil"]),
        file("../outside", &[b"evil"]),
        file("..", &[b"evil"]),
        file(".", &[b"evil"]),
        file("a/b", &[b"evil"]),
        dir("..", vec![file("outside", &[b"evil"])]),
        file("nul\0byte", &[b"evil"]),
        file("good", &[b"good"]),
    ]);
    let (result, errors) = kit.restore(&kit.options(tree));
    result.unwrap();
    assert!(!outside.exists());
    assert_eq!(errors.len(), 7, "{errors:?}");
    assert!(codes(&errors).iter().all(|e| e.2 == Code::HostileTree));
    kit.compare(&[file("good", &[b"good"])]);
}

#[test]
fn an_empty_name_is_refused() {
    let kit = Kit::new();
    let tree = kit.save(&[file("", &[b"evil"]), file("good", &[b"good"])]);
    let (result, errors) = kit.restore(&kit.options(tree));
    // Either the tree is damaged as a whole, or only this entry is left out.
    assert!(result.is_err() || codes(&errors)[0].2 == Code::HostileTree);
}

#[test]
fn a_link_and_then_a_directory_of_the_same_name() {
    let kit = Kit::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap().as_bytes();
    let tree = kit.save(&[
        link("d", target),
        dir("d", vec![file("f", &[b"evil"])]),
        file("d", &[b"evil"]),
    ]);
    let (result, errors) = kit.restore(&kit.options(tree));
    result.unwrap();
    assert_eq!(errors.len(), 2);
    assert!(codes(&errors).iter().all(|e| e.2 == Code::HostileTree));
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
    assert!(kit.path("d").is_symlink());
}

#[test]
fn unsorted_trees_are_fine() {
    let kit = Kit::new();
    kit.round_trip(&[file("b", &[b"1"]), file("a", &[b"2"]), dir("0", vec![])]);
}

#[test]
fn nothing_is_deleted_where_a_tree_cannot_be_trusted() {
    let kit = Kit::new();
    std::fs::create_dir_all(kit.path("d")).unwrap();
    std::fs::write(kit.path("d/mine"), "mine").unwrap();
    std::fs::write(kit.path("mine"), "mine").unwrap();
    let tree = kit.save(&[
        dir("d", vec![file("a/b", &[b"evil"]), file("good", &[b"x"])]),
        file("top", &[b"x"]),
    ]);
    let mut options = kit.options(tree);
    options.delete = true;
    let (result, _) = kit.restore(&options);
    assert_eq!(result.unwrap().files_deleted, 1);
    assert!(kit.path("d/mine").exists());
    assert!(!kit.path("mine").exists());
}

#[test]
fn links_in_the_target_are_replaced_and_not_followed() {
    let kit = Kit::new();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o604)).unwrap();
    std::fs::create_dir(kit.target()).unwrap();
    symlink(outside.path(), kit.path("d")).unwrap();
    symlink(&victim, kit.path("f")).unwrap();
    let entries = [
        dir("d", vec![file("victim", &[b"new"])]),
        file("f", &[b"new"]),
    ];
    kit.round_trip(&entries);
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    let mode = victim.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o604);
    assert_eq!(outside.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_hard_link_to_elsewhere_is_not_written_through() {
    let kit = Kit::new();
    let victim = kit.place.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    std::fs::create_dir(kit.target()).unwrap();
    std::fs::hard_link(&victim, kit.path("f")).unwrap();
    kit.round_trip(&[file("f", &[b"new content"]).mode(0o777)]);
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    let mode = victim.metadata().unwrap().permissions().mode();
    assert_ne!(mode & 0o777, 0o777);
}

#[test]
fn a_directory_swapped_for_a_link_during_the_restore() {
    let kit = Kit::new();
    let outside = tempfile::tempdir().unwrap();
    let files = |n: usize| {
        (0..n)
            .map(|i| file(format!("f{i:04}"), &[b"evil"]))
            .collect()
    };
    let entries: Vec<_> = (0..8).map(|i| dir(format!("d{i:02}"), files(25))).collect();
    let tree = kit.save(&entries);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (aside, bait) = (kit.path("aside"), kit.path("bait"));
            while !stop.load(Relaxed) {
                for i in 0..8 {
                    let dir = kit.path(format!("d{i:02}"));
                    if std::fs::rename(&dir, &aside).is_ok() {
                        let _ = symlink(outside.path(), &bait);
                        let _ = std::fs::rename(&bait, &dir);
                        let _ = std::fs::remove_file(&dir);
                        let _ = std::fs::rename(&aside, &dir);
                    }
                }
            }
        });
        for _ in 0..3 {
            let (result, _) = kit.restore(&kit.options(tree));
            result.unwrap();
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}
