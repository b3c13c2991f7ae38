//! Plans and usage in the admin API.

use windlass_tests::{Request, Upstream};

use crate::operator::{builder, call, create, get, request, send, start, status_with};

fn plan(gateway: &windlass_tests::Gateway, body: &str) {
    let made = call(gateway, "POST", "/v1/plans", body);
    assert_eq!(made.status, 201, "{}", made.text());
}

#[test]
fn a_plan_and_its_changes_are_in_force_at_once() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    plan(
        &gateway,
        "{\"name\":\"gold\",\"quota\":{\"limit\":2,\"period\":\"day\"}}",
    );
    let (_, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let statuses = [(); 3].map(|()| status_with(&gateway, &key));
    assert_eq!(statuses, [200, 200, 429]);
    let wider = "{\"quota\":{\"limit\":3,\"period\":\"day\"}}";
    assert_eq!(call(&gateway, "PATCH", "/v1/plans/gold", wider).status, 200);
    // A larger quota does not reset the usage.
    assert_eq!(
        (status_with(&gateway, &key), status_with(&gateway, &key)),
        (200, 429)
    );
    let (_, without) = create(&gateway, "{\"consumer\":\"acme\"}");
    assert_eq!(status_with(&gateway, &without), 403);
}

#[test]
fn a_plan_in_use_is_not_deleted() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    plan(
        &gateway,
        "{\"name\":\"gold\",\"rate\":{\"per_second\":1,\"burst\":1}}",
    );
    let (id, _) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let delete = || send(&gateway, &request("DELETE", "/v1/plans/gold"));
    let refused = delete();
    assert_eq!((refused.status, &*refused.code()), (409, "plan_in_use"));
    assert!(refused.text().contains(&id), "{}", refused.text());
    let path = format!("/v1/keys/{id}");
    assert_eq!(call(&gateway, "PATCH", &path, "{\"plans\":[]}").status, 200);
    assert_eq!(delete().status, 204);
    let unknown = call(&gateway, "PATCH", &path, "{\"plans\":[\"gold\"]}");
    assert_eq!((unknown.status, &*unknown.code()), (409, "no_such_plan"));
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_with_every_fault() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let post = |body: &str| call(&gateway, "POST", "/v1/plans", body);
    assert_eq!(post("{\"name\":\"empty\"}").code(), "senseless");
    let wrong = post("{\"name\":\"a b\",\"rate\":{\"per_second\":0,\"burst\":0}}");
    let errors = wrong.json()["errors"].as_array().unwrap().len();
    assert_eq!((wrong.status, errors), (400, 3), "{}", wrong.text());
    let offset = post("{\"name\":\"o\",\"quota\":{\"limit\":5,\"period\":\"day\",\"offset\":5}}");
    assert_eq!(offset.status, 400);
    assert!(offset.text().contains("starts_on"), "{}", offset.text());
}

#[test]
fn a_part_of_a_rate_that_a_plan_does_not_have_is_a_conflict() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    plan(
        &gateway,
        r#"{ "name": "quota-only", "quota": { "limit": 5, "period": "day" } }"#,
    );
    for change in [r#"{ "rate": {} }"#, r#"{ "rate": { "burst": 3 } }"#] {
        let answer = call(&gateway, "PATCH", "/v1/plans/quota-only", change);
        assert_eq!(
            (answer.status, &*answer.code()),
            (409, "no_rate"),
            "{change}"
        );
        assert!(answer.text().contains("send `rate.per_second` as well"));
    }
    let whole = r#"{ "rate": { "per_second": 2 } }"#;
    assert_eq!(
        call(&gateway, "PATCH", "/v1/plans/quota-only", whole).status,
        200
    );
}

#[test]
fn a_plan_of_the_configuration_can_be_sold_and_not_changed() {
    let upstream = Upstream::text("ok");
    let more = "\n[plan.fixed]\nquota = { limit = 1, period = \"month\" }\n";
    let gateway = builder(&["keys", "plan"], &upstream, more).start();
    let shown = get(&gateway, "/v1/plans/fixed").json();
    assert_eq!(
        (&shown["source"], &shown["quota"]["limit"]),
        (&"configuration".into(), &1.into())
    );
    let refused = send(&gateway, &request("DELETE", "/v1/plans/fixed"));
    assert_eq!(refused.code(), "defined_in_configuration");
    let (_, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"fixed\"]}");
    assert_eq!(
        (status_with(&gateway, &key), status_with(&gateway, &key)),
        (200, 429)
    );
}

#[test]
fn usage_is_told_at_once_as_json_and_csv_and_can_be_extended() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    plan(
        &gateway,
        "{\"name\":\"gold\",\"quota\":{\"limit\":3,\"period\":\"month\"}}",
    );
    let (id, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let statuses = [(); 4].map(|()| status_with(&gateway, &key));
    assert_eq!(statuses, [200, 200, 200, 429]);
    let usage = get(&gateway, "/v1/usage?plan=gold").json();
    assert_eq!(usage["items"][&id], serde_json::json!([[3, 0]]), "{usage}");
    let path = format!("/v1/plans/gold/usage/{id}");
    let extended = call(&gateway, "PATCH", &path, "{\"remaining\":2}");
    assert_eq!(extended.status, 200, "{}", extended.text());
    let statuses = [(); 3].map(|()| status_with(&gateway, &key));
    assert_eq!(statuses, [200, 200, 429]);
    let csv = Request::get("/v1/usage?plan=gold").header("accept", "text/csv");
    let csv = csv.header("authorization", format!("Bearer {}", crate::operator::READ));
    let csv = send(&gateway, &csv.header("connection", "close"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let day = usage["from"].as_str().unwrap();
    assert_eq!(
        csv.text(),
        format!("plan,key,day,used,remaining\ngold,{id},{day},5,0\n")
    );
    let refused = get(
        &gateway,
        "/v1/usage?plan=gold&from=2026-01-01&to=2025-01-01",
    );
    assert_eq!(refused.status, 422);
}

#[test]
fn a_plan_of_the_configuration_that_hides_one_of_the_store_is_warned_of() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    plan(
        &gateway,
        "{\"name\":\"gold\",\"quota\":{\"limit\":2,\"period\":\"day\"}}",
    );
    let hides = |text: &str| {
        text.contains("plan `gold` of the configuration hides plan `gold` of the store")
    };
    let file = gateway.folder().join("windlass.toml");
    let before = std::fs::read_to_string(file).unwrap();
    assert!(!hides(&gateway.reload(&before).join("\n")));
    let config = format!("{before}\n[plan.gold]\nquota = {{ limit = 1, period = \"day\" }}\n");
    let told = gateway.reload(&config).join("\n");
    assert!(hides(&told) && told.contains("windlass.toml:"), "{told}");
    let shown = get(&gateway, "/v1/plans/gold").json();
    assert_eq!(shown["source"], "configuration");
    let gateway = gateway.end().start();
    assert!(hides(&gateway.log().text()), "{}", gateway.log().text());
}

#[test]
fn counters_are_told_of_and_none_of_usage_is_lost() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    plan(
        &gateway,
        "{\"name\":\"gold\",\"quota\":{\"limit\":9,\"period\":\"day\"}}",
    );
    let counters = || gateway.metrics()["windlass_limit_counters"];
    assert_eq!(counters(), 0.0);
    for number in 1..=2 {
        let (_, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
        assert_eq!(status_with(&gateway, &key), 200);
        assert_eq!(counters(), f64::from(number));
    }
    assert_eq!(gateway.metrics()["windlass_usage_lost_total"], 0.0);
}
