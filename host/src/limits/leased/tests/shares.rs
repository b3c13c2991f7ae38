//! Unknown shares, small ones, and those of gateways that went away.

use super::*;

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_is_not_there_at_the_start_is_found_later() {
    let mut server = RedisServer::forgetful();
    server.kill();
    let plan = quota(10);
    let gateway = TestGateway::start(&server, &plan, policy(5, OnUnavailable::Deny));
    assert_eq!(gateway.ask("k", 1).refused_by, Some(BoundKind::Unavailable));
    server.restart();
    gateway.until("it to be there", |gateway| gateway.limits.state().reachable);
    let decisions: Vec<_> = (0..12).map(|_| gateway.ask("k", 1)).collect();
    let allowed = decisions.iter().filter(|decision| decision.allowed).count();
    assert_eq!(allowed, 10);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn small_quotas_are_admitted_to_the_last() {
    let server = RedisServer::forgetful();
    for limit in [1, 2, 3, 10, 19] {
        let plan = UsagePlan {
            name: format!("plan-{limit}").into(),
            ..quota(limit)
        };
        let gateways = three(&server, &plan, policy(100, OnUnavailable::Deny));
        let decisions: Vec<_> = (0..3 * usize::try_from(limit).unwrap() + 3)
            .map(|number| gateways[number % 3].ask("k", 1))
            .collect();
        let allowed = decisions.iter().filter(|decision| decision.allowed);
        assert_eq!(allowed.count() as u64, limit);
        for refused in decisions.iter().filter(|decision| !decision.allowed) {
            assert_eq!(refused.refused_by, Some(BoundKind::Quota), "of {limit}");
        }
    }
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_is_left_is_told_and_not_what_is_leased() {
    let server = RedisServer::forgetful();
    let gateway = TestGateway::start(&server, &quota(100), policy(5, OnUnavailable::Deny));
    for number in 1..=100 {
        let decision = gateway.ask("k", 1);
        let quota = decision.quota.unwrap();
        assert_eq!((quota.limit, quota.remaining), (100, 100 - number));
    }
    let refused = gateway.ask("k", 1);
    assert_eq!(refused.refused_by, Some(BoundKind::Quota));
    assert_eq!(refused.quota.unwrap().remaining, 0);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn the_lease_of_a_gateway_that_stands_still_is_used_by_others_and_not_by_it() {
    let server = RedisServer::forgetful();
    let plan = quota(100);
    let policy = policy(10, OnUnavailable::Deny);
    let gateways = [
        TestGateway::start(&server, &plan, policy),
        TestGateway::start(&server, &plan, policy),
    ];
    gateways[0].admit("k", 12);
    // Its thread stops while it has a lease.
    let guard = {
        let shared = &gateways[0].limits.shared;
        shared.queue.lock().stop = true;
        shared.wake.notify_all();
        gateways[0].limits.thread.lock().take().unwrap()
    };
    drop(guard);
    gateways[1].admit("k", 80);
    let end = Instant::now() + Duration::from_millis(lease::LEASE_MS);
    until("the end of the lease", || Instant::now() > end);
    let late = gateways[0].limits.take(&TakeRequest {
        plan: Some(&gateways[0].plan),
        key: "k",
        method: None,
        route: None,
        gateway: None,
        cost: 1,
        now: Timestamp::now(),
    });
    assert!(!late.allowed, "{late:?}");
    gateways[1].admit("k", 8);
    assert_eq!(gateways[1].ask("k", 1).refused_by, Some(BoundKind::Quota));
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_request_that_the_routes_rate_refuses_waits_for_no_share() {
    let server = RedisServer::forgetful();
    let gateway = TestGateway::start(&server, &rate(0.001, 5), policy(5, OnUnavailable::Deny));
    let limits = &gateway.limits;
    let slow = RateLimit {
        per_second: 0.001,
        burst: 1,
    };
    let route = limits.local().shared_rate("route", slow).unwrap();
    let take = |plan, key| TakeRequest {
        plan,
        key,
        method: None,
        route: Some(&route),
        gateway: None,
        cost: 1,
        now: Timestamp::now(),
    };
    // The share of a new key is unknown.
    assert!(limits.wait(&take(Some(&gateway.plan), "first")).is_some());
    assert!(limits.take(&take(None, "")).allowed);
    let taking = take(Some(&gateway.plan), "second");
    assert!(limits.wait(&taking).is_none());
    let refused = limits.take(&taking);
    assert_eq!(refused.refused_by, Some(BoundKind::Route));
    assert!(!refused.pending && refused.retry_after_ms > 1_000);
    assert_eq!(refused.shared.unwrap().remaining, 0);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_this_gateway_alone_has_used_up_is_refused_without_a_wait() {
    let server = RedisServer::forgetful();
    let gateway = TestGateway::start(&server, &rate(0.001, 5), policy(5, OnUnavailable::Deny));
    gateway.admit("k", 5);
    let now = Timestamp::now();
    let take = TakeRequest {
        plan: Some(&gateway.plan),
        key: "k",
        method: None,
        route: None,
        gateway: None,
        cost: 1,
        // An answer of the store decides for a second.
        now: Timestamp {
            monotonic_ns: now.monotonic_ns + 2_000_000_000,
            ..now
        },
    };
    assert!(gateway.limits.wait(&take).is_none());
    let refused = gateway.limits.take(&take);
    assert_eq!(refused.refused_by, Some(BoundKind::Plan));
    assert!(!refused.pending);
}
