//! SIGHUP: the new configuration takes effect, or nothing changes.

use windlass_tests::{Reply, Request, Upstream};

use crate::config::{all_to, filtered, stamp, start};

fn config(order: &[&str], upstream: &Upstream) -> String {
    filtered(order, upstream.address()) + &stamp("first") + &stamp("second")
}

#[test]
fn twenty_reloads_under_load_fail_no_request_and_mix_no_orders() {
    let upstream = Upstream::with(|request, stream| {
        let order: Vec<_> = request.head.all("x-order").collect();
        Reply::status(200).body(order.join(" ")).write(stream)
    })
    .counting();
    let orders = [["first", "second"], ["second", "first"]];
    let gateway = start(&[&config(&orders[0], &upstream)]);
    let load = gateway.load(Request::get("/")).connections(8).start();
    load.wait_for_more(50);
    for number in 1..=20 {
        let told = gateway.reload(config(&orders[number % 2], &upstream));
        assert!(told.last().unwrap().contains("is in use"), "{told:?}");
        load.wait_for_more(50);
    }
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
    let seen: Vec<_> = report.bodies.keys().collect();
    assert_eq!(
        seen,
        ["first second", "second first"],
        "{:?}",
        report.bodies
    );
    let metrics = gateway.metrics_when("old configurations to be released", |metrics| {
        metrics["windlass_generations"] == 1.0
    });
    assert_eq!(metrics["windlass_generation"], 21.0);
    assert_eq!(
        metrics.with("windlass_reloads_total", &[("result", "done")]),
        20.0
    );
}

#[test]
fn a_broken_config_changes_nothing_and_says_where() {
    let upstream = Upstream::text("ok");
    let good = all_to(upstream.address());
    let gateway = start(&[&good]);
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "ok");
    let broken = good.replacen("upstream = \"app\"", "upstream = \"ap\"", 1);
    for (broken, place) in [
        (&*broken, "windlass.toml:3:12"),
        ("[[route]\n", "windlass.toml:1:"),
    ] {
        let told = gateway.reload(broken);
        assert!(told.iter().any(|line| line.contains(place)), "{told:?}");
        assert!(
            told.last().unwrap().contains("the old one stays in use"),
            "{told:?}"
        );
        assert_eq!(client.get("/").text(), "ok");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_generation"], 1.0);
    assert_eq!(
        metrics.with("windlass_reloads_total", &[("result", "refused")]),
        2.0
    );
    let told = gateway.reload(&good);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn a_request_ends_on_the_configuration_that_it_began_with() {
    let old = Upstream::gated(Reply::status(200).body("old"));
    let new = Upstream::text("new");
    let gateway = start(&[&all_to(old.address())]);
    let mut busy = gateway.client();
    busy.send_raw(Request::get("/").bytes());
    old.wait_for_requests(1);
    let told = gateway.reload(all_to(new.address()));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.get("/").text(), "new");
    assert_eq!(gateway.metrics()["windlass_generations"], 2.0);
    old.release(1);
    assert_eq!(busy.read_response().text(), "old");
    assert_eq!(busy.get("/").text(), "new");
    gateway.metrics_when("the old configuration to be released", |metrics| {
        metrics["windlass_generations"] == 1.0
    });
    old.wait_for_no_connection();
}

#[test]
fn what_a_reload_cannot_change_is_said_and_stays() {
    let upstream = Upstream::text("ok");
    let good = all_to(upstream.address());
    let gateway = start(&["[server]\nworkers = 1\n", &good]);
    let told = gateway.reload(format!("[server]\nworkers = 2\n{good}"));
    assert!(
        told.iter()
            .any(|line| line.contains("`[server] workers` takes a restart")),
        "{told:?}"
    );
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.get("/").text(), "ok");
    assert_eq!(
        gateway
            .metrics()
            .by("windlass_connections_total", "worker")
            .len(),
        1
    );
}

#[test]
fn a_filter_whose_settings_changed_has_the_new_ones_and_the_others_stay() {
    let upstream = Upstream::text("ok");
    let config = |word: &str| {
        filtered(&["first", "changed"], upstream.address())
            + &stamp("first")
            + &stamp("changed").replace("value = \"changed\"", &format!("value = \"{word}\""))
    };
    let gateway = start(&["[server]\nworkers = 1\n", &config("old")]);
    assert_eq!(gateway.get("/").headers("x-order"), ["old", "first"]);
    let before = gateway
        .metrics()
        .by("windlass_filter_instances_total", "filter");
    let told = gateway.reload(["[server]\nworkers = 1\n", &config("new")].concat());
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.get("/").headers("x-order"), ["new", "first"]);
    let after = gateway
        .metrics()
        .by("windlass_filter_instances_total", "filter");
    assert_eq!(after["first"], before["first"]);
    assert_eq!(gateway.metrics()["windlass_wasm_components"], 1.0);
}
