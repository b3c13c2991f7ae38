//! The API description, and the additions that filters of any language make to it.

use serde_json::json;
use windlass_tests::{Gateway, sha256};

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

fn config(contribution: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"tell\"\npath = \"/\"\nfilters = [\"reads\"]\nrespond = {{ status = 204 }}\n\
         [[route]]\napi = \"orders\"\npath = \"/{{id}}\"\nmethods = [\"GET\"]\nhosts = [\"a.example\"]\nfilters = [\"adds\", \"reads\"]\nrespond = {{ status = 204 }}\n\
         [api.orders]\nstage = \"prod\"\nbase_path = \"/shop\"\n\
         [plan.basic]\nrate = 1\nburst = 1\napis = [\"orders\"]\n\
         [filter.reads]\nplugin = \"actor.wasm\"\nallow = {{ interfaces = [\"api-description\"] }}\n\
         settings = {{ request = [\"read-apis\", \"apis-digest\", \"report\"] }}\n\
         [filter.adds]\nplugin = \"actor.wasm\"\nsettings = {{ contribution = {contribution} }}\n{more}\n"
    )
}

const SCHEME: &str = r#"{ securitySchemes = { mine = { type = "http", scheme = "bearer" } }, security = [{ mine = ["read"] }], responses = { 401 = { description = "no" } } }"#;

#[test]
fn a_filter_reads_the_routes_and_what_filters_add() {
    let gateway = Gateway::with_config(config(SCHEME, ""))
        .file("actor.wasm", ACTOR)
        .start();
    let report = gateway.get("/").json();
    let told = &report[0];
    assert_eq!(
        told["routes"],
        json!([
            { "name": "tell", "path": "/", "methods": [], "hosts": [], "filters": ["reads"], "api": null },
            {
                "name": "GET a.example/shop/{id}",
                "path": "/{id}",
                "methods": ["GET"],
                "hosts": ["a.example"],
                "filters": ["adds", "reads"],
                "api": "orders",
            },
        ])
    );
    assert_eq!(
        told["apis"],
        json!({ "orders": { "stage": "prod", "basePath": "/shop" } })
    );
    assert_eq!(told["plans"], json!(["basic"]));
    assert_eq!(told["planApis"], json!({ "basic": ["orders"] }));
    assert_eq!(
        told["filters"]["adds"]["contribution"],
        json!({
            "securitySchemes": { "mine": { "type": "http", "scheme": "bearer" } },
            "security": [{ "mine": ["read"] }],
            "responses": { "401": { "description": "no" } },
        })
    );
    assert_eq!(told["filters"]["reads"]["contribution"], json!({}));
    assert_eq!(report[1], sha256(told.to_string().as_bytes()));
}

#[test]
fn a_reload_that_changes_a_route_or_a_filter_changes_the_text_and_its_digest() {
    let first = config(SCHEME, "");
    let gateway = Gateway::with_config(&first)
        .file("actor.wasm", ACTOR)
        .start();
    let mut seen = vec![gateway.get("/").json()[1].clone()];
    for (from, to) in [
        ("methods = [\"GET\"]", "methods = [\"GET\", \"PUT\"]"),
        ("\"no\"", "\"never\""),
        ("[\"adds\", \"reads\"]", "[\"reads\", \"adds\"]"),
        ("plan.basic", "plan.other"),
    ] {
        gateway.reload(first.replacen(from, to, 1));
        let digest = gateway.get("/").json()[1].clone();
        assert!(!seen.contains(&digest), "{to}");
        seen.push(digest);
    }
    gateway.reload(&first);
    assert_eq!(gateway.get("/").json()[1], seen[0]);
}

#[test]
fn what_is_no_contribution_is_an_error_at_the_filter() {
    for (contribution, why) in [
        ("{ paths = {} }", "has a member `paths` that is not one of"),
        (
            "{ security = {} }",
            "has a member `security` that is not a list",
        ),
        (
            "{ responses = [] }",
            "has a member `responses` that is not an object",
        ),
    ] {
        let checked = Gateway::with_config(config(contribution, ""))
            .file("actor.wasm", ACTOR)
            .check();
        assert_eq!(checked.code, Some(2));
        let told = format!("filter `adds`: its addition to the description of its APIs {why}");
        assert!(checked.errors.contains(&told), "{}", checked.errors);
    }
}

#[test]
fn without_the_grant_nothing_is_told() {
    let config = config("{}", "").replacen("\"api-description\"", "", 1);
    let gateway = Gateway::with_config(config)
        .file("actor.wasm", ACTOR)
        .start();
    assert_eq!(gateway.get("/").code(), "filter_failed");
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("filter `reads`:"));
    assert!(
        line.contains("interfaces = [\"api-description\"]"),
        "{line}"
    );
}
