//! Excludes, lines of `-vv`, dry run, notices.

use super::*;

fn names(bench: &Bench, summary: &BackupSummary, root: &Path) -> Vec<String> {
    fn walk(bench: &Bench, tree: &Id, above: &str, found: &mut Vec<String>) {
        for node in bench.nodes(tree) {
            let path = format!("{above}{}", String::from_utf8_lossy(&node.name));
            found.push(path.clone());
            if let Some(tree) = node.subtree {
                walk(bench, &tree, &format!("{path}/"), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(bench, &bench.tree(summary, root), "", &mut found);
    found
}

fn tree(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
}

#[test]
fn patterns_leave_out_what_they_match() {
    let place = tempfile::tempdir().unwrap();
    tree(
        place.path(),
        &["a.o", "a.c", "sub/b.O", "sub/b.c", "skip/x/y"],
    );
    let bench = Bench::new();
    let options = BackupOptions {
        excludes: vec![b"skip".to_vec()],
        iexcludes: vec![b"*.o".to_vec()],
        ..options(place.path(), 2)
    };
    let summary = bench.run(&options).unwrap();
    assert_eq!(
        names(&bench, &summary, place.path()),
        ["a.c", "sub", "sub/b.c"]
    );
    let bad = BackupOptions {
        excludes: vec![b"[".to_vec()],
        ..options
    };
    assert_eq!(bench.run(&bad).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_target_that_is_named_is_saved_in_spite_of_excludes() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["keep/a", "keep/keep"]);
    let bench = Bench::new();
    let target = place.path().join("keep");
    let options = BackupOptions {
        excludes: vec![b"keep".to_vec()],
        ..options(&target, 1)
    };
    let summary = bench.run(&options).unwrap_or_else(|e| panic!("{e}"));
    // Below it the pattern holds: it matches every path with such a parent.
    assert!(names(&bench, &summary, &target).is_empty());
}

#[test]
fn tag_files_empty_their_directory() {
    let place = tempfile::tempdir().unwrap();
    tree(
        place.path(),
        &[
            "c/CACHEDIR.TAG",
            "c/data",
            "c/sub/more",
            "n/.nobackup",
            "n/data",
            "w/CACHEDIR.TAG",
            "w/data",
        ],
    );
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\n# more";
    std::fs::write(place.path().join("c/CACHEDIR.TAG"), signature).unwrap();
    let bench = Bench::new();
    let options = BackupOptions {
        exclude_caches: true,
        exclude_if_present: vec![b".nobackup".to_vec()],
        ..options(place.path(), 1)
    };
    let summary = bench.run(&options).unwrap();
    assert_eq!(
        names(&bench, &summary, place.path()),
        [
            "c",
            "c/CACHEDIR.TAG",
            "n",
            "n/.nobackup",
            "w",
            "w/CACHEDIR.TAG",
            "w/data"
        ]
    );
    // A tag file with other content empties nothing, and that is told.
    assert_eq!(summary.notices[0].code, "tagfile-unusable");
    assert_eq!(summary.notices.len(), 1);
    let bad = BackupOptions {
        exclude_if_present: vec![b":x".to_vec()],
        ..options
    };
    assert_eq!(bench.run(&bad).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn large_files_and_our_own_cache_are_left_out() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["small", "cache/x"]);
    std::fs::write(place.path().join("large"), vec![0; 100]).unwrap();
    let bench = Bench::new();
    let options = BackupOptions {
        exclude_larger_than: 99,
        cache_dir: Some(place.path().join("cache")),
        ..options(place.path(), 1)
    };
    let summary = bench.run(&options).unwrap();
    assert_eq!(names(&bench, &summary, place.path()), ["small"]);
}

#[test]
fn other_file_systems_are_kept_as_empty_mount_points() {
    let device = |path: &[u8]| fs::stat_path(path, true).map(|s| s.device);
    if device(b"/dev") == device(b"/dev/shm") || device(b"/dev/shm").is_err() {
        return; // no mount point at hand
    }
    let marker = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
    let bench = Bench::new();
    let options = BackupOptions {
        one_file_system: true,
        ..options(Path::new("/dev"), 1)
    };
    let summary = bench.run(&options).unwrap();
    let mount = bench
        .node(summary.tree.unwrap(), Path::new("/dev/shm"))
        .expect("the mount point stays");
    assert!(bench.nodes(&mount.subtree.unwrap()).is_empty());
    drop(marker);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["a", "b/c"]);
    let bench = Bench::new();
    let dry = BackupOptions {
        dry_run: true,
        ..options(place.path(), 2)
    };
    let counted = bench.run(&dry).unwrap();
    assert!(
        bench
            .repo
            .store()
            .list(crate::id::FileKind::Pack)
            .unwrap()
            .is_empty()
    );
    assert!(bench.index().is_empty());
    let real = bench.run(&options(place.path(), 2)).unwrap();
    // (Directories above the source may change at any time: their tree is not compared.)
    assert_eq!(counted.files_new, real.files_new);
    assert_eq!(
        (counted.tree_blobs, counted.data_blobs),
        (real.tree_blobs, real.data_blobs)
    );
}

#[test]
fn lines_of_verbose_have_restics_shape() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["a", "skipped"]);
    let bench = Bench::new();
    let mut options = BackupOptions {
        verbose: 2,
        json: true,
        scan: true,
        excludes: vec![b"skipped".to_vec()],
        ..options(place.path(), 1)
    };
    let summary = bench.run(&options).unwrap();
    let output = String::from_utf8(bench.control.drain_output()).unwrap();
    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let item = place.path().join("a").to_str().unwrap().to_owned();
    let file = lines.iter().find(|l| l["item"] == item.as_str()).unwrap();
    assert_eq!(
        (&file["message_type"], &file["action"]),
        (&"verbose_status".into(), &"new".into())
    );
    assert_eq!(file["data_size"], 1);
    let directory = format!("{}/", place.path().display());
    assert!(
        lines
            .iter()
            .any(|l| l["item"] == directory.as_str() && l["action"] == "new")
    );
    let skipped = place.path().join("skipped").to_str().unwrap().to_owned();
    assert!(
        lines
            .iter()
            .any(|l| l["message_type"] == "excluded_item" && l["item"] == skipped.as_str())
    );
    options.json = false;
    options.parent_tree = summary.tree;
    bench.run(&options).unwrap();
    let output = String::from_utf8(bench.control.drain_output()).unwrap();
    assert!(output.contains(&format!("unchanged {item}\n")), "{output}");
    assert!(
        output.contains(&format!("excluded {skipped}\n")),
        "{output}"
    );
    let json: serde_json::Value = serde_json::from_slice(&summary.to_json()).unwrap();
    assert_eq!(json["files_new"], 1);
    assert_eq!(json["tree"], summary.tree.unwrap().hex().as_str());
}

#[test]
fn the_estimate_equals_what_is_saved() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["a", "b/c", "b/skipped", "d/e/f"]);
    let bench = Bench::new();
    let options = BackupOptions {
        scan: true,
        verbose: 1,
        excludes: vec![b"skipped".to_vec()],
        ..options(place.path(), 1)
    };
    // However short a backup is, who asked for the line of the estimate gets it.
    for _ in 0..20 {
        let summary = bench.run(&options).unwrap();
        let output = String::from_utf8(bench.control.drain_output()).unwrap();
        let told = output
            .lines()
            .filter(|l| l.starts_with("scan finished in "));
        assert_eq!(told.count(), 1, "{output}");
        let counters = &bench.control.counters;
        assert_eq!(counters.total_known.load(Relaxed), 1);
        assert_eq!(
            counters.total_items.load(Relaxed),
            summary.total_files_processed()
        );
        assert_eq!(
            counters.total_bytes.load(Relaxed),
            summary.total_bytes_processed
        );
    }
}

#[test]
fn a_repository_inside_the_source_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["repo/config", "a"]);
    let bench = Bench::new();
    let options = BackupOptions {
        repository_dir: Some(place.path().join("repo").as_os_str().as_bytes().to_vec()),
        ..options(place.path(), 1)
    };
    let summary = bench.run(&options).unwrap();
    assert!(summary.repository_inside_source);
    assert!(bench.errors().is_empty());
}

#[test]
fn ignored_differences_leave_content_unread() {
    let place = tempfile::tempdir().unwrap();
    tree(place.path(), &["a"]);
    let path = place.path().join("a");
    let bench = Bench::new();
    let parent = bench.run(&options(place.path(), 1)).unwrap().tree;
    // Another file with the same size and modification time: inode and change time differ.
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(place.path().join("new"), "a").unwrap();
    std::fs::rename(place.path().join("new"), &path).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    for (ignore_inode, unmodified) in [(false, 0), (true, 1)] {
        let options = BackupOptions {
            parent_tree: parent,
            ignore_inode,
            ..options(place.path(), 1)
        };
        assert_eq!(bench.run(&options).unwrap().files_unmodified, unmodified);
    }
}
