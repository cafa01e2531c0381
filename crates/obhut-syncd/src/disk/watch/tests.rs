use std::collections::BTreeSet;
use std::time::Instant;

use super::super::names::tests::Tree;
use super::*;

struct Watched {
    directory: tempfile::TempDir,
    watch: Watch,
    start: Instant,
}

fn watched(ignores: &str, before: impl Fn(&Tree)) -> Watched {
    let tree = Tree::new();
    before(&tree);
    let ignores = Ignores::parse(".stignore", ignores, &mut |_| Err(String::new())).unwrap();
    let watch = Watch::start(Arc::new(tree.root), Arc::new(ignores)).unwrap();
    Watched {
        directory: tree.directory,
        watch,
        start: Instant::now(),
    }
}

impl Watched {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("root").join(name)
    }

    fn write(&self, name: &str) {
        std::fs::write(self.path(name), b"x").unwrap();
    }

    fn poll(&mut self, milliseconds: u64) -> Batch {
        let start = self.start;
        let clock = move || start.elapsed().as_millis() as u64;
        let timeout = Duration::from_millis(milliseconds);
        self.watch.poll(timeout, &clock).unwrap()
    }

    /// Everything that is noticed until nothing more comes.
    fn all(&mut self) -> (Vec<String>, bool, bool) {
        let (mut names, mut everything, mut root) = (BTreeSet::new(), false, false);
        loop {
            let batch = self.poll(60);
            if batch == Batch::default() {
                return (names.into_iter().collect(), everything, root);
            }
            names.extend(batch.names);
            everything |= batch.everything;
            root |= batch.root;
        }
    }

    fn names(&mut self) -> Vec<String> {
        let (names, everything, root) = self.all();
        assert!(!everything && !root);
        names
    }
}

#[test]
fn files_that_change() {
    let mut watched = watched("", |tree| tree.write("d/e/old", b""));
    assert_eq!(watched.names(), [] as [&str; 0]);
    watched.write("a");
    assert_eq!(watched.poll(1000).names, ["a"]);
    watched.write("d/e/b");
    std::fs::remove_file(watched.path("d/e/old")).unwrap();
    std::os::unix::fs::symlink("x", watched.path("d/l")).unwrap();
    assert_eq!(watched.names(), ["d/e/b", "d/e/old", "d/l"]);
    std::fs::rename(watched.path("a"), watched.path("d/a")).unwrap();
    let mut permissions = std::fs::metadata(watched.path("d/e/b"))
        .unwrap()
        .permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(watched.path("d/e/b"), permissions).unwrap();
    assert_eq!(watched.names(), ["a", "d/a", "d/e/b"]);
}

#[test]
fn a_file_that_is_closed_comes_at_once() {
    let mut watched = watched("", |_| {});
    let before = Instant::now();
    watched.write("a");
    assert_eq!(watched.poll(5000).names, ["a"]);
    // Far below the quiet moment, were the machine not busy with others.
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[test]
fn directories_that_come_move_and_go() {
    let mut watched = watched("", |tree| tree.write("d/e/f", b""));
    std::fs::create_dir_all(watched.path("n/m")).unwrap();
    watched.write("n/m/a");
    assert_eq!(watched.names(), ["n", "n/m", "n/m/a"]);
    watched.write("n/m/b");
    assert_eq!(watched.names(), ["n/m/b"]);
    std::fs::rename(watched.path("d"), watched.path("moved")).unwrap();
    assert_eq!(watched.names(), ["d", "moved", "moved/e", "moved/e/f"]);
    watched.write("moved/e/g");
    assert_eq!(watched.names(), ["moved/e/g"]);
    let outside = watched.directory.path().join("outside");
    std::fs::rename(watched.path("moved"), &outside).unwrap();
    assert_eq!(watched.names(), ["moved"]);
    std::fs::write(outside.join("e/h"), b"").unwrap();
    assert_eq!(watched.names(), [] as [&str; 0]);
    std::fs::rename(&outside, watched.path("back")).unwrap();
    assert_eq!(watched.names().len(), 5);
    std::fs::remove_dir_all(watched.path("n")).unwrap();
    assert!(watched.names().contains(&"n".to_owned()));
    assert_eq!(watched.watch.folders.len(), 3);
    assert_eq!(watched.watch.numbers.len(), 3);
}

#[test]
fn what_is_ignored_internal_or_behind_a_link() {
    let mut watched = watched("i", |tree| {
        tree.write("i/a", b"");
        tree.write(".stversions/v", b"");
        tree.write(".stfolder/x", b"");
        std::fs::create_dir(tree.directory.path().join("outside")).unwrap();
        tree.link("l", "../outside");
    });
    assert_eq!(watched.watch.folders.len(), 1);
    for name in ["i/b", ".stversions/w", ".syncthing.x.tmp", "l/x"] {
        watched.write(name);
    }
    std::fs::create_dir(watched.path(".syncthing.d.tmp")).unwrap();
    assert_eq!(watched.names(), [] as [&str; 0]);
    watched.write(".stignore");
    assert_eq!(watched.all(), (Vec::new(), false, true));
    std::fs::rename(watched.path(".stfolder"), watched.path(".stversions/s")).unwrap();
    assert_eq!(watched.all(), (Vec::new(), false, true));
}

#[test]
fn ignored_directories_with_something_shared() {
    let mut watched = watched("!keep\ni", |tree| tree.make("i/sub"));
    watched.write("i/sub/keep");
    watched.write("i/sub/other");
    assert_eq!(watched.names(), ["i/sub/keep"]);
}

#[test]
fn a_root_that_goes() {
    let mut watched = watched("", |_| {});
    let away = watched.directory.path().join("away");
    std::fs::rename(watched.path(""), away).unwrap();
    assert!(watched.poll(1000).root);
}

#[test]
fn events_that_were_lost() {
    let mut watched = watched("", |tree| tree.make("d"));
    let limit: usize = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    if limit > 100_000 {
        return; // It would take too long.
    }
    // Equal events that follow each other are one: two names in turn.
    for at in 0..=limit / 4 {
        for name in ["a", "b"] {
            std::fs::write(watched.path("d").join(format!("{name}{}", at % 7)), b"x").unwrap();
        }
    }
    std::fs::create_dir(watched.path("d/new")).unwrap();
    assert!(watched.all().1);
    watched.write("d/new/x");
    assert_eq!(watched.names(), ["d/new/x"]);
}

#[test]
fn words_for_the_limit() {
    let limit = Limit {
        setting: "fs.inotify.max_user_watches",
        watched: 8192,
    };
    assert_eq!(
        limit.to_string(),
        "8192 directories are watched, and the system lets no more: raise fs.inotify.max_user_watches (sysctl)"
    );
}
