//! How requests are spread over endpoints, and connections over workers.

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
fn a_slow_endpoint_gets_few_requests_where_loads_are_looked_at() {
    // Four times 50, 5 and 5 ms, so that delays of a busy machine are small beside them.
    let after = |millis, text| {
        let reply = Reply::status(200).body(text);
        Upstream::slow(Duration::from_millis(millis), reply).counting()
    };
    let (slow, one, two) = (after(200, "slow"), after(20, "one"), after(20, "two"));
    let run = |policy| {
        let gateway = start(&[&format!(
            "[server]\nworkers = 2\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
             balance = \"{policy}\"\n\
             endpoints = [{{ address = \"{}\" }}, {{ address = \"{}\" }}, {{ address = \"{}\" }}]\n",
            slow.address(),
            one.address(),
            two.address()
        )]);
        let report = gateway.load(Request::get("/")).connections(32).run(2000);
        assert_eq!(report.status(200), 2000);
        let active = gateway.metrics()["windlass_endpoint_requests_active"];
        assert_eq!(active, 0.0, "leases that did not return");
        (report.share("slow"), report.p90())
    };
    let (_, in_turn) = run("round-robin");
    for policy in ["least-connections", "two-choices"] {
        let (share, p90) = run(policy);
        assert!(share < 0.15, "{policy}: {share}");
        assert!(p90 * 3 <= in_turn, "{policy}: {p90:?} of {in_turn:?}");
    }
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
    // Open connections stay with their worker and keep working.
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
}
