//! `builtin:cors`: which web pages may read responses.

use std::net::TcpListener;
use std::path::Path;

use windlass_tests::{Gateway, Reply, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, start, transform};

const APP: &str = "https://app.example.com";

/// A filter `cors` with these settings.
fn cors(settings: &str) -> String {
    format!("\n[filter.cors]\nplugin = \"builtin:cors\"\nsettings = {settings}\n")
}

/// A gateway that lets the pages of one app read the responses of this endpoint.
fn of_the_app(endpoint: &Upstream) -> Gateway {
    start(&[
        &filtered(&["cors"], endpoint.address()),
        &cors(&format!(
            "{{ origins = [\"{APP}\"], expose = [\"etag\"], credentials = true }}"
        )),
    ])
}

fn from(origin: &str, target: &str) -> Request {
    Request::get(target).header("origin", origin)
}

fn preflight(origin: &str, target: &str, method: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", method)
}

/// The CORS fields of a response, and `vary`, sorted by name.
fn told(answer: &Response) -> Vec<String> {
    let names = [
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "access-control-max-age",
        "vary",
    ];
    let short = |name: &'static str| name.strip_prefix("access-control-").unwrap_or(name);
    let lines = names.into_iter().flat_map(|name| {
        let values = answer.headers(name).into_iter();
        values.map(move |value| format!("{}: {value}", short(name)))
    });
    lines.collect()
}

#[test]
fn the_policy_takes_the_place_of_what_the_endpoint_says() {
    let reply = Reply::status(200)
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-origin", "https://evil.example")
        .header("access-control-allow-credentials", "true")
        .header("access-control-allow-methods", "DELETE")
        .header("access-control-expose-headers", "x-secret")
        .header("access-control-max-age", "99")
        .header("vary", "accept-encoding");
    let endpoint = Upstream::fixed(reply.body("well"));
    let gateway = of_the_app(&endpoint);
    let answer = gateway.send(&from(APP, "/"));
    assert_eq!(
        told(&answer),
        [
            "allow-credentials: true",
            "allow-origin: https://app.example.com",
            "expose-headers: etag",
            "vary: accept-encoding",
            "vary: Origin",
        ]
    );
    // The request passes, because its client may not be a browser. A page may not read the response.
    for other in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
    ] {
        let answer = gateway.send(&from(other, "/"));
        assert_eq!((answer.status, answer.text()), (200, "well"));
        assert_eq!(told(&answer), ["vary: accept-encoding", "vary: Origin"]);
    }
    // `vary` keeps a cache from giving this response to a page.
    let answer = gateway.get("/");
    assert_eq!(told(&answer), ["vary: accept-encoding", "vary: Origin"]);
}

#[test]
fn vary_is_not_said_twice() {
    for (vary, said) in [("Accept, origin", "vary: Accept, origin"), ("*", "vary: *")] {
        let endpoint = Upstream::fixed(Reply::status(200).header("vary", vary));
        let gateway = of_the_app(&endpoint);
        let answer = gateway.send(&from("https://evil.example", "/"));
        assert_eq!(told(&answer), [said]);
    }
}

#[test]
fn refusals_of_later_filters_and_errors_of_the_gateway_can_be_read() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = start(&[
        &filtered(&["cors", "keys"], address),
        &cors(&format!("{{ origins = [\"{APP}\"] }}")),
        &api_key("{}"),
        &key("k", "acme", "right", ""),
    ]);
    let with_key = |key: &str| from(APP, "/").header("x-api-key", key);
    for (request, status) in [
        (from(APP, "/"), 401),
        (with_key("wrong"), 403),
        (with_key("right"), 502),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status);
        assert_eq!(
            told(&answer),
            ["allow-origin: https://app.example.com", "vary: Origin"],
            "{status}"
        );
    }
}

#[test]
fn a_preflight_is_answered_before_the_filters_after_it_and_the_endpoint() {
    let endpoint = Upstream::text("well");
    let gateway = start(&[
        &filtered(&["cors", "keys"], endpoint.address()),
        &cors(&format!(
            "{{ origins = [\"{APP}\"], methods = [\"GET\", \"PUT\"], headers = [\"x-api-key\"], max_age = \"1h\" }}"
        )),
        &api_key("{}"),
    ]);
    let answer = gateway.send(&preflight(APP, "/", "PUT"));
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(
        told(&answer),
        [
            "allow-headers: x-api-key",
            "allow-methods: GET, PUT",
            "allow-origin: https://app.example.com",
            "max-age: 3600",
            "vary: Origin",
        ]
    );
    let refused = gateway.send(&preflight("https://evil.example", "/", "PUT"));
    assert_eq!(
        (refused.status, &*refused.code()),
        (403, "cors_origin_refused")
    );
    assert_eq!(told(&refused), ["vary: Origin"]);
    // An `OPTIONS` request that is not a preflight is treated like any other request.
    let answer = gateway.send(&Request::new("OPTIONS", "/").header("origin", APP));
    assert_eq!(answer.status, 401);
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn for_every_origin_the_answer_is_the_same_for_all() {
    let endpoint = Upstream::text("well");
    let gateway = start(&[
        &filtered(&["cors"], endpoint.address()),
        &cors("{ origins = [\"*\"], headers = [\"*\"], expose = [\"*\"] }"),
    ]);
    for request in [Request::get("/"), from("https://a.example", "/")] {
        let answer = gateway.send(&request);
        assert_eq!(told(&answer), ["allow-origin: *", "expose-headers: *"]);
    }
    // The wildcard `*` does not cover `authorization`.
    let asks = preflight("https://a.example", "/", "GET")
        .header("access-control-request-headers", "authorization,x-a");
    let answer = gateway.send(&asks);
    assert_eq!(
        told(&answer),
        [
            "allow-headers: authorization,x-a",
            "allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE",
            "allow-origin: *",
            "max-age: 600",
            "vary: Access-Control-Request-Headers",
        ]
    );
}

#[test]
fn the_origin_is_that_of_the_client_whatever_a_later_filter_makes_of_it() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        &filtered(&["cors", "hides"], endpoint.address()),
        &cors(&format!(
            "{{ origins = [\"{APP}\", \"https://b.example\"] }}"
        )),
        &transform(
            "hides",
            "{ request = [{ op = \"set\", header = \"origin\", value = \"https://b.example\" }] }",
        ),
    ]);
    let answer = gateway.send(&from(APP, "/"));
    assert_eq!(told(&answer)[0], "allow-origin: https://app.example.com");
    let answer = gateway.send(&from("https://evil.example", "/"));
    assert_eq!(told(&answer), ["vary: Origin"]);
    let upstream = endpoint.received().pop().unwrap();
    assert_eq!(upstream.header("origin"), Some("https://b.example"));
}

#[test]
fn hostile_origins_open_nothing_and_break_nothing() {
    let endpoint = Upstream::text("well");
    let gateway = start(&[
        &filtered(&["cors"], endpoint.address()),
        &cors("{ origins = [\"https://*.example.com\"], credentials = true }"),
    ]);
    let long = format!("https://{}.example.com", "a".repeat(5_000));
    for origin in [
        "https://.example.com",
        "https://a.example.com, https://b.example.com",
        "https://a.example.com@evil.example",
        "https://evil.example/.example.com",
        "https://a.example.com\u{e4}",
        "https://*.example.com",
        &long,
    ] {
        let answer = gateway.send(&from(origin, "/"));
        assert_eq!(
            (answer.status, told(&answer)),
            (200, vec!["vary: Origin".into()]),
            "{origin}"
        );
        let answer = gateway.send(&preflight(origin, "/", "PUT"));
        assert_eq!(answer.status, 403, "{origin}");
    }
    // A browser sends one `origin`. Other clients may send two; then the first one counts.
    let two = from("https://evil.example", "/").header("origin", "https://a.example.com");
    let answer = gateway.send(&two);
    assert_eq!(
        (answer.status, told(&answer)),
        (200, vec!["vary: Origin".into()])
    );
    let metrics = gateway.metrics();
    let failures = metrics.with("windlass_filter_failures_total", &[("filter", "cors")]);
    assert_eq!(failures, 0.0);
}

#[test]
fn settings_that_open_too_much_are_refused_at_their_line() {
    let config = "[[route]]\npath = \"/\"\nfilters = [\"cors\"]\nrespond = {}\n[filter.cors]\nplugin = \"builtin:cors\"\n";
    for (settings, place, text) in [
        (
            "{ origins = [\"*\"], credentials = true }",
            "windlass.toml:7:24: ",
            "would let every page act for whoever is logged in",
        ),
        (
            "{ origins = [\"https://app.example.com/\"] }",
            "windlass.toml:7:25: ",
            "write `https://app.example.com`",
        ),
    ] {
        let config = format!("{config}settings = {settings}\n");
        let checked = Gateway::with_config(config).check();
        assert_eq!(checked.code, Some(2), "{}", checked.errors);
        assert!(checked.errors.contains(place), "{}", checked.errors);
        assert!(checked.errors.contains(text), "{}", checked.errors);
    }
    let config = format!("{config}settings = {{ origins = [\"https://*.com\"] }}\n");
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert!(
        checked.errors.contains("is nearly everybody's"),
        "{}",
        checked.errors
    );
}

#[test]
fn the_example_does_what_its_comments_say() {
    let endpoint = Upstream::echo();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/cors.toml");
    let config = std::fs::read_to_string(path).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &endpoint.address().to_string());
    let gateway = Gateway::with_config(config).start();
    for origin in [
        APP,
        "https://pr-1.preview.example.com",
        "http://localhost:5173",
    ] {
        let answer = gateway.send(&from(origin, "/orders/1"));
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let answer = gateway.send(&preflight(origin, "/orders/1", "PUT"));
        assert_eq!(answer.status, 204);
    }
    let answer = gateway.send(&from(APP, "/orders/1").header("x-api-key", "example-key"));
    assert_eq!(answer.status, 200);
    let exposed = answer.header("access-control-expose-headers");
    assert_eq!(exposed, Some("etag, x-request-id"));
}

#[test]
fn the_config_of_the_readme_and_of_the_page_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (page, more) in [
        (
            "plugins/cors/README.md",
            "[[route]]\npath = \"/\"\nfilters = [\"cors\"]\nrespond = {}\n",
        ),
        (
            "docs/how-to/cors.md",
            "[filter.keys]\nplugin = \"builtin:api-key\"\n[upstream.orders]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        let (_, block) = text.split_once("```toml\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let checked = Gateway::with_config(format!("{block}\n{more}")).check();
        assert_eq!(checked.code, Some(0), "{page}: {}", checked.errors);
        let warned = checked.errors.contains("filter `cors`");
        assert!(!warned, "{page}: {}", checked.errors);
    }
}
