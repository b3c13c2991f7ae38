//! The level of the gateway's own log changes while it runs: by a reload, and for a time by an operator.

use windlass_tests::{Gateway, Request, Upstream};

use crate::operator::{READ, WRITE, builder, call, get, request, send, windlass};

/// A line that only level debug has: a request without its key.
fn provoke(gateway: &Gateway) -> usize {
    let before = gateway.log().count();
    // A connection that sends no request line is told at debug.
    let _ = gateway.send_raw("GARBAGE\r\n\r\n");
    before
}

fn level(gateway: &Gateway) -> String {
    let log = get(gateway, "/v1/log").json();
    log["level"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_operator_changes_the_level_and_it_comes_back_by_itself() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    assert_eq!(level(&gateway), "info");
    let changed = call(
        &gateway,
        "PATCH",
        "/v1/log",
        r#"{"level":"debug","for_seconds":1}"#,
    );
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!(changed["configured"], "info");
    assert!(changed["ends"].is_string(), "{changed}");
    gateway
        .log()
        .wait_for_line(|line| line.contains("audit:") && line.contains("what=\"debug for 1 s\""));
    gateway
        .log()
        .wait_for_line(|line| line.contains("is that of the configuration again"));
    let after = get(&gateway, "/v1/log").json();
    assert_eq!(
        (&after["level"], &after["ends"]),
        (&"info".into(), &serde_json::Value::Null)
    );
}

#[test]
fn debug_writes_the_gateways_own_lines_and_not_those_of_libraries() {
    let upstream = Upstream::text("ok");
    let gateway = builder(
        &["keys"],
        &upstream,
        "\n[log]\nlevel = \"debug\"\n[wasm]\ncache = \"off\"\n",
    )
    .start();
    // The compiler alone would write thousands.
    assert!(gateway.log().count() < 100, "{}", gateway.log().count());
    let before = provoke(&gateway);
    gateway
        .log()
        .wait_from(before, |line| line.contains("DEBUG"));
}

#[test]
fn a_reload_changes_the_level_and_a_change_by_hand_outlives_it() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    let file = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    let warnings = gateway.reload(format!("{file}\n[log]\nlevel = \"debug\"\n"));
    assert!(
        !warnings.iter().any(|line| line.contains("restart")),
        "{warnings:?}"
    );
    assert_eq!(level(&gateway), "debug");
    let before = provoke(&gateway);
    gateway
        .log()
        .wait_from(before, |line| line.contains("DEBUG"));
    call(&gateway, "PATCH", "/v1/log", r#"{"level":"trace"}"#);
    gateway.reload(file);
    assert_eq!(level(&gateway), "trace");
    let restored = send(&gateway, &request("DELETE", "/v1/log/changes"));
    assert_eq!(restored.json()["level"], "info");
}

#[test]
fn a_wrong_level_and_a_token_that_may_only_read_change_nothing() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    for (body, field) in [
        (r#"{"level":"loud"}"#, "level"),
        (r#"{"level":"debug","for_seconds":0}"#, "for_seconds"),
        (r#"{"level":"debug","for_seconds":86401}"#, "for_seconds"),
        ("{}", "level"),
    ] {
        let refused = call(&gateway, "PATCH", "/v1/log", body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.text().contains(field), "{}", refused.text());
    }
    let reader = Request::new("PATCH", "/v1/log")
        .header("authorization", format!("Bearer {READ}"))
        .header("content-type", "application/json")
        .body(r#"{"level":"debug"}"#);
    assert_eq!(send(&gateway, &reader).status, 403);
    assert_eq!(level(&gateway), "info");
}

#[test]
fn the_command_shows_and_changes_the_level() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    let changed = windlass(
        &gateway,
        &["log", "level", "debug", "--for", "5m"],
        WRITE,
        "",
    );
    assert_eq!(changed.code, Some(0), "{}", changed.errors);
    assert!(
        changed.errors.contains("`debug` until"),
        "{}",
        changed.errors
    );
    let shown = windlass(&gateway, &["log", "show", "--json"], READ, "");
    assert!(shown.output.contains("\"debug\""), "{}", shown.output);
    let reset = windlass(&gateway, &["log", "reset"], WRITE, "");
    assert!(reset.errors.contains("level is `info`"), "{}", reset.errors);
    let wrong = windlass(&gateway, &["log", "level", "loud"], WRITE, "");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.errors.contains("debug"), "{}", wrong.errors);
}
