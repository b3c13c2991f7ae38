//! The operator's listener.

use windlass_tests::{Request, Upstream};

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
    // The operator's paths are not the clients'.
    assert_eq!(gateway.get("/metrics").text(), "ok");
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
