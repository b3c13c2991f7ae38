//! Rewrites of host and path by a route.

use serde_json::Value;
use windlass_tests::{ClosedPort, Gateway, Request, Upstream};

use crate::config::{start, transform, upstream};

/// A gateway with these routes to an upstream `app`, which echoes.
fn rewriting(endpoint: &Upstream, routes: &[&str]) -> Gateway {
    let routes = routes
        .iter()
        .map(|keys| format!("[[route]]\n{keys}\nupstream = \"app\"\n"));
    let routes: String = routes.collect();
    start(&[&routes, &upstream("app", &[endpoint.address()])])
}

fn echoed(gateway: &Gateway, target: &str) -> Value {
    let answer = gateway.send(&Request::get(target).header("host", "public.test"));
    assert_eq!(answer.status, 200, "{target}");
    answer.json()
}

#[test]
fn parameters_of_the_path_make_the_new_one() {
    let endpoint = Upstream::echo();
    let gateway = rewriting(
        &endpoint,
        &[
            "path = \"/users/{user}/orders/{rest+}\"\nrewrite = { path = \"/v2/{rest+}/of-{user}\" }",
            "path = \"/old/{rest+}\"\nrewrite = { path = \"/{rest}\" }",
            "path = \"/fixed\"\nrewrite = { path = \"/a%2Fb\" }",
        ],
    );
    for (target, sent) in [
        ("/users/7/orders/a/b?x=%7e&y", "/v2/a/b/of-7?x=%7e&y"),
        ("/users/a%2fb/orders/c", "/v2/c/of-a%2Fb"),
        ("/old/a/../b/?", "/b/?"),
        ("/fixed?q", "/a%2Fb?q"),
    ] {
        assert_eq!(echoed(&gateway, target)["target"], sent, "{target}");
    }
}

#[test]
fn groups_of_an_expression_make_the_new_path_where_it_matches() {
    let endpoint = Upstream::echo();
    let gateway = rewriting(
        &endpoint,
        &[
            "path = \"/{any+}\"\nrewrite = { regex = '/v([0-9]+)/(?P<rest>.*)', replace = '/api-$1/${rest}' }",
        ],
    );
    for (target, sent) in [
        ("/v12/a%20b?q=1", "/api-12/a%20b?q=1"),
        ("/w/v1/a", "/w/v1/a"),
    ] {
        assert_eq!(echoed(&gateway, target)["target"], sent, "{target}");
    }
}

#[test]
fn a_client_cannot_leave_the_new_path() {
    let endpoint = Upstream::echo();
    let gateway = rewriting(
        &endpoint,
        &["path = \"/{any+}\"\nrewrite = { regex = '/(.*)-(.*)', replace = '/open/$1$2' }"],
    );
    assert_eq!(echoed(&gateway, "/a-b")["target"], "/open/ab");
    for target in [
        "/.-./secret",
        "/%2e-%2e/secret",
        "/.-.;/secret",
        "/.-.%2fsecret",
    ] {
        let answer = gateway.get(target);
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (400, "bad_path".into()), "{target}");
    }
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn the_new_host_goes_upstream_and_x_forwarded_host_stays() {
    let endpoint = Upstream::echo();
    let gateway = rewriting(
        &endpoint,
        &[
            "path = \"/a\"\nrewrite = { host = \"orders.internal:81\" }",
            "path = \"/b\"",
        ],
    );
    for (path, host) in [("/a", "orders.internal:81"), ("/b", "public.test")] {
        echoed(&gateway, path);
        let request = endpoint.received().pop().unwrap();
        assert_eq!(request.header("host"), Some(host));
        assert_eq!(request.header("x-forwarded-host"), Some("public.test"));
    }
}

#[test]
fn the_host_of_a_route_goes_before_that_of_its_upstream_on_each_attempt() {
    let (closed, endpoint) = (ClosedPort::new(), Upstream::echo());
    let both = upstream("app", &[closed.address(), endpoint.address()]);
    let gateway = start(&[
        "[[route]]\npath = \"/a\"\nrewrite = { host = \"route.test\" }\nupstream = \"app\"\n",
        &both,
        "host = \"endpoint\"\n",
    ]);
    for _ in 0..4 {
        assert_eq!(gateway.get("/a").status, 200);
    }
    let requests = endpoint.received();
    assert_eq!(requests.len(), 4);
    assert!(
        requests
            .iter()
            .all(|request| request.header("host") == Some("route.test"))
    );
}

#[test]
fn filters_see_the_new_path_with_the_old_parameters_and_may_change_it() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[api.shop]\nbase_path = \"/shop\"\n",
        "[[route]]\napi = \"shop\"\npath = \"/item/{id}\"\nrewrite = { path = \"/v2/{id}/x\" }\n",
        "filters = [\"add\"]\nupstream = \"app\"\n",
        &transform(
            "add",
            r#"{ request = [{ op = "set", path = "/by-filter${request.path}" },
                { op = "set", header = "x-id", value = "${path.id}" }] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    let sent = echoed(&gateway, "/shop/item/7?q");
    assert_eq!(sent["target"], "/by-filter/v2/7/x?q");
    let request = endpoint.received().pop().unwrap();
    assert_eq!(request.header("x-id"), Some("7"));
}
