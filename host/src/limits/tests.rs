//! The promises of the counters, checked against a naive model where a law holds.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::period::{MonthDay, Weekday};
use crate::model::plan::{QuotaLimit, RateLimit};

mod bounds;
mod model;
mod persistence;
mod plans;
mod shared;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// 2024-03-13T12:00:00Z, a Wednesday.
const NOON: Timestamp = Timestamp {
    monotonic_ns: 5_000_000_000,
    wall_ms: 1_710_331_200_000,
};

fn after_ms(ms: u64) -> Timestamp {
    NOON.after(Duration::from_millis(ms))
}

/// The same moment, with the wall clock elsewhere.
fn wall(now: Timestamp, wall_ms: u64) -> Timestamp {
    Timestamp { wall_ms, ..now }
}

fn rate(per_second: f64, burst: u64) -> UsagePlan {
    UsagePlan {
        name: "gold".into(),
        rate: Some(RateLimit { per_second, burst }),
        quota: None,
        methods: Vec::new(),
        apis: Vec::new(),
    }
}

/// From Sunday and from the first on.
const WEEK: Period = Period::Week(Weekday::Sunday);
const MONTH: Period = Period::Month(MonthDay::FIRST);

fn quota(limit: u64, period: Period) -> UsagePlan {
    UsagePlan {
        name: "gold".into(),
        rate: None,
        quota: Some(QuotaLimit { limit, period }),
        methods: Vec::new(),
        apis: Vec::new(),
    }
}

fn both(per_second: f64, burst: u64, limit: u64) -> UsagePlan {
    UsagePlan {
        quota: quota(limit, Period::Day).quota,
        ..rate(per_second, burst)
    }
}

/// Take from a plan alone.
fn take(
    store: &LocalLimits,
    plan: &EnrolledPlan,
    key: &str,
    cost: u64,
    now: Timestamp,
) -> Decision {
    store.take(&TakeRequest {
        plan: Some(plan),
        key,
        method: None,
        route: None,
        gateway: None,
        cost,
        now,
    })
}

/// A store with one plan in it.
struct One {
    store: LocalLimits,
    plan: EnrolledPlan,
}

impl One {
    fn new(plan: UsagePlan) -> Self {
        let store = LocalLimits::default();
        Self::with(store, plan)
    }

    fn with(store: LocalLimits, plan: UsagePlan) -> Self {
        let plan = store.enroll(plan).unwrap();
        Self { store, plan }
    }

    fn take(&self, cost: u64, now: Timestamp) -> Decision {
        self.take_for("acme", cost, now)
    }

    fn take_for(&self, key: &str, cost: u64, now: Timestamp) -> Decision {
        take(&self.store, &self.plan, key, cost, now)
    }

    /// How many of so many single takings pass.
    fn admitted(&self, tries: u64, now: Timestamp) -> u64 {
        (0..tries)
            .map(|_| u64::from(self.take(1, now).allowed))
            .sum()
    }

    /// The effect of a reload.
    fn change(&mut self, plan: UsagePlan) {
        self.plan = self.store.enroll(plan).unwrap();
    }
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let one = One::new(rate(5.0, 10));
    assert_eq!(one.admitted(11, NOON), 10);
    let refused = one.take(1, NOON);
    assert_eq!(
        (refused.refused_by, refused.retry_after_ms),
        (Some(BoundKind::Plan), 200)
    );
    let admitted: u64 = (1..=30_000).map(|ms| one.admitted(1, after_ms(ms))).sum();
    assert_eq!(admitted, 150);
}

#[test]
fn keys_plans_and_filters_have_counters_of_their_own() {
    let one = One::new(rate(1.0, 1));
    let silver = UsagePlan {
        name: "silver".into(),
        ..rate(1.0, 1)
    };
    let silver = one.store.enroll(silver).unwrap();
    let (keys, gold) = (one.store.scope("keys"), one.store.scope("gold"));
    assert!(one.take(1, NOON).allowed && !one.take(1, NOON).allowed);
    assert!(one.take_for("other", 1, NOON).allowed);
    assert!(take(&one.store, &silver, "acme", 1, NOON).allowed);
    assert!(one.store.take_inline(keys, "acme", 1, 1, 1.0, NOON).allowed);
    assert!(one.store.take_inline(gold, "acme", 1, 1, 1.0, NOON).allowed);
    assert!(!one.store.take_inline(gold, "acme", 1, 1, 1.0, NOON).allowed);
    assert_eq!(one.store.figures().counters, 5);
}

#[test]
fn levels_tell_where_the_bounds_stand() {
    let one = One::new(both(4.0, 8, 100));
    let decision = one.take(3, NOON);
    let rate = Level {
        limit: 8,
        remaining: 5,
        window_ms: 2000,
        reset_ms: 750,
    };
    let quota = Level {
        limit: 100,
        remaining: 97,
        window_ms: DAY_MS,
        reset_ms: DAY_MS / 2,
    };
    assert_eq!((decision.rate, decision.quota), (Some(rate), Some(quota)));
    // A part of a token is none.
    assert_eq!(one.take(0, after_ms(100)).rate.unwrap().remaining, 5);
    assert_eq!(one.take(0, after_ms(250)).rate.unwrap().remaining, 6);
}

#[test]
fn a_refused_request_takes_nothing_anywhere() {
    let one = One::new(both(1.0, 10, 4));
    assert!(one.take(3, NOON).allowed);
    let refused = one.take(2, NOON);
    assert_eq!(refused.refused_by, Some(BoundKind::Quota));
    assert_eq!(refused.rate.unwrap().remaining, 7);
    assert_eq!(
        (refused.quota.unwrap().remaining, refused.ticket),
        (1, None)
    );

    let one = One::new(both(1.0, 2, 100));
    assert!(one.take(2, NOON).allowed);
    assert_eq!(one.take(1, NOON).quota.unwrap().remaining, 98);
}

#[test]
fn the_rate_is_named_first_and_the_longest_wait_is_told() {
    let one = One::new(both(1.0, 2, 2));
    assert_eq!(one.admitted(2, NOON), 2);
    let refused = one.take(1, NOON);
    assert_eq!(refused.refused_by, Some(BoundKind::Plan));
    assert_eq!(refused.retry_after_ms, DAY_MS / 2);
    assert_eq!(
        one.take(1, after_ms(1000)).refused_by,
        Some(BoundKind::Quota)
    );
}

#[test]
fn a_cost_that_can_never_pass_is_told_so() {
    let one = One::new(both(1.0, 5, 7));
    assert_eq!(one.take(6, NOON).retry_after_ms, NEVER_MS);
    assert_eq!(
        One::new(quota(7, Period::Day)).take(8, NOON).retry_after_ms,
        NEVER_MS
    );
    assert_eq!(
        one.store.figures().counters,
        0,
        "what takes nothing keeps nothing"
    );
}

#[test]
fn a_cost_of_nothing_shows_and_takes_nothing() {
    let one = One::new(both(1.0, 1, 1));
    let shown = one.take(0, NOON);
    assert!(shown.allowed && shown.ticket.is_none());
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (1, 1)
    );
    assert!(one.take(1, NOON).allowed && one.take(0, NOON).allowed);
}

#[test]
fn a_bucket_that_makes_no_sense_refuses() {
    let store = LocalLimits::default();
    let scope = store.scope("mine");
    for (capacity, refill) in [
        (0, 1.0),
        (1, 0.0),
        (1, -1.0),
        (1, f64::NAN),
        (1, f64::INFINITY),
        (1, -0.0),
    ] {
        let decision = store.take_inline(scope, "k", 1, capacity, refill, NOON);
        assert!(!decision.allowed, "{capacity} {refill}");
        assert_eq!(decision.retry_after_ms, NEVER_MS);
    }
}

#[test]
fn extreme_numbers_stay_within_their_range() {
    let store = LocalLimits::default();
    let scope = store.scope("mine");
    let far = Timestamp {
        monotonic_ns: u64::MAX,
        wall_ms: u64::MAX,
    };
    for refill in [f64::MIN_POSITIVE, 1e-9, 1e300] {
        let key = refill.to_string();
        let first = store.take_inline(scope, &key, u64::MAX, u64::MAX, refill, NOON);
        assert!(first.allowed && first.rate.unwrap().remaining == 0);
        let _ = store.take_inline(scope, &key, u64::MAX, u64::MAX, refill, far);
        let _ = store.take_inline(scope, &key, 1, 1, refill, Timestamp::default());
    }
    let one = One::new(quota(u64::MAX, MONTH));
    assert!(one.take(u64::MAX - 1, NOON).allowed);
    assert_eq!(one.admitted(3, NOON), 1);
    assert!(one.take(u64::MAX, far).allowed);
}

#[test]
fn weeks_and_months_end_with_the_calendar() {
    let one = One::new(quota(1, WEEK));
    assert!(one.take(1, NOON).allowed);
    // Until Sunday, 17 March.
    assert_eq!(one.take(1, NOON).retry_after_ms, 3 * DAY_MS + DAY_MS / 2);
    assert!(one.take(1, after_ms(3 * DAY_MS + DAY_MS / 2)).allowed);
    let one = One::new(quota(1, MONTH));
    assert!(one.take(1, NOON).allowed);
    assert_eq!(one.take(1, NOON).retry_after_ms, 18 * DAY_MS + DAY_MS / 2);
    assert_eq!(one.take(1, NOON).quota.unwrap().window_ms, 31 * DAY_MS);
}

#[test]
fn a_wall_clock_that_steps_back_gives_nobody_a_period_twice() {
    let one = One::new(quota(10, Period::Day));
    let midnight = NOON.wall_ms + DAY_MS / 2;
    assert_eq!(one.admitted(20, NOON), 10);
    assert_eq!(one.admitted(20, wall(NOON, midnight)), 10);
    // A second back, into the old day; then over midnight once more.
    assert_eq!(one.admitted(20, wall(NOON, midnight - 1000)), 0);
    let refused = one.take(1, wall(NOON, midnight - 1000));
    assert_eq!(refused.retry_after_ms, DAY_MS + 1000);
    assert_eq!(one.admitted(20, wall(NOON, midnight + 1000)), 0);
    assert_eq!(one.admitted(20, wall(NOON, midnight + DAY_MS)), 10);
}

#[test]
fn a_wall_clock_that_goes_back_two_periods_and_forward_again_gives_nothing_twice() {
    let one = One::new(quota(10, Period::Day));
    assert_eq!(one.admitted(8, NOON), 8);
    for days in [2, 3, 40] {
        let back = wall(NOON, NOON.wall_ms - days * DAY_MS);
        assert!(one.admitted(20, back) <= 10);
        // On its way a period may be met that nothing was used in.
        let _ = one.admitted(20, wall(NOON, NOON.wall_ms - DAY_MS));
    }
    assert_eq!(one.admitted(20, after_ms(1)), 2);
    assert_eq!(one.admitted(20, after_ms(2)), 0);
    // The next day is a new one.
    assert_eq!(one.admitted(20, after_ms(DAY_MS)), 10);
}

#[test]
fn a_wall_clock_that_was_far_ahead_heals() {
    let one = One::new(quota(10, Period::Day));
    assert_eq!(one.admitted(4, wall(NOON, NOON.wall_ms + 1000 * DAY_MS)), 4);
    // Set right: what was used stays used today, and tomorrow is a new day.
    assert_eq!(one.admitted(20, NOON), 6);
    assert_eq!(one.admitted(20, wall(NOON, NOON.wall_ms + DAY_MS)), 10);
}

#[test]
fn buckets_do_not_care_for_the_wall_clock() {
    let one = One::new(rate(1.0, 1));
    assert!(one.take(1, NOON).allowed);
    assert!(!one.take(1, wall(NOON, NOON.wall_ms + DAY_MS)).allowed);
    assert!(one.take(1, wall(after_ms(1000), 0)).allowed);
    // A worker that read the clock before the others did.
    let refused = one.take(1, NOON);
    assert_eq!((refused.allowed, refused.retry_after_ms), (false, 2000));
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let one = One::new(both(1.0, 3, 3));
    let ticket = one.take(2, NOON).ticket.unwrap();
    assert!(one.take(1, NOON).allowed && !one.take(1, NOON).allowed);
    one.store.give_back(ticket);
    let shown = one.take(0, NOON);
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (2, 2)
    );
    // Once the bucket is full again there is nothing to give.
    let ticket = one.take(1, NOON).ticket.unwrap();
    one.store.give_back(ticket);
    let ticket = one.take(1, NOON).ticket.unwrap();
    let later = after_ms(60_000);
    assert_eq!(one.take(0, later).rate.unwrap().remaining, 3);
    one.store.give_back(ticket);
    let shown = one.take(0, later);
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (3, 2)
    );
}

#[test]
fn giving_back_never_credits_the_next_period() {
    let one = One::new(quota(10, Period::Day));
    let old = one.take(5, NOON).ticket.unwrap();
    let unseen = one.take_for("quiet", 5, NOON).ticket.unwrap();
    let tomorrow = after_ms(DAY_MS);
    assert!(one.take(4, tomorrow).allowed);
    one.store.give_back(old);
    one.store.give_back(unseen);
    assert_eq!(one.take(0, tomorrow).quota.unwrap().remaining, 6);
    assert_eq!(
        one.take_for("quiet", 0, tomorrow).quota.unwrap().remaining,
        10
    );
}

#[test]
fn a_ticket_number_works_once() {
    let one = One::new(rate(1.0, 5));
    let mut tickets = LimitTickets::default();
    assert_eq!(tickets.keep(one.take(9, NOON).ticket), 0);
    let (first, second) = (
        tickets.keep(one.take(1, NOON).ticket),
        tickets.keep(one.take(2, NOON).ticket),
    );
    assert_eq!((first, second), (1, 2));
    assert!(tickets.redeem(0).is_none() && tickets.redeem(3).is_none());
    one.store.give_back(tickets.redeem(second).unwrap());
    assert!(tickets.redeem(second).is_none());
    assert_eq!(one.take(0, NOON).rate.unwrap().remaining, 4);
}

#[test]
fn counters_survive_a_reload() {
    let mut one = One::new(both(1.0, 10, 100));
    assert!(one.take(8, NOON).allowed);
    one.change(both(1.0, 5, 10));
    let shown = one.take(0, after_ms(1));
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (0, 2)
    );
    assert_eq!(
        one.take(1, after_ms(1)).retry_after_ms,
        1000,
        "empty, not in debt"
    );
    one.change(both(1.0, 20, 50));
    let shown = one.take(0, after_ms(1));
    assert_eq!(
        (
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining
        ),
        (15, 42)
    );
    // A plan that goes and comes back, and one whose period changes.
    one.change(rate(1.0, 20));
    one.change(both(1.0, 20, 50));
    assert_eq!(one.take(0, after_ms(1)).quota.unwrap().remaining, 42);
    one.change(quota(50, MONTH));
    assert_eq!(one.take(0, after_ms(1)).quota.unwrap().remaining, 50);
    one.change(quota(50, Period::Day));
    assert_eq!(one.take(0, after_ms(1)).quota.unwrap().remaining, 42);
}

#[test]
fn a_plan_that_makes_no_sense_is_refused() {
    let store = LocalLimits::default();
    let name = || "gold".into();
    let refused = |plan| store.enroll(plan).unwrap_err();
    assert_eq!(
        refused(UsagePlan {
            rate: None,
            ..rate(1.0, 1)
        }),
        PlanError::Empty(name())
    );
    for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-10] {
        assert_eq!(
            refused(rate(per_second, 1)),
            PlanError::Rate(name(), RateError::Rate)
        );
    }
    assert_eq!(
        refused(rate(1.0, 0)),
        PlanError::Rate(name(), RateError::Burst)
    );
    assert_eq!(refused(quota(0, Period::Day)), PlanError::Limit(name()));
    let errors = enroll_plans(&store, [rate(1.0, 1), rate(2.0, 0), rate(1.0, 1)]).unwrap_err();
    assert_eq!(
        errors,
        [
            PlanError::Rate(name(), RateError::Burst),
            PlanError::Duplicate(name())
        ]
    );
    let plans = enroll_plans(&store, [rate(1.0, 1)]).unwrap();
    assert_eq!(
        plans.get("gold").map(|plan| &plan.plan),
        Some(&rate(1.0, 1))
    );
    assert!(!plans.contains_key("silver"));
}
