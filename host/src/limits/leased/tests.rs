//! The promises of several gateways on one Redis together, each a [`LeasedLimits`] here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot::error::TryRecvError;

mod burst;
mod shares;

use super::*;
use crate::limits::plan::MethodRate;
use crate::model::period::{MonthDay, Period};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::shared_store::test_server::RedisServer;

/// How long anything may take before its test fails.
const DEADLINE: Duration = Duration::from_secs(30);

fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        timeout: Duration::from_millis(500),
        ..crate::shared_store::test_server::settings(server)
    }
}

fn policy(max_lease: u64, on_unavailable: OnUnavailable) -> LeasePolicy {
    LeasePolicy {
        max_lease,
        on_unavailable,
        max_counters: 10_000,
        max_wait: Duration::from_secs(2),
        recording: true,
    }
}

/// A gateway's, with a plan that it knows.
struct TestGateway {
    limits: Arc<LeasedLimits>,
    plan: EnrolledPlan,
}

impl TestGateway {
    fn start(server: &RedisServer, plan: &UsagePlan, policy: LeasePolicy) -> Self {
        let limits = LeasedLimits::start(&settings(server), policy).unwrap();
        let plan = limits.local().enroll(plan.clone()).unwrap();
        Self { limits, plan }
    }

    fn ask(&self, key: &str, cost: u64) -> Decision {
        self.ask_method(key, cost, None)
    }

    fn ask_method(&self, key: &str, cost: u64, method: Option<usize>) -> Decision {
        let end = Instant::now() + self.limits.max_wait().unwrap();
        loop {
            let take = TakeRequest {
                plan: Some(&self.plan),
                key,
                method,
                route: None,
                gateway: None,
                cost,
                now: Timestamp::now(),
            };
            if Instant::now() < end
                && let Some(mut answer) = self.limits.wait(&take)
            {
                while answer.try_recv() == Err(TryRecvError::Empty) && Instant::now() < end {
                    thread::park_timeout(Duration::from_micros(50));
                }
                continue;
            }
            let decision = self.limits.take(&take);
            if !decision.pending || Instant::now() >= end {
                return decision;
            }
        }
    }

    /// Ask until the deadline for what is to come.
    fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        until(what, || is(self));
    }

    /// Let so many in, however long it takes.
    fn admit(&self, key: &str, count: u64) {
        for number in 0..count {
            self.until(&format!("request {number}"), |gateway| {
                gateway.ask(key, 1).allowed
            });
        }
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn quota(limit: u64) -> UsagePlan {
    UsagePlan {
        name: "gold".into(),
        rate: None,
        quota: Some(QuotaLimit {
            limit,
            // No test runs over the end of a month, but for the one night.
            period: Period::Month(MonthDay::FIRST),
        }),
        methods: Vec::new(),
        apis: Vec::new(),
    }
}

fn rate(per_second: f64, burst: u64) -> UsagePlan {
    UsagePlan {
        rate: Some(RateLimit { per_second, burst }),
        quota: None,
        ..quota(1)
    }
}

/// Three gateways, and how many requests of one key each thread of each has let in.
fn three(server: &RedisServer, plan: &UsagePlan, policy: LeasePolicy) -> Vec<TestGateway> {
    let gateways: Vec<_> = (0..3)
        .map(|_| TestGateway::start(server, plan, policy))
        .collect();
    until("all to know of each other", || {
        let sees_all = |gateway: &TestGateway| gateway.limits.bound(plan).gateways == 3;
        gateways.iter().all(sees_all)
    });
    gateways
}

/// Hammer all gateways from two threads each until `stop`. Gives what was let in.
fn hammer(gateways: &[TestGateway], stop: &AtomicBool, admitted: &AtomicU64) {
    thread::scope(|scope| {
        for gateway in gateways {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        if gateway.ask("k", 1).allowed {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        } else {
                            thread::yield_now();
                        }
                        assert!(begin.elapsed() < Duration::from_secs(5), "it waited");
                    }
                });
            }
        }
    });
}

/// The same, with something that happens meanwhile and then stops it.
fn hammered(gateways: &[TestGateway], meanwhile: impl FnOnce(&AtomicU64) + Send) -> u64 {
    let (stop, admitted) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever happens: a failure here must not hammer forever.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                meanwhile(&admitted);
            }));
            stop.store(true, Ordering::Relaxed);
            if let Err(failure) = outcome {
                std::panic::resume_unwind(failure);
            }
        });
        hammer(gateways, &stop, &admitted);
    });
    admitted.load(Ordering::Relaxed)
}

/// Wait until nothing more is let in for a while: the budget is empty.
fn wait_for_the_end(admitted: &AtomicU64) {
    let end = Instant::now() + DEADLINE;
    let mut last = (admitted.load(Ordering::Relaxed), Instant::now());
    while last.1.elapsed() < Duration::from_millis(2500) {
        assert!(Instant::now() < end, "it does not end");
        thread::park_timeout(Duration::from_millis(20));
        let now = admitted.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn three_gateways_admit_a_quota_within_the_bound() {
    let server = RedisServer::forgetful();
    let plan = quota(10_000);
    let gateways = three(&server, &plan, policy(200, OnUnavailable::Deny));
    let bound = gateways[0].limits.bound(&plan);
    assert_eq!((bound.quota, bound.gateways), (200, 3));
    let admitted = hammered(&gateways, wait_for_the_end);
    let most = 10_000 + bound.gateways * bound.quota;
    assert!((10_000..=most).contains(&admitted), "{admitted}");
    let refused = gateways[0].ask("k", 1);
    assert_eq!(refused.refused_by, Some(BoundKind::Quota));
    assert!(refused.retry_after_ms > 1000, "the end of the month");
    assert_eq!(refused.quota.unwrap().remaining, 0);
    // Another key has a quota of its own.
    assert!(gateways[0].ask("other", 1).allowed);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_durable_redis_that_is_killed_and_restarted_under_load_gives_no_quota_twice() {
    restart_under_load(RedisServer::durable());
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_redis_that_comes_back_empty_gives_no_quota_twice() {
    restart_under_load(RedisServer::forgetful());
}

fn restart_under_load(mut server: RedisServer) {
    let plan = quota(100_000);
    let gateways = three(&server, &plan, policy(1000, OnUnavailable::Deny));
    let bound = gateways[0].limits.bound(&plan);
    let admitted = hammered(&gateways, |admitted| {
        until("some to be let in", || {
            admitted.load(Ordering::Relaxed) > 20_000
        });
        server.kill();
        until("the policy to answer", || {
            let states = gateways.iter().map(|gateway| gateway.limits.state());
            states
                .into_iter()
                .all(|state| !state.reachable && state.refused_unavailable > 0)
        });
        server.restart();
        until("it to be there again", || {
            let mut states = gateways.iter().map(|gateway| gateway.limits.state());
            states.all(|state| state.reachable)
        });
        wait_for_the_end(admitted);
    });
    let most = 100_000 + bound.gateways * bound.quota;
    // The second does not learn of amounts that were returned just before the end of the first.
    let least = 100_000 - bound.gateways * bound.quota;
    assert!((least..=most).contains(&admitted), "{admitted}");
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn without_its_store_the_policy_answers() {
    for on_unavailable in [
        OnUnavailable::Deny,
        OnUnavailable::Allow,
        OnUnavailable::Local,
    ] {
        let mut server = RedisServer::durable();
        let plan = quota(20);
        let gateway = TestGateway::start(&server, &plan, policy(5, on_unavailable));
        gateway.admit("k", 3);
        server.kill();
        gateway.until("it to be missed", |gateway| {
            !gateway.limits.state().reachable
        });
        let decisions: Vec<_> = (0..50).map(|_| gateway.ask("k", 1)).collect();
        let allowed = decisions.iter().filter(|decision| decision.allowed).count() as u64;
        let state = gateway.limits.state();
        let refused = decisions.last().unwrap().refused_by;
        match on_unavailable {
            // The leases, and the requests that were let in before the storage answered.
            OnUnavailable::Deny => {
                assert!(allowed <= 5, "{allowed}");
                assert_eq!(refused, Some(BoundKind::Unavailable));
                assert_eq!(state.refused_unavailable, 50 - allowed);
            }
            OnUnavailable::Allow => {
                assert_eq!(allowed, 50);
                assert!(state.allowed_unavailable >= 40);
            }
            OnUnavailable::Local => {
                assert_eq!(allowed, 17, "the plan's bounds, alone");
                assert_eq!(refused, Some(BoundKind::Quota));
            }
        }
        server.restart();
        gateway.until("it to be there", |gateway| gateway.limits.state().reachable);
        // The requests that were let in meanwhile are settled.
        gateway.until("the debts to be settled", |gateway| {
            let now = Timestamp::now();
            let status = gateway
                .limits
                .quota_status(&gateway.plan, "k", now)
                .unwrap();
            status.used >= 3 + allowed
        });
        if on_unavailable != OnUnavailable::Deny {
            gateway.until("the quota to be spent", |gateway| {
                gateway.ask("k", 1).refused_by == Some(BoundKind::Quota)
            });
        }
        // Usage is reported whatever the policy was.
        let mut reported = 0;
        gateway.limits.take_pending_usage(&mut |delta| {
            assert_eq!(delta.quota, None);
            reported += delta.used;
        });
        assert!(
            reported >= 3 + i64::try_from(allowed).unwrap(),
            "{reported}"
        );
    }
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_redis_that_stands_still_holds_up_nobody() {
    let server = RedisServer::forgetful();
    let plan = quota(1_000_000);
    let gateways = vec![TestGateway::start(
        &server,
        &plan,
        policy(100, OnUnavailable::Deny),
    )];
    hammered(&gateways, |admitted| {
        until("some to be let in", || {
            admitted.load(Ordering::Relaxed) > 1000
        });
        server.pause();
        until("the policy to answer", || {
            gateways[0].limits.state().refused_unavailable > 0
        });
        let before = admitted.load(Ordering::Relaxed);
        server.resume();
        until("more to be let in", || {
            admitted.load(Ordering::Relaxed) > before + 1000
        });
    });
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_rate_is_shared() {
    let server = RedisServer::forgetful();
    let plan = rate(100.0, 20);
    let gateways = three(&server, &plan, policy(5, OnUnavailable::Deny));
    let bound = gateways[0].limits.bound(&plan);
    assert_eq!((bound.rate, bound.quota), (5, 0));
    let begin = Instant::now();
    let mut span = Duration::ZERO;
    let admitted = hammered(&gateways, |_| {
        until("three seconds", || begin.elapsed() > Duration::from_secs(3));
        span = begin.elapsed();
    });
    let whole = u64::try_from(span.as_millis()).unwrap() / 10;
    // The burst, the debts, and what comes back between the last answer and the end.
    let most = whole + 20 + bound.gateways * bound.rate + 10;
    let least = whole * 8 / 10;
    assert!((least..=most).contains(&admitted), "{admitted} in {span:?}");
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_method_has_a_rate_of_its_own() {
    let server = RedisServer::forgetful();
    let mut plan = quota(1000);
    plan.methods = vec![MethodRate {
        method: "GET".into(),
        path: "/a".into(),
        rate: RateLimit {
            per_second: 0.001,
            burst: 4,
        },
    }];
    let gateways = three(&server, &plan, policy(2, OnUnavailable::Deny));
    let admitted: usize = (0..200)
        .map(|number| {
            let decision = gateways[number % 3].ask_method("k", 1, Some(0));
            thread::park_timeout(Duration::from_millis(2));
            usize::from(decision.allowed)
        })
        .sum();
    assert!((4..=10).contains(&admitted), "{admitted}");
    let refused = gateways[0].ask_method("k", 1, Some(0));
    assert_eq!(refused.refused_by, Some(BoundKind::Method));
    gateways[0].until("the plan itself", |gateway| gateway.ask("k", 1).allowed);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_one_gateway_does_not_use_another_does() {
    let server = RedisServer::forgetful();
    let plan = quota(100);
    let gateways = three(&server, &plan, policy(10, OnUnavailable::Deny));
    // Each has a lease now, and the first two stop.
    for gateway in &gateways {
        gateway.admit("k", 1);
    }
    gateways[2].admit("k", 97);
    // A gateway that ends gives back what it holds, too.
    let plan = UsagePlan {
        name: "other".into(),
        ..plan
    };
    let mut last = TestGateway::start(&server, &plan, policy(10, OnUnavailable::Deny));
    last.admit("k", 8);
    last.until("a lease", |gateway| {
        let shared = &gateway.limits.shared;
        let mut locked = shared.leases.lock(gateway.plan.number, "k");
        let entry = locked.find().unwrap();
        let lease = &entry.quota.as_ref().unwrap().lease;
        lease.available(Timestamp::now()) > 0
    });
    let of = last.plan;
    last = TestGateway::start(&server, &plan, policy(10, OnUnavailable::Deny));
    let status = last
        .limits
        .quota_status(&of, "k", Timestamp::now())
        .unwrap();
    assert_eq!(status.used, 8, "{status:?}");
    last.admit("k", 92);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn an_extension_is_in_force_on_every_gateway() {
    let server = RedisServer::forgetful();
    let plan = quota(30);
    let gateways = three(&server, &plan, policy(3, OnUnavailable::Deny));
    gateways[0].admit("k", 28);
    for gateway in &gateways {
        gateway.until("the quota to be spent", |gateway| {
            gateway.ask("k", 1).refused_by == Some(BoundKind::Quota)
        });
    }
    let now = Timestamp::now();
    let limits = &gateways[0].limits;
    let extended = limits.extend(&gateways[0].plan, "k", 50, now).unwrap();
    assert_eq!(
        (extended.remaining, extended.period),
        (50, Period::Month(MonthDay::FIRST))
    );
    gateways[1].admit("k", 25);
    gateways[2].admit("k", 20);
    let status = limits.quota_status(&gateways[0].plan, "k", now).unwrap();
    assert_eq!(status.extra, extended.extra);
    // And it ends.
    gateways[1].until("the end", |gateway| {
        gateway.ask("k", 1).refused_by == Some(BoundKind::Quota)
    });
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_is_given_back_can_be_taken_again() {
    let server = RedisServer::forgetful();
    let gateway = TestGateway::start(&server, &quota(10), policy(10, OnUnavailable::Deny));
    for number in 0..100 {
        gateway.until(&format!("request {number}"), |gateway| {
            match gateway.ask("k", 2).ticket {
                Some(ticket) => {
                    gateway.limits.give_back(ticket);
                    true
                }
                None => false,
            }
        });
    }
    gateway.admit("k", 10);
    gateway.until("the end", |gateway| {
        gateway.ask("k", 1).refused_by == Some(BoundKind::Quota)
    });
}
