//! `builtin:authorizer`: an external server decides whether a request may pass.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use windlass_tests::{Builder, Gateway, Reply, Request, Response, Then, Upstream};

use crate::config::{api_key, key, transform, upstream};

/// Routes `/a`, `/b/{id}` and `$default` through `filters` to `endpoint`; one of them belongs to an API. `/free` has no
/// filter.
fn config(filters: &[&str], settings: &str, server: SocketAddr, endpoint: SocketAddr) -> String {
    let mut text = "[server]\nworkers = 2\n".to_owned();
    for route in [
        "path = \"/a\"",
        "path = \"/b/{id}\"",
        "path = \"/c/{id}\"\napi = \"shop\"",
        "path = \"$default\"",
    ] {
        let _ = writeln!(
            text,
            "[[route]]\n{route}\nfilters = {filters:?}\nupstream = \"app\""
        );
    }
    format!(
        "{text}[[route]]\npath = \"/free\"\nrespond = {{ body = \"free\" }}\n\
         [api.shop]\nbase_path = \"/shop\"\nstage = \"prod\"\nvariables = {{ color = \"red\" }}\nerrors = \"aws\"\n\
         [filter.auth]\nplugin = \"builtin:authorizer\"\nsettings = {{ callout = \"auth\", {settings} }}\n\
         [callout.auth]\nurl = \"http://{server}/check\"\ntimeout = \"10s\"\nmax_concurrent = 1000\n{}",
        upstream("app", &[endpoint])
    )
}

fn builder(settings: &str, server: &Upstream, endpoint: &Upstream) -> Builder {
    let addresses = (server.address(), endpoint.address());
    Gateway::with_config(config(&["auth"], settings, addresses.0, addresses.1))
}

fn start(settings: &str, server: &Upstream, endpoint: &Upstream) -> Gateway {
    builder(settings, server, endpoint).start()
}

fn with(target: &str, token: &str) -> Request {
    Request::get(target).header("authorization", token)
}

fn statement(effect: &str, resources: &[&str]) -> Value {
    json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resources })
}

fn policy(statements: &[Value]) -> Value {
    json!({
        "principalId": "alice",
        "policyDocument": { "Version": "2012-10-17", "Statement": statements },
    })
}

fn allow_all() -> Value {
    policy(&[statement("Allow", &["*"])])
}

fn reply(answer: &Value) -> Reply {
    Reply::status(200)
        .header("content-type", "application/json")
        .body(answer.to_string())
}

fn answers(answer: &Value) -> Upstream {
    Upstream::fixed(reply(answer))
}

fn assert_refused(answer: &Response, status: u16, reason: &str) {
    let given = (answer.status, &*answer.code());
    assert_eq!(given, (status, reason), "{}", answer.text());
}

fn event(server: &Upstream) -> Value {
    let received = server.only_request();
    assert_eq!(received.method, "POST");
    assert_eq!(received.target, "/check");
    assert_eq!(received.header("content-type"), Some("application/json"));
    serde_json::from_slice(&received.body).unwrap()
}

#[test]
fn the_second_request_of_an_identity_does_not_reach_the_authorizer() {
    for settings in [
        "",
        "kind = \"token\"",
        "payload = \"1.0\"",
        "kind = \"token\", ttl = \"1h\"",
    ] {
        let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
        let gateway = start(settings, &server, &endpoint);
        for target in ["/a", "/a", "/b/1", "/a?x=1"] {
            assert_eq!(gateway.send(&with(target, "one")).status, 200, "{settings}");
        }
        assert_eq!(server.count(), 1, "{settings}");
        assert_eq!(gateway.send(&with("/a", "two")).status, 200);
        assert_eq!(server.count(), 2);
    }
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let gateway = start("ttl = \"0s\"", &server, &endpoint);
    for _ in 0..3 {
        assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    }
    assert_eq!(server.count(), 3);
}

#[test]
fn an_answer_about_one_stage_of_an_api_says_nothing_about_another() {
    let server = Upstream::with(|request, stream| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let effect = match event["requestContext"]["stage"].as_str() {
            Some("dev") => "Allow",
            _ => "Deny",
        };
        reply(&policy(&[statement(effect, &["*"])])).write(stream)
    });
    let endpoint = Upstream::echo();
    let api = |name: &str, stage: &str| {
        format!(
            "[[route]]\napi = \"{name}\"\npath = \"/x\"\nfilters = [\"auth\"]\nupstream = \"app\"\n\
             [api.{name}]\nbase_path = \"/{name}\"\nstage = \"{stage}\"\n"
        )
    };
    let apis = [api("one", "dev"), api("two", "prod"), api("three", "dev")].concat();
    let text = config(&["auth"], "", server.address(), endpoint.address());
    let gateway = Gateway::with_config(text + &apis).start();
    for (target, status, calls) in [
        ("/one/x", 200, 1),
        ("/two/x", 403, 2),
        ("/one/x", 200, 2),
        ("/three/x", 200, 3),
    ] {
        let answer = gateway.send(&with(target, "one"));
        assert_eq!((answer.status, server.count()), (status, calls), "{target}");
    }
}

#[test]
fn two_hundred_requests_of_an_identity_at_once_are_one_call_and_never_another_s() {
    for (settings, calls) in [("ttl = \"5m\"", 1), ("ttl = \"0s\"", 200)] {
        let server = Upstream::gated(reply(&allow_all()));
        let endpoint = Upstream::echo();
        let gateway = start(settings, &server, &endpoint);
        let mut clients: Vec<_> = (0..200).map(|_| gateway.client()).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            // Each event has a different time, id and path.
            client.send_raw(with(&format!("/b/{n}"), "one").bytes());
        }
        gateway.metrics_when("all to wait", |metrics| {
            metrics["windlass_requests_active"] >= 200.0
                && metrics.with("windlass_callouts_active", &[("callout", "auth")])
                    >= f64::from(calls)
        });
        let calls = usize::try_from(calls).unwrap();
        server.wait_for_requests(calls);
        // Another identity makes a call of its own.
        let mut other = gateway.client();
        other.send_raw(with("/a", "two").bytes());
        server.wait_for_requests(calls + 1);
        server.release(calls + 1);
        for client in clients.iter_mut().chain([&mut other]) {
            assert_eq!(client.read_response().status, 200);
        }
        assert_eq!(server.count(), calls + 1);
    }
}

#[test]
fn a_yes_that_is_kept_for_one_route_opens_no_other() {
    let only_a = policy(&[statement("Allow", &["arn:aws:execute-api:*:*:*/*/GET/a"])]);
    let (server, endpoint) = (answers(&only_a), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    assert_refused(
        &gateway.send(&with("/b/1", "one")),
        403,
        "authorizer_not_allowed",
    );
    let post = Request::post("/a", "").header("authorization", "one");
    assert_refused(&gateway.send(&post), 403, "authorizer_not_allowed");
    assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    assert_eq!((server.count(), endpoint.count()), (1, 2));

    // Without a policy, the answer applies to one route and method.
    let is_a = |request: &windlass_tests::Received, stream: &mut TcpStream| {
        let event: Value = serde_json::from_slice(&request.body).map_err(io::Error::other)?;
        let is_authorized = event["rawPath"] == "/a";
        reply(&json!({ "isAuthorized": is_authorized })).write(stream)
    };
    let (server, endpoint) = (Upstream::with(is_a), Upstream::echo());
    let gateway = start("answers = \"simple\"", &server, &endpoint);
    for _ in 0..2 {
        assert_eq!(gateway.send(&with("/a", "one")).status, 200);
        assert_refused(
            &gateway.send(&with("/b/1", "one")),
            403,
            "authorizer_refused",
        );
        assert_eq!(gateway.send(&post).status, 200);
    }
    assert_eq!(server.count(), 3);
    let (server, endpoint) = (Upstream::with(is_a), Upstream::echo());
    let settings = "answers = \"simple\", share_across_routes = true";
    let gateway = start(settings, &server, &endpoint);
    assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    assert_eq!(gateway.send(&with("/b/1", "one")).status, 200);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_deny_holds_for_each_spelling_of_its_path_that_the_route_takes() {
    let statements = [
        statement("Allow", &["*"]),
        statement("Deny", &["arn:aws:execute-api:*:*:*/*/GET/secret"]),
    ];
    let (server, endpoint) = (answers(&policy(&statements)), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    for target in [
        "/secret",
        "/secret/",
        "/secret;a",
        "/secret;a=1/",
        "/secret/;a",
        "/secret%2F",
        "/secret%2f",
        "/secret%5C",
        "/secret%3Ba",
        "//secret",
        "/./secret",
        "/.;/secret",
        "/%73ecret",
        "/x/../secret?a=b",
    ] {
        let answer = gateway.send(&with(target, "one"));
        assert_eq!(answer.code(), "authorizer_denied", "{target}");
    }
    assert_eq!(endpoint.count(), 0);
    for target in ["/secrets", "/secret/a", "/a;secret"] {
        assert_eq!(gateway.send(&with(target, "one")).status, 200, "{target}");
    }
}

#[test]
fn the_path_that_is_decided_about_is_the_one_at_the_filter_s_place() {
    let only = policy(&[statement("Allow", &["arn:aws:execute-api:*:*:*/*/GET/a"])]);
    for (filters, asked) in [(["move", "auth"], "/a"), (["auth", "move"], "/old")] {
        let (server, endpoint) = (answers(&only), Upstream::echo());
        let text = config(&filters, "", server.address(), endpoint.address());
        let rewrite = "{ request = [{ op = \"set\", path = \"/a\" }] }";
        let gateway = Gateway::with_config(text + &transform("move", rewrite)).start();
        let answer = gateway.send(&with("/old", "one"));
        assert_eq!(event(&server)["rawPath"], asked);
        match asked {
            "/a" => assert_eq!(endpoint.only_request().target, "/a"),
            _ => assert_refused(&answer, 403, "authorizer_not_allowed"),
        }
    }
}

#[test]
fn five_hundred_requests_that_wait_hold_up_no_other_route() {
    let server = Upstream::gated(reply(&allow_all()));
    let endpoint = Upstream::echo();
    let gateway = start("ttl = \"0s\"", &server, &endpoint);
    let mut clients: Vec<_> = (0..500).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw(with("/a", "one").bytes());
    }
    server.wait_for_requests(500);
    let mut free = gateway.client();
    for _ in 0..200 {
        assert_eq!(free.get("/free").text(), "free");
    }
    // All of these wait until the authorizer answers.
    assert_eq!(endpoint.count(), 0);
    server.release(500);
    for client in &mut clients {
        assert_eq!(client.read_response().status, 200);
    }
    assert_eq!(endpoint.count(), 500);
}

#[test]
fn an_authorizer_that_fails_opens_nothing_and_is_asked_again() {
    let text = |body: &str| Upstream::fixed(Reply::status(200).body(body.to_owned()));
    let deep = format!("{}1{}", "{\"context\":".repeat(5000), "}".repeat(5000));
    let many = (0..10_000).map(|n| (format!("n{n}"), json!(n)));
    let mut bloated = allow_all();
    bloated["context"] = Value::Object(many.collect());
    let statements = vec![statement("Allow", &["*"]); 10_000];
    let slow = format!("arn:aws:execute-api:*:*:{}b", "*a".repeat(700));
    let bomb = policy(&[
        statement("Deny", &vec![&*slow; 100]),
        statement("Allow", &["*"]),
    ]);
    let not_action = json!({ "Effect": "Allow", "NotAction": "s3:Get", "Resource": "*" });
    let mut condition = statement("Allow", &["*"]);
    condition["Condition"] = json!({ "Bool": { "aws:SecureTransport": "true" } });
    let mut nested = allow_all();
    nested["context"] = json!({ "list": [1] });
    let long = format!("/a/{}", "a".repeat(6000));
    for (server, target) in [
        (text(""), "/a"),
        (text("true"), "/a"),
        (text("{}"), "/a"),
        (text("[]"), "/a"),
        (text("{\"isAuthorized\":true}"), "/a"),
        (text(&deep), "/a"),
        (answers(&bloated), "/a"),
        (answers(&nested), "/a"),
        (answers(&policy(&statements)), "/a"),
        (answers(&bomb), &*long),
        (answers(&policy(&[not_action])), "/a"),
        (answers(&policy(&[condition])), "/a"),
        (answers(&policy(&[statement("allow", &["*"])])), "/a"),
        (Upstream::fixed(Reply::status(204)), "/a"),
        (
            Upstream::fixed(Reply::status(302).header("location", "/")),
            "/a",
        ),
        (
            Upstream::fixed(Reply::status(403).body(allow_all().to_string())),
            "/a",
        ),
        (
            Upstream::fixed(Reply::status(500).body(allow_all().to_string())),
            "/a",
        ),
        (Upstream::raw("what?\r\n\r\n", Then::Close), "/a"),
        (
            Upstream::raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{",
                Then::Close,
            ),
            "/a",
        ),
        (Upstream::bytes(300 * 1024), "/a"),
        (
            Upstream::slow(Duration::from_secs(60), reply(&allow_all())),
            "/a",
        ),
    ] {
        let endpoint = Upstream::echo();
        let config = config(&["auth"], "", server.address(), endpoint.address())
            .replace(
                "timeout = \"10s\"",
                "timeout = \"500ms\"\nmax_response = \"200KiB\"",
            )
            // A failure of the authorizer is not a failure of the filter.
            .replace("[callout.auth]", "on_error = \"skip\"\n[callout.auth]");
        let gateway = Gateway::with_config(config).start();
        for calls in 1..=2 {
            let answer = gateway.send(&with(target, "one"));
            assert_refused(&answer, 500, "authorizer_failed");
            // Failures are not cached.
            assert!(server.count() == calls, "{server:?}: {}", answer.text());
        }
        assert_eq!(endpoint.count(), 0);
        gateway
            .log()
            .wait_for_line(|line| line.contains("the authorizer failed"));
        assert_eq!(gateway.get("/free").text(), "free");
    }
    let (absent, endpoint) = (answers(&allow_all()).kill(), Upstream::echo());
    let gateway = Gateway::with_config(config(&["auth"], "", absent, endpoint.address())).start();
    assert_refused(&gateway.send(&with("/a", "one")), 500, "authorizer_failed");
    let _server = Upstream::at(absent, |_, stream| reply(&allow_all()).write(stream));
    assert_eq!(gateway.send(&with("/a", "one")).status, 200);
}

#[test]
fn an_identity_that_is_absent_or_not_one_is_401_without_a_call() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let settings = "identity = [{ header = \"x-id\" }, { query = \"q\" }, { cookie = \"c\" }, { variable = \"color\" }, { attribute = \"client.ip\" }], payload = \"1.0\", pattern = \"[a-z]+\"";
    let text = config(&[], settings, server.address(), endpoint.address());
    // Put the filter on the route whose API has the stage variable.
    let text = text.replace(
        "api = \"shop\"\nfilters = []",
        "api = \"shop\"\nfilters = [\"auth\"]",
    );
    let gateway = Gateway::with_config(text).start();
    let good = |target: &str| {
        Request::get(target)
            .header("x-id", "abc")
            .header("cookie", "d=1; c=2")
    };
    let missing = [
        Request::get("/shop/c/1?q=1").header("cookie", "c=2"),
        Request::get("/shop/c/1?q=1")
            .header("x-id", "")
            .header("cookie", "c=2"),
        good("/shop/c/1?q=1").header("x-id", "abc"),
        good("/shop/c/1"),
        good("/shop/c/1?q="),
        good("/shop/c/1?q=1&q=1"),
        good("/shop/c/1?q=1&%71=2"),
        good("/shop/c/1?q=1").header("cookie", "c=3"),
        Request::get("/shop/c/1?q=1").header("x-id", "abc"),
        Request::get("/shop/c/1?q=1")
            .header("x-id", "a".repeat(17_000))
            .header("cookie", "c=2"),
    ];
    for request in &missing {
        let answer = gateway.send(request);
        assert_eq!(answer.status, 401, "{request:?}");
        assert_eq!(answer.text(), "{\"message\":\"Unauthorized\"}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("ApiKey in=\"header\", name=\"x-id\""));
    }
    assert_eq!(server.count(), 0);
    assert_eq!(gateway.send(&good("/shop/c/1?q=1")).status, 200);
    assert_eq!(event(&server)["identitySource"], "abc,1,2,red,127.0.0.1");

    let settings = "kind = \"token\", ttl = \"0s\", pattern = \"Bearer [a-z]+\"";
    let gateway = start(settings, &server, &endpoint);
    assert_refused(&gateway.get("/a"), 401, "identity_missing");
    for token in [
        "Bearer A",
        "Bearer",
        "xBearer a",
        "Bearer a b",
        "Bearer a\u{e9}",
    ] {
        let answer = gateway.send(&with("/a", token));
        assert_refused(&answer, 401, "identity_rejected");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(server.count(), 1);
    assert_eq!(gateway.send(&with("/a", "Bearer abc")).status, 200);
    // With an empty identity, no identity can be missing.
    let gateway = start("identity = [], ttl = \"0s\"", &server, &endpoint);
    assert_eq!(gateway.get("/a").status, 200);
    assert_eq!(server.count(), 3);
}

#[test]
fn events_are_those_of_api_gateway() {
    let endpoint = Upstream::echo();
    let request = || {
        with("/shop/c/1%2F2?x=1&y=a%20b&x=2", "me")
            .header("user-agent", "test")
            .header("cookie", "a=1; b=2")
            .header("x-two", "1")
            .header("x-two", "2")
    };
    let arn = "arn:aws:execute-api:eu-west-1:123456789012:shop/prod/GET/c/1%2F2";
    let places = "region = \"eu-west-1\", account = \"123456789012\"";
    let more = "path_parameters = [\"id\", \"none\"], variables = [\"color\"]";

    let server = answers(&allow_all());
    let gateway = start(&format!("kind = \"token\", {places}"), &server, &endpoint);
    assert_eq!(gateway.send(&request()).status, 200);
    let wanted = json!({ "type": "TOKEN", "authorizationToken": "me", "methodArn": arn });
    assert_eq!(event(&server), wanted);

    let server = answers(&allow_all());
    let gateway = start(
        &format!("payload = \"1.0\", {places}, {more}"),
        &server,
        &endpoint,
    );
    assert_eq!(gateway.send(&request()).status, 200);
    let sent = event(&server);
    for (pointer, value) in [
        ("/version", json!("1.0")),
        ("/type", json!("REQUEST")),
        ("/methodArn", json!(arn)),
        ("/identitySource", json!("me")),
        ("/authorizationToken", json!("me")),
        ("/path", json!("/c/1%2F2")),
        ("/httpMethod", json!("GET")),
        ("/headers/x-two", json!("2")),
        ("/multiValueHeaders/x-two", json!(["1", "2"])),
        ("/queryStringParameters", json!({ "x": "2", "y": "a b" })),
        ("/multiValueQueryStringParameters/x", json!(["1", "2"])),
        ("/pathParameters", json!({ "id": "1/2" })),
        ("/stageVariables", json!({ "color": "red" })),
        ("/requestContext/accountId", json!("123456789012")),
        ("/requestContext/apiId", json!("shop")),
        ("/requestContext/stage", json!("prod")),
        (
            "/requestContext/identity",
            json!({ "sourceIp": "127.0.0.1", "userAgent": "test" }),
        ),
    ] {
        assert_eq!(sent.pointer(pointer), Some(&value), "{pointer}");
    }

    let server = answers(&allow_all());
    let gateway = start(&format!("{places}, {more}"), &server, &endpoint);
    assert_eq!(gateway.send(&request()).status, 200);
    let sent = event(&server);
    for (pointer, value) in [
        ("/version", json!("2.0")),
        ("/type", json!("REQUEST")),
        ("/routeArn", json!(arn)),
        ("/identitySource", json!(["me"])),
        ("/rawPath", json!("/c/1%2F2")),
        ("/rawQueryString", json!("x=1&y=a%20b&x=2")),
        ("/cookies", json!(["a=1", "b=2"])),
        ("/headers/x-two", json!("1,2")),
        ("/queryStringParameters", json!({ "x": "1,2", "y": "a b" })),
        ("/pathParameters", json!({ "id": "1/2" })),
        ("/stageVariables", json!({ "color": "red" })),
        ("/requestContext/http/method", json!("GET")),
        ("/requestContext/http/sourceIp", json!("127.0.0.1")),
        ("/requestContext/http/userAgent", json!("test")),
    ] {
        assert_eq!(sent.pointer(pointer), Some(&value), "{pointer}");
    }
    assert_eq!(sent["headers"].get("cookie"), None);
    let time = sent["requestContext"]["time"].as_str().unwrap();
    assert!(time.ends_with(" +0000"), "{time}");
}

#[test]
fn a_refusal_is_worded_as_the_api_says() {
    let arn = |path: &str| format!("arn:aws:execute-api:*:*:*/GET/{path}");
    let denies = policy(&[
        statement("Allow", &["*"]),
        statement("Deny", &[&arn("c/1"), &arn("a")]),
    ]);
    let nothing = policy(&[]);
    let unauthorized = || Upstream::fixed(Reply::status(401).body("{}"));
    for (server, settings, status, reason, aws) in [
        (
            answers(&denies),
            "",
            403,
            "authorizer_denied",
            "{\"Message\":\"User is not authorized to access this resource with an explicit deny\"}",
        ),
        (
            answers(&nothing),
            "",
            403,
            "authorizer_not_allowed",
            "{\"Message\":\"User is not authorized to access this resource\"}",
        ),
        (
            answers(&json!({ "isAuthorized": false })),
            "answers = \"simple\"",
            403,
            "authorizer_refused",
            "{\"message\":\"Forbidden\"}",
        ),
        (
            answers(&allow_all()),
            "usage_key = \"required\"",
            403,
            "usage_key_missing",
            "{\"message\":\"Forbidden\"}",
        ),
        (
            unauthorized(),
            "",
            401,
            "authorizer_unauthorized",
            "{\"message\":\"Unauthorized\"}",
        ),
        (
            answers(&json!({})),
            "",
            500,
            "authorizer_failed",
            "{\"message\":null}",
        ),
    ] {
        let endpoint = Upstream::echo();
        let gateway = start(settings, &server, &endpoint);
        let answer = gateway.send(&with("/shop/c/1", "one"));
        assert_eq!((answer.status, answer.text()), (status, aws));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let answer = gateway.send(&with("/a", "one"));
        assert_eq!(answer.status, status);
        let id = answer.header("x-request-id").unwrap();
        let title = match status {
            401 => "Unauthorized",
            403 => "Forbidden",
            _ => "Internal Server Error",
        };
        let detail = reason.replace('_', " ");
        let problem = format!(
            "{{\"code\":\"{reason}\",\"detail\":\"{detail}\",\"request-id\":\"{id}\",\"status\":{status},\"title\":\"{title}\",\"type\":\"about:blank\"}}\n"
        );
        assert_eq!(answer.text(), problem);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"));
        assert_eq!(endpoint.count(), 0);
        // A refusal with status 403 is cached once for the API and once for routes of no API. Other failures are not
        // cached.
        assert_eq!(gateway.send(&with("/a", "one")).status, status);
        let has_asked = if status == 403 { 2 } else { 3 };
        assert_eq!(server.count(), has_asked, "{reason}");
    }
}

#[test]
fn what_the_authorizer_says_of_the_request_is_attributes() {
    let mut answer = allow_all();
    answer["context"] = json!({
        "tier": "gold", "level": 7, "beta": true, "share": 0.5, "none": null, "principal-id": "eve",
    });
    let (server, endpoint) = (answers(&answer), Upstream::echo());
    let names = ["principal-id", "tier", "level", "beta", "share"];
    let edits: Vec<_> = names
        .iter()
        .map(|name| format!("{{ op = \"set\", header = \"x-{name}\", value = \"${{attribute.authorizer.{name}}}\" }}"))
        .collect();
    let text = config(&["auth", "show"], "", server.address(), endpoint.address());
    let gateway = Gateway::with_config(format!(
        "{text}[filter.show]\nplugin = \"builtin:transform\"\nsettings = {{ request = [{}] }}\n",
        edits.join(", ")
    ))
    .start();
    for _ in 0..2 {
        assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    }
    assert_eq!(server.count(), 1);
    for received in endpoint.received() {
        let given: Vec<_> = names
            .iter()
            .map(|name| received.header(&format!("x-{name}")).unwrap_or_default())
            .collect();
        assert_eq!(given, ["alice", "gold", "7", "true", "0.5"]);
    }
}

#[test]
fn the_key_in_the_answer_is_the_usage_plan_s() {
    let answer = |request: &windlass_tests::Received, stream: &mut TcpStream| {
        let mut answer = allow_all();
        let event: Value = serde_json::from_slice(&request.body).map_err(io::Error::other)?;
        answer["usageIdentifierKey"] = event["authorizationToken"].clone();
        reply(&answer).write(stream)
    };
    let (server, endpoint) = (Upstream::with(answer), Upstream::echo());
    let settings = "kind = \"token\", usage_key = \"required\"";
    let parts = |filters: &[&str]| {
        [
            config(filters, settings, server.address(), endpoint.address()),
            "[filter.plan]\nplugin = \"builtin:usage-plan\"\n[plan.gold]\nrate = 0.001\nburst = 2\n".to_owned(),
            key("alice-1", "alice", "the-key-of-alice", "plan = \"gold\""),
        ]
        .concat()
    };
    let gateway = Gateway::with_config(parts(&["auth", "plan"])).start();
    let of = |key: &str| gateway.send(&with("/a", key));
    assert_eq!(of("the-key-of-alice").status, 200);
    assert_eq!(of("the-key-of-alice").status, 200);
    assert_refused(&of("the-key-of-alice"), 429, "throttled");
    assert_refused(&of("nobody's"), 403, "usage_key_rejected");
    let log = gateway.log().text();
    assert!(
        !log.contains("the-key-of-alice") && !log.contains("nobody's"),
        "{log}"
    );
    let checked = Gateway::with_config(parts(&["plan", "auth"])).check();
    assert_eq!(checked.code, Some(2));
    assert!(
        checked.errors.contains("consumer.id") || checked.errors.contains("api-key.id"),
        "{}",
        checked.errors
    );
    let optional = parts(&["auth", "plan"]).replace("\"required\"", "\"optional\"");
    assert_eq!(Gateway::with_config(optional).check().code, Some(2));
}

#[test]
fn a_callout_or_a_secret_that_does_not_exist_is_refused_and_one_that_does_is_granted() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let checked = builder("secret = \"tokn\"", &server, &endpoint).check();
    assert_eq!(checked.code, Some(2));
    assert!(
        checked
            .errors
            .contains("names secret `tokn`, which does not exist"),
        "{}",
        checked.errors
    );
    let text = config(
        &["auth"],
        "secret = \"token\"",
        server.address(),
        endpoint.address(),
    );
    let text = format!("{text}[secret.token]\nenv = \"AUTH_TOKEN\"\n");
    let wrong = text.replace("callout = \"auth\"", "callout = \"aut\"");
    let checked = Gateway::with_config(wrong)
        .env("AUTH_TOKEN", "s3cret")
        .check();
    assert!(
        checked.errors.contains("did you mean `auth`?"),
        "{}",
        checked.errors
    );
    let gateway = Gateway::with_config(text)
        .env("AUTH_TOKEN", "s3cret")
        .start();
    assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    let sent = server.only_request();
    assert_eq!(sent.header("authorization"), Some("Bearer s3cret"));
    assert!(!gateway.log().text().contains("s3cret"));
}

#[test]
fn check_refuses_an_identity_that_no_request_of_the_route_has() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let check = |filters: &[&str], place: &str| {
        let settings = format!("identity = [{{ {place} }}]");
        let text = config(filters, &settings, server.address(), endpoint.address());
        Gateway::with_config(text + &api_key("{}")).check()
    };
    let consumer = "attribute = \"consumer.id\"";
    assert_eq!(check(&["keys", "auth"], consumer).code, Some(0));
    assert_eq!(check(&["auth"], "attribute = \"client.ip\"").code, Some(0));
    let requires = "filter `auth` requires attribute";
    for (filters, place, told) in [
        (
            &["auth", "keys"][..],
            consumer,
            format!(
                "{requires} `consumer.id`, which filter `keys` provides, but later in the list"
            ),
        ),
        (
            &["auth"],
            consumer,
            format!("{requires} `consumer.id`, which no filter before it provides"),
        ),
        (
            &["auth"],
            "attribute = \"client.ipp\"",
            format!("{requires} `client.ipp`, which does not exist"),
        ),
        (
            &["auth"],
            "variable = \"color\"",
            format!("{requires} `api.variable.color`, which requests of this route do not have"),
        ),
    ] {
        let checked = check(filters, place);
        assert_eq!(checked.code, Some(2), "{place}");
        assert!(
            checked.errors.contains(&told),
            "{place}: {}",
            checked.errors
        );
    }
    for name in [
        "connection",
        "Keep-Alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
    ] {
        let checked = check(&["auth"], &format!("header = \"{name}\""));
        let told = format!("`{name}` is reserved to the gateway; name another header");
        assert_eq!(checked.code, Some(2), "{name}");
        assert!(checked.errors.contains(&told), "{name}: {}", checked.errors);
    }
}

#[test]
fn check_warns_of_names_for_events_that_no_route_has() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let settings = "path_parameters = [\"id\", \"idd\"], variables = [\"color\", \"colour\"]";
    let text = config(&["auth"], settings, server.address(), endpoint.address());
    let checked = Gateway::with_config(text).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let told = [
        "`path_parameters` names the path parameter `idd`, which no route of the filter has",
        "their paths have `id`",
        "`variables` names the stage variable `colour`, which no route of the filter has",
    ];
    for told in told {
        assert!(checked.errors.contains(told), "{told}: {}", checked.errors);
    }
    let warnings = checked.errors.matches("it is in no event").count();
    assert_eq!(warnings, 2, "{}", checked.errors);
}

#[test]
fn the_configs_of_the_readme_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(folder.join("plugins/authorizer/README.md")).unwrap();
    let blocks = text.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    let whole = blocks
        .iter()
        .filter(|block| block.starts_with("[filter.auth]"));
    let whole: Vec<_> = whole.collect();
    assert_eq!(whole.len(), 2);
    for block in whole {
        let route = "[[route]]\npath = \"/\"\nfilters = [\"auth\"]\nrespond = {}\n";
        let checked = Gateway::with_config(format!("{block}\n{route}")).check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
    }
}

#[test]
fn the_example_does_what_its_comments_say() {
    let mut answer = allow_all();
    answer["usageIdentifierKey"] = json!("example-key");
    let (server, endpoint) = (answers(&answer), Upstream::echo());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/authorizer.toml");
    let config = std::fs::read_to_string(path).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:4000", &server.address().to_string())
        .replace("127.0.0.1:3000", &endpoint.address().to_string());
    let gateway = Gateway::with_config(config).start();
    assert_eq!(gateway.get("/shop/orders/1").status, 401);
    for id in 1..=2 {
        let request = with(&format!("/shop/orders/{id}"), "Bearer abc");
        assert_eq!(gateway.send(&request).status, 200);
    }
    assert_eq!(server.count(), 1);
    let received = endpoint.received();
    assert_eq!(received[0].header("x-consumer"), Some("acme"));
}

/// The policies that `aws-lambda-powertools` 3.37.0 (`PyPI`) makes by `APIGatewayAuthorizerResponse` for
/// `arn:aws:execute-api:us-east-1:000000000000:shop/prod/GET/c/1`.
#[test]
fn policies_that_powertools_makes_are_understood() {
    const ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:shop/prod";
    let made = |statements: &str| {
        let statements = statements.replace("ARN", ARN);
        format!(
            r#"{{"principalId": "alice", "policyDocument": {{"Version": "2012-10-17", "Statement": [{statements}]}}, "usageIdentifierKey": "example-key", "context": {{"tier": "gold", "n": 1, "b": true}}}}"#
        )
    };
    let all = r#"{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ["ARN/*/*"]}"#;
    let deny_all = r#"{"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": ["ARN/*/*"]}"#;
    let one = r#"{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ["ARN/GET/c/1"]}"#;
    let some =
        r#"{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ["ARN/GET/c/*"]}"#;
    let no_delete =
        r#"{"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": ["ARN/DELETE/c/*"]}"#;
    // The responses to `GET /c/1`, `GET /c/2` and `DELETE /c/1` of the API, and on a route of no API.
    for (function, answer, statuses) in [
        ("allow_all_routes", made(all), [200, 200, 200, 403]),
        ("deny_all_routes", made(deny_all), [403, 403, 403, 403]),
        ("allow_route GET /c/1", made(one), [200, 403, 403, 403]),
        ("allow_route GET c/*", made(some), [200, 200, 403, 403]),
        (
            "allow_all_routes, deny_route DELETE /c/*",
            made(&format!("{all}, {no_delete}")),
            [200, 200, 403, 403],
        ),
    ] {
        for kind in ["kind = \"token\"", "payload = \"1.0\"", "payload = \"2.0\""] {
            let server = Upstream::fixed(Reply::status(200).body(answer.clone()));
            let endpoint = Upstream::echo();
            let gateway = start(kind, &server, &endpoint);
            let requests = [
                with("/shop/c/1", "one"),
                with("/shop/c/2", "one"),
                Request::new("DELETE", "/shop/c/1").header("authorization", "one"),
                with("/a", "one"),
            ];
            let given = requests.each_ref().map(|one| gateway.send(one).status);
            assert_eq!(given, statuses, "{function}, {kind}");
            // One call for the API, and one for routes of no API.
            assert_eq!(server.count(), 2);
        }
    }
}

#[test]
fn a_large_policy_is_evaluated_or_refused_within_the_filter_s_time_and_opens_nothing() {
    let resource = |n: usize| format!("arn:aws:execute-api:*:*:shop/prod/GET/orders/{n}/*");
    for count in [100, 1000, 1800, 3000, 10_000] {
        let mut statements: Vec<_> = (0..count)
            .map(|n| statement("Allow", &[&resource(n)]))
            .collect();
        statements.push(statement("Deny", &["arn:aws:execute-api:*:*:*/a"]));
        statements.push(statement("Allow", &["*"]));
        let (server, endpoint) = (answers(&policy(&statements)), Upstream::echo());
        let config = config(&["auth"], "", server.address(), endpoint.address())
            .replace("timeout = \"10s\"", "max_response = \"16MiB\"")
            .replace("[callout.auth]", "on_error = \"skip\"\n[callout.auth]");
        let gateway = Gateway::with_config(config).start();
        for _ in 0..2 {
            let answer = gateway.send(&with("/a", "one"));
            let code = &*answer.code();
            assert!(
                matches!(code, "authorizer_denied" | "authorizer_failed"),
                "{count}: {code}"
            );
        }
        assert_eq!(endpoint.count(), 0, "{count}");
        let log = gateway.log().text();
        assert!(!log.contains("processor time"), "{log}");
    }
}

/// A child process. Dropping this value ends it.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_adapter_of_the_page_serves_a_lambda_function() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to/authorizers.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, program) = page.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let serves =
        "http.server.ThreadingHTTPServer((\"127.0.0.1\", 4000), Authorizer).serve_forever()";
    assert!(program.contains(serves));
    let program = program.replace(
        serves,
        "server = http.server.ThreadingHTTPServer((\"127.0.0.1\", 0), Authorizer)\nprint(server.server_address[1], flush=True)\nserver.serve_forever()",
    );
    // The form of Amazon's example of a TOKEN authorizer.
    let function = "def handler(event, context):\n\
        \x20   token = event['authorizationToken']\n\
        \x20   if token == 'unauthorized':\n\
        \x20       raise Exception('Unauthorized')\n\
        \x20   if token not in ('allow', 'deny'):\n\
        \x20       return 'something else'\n\
        \x20   statement = {'Action': 'execute-api:Invoke', 'Effect': token.capitalize(), 'Resource': event['methodArn']}\n\
        \x20   policy = {'Version': '2012-10-17', 'Statement': [statement]}\n\
        \x20   return {'principalId': 'user', 'policyDocument': policy, 'context': {'stringKey': 'a', 'numberKey': 123, 'booleanKey': True}}\n";
    let endpoint = Upstream::echo();
    let child: std::sync::OnceLock<Child> = std::sync::OnceLock::new();
    let address = std::sync::OnceLock::new();
    let text = config(
        &["auth"],
        "kind = \"token\"",
        endpoint.address(),
        endpoint.address(),
    );
    let text = text.replace(
        &format!("http://{}/check", endpoint.address()),
        "http://SERVER/",
    );
    let builder = Gateway::with_config(&text).in_folder(|folder| {
        std::fs::write(folder.join("authorizer.py"), &program).unwrap();
        std::fs::write(folder.join("lambda_function.py"), function).unwrap();
        let mut python = std::process::Command::new("python3")
            .arg(folder.join("authorizer.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("python3");
        let output = windlass_tests::Lines::of(python.stdout.take().unwrap());
        let port = output.wait_for_line(|line| !line.is_empty());
        let _ = address.set(format!("127.0.0.1:{}", port.trim()));
        let _ = child.set(Child(python));
    });
    drop(builder);
    let text = text.replace("SERVER", address.get().unwrap());
    let gateway = Gateway::with_config(text).start();
    for (token, status) in [
        ("allow", 200),
        ("deny", 403),
        ("unauthorized", 401),
        ("x", 500),
    ] {
        assert_eq!(gateway.send(&with("/a", token)).status, status, "{token}");
    }
    // The cached policy names only the path of the first request.
    assert_eq!(gateway.send(&with("/b/1", "allow")).status, 403);
}

#[test]
fn an_answer_that_was_kept_under_other_settings_does_not_count() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let text = |settings: &str| config(&["auth"], settings, server.address(), endpoint.address());
    let gateway = Gateway::with_config(text("ttl = \"5m\"")).start();
    let send = || assert_eq!(gateway.send(&with("/a", "one")).status, 200);
    send();
    // The same settings with the routes in another order: the answer is still cached.
    gateway.reload(format!(
        "{}[[route]]\npath = \"/more\"\nrespond = {{}}\n",
        text("ttl = \"5m\"")
    ));
    send();
    assert_eq!(server.count(), 1);
    gateway.reload(text("ttl = \"301s\""));
    send();
    assert_eq!(server.count(), 2);
}

#[test]
fn an_answer_does_not_outlive_a_change_of_the_server_that_gave_it_or_of_the_secret_that_it_got() {
    let (yes, endpoint) = (answers(&allow_all()), Upstream::echo());
    let no = answers(&policy(&[statement("Deny", &["*"])]));
    let text = |server: &Upstream| {
        let addresses = (server.address(), endpoint.address());
        let filter = config(&["auth"], "secret = \"login\"", addresses.0, addresses.1);
        filter + "\n[secret.login]\nfile = \"login\"\n"
    };
    let gateway = Gateway::with_config(text(&yes))
        .file("login", "first")
        .start();
    let status = || gateway.send(&with("/a", "one")).status;
    assert_eq!(status(), 200);
    // A changed time-out does not change which server answered, so the answer stays cached.
    let patient = text(&yes).replace("timeout = \"10s\"", "timeout = \"20s\"");
    assert_ne!(patient, text(&yes));
    gateway.reload(patient);
    assert_eq!((status(), yes.count()), (200, 1));
    std::fs::write(gateway.folder().join("login"), "second").unwrap();
    gateway.reload(text(&yes));
    assert_eq!((status(), yes.count()), (200, 2));
    let sent = yes.received();
    assert_eq!(sent[1].header("authorization"), Some("Bearer second"));
    gateway.reload(text(&no));
    assert_eq!((status(), no.count()), (403, 1));
}

#[test]
fn the_api_s_document_says_what_is_asked_for_and_how_it_is_refused() {
    let (server, endpoint) = (answers(&allow_all()), Upstream::echo());
    let settings = "identity = [{ header = \"authorization\" }, { query = \"tenant\" }]";
    let text = config(&["auth"], settings, server.address(), endpoint.address());
    let text = text.replace("api = \"shop\"", "api = \"shop\"\nmethods = [\"GET\"]");
    let gateway = Gateway::with_config(format!(
        "{text}[[route]]\npath = \"/openapi.json\"\nfilters = [\"metadata\"]\nrespond = {{ status = 404 }}\n\
         [filter.metadata]\nplugin = \"builtin:sdk-metadata\"\nsettings = {{ apis = [\"shop\"] }}\n"
    ))
    .start();
    let document = gateway.get("/openapi.json").json();
    let scheme = &document["components"]["securitySchemes"]["authorizer-header-authorization"];
    let wanted = json!({ "type": "apiKey", "in": "header", "name": "authorization" });
    assert_eq!(*scheme, wanted);
    let operation = &document["paths"]["/shop/c/{id}"]["get"];
    assert_eq!(
        operation["security"],
        json!([{ "authorizer-header-authorization": [] }])
    );
    for status in ["401", "403", "500"] {
        assert!(operation["responses"][status].is_object(), "{document:#}");
    }
    let parameters = operation["parameters"].as_array().unwrap();
    let tenant = parameters.iter().find(|one| one["name"] == "tenant");
    assert_eq!(tenant.unwrap()["required"], true);
}
