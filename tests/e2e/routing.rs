//! Stop 4: which route a request takes.

use windlass_tests::{Gateway, Upstream};

#[test]
fn a_request_goes_to_its_upstream() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with_config(format!(
        r#"
        [[route]]
        path = "/orders/{{id}}"
        upstream = "orders"
        [upstream.orders]
        endpoints = [{{ address = "{}" }}]
        "#,
        upstream.address()
    ))
    .start();
    let answer = gateway.get("/orders/1?a=b");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["target"], "/orders/1?a=b");
}
