//! The circuit breaker suspends a filter that keeps failing, and resumes it once it behaves.

use windlass_tests::wait::until;
use windlass_tests::{Gateway, Request, Upstream};

use crate::stage::{Stage, figure};

const BREAKER: &str =
    r#"breaker = { failures = 3, window = "1m", backoff = "300ms", max_backoff = "600ms" }"#;

fn acting() -> Request {
    Request::get("/act").header("x-act", "1")
}

fn gateway(upstream: &Upstream, keys: &str) -> Gateway {
    let settings = r#"settings = { when = "x-act", request = ["trap"] }"#;
    Stage::of_one_actor(upstream, &format!("{BREAKER}\n{keys}\n{settings}"))
        .actor("well", "")
        .route("/well", &["well"])
        .start()
}

fn trip(gateway: &Gateway) {
    for _ in 0..3 {
        assert_eq!(gateway.send(&acting()).code(), "filter_failed");
    }
    gateway
        .log()
        .wait_for_line(|line| line.contains("failed too often"));
}

#[test]
fn a_filter_that_keeps_trapping_is_suspended_and_comes_back() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "");
    trip(&gateway);
    // The request is harmless, but a suspended filter is not called.
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "filter_suspended")
    );
    // Less than a second is left, and `Retry-After` counts whole seconds.
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(upstream.count(), 0);
    assert_eq!(gateway.get("/well").status, 200);
    let metrics = gateway.metrics();
    assert_eq!(figure(&metrics, "suspended", "actor"), 1.0);
    assert_eq!(figure(&metrics, "suspended", "well"), 0.0);
    assert_eq!(figure(&metrics, "failures_total", "actor"), 3.0);
    assert!(figure(&metrics, "suspended_requests_total", "actor") >= 1.0);
    // After the back-off, one request probes the filter and succeeds.
    until("the filter to come back", || {
        (gateway.get("/act").status == 200).then_some(())
    });
    gateway
        .log()
        .wait_for_line(|line| line.contains("its circuit breaker closed"));
    assert_eq!(figure(&gateway.metrics(), "suspended", "actor"), 0.0);
    for _ in 0..10 {
        assert_eq!(gateway.get("/act").text(), "well");
    }
}

#[test]
fn a_trial_that_fails_suspends_it_again() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "");
    trip(&gateway);
    let seen = gateway.log().count();
    until("the trial", || {
        (gateway.send(&acting()).status == 500).then_some(())
    });
    gateway
        .log()
        .wait_from(seen, |line| line.contains("not called for 600ms"));
    assert_eq!(gateway.get("/act").status, 503);
    until("the filter to come back", || {
        (gateway.get("/act").status == 200).then_some(())
    });
}

#[test]
fn a_suspended_filter_that_may_be_skipped_is_skipped() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "on_error = \"skip\"");
    for _ in 0..10 {
        assert_eq!(gateway.send(&acting()).text(), "well");
    }
    let metrics = gateway.metrics();
    assert_eq!(figure(&metrics, "suspended", "actor"), 1.0);
    assert_eq!(figure(&metrics, "failures_total", "actor"), 3.0);
    assert_eq!(upstream.count(), 10);
}

#[test]
fn a_reload_keeps_a_filter_suspended_that_it_does_not_change() {
    let upstream = Upstream::text("well");
    let slow = r#"breaker = { failures = 3, window = "1m", backoff = "1m" }"#;
    let settings = r#"settings = { when = "x-act", request = ["trap"] }"#;
    let stage = Stage::of_one_actor(&upstream, &format!("{slow}\n{settings}"));
    let gateway = stage.start();
    trip(&gateway);
    let same = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    gateway.reload(same);
    assert_eq!(gateway.get("/act").code(), "filter_suspended");
}

/// A client chooses how deeply the JSON of a body is nested.
#[test]
fn a_body_that_uses_up_the_stack_suspends_nobody() {
    let upstream = Upstream::text("well");
    let settings = r#"settings = { when = "x-act", request = [{ whole = 1000 }], request-body = ["recurse-deeply"] }"#;
    let keys = format!("breaker = {{ failures = 1 }}\n{settings}");
    let gateway = Stage::of_one_actor(&upstream, &keys).start();
    for _ in 0..3 {
        let request = Request::post("/act", "deep").header("x-act", "1");
        assert_eq!(gateway.send(&request).code(), "filter_failed");
    }
    assert_eq!(gateway.get("/act").status, 200);
    gateway.log().wait_for_line(|line| {
        line.contains("call stack exhausted") && line.contains("kind=\"stack\"")
    });
}
