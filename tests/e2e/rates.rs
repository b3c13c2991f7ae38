//! Rates and quotas at every level: plan, method, route, gateway.

use std::time::{Duration, Instant};

use windlass_tests::{Gateway, Request, Response, Upstream, wait};

use crate::config::{api_key, key, stamp, start, upstream};

const USAGE_PLAN: &str = "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";

/// A rate that does not refill while a test runs.
const SLOW: &str = "rate = 0.001";

/// Two routes with keys and plans, `/orders/{id}` and `/stock/{id}`, and three keys of `gold`. Each
/// text is appended to its table.
struct Parts<'a> {
    server: &'a str,
    orders: &'a str,
    stock: &'a str,
    filters: &'a [&'a str],
    plan: &'a str,
    more: &'a str,
}

const PARTS: Parts<'_> = Parts {
    server: "",
    orders: "",
    stock: "",
    filters: &["keys", "plan"],
    plan: "",
    more: "",
};

impl Parts<'_> {
    fn start(&self, to: &Upstream) -> Gateway {
        start(&[&self.text(to)])
    }

    fn text(&self, to: &Upstream) -> String {
        let filters = self.filters;
        let route = |path: &str, more: &str| {
            let line = format!("path = \"{path}\"\nfilters = {filters:?}\nupstream = \"app\"");
            format!("\n[[route]]\n{line}\n{more}\n")
        };
        [
            format!("[server]\nworkers = 2\n{}\n", self.server),
            route("/orders/{id}", self.orders),
            route("/stock/{id}", self.stock),
            upstream("app", &[to.address()]),
            api_key("{}"),
            USAGE_PLAN.to_owned(),
            format!("\n[plan.gold]\n{}\n", self.plan),
            key("alice-1", "alice", "alice", "plan = \"gold\""),
            key("bob-1", "bob", "bob", "plan = \"gold\""),
            self.more.to_owned(),
        ]
        .concat()
    }
}

fn of(key: &str, target: &str) -> Request {
    Request::get(target).header("x-api-key", key)
}

/// `ok`, or the code of the refusal.
fn told(answer: &Response) -> String {
    match answer.status {
        200 => "ok".to_owned(),
        _ => answer.code(),
    }
}

fn ask(gateway: &Gateway, key: &str, targets: &[&str]) -> Vec<String> {
    let answers = targets.iter().map(|target| gateway.send(&of(key, target)));
    answers.map(|answer| told(&answer)).collect()
}

#[test]
#[ignore = "takes 30 s"]
fn a_burst_passes_at_once_and_then_five_a_second() {
    let to = Upstream::text("ok");
    let gateway = Parts {
        plan: "rate = 5\nburst = 10",
        ..PARTS
    }
    .start(&to);
    let mut client = gateway.client();
    let mut passes = |key| client.send(&of(key, "/orders/1")).status == 200;
    let began = Instant::now();
    let burst = (0..10).filter(|_| passes("alice")).count();
    assert_eq!(burst, 10);
    let more = passes("alice");
    let time = began.elapsed();
    assert!(!more || time > Duration::from_millis(200), "after {time:?}");
    // Fifty requests a second, evenly spaced.
    let began = Instant::now();
    let tries = (1..=1500_u32).map(|place| began + Duration::from_millis(20) * place);
    let passed = tries
        .filter(|moment| {
            wait::moment(*moment);
            passes("alice")
        })
        .count();
    let time = began.elapsed();
    assert!(time < Duration::from_millis(30_200), "it took {time:?}");
    // 5.0 a second, within 2 %.
    assert!((147..=153).contains(&passed), "{passed} in 30 s");
    // Another key is not affected.
    assert_eq!((0..10).filter(|_| passes("bob")).count(), 10);
}

#[test]
fn another_key_is_not_throttled() {
    let to = Upstream::text("ok");
    let plan = format!("{SLOW}\nburst = 3");
    let gateway = Parts {
        plan: &plan,
        ..PARTS
    }
    .start(&to);
    let four = ["/orders/1"; 4];
    let expected = ["ok", "ok", "ok", "throttled"];
    assert_eq!(ask(&gateway, "alice", &four), expected);
    assert_eq!(ask(&gateway, "bob", &four), expected);
}

#[test]
fn a_key_has_one_bucket_for_all_routes_of_its_plan() {
    let to = Upstream::text("ok");
    let plan = format!("{SLOW}\nburst = 3");
    let gateway = Parts {
        plan: &plan,
        ..PARTS
    }
    .start(&to);
    let mixed = [
        "/orders/1",
        "/stock/1",
        "/orders/2",
        "/stock/2",
        "/orders/3",
    ];
    let expected = ["ok", "ok", "ok", "throttled", "throttled"];
    assert_eq!(ask(&gateway, "alice", &mixed), expected);
}

#[test]
fn a_stricter_rate_of_a_method_wins() {
    let to = Upstream::text("ok");
    let plan = format!(
        "rate = 1000\nmethods = [{{ method = \"GET\", path = \"/orders/{{id}}\", {SLOW}, burst = 2 }}]"
    );
    let gateway = Parts {
        plan: &plan,
        ..PARTS
    }
    .start(&to);
    let answer = gateway.send(&of("alice", "/orders/1"));
    // The response shows the stricter of both rates.
    let policy = answer.header("ratelimit-policy");
    assert_eq!(policy, Some("\"rate\";q=2;w=2000"));
    let three = ["/orders/2", "/orders/3", "/stock/1"];
    assert_eq!(ask(&gateway, "alice", &three), ["ok", "throttled", "ok"]);
    let put = Request::new("PUT", "/orders/1").header("x-api-key", "alice");
    assert_eq!(told(&gateway.send(&put)), "ok");
    assert_eq!(ask(&gateway, "bob", &["/orders/1"]), ["ok"]);
}

#[test]
fn a_key_has_the_plan_that_is_sold_for_the_api() {
    let to = Upstream::text("ok");
    let more = [
        "\n[api.orders]\nstage = \"prod\"\n[api.stock]\nstage = \"prod\"\n[api.news]\nstage = \"prod\"\n",
        "[plan.small]\napis = [\"stock\"]\nquota = { limit = 1, period = \"month\" }\n",
        "[[route]]\napi = \"news\"\npath = \"/news\"\nfilters = [\"keys\", \"plan\"]\nupstream = \"app\"\n",
        &key("carol-1", "carol", "carol", "plans = [\"gold\", \"small\"]"),
    ]
    .concat();
    let gateway = Parts {
        orders: "api = \"orders\"",
        stock: "api = \"stock\"",
        plan: "apis = [\"orders\"]\nquota = { limit = 2, period = \"month\" }",
        more: &more,
        ..PARTS
    }
    .start(&to);
    let asked = [
        "/orders/1",
        "/stock/1",
        "/stock/1",
        "/orders/1",
        "/orders/1",
        "/news",
    ];
    let expected = [
        "ok",
        "ok",
        "quota_spent",
        "ok",
        "quota_spent",
        "no_usage_plan",
    ];
    assert_eq!(ask(&gateway, "carol", &asked), expected);
    let asked = ["/orders/1", "/stock/1"];
    assert_eq!(ask(&gateway, "alice", &asked), ["ok", "no_usage_plan"]);
    let refused = gateway.send(&of("alice", "/stock/1"));
    assert_eq!(refused.status, 403);
}

#[test]
fn what_the_route_refuses_takes_nothing_from_the_plan() {
    let to = Upstream::text("ok");
    let orders = format!("{SLOW}\nburst = 2");
    let gateway = Parts {
        orders: &orders,
        plan: "quota = { limit = 4, period = \"month\" }",
        ..PARTS
    }
    .start(&to);
    let three = ["/orders/1"; 3];
    assert_eq!(ask(&gateway, "alice", &three), ["ok", "ok", "throttled"]);
    // All clients share this rate.
    let refused = gateway.send(&of("bob", "/orders/1"));
    assert_eq!((refused.status, &*refused.code()), (429, "throttled"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1000).contains(&seconds), "{seconds}");
    let left = refused.header("ratelimit").unwrap();
    assert!(left.starts_with("\"quota\";r=4;"), "{left}");
    // The refused requests took nothing from the quota of four.
    let three = ["/stock/1"; 3];
    assert_eq!(ask(&gateway, "alice", &three), ["ok", "ok", "quota_spent"]);
    assert_eq!(to.count(), 4);
}

#[test]
fn what_the_plan_refuses_takes_nothing_from_the_route() {
    let to = Upstream::text("ok");
    let orders = format!("{SLOW}\nburst = 3");
    let gateway = Parts {
        orders: &orders,
        plan: "quota = { limit = 2, period = \"month\" }",
        ..PARTS
    }
    .start(&to);
    let four = ["/orders/1"; 4];
    let expected = ["ok", "ok", "quota_spent", "quota_spent"];
    assert_eq!(ask(&gateway, "alice", &four), expected);
    let expected = ["ok", "throttled", "throttled", "throttled"];
    assert_eq!(ask(&gateway, "bob", &four), expected);
}

#[test]
fn a_route_without_filters_keeps_its_rate() {
    let to = Upstream::text("ok");
    let orders = format!("{SLOW}\nburst = 2");
    let gateway = Parts {
        orders: &orders,
        filters: &[],
        plan: "rate = 1",
        ..PARTS
    }
    .start(&to);
    let three = ["/orders/1"; 3];
    assert_eq!(ask(&gateway, "", &three), ["ok", "ok", "throttled"]);
    assert_eq!(ask(&gateway, "", &["/stock/1"]), ["ok"]);
    let refused = gateway.send(&Request::get("/orders/1"));
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1000).contains(&seconds), "{seconds}");
    let policy = refused.header("ratelimit-policy");
    assert_eq!(policy, Some("\"route\";q=2;w=2000"));
    let left = refused.header("ratelimit").unwrap();
    assert!(left.starts_with("\"route\";r=0;t="), "{left}");
    assert_eq!(to.count(), 3);
}

#[test]
fn the_gateways_rate_holds_for_all_routes_and_its_answer_meets_the_response_phases() {
    let to = Upstream::text("ok");
    let server = format!("{SLOW}\nburst = 3");
    let gateway = Parts {
        server: &server,
        filters: &["mark"],
        plan: "rate = 1",
        more: &stamp("mark"),
        ..PARTS
    }
    .start(&to);
    let mixed = ["/orders/1", "/stock/1", "/orders/1", "/stock/1"];
    let expected = ["ok", "ok", "ok", "throttled"];
    assert_eq!(ask(&gateway, "", &mixed), expected);
    let refused = gateway.send(&Request::get("/orders/1"));
    let policy = refused.header("ratelimit-policy");
    assert_eq!(policy, Some("\"gateway\";q=3;w=3000"));
    assert_eq!(refused.header("x-order"), Some("mark"));
    // A request without a route takes nothing from the rate.
    assert_eq!(ask(&gateway, "", &["/none"]), ["no_route"]);
}

#[test]
fn refusals_are_worded_as_amazons_where_the_api_says_so() {
    let to = Upstream::text("ok");
    let more = [
        "\n[api.orders]\nerrors = \"aws\"\n[api.stock]\nerrors = \"aws\"\n",
        "[[route]]\napi = \"orders\"\npath = \"/open\"\nupstream = \"app\"\nrate = 0.001\nburst = 1\n",
        "[plan.slow]\napis = [\"orders\"]\nrate = 0.001\nburst = 1\n",
        &key("dave-1", "dave", "dave", "plan = \"slow\""),
    ]
    .concat();
    let gateway = Parts {
        orders: "api = \"orders\"",
        stock: "api = \"stock\"",
        plan: "quota = { limit = 1, period = \"month\" }",
        more: &more,
        ..PARTS
    }
    .start(&to);
    let told = |key, target| {
        let answer = gateway.send(&of(key, target));
        (answer.status, answer.text().to_owned())
    };
    let words = |status, message: &str| (status, format!("{{\"message\":\"{message}\"}}"));
    for (key, target, refusal) in [
        ("alice", "/orders/1", words(429, "Limit Exceeded")),
        ("dave", "/orders/1", words(429, "Too Many Requests")),
        ("", "/open", words(429, "Too Many Requests")),
    ] {
        assert_eq!(told(key, target), (200, "ok".to_owned()));
        assert_eq!(told(key, target), refusal);
    }
    assert_eq!(told("dave", "/stock/1"), words(403, "Forbidden"));
}

#[test]
fn a_routes_bucket_survives_a_reload() {
    let to = Upstream::text("ok");
    let orders = format!("{SLOW}\nburst = 2");
    let parts = Parts {
        orders: &orders,
        filters: &[],
        plan: "rate = 1",
        ..PARTS
    };
    let gateway = parts.start(&to);
    assert_eq!(ask(&gateway, "", &["/orders/1"; 2]), ["ok", "ok"]);
    let larger = format!("{SLOW}\nburst = 3");
    let told = gateway.reload(
        Parts {
            orders: &larger,
            ..parts
        }
        .text(&to),
    );
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    let two = ["/orders/1"; 2];
    assert_eq!(ask(&gateway, "", &two), ["ok", "throttled"]);
}

#[test]
fn a_filter_says_what_a_request_costs() {
    let to = Upstream::text("ok");
    let more = key(
        "dear-1",
        "dear",
        "dear",
        "plan = \"gold\"\nattributes = { cost = \"4\" }",
    );
    let text = Parts {
        plan: "quota = { limit = 9, period = \"month\" }",
        more: &more,
        ..PARTS
    }
    .text(&to);
    let settings = "settings = { cost = 2, cost_attribute = \"api-key.cost\" }";
    let gateway = start(&[&text.replacen(USAGE_PLAN, &format!("{USAGE_PLAN}{settings}\n"), 1)]);
    let three = ["/orders/1"; 3];
    assert_eq!(ask(&gateway, "dear", &three), ["ok", "ok", "quota_spent"]);
    let five = ["/orders/1"; 5];
    let expected = ["ok", "ok", "ok", "ok", "quota_spent"];
    assert_eq!(ask(&gateway, "alice", &five), expected);
}

/// Days since 1970.
fn today() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() / 86_400
}

#[test]
fn a_week_resets_at_the_midnight_of_its_first_day() {
    let weekdays = [
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
    ];
    // A week that starts tomorrow ends at the next midnight, and one that starts today ends in a
    // week.
    for (ahead, days) in [(1, 0), (0, 6)] {
        let to = Upstream::text("ok");
        let before = today();
        let first = weekdays[usize::try_from((before + ahead) % 7).unwrap()];
        let plan = format!("quota = {{ limit = 100, period = \"week\", starts_on = \"{first}\" }}");
        let gateway = Parts {
            plan: &plan,
            ..PARTS
        }
        .start(&to);
        let answer = gateway.send(&of("alice", "/orders/1"));
        let policy = answer.header("ratelimit-policy").unwrap();
        assert_eq!(policy, "\"quota\";q=100;w=604800");
        let field = answer.header("ratelimit").unwrap();
        let (_, seconds) = field.split_once(";t=").unwrap();
        let seconds: u64 = seconds.parse().unwrap();
        if today() == before {
            let range = days * 86_400..=(days + 1) * 86_400;
            assert!(range.contains(&seconds), "{first}: {field}");
        }
    }
}

#[test]
fn sixty_four_connections_take_a_quota_of_ten_thousand_exactly() {
    let to = Upstream::text("ok").counting();
    let gateway = Parts {
        server: "rate = 1000000",
        plan: "rate = 1000000\nquota = { limit = 10000, period = \"month\" }",
        ..PARTS
    }
    .start(&to);
    let load = gateway.load(of("alice", "/orders/1")).connections(64);
    let report = load.run(12_000);
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.status(200), 10_000);
    assert_eq!(report.status(429), 2_000);
    assert_eq!(to.count(), 10_000);
    let served = gateway.metrics().by("windlass_requests_total", "worker");
    assert_eq!(served.len(), 2);
    assert!(served.values().all(|served| *served > 1000.0), "{served:?}");
}
