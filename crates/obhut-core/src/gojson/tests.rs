use proptest::prelude::*;

use super::*;

fn json(text: &[u8]) -> String {
    let mut out = Vec::new();
    write_string(text, &mut out);
    String::from_utf8(out).unwrap()
}

fn quoted(name: &[u8]) -> String {
    let mut out = Vec::new();
    quote(name, &mut out);
    String::from_utf8(out).unwrap()
}

/// Expected values: printed by Go 1.26 (`json.Marshal` of a string).
#[test]
fn json_strings_are_gos() {
    assert_eq!(json(b""), r#""""#);
    assert_eq!(json(b"a\"b\\c/d"), r#""a\"b\\c/d""#);
    assert_eq!(json(b"<a>&b"), r#""\u003ca\u003e\u0026b""#);
    assert_eq!(
        json(b"\x00\x08\x0c\n\r\t\x0b\x1f\x7f"),
        "\"\\u0000\\b\\f\\n\\r\\t\\u000b\\u001f\x7f\""
    );
    assert_eq!(
        json("\u{2027}\u{2028}\u{2029}\u{a0}\u{fffd}".as_bytes()),
        "\"\u{2027}\\u2028\\u2029\u{a0}\u{fffd}\""
    );
    assert_eq!(
        json(b"\xff\xe2\x82x\xed\xa0\x80\xc0\x80"),
        r#""\ufffd\ufffd\ufffdx\ufffd\ufffd\ufffd\ufffd\ufffd""#
    );
}

/// Expected values: printed by Go 1.26 (`strconv.Quote`).
#[test]
fn quoting_is_gos() {
    assert_eq!(quoted(b"a\"b\\\xff"), r#"a\"b\\\xff"#);
    assert_eq!(quoted(b"'\x07\x08\x0c\n\r\t\x0b"), r"'\a\b\f\n\r\t\v");
    assert_eq!(quoted(b"\x00\x1f\x7f "), r"\x00\x1f\x7f ");
    assert_eq!(
        quoted("\u{80}\u{a0}\u{ad}\u{200b}\u{feff}\u{e000}\u{202e}".as_bytes()),
        r"\u0080\u00a0\u00ad\u200b\ufeff\ue000\u202e"
    );
    assert_eq!(
        quoted("\u{10ffff}\u{f0000}\u{1f600}\u{fffd}äß漢\u{301}".as_bytes()),
        "\\U0010ffff\\U000f0000\u{1f600}\u{fffd}äß漢\u{301}"
    );
    assert_eq!(
        quoted(b"\xe2\x82x\xed\xa0\x80\xf4\x90\x80\x80"),
        r"\xe2\x82x\xed\xa0\x80\xf4\x90\x80\x80"
    );
}

#[test]
fn a_name_is_quoted_and_then_encoded() {
    let mut out = Vec::new();
    write_name(b"a\"b\\\xff", &mut Vec::new(), &mut out);
    assert_eq!(out, br#""a\\\"b\\\\\\xff""#);
    out.clear();
    write_name(b"plain name.txt", &mut vec![1], &mut out);
    assert_eq!(out, br#""plain name.txt""#);
}

#[test]
fn unquote_takes_what_go_takes() {
    let cases: [(&str, Option<&[u8]>); 17] = [
        ("", Some(b"")),
        (r"\x41\xFF\377\000", Some(b"A\xff\xff\x00")),
        (r"\u00e4\U0001F600", Some("ä😀".as_bytes())),
        (r#"\"\\"#, Some(b"\"\\")),
        ("ä'\r", Some("ä'\r".as_bytes())),
        (r"\'", None),
        ("\"", None),
        ("a\nb", None),
        (r"\", None),
        (r"\x4", None),
        (r"\x+4", None),
        (r"\400", None),
        (r"\18", None),
        (r"\u12", None),
        (r"\ud800", None),
        (r"\U00110000", None),
        (r"\q", None),
    ];
    for (text, expected) in cases {
        assert_eq!(unquote(text).as_deref(), expected, "{text:?}");
    }
}

/// Spot checks against Go 1.26, both sides of boundaries, and the number of printable code points.
#[test]
fn printable_is_what_go_prints() {
    for c in [
        ' ',
        '~',
        '¡',
        '®',
        'ÿ',
        'ʹ',
        '\u{300}',
        '漢',
        '가',
        '😀',
        '\u{fffd}',
        '\u{e01ef}',
        '\u{31350}',
    ] {
        assert!(is_print(c), "{c:?}");
    }
    for c in [
        '\0',
        '\u{1f}',
        '\u{7f}',
        '\u{80}',
        '\u{a0}',
        '\u{ad}',
        '\u{378}',
        '\u{2000}',
        '\u{2028}',
        '\u{3000}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{fffe}',
        '\u{e01f0}',
        '\u{10ffff}',
    ] {
        assert!(!is_print(c), "{c:?}");
    }
    let printable = (0..=0x0010_ffff)
        .filter_map(char::from_u32)
        .filter(|&c| is_print(c));
    assert_eq!(printable.count(), PRINTABLE);
    assert!(isprint::BOUNDARIES.is_sorted_by(|a, b| a < b));
}

/// Counted with Go 1.26.
const PRINTABLE: usize = 148_998;

#[test]
fn display_escapes_only_when_needed() {
    assert_eq!(display("a \"b\" \\ ä".as_bytes()), "a \"b\" \\ ä");
    assert_eq!(display(b"a\"\x1b[31m"), r#"a\"\x1b[31m"#);
    assert_eq!(display("x\u{202e}y\\".as_bytes()), r"x\u202ey\\");
    assert_eq!(display(b"\xff\n"), r"\xff\n");
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(
            prop::sample::select(b"\"\\\n\x7f<&\xc3\xa4\xe2\x80\xa8x".as_slice()),
            0..20
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn quoting_loses_nothing(name in bytes()) {
        prop_assert_eq!(unquote(&quoted(&name)), Some(name));
    }

    #[test]
    fn json_reads_back_with_replacements(text in bytes()) {
        let read: String = serde_json::from_str(&json(&text)).unwrap();
        // Each byte that belongs to no code point becomes one U+FFFD.
        let mut expected = String::new();
        for chunk in text.utf8_chunks() {
            expected.push_str(chunk.valid());
            expected.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
        }
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn names_read_back(name in bytes()) {
        let mut out = Vec::new();
        write_name(&name, &mut Vec::new(), &mut out);
        let read: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(unquote(&read), Some(name));
    }

    #[test]
    fn display_is_printable(name in bytes()) {
        prop_assert!(display(&name).chars().all(is_print));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(64)
}
