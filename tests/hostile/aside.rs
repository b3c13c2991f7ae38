//! A filter whose calls may take long runs on a fiber, so its worker continues with other requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use windlass_tests::{Gateway, Request, Upstream, wait};

use crate::stage::{Stage, figure};

/// A gateway of one worker with an actor on `/act` that may run long, and `/calm` without filters.
fn gateway(upstream: &Upstream, keys: &str, settings: &str) -> Gateway {
    Stage::of_one_actor(
        upstream,
        &format!("limits = {{ cpu = \"5s\" }}\n{keys}\nsettings = {{ {settings} }}"),
    )
    .lines("[log]\naccess = \"stdout\"")
    .route("/calm", &[])
    .start()
}

/// Send a request that takes long, and check that others get their responses first.
fn others_are_answered_meanwhile(gateway: &Gateway, long: &Request, status: u16) {
    let answered = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        let done = Arc::clone(&answered);
        scope.spawn(move || {
            assert_eq!(gateway.send(long).status, status);
            done.fetch_add(1, Ordering::SeqCst);
        });
        gateway.metrics_when("the call to begin", |metrics| {
            metrics["windlass_requests_active"] >= 1.0
        });
        let mut meanwhile = 0;
        while answered.load(Ordering::SeqCst) == 0 {
            assert_eq!(gateway.get("/calm").status, 200);
            meanwhile += 1;
        }
        assert!(
            meanwhile > 2,
            "{meanwhile} requests were answered meanwhile"
        );
    });
}

#[test]
fn a_long_call_in_any_phase_holds_nobody() {
    let upstream = Upstream::echo();
    let spin = "{ spin-until-passed = 700 }";
    for settings in [
        format!(r#"request = [{spin}, {{ set-header = ["request", "x-done", "1"] }}]"#),
        format!(
            r#"request = [{{ whole = 1000 }}], request-body = [{spin}, {{ replace-piece = "x-done" }}]"#
        ),
        format!(r#"response = [{spin}, {{ set-header = ["response", "x-done", "1"] }}]"#),
        format!(
            r#"response = [{{ whole = 1000 }}], response-body = [{spin}, {{ replace-piece = "x-done" }}]"#
        ),
    ] {
        let gateway = gateway(&upstream, "", &settings);
        let request = Request::post("/act", "the body");
        others_are_answered_meanwhile(&gateway, &request, 200);
        // The filter's edits were kept.
        let answer = gateway.send(&request);
        let sent = upstream.received().pop().unwrap();
        let is_done = answer.header("x-done").is_some()
            || answer.text().contains("x-done")
            || sent.header("x-done").is_some()
            || sent.body == b"x-done";
        assert!(is_done, "{settings}");
    }
}

#[test]
fn a_long_call_of_the_log_phase_holds_nobody() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "", "log = [{ spin-until-passed = 700 }]");
    assert_eq!(gateway.get("/act").status, 200);
    let mut meanwhile = 0;
    while figure(&gateway.metrics(), "calls_total", "actor") < 3.0 {
        assert_eq!(gateway.get("/calm").status, 200);
        meanwhile += 1;
    }
    assert!(meanwhile > 2, "{meanwhile}");
}

#[test]
fn a_call_that_never_ends_is_ended_at_its_allowance() {
    let upstream = Upstream::echo();
    let keys = "breaker = { failures = 1000 }";
    let gateway = Stage::of_one_actor(
        &upstream,
        &format!("limits = {{ cpu = \"300ms\" }}\n{keys}\nsettings = {{ when = \"x-act\", request = [\"loop\"] }}"),
    )
    .route("/calm", &[])
    .start();
    let looping = Request::get("/act").header("x-act", "1");
    others_are_answered_meanwhile(&gateway, &looping, 500);
    gateway
        .log()
        .wait_for_line(|line| line.contains("more than its 300ms of CPU time"));
    assert_eq!(gateway.get("/act").status, 200);
}

#[test]
fn a_client_that_leaves_ends_the_call_and_the_log_knows_its_request() {
    let upstream = Upstream::echo();
    let settings =
        r#"when = "x-act", request = [{ set-path = "/changed" }, { spin-until-passed = 4000 }]"#;
    let gateway = gateway(&upstream, "", settings);
    let mut client = gateway.client();
    client.send_raw("GET /act?left HTTP/1.1\r\nhost: a\r\nx-act: 1\r\n\r\n");
    gateway.metrics_when("the call to begin", |metrics| {
        metrics["windlass_requests_active"] >= 1.0
    });
    drop(client);
    let line = gateway
        .output()
        .wait_for_line(|line| line.contains("client_gone"));
    assert!(line.contains(r#""path":"/act""#), "{line}");
    for _ in 0..3 {
        assert_eq!(gateway.get("/act").status, 200);
    }
    assert_eq!(upstream.count(), 3);
}

#[test]
fn calls_of_one_filter_run_beside_each_other_and_the_others_wait() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "", "request = [{ spin-until-passed = 100 }]");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(gateway.get("/act").status, 200));
        }
    });
    wait::until("the instances to be few", || {
        let made = figure(&gateway.metrics(), "instances_total", "actor");
        (made <= 4.0).then_some(())
    });
}

#[test]
fn check_says_what_pieces_of_a_body_cost() {
    let upstream = Upstream::echo();
    let stage = |cpu: &str| {
        let keys = format!("limits = {{ cpu = \"{cpu}\" }}");
        Stage::of_one_actor(&upstream, &keys).builder().check()
    };
    let warned = stage("1500ms");
    assert_eq!(warned.code, Some(0), "{}", warned.errors);
    assert!(
        warned.errors.contains("1.5s") && warned.errors.contains("`chunks`"),
        "{}",
        warned.errors
    );
    assert!(!stage("10ms").errors.contains("`chunks`"));
}
