use proptest::prelude::*;

use super::*;

fn text(time: GoTime) -> String {
    let mut out = Vec::new();
    time.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn parsed(text: &str) -> Option<(i64, u32, i32)> {
    GoTime::parse(text).map(|time| (time.at.secs, time.at.nanos, time.offset))
}

/// Expected values: what Go 1.26 makes of the same texts.
#[test]
fn parses_what_go_parses() {
    assert_eq!(parsed("2020-02-29T00:00:00Z"), Some((1_582_934_400, 0, 0)));
    assert_eq!(
        parsed("2020-01-01T00:00:00+00:00"),
        Some((1_577_836_800, 0, 0))
    );
    assert_eq!(
        parsed("2020-01-01T00:00:00.1234567891+01:30"),
        Some((1_577_831_400, 123_456_789, 5400))
    );
    assert_eq!(
        parsed("0000-01-01T00:00:00-23:59"),
        Some((-62_167_132_860, 0, -86_340))
    );
    for bad in [
        "",
        "2020",
        "2021-02-29T00:00:00Z",
        "2020-01-01T00:00:60Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:00:00.Z",
        "2020-01-01t00:00:00Z",
        "2020-01-01T00:00:00z",
        "2020-01-01T00:00:00+0100",
        "2020-01-01T00:00:00",
        "2020-13-01T00:00:00Z",
        "2020-1-01T00:00:00Z",
        "2020-00-01T00:00:00Z",
        "2020-01-00T00:00:00Z",
        "2020-01-01T00:00:00+01:60",
        "2020-01-01T00:00:00ZZ",
        "äääääääääääääääääääääääää",
        "+020-01-01T00:00:00Z",
    ] {
        assert_eq!(parsed(bad), None, "{bad:?}");
    }
}

#[test]
fn zero_offset_is_always_z() {
    assert_eq!(
        text(GoTime::parse("2020-01-01T00:00:00+00:00").unwrap()),
        "2020-01-01T00:00:00Z"
    );
    assert_eq!(text(GoTime::ZERO), "0001-01-01T00:00:00Z");
}

#[test]
fn a_leap_day_that_the_last_year_lacks_is_the_first_of_march() {
    assert_eq!(clamp_year((12_000, 2, 29)), (9999, 3, 1));
    assert_eq!(clamp_year((-4, 2, 29)), (0, 2, 29));
    assert_eq!(clamp_year((2024, 2, 29)), (2024, 2, 29));
}

#[test]
fn wall_is_local() {
    let time = GoTime::parse("2023-11-14T23:13:20+01:00").unwrap();
    assert_eq!(time.wall(), (2023, 11, 14, 23, 13, 20));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn written_times_read_back(
        secs in -62_167_000_000i64..253_402_000_000,
        nanos in prop_oneof![0u32..1_000_000_000, (0u32..1000).prop_map(|n| n * 1_000_000), Just(0)],
        minutes in -1439i32..1440,
    ) {
        let time = GoTime { at: Timestamp { secs, nanos }, offset: minutes * 60 };
        prop_assert_eq!(GoTime::parse(&text(time)), Some(time));
    }

    #[test]
    fn dates_and_days_are_inverse(day in -800_000i64..3_000_000) {
        let (year, month, of_month) = civil(day);
        prop_assert_eq!(days(year, month, of_month), day);
        prop_assert!(of_month <= month_length(year, month));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,40}") {
        let _ = GoTime::parse(&text);
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(64)
}
