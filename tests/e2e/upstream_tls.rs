//! TLS to endpoints: whom Windlass trusts, and the response if it does not trust the endpoint.

use windlass_tests::{Builder, Gateway, Upstream};

use crate::config::all_to;
use crate::wire::{Authority, Endpoint, Identity, Speaks, full, server_tls};

/// A gateway whose upstream has these keys beside its endpoints, with the files `ca.pem`,
/// `gateway.pem` and `gateway.key`.
fn to(endpoint: &Endpoint, authority: &Authority, keys: &str) -> Builder {
    let own = authority.issue(&["gateway"]);
    Gateway::with_config(format!("{}{keys}\n", all_to(endpoint.address)))
        .file("ca.pem", &authority.pem)
        .file("gateway.pem", own.certificate)
        .file("gateway.key", own.key)
}

fn endpoint(identity: &Identity, offers: &[&str]) -> Endpoint {
    Endpoint::version(Speaks {
        tls: Some(server_tls(identity, offers, None)),
        ..Speaks::default()
    })
}

const CA: &str = "tls = { ca = \"ca.pem\" }";

#[test]
fn the_best_protocol_that_the_endpoint_offers_is_spoken() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    for (offers, protocol, version) in [
        (&["h2", "http/1.1"][..], "auto", "HTTP/2.0"),
        (&["http/1.1"], "auto", "HTTP/1.1"),
        (&[], "auto", "HTTP/1.1"),
        (&["h2", "http/1.1"], "http1", "HTTP/1.1"),
        (&["h2", "http/1.1"], "http2", "HTTP/2.0"),
    ] {
        let endpoint = endpoint(&identity, offers);
        let keys = format!("{CA}\nprotocol = \"{protocol}\"");
        let gateway = to(&endpoint, &authority, &keys).start();
        let answer = gateway.get("/");
        assert_eq!(
            (answer.status, answer.text()),
            (200, version),
            "{offers:?} {protocol}"
        );
    }
}

#[test]
fn who_an_endpoint_is_must_be_proved() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let by_name = "tls = { ca = \"ca.pem\", name = \"orders.internal\" }";
    for (identity, keys, cause) in [
        (stranger.issue(&["127.0.0.1"]), CA, "UnknownIssuer"),
        (authority.issue(&["127.0.0.2"]), CA, "not valid for name"),
        (
            authority.issue(&["127.0.0.1"]),
            by_name,
            "not valid for name",
        ),
        (authority.expired(&["127.0.0.1"]), CA, "expired"),
        // The system trusts other authorities, but not this one.
        (
            authority.issue(&["127.0.0.1"]),
            "tls = true",
            "UnknownIssuer",
        ),
    ] {
        let endpoint = endpoint(&identity, &["h2"]);
        let gateway = to(&endpoint, &authority, keys).start();
        let answer = gateway.get("/");
        assert_eq!((answer.status, &*answer.code()), (502, "upstream_tls"));
        let told = gateway
            .log()
            .wait_for_line(|line| line.contains("upstream_tls"));
        assert!(told.contains(cause), "{cause}: {told}");
        assert!(told.contains(&endpoint.address.to_string()), "{told}");
        assert_eq!(endpoint.seen(|seen| seen.requests.len()), 0);
    }
}

#[test]
fn another_name_can_be_asked_for_and_nobody_checked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (identity, keys) in [
        (
            authority.issue(&["orders.internal"]),
            "tls = { ca = \"ca.pem\", name = \"orders.internal\" }",
        ),
        (stranger.expired(&["other"]), "tls = { verify = false }"),
    ] {
        let endpoint = endpoint(&identity, &["http/1.1"]);
        let gateway = to(&endpoint, &authority, keys).start();
        assert_eq!(gateway.get("/").status, 200, "{keys}");
    }
}

#[test]
fn an_endpoint_is_shown_the_gateways_certificate() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let endpoint = Endpoint::version(Speaks {
        tls: Some(server_tls(&identity, &["http/1.1"], Some(&authority))),
        ..Speaks::default()
    });
    let with = "tls = { ca = \"ca.pem\", certificate = \"gateway.pem\", key = \"gateway.key\" }";
    assert_eq!(to(&endpoint, &authority, with).start().get("/").status, 200);
    let without = to(&endpoint, &authority, CA).start().get("/");
    assert_eq!(without.status, 502);
}

#[test]
fn sessions_are_resumed_whichever_worker_made_them() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let speaks = Speaks {
        tls: Some(server_tls(&identity, &["http/1.1"], None)),
        ..Speaks::default()
    };
    let endpoint = Endpoint::start(speaks, |_| async {
        let close = http::HeaderValue::from_static("close");
        let mut response = http::Response::new(full("ok"));
        response.headers_mut().insert("connection", close);
        response
    });
    let keys = format!("{CA}\n[server]\nworkers = 2");
    let gateway = to(&endpoint, &authority, &keys).start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "ok");
    }
    let (connections, resumed) = endpoint.seen(|seen| (seen.connections, seen.resumed));
    assert_eq!(connections, 10);
    assert!(resumed >= 8, "{resumed} of 10 were resumed");
}

#[test]
fn an_endpoint_that_speaks_no_tls_is_502_and_a_silent_one_504() {
    let authority = Authority::new();
    let clear = Endpoint::version(Speaks::default());
    let answer = to(&clear, &authority, CA).start().get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_tls"));

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = format!("{}{CA}\nconnect_timeout = \"200ms\"\n", all_to(address));
    let gateway = Gateway::with_config(config).file("ca.pem", &authority.pem);
    let gateway = gateway.start();
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (504, "connect_timeout"));
    let line = |line: &str| line.contains("no TLS handshake with");
    gateway.log().wait_for_line(line);
}

/// A certificate as `openssl req -x509` makes it.
#[test]
fn a_certificate_of_an_authority_is_told_with_its_cure() {
    let authority = Authority::new();
    let endpoint = endpoint(&authority.authority(&["127.0.0.1"]), &["h2"]);
    let gateway = to(&endpoint, &authority, CA).start();
    assert_eq!(gateway.get("/").code(), "upstream_tls");
    let line = |line: &str| line.contains("which no server may show");
    gateway.log().wait_for_line(line);
}

#[test]
fn files_that_cannot_be_used_stop_the_start() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let endpoint = endpoint(&identity, &["h2"]);
    for (keys, message) in [
        (
            "tls = { ca = \"absent.pem\" }",
            "absent.pem` does not exist",
        ),
        (
            "tls = { ca = \"gateway.key\" }",
            "gateway.key` holds a private key and no certificate",
        ),
        (
            "tls = { certificate = \"ca.pem\", key = \"gateway.key\" }",
            "gateway.key` does not belong to the certificate in",
        ),
        // Each error is reported.
        (
            "tls = { ca = \"none.pem\", certificate = \"own.pem\", key = \"ca.pem\" }",
            "3 errors in windlass.toml",
        ),
    ] {
        let refused = to(&endpoint, &authority, keys).run_refused();
        assert_eq!(refused.code, Some(2), "{}", refused.errors);
        assert!(refused.errors.contains(message), "{}", refused.errors);
        assert!(
            refused.errors.contains("windlass.toml:"),
            "{}",
            refused.errors
        );
    }
}

/// A check may use clear text although requests use TLS, and the other way round.
#[test]
fn checks_speak_what_they_are_told_to() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let secure = endpoint(&identity, &["http/1.1"]);
    let plain = Upstream::text("plain");
    let health = |port: u16, tls: &str| {
        format!(
            "health = {{ port = {port}, tls = {tls}, interval = \"50ms\", rise = 1, fall = 1 }}"
        )
    };
    let keys = format!("{CA}\n{}", health(plain.address().port(), "false"));
    let gateway = to(&secure, &authority, &keys).start();
    plain.wait_for_requests(2);
    let host = plain.address().to_string();
    let asked = plain.received();
    assert_eq!(asked[0].header("host"), Some(&*host), "where it is asked");
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.metrics()["windlass_endpoint_available"], 1.0);
    drop(gateway);
    let config = all_to(plain.address());
    for (tls, available) in [("{ ca = \"ca.pem\" }", 1.0), ("true", 0.0)] {
        let gateway =
            Gateway::with_config(format!("{config}{}\n", health(secure.address.port(), tls)))
                .file("ca.pem", &authority.pem)
                .start();
        // The system trusts other authorities.
        gateway.metrics_when("the first answer", |metrics| {
            let state = |state| metrics.with("windlass_endpoint_state", &[("state", state)]);
            metrics["windlass_endpoint_available"] == available
                && state("unhealthy") == 1.0 - available
        });
    }
}
