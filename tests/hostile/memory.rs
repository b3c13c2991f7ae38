//! Windlass gets a filter's memory back after a failure, however often the filter fails.

use windlass_tests::{Metrics, Request, Upstream};

use crate::stage::{Stage, figure};

fn acting() -> Request {
    Request::get("/act").header("x-act", "1")
}

/// Fail 50 times as a warm-up and then 200 times, and check that the process has not grown since
/// the warm-up.
fn does_not_grow(keys: &str, settings: &str) {
    let upstream = Upstream::text("well").counting();
    let keys = format!(
        "breaker = {{ failures = 1000000 }}\n{keys}\nsettings = {{ when = \"x-act\", {settings} }}"
    );
    let gateway = Stage::of_one_actor(&upstream, &keys).start();
    let mut client = gateway.client();
    let mut round = |count: u32| {
        for _ in 0..count {
            assert_eq!(client.send(&acting()).status, 500);
            assert_eq!(client.get("/act").status, 200);
        }
    };
    assert_eq!(gateway.get("/act").status, 200);
    let held = gateway.metrics()["windlass_wasm_memory_bytes"];
    round(50);
    let small = gateway.rss();
    round(200);
    gateway.metrics_when("the memory to return", |metrics| {
        metrics["windlass_wasm_memory_bytes"] <= held
    });
    let large = gateway.rss();
    let growth = large.saturating_sub(small);
    assert!(growth < 12 << 20, "grew by {growth} bytes from {small}");
    assert_eq!(figure(&gateway.metrics(), "failures_total", "actor"), 250.0);
}

#[test]
fn traps_cost_no_memory() {
    does_not_grow("", "request = [\"trap\"]");
}

#[test]
fn memory_that_was_taken_returns() {
    does_not_grow(
        "limits = { memory = \"16MiB\", cpu = \"1s\" }",
        "request = [\"grow-until-refused\"]",
    );
}

#[test]
fn edits_that_were_undone_cost_no_memory() {
    does_not_grow(
        "",
        r#"request = [{ flood-fields = ["request", 200, 200] }, { flood-log = [64, 1000] }, "trap"]"#,
    );
}

#[test]
fn the_budget_of_all_filters_is_not_passed_and_the_others_live_on() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .lines("[wasm]\nmemory = \"32MiB\"\nmax_memory = \"32MiB\"")
        .upstream("main", upstream.address())
        .actor(
            "hog",
            r#"limits = { memory = "32MiB", cpu = "1s" }
            breaker = { failures = 1000000 }
            settings = { when = "x-act", request = ["grow-until-refused"] }"#,
        )
        .actor("well", "limits = { memory = \"8MiB\" }")
        .route("/act", &["hog"])
        .route("/well", &["well"])
        .start();
    for _ in 0..20 {
        assert_eq!(gateway.send(&acting()).code(), "filter_failed");
        assert_eq!(gateway.get("/well").status, 200);
        let metrics = gateway.metrics();
        assert!(
            metrics["windlass_wasm_memory_bytes"] <= metrics["windlass_wasm_memory_limit_bytes"]
        );
    }
    gateway
        .log()
        .wait_for_line(|line| line.contains("raise `[wasm] memory`"));
    assert_eq!(gateway.get("/act").status, 200);
}

#[test]
fn an_instance_that_grew_is_given_up() {
    let upstream = Upstream::text("well");
    let keys = r#"recycle = { growth = "1MiB" }
        limits = { cpu = "1s" }
        settings = { when = "x-act", request = [{ grow = 2097152 }] }"#;
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    let before = gateway.metrics();
    for _ in 0..50 {
        assert_eq!(gateway.send(&acting()).status, 200);
    }
    let made = |after: &Metrics| {
        figure(after, "instances_total", "actor") - figure(&before, "instances_total", "actor")
    };
    // Each of the fifty calls uses up one instance. Two existed before, and up to two exist
    // afterwards.
    let after = gateway.metrics_when("the memory to return", |metrics| {
        let back = metrics["windlass_wasm_memory_bytes"] <= before["windlass_wasm_memory_bytes"];
        back && made(metrics) >= 48.0
    });
    let made = made(&after);
    assert!((48.0..=52.0).contains(&made), "{made} instances");
    assert_eq!(figure(&after, "failures_total", "actor"), 0.0);
}

#[test]
fn an_instance_that_served_its_calls_is_given_up() {
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(
        &upstream,
        "recycle = { calls = 10 }\nsettings = { request = [\"skip\"] }",
    )
    .start();
    let before = figure(&gateway.metrics(), "instances_total", "actor");
    let mut client = gateway.client();
    for _ in 0..200 {
        assert_eq!(client.get("/act").status, 200);
    }
    // Each exchange has a request phase, a response phase and a log phase.
    let made = figure(&gateway.metrics(), "instances_total", "actor") - before;
    assert!((40.0..=80.0).contains(&made), "{made} instances");
}
