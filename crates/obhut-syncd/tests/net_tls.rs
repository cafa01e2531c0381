//! Whoever does not speak as devices do: no TLS, an older one, no certificate or two, no greeting.

mod netkit;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use netkit::{Device, PATIENCE, peer, settings};
use obhut_bep::{DeviceId, Hello};
use obhut_core::error::Code;
use obhut_core::world::{SystemRandom, Timestamp};
use obhut_syncd::net::{Identity, NetEvent, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

const SHORT: Duration = Duration::from_millis(500);

/// Makes a certificate and a key of that kind, as an older Syncthing or somebody else would.
fn certificate(home: &Path, key: &[&str], name: &str, more: &[&str]) {
    let (key_file, cert_file) = (home.join("key.pem"), home.join("cert.pem"));
    let done = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "7300", "-newkey"])
        .args(key)
        .args(["-subj", name])
        .args(more)
        .arg("-keyout")
        .arg(key_file)
        .arg("-out")
        .arg(cert_file)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// What `openssl s_client` says, who sends `words` after the handshake and hears until the end.
async fn s_client(address: SocketAddr, arguments: Vec<String>, words: Vec<u8>) -> (bool, String) {
    let talk = move || {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &address.to_string(), "-quiet"])
            .args(["-no_ign_eof", "-alpn", "bep/1.0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // Gone, if the handshake failed.
        let _ = input.write_all(&words);
        let mut said = Vec::new();
        let mut output = child.stdout.take().unwrap();
        output.read_to_end(&mut said).unwrap();
        drop(input);
        let done = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let is_greeted = said.starts_with(&[0x2e, 0xa7, 0xd9, 0x0b]);
        (is_greeted, errors)
    };
    timeout(PATIENCE, tokio::task::spawn_blocking(talk))
        .await
        .unwrap()
        .unwrap()
}

fn files(home: &Path) -> Vec<String> {
    let file = |name: &str| home.join(name).display().to_string();
    vec![
        "-cert".to_owned(),
        file("cert.pem"),
        "-key".to_owned(),
        file("key.pem"),
    ]
}

#[tokio::test]
async fn certificates_of_all_kinds_that_devices_had() {
    let kinds: [&[&str]; 3] = [
        &["ed25519"],
        &["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
        &["rsa:3072"],
    ];
    for kind in kinds {
        let home = tempfile::tempdir().unwrap();
        certificate(home.path(), kind, "/CN=syncthing", &[]);
        let identity = Identity::load(home.path()).unwrap();
        let mut device = Device::new("d").await;
        // As a client: our own, with that certificate.
        let (sender, _events) = tokio::sync::mpsc::channel(8);
        let other = obhut_syncd::net::Net::start(&identity, settings("old"), sender)
            .await
            .unwrap();
        other.configure(vec![peer(device.id(), Some(device.address()))]);
        let NetEvent::Stranger { device: who, .. } = device.said().await else {
            panic!("nobody came");
        };
        assert_eq!(who, identity.device());
        other.configure(Vec::new());
        // As a server.
        let address = other.listening()[0].clone();
        device.net.configure(vec![peer(who, Some(address))]);
        while !matches!(device.said().await, NetEvent::Up { .. }) {}
    }
}

#[tokio::test]
async fn somebody_without_one_good_certificate() {
    let device = Device::new("d").await;
    let hello = Hello::default().encode();
    let mut device = device;
    let homes = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let san = ["-addext", "subjectAltName=DNS:syncthing"];
    certificate(homes[0].path(), &["ed25519"], "/CN=syncthing", &[]);
    certificate(homes[1].path(), &["ed25519"], "/CN=somebody", &[]);
    certificate(homes[2].path(), &["ed25519"], "/CN=somebody", &san);
    let good = files(homes[0].path());
    let chain = |home: &TempDir| {
        let all = files(home.path());
        let second = homes[1].path().join("cert.pem").display().to_string();
        [all, vec!["-cert_chain".to_owned(), second]].concat()
    };
    let old = [good.clone(), vec!["-tls1_2".to_owned()]].concat();
    let cases = [
        ("a good one", good, true),
        ("by another name", files(homes[2].path()), true),
        ("the wrong name", files(homes[1].path()), false),
        ("none: certificate required", Vec::new(), false),
        ("two: access denied", chain(&homes[0]), false),
        ("TLS 1.2: protocol version", old, false),
    ];
    for (what, arguments, is_good) in cases {
        let (greeted, errors) = s_client(device.socket(), arguments, hello.clone()).await;
        assert_eq!(greeted, is_good, "{what}: {errors}");
        let (_, alert) = what.split_once(": ").unwrap_or_default();
        assert!(errors.contains(alert), "{what}: {errors}");
        let event = timeout(SHORT, device.said()).await;
        assert_eq!(event.is_ok(), is_good, "{what}: {event:?}");
    }
}

#[tokio::test]
async fn garbage_and_silence() {
    let mut quick = settings("d");
    quick.limits.tls = Duration::from_secs(1);
    quick.limits.hello = Duration::from_secs(1);
    quick.limits.handshakes = 2;
    let mut device = Device::with(quick).await;
    let address = device.socket();
    let talk = move |words: Vec<u8>| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&words).unwrap();
        let mut said = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut said);
    };
    let http = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    for words in [http.clone(), vec![0xff; 20_000]] {
        tokio::task::spawn_blocking(move || talk(words))
            .await
            .unwrap();
    }
    // More of them than may greet at once, and none of them says anything: somebody who does comes in nevertheless.
    let silent: Vec<TcpStream> = (0..5)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let (good, begin) = (Device::new("good").await, Instant::now());
    good.net
        .configure(vec![peer(device.id(), Some(device.address()))]);
    assert!(matches!(device.said().await, NetEvent::Stranger { .. }));
    assert!(begin.elapsed() > Duration::from_secs(1), "nobody waited");
    good.net.stop().await;
    drop(silent);
    // TLS, but no greeting; a wrong one.
    let home = tempfile::tempdir().unwrap();
    certificate(home.path(), &["ed25519"], "/CN=syncthing", &[]);
    for words in [Vec::new(), http] {
        let begin = Instant::now();
        s_client(address, files(home.path()), words).await;
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert!(device.is_quiet(SHORT).await);
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let mut quick = settings("d");
    quick.limits.tls = Duration::from_millis(300);
    let device = Device::with(quick).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", server.local_addr().unwrap());
    device
        .net
        .configure(vec![peer(DeviceId([1; 32]), Some(address.clone()))]);
    let (_held, _) = timeout(PATIENCE, server.accept()).await.unwrap().unwrap();
    sleep(SHORT).await;
    let status = device.net.status().peers.remove(0);
    assert_eq!(status.tried, [(address, "TLS took too long".to_owned())]);
    assert_eq!(status.connected, None);
}

#[test]
fn an_identity_is_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let missing = Identity::load(home.path()).unwrap_err();
    assert_eq!(missing.code(), Code::FileMissing);
    let made = netkit::identity(&home);
    let loaded = Identity::load(home.path()).unwrap();
    assert_eq!(loaded.device(), made.device());
    let key = home.path().join("key.pem");
    let permissions = std::fs::metadata(&key).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let secret = std::fs::read(&key).unwrap();
    assert!(!format!("{made:?}").contains("key"));
    let now = Timestamp::default();
    let again = Identity::create(home.path(), now, &SystemRandom).unwrap_err();
    assert_eq!(again.code(), Code::FileExists);
    // A stop between key and certificate: the key stays.
    std::fs::remove_file(home.path().join("cert.pem")).unwrap();
    let other = netkit::identity(&home);
    assert_ne!(other.device(), made.device());
    assert_eq!(std::fs::read(&key).unwrap(), secret);
    // Files that do not belong together, or are none.
    let second = tempfile::tempdir().unwrap();
    netkit::identity(&second);
    let taken = std::fs::read(second.path().join("cert.pem")).unwrap();
    #[allow(clippy::disallowed_methods)] // a file of a test
    for wrong in [taken, b"nonsense".to_vec()] {
        std::fs::write(home.path().join("cert.pem"), wrong).unwrap();
        let error = Identity::load(home.path()).unwrap_err();
        assert_eq!(error.code(), Code::Damaged, "{error:?}");
    }
}

#[test]
fn a_certificate_says_what_those_of_syncthing_say() {
    let home = tempfile::tempdir().unwrap();
    netkit::identity(&home);
    let done = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(home.path().join("cert.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    for wanted in [
        "Signature Algorithm: ED25519",
        "Subject: O = Syncthing, OU = Automatically Generated, CN = syncthing",
        "Not Before: May 28 00:00:00 2026 GMT",
        "Not After : May 23 00:00:00 2046 GMT",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "DNS:syncthing",
        "CA:FALSE",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let key = Command::new("openssl")
        .args(["pkey", "-noout", "-text", "-in"])
        .arg(home.path().join("key.pem"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&key.stdout).contains("ED25519 Private-Key"));
}

#[tokio::test]
async fn places_that_cannot_be_listened_on() {
    let home = tempfile::tempdir().unwrap();
    let identity = netkit::identity(&home);
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = format!("tcp://{}", held.local_addr().unwrap());
    for (listen, code) in [
        ("quic://127.0.0.1:0", Code::InvalidArgument),
        ("dynamic", Code::InvalidArgument),
        ("127.0.0.1:0", Code::InvalidArgument),
        (&taken, Code::Io),
    ] {
        let settings = Settings {
            listen: vec![listen.to_owned()],
            ..settings("d")
        };
        let (sender, _events) = tokio::sync::mpsc::channel(8);
        let error = obhut_syncd::net::Net::start(&identity, settings, sender)
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{listen}: {error:?}");
    }
    drop(held);
}
