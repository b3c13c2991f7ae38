//! Routes with conditions and priorities.

use windlass_tests::{Gateway, Request};

use crate::config::start;

/// A route that answers with its name.
fn route(name: &str, keys: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\n{keys}\nrespond = {{ body = \"{name}\" }}\n")
}

fn answer(gateway: &Gateway, target: &str, fields: &[(&str, &str)]) -> String {
    let mut request = Request::get(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    gateway.send(&request).text().to_owned()
}

#[test]
fn conditions_pick_the_route_of_a_request() {
    let when = |name: &str, conditions: &str| {
        route(name, &format!("path = \"/a\"\nwhen = {{ {conditions} }}"))
    };
    let gateway = start(&[
        &when("version", "headers = { X-Version = [\"2\", \"3\"] }"),
        &when("agent", "headers = { user-agent = \"curl/*\" }"),
        &when(
            "both",
            "headers = { x-version = \"2\", user-agent = \"curl/*\" }",
        ),
        &when(
            "tool",
            "headers = { Mcp-Method = { regex = \"tools/(list|call)\" } }",
        ),
        &when("beta", "query = { \"be ta\" = \"1&2\" }"),
        &when("group", "cookies = { group = \"b\" }"),
        &when("bare", "headers = { accept = false, x-bare = true }"),
        &route("plain", "path = \"/a\""),
        &route(
            "digits",
            "path = \"/{any+}\"\nwhen = { path_regex = \"/[0-9]+(/[a-z]+)?\" }",
        ),
    ]);
    for (target, fields, name) in [
        ("/a", &[][..], "plain"),
        ("/a", &[("x-version", "2")], "version"),
        ("/a", &[("x-version", "1"), ("X-VERSION", "3")], "version"),
        ("/a", &[("x-version", "23")], "plain"),
        ("/a", &[("user-agent", "curl/8")], "agent"),
        ("/a", &[("user-agent", "a curl/8")], "plain"),
        (
            "/a",
            &[("user-agent", "curl/8"), ("x-version", "2")],
            "both",
        ),
        ("/a", &[("mcp-method", "tools/call")], "tool"),
        ("/a", &[("mcp-method", "tools/call/x")], "plain"),
        ("/a?x=1&be+ta=0&be%20ta=1%262", &[], "beta"),
        ("/a?beta=1%262", &[], "plain"),
        ("/a", &[("cookie", "a=1; group=b;c=2")], "group"),
        ("/a", &[("cookie", "mygroup=b; group=bb")], "plain"),
        ("/a", &[("x-bare", "")], "bare"),
        ("/a", &[("x-bare", ""), ("accept", "*/*")], "plain"),
        ("/12/ab", &[], "digits"),
        ("/1%32/ab", &[], "digits"),
    ] {
        assert_eq!(
            answer(&gateway, target, fields),
            name,
            "{target} {fields:?}"
        );
    }
    assert_eq!(gateway.get("/12/AB").code(), "no_route");
}

#[test]
fn a_priority_comes_before_hosts_and_paths() {
    let gateway = start(&[
        &route("exact", "path = \"/a\"\nhosts = [\"gateway.test\"]"),
        &route(
            "maintenance",
            "priority = 10\npath = \"/{any+}\"\nwhen = { headers = { x-test = false } }",
        ),
        &route(
            "health",
            "priority = 1\npath = \"/health\"\nmethods = [\"GET\"]",
        ),
    ]);
    assert_eq!(answer(&gateway, "/a", &[]), "maintenance");
    assert_eq!(answer(&gateway, "/a", &[("x-test", "1")]), "exact");
    assert_eq!(answer(&gateway, "/health", &[]), "health");
    let refused = gateway.send(&Request::new("POST", "/health").header("x-test", "1"));
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET"))
    );
}

/// A client is the one that a trusted proxy names, and a stranger cannot name one.
#[test]
fn the_source_is_the_client_that_trusted_proxies_name() {
    let inside = route(
        "inside",
        "path = \"/\"\nwhen = { source = [\"10.0.0.0/8\", \"2001:db8::/32\"] }",
    );
    let routes = [inside, route("outside", "path = \"/\"")].concat();
    let ask =
        |gateway: &Gateway, address: &str| answer(gateway, "/", &[("x-forwarded-for", address)]);
    let trusting = start(&["[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n", &routes]);
    assert_eq!(ask(&trusting, "10.1.2.3"), "inside");
    assert_eq!(ask(&trusting, "2001:db8::1"), "inside");
    assert_eq!(ask(&trusting, "192.0.2.1"), "outside");
    let direct = start(&[&routes]);
    assert_eq!(ask(&direct, "10.1.2.3"), "outside");
}

/// Conditions that do not hold are as if the route were not there.
#[test]
fn a_route_whose_conditions_do_not_hold_is_in_no_allow_field() {
    let gateway = start(&[
        &route(
            "get",
            "path = \"/a\"\nmethods = [\"GET\"]\nwhen = { headers = { x-a = true } }",
        ),
        &route("put", "path = \"/a\"\nmethods = [\"PUT\"]"),
    ]);
    let post = Request::new("POST", "/a");
    let allow = |request: &Request| gateway.send(request).header("allow").map(str::to_owned);
    assert_eq!(allow(&post).as_deref(), Some("PUT"));
    assert_eq!(allow(&post.header("x-a", "1")).as_deref(), Some("GET, PUT"));
    let alone = start(&[&route(
        "get",
        "path = \"/a\"\nwhen = { headers = { x-a = true } }",
    )]);
    assert_eq!(alone.get("/a").code(), "no_route");
}

#[test]
fn two_routes_with_the_same_conditions_are_an_error() {
    let when = "when = { cookies = { a = \"1\" } }";
    let two = [
        route("one", &format!("path = \"/e/{{x}}\"\n{when}")),
        route("two", &format!("path = \"/e/{{y}}\"\n{when}")),
    ];
    let checked = Gateway::with_config(two.concat()).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    let text = "matches just what `ANY /e/{x}` matches";
    assert!(checked.errors.contains(text), "{}", checked.errors);
}

#[test]
fn routes_that_get_no_request_and_rivals_are_warnings() {
    let check = |parts: &[&str]| {
        let checked = Gateway::with_config(parts.concat()).check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        checked.errors
    };
    let told = check(&[
        &route("all", "priority = 1\npath = \"/{any+}\""),
        &route("never", "path = \"/a/{b}\""),
        &route("root", "path = \"/\""),
    ]);
    let hidden = "route `never`: no request ever reaches it: route `all` comes before it by its `priority`, and takes them all";
    assert!(told.contains(hidden), "{told}");
    assert_eq!(told.matches("warning: ").count(), 1, "{told}");
    let two = |one: &str, other: &str| {
        let when = |conditions: &str| format!("path = \"/a\"\nwhen = {{ {conditions} }}");
        check(&[&route("one", &when(one)), &route("two", &when(other))])
    };
    let told = two("headers = { a = \"1\" }", "query = { b = \"1\" }");
    let rivals = "route `two`: a request can meet its conditions and those of route `one`, which is tried first";
    assert!(told.contains(rivals), "{told}");
    assert_eq!(
        two(
            "headers = { a = \"1\" }",
            "headers = { a = [\"2\", \"3*\"] }"
        ),
        ""
    );
    assert_eq!(
        two(
            "headers = { a = \"1\" }",
            "headers = { a = \"1\" }, query = { b = true }"
        ),
        ""
    );
}
