//! Clients that flood an HTTP/2 connection with frames (RFC 9113 section 10.5).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use windlass_tests::{Gateway, Metrics, Reply, Upstream};

use crate::config::{all_to, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const BOTH: u8 = 5;
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
/// `POST`, `http`, `/` and the authority `a`.
const POST: &[u8] = b"\x83\x86\x84\x41\x01a";
/// The frames of one kind that a client may send within some seconds.
const MAX_FRAMES: usize = 1000;
const MAX_EMPTY: usize = 100;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

fn gateway(upstream: &Upstream) -> Gateway {
    start(&[
        "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        &all_to(upstream.address()),
    ])
}

/// A connection on which the preface and these frames were sent.
pub(crate) fn connection(gateway: &Gateway, frames: &[u8]) -> TcpStream {
    let mut stream = gateway.client().sender();
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat();
    // The gateway may close before it has read everything.
    let _ = stream.write_all(&bytes);
    stream
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], payload))
}

/// The error code of the GOAWAY with which the connection ends.
fn goaway(stream: &mut TcpStream) -> Option<[u8; 4]> {
    loop {
        if let (GOAWAY, payload) = read_frame(stream)? {
            return payload[4..8].try_into().ok();
        }
    }
}

fn floods(metrics: &Metrics, kind: &str) -> f64 {
    metrics.with("windlass_http2_floods_total", &[("kind", kind)])
}

fn wait_for_flood(gateway: &Gateway, kind: &str) {
    gateway.metrics_when(kind, |metrics| floods(metrics, kind) == 1.0);
}

/// The frame that makes the gateway reset this stream.
type Fault = fn(u32) -> Vec<u8>;

#[test]
fn rfc9113_10_5_a_flood_of_one_kind_of_frame_ends_its_connection_alone() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(&upstream);
    let mut other = gateway.client();
    let kinds: [(&str, Vec<u8>); 6] = [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("window_update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("other", frame(0xaa, 0, 0, b"ignored")),
        ("empty_data", frame(DATA, 0, 1, &[])),
    ];
    for (kind, one) in kinds {
        let opens = if kind == "empty_data" {
            frame(HEADERS, END_HEADERS, 1, POST)
        } else {
            Vec::new()
        };
        // The preface has one `SETTINGS`.
        let count = match kind {
            "settings" => MAX_FRAMES,
            "empty_data" => MAX_EMPTY + 1,
            _ => MAX_FRAMES + 1,
        };
        let mut stream = connection(&gateway, &[opens, one.repeat(count)].concat());
        assert_eq!(goaway(&mut stream), Some(ENHANCE_YOUR_CALM), "{kind}");
        wait_for_flood(&gateway, kind);
        assert_eq!(other.get("/").status, 200, "{kind}");
    }
    let log = gateway.log().all();
    let lines = log.iter().filter(|line| line.contains("flooded"));
    assert_eq!(lines.count(), 6);
}

#[test]
fn frames_up_to_the_bound_are_no_flood() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(&upstream);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(MAX_FRAMES);
    let request = frame(HEADERS, BOTH, 1, b"\x82\x86\x84\x41\x01a");
    let mut stream = connection(&gateway, &[pings, request].concat());
    loop {
        let (kind, payload) = read_frame(&mut stream).unwrap();
        assert_ne!(kind, GOAWAY);
        if kind == HEADERS {
            assert_eq!(payload[0], 0x88, "200");
            break;
        }
    }
    assert_eq!(floods(&gateway.metrics(), "ping"), 0.0);
}

/// The client makes the gateway reset streams whose requests are under way.
#[test]
fn cve_2025_8671_made_you_reset_ends_the_connection() {
    let faults: [(&str, Fault); 3] = [
        ("a window that overflows", |stream| {
            frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])
        }),
        ("an increment of 0", |stream| {
            frame(WINDOW_UPDATE, 0, stream, &[0; 4])
        }),
        ("a stream that depends on itself", |stream| {
            let on = stream.to_be_bytes();
            frame(PRIORITY, 0, stream, &[on[0], on[1], on[2], on[3], 1])
        }),
    ];
    for (name, fault) in faults {
        let upstream = Upstream::gated(Reply::status(200));
        let gateway = gateway(&upstream);
        let mut stream = connection(&gateway, &[]);
        let mut ended = None;
        for number in 0..500 {
            let id = 2 * number + 1;
            let bytes = [frame(HEADERS, END_HEADERS, id, POST), fault(id)].concat();
            stream.write_all(&bytes).unwrap();
            let (kind, payload) = loop {
                if let one @ (RST_STREAM | GOAWAY, _) = read_frame(&mut stream).expect(name) {
                    break one;
                }
            };
            if kind == GOAWAY {
                ended = payload.get(4..8).map(<[u8]>::to_vec);
                break;
            }
        }
        assert!(ended.is_some(), "{name}: 500 streams were reset");
        assert!(upstream.count() <= 130, "{name}: {}", upstream.count());
        // Other errors than an overflow end the connection at once, as errors of the protocol.
        if ended.as_deref() == Some(&ENHANCE_YOUR_CALM[..]) {
            wait_for_flood(&gateway, "streams");
        } else {
            assert!(upstream.count() <= 1, "{name}");
        }
    }
}

#[test]
fn cve_2024_27316_a_head_of_endless_continuations_ends_the_connection() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(&upstream);
    let head = frame(HEADERS, 0, 1, POST);
    let more = frame(CONTINUATION, 0, 1, b"\0\x01a\x01b").repeat(100);
    let _stream = connection(&gateway, &[head, more].concat());
    wait_for_flood(&gateway, "continuation");
    assert_eq!(upstream.count(), 0);
    assert_eq!(gateway.get("/").status, 200);
}
