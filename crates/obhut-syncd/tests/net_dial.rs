//! How devices are found on loopback: addresses, waits, local discovery.

mod netkit;

use std::time::Duration;

use netkit::{Device, PATIENCE, peer, settings};
use obhut_syncd::net::{Discovery, NetEvent, PeerConfig, Settings};
use tokio::time::{Instant, sleep, timeout};

const SHORT: Duration = Duration::from_millis(500);

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
