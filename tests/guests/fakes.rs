//! The fakes of the plugin SDK behave as the gateway: the actor runs the same steps on both, as a component in the
//! gateway and as plain Rust on the fakes, and its reports and edits are the same.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_plugin_sdk::host::keys::{ApiKey, KeyReject};
use windlass_plugin_sdk::testing::{BodyEnd, Exchange, Gateway as FakeGateway, Loaded, Plan};
use windlass_plugin_sdk::{RequestVerdict, ResponseVerdict};
use windlass_tests::{Reply, Request, Upstream, key_digest};

use crate::stage::Stage;

/// The actor's own source, compiled for this machine.
#[allow(dead_code, reason = "the tests take a part of its steps")]
#[path = "rust/src/lib.rs"]
mod actor;

use actor::Actor;

const ALLOW: &str = r#"{ "interfaces": ["cache", "crypto", "keys", "limits", "rates", "metrics"],
    "attributes": ["tier", "consumer.*", "api-key.*", "auth.*", "plan.*", "flood.*"], "secrets": ["hook"] }"#;

/// What the operator has beside the filter.
const CONFIGURED: &str = r#"
[secret.hook]
env = "HOOK"
[secret.other]
env = "HOOK"
"#;

/// JSON as TOML on one line. A text has the same escapes in both.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| format!("\"{name}\" = {}", toml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

fn fake() -> FakeGateway {
    let key = |id: &str| ApiKey {
        id: id.to_owned(),
        consumer: "acme".to_owned(),
        plan: Some("gold".to_owned()),
        attributes: vec![("tier".to_owned(), "a".to_owned())],
    };
    FakeGateway::new()
        .allow(ALLOW)
        .secret("hook", "key")
        .secret("other", "key")
        .document("list", "one\ntwo")
        .key("good-key", key("k1"))
        .rejected_key("old-key", KeyReject::Disabled)
        .plan("gold", Plan::new().quota(2, Duration::from_secs(86_400)))
}

/// The same as a configuration.
fn stage() -> Stage {
    let lines = format!(
        r#"{CONFIGURED}
[[key]]
id = "k1"
consumer = "acme"
digest = "{}"
plan = "gold"
attributes = {{ tier = "a" }}
[[key]]
id = "k2"
consumer = "acme"
digest = "{}"
enabled = false
[plan.gold]
quota = {{ limit = 2, period = "day" }}
"#,
        key_digest("good-key"),
        key_digest("old-key"),
    );
    Stage::new()
        .lines(&lines)
        .env("HOOK", "key")
        .file("list.txt", "one\ntwo")
}

/// The keys of an actor's table.
fn table(settings: &Value) -> String {
    let allow = toml(&serde_json::from_str(ALLOW).unwrap());
    format!(
        "limits = {{ cpu = \"5s\" }}\nallow = {allow}\ndocuments = {{ list = \"list.txt\" }}\nsettings = {}",
        toml(settings)
    )
}

fn load(settings: &Value) -> Loaded<Actor> {
    fake().load(&settings.to_string()).unwrap()
}

/// Steps of a request phase, with a name each.
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, Value)> {
    vec![
        (
            "line",
            json!(["method", "scheme", "authority", "path", "original-path", "status",
            { "path-param": "id" }, { "path-param": "rest" }, { "path-param": "none" },
            { "raw-path-param": "id" }, { "raw-path-param": "rest" },
            { "query-param": "x" }, { "query-param": "y" }, { "query-param": "z" }, { "query-param": "q" },
            { "raw-query-param": "x" }, { "raw-query-param": "y" }]),
        ),
        (
            "reads",
            json!([{ "header": ["request", "X-One"] }, { "header": ["request", "none"] },
            { "header-all": ["request", "x-many"] }, { "header-many": ["request", ["x-one", "none", "x-many"]] },
            { "header-text": ["request", "x-one"] }, { "header": ["response", "x-one"] }, { "headers": "response" },
            { "headers-packed": "trailers" }, { "header": ["trailers", "x-one"] }, { "read-piece": [0, 10] }]),
        ),
        (
            "fields",
            json!([{ "set-header": ["request", "X-New", "1"] }, { "header": ["request", "x-new"] },
            { "append-header": ["request", "x-new", "2"] }, { "header-all": ["request", "x-new"] },
            { "remove-header": ["request", "x-new"] }, { "remove-header": ["request", "x-new"] },
            { "set-headers": ["request", [["x-a", "1"], ["x-b", "2"]]] }, { "header": ["request", "x-b"] },
            { "set-headers": ["request", [["x-c", "1"], ["content-length", "2"]]] }, { "header": ["request", "x-c"] },
            { "set-header": ["request", "x_one", "9"] }, { "header": ["request", "x-one"] }]),
        ),
        (
            "refused fields",
            json!([{ "set-header": ["request", "content-length", "1"] }, { "set-header": ["request", "Host", "a"] },
            { "append-header": ["request", "connection", "a"] }, { "remove-header": ["request", "te"] },
            { "set-header": ["request", "x y", "1"] }, { "set-header": ["request", "", "1"] },
            { "set-header-bytes": ["request", "x-a", [13, 10]] }, { "set-header-bytes": ["request", "x-a", [0]] },
            { "set-header-bytes": ["request", "x-a", [9, 255]] }, { "header-text": ["request", "x-a"] },
            { "set-header": ["response", "x-a", "1"] }, { "set-header": ["trailers", "x-a", "1"] },
            { "set-status": 200 }, { "flood-fields": ["request", 2000, 10] }]),
        ),
        (
            "large fields",
            json!([{ "flood-fields": ["request", 100, 2000] }]),
        ),
        (
            "request line",
            json!([{ "set-method": "PUT" }, "method", { "set-method": "CONNECT" }, { "set-method": "A B" },
            { "set-path": "/a/./b/../c//d?x=1" }, "path", { "set-path": "/%41%2f%7e" }, "path", { "set-path": "a" },
            { "set-path": "/a#b" }, { "set-path": "/a\\b" }, { "set-path": "/%zz" }, { "set-path": "/%00" }, { "set-path": "/%c0%ae" },
            { "set-path": "/a/..%2Fb" }, { "set-path": "/a/..;x/b" }, { "set-path": "/é?é" }, "path", { "set-path": "/a?b=\"" },
            { "set-path": "/x/.." }, "path", { "set-path": "/x/../.." }, "path", { "set-path": "/x/" }, "path", { "set-path": "/{x}|^" }, "path",
            { "set-authority": "other.example:80" }, "authority", { "set-authority": "a b" }, { "set-authority": "u@h" }, { "set-authority": "" }]),
        ),
        (
            "attributes",
            json!([{ "attribute": "client.ip" }, { "attribute": "tier" }, { "set-attribute": ["tier", { "text": "gold" }] },
            { "attribute": "tier" }, { "set-attribute": ["other", { "flag": true }] }, { "set-attribute": ["client.ip", { "text": "1" }] },
            { "set-attributes": [["consumer.id", { "number": 7 }], ["nope", { "flag": true }]] }, { "attribute": "consumer.id" },
            { "set-attributes": [["consumer.id", { "number": 7 }], ["auth.x", { "bytes": [1, 2] }]] }, { "attribute": "consumer.id" },
            { "attribute": "auth.x" }, { "flood-attributes": [40, 1000] }]),
        ),
        (
            "notes",
            json!([{ "note": "k" }, { "set-note": ["k", "v"] }, { "note": "k" }, { "flood-notes": [10, 1000] }]),
        ),
        (
            "bodies too early",
            json!([{ "replace-piece": "a" }, { "append-piece": "a" }]),
        ),
        (
            "response edits",
            json!([{ "edit-response": [["set", "x-a", "1"], ["remove", "x-b", ""]] },
            { "edit-response": [["set", "x-a", "1"], ["set", "content-length", "1"]] }, { "edit-response": [["set", "x y", "1"]] }]),
        ),
        (
            "cache",
            json!([{ "cache-get": "a" }, { "cache-put": ["a", "1", 60000] }, { "cache-get": "a" }, { "cache-put": ["a", "2", 0] },
            { "cache-get": "a" }, { "cache-increment": ["n", 2, 60000] }, { "cache-increment": ["n", -5, 60000] },
            { "cache-put": ["n", "text", 60000] }, { "cache-increment": ["n", 1, 60000] }, { "cache-delete": "n" }, { "cache-get": "n" },
            { "flood-cache": [3, 70000] }]),
        ),
        (
            "crypto",
            json!([{ "digest": ["sha256", "abc"] }, { "digest": ["sha384", "abc"] }, { "digest": ["sha512", "abc"] },
            { "hmac-sign": ["sha256", "hook", "body"] }, { "hmac-sign": ["sha512", "hook", "body"] }, { "hmac-sign": ["sha256", "other", "body"] },
            { "hmac-sign": ["sha256", "none", "body"] },
            { "hmac-verify": ["sha256", "hook", "body", "515aae133b435d4000956731f68ae5cf5eb85d4f0dc6a546d2bfcd3595ec1ae1"] },
            { "hmac-verify": ["sha256", "hook", "body", "00"] }, { "hmac-verify": ["sha256", "other", "body", "00"] }]),
        ),
        (
            "documents",
            json!(["documents", { "document-size": "list" }, { "document-size": "none" }, { "read-document": ["list", 0, 3] },
            { "read-document": ["list", 4, 99] }, { "read-document": ["list", 99, 1] }, { "document-digest": "list" }]),
        ),
        (
            "keys",
            json!([{ "find-key": "good-key" }, { "find-key": "old-key" }, { "find-key": "none" }, { "identify": "old-key" },
            { "identify-field": "x-none" }, { "set-header": ["request", "x-key", "good-key"] }, { "identify-field": "x-key" },
            { "header": ["request", "x-key"] }, { "attribute": "consumer.id" }, { "attribute": "api-key.id" }, { "attribute": "api-key.tier" },
            { "attribute": "plan.id" }, { "attribute": "auth.method" }, { "identify-field": "host" }]),
        ),
        (
            "uncharged",
            json!([{ "charge": ["", 1] }, { "take": ["none", "k", 1] }, "standing"]),
        ),
        (
            "inline",
            json!([{ "take-inline": ["a", 1, 2, 0.001] }, { "take-inline": ["a", 0, 2, 0.001] }, { "take-inline": ["a", 9, 2, 0.001] },
            { "take-inline": ["b", 1, 0, 1.0] }, { "take-inline": ["b", 1, 1, -1.0] }]),
        ),
        (
            "log",
            json!([{ "log-enabled": "debug" }, { "log-enabled": "info" }, { "log": ["info", "a line"] }]),
        ),
    ]
}

/// The numbers of limits that depend on the time of the day are left out of the comparison.
fn without_times(report: &mut Value) {
    match report {
        Value::Object(members) => {
            for name in ["reset", "retry-after"] {
                if let Some(number) = members.get_mut(name) {
                    let is_never = number.as_u64() == Some(u64::MAX);
                    *number = json!(if is_never { "never" } else { "some time" });
                }
            }
            members.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Whether two results are the same. How many fields fit beside those of the client differs by the few that the
/// connection adds.
fn is_same(real: &Value, faked: &Value) -> bool {
    match (real["taken"].as_u64(), faked["taken"].as_u64()) {
        (Some(real_count), Some(faked_count)) => {
            real["then"] == faked["then"] && real_count.abs_diff(faked_count) <= 4
        }
        _ => real == faked,
    }
}

fn request(path: &str) -> Request {
    Request::new(
        "POST",
        format!("{path}/./4%202/a/b%2Fc?x=1%262&y=a+b&x=3&z"),
    )
    .header("x-one", "1")
    .header("x-many", "a")
    .header("x-many", "b")
}

/// The same request, which the route `{path}/{id}/{rest+}` matches.
fn exchange(path: &str) -> Exchange {
    Exchange::post(&format!("{path}/./4%202/a/b%2Fc?x=1%262&y=a+b&x=3&z"))
        .header("host", "gateway.test")
        .header("x-one", "1")
        .header("x-many", "a")
        .header("x-many", "b")
        .path_param("id", "4%202")
        .path_param("rest", "a/b%2Fc")
        .attribute("client.ip", "127.0.0.1")
}

#[test]
fn every_step_of_a_request_phase_gives_the_same_on_both() {
    let upstream = Upstream::text("well");
    let mut stage = stage().upstream("main", upstream.address());
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|(name, steps)| {
            let mut steps = steps;
            steps.as_array_mut().unwrap().push(json!("report"));
            (name, json!({ "request": steps }))
        })
        .collect();
    for (index, (_, settings)) in cases.iter().enumerate() {
        let name = format!("f{index}");
        stage = stage.actor(&name, &table(settings));
        stage = stage.route(&format!("/c{index}/{{id}}/{{rest+}}"), &[&name]);
    }
    let gateway = stage.start();
    let mut differences = Vec::new();
    for (index, (name, settings)) in cases.iter().enumerate() {
        let path = format!("/c{index}");
        let answer = gateway.send(&request(&path));
        assert_eq!(
            answer.status,
            200,
            "{name}: {}\n{}",
            answer.text(),
            gateway.log().text()
        );
        let mut real = answer.json();
        let verdict = load(settings).on_request(&mut exchange(&path));
        let Ok(RequestVerdict::Respond(response)) = verdict else {
            panic!("{name}: {verdict:?}");
        };
        let mut faked: Value = serde_json::from_slice(&response.body).unwrap();
        without_times(&mut real);
        without_times(&mut faked);
        let steps = settings["request"].as_array().unwrap();
        let (real, faked) = (real.as_array().unwrap(), faked.as_array().unwrap());
        assert_eq!(real.len(), faked.len(), "{name}");
        for ((step, real), faked) in steps.iter().zip(real).zip(faked) {
            if !is_same(real, faked) {
                differences.push(format!(
                    "{name}: {step}\n  gateway: {real}\n  fake:    {faked}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn edits_of_a_request_reach_the_endpoint_as_the_fake_has_them() {
    let upstream = Upstream::text("well");
    let steps = json!([{ "set-header": ["request", "x-new", "1"] }, { "remove-header": ["request", "x-many"] },
        { "set-path": "/other/./x?y=z" }, { "set-method": "PATCH" }, { "set-authority": "other.example" }]);
    let mut failing = steps.clone();
    failing
        .as_array_mut()
        .unwrap()
        .push(json!({ "fail": "as told" }));
    let (good, bad) = (json!({ "request": steps }), json!({ "request": failing }));
    let skipped = format!("on_error = \"skip\"\n{}", table(&bad));
    let gateway = stage()
        .upstream("main", upstream.address())
        .actor("good", &table(&good))
        .actor("bad", &skipped)
        .route("/good/{id}/{rest+}", &["good"])
        .route("/bad/{id}/{rest+}", &["bad"])
        .start();
    for (path, settings) in [("/good", &good), ("/bad", &bad)] {
        assert_eq!(gateway.send(&request(path)).status, 200);
        let mut faked = exchange(path);
        let verdict = load(settings).on_request(&mut faked);
        assert_eq!(verdict.is_err(), path == "/bad", "{verdict:?}");
        let received = upstream.received().pop().unwrap();
        assert_eq!(received.target, faked.path());
        assert_eq!(received.method, faked.method());
        assert_eq!(received.header("host").unwrap(), faked.authority());
        for name in ["x-new", "x-one"] {
            assert_eq!(
                received.header(name),
                faked.request_header(name),
                "{path}: {name}"
            );
        }
        let of_fake = faked.request_headers();
        let of_fake = of_fake.iter().filter(|(name, _)| *name == "x-many");
        assert_eq!(
            received.head.all("x-many").count(),
            of_fake.count(),
            "{path}"
        );
    }
}

#[test]
fn steps_of_response_phases_and_notes_give_the_same_on_both() {
    let reply = Reply::status(201).header("x-from", "endpoint").body("well");
    let upstream = Upstream::fixed(reply);
    let settings = json!({
        "request": [{ "set-note": ["k", "v"] }, { "edit-response": [["set", "x-early", "1"], ["add-member", "vary", "x-a"], ["add-member", "vary", "X-A"]] }],
        "response": ["status", { "note": "k" }, { "header": ["response", "x-from"] }, { "header": ["response", "x-early"] },
            { "header-all": ["response", "vary"] }, { "set-header": ["response", "x-a", "1"] }, { "header": ["response", "x-a"] },
            { "set-header": ["request", "x-a", "1"] }, { "set-path": "/" }, { "set-status": 600 }, { "set-status": 404 }, "status",
            { "edit-response": [["set", "x-late", "1"]] }, { "set-header": ["response", "content-length", "1"] }, "report"],
    });
    let gateway = stage()
        .upstream("main", upstream.address())
        .actor("actor", &table(&settings))
        .route("/act/{id}/{rest+}", &["actor"])
        .start();
    let answer = gateway.send(&request("/act"));
    let loaded = load(&settings);
    let mut faked = exchange("/act");
    assert_eq!(loaded.on_request(&mut faked), Ok(RequestVerdict::NEXT));
    faked.respond(201, &[("x-from", "endpoint")]);
    let verdict = loaded.on_response(&mut faked);
    let Ok(ResponseVerdict::Replace(response)) = verdict else {
        panic!("{verdict:?}");
    };
    let report: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer.json(), report);
}

#[test]
fn bodies_pass_in_the_same_way_on_both() {
    let upstream = Upstream::text("well");
    let settings = json!({
        "tell": true,
        "request": ["chunks"],
        "request-body": [{ "read-piece": [1, 2] }, { "prepend-piece": "<" }, { "append-piece": ">" }, { "set-header": ["request", "x-a", "1"] }, { "note": "k" }],
    });
    let whole = json!({
        "tell": true,
        "request": [{ "whole": 100 }],
        "request-body": [{ "read-piece": [0, 99] }, { "replace-piece": "new" }, { "set-header": ["request", "x-a", "1"] }],
    });
    let gateway = stage()
        .upstream("main", upstream.address())
        .actor("chunks", &table(&settings))
        .actor("whole", &table(&whole))
        .route("/chunks/{id}/{rest+}", &["chunks"])
        .route("/whole/{id}/{rest+}", &["whole"])
        .start();
    for (path, settings) in [("/chunks", &settings), ("/whole", &whole)] {
        let before = gateway.log().count();
        assert_eq!(gateway.send(&request(path).body("hello")).status, 200);
        let line = gateway
            .log()
            .wait_from(before, |line| line.contains("request-body gave"));
        let received = upstream.received().pop().unwrap();
        let loaded = load(settings);
        let mut faked = exchange(path);
        loaded.on_request(&mut faked).unwrap();
        let passed = loaded.request_body(&mut faked, &[b"hello"]);
        assert_eq!(passed, Ok(BodyEnd::Passed(received.body.clone())), "{path}");
        assert_eq!(
            received.header("x-a"),
            faked.request_header("x-a"),
            "{path}"
        );
        let told = faked
            .log()
            .iter()
            .rfind(|line| line.message.starts_with("request-body"));
        assert!(
            line.contains(&told.unwrap().message),
            "{path}: {line}\n{told:?}"
        );
    }
}

#[test]
fn what_traps_in_the_gateway_is_a_panic_with_the_same_text() {
    let upstream = Upstream::text("well");
    let settings = json!({ "request": [{ "flood-calls": 20000 }] });
    let gateway = stage()
        .upstream("main", upstream.address())
        .actor("actor", &table(&settings))
        .route("/act/{id}/{rest+}", &["actor"])
        .start();
    assert_eq!(gateway.send(&request("/act")).status, 500);
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("10000 calls"));
    let loaded = load(&settings);
    let run = || loaded.on_request(&mut exchange("/act"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    let panic = panic.downcast::<String>().unwrap();
    assert!(line.contains(&*panic), "{line}\n{panic}");
}
