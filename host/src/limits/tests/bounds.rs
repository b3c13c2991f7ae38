//! All bounds at once: a method's, the plan's, its quota, the route's, the gateway's.

use std::thread;

use super::*;

mod model;

fn method(name: &str, path: &str, per_second: f64, burst: u64) -> MethodRate {
    MethodRate {
        method: name.into(),
        path: path.into(),
        rate: RateLimit { per_second, burst },
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
        let plan = UsagePlan {
            methods: vec![
                method("GET", "/a", SLOW, method_burst),
                method("ANY", "/b", SLOW, method_burst),
            ],
            ..both(SLOW, burst, limit)
        };
        let one = One::new(plan);
        let rate = |name: &str, burst| {
            let rate = RateLimit {
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

    fn asked<'a>(&'a self, key: &'a str, cost: u64) -> TakeRequest<'a> {
        TakeRequest {
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
        let alone = |take: TakeRequest<'_>| {
            let mut left = 0;
            while self.one.store.take(&take).allowed {
                left += 1;
            }
            left
        };
        let shared = |route, gateway| TakeRequest {
            plan: None,
            method: None,
            route,
            gateway,
            ..self.asked("acme", 1)
        };
        let shown = self.one.store.take(&TakeRequest {
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
        BoundKind::Method,
        BoundKind::Plan,
        BoundKind::Quota,
        BoundKind::Route,
        BoundKind::Gateway,
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
    // All refuse: they are named in this order, and the longest wait is reported.
    let all = All::new(1, 1, 1, 1, 1);
    assert!(all.take(1).allowed);
    let refused = all.take(1);
    assert_eq!(refused.refused_by, Some(BoundKind::Method));
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
fn an_exchange_takes_from_the_shared_rates_once() {
    let all = All::new(5, 5, 5, 5, 5);
    let mut tickets = LimitTickets::default();
    assert!(!tickets.has_shared());
    // A request that took from the plan alone does not count.
    let alone = TakeRequest {
        route: None,
        gateway: None,
        ..all.asked("acme", 1)
    };
    tickets.keep(all.one.store.take(&alone).ticket);
    assert!(!tickets.has_shared());
    let number = tickets.keep(all.take(1).ticket);
    assert!(tickets.has_shared());
    // Once it is given back, the next who asks takes again.
    all.one.store.give_back(tickets.redeem(number).unwrap());
    assert!(!tickets.has_shared());
    tickets.keep_shared();
    assert!(tickets.has_shared());
}

#[test]
fn shared_rates_are_for_all_keys_and_survive_a_reload() {
    let all = All::new(9, 9, 9, 3, 9);
    for key in ["acme", "other", "third"] {
        assert!(all.one.store.take(&all.asked(key, 1)).allowed);
    }
    let refused = all.one.store.take(&all.asked("fourth", 1));
    assert_eq!(refused.refused_by, Some(BoundKind::Route));
    assert_eq!(
        all.one.store.figures().counters,
        3,
        "who took nothing keeps nothing"
    );
    let larger = RateLimit {
        per_second: SLOW,
        burst: 5,
    };
    let again = all.one.store.shared_rate("route a", larger).unwrap();
    let other = all.one.store.shared_rate("route b", larger).unwrap();
    let alone = |route, cost| {
        let route = Some(route);
        all.one.store.take(&TakeRequest {
            plan: None,
            route,
            gateway: None,
            ..all.asked("", cost)
        })
    };
    assert!(alone(&again, 2).allowed && !alone(&again, 1).allowed);
    assert!(alone(&other, 5).allowed);
    let senseless = RateLimit {
        per_second: 0.0,
        burst: 5,
    };
    let refused = all.one.store.shared_rate("route c", senseless);
    assert_eq!(refused.unwrap_err(), RateError::Rate);
}

#[test]
fn a_method_has_its_bucket_whatever_its_place_in_the_plan() {
    let plan = |methods: &[(&str, u64)]| UsagePlan {
        methods: methods
            .iter()
            .map(|(path, burst)| method("GET", path, SLOW, *burst))
            .collect(),
        ..rate(SLOW, 100)
    };
    let mut one = One::new(plan(&[("/a", 5), ("/b", 5)]));
    let take = |one: &One, path: &str, cost| {
        one.store.take(&TakeRequest {
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
    one.change(plan(&[("/c", 5), ("/b", 5), ("/a", 5)]));
    let left = ["/a", "/b", "/c", "/d"].map(|path| take(&one, path, 0).rate.unwrap().remaining);
    assert_eq!(left, [1, 4, 5, 95]);
    // A plan of methods alone bounds these only.
    one.change(UsagePlan {
        rate: None,
        ..plan(&[("/a", 5)])
    });
    assert!(!take(&one, "/a", 2).allowed);
    assert!(take(&one, "/d", 1_000_000).allowed);
    assert_eq!(take(&one, "/d", 1).rate, None);
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
                for step in 0..2000_usize {
                    let asked = TakeRequest {
                        plan: (step % 5 > 0).then_some(&all.one.plan),
                        route: (step % 3 > 0).then_some(&all.route),
                        gateway: (step % 7 > 0).then_some(&all.gateway),
                        ..all.asked(["acme", "other"][thread % 2], 1 + (step % 11) as u64)
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
