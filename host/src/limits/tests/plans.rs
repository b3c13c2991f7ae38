//! Plans by name, and which one a request meets.

use std::sync::Arc;

use super::*;
use crate::limits::plan::{MAX_METHODS, MethodError};

fn named(name: &str, apis: &[&str]) -> UsagePlan {
    UsagePlan {
        name: name.into(),
        apis: apis.iter().map(|api| (*api).into()).collect(),
        ..rate(1.0, 5)
    }
}

fn enroll(store: &LocalLimits, plans: &[UsagePlan]) -> EnrolledPlans {
    let plans = plans.iter().cloned();
    enroll_plans(store, plans).unwrap()
}

fn picked<'a>(book: &PlanBook, plans: &'a [Arc<str>], api: Option<&str>) -> Option<&'a str> {
    book.pick(plans, api).map(|name| &**name)
}

#[test]
fn a_key_has_one_plan_for_each_api() {
    let store = LocalLimits::default();
    let fixed = enroll(
        &store,
        &[
            named("orders", &["orders"]),
            named("both", &["orders", "stock"]),
            named("all", &[]),
        ],
    );
    let book = PlanBook::new(fixed, Arc::default());
    let key = |plans: &[&str]| {
        plans
            .iter()
            .map(|plan| Arc::from(*plan))
            .collect::<Vec<_>>()
    };
    let (orders, stock) = (Some("orders"), Some("stock"));
    let three = key(&["all", "orders"]);
    assert_eq!(picked(&book, &three, orders), Some("orders"));
    assert_eq!(picked(&book, &three, stock), Some("all"));
    assert_eq!(picked(&book, &three, None), Some("all"));
    let one = key(&["orders"]);
    assert_eq!(picked(&book, &one, stock), None);
    assert_eq!(picked(&book, &one, None), None);
    assert_eq!(picked(&book, &key(&["both"]), stock), Some("both"));
    assert_eq!(picked(&book, &[], orders), None);
    // One that is lost does not make its key free, nor does it go before one that is there.
    let lost = key(&["lost", "orders"]);
    assert_eq!(picked(&book, &lost, orders), Some("orders"));
    assert_eq!(picked(&book, &lost, stock), Some("lost"));
}

#[test]
fn plans_of_the_store_change_while_requests_run() {
    let store = LocalLimits::default();
    let fixed = enroll(&store, &[named("gold", &[])]);
    let live = Arc::new(LivePlans::default());
    let book = PlanBook::new(fixed, Arc::clone(&live));
    let burst = |name: &str| {
        book.with(name, |plan| plan.and_then(|plan| plan.plan.rate))
            .map(|rate| rate.burst)
    };
    let sized = |name, burst| UsagePlan {
        rate: rate(1.0, burst).rate,
        ..named(name, &[])
    };
    let put = |plan| live.upsert(store.enroll(plan).unwrap());
    assert_eq!((burst("gold"), burst("silver")), (Some(5), None));
    put(sized("silver", 7));
    put(sized("gold", 9));
    // The config's goes first.
    assert_eq!((burst("gold"), burst("silver")), (Some(5), Some(7)));
    put(sized("silver", 8));
    assert_eq!((burst("silver"), live.snapshot().len()), (Some(8), 2));
    live.remove("silver");
    assert_eq!(burst("silver"), None);
    live.replace(enroll(&store, &[sized("silver", 2)]));
    assert_eq!((burst("silver"), live.snapshot().len()), (Some(2), 1));
}

#[test]
fn a_method_is_found_by_its_name_and_its_routes_pattern() {
    let store = LocalLimits::default();
    let method = |name: &str, path: &str| MethodRate {
        method: name.into(),
        path: path.into(),
        rate: RateLimit {
            per_second: 1.0,
            burst: 1,
        },
    };
    let plan = UsagePlan {
        methods: vec![
            method("ANY", "/orders/{id}"),
            method("GET", "/orders/{id}"),
            method("PUT", "/orders"),
            method("ANY", "$default"),
        ],
        ..rate(1.0, 1)
    };
    let plan = store.enroll(plan).unwrap();
    let found = [
        ("GET", "/orders/{id}", Some(1)),
        ("PUT", "/orders/{id}", Some(0)),
        ("PUT", "/orders", Some(2)),
        ("GET", "/orders", None),
        ("GET", "/orders/7", None),
        ("GET", "$default", Some(3)),
    ];
    for (name, pattern, index) in found {
        assert_eq!(plan.method(name, pattern), index, "{name} {pattern}");
    }
    assert_eq!(store.enroll(rate(1.0, 1)).unwrap().method("GET", "/"), None);
}

#[test]
fn methods_that_make_no_sense_are_refused() {
    let wrong = |methods: &[(&str, &str, f64, u64)]| {
        let methods = methods
            .iter()
            .map(|(name, path, per_second, burst)| MethodRate {
                method: (*name).into(),
                path: (*path).into(),
                rate: RateLimit {
                    per_second: *per_second,
                    burst: *burst,
                },
            });
        let plan = UsagePlan {
            methods: methods.collect(),
            rate: None,
            ..rate(1.0, 1)
        };
        match plan.check() {
            Ok(()) => None,
            Err(PlanError::Method { wrong, .. }) => Some(wrong),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(wrong(&[("GET", "/", 1.0, 1), ("PUT", "/", 1.0, 1)]), None);
    for name in ["", "get", "GET /", "ÄNY"] {
        assert_eq!(wrong(&[(name, "/", 1.0, 1)]), Some(MethodError::Name));
    }
    assert_eq!(wrong(&[("GET", "a", 1.0, 1)]), Some(MethodError::Path));
    let no_rate = MethodError::Rate(RateError::Rate);
    assert_eq!(wrong(&[("GET", "/", 0.0, 1)]), Some(no_rate));
    let no_burst = MethodError::Rate(RateError::Burst);
    assert_eq!(wrong(&[("GET", "/", 1.0, 0)]), Some(no_burst));
    let twice = [("GET", "/", 1.0, 1), ("GET", "/", 2.0, 1)];
    assert_eq!(wrong(&twice), Some(MethodError::Duplicate));
    let one = |index: usize| MethodRate {
        method: "GET".into(),
        path: format!("/{index}").into(),
        rate: RateLimit {
            per_second: 1.0,
            burst: 1,
        },
    };
    let many = UsagePlan {
        methods: (0..=MAX_METHODS).map(one).collect(),
        ..rate(1.0, 1)
    };
    let refused = many.check().unwrap_err();
    assert_eq!(refused, PlanError::TooManyMethods("gold".into()));
}
