//! The path rule, by examples and by laws.

use http::uri::PathAndQuery;
use proptest::prelude::*;

use super::*;

fn normal(target: &str) -> String {
    normalize(target).unwrap().into_owned()
}

#[test]
fn plain_target_is_borrowed() {
    for target in [
        "/",
        "/orders/17",
        "/orders/",
        "/a.b/c..d/~x!$&'()*+,;=:@",
        "/a?x=1&y=%zz//../",
        "/a?",
        "/.well-known/acme",
        "/a%20b",
    ] {
        assert!(
            matches!(normalize(target), Ok(Cow::Borrowed(same)) if same == target),
            "{target}"
        );
    }
}

#[test]
fn dot_segments_are_resolved() {
    for (target, expected) in [
        ("/a/b/c/./../../g", "/a/g"), // RFC 3986 section 5.2.4
        ("/../a", "/a"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a/../../..", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a/../?x=../y", "/?x=../y"),
        ("/...", "/..."),
        ("/a/..b/.c", "/a/..b/.c"),
    ] {
        assert_eq!(normal(target), expected, "{target}");
    }
}

#[test]
fn empty_segments_are_merged() {
    for (target, expected) in [
        ("//", "/"),
        ("//admin", "/admin"),
        ("/a///b", "/a/b"),
        ("/a//", "/a/"),
        ("/a//../b", "/b"),
        ("/a/./", "/a/"),
    ] {
        assert_eq!(normal(target), expected, "{target}");
    }
}

#[test]
fn escapes_get_one_spelling() {
    for (target, expected) in [
        ("/%41%7e%2D", "/A~-"),
        ("/a%2fb%5cc", "/a%2Fb%5Cc"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/%2541", "/%2541"),
        ("/a%3Bb", "/a%3Bb"),
        ("/a%0Ab", "/a%0Ab"),
        ("/a?q=é&r=%c3", "/a?q=%C3%A9&r=%c3"),
    ] {
        assert_eq!(normal(target), expected, "{target}");
    }
}

#[test]
fn what_servers_read_in_two_ways_is_refused() {
    use PathError::{
        EncodedNul, HiddenDotSegment, IllegalCharacter, MalformedEscape, NotAbsolute, NotUtf8,
    };
    for (target, error) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("a/b", NotAbsolute),
        ("?a", NotAbsolute),
        ("http://a/b", NotAbsolute),
        ("/%", MalformedEscape),
        ("/%4", MalformedEscape),
        ("/%4/1", MalformedEscape),
        ("/%zz", MalformedEscape),
        ("/%+1", MalformedEscape),
        ("/%é", MalformedEscape),
        ("/%zz/..", MalformedEscape),
        ("/a%00", EncodedNul),
        ("/a\0", IllegalCharacter('\0')),
        ("/a\n", IllegalCharacter('\n')),
        ("/a b", IllegalCharacter(' ')),
        ("/a\\..\\b", IllegalCharacter('\\')),
        ("/a#b", IllegalCharacter('#')),
        ("/a\x7F", IllegalCharacter('\x7F')),
        ("/a?b#c", IllegalCharacter('#')),
        ("/a?b\rc", IllegalCharacter('\r')),
        ("/%FF", NotUtf8),
        ("/%C0%AE%C0%AE/a", NotUtf8),
        ("/%FF/../a", NotUtf8),
        ("/public/..%2Fadmin", HiddenDotSegment),
        ("/public/x%2f..", HiddenDotSegment),
        ("/public/%2e%2e%5cadmin", HiddenDotSegment),
        ("/public/..;/admin", HiddenDotSegment),
        ("/public/x%2F..;a=1%2Fadmin", HiddenDotSegment),
    ] {
        assert_eq!(normalize(target), Err(error), "{target:?}");
    }
}

#[test]
fn hidden_dots_are_not_seen_where_there_are_none() {
    for target in ["/a..%2Fb", "/v1..v2", "/a;..", "/.%2Fa", "/...%2Fa"] {
        assert_eq!(normal(target), target);
    }
}

#[test]
fn segments_are_decoded_as_text() {
    assert!(matches!(decode_segment("plain"), Cow::Borrowed("plain")));
    assert_eq!(decode_segment("a%2Fb%20%C3%A9"), "a/b é");
    assert_eq!(decode_segment("a+b"), "a+b");
    assert_eq!(decode_segment("%FF"), "\u{FFFD}");
}

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Targets made of the pieces that path rules stumble over.
fn hostile_target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%5C", ";", "%25", "%41", "%C3%A9", "é",
            "?", "a", "b", "%", "%0", "%00", "\\", "%ff", "{", "|", "+",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn normalize_is_idempotent(target in hostile_target()) {
        if let Ok(once) = normalize(&target) {
            prop_assert_eq!(normalize(&once), Ok(Cow::Borrowed(once.as_ref())));
        }
    }

    #[test]
    fn normal_path_has_neither_dot_nor_empty_segments(target in hostile_target()) {
        if let Ok(once) = normalize(&target) {
            let (path, _) = split_query(&once);
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let (_, folders) = segments.split_last().unwrap();
            prop_assert!(folders.iter().all(|segment| !segment.is_empty()));
            for segment in segments {
                // Also as an upstream reads it that takes `%2F` and `%5C` for separators.
                let decoded = decode_segment(segment);
                prop_assert!(decoded != "." && decoded != "..");
                prop_assert!(!decoded.split(['/', '\\']).any(|part| part == ".."));
                prop_assert!(!decoded.contains(REPLACEMENT) || target.contains(REPLACEMENT));
            }
        }
    }

    /// The decoded path stays what it was, where nothing had to be resolved.
    #[test]
    fn only_the_spelling_changes(segment in "[a-c%/é ;+]{0,6}") {
        let encoded: String = utf8_percent_encode(&segment, percent_encoding::NON_ALPHANUMERIC).to_string();
        let target = format!("/x{encoded}");
        let once = normalize(&target).unwrap();
        prop_assert_eq!(decode_segment(&once), format!("/x{segment}"));
    }

    /// A path that passes can be put into a request to an upstream as it is.
    #[test]
    fn normal_target_is_a_legal_target(target in hostile_target()) {
        if let Ok(once) = normalize(&target) {
            prop_assert!(once.is_ascii());
            let sent: PathAndQuery = once.parse().unwrap();
            prop_assert_eq!(sent.as_str(), once.as_ref());
        }
    }
}

#[test]
fn every_raw_byte_that_passes_is_legal_for_the_http_crate() {
    for byte in 0..=0x7F_u8 {
        for target in [
            format!("/a{}b", char::from(byte)),
            format!("/a?{}b", char::from(byte)),
        ] {
            if let Ok(once) = normalize(&target) {
                let sent: PathAndQuery = once.parse().unwrap();
                assert_eq!(sent.as_str(), once);
            }
        }
    }
}

#[test]
fn what_is_below_begins_at_a_slash_or_at_the_end() {
    for (path, segments, below) in [
        ("/shop/v1/orders", 1, "/v1/orders"),
        ("/shop/v1/orders", 2, "/orders"),
        ("/shop/v1/", 2, "/"),
        ("/shop/v1", 2, ""),
        ("/shop", 7, ""),
    ] {
        assert_eq!(&path[skip(path, segments)..], below, "{path}");
    }
}

#[test]
fn other_readings_are_those_of_servers_that_decode_or_drop_parameters_or_a_slash() {
    for (path, readings) in [
        ("/a/b", &[][..]),
        ("/a%20b/%41", &["/a%20b/A"]),
        ("/admin%2Fusers", &["/admin/users"]),
        ("/admin%5Cusers", &["/admin/users"]),
        ("/admin;x/users", &["/admin/users"]),
        ("/admin%3Bx/users", &["/admin;x/users", "/admin/users"]),
        ("/a;x/b%2Fc", &["/a;x/b/c", "/a/b%2Fc", "/a/b/c"]),
        ("/%2F%2Fadmin", &["/admin"]),
        ("/x%2F.%2Fy", &["/x/y"]),
        ("/;", &["/"]),
        ("/", &[]),
        ("/admin/", &["/admin"]),
        ("/admin%2F", &["/admin/", "/admin"]),
    ] {
        assert_eq!(other_readings(path), readings, "{path}");
    }
}
