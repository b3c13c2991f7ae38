//! Endpoints that leave, because they are drained, removed, or no longer configured: Windlass cuts
//! the requests that are still active when the drain time ends.

use std::net::SocketAddr;

use windlass_tests::{Gateway, Reply, Request, Then, Upstream, http};

use crate::config::{all_to, upstream};
use crate::operator::{self, READ, STORE, WRITE};
use crate::upgrade::{agreed, shouting};
use crate::wire::{Endpoint, Speaks};

/// A gateway with the admin API and a drain time of 300 ms.
fn start(config: &str) -> Gateway {
    Gateway::with_config(format!("{config}drain_timeout = \"300ms\"\n{STORE}"))
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start()
}

fn path(endpoint: SocketAddr) -> String {
    format!("/v1/upstreams/app/endpoints/{endpoint}")
}

fn drain(gateway: &Gateway, endpoint: SocketAddr) {
    let answer = operator::call(gateway, "PATCH", &path(endpoint), "{\"drain\":true}");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// An endpoint that begins a response and never ends it.
fn endless() -> Upstream {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n";
    Upstream::raw(head, Then::Hold)
}

/// An endpoint that accepts requests and never responds.
fn silent() -> Upstream {
    Upstream::raw("", Then::Hold)
}

/// Begin a stream, call `leave`, and check that the stream is cut.
fn assert_cut(gateway: &Gateway, endpoint: &Upstream, leave: impl FnOnce()) {
    let mut client = gateway.client();
    client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    leave();
    let answer = client.try_read(false, true);
    assert!(answer.is_err(), "{answer:?}");
    endpoint.wait_for_no_connection();
    gateway.log().wait_for_line(|line| {
        line.contains("did not drain within its `drain_timeout`")
            && line.contains(&endpoint.address().to_string())
            && line.contains("active=1")
    });
    gateway.metrics_when("the cut answer to be counted", |metrics| {
        metrics["windlass_responses_cut_total"] >= 1.0
    });
}

#[test]
fn a_stream_on_a_drained_endpoint_is_cut_when_its_time_is_over() {
    let endpoint = endless();
    let gateway = start(&all_to(endpoint.address()));
    assert_cut(&gateway, &endpoint, || drain(&gateway, endpoint.address()));
}

#[test]
fn a_stream_on_a_removed_endpoint_is_cut_when_its_time_is_over() {
    let endpoint = endless();
    let gateway = start(&all_to(endpoint.address()));
    assert_cut(&gateway, &endpoint, || {
        let request = operator::request("DELETE", &path(endpoint.address()));
        assert_eq!(operator::send(&gateway, &request).status, 204);
    });
}

#[test]
fn a_stream_on_an_endpoint_that_a_reload_removes_is_cut_when_its_time_is_over() {
    let (endpoint, other) = (endless(), Upstream::text("other"));
    let gateway = start(&all_to(endpoint.address()));
    assert_cut(&gateway, &endpoint, || {
        let config = all_to(other.address());
        gateway.reload(format!("{config}drain_timeout = \"300ms\"\n{STORE}"));
    });
    assert_eq!(gateway.get("/").text(), "other");
}

/// The drain time comes from the last configuration that had the endpoint.
#[test]
fn a_stream_of_an_upstream_that_a_reload_removes_is_cut_when_its_time_is_over() {
    let endpoint = endless();
    let gateway = start(&all_to(endpoint.address()));
    assert_cut(&gateway, &endpoint, || {
        gateway.reload(format!(
            "[[route]]\npath = \"/\"\nrespond = {{ status = 204 }}\n{STORE}"
        ));
    });
}

#[test]
fn a_tunnel_is_cut_when_its_endpoints_time_is_over() {
    let endpoint = shouting();
    let gateway = start(&all_to(endpoint));
    let mut stream = agreed(&gateway);
    drain(&gateway, endpoint);
    assert!(http::is_closed(&mut stream));
}

#[test]
fn a_request_that_was_not_answered_goes_elsewhere_or_is_503() {
    let (one, two) = (silent(), Upstream::text("two"));
    let gateway = start(&all_to(one.address()));
    let mut clients = ["GET", "POST"].map(|method| {
        let mut client = gateway.client();
        client.send_raw(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
        client
    });
    one.wait_for_requests(2);
    let added = format!("{{\"address\":\"{}\"}}", two.address());
    let added = operator::call(&gateway, "POST", "/v1/upstreams/app/endpoints", &added);
    assert_eq!(added.status, 201, "{}", added.text());
    drain(&gateway, one.address());
    let [repeated, once] = clients
        .each_mut()
        .map(windlass_tests::Client::read_response);
    assert_eq!((repeated.status, repeated.text()), (200, "two"));
    assert_eq!((once.status, &*once.code()), (503, "endpoint_left"));
}

#[test]
fn a_request_on_a_shared_connection_is_cut_alone() {
    let endpoint = Endpoint::start(
        Speaks {
            http2: true,
            ..Speaks::default()
        },
        |_| std::future::pending(),
    );
    let gateway = start(&(all_to(endpoint.address) + "protocol = \"http2\"\n"));
    let mut client = gateway.client();
    client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    gateway.metrics_when("the request to run", |metrics| {
        metrics["windlass_endpoint_requests_active"] == 1.0
    });
    drain(&gateway, endpoint.address);
    let answer = client.read_response();
    assert_eq!((answer.status, &*answer.code()), (503, "endpoint_left"));
    assert_eq!(client.get("/").code(), "no_endpoint");
}

/// Requests to other endpoints are not cut, whether they share the client's connection or not.
#[test]
fn only_what_runs_on_it_is_cut() {
    let (one, two) = (silent(), Upstream::gated(Reply::status(200).body("two")));
    let both = upstream("app", &[one.address(), two.address()]);
    let config = format!("[[route]]\npath = \"$default\"\nupstream = \"app\"\n{both}");
    let gateway = start(&(config + "retries = { attempts = 1 }\n"));
    let mut clients: Vec<_> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    one.wait_for_requests(1);
    two.wait_for_requests(1);
    drain(&gateway, one.address());
    gateway
        .log()
        .wait_for_line(|line| line.contains("did not drain within its `drain_timeout`"));
    gateway.metrics_when("nothing to run on it", |metrics| {
        let name = one.address().to_string();
        metrics.with("windlass_endpoint_requests_active", &[("endpoint", &*name)]) == 0.0
    });
    two.release(100);
    let mut statuses = clients
        .iter_mut()
        .map(|client| client.read_response().status)
        .collect::<Vec<_>>();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    let load = gateway.load(Request::get("/")).run(10);
    assert_eq!(load.status(200), 10);
}
