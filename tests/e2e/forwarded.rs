//! What endpoints learn of the client and of the trace.

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{all_to, start};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn gateway(keys: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[server]\n",
        keys,
        "\n[log]\naccess = \"stdout\"\n",
        &all_to(upstream.address()),
    ])
}

/// The fields that name the client to the endpoint: `Forwarded`, and the three of `X-Forwarded-*`.
fn named(upstream: &Upstream) -> [Option<String>; 4] {
    let request = upstream.received().pop().unwrap();
    [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    ]
    .map(|name| request.header(name).map(str::to_owned))
}

fn all(fields: [&str; 4]) -> [Option<String>; 4] {
    fields.map(|field| (!field.is_empty()).then(|| field.to_owned()))
}

#[test]
fn a_stranger_is_named_by_the_fields_that_the_operator_chose() {
    let upstream = Upstream::echo();
    let forwarded = "for=127.0.0.1;proto=http;host=gateway.test";
    let x = ["127.0.0.1", "http", "gateway.test"];
    for (fields, expected) in [
        ("x-forwarded", ["", x[0], x[1], x[2]]),
        ("forwarded", [forwarded, "", "", ""]),
        ("both", [forwarded, x[0], x[1], x[2]]),
        ("none", ["", "", "", ""]),
    ] {
        let gateway = gateway(&format!("forwarded_fields = \"{fields}\""), &upstream);
        let forged = Request::get("/")
            .header("forwarded", "for=6.6.6.6")
            .header("x-forwarded-for", "6.6.6.6")
            .header("x-forwarded-proto", "https");
        assert_eq!(gateway.send(&forged).status, 200);
        assert_eq!(named(&upstream), all(expected), "{fields}");
    }
}

#[test]
fn rfc_7239_section_4_a_host_with_a_port_and_an_address_with_a_port_are_quoted() {
    let upstream = Upstream::echo();
    let keys = "forwarded_fields = \"forwarded\"\nforwarded_node = \"address-and-port\"";
    let gateway = gateway(keys, &upstream);
    let mut client = gateway.client();
    client.send_raw("GET / HTTP/1.1\r\nhost: example.com:8443\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    let own = client.sender().local_addr().unwrap();
    let expected = format!("for=\"{own}\";proto=http;host=\"example.com:8443\"");
    assert_eq!(named(&upstream)[0], Some(expected));
}

#[test]
fn rfc_7239_section_6_an_ipv6_address_is_in_brackets_and_quotes() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\nforwarded_fields = \"forwarded\"\n[[listener]]\naddress = \"[::1]:0\"\n",
        &all_to(upstream.address()),
    ]);
    assert_eq!(gateway.get("/").status, 200);
    let named = named(&upstream)[0].clone().unwrap();
    assert!(named.starts_with("for=\"[::1]\";proto=http;"), "{named}");
}

#[test]
fn rfc_7239_section_6_3_a_hidden_client_has_the_same_name_each_time() {
    let upstream = Upstream::echo();
    let keys = "forwarded_fields = \"forwarded\"\nforwarded_node = \"hidden\"";
    let gateway = gateway(keys, &upstream);
    let mut names = Vec::new();
    for _ in 0..2 {
        assert_eq!(gateway.get("/").status, 200);
        names.push(named(&upstream)[0].clone().unwrap());
    }
    assert!(names[0].starts_with("for=_"), "{names:?}");
    assert!(!names[0].contains("127.0.0.1"), "{names:?}");
    assert_eq!(names[0], names[1]);
}

#[test]
fn a_trusted_proxy_s_fields_are_continued_in_the_form_that_the_operator_chose() {
    let upstream = Upstream::echo();
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    let own = "for=127.0.0.1;proto=http;host=gateway.test";
    let by_x = |request: Request| {
        request
            .header("x-forwarded-for", "2001:db8::1, 192.0.2.9")
            .header("x-forwarded-proto", "https")
    };
    let by_forwarded =
        |request: Request| request.header("forwarded", "for=192.0.2.9;proto=https;host=\"a:1\"");
    let converted = format!("for=\"[2001:db8::1]\", for=192.0.2.9, {own}");
    let continued = format!("for=192.0.2.9;proto=https;host=\"a:1\", {own}");
    let x = ["2001:db8::1, 192.0.2.9, 127.0.0.1", "https", "gateway.test"];
    let from_forwarded = ["192.0.2.9, 127.0.0.1", "https", "gateway.test"];
    for (fields, of_x, of_forwarded) in [
        (
            "both",
            [&*converted, x[0], x[1], x[2]],
            [
                &*continued,
                from_forwarded[0],
                from_forwarded[1],
                from_forwarded[2],
            ],
        ),
        (
            "forwarded",
            [&*converted, "", "", ""],
            [&*continued, "", "", ""],
        ),
        ("none", [""; 4], [""; 4]),
    ] {
        let keys = format!("{trusted}forwarded_fields = \"{fields}\"");
        let gateway = gateway(&keys, &upstream);
        for (request, expected) in [
            (by_x(Request::get("/")), of_x),
            (by_forwarded(Request::get("/")), of_forwarded),
        ] {
            let before = gateway.output().count();
            assert_eq!(gateway.send(&request).status, 200);
            assert_eq!(named(&upstream), all(expected), "{fields}");
            // The client is known whatever the endpoint learns.
            let line = gateway
                .output()
                .wait_from(before, |line| line.starts_with('{'));
            assert!(line.contains(r#""client":"192.0.2.9""#), "{line}");
        }
    }
}

/// The `traceparent` and `tracestate` that the endpoint gets for a request with these.
fn traced(gateway: &Gateway, upstream: &Upstream, sent: &[(&str, &str)]) -> [Option<String>; 2] {
    let mut request = Request::get("/");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    assert_eq!(gateway.send(&request).status, 200);
    let got = upstream.received().pop().unwrap();
    ["traceparent", "tracestate"].map(|name| got.header(name).map(str::to_owned))
}

#[test]
fn a_trace_passes_unchanged_and_a_malformed_one_goes_with_its_state() {
    let upstream = Upstream::echo();
    let gateway = gateway("", &upstream);
    let kept = [("traceparent", TRACE), ("tracestate", "a=1, b=2")];
    let [parent, state] = traced(&gateway, &upstream, &kept);
    assert_eq!(
        (parent.as_deref(), state.as_deref()),
        (Some(TRACE), Some("a=1, b=2"))
    );
    let later = TRACE.replacen("00", "cc", 1) + "-more";
    let [parent, _] = traced(&gateway, &upstream, &[("traceparent", &later)]);
    assert_eq!(parent.as_deref(), Some(&*later));
    let [parent, state] = traced(
        &gateway,
        &upstream,
        &[("traceparent", TRACE), ("tracestate", "A=1")],
    );
    assert_eq!((parent.as_deref(), state), (Some(TRACE), None));
    for bad in [
        vec![("traceparent", "00-0-0-01"), ("tracestate", "a=1")],
        vec![
            ("traceparent", TRACE),
            ("traceparent", TRACE),
            ("tracestate", "a=1"),
        ],
        vec![("tracestate", "a=1")],
    ] {
        assert_eq!(traced(&gateway, &upstream, &bad), [None, None], "{bad:?}");
    }
}

#[test]
fn a_request_without_a_trace_starts_one_where_the_operator_wants_it() {
    let upstream = Upstream::echo();
    for (keys, flags) in [("", "-00"), ("trace_sampled = true", "-01")] {
        let gateway = gateway(&format!("trace_context = \"start\"\n{keys}"), &upstream);
        let [parent, _] = traced(&gateway, &upstream, &[]);
        let parent = parent.unwrap();
        assert!(
            parent.starts_with("00-") && parent.ends_with(flags),
            "{parent}"
        );
        let line = format!("\"traceparent\":\"{parent}\"");
        gateway.output().wait_for_line(|text| text.contains(&line));
        let [other, state] = traced(
            &gateway,
            &upstream,
            &[("traceparent", "junk"), ("tracestate", "a=1")],
        );
        let other = other.unwrap();
        assert!(
            other != parent && other.len() == TRACE.len() && state.is_none(),
            "{other}"
        );
        let [kept, _] = traced(&gateway, &upstream, &[("traceparent", TRACE)]);
        assert_eq!(kept.as_deref(), Some(TRACE));
        gateway.output().wait_for_line(|text| text.contains(ID));
    }
}

#[test]
fn restart_continues_the_traces_of_trusted_proxies_only_and_drop_none() {
    let upstream = Upstream::echo();
    let sent = [("traceparent", TRACE), ("tracestate", "a=1")];
    let restart = "trace_context = \"restart\"\n";
    let stranger = gateway(restart, &upstream);
    let [parent, state] = traced(&stranger, &upstream, &sent);
    let parent = parent.unwrap();
    assert!(!parent.contains(ID) && state.is_none(), "{parent}");
    let trusted = gateway(
        &format!("{restart}trusted_proxies = [\"127.0.0.1/32\"]"),
        &upstream,
    );
    let [parent, state] = traced(&trusted, &upstream, &sent);
    assert_eq!(
        (parent.as_deref(), state.as_deref()),
        (Some(TRACE), Some("a=1"))
    );
    let dropping = gateway("trace_context = \"drop\"", &upstream);
    assert_eq!(traced(&dropping, &upstream, &sent), [None, None]);
}
