//! Limits on the time and the memory that a client may use.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use windlass_tests::wait::moment;
use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::{all_to, start};

/// A gateway to this endpoint, with these settings of its listener.
fn with_listener(lines: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        lines,
        "\n",
        &all_to(upstream.address()),
    ])
}

#[test]
fn a_head_that_does_not_end_is_408() {
    let upstream = Upstream::echo();
    let gateway = with_listener("header_timeout = \"200ms\"", &upstream);
    let mut client = gateway.client();
    client.send_raw("GET / HTTP/1.1\r\nhost: a\r\nx-slow");
    let answer = client.read_response();
    assert_eq!(
        (answer.status, answer.code()),
        (408, "request_timeout".into())
    );
    client.finish_sending();
    assert!(client.is_closed());
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_second_head_that_does_not_end_is_408_too() {
    let upstream = Upstream::echo();
    let gateway = with_listener("header_timeout = \"200ms\"", &upstream);
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    client.send_raw("GET / HTTP/1.1\r\n");
    assert_eq!(client.read_response().status, 408);
}

#[test]
fn a_body_that_stalls_is_408() {
    let upstream = Upstream::echo();
    let gateway = with_listener("body_idle_timeout = \"200ms\"", &upstream);
    let mut client = gateway.client();
    client.send_raw("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    let answer = client.read_response();
    assert_eq!(
        (answer.status, answer.code()),
        (408, "request_timeout".into())
    );
    client.finish_sending();
    assert!(client.is_closed());
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let upstream = Upstream::echo();
    let gateway = with_listener("keep_alive_timeout = \"200ms\"", &upstream);
    let mut fresh = gateway.client();
    let mut used = gateway.client();
    assert_eq!(used.get("/").status, 200);
    assert!(used.is_closed());
    assert!(fresh.is_closed());
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let upstream = Upstream::bytes(64 * 1024 * 1024);
    let gateway = with_listener("write_timeout = \"200ms\"", &upstream);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").bytes());
    gateway.metrics_when("the stalled answer to be cut", |metrics| {
        metrics["windlass_responses_cut_total"] >= 1.0
            && metrics["windlass_connections_open"] == 0.0
    });
    upstream.wait_for_no_connection();
}

#[test]
fn a_body_over_the_route_s_bound_is_413() {
    let upstream = Upstream::echo();
    let config =
        all_to(upstream.address()).replacen("upstream", "max_body = \"1KiB\"\nupstream", 1);
    let gateway = start(&[&config]);
    let small = Request::post("/", vec![b'a'; 1024]);
    assert_eq!(gateway.send(&small).status, 200);
    assert_eq!(gateway.send(&small.chunked()).status, 200);
    let large = Request::post("/", vec![b'a'; 1025]);
    for request in [large.clone(), large.chunked()] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.code()),
            (413, "body_too_large".into())
        );
    }
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn an_endless_body_is_413_and_is_not_read_to_its_end() {
    let upstream = Upstream::echo();
    let config =
        all_to(upstream.address()).replacen("upstream", "max_body = \"1KiB\"\nupstream", 1);
    let gateway = start(&[&config]);
    let mut client = gateway.client();
    client.send_raw(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        u64::MAX / 2
    ));
    assert_eq!(client.read_response().status, 413);
    client.finish_sending();
    assert!(client.is_closed());
}

#[test]
fn a_long_target_is_414() {
    let upstream = Upstream::echo();
    let gateway = with_listener("max_uri = \"256B\"", &upstream);
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(gateway.get(&path(256)).status, 200);
    let answer = gateway.get(&path(257));
    assert_eq!((answer.status, answer.code()), (414, "uri_too_long".into()));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn too_many_fields_or_too_large_a_head_is_431() {
    let upstream = Upstream::echo();
    let gateway = with_listener("max_headers = 10\nmax_head = \"8KiB\"", &upstream);
    let many = |count: usize| {
        let request = Request::get("/");
        (1..count).fold(request, |request, n| request.header(format!("x-{n}"), "1"))
    };
    assert_eq!(gateway.send(&many(10)).status, 200);
    for request in [
        many(11),
        Request::get("/").header("x-large", "a".repeat(9 * 1024)),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.code()),
            (431, "headers_too_large".into())
        );
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn connections_beyond_the_bound_wait_while_none_idles() {
    let upstream = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = with_listener("max_connections = 2", &upstream);
    let mut busy = [gateway.client(), gateway.client()];
    for client in &mut busy {
        client.send_raw(Request::get("/").bytes());
    }
    upstream.wait_for_requests(2);
    let mut third = gateway.client();
    third.send_raw(Request::get("/third").bytes());
    gateway.metrics_when("the third to wait", |metrics| {
        metrics["windlass_connections_at_limit_total"] >= 1.0
    });
    assert_eq!(upstream.count(), 2);
    upstream.release(3);
    assert_eq!(third.read_response().text(), "ok");
    for client in &mut busy {
        assert_eq!(client.read_response().text(), "ok");
    }
}

#[test]
fn a_connection_that_idles_makes_room_for_one_beyond_the_bound() {
    let upstream = Upstream::text("ok");
    let gateway = with_listener("max_connections = 2", &upstream);
    let mut idle = [gateway.client(), gateway.client()];
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let metrics = gateway.metrics();
    assert!(metrics["windlass_connections_gave_way_total"] >= 1.0);
    let log = gateway.log().all();
    let said = log
        .iter()
        .filter(|line| line.contains("the listener is full"));
    assert_eq!(said.count(), 1, "once, and not for each");
}

#[test]
fn a_connection_that_says_nothing_has_the_time_of_a_head() {
    let upstream = Upstream::text("ok");
    let gateway = with_listener("header_timeout = \"200ms\"", &upstream);
    assert!(gateway.client().is_closed());
    // Between two requests, the connection may idle for longer.
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    assert!(gateway.client().is_closed());
    assert_eq!(client.get("/").status, 200);
}

/// Sends a byte of a body of 40 bytes at each interval, until the gateway answers or the body ends.
fn trickled(gateway: &Gateway, fields: &str) -> (u16, String) {
    let mut client = gateway.client();
    client.send_raw(format!(
        "POST / HTTP/1.1\r\nhost: a\r\n{fields}content-length: 40\r\n\r\n"
    ));
    for _ in 0..40 {
        moment(Instant::now() + Duration::from_millis(25));
        if client.try_send_raw(b"a").is_err() {
            break;
        }
    }
    let answer = client.read_response();
    let code = match answer.status {
        200 => String::new(),
        _ => answer.code(),
    };
    (answer.status, code)
}

#[test]
fn a_body_that_trickles_is_408_and_not_where_its_rate_is_free() {
    let upstream = Upstream::text("ok");
    // 40 bytes a second are sent.
    let slow = with_listener(
        "body_idle_timeout = \"400ms\"\nmin_body_rate = \"4KiB\"",
        &upstream,
    );
    assert_eq!(trickled(&slow, ""), (408, "request_timeout".to_owned()));
    let metrics = slow.metrics();
    let limit = [("limit", "body_rate")];
    assert_eq!(metrics.with("windlass_limits_hit_total", &limit), 1.0);
    assert_eq!(upstream.count(), 0);
    // A call of gRPC may send a message now and then.
    let call = trickled(&slow, "content-type: application/grpc\r\nte: trailers\r\n");
    assert_eq!(call, (200, String::new()));
    for keys in ["min_body_rate = \"1B\"", "min_body_rate = \"none\""] {
        let keys = format!("body_idle_timeout = \"400ms\"\n{keys}");
        let patient = with_listener(&keys, &upstream);
        assert_eq!(trickled(&patient, ""), (200, String::new()), "{keys}");
    }
}

#[test]
fn a_client_that_reads_too_slowly_is_cut() {
    let upstream = Upstream::bytes(1 << 30);
    let gateway = with_listener(
        "write_timeout = \"3s\"\nmin_response_rate = \"1GiB\"",
        &upstream,
    );
    let mut stream = gateway.client().sender();
    stream.write_all(&Request::get("/").bytes()).unwrap();
    let mut space = vec![0; 64 * 1024];
    let end = Instant::now() + Duration::from_secs(60);
    // It reads a megabyte a second, so no single write waits for long.
    while let Ok(1..) = stream.read(&mut space) {
        assert!(Instant::now() < end, "the client was not cut");
        moment(Instant::now() + Duration::from_millis(50));
    }
    gateway.metrics_when("the slow reader to be cut", |metrics| {
        metrics.with("windlass_limits_hit_total", &[("limit", "response_rate")]) == 1.0
            && metrics["windlass_responses_cut_total"] == 1.0
    });
    upstream.wait_for_no_connection();
}

#[test]
fn slow_heads_and_stalled_bodies_are_shed_while_others_are_served() {
    let upstream = Upstream::text("ok");
    let gateway = with_listener(
        "header_timeout = \"2s\"\nbody_idle_timeout = \"2s\"",
        &upstream,
    );
    let slow = (0..200).map(|_| "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    let stalled = (0..50).map(|_| "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf");
    let clients = slow.chain(stalled).map(|bytes| {
        let mut client = gateway.client();
        client.send_raw(bytes);
        client
    });
    let mut clients: Vec<_> = clients.collect();
    let load = gateway.load(Request::get("/")).connections(2).start();
    for client in &mut clients {
        assert_eq!(client.read_response().status, 408);
    }
    let report = load.stop();
    assert!(
        report.status(200) > 0 && report.failures.is_empty(),
        "{report:?}"
    );
    drop(clients);
    gateway.metrics_when("the end of the slow connections", |metrics| {
        metrics["windlass_connections_open"] == 0.0
    });
}
