//! Edits of text, and a comparison of the grammar with another parser.

use super::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a good pointer")
}

/// The text after an edit.
fn after<'a>(text: &'a str, edit: impl FnOnce(&mut Document<'a>) -> Result<(), Flaw>) -> String {
    let mut document = Document::parse(text.as_bytes()).expect("it is JSON");
    edit(&mut document).expect("it has few parts");
    document
        .into_changed()
        .unwrap_or_else(|| "unchanged".to_owned())
}

fn set<'a>(text: &'a str, at: &str, value: &'a str) -> String {
    after(text, |document| document.set(&pointer(at), value))
}

#[test]
fn a_value_is_set_where_the_pointer_leads() {
    for (text, at, expected) in [
        ("{}", "/a", r#"{"a":1}"#),
        (r#"{"a":2,"b":3}"#, "/a", r#"{"a":1,"b":3}"#),
        (r#"{"a/b":2,"c~":[]}"#, "/a~1b", r#"{"a/b":1,"c~":[]}"#),
        (r#"{"":{"":2}}"#, "//", r#"{"":{"":1}}"#),
        ("{}", "/a/b/c", r#"{"a":{"b":{"c":1}}}"#),
        ("{}", "/a/b/-", r#"{"a":{"b":[1]}}"#),
        (r#"{"a":{}}"#, "/a/-", r#"{"a":{"-":1}}"#),
        ("[1,2,3]", "/1", "[1,1,3]"),
        ("[2]", "/-", "[2,1]"),
        (r#"[{"a":[]}]"#, "/0/a/-", r#"[{"a":[1]}]"#),
        (r#"{"01":2}"#, "/01", r#"{"01":1}"#),
        ("[2]", "", "1"),
        ("  2 ", "", "1"),
    ] {
        assert_eq!(set(text, at, "1"), expected, "{text} {at}");
    }
}

#[test]
fn an_edit_that_leads_nowhere_changes_nothing() {
    for (text, at) in [
        ("[2]", "/1"),
        ("[2]", "/01"),
        ("[2]", "/+0"),
        ("[2]", "/a"),
        ("[2]", "/18446744073709551616"),
        ("2", "/a"),
        (r#"{"a":"text"}"#, "/a/b"),
        (r#"{"a":null}"#, "/a/b/c"),
        ("[[]]", "/-/a"),
    ] {
        assert_eq!(set(text, at, "1"), "unchanged", "{text} {at}");
    }
    for at in ["/b", "/a/0", "/a/b", ""] {
        let text = after(r#"{"a":1,"a":2}"#, |document| document.remove(&pointer(at)));
        assert_eq!(text, "unchanged", "{at}");
    }
}

#[test]
fn a_value_is_added_removed_and_renamed() {
    let add = |text, at: &str| after(text, |document| document.add(&pointer(at), "1"));
    assert_eq!(add("[2,3]", "/0"), "[1,2,3]");
    assert_eq!(add("[2,3]", "/2"), "[2,3,1]");
    assert_eq!(add("[2,3]", "/3"), "unchanged");
    assert_eq!(add("[2,3]", "/-"), "[2,3,1]");
    assert_eq!(add(r#"{"a":2}"#, "/a"), r#"{"a":1}"#);
    assert_eq!(add("2", ""), "1");
    let remove = |text, at: &str| after(text, |document| document.remove(&pointer(at)));
    assert_eq!(remove(r#"{"a":1,"b":2}"#, "/a"), r#"{"b":2}"#);
    assert_eq!(remove("[1,2]", "/1"), "[1]");
    let rename = |text, from: &str, to: &str| {
        after(text, |document| {
            document.rename(&pointer(from), &pointer(to))
        })
    };
    assert_eq!(rename(r#"{"a":1,"b":2}"#, "/a", "/b"), r#"{"b":1}"#);
    assert_eq!(rename(r#"{"a":[1,2]}"#, "/a/1", "/b"), r#"{"a":[1],"b":2}"#);
    assert_eq!(rename(r#"{"a":{"b":1}}"#, "/a/b", "/a"), r#"{"a":1}"#);
    assert_eq!(rename(r#"{"data":{"b":1}}"#, "/data", ""), r#"{"b":1}"#);
    assert_eq!(rename(r#"{"a":1,"b":2}"#, "/a", "/b/c"), "unchanged");
    assert_eq!(rename(r#"{"b":2}"#, "/a", "/b"), "unchanged");
    assert_eq!(rename("[1,2,3]", "/0", "/-"), "[2,3,1]");
}

#[test]
fn what_no_edit_goes_into_stays_byte_for_byte() {
    let kept = r#"{ "n" : [ 1.10, 1E+400, -0, 123456789012345678901234567890 ], "s":"\u0041\/" }"#;
    let text = format!("{{\"a\":1,\n \"kept\" : {kept} }}");
    assert_eq!(
        set(&text, "/a", "2"),
        format!("{{\"a\":2,\"kept\":{kept}}}")
    );
}

#[test]
fn of_members_of_one_name_the_last_counts_and_goes_on() {
    let text = r#"{"a":1,"b":{"x":1,"x":2},"\u0061":3,"b":{"x":3,"x":4}}"#;
    let mut document = Document::parse(text.as_bytes()).expect("it is JSON");
    assert_eq!(document.read(&pointer("/a")), Ok(Some("3".to_owned())));
    assert_eq!(document.read(&pointer("/b/x")), Ok(Some("4".to_owned())));
    assert!(document.into_changed().is_none());
    assert_eq!(
        set(text, "/c", "1"),
        r#"{"\u0061":3,"b":{"x":3,"x":4},"c":1}"#
    );
    assert_eq!(set(text, "/b/y", "1"), r#"{"\u0061":3,"b":{"x":4,"y":1}}"#);
}

#[test]
fn an_edit_goes_into_what_another_has_put_there() {
    let text = after("{}", |document| {
        document.set(&pointer("/a"), r#"{"b":[1,{"c":2}]}"#.to_owned())?;
        document.set(&pointer("/a/b/1/c"), "3")?;
        document.remove(&pointer("/a/b/0"))
    });
    assert_eq!(text, r#"{"a":{"b":[{"c":3}]}}"#);
}

#[test]
fn strings_are_decoded_and_encoded() {
    for (written, text) in [
        (r#""""#, ""),
        (r#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{c}\n\r\tz"),
        (r#""\u00e9\u20AC\ud83d\ude00""#, "\u{e9}\u{20ac}\u{1f600}"),
        (r#""\u0000""#, "\0"),
    ] {
        let decoded = decode_string(written);
        assert_eq!(decoded, text.as_bytes(), "{written}");
        let again: String = serde_json::from_str(&encode_string(text)).expect("it is JSON");
        assert_eq!(again, text);
    }
    assert_eq!(
        decode_string(r#""\ud800\ud801""#),
        b"\xed\xa0\x80\xed\xa0\x81"
    );
    assert_eq!(decode_string(r#""\udc00\u0041""#), b"\xed\xb0\x80A");
    assert_ne!(decode_string(r#""\ud800""#), decode_string(r#""\ufffd""#));
}

#[test]
fn a_body_that_is_not_json_is_named_so() {
    for (text, flaw) in [
        ("", Flaw::Syntax(0)),
        (" ", Flaw::Syntax(1)),
        ("{", Flaw::Syntax(1)),
        ("{\"a\" 1}", Flaw::Syntax(5)),
        ("{\"a\":1,}", Flaw::Syntax(7)),
        ("[1,]", Flaw::Syntax(3)),
        ("[1}", Flaw::Syntax(2)),
        ("{} {}", Flaw::Syntax(3)),
        ("\u{feff}{}", Flaw::Syntax(0)),
        ("NaN", Flaw::Syntax(0)),
        ("-", Flaw::Syntax(1)),
    ] {
        assert_eq!(check(text.as_bytes()), Err(flaw), "{text}");
    }
    assert_eq!(check(b"\"\xff\""), Err(Flaw::Encoding));
    assert_eq!(check(b"\"\xed\xa0\x80\""), Err(Flaw::Encoding));
}

#[test]
fn nesting_has_a_bound_and_costs_no_stack() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(Flaw::Depth));
    assert_eq!(check("[".repeat(1 << 20).as_bytes()), Err(Flaw::Depth));
    assert_eq!(
        check("{\"a\":".repeat(1 << 18).as_bytes()),
        Err(Flaw::Depth)
    );
    let deep = nested(MAX_DEPTH);
    let at = "/0".repeat(MAX_DEPTH - 1) + "/-";
    let expected = "[".repeat(MAX_DEPTH) + "1" + &"]".repeat(MAX_DEPTH);
    assert_eq!(set(&deep, &at, "1"), expected);
}

#[test]
fn only_so_many_members_are_taken_apart() {
    use core::fmt::Write as _;
    let object = |members: usize| {
        let mut text = "{".to_owned();
        for place in 1..members {
            write!(text, "\"{}\":0,", place % 50).expect("a string takes it");
        }
        text + "\"last\":[]}"
    };
    assert_eq!(
        set(&object(MAX_PARTS), "/last", "2").matches(':').count(),
        51
    );
    let wide = object(MAX_PARTS + 1);
    let outer = format!("[0,{wide},[1{}]]", ",1".repeat(MAX_PARTS));
    let mut document = Document::parse(outer.as_bytes()).expect("it is JSON");
    for at in ["/1/last", "/1/last/0", "/2/0", "/2/-"] {
        let at = pointer(at);
        assert_eq!(document.set(&at, "1"), Err(Flaw::Width));
        assert_eq!(document.add(&at, "1"), Err(Flaw::Width));
        assert_eq!(document.remove(&at), Err(Flaw::Width));
        assert_eq!(document.read(&at), Err(Flaw::Width));
        assert_eq!(document.rename(&at, &pointer("/0")), Err(Flaw::Width));
    }
    assert_eq!(document.rename(&pointer("/1"), &pointer("/0")), Ok(()));
    let moved = document.into_changed().expect("a change");
    assert!(moved.starts_with(&format!("[{wide},[1,")));
}

#[test]
fn bad_pointers_say_why() {
    for (text, why) in [
        ("a", "is no JSON Pointer: write `/a`"),
        ("/a~", "a `~`"),
        ("/~2b", "a `~`"),
    ] {
        let complaint = Pointer::parse(text).expect_err("a bad pointer");
        assert!(complaint.contains(why), "{complaint}");
    }
    assert_eq!(pointer("/~01").tokens(), ["~1"]);
}

/// The same numbers in each run (xorshift64).
fn noise(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default() % below
    }
}

#[test]
fn the_grammar_is_that_of_another_reader() {
    const SEEDS: [&str; 4] = [
        r#"{"a":[1,-0.5e+7,true,false,null],"b":{"c":"\u00e9\n\\x"},"":[]}"#,
        r#"[0,10,1e5,"",{},[[[]]]," \"]}{["]"#,
        r#"{ "x" : { "y" : [ { } , 12 ] } , "z" : "\ud83d\ude00" }"#,
        "\t[\r\n1.25 , \"\u{20ac}\"]\n",
    ];
    const ALPHABET: &[u8] = b"{}[]\",:\\/u0123456789abcdeEftnrls+-. \n\x00\x1f\x7f\xc3\xa9";
    let mut random = noise(7);
    let (mut good, mut bad) = (0, 0);
    for round in 0..40_000 {
        let mut bytes = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..random(3) {
            let at = random(bytes.len());
            let byte = ALPHABET[random(ALPHABET.len())];
            match random(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
            && core::str::from_utf8(&bytes).is_ok();
        let ours = check(&bytes);
        assert_eq!(
            ours.is_ok(),
            theirs,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        let Ok(text) = ours else {
            bad += 1;
            continue;
        };
        good += 1;
        // After an edit of another member, another parser still reads everything else unchanged.
        let Ok(serde_json::Value::Object(mut expected)) = serde_json::from_slice(&bytes) else {
            continue;
        };
        expected.insert("new".to_owned(), 1.into());
        let edited: serde_json::Value =
            serde_json::from_str(&set(text, "/new", "1")).expect("it is JSON");
        assert_eq!(edited, serde_json::Value::Object(expected), "{text}");
    }
    assert!(good > 5_000 && bad > 5_000, "{good} {bad}");
}
