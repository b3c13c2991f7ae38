//! Windlass refuses requests that two servers could read differently.

use windlass_tests::{Gateway, Upstream};

use crate::config::{all_to, start};

/// Assert that the bytes get exactly one response with one of these statuses, that the connection
/// closes, and that no request reaches the upstream.
fn assert_refused(gateway: &Gateway, upstream: &Upstream, bytes: &str, expected: &[u16]) {
    let mut client = gateway.client();
    client.send_raw(bytes);
    let answer = client.read_response();
    assert!(
        expected.contains(&answer.status),
        "{} for {bytes:?}",
        answer.status
    );
    assert_eq!(answer.header("connection"), Some("close"), "{bytes:?}");
    assert!(answer.header("x-request-id").is_some(), "{bytes:?}");
    client.finish_sending();
    assert!(client.is_closed(), "{bytes:?}");
    assert_eq!(upstream.received().len(), 0, "{bytes:?}");
}

/// A request that an attacker tries to smuggle in.
const SECOND: &str = "GET /second HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let chunked = "0\r\n\r\n";
    for (fields, body) in [
        (
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            chunked,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            chunked,
        ),
        ("transfer-encoding: gzip, chunked\r\n", chunked),
        ("transfer-encoding: chunked, chunked\r\n", chunked),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            chunked,
        ),
        ("transfer-encoding: chunked, gzip\r\n", chunked),
        ("transfer-encoding: identity\r\n", chunked),
        ("transfer-encoding: xchunked\r\n", chunked),
        ("transfer-encoding: \r\n", chunked),
        ("content-length: 5\r\ncontent-length: 6\r\n", "12345"),
        ("content-length: +5\r\n", "12345"),
        ("content-length: -1\r\n", ""),
        ("content-length: 0x5\r\n", "12345"),
        ("content-length: 99999999999999999999999\r\n", "12345"),
    ] {
        let bytes = format!("POST /first HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}{SECOND}");
        assert_refused(&gateway, &upstream, &bytes, &[400, 501]);
    }
}

#[test]
fn a_chunk_that_is_not_one_is_refused() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let bytes = format!(
            "POST /first HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}{SECOND}"
        );
        assert_refused(&gateway, &upstream, &bytes, &[400]);
    }
}

#[test]
fn exactly_one_host_is_taken() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a\r\nhost: a\r\n",
        "host: \r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: a,b\r\n",
        "host: user@a\r\n",
        "host: a:port\r\n",
    ] {
        let answer = gateway.send_raw(format!("GET / HTTP/1.1\r\n{hosts}\r\n"));
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad_host".into()),
            "{hosts:?}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_head_that_is_not_http_is_answered_in_our_words() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for bytes in [
        "nonsense\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/3.0\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut client = gateway.client();
        client.send_raw(bytes);
        let answer = client.read_response();
        let seen = (answer.status, answer.code());
        assert_eq!(seen, (400, "malformed_request".into()), "{bytes:?}");
        client.finish_sending();
        assert!(client.is_closed(), "{bytes:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn rfc9112_6_1_an_answer_to_a_transfer_coding_says_what_is_wrong_with_it() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for (coding, status, code) in [
        ("gzip, chunked", 501, "unknown_transfer_coding"),
        ("chunked, chunked", 400, "malformed_request"),
        (",chunked", 400, "malformed_request"),
    ] {
        let answer = gateway.send_raw(format!(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n"
        ));
        assert_eq!((answer.status, &*answer.code()), (status, code), "{coding}");
        assert!(!answer.text().contains("method"), "{}", answer.text());
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn connect_and_trace_are_not_carried() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for bytes in [
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
    ] {
        let answer = gateway.send_raw(bytes);
        assert_eq!(
            (answer.status, answer.code()),
            (501, "not_implemented".into()),
            "{bytes:?}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn rfc9110_10_1_1_an_expectation_that_is_not_met_is_417() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway
        .send_raw("POST / HTTP/1.1\r\nhost: a\r\nexpect: a-miracle\r\ncontent-length: 0\r\n\r\n");
    let seen = (answer.status, answer.code());
    assert_eq!(seen, (417, "expectation_failed".into()));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn rfc9110_9_3_6_after_connect_nothing_is_read_as_a_request() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for target in ["a:443", "/path", "http://a/"] {
        let connect = format!("CONNECT {target} HTTP/1.1\r\nhost: a:443\r\n\r\n");
        let mut client = gateway.client();
        client.send_raw(&connect);
        assert!(client.read_response().status >= 400);
        assert!(client.is_closed(), "though the client goes on to send");
        let bytes = connect + SECOND;
        assert_refused(&gateway, &upstream, &bytes, &[400, 501]);
    }
}

/// Each head is checked by itself, even if several arrive in one segment.
#[test]
fn rfc9112_6_1_two_framings_are_refused_behind_other_requests_too() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let length = "POST /one HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
    let chunked = "transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let good = format!("POST /two HTTP/1.1\r\nhost: a\r\n{chunked}");
    let mut client = gateway.client();
    client.send_raw(format!("{length}{good}{good}{length}"));
    for target in ["/one", "/two", "/two", "/one"] {
        let answer = client.read_response();
        assert_eq!(
            (answer.status, &answer.json()["target"]),
            (200, &target.into())
        );
    }
    let bad = format!("POST /bad HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{chunked}");
    for first in [length, &good, SECOND] {
        let mut client = gateway.client();
        client.send_raw(format!("{first}{bad}{SECOND}"));
        assert_eq!(client.read_response().status, 200, "{first}");
        assert_eq!(client.read_response().status, 400, "{first}");
        client.finish_sending();
        assert!(client.is_closed(), "{first}");
    }
    let asked = upstream.received();
    assert!(asked.iter().all(|request| request.target != "/bad"));
    assert_eq!(asked.len(), 4 + 3);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::with(|request, stream| {
        windlass_tests::Reply::status(200)
            .body(request.target.clone())
            .write(stream)
    });
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    let request = |n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n");
    client.send_raw((0..5).map(request).collect::<String>());
    for n in 0..5 {
        assert_eq!(client.read_response().text(), format!("/{n}"));
    }
}
