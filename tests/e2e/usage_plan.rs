//! `builtin:usage-plan`: how many requests a key may make.

use windlass_tests::{Gateway, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, start};

const USAGE_PLAN: &str = "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";

/// A gateway with one key, `alice`, on this plan.
fn gateway(plan: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[server]\nworkers = 2\n",
        &filtered(&["keys", "plan"], upstream.address()),
        &api_key("{}"),
        USAGE_PLAN,
        &format!("\n[plan.gold]\n{plan}\n"),
        &key("alice-1", "alice", "alice", "plan = \"gold\""),
        &key("bob-1", "bob", "bob", "plan = \"gold\""),
        &key("carol-1", "carol", "carol", ""),
    ])
}

fn of(key: &str) -> Request {
    Request::get("/").header("x-api-key", key)
}

fn retry_after(answer: &Response) -> u64 {
    let seconds = answer.header("retry-after").expect("Retry-After");
    seconds.parse().expect("whole seconds")
}

/// The number after `;<name>=` in this item of the list.
fn bound(list: &str, item: &str, name: &str) -> u64 {
    let mut items = list.split(", ");
    let item = items.find(|text| text.starts_with(&format!("\"{item}\"")));
    let item = item.unwrap_or_else(|| panic!("{list}"));
    let mut parameters = item.split(';');
    let value = parameters.find_map(|text| text.strip_prefix(&format!("{name}=")));
    value.unwrap_or_else(|| panic!("{item}")).parse().unwrap()
}

#[test]
fn a_key_beyond_its_rate_is_throttled() {
    let upstream = Upstream::text("ok");
    // One in a thousand seconds: none is added while the test runs.
    let gateway = gateway("rate = 0.001\nburst = 2", &upstream);
    for left in [1, 0] {
        let answer = gateway.send(&of("alice"));
        assert_eq!(answer.status, 200);
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"rate\";q=2;w=2000"));
        let now = answer.header("ratelimit").unwrap();
        assert_eq!(bound(now, "rate", "r"), left, "{now}");
    }
    let answer = gateway.send(&of("alice"));
    assert_eq!((answer.status, &*answer.code()), (429, "throttled"));
    assert!((900..=1000).contains(&retry_after(&answer)));
    assert_eq!(bound(answer.header("ratelimit").unwrap(), "rate", "r"), 0);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_key_beyond_its_quota_is_told_so() {
    let upstream = Upstream::text("ok");
    let gateway = gateway("quota = { limit = 2, period = \"day\" }", &upstream);
    for left in [1, 0] {
        let answer = gateway.send(&of("alice"));
        assert_eq!(answer.status, 200);
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"quota\";q=2;w=86400"));
        assert_eq!(
            bound(answer.header("ratelimit").unwrap(), "quota", "r"),
            left
        );
    }
    let answer = gateway.send(&of("alice"));
    assert_eq!((answer.status, &*answer.code()), (429, "quota_spent"));
    assert!((1..=86_400).contains(&retry_after(&answer)));
    assert_eq!(upstream.count(), 2);
}

#[test]
fn throttled_and_quota_spent_are_told_apart_under_one_plan() {
    let upstream = Upstream::text("ok");
    let plan = "rate = 0.001\nburst = 3\nquota = { limit = 2, period = \"month\" }";
    let gateway = gateway(plan, &upstream);
    let codes = |key| {
        let answers = (0..4).map(|_| gateway.send(&of(key)));
        answers
            .map(|answer| match answer.status {
                200 => "ok".to_owned(),
                _ => answer.code(),
            })
            .collect::<Vec<_>>()
    };
    // Requests that the quota refuses take nothing from the rate.
    assert_eq!(codes("alice"), ["ok", "ok", "quota_spent", "quota_spent"]);
    // Another key has its own rate and quota.
    assert_eq!(codes("bob"), ["ok", "ok", "quota_spent", "quota_spent"]);
}

#[test]
fn a_cost_that_can_never_pass_is_told_no_wait() {
    for (plan, cost) in [
        ("rate = 5\nburst = 2", 3),
        ("quota = { limit = 3, period = \"day\" }", 4),
        (
            "rate = 5\nburst = 9\nquota = { limit = 3, period = \"day\" }",
            5,
        ),
        (
            "rate = 5\nburst = 2\nquota = { limit = 9, period = \"day\" }",
            5,
        ),
        (
            "methods = [{ method = \"ANY\", path = \"$default\", rate = 5, burst = 2 }]",
            3,
        ),
    ] {
        let upstream = Upstream::text("ok");
        let dear = format!(
            "\n[filter.dear]\nplugin = \"builtin:usage-plan\"\nsettings = {{ cost = {cost} }}\n"
        );
        let gateway = start(&[
            &filtered(&["keys", "dear"], upstream.address()),
            &api_key("{}"),
            &dear,
            &format!("\n[plan.gold]\n{plan}\n"),
            &key("alice-1", "alice", "alice", "plan = \"gold\""),
        ]);
        let answer = gateway.send(&of("alice"));
        assert_eq!(answer.status, 429, "{plan}");
        assert_eq!(answer.header("retry-after"), None, "{plan}");
        assert!(answer.header("ratelimit").is_some(), "{plan}");
        assert_eq!(upstream.count(), 0);
    }
}

#[test]
fn a_key_without_a_plan_is_refused() {
    let upstream = Upstream::text("ok");
    let gateway = gateway("rate = 1000", &upstream);
    let answer = gateway.send(&of("carol"));
    assert_eq!((answer.status, &*answer.code()), (403, "no_usage_plan"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_quota_is_exact_under_sixty_four_connections() {
    let upstream = Upstream::text("ok").counting();
    let gateway = gateway("quota = { limit = 2000, period = \"month\" }", &upstream);
    let report = gateway.load(of("alice")).connections(64).run(4000);
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.status(200), 2000);
    assert_eq!(report.status(429), 2000);
    assert_eq!(upstream.count(), 2000);
    let served = gateway.metrics().by("windlass_requests_total", "worker");
    assert!(served.values().all(|served| *served > 500.0), "{served:?}");
}

#[test]
fn what_was_taken_stays_taken_over_a_reload() {
    let upstream = Upstream::text("ok");
    let config = [
        filtered(&["keys", "plan"], upstream.address()),
        api_key("{}"),
        USAGE_PLAN.to_owned(),
        "\n[plan.gold]\nquota = { limit = 2, period = \"month\" }\n".to_owned(),
        key("alice-1", "alice", "alice", "plan = \"gold\""),
    ]
    .concat();
    let gateway = start(&[&config]);
    assert_eq!(gateway.send(&of("alice")).status, 200);
    let told = gateway.reload(&config);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.send(&of("alice")).status, 200);
    assert_eq!(gateway.send(&of("alice")).status, 429);
}
