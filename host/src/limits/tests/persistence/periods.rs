//! Usage when a quota's period changes.

use super::*;

/// The stored usage at a start or a change of periods.
fn row(key: &str, period: Period, used: u64) -> QuotaRow {
    let number = period.number(NOON.wall_ms);
    QuotaRow {
        plan: "gold".to_owned(),
        key: key.to_owned(),
        usage: QuotaUsage {
            period,
            number,
            used,
            extra: 0,
        },
    }
}

#[test]
fn a_period_that_comes_and_goes_misses_nothing() {
    let mut one = recording(quota(100, Period::Day));
    let left = |one: &One, key: &str| one.take_for(key, 0, NOON).quota.unwrap().remaining;
    assert!(one.take(10, NOON).allowed && one.take_for("idle", 7, NOON).allowed);
    // Usage that was reported before is added, with that of the month's earlier days.
    one.store.take_pending_usage(&mut |_| {});
    assert!(one.take(5, NOON).allowed);
    one.store.track("gold", MONTH, NOON);
    let earlier = [
        row("acme", MONTH, 30),
        row("idle", MONTH, 7),
        row("gone", MONTH, 40),
    ];
    one.store.add_used(&earlier, UncountedUsage::Total).unwrap();
    // Until the plan changes its day is counted, and its month with it.
    assert!(one.take(1, NOON).allowed && one.take_for("fresh", 2, NOON).allowed);
    assert_eq!(left(&one, "acme"), 84);
    one.change(quota(100, MONTH));
    let keys = ["acme", "idle", "gone", "fresh", "nobody"];
    assert_eq!(keys.map(|key| left(&one, key)), [64, 93, 60, 98, 100]);
    assert!(one.take_for("late", 3, NOON).allowed && one.take(4, NOON).allowed);
    one.change(quota(100, Period::Day));
    let keys = ["acme", "idle", "gone", "fresh", "late"];
    assert_eq!(keys.map(|key| left(&one, key)), [80, 93, 100, 98, 97]);
    // Somebody who still has the plan as it was does not begin anew.
    let month = one.store.enroll(quota(100, MONTH)).unwrap();
    let seen = take(&one.store, &month, "acme", 1, NOON).quota.unwrap();
    assert_eq!((seen.remaining, left(&one, "acme")), (59, 79));
}

#[test]
fn what_is_given_back_goes_back_to_every_period() {
    let mut one = recording(quota(100, Period::Day));
    one.store.track("gold", MONTH, NOON);
    let ticket = one.take(10, NOON).ticket.unwrap();
    one.change(quota(100, MONTH));
    assert_eq!(one.take(0, NOON).quota.unwrap().remaining, 90);
    one.store.give_back(ticket);
    assert_eq!(one.take(0, NOON).quota.unwrap().remaining, 100);
    one.change(quota(100, Period::Day));
    assert_eq!(one.take(0, NOON).quota.unwrap().remaining, 100);
}

#[test]
fn a_plan_without_a_quota_for_a_while_still_counts() {
    let mut one = recording(both(1.0, 50, 100));
    assert!(one.take(10, NOON).allowed);
    one.change(rate(1.0, 50));
    assert!(one.take(5, NOON).allowed);
    one.change(both(1.0, 50, 100));
    assert_eq!(one.take(0, NOON).quota.unwrap().remaining, 85);
}
