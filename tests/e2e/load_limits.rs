//! Limits on a client's connections and on the load of the whole gateway.

use std::io::Write as _;

use windlass_tests::wait::until;
use windlass_tests::{Client, Gateway, Metrics, Reply, Request, Upstream};

use crate::config::{all_to, start};
use crate::http2_floods::{GOAWAY, HEADERS, connection, frame, read_frame};

const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
/// `GET`, `http`, `/` and the authority `a`, as a whole request.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const END: u8 = 5;

fn hits(metrics: &Metrics, limit: &str) -> f64 {
    metrics.with("windlass_limits_hit_total", &[("limit", limit)])
}

/// A connection that a proxy opens for the client with this address.
fn proxied(gateway: &Gateway, client: &str) -> Client {
    let mut proxied = gateway.client();
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let to = if client.contains(':') {
        "::1"
    } else {
        "127.0.0.1"
    };
    proxied.send_raw(format!("PROXY {family} {client} {to} 56324 443\r\n"));
    proxied
}

/// Whether the gateway serves this client.
fn is_served(client: &mut Client) -> bool {
    matches!(client.try_send(&Request::get("/")), Ok(answer) if answer.status == 200)
}

#[test]
fn a_client_has_at_most_so_many_connections_and_others_are_served() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        "[server]\nworkers = 2\n",
        LISTENER,
        "max_connections_per_client = 2\nproxy_protocol = { from = [\"127.0.0.0/8\"] }\n",
        &all_to(upstream.address()),
    ]);
    for (client, neighbour, other) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ff::1", "2001:db8:0:2::1"),
    ] {
        let before = hits(&gateway.metrics(), "connections_per_client");
        let mut first = proxied(&gateway, client);
        let mut second = proxied(&gateway, client);
        assert!(is_served(&mut first) && is_served(&mut second));
        assert!(!is_served(&mut proxied(&gateway, neighbour)), "{client}");
        assert!(is_served(&mut proxied(&gateway, other)), "{client}");
        assert!(is_served(&mut first) && is_served(&mut second));
        let now = hits(&gateway.metrics(), "connections_per_client");
        assert_eq!(now - before, 1.0);
        drop(first);
        until("room for another connection of the client", || {
            is_served(&mut proxied(&gateway, neighbour)).then_some(())
        });
        drop(second);
    }
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("max_connections_per_client"));
    assert!(line.contains("192.0.2.1"), "{line}");
}

#[test]
fn the_bound_of_a_client_holds_without_a_proxy_and_not_for_a_trusted_one() {
    let upstream = Upstream::text("ok");
    let config = |server: &str| {
        [
            server,
            LISTENER,
            "max_connections_per_client = 1\n",
            &all_to(upstream.address()),
        ]
        .concat()
    };
    let gateway = start(&[&config("")]);
    let mut first = gateway.client();
    assert!(is_served(&mut first));
    assert!(!is_served(&mut gateway.client()));
    assert!(is_served(&mut first));
    let trusting = start(&[&config("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")]);
    let mut proxies = [(); 3].map(|()| trusting.client());
    assert!(proxies.iter_mut().all(is_served));
    assert_eq!(hits(&trusting.metrics(), "connections_per_client"), 0.0);
}

#[test]
fn rfc9112_9_6_the_last_request_of_a_connection_is_answered_with_close() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        LISTENER,
        "max_requests_per_connection = 2\n",
        &all_to(upstream.address()),
    ]);
    let mut client = gateway.client();
    assert_eq!(client.get("/").header("connection"), None);
    let last = client.get("/");
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed());
    assert_eq!(hits(&gateway.metrics(), "requests_per_connection"), 1.0);
}

#[test]
fn rfc9113_6_8_after_the_last_request_of_a_connection_comes_goaway() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        LISTENER,
        "max_requests_per_connection = 2\n",
        &all_to(upstream.address()),
    ]);
    let mut stream = connection(&gateway, &frame(HEADERS, END, 1, GET));
    stream.write_all(&frame(HEADERS, END, 3, GET)).unwrap();
    let (mut answers, mut codes) = (0, Vec::new());
    while let Some((kind, payload)) = read_frame(&mut stream) {
        match kind {
            HEADERS => answers += 1,
            GOAWAY => codes.push(payload[4..8].to_vec()),
            _ => {}
        }
    }
    assert_eq!(answers, 2);
    assert!(
        !codes.is_empty() && codes.iter().all(|code| *code == [0; 4]),
        "{codes:?}"
    );
}

#[test]
fn beyond_the_active_requests_it_is_503_with_retry_after() {
    let endpoint = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = start(&[
        "[server]\nworkers = 2\nmax_active_requests = 2\n",
        &all_to(endpoint.address()),
    ]);
    let get = Request::get("/").bytes();
    let mut running = [(); 2].map(|()| gateway.client());
    for client in &mut running {
        client.send_raw(&get);
    }
    endpoint.wait_for_requests(2);
    for _ in 0..5 {
        let refused = gateway.get("/");
        assert_eq!(
            (refused.status, &*refused.code()),
            (503, "gateway_overloaded")
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(hits(&gateway.metrics(), "active_requests"), 5.0);
    gateway
        .log()
        .wait_for_line(|line| line.contains("max_active_requests"));
    endpoint.release(1000);
    for client in &mut running {
        assert_eq!(client.read_response().status, 200);
    }
    until("room for another request", || {
        (gateway.get("/").status == 200).then_some(())
    });
    let report = gateway.load(Request::get("/")).connections(1).run(50);
    assert_eq!(report.status(200), 50, "{report:?}");
    assert_eq!(endpoint.count(), 53);
}

#[test]
fn with_too_little_memory_requests_are_503_and_the_admin_listener_answers() {
    let upstream = Upstream::text("ok");
    let config = |memory: &str| {
        [
            &format!("[server]\nmax_memory = \"{memory}\"\n"),
            LISTENER,
            &all_to(upstream.address()),
        ]
        .concat()
    };
    // No gateway is so small.
    let gateway = start(&[&config("16MiB")]);
    let refused = until("a refused request", || {
        let answer = gateway.get("/");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (refused.status, &*refused.code()),
        (503, "gateway_overloaded")
    );
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(hits(&gateway.metrics(), "memory") >= 1.0);
    gateway
        .log()
        .wait_for_line(|line| line.contains("the gateway uses `max_memory`"));
    gateway.reload(config("1TiB"));
    until("an accepted request", || {
        (gateway.get("/").status == 200).then_some(())
    });
}
