//! `builtin:rate-limit`: limits by client address or by any other attribute.

use std::path::Path;

use windlass_tests::{Gateway, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, start};

/// A filter `limit` with these settings.
fn limit(settings: &str) -> String {
    format!("\n[filter.limit]\nplugin = \"builtin:rate-limit\"\nsettings = {settings}\n")
}

/// A gateway that trusts `X-Forwarded-For` from this machine.
fn gateway(settings: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[server]\nworkers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        &filtered(&["limit"], upstream.address()),
        &limit(settings),
    ])
}

/// A request through a proxy, from this client.
fn from(address: &str) -> Request {
    Request::get("/").header("x-forwarded-for", address)
}

fn statuses(gateway: &Gateway, requests: &[Request]) -> Vec<u16> {
    let answers = requests.iter().map(|request| gateway.send(request).status);
    answers.collect()
}

const BY_ADDRESS: &str =
    "{ bounds = [{ name = \"address\", by = \"client-address\", limit = 2, window = \"1h\" }] }";

#[test]
fn each_address_has_a_bucket_of_its_own() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(BY_ADDRESS, &upstream);
    let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
    let requests = [&one, &one, &one, &other, &other, &other].map(Clone::clone);
    assert_eq!(
        statuses(&gateway, &requests),
        [200, 200, 429, 200, 200, 429]
    );
    assert_eq!(upstream.count(), 4);
    // An address that the client wrote itself, in front of the proxy's, is ignored.
    let forged = Request::get("/").header("x-forwarded-for", "203.0.113.9, 192.0.2.1");
    assert_eq!(gateway.send(&forged).status, 429);
}

#[test]
fn a_client_that_is_no_trusted_proxy_cannot_choose_its_address() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        &filtered(&["limit"], upstream.address()),
        &limit(BY_ADDRESS),
    ]);
    let requests = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(from);
    assert_eq!(statuses(&gateway, &requests), [200, 200, 429]);
}

#[test]
fn addresses_of_one_subscriber_share_a_bucket() {
    let upstream = Upstream::text("ok");
    let served = gateway(BY_ADDRESS, &upstream);
    let requests = [
        "2001:db8:0:1::1",
        "2001:db8:0:1:ffff::9",
        "2001:db8:0:1::2",
        "2001:db8:0:2::1",
    ];
    assert_eq!(statuses(&served, &requests.map(from)), [200, 200, 429, 200]);
    let wide = "{ bounds = [{ name = \"net\", by = \"client-address\", ipv4_prefix = 24, ipv6_prefix = 48, limit = 1, window = \"1h\" }] }";
    let served = gateway(wide, &upstream);
    let requests = [
        "192.0.2.1",
        "192.0.2.200",
        "192.0.3.1",
        "2001:db8:0:1::",
        "2001:db8:0:2::",
    ];
    assert_eq!(
        statuses(&served, &requests.map(from)),
        [200, 429, 200, 200, 429]
    );
}

#[test]
fn all_bounds_give_or_nothing_is_taken() {
    let upstream = Upstream::text("ok");
    let settings = "{ bounds = [
        { name = \"address\", by = \"client-address\", limit = 2, window = \"1h\" },
        { name = \"all\", limit = 3, window = \"1h\", algorithm = \"sliding-window\" },
    ] }"
    .replace('\n', " ");
    let gateway = gateway(&settings, &upstream);
    let left = |answer: &Response| answer.header("ratelimit").unwrap().to_owned();
    let answer = gateway.send(&from("192.0.2.1"));
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"address\";q=2;w=3600, \"all\";q=3;w=3600")
    );
    assert!(
        left(&answer).starts_with("\"address\";r=1;t="),
        "{}",
        left(&answer)
    );
    assert!(
        left(&answer).contains("\"all\";r=2;t="),
        "{}",
        left(&answer)
    );
    assert_eq!(gateway.send(&from("192.0.2.1")).status, 200);
    // A request that the limit by address refuses takes nothing from the limit for all.
    for _ in 0..5 {
        let answer = gateway.send(&from("192.0.2.1"));
        assert_eq!(answer.status, 429);
        assert_eq!(
            answer.json()["violated-policies"],
            serde_json::json!(["address"])
        );
        assert!(
            left(&answer).contains("\"all\";r=1;t="),
            "{}",
            left(&answer)
        );
    }
    assert_eq!(gateway.send(&from("192.0.2.2")).status, 200);
    let answer = gateway.send(&from("192.0.2.2"));
    assert_eq!(
        answer.json()["violated-policies"],
        serde_json::json!(["all"])
    );
    assert!(
        left(&answer).contains("\"address\";r=1;t="),
        "{}",
        left(&answer)
    );
    let both = gateway.send(&from("192.0.2.1"));
    assert_eq!(
        both.json()["violated-policies"],
        serde_json::json!(["address", "all"])
    );
}

#[test]
fn a_bound_is_exact_over_all_workers() {
    for algorithm in ["token-bucket", "sliding-window"] {
        let upstream = Upstream::text("ok").counting();
        let settings = format!(
            "{{ bounds = [{{ name = \"all\", limit = 500, window = \"1h\", algorithm = \"{algorithm}\", shadow = false }}] }}"
        );
        // One request refills after seven seconds at the earliest, or after an hour.
        let gateway = gateway(&settings, &upstream);
        let report = gateway.load(Request::get("/")).connections(32).run(1500);
        assert_eq!(report.failures, Vec::<String>::new());
        let admitted = report.status(200);
        assert!((500..=505).contains(&admitted), "{algorithm}: {admitted}");
        assert_eq!(report.status(429), 1500 - admitted);
        assert_eq!(upstream.count() as u64, admitted as u64);
    }
}

#[test]
fn a_value_that_is_missing_is_no_way_around_a_bound() {
    let upstream = Upstream::text("ok");
    let bound = |more: &str| {
        format!(
            "{{ bounds = [{{ name = \"tenant\", by = \"header:x-tenant\", limit = 1, window = \"1h\"{more} }}] }}"
        )
    };
    let of = |tenant: &str| Request::get("/").header("x-tenant", tenant);
    let none = || Request::get("/");
    let requests = [of("a"), of("a"), of("b"), none(), none()];
    let served = gateway(&bound(""), &upstream);
    assert_eq!(statuses(&served, &requests), [200, 429, 200, 200, 429]);
    let served = gateway(&bound(", missing = \"skip\""), &upstream);
    assert_eq!(statuses(&served, &requests), [200, 429, 200, 200, 200]);
    let served = gateway(&bound(", missing = \"deny\""), &upstream);
    assert_eq!(statuses(&served, &requests), [200, 429, 200, 400, 400]);
    assert_eq!(served.send(&none()).code(), "rate_key_missing");
}

#[test]
fn attributes_and_path_parameters_are_counted_by() {
    let upstream = Upstream::text("ok");
    let by = |by: &str| {
        let bound = format!("{{ name = \"b\", by = \"{by}\", limit = 1, window = \"1h\" }}");
        let config = filtered(&["keys", "limit"], upstream.address());
        start(&[
            &config.replace("\"$default\"", "\"/orders/{id}\""),
            &api_key("{}"),
            &limit(&format!("{{ bounds = [{bound}] }}")),
            &key("alice-1", "alice", "alice", ""),
            &key("bob-1", "bob", "bob", ""),
        ])
    };
    let of = |key: &str, target: &str| Request::get(target).header("x-api-key", key);
    let requests = [
        of("alice", "/orders/1"),
        of("alice", "/orders/2"),
        of("bob", "/orders/1"),
    ];
    assert_eq!(
        statuses(&by("attribute:consumer.id"), &requests),
        [200, 429, 200]
    );
    assert_eq!(statuses(&by("path:id"), &requests), [200, 200, 429]);
    assert_eq!(
        statuses(&by("attribute:route.id"), &requests),
        [200, 429, 429]
    );
}

#[test]
fn another_spelling_of_a_path_parameter_is_no_way_around_a_bound() {
    let upstream = Upstream::text("ok");
    let config = filtered(&["limit"], upstream.address());
    let served = start(&[
        &config.replace("\"$default\"", "\"/users/{name}\""),
        &limit(
            "{ bounds = [{ name = \"user\", by = \"path:name\", limit = 1, window = \"1h\" }] }",
        ),
    ]);
    let requests = [
        "/users/anna@shop.example",
        "/users/anna%40shop.example",
        "/users/%61nna@shop.example",
        "/users/anna@shop.example;x=1",
        "/users/anna@shop.example%3Bx",
        "/users/anna@shop.example%20",
        "/users/%20anna@shop.example",
        "/users/bert@shop.example",
    ]
    .map(Request::get);
    let expected = [200, 429, 429, 429, 429, 429, 429, 200];
    assert_eq!(statuses(&served, &requests), expected);
}

#[test]
fn nor_is_another_spelling_of_a_greedy_one() {
    let upstream = Upstream::text("ok");
    let config = filtered(&["limit"], upstream.address());
    let served = start(&[
        &config.replace("\"$default\"", "\"/files/{rest+}\""),
        &limit(
            "{ bounds = [{ name = \"file\", by = \"path:rest\", limit = 1, window = \"1h\" }] }",
        ),
    ]);
    let requests = [
        "a/b", "a/b/", "a;x/b", "a/b;y/", "a%2Fb", "a%20/b", "a", "b",
    ];
    let requests = requests.map(|rest| Request::get(format!("/files/{rest}")));
    let expected = [200, 429, 429, 429, 429, 429, 200, 200];
    assert_eq!(statuses(&served, &requests), expected);
}

#[test]
fn a_bound_in_shadow_refuses_nothing_and_is_counted() {
    let upstream = Upstream::text("ok");
    let settings = "{ bounds = [
        { name = \"tight\", limit = 1, window = \"1h\", shadow = true },
        { name = \"wide\", limit = 4, window = \"1h\" },
    ] }"
    .replace('\n', " ");
    let config = [
        "[admin]\naddress = \"127.0.0.1:0\"\n",
        &filtered(&["limit"], upstream.address()),
        &limit(&settings),
    ];
    let served = start(&config);
    let answers: Vec<_> = (0..5).map(|_| served.get("/")).collect();
    let told: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(told, [200, 200, 200, 200, 429]);
    let policy = answers[0].header("ratelimit-policy");
    assert_eq!(policy, Some("\"wide\";q=4;w=3600"));
    let counted = |mode: &str, bound: &str| {
        let labels = [("filter", "limit"), ("bound", bound), ("mode", mode)];
        served
            .metrics()
            .with("windlass_filter_throttled_total", &labels)
    };
    assert!((counted("shadow", "tight") - 4.0).abs() < 0.1);
    assert!((counted("refused", "wide") - 1.0).abs() < 0.1);
    let all = settings.replacen('{', "{ shadow = true,", 1);
    let served = start(&[config[0], config[1], &limit(&all)]);
    for _ in 0..9 {
        let answer = served.get("/");
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
}

#[test]
fn a_bound_in_shadow_refuses_no_request_without_its_value() {
    let upstream = Upstream::text("ok");
    for by in ["header:x-tenant", "attribute:plan.id"] {
        let settings = format!(
            "{{ bounds = [{{ name = \"b\", by = \"{by}\", missing = \"deny\", limit = 1, window = \"1h\", shadow = true }}] }}"
        );
        let served = start(&[
            "[admin]\naddress = \"127.0.0.1:0\"\n",
            &filtered(&["limit"], upstream.address()),
            &limit(&settings),
        ]);
        assert_eq!(served.get("/").status, 200, "{by}");
        let labels = [("filter", "limit"), ("bound", "b"), ("mode", "shadow")];
        let counted = served.metrics();
        let counted = counted.with("windlass_filter_throttled_total", &labels);
        assert!((counted - 1.0).abs() < 0.1, "{by}: {counted}");
    }
}

#[test]
fn an_odd_cost_is_no_way_to_pay_less() {
    let upstream = Upstream::text("ok");
    let priced = |more: &str| {
        let costs = ["3", "0", "-1", "1.5", "99999999999999999999", "many"];
        let keys = costs.iter().enumerate().map(|(place, cost)| {
            let cost = format!("attributes = {{ cost = \"{cost}\" }}");
            key(&format!("k-{place}"), "c", &format!("key-{place}"), &cost)
        });
        start(&[
            &filtered(&["keys", "limit"], upstream.address()),
            &api_key("{}"),
            &keys.collect::<String>(),
            &limit(&format!(
                "{{ cost_attribute = \"api-key.cost\", bounds = [{{ name = \"all\", limit = 4, window = \"1h\"{more} }}] }}"
            )),
        ])
    };
    let of = |place: usize| Request::get("/").header("x-api-key", format!("key-{place}"));
    let served = priced("");
    assert_eq!(statuses(&served, &[of(0), of(1), of(0)]), [200, 200, 429]);
    for place in 2..6 {
        let answer = served.send(&of(place));
        assert_eq!((answer.status, &*answer.code()), (500, "cost_invalid"));
    }
    assert_eq!(upstream.count(), 2);
    let shadow = priced(", shadow = true");
    assert_eq!(shadow.send(&of(5)).status, 200);
}

#[test]
fn a_flood_of_new_addresses_neither_drops_nor_resets_anybody() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        "[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\nmax_rate_counters = 100\n",
        "[admin]\naddress = \"127.0.0.1:0\"\n",
        &filtered(&["limit"], upstream.address()),
        &limit(BY_ADDRESS),
    ]);
    let known = from("203.0.113.1");
    assert_eq!(
        statuses(&gateway, &[known.clone(), known.clone()]),
        [200, 200]
    );
    let mut client = gateway.client();
    let flood = |client: &mut windlass_tests::Client, from_number: u32, count: u32| {
        let statuses = (from_number..from_number + count).map(|number| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            client.send(&from(&address.to_string())).status
        });
        statuses.filter(|status| *status == 200).count()
    };
    // 99 addresses have a bucket of their own. Two requests of all the others pass.
    assert_eq!(flood(&mut client, 0, 2_000), 99 + 2);
    assert_eq!(
        gateway.send(&known).status,
        429,
        "its bucket is there still"
    );
    assert_eq!(flood(&mut client, 5_000, 1_000), 0);
    // An address that has a bucket still uses it.
    let served = from("10.0.0.5");
    assert_eq!(statuses(&gateway, &[served.clone(), served]), [200, 429]);
    let metrics = gateway.metrics();
    assert!(metrics.with("windlass_rate_counters", &[]) <= 101.0);
    assert!(metrics.with("windlass_rate_overflows_total", &[]) >= 2_900.0);
    let warned = gateway.log().all();
    let warned = warned
        .iter()
        .filter(|line| line.contains("max_rate_counters"));
    assert_eq!(warned.count(), 1);
}

#[test]
fn a_flood_of_header_values_at_one_filter_leaves_room_for_the_addresses_of_another() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        "[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\nmax_rate_counters = 100\n",
        &filtered(&["limit"], upstream.address()),
        &limit(BY_ADDRESS),
        "[[route]]\npath = \"/flooded\"\nfilters = [\"by-header\"]\nrespond = {}\n",
        "[filter.by-header]\nplugin = \"builtin:rate-limit\"\nsettings = { bounds = [{ name = \"h\", by = \"header:x-tenant\", limit = 2, window = \"1h\" }] }\n",
    ]);
    let mut client = gateway.client();
    let of = |number: u32| Request::get("/flooded").header("x-tenant", number.to_string());
    let passed = (0..500).filter(|number| client.send(&of(*number)).status == 200);
    // This filter may use half of the counters, and then half of the rest. Two more requests pass
    // by the shared bucket.
    assert_eq!(passed.count(), 75 + 2);
    for number in 1..=25 {
        let client = from(&format!("192.0.2.{number}"));
        let requests = [&client, &client, &client].map(Clone::clone);
        assert_eq!(statuses(&gateway, &requests), [200, 200, 429], "{number}");
    }
}

#[test]
fn values_of_any_size_are_counted_in_a_few_bytes() {
    let upstream = Upstream::text("ok");
    let bound =
        "{ bounds = [{ name = \"h\", by = \"header:x-tenant\", limit = 1, window = \"1h\" }] }";
    let gateway = start(&[&filtered(&["limit"], upstream.address()), &limit(bound)]);
    let mut client = gateway.client();
    let mut send = |number: usize| {
        let value = format!("{number:04}{}", "x".repeat(14_000));
        client
            .send(&Request::get("/").header("x-tenant", value))
            .status
    };
    assert_eq!(send(0), 200);
    let before = gateway.rss();
    for number in 1..2_000 {
        assert_eq!(send(number), 200);
    }
    assert_eq!((send(0), send(1_999)), (429, 429));
    let grown = gateway.rss().saturating_sub(before);
    assert!(
        grown < 12 * 1024 * 1024,
        "28 MB of values took {grown} bytes"
    );
}

#[test]
fn a_reload_keeps_the_buckets_and_a_changed_bound_keeps_what_was_used() {
    let upstream = Upstream::text("ok");
    let config = |limited: u32| {
        let bound = format!(
            "{{ name = \"all\", limit = {limited}, window = \"1h\", algorithm = \"sliding-window\" }}"
        );
        let settings = limit(&format!("{{ bounds = [{bound}] }}"));
        format!("{}{settings}", filtered(&["limit"], upstream.address()))
    };
    let gateway = Gateway::with_config(config(3)).start();
    let one = Request::get("/");
    let ask = || gateway.send(&one).status;
    assert_eq!([ask(), ask()], [200, 200]);
    gateway.reload(config(3));
    assert_eq!([ask(), ask()], [200, 429]);
    gateway.reload(config(4));
    assert_eq!([ask(), ask()], [200, 429]);
}

#[test]
fn refusals_are_those_of_the_readme() {
    let upstream = Upstream::text("ok");
    let config = |style: &str, settings: &str| {
        start(&[
            &format!("[api.shop]\nerrors = \"{style}\"\n"),
            &filtered(&["limit"], upstream.address())
                .replace("filters =", "api = \"shop\"\nfilters ="),
            &limit(settings),
        ])
    };
    let shown = |answer: &Response| {
        let fields = [
            "content-type",
            "retry-after",
            "ratelimit-policy",
            "ratelimit",
        ];
        let fields = fields.map(|name| answer.header(name).unwrap_or("-").to_owned());
        let id = answer.header("x-request-id").unwrap_or_default();
        (
            answer.status,
            fields.join(" | "),
            answer.text().replace(id, "ID"),
        )
    };
    let window = "{ bounds = [{ name = \"all\", limit = 86400, window = \"1d\" }], cost = 86400 }";
    let dear = "{ bounds = [{ name = \"all\", limit = 86400, window = \"1d\" }], cost = 86401, cost_attribute = \"price\" }";
    let denied = "{ bounds = [{ name = \"h\", by = \"header:x-t\", limit = 2, window = \"31d\", missing = \"deny\" }] }";
    for style in ["problem", "aws"] {
        let served = config(style, window);
        assert_eq!(served.get("/").status, 200);
        let (status, fields, body) = shown(&served.get("/"));
        let kind = if style == "aws" {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(status, 429);
        assert_eq!(
            fields,
            format!("{kind} | 86400 | \"all\";q=86400;w=86400 | \"all\";r=0;t=86400")
        );
        let wanted = match style {
            "aws" => "{\"message\":\"Too Many Requests\"}",
            _ => {
                "{\"code\":\"throttled\",\"detail\":\"throttled\",\"request-id\":\"ID\",\"status\":429,\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\",\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\",\"violated-policies\":[\"all\"]}\n"
            }
        };
        assert_eq!(body, wanted);
        // Waiting would not help.
        let (status, fields, _) = shown(&config(style, dear).get("/"));
        assert_eq!(
            (status, fields),
            (
                429,
                format!("{kind} | - | \"all\";q=86400;w=86400 | \"all\";r=86400;t=0")
            )
        );
        let (status, fields, body) = shown(&config(style, denied).get("/"));
        assert_eq!((status, fields), (400, format!("{kind} | - | - | -")));
        let wanted = match style {
            "aws" => "{\"message\":\"Bad Request\"}",
            _ => {
                "{\"code\":\"rate_key_missing\",\"detail\":\"rate key missing\",\"request-id\":\"ID\",\"status\":400,\"title\":\"Bad Request\",\"type\":\"about:blank\"}\n"
            }
        };
        assert_eq!(body, wanted);
    }
}

#[test]
fn without_the_shared_store_its_policy_answers() {
    let upstream = Upstream::text("ok");
    let served = |style: &str, policy: &str| {
        start(&[
            &format!("[api.shop]\nerrors = \"{style}\"\n"),
            &format!("[store]\nurl = \"redis://127.0.0.1:1\"\non_unavailable = \"{policy}\"\n"),
            &filtered(&["limit"], upstream.address())
                .replace("filters =", "api = \"shop\"\nfilters ="),
            &limit("{ bounds = [{ name = \"all\", limit = 86400, window = \"1d\", burst = 2 }] }"),
        ])
    };
    for (style, wanted) in [
        ("aws", "{\"message\":\"Service Unavailable\"}"),
        (
            "problem",
            "{\"code\":\"limits_unavailable\",\"detail\":\"limits unavailable\",\"request-id\":\"ID\",\"status\":503,\"title\":\"Service Unavailable\",\"type\":\"about:blank\"}\n",
        ),
    ] {
        let answer = served(style, "deny").get("/");
        let id = answer.header("x-request-id").unwrap();
        let body = answer.text().replace(id, "ID");
        let told = (answer.status, answer.header("retry-after"), body.as_str());
        assert_eq!(told, (503, Some("1"), wanted));
    }
    assert_eq!(upstream.count(), 0);
    let three = [Request::get("/"), Request::get("/"), Request::get("/")];
    assert_eq!(statuses(&served("aws", "allow"), &three), [200, 200, 200]);
    assert_eq!(statuses(&served("aws", "local"), &three), [200, 200, 429]);
}

#[test]
fn older_forms_of_the_fields_are_sent_in_their_place() {
    let upstream = Upstream::text("ok");
    let told = |forms: &str, names: &[&str]| {
        let settings = format!(
            "{{ bounds = [{{ name = \"all\", limit = 9, window = \"1m\" }}], forms = {forms} }}"
        );
        let answer = gateway(&settings, &upstream).get("/");
        let values = names
            .iter()
            .map(|name| answer.header(name).unwrap_or("-").to_owned());
        values.collect::<Vec<_>>().join(" | ")
    };
    let names = [
        "ratelimit-policy",
        "ratelimit",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ];
    assert_eq!(
        told("[\"draft-7\"]", &names),
        "9;w=60 | limit=9, remaining=8, reset=7 | - | - | -"
    );
    assert_eq!(told("[\"draft-6\"]", &names), "9;w=60 | - | 9 | 8 | 7");
    let both = told(
        "[\"draft-11\", \"x-ratelimit\"]",
        &["ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining"],
    );
    assert_eq!(both, "\"all\";r=8;t=7 | 9 | 8");
    let reset: u64 = told("[\"x-ratelimit\"]", &["x-ratelimit-reset"])
        .parse()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(reset.abs_diff(now.as_secs() + 7) <= 5, "{reset}");
    let none = "{ bounds = [{ name = \"all\", limit = 9, window = \"1m\" }], headers = false }";
    let answer = gateway(none, &upstream).get("/");
    assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
}

#[test]
fn settings_that_make_no_sense_are_all_told_at_their_lines() {
    let config = format!(
        "{}{}",
        filtered(&["limit"], "127.0.0.1:9".parse().unwrap()),
        limit(
            "{ bounds = [{ name = \"a\", by = \"ip\", limit = 0, window = \"soon\" }], cost = 0 }"
        )
    );
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for text in [
        "filter `limit`: wants `client-address`, `header:<name>`, `attribute:<name>` or `path:<parameter>`; leave `by` out to count all requests together",
        "filter `limit`: must be 1 to 1000000000",
        "filter `limit`: wants a time from \"100ms\" to \"31d\", as \"1m\" is, not \"soon\"",
        "filter `limit`: must be at least 1; leave the filter out of the route to count nothing",
    ] {
        assert!(checked.errors.contains(text), "{text}\n{}", checked.errors);
    }
}

#[test]
fn a_sliding_window_on_a_shared_store_is_refused_at_check() {
    let bound = "{ name = \"w\", limit = 1, window = \"1m\", algorithm = \"sliding-window\" }";
    let config = format!(
        "{}{}[store]\nurl = \"redis://127.0.0.1:1\"\n",
        filtered(&["limit"], "127.0.0.1:9".parse().unwrap()),
        limit(&format!("{{ bounds = [{bound}] }}"))
    );
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for text in [
        "windlass.toml:11:76: filter `limit`: bound `w` is a sliding window, which each gateway counts alone",
        "set `algorithm = \"token-bucket\"`, which they share",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

#[test]
fn the_configs_of_the_readme_and_of_the_page_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (page, more) in [
        (
            "plugins/rate-limit/README.md",
            "[[route]]\npath = \"/\"\nfilters = [\"token\", \"limit\"]\nrespond = {}\n\
             [filter.token]\nplugin = \"builtin:jwt\"\n\
             settings = { verifiers = [\"issuer\"], attributes = { \"consumer.tenant\" = \"tenant\" } }\n\
             [verifier.issuer]\nsecret = \"shared\"\nany_audience = true\nissuers = [\"me\"]\n\
             [secret.shared]\nenv = \"SHARED_SECRET\"\n",
        ),
        (
            "docs/how-to/rate-limits.md",
            "[upstream.shop]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        let (_, block) = text.split_once("```toml\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let checked = Gateway::with_config(format!("{block}\n{more}"))
            .env("SHARED_SECRET", &"x".repeat(64))
            .check();
        assert_eq!(checked.code, Some(0), "{page}: {}", checked.errors);
        assert!(
            !checked.errors.contains("limit`"),
            "{page}: {}",
            checked.errors
        );
    }
}

#[test]
fn a_usage_plan_names_its_bound_and_sends_older_forms() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[
        &filtered(&["keys", "plan"], upstream.address()),
        &api_key("{}"),
        "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\nsettings = { forms = [\"draft-7\"] }\n",
        "\n[plan.gold]\nrate = 0.001\nburst = 5\nquota = { limit = 1, period = \"month\" }\n",
        &key("alice-1", "alice", "alice", "plan = \"gold\""),
    ]);
    let request = Request::get("/").header("x-api-key", "alice");
    let answer = gateway.send(&request);
    let told = answer.header("ratelimit").unwrap();
    assert!(told.starts_with("limit=1, remaining=0, reset="), "{told}");
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with("1;w="), "{policy}");
    let body = gateway.send(&request).json();
    assert_eq!(body["code"], "quota_spent");
    assert_eq!(body["violated-policies"], serde_json::json!(["quota"]));
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(body["type"], kind);
}

#[test]
fn the_answers_are_described() {
    let described = |shadow: bool| {
        let bound = format!("{{ name = \"all\", limit = 9, window = \"1m\", shadow = {shadow} }}");
        let gateway = start(&[
            "[[route]]\npath = \"/openapi.json\"\nfilters = [\"sdk\"]\nrespond = {}\n\
             [[route]]\npath = \"/orders\"\nfilters = [\"limit\"]\nrespond = {}\n\
             [filter.sdk]\nplugin = \"builtin:sdk-metadata\"\n",
            &limit(&format!("{{ bounds = [{bound}] }}")),
        ]);
        gateway.get("/openapi.json").text().to_owned()
    };
    assert!(described(false).contains("a rate gives no more now"));
    assert!(!described(true).contains("a rate gives no more now"));
}

#[test]
fn the_example_does_what_its_comments_say() {
    let endpoint = Upstream::echo();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/rate-limit.toml");
    let config = std::fs::read_to_string(path).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &endpoint.address().to_string());
    let gateway = Gateway::with_config(config).start();
    let from = |address: &str| Request::get("/login").header("x-forwarded-for", address);
    let asked = vec![from("2001:db8::1"); 6];
    assert_eq!(statuses(&gateway, &asked), [200, 200, 200, 200, 200, 429]);
    assert_eq!(gateway.send(&from("2001:db8:0:1::1")).status, 200);
    let answer = gateway.send(&Request::get("/orders"));
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"address\";q=100;w=20")
    );
}
