//! Clients that send or read slowly, or not at all: each wait has a time-out, and delays no other
//! client.

use windlass_tests::{Reply, Upstream};

use crate::table;
use crate::wire::{Wire, config};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A name, the bytes that a client sends before it goes silent, and the status that it gets, if
/// any.
struct Silent(&'static str, Vec<u8>, Option<u16>);

fn text(name: &'static str, bytes: &str, status: Option<u16>) -> Silent {
    Silent(name, bytes.as_bytes().to_vec(), status)
}

/// Frames after HTTP/2's preface. Windlass answers the preface with frames of its own.
fn frames(name: &'static str, frames: &[u8]) -> Silent {
    Silent(name, [PREFACE, frames].concat(), None)
}

const POST: &str = "POST /a HTTP/1.1\r\nhost: a\r\n";

#[test]
fn a_client_that_falls_silent_is_left() {
    let listener =
        "header_timeout = \"300ms\"\nbody_idle_timeout = \"300ms\"\nkeep_alive_timeout = \"20s\"";
    let wire = Wire::start(listener);
    let cases = [
        text("before its first byte", "", None),
        text("after an empty line", "\r\n", Some(408)),
        text("in a method", "GE", Some(408)),
        text("in a target", "GET /a", Some(408)),
        text("after the request line", "GET / HTTP/1.1\r\n", Some(408)),
        text(
            "in a field's name",
            "GET / HTTP/1.1\r\nhost: a\r\nx-slo",
            Some(408),
        ),
        text(
            "in a field's value",
            "GET / HTTP/1.1\r\nhost: a\r\nx: slo",
            Some(408),
        ),
        text(
            "before the empty line",
            "GET / HTTP/1.1\r\nhost: a\r\n",
            Some(408),
        ),
        text(
            "in the empty line",
            "GET / HTTP/1.1\r\nhost: a\r\n\r",
            Some(408),
        ),
        text(
            "in the head of HTTP/1.0",
            "GET / HTTP/1.0\r\nhost:",
            Some(408),
        ),
        text(
            "in a body with a length",
            &format!("{POST}content-length: 9\r\n\r\nhalf"),
            Some(408),
        ),
        text(
            "before a body with a length",
            &format!("{POST}content-length: 9\r\n\r\n"),
            Some(408),
        ),
        text(
            "before a chunk",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n"),
            Some(408),
        ),
        text(
            "in a chunk's size",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n1"),
            Some(408),
        ),
        text(
            "in a chunk's extension",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n1;a"),
            Some(408),
        ),
        text(
            "in a chunk",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n9\r\nhalf"),
            Some(408),
        ),
        text(
            "after a chunk",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n1\r\na"),
            Some(408),
        ),
        text(
            "before the last chunk",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
            Some(408),
        ),
        text(
            "in trailers",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n0\r\na: b"),
            Some(408),
        ),
        text(
            "before the last line",
            &format!("{POST}transfer-encoding: chunked\r\n\r\n0\r\n"),
            Some(408),
        ),
        text("in HTTP/2's preface", "PRI * HTTP/2.0\r\n", Some(408)),
        frames("in a head of HTTP/2", b"\0\0\x08\x01\x05\0\0\0\x01\x82\x84"),
        frames(
            "after HEADERS without END_HEADERS",
            b"\0\0\x03\x01\x01\0\0\0\x01\x82\x84\x86",
        ),
        frames(
            "after CONTINUATION without END_HEADERS",
            b"\0\0\x02\x01\x01\0\0\0\x01\x82\x84\0\0\x01\x09\0\0\0\0\x01\x86",
        ),
        frames(
            "in CONTINUATION",
            b"\0\0\x02\x01\x01\0\0\0\x01\x82\x84\0\0\x09\x09\0\0\0\0\x01\x86",
        ),
        frames(
            "in trailers of HTTP/2",
            b"\0\0\x06\x01\x04\0\0\0\x01\x83\x84\x86\x41\x01a\0\0\x04\x01\x05\0\0\0\x01\0\x01",
        ),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Silent(_, bytes, status)| {
            let mut client = wire.gateway.client();
            client.send_raw(bytes);
            let is_http2 = bytes.starts_with(PREFACE);
            if is_http2 {
                // The gateway sends frames and then closes.
                let mut stream = client.sender();
                let mut rest = Vec::new();
                let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
                return alive(&wire);
            }
            let came = client
                .try_read(false, true)
                .map_err(|error| error.to_string())?;
            let came = came.map(|answer| answer.status);
            if came != *status {
                return Err(format!("{came:?} instead of {status:?}"));
            }
            client.finish_sending();
            if !client.is_closed() {
                return Err("the connection stays open".to_owned());
            }
            alive(&wire)
        },
    );
}

/// Check that another client is served meanwhile.
fn alive(wire: &Wire) -> Result<(), String> {
    let answer = wire.gateway.get("/other");
    (answer.status == 200)
        .then_some(())
        .ok_or(format!("another client got {}", answer.status))
}

/// The client sends byte after byte, each within the time-out, but the time-out applies to the
/// whole head.
#[test]
fn a_head_that_drips_has_one_time_for_the_whole() {
    let wire = Wire::start("header_timeout = \"500ms\"");
    let http2 = [PREFACE, b"\0\0\0\x01\0\0\0\0\x01"].concat();
    let cases = [
        (
            "HTTP/1.1",
            b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec(),
            b"x: y\r\n".to_vec(),
        ),
        ("HTTP/2", http2, b"\0\0\0\x09\0\0\0\0\x01".to_vec()),
    ];
    table::run(
        &cases,
        |case| case.0,
        |(_, start, more)| {
            let mut client = wire.gateway.client();
            client.send_raw(start);
            let mut stream = client.sender();
            let begun = std::time::Instant::now();
            // The write fails once the gateway has closed the connection.
            while std::io::Write::write_all(&mut stream, more).is_ok() {
                if begun.elapsed() > windlass_tests::wait::DEADLINE {
                    return Err("it is never cut off".to_owned());
                }
                windlass_tests::wait::moment(
                    std::time::Instant::now() + std::time::Duration::from_millis(50),
                );
            }
            alive(&wire)
        },
    );
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let wire = Wire::with(
        "write_timeout = \"300ms\"",
        Upstream::bytes(64 * 1024 * 1024),
    );
    let cases = [
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("pipelined", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3)),
        (
            "HTTP/2",
            [PREFACE, b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a"].concat(),
        ),
    ];
    for (name, bytes) in cases {
        let before = wire.gateway.metrics()["windlass_responses_cut_total"];
        let mut client = wire.gateway.client();
        client.send_raw(bytes);
        wire.gateway.metrics_when(name, |metrics| {
            metrics["windlass_responses_cut_total"] > before
        });
        wire.upstream.wait_for_no_connection();
    }
}

#[test]
fn idle_clients_make_room_for_new_ones() {
    let upstream = Upstream::fixed(Reply::status(200).body("ok"));
    let listener = "max_connections = 3";
    let config = format!(
        "[server]\nworkers = 1\n{}",
        config(listener, upstream.address())
    );
    let gateway = windlass_tests::Gateway::with_config(config).start();
    let mut clients: Vec<_> = (0..3).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    // The first client sends again, so that the second one has been idle longest.
    windlass_tests::wait::moment(std::time::Instant::now() + std::time::Duration::from_millis(600));
    assert_eq!(clients[0].get("/").status, 200);
    assert_eq!(clients[2].get("/").status, 200);
    assert_eq!(gateway.get("/").status, 200);
    assert!(clients[1].is_closed());
    assert_eq!(clients[0].get("/").status, 200);
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_connections_at_limit_total"], 1.0);
    assert_eq!(metrics["windlass_connections_gave_way_total"], 1.0);
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let said = gateway.log().all();
    let said = said
        .iter()
        .filter(|line| line.contains("the listener is full"));
    assert_eq!(said.count(), 1, "told once");
}

/// Silent clients hold up others for only a moment.
#[test]
fn silent_clients_make_room_too() {
    let upstream = Upstream::fixed(Reply::status(200).body("ok"));
    for workers in [1, 2] {
        let server = format!("[server]\nworkers = {workers}\n");
        let config = server + &config("max_connections = 4", upstream.address());
        let gateway = windlass_tests::Gateway::with_config(config).start();
        let silent: Vec<_> = (0..20).map(|_| gateway.client()).collect();
        for _ in 0..3 {
            assert_eq!(gateway.get("/").status, 200);
        }
        drop(silent);
    }
}
