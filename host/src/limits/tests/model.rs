//! A store as one would write it on a blackboard: it keeps the whole history.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// One step of a caller.
#[derive(Debug, Clone, Copy)]
struct TakeStep {
    pause_us: u64,
    cost: u64,
    /// Give the oldest open ticket back before.
    give_back: bool,
}

fn steps() -> impl Strategy<Value = Vec<TakeStep>> {
    let pause_us = prop_oneof![Just(0), 1..5000_u64, 1..3_000_000_u64, 1..200_000_000_u64];
    let step =
        (pause_us, 0..6_u64, prop::bool::weighted(0.2)).prop_map(|(pause_us, cost, give_back)| {
            TakeStep {
                pause_us,
                cost,
                give_back,
            }
        });
    prop::collection::vec(step, 1..150)
}

/// Rates in whole thousandths, so that the model's numbers are exact too.
fn plans() -> impl Strategy<Value = (u64, u64, u64)> {
    (1..40_000_u64, 1..20_u64, 1..60_u64)
}

fn plan(milli: u64, burst: u64, limit: u64) -> UsagePlan {
    let per_second = f64::from(u32::try_from(milli).unwrap()) / 1000.0;
    both(per_second, burst, limit)
}

/// A bucket by what is in it, in billionths of tokens, and a map from days to what was used.
struct NaiveCounter {
    milli: u64,
    burst: u64,
    limit: u64,
    content: u128,
    at_us: u64,
    used: BTreeMap<u64, u64>,
}

const BILLION: u128 = 1_000_000_000;

impl NaiveCounter {
    fn new(milli: u64, burst: u64, limit: u64) -> Self {
        let content = u128::from(burst) * BILLION;
        Self {
            milli,
            burst,
            limit,
            content,
            at_us: 0,
            used: BTreeMap::new(),
        }
    }

    fn pour(&mut self, now_us: u64) {
        // A thousandth of a token a second is a billionth of a token a microsecond.
        let poured = u128::from(now_us - self.at_us) * u128::from(self.milli);
        self.content = (self.content + poured).min(u128::from(self.burst) * BILLION);
        self.at_us = now_us;
    }

    fn take(&mut self, cost: u64, now_us: u64) -> Option<BoundKind> {
        self.pour(now_us);
        let used = self.used.entry(day(now_us)).or_default();
        let wanted = u128::from(cost) * BILLION;
        if cost > 0 && wanted > self.content {
            return Some(BoundKind::Plan);
        }
        if cost > 0 && *used + cost > self.limit {
            return Some(BoundKind::Quota);
        }
        self.content -= wanted;
        *used += cost;
        None
    }

    fn give_back(&mut self, cost: u64, taken_us: u64, now_us: u64) {
        self.pour(now_us);
        let content = self.content + u128::from(cost) * BILLION;
        self.content = content.min(u128::from(self.burst) * BILLION);
        *self.used.get_mut(&day(taken_us)).unwrap() -= cost;
    }
}

fn day(now_us: u64) -> u64 {
    at(now_us).wall_ms / DAY_MS
}

fn at(us: u64) -> Timestamp {
    NOON.after(Duration::from_micros(us))
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_model((milli, burst, limit) in plans(), steps in steps()) {
        let one = One::new(plan(milli, burst, limit));
        let mut naive = NaiveCounter::new(milli, burst, limit);
        let mut open = VecDeque::new();
        // Pauses stretched, so that days pass.
        let (mut now_us, stretch) = (0, 20);
        for step in steps {
            now_us += step.pause_us * stretch;
            if step.give_back && let Some((ticket, cost, taken_us)) = open.pop_front() {
                one.store.give_back(ticket);
                naive.give_back(cost, taken_us, now_us);
            }
            let decision = one.take(step.cost, at(now_us));
            prop_assert_eq!(decision.refused_by, naive.take(step.cost, now_us));
            let left = u64::try_from(naive.content / BILLION).unwrap();
            prop_assert_eq!(decision.rate.unwrap().remaining, left);
            let left = limit - naive.used[&day(now_us)];
            prop_assert_eq!(decision.quota.unwrap().remaining, left);
            if let Some(ticket) = decision.ticket {
                open.push_back((ticket, step.cost, now_us));
            }
        }
    }

    #[test]
    fn no_span_of_time_admits_more_than_burst_and_rate(
        (milli, burst, _) in plans(), steps in steps()
    ) {
        let one = One::new(UsagePlan { quota: None, ..plan(milli, burst, 1) });
        let mut now_us = 0;
        let mut admitted: Vec<(u64, u128)> = Vec::new();
        for step in steps {
            now_us += step.pause_us;
            if one.take(step.cost, at(now_us)).allowed {
                admitted.push((now_us, u128::from(step.cost) * BILLION));
            }
        }
        for (index, (begin, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (end, cost) in &admitted[index..] {
                sum += cost;
                let span = u128::from(end - begin) * u128::from(milli);
                prop_assert!(sum <= u128::from(burst) * BILLION + span);
            }
        }
    }

    #[test]
    fn the_waiting_time_is_honest((milli, burst, limit) in plans(), steps in steps()) {
        let one = One::new(plan(milli, burst, limit));
        let mut now_us = 0;
        for step in steps {
            now_us += step.pause_us;
            let decision = one.take(step.cost, at(now_us));
            let wait_ms = decision.retry_after_ms;
            prop_assert_eq!(decision.allowed, wait_ms == 0);
            if decision.allowed {
                continue;
            }
            if step.cost > burst || step.cost > limit {
                prop_assert_eq!(wait_ms, NEVER_MS);
                continue;
            }
            let early = one.take(step.cost, at(now_us + (wait_ms - 1) * 1000));
            prop_assert!(!early.allowed, "1 ms before {wait_ms}");
            now_us += wait_ms * 1000;
            prop_assert!(one.take(step.cost, at(now_us)).allowed, "after {wait_ms}");
        }
    }

    #[test]
    fn a_bucket_is_full_when_it_said(cost in 1..20_u64, milli in 1..40_000_u64) {
        let one = One::new(UsagePlan { quota: None, ..plan(milli, 20, 1) });
        let reset_ms = one.take(cost, NOON).rate.unwrap().reset_ms;
        prop_assert!(one.take(0, after_ms(reset_ms - 1)).rate.unwrap().remaining < 20);
        prop_assert_eq!(one.take(0, after_ms(reset_ms)).rate.unwrap().remaining, 20);
    }
}
