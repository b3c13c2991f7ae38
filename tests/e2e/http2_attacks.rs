//! Clients of HTTP/2 that make the gateway keep much: heads that grow when they are decoded, and answers that
//! nobody reads.

use std::net::TcpStream;

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{all_to, start};
use crate::http2_floods::{GOAWAY, HEADERS, connection, frame, read_frame};

const CONTINUATION: u8 = 9;
const SETTINGS: u8 = 4;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MIB: u64 = 1024 * 1024;
/// `GET`, `http`, `/` and the authority `a`.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

fn gateway(listener: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        listener,
        &all_to(upstream.address()),
    ])
}

/// Asserts that no more than this was added to the gateway's peak of memory.
fn is_bounded(gateway: &Gateway, before: u64, most: u64) {
    let more = gateway.peak_rss().saturating_sub(before);
    assert!(more <= most, "{} KiB more", more / 1024);
}

/// A head that puts a value of 4,000 bytes into the table, and then names it once for each byte.
fn bomb(stream: u32) -> Vec<u8> {
    let value = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'a'; 4000]].concat();
    let first = [GET, &value].concat();
    let mut frames = frame(HEADERS, END_STREAM, stream, &first);
    for _ in 0..2 {
        frames.extend(frame(CONTINUATION, 0, stream, &[0xbe; 16_000]));
    }
    frames.extend(frame(CONTINUATION, END_HEADERS, stream, &[0xbe; 16_000]));
    frames
}

#[test]
fn cve_2016_1544_a_head_that_grows_a_thousandfold_is_refused_in_bounded_memory() {
    let upstream = Upstream::text("ok");
    let gateway = gateway("", &upstream);
    assert_eq!(gateway.get("/").status, 200);
    let before = gateway.peak_rss();
    // Each of them would be 190 MB.
    let bombs: Vec<u8> = (0..20).flat_map(|number| bomb(2 * number + 1)).collect();
    let mut streams = [(); 4].map(|()| connection(&gateway, &bombs));
    for stream in &mut streams {
        let mut ended = None;
        while let Some((kind, payload)) = read_frame(stream) {
            if kind == GOAWAY || kind == HEADERS {
                ended = Some((kind, payload));
                break;
            }
        }
        assert!(
            ended.is_some(),
            "the bomb is answered, or ends its connection"
        );
    }
    is_bounded(&gateway, before, 30 * MIB);
    assert_eq!(upstream.count(), 1);
    assert_eq!(gateway.get("/").status, 200);
}

/// A client that asks for 100 large answers, and never makes room for one.
fn zero_window(gateway: &Gateway) -> TcpStream {
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let asks =
        (0..100).flat_map(|number| frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, GET));
    connection(gateway, &[settings, asks.collect()].concat())
}

#[test]
fn cve_2019_9517_a_client_that_opens_no_window_costs_little_and_is_cut() {
    let upstream = Upstream::bytes(1 << 30);
    let gateway = gateway("write_timeout = \"2s\"\n", &upstream);
    let before = gateway.peak_rss();
    let mut clients = [(); 5].map(|()| zero_window(&gateway));
    upstream.wait_for_requests(500);
    // Other clients are served meanwhile.
    let mut other = gateway.client();
    other.send_raw(Request::get("/").bytes());
    assert!(other.read_head().start.contains(" 200 "));
    drop(other);
    for client in &mut clients {
        let mut resets = 0;
        while resets < 100 {
            match read_frame(client) {
                Some((RST_STREAM, _)) => resets += 1,
                Some(_) => {}
                None => break,
            }
        }
        assert_eq!(resets, 100);
    }
    upstream.wait_for_no_connection();
    is_bounded(&gateway, before, 100 * MIB);
}
