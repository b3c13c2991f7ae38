//! Responses to the client if an endpoint fails.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpListener;

use windlass_tests::{ClosedPort, FullPort, Gateway, Request, Response, Then, Upstream, http};

use crate::config::{all_to, filtered, start};

fn assert_fault(answer: &Response, status: u16, code: &str) {
    assert_eq!((answer.status, &*answer.code()), (status, code));
    assert_eq!(
        answer.json()["request-id"].as_str(),
        answer.header("x-request-id")
    );
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

fn to(upstream: &Upstream) -> Gateway {
    start(&[&all_to(upstream.address())])
}

#[test]
fn a_refused_connection_is_502() {
    let port = ClosedPort::new();
    let gateway = start(&[&all_to(port.address())]);
    assert_fault(&gateway.get("/"), 502, "connect_failed");
    let told = gateway
        .log()
        .wait_for_line(|line| line.contains("connect_failed"));
    assert!(told.contains(&port.address().to_string()), "{told}");
}

#[test]
fn a_connection_that_is_not_made_in_time_is_504() {
    let port = FullPort::new();
    let gateway = start(&[&all_to(port.address()), "connect_timeout = \"200ms\"\n"]);
    assert_fault(&gateway.get("/"), 504, "connect_timeout");
}

#[test]
fn a_connection_that_is_closed_before_the_answer_is_502() {
    let upstream = Upstream::raw("", Then::Close);
    assert_fault(&to(&upstream).get("/"), 502, "upstream_closed");
}

#[test]
fn a_connection_that_is_reset_before_the_answer_is_502() {
    let upstream = Upstream::raw("", Then::Reset);
    assert_fault(&to(&upstream).get("/"), 502, "upstream_closed");
}

#[test]
fn a_head_that_breaks_off_is_502() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\ncontent-le", Then::Close);
    assert_eq!(to(&upstream).get("/").status, 502);
}

#[test]
fn garbage_is_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let upstream = Upstream::raw(garbage, Then::Close);
        let answer = to(&upstream).get("/");
        assert_eq!(answer.status, 502, "{garbage:?}");
        assert_fault(&answer, 502, "upstream_protocol");
    }
}

#[test]
fn a_response_head_over_the_bound_is_502() {
    let large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "a".repeat(20_000));
    let upstream = Upstream::raw(large, Then::Close);
    let gateway = start(&[&all_to(upstream.address()), "max_head = \"8KiB\"\n"]);
    assert_fault(&gateway.get("/"), 502, "upstream_protocol");
}

#[test]
fn an_answer_that_does_not_begin_in_time_is_504() {
    let upstream = Upstream::raw("", Then::Hold);
    let gateway = start(&[
        &all_to(upstream.address()),
        "first_byte_timeout = \"200ms\"\n",
    ]);
    assert_fault(&gateway.get("/"), 504, "first_byte_timeout");
    upstream.wait_for_no_connection();
}

#[test]
fn a_route_lowers_the_first_byte_time_out() {
    let upstream = Upstream::raw("", Then::Hold);
    let lowered = "first_byte_timeout = \"200ms\"\nupstream";
    let config = all_to(upstream.address()).replacen("upstream", lowered, 1);
    assert_fault(&start(&[&config]).get("/"), 504, "first_byte_timeout");
}

#[test]
fn an_upstream_without_an_endpoint_that_takes_the_request_is_503() {
    let upstream = Upstream::text("never");
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    let gateway = start(&[
        &filtered(&["hint"], upstream.address()),
        &format!("[filter.hint]\nplugin = \"{plugin}\"\n"),
        "settings = { request = [{ route = { labels = [[\"zone\", \"nowhere\"]] } }] }\n",
    ]);
    assert_fault(&gateway.get("/"), 503, "no_endpoint");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_the_client_too() {
    for framing in [
        "content-length: 100\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n64\r\n",
    ] {
        let upstream = Upstream::raw(
            format!("HTTP/1.1 200 OK\r\n{framing}only some"),
            Then::Close,
        );
        let gateway = to(&upstream);
        let mut client = gateway.client();
        let answer = client.try_send(&Request::get("/"));
        assert!(answer.is_err(), "{framing:?}: {answer:?}");
        // The bytes that arrived before the failure are passed on.
        let mut raw = std::net::TcpStream::connect(gateway.address()).unwrap();
        raw.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut read = Vec::new();
        let _ = raw.read_to_end(&mut read);
        let read = String::from_utf8_lossy(&read);
        assert!(read.starts_with("HTTP/1.1 200 OK"), "{read:?}");
        assert!(read.contains("only some"), "{read:?}");
        gateway.metrics_when("the cut answer to be counted", |metrics| {
            metrics["windlass_responses_cut_total"] >= 1.0
        });
    }
}

/// Over HTTP/2 too, the client gets the head before its stream is reset.
#[test]
fn a_body_that_breaks_at_once_costs_no_head() {
    use http_body_util::BodyExt as _;
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly some";
    let upstream = Upstream::raw(broken, Then::Close);
    let gateway = to(&upstream);
    crate::wire::run(async {
        let mut client = crate::wire::http2(gateway.address(), None).await;
        let answer = client.send_request(crate::wire::get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "only some");
        assert!(body.frame().await.unwrap().is_err());
    });
}

#[test]
fn a_body_that_stops_is_cut_after_the_idle_time_out() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome",
        Then::Hold,
    );
    let gateway = start(&[&all_to(upstream.address()), "idle_timeout = \"200ms\"\n"]);
    let mut client = gateway.client();
    assert!(client.try_send(&Request::get("/")).is_err());
}

#[test]
fn a_connection_that_the_endpoint_closed_meanwhile_is_replaced() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = Upstream::raw(answer, Then::Close);
    let gateway = start(&["[server]\nworkers = 1\n", &all_to(upstream.address())]);
    let mut client = gateway.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_request_with_a_body_is_never_sent_twice() {
    // The first request makes a connection, and the second one is cut on it.
    let upstream = Upstream::with(|request, stream| match request.method.as_str() {
        "GET" => windlass_tests::Reply::status(200).write(stream),
        _ => Ok(Then::Close),
    });
    let gateway = start(&["[server]\nworkers = 1\n", &all_to(upstream.address())]);
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    let answer = client.post("/", "once");
    assert_fault(&answer, 502, "upstream_closed");
    let posts = upstream.received();
    assert_eq!(
        posts
            .iter()
            .filter(|request| request.method == "POST")
            .count(),
        1
    );
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        http::read_head(&mut stream).unwrap().unwrap();
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
        stream.get_mut().write_all(answer).unwrap();
        stream
    });
    let gateway = start(&[&all_to(address)]);
    let mut client = gateway.client();
    client.send_raw("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nfirst");
    let response = client.read_response();
    assert_eq!((response.status, response.text()), (403, "no"));
    drop(endpoint.join().unwrap());
}

#[test]
fn a_connection_that_failed_is_not_used_again() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly some",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nonly some",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nonly some\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ] {
        // The connection stays open, and could take another request.
        let upstream = Upstream::with(move |request, stream| {
            let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let answer = if request.target == "/broken" {
                broken
            } else {
                good
            };
            stream.write_all(answer.as_bytes())?;
            Ok(Then::KeepAlive)
        });
        let gateway = start(&[
            "[server]\nworkers = 1\n",
            &all_to(upstream.address()),
            "idle_timeout = \"200ms\"\n",
        ]);
        assert_eq!(gateway.get("/").text(), "ok");
        match gateway.client().try_send(&Request::get("/broken")) {
            Ok(answer) => assert_fault(&answer, 502, "upstream_protocol"),
            Err(_cut) => {}
        }
        assert_eq!(gateway.get("/").text(), "ok", "{broken:?}");
        let used: Vec<_> = upstream
            .received()
            .iter()
            .map(|one| one.connection)
            .collect();
        assert_eq!(used, [0, 0, 1], "{broken:?}");
    }
}
