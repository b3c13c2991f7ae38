//! A request's id reveals nothing about other requests. If a trusted proxy sent an id, Windlass
//! uses it.

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{all_to, start};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway with the access log on standard output, and loopback as a trusted proxy.
fn trusting(upstream: &Upstream) -> Gateway {
    start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        "[log]\naccess = \"stdout\"\n",
        &all_to(upstream.address()),
    ])
}

fn number(id: &str) -> u128 {
    assert_eq!(id.len(), 32, "{id}");
    u128::from_str_radix(id, 16).unwrap()
}

#[test]
fn ids_of_one_connection_count_nothing() {
    let gateway = start(&["[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nrespond = {}\n"]);
    let mut client = gateway.client();
    let mut ids: Vec<u128> = (0..300)
        .map(|_| number(client.get("/").header("x-request-id").unwrap()))
        .collect();
    // A malformed head gets an id too.
    let broken = gateway.send_raw("GET / HTTP/1.1\r\nbad header\r\n\r\n");
    ids.push(number(broken.header("x-request-id").unwrap()));
    for pair in ids.windows(2) {
        assert!(pair[0].abs_diff(pair[1]) > 1 << 64, "{pair:x?}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 301);
}

#[test]
fn a_trusted_proxy_s_id_is_kept_and_logged() {
    let upstream = Upstream::echo();
    let gateway = trusting(&upstream);
    let longest = "x".repeat(128);
    for id in [
        "edge-1:7/a+b=",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        &longest,
    ] {
        let answer = gateway.send(&Request::get("/").header("x-request-id", id));
        assert_eq!(answer.header("x-request-id"), Some(id));
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("x-request-id"), Some(id));
        let line = format!("\"request\":\"{id}\"");
        gateway.output().wait_for_line(|text| text.contains(&line));
    }
}

#[test]
fn an_id_that_is_no_name_is_replaced() {
    let upstream = Upstream::echo();
    let gateway = trusting(&upstream);
    let long = "x".repeat(129);
    for id in ["", "a b", "a,b", "a\"b", "a\\b", "<a>", &long] {
        let answer = gateway.send(&Request::get("/").header("x-request-id", id));
        number(answer.header("x-request-id").unwrap());
    }
    // With two ids, it is unclear which one the proxy sent, so neither is used.
    let two = Request::get("/")
        .header("x-request-id", "a")
        .header("x-request-id", "b");
    number(gateway.send(&two).header("x-request-id").unwrap());
}

#[test]
fn a_stranger_names_no_request() {
    let upstream = Upstream::echo();
    let gateway = start(&["[log]\naccess = \"stdout\"\n", &all_to(upstream.address())]);
    let request = Request::get("/")
        .header("x-request-id", "mine")
        .header("traceparent", TRACE);
    number(gateway.send(&request).header("x-request-id").unwrap());
    let line = gateway.output().wait_for_line(|line| line.starts_with('{'));
    assert!(
        !line.contains("mine") && !line.contains("4bf92f35"),
        "{line}"
    );
}

#[test]
fn a_trusted_proxy_s_trace_is_kept_and_logged() {
    let upstream = Upstream::echo();
    let gateway = trusting(&upstream);
    let sent = Request::get("/")
        .header("traceparent", TRACE)
        .header("tracestate", "a=1");
    assert_eq!(gateway.send(&sent).status, 200);
    let request = upstream.received().pop().unwrap();
    assert_eq!(request.header("traceparent"), Some(TRACE));
    assert_eq!(request.header("tracestate"), Some("a=1"));
    let line = format!("\"traceparent\":\"{TRACE}\"");
    gateway.output().wait_for_line(|text| text.contains(&line));
    for bad in [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f35-00f067aa0ba902b7-01",
        "nonsense",
    ] {
        let before = gateway.output().count();
        assert_eq!(
            gateway
                .send(&Request::get("/").header("traceparent", bad))
                .status,
            200
        );
        let line = gateway
            .output()
            .wait_from(before, |line| line.starts_with('{'));
        assert!(!line.contains("traceparent"), "{bad}: {line}");
    }
}
