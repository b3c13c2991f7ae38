//! Drains, and endpoints that leave.

use super::*;

#[test]
fn a_drain_waits_for_a_request_that_is_probably_on_its_way() {
    let limits = ClientTimeouts {
        head: 1,
        idle: 75_000,
        body: None,
        write: 1,
        min_rates: MinRates::default(),
    };
    let answered = |ago: u64| {
        let watch = Watch::unarmed(WorkerShared::new(), limits, MIN_TICK, false);
        watch.count_served();
        watch.shared.clock.set(100_000 - ago);
        watch.enter(ConnectionPhase::Answered);
        watch.on_flushed();
        watch.shared.clock.set(100_000);
        watch.drain(1000);
        watch
    };
    assert!(answered(5000).is_idle_after_request());
    let watch = answered(300);
    assert!(!watch.is_idle_after_request());
    watch.check(100_900, &[]);
    assert!(!watch.expired(TimeoutKind::Client));
    watch.check(101_100, &[]);
    assert!(watch.expired(TimeoutKind::Client));
}

#[test]
fn only_the_exchange_with_the_endpoint_that_left_is_signed() {
    let limits = ClientTimeouts {
        head: 1,
        idle: 1,
        body: None,
        write: 1,
        min_rates: MinRates::default(),
    };
    let watch = Watch::unarmed(WorkerShared::new(), limits, MIN_TICK, false);
    watch.begin_exchange(false);
    watch.set_endpoint(1);
    watch.check(1, &[2]);
    assert!(!watch.has_endpoint_left());
    watch.check(1, &[1]);
    assert!(watch.has_endpoint_left());
    // Another attempt begins, and has no endpoint yet.
    watch.begin_retry();
    watch.check(1, &[1]);
    assert!(!watch.has_endpoint_left());
    watch.set_endpoint(2);
    watch.check(1, &[1, 2]);
    assert!(watch.has_endpoint_left());
    watch.begin_exchange(false);
    watch.check(1, &[1, 2]);
    assert!(!watch.has_endpoint_left(), "the next request");
}
