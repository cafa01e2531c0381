//! Whole devices of ours on loopback: engine, net, disk and store together.
#![allow(clippy::disallowed_methods)] // tests

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use obhut_bep::DeviceId;
use obhut_core::world::{Clock as _, SystemClock, SystemRandom};
use obhut_sync::io::Command;
use obhut_syncd::daemon::Daemon;
use obhut_syncd::disk::Root;
use obhut_syncd::net::Identity;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Device {
    place: TempDir,
    id: DeviceId,
    daemon: Option<Daemon>,
    listen: String,
}

impl Device {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("home")).unwrap();
        fs::create_dir(place.path().join("folder")).unwrap();
        let home = place.path().join("home");
        let id = Identity::create(&home, SystemClock.now(), &SystemRandom)
            .unwrap()
            .device();
        Root::open(&place.path().join("folder"))
            .unwrap()
            .make_marker("f", obhut_sync::io::Now::default())
            .unwrap();
        Self {
            place,
            id,
            daemon: None,
            listen: "tcp://127.0.0.1:0".to_owned(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("folder")
    }

    fn config(&self, others: &[(DeviceId, Option<String>)]) -> String {
        let devices: Vec<Value> = others
            .iter()
            .map(|(id, address)| {
                json!({"id": id.to_string(), "name": "other", "addresses": address.iter().collect::<Vec<_>>()})
            })
            .collect();
        let members: Vec<Value> = others
            .iter()
            .map(|(id, _)| json!({"device": id.to_string()}))
            .collect();
        json!({
            "name": "device",
            "devices": devices,
            "folders": [{"id": "f", "path": self.folder(), "members": members}],
        })
        .to_string()
    }

    fn start(&mut self, others: &[(DeviceId, Option<String>)]) {
        let home = self.place.path().join("home");
        let daemon = Daemon::start(&home, &self.config(others), vec![self.listen.clone()]).unwrap();
        self.listen.clone_from(&daemon.listening()[0]);
        self.daemon = Some(daemon);
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.daemon.as_ref().unwrap().status().unwrap()).unwrap()
    }

    fn scan(&self) {
        self.daemon
            .as_ref()
            .unwrap()
            .command("f", Command::Scan)
            .unwrap();
    }

    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.folder(), "", &mut found);
        found
    }
}

fn collect(at: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if prefix.is_empty() && [".stfolder", ".stversions"].contains(&name.as_str())
            || name.starts_with(".syncthing.")
        {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
            found.insert(path, b"directory".to_vec());
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            found.insert(path, target.into_os_string().into_encoded_bytes());
        } else {
            found.insert(path, fs::read(entry.path()).unwrap_or_default());
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited for: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pair() -> (Device, Device) {
    let (mut one, mut other) = (Device::new(), Device::new());
    one.start(&[(other.id, None)]);
    other.start(&[(one.id, Some(one.listen.clone()))]);
    until("connection", || {
        one.status()["folders"][0]["members"][0]["shares"] == json!(true)
            && other.status()["folders"][0]["members"][0]["shares"] == json!(true)
    });
    (one, other)
}

/// Nobody asks for a look: what changed is noticed.
fn settle(one: &Device, other: &Device) {
    until("equal trees and idle folders", || {
        let idle = |device: &Device| device.status()["folders"][0]["state"] == json!("idle");
        idle(one) && idle(other) && one.tree() == other.tree()
    });
}

#[test]
fn files_directories_and_links_come_over_and_changes_follow() {
    let (one, other) = pair();
    for number in 0..50 {
        let directory = one.folder().join(format!("d{}", number % 5));
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join(format!("{number}.txt")),
            format!("content {number}"),
        )
        .unwrap();
    }
    fs::write(one.folder().join("large"), vec![7; 3_000_000]).unwrap();
    fs::write(one.folder().join("empty"), "").unwrap();
    std::os::unix::fs::symlink("d0/0.txt", one.folder().join("link")).unwrap();
    settle(&one, &other);
    assert_eq!(other.tree().len(), 50 + 5 + 3);

    fs::write(other.folder().join("d1/1.txt"), "changed there").unwrap();
    fs::remove_file(other.folder().join("d2/2.txt")).unwrap();
    fs::remove_dir_all(other.folder().join("d3")).unwrap();
    fs::rename(other.folder().join("d4"), other.folder().join("renamed")).unwrap();
    settle(&one, &other);
    assert_eq!(one.tree()["d1/1.txt"], b"changed there");
    assert!(!one.tree().contains_key("d2/2.txt") && !one.tree().contains_key("d3"));
    assert!(one.tree().contains_key("renamed/4.txt"));
    // What went on `one` by the word of `other` is kept there.
    let kept: Vec<String> = fs::read_dir(one.folder().join(".stversions/d2"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].starts_with("2~") && kept[0].strip_suffix(".txt").is_some());
}

#[test]
fn both_sides_of_a_conflict_are_kept() {
    let (mut one, mut other) = pair();
    fs::write(one.folder().join("a.txt"), "first").unwrap();
    settle(&one, &other);
    let other_id = other.id;
    let one_id = one.id;
    one.daemon = None;
    other.daemon = None;
    fs::write(one.folder().join("a.txt"), "by one").unwrap();
    fs::write(other.folder().join("a.txt"), "by other").unwrap();
    one.start(&[(other_id, None)]);
    other.start(&[(one_id, Some(one.listen.clone()))]);
    settle(&one, &other);
    until("a conflict copy on both", || {
        one.tree().len() == 2 && other.tree().len() == 2
    });
    let mut contents: Vec<Vec<u8>> = one.tree().into_values().collect();
    contents.sort();
    assert_eq!(contents, [b"by one".to_vec(), b"by other".to_vec()]);
}

#[test]
fn a_missing_marker_stops_the_folder_and_nothing_is_removed() {
    let (one, other) = pair();
    fs::write(one.folder().join("a.txt"), "first").unwrap();
    settle(&one, &other);
    fs::remove_dir_all(one.folder().join(".stfolder")).unwrap();
    fs::remove_file(one.folder().join("a.txt")).unwrap();
    one.scan();
    until("the folder stops", || {
        one.status()["folders"][0]["state"] == json!("stopped")
    });
    assert_eq!(
        one.status()["folders"][0]["doubt"]["kind"],
        json!("marker-missing")
    );
    assert!(other.folder().join("a.txt").exists());
}

#[test]
fn a_receive_only_folder_keeps_its_changes_until_it_is_told_to_revert() {
    let (one, other) = pair();
    fs::write(one.folder().join("a.txt"), "first").unwrap();
    fs::write(one.folder().join("b.txt"), "first").unwrap();
    settle(&one, &other);
    let config = other.config(&[(one.id, Some(one.listen.clone()))]).replace(
        "\"id\":\"f\"",
        "\"id\":\"f\",\"direction\":\"receive-only\"",
    );
    let daemon = other.daemon.as_ref().unwrap();
    daemon.configure(&config).unwrap();
    fs::write(other.folder().join("a.txt"), "here only").unwrap();
    fs::write(other.folder().join("new.txt"), "here only").unwrap();
    fs::create_dir(other.folder().join("d")).unwrap();
    fs::write(other.folder().join("d/new.txt"), "here only").unwrap();
    fs::remove_file(other.folder().join("b.txt")).unwrap();
    fs::write(one.folder().join("c.txt"), "from there").unwrap();
    until("c.txt", || other.folder().join("c.txt").exists());
    other.scan();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(one.tree().len(), 3);
    assert_eq!(one.tree()["a.txt"], b"first");
    assert_eq!(other.tree()["a.txt"], b"here only");
    daemon.command("f", Command::Revert).unwrap();
    settle(&one, &other);
    assert_eq!(other.tree().len(), 3);
    assert_eq!(other.tree()["a.txt"], b"first");
    let kept = other.folder().join(".stversions");
    assert!(kept.join("d").is_dir() && fs::read_dir(kept).unwrap().count() >= 3);
}

#[test]
fn what_a_device_changes_that_may_only_read_is_not_taken() {
    let (one, other) = pair();
    fs::write(one.folder().join("a.txt"), "first").unwrap();
    settle(&one, &other);
    let readers = one
        .config(&[(other.id, None)])
        .replace("\"device\":", "\"writes\":false,\"device\":");
    let daemon = one.daemon.as_ref().unwrap();
    daemon.configure(&readers).unwrap();
    fs::write(other.folder().join("a.txt"), "not allowed").unwrap();
    fs::write(other.folder().join("new.txt"), "not allowed").unwrap();
    let mut refused = Vec::new();
    until("both changes refused", || {
        for line in daemon.events(Duration::from_millis(50)) {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == json!("refused") {
                refused.push(event["name"].as_str().unwrap().to_owned());
            }
        }
        ["a.txt", "new.txt"]
            .iter()
            .all(|name| refused.iter().any(|one| one == name))
    });
    assert_eq!(one.tree().len(), 1);
    assert_eq!(one.tree()["a.txt"], b"first");
    // Its own changes still go out, and come in where nothing stands against them.
    fs::write(one.folder().join("b.txt"), "from the hub").unwrap();
    until("b.txt", || other.folder().join("b.txt").exists());
}

#[test]
fn an_emptied_folder_waits_until_people_say_that_it_is_meant() {
    let (one, other) = pair();
    for number in 0..8 {
        fs::write(one.folder().join(number.to_string()), "content").unwrap();
    }
    settle(&one, &other);
    let mut one = one;
    one.daemon = None;
    for number in 0..8 {
        fs::remove_file(one.folder().join(number.to_string())).unwrap();
    }
    one.start(&[(other.id, None)]);
    until("the folder stops", || {
        one.status()["folders"][0]["doubt"]["kind"] == json!("emptied")
    });
    one.scan();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(
        one.status()["folders"][0]["state"],
        json!("stopped"),
        "looking is no consent"
    );
    assert_eq!(other.tree().len(), 8);
    one.daemon
        .as_ref()
        .unwrap()
        .command("f", Command::Emptied)
        .unwrap();
    let other_config = other.config(&[(one.id, Some(one.listen.clone()))]);
    other
        .daemon
        .as_ref()
        .unwrap()
        .configure(&other_config)
        .unwrap();
    until("all gone there, too", || other.tree().is_empty());
    assert_eq!(
        fs::read_dir(other.folder().join(".stversions"))
            .unwrap()
            .count(),
        8
    );
}

#[test]
fn a_disk_that_was_set_back_deletes_nothing_elsewhere() {
    let (mut one, other) = pair();
    fs::write(one.folder().join("old.txt"), "old").unwrap();
    settle(&one, &other);
    one.daemon = None;
    let generation = one.folder().join(".stfolder/obhut-generation");
    let then = fs::read(&generation).unwrap();
    let start = |one: &mut Device| {
        one.start(&[(other.id, None)]);
        let config = other.config(&[(one.id, Some(one.listen.clone()))]);
        other.daemon.as_ref().unwrap().configure(&config).unwrap();
    };
    for number in 0..2 {
        start(&mut one);
        fs::write(one.folder().join(format!("new{number}.txt")), "new").unwrap();
        settle(&one, &other);
        one.daemon = None;
    }
    // The disk comes back as it was before the new files; the index in the home knows them.
    fs::write(&generation, then).unwrap();
    fs::remove_file(one.folder().join("new0.txt")).unwrap();
    fs::remove_file(one.folder().join("new1.txt")).unwrap();
    start(&mut one);
    settle(&one, &other);
    assert_eq!(one.tree().len(), 3, "{:?}", one.tree().keys());
}

#[test]
fn one_process_a_home() {
    let mut one = Device::new();
    one.start(&[]);
    let home = one.place.path().join("home");
    let second = Daemon::start(&home, &one.config(&[]), vec![]);
    assert!(second.unwrap_err().to_string().contains("another process"));
}
