//! The request that an endpoint gets, and the response that the client gets.

use windlass_tests::http::Framing;
use windlass_tests::{Reply, Request, Then, Upstream, sha256};

use crate::config::{all_to, start};

#[test]
fn hop_by_hop_and_named_fields_stay_here() {
    let upstream = Upstream::fixed(
        Reply::status(200)
            .header("connection", "x-inner, keep-alive")
            .header("keep-alive", "timeout=5")
            .header("x-inner", "1")
            .header("x-outer", "2")
            .header("proxy-connection", "close")
            .body("ok"),
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    let answer = client.send(
        &Request::get("/")
            .header("connection", "x-secret, Keep-Alive")
            .header("x-secret", "1")
            .header("x-kept", "2")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("te", "trailers, deflate")
            .header("upgrade", "websocket"),
    );
    let request = upstream.only_request();
    for gone in ["x-secret", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
    assert_eq!(request.header("x-kept"), Some("2"));
    assert_eq!(request.header("te"), Some("trailers"));
    assert_eq!(request.header("connection"), Some("te"));
    for gone in ["x-inner", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("x-outer"), Some("2"));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_connection_field_cannot_remove_host_or_what_the_gateway_sets() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let named = "host, x-forwarded-for, x-forwarded-proto, x-request-id";
    let answer = gateway.send(&Request::get("/").header("connection", named));
    assert_eq!(answer.status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("host"), Some("gateway.test"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert!(request.header("x-request-id").is_some());
}

#[test]
fn what_a_stranger_says_of_itself_is_dropped() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.send(
        &Request::get("/")
            .header("x-forwarded-for", "1.2.3.4")
            .header("x-forwarded-for", "5.6.7.8")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "evil.test")
            .header("forwarded", "for=1.2.3.4")
            .header("x-request-id", "mine"),
    );
    let request = upstream.only_request();
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(request.header("forwarded"), None);
    assert_ne!(request.header("x-request-id"), Some("mine"));
    assert_eq!(
        request.header("x-request-id"),
        answer.header("x-request-id")
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_names_the_client() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n",
        "[log]\naccess = \"stdout\"\n",
        &all_to(upstream.address()),
    ]);
    let answer = gateway.send(
        &Request::get("/")
            .header("x-forwarded-for", "6.6.6.6, 192.0.2.9")
            .header("x-forwarded-for", "10.1.1.1")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "public.test"),
    );
    assert_eq!(answer.status, 200);
    let request = upstream.only_request();
    let list = request.header("x-forwarded-for");
    assert_eq!(list, Some("6.6.6.6, 192.0.2.9, 10.1.1.1, 127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("x-forwarded-host"), Some("public.test"));
    let line = gateway.output().wait_for_line(|line| line.starts_with('{'));
    assert!(line.contains(r#""client":"192.0.2.9""#), "{line}");
}

#[test]
fn bodies_pass_unchanged_with_a_length_and_in_chunks() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = client.post("/", body.clone());
    assert_eq!(answer.json()["body"]["length"], 300_000);
    assert_eq!(answer.json()["body"]["sha256"], sha256(&body));
    let answer = client.send(&Request::post("/", body.clone()).chunked());
    assert_eq!(answer.json()["body"]["sha256"], sha256(&body));
    let requests = upstream.received();
    assert_eq!(requests[0].header("content-length"), Some("300000"));
    assert_eq!(requests[1].header("transfer-encoding"), Some("chunked"));
}

#[test]
fn trailers_pass_in_both_directions() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n",
        Then::KeepAlive,
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.send_raw(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-check\r\n\r\n2\r\nhi\r\n0\r\nx-check: 7\r\n\r\n",
    );
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.framing, Some(Framing::Chunked));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    let request = upstream.only_request();
    assert_eq!(request.body, b"hi");
    assert_eq!(request.trailers, [("x-check".to_owned(), "7".to_owned())]);
}

#[test]
fn an_answer_without_a_length_is_framed_for_the_client() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
        Then::Close,
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.text(), "to the end");
        assert_eq!(answer.framing, Some(Framing::Chunked));
    }
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
        Then::KeepAlive,
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.send(&Request::new("HEAD", "/"));
        assert_eq!(answer.header("content-length"), Some("1234"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn answers_without_a_body_have_none() {
    for status in [204, 304] {
        let upstream = Upstream::fixed(Reply::status(status).header("etag", "\"a\""));
        let gateway = start(&[&all_to(upstream.address())]);
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.length), (status, 0));
            assert_eq!(answer.header("etag"), Some("\"a\""));
        }
    }
}

#[test]
fn an_expectation_is_met_by_the_gateway() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    client.send_raw(
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
    );
    assert_eq!(client.read_head().start, "HTTP/1.1 100 Continue");
    // `read_head` also read the empty line after the interim head.
    client.send_raw("hi");
    assert_eq!(client.read_response().status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("expect"), None);
    assert_eq!(request.body, b"hi");
}

#[test]
fn an_interim_answer_is_not_taken_for_the_answer() {
    let upstream = Upstream::raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Then::KeepAlive,
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}

#[test]
fn connections_to_endpoints_are_used_again() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["[server]\nworkers = 1\n", &all_to(upstream.address())]);
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn host_goes_upstream_as_configured() {
    let upstream = Upstream::echo();
    let address = upstream.address().to_string();
    for (rule, host) in [
        ("preserve", "gateway.test"),
        ("endpoint", &*address),
        ("orders.internal", "orders.internal"),
    ] {
        let gateway = start(&[&all_to(upstream.address()), &format!("host = \"{rule}\"\n")]);
        assert_eq!(gateway.get("/").status, 200);
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("host"), Some(host), "{rule}");
    }
}
