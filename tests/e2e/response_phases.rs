//! Which responses the response phases see.

use windlass_tests::{ClosedPort, Upstream};

use crate::config::{api_key, filtered, stamp, start};

#[test]
fn a_refusal_meets_the_response_phases_of_the_filters_before_it() {
    let upstream = Upstream::text("ok");
    let config = filtered(&["before", "keys", "after"], upstream.address());
    let gateway = start(&[&config, &stamp("before"), &stamp("after"), &api_key("{}")]);
    let answer = gateway.get("/");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("x-order"), ["before"]);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_error_of_the_gateway_meets_the_response_phases() {
    let port = ClosedPort::new();
    let gateway = start(&[
        &filtered(&["one", "two"], port.address()),
        &stamp("one"),
        &stamp("two"),
    ]);
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "connect_failed"));
    assert_eq!(answer.headers("x-order"), ["two", "one"]);
}

#[test]
fn a_fixed_response_meets_the_response_phases() {
    let gateway = start(&[
        "[[route]]\npath = \"/\"\nfilters = [\"one\"]\nrespond = { body = \"ok\" }\n",
        &stamp("one"),
    ]);
    assert_eq!(gateway.get("/").headers("x-order"), ["one"]);
}

#[test]
fn what_no_route_takes_meets_no_filter() {
    let gateway = start(&[
        "[[route]]\npath = \"/\"\nfilters = [\"one\"]\nrespond = { body = \"ok\" }\n",
        &stamp("one"),
    ]);
    let answer = gateway.get("/nothing");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers("x-order"), Vec::<&str>::new());
    assert_eq!(gateway.metrics()["windlass_filter_calls_total"], 0.0);
}
