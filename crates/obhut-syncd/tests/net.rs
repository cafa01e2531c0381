//! Two devices of ours on loopback: what goes between them, how it ends, which connection stays.

mod netkit;

use std::time::Duration;

use netkit::{Device, PATIENCE, cluster, pair, peer, settings};
use obhut_bep::{Blocks, FileInfo, Index, Message, Response};
use obhut_syncd::net::{NetEvent, PeerConfig, Settings};
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
async fn nobody_is_waited_for_without_end() {
    // The other side takes nothing, so nothing is read there, and far more is under way than the system holds.
    let (mut a, on_a, b, _) = pair(settings("a"), settings("b")).await;
    for _ in 0..200 {
        a.net.send(on_a, response(1 << 20));
    }
    sleep(SHORT).await;
    let begin = Instant::now();
    a.net.close(on_a, "enough");
    assert_eq!(a.down().await, (on_a, "enough".to_owned()));
    assert!(begin.elapsed() < Duration::from_secs(8));
    let begin = Instant::now();
    b.net.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn over_the_other_family() {
    let six = Settings {
        listen: vec!["tcp6://[::1]:0".to_owned()],
        ..settings("b")
    };
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // no such family here
    }
    let (mut a, on_a, mut b, _) = pair(settings("a"), six).await;
    assert!(b.address().starts_with("tcp://[::1]:"));
    a.net.send(on_a, cluster("f"));
    assert_eq!(b.received().await, cluster("f"));
    assert!(a.is_quiet(Duration::from_millis(1)).await);
}
