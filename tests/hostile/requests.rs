//! A request whose filter fails gets an error response and never reaches the upstream. The next
//! request succeeds, and the other filters are not affected.

use windlass_tests::{Gateway, Request, Upstream, wait};

use crate::forge;
use crate::stage::{Stage, figure};

/// Breakers that never open, so that the filter is called for each request.
const NO_BREAKER: &str = "breaker = { failures = 1000000 }";

/// Send a request that the filter acts on, and two that it ignores. Only the first one fails, for
/// this reason.
fn fails_alone(stage: Stage, act: &Request, upstream: &Upstream, reason: &str) {
    let gateway = stage.route("/well", &["well"]).start();
    assert_eq!(gateway.get("/act").status, 200, "before");
    let before = gateway.metrics();
    let held = before["windlass_wasm_memory_bytes"];
    let reached = upstream.count();

    let answer = gateway.send(act);
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(answer.code(), "filter_failed");
    assert_eq!(upstream.count(), reached, "it reached the upstream");
    gateway
        .log()
        .wait_for_line(|line| line.contains("filter `actor`") && line.contains(reason));

    assert_eq!(gateway.get("/act").status, 200, "after");
    let well = gateway.get("/well");
    assert_eq!((well.status, well.header("x-well")), (200, Some("yes")));
    let after = gateway.metrics_when("the memory to return", |metrics| {
        metrics["windlass_wasm_memory_bytes"] <= held
    });
    assert_eq!(figure(&after, "failures_total", "actor"), 1.0);
    assert_eq!(figure(&after, "failures_total", "well"), 0.0);
    assert_eq!(figure(&after, "suspended", "actor"), 0.0);
}

/// A stage with an actor on `/act` that acts on requests with `x-act`, behind a filter that works.
fn stage(upstream: &Upstream, keys: &str, settings: &str) -> Stage {
    Stage::new()
        .upstream("main", upstream.address())
        .actor(
            "actor",
            &format!("{NO_BREAKER}\n{keys}\nsettings = {{ when = \"x-act\", {settings} }}"),
        )
        .actor("well", WELL)
        .route("/act", &["well", "actor"])
}

const WELL: &str = r#"settings = { response = [{ set-header = ["response", "x-well", "yes"] }] }"#;

fn acting() -> Request {
    Request::get("/act").header("x-act", "1")
}

/// One test for each thing that a filter must not do in its request phase.
macro_rules! fails_alone {
    ($($name:ident: $step:literal, $reason:literal;)+) => {$(
        #[test]
        fn $name() {
            let upstream = Upstream::text("well");
            let settings = format!("request = [{}]", $step);
            let keys = "limits = { cpu = \"200ms\" }";
            fails_alone(stage(&upstream, keys, &settings), &acting(), &upstream, $reason);
        }
    )+};
}

fails_alone! {
    a_trap: r#""trap""#, "trapped";
    a_panic: r#""panic""#, "trapped";
    taking_memory_without_end: r#""grow-until-refused""#, "limits.memory";
    an_endless_loop: r#""loop""#, "raise `limits.cpu`";
    recursion_without_end: r#""recurse""#, "trapped";
    ending_the_process: r#""exit""#, "exit";
    opening_a_socket: r#"{ connect = "127.0.0.1:9" }"#, "filters do not have";
    sleeping: r#""sleep""#, "cannot sleep";
    calling_the_host_without_end: r#"{ flood-calls = 20000 }"#, "10000 calls";
    an_answer_with_an_impossible_status: "{ respond = { status = 99 } }", "99";
    an_answer_with_an_interim_status: "{ respond = { status = 101 } }", "101";
    an_answer_with_a_line_end_in_a_field:
        r#"{ respond = { status = 200, headers = [["x-a", "1\r\nx-b: 2"]] } }"#, "`x-a`";
    an_answer_with_a_line_end_in_a_name:
        r#"{ respond = { status = 200, headers = [["x-a: 1\r\nx-b", "2"]] } }"#, "field name";
    an_answer_with_a_nul:
        r#"{ respond = { status = 200, headers = [["x-a", "\u0000"]] } }"#, "`x-a`";
    an_answer_that_frames_itself:
        r#"{ respond = { status = 200, headers = [["content-length", "0"]] } }"#, "belongs to the gateway";
    an_answer_that_names_the_connection:
        r#"{ respond = { status = 200, headers = [["connection", "close"]] } }"#, "belongs to the gateway";
    an_upstream_that_is_not_granted: r#"{ route = { upstream = "main" } }"#, "not granted";
    an_interface_that_is_not_granted: r#"{ cache-get = "a" }"#, "not granted";
}

#[test]
fn writing_too_many_lines_to_standard_output_is_bounded() {
    let upstream = Upstream::text("well");
    let settings = "request = [{ flood-print = 5000 }]";
    let gateway = stage(&upstream, "limits = { cpu = \"1s\" }", settings).start();
    assert_ne!(gateway.send(&acting()).status, 0);
    gateway.log().wait_for_line(|line| line.contains("flood "));
    let flood = flood_lines(&gateway);
    assert!(flood <= 100, "{flood} lines");
}

#[test]
fn writing_too_many_lines_to_the_log_is_bounded_and_no_failure() {
    let upstream = Upstream::text("well");
    let settings = "request = [{ flood-log = [1000, 100] }]";
    let gateway = stage(&upstream, "", settings).start();
    assert_eq!(gateway.send(&acting()).status, 200);
    // The log is written on another thread.
    wait::until("the lines that are kept", || {
        (flood_lines(&gateway) >= 64).then_some(())
    });
    assert_eq!(flood_lines(&gateway), 64);
}

fn flood_lines(gateway: &Gateway) -> usize {
    let lines = gateway.log().all();
    lines.iter().filter(|line| line.contains("flood ")).count()
}

#[test]
fn reading_a_file_finds_none() {
    let upstream = Upstream::text("well");
    let settings =
        r#"request = [{ read-file = "/etc/hostname" }, { read-file = "windlass.toml" }, "report"]"#;
    let gateway = stage(&upstream, "", settings).start();
    let report = gateway.send(&acting()).json();
    for file in 0..2 {
        assert!(report[file]["error"].is_string(), "{report}");
    }
}

#[test]
fn a_table_that_grows_without_end_fails_alone() {
    let upstream = Upstream::text("well");
    let grow = "(if (call $is_second) (then
        (loop $again
          (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
        (unreachable)))";
    let more = "(table $t 1 funcref)
        (global $calls (mut i32) (i32.const 0))
        (func $is_second (result i32)
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (i32.eq (global.get $calls) (i32.const 2)))";
    let stage = Stage::new()
        .upstream("main", upstream.address())
        .filter("actor", &forge::filter(grow, more), NO_BREAKER)
        .actor("well", WELL)
        .route("/act", &["well", "actor"]);
    // The first call of the only working instance succeeds, and the second one fails.
    fails_alone(stage, &Request::get("/act"), &upstream, "table");
}

#[test]
fn timers_that_are_kept_are_bounded() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .filter(
            "actor",
            &forge::keeping_timers(100_000),
            &format!("{NO_BREAKER}\nlimits = {{ cpu = \"5s\" }}"),
        )
        .route("/act", &["actor"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "filter_failed")
    );
}

/// The status of a request whose filter waits for a timer of this many nanoseconds, so many times, and the gateway.
fn waited(nanos: u64, times: u32) -> (u16, Gateway) {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .filter("actor", &forge::waiting(nanos, times), NO_BREAKER)
        .route("/act", &["actor"])
        .start();
    (gateway.get("/act").status, gateway)
}

#[test]
fn short_waits_end_at_once() {
    let (status, _gateway) = waited(1_000_000, 4);
    assert_eq!(status, 200);
}

#[test]
fn a_loop_of_short_waits_ends_at_the_cpu_limit() {
    let (status, gateway) = waited(1_000_000, 4_000);
    assert_eq!(status, 500);
    gateway
        .log()
        .wait_for_line(|line| line.contains("filter `actor`") && line.contains("CPU time"));
}

#[test]
fn a_longer_wait_fails() {
    let (status, gateway) = waited(1_000_000_000, 1);
    assert_eq!(status, 500);
    gateway
        .log()
        .wait_for_line(|line| line.contains("a filter cannot sleep"));
}

#[test]
fn edits_that_are_not_http_are_refused_and_not_made() {
    let upstream = Upstream::echo();
    let settings = r#"request = [
        { set-header = ["request", "x-a", "1\r\nx-b: 2"] },
        { set-header = ["request", "x-a", "1\u0000"] },
        { set-header = ["request", "x-a\r\nx-b", "1"] },
        { append-header = ["request", "x-a", "1\n2"] },
        { set-header = ["request", "", "1"] },
        { set-path = "/a HTTP/1.1\r\nx-b: 2" },
        { set-path = "/a\u0000" },
        { set-path = "no-slash" },
        { set-path = "/%zz" },
        { set-path = "/a%00b" },
        { set-authority = "a\r\nx-b: 2" },
        { set-authority = "user@host" },
        { set-method = "GET /a" },
        { set-method = "" },
        { set-header = ["request", "content-length", "1"] },
        { set-header = ["request", "Transfer-Encoding", "chunked"] },
        { set-header = ["request", "connection", "x-a"] },
        { set-header = ["request", "host", "other"] },
        { remove-header = ["request", "host"] },
        { set-header = ["request", "upgrade", "h2c"] },
        { set-header = ["response", "x-a", "1"] },
        { set-status = 201 },
        { replace-piece = "no" },
    ], tell = true"#;
    let gateway = stage(&upstream, "", settings).start();
    assert_eq!(gateway.send(&acting()).status, 200);
    let told = gateway
        .log()
        .wait_for_line(|line| line.contains("request gave"));
    let list = &told[told.find('[').unwrap()..=told.rfind(']').unwrap()];
    let report: Vec<String> =
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{error}: {told}"));
    let (syntax, others) = report.split_at(14);
    assert!(syntax.iter().all(|given| given == "syntax"), "{report:?}");
    let (forbidden, late) = others.split_at(6);
    assert!(
        forbidden.iter().all(|given| given == "forbidden"),
        "{report:?}"
    );
    assert!(late.iter().all(|given| given == "too-late"), "{report:?}");
    let request = upstream.only_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/act")
    );
    assert_eq!(request.header("x-b"), None);
    assert_eq!(request.header("x-a"), None);
    assert_eq!(request.header("host"), Some("gateway.test"));
}

/// The result of one step.
fn given(keys: &str, step: &str) -> serde_json::Value {
    let upstream = Upstream::text("well");
    let gateway = stage(&upstream, keys, &format!("request = [{step}, \"report\"]")).start();
    let answer = gateway.send(&acting());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[0].clone()
}

#[test]
fn a_head_grows_to_its_bound_and_no_further() {
    let many = given(
        "limits = { cpu = \"1s\" }",
        r#"{ flood-fields = ["request", 2000, 1] }"#,
    );
    assert!(
        (1000..=1024).contains(&many["taken"].as_u64().unwrap()),
        "{many}"
    );
    assert_eq!(many["then"], "too-large");
    let large = given("", r#"{ flood-fields = ["request", 100, 4096] }"#);
    assert!(
        (10..=16).contains(&large["taken"].as_u64().unwrap()),
        "{large}"
    );
    assert_eq!(large["then"], "too-large");
}

#[test]
fn attributes_and_notes_grow_to_their_bounds_and_no_further() {
    let allow = r#"allow = { attributes = ["flood.*"] }"#;
    let attributes = given(allow, "{ flood-attributes = [100, 1000] }");
    assert_eq!(
        attributes,
        serde_json::json!({ "taken": 16, "then": "too-large" })
    );
    let notes = given("", "{ flood-notes = [100, 1000] }");
    assert_eq!(
        notes,
        serde_json::json!({ "taken": 4, "then": "too-large" })
    );
}

#[test]
fn attributes_of_the_host_and_those_not_granted_are_forbidden() {
    let allow = r#"allow = { attributes = ["consumer.*"] }"#;
    for (name, expected) in [
        ("consumer.id", "ok"),
        ("auth.claims", "forbidden"),
        ("client.ip", "forbidden"),
        ("outcome.status", "forbidden"),
        ("route.id", "forbidden"),
    ] {
        let step = format!(r#"{{ set-attribute = ["{name}", {{ text = "x" }}] }}"#);
        assert_eq!(given(allow, &step), expected, "{name}");
    }
}

#[test]
fn a_filter_that_waits_for_the_body_without_a_phase_for_it_fails_alone() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .filter("actor", crate::stage::HEADSTRONG, NO_BREAKER)
        .actor("well", WELL)
        .route("/act", &["actor"])
        .route("/well", &["well"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "filter_failed")
    );
    assert_eq!(upstream.count(), 0);
    assert_eq!(gateway.get("/well").status, 200);
    assert_eq!(figure(&gateway.metrics(), "failures_total", "actor"), 1.0);
}

/// Send a body to a filter. This request fails with a status and a code, and the next one succeeds.
fn body_fails_alone(settings: &str, size: usize, status: u16, code: &str) -> Gateway {
    let upstream = Upstream::text("well");
    let keys = "limits = { body = \"64KiB\" }";
    let gateway = stage(&upstream, keys, settings).start();
    let request = Request::post("/act", vec![b'x'; size]).header("x-act", "1");
    for request in [request.clone(), request.chunked()] {
        let answer = gateway.send(&request);
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    let answer = gateway.client().post("/act", "a body that is let through");
    assert_eq!(answer.status, 200);
    gateway
}

#[test]
fn a_body_filter_that_always_wants_more_is_stopped_at_its_bound() {
    let settings = r#"request = ["chunks"], request-body = ["more"]"#;
    body_fails_alone(settings, 1 << 20, 413, "body_too_large");
}

#[test]
fn a_body_filter_that_never_ends_fails_alone() {
    for mode in [r#""chunks""#, "{ whole = 65536 }"] {
        let settings = format!(r#"request = [{mode}], request-body = ["loop"]"#);
        body_fails_alone(&settings, 1000, 500, "filter_failed");
    }
}

#[test]
fn a_body_filter_that_traps_fails_alone() {
    for mode in [r#""chunks""#, "{ whole = 65536 }"] {
        let settings = format!(r#"request = [{mode}], request-body = ["trap"]"#);
        body_fails_alone(&settings, 1000, 500, "filter_failed");
    }
}

#[test]
fn a_piece_grows_to_its_bound_and_no_further() {
    let upstream = Upstream::echo();
    let settings =
        r#"request = [{ whole = 65536 }], request-body = [{ flood-piece = 70000 }], tell = true"#;
    let gateway = stage(&upstream, "limits = { body = \"64KiB\" }", settings).start();
    let answer = gateway.send(&Request::post("/act", "x").header("x-act", "1"));
    assert_eq!(answer.status, 200);
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"request-body gave ["too-large"]"#));
    assert_eq!(upstream.only_request().length, 1);
}

#[test]
fn a_response_filter_that_fails_answers_in_the_place_of_the_response() {
    let upstream = Upstream::text("a secret that must not pass");
    for step in ["trap", "loop", "recurse", "grow-until-refused"] {
        let gateway = stage(&upstream, "", &format!("response = [\"{step}\"]")).start();
        let answer = gateway.send(&acting());
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (500, "filter_failed"),
            "{step}"
        );
        assert!(!answer.text().contains("secret"));
        assert_eq!(
            answer.header("x-well"),
            Some("yes"),
            "the filter before it is in the way back"
        );
        assert_eq!(gateway.get("/act").text(), "a secret that must not pass");
    }
}

#[test]
fn a_response_body_filter_that_fails_never_lets_the_body_through() {
    let upstream = Upstream::text("a secret that must not pass");
    for (mode, step) in [
        ("{ whole = 65536 }", "trap"),
        ("{ whole = 65536 }", "loop"),
        ("\"chunks\"", "trap"),
        ("\"chunks\"", "loop"),
    ] {
        let settings = format!("response = [{mode}], response-body = [\"{step}\"]");
        let gateway = stage(&upstream, "", &settings).start();
        match gateway.client().try_send(&acting()) {
            Ok(answer) => {
                assert_eq!(answer.status, 500, "{mode} {step}");
                assert!(!answer.text().contains("secret"));
            }
            // The head was sent with the first chunk, so the connection breaks.
            Err(error) => assert_eq!(mode, "\"chunks\"", "{step}: {error}"),
        }
        assert_eq!(gateway.get("/act").text(), "a secret that must not pass");
    }
}

#[test]
fn a_log_filter_that_fails_changes_nothing() {
    let upstream = Upstream::text("well");
    for step in ["trap", "loop"] {
        let gateway = stage(&upstream, "", &format!("log = [\"{step}\"]")).start();
        let mut client = gateway.client();
        for _ in 0..3 {
            assert_eq!(client.send(&acting()).text(), "well");
        }
        gateway.metrics_when("the failures", |metrics| {
            figure(metrics, "failures_total", "actor") == 3.0
        });
    }
}

#[test]
fn every_call_of_an_isolated_filter_may_fail_and_its_memory_returns() {
    let upstream = Upstream::text("well");
    let gateway = stage(&upstream, "isolation = \"request\"", "request = [\"trap\"]").start();
    assert_eq!(gateway.get("/act").status, 200);
    let held = gateway.metrics()["windlass_wasm_memory_bytes"];
    for _ in 0..10 {
        assert_eq!(gateway.send(&acting()).status, 500);
    }
    assert_eq!(gateway.get("/act").status, 200);
    // The worker has one or two instances at any moment; without the cleanup there would be ten.
    let metrics = gateway.metrics_when("the memory to return", |metrics| {
        metrics["windlass_wasm_memory_bytes"] <= 2.0 * held
    });
    assert_eq!(figure(&metrics, "failures_total", "actor"), 10.0);
}

/// Wait this many milliseconds.
fn pass(milliseconds: u64) {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(milliseconds);
    windlass_tests::wait::until("the clock to move on", || {
        (std::time::Instant::now() >= end).then_some(())
    });
}

#[test]
fn a_filter_is_held_to_processor_time_and_not_to_the_clock_on_the_wall() {
    let upstream = Upstream::text("well");
    let settings = r#"request = [{ log = ["info", "it begins"] }, { spin-until-passed = 4000 }]"#;
    let gateway = stage(&upstream, "limits = { cpu = \"1s\" }", settings).start();
    // While the process runs, the filter uses up its CPU time.
    assert_eq!(gateway.send(&acting()).code(), "filter_failed");
    gateway
        .log()
        .wait_for_line(|line| line.contains("CPU time"));
    // Now the process is stopped while the wall clock moves on.
    let seen = gateway.log().count();
    let mut client = gateway.client();
    client.send_raw(acting().bytes());
    gateway
        .log()
        .wait_from(seen, |line| line.contains("it begins"));
    // The filter reads the clock only after it logs this line. Stopped before, it would start its
    // wait after it continues.
    pass(200);
    gateway.signal(rustix::process::Signal::STOP);
    pass(4100);
    gateway.signal(rustix::process::Signal::CONT);
    assert_eq!(client.read_response().status, 200);
}
