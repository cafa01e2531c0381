//! Everything that a file system holds, and what goes wrong with single items.

use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{FileType, Mode, XattrFlags};

use super::*;

fn codes(errors: &[ItemError]) -> Vec<(String, Code)> {
    let name = |e: &ItemError| String::from_utf8_lossy(&e.item).into_owned();
    errors.iter().map(|e| (name(e), e.error.code())).collect()
}

fn name(bytes: &[u8]) -> &std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(bytes)
}

#[test]
fn all_kinds_of_entries_equal_the_reference() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    std::fs::write(root.join("small"), b"hello").unwrap();
    std::fs::write(root.join("empty"), b"").unwrap();
    std::fs::write(root.join("zeros"), vec![0; 1_700_000]).unwrap();
    std::fs::File::create(root.join("sparse"))
        .unwrap()
        .set_len(3 << 20)
        .unwrap();
    std::fs::hard_link(root.join("small"), root.join("hard")).unwrap();
    symlink(name(b"bad\xff\xfe"), root.join("link")).unwrap();
    for odd in [
        &b"n\xffame"[..],
        b"new\nline",
        b"a\"b\\c<>&",
        "\u{200b}\u{2028}".as_bytes(),
    ] {
        std::fs::write(root.join(name(odd)), odd).unwrap();
    }
    std::fs::create_dir(root.join("empty-directory")).unwrap();
    let set = |n: &str, mode| {
        std::fs::set_permissions(root.join(n), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set("small", 0o4755);
    set("empty-directory", 0o1777);
    let handle = fs::open_directory_path(root.as_os_str().as_bytes()).unwrap();
    rustix::fs::mknodat(&handle, "pipe", FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    if rustix::process::geteuid().is_root() {
        // Refused in some containers: then there is one kind less to see.
        let _ = rustix::fs::mknodat(
            &handle,
            "null",
            FileType::CharacterDevice,
            Mode::RUSR,
            0x103,
        );
        let _ = rustix::fs::mknodat(&handle, "loop", FileType::BlockDevice, Mode::RUSR, 0x700);
    }
    let file = fs::open_file(&handle, b"small").unwrap();
    let _ = rustix::fs::fsetxattr(&file, "user.a", b"1", XattrFlags::empty());
    let _ = rustix::fs::fsetxattr(&file, "user.b", b"", XattrFlags::empty());
    let bench = Bench::new();
    for threads in [1, 3] {
        let summary = bench.run(&options(root, threads)).unwrap();
        assert!(bench.errors().is_empty());
        assert_eq!(
            bench.tree(&summary, root),
            reference(root, &bench.repo.chunker())
        );
        let notices: Vec<&str> = summary.notices.iter().map(|n| n.code).collect();
        assert_eq!(notices, ["socket-skipped"]);
    }
    let summary = bench.run(&options(root, 1)).unwrap();
    let zeros = bench
        .node(summary.tree.unwrap(), &root.join("zeros"))
        .unwrap();
    assert_eq!(bench.content(&zeros), vec![0; 1_700_000]);
}

#[test]
fn a_path_beyond_any_limit_is_saved() {
    let place = tempfile::tempdir().unwrap();
    let base = fs::open_directory_path(place.path().as_os_str().as_bytes()).unwrap();
    let mut handle = base;
    let part = [b'x'; 100];
    let depth = 60; // 6,000 bytes: longer than PATH_MAX
    for _ in 0..depth {
        rustix::fs::mkdirat(&handle, &part[..], Mode::RWXU).unwrap();
        handle = fs::open_directory(&handle, &part).unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&handle, "f", flags, Mode::RUSR).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    let bench = Bench::new();
    let summary = bench.run(&options(place.path(), 2)).unwrap();
    assert!(bench.errors().is_empty());
    let mut tree = bench.tree(&summary, place.path());
    for _ in 0..depth {
        tree = bench.nodes(&tree)[0].subtree.unwrap();
    }
    assert_eq!(bench.content(&bench.nodes(&tree)[0]), b"deep");
    // Removing it takes handles too; the standard library does that.
    place.close().unwrap();
}

#[test]
fn thousands_of_levels_need_neither_handles_nor_stack() {
    let place = tempfile::tempdir().unwrap();
    let mut handle = fs::open_directory_path(place.path().as_os_str().as_bytes()).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&handle, "d", Mode::RWXU).unwrap();
        handle = fs::open_directory(&handle, b"d").unwrap();
    }
    let bench = Bench::new();
    let summary = bench.run(&options(place.path(), 2)).unwrap();
    assert!(bench.errors().is_empty());
    assert!(summary.dirs_new > 1500);
    place.close().unwrap();
}

/// Runs `work` without root's rights: in a thread of its own, which alone gives them up.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::thread::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn unreadable_items_are_listed_and_the_rest_is_saved() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let set = |n: &str, mode| {
        std::fs::set_permissions(root.join(n), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set("", 0o755);
    std::fs::write(root.join("closed"), b"secret").unwrap();
    std::fs::write(root.join("open"), b"x").unwrap();
    std::fs::create_dir(root.join("sealed")).unwrap();
    set("closed", 0);
    set("sealed", 0);
    set("open", 0o644);
    let bench = Bench::new();
    let summary = unprivileged(|| bench.run(&options(root, 1))).unwrap();
    let names: Vec<Vec<u8>> = bench
        .nodes(&bench.tree(&summary, root))
        .into_iter()
        .map(|n| n.name)
        .collect();
    assert_eq!(names, [b"open".to_vec()]);
    let text = |n: &str| root.join(n).to_str().unwrap().to_owned();
    let expected = [
        (text("sealed"), Code::PermissionDenied),
        (text("closed"), Code::PermissionDenied),
    ];
    let mut found = codes(&bench.errors());
    found.sort_by(|a, b| b.0.cmp(&a.0));
    assert_eq!(found, expected);
    set("sealed", 0o700);
}

#[test]
fn an_unreadable_target_alone_saves_nothing() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let target = place.path().join("closed");
    std::fs::write(&target, b"x").unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o0)).unwrap();
    let bench = Bench::new();
    let error = unprivileged(|| bench.run(&options(&target, 1))).unwrap_err();
    assert_eq!(error.code(), Code::NothingSaved);
    assert!(bench.index().is_empty());
}

#[test]
fn missing_targets_are_listed_and_all_missing_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("here"), b"x").unwrap();
    let bytes = |n: &str| place.path().join(n).as_os_str().as_bytes().to_vec();
    let bench = Bench::new();
    let both = BackupOptions {
        targets: vec![bytes("gone"), bytes("here")],
        ..options(place.path(), 1)
    };
    let summary = bench.run(&both).unwrap();
    assert_eq!(summary.missing_targets, [bytes("gone")]);
    assert_eq!(bench.errors()[0].error.code(), Code::SourceMissing);
    let none = BackupOptions {
        targets: vec![bytes("gone")],
        ..both
    };
    assert_eq!(bench.run(&none).unwrap_err().code(), Code::SourceMissing);
}

#[test]
fn content_that_the_repository_has_lost_is_stored_again() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("f"), b"content").unwrap();
    let first = Bench::new();
    let parent = first.run(&options(place.path(), 1)).unwrap().tree;
    // A repository that knows the trees but not the content.
    let files = first.repo.store().list(crate::id::FileKind::Pack).unwrap();
    let index = first.index();
    let data = Id::of(b"content");
    let lost = index.get(BlobKind::Data, &data).unwrap().pack;
    assert!(files.iter().any(|f| f.id == lost));
    let second = Bench::new();
    let mut codec = first.repo.codec();
    let writer = BlobWriter::new(
        Arc::clone(&second.repo),
        second.index(),
        Arc::clone(&second.control),
        1,
        false,
    )
    .unwrap();
    for slot in 0..index.len() {
        let entry = index.entry(slot);
        if entry.kind == BlobKind::Tree && writer.claim(BlobKind::Tree, &entry.id) {
            let plain = first
                .repo
                .load_blob(&mut codec, &index, BlobKind::Tree, &entry.id)
                .unwrap();
            let sealed = second
                .repo
                .codec()
                .seal(BlobKind::Tree, &entry.id, &plain)
                .unwrap();
            writer
                .put(BlobKind::Tree, entry.id, plain.len() as u64, &sealed)
                .unwrap();
        }
    }
    writer.finish().unwrap();
    let options = BackupOptions {
        parent_tree: parent,
        ..options(place.path(), 1)
    };
    let summary = second.run(&options).unwrap();
    assert_eq!(summary.data_blobs, 1);
    assert_eq!(codes(&second.errors())[0].1, Code::BlobMissing);
    assert!(second.index().contains(BlobKind::Data, &data));
}

#[test]
fn files_that_come_and_go_during_a_backup_do_no_harm() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("busy");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(place.path().join("calm"), b"calm").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let bench = Bench::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if stop.load(Relaxed) {
                    break;
                }
                for n in 0..40 {
                    let path = root.join(format!("{n}"));
                    let _ = std::fs::remove_dir_all(&path);
                    let _ = std::fs::remove_file(&path);
                    let _ = match (round + n) % 4 {
                        0 => std::fs::create_dir(&path),
                        1 => symlink("x", &path),
                        _ => std::fs::write(&path, vec![1; n * 100]),
                    };
                }
            }
        });
        for _ in 0..10 {
            let summary = bench.run(&options(place.path(), 2)).unwrap();
            let calm = bench
                .node(summary.tree.unwrap(), &place.path().join("calm"))
                .unwrap();
            assert_eq!(bench.content(&calm), b"calm");
            let busy = root.as_os_str().as_bytes();
            assert!(bench.errors().iter().all(|e| e.item.starts_with(busy)));
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn a_stream_becomes_a_file_in_made_up_directories() {
    let bench = Bench::new();
    let data = vec![9; 2_000_000];
    let options = BackupOptions {
        threads: 2,
        ..BackupOptions::default()
    };
    let mut source = &data[..];
    let summary = run_stream(
        &bench.repo,
        &bench.index(),
        &mut source,
        b"db/dump.sql",
        &options,
        &bench.control,
    )
    .unwrap();
    let node = bench
        .node(summary.tree.unwrap(), Path::new("/db/dump.sql"))
        .unwrap();
    assert_eq!(node.size, 2_000_000);
    assert_eq!((node.mode, node.inode, node.links), (0o644, 0, 0));
    assert_eq!(bench.content(&node), data);
    let directory = bench.node(summary.tree.unwrap(), Path::new("/db")).unwrap();
    assert_eq!(directory.mode, mode_to_go(0o040_755));
    assert_eq!((summary.files_new, summary.dirs_new), (1, 1));
    let mut nothing = &b""[..];
    let error = run_stream(
        &bench.repo,
        &bench.index(),
        &mut nothing,
        b"x",
        &options,
        &bench.control,
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::NothingSaved);
    let error = run_stream(
        &bench.repo,
        &bench.index(),
        &mut nothing,
        b"/",
        &options,
        &bench.control,
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}
