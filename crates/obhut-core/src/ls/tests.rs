use std::collections::BTreeMap;

use super::*;
use crate::gotime::GoTime;
use crate::tree::TreeBuilder;
use crate::world::Timestamp;

/// Trees by id; the last one planted is the root.
#[derive(Default)]
struct Trees {
    blobs: BTreeMap<Id, Vec<u8>>,
    root: Option<Id>,
}

impl Trees {
    fn plant(&mut self, nodes: Vec<Node>) -> Id {
        let mut builder = TreeBuilder::new();
        for node in nodes {
            builder.add(&node).unwrap();
        }
        let bytes = builder.finish();
        let id = Id::of(&bytes);
        self.blobs.insert(id, bytes);
        self.root = Some(id);
        id
    }

    fn load(&self) -> impl FnMut(&Id) -> Result<Vec<u8>> + '_ {
        |id| {
            let bytes = self.blobs.get(id).cloned();
            bytes.ok_or_else(|| Error::new(Code::BlobMissing, id.hex(), ""))
        }
    }

    fn show(&self, format: Format, paths: &[&str], recursive: bool) -> String {
        let options = LsOptions {
            tree: self.root.unwrap(),
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            recursive,
            format,
            human: false,
            order: Order::default(),
        };
        let control = Control::default();
        list(&mut self.load(), &options, LocalZone::utc(), &control).unwrap();
        String::from_utf8(control.drain_output()).unwrap()
    }
}

fn node(name: &[u8], kind: NodeType, mode: u32) -> Node {
    let mut node = Node::new(name.to_vec(), kind);
    let at = Timestamp {
        secs: 1_700_000_000,
        nanos: 5,
    };
    node.mtime = GoTime { at, offset: 3600 };
    (node.mode, node.uid, node.gid, node.inode) = (mode, 1000, 7, 99);
    node
}

fn dir(name: &[u8], subtree: Id) -> Node {
    let mut node = node(name, NodeType::Dir, (1 << 31) | 0o755);
    node.subtree = Some(subtree);
    node
}

/// `/a/b/{c,d}`, `/a/x<`, `/e` with a line feed in its name, `/l` a link.
fn example() -> Trees {
    let mut trees = Trees::default();
    let mut c = node(b"c", NodeType::File, 0o644);
    c.size = 1537;
    c.links = 1;
    let b = trees.plant(vec![c, node(b"d", NodeType::Fifo, 1 << 25 | 0o600)]);
    let a = trees.plant(vec![dir(b"b", b), node(b"x<", NodeType::File, 0)]);
    let mut link = node(b"l", NodeType::Symlink, 1 << 27 | 0o777);
    link.linktarget = b"to\xff".to_vec();
    trees.plant(vec![
        dir(b"a", a),
        node(b"e\n\"", NodeType::File, 1 << 23 | 0o755),
        link,
    ]);
    trees
}

#[test]
fn names_are_escaped_and_in_order() {
    let all = "/a\n/a/b\n/a/b/c\n/a/b/d\n/a/x<\n/e\\n\\\"\n/l\n";
    assert_eq!(example().show(Format::Names, &[], false), all);
    assert_eq!(example().show(Format::Names, &["/"], true), all);
}

/// Which lines restic shows: seen with the real one.
#[test]
fn paths_choose_as_restic_does() {
    let trees = example();
    let shown = |paths: &[&str], recursive| trees.show(Format::Names, paths, recursive);
    assert_eq!(shown(&["/"], false), "/a\n/e\\n\\\"\n/l\n");
    assert_eq!(shown(&["/a"], false), "/a\n/a/b\n/a/x<\n");
    assert_eq!(shown(&["/a"], true), "/a\n/a/b\n/a/b/c\n/a/b/d\n/a/x<\n");
    assert_eq!(shown(&["/a/b"], false), "/a/b\n/a/b/c\n/a/b/d\n");
    assert_eq!(shown(&["//a/./q/../b/"], false), "/a/b\n/a/b/c\n/a/b/d\n");
    assert_eq!(shown(&["/a/b/c", "/l"], false), "/a/b/c\n/l\n");
    assert_eq!(
        shown(&["/a", "/a/b"], false),
        "/a\n/a/b\n/a/b/c\n/a/b/d\n/a/x<\n"
    );
    assert_eq!(shown(&["/a/bb", "/nothing"], true), "");
}

#[test]
fn a_relative_path_is_refused() {
    let error = PathFilter::new(&[b"a".to_vec()], false).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        "csv".parse::<Format>().unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[test]
fn the_long_form_is_restics() {
    let expected = [
        "drwxr-xr-x  1000     7      0 2023-11-14 22:13:20 /a",
        "drwxr-xr-x  1000     7      0 2023-11-14 22:13:20 /a/b",
        "-rw-r--r--  1000     7   1537 2023-11-14 22:13:20 /a/b/c",
        "prw-------  1000     7      0 2023-11-14 22:13:20 /a/b/d",
        "----------  1000     7      0 2023-11-14 22:13:20 /a/x<",
        "urwxr-xr-x  1000     7      0 2023-11-14 22:13:20 /e\\n\\\"",
        "Lrwxrwxrwx  1000     7      0 2023-11-14 22:13:20 /l -> to\\xff",
        "",
    ];
    assert_eq!(
        example().show(Format::Long, &[], false),
        expected.join("\n")
    );
}

#[test]
fn human_sizes_are_restics() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.000 KiB"),
        (1537, "1.501 KiB"),
        (5 << 20, "5.000 MiB"),
        (3 << 29, "1.500 GiB"),
        (u64::MAX, "16777216.000 TiB"),
    ] {
        assert_eq!(render::human_size(bytes), text);
    }
}

#[test]
fn json_lines_are_restics() {
    let text = example().show(Format::Json, &["/a/b/c", "/e", "/a/x<"], false);
    let expected = [
        r#"{"name":"c","type":"file","path":"/a/b/c","uid":1000,"gid":7,"size":1537,"mode":420,"permissions":"-rw-r--r--","mtime":"2023-11-14T23:13:20.000000005+01:00","atime":"0001-01-01T00:00:00Z","ctime":"0001-01-01T00:00:00Z","inode":99,"message_type":"node","struct_type":"node"}"#,
        r#"{"name":"x\u003c","type":"file","path":"/a/x\u003c","uid":1000,"gid":7,"size":0,"permissions":"----------","mtime":"2023-11-14T23:13:20.000000005+01:00","atime":"0001-01-01T00:00:00Z","ctime":"0001-01-01T00:00:00Z","inode":99,"message_type":"node","struct_type":"node"}"#,
        "",
    ];
    assert_eq!(text, expected.join("\n"));
    let link = example().show(Format::Json, &["/l"], false);
    assert!(
        !link.contains("size") && link.contains(r#""mode":134218239,"permissions":"Lrwxrwxrwx""#)
    );
}

#[test]
fn ncdu_nests_and_shows_the_way_to_what_was_asked_for() {
    let text = example().show(Format::Ncdu, &["/a/b"], false);
    let whole = format!("[1, 2, {{}}, [{{\"name\":\"/\"}}{text}\n]\n]\n");
    let read: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let a = &read[3][1];
    assert_eq!(a[0]["name"], "a");
    assert_eq!(a[1][0]["name"], "b");
    assert_eq!(
        text.lines().nth(5).unwrap(),
        r#"      {"name":"c","asize":1537,"dsize":2048,"dev":0,"ino":99,"nlink":1,"notreg":false,"uid":1000,"gid":7,"mode":420,"mtime":1700000000},"#
    );
    assert_eq!(
        (a[1][2]["name"].as_str(), a[1][2]["notreg"].as_bool()),
        (Some("d"), Some(true))
    );
    assert_eq!(
        (
            a.as_array().unwrap().len(),
            read[3].as_array().unwrap().len()
        ),
        (2, 2)
    );
    // A directory that is shown but not entered is an empty list.
    let text = example().show(Format::Ncdu, &["/a"], false);
    assert!(
        text.contains("\"name\":\"b\"") && text.ends_with("\n  ]"),
        "{text}"
    );
}

#[test]
fn an_unreadable_tree_ends_the_listing() {
    let mut trees = example();
    let gone = *trees
        .blobs
        .keys()
        .find(|id| Some(**id) != trees.root)
        .unwrap();
    trees.blobs.remove(&gone);
    let options = LsOptions {
        tree: trees.root.unwrap(),
        paths: Vec::new(),
        recursive: false,
        format: Format::Names,
        human: false,
        order: Order::default(),
    };
    let control = Control::default();
    let result = list(&mut trees.load(), &options, LocalZone::utc(), &control);
    assert_eq!(result.unwrap_err().code(), Code::BlobMissing);
    control.cancel();
    let result = list(&mut trees.load(), &options, LocalZone::utc(), &control);
    assert_eq!(result.unwrap_err().code(), Code::Cancelled);
}

#[test]
fn a_path_leads_to_its_entry_and_tree() {
    let trees = example();
    let root = trees.root.unwrap();
    let follow = |path: &[u8]| {
        let (node, tree) = follow(&mut trees.load(), root, path)?;
        Ok::<_, Error>((node.map(|node| node.name), tree))
    };
    assert_eq!(follow(b""), Ok((None, root)));
    assert_eq!(follow(b"/a/.."), Ok((None, root)));
    let (name, b) = follow(b"a//b/").unwrap();
    assert_eq!(name.as_deref(), Some(b"b".as_slice()));
    assert_eq!(follow(b"/a/b/c"), Ok((Some(b"c".to_vec()), b)));
    assert_eq!(follow(b"/l"), Ok((Some(b"l".to_vec()), root)));
    for (path, object) in [
        (b"/a/q/r".as_slice(), "/a/q"),
        (b"/l/x", "/l"),
        (b"/\x1b", "/\\x1b"),
    ] {
        let error = follow(path).unwrap_err();
        assert_eq!((error.code(), error.object()), (Code::PathMissing, object));
    }
}

fn sorted(trees: &Trees, by: &str, reverse: bool) -> Vec<String> {
    let options = LsOptions {
        tree: trees.root.unwrap(),
        paths: Vec::new(),
        recursive: false,
        format: Format::Names,
        human: false,
        order: Order {
            by: by.parse().unwrap(),
            reverse,
        },
    };
    let control = Control::default();
    let report = list(&mut trees.load(), &options, LocalZone::utc(), &control).unwrap();
    let text = String::from_utf8(control.drain_output()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(report.entries, lines.len() as u64);
    lines
}

#[test]
fn entries_are_sorted_by_every_key_and_ties_by_path() {
    let mut trees = Trees::default();
    let file = |name: &[u8], size: u64, seconds: i64, nanos: u32| {
        let mut node = node(name, NodeType::File, 0o644);
        node.size = size;
        node.mtime.at = Timestamp {
            secs: seconds,
            nanos,
        };
        node.atime.at.secs = -seconds;
        node.ctime.at.secs = seconds / 10;
        node
    };
    let mut deep = dir(b"d.x", Id::ZERO);
    deep.size = 99; // Only files have a size.
    deep.subtree = Some(trees.plant(vec![file(b".z", 7, 35, 0), file(b"b", 7, 30, 1)]));
    (deep.mtime.at.secs, deep.atime.at.secs, deep.ctime.at.secs) = (30, 0, 9);
    deep.mtime.at.nanos = 0;
    trees.plant(vec![file(b"a.b.c", 9, 10, 0), deep, file(b"e.a", 0, -5, 0)]);
    let all = ["/a.b.c", "/d.x", "/d.x/.z", "/d.x/b", "/e.a"];
    assert_eq!(sorted(&trees, "name", false), all);
    for (key, wanted) in [
        ("name", all),
        ("size", ["/d.x", "/e.a", "/d.x/.z", "/d.x/b", "/a.b.c"]),
        ("mtime", ["/e.a", "/a.b.c", "/d.x", "/d.x/b", "/d.x/.z"]),
        ("time", ["/e.a", "/a.b.c", "/d.x", "/d.x/b", "/d.x/.z"]),
        ("atime", ["/d.x/.z", "/d.x/b", "/a.b.c", "/d.x", "/e.a"]),
        ("ctime", ["/e.a", "/a.b.c", "/d.x/.z", "/d.x/b", "/d.x"]),
        ("extension", ["/d.x/b", "/e.a", "/a.b.c", "/d.x", "/d.x/.z"]),
    ] {
        assert_eq!(sorted(&trees, key, false), wanted, "{key}");
        let mut backwards = sorted(&trees, key, true);
        backwards.reverse();
        assert_eq!(backwards, wanted, "{key} backwards");
    }
    assert!("colour".parse::<SortKey>().is_err());
}

#[test]
fn ncdu_has_one_order_only() {
    let trees = example();
    let options = LsOptions {
        tree: trees.root.unwrap(),
        paths: Vec::new(),
        recursive: false,
        format: Format::Ncdu,
        human: false,
        order: Order {
            by: SortKey::Name,
            reverse: true,
        },
    };
    let control = Control::default();
    let error = list(&mut trees.load(), &options, LocalZone::utc(), &control).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}
