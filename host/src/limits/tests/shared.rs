//! Many keys and many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

#[test]
fn idle_counters_go() {
    let store = LocalLimits::new(100_000);
    let plan = store.enroll(both(1.0, 10, 10)).unwrap();
    for number in 0..10_000 {
        assert!(take(&store, &plan, &number.to_string(), 1, NOON).allowed);
    }
    assert_eq!(store.figures().counters, 10_000);
    // Their buckets are full again, but the day is not over.
    let touch = |now: Timestamp| {
        for _ in 0..10 {
            (0..10_000).for_each(|number| drop(take(&store, &plan, &format!("x{number}"), 0, now)));
        }
    };
    touch(after_ms(60_000));
    assert_eq!(store.figures().counters, 10_000);
    touch(after_ms(DAY_MS / 2 + 60 * 60 * 1000));
    assert_eq!(store.figures().counters, 0);
}

#[test]
fn where_the_room_is_divided_each_plan_finds_its_share() {
    let store = LocalLimits::new(64);
    let plan = |name: &str| {
        let name = name.into();
        store.enroll(UsagePlan {
            name,
            ..rate(0.001, 1)
        })
    };
    let (flooded, calm) = (plan("flooded").unwrap(), plan("calm").unwrap());
    store.divide(2);
    let own = |plan: &EnrolledPlan| {
        let keys = (0..1_000).map(|key| take(&store, plan, &format!("k{key}"), 1, NOON));
        keys.filter(|decision| decision.allowed).count()
    };
    assert_eq!(own(&flooded), 48);
    assert_eq!(own(&calm), 16);
}

#[test]
fn without_room_new_keys_are_refused_and_known_ones_are_not() {
    let store = LocalLimits::new(1000);
    let plan = store.enroll(rate(1.0, 10)).unwrap();
    let take = |number: u64, now| take(&store, &plan, &number.to_string(), 1, now);
    let decisions: Vec<Decision> = (0..5000).map(|number| take(number, NOON)).collect();
    let kept = store.figures().counters;
    assert!((900..=1000).contains(&kept), "{kept}");
    assert_eq!(
        decisions.iter().filter(|decision| decision.allowed).count(),
        kept
    );
    let refused = decisions.iter().find(|decision| !decision.allowed).unwrap();
    assert_eq!(refused.refused_by, Some(BoundKind::Unavailable));
    assert_eq!(refused.rate.unwrap().remaining, 10);
    assert!(take(0, NOON).allowed);
    // Full buckets make room.
    assert!((10_000..10_800).all(|number| take(number, after_ms(5000)).allowed));
    assert!(store.figures().counters <= 1000);
}

#[test]
fn eight_threads_share_a_quota_exactly() {
    let one = One::new(both(1e-9, 20_000, 10_000));
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| admitted.fetch_add(one.admitted(5000, NOON), Ordering::Relaxed));
        }
    });
    assert_eq!(admitted.into_inner(), 10_000);
}

#[test]
fn takings_and_returns_of_many_threads_balance() {
    let one = One::new(both(1e-9, 64, 1_000_000));
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let one = &one;
            scope.spawn(move || {
                for step in 0..2000 {
                    let decision = one.take(1 + (thread + step) % 9, NOON);
                    if let Some(ticket) = decision.ticket {
                        one.store.give_back(ticket);
                    }
                }
            });
        }
    });
    let shown = one.take(0, NOON);
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (64, 1_000_000)
    );
}

#[test]
fn what_stays_is_still_found() {
    let store = LocalLimits::new(100_000);
    let quick = store.enroll(rate(1.0, 10)).unwrap();
    let slow = store
        .enroll(UsagePlan {
            name: "slow".into(),
            ..rate(1e-9, 10)
        })
        .unwrap();
    for number in 0..6000_u64 {
        let plan = if number % 3 == 0 { &slow } else { &quick };
        assert!(take(&store, plan, &number.to_string(), 1 + number % 7, NOON).allowed);
    }
    let later = after_ms(60_000);
    for number in 0..60_000 {
        assert!(take(&store, &quick, &format!("x{number}"), 0, later).allowed);
    }
    assert_eq!(store.figures().counters, 2000);
    for number in (0..6000_u64).step_by(3) {
        let shown = take(&store, &slow, &number.to_string(), 0, later);
        assert_eq!(shown.rate.unwrap().remaining, 10 - (1 + number % 7));
    }
}

#[test]
fn who_gave_all_back_is_forgotten() {
    let one = One::new(both(1e-9, 10, 10));
    let ticket = one.take(4, NOON).ticket.unwrap();
    assert_eq!(one.store.figures().counters, 1);
    one.store.give_back(ticket);
    (0..16).for_each(|_| drop(one.take(0, NOON)));
    assert_eq!(one.store.figures().counters, 0);
}
