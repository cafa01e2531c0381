use proptest::prelude::*;

use super::*;
use crate::crypto::tests::{unhex, vector_key};
use crate::id::Id;
use crate::job::Job;
use crate::world::SystemRandom;

/// The mini repository's key file (formats: restic 25.1); its password is `obhut`.
const FILE: &str = concat!(
    r#"{"created":"2026-01-02T03:04:05.6Z","username":"u","hostname":"h","kdf":"scrypt","N":16384,"r":8,"p":1,"#,
    r#""salt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==","#,
    r#""data":"AAAAAAAAAAAAAAAAAAAABZDQns5Q955f6a0TRPWbFUZ35hxF5B0AFax+JpxytpA9pIMpZ6sfCD1F71DlLcTzrSl1hwg0+XyWC1Dlo"#,
    r#"FCQP0t0OBHicxAUuiLPtFYYH8wWRvbDgoHqOXL3EjpFW13n0h/jlTzjmfCQjK1hLCbJK54yODyniJFIMX3wBgp7as7evfgBGQ1P2kG0tZabvkNTmg=="}"#,
);
const NAME: &str = "e84d646700be7477372152d2e1f14aca02fca341e85316de9c989ef54f56a076";

/// Randomness of the mini repository: the salt counts up, the IV is 5.
struct Mini;

impl Random for Mini {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() == SALT {
            bytes
                .iter_mut()
                .zip(0..)
                .for_each(|(byte, value)| *byte = value);
        } else {
            bytes.fill(0);
            bytes[15] = 5;
        }
        Ok(())
    }
}

fn who(username: &str, hostname: &str) -> Identity {
    Identity {
        username: username.to_owned(),
        hostname: hostname.to_owned(),
    }
}

const CHEAP: ScryptParams = ScryptParams { n: 2, r: 8, p: 1 };

fn error(bytes: &str) -> Error {
    let error = KeyFile::parse("key x", bytes.as_bytes()).expect_err("refused");
    assert_eq!(error.object(), "key x");
    error
}

#[test]
fn opens_the_mini_repositorys_key() {
    assert_eq!(Id::of(FILE.as_bytes()).hex(), NAME);
    let file = KeyFile::parse("key x", FILE.as_bytes()).expect("parsed");
    assert_eq!(
        (&*file.created, &*file.username, &*file.hostname),
        ("2026-01-02T03:04:05.6Z", "u", "h")
    );
    assert_eq!(
        file.params(),
        ScryptParams {
            n: 1 << 14,
            r: 8,
            p: 1
        }
    );
    let master = file
        .open(b"obhut", &Control::default())
        .expect("no error")
        .expect("fits");
    assert!(master.same_as(&vector_key()));
    assert!(
        file.open(b"obhut ", &Control::default())
            .expect("no error")
            .is_none()
    );
    assert!(
        file.open(b"", &Control::default())
            .expect("no error")
            .is_none()
    );
}

#[test]
fn derives_as_scrypt_does() {
    let salt = std::array::from_fn(|i| i as u8);
    let key = derive(
        b"obhut",
        &salt,
        ScryptParams {
            n: 1 << 14,
            r: 8,
            p: 1,
        },
        &Control::default(),
    )
    .expect("derived")
    .expect("a key");
    let parts = key.parts();
    assert_eq!(
        [&parts.encrypt[..], &parts.mac_k, &parts.mac_r].concat(),
        unhex(
            "861228f780fa506e1c69f0bf909a7f36eefc605ce857faf987702ef7e70a4284\
             19a9c82e52d40025065041e73b3d3ad227f9c54b2090861120f94b167af27ce3"
        )
    );
}

#[test]
fn creates_the_mini_repositorys_key() {
    let created = Timestamp {
        secs: 1_767_323_045,
        nanos: 600_000_000,
    };
    let params = ScryptParams {
        n: 1 << 14,
        r: 8,
        p: 1,
    };
    let bytes = KeyFile::create(
        &vector_key(),
        b"obhut",
        params,
        &who("u", "h"),
        created,
        &Mini,
        &Control::default(),
    )
    .expect("created");
    assert_eq!(String::from_utf8(bytes).expect("JSON"), FILE);
}

#[test]
fn the_master_keys_json() {
    let json = master_json(&vector_key());
    let text = std::str::from_utf8(&json).expect("JSON");
    assert_eq!(
        text,
        r#"{"mac":{"k":"702IJMuAsrzF+/+KmxKkLA==","r":"zI1LlI7g6/4dQV3pIdEDUw=="},"encrypt":"MD6Gh7HX2xhCG9xruFiMytrE1Z7oe4/3DETmNXkMr+8="}"#
    );
    assert_eq!(json.capacity(), 256);
    assert!(parse_master(&json).expect("parsed").same_as(&vector_key()));
    for wrong in [
        "",
        "{}",
        "null",
        &text.replace("702IJ", "702I"),
        &text.replace("MD6G", "MD6GMD6G"),
    ] {
        assert!(parse_master(wrong.as_bytes()).is_none(), "{wrong}");
    }
    let zero = r#"{"mac":{"k":"AAAAAAAAAAAAAAAAAAAAAA==","r":"zI1LlI7g6/4dQV3pIdEDUw=="},"encrypt":"MD6Gh7HX2xhCG9xruFiMytrE1Z7oe4/3DETmNXkMr+8="}"#;
    assert!(parse_master(zero.as_bytes()).is_none());
}

#[test]
fn parameters_are_bounded() {
    let with = |n: &str, r: &str, p: &str| {
        let text = FILE.replace(
            r#""N":16384,"r":8,"p":1"#,
            &format!(r#""N":{n},"r":{r},"p":{p}"#),
        );
        assert_ne!(text, FILE);
        text
    };
    for (n, r, p) in [
        ("0", "8", "1"),
        ("1", "8", "1"),
        ("16385", "8", "1"),
        ("16384", "0", "1"),
        ("16384", "8", "0"),
    ] {
        assert_eq!(error(&with(n, r, p)).code(), Code::Damaged, "{n} {r} {p}");
    }
    for (n, r, p) in [
        ("1048576", "8", "1"),
        ("9223372036854775808", "4294967295", "4294967295"),
        ("2", "4294967295", "1"),
        ("16384", "8", "4294967295"),
        ("32768", "8", "1000000"),
        ("2", "8", "1048576"),
    ] {
        assert_eq!(
            error(&with(n, r, p)).code(),
            Code::LimitExceeded,
            "{n} {r} {p}"
        );
    }
    for (n, r, p) in [
        ("-1", "8", "1"),
        ("1e3", "8", "1"),
        ("18446744073709551616", "8", "1"),
        ("\"2\"", "8", "1"),
    ] {
        assert_eq!(error(&with(n, r, p)).code(), Code::Damaged, "{n} {r} {p}");
    }
    // What other programs write (restic's fixture among them), our most, and the most that is accepted.
    for (n, r, p) in [
        ("65536", "8", "1"),
        ("131072", "8", "1"),
        ("32768", "8", "16"),
        ("524288", "8", "16"),
    ] {
        KeyFile::parse("key x", with(n, r, p).as_bytes()).expect("accepted");
    }
}

#[test]
fn malformed_files_are_refused() {
    for cut in 0..FILE.len() {
        assert_eq!(error(&FILE[..cut]).code(), Code::Damaged);
    }
    assert_eq!(
        error(&FILE.replace("scrypt", "argon2")).code(),
        Code::RepositoryUnsupported
    );
    assert_eq!(
        error(&FILE.replace("AAECAwQ", "AAECAw")).code(),
        Code::Damaged
    );
    assert_eq!(error(&FILE.replace("AAECAwQF", "")).code(), Code::Damaged);
    assert_eq!(
        error(&format!("{FILE}{}", " ".repeat(MAX_FILE))).code(),
        Code::LimitExceeded
    );
    let short = FILE.find(r#""data":""#).expect("there") + 8;
    assert_eq!(
        error(&format!("{}AAAA\"}}", &FILE[..short])).code(),
        Code::Damaged
    );
    let unknown = FILE.replace(r#""kdf""#, r#""later":[1],"kdf""#);
    KeyFile::parse("key x", unknown.as_bytes()).expect("unknown keys are ignored");
}

#[test]
fn authentic_nonsense_is_damage_not_a_wrong_password() {
    let salt = std::array::from_fn(|i| i as u8);
    let user = derive(b"p", &salt, CHEAP, &Control::default())
        .expect("derived")
        .expect("a key");
    let mut data = Vec::new();
    user.seal(&SystemRandom, b"{\"mac\":{}}", &mut data)
        .expect("sealed");
    let file = KeyFile {
        created: String::new(),
        username: String::new(),
        hostname: String::new(),
        object: "key x".to_owned(),
        params: CHEAP,
        salt,
        data,
    };
    assert_eq!(
        file.open(b"p", &Control::default())
            .err()
            .expect("refused")
            .code(),
        Code::Damaged
    );
    assert!(
        file.open(b"q", &Control::default())
            .expect("no error")
            .is_none()
    );
}

#[test]
fn a_cancel_does_not_wait_for_an_expensive_key() {
    // About half a minute, the most that is accepted.
    let dear = ScryptParams {
        n: 1 << 16,
        r: 8,
        p: 128,
    };
    dear.check("key x").expect("accepted");
    let job = Job::start("t", Control::new(), move |control| {
        derive(b"p", &[0; SALT], dear, control).map(drop)
    });
    let job = job.expect("started");
    assert!(!job.wait(Duration::from_millis(100)));
    job.control().cancel();
    assert!(job.wait(Duration::from_secs(2)));
    assert_eq!(job.join().expect_err("cancelled").code(), Code::Cancelled);
}

#[test]
fn calibrating_keeps_its_bounds() {
    let passes = |millis| ScryptParams::for_speed(Duration::from_millis(millis));
    assert_eq!(passes(0).p, MAX_PASSES);
    assert_eq!(passes(80).p, 6);
    assert_eq!(passes(500).p, 1);
    assert_eq!(passes(60_000), ScryptParams::FLOOR);
    let (memory, _) = passes(0).cost().expect("no overflow");
    assert!(memory <= 60 << 20);
    let here = ScryptParams::calibrate();
    assert!(here.p >= 1 && here.n == 1 << 15);
    here.check("new key").expect("what we choose we accept");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(password: Vec<u8>, username in "\\PC{0,20}", hostname: String) {
        let master = Key::random(&SystemRandom).expect("randomness");
        let bytes =
            KeyFile::create(&master, &password, CHEAP, &who(&username, &hostname), Timestamp::default(), &SystemRandom, &Control::default())
                .expect("created");
        let file = KeyFile::parse("key x", &bytes).expect("parsed");
        prop_assert_eq!((&file.username, &file.hostname), (&username, &hostname));
        prop_assert_eq!(&file.created, "1970-01-01T00:00:00Z");
        prop_assert!(file.open(&password, &Control::default()).expect("no error").expect("fits").same_as(&master));
        let other = [&password[..], b"x"].concat();
        prop_assert!(file.open(&other, &Control::default()).expect("no error").is_none());
    }
}
