//! With `on_error = "skip"`, a filter that fails is left out of the request, and its earlier edits
//! are undone.

use windlass_tests::{Request, Upstream};

use crate::stage::{HEADSTRONG, Stage, figure};

const KEYS: &str = r#"
on_error = "skip"
breaker  = { failures = 1000000 }
allow    = { attributes = ["fact.*"] }
"#;

/// These steps, and then a trap.
fn falls(phase: &str, before: &str) -> String {
    format!("{KEYS}\nsettings = {{ {before}, {phase} }}")
}

#[test]
fn the_edits_of_a_request_are_undone() {
    let upstream = Upstream::echo();
    let falls = r#"settings = { request = [
        { set-header = ["request", "x-kept", "changed"] },
        { append-header = ["request", "x-kept", "added"] },
        { set-header = ["request", "x-new", "1"] },
        { remove-header = ["request", "x-gone"] },
        { set-method = "DELETE" },
        { set-path = "/elsewhere?a=b" },
        { set-authority = "other.test" },
        { set-attribute = ["fact.a", { text = "changed" }] },
        { set-attribute = ["fact.b", { flag = true }] },
        "trap",
    ] }"#;
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("first", r#"allow = { attributes = ["fact.*"] }
            settings = { request = [{ set-attribute = ["fact.a", { text = "first" }] }] }"#)
        .actor("falls", &format!("{KEYS}\n{falls}"))
        .actor("last", r#"settings = { tell = true, request = [{ attribute = "fact.a" }, { attribute = "fact.b" }] }"#)
        .route("/act", &["first", "falls", "last"])
        .start();
    let request = Request::get("/act?x=1")
        .header("x-kept", "one")
        .header("x-kept", "two")
        .header("x-gone", "here");
    assert_eq!(gateway.send(&request).status, 200);
    let sent = upstream.only_request();
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("GET", "/act?x=1")
    );
    assert_eq!(sent.head.all("x-kept").collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(sent.header("x-gone"), Some("here"));
    assert_eq!(sent.header("x-new"), None);
    assert_eq!(sent.header("host"), Some("gateway.test"));
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"request gave ["first",null]"#));
}

#[test]
fn the_edits_of_a_response_are_undone() {
    let upstream = Upstream::text("the body");
    let keys = falls(
        r#"response = [{ set-header = ["response", "x-new", "1"] }, { set-status = 404 }, "trap"]"#,
        r#"request = [{ set-note = ["a", "1"] }]"#,
    );
    let gateway = Stage::of_one_actor(&upstream, &keys).start();
    let answer = gateway.get("/act");
    assert_eq!((answer.status, answer.text()), (200, "the body"));
    assert_eq!(answer.header("x-new"), None);
}

#[test]
fn the_edits_of_a_body_are_undone_and_its_framing_kept() {
    for mode in ["{ whole = 65536 }", "\"chunks\""] {
        let upstream = Upstream::echo();
        let keys = falls(
            r#"request-body = [{ prepend-piece = "a" }, { replace-piece = "b" }, { set-header = ["trailers", "x-t", "1"] }, "trap"]"#,
            &format!("request = [{mode}]"),
        );
        let gateway = Stage::of_one_actor(&upstream, &keys).start();
        assert_eq!(
            gateway.client().post("/act", "the body").status,
            200,
            "{mode}"
        );
        assert_eq!(upstream.only_request().body, b"the body", "{mode}");
        assert!(upstream.only_request().trailers.is_empty(), "{mode}");
    }
}

#[test]
fn a_body_passes_a_skipped_filter_in_many_pieces() {
    let upstream = Upstream::bytes(3 << 20);
    let keys = falls(r#"response-body = ["trap"]"#, r#"response = ["chunks"]"#);
    let gateway = Stage::of_one_actor(&upstream, &keys).start();
    let answer = gateway.get("/act");
    assert_eq!((answer.status, answer.length), (200, 3 << 20));
}

#[test]
fn a_filter_that_wants_a_body_it_has_no_phase_for_is_skipped_whole() {
    let upstream = Upstream::echo();
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .filter("headstrong", HEADSTRONG, KEYS)
        .route("/act", &["headstrong"])
        .start();
    assert_eq!(gateway.get("/act").status, 200);
    assert_eq!(upstream.only_request().header("x-headstrong"), None);
}

#[test]
fn a_hint_of_a_filter_that_fails_is_none() {
    let (main, other) = (Upstream::text("main"), Upstream::text("other"));
    let settings = r#"settings = { request = [{ route = { upstream = "main" } }] }"#;
    let gateway = Stage::new()
        .upstream("main", main.address())
        .upstream("other", other.address())
        .actor(
            "hints",
            &format!("on_error = \"skip\"\nallow = {{ upstreams = [\"other\"] }}\n{settings}"),
        )
        .route("/act", &["hints"])
        .start();
    assert_eq!(gateway.get("/act").text(), "main");
    assert_eq!(other.count(), 0);
}

#[test]
fn a_filter_that_others_depend_on_cannot_be_skipped() {
    let upstream = Upstream::text("well");
    let checked = Stage::new()
        .upstream("main", upstream.address())
        .actor(
            "gives",
            r#"on_error = "skip"
            settings = { provides = ["fact.a"] }"#,
        )
        .actor("needs", r#"settings = { requires = ["fact.a"] }"#)
        .route("/act", &["gives", "needs"])
        .builder()
        .check();
    assert_eq!(checked.code, Some(2));
    assert!(
        checked
            .errors
            .contains("set `on_error = \"deny\"` for `gives`"),
        "{}",
        checked.errors
    );
}

/// A filter that reports that it could not do its work. The SDKs of all languages can do this.
#[test]
fn a_filter_that_reports_a_failure_is_skipped_and_its_edits_undone() {
    let upstream = Upstream::echo();
    let edit = r#"{ set-header = ["request", "x-new", "1"] }"#;
    for end in [
        r#"{ fail = "no luck" }"#,
        r#"{ respond = { status = 500, reason = "filter_failed", body = "no luck" } }"#,
        r#"{ respond = { status = 418, reason = "filter_failed" } }"#,
    ] {
        let before = upstream.count();
        let gateway = Stage::of_one_actor(
            &upstream,
            &format!("{KEYS}\nsettings = {{ request = [{edit}, {end}] }}"),
        )
        .start();
        for _ in 0..3 {
            assert_eq!(gateway.get("/act").status, 200, "{end}");
        }
        assert_eq!(upstream.count(), before + 3);
        assert_eq!(
            upstream.received().last().unwrap().header("x-new"),
            None,
            "{end}"
        );
        let metrics = gateway.metrics();
        assert_eq!(figure(&metrics, "failures_total", "actor"), 3.0, "{end}");
        let made = figure(&metrics, "instances_total", "actor");
        assert!(made <= 3.0, "{made} instances: a whole one was given up");
        gateway
            .log()
            .wait_for_line(|line| line.contains("could not do its work"));
    }
}

#[test]
fn a_reported_failure_in_any_phase_is_skipped() {
    let upstream = Upstream::echo();
    for settings in [
        r#"request = [{ whole = 1000 }], request-body = [{ replace-piece = "no" }, { fail = "no luck" }]"#,
        r#"request = ["chunks"], request-body = [{ replace-piece = "no" }, { fail = "no luck" }]"#,
        r#"response = [{ set-status = 201 }, { fail = "no luck" }]"#,
        r#"response = [{ whole = 1000 }], response-body = [{ replace-piece = "no" }, { fail = "no luck" }]"#,
    ] {
        let gateway =
            Stage::of_one_actor(&upstream, &format!("{KEYS}\nsettings = {{ {settings} }}")).start();
        let answer = gateway.send(&Request::post("/act", "the body"));
        assert_eq!(
            (answer.status, answer.text().contains("no luck")),
            (200, false),
            "{settings}"
        );
        assert_eq!(
            upstream.received().last().unwrap().body,
            b"the body",
            "{settings}"
        );
    }
}

#[test]
fn a_reported_failure_that_is_denied_is_the_gateways_answer() {
    let upstream = Upstream::echo();
    let keys = "settings = { request = [{ fail = \"a secret of the filter\" }] }";
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    for _ in 0..5 {
        let answer = gateway.get("/act");
        assert_eq!(
            (answer.status, answer.code()),
            (500, "filter_failed".into())
        );
        assert!(!answer.text().contains("a secret"), "{}", answer.text());
    }
    // The breaker counts these failures as it counts traps.
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code()),
        (503, "filter_suspended".into())
    );
    assert_eq!(upstream.count(), 0);
}
