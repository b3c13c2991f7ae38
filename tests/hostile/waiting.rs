//! Instances are made off the workers. A filter that starts slowly delays only its own requests,
//! and these only up to a limit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use windlass_tests::{Gateway, Upstream};

use crate::stage::{Stage, figure};

/// A gateway of one worker with an actor on `/act` that takes 400 ms to start, another one on
/// `/other`, and `/calm` without filters.
fn gateway(upstream: &Upstream, keys: &str) -> Gateway {
    let slow = "settings = { configure = [{ spin-until-passed = 400 }] }";
    Stage::of_one_actor(upstream, &format!("{keys}\n{slow}"))
        .actor("other", "isolation = \"request\"")
        .route("/other", &["other"])
        .route("/calm", &[])
        .start()
}

/// Send this many requests at once. Returns their statuses, and how many other requests were
/// answered before the last of them.
fn at_once(gateway: &Gateway, count: usize) -> (Vec<u16>, usize) {
    let left = AtomicUsize::new(count);
    thread::scope(|scope| {
        let asking = (0..count).map(|_| {
            scope.spawn(|| {
                let answer = gateway.get("/act");
                left.fetch_sub(1, Ordering::SeqCst);
                let wait = (answer.status == 503).then_some("1");
                assert_eq!(answer.header("retry-after"), wait);
                answer.status
            })
        });
        let asking: Vec<_> = asking.collect();
        let mut meanwhile = 0;
        while left.load(Ordering::SeqCst) > 0 {
            for calm in ["/calm", "/other"] {
                assert_eq!(gateway.get(calm).status, 200, "{calm}");
            }
            meanwhile += 1;
        }
        let statuses = asking.into_iter().map(|asking| asking.join().unwrap());
        (statuses.collect(), meanwhile)
    })
}

#[test]
fn a_slow_start_with_an_instance_for_each_request_holds_nobody_else() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "isolation = \"request\"");
    let (statuses, meanwhile) = at_once(&gateway, 6);
    assert_eq!(statuses, [200; 6]);
    assert!(
        meanwhile > 5,
        "{meanwhile} requests were answered meanwhile"
    );
}

#[test]
fn a_slow_start_after_a_recycle_holds_nobody_else() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "recycle = { calls = 1 }");
    let (statuses, meanwhile) = at_once(&gateway, 6);
    assert_eq!(statuses, [200; 6]);
    assert!(
        meanwhile > 5,
        "{meanwhile} requests were answered meanwhile"
    );
}

#[test]
fn a_request_waits_for_an_instance_within_its_bound() {
    let upstream = Upstream::text("well");
    let keys = "isolation = \"request\"\nlimits = { wait = \"50ms\" }";
    let gateway = gateway(&upstream, keys);
    let refused = || {
        let metrics = gateway.metrics();
        metrics.with("windlass_errors_total", &[("code", "filter_busy")])
    };
    let before = refused();
    let (statuses, _) = at_once(&gateway, 6);
    let busy = statuses.iter().filter(|status| **status == 503).count();
    assert!(busy > 0, "{statuses:?}");
    assert!((refused() - before - f64::from(u32::try_from(busy).unwrap())).abs() < 0.5);
    // This is not a failure of the filter.
    assert_eq!(figure(&gateway.metrics(), "suspended", "actor"), 0.0);
    assert_eq!(figure(&gateway.metrics(), "failures_total", "actor"), 0.0);
}

#[test]
fn a_request_that_waited_too_long_goes_on_where_the_filter_may_be_skipped() {
    let upstream = Upstream::text("well");
    let keys = "isolation = \"request\"\non_error = \"skip\"\nlimits = { wait = \"50ms\" }";
    let (statuses, _) = at_once(&gateway(&upstream, keys), 6);
    assert_eq!(statuses, [200; 6]);
}

#[test]
fn a_client_that_leaves_while_it_waits_costs_no_instance() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "isolation = \"request\"");
    for _ in 0..3 {
        for _ in 0..4 {
            let mut client = gateway.client();
            client.send_raw("GET /act HTTP/1.1\r\nhost: a\r\n\r\n");
        }
        assert_eq!(gateway.get("/act").status, 200);
    }
}

#[test]
fn configurations_that_live_on_keep_no_instance_from_the_next() {
    let upstream = Upstream::echo();
    let keys = "limits = { wait = \"2s\" }";
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    let same = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    let mut unfinished = Vec::new();
    for _ in 0..4 {
        assert_eq!(gateway.get("/act").status, 200);
        let mut client = gateway.client();
        client.send_raw("POST /act HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n");
        gateway.metrics_when("the request to run", |metrics| {
            metrics["windlass_requests_active"]
                > f64::from(u32::try_from(unfinished.len()).unwrap())
        });
        unfinished.push(client);
        gateway.reload(&same);
    }
    for _ in 0..10 {
        assert_eq!(gateway.get("/act").status, 200);
    }
    for mut client in unfinished {
        client.send_raw("end");
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn no_request_is_forgotten_while_instances_come_and_go() {
    let upstream = Upstream::text("well");
    let gateway = gateway(&upstream, "recycle = { calls = 1 }");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..300 {
                    assert_eq!(gateway.get("/other").status, 200);
                }
            });
        }
    });
    assert!(figure(&gateway.metrics(), "busy_requests_total", "other") < 0.5);
}
