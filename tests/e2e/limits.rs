//! Limits of an upstream: active requests, connections and the queue.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Response;
use windlass_tests::wait::until;
use windlass_tests::{Reply, Request, Upstream};

use crate::config::start;
use crate::wire::{Endpoint, Speaks, empty};

fn config(endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoints = endpoints
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"));
    let endpoints: Vec<String> = endpoints.collect();
    format!(
        "[server]\nworkers = 2\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{}]\n{lines}\n",
        endpoints.join(", ")
    )
}

/// With fewer permits than workers, no worker starves and no request is refused.
#[test]
fn one_place_serves_all_workers_in_turn() {
    let endpoint =
        Upstream::slow(Duration::from_millis(1), Reply::status(200).body("ok")).counting();
    let gateway = start(&[&config(
        &[endpoint.address()],
        "limits = { max_active = 1, queue_timeout = \"30s\" }",
    )]);
    let report = gateway.load(Request::get("/")).connections(16).run(1000);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (1000, 0),
        "{report:?}"
    );
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_upstream_requests_waiting"], 0.0);
    assert_eq!(metrics["windlass_endpoint_requests_active"], 0.0);
}

#[test]
fn beyond_the_queue_and_its_time_it_is_503_with_retry_after() {
    let endpoint = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = start(&[&config(
        &[endpoint.address()],
        "limits = { max_active = 1, queue = 1, queue_timeout = \"300ms\" }",
    )]);
    let running = gateway.load(Request::get("/")).start();
    endpoint.wait_for_requests(1);
    let began = Instant::now();
    let late = gateway.get("/");
    assert_eq!((late.status, &*late.code()), (503, "overloaded"));
    assert_eq!(late.header("retry-after"), Some("1"));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    // One request waits in the queue, and the next one is refused.
    let waiting = gateway.load(Request::get("/")).start();
    gateway.metrics_when("one that waits", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 1.0
    });
    let began = Instant::now();
    let refused = gateway.get("/");
    assert_eq!((refused.status, &*refused.code()), (503, "overloaded"));
    assert!(began.elapsed() < Duration::from_millis(250));
    assert!(gateway.metrics()["windlass_upstream_requests_overloaded_total"] >= 2.0);
    endpoint.release(1000);
    let (running, waiting) = (running.stop(), waiting.stop());
    assert!(running.status(200) > 0 && !waiting.statuses.is_empty());
    assert_eq!(endpoint.received().len(), endpoint.count());
}

#[test]
fn an_endpoint_never_has_more_than_its_maximum() {
    let endpoints = [(); 2].map(|()| Upstream::gated(Reply::status(200).body("ok")));
    let gateway = start(&[&config(
        &endpoints.each_ref().map(Upstream::address),
        "balance = \"least-connections\"\nlimits = { max_active = 3, queue_timeout = \"30s\" }",
    )]);
    let load = gateway.load(Request::get("/")).connections(20).start();
    gateway.metrics_when("the queue", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 14.0
    });
    for endpoint in &endpoints {
        endpoint.wait_for_requests(3);
    }
    assert_eq!(endpoints.each_ref().map(Upstream::count), [3, 3]);
    assert_eq!(gateway.metrics()["windlass_endpoint_requests_active"], 6.0);
    for endpoint in &endpoints {
        endpoint.release(100_000);
    }
    load.wait_for_more(100);
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.len(), 1, "{:?}", report.statuses);
}

/// Connections are counted over all workers. A worker closes unused ones if another worker needs
/// one.
#[test]
fn one_connection_serves_all_workers() {
    let endpoint = Upstream::text("ok").counting();
    let gateway = start(&[&config(
        &[endpoint.address()],
        "limits = { max_connections = 1, queue_timeout = \"30s\" }",
    )]);
    let report = gateway.load(Request::get("/")).connections(8).run(200);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (200, 0),
        "{report:?}"
    );
    assert!(gateway.metrics()["windlass_endpoint_connections"] <= 1.0);
}

/// A worker gives up a shared connection for another worker while requests still use it.
#[test]
fn one_shared_connection_serves_all_workers() {
    let speaks = Speaks {
        http2: true,
        ..Speaks::default()
    };
    let count = std::cell::Cell::new(0);
    let endpoint = Endpoint::start(speaks, move |_| {
        let number: u64 = count.replace(count.get() + 1);
        async move {
            // This delay is what the endpoint simulates, so that its connection is never idle.
            tokio::time::sleep(Duration::from_millis(5 + number % 7)).await;
            Response::new(empty())
        }
    });
    let gateway = start(&[&config(
        &[endpoint.address],
        "protocol = \"http2\"\nlimits = { max_connections = 1, queue_timeout = \"2s\" }",
    )]);
    let report = gateway.load(Request::get("/")).connections(16).run(3000);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (3000, 0),
        "{report:?}"
    );
    assert!(gateway.metrics()["windlass_endpoint_connections"] <= 1.0);
    assert!(
        endpoint.seen(|seen| seen.connections) > 1,
        "both had a turn"
    );
}

/// A worker does not give up a connection for its own waiting request, which can use it as soon as
/// a stream ends.
#[test]
fn a_shared_connection_is_not_given_up_for_its_own_worker() {
    let speaks = Speaks {
        http2: true,
        most: Some(2),
        ..Speaks::default()
    };
    let (release, released) = tokio::sync::watch::channel(false);
    let endpoint = Endpoint::start(speaks, move |request| {
        let (path, mut released) = (request.uri().path().to_owned(), released.clone());
        async move {
            match &*path {
                "/never" => std::future::pending().await,
                "/later" => drop(released.wait_for(|released| *released).await),
                _ => {}
            }
            Response::new(empty())
        }
    });
    let limits = "limits = { max_connections = 1, queue_timeout = \"300ms\" }";
    let config = config(
        &[endpoint.address],
        &format!("protocol = \"http2\"\n{limits}"),
    );
    let gateway = start(&[&config.replace("workers = 2", "workers = 1")]);
    let mut clients = ["/never", "/later"].map(|path| {
        let mut client = gateway.client();
        client.send_raw(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        client
    });
    until("both to run", || {
        endpoint.seen(|seen| (seen.requests.len() == 2).then_some(()))
    });
    let refused = gateway.get("/");
    assert_eq!((refused.status, &*refused.code()), (503, "overloaded"));
    release.send(true).unwrap();
    assert_eq!(clients[1].read_response().status, 200);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

/// A connection that was given up while a stream runs on it is used again if no other worker waits
/// any more.
#[test]
fn a_shared_connection_that_was_given_up_is_used_again() {
    let speaks = Speaks {
        http2: true,
        ..Speaks::default()
    };
    let endpoint = Endpoint::start(speaks, |request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(empty())
    });
    let limits = "protocol = \"http2\"\nlimits = { max_connections = 1, queue_timeout = \"1s\" }";
    let gateway = start(&[&config(&[endpoint.address], limits)]);
    let mut stream = gateway.client();
    stream.send_raw("GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    until("the stream", || {
        endpoint.seen(|seen| (!seen.requests.is_empty()).then_some(()))
    });
    // One client of the worker that has the connection, and one of the other worker, which waits in
    // vain.
    let (mut has, mut lacks) = (None, None);
    until("clients of both workers", || {
        let mut client = gateway.client();
        match client.send(&Request::get("/")).status {
            200 => has = Some(client),
            503 => lacks = Some(client),
            other => panic!("{other}"),
        }
        (has.is_some() && lacks.is_some()).then_some(())
    });
    let (mut has, mut lacks) = (has.unwrap(), lacks.unwrap());
    assert_eq!(lacks.send(&Request::get("/")).code(), "overloaded");
    assert_eq!(has.send(&Request::get("/")).status, 200);
    // A request that began to wait meanwhile on the connection's own worker still gets its
    // response.
    lacks.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    gateway.metrics_when("one that waits", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 1.0
    });
    windlass_tests::wait::moment(Instant::now() + Duration::from_millis(700));
    assert_eq!(has.send(&Request::get("/")).status, 200);
    assert_eq!(lacks.read_response().status, 503);
    let metrics = gateway.metrics();
    assert!(metrics["windlass_upstream_requests_overloaded_total"] >= 2.0);
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

/// When a request on a shared connection ends, a waiting request may use it.
#[test]
fn room_on_a_shared_connection_is_for_those_who_wait() {
    let speaks = Speaks {
        http2: true,
        most: Some(2),
        ..Speaks::default()
    };
    let (release, released) = tokio::sync::watch::channel(false);
    let endpoint = Endpoint::start(speaks, move |_| {
        let mut released = released.clone();
        async move {
            drop(released.wait_for(|released| *released).await);
            Response::new(empty())
        }
    });
    let config = config(
        &[endpoint.address],
        "protocol = \"http2\"\nlimits = { max_connections = 1, queue_timeout = \"30s\" }",
    );
    let gateway = start(&[&config.replace("workers = 2", "workers = 1")]);
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    gateway.metrics_when("all but two to wait", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 18.0
    });
    let began = Instant::now();
    release.send(true).unwrap();
    for client in &mut clients {
        assert_eq!(client.read_response().status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

/// Requests that wait since an earlier configuration do not hold up those of the next one.
#[test]
fn a_reload_with_another_endpoint_lets_those_go_on_who_come() {
    let silent = Upstream::gated(Reply::status(200).body("late"));
    let other = Upstream::text("other");
    let limits = "limits = { max_active = 1, queue_timeout = \"20s\" }";
    let gateway = start(&[&config(&[silent.address()], limits)]);
    let mut clients: Vec<_> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    gateway.metrics_when("one that waits", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 1.0
    });
    gateway.reload(config(&[other.address()], limits));
    let began = Instant::now();
    assert_eq!(gateway.get("/").text(), "other");
    assert!(began.elapsed() < Duration::from_secs(10));
    silent.release(2);
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "late");
    }
}

/// If the limit is raised or removed, waiting requests proceed.
#[test]
fn a_reload_lets_those_go_on_who_wait() {
    let endpoint = Upstream::gated(Reply::status(200).body("ok"));
    let config = |limits: &str| config(&[endpoint.address()], limits);
    let gateway = start(&[&config(
        "limits = { max_active = 1, queue_timeout = \"1m\" }",
    )]);
    let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    gateway.metrics_when("three that wait", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 3.0
    });
    gateway.reload(config(
        "limits = { max_active = 2, queue_timeout = \"1m\" }",
    ));
    endpoint.wait_for_requests(2);
    gateway.reload(config(""));
    endpoint.wait_for_requests(4);
    endpoint.release(4);
    for client in &mut clients {
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn a_client_that_goes_away_gives_its_place_back() {
    let endpoint = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = start(&[&config(
        &[endpoint.address()],
        "limits = { max_active = 1, queue_timeout = \"30s\" }",
    )]);
    let mut first = gateway.client();
    first.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    let mut second = gateway.client();
    second.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut third = gateway.client();
    third.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    gateway.metrics_when("two that wait", |metrics| {
        metrics["windlass_upstream_requests_waiting"] == 2.0
    });
    drop((first, second));
    endpoint.release(100);
    assert_eq!(third.read_response().status, 200);
    until("all places to be free", || {
        let metrics = gateway.metrics();
        let active = metrics["windlass_endpoint_requests_active"];
        let waiting = metrics["windlass_upstream_requests_waiting"];
        (active == 0.0 && waiting == 0.0).then_some(())
    });
}

/// The total time-out includes the wait in the queue.
#[test]
fn the_total_time_out_is_that_of_the_wait_too() {
    let endpoint = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = start(&[
        "[[route]]\npath = \"/short\"\nupstream = \"app\"\ntotal_timeout = \"300ms\"\n",
        &config(
            &[endpoint.address()],
            "limits = { max_active = 1, queue_timeout = \"1m\" }",
        ),
    ]);
    let mut first = gateway.client();
    first.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    let began = Instant::now();
    let answer = gateway.get("/short");
    assert_eq!((answer.status, &*answer.code()), (504, "total_timeout"));
    assert!(began.elapsed() < Duration::from_secs(10));
    let call = Request::post("/short", "x")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "200m");
    let answer = gateway.send(&call);
    assert_eq!(answer.header("grpc-status"), Some("4"), "{answer:?}");
    endpoint.release(1);
    assert_eq!(first.read_response().status, 200);
}

/// The endpoint's time-out starts when the request leaves the queue.
#[test]
fn a_wait_for_room_is_not_taken_from_the_endpoints_time() {
    let slow = Upstream::slow(Duration::from_millis(400), Reply::status(200).body("ok"));
    let gateway = start(&[&config(
        &[slow.address()],
        "limits = { max_active = 1, queue_timeout = \"30s\" }\nfirst_byte_timeout = \"2s\"",
    )]);
    // The last request waits for eight others: longer than the time-out of one.
    let report = gateway.load(Request::get("/")).connections(9).run(9);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (9, 0),
        "{report:?}"
    );
}
