//! Preflights take the route of the method that they ask for, and only filters that answer
//! preflights see them.

use windlass_tests::{Gateway, Request, Upstream, key_digest};

use crate::config::{api_key, upstream};

const APP: &str = "https://app.example.com";

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// A CORS filter of this name that lets the app's pages use these methods.
fn cors(name: &str, methods: &[&str]) -> String {
    format!(
        "\n[filter.{name}]\nplugin = \"builtin:cors\"\nsettings = {{ origins = [\"{APP}\"], methods = {methods:?} }}\n"
    )
}

/// A route to the upstream `app`.
fn route(path: &str, methods: &[&str], filters: &[&str]) -> String {
    format!(
        "\n[[route]]\npath = \"{path}\"\nmethods = {methods:?}\nfilters = {filters:?}\nupstream = \"app\"\n"
    )
}

fn preflight(target: &str, method: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("origin", APP)
        .header("access-control-request-method", method)
}

fn start(endpoint: &Upstream, config: &str) -> Gateway {
    let config = format!("{config}{}", upstream("app", &[endpoint.address()]));
    Gateway::with_config(config)
        .file("actor.wasm", ACTOR)
        .start()
}

/// The status, and the methods that the response allows.
fn asked(gateway: &Gateway, request: &Request) -> (u16, Option<String>) {
    let answer = gateway.send(request);
    let methods = answer.header("access-control-allow-methods");
    (answer.status, methods.map(str::to_owned))
}

fn allowed(methods: &str) -> (u16, Option<String>) {
    (204, Some(methods.to_owned()))
}

#[test]
fn a_preflight_goes_to_the_route_of_the_method_that_it_asks_for() {
    let endpoint = Upstream::text("well");
    let config = [
        route("/orders/{id}", &["GET"], &["reads"]),
        route("/orders/{id}", &["PUT"], &["writes"]),
        route("/orders/{id}", &["DELETE"], &[]),
        cors("reads", &["GET"]),
        cors("writes", &["PUT"]),
    ];
    let gateway = start(&endpoint, &config.concat());
    assert_eq!(
        asked(&gateway, &preflight("/orders/1", "GET")),
        allowed("GET")
    );
    assert_eq!(
        asked(&gateway, &preflight("/orders/1", "PUT")),
        allowed("PUT")
    );
    // Nothing changes for routes without a filter that answers preflights, and for methods and
    // paths without a route.
    for (request, status) in [
        (preflight("/orders/1", "DELETE"), 405),
        (preflight("/orders/1", "PATCH"), 405),
        (preflight("/orders/1", "G T"), 405),
        (preflight("/none", "GET"), 404),
        (Request::new("OPTIONS", "/orders/1"), 405),
        (
            Request::new("OPTIONS", "/orders/1").header("origin", APP),
            405,
        ),
        (
            Request::new("OPTIONS", "/orders/1").header("access-control-request-method", "GET"),
            405,
        ),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status, "{request:?}");
    }
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn below_a_base_path_it_is_the_same() {
    let endpoint = Upstream::text("well");
    let route = route("/orders", &["GET"], &["cors"]).replace("path =", "api = \"shop\"\npath =");
    let config = format!(
        "{route}[api.shop]\nbase_path = \"/shop/v1\"\n{}",
        cors("cors", &["GET"])
    );
    let gateway = start(&endpoint, &config);
    let request = preflight("/shop/v1/orders", "GET");
    assert_eq!(asked(&gateway, &request), allowed("GET"));
    assert_eq!(gateway.send(&preflight("/orders", "GET")).status, 404);
}

#[test]
fn it_meets_no_filter_but_those_that_answer_it_and_no_endpoint() {
    let endpoint = Upstream::text("well");
    let config = [
        &route("/", &["GET"], &["keys", "cors", "closed"]),
        &cors("cors", &["GET"]),
        &*api_key("{}"),
        "[filter.closed]\nplugin = \"actor.wasm\"\nsettings = { request = [{ respond = { status = 418 } }] }\n",
        &format!(
            "[[key]]\nid = \"k\"\nconsumer = \"c\"\ndigest = \"{}\"\n",
            key_digest("right")
        ),
    ];
    let gateway = start(&endpoint, &config.concat());
    assert_eq!(asked(&gateway, &preflight("/", "GET")), allowed("GET"));
    let other = Request::new("OPTIONS", "/")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "GET");
    assert_eq!(gateway.send(&other).code(), "cors_origin_refused");
    let calls = gateway.metrics();
    let calls = |filter: &str| calls.with("windlass_filter_calls_total", &[("filter", filter)]);
    assert_eq!((calls("keys"), calls("closed")), (0.0, 0.0));
    // A request that is not a preflight passes all filters.
    assert_eq!(gateway.get("/").status, 401);
    let with_key = Request::get("/").header("x-api-key", "right");
    assert_eq!(gateway.send(&with_key).status, 418);
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn a_route_that_lists_options_comes_first() {
    let endpoint = Upstream::text("the endpoint's own");
    let config = [
        route("/own", &["OPTIONS"], &[]),
        route("/own", &["GET"], &["cors"]),
        route("/both", &["GET", "OPTIONS"], &["keys", "cors"]),
        route("/any", &["ANY"], &["keys", "cors"]).replace("methods = [\"ANY\"]\n", ""),
        cors("cors", &["GET"]),
        api_key("{}"),
    ];
    let gateway = start(&endpoint, &config.concat());
    let own = gateway.send(&preflight("/own", "GET"));
    assert_eq!((own.status, own.text()), (200, "the endpoint's own"));
    assert_eq!(asked(&gateway, &preflight("/both", "GET")), allowed("GET"));
    assert_eq!(asked(&gateway, &preflight("/any", "GET")), allowed("GET"));
}

#[test]
fn one_that_no_filter_answers_ends_at_the_gateway() {
    let endpoint = Upstream::text("well");
    let actor = |name: &str, steps: &str, more: &str| {
        format!(
            "[filter.{name}]\nplugin = \"actor.wasm\"\nsettings = {{ preflights = true, request = [{steps}] }}\n{more}\n"
        )
    };
    let config = [
        route("/lets", &["GET"], &["lets", "keys"]),
        route("/fails", &["GET"], &["fails", "keys"]),
        route("/skips", &["GET"], &["skips", "keys"]),
        actor("lets", "", ""),
        actor("fails", "\"trap\"", ""),
        actor("skips", "\"trap\"", "on_error = \"skip\""),
        api_key("{}"),
    ];
    let gateway = start(&endpoint, &config.concat());
    for (path, status, code) in [
        ("/lets", 404, "no_route"),
        ("/fails", 500, "filter_failed"),
        ("/skips", 404, "no_route"),
    ] {
        let answer = gateway.send(&preflight(path, "GET"));
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path}");
    }
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn check_warns_of_filters_that_may_refuse_before_it() {
    let check = |filters: &[&str]| {
        let config = [
            &route("/", &["GET"], filters),
            &cors("cors", &["GET"]),
            &*api_key("{}"),
            "[filter.says]\nplugin = \"actor.wasm\"\n[upstream.app]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n",
        ];
        let builder = Gateway::with_config(config.concat()).file("actor.wasm", ACTOR);
        let checked = builder.check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        checked.errors
    };
    let told = check(&["says", "keys", "cors"]);
    let message = "warning: route `GET /`: filter `cors` sees nothing of what a filter before it refuses (`says`, `keys`)";
    assert!(told.contains(message), "{told}");
    assert!(told.contains("windlass.toml:5:28: "), "{told}");
    assert!(told.contains("put `cors` first"), "{told}");
    let told = check(&["cors", "says", "keys"]);
    assert!(!told.contains("sees nothing"), "{told}");
}

#[test]
fn no_limit_holds_for_a_preflight_that_a_filter_answers() {
    let endpoint = Upstream::text("well");
    let limit = "\n[filter.limit]\nplugin = \"builtin:rate-limit\"\nsettings = { bounds = [{ name = \"all\", limit = 1, window = \"1h\" }] }\n";
    let one = |path: &str, filters: &[&str], more: &str| {
        let route = route(path, &["GET"], filters);
        route.replace("upstream =", &format!("{more}\nupstream ="))
    };
    let config = [
        one("/before", &["limit", "cors"], ""),
        one("/after", &["cors", "limit"], ""),
        one("/rate", &["cors"], "rate = 0.001\nburst = 1"),
        cors("cors", &["GET"]),
        limit.to_owned(),
    ];
    let gateway = start(&endpoint, &config.concat());
    for path in ["/before", "/after", "/rate"] {
        for _ in 0..3 {
            assert_eq!(asked(&gateway, &preflight(path, "GET")), allowed("GET"));
        }
    }
    // The requests that follow are still limited.
    let statuses = ["/before", "/after", "/rate", "/rate"].map(|path| gateway.get(path).status);
    assert_eq!(statuses, [200, 429, 200, 429]);
}
