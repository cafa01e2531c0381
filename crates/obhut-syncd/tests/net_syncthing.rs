//! A real Syncthing on loopback and our net: who dials, what it says, which connection stays.

mod netkit;

use std::time::Duration;

use netkit::syncthing::{FOLDER, Syncthing, programs, text_of};
use netkit::{Device, PATIENCE, peer};
use obhut_bep::{ClusterConfig, Device as Member, DeviceId, Folder, Hello, Message, Request};
use obhut_sync::io::Connection;
use obhut_syncd::net::NetEvent;
use tokio::time::{Instant, timeout};

/// Where nobody listens.
const NOWHERE: &str = "tcp://127.0.0.1:9";

fn greeting_of(theirs: &Syncthing, hello: &Hello) {
    assert_eq!(hello.client_name, "syncthing");
    assert_eq!(hello.client_version, theirs.version);
    assert_eq!(hello.device_name, "syncthing");
}

/// Its first message names what is shared; ours makes it send what it has; it serves it.
async fn talk(ours: &mut Device, connection: Connection, theirs: DeviceId) {
    let Message::ClusterConfig(config) = ours.received().await else {
        panic!("something else first");
    };
    assert_eq!(config.folders[0].id, FOLDER);
    let member = |id| Member {
        id,
        ..Member::default()
    };
    let folder = Folder {
        id: FOLDER.to_owned(),
        devices: vec![member(ours.id()), member(theirs)],
        ..Folder::default()
    };
    let config = ClusterConfig {
        folders: vec![folder],
        ..ClusterConfig::default()
    };
    ours.net.send(connection, Message::ClusterConfig(config));
    let hash = loop {
        if let Message::Index(index) = ours.received().await
            && let Some(file) = index.files.iter().find(|file| file.name == "a.txt")
        {
            break file.blocks.hashes().to_vec();
        }
    };
    let request = Request {
        id: 7,
        folder: FOLDER.to_owned(),
        name: "a.txt".to_owned(),
        size: 6,
        hash,
        ..Request::default()
    };
    ours.net.send(connection, Message::Request(request));
    loop {
        if let Message::Response(response) = ours.received().await {
            assert_eq!((response.id, &response.data[..]), (7, &b"hello\n"[..]));
            break;
        }
    }
}

#[tokio::test]
async fn we_dial_it() {
    for program in programs() {
        let mut ours = Device::new("obhut").await;
        let mut theirs = Syncthing::start(&program, ours.id(), NOWHERE).await;
        let begin = Instant::now();
        ours.net
            .configure(vec![peer(theirs.id, Some(theirs.address.clone()))]);
        let (connection, who, hello, _) = ours.up().await;
        assert_eq!(who, theirs.id);
        greeting_of(&theirs, &hello);
        talk(&mut ours, connection, theirs.id).await;
        let of_us = theirs.until_connected(ours.id(), true).await;
        assert!(of_us.contains("TLS1.3"), "{of_us}");
        let version = text_of(&of_us, "clientVersion").unwrap();
        assert!(version.starts_with("obhut v"), "{of_us}");
        assert!(begin.elapsed() < PATIENCE);
        // Our end is one for it, and it takes us again.
        ours.net.close(connection, "enough for now");
        assert_eq!(ours.down().await.1, "enough for now");
        let (again, ..) = ours.up().await;
        assert_ne!(again, connection);
        ours.net.configure(Vec::new());
        theirs.until_connected(ours.id(), false).await;
    }
}

#[tokio::test]
async fn it_dials_us() {
    for program in programs() {
        let mut ours = Device::new("obhut").await;
        let theirs = Syncthing::start(&program, ours.id(), &ours.address()).await;
        // Nobody knows it yet.
        let NetEvent::Stranger { device, name, .. } = ours.said().await else {
            panic!("no stranger");
        };
        assert_eq!((device, &name[..]), (theirs.id, "syncthing"));
        ours.net.configure(vec![peer(theirs.id, None)]);
        let (connection, _, hello, _) = loop {
            match ours.said().await {
                NetEvent::Stranger { .. } => {}
                NetEvent::Up {
                    connection,
                    device,
                    hello,
                    address,
                } => break (connection, device, hello, address),
                other => panic!("{other:?}"),
            }
        };
        greeting_of(&theirs, &hello);
        talk(&mut ours, connection, theirs.id).await;
        // Its end is one for us.
        drop(theirs);
        let mut last = ours.said().await;
        while let NetEvent::Received { .. } = last {
            last = ours.said().await;
        }
        let NetEvent::Down { reason, .. } = last else {
            panic!("{last:?}");
        };
        // It may reset the connection, and its last words with it.
        let ends = ["it closed", "it ended", "the connection broke"];
        assert!(ends.iter().any(|end| reason.starts_with(end)), "{reason}");
    }
}

#[tokio::test]
async fn both_dial() {
    for program in programs() {
        let mut ours = Device::new("obhut").await;
        let mut theirs = Syncthing::start(&program, ours.id(), &ours.address()).await;
        ours.net
            .configure(vec![peer(theirs.id, Some(theirs.address.clone()))]);
        theirs.until_connected(ours.id(), true).await;
        // It dials again after five seconds, if it is not content.
        let mut up: Option<Connection> = None;
        while let Ok(event) = timeout(Duration::from_secs(8), ours.said()).await {
            match event {
                NetEvent::Up { connection, .. } => {
                    assert_eq!(up, None);
                    up = Some(connection);
                }
                NetEvent::Down { connection, .. } => assert_eq!(up.take(), Some(connection)),
                _ => {}
            }
        }
        assert!(up.is_some());
        theirs.until_connected(ours.id(), true).await;
        assert!(ours.net.status().peers[0].connected.is_some());
    }
}
