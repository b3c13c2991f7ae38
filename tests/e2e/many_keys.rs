//! Many keys: imported in one call, kept over a restart, and small in memory.

use std::fmt::Write as _;

use windlass_tests::Upstream;

use crate::operator::{builder, get, request, send, status_with};

const KEYS: usize = 100_000;
/// The bytes that a gateway may use for each key, so that a million keys fit into 300 MiB with
/// everything else.
const EACH: u64 = 240;
/// The bytes that do not depend on the number of keys: the database's page cache, and memory left
/// over from reading.
const ONCE: u64 = 12 << 20;

fn text(number: usize) -> String {
    format!("imported-key-{number:08}-abcdefgh")
}

#[test]
#[ignore = "takes half a minute: a hundred thousand keys"]
fn a_hundred_thousand_keys_are_imported_and_are_small() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    assert_eq!(status_with(&gateway, "nobody's"), 403);
    let empty = gateway.rss();
    let mut csv = "name,key\n".to_owned();
    for number in 0..KEYS {
        writeln!(csv, "key {number},{}", text(number)).unwrap();
    }
    let import = request("POST", "/v1/keys/import").header("content-type", "text/csv");
    let answer = send(&gateway, &import.body(csv));
    assert!(answer.status < 300, "{}", answer.text());
    let ids = answer.json()["ids"].as_array().map(Vec::len);
    assert_eq!(ids, Some(KEYS));
    assert_eq!(status_with(&gateway, &text(KEYS / 3)), 200);

    // The memory that the import needed does not count.
    let gateway = gateway.end().start();
    for number in [0, KEYS / 2, KEYS - 1] {
        assert_eq!(status_with(&gateway, &text(number)), 200);
    }
    assert_eq!(status_with(&gateway, &text(KEYS)), 403);
    assert_eq!(get(&gateway, "/v1/status").json()["store"]["keys"], KEYS);
    let more = gateway.rss().saturating_sub(empty);
    assert!(
        more < ONCE + EACH * KEYS as u64,
        "{more} bytes more, of which each key has {}",
        more.saturating_sub(ONCE) / KEYS as u64
    );
}
