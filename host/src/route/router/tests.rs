//! Which route takes which request.

use std::borrow::Cow;

use super::*;
use crate::route::path::decode_segment;

fn only(methods: &[&str]) -> Vec<MethodMatch> {
    methods
        .iter()
        .map(|method| match *method {
            "ANY" => MethodMatch::Any,
            name => MethodMatch::Only(name.parse().unwrap()),
        })
        .collect()
}

/// Routes written as `GET,PUT /path host host`, or `GET /base|/path`.
fn build(routes: &[&str]) -> Result<Router, Vec<RouteError>> {
    let parts: Vec<(Vec<MethodMatch>, &str, Vec<String>)> = routes
        .iter()
        .map(|route| {
            let mut words = route.split(' ');
            let methods = only(&words.next().unwrap().split(',').collect::<Vec<_>>());
            let path = words.next().unwrap();
            (methods, path, words.map(str::to_owned).collect())
        })
        .collect();
    let none = Conditions::default();
    let specs: Vec<RouteSpec<'_>> = parts
        .iter()
        .map(|(methods, path, hosts)| RouteSpec {
            base: path.split_once('|').map_or("", |(base, _)| base),
            path: path.split_once('|').map_or(*path, |(_, path)| path),
            methods,
            hosts,
            conditions: &none,
            priority: 0,
        })
        .collect();
    Router::new(&specs)
}

/// Asserts which route, as written, takes each `METHOD host/path`.
fn assert_found(routes: &[&str], requests: &[(&str, &str)]) {
    let router = build(routes).unwrap();
    for (request, expected) in requests {
        let (method, target) = request.split_once(' ').unwrap();
        let (host, _) = target.split_once('/').unwrap();
        let path = &target[host.len()..];
        let found = match router.find(host, &method.parse().unwrap(), path) {
            Ok(found) => routes[found.route].to_owned(),
            Err(NoRoute::Path) => "404".to_owned(),
            Err(NoRoute::Method { allow }) => {
                let allow: Vec<&str> = allow.iter().map(Method::as_str).collect();
                format!("405 {}", allow.join(","))
            }
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn precedence_is_that_of_api_gateway() {
    assert_found(
        &[
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{proxy+}",
            "ANY /{proxy+}",
            "ANY $default",
        ],
        &[
            ("GET /pets/dog/1", "GET /pets/dog/1"),
            ("GET /pets/dog/2", "GET /pets/dog/{id}"),
            ("GET /pets/cat/4", "GET /pets/{proxy+}"),
            ("POST /test/5", "ANY /{proxy+}"),
            ("POST /pets/dog/1", "ANY /{proxy+}"),
            ("GET /", "ANY $default"),
        ],
    );
}

#[test]
fn full_match_comes_before_greedy_and_greedy_before_default() {
    assert_found(
        &["ANY /{x}/c", "GET /a/{rest+}", "ANY $default"],
        &[
            ("GET /a/c", "ANY /{x}/c"),
            ("GET /a/d", "GET /a/{rest+}"),
            ("PUT /a/d", "ANY $default"),
        ],
    );
}

#[test]
fn first_segment_that_differs_decides() {
    assert_found(
        &[
            "GET /a/{x}/{y}",
            "GET /{x}/b/c",
            "GET /{x}/b/{r+}",
            "GET /a/{r+}",
            "GET /{r+}",
        ],
        &[
            ("GET /a/b/c", "GET /a/{x}/{y}"),
            ("GET /z/b/c", "GET /{x}/b/c"),
            ("GET /a/b/c/d", "GET /a/{r+}"),
            ("GET /z/b/d", "GET /{x}/b/{r+}"),
            ("GET /z/y", "GET /{r+}"),
        ],
    );
}

#[test]
fn search_goes_back_where_a_literal_leads_nowhere() {
    assert_found(
        &["GET /a/b/c/x", "GET /a/{p}/c/y", "GET /{p}/b/{q}/z"],
        &[
            ("GET /a/b/c/x", "GET /a/b/c/x"),
            ("GET /a/b/c/y", "GET /a/{p}/c/y"),
            ("GET /a/b/c/z", "GET /{p}/b/{q}/z"),
            ("GET /a/b/c/w", "404"),
        ],
    );
}

#[test]
fn named_method_comes_before_any_on_one_path() {
    assert_found(
        &["ANY /a", "GET /a", "DELETE,PURGE /a"],
        &[
            ("GET /a", "GET /a"),
            ("PURGE /a", "DELETE,PURGE /a"),
            ("get /a", "ANY /a"),
        ],
    );
}

#[test]
fn missing_path_and_missing_method_are_told_apart() {
    assert_found(
        &[
            "PUT,GET /a/b",
            "GET,DELETE /a/{x}",
            "PATCH /a/{r+}",
            "GET /c",
        ],
        &[
            ("POST /a/b", "405 DELETE,GET,PATCH,PUT"),
            ("POST /a/b/c", "405 PATCH"),
            ("HEAD /c", "405 GET"),
            ("GET /d", "404"),
            ("GET /c/", "404"),
        ],
    );
    assert_found(
        &["GET $default"],
        &[("GET /a", "GET $default"), ("PUT /a", "405 GET")],
    );
}

#[test]
fn parameters_take_no_empty_segment() {
    assert_found(
        &["GET /a/{id}", "GET /b/{rest+}", "GET /c/", "GET /"],
        &[
            ("GET /a/", "404"),
            ("GET /a", "404"),
            ("GET /b/", "404"),
            ("GET /b", "404"),
            ("GET /b/x/", "GET /b/{rest+}"),
            ("GET /c/", "GET /c/"),
            ("GET /c", "404"),
            ("GET /", "GET /"),
        ],
    );
}

#[test]
fn spelling_of_a_segment_does_not_choose_the_route() {
    assert_found(
        &[
            "GET /users/@me",
            "GET /users/{id}",
            "GET /café",
            "GET /x%2Fy",
        ],
        &[
            ("GET /users/%40me", "GET /users/@me"),
            ("GET /users/@me?a=/users/7", "GET /users/@me"),
            ("GET /users/@you", "GET /users/{id}"),
            ("GET /caf%C3%A9", "GET /café"),
            ("GET /x%2Fy", "GET /x%2Fy"),
            ("GET /x/y", "404"),
        ],
    );
}

#[test]
fn most_specific_host_is_searched_first() {
    assert_found(
        &[
            "GET /a api.example.com",
            "GET /a *.example.com *.api.example.com",
            "GET /{rest+} *.com",
            "GET /a",
            "GET /b",
            "POST /c api.example.com",
            "PUT /c",
        ],
        &[
            ("GET api.example.com/a", "GET /a api.example.com"),
            ("GET API.Example.COM:8080/a", "GET /a api.example.com"),
            ("GET api.example.com./a", "GET /a api.example.com"),
            (
                "GET v1.api.example.com/a",
                "GET /a *.example.com *.api.example.com",
            ),
            (
                "GET v1.WEB.example.com/a",
                "GET /a *.example.com *.api.example.com",
            ),
            ("GET example.com/a", "GET /{rest+} *.com"),
            ("GET .example.com/a", "GET /{rest+} *.com"),
            ("GET com/a", "GET /a"),
            ("GET xexample.org/a", "GET /a"),
            ("GET /a", "GET /a"),
            // The host comes before the path, and a group without a route is passed over.
            ("GET api.example.com/b", "GET /{rest+} *.com"),
            ("PUT api.example.com/c", "PUT /c"),
            ("PATCH api.example.com/c", "405 GET,POST,PUT"),
        ],
    );
}

#[test]
fn ipv6_host_is_found() {
    assert_found(
        &["GET /a [2001:DB8::1]", "GET /a"],
        &[
            ("GET [2001:db8::1]:80/a", "GET /a [2001:DB8::1]"),
            ("GET [::1]/a", "GET /a"),
        ],
    );
}

/// The decoded value of a parameter, in the path that was routed.
fn value<'p>(found: &Match, names: &[Box<str>], name: &str, path: &'p str) -> Option<Cow<'p, str>> {
    let index = names.iter().position(|known| **known == *name)?;
    let range = found.params.ranges().nth(index)?;
    Some(decode_segment(&path[range]))
}

#[test]
fn values_are_decoded_when_read() {
    let router = build(&["GET /{a}/x/{b}/{rest+}", "GET /{c}/x/{d}"]).unwrap();
    let path = "/1%2F2/x/caf%C3%A9/r/s%20t/";
    let found = router.find("", &Method::GET, path).unwrap();
    let names = router.names(found.route);
    let of = |name: &str| value(&found, names, name, path);
    assert_eq!(of("a").as_deref(), Some("1/2"));
    assert_eq!(of("b").as_deref(), Some("café"));
    assert_eq!(of("rest").as_deref(), Some("r/s t/"));
    assert_eq!(of("c"), None);
    let raw: Vec<&str> = found.params.ranges().map(|range| &path[range]).collect();
    assert_eq!(raw, ["1%2F2", "caf%C3%A9", "r/s%20t/"]);

    // Another route names the same places otherwise.
    let found = router.find("", &Method::GET, "/1/x/2").unwrap();
    assert_eq!(router.names(found.route), ["c", "d"].map(Box::<str>::from));
    let bound = value(&found, router.names(found.route), "d", "/1/x/2");
    assert_eq!(bound.as_deref(), Some("2"));
    assert!(router.names(7).is_empty());
}

#[test]
fn every_fault_of_every_route_is_told() {
    let errors = build(&[
        "GET /ok",
        "GET,GET orders a.com A.COM *",
        "GET /orders/{id}",
        "PUT,GET,ANY /orders/{key}",
        "GET,PUT /x a.com b.com",
        "GET,PUT /x b.com a.com",
        "ANY $default",
        "ANY $default",
    ])
    .unwrap_err();
    let told: Vec<(usize, Option<usize>, RoutePart, String)> = errors
        .iter()
        .map(|error| (error.route, error.other, error.part, error.to_string()))
        .collect();
    let same = |text: &str| text.to_owned();
    assert_eq!(
        told,
        [
            (
                1,
                None,
                RoutePart::Path,
                same("path `orders` does not begin with `/`")
            ),
            (
                1,
                None,
                RoutePart::Methods,
                same("method `GET` is named twice")
            ),
            (
                1,
                None,
                RoutePart::Host(1),
                same("host `A.COM` is named twice")
            ),
            (1, None, RoutePart::Host(2), same("host `*` is not a name")),
            (
                3,
                Some(2),
                RoutePart::Path,
                same("`GET /orders/{key}` matches just what `GET /orders/{id}` matches")
            ),
            (
                5,
                Some(4),
                RoutePart::Path,
                same("`GET /x` on host `b.com` is there already")
            ),
            (
                7,
                Some(6),
                RoutePart::Path,
                same("`ANY $default` is there already")
            ),
        ]
    );
}

#[test]
fn route_without_methods_is_refused() {
    let spec = RouteSpec {
        base: "",
        path: "/",
        methods: &[],
        hosts: &[],
        conditions: &Conditions::default(),
        priority: 0,
    };
    let errors = Router::new(&[spec]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].part, RoutePart::Methods);
    assert_eq!(errors[0].to_string(), "the list of methods is empty");
    assert_eq!(
        errors[0].help.as_deref(),
        Some("leave `methods` out for `ANY`")
    );
}

/// All 4,096 patterns of twelve literals and parameters: the most branches that a path can
/// walk into. A look-up that visited nodes twice would not come back from this.
#[test]
fn hostile_paths_end_soon() {
    let patterns: Vec<String> = (0..1 << 12)
        .map(|bits: u32| {
            let segment = |place: u32| {
                if bits & 1 << place == 0 {
                    "/a".to_owned()
                } else {
                    format!("/{{p{place}}}")
                }
            };
            let path: String = (0..12).map(segment).collect();
            format!("GET {path}/end")
        })
        .collect();
    let router = build(&patterns.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let find = |path: &str| router.find("", &Method::GET, path).map(|found| found.route);
    assert_eq!(find(&format!("{}/end", "/a".repeat(12))), Ok(0));
    assert_eq!(find(&"/a".repeat(13)), Err(NoRoute::Path));
    assert_eq!(find(&"/a".repeat(100_000)), Err(NoRoute::Path));
    assert_eq!(
        find(&format!("/{}", "%61".repeat(30_000))),
        Err(NoRoute::Path)
    );
    assert_eq!(find(&"/".repeat(100_000)), Err(NoRoute::Path));
    let host = "a.".repeat(100_000);
    assert_eq!(router.find(&host, &Method::GET, "/"), Err(NoRoute::Path));
}

#[test]
fn paths_below_a_base_path_are_matched_with_it() {
    assert_found(
        &[
            "GET /shop/v1|/",
            "GET /shop/v1|/orders/{id}",
            "ANY /shop/v1|$default",
            "GET /shop|$default",
            "GET /{rest+}",
        ],
        &[
            ("GET /shop/v1", "GET /shop/v1|/"),
            ("GET /shop/v1/", "GET /shop/v1|/"),
            ("POST /shop/v1", "ANY /shop/v1|$default"),
            ("POST /shop/v1/", "ANY /shop/v1|$default"),
            ("GET /shop/v1/orders/7", "GET /shop/v1|/orders/{id}"),
            ("GET /shop/v1/orders/", "ANY /shop/v1|$default"),
            ("GET /shop/v1/users/7", "ANY /shop/v1|$default"),
            ("GET /shop/v2", "GET /shop|$default"),
            ("GET /shop", "GET /shop|$default"),
            ("GET /shopping", "GET /{rest+}"),
            ("GET /", "404"),
            ("POST /shop/v2", "405 GET"),
        ],
    );
}

#[test]
fn the_root_of_an_api_collides_with_the_path_of_another_route() {
    let errors = build(&["GET /shop", "GET /shop|/"]).unwrap_err();
    assert_eq!(
        errors[0].message,
        "`GET /shop/` matches just what `GET /shop` matches"
    );
    let errors = build(&["GET /shop|$default", "GET /shop|$default"]).unwrap_err();
    assert_eq!(errors[0].message, "`GET /shop/$default` is there already");
}
