//! The configuration decides the order of filters.

use windlass_tests::{Gateway, Upstream};

use crate::config::{api_key, filtered, stamp, start};

const USAGE_PLAN: &str = "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";

fn config(order: &[&str], upstream: &Upstream) -> String {
    let stamps = ["one", "two", "three"].map(stamp).concat();
    filtered(order, upstream.address()) + &stamps
}

#[test]
fn filters_run_in_the_order_of_the_file_and_back_in_reverse() {
    let upstream = Upstream::text("ok");
    for order in [
        ["one", "two", "three"],
        ["three", "one", "two"],
        ["two", "three", "one"],
    ] {
        let gateway = start(&[&config(&order, &upstream)]);
        let answer = gateway.get("/");
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.head.all("x-order").collect::<Vec<_>>(), order);
        let mut reverse = order;
        reverse.reverse();
        assert_eq!(answer.headers("x-order"), reverse);
    }
}

#[test]
fn a_filter_can_stand_twice_in_a_chain() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[&config(&["one", "two", "one"], &upstream)]);
    assert_eq!(gateway.get("/").status, 200);
    let request = upstream.only_request();
    assert_eq!(
        request.head.all("x-order").collect::<Vec<_>>(),
        ["one", "two", "one"]
    );
}

#[test]
fn moving_a_word_changes_the_order_and_recompiles_nothing() {
    let upstream = Upstream::text("ok");
    let one_worker = "[server]\nworkers = 1\n";
    let with_order = |order: &[&str]| one_worker.to_owned() + &config(order, &upstream);
    let gateway = start(&[&with_order(&["one", "two", "three"])]);
    let mut client = gateway.client();
    assert_eq!(client.get("/").headers("x-order"), ["three", "two", "one"]);
    let before = gateway.metrics();
    let told = gateway.reload(with_order(&["three", "one", "two"]));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(client.get("/").headers("x-order"), ["two", "one", "three"]);
    let after = gateway.metrics();
    assert_eq!(after["windlass_generation"], 2.0);
    assert_eq!(
        after["windlass_wasm_components"],
        before["windlass_wasm_components"]
    );
    let instances =
        |metrics: &windlass_tests::Metrics| metrics.by("windlass_filter_instances_total", "filter");
    assert!(instances(&before).values().all(|made| *made >= 1.0));
    assert_eq!(instances(&after), instances(&before));
    let calls = "windlass_filter_calls_total";
    assert_eq!(after[calls], before[calls] + 3.0);
}

#[test]
fn an_order_that_cannot_work_is_refused_with_its_place() {
    let upstream = Upstream::text("ok");
    let config = |order: &[&str]| filtered(order, upstream.address()) + &api_key("{}") + USAGE_PLAN;
    let right = Gateway::with_config(config(&["keys", "plan"])).check();
    assert_eq!(right.code, Some(0), "{}", right.errors);
    let wrong = config(&["plan", "keys"]);
    let (line, text) = wrong
        .lines()
        .enumerate()
        .find(|(_, line)| line.starts_with("filters"))
        .unwrap();
    let place = format!(
        "windlass.toml:{}:{}:",
        line + 1,
        text.find("\"plan\"").unwrap() + 1
    );
    let builder = Gateway::with_config(&wrong);
    for refused in [builder.check(), builder.run_refused()] {
        assert_eq!(refused.code, Some(2), "{}", refused.errors);
        assert!(
            refused.errors.contains(&place),
            "no {place} in\n{}",
            refused.errors
        );
        assert!(refused.errors.contains("api-key.id"), "{}", refused.errors);
    }
}
