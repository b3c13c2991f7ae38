//! One line of JSON for each exchange.

use serde_json::Value;
use windlass_tests::{ClosedPort, Gateway, Request, Upstream};

use crate::config::{all_to, start, upstream};

fn lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    assert!(gateway.terminate().success());
    let text = gateway.output().whole();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

#[test]
fn a_line_tells_what_the_exchange_was() {
    let endpoint = Upstream::text("four");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[api.shop]\nstage = \"prod\"\n",
        "[[route]]\nname = \"order\"\napi = \"shop\"\npath = \"/orders/{id}\"\nupstream = \"app\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    let answer = gateway.send(&Request::post("/orders/1?secret=1", "12345"));
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["request"].as_str(), answer.header("x-request-id"));
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["host"], "gateway.test");
    assert_eq!(line["path"], "/orders/1");
    assert_eq!(line["route"], "order");
    assert_eq!(line["api"], "shop");
    assert_eq!(line["status"], 200);
    assert_eq!(line["upstream"], "app");
    assert_eq!(line["endpoint"], endpoint.address().to_string());
    assert_eq!(line["request_bytes"], 5);
    assert_eq!(line["response_bytes"], 4);
    assert_eq!(line["failure"], Value::Null);
    assert_eq!(line["filter"], Value::Null);
    assert!(
        line["duration_us"].as_u64() >= line["upstream_us"].as_u64(),
        "{line}"
    );
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[test]
fn a_line_tells_what_failed() {
    let port = ClosedPort::new();
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &all_to(port.address()).replacen("$default", "/broken", 1),
    ]);
    assert_eq!(gateway.get("/broken").status, 502);
    assert_eq!(gateway.get("/nothing").status, 404);
    let lines = lines(&gateway, 2);
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(
        (&of("/broken")["status"], &of("/broken")["failure"]),
        (&502.into(), &"connect_failed".into())
    );
    assert_eq!(
        (&of("/nothing")["status"], &of("/nothing")["failure"]),
        (&404.into(), &"no_route".into())
    );
    assert_eq!(of("/nothing")["route"], Value::Null);
}

#[test]
fn a_line_names_the_filter_that_refused() {
    let endpoint = Upstream::text("ok");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &crate::config::filtered(&["keys"], endpoint.address()),
        &crate::config::api_key("{}"),
    ]);
    assert_eq!(gateway.get("/").status, 401);
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["filter"], "keys", "{line}");
    assert_eq!(line["failure"], "api_key_missing", "{line}");
}

#[test]
fn bytes_of_a_client_cannot_break_a_line() {
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[[route]]\npath = \"$default\"\nrespond = { body = \"ok\" }\n",
    ]);
    assert_eq!(gateway.get("/a\"},{%0a\"b").status, 200);
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["path"], "/a\"},{%0a\"b");
}

#[test]
fn a_file_is_appended_to() {
    let config =
        "[log]\naccess = \"access.log\"\n[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n";
    let gateway = Gateway::with_config(config)
        .file("access.log", "{}\n")
        .start();
    assert_eq!(gateway.get("/").status, 200);
    assert!(gateway.terminate().success());
    let written = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
}
