//! Bodies that do not fit into memory.

use windlass_tests::Upstream;

use crate::config::{api_key, filtered, key, stamp, start};

const GIBIBYTE: u64 = 1 << 30;
const MEBIBYTE: u64 = 1 << 20;

#[test]
fn a_gibibyte_each_way_passes_header_only_filters_without_growing_the_gateway() {
    let upstream = Upstream::bytes(GIBIBYTE);
    let config = filtered(&["keys", "one", "two"], upstream.address());
    let gateway = start(&[
        &config.replacen("upstream", "max_body = \"none\"\nupstream", 1),
        &api_key("{}"),
        &stamp("one"),
        &stamp("two"),
        &key("acme-1", "acme", "acme", ""),
    ]);
    // The first request creates instances and connections.
    let mut client = gateway.client();
    client.send_raw("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: wrong\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.read_response().status, 403);
    let before = gateway.rss();
    client.send_raw(format!(
        "POST / HTTP/1.1\r\nhost: a\r\nx-api-key: acme\r\ncontent-length: {GIBIBYTE}\r\n\r\n"
    ));
    let mut sender = client.sender();
    let sending = std::thread::spawn(move || windlass_tests::write_zeros(&mut sender, GIBIBYTE));
    let answer = client.read_counting();
    sending.join().unwrap().expect("the body to be taken");
    assert_eq!((answer.status, answer.length), (200, GIBIBYTE));
    assert_eq!(upstream.only_request().length, GIBIBYTE);
    let grown = gateway.peak_rss().saturating_sub(before);
    assert!(grown < 32 * MEBIBYTE, "grown by {} KiB", grown / 1024);
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_request_bytes_total"], 1_073_741_824.0);
}
