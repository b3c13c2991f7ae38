//! A restart on one machine: a successor takes over while the old gateway drains.

use rustix::process::Signal;
use windlass_tests::{Client, Gateway, Reply, Request, Upstream, wait};

use crate::config::all_to;
use crate::operator::{builder, call, create, get};

const IDLE: &str = "[[route]]\npath = \"/own\"\nrespond = { body = \"ok\" }\n";

fn long_stream(gateway: &Gateway, upstream: &Upstream) -> Client {
    let mut client = gateway.client();
    client.send_raw(Request::get("/long").bytes());
    upstream.wait_for_requests(1);
    client
}

fn is_draining(gateway: &Gateway) {
    gateway
        .log()
        .wait_for_line(|line| line.contains("draining:"));
}

#[test]
fn a_successor_serves_while_the_old_gateway_drains_its_admin_listener_included() {
    let upstream = Upstream::gated(Reply::status(200).body("whole"));
    let config = format!("{IDLE}{}", all_to(upstream.address()));
    let old = Gateway::with_config(config).start();
    let mut client = long_stream(&old, &upstream);
    old.signal(Signal::TERM);
    is_draining(&old);
    assert_eq!(old.admin("/readyz").text(), "draining\n");
    let new = old.successor().start();
    assert_eq!(
        (new.address(), new.admin_address()),
        (old.address(), old.admin_address())
    );
    assert_eq!(new.get("/own").text(), "ok");
    old.log()
        .wait_for_line(|line| line.contains("a successor serves"));
    for _ in 0..20 {
        assert_eq!(new.admin("/readyz").text(), "ok\n");
    }
    upstream.release(1);
    assert_eq!(client.read_response().text(), "whole");
    assert_eq!(old.wait_for_end().code(), Some(0));
    assert!(new.terminate().success());
}

#[test]
fn a_gateway_that_does_not_drain_shares_nothing() {
    let old = Gateway::with_config(IDLE).start();
    let refused = old.successor().run_refused();
    assert_eq!(refused.code, Some(1));
    assert!(refused.errors.contains("is in use"), "{}", refused.errors);
    assert_eq!(old.get("/own").text(), "ok");
    assert_eq!(old.admin("/readyz").status, 200);
}

#[test]
fn a_successor_whose_start_fails_takes_nothing() {
    let upstream = Upstream::gated(Reply::status(200));
    let config = format!(
        "[server]\ndrain_delay = \"1h\"\n{IDLE}{}",
        all_to(upstream.address())
    );
    let old = Gateway::with_config(config).start();
    old.signal(Signal::TERM);
    old.log()
        .wait_for_line(|line| line.contains("draining soon"));
    let broken = "\n[filter.none]\nplugin = \"none.wasm\"\n";
    let next = old.successor();
    let file = old.folder().join("windlass.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}{broken}")).unwrap();
    let refused = next.run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    for _ in 0..20 {
        assert_eq!(old.get("/own").text(), "ok");
        assert_eq!(old.admin("/livez").status, 200);
    }
    old.signal(Signal::TERM);
    assert_eq!(old.wait_for_end().code(), Some(0));
}

#[test]
fn drain_delay_goes_on_taking_requests_while_readyz_says_503() {
    let old = Gateway::with_config(format!("[server]\ndrain_delay = \"1h\"\n{IDLE}")).start();
    old.signal(Signal::TERM);
    wait::until("readyz to say 503", || {
        (old.admin("/readyz").status == 503).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(old.get("/own").text(), "ok");
    }
    // A second signal ends the delay.
    old.signal(Signal::TERM);
    assert_eq!(old.wait_for_end().code(), Some(0));
    let old = Gateway::with_config(format!("[server]\ndrain_delay = \"300ms\"\n{IDLE}")).start();
    assert_eq!(old.terminate().code(), Some(0));
}

#[test]
fn no_request_is_lost_from_one_gateway_to_the_next_under_load() {
    let upstream = Upstream::text("ok");
    let config = format!(
        "[server]\ndrain_delay = \"1h\"\nworkers = 2\n{}",
        all_to(upstream.address())
    );
    let mut gateway = Gateway::with_config(config).start();
    // Each request uses a new connection, because an idle one may be closed at any time.
    let request = Request::get("/").header("connection", "close");
    let load = gateway.load(request).connections(6).start();
    for _ in 0..4 {
        load.wait_for_more(100);
        gateway.signal(Signal::TERM);
        gateway
            .log()
            .wait_for_line(|line| line.contains("draining soon"));
        load.wait_for_more(20);
        let next = gateway.successor().start();
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        gateway = next;
    }
    load.wait_for_more(100);
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
}

fn used(gateway: &Gateway, id: &str) -> u64 {
    let usage = get(gateway, "/v1/usage?plan=gold").json();
    let days = usage["items"][id].as_array().cloned().unwrap_or_default();
    days.iter().filter_map(|day| day[0].as_u64()).sum()
}

/// The rest of today's quota.
fn remaining(gateway: &Gateway, id: &str) -> Option<u64> {
    let usage = get(gateway, "/v1/usage?plan=gold").json();
    usage["items"][id].as_array()?.last()?[1].as_u64()
}

#[test]
fn the_store_is_the_successors_and_what_the_old_gateway_still_counts_is_counted() {
    let upstream = Upstream::text("ok");
    let more = "\n[server]\ndrain_delay = \"1h\"\n";
    let old = builder(&["keys", "plan"], &upstream, more).start();
    let plan = "{\"name\":\"gold\",\"quota\":{\"limit\":1000,\"period\":\"month\"}}";
    assert_eq!(call(&old, "POST", "/v1/plans", plan).status, 201);
    let (id, key) = create(&old, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let (late_id, late) = create(&old, "{\"consumer\":\"late\",\"plans\":[\"gold\"]}");
    let request = |key: &str| Request::get("/").header("x-api-key", key);
    let mut kept = old.client();
    for _ in 0..7 {
        assert_eq!(kept.send(&request(&key)).status, 200);
    }
    old.signal(Signal::TERM);
    old.log()
        .wait_for_line(|line| line.contains("draining soon"));
    // The storage is free at once, and usage through the old gateway still counts.
    for _ in 0..5 {
        assert_eq!(kept.send(&request(&key)).status, 200);
    }
    let new = old.successor().start();
    // `kept` is a connection to the old gateway; its last responses close it.
    let mut counted = 12;
    if let Ok(answer) = kept.try_send(&request(&key)) {
        assert_eq!(answer.status, 200);
        counted += 1;
    }
    for _ in 0..3 {
        assert_eq!(new.send(&request(&key)).status, 200);
        counted += 1;
    }
    assert_eq!(new.send(&request(&late)).status, 200);
    assert_eq!(old.wait_for_end().code(), Some(0));
    wait::until("what the old gateway counted", || {
        (used(&new, &id) == counted).then_some(())
    });
    assert_eq!(used(&new, &late_id), 1);
    wait::until("the quota to have it, too", || {
        (remaining(&new, &id) == Some(1000 - counted)).then_some(())
    });
    // The count is the same after the next start. The second signal ends the delay.
    new.signal(Signal::TERM);
    new.log()
        .wait_for_line(|line| line.contains("draining soon"));
    let again = new.end().start();
    assert_eq!(used(&again, &id), counted);
    assert_eq!(remaining(&again, &id), Some(1000 - counted));
}

#[test]
fn counts_are_exact_from_one_gateway_to_the_next_under_load() {
    let upstream = Upstream::text("ok");
    let more = "\n[server]\ndrain_delay = \"1h\"\n";
    let mut gateway = builder(&["keys", "plan"], &upstream, more).start();
    let plan = "{\"name\":\"gold\",\"quota\":{\"limit\":1000000,\"period\":\"month\"}}";
    assert_eq!(call(&gateway, "POST", "/v1/plans", plan).status, 201);
    let (id, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let request = Request::get("/")
        .header("x-api-key", key.as_str())
        .header("connection", "close");
    let load = gateway.load(request).connections(4).start();
    for _ in 0..3 {
        load.wait_for_more(50);
        gateway.signal(Signal::TERM);
        gateway
            .log()
            .wait_for_line(|line| line.contains("draining soon"));
        load.wait_for_more(20);
        let next = gateway.successor().start();
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        gateway = next;
    }
    load.wait_for_more(50);
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
    let all = report.status(200) as u64;
    wait::until("every request to be counted", || {
        let counted = used(&gateway, &id);
        assert!(counted <= all, "{counted} of {all}");
        (counted == all && remaining(&gateway, &id) == Some(1_000_000 - all)).then_some(())
    });
}
