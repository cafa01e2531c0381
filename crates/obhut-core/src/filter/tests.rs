use proptest::prelude::*;

use super::*;

fn list(patterns: &[&str], ignore_case: bool) -> PatternList {
    let patterns: Vec<Vec<u8>> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
    PatternList::parse(&patterns, ignore_case).expect("pattern parses")
}

fn matched(pattern: &str, path: &str) -> bool {
    list(&[pattern], false).matches(path.as_bytes()).matched
}

fn child(pattern: &str, path: &str) -> bool {
    list(&[pattern], false)
        .matches(path.as_bytes())
        .child_may_match
}

/// Observed with restic 0.19 (`backup --dry-run -vv --exclude …`).
#[test]
fn patterns_match_as_observed() {
    for (pattern, path, expected) in [
        ("*.go", "/foo/bar/test.go", true),
        ("*.go", "/foo/test.go/sub", true),
        ("*.go", "/foo/test.c", false),
        ("foo", "/a/foo/b", true),
        ("foo", "/a/food/b", false),
        ("foo/", "/a/foo", true),
        ("./foo//bar/", "/x/foo/bar/y", true),
        ("foo/bar", "/foo/x/bar", false),
        ("/foo", "/foo/x", true),
        ("/foo", "/x/foo", false),
        ("/", "/", true),
        ("/", "/anything/below", true),
        ("*", "/a", true),
        ("*", "/", false),
        ("/*", "/a/b", true),
        ("/*/b", "/a/b", true),
        ("/**", "/a", true),
        ("**", "/a", true),
        ("/a/**/z", "/a/z", true),
        ("/a/**/z", "/a/b/c/z", true),
        ("/a/**/z", "/b/z", false),
        ("/a/**/z", "/a/b/c/z/more", true),
        ("a/**/z", "/r/a/b/z", true),
        ("/a/**/b/**/c", "/a/x/b/c", false),
        ("/a/**/b/**/c", "/a/x/b/y/c", true),
        (
            "user/**/important*",
            "/home/user/work/a/b/important.txt",
            true,
        ),
        ("foo?", "/foob", true),
        ("foo?", "/foo", false),
        ("foo?", "/foo\u{e9}", true),
        ("[a-c]x", "/bx", true),
        ("[^a-c]x", "/bx", false),
        ("[\\]]x", "/]x", true),
        ("\\*", "/*", true),
        ("\\*", "/a", false),
        ("a*b*c", "/aXbbYc", true),
        ("a*b*c", "/aXbbY", false),
        ("*]", "/x]", true),
    ] {
        assert_eq!(matched(pattern, path), expected, "{pattern} on {path}");
    }
}

#[test]
fn children_may_match_as_observed() {
    for (pattern, path, expected) in [
        ("/foo/bar", "/foo", true),
        ("/foo/bar", "/fox", false),
        ("/foo/bar", "/", true),
        ("/foo/*.c", "/foo", true),
        ("/foo/**/x", "/foo/a/b", true),
        ("/foo/**/x", "/bar", false),
        ("foo", "/any/where", true),
        ("/foo/bar", "/foo/bar/below", true),
    ] {
        assert_eq!(child(pattern, path), expected, "{pattern} on {path}");
    }
}

#[test]
fn bytes_that_are_no_text_match_as_one_character() {
    let patterns = PatternList::parse(&[b"a?b".to_vec()], false).unwrap();
    assert!(patterns.matches(b"/a\xffb").matched);
    let exact = PatternList::parse(&[b"a\xffb".to_vec()], false).unwrap();
    assert!(exact.matches(b"/a\xffb").matched);
    assert!(!exact.matches(b"/a\xfeb").matched);
    // Lower-casing turns any invalid byte into U+FFFD, as Go does.
    let folded = PatternList::parse(&[b"A\xffb".to_vec()], true).unwrap();
    assert!(folded.matches(b"/a\xfeB").matched);
}

#[test]
fn case_is_ignored_on_demand() {
    assert!(!matched("*.JPG", "/a.jpg"));
    assert!(list(&["*.JPG"], true).matches(b"/a.jpg").matched);
    assert!(list(&["*.jpg"], true).matches(b"/A.JPG").matched);
    assert!(
        list(&["\u{c4}*"], true)
            .matches("/\u{e4}x".as_bytes())
            .matched
    );
}

#[test]
fn negation_takes_back_and_order_counts() {
    let patterns = list(&["/home/**/*.c", "!keep.c"], false);
    assert!(patterns.matches(b"/home/a/x.c").matched);
    assert!(!patterns.matches(b"/home/a/keep.c").matched);
    let reversed = list(&["!keep.c", "*.c"], false);
    assert!(reversed.matches(b"/keep.c").matched);
}

#[test]
fn malformed_patterns_are_refused() {
    for pattern in ["[", "a[", "[]", "[]a]", "[a-]", "[a", "\\", "x/[/y", "[\\"] {
        let error = PatternList::parse(&[pattern.as_bytes().to_vec()], false).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{pattern}");
    }
    assert!(PatternList::parse(&[b"[\xff]".to_vec()], false).is_err());
}

#[test]
fn empty_lists_patterns_and_paths_match_nothing() {
    assert_eq!(list(&[], false).matches(b"/a"), Match::default());
    assert_eq!(list(&[""], false).matches(b"/a"), Match::default());
    assert_eq!(list(&["*"], false).matches(b""), Match::default());
}

#[test]
fn clean_follows_go() {
    for (path, expected) in [
        ("", "."),
        ("/", "/"),
        ("//a//b/", "/a/b"),
        ("/../a", "/a"),
        ("../a/../..", "../.."),
        ("a/..", "."),
        ("./a/./b", "a/b"),
    ] {
        assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
    }
}

/// The shortest reference there is: does the pattern match the path or a parent, by plain recursion.
fn reference_component(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            reference_component(&pattern[1..], name)
                || (!name.is_empty() && reference_component(pattern, &name[1..]))
        }
        (Some(b'?'), Some(_)) => reference_component(&pattern[1..], &name[1..]),
        (Some(p), Some(n)) => p == n && reference_component(&pattern[1..], &name[1..]),
        _ => false,
    }
}

fn reference_parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.first(), path.first()) {
        (None, _) => true,
        (Some(&"**"), _) => {
            reference_parts(&pattern[1..], path)
                || (!path.is_empty() && reference_parts(pattern, &path[1..]))
        }
        (Some(p), Some(n)) => {
            reference_component(p.as_bytes(), n.as_bytes())
                && reference_parts(&pattern[1..], &path[1..])
        }
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// At most one `**` between other components: there restic's rule and the plain meaning agree.
    #[test]
    fn equals_the_reference(
        anchored: bool,
        parts in prop::collection::vec("[ab*?]{1,3}", 1..4),
        wild in prop::option::of(0usize..4),
        path in prop::collection::vec("[ab]{1,3}", 1..6),
    ) {
        let mut parts: Vec<String> = parts.into_iter().map(|p| if p == "**" || p == "***" { "*".into() } else { p }).collect();
        if let Some(at) = wild
            && at > 0 && at < parts.len() {
            parts.insert(at, "**".to_owned());
        }
        let pattern: Vec<&str> = parts.iter().map(String::as_str).collect();
        let components: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = format!("{}{}", if anchored { "/" } else { "" }, parts.join("/"));
        let expected = if anchored {
            reference_parts(&pattern, &components)
        } else {
            (0..components.len()).any(|from| reference_parts(&pattern, &components[from..]))
        };
        let said = list(&[&text], false).matches(format!("/{}", path.join("/")).as_bytes());
        prop_assert_eq!(said.matched, expected, "{} on {:?}", text, path);
        // Whatever matches is reachable: every parent says that a child may match.
        if said.matched {
            for depth in 0..path.len() {
                let parent = format!("/{}", path[..depth].join("/"));
                prop_assert!(list(&[&text], false).matches(parent.as_bytes()).child_may_match, "{} above", parent);
            }
        }
    }

    #[test]
    fn never_panics(pattern: Vec<u8>, path: Vec<u8>, ignore_case: bool) {
        if let Ok(patterns) = PatternList::parse(&[pattern], ignore_case) {
            let _ = patterns.matches(&path);
        }
    }
}
