//! The `RateLimit` field and the usage report agree on the rest of a quota, whatever was changed in
//! between.

use windlass_tests::{Gateway, Request, Upstream};

use crate::operator::{WRITE, builder, call, create, get, windlass};

/// The rest of the quota in the response to a request with this key.
fn told(gateway: &Gateway, key: &str) -> u64 {
    let answer = gateway.send(&Request::get("/").header("x-api-key", key));
    let field = answer.header("ratelimit").expect("RateLimit").to_owned();
    let left = field.split_once("\"quota\";r=").expect("a quota").1;
    let left = left.split(';').next().unwrap();
    left.parse().unwrap_or_else(|_| panic!("{field}"))
}

/// The rest of today's quota and today's usage, as the report gives them.
fn reported(gateway: &Gateway, plan: &str, id: &str) -> (u64, u64) {
    let report = get(gateway, &format!("/v1/usage?plan={plan}&key={id}"));
    assert_eq!(report.status, 200, "{}", report.text());
    let days = report.json()["items"][id].clone();
    let (used, left) = (days[0][0].as_u64(), days[0][1].as_u64());
    (left.unwrap_or_default(), used.unwrap_or_default())
}

/// Send one request, and compare its response with the report.
fn agree(gateway: &Gateway, plan: &str, (id, key): &(String, String), after: &str) -> u64 {
    let left = told(gateway, key);
    let (reported, _) = reported(gateway, plan, id);
    assert_eq!(left, reported, "after {after}");
    left
}

fn plan(gateway: &Gateway, method: &str, path: &str, body: &str) {
    let made = call(gateway, method, path, body);
    assert!(matches!(made.status, 200 | 201), "{}", made.text());
}

fn quota(gateway: &Gateway, quota: &str) {
    let body = format!("{{\"quota\":{quota}}}");
    plan(gateway, "PATCH", "/v1/plans/p", &body);
}

/// A gateway with a key on a plan `p` of thirty a day, ten of them used.
fn used_ten(upstream: &Upstream) -> (Gateway, (String, String)) {
    let gateway = builder(&["keys", "plan"], upstream, "").start();
    let body = "{\"name\":\"p\",\"quota\":{\"limit\":30,\"period\":\"day\"}}";
    plan(&gateway, "POST", "/v1/plans", body);
    let key = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"p\"]}");
    for left in (20..30).rev() {
        assert_eq!(told(&gateway, &key.1), left);
    }
    (gateway, key)
}

#[test]
fn a_period_that_changes_counts_what_was_used_in_it() {
    let upstream = Upstream::text("ok");
    let (gateway, key) = used_ten(&upstream);
    for (left, changed) in [
        (19, "{\"limit\":30,\"period\":\"month\"}"),
        (18, "{\"limit\":30,\"period\":\"day\"}"),
        (17, "{\"limit\":30,\"period\":\"week\"}"),
        (
            16,
            "{\"limit\":30,\"period\":\"week\",\"starts_on\":\"wednesday\"}",
        ),
        (15, "{\"limit\":30,\"period\":\"month\",\"starts_on\":28}"),
        (14, "{\"limit\":30,\"period\":\"day\"}"),
        (13, "{\"limit\":30,\"period\":\"month\",\"starts_on\":2}"),
    ] {
        quota(&gateway, changed);
        assert_eq!(agree(&gateway, "p", &key, changed), left, "{changed}");
    }
}

#[test]
fn a_quota_that_was_away_for_a_while_has_missed_nothing() {
    let upstream = Upstream::text("ok");
    let (gateway, key) = used_ten(&upstream);
    let body = "{\"quota\":null,\"rate\":{\"per_second\":1000,\"burst\":1000}}";
    plan(&gateway, "PATCH", "/v1/plans/p", body);
    for _ in 0..5 {
        assert_eq!(crate::operator::status_with(&gateway, &key.1), 200);
    }
    quota(&gateway, "{\"limit\":30,\"period\":\"day\"}");
    assert_eq!(agree(&gateway, "p", &key, "the quota came back"), 14);
    // A plan without a quota, so nothing was counted before.
    let body = "{\"name\":\"q\",\"rate\":{\"per_second\":1000,\"burst\":1000}}";
    plan(&gateway, "POST", "/v1/plans", body);
    let other = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"q\"]}");
    for _ in 0..4 {
        assert_eq!(crate::operator::status_with(&gateway, &other.1), 200);
    }
    let body = "{\"quota\":{\"limit\":10,\"period\":\"month\"}}";
    plan(&gateway, "PATCH", "/v1/plans/q", body);
    assert_eq!(agree(&gateway, "q", &other, "a first quota"), 5);
}

#[test]
fn limits_extensions_and_plans_of_a_key_change_and_both_numbers_agree() {
    let upstream = Upstream::text("ok");
    let (gateway, key) = used_ten(&upstream);
    let id = key.0.clone();
    quota(&gateway, "{\"limit\":50,\"period\":\"day\"}");
    assert_eq!(agree(&gateway, "p", &key, "a raised limit"), 39);
    quota(&gateway, "{\"limit\":20,\"period\":\"day\"}");
    assert_eq!(agree(&gateway, "p", &key, "a lowered limit"), 8);
    let path = format!("/v1/plans/p/usage/{id}");
    let extended = call(&gateway, "PATCH", &path, "{\"remaining\":15}");
    assert_eq!(extended.status, 200, "{}", extended.text());
    assert_eq!(agree(&gateway, "p", &key, "an extension"), 14);
    // An extension belongs to its period: the month has none, and the day has it again.
    quota(&gateway, "{\"limit\":20,\"period\":\"month\"}");
    let of_month = agree(&gateway, "p", &key, "an extension and another period");
    quota(&gateway, "{\"limit\":20,\"period\":\"day\"}");
    assert_eq!(
        agree(&gateway, "p", &key, "the period of the extension"),
        12
    );
    assert_eq!(of_month, 6);
    // Move the key to another plan, and back.
    let body = "{\"name\":\"other\",\"quota\":{\"limit\":9,\"period\":\"week\"}}";
    plan(&gateway, "POST", "/v1/plans", body);
    let path = format!("/v1/keys/{id}");
    plan(&gateway, "PATCH", &path, "{\"plans\":[\"other\"]}");
    assert_eq!(agree(&gateway, "other", &key, "another plan"), 8);
    plan(&gateway, "PATCH", &path, "{\"plans\":[\"p\"]}");
    assert_eq!(agree(&gateway, "p", &key, "the plan came back"), 11);
    plan(
        &gateway,
        "PATCH",
        &path,
        "{\"enabled\":false,\"name\":\"renamed\"}",
    );
    assert_eq!(crate::operator::status_with(&gateway, &key.1), 403);
    plan(&gateway, "PATCH", &path, "{\"enabled\":true}");
    assert_eq!(agree(&gateway, "p", &key, "disabled and enabled"), 10);
}

#[test]
fn a_period_that_changed_is_right_after_a_restart() {
    let upstream = Upstream::text("ok");
    let (gateway, key) = used_ten(&upstream);
    // An idle key, whose counter was last updated with a period of a day.
    let idle = create(&gateway, "{\"consumer\":\"idle\",\"plans\":[\"p\"]}");
    assert_eq!(told(&gateway, &idle.1), 29);
    quota(&gateway, "{\"limit\":30,\"period\":\"month\"}");
    assert_eq!(agree(&gateway, "p", &key, "another period"), 19);
    let gateway = gateway.end().start();
    assert_eq!(agree(&gateway, "p", &key, "a restart"), 18);
    assert_eq!(
        agree(&gateway, "p", &idle, "a restart, for an idle key"),
        28
    );
}

#[test]
fn a_plan_of_the_file_that_changes_with_a_restart_counts_what_was_used() {
    let upstream = Upstream::text("ok");
    let file = |period: &str| format!("\n[plan.file]\nquota = {{ limit = 30, {period} }}\n");
    let more = file("period = \"day\"");
    let gateway = builder(&["keys", "plan"], &upstream, &more).start();
    let key = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"file\"]}");
    for left in (25..30).rev() {
        assert_eq!(told(&gateway, &key.1), left);
    }
    let config = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    let changed = |period: &str| config.replace(&more, &file(period));
    gateway.reload(changed("period = \"month\", starts_on = 3"));
    assert_eq!(agree(&gateway, "file", &key, "a reload"), 24);
    gateway.reload(&config);
    assert_eq!(agree(&gateway, "file", &key, "another reload"), 23);
    let builder = gateway.end();
    let builder = builder.file("windlass.toml", changed("period = \"week\""));
    let gateway = builder.start();
    assert_eq!(
        agree(&gateway, "file", &key, "a restart with another file"),
        22
    );
}

#[test]
fn a_first_day_is_set_and_shown_and_an_offset_is_refused_with_the_cure() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys", "plan"], &upstream, "").start();
    let body = "{\"name\":\"p\",\"quota\":{\"limit\":5,\"period\":\"month\",\"starts_on\":15}}";
    plan(&gateway, "POST", "/v1/plans", body);
    let shown = get(&gateway, "/v1/plans/p").json();
    assert_eq!(shown["quota"]["starts_on"], 15, "{shown}");
    for (wrong, cure) in [
        (
            "{\"limit\":5,\"period\":\"month\",\"offset\":2}",
            "starts_on",
        ),
        (
            "{\"limit\":5,\"period\":\"day\",\"starts_on\":\"monday\"}",
            "leave it out",
        ),
        (
            "{\"limit\":5,\"period\":\"week\",\"starts_on\":3}",
            "weekday",
        ),
        (
            "{\"limit\":5,\"period\":\"month\",\"starts_on\":\"friday\"}",
            "1 to 28",
        ),
        (
            "{\"limit\":5,\"period\":\"month\",\"starts_on\":29}",
            "1 to 28",
        ),
        (
            "{\"limit\":5,\"period\":\"week\",\"starts_on\":\"mon\"}",
            "monday",
        ),
    ] {
        let body = format!("{{\"quota\":{wrong}}}");
        let refused = call(&gateway, "PATCH", "/v1/plans/p", &body);
        let is_refused = matches!(refused.status, 400 | 422);
        assert!(is_refused, "{wrong}: {}", refused.text());
        assert!(refused.text().contains(cure), "{wrong}: {}", refused.text());
    }
    let ops = |arguments: &[&str]| windlass(&gateway, arguments, WRITE, "");
    let made = ops(&[
        "plans",
        "create",
        "weekly",
        "--quota",
        "7",
        "--per",
        "week",
        "--starts-on",
        "monday",
    ]);
    assert_eq!(made.code, Some(0), "{}", made.errors);
    assert!(
        made.output.contains("7 a week from monday"),
        "{}",
        made.output
    );
    let refused = ops(&[
        "plans", "create", "old", "--quota", "7", "--per", "week", "--offset", "3",
    ]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.errors.contains("--starts-on"), "{}", refused.errors);
}
