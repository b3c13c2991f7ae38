//! Stop 6 and stop 1: who gets how much.

use std::time::Duration;

use windlass_tests::{Reply, Request, Upstream};

use crate::config::start;

#[test]
fn a_hundred_thousand_requests_split_three_to_one() {
    let heavy = Upstream::text("heavy").counting();
    let light = Upstream::text("light").counting();
    let gateway = start(&[&format!(
        "[server]\nworkers = 2\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{{ address = \"{}\", weight = 3 }}, {{ address = \"{}\", weight = 1 }}]\n",
        heavy.address(),
        light.address()
    )]);
    let report = gateway.load(Request::get("/")).connections(16).run(100_000);
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.status(200), 100_000);
    let share = report.share("heavy");
    assert!((0.74..=0.76).contains(&share), "{share}");
}

#[test]
fn a_slow_endpoint_gets_few_requests_under_least_connections() {
    let quick = |text| Upstream::slow(Duration::from_millis(3), Reply::status(200).body(text));
    let (one, two) = (quick("one").counting(), quick("two").counting());
    let slow =
        Upstream::slow(Duration::from_millis(30), Reply::status(200).body("slow")).counting();
    let gateway = start(&[&format!(
        "[server]\nworkers = 2\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         balance = \"least-connections\"\n\
         endpoints = [{{ address = \"{}\" }}, {{ address = \"{}\" }}, {{ address = \"{}\" }}]\n",
        slow.address(),
        one.address(),
        two.address()
    )]);
    let report = gateway.load(Request::get("/")).connections(32).run(6000);
    assert_eq!(report.status(200), 6000);
    let share = report.share("slow");
    assert!(share < 0.15, "{share}");
    let active = gateway.metrics()["windlass_endpoint_requests_active"];
    assert_eq!(active, 0.0, "leases that did not return");
}

#[test]
fn no_worker_holds_over_sixty_of_a_hundred_connections() {
    let gateway =
        start(&["[server]\nworkers = 2\n[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n"]);
    let mut clients: Vec<_> = (0..100).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let open = gateway.metrics().by("windlass_connections_open", "worker");
    assert_eq!(open.values().sum::<f64>(), 100.0, "{open:?}");
    assert_eq!(open.len(), 2);
    assert!(open.values().all(|open| *open <= 60.0), "{open:?}");
    // They stay where they are, and go on.
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
}
