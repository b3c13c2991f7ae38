//! Health checks and ejection: which endpoints are available.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use windlass_tests::wait::until;
use windlass_tests::{Gateway, Metrics, Reply, Request, Then, Upstream};

use crate::config::start;
use crate::operator;

/// A route that sends every request to `app`, with these endpoints and these settings.
fn config(endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoints = endpoints
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"));
    let endpoints: Vec<String> = endpoints.collect();
    format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [{}]\n{lines}\n",
        endpoints.join(", ")
    )
}

const CHECKED: &str =
    "health = { path = \"/healthz\", interval = \"50ms\", timeout = \"500ms\", rise = 2, fall = 2 }
ejection = { faults = 0 }
retries = { attempts = 1 }";

fn available(metrics: &Metrics, endpoint: SocketAddr) -> f64 {
    let endpoint = endpoint.to_string();
    metrics.with("windlass_endpoint_available", &[("endpoint", &*endpoint)])
}

fn wait_for(gateway: &Gateway, endpoint: SocketAddr, wanted: f64) {
    gateway.metrics_when("the endpoint's state", |metrics| {
        available(metrics, endpoint) == wanted
    });
}

/// The distinct bodies of this many responses.
fn answers(gateway: &Gateway, requests: usize) -> Vec<String> {
    let report = gateway.load(Request::get("/")).connections(2).run(requests);
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.status(200), requests, "{report:?}");
    report.bodies.into_keys().collect()
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_is_well() {
    let (good, bad) = (Upstream::text("good"), Upstream::text("bad"));
    let gateway = start(&[&config(&[good.address(), bad.address()], CHECKED)]);
    assert_eq!(answers(&gateway, 100), ["bad", "good"]);
    let place = bad.kill();
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("an endpoint is unavailable"));
    assert!(
        line.contains("no connection") && line.contains(&place.to_string()),
        "{line}"
    );
    wait_for(&gateway, place, 0.0);
    assert_eq!(answers(&gateway, 100), ["good"]);
    let revived = Upstream::at(place, |_, stream| {
        Reply::status(200).body("bad").write(stream)
    });
    wait_for(&gateway, place, 1.0);
    assert_eq!(answers(&gateway, 100), ["bad", "good"]);
    assert!(revived.received().iter().any(|request| {
        request.target == "/healthz" && request.header("host") == Some(&place.to_string())
    }));
    // Each change is logged once.
    gateway
        .log()
        .wait_for_line(|line| line.contains("an endpoint is available again"));
    let log = gateway.log().text();
    assert_eq!(
        log.matches("an endpoint is unavailable").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("an endpoint is available again").count(),
        1,
        "{log}"
    );
}

#[test]
fn a_check_wants_its_status_and_its_text() {
    let status = Upstream::fixed(Reply::status(500).body("all is well"));
    let text = Upstream::fixed(Reply::status(200).body("all is lost"));
    let good = Upstream::fixed(Reply::status(204));
    let endpoints = [status.address(), text.address(), good.address()];
    let gateway = start(&[&config(
        &endpoints,
        "health = { path = \"/ready?deep=1\", method = \"HEAD\", host = \"app.internal\", expect = \"200-299\", interval = \"50ms\" }",
    )]);
    wait_for(&gateway, status.address(), 0.0);
    let check = |upstream: &Upstream| {
        let received = upstream.received();
        received
            .into_iter()
            .find(|request| request.target == "/ready?deep=1")
    };
    let seen = check(&status).unwrap();
    assert_eq!(
        (&*seen.method, seen.header("host")),
        ("HEAD", Some("app.internal"))
    );
    assert_eq!(available(&gateway.metrics(), good.address()), 1.0);
    gateway.reload(config(
        &endpoints,
        "health = { body = \"well\", interval = \"50ms\", expect = \"200,500\" }\nfail_open = \"1\"",
    ));
    // The check accepts 500 now, and the body has the expected text; the other endpoint sends
    // another text.
    wait_for(&gateway, status.address(), 1.0);
    wait_for(&gateway, text.address(), 0.0);
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("the body lacks what it must contain"));
    assert!(
        !line.contains("all is lost"),
        "what an endpoint says is not in the log"
    );
}

#[test]
fn an_endpoint_that_does_not_answer_its_check_is_not_well() {
    let hanging = Upstream::raw("", Then::Hold);
    let gateway = start(&[&config(
        &[hanging.address()],
        "health = { interval = \"50ms\", timeout = \"100ms\" }",
    )]);
    wait_for(&gateway, hanging.address(), 0.0);
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (503, "no_endpoint"));
    gateway
        .log()
        .wait_for_line(|line| line.contains("no answer within 100 ms"));
}

#[test]
fn a_tcp_check_makes_a_connection_only() {
    let endpoint = Upstream::text("here");
    let gateway = start(&[&config(
        &[endpoint.address()],
        "health = { kind = \"tcp\", interval = \"50ms\" }",
    )]);
    until("some checks", || (endpoint.connections() > 3).then_some(()));
    assert_eq!(endpoint.count(), 0, "nothing is sent");
    let place = endpoint.kill();
    wait_for(&gateway, place, 0.0);
}

#[test]
fn a_grpc_check_asks_by_the_health_protocol() {
    use crate::wire::{Body, Endpoint, Speaks};
    use http_body_util::{BodyExt as _, StreamBody};
    let serving = std::sync::Arc::new(std::sync::atomic::AtomicU8::new(1));
    let status = std::sync::Arc::clone(&serving);
    let speaks = Speaks {
        http2: true,
        ..Speaks::default()
    };
    let endpoint = Endpoint::start(speaks, move |request| {
        let status = status.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&asked[..], b"\0\0\0\0\x07\x0a\x05shops");
            let message = hyper::body::Frame::data(vec![0, 0, 0, 0, 2, 8, status].into());
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [Ok(message), Ok(hyper::body::Frame::trailers(trailers))];
            let body: Body = StreamBody::new(tokio_stream::iter(frames)).boxed_unsync();
            http::Response::new(body)
        }
    });
    let gateway = start(&[&config(
        &[endpoint.address],
        "protocol = \"http2\"\nhealth = { kind = \"grpc\", service = \"shops\", interval = \"50ms\", fall = 1, rise = 1 }",
    )]);
    until("a check", || {
        endpoint.seen(|seen| (seen.requests.len() > 1).then_some(()))
    });
    wait_for(&gateway, endpoint.address, 1.0);
    serving.store(2, std::sync::atomic::Ordering::Relaxed);
    wait_for(&gateway, endpoint.address, 0.0);
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("an endpoint is unavailable"));
    assert!(line.contains("it says that it is not serving"), "{line}");
}

#[test]
fn with_all_dead_the_gateway_fails_open_or_says_503() {
    let checks = "health = { kind = \"tcp\", interval = \"50ms\", rise = 1, fall = 1 }\nretries = { attempts = 1 }";
    for (line, status, code) in [
        ("", 503, "no_endpoint"),
        ("\nfail_open = \"50%\"", 502, "connect_failed"),
    ] {
        let (one, two) = (Upstream::text("one"), Upstream::text("two"));
        let gateway = start(&[&config(
            &[one.address(), two.address()],
            &format!("{checks}{line}"),
        )]);
        let (one, two) = (one.kill(), two.kill());
        wait_for(&gateway, one, 0.0);
        wait_for(&gateway, two, 0.0);
        let answer = gateway.get("/");
        assert_eq!((answer.status, &*answer.code()), (status, code));
        let open = gateway.metrics()["windlass_upstream_fails_open"];
        assert_eq!(open, if line.is_empty() { 0.0 } else { 1.0 });
        let _revived = Upstream::at(one, |_, stream| {
            Reply::status(200).body("one").write(stream)
        });
        wait_for(&gateway, one, 1.0);
        until("an answer", || {
            (gateway.get("/").status == 200).then_some(())
        });
    }
}

#[test]
fn faults_in_a_row_take_an_endpoint_out_for_a_while() {
    let good = Upstream::text("good");
    let bad = Upstream::fixed(Reply::status(503).body("bad"));
    let gateway = start(&[&config(
        &[good.address(), bad.address()],
        "ejection = { faults = 3, statuses = \"502-504\", backoff = \"300ms\" }\nretries = { attempts = 1 }",
    )]);
    let began = Instant::now();
    let _ = gateway.load(Request::get("/")).run(20);
    wait_for(&gateway, bad.address(), 0.0);
    assert_eq!(answers(&gateway, 20), ["good"]);
    let log = gateway
        .log()
        .wait_for_line(|line| line.contains("3 faults in a row"));
    assert!(log.contains("ejected"), "{log}");
    wait_for(&gateway, bad.address(), 1.0);
    assert!(began.elapsed() >= Duration::from_millis(300));
    // Soon after, the endpoint is ejected for twice as long.
    let _ = gateway.load(Request::get("/")).run(20);
    gateway.metrics_when("a second ejection", |metrics| {
        let endpoint = bad.address().to_string();
        metrics.with(
            "windlass_endpoint_ejections_total",
            &[("endpoint", &*endpoint)],
        ) == 2.0
    });
}

#[test]
fn no_more_than_the_largest_share_is_out_at_once() {
    let bad = [(); 3].map(|()| Upstream::fixed(Reply::status(503)));
    let gateway = start(&[&config(
        &bad.each_ref().map(Upstream::address),
        "ejection = { faults = 1, statuses = \"502-504\", backoff = \"1m\", max_share = 67 }\nretries = { attempts = 1 }",
    )]);
    let report = gateway.load(Request::get("/")).run(50);
    assert_eq!(report.status(503), 50);
    let metrics = gateway.metrics();
    assert_eq!(
        metrics["windlass_endpoint_available"], 1.0,
        "one of three is left"
    );
    // The only endpoint is never ejected.
    let alone = Upstream::fixed(Reply::status(503));
    let gateway = start(&[&config(
        &[alone.address()],
        "ejection = { faults = 1, statuses = \"502-504\" }",
    )]);
    let _ = gateway.load(Request::get("/")).run(20);
    assert_eq!(alone.count(), 20);
}

#[test]
fn too_few_good_results_take_an_endpoint_out() {
    let good = Upstream::text("good");
    let turns = std::sync::atomic::AtomicUsize::new(0);
    // Its failures never come in a row.
    let flaky = Upstream::with(move |_, stream| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let status = if turn.is_multiple_of(2) { 502 } else { 200 };
        Reply::status(status).body("flaky").write(stream)
    });
    let gateway = start(&[&config(
        &[good.address(), flaky.address()],
        "ejection = { min_success = 80, statuses = \"502-504\", min_requests = 20, interval = \"200ms\", backoff = \"1m\" }\nretries = { attempts = 1 }",
    )]);
    let load = gateway.load(Request::get("/")).start();
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("results were good"));
    assert!(line.contains("50 %") || line.contains("49 %"), "{line}");
    let _ = load.stop();
    assert_eq!(available(&gateway.metrics(), good.address()), 1.0);
    assert_eq!(answers(&gateway, 50), ["good"]);
}

#[test]
fn a_share_grows_over_the_slow_start() {
    let (old, new) = (
        Upstream::text("old").counting(),
        Upstream::text("new").counting(),
    );
    let place = new.kill();
    let gateway = start(&[&config(
        &[old.address(), place],
        "slow_start = \"2s\"\nhealth = { kind = \"tcp\", interval = \"50ms\", rise = 1, fall = 1 }",
    )]);
    wait_for(&gateway, place, 0.0);
    let _new = Upstream::at(place, |_, stream| {
        Reply::status(200).body("new").write(stream)
    })
    .counting();
    wait_for(&gateway, place, 1.0);
    let began = Instant::now();
    let early = gateway.load(Request::get("/")).run(400);
    if began.elapsed() < Duration::from_secs(1) {
        let share = early.share("new");
        assert!(share < 0.4, "{share}");
    }
    let states = gateway.metrics().by("windlass_endpoint_state", "state");
    assert!(states.contains_key("starting"), "{states:?}");
    gateway.metrics_when("the end of the slow start", |metrics| {
        metrics.by("windlass_endpoint_state", "state")["healthy"] == 2.0
    });
    let late = gateway.load(Request::get("/")).run(400).share("new");
    assert!((0.48..=0.52).contains(&late), "{late}");
}

#[test]
fn the_admin_api_shows_how_endpoints_stand() {
    let endpoint = Upstream::text("here");
    let checks = "\nhealth = { kind = \"tcp\", interval = \"50ms\", fall = 1, rise = 1 }\n";
    let gateway = operator::builder(&[], &endpoint, "").start();
    let config = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    let config = config.replace("[upstream.app]", &format!("[upstream.app]{checks}"));
    gateway.reload(&config);
    let place = endpoint.kill();
    wait_for(&gateway, place, 0.0);
    let shown = operator::get(&gateway, "/v1/upstreams/app");
    assert_eq!(shown.status, 200, "{}", shown.text());
    let shown = shown.json();
    let first = &shown["endpoints"][0];
    assert_eq!(first["address"], place.to_string());
    assert_eq!(
        (&first["state"], &first["checks_good"]),
        (&"unhealthy".into(), &false.into())
    );
    let change = &first["history"][0];
    assert_eq!(
        (&change["from"], &change["to"]),
        (&"healthy".into(), &"unhealthy".into())
    );
    assert!(
        change["reason"].as_str().unwrap().contains("no connection"),
        "{change}"
    );
    let missing = operator::get(&gateway, "/v1/upstreams/nobody");
    assert_eq!(
        (missing.status, &*missing.code()),
        (404, "no_such_upstream")
    );
}
