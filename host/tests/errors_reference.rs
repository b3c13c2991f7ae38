//! The table in docs/reference/errors.md agrees with the errors that Windlass sends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::Path;

use windlass::internals::error::{Code, Side};

const BEGIN: &str = "<!-- codes -->\n";
const END: &str = "<!-- /codes -->\n";

fn table() -> String {
    let mut table = String::from(
        "| code | status | whose fault | what happened |\n| --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let side = match code.side() {
            Side::Client => "client",
            Side::Gateway => "gateway",
            Side::Upstream => "upstream",
        };
        let (status, meaning) = (code.status().as_u16(), code.meaning().trim());
        writeln!(table, "| `{code}` | {status} | {side} | {meaning} |").unwrap();
    }
    table
}

#[test]
fn the_table_has_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/errors.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (committed, after) = rest.split_once(END).expect("where the table ends");
    let made = table();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let page = [before, BEGIN, &made, END, after].concat();
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    assert_eq!(
        committed, made,
        "UPDATE_EXPECT=1 writes docs/reference/errors.md anew"
    );
}

#[test]
fn codes_are_unique_words() {
    let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
    for word in words {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(word.bytes().all(plain), "{word}");
    }
}
