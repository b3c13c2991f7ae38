//! The router, filters and endpoints all see the same path.

use windlass_tests::{Gateway, Upstream};

use crate::config::{start, transform, upstream};

fn gateway(endpoint: &Upstream) -> Gateway {
    start(&[
        r#"
        [[route]]
        name = "public"
        path = "/public/{rest+}"
        filters = ["tell"]
        upstream = "app"
        [[route]]
        name = "admin"
        path = "/admin/{rest+}"
        filters = ["tell"]
        upstream = "app"
        "#,
        &transform(
            "tell",
            r#"{ request = [
                { op = "set", header = "x-path", value = "${request.path}" },
                { op = "set", header = "x-rest", value = "${path.rest}" },
                { op = "set", header = "x-route", value = "${attribute.route.id}" },
            ] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ])
}

#[test]
fn router_filter_and_upstream_see_one_path() {
    let endpoint = Upstream::echo();
    let gateway = gateway(&endpoint);
    for (sent, route, path, rest) in [
        ("/public/a", "public", "/public/a", "a"),
        ("/public/./a", "public", "/public/a", "a"),
        ("/public/b/../a", "public", "/public/a", "a"),
        ("/public/../admin/a", "admin", "/admin/a", "a"),
        ("/public/%2e%2E/admin/a", "admin", "/admin/a", "a"),
        ("//admin//a", "admin", "/admin/a", "a"),
        ("/../../public/a", "public", "/public/a", "a"),
        ("/public/a%2fb", "public", "/public/a%2Fb", "a/b"),
        ("/public/%61", "public", "/public/a", "a"),
        (
            "/public/%252e%252e/a",
            "public",
            "/public/%252e%252e/a",
            "%2e%2e/a",
        ),
    ] {
        let answer = gateway.get(&format!("{sent}?q=%2f/../x"));
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        let request = endpoint.received().pop().unwrap();
        assert_eq!(request.target, format!("{path}?q=%2f/../x"), "{sent}");
        assert_eq!(request.header("x-path"), Some(path), "{sent}");
        assert_eq!(request.header("x-rest"), Some(rest), "{sent}");
        assert_eq!(request.header("x-route"), Some(route), "{sent}");
    }
}

#[test]
fn a_path_that_two_servers_read_differently_is_refused() {
    let endpoint = Upstream::echo();
    let gateway = gateway(&endpoint);
    for path in [
        "/public/a%00b",
        "/public/a%",
        "/public/a%2",
        "/public/a%zz",
        "/public/%C0%AE%C0%AE/a",
        "/public/..%2fadmin/a",
        "/public/..%5Cadmin/a",
        "/public/..;/admin/a",
        "/public\\admin",
    ] {
        let answer = gateway.get(path);
        assert_eq!(answer.status, 400, "{path}");
        let code = answer.code();
        assert!(
            ["bad_path", "malformed_request"].contains(&&*code),
            "{path}: {code}"
        );
    }
    assert_eq!(endpoint.count(), 0);
}
