//! All bounds as one would write them on a blackboard.

use std::collections::{BTreeMap, VecDeque};

use super::*;

const BILLION: u128 = 1_000_000_000;

/// One step of a caller.
#[derive(Debug, Clone, Copy)]
struct BoundsStep {
    pause_us: u64,
    key: usize,
    /// 0 is none.
    method: usize,
    route: bool,
    gateway: bool,
    cost: u64,
    /// Give the oldest open ticket back before.
    give_back: bool,
}

fn steps() -> impl Strategy<Value = Vec<BoundsStep>> {
    let pause_us = prop_oneof![
        Just(0),
        1..50_000_u64,
        1..30_000_000_u64,
        1..40_000_000_000_u64
    ];
    let step = (
        pause_us,
        0..2_usize,
        0..3_usize,
        any::<bool>(),
        any::<bool>(),
        0..5_u64,
        prop::bool::weighted(0.2),
    );
    let step =
        step.prop_map(
            |(pause_us, key, method, route, gateway, cost, give_back)| BoundsStep {
                pause_us,
                key,
                method,
                route,
                gateway,
                cost,
                give_back,
            },
        );
    prop::collection::vec(step, 1..120)
}

/// A bucket by what is in it, in billionths of tokens.
#[derive(Debug, Clone)]
struct NaiveBucket {
    milli: u64,
    burst: u64,
    content: u128,
    at_us: u64,
}

impl NaiveBucket {
    fn new((milli, burst): (u64, u64)) -> Self {
        let content = u128::from(burst) * BILLION;
        Self {
            milli,
            burst,
            content,
            at_us: 0,
        }
    }

    fn gives(&mut self, cost: u64, now_us: u64) -> bool {
        // A thousandth of a token a second is a billionth of a token a microsecond.
        let poured = u128::from(now_us - self.at_us) * u128::from(self.milli);
        self.content = (self.content + poured).min(u128::from(self.burst) * BILLION);
        self.at_us = now_us;
        cost == 0 || u128::from(cost) * BILLION <= self.content
    }

    fn take(&mut self, cost: u64) {
        self.content -= u128::from(cost) * BILLION;
    }

    fn give_back(&mut self, cost: u64, now_us: u64) {
        self.gives(0, now_us);
        let content = self.content + u128::from(cost) * BILLION;
        self.content = content.min(u128::from(self.burst) * BILLION);
    }
}

/// The location of a bucket: of a key's method, a key's plan, the route, the gateway.
type BucketLocation = (Which, usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Method,
    Plan,
    Route,
    Gateway,
}

/// All bounds as one would write them on a blackboard.
struct NaiveBounds {
    tubs: BTreeMap<BucketLocation, NaiveBucket>,
    limit: u64,
    used: BTreeMap<(usize, u64), u64>,
}

fn day(now_us: u64) -> u64 {
    at(now_us).wall_ms / DAY_MS
}

fn at(us: u64) -> Timestamp {
    NOON.after(Duration::from_micros(us))
}

/// The buckets that a step meets.
fn locations(step: &BoundsStep) -> Vec<BucketLocation> {
    let mut locations = Vec::new();
    if step.method > 0 {
        locations.push((Which::Method, step.key, step.method));
    }
    locations.push((Which::Plan, step.key, 0));
    if step.route {
        locations.push((Which::Route, 0, 0));
    }
    if step.gateway {
        locations.push((Which::Gateway, 0, 0));
    }
    locations
}

impl NaiveBounds {
    fn take(&mut self, step: &BoundsStep, now_us: u64) -> Option<BoundKind> {
        let mut refused = Vec::new();
        for location in locations(step) {
            if !self
                .tubs
                .get_mut(&location)
                .unwrap()
                .gives(step.cost, now_us)
            {
                refused.push(match location.0 {
                    Which::Method => (0, BoundKind::Method),
                    Which::Plan => (1, BoundKind::Plan),
                    Which::Route => (3, BoundKind::Route),
                    Which::Gateway => (4, BoundKind::Gateway),
                });
            }
        }
        let used = self.used.entry((step.key, day(now_us))).or_default();
        if step.cost > 0 && *used + step.cost > self.limit {
            refused.push((2, BoundKind::Quota));
        }
        if let Some((_, first)) = refused.into_iter().min_by_key(|(order, _)| *order) {
            return Some(first);
        }
        *used += step.cost;
        for location in locations(step) {
            self.tubs.get_mut(&location).unwrap().take(step.cost);
        }
        None
    }

    fn give_back(&mut self, step: &BoundsStep, taken_us: u64, now_us: u64) {
        *self.used.get_mut(&(step.key, day(taken_us))).unwrap() -= step.cost;
        for location in locations(step) {
            self.tubs
                .get_mut(&location)
                .unwrap()
                .give_back(step.cost, now_us);
        }
    }
}

fn rates() -> impl Strategy<Value = (u64, u64)> {
    (1..4_000_u64, 1..12_u64)
}

fn real((milli, burst): (u64, u64)) -> RateLimit {
    RateLimit {
        per_second: f64::from(u32::try_from(milli).unwrap()) / 1000.0,
        burst,
    }
}

proptest! {
    #[test]
    fn any_interleaving_is_decided_as_by_the_model(
        sizes in prop::array::uniform5(rates()), limit in 1..60_u64, steps in steps()
    ) {
        let [first, second, plan, route, gateway] = sizes;
        let named = |path: &str, size| MethodRate { rate: real(size), ..method("GET", path, 1.0, 1) };
        let one = One::new(UsagePlan {
            rate: Some(real(plan)),
            methods: vec![named("/1", first), named("/2", second)],
            ..quota(limit, Period::Day)
        });
        let shared = [
            one.store.shared_rate("route", real(route)).unwrap(),
            one.store.shared_rate("gateway", real(gateway)).unwrap(),
        ];
        let mut naive = NaiveBounds { tubs: BTreeMap::new(), limit, used: BTreeMap::new() };
        for key in 0..2 {
            for (method, size) in [(1, first), (2, second)] {
                naive.tubs.insert((Which::Method, key, method), NaiveBucket::new(size));
            }
            naive.tubs.insert((Which::Plan, key, 0), NaiveBucket::new(plan));
        }
        naive.tubs.insert((Which::Route, 0, 0), NaiveBucket::new(route));
        naive.tubs.insert((Which::Gateway, 0, 0), NaiveBucket::new(gateway));
        let mut open = VecDeque::new();
        let mut now_us = 0;
        for step in steps {
            now_us += step.pause_us;
            if step.give_back && let Some((ticket, taken, taken_us)) = open.pop_front() {
                one.store.give_back(ticket);
                naive.give_back(&taken, taken_us, now_us);
            }
            let decision = one.store.take(&TakeRequest {
                plan: Some(&one.plan),
                key: ["acme", "other"][step.key],
                method: step.method.checked_sub(1),
                route: step.route.then_some(&shared[0]),
                gateway: step.gateway.then_some(&shared[1]),
                cost: step.cost,
                now: at(now_us),
            });
            prop_assert_eq!(decision.refused_by, naive.take(&step, now_us));
            let left = limit - naive.used[&(step.key, day(now_us))];
            prop_assert_eq!(decision.quota.unwrap().remaining, left);
            let own = locations(&step).into_iter().filter(|location| location.0 <= Which::Plan);
            let left = own.map(|location| naive.tubs[&location].content / BILLION).min().unwrap();
            prop_assert_eq!(u128::from(decision.rate.unwrap().remaining), left);
            if let Some(ticket) = decision.ticket {
                open.push_back((ticket, step, now_us));
            }
        }
    }

    #[test]
    fn the_wait_for_all_bounds_is_honest(
        sizes in prop::array::uniform4(rates()), limit in 1..30_u64, steps in steps()
    ) {
        let [method_size, plan, route, gateway] = sizes;
        let named = MethodRate { rate: real(method_size), ..method("GET", "/1", 1.0, 1) };
        let one = One::new(UsagePlan {
            rate: Some(real(plan)),
            methods: vec![named],
            ..quota(limit, Period::Day)
        });
        let route = one.store.shared_rate("route", real(route)).unwrap();
        let gateway = one.store.shared_rate("gateway", real(gateway)).unwrap();
        let least = sizes.iter().map(|(_, burst)| *burst).chain([limit]).min().unwrap();
        let take = |cost, now_us| one.store.take(&TakeRequest {
            plan: Some(&one.plan),
            key: "acme",
            method: Some(0),
            route: Some(&route),
            gateway: Some(&gateway),
            cost,
            now: at(now_us),
        });
        let mut now_us = 0;
        for step in steps {
            now_us += step.pause_us;
            let decision = take(step.cost, now_us);
            let wait_ms = decision.retry_after_ms;
            prop_assert_eq!(decision.allowed, wait_ms == 0);
            if decision.allowed {
                continue;
            }
            if step.cost > least {
                prop_assert_eq!(wait_ms, NEVER_MS);
                continue;
            }
            prop_assert!(!take(step.cost, now_us + (wait_ms - 1) * 1000).allowed);
            now_us += wait_ms * 1000;
            prop_assert!(take(step.cost, now_us).allowed, "after {wait_ms}");
        }
    }
}
