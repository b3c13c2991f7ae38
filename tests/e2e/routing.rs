//! Routing: which route a request takes, and the error if there is none.

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{all_to, start};

/// Routes that respond with their own name.
fn routes(names: &[&str]) -> Gateway {
    let mut config = String::new();
    for name in names {
        let mut words = name.split(' ');
        let methods: Vec<_> = words.next().unwrap().split(',').collect();
        let path = words.next().unwrap();
        let hosts: Vec<_> = words.collect();
        config += &format!("[[route]]\npath = {path:?}\nmethods = {methods:?}\n");
        if !hosts.is_empty() {
            config += &format!("hosts = {hosts:?}\n");
        }
        config += &format!("respond = {{ body = {name:?} }}\n");
    }
    start(&[&config])
}

#[test]
fn a_request_reaches_the_upstream_and_its_answer_the_client() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = gateway.get("/orders/1?a=b&a=c");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["method"], "GET");
    assert_eq!(answer.json()["target"], "/orders/1?a=b&a=c");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn exact_precedes_named_precedes_greedy_precedes_default() {
    let gateway = routes(&[
        "ANY $default",
        "ANY /pets/{rest+}",
        "ANY /pets/{id}",
        "GET /pets/dog",
        "ANY /pets/{id}/toys",
    ]);
    for (path, route) in [
        ("/pets/dog", "GET /pets/dog"),
        ("/pets/cat", "ANY /pets/{id}"),
        ("/pets/cat/toys", "ANY /pets/{id}/toys"),
        ("/pets/cat/bed", "ANY /pets/{rest+}"),
        ("/pets/cat/toys/ball", "ANY /pets/{rest+}"),
        ("/plants", "ANY $default"),
        ("/", "ANY $default"),
    ] {
        assert_eq!(gateway.get(path).text(), route, "{path}");
    }
}

#[test]
fn a_method_of_its_own_precedes_any() {
    let gateway = routes(&["ANY /a", "GET /a", "POST /a"]);
    for (method, route) in [("GET", "GET /a"), ("POST", "POST /a"), ("PUT", "ANY /a")] {
        let answer = gateway.send(&Request::new(method, "/a"));
        assert_eq!(answer.text(), route, "{method}");
    }
}

#[test]
fn a_named_host_precedes_a_wildcard_precedes_any_host() {
    let gateway = routes(&["ANY /a", "ANY /a *.example.com", "ANY /a api.example.com"]);
    for (host, route) in [
        ("api.example.com", "ANY /a api.example.com"),
        ("API.example.com:8080", "ANY /a api.example.com"),
        ("web.example.com", "ANY /a *.example.com"),
        ("a.b.example.com", "ANY /a *.example.com"),
        ("example.com", "ANY /a"),
        ("127.0.0.1:1", "ANY /a"),
    ] {
        let answer = gateway.send(&Request::get("/a").header("host", host));
        assert_eq!(answer.text(), route, "{host}");
    }
}

#[test]
fn the_host_of_an_absolute_target_is_the_one_that_counts() {
    let gateway = routes(&["ANY /a one.example.com", "ANY /a two.example.com"]);
    let request = Request::get("http://two.example.com/a").header("host", "one.example.com");
    assert_eq!(gateway.send(&request).text(), "ANY /a two.example.com");
}

#[test]
fn unknown_path_is_404_and_unknown_method_is_405_with_allow() {
    let gateway = routes(&[
        "GET /orders/{id}",
        "PUT,DELETE /orders/{id}",
        "POST /orders",
    ]);
    let answer = gateway.get("/nothing");
    assert_eq!((answer.status, answer.code()), (404, "no_route".into()));
    assert_eq!(answer.header("allow"), None);
    let answer = gateway.send(&Request::post("/orders/7", "x"));
    assert_eq!(
        (answer.status, answer.code()),
        (405, "method_not_allowed".into())
    );
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "PUT"]);
}

#[test]
fn a_fixed_response_needs_no_upstream() {
    let gateway = start(&[r#"
        [[route]]
        path = "/health"
        respond = { status = 203, headers = { content-type = "text/plain", x-a = "b" }, body = "ok\n" }
    "#]);
    let answer = gateway.get("/health");
    assert_eq!((answer.status, answer.text()), (203, "ok\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-a"), Some("b"));
    let mut client = gateway.client();
    let answer = client.send(&Request::new("HEAD", "/health"));
    assert_eq!((answer.status, answer.length), (203, 0));
    assert_eq!(answer.header("content-length"), Some("3"));
    assert_eq!(client.get("/health").text(), "ok\n");
}

#[test]
fn a_redirect_leads_where_it_says() {
    let gateway = start(&[r#"
        [[route]]
        path = "/old"
        redirect = { to = "/new", status = 301 }
        [[route]]
        path = "/docs/{rest+}"
        redirect = { to = "https://docs.example.com${path}${query}" }
    "#]);
    let answer = gateway.get("/old?a=1");
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("/new"))
    );
    let answer = gateway.get("/docs/a/b%20c?d=e");
    assert_eq!(answer.status, 308);
    let to = "https://docs.example.com/docs/a/b%20c?d=e";
    assert_eq!(answer.header("location"), Some(to));
    assert_eq!(answer.length, 0);
}

#[test]
fn every_error_names_the_request_and_is_a_problem() {
    let gateway = routes(&["GET /a"]);
    let answer = gateway.get("/nothing");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["title"], "Not Found");
    assert_eq!(
        problem["request-id"].as_str(),
        answer.header("x-request-id")
    );
    let other = gateway.get("/nothing");
    assert_ne!(answer.header("x-request-id"), other.header("x-request-id"));
}

#[test]
fn an_api_can_word_its_errors_as_api_gateway_does() {
    let upstream = windlass_tests::ClosedPort::new();
    let gateway = start(&[
        "[api.orders]\nerrors = \"aws\"\n",
        &all_to(upstream.address()).replacen("upstream", "api = \"orders\"\nupstream", 1),
    ]);
    let answer = gateway.get("/a");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), r#"{"message":"Internal server error"}"#);
}
