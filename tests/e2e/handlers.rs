//! Components on `wasi:http` as filters: a whole exchange passes their handler.

use windlass_tests::{Builder, Gateway, Reply, Request, Upstream};

use crate::config::{all_to, filtered, stamp};

/// A handler that does what the field `x-act` says (`tests/guests/handler`).
const HANDLER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/handler.wasm"));

/// The filter `handler`; `more` is appended to its table.
fn handler(more: &str) -> String {
    format!("\n[filter.handler]\nplugin = \"handler.wasm\"\n{more}\n")
}

fn builder(config: &str) -> Builder {
    Gateway::with_config(format!("[server]\nworkers = 1\n{config}")).file("handler.wasm", HANDLER)
}

/// A gateway that sends everything through the handler to this upstream.
fn in_front_of(upstream: &Upstream, more: &str) -> Gateway {
    let route = filtered(&["handler"], upstream.address());
    builder(&format!("{route}{}", handler(more))).start()
}

fn act(act: &str) -> Request {
    Request::get("/orders?id=1").header("x-act", act)
}

#[test]
fn a_request_and_its_response_pass_the_handler() {
    let upstream = Upstream::fixed(Reply::status(201).header("x-from", "upstream").body("made"));
    let gateway = in_front_of(&upstream, "");
    let response = gateway.get("/orders?id=1");
    assert_eq!((response.status, response.text()), (201, "made"));
    assert_eq!(response.header("x-answered"), Some("handler"));
    assert_eq!(response.header("x-from"), Some("upstream"));
    let request = upstream.only_request();
    assert_eq!(request.header("x-passed"), Some("handler"));
    assert_eq!(request.header("transfer-encoding"), None, "{request:?}");
}

#[test]
fn bodies_pass_the_handler_in_both_directions_and_may_be_edited() {
    let text = "some text ".repeat(50_000);
    let upstream = Upstream::fixed(Reply::status(200).body(text.clone()));
    let gateway = in_front_of(&upstream, "");
    let upper = text.to_ascii_uppercase();
    for request in [
        Request::post("/orders", text.clone()),
        Request::post("/orders", text.clone()).chunked(),
    ] {
        let response = gateway.send(&request.header("x-act", "upper"));
        assert_eq!(response.status, 200);
        assert!(response.text() == upper, "{} bytes", response.text().len());
        let received = upstream.received();
        let received = received.last().unwrap();
        assert!(upper.as_bytes().starts_with(&received.body));
        assert_eq!(received.length, upper.len() as u64);
    }
}

#[test]
fn a_handler_that_answers_itself_refuses_the_request() {
    let upstream = Upstream::text("never");
    let gateway = in_front_of(&upstream, "");
    let response = gateway.send(&act("refuse"));
    assert_eq!((response.status, response.text()), (403, "not from here"));
    assert_eq!(upstream.count(), 0);
    let large = gateway.send(&act("large=100000"));
    assert_eq!(large.text().len(), 100_000);
}

#[test]
fn handlers_and_filters_run_in_the_order_of_the_route() {
    let upstream = Upstream::text("ok");
    let route = filtered(&["first", "handler", "second"], upstream.address());
    let config = format!(
        "{route}{}{}{}",
        stamp("first"),
        handler(""),
        stamp("second")
    );
    let gateway = builder(&config).start();
    let response = gateway.get("/");
    assert_eq!(response.headers("x-order"), ["second", "first"]);
    assert_eq!(response.header("x-answered"), Some("handler"));
    let request = upstream.only_request();
    assert_eq!(request.header("x-passed"), Some("handler"));
}

#[test]
fn a_refusal_by_a_later_filter_passes_the_handler_on_its_way_back() {
    let upstream = Upstream::text("never");
    let route = filtered(&["handler", "keys"], upstream.address());
    let keys = "\n[filter.keys]\nplugin = \"builtin:api-key\"\n";
    let gateway = builder(&format!("{route}{}{keys}", handler(""))).start();
    let response = gateway.get("/");
    assert_eq!(
        (response.status, response.code().as_str()),
        (401, "api_key_missing")
    );
    assert_eq!(response.header("x-answered"), Some("handler"));
}

#[test]
fn a_handler_reaches_granted_callouts_by_name_and_nothing_else() {
    let target = Upstream::fixed(Reply::status(204));
    let upstream = Upstream::text("ok");
    let route = filtered(&["handler"], upstream.address());
    let callout = format!("\n[callout.auth]\nurl = \"http://{}\"\n", target.address());
    let other = format!("\n[callout.other]\nurl = \"http://{}\"\n", target.address());
    let granted = handler("allow = { callouts = [\"auth\"] }");
    let gateway = builder(&format!("{route}{granted}{callout}{other}")).start();
    let asked = |name: &str| {
        let response = gateway.send(&act(&format!("ask={name}")));
        assert_eq!(response.status, 200, "{}", response.text());
        let requests = upstream.received();
        requests
            .last()
            .unwrap()
            .header("x-asked")
            .unwrap()
            .to_owned()
    };
    assert_eq!(asked("auth"), "204");
    for refused in ["other", "127.0.0.1", "localhost"] {
        assert!(asked(refused).contains("HttpRequestDenied"), "{refused}");
    }
    assert_eq!(target.count(), 1);
    let log = gateway.log();
    log.wait_for_line(|line| line.contains("add `[callout.localhost]`"));
}

#[test]
fn an_exchange_goes_on_once() {
    let upstream = Upstream::text("ok");
    let gateway = in_front_of(&upstream, "");
    let response = gateway.send(&act("twice"));
    assert_eq!(response.status, 200);
    assert_eq!(upstream.count(), 1);
    let log = gateway.log();
    log.wait_for_line(|line| line.contains("the second time: ") && line.contains("LoopDetected"));
}

#[test]
fn a_handler_that_fails_fails_its_own_exchange_only() {
    let upstream = Upstream::text("ok");
    let more = "limits = { cpu = \"20ms\", memory = \"8MiB\" }\nbreaker = { failures = 100 }";
    let gateway = in_front_of(&upstream, more);
    for bad in ["panic", "loop", "memory", "error", "silent", "status=999"] {
        let response = gateway.send(&act(bad));
        assert_eq!(
            (response.status, response.code().as_str()),
            (500, "filter_failed"),
            "{bad}"
        );
        assert_eq!(gateway.get("/").text(), "ok", "after {bad}");
    }
    let log = gateway.log();
    log.wait_for_line(|line| line.contains("told to"));
}

#[test]
fn the_body_of_a_handler_that_traps_has_no_end() {
    let upstream = Upstream::bytes(1_000_000);
    let gateway = in_front_of(&upstream, "");
    let mut client = gateway.client();
    client.send_raw(act("trap-late").bytes());
    let cut = client.try_read(false, true);
    assert!(
        cut.is_err(),
        "{:?}",
        cut.unwrap().map(|response| response.status)
    );
}

#[test]
fn a_handler_that_keeps_failing_is_suspended() {
    let upstream = Upstream::text("ok");
    let gateway = in_front_of(
        &upstream,
        "breaker = { failures = 3, backoff = \"1h\", max_backoff = \"1h\" }",
    );
    for _ in 0..3 {
        assert_eq!(gateway.send(&act("panic")).code(), "filter_failed");
    }
    assert_eq!(gateway.send(&act("")).code(), "filter_suspended");
}

#[test]
fn a_handler_sees_its_settings_as_variables_and_no_file() {
    let upstream = Upstream::text("ok");
    let gateway = in_front_of(&upstream, "settings = { REALM = \"staff\", LIMIT = 3 }");
    let text = gateway.send(&act("environment")).text().to_owned();
    let mut variables: Vec<_> = text.lines().collect();
    variables.sort_unstable();
    assert_eq!(variables, ["LIMIT=3", "REALM=staff"]);
    let files = gateway.send(&act("files")).text().to_owned();
    assert!(files.starts_with("Some("), "{files}");
}

#[test]
fn a_handler_that_waits_does_not_hold_its_worker() {
    let upstream = Upstream::text("ok");
    let gateway = in_front_of(&upstream, "");
    let mut waits = gateway.client();
    waits.send_raw(act("sleep=2000").bytes());
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "ok");
    }
    assert_eq!(waits.read_response().text(), "awake");
}

#[test]
fn a_handler_cannot_be_skipped_and_its_settings_are_plain_values() {
    let config = |more: &str| {
        let route = all_to("127.0.0.1:9".parse().unwrap());
        builder(&format!("{route}{}", handler(more))).check()
    };
    let skipped = config("on_error = \"skip\"");
    assert_eq!(skipped.code, Some(2));
    assert!(
        skipped.errors.contains("it cannot be skipped"),
        "{}",
        skipped.errors
    );
    let nested = config("settings = { realm = { name = \"staff\" } }");
    assert_eq!(nested.code, Some(2));
    assert!(
        nested.errors.contains("make `realm` a text"),
        "{}",
        nested.errors
    );
    let good = config("");
    assert_eq!(good.code, Some(0), "{}", good.errors);
    assert!(
        good.output.contains("handles whole requests and responses"),
        "{}",
        good.output
    );
}
