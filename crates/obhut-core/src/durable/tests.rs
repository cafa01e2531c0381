use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_written_file_has_content_and_mode_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    write(&path, b"content", 0o440, Existing::Keep).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o440);
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn keep_refuses_a_taken_name_and_replace_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    write(&path, b"old", 0o600, Existing::Keep).unwrap();
    let error = write(&path, b"new", 0o600, Existing::Keep).unwrap_err();
    assert_eq!(error.code(), Code::FileExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a"]);
    write(&path, b"new", 0o600, Existing::Replace).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(names(dir.path()), ["a"]);
}

fn by_link(staged: &Staged<'_>) -> std::result::Result<(), Errno> {
    let folder = &staged.folder.fd;
    place_by_link(folder, &staged.temp, folder, &staged.name)
}

#[test]
fn the_way_without_noreplace_keeps_the_same_promises() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let mut staged = folder.stage(OsStr::new("a"), b"one", 0o600, "a").unwrap();
    by_link(&staged).unwrap();
    staged.placed = true;
    drop(staged);
    let staged = folder.stage(OsStr::new("a"), b"two", 0o600, "a").unwrap();
    assert_eq!(by_link(&staged), Err(Errno::EXIST));
    drop(staged);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"one");
    assert_eq!(names(dir.path()), ["a"]);
    assert_eq!(std::fs::metadata(dir.path().join("a")).unwrap().nlink(), 1);
}

#[test]
fn a_link_that_an_earlier_request_made_counts_as_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let mut staged = folder.stage(OsStr::new("a"), b"one", 0o600, "a").unwrap();
    std::fs::hard_link(dir.path().join(&staged.temp), dir.path().join("a")).unwrap();
    by_link(&staged).unwrap();
    staged.placed = true;
    drop(staged);
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    // A size limit of the process answers as a full disk does, without needing one; `/dev/full` cannot
    // hold a folder. The limit is per process, so the write happens in a child of this test binary.
    if std::env::var_os("OBHUT_TEST_FULL").is_none() {
        let dir = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "-"])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "durable::tests::a_full_disk_leaves_nothing_behind",
            ])
            .env("OBHUT_TEST_FULL", dir.path())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(
            names(dir.path()),
            ["small"],
            "the child wrote one file of two"
        );
        return;
    }
    let dir = std::env::var_os("OBHUT_TEST_FULL").unwrap();
    let small = Path::new(&dir).join("small");
    write(&small, b"fits", 0o600, Existing::Keep).unwrap();
    let path = Path::new(&dir).join("big");
    let error = write(&path, &vec![7; 1 << 20], 0o600, Existing::Keep).unwrap_err();
    assert!(error.detail().starts_with("write: "), "{error}");
    assert_eq!(names(Path::new(&dir)), ["small"]);
}

#[test]
fn folders_are_made_with_their_parents_and_again_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    make_dir(&path, 0o700).unwrap();
    make_dir(&path, 0o700).unwrap();
    assert!(path.is_dir());
    for path in [&*path, Path::new("."), Path::new("/")] {
        sync_name(path).unwrap();
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn removing_what_is_missing_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    write(&path, b"", 0o400, Existing::Keep).unwrap();
    remove(&path).unwrap();
    assert_eq!(remove(&path).unwrap_err().code(), Code::FileMissing);
    let outside = write(Path::new("/"), b"", 0o600, Existing::Keep).unwrap_err();
    assert_eq!(outside.code(), Code::InvalidArgument);
}

#[test]
fn a_group_gives_all_names_or_removes_its_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    make_dir(&dir.path().join("sub"), 0o700).unwrap();
    let (one, two) = (
        Folder::open(dir.path()).unwrap(),
        Folder::open(&dir.path().join("sub")).unwrap(),
    );
    let group = Group::new();
    group
        .add(0, &one, OsStr::new("a"), b"1", 0o600, "a")
        .unwrap();
    group
        .add(1, &two, OsStr::new("b"), b"2", 0o600, "b")
        .unwrap();
    group.commit(Existing::Keep).unwrap();
    assert_eq!(names(dir.path()), ["a", "sub"]);
    assert_eq!(std::fs::read(dir.path().join("sub/b")).unwrap(), b"2");

    let group = Group::new();
    group
        .add(0, &one, OsStr::new("c"), b"3", 0o600, "c")
        .unwrap();
    group
        .add(1, &one, OsStr::new("a"), b"4", 0o600, "a")
        .unwrap();
    group
        .add(2, &one, OsStr::new("d"), b"5", 0o600, "d")
        .unwrap();
    let error = group.commit(Existing::Keep).unwrap_err();
    assert_eq!((error.code(), error.object()), (Code::FileExists, "a"));
    assert_eq!(names(dir.path()), ["a", "c", "sub"]);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"1");
}

#[test]
fn stale_temporary_files_are_told_from_all_others() {
    assert_eq!(temporary_for(b"abc-tmp-00ff"), Some(&b"abc"[..]));
    assert_eq!(temporary_for(b"abc-tmp-123"), Some(&b"abc"[..]));
    for other in ["abc", "abc-tmp-", "-tmp-12", "abc-tmp-xyz", "tmp-12"] {
        assert_eq!(temporary_for(other.as_bytes()), None, "{other}");
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["a-tmp-1", "b-tmp-2", "a"] {
        std::fs::write(dir.path().join(name), b"").unwrap();
    }
    let folder = Folder::open(dir.path()).unwrap();
    let old = Timestamp { secs: 1, nanos: 0 };
    assert_eq!(folder.remove_stale(old, |_| true).unwrap(), 0);
    let future = Timestamp {
        secs: i64::MAX,
        nanos: 0,
    };
    assert_eq!(folder.remove_stale(future, |n| n == b"a").unwrap(), 1);
    assert_eq!(names(dir.path()), ["a", "b-tmp-2"]);
}

#[test]
fn the_longest_name_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let name = "n".repeat(255);
    write(&dir.path().join(&name), b"x", 0o600, Existing::Keep).unwrap();
    assert_eq!(names(dir.path()), [name]);
}
