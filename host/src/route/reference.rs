//! The rules of [`router`](super::router) once more, as a ranking of all routes that match, and
//! the law that the tree agrees with it.

use std::cmp::Ordering;
use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::{MethodMatch, NoRoute, RequestFacts, RouteSpec, Router};
use crate::model::condition::{Conditions, ValueRule};

#[derive(Clone, Debug)]
struct ReferenceRoute {
    base: &'static str,
    path: String,
    methods: Vec<MethodMatch>,
    hosts: Vec<String>,
    /// Of fields that are there or not.
    conditions: Conditions,
    priority: u32,
}

/// Smaller is better: priority, host, kind of match, segments, method, conditions.
type Rank = (u32, usize, u8, Vec<u8>, u8, usize);

fn meets(route: &ReferenceRoute, fields: &[&str]) -> bool {
    let mut all = route.conditions.headers.iter();
    all.all(|(name, rule)| fields.contains(&name.as_str()) == (*rule == ValueRule::Present))
}

fn host_rank(route: &ReferenceRoute, host: &str) -> Option<usize> {
    if route.hosts.is_empty() {
        return Some(usize::MAX);
    }
    let rank = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => {
            (host.ends_with(suffix) && host.len() > suffix.len()).then(|| 1000 - suffix.len())
        }
        None => (host == pattern).then_some(0),
    };
    route.hosts.iter().filter_map(rank).min()
}

/// Rank of the path match, and the values that are bound.
fn path_rank(pattern: &str, path: &str) -> Option<(u8, Vec<u8>, Vec<String>)> {
    if pattern == "$default" {
        return Some((2, vec![], vec![]));
    }
    if let Some(base) = pattern.strip_suffix("$default") {
        let rest = path.strip_prefix(base)?;
        let segments = base.split('/').map(|_| 0);
        let is_below = rest.is_empty() || rest.starts_with('/');
        return is_below.then(|| (1, segments.chain([3]).collect(), vec![]));
    }
    let (mut ranks, mut values) = (vec![], vec![]);
    let wanted: Vec<&str> = pattern.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    for (place, segment) in wanted.iter().enumerate() {
        let text = given.get(place)?;
        if segment.ends_with("+}") {
            let rest = given[place..].join("/");
            ranks.push(2);
            values.push(rest);
            return (!text.is_empty()).then_some((1, ranks, values));
        } else if segment.starts_with('{') {
            if text.is_empty() {
                return None;
            }
            ranks.push(1);
            values.push((*text).to_owned());
        } else if segment == text {
            ranks.push(0);
        } else {
            return None;
        }
    }
    (wanted.len() == given.len()).then_some((0, ranks, values))
}

fn method_rank(route: &ReferenceRoute, method: &Method) -> Option<u8> {
    if route.methods.contains(&MethodMatch::Only(method.clone())) {
        return Some(0);
    }
    route.methods.contains(&MethodMatch::Any).then_some(1)
}

/// The best route and its values, or the methods of the routes that match but for the method.
fn best(
    routes: &[ReferenceRoute],
    host: &str,
    method: &Method,
    path: &str,
    fields: &[&str],
) -> Result<(usize, Vec<String>), Vec<String>> {
    let mut found: Option<(Rank, usize, Vec<String>)> = None;
    let mut allow = vec![];
    for (index, route) in routes.iter().enumerate() {
        let full = format!("{}{}", route.base, route.path);
        let mut ranked = path_rank(&full, path);
        if ranked.is_none() && !route.base.is_empty() && route.path == "/" {
            ranked = path_rank(route.base, path);
        }
        let (Some(host), Some((kind, segments, values))) = (host_rank(route, host), ranked) else {
            continue;
        };
        if !meets(route, fields) {
            continue;
        }
        for known in &route.methods {
            if let MethodMatch::Only(known) = known {
                allow.push(known.to_string());
            }
        }
        let Some(method) = method_rank(route, method) else {
            continue;
        };
        let few = usize::MAX - route.conditions.count();
        let rank = (route.priority, host, kind, segments, method, few);
        if found
            .as_ref()
            .is_none_or(|(known, ..)| rank.cmp(known) == Ordering::Less)
        {
            found = Some((rank, index, values));
        }
    }
    allow.sort();
    allow.dedup();
    found.map(|(_, index, values)| (index, values)).ok_or(allow)
}

fn methods() -> impl Strategy<Value = Vec<MethodMatch>> {
    let all = vec![
        MethodMatch::Any,
        MethodMatch::Only(Method::GET),
        MethodMatch::Only(Method::POST),
        MethodMatch::Only(Method::PUT),
    ];
    prop::sample::subsequence(all, 1..=3)
}

fn pattern() -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "{"]), 0..4);
    let end = prop::sample::select(vec!["a", "b", "{", "{+", ""]);
    let path = (segments, end).prop_map(|(mut segments, end)| {
        segments.push(end);
        let name = |(place, segment): (usize, &str)| match segment {
            "{" => format!("/{{p{place}}}"),
            "{+" => format!("/{{p{place}+}}"),
            text => format!("/{text}"),
        };
        segments.into_iter().enumerate().map(name).collect()
    });
    prop_oneof![9 => path, 1 => Just("$default".to_owned())]
}

fn route() -> impl Strategy<Value = ReferenceRoute> {
    let hosts = vec!["x.y.z", "y.z", "*.y.z", "*.z"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let hosts = prop_oneof![2 => Just(vec![]), 1 => prop::sample::subsequence(hosts, 0..=2)];
    let base = prop::sample::select(vec!["", "", "", "/a", "/a/b", "/b"]);
    let all = (base, pattern(), methods(), hosts, conditions(), priority());
    all.prop_map(
        |(base, path, methods, hosts, conditions, priority)| ReferenceRoute {
            base,
            path,
            methods,
            hosts,
            conditions,
            priority,
        },
    )
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let rule = prop::sample::select(vec![ValueRule::Present, ValueRule::Absent]);
    let field = |name| {
        let name = HeaderName::from_static(name);
        prop::option::weighted(0.3, (Just(name), rule.clone()))
    };
    (field("x-a"), field("x-b")).prop_map(|(one, other)| Conditions {
        headers: one.into_iter().chain(other).collect(),
        ..Conditions::default()
    })
}

fn priority() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2)]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ""]), 1..6)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

/// A router of the routes that do not collide with an earlier one, and those routes.
fn build(mut routes: Vec<ReferenceRoute>) -> (Router, Vec<ReferenceRoute>) {
    loop {
        let specs: Vec<RouteSpec<'_>> = routes
            .iter()
            .map(|route| RouteSpec {
                base: route.base,
                path: &route.path,
                methods: &route.methods,
                hosts: &route.hosts,
                conditions: &route.conditions,
                priority: route.priority,
            })
            .collect();
        match Router::new(&specs) {
            Ok(router) => return (router, routes),
            Err(errors) => {
                let first = errors[0].clone();
                assert!(
                    first.other.is_some_and(|other| other < first.route),
                    "{first}"
                );
                routes.remove(first.route);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn tree_agrees_with_the_ranking(
        routes in prop::collection::vec(route(), 1..24),
        requests in prop::collection::vec((path(), 0..4_usize, 0..4_usize, 0..4_usize), 16),
    ) {
        let (router, routes) = build(routes);
        for (path, method, host, fields) in requests {
            let fields: &[&str] = [&[][..], &["x-a"], &["x-b"], &["x-a", "x-b"]][fields];
            let named = fields.iter().map(|name| HeaderName::try_from(*name).unwrap());
            let headers: HeaderMap = named.map(|name| (name, HeaderValue::from_static("1"))).collect();
            let method = [Method::GET, Method::POST, Method::PUT, Method::DELETE][method].clone();
            let host = ["x.y.z", "y.z", "w.y.z", "q"][host];
            let found = router.find_for(&RequestFacts {
                host,
                method: &method,
                path: &path,
                query: "",
                headers: &headers,
                client: Ipv4Addr::LOCALHOST.into(),
            });
            let expected = best(&routes, host, &method, &path, fields);
            match (found, expected) {
                (Ok(found), Ok((route, values))) => {
                    prop_assert_eq!(found.route, route);
                    let bound: Vec<String> = found.params.ranges().map(|range| path[range].to_owned()).collect();
                    prop_assert_eq!(bound, values);
                    prop_assert_eq!(router.names(route).len(), found.params.ranges().len());
                }
                (Err(NoRoute::Path), Err(allow)) => prop_assert!(allow.is_empty()),
                (Err(NoRoute::Method { allow }), Err(expected)) => {
                    let allow: Vec<&str> = allow.iter().map(Method::as_str).collect();
                    prop_assert_eq!(allow, expected);
                }
                (found, expected) => prop_assert!(false, "{found:?} against {expected:?}"),
            }
        }
    }
}
