//! The admin listener.

use std::io::{Read as _, Write as _};

use windlass_tests::{Client, Request, Upstream};

use crate::config::{all_to, start};

#[test]
fn a_running_gateway_is_live_and_ready() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[&all_to(upstream.address())]);
    for path in ["/livez", "/readyz"] {
        let answer = gateway.admin(path);
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
    }
    assert_eq!(gateway.admin("/anything").status, 404);
    // The admin paths exist only on the admin listener.
    assert_eq!(gateway.get("/metrics").text(), "ok");
}

#[test]
fn rfc9112_3_2_a_request_of_the_operator_names_exactly_one_host() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[&all_to(upstream.address())]);
    for (hosts, status) in [
        ("host: a\r\n", 200),
        ("host: [::1]:9080\r\n", 200),
        ("", 400),
        ("host: a\r\nhost: a\r\n", 400),
        ("host: a\r\nhost: b\r\n", 400),
        ("host: \r\n", 400),
        ("host: a b\r\n", 400),
        ("host: u@a\r\n", 400),
    ] {
        let mut client = Client::connect(gateway.admin_address());
        client.send_raw(format!("GET /livez HTTP/1.1\r\n{hosts}\r\n"));
        let answer = client.read_response();
        assert_eq!(answer.status, status, "{hosts:?}");
        assert!(answer.header("x-request-id").is_some(), "{hosts:?}");
        if status == 400 {
            assert_eq!(answer.code(), "bad_host", "{hosts:?}");
        }
    }
    // HTTP/1.0 has no `Host`.
    let mut client = Client::connect(gateway.admin_address()).sender();
    client.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

#[test]
fn metrics_count_what_happened() {
    let upstream = Upstream::text("four");
    let gateway = start(&[
        "[[route]]\npath = \"/known\"\nmethods = [\"POST\"]\nupstream = \"app\"\n",
        &all_to(upstream.address()).replacen("$default", "/app", 1),
    ]);
    assert_eq!(gateway.send(&Request::post("/app", "12345")).status, 200);
    assert_eq!(gateway.get("/nothing").status, 404);
    assert_eq!(gateway.get("/known").status, 405);
    let metrics = gateway.metrics_when("the last exchange to end", |metrics| {
        metrics["windlass_connections_open"] == 0.0
    });
    assert_eq!(metrics["windlass_requests_total"], 3.0);
    assert_eq!(metrics["windlass_requests_active"], 0.0);
    assert_eq!(metrics["windlass_connections_total"], 3.0);
    assert_eq!(
        metrics.with("windlass_responses_total", &[("class", "2xx")]),
        1.0
    );
    assert_eq!(
        metrics.with("windlass_responses_total", &[("class", "4xx")]),
        2.0
    );
    let code = |code| metrics.with("windlass_errors_total", &[("code", code)]);
    assert_eq!((code("no_route"), code("method_not_allowed")), (1.0, 1.0));
    assert_eq!(metrics["windlass_request_bytes_total"], 5.0);
    assert_eq!(metrics["windlass_upstream_attempts_total"], 1.0);
    assert_eq!(metrics["windlass_upstream_connects_total"], 1.0);
}
