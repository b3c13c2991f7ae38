//! A client cannot forge the fields that Windlass sets about the caller.

use windlass_tests::{Request, Upstream};

use crate::config::{self, all_to, start};

/// Fields that other proxies set and that their endpoints trust.
const CLAIMS: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-user",
    "x-forwarded-groups",
    "x-forwarded-email",
    "x-forwarded-by",
    "x-forwarded-path",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-forwarded-client-cert",
    "x-forwarded",
    "forwarded",
    "forwarded-for",
    "x-real-ip",
    "x-real-port",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-original-forwarded-for",
    "x-rewrite-url",
    "x-envoy-external-address",
    "x-ssl-client-cn",
    "ssl-client-subject-dn",
    "client-cert",
    "x-remote-user",
    "remote-user",
    "x-auth-request-user",
    "x-consumer-username",
    "x-authenticated-userid",
    "x-amzn-oidc-identity",
    "proxy",
];

#[test]
fn no_claim_of_a_stranger_reaches_the_endpoint() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    for batch in CLAIMS.chunks(20) {
        let mut request = Request::get("/").header("x-mine", "kept");
        for name in batch {
            request = request.header(*name, "forged").header(*name, "twice");
        }
        assert_eq!(gateway.send(&request).status, 200);
        let head = upstream.received().pop().unwrap().head;
        let forged: Vec<_> = head
            .fields
            .iter()
            .filter(|(_, value)| value.contains("forged") || value.contains("twice"))
            .collect();
        assert_eq!(forged, Vec::<&(String, String)>::new());
        assert_eq!(head.all("x-mine").collect::<Vec<_>>(), ["kept"]);
    }
}

#[test]
fn a_name_that_can_be_taken_for_a_claim_or_a_key_is_dropped() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let dropped = [
        "X_Forwarded_For",
        "x_forwarded-for",
        "x_real_ip",
        "X_API_KEY",
        "api_key",
        "x.forwarded.proto",
        "x~real~ip",
        "x_request_id",
        "content_length",
        "transfer_encoding",
        "content_type",
        "proxy_authorization",
        "x_remote_user",
        "x_user_id",
        "x_tenant_id",
    ];
    let mut request = Request::get("/");
    for name in dropped {
        request = request.header(name, "forged");
    }
    // A field whose name is the same as another one's, except for dashes and underscores, is
    // dropped.
    request = request
        .header("my-thing", "real")
        .header("my_thing", "forged");
    request = request
        .header("my_field", "kept")
        .header("x_custom", "kept");
    assert_eq!(gateway.send(&request).status, 200);
    let head = upstream.only_request().head;
    for (name, value) in &head.fields {
        assert_ne!(value, "forged", "{name}");
    }
    for (name, value) in [
        ("my-thing", "real"),
        ("my_field", "kept"),
        ("x_custom", "kept"),
    ] {
        assert_eq!(head.all(name).collect::<Vec<_>>(), [value]);
    }
}

#[test]
fn the_operator_can_let_fields_pass() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\nclient_fields = [\"X-Consumer-Id\", \"x_api_key\"]\n",
        &all_to(upstream.address()),
    ]);
    let request = Request::get("/")
        .header("x-consumer-id", "7")
        .header("x_api_key", "k")
        .header("x-real-ip", "6.6.6.6");
    assert_eq!(gateway.send(&request).status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("x-consumer-id"), Some("7"));
    assert_eq!(request.header("x_api_key"), Some("k"));
    assert_eq!(request.header("x-real-ip"), None);
}

#[test]
fn a_trusted_proxy_s_claims_pass_and_look_alikes_do_not() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        &all_to(upstream.address()),
    ]);
    let request = Request::get("/")
        .header("x-real-ip", "192.0.2.9")
        .header("x-forwarded-port", "443")
        .header("x-forwarded-user", "ann")
        .header("x_forwarded_user", "eve");
    assert_eq!(gateway.send(&request).status, 200);
    let request = upstream.only_request();
    for (name, value) in [
        ("x-real-ip", "192.0.2.9"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-user", "ann"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("x_forwarded_user"), None);
}

#[test]
fn rfc_9110_11_7_proxy_credentials_go_no_further() {
    use windlass_tests::Reply;
    let upstream = Upstream::fixed(
        Reply::status(200)
            .header("proxy-authenticate", "Basic")
            .header("proxy-authentication-info", "x=1"),
    );
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.send(
        &Request::get("/")
            .header("proxy-authorization", "Basic c2VjcmV0")
            .header("authorization", "Basic a2VwdA=="),
    );
    let request = upstream.only_request();
    assert_eq!(request.header("proxy-authorization"), None);
    assert_eq!(request.header("authorization"), Some("Basic a2VwdA=="));
    assert_eq!(answer.header("proxy-authenticate"), None);
    assert_eq!(answer.header("proxy-authentication-info"), None);
}

#[test]
fn rfc_9110_6_5_1_trailers_do_not_say_who_asks() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.send_raw(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-check, x-real-ip, authorization, x_real_ip, x-forwarded-user\r\n\r\n\
         2\r\nhi\r\n0\r\nx-check: 7\r\nx-real-ip: 6.6.6.6\r\nauthorization: forged\r\n\
         x_real_ip: forged\r\nx-forwarded-user: forged\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let trailers = upstream.only_request().trailers;
    assert_eq!(trailers, [("x-check".to_owned(), "7".to_owned())]);
}

#[test]
fn trailers_hold_nothing_that_a_filter_decided_on_in_the_head() {
    let edits = r#"{ request = [
        { op = "set", header = "x-tier", value = "${attribute.consumer.id}" },
        { op = "set", header = "x-copy", value = "${request.header.x-seen}" },
        { op = "remove", header = "x-gone" },
    ] }"#;
    let body =
        r#"{ request = [{ op = "set", body = "/by", value = "${attribute.consumer.id}" }] }"#;
    for more in ["", ", \"body\""] {
        let upstream = Upstream::echo();
        let gateway = start(&[
            &format!(
                "[[route]]\npath = \"/{{rest+}}\"\nfilters = [\"keys\", \"edits\"{more}]\nupstream = \"app\"\n"
            ),
            &config::api_key(r#"{ from = [{ header = "my-key" }] }"#),
            &config::key("k", "acme", "secret", ""),
            &config::transform("edits", edits),
            &config::transform("body", body),
            &config::upstream("app", &[upstream.address()]),
        ]);
        let fields = [
            "x-tier", "x_tier", "x-copy", "x-seen", "x-gone", "my-key", "my_key", "dpop",
        ];
        let forged: String = fields.map(|name| format!("{name}: forged\r\n")).concat();
        let answer = gateway.send_raw(format!(
            "POST /a HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
             my-key: secret\r\nx-seen: 1\r\ncontent-type: application/json\r\n\
             trailer: x-check, {}\r\n\r\n2\r\n{{}}\r\n0\r\nx-check: 7\r\n{forged}\r\n",
            fields.join(", ")
        ));
        assert_eq!(answer.status, 200, "{more}");
        let request = upstream.only_request();
        assert_eq!(request.header("x-copy"), Some("1"), "{more}");
        let trailers = request.trailers;
        assert_eq!(trailers, [("x-check".to_owned(), "7".to_owned())], "{more}");
    }
}

/// The client's address and scheme as Windlass understood them, and the fields that the endpoint
/// got.
struct Understood {
    client: String,
    for_list: String,
    proto: String,
}

fn understood(fields: &[(&str, &str)]) -> Understood {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n",
        "[log]\naccess = \"stdout\"\n",
        &all_to(upstream.address()),
    ]);
    let mut request = Request::get("/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    assert_eq!(gateway.send(&request).status, 200);
    let line = gateway.output().wait_for_line(|line| line.starts_with('{'));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let request = upstream.only_request();
    let told = |name| request.header(name).unwrap_or_default().to_owned();
    Understood {
        client: line["client"].as_str().unwrap().to_owned(),
        for_list: told("x-forwarded-for"),
        proto: told("x-forwarded-proto"),
    }
}

#[test]
fn every_form_of_an_address_that_proxies_write_is_understood() {
    for (field, value, client) in [
        ("x-forwarded-for", "192.0.2.9:4711", "192.0.2.9"),
        ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
        ("x-forwarded-for", "[2001:db8::1]", "2001:db8::1"),
        (
            "x-forwarded-for",
            "[2001:db8::1]:443, 10.0.0.1:80",
            "2001:db8::1",
        ),
        ("x-forwarded-for", "\"[2001:db8::1]:443\"", "2001:db8::1"),
        ("x-forwarded-for", "::ffff:192.0.2.9", "192.0.2.9"),
        ("x-forwarded-for", "fe80::1%eth0", "fe80::1"),
        (
            "x-forwarded-for",
            "6.6.6.6 ,, 192.0.2.9 , 10.0.0.1",
            "192.0.2.9",
        ),
        ("x-forwarded-for", "6.6.6.6, unknown", "127.0.0.1"),
        ("x-forwarded-for", "6.6.6.6, _hidden, 10.0.0.1", "10.0.0.1"),
        ("x-forwarded-for", "6.6.6.6, 010.1.1.1", "127.0.0.1"),
        ("forwarded", "for=192.0.2.9", "192.0.2.9"),
        (
            "forwarded",
            "For=\"[2001:db8::1]:4711\";proto=https;by=_x",
            "2001:db8::1",
        ),
        (
            "forwarded",
            "for=6.6.6.6, for=192.0.2.9;host=a, for=10.0.0.1",
            "192.0.2.9",
        ),
        (
            "forwarded",
            "for=6.6.6.6, for=_hidden;proto=http",
            "127.0.0.1",
        ),
        ("forwarded", "for=6.6.6.6, proto=https", "127.0.0.1"),
        ("forwarded", "proto=http;for=\"192.0.2.9:_p\"", "192.0.2.9"),
    ] {
        let read = understood(&[(field, value)]);
        assert_eq!(read.client, client, "{field}: {value}");
        assert!(read.for_list.ends_with("127.0.0.1"), "{}", read.for_list);
    }
}

#[test]
fn several_fields_are_one_list() {
    let list = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "192.0.2.9, 10.0.0.2"),
        ("x-forwarded-for", "[::ffff:10.0.0.1]:80"),
    ];
    let read = understood(&list);
    assert_eq!(read.client, "192.0.2.9");
    assert_eq!(
        read.for_list,
        "6.6.6.6, 192.0.2.9, 10.0.0.2, [::ffff:10.0.0.1]:80, 127.0.0.1"
    );
    let read = understood(&[
        ("forwarded", "for=192.0.2.9;proto=https"),
        ("forwarded", "for=10.0.0.1"),
    ]);
    assert_eq!((&*read.client, &*read.proto), ("192.0.2.9", "https"));
    assert_eq!(read.for_list, "192.0.2.9, 10.0.0.1, 127.0.0.1");
}

#[test]
fn the_scheme_is_that_of_the_client_s_connection() {
    for (fields, proto) in [
        (&[("x-forwarded-proto", "HTTPS")][..], "https"),
        (&[("x-forwarded-proto", "wss")], "https"),
        (&[("x-forwarded-proto", "gopher")], "http"),
        // One value for each hop: each proxy appended one.
        (
            &[
                ("x-forwarded-for", "192.0.2.9, 10.0.0.1"),
                ("x-forwarded-proto", "https, http"),
            ],
            "https",
        ),
        // The client itself sent the first value.
        (
            &[
                ("x-forwarded-for", "192.0.2.9"),
                ("x-forwarded-proto", "https, http"),
            ],
            "http",
        ),
        (&[("forwarded", "for=192.0.2.9;proto=\"https\"")], "https"),
    ] {
        assert_eq!(understood(fields).proto, proto, "{fields:?}");
    }
}

#[test]
fn forwarded_of_a_trusted_proxy_gets_the_gateway_s_hop() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        &all_to(upstream.address()),
    ]);
    let answer = gateway.send(&Request::get("/").header("forwarded", "for=192.0.2.9;proto=https"));
    assert_eq!(answer.status, 200);
    let request = upstream.only_request();
    assert_eq!(
        request.header("forwarded"),
        Some("for=192.0.2.9;proto=https, for=127.0.0.1")
    );
}

mod stamped {
    //! Fields that a filter sets from facts that Windlass determined.

    use windlass_tests::{Gateway, Request, Upstream};

    use crate::config::{key, start, transform, upstream};

    const KEYED: &str = "key-with-a-tier-0123456789";
    const PLAIN: &str = "key-without-one-0123456789";

    fn stamped(edits: &str, endpoint: &Upstream) -> Gateway {
        start(&[
            "[[route]]\npath = \"/{rest+}\"\nfilters = [\"keys\", \"stamp\"]\nupstream = \"app\"\n",
            "[filter.keys]\nplugin = \"builtin:api-key\"\n",
            &transform("stamp", &format!("{{ request = [{edits}] }}")),
            &key("one", "one", KEYED, "attributes = { tier = \"silver\" }"),
            &key("two", "two", PLAIN, ""),
            &upstream("app", &[endpoint.address()]),
        ])
    }

    #[test]
    fn a_client_never_writes_what_a_filter_sets_from_an_attribute() {
        let endpoint = Upstream::echo();
        let gateway = stamped(
            r#"{ op = "set", header = "x-tier", value = "${attribute.api-key.tier}" },
               { op = "set", header = "x-level", value = "${attribute.consumer.id}-${request.header.x-part}" },
               { op = "set", query = "tier", value = "${attribute.api-key.tier}" },
               { op = "set", query = "plan", value = "${attribute.plan.id}" }"#,
            &endpoint,
        );
        for (key, tier, target) in [
            (KEYED, Some("silver"), "/x?a=1&tier=silver"),
            (PLAIN, None, "/x?a=1"),
        ] {
            let answer = gateway.send(
                &Request::get("/x?a=1&plan=unlimited&tier=gold&t%69er=gold")
                    .header("x-api-key", key)
                    .header("x-tier", "gold")
                    .header("X-Tier", "gold")
                    .header("x_tier", "gold")
                    .header("x-level", "gold"),
            );
            assert_eq!(answer.status, 200);
            let request = endpoint.received().pop().unwrap();
            assert_eq!(request.target, target);
            let tiers: Vec<_> = request.head.all("x-tier").collect();
            assert_eq!(tiers, tier.into_iter().collect::<Vec<_>>());
            for (name, value) in &request.head.fields {
                assert_ne!(value, "gold", "{name}");
            }
        }
    }

    #[test]
    fn a_look_alike_goes_when_a_filter_sets_or_removes_the_field() {
        let endpoint = Upstream::echo();
        let gateway = stamped(
            r#"{ op = "set", header = "my-level", value = "${attribute.consumer.id}" },
               { op = "set", header = "my_other", value = "${attribute.consumer.id}" },
               { op = "remove", header = "my-secret" }"#,
            &endpoint,
        );
        let answer = gateway.send(
            &Request::get("/x")
                .header("x-api-key", PLAIN)
                .header("my_level", "forged")
                .header("my.level", "forged")
                .header("my-other", "forged")
                .header("my_secret", "forged")
                .header("my_own", "kept"),
        );
        assert_eq!(answer.status, 200);
        let request = endpoint.only_request();
        for (name, value) in &request.head.fields {
            assert_ne!(value, "forged", "{name}");
        }
        assert_eq!(request.header("my-level"), Some("two"));
        assert_eq!(request.header("my_other"), Some("two"));
        assert_eq!(request.header("my_own"), Some("kept"));
    }

    #[test]
    fn a_path_that_needs_an_attribute_is_refused_without_it() {
        let endpoint = Upstream::echo();
        let gateway = stamped(
            r#"{ op = "set", path = "/tenants/${attribute.api-key.tier}/${path.rest+}" }"#,
            &endpoint,
        );
        let send = |key| gateway.send(&Request::get("/tenants/other/x").header("x-api-key", key));
        assert_eq!(send(KEYED).status, 200);
        assert_eq!(
            endpoint.only_request().target,
            "/tenants/silver/tenants/other/x"
        );
        let answer = send(PLAIN);
        let seen = (answer.status, &*answer.code());
        assert_eq!(seen, (403, "transform_attribute_absent"));
        assert_eq!(endpoint.count(), 1);
    }
}

mod warned {
    //! `windlass check` on fields that endpoints trust.

    use windlass_tests::{Gateway, key_digest};

    use crate::config::{transform, upstream};

    /// The warnings of `windlass check` for two routes to one upstream; only the first has `stamp`.
    fn warnings(edits: &str, more: &str, second: &str) -> String {
        let digest = key_digest("any");
        let config = [
            &*format!("[[key]]\nid = \"any\"\nconsumer = \"any\"\ndigest = \"{digest}\"\n"),
            "[[route]]\nname = \"first\"\npath = \"/a\"\nfilters = [\"keys\", \"stamp\"]\nupstream = \"app\"\n",
            second,
            "[filter.keys]\nplugin = \"builtin:api-key\"\n",
            &transform("stamp", &format!("{{ request = [{edits}] }}")),
            more,
            &upstream("app", &["127.0.0.1:9".parse().unwrap()]),
        ]
        .concat();
        let checked = Gateway::with_config(config).check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        checked.errors
    }

    const SET: &str = r#"{ op = "set", header = "x-tier", value = "${attribute.api-key.tier}" }"#;

    #[test]
    fn a_field_that_is_always_set_or_removed_is_no_warning() {
        assert_eq!(warnings(SET, "", ""), "");
        let removed = r#"{ op = "remove", header = "x-tier" },
            { op = "append", header = "x-tier", value = "${attribute.api-key.tier}" }"#;
        assert_eq!(warnings(removed, "", ""), "");
    }

    #[test]
    fn an_append_to_what_the_client_sends_is_told_at_its_line() {
        for subject in ["header", "query"] {
            let edit = format!(
                r#"{{ op = "append", {subject} = "tier", value = "${{attribute.api-key.tier}}" }}"#
            );
            let told = warnings(&edit, "", "");
            assert!(
                told.contains("warning: filter `stamp`: `append` leaves"),
                "{told}"
            );
            assert!(
                told.contains("windlass.toml:") && told.contains("`tier`"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_filter_that_may_be_left_out_is_told() {
        let told = warnings(SET, "on_error = \"skip\"\n", "");
        assert!(
            told.contains("the endpoint gets the client's own `x-tier` in place of the filter's"),
            "{told}"
        );
    }

    #[test]
    fn another_route_by_which_a_client_can_send_the_field_is_told() {
        let open = "[[route]]\nname = \"second\"\npath = \"/b\"\nupstream = \"app\"\n";
        let told = warnings(SET, "", open);
        assert!(
            told.contains("a client can send `x-tier` to upstream `app` by route `second`"),
            "{told}"
        );
        // The warning for each field names the filter that sets it.
        let other = "[[route]]\nname = \"third\"\npath = \"/c\"\nfilters = [\"keys\", \"other\"]\nupstream = \"app\"\n";
        let more = transform(
            "other",
            r#"{ request = [{ op = "set", header = "x-user", value = "${attribute.consumer.id}" }] }"#,
        );
        let told = warnings(SET, &more, &format!("{open}{other}"));
        for text in [
            "a client can send `x-tier` to upstream `app` by routes `second`, `third`; on route `first` filter `stamp` sets it",
            "a client can send `x-user` to upstream `app` by routes `first`, `second`; on route `third` filter `other` sets it",
            "put `other` into `filters` there too, or a filter that removes `x-user`",
        ] {
            assert!(told.contains(text), "{text}: {told}");
        }
        let closed = "[[route]]\npath = \"/b\"\nfilters = [\"gone\"]\nupstream = \"app\"\n";
        let gone = transform(
            "gone",
            r#"{ request = [{ op = "remove", header = "x-tier" }] }"#,
        );
        assert_eq!(warnings(SET, &gone, closed), "");
    }
}
