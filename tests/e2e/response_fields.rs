//! Responses with many fields: as many over HTTP/1.1 as over HTTP/2, up to a limit of their own.

use std::io::Write as _;

use windlass_tests::{Gateway, Request, Then, Upstream};

use crate::config::{all_to, start};
use crate::wire::{self, Endpoint, Speaks, run};

/// An endpoint whose responses have as many cookies as the path says.
fn cookies() -> Upstream {
    Upstream::with(|request, stream| {
        let count: usize = request.target[1..].parse().unwrap();
        let fields = (0..count).map(|n| format!("set-cookie: c{n}=1\r\n"));
        let fields: String = fields.collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\nx-last: 1\r\n\r\nok");
        stream.write_all(answer.as_bytes())?;
        Ok(Then::KeepAlive)
    })
}

fn assert_passes(gateway: &Gateway, counts: &[usize]) {
    let mut client = gateway.client();
    for count in counts {
        for request in [
            Request::get(format!("/{count}")),
            Request::post(format!("/{count}"), "x"),
        ] {
            let answer = client.send(&request);
            assert_eq!((answer.status, answer.text()), (200, "ok"), "{count}");
            let cookies = answer.headers("set-cookie");
            assert_eq!(cookies.len(), *count);
            if let Some(last) = cookies.last() {
                assert_eq!(*last, format!("c{}=1", count - 1), "in order");
            }
            assert_eq!(answer.header("x-last"), Some("1"));
        }
    }
}

#[test]
fn a_response_may_have_many_fields() {
    let endpoint = cookies();
    let gateway = start(&["[server]\nworkers = 1\n", &all_to(endpoint.address())]);
    assert_passes(&gateway, &[0, 97, 98, 99, 100, 101, 400, 998, 1]);
    assert!(endpoint.connections() <= 2, "connections are used again");
}

#[test]
fn more_than_the_bound_is_502_and_the_log_names_the_key() {
    let endpoint = cookies();
    let gateway = start(&[&all_to(endpoint.address()), "max_headers = 150\n"]);
    assert_passes(&gateway, &[148]);
    for count in [149, 400] {
        let answer = gateway.get(&format!("/{count}"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (502, "upstream_protocol"),
            "{count}"
        );
    }
    let line = |line: &str| line.contains("more than 150 fields") && line.contains("`max_headers`");
    gateway.log().wait_for_line(line);
    let few = start(&[&all_to(endpoint.address()), "max_headers = 10\n"]);
    assert_passes(&few, &[8]);
    assert_eq!(few.get("/9").status, 502);
    // This is not a fault of the endpoint: it may respond with fewer fields on other routes.
    assert_eq!(gateway.metrics()["windlass_endpoint_faults_total"], 0.0);
}

#[test]
fn the_bound_holds_over_http2_too() {
    let speaks = Speaks {
        http2: true,
        ..Speaks::default()
    };
    let endpoint = Endpoint::start(speaks, |request| async move {
        let count: usize = request.uri().path()[1..].parse().unwrap();
        let mut answer = http::Response::new(wire::full("ok"));
        for n in 0..count {
            let cookie = format!("c{n}=1").parse().unwrap();
            answer.headers_mut().append("set-cookie", cookie);
        }
        answer
    });
    let gateway = start(&[
        &all_to(endpoint.address),
        "protocol = \"http2\"\nmax_headers = 150\n",
    ]);
    assert_eq!(gateway.get("/140").headers("set-cookie").len(), 140);
    assert_eq!(gateway.get("/151").code(), "upstream_protocol");
    run(async {
        let mut client = wire::http2(gateway.address(), None).await;
        let answer = client.send_request(wire::get("/140")).await.unwrap();
        assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 140);
    });
}

/// The split of the head into segments, and an interim response before it, make no difference.
#[test]
fn a_large_head_that_comes_in_pieces_is_read() {
    let endpoint = Upstream::with(|_, stream| {
        let fields = (0..300).map(|n| format!("set-cookie: c{n}=1\r\n"));
        let fields: String = fields.collect();
        let answer = format!(
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n{fields}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        );
        for piece in answer.as_bytes().chunks(700) {
            stream.write_all(piece)?;
            stream.flush()?;
        }
        Ok(Then::KeepAlive)
    });
    let gateway = start(&[&all_to(endpoint.address())]);
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        assert_eq!(answer.headers("set-cookie").len(), 300);
    }
}
