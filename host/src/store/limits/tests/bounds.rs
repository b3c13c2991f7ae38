//! All bounds at once: a method's, the plan's, its quota, the route's, the gateway's.

use std::collections::{BTreeMap, VecDeque};
use std::thread;

use super::*;

const BILLION: u128 = 1_000_000_000;

fn method(name: &str, path: &str, per_second: f64, burst: u64) -> MethodRate {
    MethodRate {
        method: name.into(),
        path: path.into(),
        rate: Rate { per_second, burst },
    }
}

/// A plan with all that a plan can have, on a route and a gateway with rates. Each number is a
/// burst; nothing comes back while a test looks.
struct All {
    one: One,
    route: SharedRate,
    gateway: SharedRate,
}

const SLOW: f64 = 1e-6;

impl All {
    fn new(method_burst: u64, burst: u64, limit: u64, route: u64, gateway: u64) -> Self {
        let plan = Plan {
            methods: vec![
                method("GET", "/a", SLOW, method_burst),
                method("ANY", "/b", SLOW, method_burst),
            ],
            ..both(SLOW, burst, limit)
        };
        let one = One::new(plan);
        let rate = |name: &str, burst| {
            let rate = Rate {
                per_second: SLOW,
                burst,
            };
            one.store.shared_rate(name, rate).unwrap()
        };
        let (route, gateway) = (rate("route a", route), rate("gateway", gateway));
        Self {
            one,
            route,
            gateway,
        }
    }

    fn asked<'a>(&'a self, key: &'a str, cost: u64) -> Take<'a> {
        Take {
            plan: Some(&self.one.plan),
            key,
            method: self.one.plan.method("GET", "/a"),
            route: Some(&self.route),
            gateway: Some(&self.gateway),
            cost,
            now: NOON,
        }
    }

    fn take(&self, cost: u64) -> Decision {
        self.one.store.take(&self.asked("acme", cost))
    }

    /// How much each bound still gives, found out by taking it all from each alone.
    fn left(&self) -> [u64; 5] {
        let alone = |take: Take<'_>| {
            let mut left = 0;
            while self.one.store.take(&take).allowed {
                left += 1;
            }
            left
        };
        let shared = |route, gateway| Take {
            plan: None,
            method: None,
            route,
            gateway,
            ..self.asked("acme", 1)
        };
        let shown = self.one.store.take(&Take {
            method: None,
            ..self.asked("acme", 0)
        });
        let method = self.take(0).rate.unwrap().remaining;
        [
            method,
            shown.rate.unwrap().remaining,
            shown.quota.unwrap().remaining,
            alone(shared(Some(&self.route), None)),
            alone(shared(None, Some(&self.gateway))),
        ]
    }
}

#[test]
fn the_first_bound_that_refuses_is_named_and_nothing_is_taken() {
    let all = |short: usize| {
        let mut sizes = [6, 8, 7, 9, 10];
        sizes[short] = 2;
        All::new(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])
    };
    let bounds = [
        Bound::Method,
        Bound::Plan,
        Bound::Quota,
        Bound::Route,
        Bound::Gateway,
    ];
    for (short, bound) in bounds.into_iter().enumerate() {
        let all = all(short);
        assert!(all.take(1).allowed);
        let refused = all.take(2);
        assert_eq!(refused.refused_by, Some(bound));
        assert_eq!(refused.ticket, None);
        let mut left = [5, 7, 6, 8, 9];
        left[short] = 1;
        // Of a method and its plan the tighter is shown.
        left[0] = left[0].min(left[1]);
        assert_eq!(all.left(), left, "{bound:?}");
    }
    // All refuse: they are named in this order, and the longest wait is told.
    let all = All::new(1, 1, 1, 1, 1);
    assert!(all.take(1).allowed);
    let refused = all.take(1);
    assert_eq!(refused.refused_by, Some(Bound::Method));
    assert_eq!(refused.retry_after_ms, 1_000_000_000);
}

#[test]
fn a_shared_rate_that_refuses_is_shown() {
    let all = All::new(5, 5, 5, 2, 5);
    assert_eq!(all.take(2).shared, None);
    let refused = all.take(1);
    let shown = refused.shared.unwrap();
    assert_eq!((shown.limit, shown.remaining), (2, 0));
    assert_eq!(refused.retry_after_ms, 1_000_000_000);
    assert_eq!(refused.rate.unwrap().remaining, 3);
}

#[test]
fn what_is_given_back_comes_back_everywhere() {
    let all = All::new(6, 7, 8, 9, 10);
    let ticket = all.take(4).ticket.unwrap();
    assert!(all.take(1).allowed);
    all.one.store.give_back(ticket);
    assert_eq!(all.left(), [5, 6, 7, 8, 9]);
}

#[test]
fn shared_rates_are_for_all_keys_and_survive_a_reload() {
    let all = All::new(9, 9, 9, 3, 9);
    for key in ["acme", "other", "third"] {
        assert!(all.one.store.take(&all.asked(key, 1)).allowed);
    }
    let refused = all.one.store.take(&all.asked("fourth", 1));
    assert_eq!(refused.refused_by, Some(Bound::Route));
    assert_eq!(
        all.one.store.counters(),
        3,
        "who took nothing keeps nothing"
    );
    let larger = Rate {
        per_second: SLOW,
        burst: 5,
    };
    let again = all.one.store.shared_rate("route a", larger).unwrap();
    let other = all.one.store.shared_rate("route b", larger).unwrap();
    let alone = |route, cost| {
        let route = Some(route);
        all.one.store.take(&Take {
            plan: None,
            route,
            gateway: None,
            ..all.asked("", cost)
        })
    };
    assert!(alone(&again, 2).allowed && !alone(&again, 1).allowed);
    assert!(alone(&other, 5).allowed);
    let senseless = Rate {
        per_second: 0.0,
        burst: 5,
    };
    let refused = all.one.store.shared_rate("route c", senseless);
    assert_eq!(refused.unwrap_err(), RateError::Rate);
}

#[test]
fn a_method_has_its_bucket_whatever_its_place_in_the_plan() {
    let plan = |methods: &[(&str, u64)]| Plan {
        methods: methods
            .iter()
            .map(|(path, burst)| method("GET", path, SLOW, *burst))
            .collect(),
        ..rate(SLOW, 100)
    };
    let mut one = One::new(plan(&[("/a", 5), ("/b", 5)]));
    let take = |one: &One, path: &str, cost| {
        one.store.take(&Take {
            plan: Some(&one.plan),
            key: "acme",
            method: one.plan.method("GET", path),
            route: None,
            gateway: None,
            cost,
            now: NOON,
        })
    };
    assert!(take(&one, "/a", 4).allowed && take(&one, "/b", 1).allowed);
    one.change(plan(&[("/c", 5), ("/b", 5), ("/a", 5)]), NOON);
    let left = ["/a", "/b", "/c", "/d"].map(|path| take(&one, path, 0).rate.unwrap().remaining);
    assert_eq!(left, [1, 4, 5, 95]);
    // A plan of methods alone bounds these only.
    one.change(
        Plan {
            rate: None,
            ..plan(&[("/a", 5)])
        },
        NOON,
    );
    assert!(!take(&one, "/a", 2).allowed);
    assert!(take(&one, "/d", 1_000_000).allowed);
    assert_eq!(take(&one, "/d", 1).rate, None);
}

/// One step of a caller.
#[derive(Debug, Clone, Copy)]
struct Step {
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

fn steps() -> impl Strategy<Value = Vec<Step>> {
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
    let step = step.prop_map(
        |(pause_us, key, method, route, gateway, cost, give_back)| Step {
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
struct Tub {
    milli: u64,
    burst: u64,
    content: u128,
    at_us: u64,
}

impl Tub {
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

/// The place of a bucket: of a key's method, a key's plan, the route, the gateway.
type Place = (Bound2, usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bound2 {
    Method,
    Plan,
    Route,
    Gateway,
}

/// All bounds as one would write them on a blackboard.
struct Naive {
    tubs: BTreeMap<Place, Tub>,
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
fn places(step: &Step) -> Vec<Place> {
    let mut places = Vec::new();
    if step.method > 0 {
        places.push((Bound2::Method, step.key, step.method));
    }
    places.push((Bound2::Plan, step.key, 0));
    if step.route {
        places.push((Bound2::Route, 0, 0));
    }
    if step.gateway {
        places.push((Bound2::Gateway, 0, 0));
    }
    places
}

impl Naive {
    fn take(&mut self, step: &Step, now_us: u64) -> Option<Bound> {
        let mut refused = Vec::new();
        for place in places(step) {
            if !self.tubs.get_mut(&place).unwrap().gives(step.cost, now_us) {
                refused.push(match place.0 {
                    Bound2::Method => (0, Bound::Method),
                    Bound2::Plan => (1, Bound::Plan),
                    Bound2::Route => (3, Bound::Route),
                    Bound2::Gateway => (4, Bound::Gateway),
                });
            }
        }
        let used = self.used.entry((step.key, day(now_us))).or_default();
        if step.cost > 0 && *used + step.cost > self.limit {
            refused.push((2, Bound::Quota));
        }
        if let Some((_, first)) = refused.into_iter().min_by_key(|(order, _)| *order) {
            return Some(first);
        }
        *used += step.cost;
        for place in places(step) {
            self.tubs.get_mut(&place).unwrap().take(step.cost);
        }
        None
    }

    fn give_back(&mut self, step: &Step, taken_us: u64, now_us: u64) {
        *self.used.get_mut(&(step.key, day(taken_us))).unwrap() -= step.cost;
        for place in places(step) {
            self.tubs
                .get_mut(&place)
                .unwrap()
                .give_back(step.cost, now_us);
        }
    }
}

fn rates() -> impl Strategy<Value = (u64, u64)> {
    (1..4_000_u64, 1..12_u64)
}

fn real((milli, burst): (u64, u64)) -> Rate {
    Rate {
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
        let one = One::new(Plan {
            rate: Some(real(plan)),
            methods: vec![named("/1", first), named("/2", second)],
            ..quota(limit, Period::Day, 0)
        });
        let shared = [
            one.store.shared_rate("route", real(route)).unwrap(),
            one.store.shared_rate("gateway", real(gateway)).unwrap(),
        ];
        let mut naive = Naive { tubs: BTreeMap::new(), limit, used: BTreeMap::new() };
        for key in 0..2 {
            for (place, size) in [(1, first), (2, second)] {
                naive.tubs.insert((Bound2::Method, key, place), Tub::new(size));
            }
            naive.tubs.insert((Bound2::Plan, key, 0), Tub::new(plan));
        }
        naive.tubs.insert((Bound2::Route, 0, 0), Tub::new(route));
        naive.tubs.insert((Bound2::Gateway, 0, 0), Tub::new(gateway));
        let mut open = VecDeque::new();
        let mut now_us = 0;
        for step in steps {
            now_us += step.pause_us;
            if step.give_back && let Some((ticket, taken, taken_us)) = open.pop_front() {
                one.store.give_back(ticket);
                naive.give_back(&taken, taken_us, now_us);
            }
            let decision = one.store.take(&Take {
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
            let held = places(&step).into_iter().filter(|place| place.0 <= Bound2::Plan);
            let left = held.map(|place| naive.tubs[&place].content / BILLION).min().unwrap();
            prop_assert_eq!(u128::from(decision.rate.unwrap().remaining), left);
            if let Some(ticket) = decision.ticket {
                open.push_back((ticket, step, now_us));
            }
        }
    }
}

#[test]
fn threads_that_meet_all_bounds_take_exactly_the_least() {
    // Every bound is the least once.
    for least in 0..5 {
        let mut sizes = [5000; 5];
        sizes[least] = 1234;
        let all = All::new(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]);
        let admitted: usize = thread::scope(|scope| {
            let work = || (0..1000).filter(|_| all.take(1).allowed).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, 1234, "bound {least}");
    }
}

#[test]
fn threads_with_different_keys_and_routes_give_all_back() {
    let all = All::new(20, 30, 10_000, 40, 50);
    thread::scope(|scope| {
        for thread in 0..8_usize {
            let all = &all;
            scope.spawn(move || {
                for round in 0..2000_usize {
                    let asked = Take {
                        plan: (round % 5 > 0).then_some(&all.one.plan),
                        route: (round % 3 > 0).then_some(&all.route),
                        gateway: (round % 7 > 0).then_some(&all.gateway),
                        ..all.asked(["acme", "other"][thread % 2], 1 + (round % 11) as u64)
                    };
                    if let Some(ticket) = all.one.store.take(&asked).ticket {
                        all.one.store.give_back(ticket);
                    }
                }
            });
        }
    });
    assert_eq!(all.left(), [20, 30, 10_000, 40, 50]);
}
