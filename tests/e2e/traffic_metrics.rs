//! `/metrics`: the traffic of routes, endpoints and filters, and the figures of the process.

use windlass_tests::{ClosedPort, Gateway, Metrics, Request, Upstream};

use crate::config::{api_key, filtered, key, start, upstream};

const ROUTES: &str = "[api.shop]\nstage = \"prod\"\n\
     [[route]]\nname = \"orders\"\napi = \"shop\"\npath = \"/orders\"\nupstream = \"app\"\n\
     [[route]]\nname = \"gone\"\npath = \"/gone\"\nrespond = { status = 410 }\n";

/// The counters of a route, once they have so many requests.
fn of_route(gateway: &Gateway, route: &str, requests: f64) -> Metrics {
    let labels = [("route", route)];
    gateway.metrics_when("the requests of a route", |metrics| {
        metrics.with("windlass_route_requests_total", &labels) == requests
    })
}

#[test]
fn a_route_counts_its_requests_by_api_and_status_class() {
    let endpoint = Upstream::text("four");
    let gateway = start(&[ROUTES, &upstream("app", &[endpoint.address()])]);
    for _ in 0..3 {
        assert_eq!(gateway.send(&Request::post("/orders", "12345")).status, 200);
    }
    assert_eq!(gateway.get("/gone").status, 410);
    assert_eq!(gateway.get("/nothing").status, 404);
    of_route(&gateway, "orders", 3.0);
    of_route(&gateway, "gone", 1.0);
    let metrics = of_route(&gateway, "", 1.0);
    for (api, route, class, requests, sent, received) in [
        ("shop", "orders", "2xx", 3.0, 12.0, 15.0),
        ("", "gone", "4xx", 1.0, 0.0, 0.0),
    ] {
        let labels = [("api", api), ("route", route)];
        let by_class = [labels[0], labels[1], ("class", class)];
        let with = |name| metrics.with(name, &labels);
        assert_eq!(
            metrics.with("windlass_route_requests_total", &by_class),
            requests
        );
        assert_eq!(with("windlass_route_request_seconds_count"), requests);
        assert_eq!(with("windlass_route_response_bytes_total"), sent);
        assert_eq!(with("windlass_route_request_bytes_total"), received);
        let all = [labels[0], labels[1], ("le", "+Inf")];
        assert_eq!(
            metrics.with("windlass_route_request_seconds_bucket", &all),
            requests
        );
        assert!(with("windlass_route_request_seconds_sum") > 0.0);
    }
}

#[test]
fn an_unused_route_has_no_series() {
    let gateway = start(&[ROUTES, &upstream("app", &[ClosedPort::new().address()])]);
    assert_eq!(gateway.get("/gone").status, 410);
    let metrics = of_route(&gateway, "gone", 1.0);
    let routes = metrics.by("windlass_route_requests_total", "route");
    assert_eq!(routes.keys().collect::<Vec<_>>(), ["gone"]);
}

#[test]
fn a_reload_keeps_the_counts_of_a_route() {
    let gateway = start(&[ROUTES, &upstream("app", &[ClosedPort::new().address()])]);
    assert_eq!(gateway.get("/gone").status, 410);
    of_route(&gateway, "gone", 1.0);
    let lines = gateway
        .reload("[[route]]\nname = \"gone\"\npath = \"/gone\"\nrespond = { status = 404 }\n");
    assert!(lines.last().unwrap().contains("in use"), "{lines:?}");
    assert_eq!(gateway.get("/gone").status, 404);
    let metrics = of_route(&gateway, "gone", 2.0);
    assert_eq!(metrics["windlass_last_reload_successful"], 1.0);
    assert!(metrics["windlass_last_reload_timestamp_seconds"] > 1.7e9);
    gateway.reload("[[route]]\nnothing = 1\n");
    assert_eq!(gateway.metrics()["windlass_last_reload_successful"], 0.0);
}

#[test]
fn an_endpoint_counts_its_responses_and_their_times() {
    let endpoint = Upstream::text("four");
    let gateway = start(&[ROUTES, &upstream("app", &[endpoint.address()])]);
    assert_eq!(gateway.get("/orders").status, 200);
    assert_eq!(gateway.get("/orders").status, 200);
    let metrics = of_route(&gateway, "orders", 2.0);
    let address = endpoint.address().to_string();
    let labels = [("upstream", "app"), ("endpoint", &*address)];
    let with = |name| metrics.with(name, &labels);
    assert_eq!(with("windlass_endpoint_responses_total"), 2.0);
    assert_eq!(with("windlass_endpoint_response_seconds_count"), 2.0);
    let connects = metrics.with("windlass_upstream_connect_seconds_count", &labels[..1]);
    assert_eq!(connects, metrics["windlass_upstream_connects_total"]);
}

#[test]
fn health_checks_are_counted_by_result() {
    let (good, bad) = (Upstream::text("one"), ClosedPort::new());
    let gateway = start(&[
        "[[route]]\npath = \"/\"\nupstream = \"app\"\n",
        &upstream("app", &[good.address(), bad.address()]),
        "health = { path = \"/\", interval = \"100ms\" }\n",
    ]);
    gateway.metrics_when("checks with both results", |metrics| {
        ["passed", "failed"].iter().all(|result| {
            let labels = [("upstream", "app"), ("result", *result)];
            metrics.with("windlass_upstream_health_checks_total", &labels) > 0.0
        })
    });
}

#[test]
fn the_process_has_the_figures_that_every_program_has() {
    let gateway = start(&["[[route]]\npath = \"/\"\nrespond = {}\n"]);
    let metrics = gateway.metrics();
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    ] {
        assert!(metrics[name] > 0.0, "{name}");
    }
    // A young process may have used less than a tick of the kernel's clock.
    assert!(metrics["process_cpu_seconds_total"] >= 0.0);
    assert_eq!(
        metrics["process_max_fds"],
        metrics["windlass_open_files_limit"]
    );
}

#[test]
fn a_plan_counts_its_charges_by_result() {
    let endpoint = Upstream::text("one");
    let config = filtered(&["keys", "plan"], endpoint.address())
        + &api_key("{}")
        + "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n"
        + &key("k", "acme", "a-key-that-is-good", "plan = \"gold\"")
        + &key("l", "other", "another-key-that-is-good", "plan = \"small\"")
        + "\n[plan.gold]\nrate = 0.001\nburst = 2\n[plan.small]\nquota = { limit = 1, period = \"month\" }\n";
    let gateway = Gateway::with_config(&config).start();
    let send = |key: &str| {
        gateway
            .send(&Request::get("/").header("x-api-key", key))
            .status
    };
    for status in [200, 200, 429] {
        assert_eq!(send("a-key-that-is-good"), status);
    }
    for status in [200, 429] {
        assert_eq!(send("another-key-that-is-good"), status);
    }
    gateway.reload(&config);
    let metrics = gateway.metrics();
    for (plan, result, count) in [
        ("gold", "admitted", 2.0),
        ("gold", "throttled", 1.0),
        ("gold", "quota_spent", 0.0),
        ("small", "admitted", 1.0),
        ("small", "quota_spent", 1.0),
    ] {
        let labels = [("plan", plan), ("result", result)];
        let counted = metrics.with("windlass_plan_charges_total", &labels);
        assert_eq!(counted, count, "{plan} {result}");
    }
}
