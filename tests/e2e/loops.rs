//! Requests that come back to Windlass end, whatever is in between.

use std::net::SocketAddr;

use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::{all_to, start, upstream};
use crate::wire;

fn via(gateway: &Gateway, endpoint: SocketAddr, more: &str) {
    let told = gateway.reload(format!("{}{more}", all_to(endpoint)));
    let last = told.last().unwrap();
    assert!(last.contains("is in use"), "{told:?}");
}

/// A gateway whose upstream is itself, or a server that leads back to it.
fn looped(more: &str) -> Gateway {
    let nobody = windlass_tests::ClosedPort::new();
    let gateway = start(&[&all_to(nobody.address())]);
    via(&gateway, gateway.address(), more);
    gateway
}

fn assert_refused(gateway: &Gateway) {
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (508, "loop_detected"));
    gateway.metrics_when("the end of what ran", |metrics| {
        metrics["windlass_requests_active"] == 0.0
    });
    // The client's request, and the one that came back.
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_requests_total"], 2.0);
}

#[test]
fn a_request_that_comes_back_is_refused_at_once() {
    let gateway = looped("");
    assert_refused(&gateway);
    let line =
        |line: &str| line.contains("loop_detected") && line.contains("leads back to this gateway");
    gateway.log().wait_for_line(line);
}

#[test]
fn a_loop_over_http2_is_refused_too() {
    assert_refused(&looped("protocol = \"http2\"\n"));
}

#[test]
fn a_loop_through_two_gateways_is_refused() {
    let other = looped("");
    let gateway = start(&[&all_to(other.address())]);
    via(&other, gateway.address(), "");
    for gateway in [&gateway, &other] {
        assert_eq!(gateway.get("/").code(), "loop_detected");
    }
}

#[test]
fn a_request_for_an_upgrade_is_no_way_around() {
    let gateway = looped("");
    let answer = gateway.send(
        &Request::get("/chat")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    );
    assert_eq!((answer.status, &*answer.code()), (508, "loop_detected"));
}

/// A gateway may send requests to itself, as long as no request meets a route twice.
#[test]
fn a_chain_of_routes_is_no_loop() {
    let endpoint = Upstream::echo();
    let gateway = looped("");
    let chained = format!(
        "[[route]]\npath = \"/first/{{rest+}}\"\nupstream = \"self\"\nhosts = [\"first\"]\n\
         [[route]]\npath = \"$default\"\nupstream = \"app\"\n{}{}host = \"second\"\n",
        upstream("app", &[endpoint.address()]),
        upstream("self", &[gateway.address()]),
    );
    let told = gateway.reload(chained);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    let answer = gateway.send(&Request::get("/first/a").header("host", "first"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = endpoint.only_request();
    assert_eq!(received.head.all("via").count(), 2);
}

#[test]
fn each_request_says_which_gateways_it_passed() {
    let endpoint = Upstream::fixed(Reply::status(200).header("via", "1.1 behind"));
    let gateway = start(&[
        "[server]\nvia = \"edge.example\"\n",
        &all_to(endpoint.address()),
    ]);
    let answer = gateway.send(&Request::get("/").header("via", "1.0 before"));
    assert_eq!(
        answer.header("via"),
        Some("1.1 behind"),
        "as the endpoint has it"
    );
    wire::run(async {
        let mut client = wire::http2(gateway.address(), None).await;
        let answer = client.send_request(wire::get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
    });
    let received = endpoint.received();
    let [first, second] = &*received else {
        panic!("{received:?}");
    };
    let lines: Vec<_> = first.head.all("via").collect();
    assert_eq!((lines.len(), lines[0]), (2, "1.0 before"));
    assert!(lines[1].starts_with("1.1 edge.example-"), "{lines:?}");
    assert!(
        second
            .header("via")
            .unwrap()
            .starts_with("2.0 edge.example-")
    );
}

#[test]
fn check_warns_of_an_endpoint_that_is_an_own_listener() {
    for (listener, endpoint) in [
        ("127.0.0.1:8931", "127.0.0.1:8931"),
        ("0.0.0.0:8931", "127.0.0.1:8931"),
        ("[::]:8931", "[::1]:8931"),
        ("127.0.0.1:8931", "localhost:8931"),
    ] {
        let config = format!(
            "[[listener]]\naddress = \"{listener}\"\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [{{ address = \"{endpoint}\" }}]\n"
        );
        let checked = Gateway::with_config(config).check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        let told = "is this gateway's own listener";
        assert!(
            checked.errors.contains(told),
            "{endpoint}: {}",
            checked.errors
        );
    }
}
