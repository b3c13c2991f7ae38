//! Any text gives a report of its errors, and never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use proptest::prelude::*;
use windlass::internals::config::Config;

const GOOD: &str = include_str!("full.toml");

fn read(text: &str) -> String {
    match Config::parse("t", text, Path::new("")) {
        Ok(config) => config.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

/// Fragments that are likely to get past the parser to a reader.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[[route]]\n",
        "[[key]]\n",
        "[filter.a]\n",
        "[upstream.a]\n",
        "[upstream]\n",
        "[route]\n",
        "path = ",
        "filters = ",
        "upstream = ",
        "endpoints = ",
        "digest = ",
        "settings = ",
        "limits = ",
        "expires = ",
        "\"a\"",
        "[\"a\"]",
        "[{ address = \"a:1\" }]",
        "{ a = 1 }",
        "1",
        "-1",
        "1.5",
        "nan",
        "true",
        "2027-01-01T00:00:00Z",
        "2027-01-01",
        "\"5s\"",
        "\"1MiB\"",
        "\"\u{e9}\u{4e16}\"",
        "\n",
        " ",
        ",",
        "=",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'''",
        "\"\"\"",
        "#",
        ".",
        "\t",
        "\r\n",
        "\u{feff}",
        "\0",
        "a",
        "\\u00e9",
    ];
    prop_oneof![3 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn any_text_is_reported_on(text: String) {
        read(&text);
    }

    #[test]
    fn any_pieces_are_reported_on(pieces in prop::collection::vec(piece(), 0..40)) {
        read(&pieces.concat());
    }

    #[test]
    fn a_changed_config_is_reported_on(
        at in 0..GOOD.len(),
        length in 0_usize..20,
        put in piece(),
    ) {
        let start = GOOD.floor_char_boundary(at);
        let end = GOOD.floor_char_boundary(at + length).max(start);
        let mut text = GOOD.to_owned();
        text.replace_range(start..end, &put);
        read(&text);
    }

    #[test]
    fn a_config_cut_short_is_reported_on(at in 0..GOOD.len()) {
        read(GOOD.split_at(GOOD.floor_char_boundary(at)).0);
    }
}

#[test]
fn any_bytes_are_reported_on() {
    let folder = std::env::temp_dir().join(format!("windlass-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("windlass.toml");
    std::fs::write(&file, b"[server]\nworkers = 1 # \xff\xfe\n").unwrap();
    let report = Config::read(&file).unwrap_err().to_string();
    assert!(
        report.contains("windlass.toml:2:15: is not UTF-8 text"),
        "{report}"
    );
    let report = Config::read(&folder.join("none.toml"))
        .unwrap_err()
        .to_string();
    assert!(report.contains("none.toml: cannot be read: "), "{report}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_full_config_is_good() {
    assert_eq!(read(GOOD), "");
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = 100_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}", "{ a = ".repeat(deep)),
        format!("[filter{}]", ".a".repeat(deep)),
        format!(
            "[filter.a]\nplugin = 'a.wasm'\nsettings{} = 1",
            ".a".repeat(deep)
        ),
        format!("filter = {{ a{} = 1 }}", ".a".repeat(deep)),
    ] {
        let report = read(&text);
        assert!(report.contains("error"), "{}", text.get(..20).unwrap());
        assert!(report.len() < 100_000, "a bounded answer: {}", report.len());
    }
}
