//! The promises of a lease, with a budget that is a number.

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp {
        monotonic_ns: ms * 1_000_000,
        wall_ms: 0,
    }
}

/// The answer of a budget of this much that nobody else uses.
fn answer(left: &mut u64, kept: u64, order: LeaseRequest) -> Grant {
    let still_leased = order.leased.min(kept);
    *left = left.saturating_sub(order.spent.saturating_sub(kept - still_leased)) + order.returned;
    let paid = if *left >= order.smallest_need {
        order.need.min(*left)
    } else {
        0
    };
    *left -= paid;
    let leased = order.advance.min(*left / 2);
    *left -= leased;
    Grant {
        paid,
        leased,
        still_leased,
        left: *left,
        others: 0,
        wait_ms: 1000,
        is_known: true,
    }
}

#[test]
fn nothing_is_decided_before_the_first_answer() {
    let mut lease = BudgetLease::new(10, at(0));
    assert_eq!(lease.room(1, None, at(0)), Availability::Unknown);
    lease.need(1, at(0));
    let order = lease.request(at(0), false);
    assert_eq!((order.need, order.smallest_need, order.advance), (1, 1, 0));
    let grant = answer(&mut 0, 0, order);
    lease.settle(order, grant, at(0), at(1));
    lease.clear_needs();
    let short = Availability::Short {
        wait_ms: None,
        at_other_gateways: false,
    };
    assert_eq!(lease.room(1, None, at(2)), short);
    // An answer is not believed for ever.
    assert_eq!(lease.room(1, None, at(1000)), Availability::Unknown);
}

#[test]
fn who_waits_is_granted_all_and_what_is_leased_follows_what_was_used() {
    let (mut lease, mut left) = (BudgetLease::new(100, at(0)), 1000);
    for _ in 0..20 {
        lease.need(1, at(0));
    }
    let order = lease.request(at(0), false);
    assert_eq!((order.need, order.advance), (20, 0));
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(0), at(1));
    lease.clear_needs();
    (0..20).for_each(|_| lease.spend(1, at(1)));
    assert_eq!(lease.available(at(1)), 0);
    assert!(lease.is_low(at(1)));
    let order = lease.request(at(1), false);
    // Paid ones are counted already.
    assert_eq!((order.spent, order.need, order.advance), (0, 0, 40));
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(1), at(2));
    assert_eq!((lease.available(at(2)), left), (40, 940));
    assert_eq!(lease.remaining(None, at(2)), Some(980));
}

#[test]
fn requests_that_wait_for_a_rate_come_first() {
    let refill = RateLimit {
        burst: 10,
        per_second: 0.001,
    };
    let (mut lease, mut left) = (BudgetLease::new(10, at(0)), 3);
    lease.need(1, at(0));
    let order = lease.request(at(0), false);
    let grant = Grant {
        wait_ms: 1_000_000,
        ..answer(&mut left, 0, order)
    };
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    lease.spend(1, at(0));
    for _ in 0..2 {
        assert_eq!(lease.room(1, Some(refill), at(0)), Availability::Unknown);
        lease.need(1, at(0));
    }
    let room = lease.room(1, Some(refill), at(0));
    assert!(matches!(room, Availability::Short { .. }));
    // Of a quota the waiting requests may still go away.
    assert_eq!(lease.room(1, None, at(0)), Availability::Unknown);
}

#[test]
fn units_on_their_way_back_are_not_spent() {
    let (mut lease, mut left) = (BudgetLease::new(10, at(0)), 10);
    lease.need(4, at(0));
    let order = lease.request(at(0), false);
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    lease.spend(4, at(0));
    let order = lease.request(at(0), false);
    let grant = Grant {
        left: 0,
        leased: 6,
        ..answer(&mut left, 0, order)
    };
    lease.settle(order, grant, at(0), at(0));
    lease.recall();
    let order = lease.request(at(1), false);
    assert_eq!((order.spent, order.leased), (0, 0));
    assert_eq!(lease.available(at(1)), 0);
    assert_eq!(lease.room(6, None, at(1)), Availability::Unknown);
    assert!(matches!(
        lease.room(7, None, at(1)),
        Availability::Short { .. }
    ));
}

#[test]
fn promised_units_are_not_given_back_before_they_are_taken() {
    let mut lease = BudgetLease::new(10, at(0));
    for _ in 0..5 {
        lease.need(1, at(0));
    }
    let order = lease.request(at(0), false);
    let grant = Grant {
        paid: 3,
        leased: 4,
        is_known: true,
        ..Grant::default()
    };
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    lease.promise(5);
    lease.recall();
    let order = lease.request(at(0), false);
    assert_eq!((order.returned, order.leased), (0, 2));
    assert_eq!(lease.available(at(0)), 5);
    lease.spend(5, at(0));
    lease.recall();
    assert_eq!(lease.request(at(0), false).leased, 0);
}

#[test]
fn a_lease_is_not_used_after_its_end_and_what_was_used_is_told() {
    let (mut lease, mut left) = (BudgetLease::new(10, at(0)), 100);
    lease.need(5, at(0));
    let order = lease.request(at(0), false);
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    lease.spend(5, at(0));
    let order = lease.request(at(100), false);
    let grant = answer(&mut left, 0, order);
    // The answer takes a second; the lease ends by when the call was sent.
    lease.settle(order, grant, at(100), at(1100));
    assert_eq!(lease.available(at(1100)), 10);
    lease.spend(4, at(1100));
    let end = 100 + LEASE_MS - MARGIN_MS;
    assert_eq!(lease.available(at(end - 1)), 6);
    assert_eq!(lease.available(at(end)), 0);
    let order = lease.request(at(end), false);
    assert_eq!((order.spent, order.leased), (4, 0));
}

#[test]
fn what_is_not_used_goes_back() {
    let (mut lease, mut left) = (BudgetLease::new(10, at(0)), 100);
    lease.need(2, at(0));
    let order = lease.request(at(0), false);
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    lease.spend(1, at(0));
    assert!(!lease.is_unsettled(at(999)));
    assert!(lease.is_unsettled(at(1000)));
    let order = lease.request(at(1000), false);
    assert_eq!((order.returned, order.leased, order.advance), (1, 0, 0));
    let grant = answer(&mut left, 0, order);
    lease.settle(order, grant, at(1000), at(1000));
    assert!(lease.is_empty(at(1000)));
    assert_eq!(left, 99);
}

#[test]
fn a_rate_refills_while_nobody_asks() {
    let refill = RateLimit {
        burst: 10,
        per_second: 10.0,
    };
    let mut lease = BudgetLease::new(10, at(0));
    lease.need(1, at(0));
    let order = lease.request(at(0), false);
    let grant = Grant {
        wait_ms: 50,
        is_known: true,
        ..Grant::default()
    };
    lease.settle(order, grant, at(0), at(0));
    lease.clear_needs();
    let room = |ms| lease.room(1, Some(refill), at(ms));
    assert!(matches!(room(49), Availability::Short { .. }));
    assert_eq!(room(50), Availability::Unknown);
    assert_eq!(lease.remaining(Some(refill), at(150)), Some(2));
}

proptest! {
    /// Whatever happens, all usage is counted by the budget or unreported, except for no more than
    /// there was.
    #[test]
    fn nothing_is_used_that_is_not_accounted_for(
        steps in proptest::collection::vec((0_u8..5, 1_u64..8), 0..80),
        size in 1_u64..30,
        budget in 0_u64..200,
    ) {
        let mut lease = BudgetLease::new(size, at(0));
        let (mut used, mut left, mut kept) = (0, budget, 0);
        let mut flying: Option<LeaseRequest> = None;
        for (step, amount) in steps {
            match step {
                0 | 1 if lease.room(amount, None, at(0)) == Availability::Enough => {
                    lease.spend(amount, at(0));
                    used += amount;
                }
                0 | 1 => lease.need(amount, at(0)),
                2 if flying.is_none() => flying = Some(lease.request(at(0), false)),
                3 => if let Some(order) = flying.take() {
                    // Leased units are in the budget until they are reported as used.
                    left += kept;
                    left -= order.spent;
                    left -= order.leased;
                    let grant = answer(&mut left, order.leased, LeaseRequest { spent: 0, ..order });
                    kept = grant.still_leased + grant.leased;
                    lease.settle(order, grant, at(0), at(0));
                    lease.clear_needs();
                },
                _ if used >= amount => {
                    lease.give_back(amount, at(0));
                    used -= amount;
                }
                _ => {}
            }
            prop_assert!(used <= budget, "{used} of {budget}");
        }
    }
}
