//! Two devices of ours on loopback: what goes between them, how it ends, which connection stays.

mod netkit;

use std::time::Duration;

use netkit::{Device, PATIENCE, cluster, pair, peer, settings};
use obhut_bep::{Blocks, FileInfo, Index, Message, Response};
use obhut_syncd::net::{Discovery, NetEvent, PeerConfig, Settings};
use tokio::time::{Instant, sleep, timeout};

const SHORT: Duration = Duration::from_millis(500);

fn large_index() -> Message {
    let blocks = Blocks::new((0..32 * 40).map(|at| at as u8).collect()).unwrap();
    let files = (0..5000).map(|at| FileInfo {
        name: format!("directory/file-{at}"),
        size: 40 * (128 << 10),
        sequence: at + 1,
        block_size: 128 << 10,
        blocks: blocks.clone(),
        ..FileInfo::default()
    });
    Message::Index(Index {
        folder: "f".to_owned(),
        files: files.collect(),
        ..Index::default()
    })
}

fn response(bytes: usize) -> Message {
    Message::Response(Response {
        id: 1,
        data: vec![7; bytes],
        ..Response::default()
    })
}

#[tokio::test]
async fn greetings_messages_and_an_end() {
    let (mut a, mut b) = (Device::new("first").await, Device::new("second").await);
    b.knows(&[(&a, false)]);
    a.knows(&[(&b, true)]);
    let (on_a, who, hello, address) = a.up().await;
    assert_eq!((who, address), (b.id(), b.address()));
    assert_eq!(
        (&hello.device_name[..], &hello.client_name[..]),
        ("second", "obhut")
    );
    assert!(hello.timestamp > 0 && hello.num_connections == 1);
    let (on_b, who, hello, _) = b.up().await;
    assert_eq!((who, &hello.device_name[..]), (a.id(), "first"));
    for message in [cluster("f"), large_index(), response(3 << 20)] {
        a.net.send(on_a, message.clone());
        assert!(b.received().await == message);
        b.net.send(on_b, message.clone());
        assert!(a.received().await == message);
    }
    let status = a.net.status();
    assert_eq!(status.peers[0].connected, Some(b.address()));
    assert_eq!(status.peers[0].error, None);
    // What was sent before the end arrives before it.
    a.net.send(on_a, cluster("last"));
    a.net.close(on_a, "enough");
    assert_eq!(b.received().await, cluster("last"));
    assert_eq!(a.down().await, (on_a, "enough".to_owned()));
    let (ended, reason) = b.down().await;
    assert_eq!(ended, on_b);
    assert_eq!(reason, "it closed the connection: enough");
    // And it is dialled again.
    assert_ne!(a.up().await.0, on_a);
    b.up().await;
    a.net.stop().await;
    assert_eq!(
        b.down().await.1,
        "it closed the connection: this program ends"
    );
}

#[tokio::test]
async fn what_has_gone_out_is_said() {
    let (a, on_a, mut b, _) = pair(settings("a"), settings("b")).await;
    let mut a = a;
    for _ in 0..20 {
        a.net.send(on_a, response(100_000));
    }
    let (mut all_bytes, mut all) = (0, 0);
    while all < 20 {
        let NetEvent::Drained {
            bytes, messages, ..
        } = a.event().await
        else {
            panic!("something else");
        };
        all_bytes += bytes;
        all += messages;
    }
    assert_eq!(all, 20);
    assert!((2_000_000..2_001_000).contains(&all_bytes));
    for _ in 0..20 {
        assert_eq!(b.received().await, response(100_000));
    }
}

#[tokio::test]
async fn both_dial_at_once_and_one_connection_stays() {
    for _ in 0..5 {
        let (mut a, mut b) = (Device::new("a").await, Device::new("b").await);
        a.knows(&[(&b, true)]);
        b.knows(&[(&a, true)]);
        sleep(SHORT).await;
        // Whatever came and went meanwhile: one is left on each side, and it is the same.
        let mut last = [None, None];
        for (device, last) in [&mut a, &mut b].into_iter().zip(&mut last) {
            while let Ok(event) = device.events.try_recv() {
                match event {
                    NetEvent::Up { connection, .. } => {
                        assert_eq!(*last, None, "two at once");
                        *last = Some(connection);
                    }
                    NetEvent::Down { connection, .. } => {
                        assert_eq!(last.take(), Some(connection));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        let [Some(on_a), Some(on_b)] = last else {
            panic!("not connected: {last:?}, {:?}", a.net.status());
        };
        a.net.send(on_a, cluster("a"));
        b.net.send(on_b, cluster("b"));
        assert_eq!(b.received().await, cluster("a"));
        assert_eq!(a.received().await, cluster("b"));
        assert!(a.is_quiet(Duration::from_millis(100)).await);
    }
}

#[tokio::test]
async fn a_connection_that_one_side_has_lost_is_replaced() {
    // The first device starts again with the same identity while the second still believes in the connection.
    let (a, _, mut b, on_b) = pair(settings("a"), settings("b")).await;
    let settings = settings("again");
    let (sender, mut events) = tokio::sync::mpsc::channel(8);
    let again = obhut_syncd::net::Net::start(&a.identity, settings, sender)
        .await
        .unwrap();
    again.configure(vec![peer(b.id(), Some(b.address()))]);
    let (ended, reason) = b.down().await;
    assert_eq!(ended, on_b);
    assert_eq!(reason, "another connection took its place");
    assert_eq!(b.up().await.1, a.id());
    assert!(matches!(events.recv().await, Some(NetEvent::Up { .. })));
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection() {
    let small = Settings {
        frame_limit: 1 << 20,
        ..settings("b")
    };
    let (mut a, on_a, mut b, on_b) = pair(settings("a"), small).await;
    a.net.send(on_a, response(2 << 20));
    let wanted = "protocol: too large: a message";
    assert_eq!(b.down().await, (on_b, wanted.to_owned()));
    let (_, reason) = a.down().await;
    assert!(reason.contains(wanted), "{reason}");
}

#[tokio::test]
async fn nothing_is_read_that_nobody_takes() {
    let narrow = Settings {
        backlog: 3 << 20,
        ..settings("b")
    };
    let (a, on_a, mut b, _) = pair(settings("a"), narrow).await;
    let mut a = a;
    for _ in 0..12 {
        a.net.send(on_a, response(1 << 20));
    }
    // Two of them, with what belongs to them, are all that three MiB hold.
    let mut held = Vec::new();
    while let Ok(NetEvent::Received { held: one, .. }) = timeout(SHORT, b.said()).await {
        held.push(one);
    }
    assert_eq!(held.len(), 2);
    held.clear();
    for _ in 0..10 {
        assert_eq!(b.received().await, response(1 << 20));
    }
    // A message larger than all of it comes when it is alone.
    a.net.send(on_a, response(5 << 20));
    assert_eq!(b.received().await, response(5 << 20));
    assert!(a.is_quiet(Duration::from_millis(1)).await);
}

#[tokio::test]
async fn a_ping_goes_out_and_silence_ends() {
    let mut quick = settings("a");
    quick.limits.ping = Duration::from_millis(200);
    let mut strict = settings("b");
    strict.limits.silence = Duration::from_secs(1);
    let (a, on_a, mut b, on_b) = pair(quick, strict).await;
    for _ in 0..8 {
        assert_eq!(b.received().await, Message::Ping);
    }
    let mut patient = settings("a");
    patient.limits.ping = PATIENCE;
    drop((a, on_a));
    assert_eq!(b.down().await.0, on_b);
    let mut strict = settings("b");
    strict.limits.silence = Duration::from_millis(300);
    let (mut a, _, mut b, _) = pair(patient, strict).await;
    assert!(b.down().await.1.starts_with("nothing was heard for"));
    assert!(a.down().await.1.contains("nothing was heard for"));
}

#[tokio::test]
async fn strangers_are_told_and_listed() {
    let (mut a, mut b) = (Device::new("known").await, Device::new("stranger").await);
    b.knows(&[(&a, true)]);
    let NetEvent::Stranger {
        device,
        name,
        address,
    } = a.said().await
    else {
        panic!("no stranger");
    };
    assert_eq!((device, &name[..]), (b.id(), "stranger"));
    assert!(address.starts_with("tcp://127.0.0.1:"));
    // Who dials learns the reason, but not what the other is called.
    let (_, _, hello, _) = b.up().await;
    assert_eq!(hello.device_name, "");
    let (_, reason) = b.down().await;
    assert_eq!(
        reason,
        "it closed the connection: this device is not known here"
    );
    // Known at last.
    a.knows(&[(&b, false)]);
    loop {
        match a.said().await {
            NetEvent::Stranger { .. } => {}
            NetEvent::Up { device, .. } => break assert_eq!(device, b.id()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn paused_and_removed_devices_are_sent_away() {
    let (mut a, on_a, mut b, _) = pair(settings("a"), settings("b")).await;
    let paused = PeerConfig {
        paused: true,
        ..peer(b.id(), Some(b.address()))
    };
    a.net.configure(vec![paused]);
    assert_eq!(
        a.down().await,
        (on_a, "this device is paused here".to_owned())
    );
    assert!(b.down().await.1.contains("paused"));
    assert!(a.is_quiet(SHORT).await);
    a.knows(&[(&b, true)]);
    a.up().await;
    b.up().await;
    a.net.configure(Vec::new());
    assert!(a.down().await.1.contains("not known here any more"));
    b.down().await;
    assert!(a.is_quiet(SHORT).await);
}

#[tokio::test]
async fn addresses_are_tried_in_turn_and_told() {
    let (mut a, other) = (Device::new("a").await, Device::new("other").await);
    let mut b = Device::new("b").await;
    b.knows(&[(&a, false)]);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("tcp://{}", listener.local_addr().unwrap())
    };
    let addresses = [
        "quic://127.0.0.1:1",
        "relay://127.0.0.1:1/?id=X",
        "nonsense",
        "dynamic",
        &closed,
        &a.address(),
        &other.address(),
        &b.address(),
    ];
    let config = PeerConfig {
        addresses: addresses.map(str::to_owned).to_vec(),
        ..peer(b.id(), None)
    };
    a.net.configure(vec![config]);
    a.up().await;
    b.up().await;
    sleep(Duration::from_millis(50)).await;
    let tried = a.net.status().peers[0].tried.clone();
    let said = |address: &str| {
        let found = tried.iter().find(|(one, _)| one == address);
        found.map(|(_, why)| why.clone()).unwrap_or_default()
    };
    assert_eq!(said(addresses[0]), "quic is not spoken yet");
    assert_eq!(said(addresses[1]), "relay is not spoken yet");
    assert!(said("nonsense").starts_with("no address"));
    assert!(said("dynamic").contains("not looked for"));
    assert!(said(&closed).contains("refused"), "{}", said(&closed));
    assert_eq!(said(&a.address()), "it is this device itself");
    assert!(said(&other.address()).contains(&other.id().to_string()));
    assert_eq!(said(&b.address()), "connected");
}

#[tokio::test]
async fn waits_grow_and_redial_ends_them() {
    let mut slow = settings("a");
    slow.limits.first_wait = Duration::from_secs(20);
    slow.limits.longest_wait = Duration::from_secs(20);
    let mut a = Device::with(slow).await;
    let b = Device::new("b").await;
    let (id, home, address) = (b.id(), b.home, b.net.listening()[0].clone());
    let identity = b.identity;
    b.net.stop().await;
    a.net.configure(vec![peer(id, Some(address.clone()))]);
    sleep(Duration::from_millis(200)).await;
    let status = a.net.status();
    assert!(status.peers[0].error.as_ref().unwrap().contains("refused"));
    let again = Settings {
        listen: vec![address],
        ..settings("b")
    };
    let (sender, _events) = tokio::sync::mpsc::channel(8);
    let net = obhut_syncd::net::Net::start(&identity, again, sender)
        .await
        .unwrap();
    net.configure(vec![peer(a.id(), None)]);
    assert!(a.is_quiet(SHORT).await);
    let begin = Instant::now();
    a.net.redial();
    a.up().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(home);
}

#[tokio::test]
async fn devices_in_the_same_net_find_each_other() {
    // Two ports of loopback that are free now.
    let sockets = [0, 1].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let ports = sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap());
    drop(sockets);
    let how = |at: usize| {
        Some(Discovery {
            listen: vec![ports[at]],
            targets: vec![ports[1 - at]],
            lasts: Duration::from_secs(3),
            ..Discovery::default()
        })
    };
    let first = Settings {
        discovery: how(0),
        ..settings("a")
    };
    let second = Settings {
        discovery: how(1),
        ..settings("b")
    };
    let mut a = Device::with(first).await;
    a.net.configure(Vec::new());
    let mut b = Device::with(second).await;
    b.net
        .configure(vec![peer(a.id(), Some("dynamic".to_owned()))]);
    // Listed, and no more than that, as long as it is not known.
    let NetEvent::Stranger { device, .. } = a.said().await else {
        panic!("no stranger");
    };
    assert_eq!(device, b.id());
    assert_eq!(a.net.status().announced, [(b.id(), vec![b.address()])]);
    assert_eq!(a.net.status().discovery, Vec::<String>::new());
    a.net
        .configure(vec![peer(b.id(), Some("dynamic".to_owned()))]);
    while !matches!(a.said().await, NetEvent::Up { .. }) {}
    while !matches!(b.said().await, NetEvent::Up { .. }) {}
    // What was heard does not last.
    b.net.stop().await;
    timeout(PATIENCE, async {
        while !a.net.status().announced.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
}
