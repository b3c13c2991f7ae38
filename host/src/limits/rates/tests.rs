//! Bounds without a key on one gateway: whose bucket it is, all or nothing, room.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::limits::LeasePolicy;
use crate::model::store::OnUnavailable;
use crate::shared_store::test_server::RedisServer;

fn bound(name: &str, limit: u64, slides: bool) -> RateBound {
    RateBound {
        name: name.into(),
        is_window: slides,
        limit,
        window_ms: 60_000,
        burst: limit,
        shadow: false,
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp {
        monotonic_ns: ms * 1_000_000,
        wall_ms: 0,
    }
}

fn address(text: &str) -> Option<RateKey> {
    let address: IpAddr = text.parse().unwrap();
    Some(RateKey::address(address, 32, 64))
}

#[test]
fn addresses_are_grouped_by_their_first_bits() {
    let same = |one: &str, other: &str| address(one) == address(other);
    assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::9"));
    assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
    assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
    assert!(!same("::", "0.0.0.0"));
    let wide = |text: &str| RateKey::address(text.parse().unwrap(), 24, 0);
    assert_eq!(wide("192.0.2.1"), wide("192.0.2.200"));
    assert_ne!(wide("192.0.2.1"), wide("192.0.3.1"));
    assert_eq!(wide("2001:db8::1"), wide("fe80::1"));
    let none = |text: &str| RateKey::address(text.parse().unwrap(), 0, 128);
    assert_eq!(none("192.0.2.1"), none("203.0.113.9"));
    assert_ne!(none("2001:db8::1"), none("2001:db8::2"));
}

#[test]
fn all_bounds_give_or_nothing_is_taken() {
    let counters = RateCounters::local(1_000);
    let bounds = [bound("address", 2, false), bound("all", 3, true)];
    let bounds = counters.enroll("limit", &bounds);
    let take = |of: &str| counters.take(&bounds, &[address(of), Some(RateKey::ALL)], 1, at(5));
    assert!(take("192.0.2.1").allowed);
    assert!(take("192.0.2.1").allowed);
    let refused = take("192.0.2.1");
    assert!(!refused.allowed);
    let refusals: Vec<_> = refused.levels.iter().map(|level| level.refused).collect();
    assert_eq!(refusals, [true, false]);
    // The window has one left: the refusal took none of it.
    assert_eq!(refused.levels[1].level.remaining, 1);
    assert!(take("192.0.2.2").allowed);
    let refused = take("192.0.2.2");
    let refusals: Vec<_> = refused.levels.iter().map(|level| level.refused).collect();
    assert_eq!(refusals, [false, true]);
    assert_eq!(refused.levels[0].level.remaining, 1);
}

#[test]
fn a_shadow_refuses_nothing_and_a_bound_that_does_not_hold_is_not_asked() {
    let counters = RateCounters::local(1_000);
    let shadow = RateBound {
        shadow: true,
        ..bound("shadow", 1, false)
    };
    let bounds = counters.enroll("limit", &[shadow, bound("real", 3, false)]);
    let keys = [Some(RateKey::ALL), Some(RateKey::ALL)];
    assert!(!counters.take(&bounds, &keys, 1, at(0)).levels[0].refused);
    let second = counters.take(&bounds, &keys, 1, at(0));
    assert!(second.allowed && second.levels[0].refused);
    let third = counters.take(&bounds, &[None, Some(RateKey::ALL)], 1, at(0));
    assert!(third.allowed);
    assert_eq!((third.levels.len(), third.levels[0].bound), (1, 1));
    assert!(!counters.take(&bounds, &keys, 1, at(0)).allowed);
}

#[test]
fn a_flood_of_new_values_shares_one_bucket_and_drops_nobody() {
    let counters = RateCounters::local(64);
    let bounds = counters.enroll("limit", &[bound("address", 5, false)]);
    let take = |key: RateKey| counters.take(&bounds, &[Some(key)], 1, at(0)).allowed;
    let old = RateKey::octets(b"old");
    (0..5).for_each(|_| assert!(take(old)));
    let admitted = (0..10_000_u32).filter(|new| take(RateKey::octets(&new.to_le_bytes())));
    // 63 with a bucket of their own, and five of all others together.
    assert_eq!(admitted.count(), 63 + 5);
    assert!(!take(old), "the flood gave nobody a new bucket");
    let figures = counters.figures();
    assert_eq!(figures.counters, 64 + 1);
    assert_eq!(figures.overflowed, 10_000 - 63);
}

#[test]
fn a_flood_at_one_filter_leaves_room_for_the_values_of_another() {
    let counters = RateCounters::local(64);
    let flooded = counters.enroll("by-header", &[bound("header", 5, false)]);
    let calm = counters.enroll("by-address", &[bound("address", 2, false)]);
    for new in 0..10_000_u32 {
        let key = Some(RateKey::octets(&new.to_le_bytes()));
        let _ = counters.take(&flooded, &[key], 1, at(0));
    }
    let before = counters.figures().overflowed;
    for new in 0..16_u32 {
        let key = [Some(RateKey::octets(&new.to_le_bytes()))];
        assert!(counters.take(&calm, &key, 2, at(0)).allowed, "{new}");
        assert!(!counters.take(&calm, &key, 1, at(0)).allowed, "{new}");
    }
    assert_eq!(counters.figures().overflowed, before);
    // Half of all is for whoever comes first.
    assert_eq!(before, 10_000 - 48);
}

#[test]
fn full_buckets_make_room() {
    let counters = RateCounters::local(64);
    let bounds = counters.enroll(
        "limit",
        &[bound("address", 5, false), bound("slow", 5, true)],
    );
    for step in 0..50_u64 {
        for new in 0..30_u64 {
            let key = RateKey::octets(&(step * 100 + new).to_le_bytes());
            let taken = counters.take(&bounds, &[Some(key), Some(key)], 1, at(step * 100_000));
            assert!(taken.allowed);
        }
    }
    let figures = counters.figures();
    assert_eq!(figures.overflowed, 0);
    assert!(figures.counters <= 64, "{figures:?}");
}

#[test]
fn full_buckets_go_also_when_nobody_new_comes() {
    let counters = RateCounters::local(200);
    let bounds = counters.enroll("limit", &[bound("address", 5, false)]);
    let take = |new: u32, ms: u64| {
        let key = [Some(RateKey::octets(&new.to_le_bytes()))];
        assert!(counters.take(&bounds, &key, 1, at(ms)).allowed);
    };
    (0..150).for_each(|new| take(new, 0));
    assert_eq!(counters.figures().counters, 150);
    (0..1_000_u64).for_each(|step| take(7, 100_000 * (step + 1)));
    assert_eq!(counters.figures().counters, 1);
}

#[test]
fn bounds_of_one_name_keep_their_counters() {
    let counters = RateCounters::local(64);
    let key = [Some(RateKey::ALL)];
    let first = counters.enroll("limit", &[bound("all", 2, false)]);
    assert!(counters.take(&first, &key, 2, at(0)).allowed);
    let again = counters.enroll("limit", &[bound("all", 2, false)]);
    assert!(!counters.take(&again, &key, 1, at(0)).allowed);
    let other = counters.enroll("other", &[bound("all", 2, false)]);
    assert!(counters.take(&other, &key, 1, at(0)).allowed);
}

#[test]
fn a_cost_above_the_limit_never_passes() {
    let counters = RateCounters::local(64);
    let bounds = counters.enroll(
        "limit",
        &[bound("bucket", 2, false), bound("window", 2, true)],
    );
    let keys = [Some(RateKey::ALL), Some(RateKey::ALL)];
    let refused = counters.take(&bounds, &keys, 3, at(0));
    assert_eq!((refused.allowed, refused.retry_after_ms), (false, NEVER_MS));
    assert!(counters.take(&bounds, &keys, 0, at(0)).allowed);
}

#[test]
fn what_is_given_back_may_be_taken_again() {
    let counters = RateCounters::local(64);
    let bounds = counters.enroll(
        "limit",
        &[bound("bucket", 2, false), bound("window", 3, true)],
    );
    let keys = [Some(RateKey::ALL), Some(RateKey::ALL)];
    let taken = counters.take(&bounds, &keys, 2, at(0));
    counters.give_back(taken.ticket.unwrap());
    let taken = counters.take(&bounds, &keys, 2, at(0));
    assert!(taken.allowed && taken.ticket.is_some());
    let refused = counters.take(&bounds, &keys, 1, at(0));
    assert!(!refused.allowed && refused.ticket.is_none());
    assert_eq!(refused.levels[1].level.remaining, 1);
}

/// Counters of a gateway that denies without its store.
fn shared(server: &RedisServer) -> RateCounters {
    let policy = LeasePolicy {
        max_lease: 10,
        on_unavailable: OnUnavailable::Deny,
        max_counters: 100,
        max_wait: Duration::from_secs(2),
        recording: false,
    };
    let settings = crate::shared_store::test_server::settings(server);
    let leased = LeasedLimits::start(&settings, policy).unwrap();
    RateCounters::shared(leased)
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_request_that_one_bound_refuses_waits_for_no_other() {
    let server = RedisServer::forgetful();
    let counters = shared(&server);
    let bounds = [bound("address", 5, false), bound("all", 1, false)];
    let bounds = counters.enroll("limit", &bounds);
    let all = [None, Some(RateKey::ALL)];
    let end = Instant::now() + Duration::from_secs(30);
    while let Some(share) = counters.wait(&bounds, &all, 1, Timestamp::now()) {
        assert!(Instant::now() < end, "the store gives no share");
        let _ = share.blocking_recv();
    }
    assert!(counters.take(&bounds, &all, 1, Timestamp::now()).allowed);
    // Nobody has asked for this address: its share is unknown.
    let both = [address("192.0.2.1"), Some(RateKey::ALL)];
    assert!(counters.wait(&bounds, &both, 1, Timestamp::now()).is_none());
    let refused = counters.take(&bounds, &both, 1, Timestamp::now());
    assert!(!refused.allowed && !refused.unavailable && refused.pending.is_none());
    let refusing = refused.levels.iter().filter(|level| level.refused);
    let refusing: Vec<_> = refusing.map(|level| level.bound).collect();
    assert_eq!(refusing, [1]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn with_a_store_a_flood_at_one_filter_leaves_room_for_the_values_of_another() {
    let server = RedisServer::forgetful();
    let counters = shared(&server);
    let flooded = counters.enroll("by-header", &[bound("header", 5, false)]);
    let calm = counters.enroll("by-address", &[bound("address", 2, false)]);
    let share = |bounds: &RateBounds, new: u32| {
        let key = Some(RateKey::octets(&new.to_le_bytes()));
        let asked = counters.take(bounds, &[key], 1, Timestamp::now());
        asked.pending.is_some_and(|pending| pending[0] == key)
    };
    let own = (0..1_000).filter(|new| share(&flooded, *new)).count();
    assert_eq!(own, 75);
    let own = (0..1_000).filter(|new| share(&calm, *new)).count();
    assert_eq!(own, 25);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn without_the_store_a_refused_request_asks_no_shared_bucket() {
    let mut server = RedisServer::forgetful();
    let counters = shared(&server);
    let bounds = counters.enroll("limit", &[bound("address", 5, false)]);
    server.kill();
    let end = Instant::now() + Duration::from_secs(30);
    let of = |text: &str| [address(text)];
    while let Some(share) = counters.wait(&bounds, &of("192.0.2.1"), 1, Timestamp::now()) {
        assert!(Instant::now() < end, "the store is not missed");
        let _ = share.blocking_recv();
    }
    let refused = counters.take(&bounds, &of("192.0.2.2"), 1, Timestamp::now());
    assert!(!refused.allowed && refused.unavailable && refused.pending.is_none());
    let leases = counters.leased().unwrap().state();
    assert!(!leases.reachable);
    assert_eq!(leases.refused_unavailable, 1);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_shadow_that_waits_for_the_store_leaves_the_other_bounds_taken_from() {
    let server = RedisServer::forgetful();
    let counters = shared(&server);
    let shadow = RateBound {
        shadow: true,
        ..bound("shadow", 9, false)
    };
    let bounds = counters.enroll("limit", &[bound("real", 5, false), shadow]);
    let end = Instant::now() + Duration::from_secs(30);
    let real = [Some(RateKey::ALL), None];
    let fetch_share = || {
        while let Some(share) = counters.wait(&bounds, &real, 1, Timestamp::now()) {
            assert!(Instant::now() < end, "the store gives no share");
            // It may have given none: then the next one is waited for.
            let _ = share.blocking_recv();
        }
    };
    fetch_share();
    // Nobody has asked for this value of the shadow: its share is unknown.
    let both = [Some(RateKey::ALL), Some(RateKey::octets(b"new"))];
    let taken = counters.take(&bounds, &both, 1, Timestamp::now());
    assert!(taken.allowed && taken.pending.is_some(), "{taken:?}");
    let left = |decision: &RateDecision| decision.levels[0].level.remaining;
    assert_eq!(left(&taken), 4);
    fetch_share();
    let again = counters.take(&bounds, &real, 1, Timestamp::now());
    assert_eq!(left(&again), 3, "nobody gave back the one before");
    counters.give_back(taken.ticket.expect("something was taken"));
    fetch_share();
    assert_eq!(left(&counters.take(&bounds, &real, 1, Timestamp::now())), 3);
}
