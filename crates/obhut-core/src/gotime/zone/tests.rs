use super::*;

/// Europe/Berlin, compiled from the public-domain tz database.
const BERLIN: &[u8] = include_bytes!("../../../testdata/berlin.tzif");

/// (seconds, nanoseconds, offset, text after restic's clamping of years): printed by Go 1.26 with `TZ=Europe/Berlin`.
const CASES: [(i64, u32, i32, &str); 22] = [
    (0, 0, 3600, "1970-01-01T01:00:00+01:00"),
    (
        1_700_000_000,
        123_456_789,
        3600,
        "2023-11-14T23:13:20.123456789+01:00",
    ),
    (
        1_720_000_000,
        100,
        7200,
        "2024-07-03T11:46:40.0000001+02:00",
    ),
    (
        1_711_846_799,
        999_999_999,
        3600,
        "2024-03-31T01:59:59.999999999+01:00",
    ),
    (1_711_846_800, 0, 7200, "2024-03-31T03:00:00+02:00"),
    (
        1_729_990_799,
        5,
        7200,
        "2024-10-27T02:59:59.000000005+02:00",
    ),
    (
        1_729_990_800,
        500_000_000,
        3600,
        "2024-10-27T02:00:00.5+01:00",
    ),
    (-2_422_054_409, 0, 3208, "1893-03-31T23:59:59+00:53"),
    (-2_422_054_408, 0, 3600, "1893-04-01T00:06:32+01:00"),
    (
        -5_000_000_000,
        1,
        3208,
        "1811-07-23T16:00:08.000000001+00:53",
    ),
    (-62_167_219_200, 0, 3208, "0000-01-01T00:53:28+00:53"),
    (-99_999_999_999, 0, 3208, "0000-02-15T15:06:49+00:53"),
    (-1, 999_000_000, 3600, "1970-01-01T00:59:59.999+01:00"),
    (4_102_444_800, 0, 3600, "2100-01-01T01:00:00+01:00"),
    (16_725_225_599, 0, 3600, "2500-01-01T00:59:59+01:00"),
    (20_000_000_000, 0, 7200, "2603-10-11T13:33:20+02:00"),
    (20_010_000_000, 0, 3600, "2604-02-04T06:20:00+01:00"),
    (253_402_300_800, 0, 3600, "9999-01-01T01:00:00+01:00"),
    (
        300_000_000_000,
        7,
        7200,
        "9999-08-15T07:20:00.000000007+02:00",
    ),
    (
        309_000_000_000,
        7,
        3600,
        "9999-10-26T22:20:00.000000007+02:00",
    ),
    (951_782_400, 0, 3600, "2000-02-29T01:00:00+01:00"),
    (320_000_000_000, 0, 7200, "9999-05-25T18:53:20+02:00"),
];

#[test]
fn offsets_and_texts_are_gos() {
    let zone = LocalZone::from_tzif(BERLIN).unwrap();
    for (secs, nanos, offset, text) in CASES {
        let time = zone.at(Timestamp { secs, nanos });
        let mut out = Vec::new();
        time.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        // The offset at the instant itself, before the year is clamped.
        assert_eq!(zone.offset(secs), offset, "{text}");
        assert_eq!(
            GoTime::parse(text).map(|read| read.at.secs + i64::from(read.offset)),
            Some(time.at.secs + i64::from(time.offset))
        );
    }
}

#[test]
fn extremes_have_an_offset() {
    let zone = LocalZone::from_tzif(BERLIN).unwrap();
    for secs in [i64::MIN, i64::MAX, -1 << 60, 1 << 60, HORIZON, HORIZON + 1] {
        let time = zone.at(Timestamp { secs, nanos: 0 });
        assert!(time.offset.abs() < 86_400);
        time.write(&mut Vec::new());
    }
}

#[test]
fn the_table_says_what_the_library_says() {
    let zone = LocalZone::from_tzif(BERLIN).unwrap();
    let library = TimeZone::tzif("Local", BERLIN).unwrap();
    for step in -4000..4000 {
        let secs = step * 4_000_037;
        assert_eq!(zone.offset(secs), offset_of(&library, representable(secs)));
    }
}

#[test]
fn tz_is_read_as_go_reads_it() {
    let paths = |tz: &str| candidates(Some(OsStr::new(tz)));
    assert_eq!(candidates(None), [Path::new("/etc/localtime")]);
    for utc in ["", ":", "UTC", ":UTC"] {
        assert!(paths(utc).is_empty(), "{utc}");
    }
    assert_eq!(paths(":/a/b"), [Path::new("/a/b")]);
    assert_eq!(paths("/a/b"), [Path::new("/a/b")]);
    assert_eq!(
        paths("Europe/Berlin")[0],
        Path::new("/usr/share/zoneinfo/Europe/Berlin")
    );
}

#[test]
fn a_strange_file_is_no_zone() {
    assert!(LocalZone::from_tzif(b"not a zone").is_none());
    assert!(LocalZone::from_tzif(&BERLIN[..BERLIN.len() / 2]).is_none());
    assert!(LocalZone::from_file(Path::new("/dev/zero")).is_none());
    assert!(LocalZone::from_file(Path::new("/usr/share")).is_none());
}

#[test]
fn fingerprints_differ_by_zone() {
    let berlin = LocalZone::from_tzif(BERLIN).unwrap();
    assert_ne!(berlin.fingerprint(), LocalZone::utc().fingerprint());
    assert_eq!(
        berlin.fingerprint(),
        LocalZone::from_tzif(BERLIN).unwrap().fingerprint()
    );
}
