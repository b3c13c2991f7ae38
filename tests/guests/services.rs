//! The host interfaces beside the exchange: log, metrics, cache, keys, limits, crypto.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use windlass_tests::{Gateway, RedisServer, Request, Upstream, key_digest, sha256};

use crate::stage::Stage;

/// The report of these steps, on a stage with further configuration.
fn given(stage: Stage, interface: &str, more: &str, steps: &str) -> (Gateway, Value) {
    let gateway = reporting(stage, interface, more, steps);
    let answer = gateway.get("/act");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = answer.json();
    (gateway, report)
}

fn reporting(stage: Stage, interface: &str, more: &str, steps: &str) -> Gateway {
    let keys = format!(
        "allow = {{ interfaces = [\"{interface}\"] {more} }}\nsettings = {{ request = [{steps}, \"report\"] }}"
    );
    stage
        .actor("actor", &keys)
        .lines("[[route]]\npath = \"/act\"\nfilters = [\"actor\"]\nrespond = { status = 200 }")
        .start()
}

#[test]
fn a_line_is_marked_with_the_filter_and_the_request() {
    let upstream = Upstream::text("well");
    let steps = r#"{ log = ["warn", "look here"] }, { log = ["debug", "not here"] },
        { log-enabled = "error" }, { log-enabled = "debug" }, { print = "from stdout" }, { attribute = "request.id" }"#;
    let gateway = Stage::of_one_actor(
        &upstream,
        &format!("settings = {{ request = [{steps}, \"report\"] }}"),
    )
    .start();
    let report = gateway.get("/act").json();
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("look here"));
    assert!(
        line.contains("WARN")
            && line.contains("actor")
            && line.contains(r#"fields={"from": "actor"}"#),
        "{line}"
    );
    assert!(line.contains(report[5].as_str().unwrap()), "{line}");
    assert_eq!([&report[2], &report[3]], [&json!(true), &json!(false)]);
    gateway
        .log()
        .wait_for_line(|line| line.contains("from stdout") && line.contains("actor"));
    assert!(!gateway.log().text().contains("not here"));
}

#[test]
fn bounds_of_a_filter_are_defined_once_and_taken_from_together() {
    let keys = r#"allow = { interfaces = ["rates"] }
settings = { configure = [{ define-rates = ["a", "b"] }], request = [{ take-rates = 1 }, { take-rates = 0 }, { take-rates = 2 }, { take-rates = 1 }, "report"] }"#;
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    let report = gateway.get("/act").json();
    let told = |outcome: &str, by: u64, left: u64| json!({ "outcome": outcome, "by": by, "left": [[0, left], [1, left]] });
    assert_eq!(
        report,
        json!([
            told("Outcome::Allowed", 0, 1),
            told("Outcome::Allowed", 0, 1),
            told("Outcome::Refused", 3, 1),
            told("Outcome::Allowed", 0, 0),
        ])
    );
}

/// Otherwise a plugin could count one bucket by two measures, or have limits that were never checked.
#[test]
fn bounds_that_a_filter_cannot_have_are_refused_when_it_is_loaded() {
    let seventeen = (0..17).map(|number| format!("\"b-{number}\""));
    let seventeen = seventeen.collect::<Vec<_>>().join(", ");
    for (steps, why) in [
        (
            format!("{{ define-rates = [{seventeen}] }}"),
            "called `rates.define` with more than 16 bounds",
        ),
        (
            r#"{ define-rates = ["a", "b", "a"] }"#.to_owned(),
            "called `rates.define` with two bounds of the name `a`",
        ),
        (
            r#"{ define-rates = ["a"] }, { define-rates = ["b"] }"#.to_owned(),
            "called `rates.define` twice",
        ),
    ] {
        let keys = format!(
            "allow = {{ interfaces = [\"rates\"] }}\nsettings = {{ configure = [{steps}] }}"
        );
        let upstream = Upstream::text("well");
        let checked = Stage::of_one_actor(&upstream, &keys).builder().check();
        assert_eq!(checked.code, Some(2), "{}", checked.errors);
        assert!(checked.errors.contains(why), "{why}: {}", checked.errors);
    }
}

#[test]
fn bounds_without_the_grant_are_refused_when_the_filter_is_loaded() {
    let keys = "settings = { configure = [{ define-rates = [\"a\"] }] }\non_error = \"skip\"";
    let upstream = Upstream::text("well");
    let checked = Stage::of_one_actor(&upstream, keys).builder().check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    let why = "called `rates.define`, which it is not granted: add `interfaces = [\"rates\"]` to its `allow`";
    assert!(checked.errors.contains(why), "{}", checked.errors);
}

#[test]
fn a_request_defines_no_bounds_and_takes_from_none() {
    for (step, why) in [
        (r#"{ define-rates = ["a"] }"#, "outside of `configure`"),
        ("{ take-rates = 1 }", "without bounds"),
    ] {
        let keys =
            format!("allow = {{ interfaces = [\"rates\"] }}\nsettings = {{ request = [{step}] }}");
        let upstream = Upstream::text("well");
        let gateway = Stage::of_one_actor(&upstream, &keys).start();
        let answer = gateway.get("/act");
        assert_eq!((answer.status, &*answer.code()), (500, "filter_failed"));
        gateway.log().wait_for_line(|line| line.contains(why));
        assert_eq!(upstream.count(), 0);
    }
}

#[test]
fn a_filter_that_finds_no_room_for_an_edit_fails_and_is_not_suspended() {
    let keys = "breaker = { failures = 1 }\nsettings = { request = [{ flood-fields = [\"request\", 100, 4096] }, { fail = \"no room\" }] }";
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    for _ in 0..3 {
        let answer = gateway.get("/act");
        assert_eq!((answer.status, &*answer.code()), (500, "filter_failed"));
    }
    let keys = "breaker = { failures = 1 }\nsettings = { request = [{ fail = \"no reason\" }] }";
    let suspended = Stage::of_one_actor(&upstream, keys).start();
    assert_eq!(suspended.get("/act").code(), "filter_failed");
    assert_eq!(suspended.get("/act").code(), "filter_suspended");
}

#[test]
fn a_line_that_is_too_long_is_cut() {
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(
        &upstream,
        "settings = { request = [{ flood-log = [1, 100000] }] }",
    )
    .start();
    assert_eq!(gateway.get("/act").status, 200);
    let line = gateway.log().wait_for_line(|line| line.contains("flood 0"));
    assert!((8_000..9_000).contains(&line.len()), "{}", line.len());
}

#[test]
fn a_line_cannot_forge_another() {
    let upstream = Upstream::text("well");
    let keys =
        r#"settings = { request = [{ log = ["info", "one\nERROR two\r\u001b[31mthree"] }] }"#;
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    assert_eq!(gateway.get("/act").status, 200);
    let line = gateway.log().wait_for_line(|line| line.contains("three"));
    assert!(line.contains("one") && line.contains("two"), "{line:?}");
    assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
}

#[test]
fn series_are_in_the_metrics() {
    let steps = r#"{ count = ["gold", 2.0] }, { count = ["gold", 1.0] }, { count = ["plain", 1.0] },
        { count = ["gold", -5.0] }, { gauge = 3.0 }, { gauge = -1.0 }, { observe = 0.02 }, { observe = 0.3 }, { observe = 99.0 }"#;
    let (gateway, _) = given(Stage::new(), "metrics", "", steps);
    let metrics = gateway.metrics();
    let seen = |tier| {
        metrics.with(
            "windlass_filter_seen_total",
            &[("filter", "actor"), ("tier", tier)],
        )
    };
    assert_eq!((seen("gold"), seen("plain")), (3.0, 1.0));
    assert_eq!(
        metrics.with("windlass_filter_open", &[("filter", "actor")]),
        2.0
    );
    let bucket = |le| {
        metrics.with(
            "windlass_filter_wait_seconds_bucket",
            &[("filter", "actor"), ("le", le)],
        )
    };
    assert_eq!(
        (
            bucket("0.01"),
            bucket("0.025"),
            bucket("0.5"),
            bucket("+Inf")
        ),
        (0.0, 1.0, 2.0, 3.0)
    );
    assert_eq!(metrics["windlass_filter_wait_seconds_count"], 3.0);
    assert!((metrics["windlass_filter_wait_seconds_sum"] - 99.32).abs() < 1e-9);
}

#[test]
fn label_values_are_bounded() {
    let (gateway, _) = given(Stage::new(), "metrics", "", "{ flood-labels = 1000 }");
    let by = gateway.metrics().by("windlass_filter_seen_total", "tier");
    assert_eq!(by.len(), 257);
    assert_eq!(by["other"], 744.0);
}

#[test]
fn the_cache_keeps_forgets_and_counts() {
    let steps = r#"{ cache-get = "a" }, { cache-put = ["a", "1", 60000] }, { cache-get = "a" }, { cache-delete = "a" },
        { cache-get = "a" }, { cache-increment = ["n", 5, 60000] }, { cache-increment = ["n", -2, 60000] },
        { cache-put = ["zero", "1", 0] }, { cache-get = "zero" }"#;
    let (_gateway, report) = given(Stage::new(), "cache", "", steps);
    assert_eq!(
        report.as_array().unwrap()[..7],
        [
            json!(null),
            json!(true),
            json!("1"),
            json!(null),
            json!(null),
            json!(5),
            json!(3)
        ]
    );
    assert_eq!(report[8], json!(null), "a time of nothing keeps nothing");
}

#[test]
fn what_is_in_the_cache_ends() {
    let steps = r#"{ cache-increment = ["n", 1, 200] }"#;
    let gateway = reporting(Stage::new(), "cache", "", steps);
    assert_eq!(gateway.get("/act").json(), json!([1]));
    assert_eq!(gateway.get("/act").json(), json!([2]));
    windlass_tests::wait::until("the number to end", || {
        (gateway.get("/act").json() == json!([1])).then_some(())
    });
}

#[test]
fn the_cache_is_shared_by_instances_and_private_to_the_name() {
    let upstream = Upstream::text("well");
    let keys = r#"isolation = "request"
        allow = { interfaces = ["cache"] }
        settings = { request = [{ cache-increment = ["n", 1, 60000] }, "report"] }"#;
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("one", keys)
        .actor("two", keys)
        .route("/one", &["one"])
        .route("/two", &["two"])
        .start();
    for count in 1..=3 {
        assert_eq!(gateway.get("/one").json(), json!([count]));
    }
    assert_eq!(gateway.get("/two").json(), json!([1]));
}

#[test]
fn keys_are_found_by_what_is_presented() {
    let key = |id: &str, value: &str, more: &str| {
        format!(
            "[[key]]\nid = \"{id}\"\nconsumer = \"acme\"\ndigest = \"{}\"\n{more}",
            key_digest(value)
        )
    };
    let stage = Stage::new()
        .lines("[plan.gold]\nrate = 5.0")
        .lines(&key(
            "good",
            "good-value",
            "plan = \"gold\"\nattributes = { tier = \"first\" }",
        ))
        .lines(&key("off", "off-value", "enabled = false"))
        .lines(&key("old", "old-value", "expires = 2020-01-01T00:00:00Z"));
    let steps = r#"{ find-key = "good-value" }, { find-key = "off-value" }, { find-key = "old-value" }, { find-key = "" }, { find-key = "good-valu" }"#;
    let (_gateway, report) = given(stage, "keys", "", steps);
    assert_eq!(
        report,
        json!([
            { "id": "good", "consumer": "acme", "plan": "gold", "attributes": [["tier", "first"]] },
            { "error": "disabled" },
            { "error": "expired" },
            { "error": "unknown" },
            { "error": "unknown" },
        ])
    );
}

#[test]
fn limits_of_a_plan_are_taken_and_given_back() {
    let stage = Stage::new()
        .lines("[plan.small]\nrate = 0.001\nburst = 3\nquota = { limit = 10, period = \"day\" }");
    let steps = r#"{ take = ["small", "acme", 2] }, { take = ["small", "acme", 2] }, { take = ["small", "other", 3] },
        { take = ["none", "acme", 1] }, { take = ["small", "acme", 1] }, "give-back", "give-back", { give-back-ticket = 999 },
        { take = ["small", "acme", 1] }, { take = ["small", "acme", 1] }"#;
    let (_gateway, report) = given(stage, "limits", "", steps);
    let allowed: Vec<_> = [0, 1, 2, 4, 8, 9]
        .map(|n| report[n]["allowed"].clone())
        .to_vec();
    assert_eq!(allowed, [true, false, true, true, true, false], "{report}");
    assert_eq!(report[3], json!(null), "there is no such plan");
    assert_eq!(
        (&report[0]["rate"]["limit"], &report[0]["rate"]["remaining"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        (
            &report[0]["quota"]["limit"],
            &report[0]["quota"]["remaining"]
        ),
        (&json!(10), &json!(8))
    );
    assert_eq!(
        (&report[1]["refused-by"], &report[1]["ticket"]),
        (&json!("Bound::Plan"), &json!(false))
    );
    assert!(report[1]["retry-after"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(
        report[1]["quota"]["remaining"],
        json!(8),
        "a refusal takes nothing"
    );
}

#[test]
fn a_charge_takes_key_and_plan_from_the_exchange() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .lines("[plan.small]\nrate = 0.001\nburst = 3\n[plan.large]\nrate = 0.001\nburst = 30")
        .upstream("main", upstream.address())
        .actor(
            "charges",
            r#"allow = { interfaces = ["limits"], attributes = ["api-key.id", "plan.id"] }
            settings = { tell = true, request = [
                "standing", { charge = ["small", 1] },
                { set-attribute = ["api-key.id", { number = 7 }] }, { charge = ["small", 1] },
                { set-attribute = ["api-key.id", { text = "acme" }] }, { charge = ["", 1] },
                { set-attribute = ["plan.id", { text = "none" }] }, { charge = ["", 1] },
                { set-attribute = ["plan.id", { text = "small" }] }, { charge = ["", 2] },
                { charge = ["large", 2] }, { charge = ["", 2] }, { charge = ["", 1] }, "standing",
            ], response = ["standing"] }"#,
        )
        .actor(
            "asks",
            r#"allow = { interfaces = ["limits"] }
            settings = { request = [{ take = ["small", "acme", 0] }, "standing", "report"] }"#,
        )
        .actor(
            "other",
            r#"allow = { interfaces = ["limits"] }
            settings = { tell = true, response = ["standing"] }"#,
        )
        .route("/act", &["other", "charges", "asks"])
        .start();
    let report = gateway.get("/act").json();
    assert_eq!(report[0]["rate"]["remaining"], 0, "the two share a bucket");
    assert_eq!(report[1]["rate"], report[0]["rate"]);
    let told = |filter: &str, what: &str| {
        let filter = format!("filter=\"{filter}\"");
        let line = gateway
            .log()
            .wait_for_line(|line| line.contains(what) && line.contains(&filter));
        let json = line.split(what).nth(1).unwrap();
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        values.next().unwrap().unwrap()
    };
    let request = told("charges", "request gave ");
    let why = |place: usize| request[place]["uncharged"].as_str().unwrap_or_default();
    assert_eq!(request[0], json!(null));
    assert_eq!(
        [1, 3, 5, 7].map(why),
        ["no-key", "no-key", "no-plan", "unknown-plan"],
        "{request}"
    );
    let remaining = |place: usize| {
        (
            request[place]["allowed"].clone(),
            request[place]["rate"]["remaining"].clone(),
        )
    };
    assert_eq!(remaining(9), (json!(true), json!(1)));
    assert_eq!(remaining(10), (json!(true), json!(28)));
    assert_eq!(remaining(11), (json!(false), json!(1)));
    assert_eq!(remaining(12), (json!(true), json!(0)));
    assert_eq!(request[13]["rate"], request[12]["rate"]);
    // Each position in the chain has its own decision.
    assert_eq!(
        told("charges", "response gave ")[0]["rate"],
        request[12]["rate"]
    );
    assert_eq!(told("other", "response gave "), json!([null]));
}

#[test]
fn a_key_becomes_facts_of_the_exchange_or_nothing() {
    let lines = format!(
        "[plan.gold]\nrate = 5.0\n[[key]]\nid = \"good\"\nconsumer = \"acme\"\nplan = \"gold\"\ndigest = \"{}\"\nattributes = {{ tier = \"first\" }}",
        key_digest("open sesame")
    );
    let steps = r#"{ identify = "wrong" }, { attribute = "consumer.id" }, { identify = "open sesame" },
        { attribute = "consumer.id" }, { attribute = "api-key.id" }, { attribute = "plan.id" },
        { attribute = "api-key.tier" }, { attribute = "auth.method" }"#;
    let stage = |attributes: &str| {
        given(
            Stage::new().lines(&lines),
            "keys",
            &format!(", attributes = [{attributes}]"),
            steps,
        )
    };
    let (_gateway, report) = stage(r#""consumer.*", "api-key.*", "plan.*", "auth.*""#);
    assert_eq!(
        report,
        json!([{ "rejected": "unknown" }, null, "ok", "acme", "good", "gold", "first", "api-key"])
    );
    // One attribute is not granted, so none is set.
    let (_gateway, report) = stage(r#""consumer.*", "api-key.*", "auth.*""#);
    assert_eq!(
        report,
        json!([{ "rejected": "unknown" }, null,
            "forbidden", null, null, null, null, null])
    );
}

#[test]
fn a_key_in_a_field_is_hidden_and_identified_or_neither() {
    let lines = format!(
        "[[key]]\nid = \"good\"\nconsumer = \"acme\"\ndigest = \"{}\"",
        key_digest("open sesame")
    );
    let steps = r#"{ identify-field = "x-key" }, { header = ["request", "x-key"] }, { attribute = "consumer.id" }, "report""#;
    let allow = r#"allow = { interfaces = ["keys"], attributes = ["consumer.*", "api-key.*", "auth.*", "plan.*"] }"#;
    let report = |phase: &str, key: &str| {
        let keys = format!("{allow}\nsettings = {{ {phase} = [{steps}] }}");
        let upstream = Upstream::text("well");
        let stage = Stage::of_one_actor(&upstream, &keys).lines(&lines);
        let request = Request::new("GET", "/act").header("x-key", key);
        stage.start().send(&request).json()
    };
    let cases = [
        ("request", "open sesame", json!(["ok", null, "acme"])),
        ("request", "", json!(["missing", "", null])),
        (
            "request",
            "wrong",
            json!([{ "rejected": "unknown" }, "wrong", null]),
        ),
        // The request's head can no longer be edited, so the key is not accepted.
        (
            "response",
            "open sesame",
            json!(["too-late", "open sesame", null]),
        ),
    ];
    for (phase, key, told) in cases {
        assert_eq!(report(phase, key), told, "{phase} {key}");
    }
}

#[test]
fn a_spent_quota_says_so() {
    let stage = Stage::new().lines("[plan.small]\nquota = { limit = 2, period = \"month\" }");
    let steps = r#"{ take = ["small", "acme", 2] }, { take = ["small", "acme", 1] }"#;
    let (_gateway, report) = given(stage, "limits", "", steps);
    assert_eq!(
        (&report[1]["allowed"], &report[1]["refused-by"]),
        (&json!(false), &json!("Bound::Quota"))
    );
    assert_eq!(report[1]["rate"], json!(null));
}

/// A plan whose quota several gateways share.
fn shared(redis: &RedisServer) -> Stage {
    Stage::new().lines(&format!(
        "[store]\nurl = \"{}\"\n[plan.small]\nquota = {{ limit = 10, period = \"month\" }}",
        redis.url()
    ))
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_phase_that_finds_no_share_is_undone_and_runs_again_once_it_is_known() {
    let redis = RedisServer::forgetful();
    let steps = r#"{ take = ["small", "acme", 2] }, { set-attribute = ["mark", { text = "first" }] },
        { take = ["small", "other", 3] }, { attribute = "mark" }, { take = ["small", "acme", 1] }"#;
    let more = r#", attributes = ["mark"]"#;
    let (gateway, report) = given(shared(&redis), "limits", more, steps);
    let remaining: Vec<_> = [0, 2, 4]
        .map(|n| report[n]["quota"]["remaining"].clone())
        .to_vec();
    // The quota that the phase took before it was undone was returned.
    assert_eq!(remaining, [8, 7, 7], "{report}");
    assert_eq!(report[3], json!("first"));
    // This is not a failure of the filter.
    let failures = crate::stage::figure(&gateway.metrics(), "failures_total", "actor");
    assert_eq!(failures, 0.0);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_share_that_cannot_be_known_is_unavailable_and_no_failure() {
    let mut redis = RedisServer::forgetful();
    let stage = shared(&redis);
    redis.kill();
    let (_gateway, report) = given(stage, "limits", "", r#"{ take = ["small", "acme", 1] }"#);
    assert_eq!(
        (&report[0]["allowed"], &report[0]["refused-by"]),
        (&json!(false), &json!("Bound::Unavailable"))
    );
}

#[test]
fn a_bucket_of_the_filters_own_is_taken_from() {
    let steps = r#"{ take-inline = ["a", 2, 3, 0.001] }, { take-inline = ["a", 2, 3, 0.001] }, { take-inline = ["b", 3, 3, 0.001] },
        { take-inline = ["c", 1, 0, 1.0] }, { take-inline = ["d", 1, 1, 0.0] }, { take-inline = ["e", 1, 1, -1.0] }"#;
    let (_gateway, report) = given(Stage::new(), "limits", "", steps);
    let allowed: Vec<_> = report
        .as_array()
        .unwrap()
        .iter()
        .map(|given| given["allowed"].clone())
        .collect();
    assert_eq!(
        allowed,
        [true, false, true, false, false, false],
        "{report}"
    );
}

#[test]
fn digests_are_those_of_the_standard() {
    let (_gateway, report) = given(
        Stage::new(),
        "crypto",
        "",
        r#"{ digest = ["sha256", "abc"] }, { digest = ["sha384", "abc"] }, { digest = ["sha512", ""] }"#,
    );
    assert_eq!(report[0], sha256(b"abc"));
    // Examples from FIPS 180-4, the secure hash standard.
    assert_eq!(
        report[1],
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    );
    assert!(
        report[2]
            .as_str()
            .unwrap()
            .starts_with("cf83e1357eefb8bdf1542850d66d8007")
    );
}

/// The HMAC of a text in hex.
fn tag(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn secrets_sign_and_verify_and_are_never_shown() {
    const FROM_ENV: &str = "swordfish-of-the-environment";
    const FROM_FILE: &str = "marlin-of-the-file";
    let (good, other) = (tag(FROM_ENV, "data"), tag("wrong", "data"));
    let stage = Stage::new()
        .lines("[log]\nlevel = \"trace\"\n[secret.env]\nenv = \"THE_SECRET\"\n[secret.file]\nfile = \"secret.txt\"\n[secret.hidden]\nfile = \"secret.txt\"")
        .env("THE_SECRET", FROM_ENV)
        .file("secret.txt", format!("{FROM_FILE}\n"));
    let steps = format!(
        r#"{{ hmac-sign = ["sha256", "env", "data"] }}, {{ hmac-sign = ["sha256", "file", "data"] }},
           {{ hmac-verify = ["sha256", "env", "data", "{good}"] }}, {{ hmac-verify = ["sha256", "env", "data", "{other}"] }},
           {{ hmac-verify = ["sha256", "env", "other", "{good}"] }}, {{ hmac-verify = ["sha256", "env", "data", ""] }},
           {{ hmac-verify = ["sha256", "hidden", "data", "{}"] }}, {{ hmac-sign = ["sha256", "hidden", "data"] }},
           {{ hmac-sign = ["sha256", "none", "data"] }}"#,
        tag(FROM_FILE, "data"),
    );
    let (gateway, report) = given(stage, "crypto", ", secrets = [\"env\", \"file\"]", &steps);
    assert_eq!(report[0], good);
    assert_eq!(report[1], tag(FROM_FILE, "data"));
    let verified: Vec<_> = (2..7).map(|n| report[n].clone()).collect();
    assert_eq!(verified, [true, false, false, false, false], "{report}");
    assert!(
        report[7]["error"].is_string() && report[8]["error"].is_string(),
        "{report}"
    );
    let pages = [
        gateway.log().text(),
        gateway.admin("/metrics").text().to_owned(),
        report.to_string(),
    ];
    for page in pages {
        assert!(!page.contains(FROM_ENV) && !page.contains(FROM_FILE));
    }
}

#[test]
fn a_missing_secret_refuses_the_start() {
    let refused = Stage::new()
        .lines("[secret.env]\nenv = \"A_SECRET_THAT_IS_NOT_SET\"")
        .actor(
            "actor",
            "allow = { interfaces = [\"crypto\"], secrets = [\"env\"] }",
        )
        .lines("[[route]]\npath = \"/\"\nfilters = [\"actor\"]\nrespond = { status = 200 }")
        .builder()
        .run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    assert!(
        refused.errors.contains("A_SECRET_THAT_IS_NOT_SET"),
        "{}",
        refused.errors
    );
}

#[test]
fn check_prints_the_grant_that_is_missing() {
    let checked = Stage::new()
        .actor("actor", "allow = { interfaces = [\"cache\"] }")
        .lines("[[route]]\npath = \"/\"\nfilters = [\"actor\"]\nrespond = { status = 200 }")
        .builder()
        .check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert!(
        checked.errors.contains("is not granted all that it uses"),
        "{}",
        checked.errors
    );
    assert!(
        checked
            .errors
            .contains("allow = { interfaces = [\"cache\", "),
        "{}",
        checked.errors
    );
}

#[test]
fn an_interface_that_is_not_granted_fails_the_call() {
    for step in [
        r#"{ cache-put = ["a", "1", 1000] }"#,
        r#"{ find-key = "a" }"#,
        r#"{ take-inline = ["a", 1, 1, 1.0] }"#,
        r#"{ digest = ["sha256", "a"] }"#,
        "{ gauge = 1.0 }",
    ] {
        let upstream = Upstream::text("well");
        let keys = format!("settings = {{ when = \"x-act\", request = [{step}] }}");
        let gateway = Stage::of_one_actor(&upstream, &keys).start();
        let answer = gateway.send(&Request::get("/act").header("x-act", "1"));
        assert_eq!(answer.code(), "filter_failed", "{step}");
        gateway
            .log()
            .wait_for_line(|line| line.contains("not granted"));
        assert_eq!(gateway.get("/act").status, 200);
    }
}
