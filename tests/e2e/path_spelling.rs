//! Rewrites keep the client's spelling of a path; if they cannot, Windlass refuses the request.

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{start, transform, upstream};

/// An open route with a rewrite, beside a route that requires a key.
fn rewritten(endpoint: &Upstream) -> Gateway {
    start(&[
        "[[route]]\npath = \"/api/{rest+}\"\nfilters = [\"open\"]\nupstream = \"app\"\n",
        "[[route]]\npath = \"/api/admin/{rest+}\"\nfilters = [\"keys\"]\nupstream = \"app\"\n",
        "[[route]]\npath = \"/item/{id}\"\nfilters = [\"item\"]\nupstream = \"app\"\n",
        "[filter.keys]\nplugin = \"builtin:api-key\"\n",
        &transform(
            "open",
            r#"{ request = [{ op = "set", path = "/v2/${path.rest+}" }] }"#,
        ),
        &transform(
            "item",
            r#"{ request = [{ op = "set", path = "/v2/items/${path.id}/x" },
                { op = "set", query = "id", value = "${path.id}" }] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ])
}

#[test]
fn an_escaped_slash_never_becomes_a_separator() {
    let endpoint = Upstream::echo();
    let gateway = rewritten(&endpoint);
    assert_eq!(gateway.get("/api/admin/users").status, 401);
    for (sent, asked) in [
        ("/api/users%2Fadmin", "/v2/users%2Fadmin"),
        ("/api/users%2fadmin", "/v2/users%2Fadmin"),
        ("/api/a%61dmin/x", "/v2/aadmin/x"),
        (
            "/api/group/my%2Fproject/tags",
            "/v2/group/my%2Fproject/tags",
        ),
        ("/api/%2Fusers/admin", "/v2/%2Fusers/admin"),
        ("/api/users%5Cadmin", "/v2/users%5Cadmin"),
        ("/api/admin%252Fusers", "/v2/admin%252Fusers"),
        ("/api//x//y/", "/v2/x/y/"),
        ("/api/a/./b/../c", "/v2/a/c"),
    ] {
        assert_eq!(gateway.get(sent).status, 200, "{sent}");
        assert_eq!(endpoint.received().pop().unwrap().target, asked, "{sent}");
    }
}

#[test]
fn a_path_that_can_be_read_as_one_with_other_filters_is_refused() {
    let endpoint = Upstream::echo();
    let gateway = rewritten(&endpoint);
    for path in [
        "/api/admin%2Fusers",
        "/api/admin%2fusers",
        "/api%2Fadmin%2Fusers",
        "/api/%2Fadmin/users",
        "/api/admin%5Cusers",
        "/api/admin;x=1/users",
        "/api/admin;/users",
        "/api/admin%3Bx/users",
        "/api/admin;x%2Fusers",
        "/api/x%2F..;a/admin/users",
    ] {
        let answer = gateway.get(path);
        let code = (answer.status, &*answer.code());
        // No route matches the first segment `api%2Fadmin%2Fusers`.
        let expected = if path.starts_with("/api%2F") {
            (404, "no_route")
        } else {
            (400, "bad_path")
        };
        assert_eq!(code, expected, "{path}");
    }
    assert_eq!(endpoint.count(), 0);
    // However an endpoint decodes these paths, no filter was skipped.
    for path in ["/api/a%2Fb;c", "/item/a%2Fb", "/item/7;v=1", "/api/x;y/z"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
}

#[test]
fn reserved_characters_keep_their_escapes() {
    let endpoint = Upstream::echo();
    let gateway = rewritten(&endpoint);
    for value in [
        "a%3Bb",
        "a;b=1",
        "a%2Bb",
        "a+b",
        "%40",
        "@",
        "%3A%26%3D",
        "%3F%23",
        "%25",
        "%2525",
        "caf%C3%A9",
        "a%20b",
        "%22%7B%7D",
        "a%0D%0Ab",
        "%24%7Bpath%7D",
    ] {
        let answer = gateway.get(&format!("/item/{value}"));
        assert_eq!(answer.status, 200, "{value}");
        let target = endpoint.received().pop().unwrap().target;
        let (path, query) = target.split_once("?id=").unwrap();
        assert_eq!(path, format!("/v2/items/{value}/x"));
        let data = value.replace('+', "%2B").replace('@', "%40");
        assert_eq!(query, data.replace(';', "%3B").replace('=', "%3D"));
    }
}

#[test]
fn a_filter_reads_a_query_as_it_is_spelled() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[[route]]\npath = \"/q\"\nfilters = [\"q\"]\nupstream = \"app\"\n",
        &transform(
            "q",
            r#"{ request = [{ op = "set", query = "copy", value = "${request.query.q}" },
                { op = "set", path = "/items/${request.query.q}" }] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    for (sent, path) in [
        ("a+b", "/items/a%20b"),
        ("a%2Bb", "/items/a%2Bb"),
        ("a/b", "/items/a%2Fb"),
        ("a%2Fb", "/items/a%2Fb"),
        ("a?b", "/items/a%3Fb"),
        ("100%", "/items/100%25"),
        ("%C3%A9", "/items/%C3%A9"),
    ] {
        assert_eq!(gateway.get(&format!("/q?q={sent}")).status, 200, "{sent}");
        let target = endpoint.received().pop().unwrap().target;
        assert_eq!(target, format!("{path}?q={sent}&copy={sent}"));
    }
}

#[test]
fn a_redirect_made_by_a_filter_leads_to_no_other_host() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[[route]]\npath = \"/old/{rest+}\"\nfilters = [\"moved\"]\nupstream = \"app\"\n",
        &transform(
            "moved",
            r#"{ response = [{ op = "set", status = 302 },
                { op = "set", header = "location", value = "/${path.rest+}" }] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    for (sent, location) in [
        ("/old/a/b", "/a/b"),
        ("/old/%2Fevil.test/x", "/%2Fevil.test/x"),
        ("/old/%5Cevil.test", "/%5Cevil.test"),
        ("/old/a%0D%0Aset-cookie:%20x", "/a%0D%0Aset-cookie:%20x"),
    ] {
        let answer = gateway.send(&Request::get(sent));
        assert_eq!(answer.header("location"), Some(location), "{sent}");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn a_redirect_of_a_route_puts_in_what_the_client_sent_once() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[[route]]\npath = \"/{rest+}\"\nredirect = { to = \"https://new.test/a${path}${query}\" }\n",
        "[[route]]\npath = \"/app\"\nupstream = \"app\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    for (sent, location) in [
        ("/x%2Fy;z?q=%2f+a", "https://new.test/a/x%2Fy;z?q=%2f+a"),
        (
            "/$%7Bquery}/${query}?q=1",
            "https://new.test/a/$%7Bquery}/${query}?q=1",
        ),
        ("/x?${path}", "https://new.test/a/x?${path}"),
        (
            "/%0D%0Aset-cookie:x",
            "https://new.test/a/%0D%0Aset-cookie:x",
        ),
        ("/x?", "https://new.test/a/x?"),
    ] {
        let answer = gateway.get(sent);
        assert_eq!(answer.header("location"), Some(location), "{sent}");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn a_catch_all_takes_no_slash_and_no_head_of_a_route_with_a_key() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[[route]]\npath = \"/admin\"\nmethods = [\"GET\"]\nfilters = [\"keys\"]\nupstream = \"app\"\n",
        "[[route]]\npath = \"/admin/{rest+}\"\nmethods = [\"GET\"]\nfilters = [\"keys\"]\nupstream = \"app\"\n",
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n",
        "[filter.keys]\nplugin = \"builtin:api-key\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    for (method, path, status) in [
        ("GET", "/admin", 401),
        ("GET", "/admin/", 400),
        ("GET", "/admin/.", 400),
        ("GET", "/admin//", 400),
        ("GET", "/admin%2F", 400),
        ("GET", "/admin/x/", 401),
        ("HEAD", "/admin", 405),
        ("HEAD", "/admin/x", 405),
        ("GET", "/", 200),
        ("GET", "/other/", 200),
        ("HEAD", "/other", 200),
    ] {
        let answer = gateway.send(&Request::new(method, path));
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_eq!(endpoint.count(), 3);
}
