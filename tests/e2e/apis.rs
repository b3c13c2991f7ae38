//! `[api.<name>]`: base paths, stage variables, and error responses in the style of the API.

use windlass_tests::{Gateway, Reply, Request, Response, Upstream};

use crate::config::{api_key, key, stamp, start, transform, upstream};

const USAGE_PLAN: &str = "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";

/// A route of the API `shop` to `app`, with further configuration.
fn route(path: &str, more: &str) -> String {
    format!("\n[[route]]\napi = \"shop\"\npath = \"{path}\"\nupstream = \"app\"\n{more}\n")
}

/// A gateway with the API `shop`, with these settings and these routes.
fn shop(lines: &str, routes: &str, to: &Upstream) -> Gateway {
    start(&[
        routes,
        "\n[api.shop]\n",
        lines,
        "\n",
        &upstream("app", &[to.address()]),
    ])
}

fn told(answer: &Response) -> (u16, &str) {
    (answer.status, answer.text())
}

#[test]
fn what_goes_upstream_has_no_base_path() {
    let endpoint = Upstream::echo();
    let routes = [
        route("/", ""),
        route("/orders/{id}", ""),
        route("/files/{rest+}", ""),
    ]
    .concat();
    let gateway = shop("base_path = \"/shop/v1\"", &routes, &endpoint);
    let asked = [
        ("/shop/v1", "/"),
        ("/shop/v1/", "/"),
        ("/shop/v1?a=b", "/?a=b"),
        ("/shop/v1/orders/7?x=%2F", "/orders/7?x=%2F"),
        ("/sho%70/./v1/orders/a%2Fb", "/orders/a%2Fb"),
        ("/shop/v1/files/a/b/", "/files/a/b/"),
    ];
    for (target, _) in asked {
        assert_eq!(gateway.get(target).status, 200, "{target}");
    }
    let received = endpoint.received();
    let targets: Vec<&str> = received.iter().map(|request| &*request.target).collect();
    assert_eq!(targets, asked.map(|(_, upstream)| upstream));
    for request in &received {
        assert_eq!(request.header("x-forwarded-prefix"), Some("/shop/v1"));
    }
    for none in ["/orders/7", "/shop", "/shop/v10/orders/7", "/shop/v1/users"] {
        assert_eq!(gateway.get(none).status, 404, "{none}");
    }
    assert_eq!(endpoint.count(), asked.len());
}

#[test]
fn path_parameters_are_those_below_the_base_path() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        &route("/orders/{id}/{rest+}", "filters = [\"rewrite\"]"),
        "\n[api.shop]\nbase_path = \"/shop/v1\"\n",
        &transform(
            "rewrite",
            r#"{ request = [
                { op = "set", header = "x-id", value = "${path.id}" },
                { op = "set", header = "x-path", value = "${request.path}" },
                { op = "set", path = "/v2/${path.rest+}/${path.id}" },
            ] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    assert_eq!(gateway.get("/shop/v1/orders/7/a/b?q=1").status, 200);
    let request = endpoint.only_request();
    assert_eq!(request.target, "/v2/a/b/7?q=1");
    assert_eq!(request.header("x-id"), Some("7"));
    assert_eq!(request.header("x-path"), Some("/orders/7/a/b"));
}

#[test]
fn a_default_route_takes_what_is_below_its_base_path_and_no_more() {
    let endpoint = Upstream::echo();
    let routes = [
        route("$default", ""),
        "\n[[route]]\npath = \"/{rest+}\"\nrespond = { body = \"outside\" }\n".to_owned(),
    ]
    .concat();
    let gateway = shop("base_path = \"/shop\"", &routes, &endpoint);
    for (target, outside) in [
        ("/shop", false),
        ("/shop/", false),
        ("/shop/a/b", false),
        ("/shopping", true),
        ("/other", true),
    ] {
        let answer = gateway.get(target);
        assert_eq!(answer.text() == "outside", outside, "{target}");
    }
    assert_eq!(endpoint.count(), 3);
}

#[test]
fn a_redirect_keeps_the_path_that_the_client_knows() {
    let endpoint = Upstream::echo();
    let routes = "\n[[route]]\napi = \"shop\"\npath = \"/{rest+}\"\nredirect = { to = \"https://new.test${path}${query}\" }\n";
    let gateway = shop("base_path = \"/shop\"", routes, &endpoint);
    let answer = gateway.get("/shop/a/b?c=d");
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.header("location"),
        Some("https://new.test/shop/a/b?c=d")
    );
}

#[test]
fn what_a_stranger_says_of_a_prefix_is_dropped() {
    let endpoint = Upstream::echo();
    let routes = [
        route("/a", ""),
        "\n[[route]]\npath = \"/b\"\nupstream = \"app\"\n".to_owned(),
    ]
    .concat();
    let gateway = shop("base_path = \"/shop\"", &routes, &endpoint);
    for target in ["/shop/a", "/b"] {
        let request = Request::get(target).header("x-forwarded-prefix", "/evil");
        assert_eq!(gateway.send(&request).status, 200);
    }
    let received = endpoint.received();
    assert_eq!(received[0].header("x-forwarded-prefix"), Some("/shop"));
    assert_eq!(received[1].header("x-forwarded-prefix"), None);
}

#[test]
fn what_a_trusted_proxy_took_off_stands_before_the_base_path() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        &route("/a", ""),
        "\n[api.shop]\nbase_path = \"/shop\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    let request = Request::get("/shop/a").header("x-forwarded-prefix", "/eu/");
    assert_eq!(gateway.send(&request).status, 200);
    let request = endpoint.only_request();
    assert_eq!(request.header("x-forwarded-prefix"), Some("/eu/shop"));
}

#[test]
fn stage_variables_reach_filters() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        &route("/a", "filters = [\"tell\"]"),
        "\n[api.shop]\nstage = \"prod\"\nvariables = { region = \"eu-1\" }\n",
        &transform(
            "tell",
            r#"{ request = [
                { op = "set", header = "x-region", value = "${attribute.api.variable.region!}" },
                { op = "set", header = "x-stage", value = "${attribute.api.stage}" },
                { op = "set", header = "x-none", value = "${attribute.api.variable.none}" },
            ] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    assert_eq!(gateway.get("/a").status, 200);
    let request = endpoint.only_request();
    assert_eq!(request.header("x-region"), Some("eu-1"));
    assert_eq!(request.header("x-stage"), Some("prod"));
    assert_eq!(request.header("x-none"), None);
}

/// A gateway with the API `shop`, keys, a burst of two requests, a quota of three, and these
/// settings of the API.
fn sold(lines: &str, plan: &str, to: &Upstream) -> Gateway {
    start(&[
        &route("/a", "filters = [\"stamp\", \"keys\", \"plan\"]"),
        "\n[api.shop]\n",
        lines,
        &stamp("stamp"),
        &api_key("{}"),
        USAGE_PLAN,
        &format!("\n[plan.gold]\n{plan}\n"),
        &key("alice-1", "alice", "alice", "plan = \"gold\""),
        &key("carol-1", "carol", "carol", ""),
        &upstream("app", &[to.address()]),
    ])
}

fn of(key: &str) -> Request {
    Request::get("/a").header("x-api-key", key)
}

#[test]
fn aws_words_are_those_of_amazon_for_keys_and_plans() {
    let endpoint = Upstream::text("ok");
    let plan = "rate = 0.001\nburst = 2\nquota = { limit = 1, period = \"month\" }";
    let gateway = sold("errors = \"aws\"\n", plan, &endpoint);
    let forbidden = (403, "{\"message\":\"Forbidden\"}");
    assert_eq!(told(&gateway.send(&of("wrong"))), forbidden);
    assert_eq!(told(&gateway.send(&of("carol"))), forbidden, "no plan");
    assert_eq!(gateway.send(&of("alice")).status, 200);
    let spent = gateway.send(&of("alice"));
    assert_eq!(told(&spent), (429, "{\"message\":\"Limit Exceeded\"}"));
    assert_eq!(spent.header("content-type"), Some("application/json"));
    let gateway = sold("errors = \"aws\"\n", "rate = 0.001", &endpoint);
    assert_eq!(gateway.send(&of("alice")).status, 200);
    let throttled = gateway.send(&of("alice"));
    assert_eq!(
        told(&throttled),
        (429, "{\"message\":\"Too Many Requests\"}")
    );
    assert!(throttled.header("retry-after").is_some());
    assert_eq!(endpoint.count(), 2);
}

#[test]
fn an_api_answers_refusals_in_its_own_words() {
    let endpoint = Upstream::text("ok");
    let lines = r#"
[api.shop.responses.throttled]
status = 503
headers = { x-hint = "slow down" }
body = '{"error":"${code}","status":${status},"why":"${message}","id":"${request_id}"}'
[api.shop.responses.default_4xx]
headers = { content-type = "text/plain" }
body = "no: ${code}"
"#;
    let gateway = sold(lines, "rate = 0.001", &endpoint);
    let missing = gateway.get("/a");
    assert_eq!(told(&missing), (401, "no: api_key_missing"));
    assert_eq!(missing.header("content-type"), Some("text/plain"));
    assert!(missing.header("www-authenticate").is_some());
    assert_eq!(gateway.send(&of("alice")).status, 200);
    let throttled = gateway.send(&of("alice"));
    assert_eq!(throttled.status, 503);
    let body = throttled.json();
    assert_eq!(body["error"], "throttled");
    assert_eq!(body["status"], 503);
    assert_eq!(body["why"], "throttled");
    assert_eq!(body["id"], throttled.header("x-request-id").unwrap());
    // The response keeps the fields of the refusal, and response phases see it like any other.
    assert!(throttled.header("retry-after").is_some());
    assert!(throttled.header("ratelimit").is_some());
    assert_eq!(throttled.header("x-hint"), Some("slow down"));
    assert_eq!(throttled.header("x-order"), Some("stamp"));
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn an_api_answers_the_gateways_errors_in_its_own_words() {
    let closed = windlass_tests::ClosedPort::new();
    let gateway = start(&[
        &route("/a", "max_body = \"1KiB\""),
        r#"
[api.shop]
base_path = "/shop"
[api.shop.responses.connect_failed]
status = 503
body = ""
[api.shop.responses.body_too_large]
headers = { x-limit = "1KiB" }
[api.shop.responses.no_route]
body = '"${code}"'
[api.shop.responses.default_4xx]
body = '"another: ${code}"'
"#,
        &upstream("app", &[closed.address()]),
    ]);
    let failed = gateway.get("/shop/a");
    assert_eq!(told(&failed), (503, ""));
    assert_eq!(failed.header("content-type"), None);
    let large = gateway.send(&Request::post("/shop/a", vec![0; 2000]));
    assert_eq!((large.status, &*large.code()), (413, "body_too_large"));
    assert_eq!(large.header("x-limit"), Some("1KiB"));
    assert_eq!(told(&gateway.get("/shop/b")), (404, "\"no_route\""));
    let outside = gateway.get("/b");
    assert_eq!((outside.status, &*outside.code()), (404, "no_route"));
}

#[test]
fn a_method_that_an_api_does_not_take_is_told_in_its_words_with_allow() {
    let endpoint = Upstream::text("ok");
    let lines = "base_path = \"/shop\"\nerrors = \"aws\"";
    let routes = route("/a", "methods = [\"GET\"]");
    let gateway = shop(lines, &routes, &endpoint);
    let answer = gateway.send(&Request::new("DELETE", "/shop/a"));
    assert_eq!(told(&answer), (405, "{\"message\":\"Method Not Allowed\"}"));
    assert_eq!(answer.header("allow"), Some("GET"));
}

#[test]
fn an_answer_with_a_body_of_its_own_is_not_reworded() {
    let endpoint = Upstream::fixed(Reply::status(429).body("theirs"));
    let lines = "\n[api.shop.responses.default_4xx]\nbody = '\"ours\"'\n";
    let gateway = shop(lines, &route("/a", ""), &endpoint);
    assert_eq!(told(&gateway.get("/a")), (429, "theirs"));
}

#[test]
fn a_response_for_a_misspelt_code_is_warned_of() {
    let config = [
        "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        &route("/a", ""),
        "\n[api.shop.responses.quota_spend]\nbody = '\"x\"'\n",
        "\n[api.shop.responses.several_token]\nbody = '\"x\"'\n",
        "\n[api.shop.responses.tenant_unknown]\nbody = '\"x\"'\n",
        &upstream("app", &["127.0.0.1:9".parse().unwrap()]),
    ]
    .concat();
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    for meant in ["quota_spent", "several_tokens"] {
        let text = format!("did you mean `{meant}`?");
        assert!(checked.errors.contains(&text), "{}", checked.errors);
    }
    assert!(
        !checked.errors.contains("tenant_unknown"),
        "{}",
        checked.errors
    );
}

#[test]
fn the_example_of_plans_does_what_its_comments_say() {
    let upstream = Upstream::echo();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = std::fs::read_to_string(file.join("../host/examples/plans.toml")).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &upstream.address().to_string());
    let gateway = Gateway::with_config(config).start();
    let ask = |method: &str, path: &str, key: &str| {
        let request = Request::new(method, format!("/shop/v1{path}")).header("x-api-key", key);
        gateway.send(&request)
    };
    let forbidden = (403, "{\"message\":\"Forbidden\"}");
    assert_eq!(told(&gateway.get("/shop/v1/orders/7")), forbidden);
    assert_eq!(told(&ask("GET", "/orders/7", "wrong")), forbidden);
    assert_eq!(upstream.count(), 0);
    assert_eq!(ask("GET", "/orders/7", "example-key").status, 200);
    let request = upstream.only_request();
    assert_eq!(request.target, "/orders/7");
    assert_eq!(request.header("x-region"), Some("eu-1"));
    // The rate refills after ten seconds, so the next request is throttled.
    assert_eq!(ask("PUT", "/orders/7", "example-key").status, 200);
    let throttled = ask("PUT", "/orders/8", "example-key");
    assert_eq!(
        told(&throttled),
        (429, "{\"message\":\"Too Many Requests\"}")
    );
    assert_eq!(ask("GET", "/orders/7", "example-key").status, 200);
    // The quota is three a day. The rate may also refuse requests, but no more than three may be
    // admitted.
    let mut admitted = 0;
    let spent = windlass_tests::wait::until("a spent quota", || {
        let answer = ask("GET", "/orders/7", "second-key");
        admitted += u64::from(answer.status == 200);
        (answer.status == 429 && answer.text().contains("quota_spent")).then_some(answer)
    });
    assert_eq!(admitted, 3);
    assert_eq!(spent.json()["message"], "Limit Exceeded");
    assert_eq!(
        spent.json()["request"],
        spent.header("x-request-id").unwrap()
    );
    assert_eq!(spent.header("x-upgrade"), Some("https://example.com/plans"));
    assert!(spent.header("retry-after").is_some());
}
