//! `builtin:sdk-metadata`: the API description, served live.

use serde_json::{Value, json};
use windlass_tests::{Gateway, Request};

/// `tests/guests/javascript/answers.js`.
const ANSWERS: &[u8] = include_bytes!("../guests/javascript/answers.wasm");

fn config(filter: &str, more: &str) -> String {
    format!(
        r#"
[[route]]
path    = "/openapi.json"
filters = ["metadata"]
respond = {{ status = 404 }}

[[route]]
path    = "/sdk.json"
filters = ["metadata"]
respond = {{ status = 404 }}

[[route]]
api     = "shop"
path    = "/orders/{{id}}"
methods = ["GET"]
filters = ["keys", "plan"]
respond = {{ status = 204 }}

[api.shop]
base_path = "/shop"

[plan.basic]
rate  = 5
burst = 10

[filter.keys]
plugin = "builtin:api-key"

[filter.plan]
plugin = "builtin:usage-plan"

[filter.metadata]
plugin = "builtin:sdk-metadata"
{filter}
{more}
"#
    )
}

const SETTINGS: &str =
    r#"settings = { manifest = "/sdk.json", apis = ["shop"], servers = ["https://api.example"] }"#;

#[test]
fn the_document_says_what_the_routes_and_their_filters_demand() {
    let gateway = Gateway::with_config(config(SETTINGS, "")).start();
    let answer = gateway.get("/openapi.json");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["servers"],
        json!([{ "url": "https://api.example" }])
    );
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/shop/orders/{id}"]);
    let get = &document["paths"]["/shop/orders/{id}"]["get"];
    assert_eq!(get["security"], json!([{ "api-key-x-api-key": [] }]));
    assert_eq!(
        document["components"]["securitySchemes"]["api-key-x-api-key"],
        json!({ "type": "apiKey", "in": "header", "name": "x-api-key" })
    );
    let statuses: Vec<_> = get["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "401", "403", "429"]);
    assert!(get["responses"]["429"]["headers"]["retry-after"].is_object());
    let manifest = gateway.get("/sdk.json").json();
    assert_eq!(manifest["baseUrl"], "https://api.example");
    assert_eq!(manifest["plans"], json!(["basic"]));
    assert!(manifest["auth"]["api-key-x-api-key"].is_object());
}

#[test]
fn the_refusals_of_a_bound_stand_in_the_document() {
    for (more, statuses) in [
        ("", &["200", "429"][..]),
        (", missing = \"deny\"", &["200", "400", "429"]),
        (", missing = \"deny\", shadow = true", &["200"]),
    ] {
        let bound = format!(
            "[filter.limit]\nplugin = \"builtin:rate-limit\"\nsettings = {{ bounds = [{{ name = \"b\", by = \"header:x-tenant\", limit = 1, window = \"1s\"{more} }}] }}"
        );
        let config = config(SETTINGS, &bound).replacen("\"keys\", \"plan\"", "\"limit\"", 1);
        let gateway = Gateway::with_config(config).start();
        let document = gateway.get("/openapi.json").json();
        let get = &document["paths"]["/shop/orders/{id}"]["get"];
        let told: Vec<_> = get["responses"].as_object().unwrap().keys().collect();
        assert_eq!(told, statuses, "{more}");
    }
}

#[test]
fn a_client_that_has_it_is_told_so_until_a_reload_changes_a_route_or_a_filter() {
    let first = config(SETTINGS, "");
    let gateway = Gateway::with_config(&first).start();
    let tag = |path: &str| {
        let answer = gateway.get(path);
        answer.header("etag").unwrap().to_owned()
    };
    let ask = |known: &str| {
        let request = Request::get("/openapi.json").header("if-none-match", known);
        gateway.send(&request)
    };
    let mut seen = vec![tag("/openapi.json")];
    assert_ne!(tag("/sdk.json"), seen[0]);
    let unchanged = ask(&format!("\"x\", W/{}", seen[0]));
    assert_eq!((unchanged.status, unchanged.text()), (304, ""));
    assert_eq!(unchanged.header("etag"), Some(&*seen[0]));
    for (from, to) in [
        ("methods = [\"GET\"]", "methods = [\"GET\", \"PUT\"]"),
        ("\"keys\", \"plan\"", "\"keys\""),
        (
            "plugin = \"builtin:api-key\"",
            "plugin = \"builtin:api-key\"\nsettings = { header = \"x-other\" }",
        ),
        ("https://api.example", "https://other.example"),
    ] {
        gateway.reload(first.replacen(from, to, 1));
        assert_eq!(ask(&seen[0]).status, 200, "{to}");
        let now = tag("/openapi.json");
        assert!(!seen.contains(&now), "{to}");
        seen.push(now);
    }
    gateway.reload(&first);
    assert_eq!(tag("/openapi.json"), seen[0]);
}

#[test]
fn the_operator_s_document_is_completed_and_a_reload_takes_it_anew() {
    let text = |summary: &str| {
        json!({
            "openapi": "3.1.0",
            "info": { "title": "Shop", "version": "7" },
            "paths": {
                "/orders/{order}": { "get": { "summary": summary, "responses": { "200": { "description": "an order" } } } },
                "/nowhere": { "get": { "responses": { "200": { "description": "not served" } } } },
            },
        })
        .to_string()
    };
    let filter =
        "documents = { api = \"api.json\" }\nsettings = { document = \"api\", apis = [\"shop\"] }";
    let config = config(filter, "");
    let gateway = Gateway::with_config(&config)
        .file("api.json", text("reads an order"))
        .start();
    let get = |document: &Value| document["paths"]["/shop/orders/{order}"]["get"].clone();
    let document = gateway.get("/openapi.json").json();
    assert_eq!(document["info"]["title"], "Shop");
    assert_eq!(document["paths"].as_object().unwrap().len(), 1);
    assert_eq!(get(&document)["summary"], "reads an order");
    assert_eq!(
        get(&document)["security"],
        json!([{ "api-key-x-api-key": [] }])
    );
    std::fs::write(gateway.folder().join("api.json"), text("another one")).unwrap();
    gateway.reload(&config);
    assert_eq!(
        get(&gateway.get("/openapi.json").json())["summary"],
        "another one"
    );
}

#[test]
fn other_methods_and_paths_pass_and_head_has_no_body() {
    let gateway = Gateway::with_config(config(SETTINGS, "")).start();
    let post = gateway.send(&Request::post("/openapi.json", ""));
    assert_eq!(post.status, 404);
    assert_eq!(gateway.get("/openapi.json?v=2").status, 200);
    let head = gateway.send(&Request::new("HEAD", "/openapi.json"));
    assert_eq!((head.status, head.text()), (200, ""));
    let hidden = config("settings = {}", "");
    let gateway = Gateway::with_config(hidden).start();
    assert_eq!(gateway.get("/sdk.json").status, 404);
}

#[test]
fn a_document_that_is_none_is_an_error_where_the_file_is_named() {
    for (document, settings, why) in [
        ("{", "document = \"api\"", "is not JSON"),
        ("a: [", "document = \"api\"", "is not YAML: unclosed"),
        (
            "a: 1\na: 2",
            "document = \"api\"",
            "api.json`: line 2, column 1: the key `a` is there twice in one mapping: remove one of them",
        ),
        ("openapi: 2.0.0", "document = \"api\"", "is not OpenAPI 3"),
        ("{}", "document = \"api\"", "is not OpenAPI 3"),
        (
            "{\"swagger\": \"2.0\"}",
            "document = \"api\"",
            "is not OpenAPI 3",
        ),
        ("{}", "document = \"other\"", "there is no document `other`"),
        ("{}", "path = \"openapi.json\"", "is no path"),
        (
            "{}",
            "manifest = \"/openapi.json\"",
            "is the path of the document too",
        ),
        ("{}", "servers = [\"api.example\"]", "is no URL"),
    ] {
        let filter = format!("documents = {{ api = \"api.json\" }}\nsettings = {{ {settings} }}");
        let checked = Gateway::with_config(config(&filter, ""))
            .file("api.json", document)
            .check();
        assert_eq!(checked.code, Some(2), "{settings}");
        assert!(checked.errors.contains(why), "{}", checked.errors);
    }
}

#[test]
fn a_document_in_yaml_is_completed_as_one_in_json_is() {
    let in_json = r#"{
        "openapi": "3.1.0", "info": { "title": "Orders", "version": "7", "description": "no" },
        "paths": { "/orders/{id}": { "get": { "operationId": "order", "responses": { "200": { "description": "it" } } } } }
    }"#;
    let in_yaml = concat!(
        "# The API.\nopenapi: 3.1.0\ninfo: { title: Orders, version: '7', description: no }\npaths:\n",
        "  /orders/{id}:\n    get:\n      operationId: order\n      responses:\n        200: &ok\n          description: it\n"
    );
    let served = |name: &str, document: &str| {
        let filter = format!(
            "documents = {{ api = \"{name}\" }}\nsettings = {{ document = \"api\", apis = [\"shop\"] }}"
        );
        let gateway = Gateway::with_config(config(&filter, ""))
            .file(name, document)
            .start();
        gateway.get("/openapi.json").json()
    };
    let document = served("api.yaml", in_yaml);
    assert_eq!(document, served("api.json", in_json));
    let operation = &document["paths"]["/shop/orders/{id}"]["get"];
    assert_eq!(operation["operationId"], "order");
    assert!(operation["security"].is_array(), "{operation}");
}

#[test]
fn a_document_that_grows_without_end_is_refused() {
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let earlier = format!("*a{}, ", level - 1).repeat(10);
        aliases += &format!("a{level}: &a{level} [{earlier}]\n");
    }
    for (document, why) in [
        (deep, "is nested too deep"),
        (aliases, "is too large with all"),
    ] {
        let filter = "documents = { api = \"api.yaml\" }\nsettings = { document = \"api\" }";
        let checked = Gateway::with_config(config(filter, ""))
            .file("api.yaml", document)
            .check();
        assert_eq!(checked.code, Some(2));
        assert!(checked.errors.contains(why), "{}", checked.errors);
    }
}

#[test]
fn a_long_document_is_assembled_without_more_settings() {
    let operation = |path: usize| {
        let about = "An operation of this path, in some words of a usual length. ".repeat(2);
        let answers = json!({ "200": { "description": about }, "404": { "description": about } });
        let parameter =
            json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
        let get = json!({ "summary": about, "parameters": [parameter], "responses": answers });
        (
            format!("/orders/{path}/{{id}}"),
            json!({ "get": get, "delete": get }),
        )
    };
    let paths: serde_json::Map<_, _> = (0..500).map(operation).collect();
    let document = json!({
        "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": paths,
    });
    let filter =
        "settings = { document = \"api\", apis = [\"shop\"] }\ndocuments = { api = \"api.json\" }";
    let more = "[[route]]\napi = \"shop\"\npath = \"/{rest+}\"\nfilters = [\"keys\", \"plan\"]\nrespond = {}\n";
    let gateway = Gateway::with_config(config(filter, more))
        .file("api.json", document.to_string())
        .start();
    let served = gateway.get("/openapi.json");
    assert_eq!(served.status, 200, "{}", served.text());
    assert!(served.body.len() > 500_000, "{}", served.body.len());
    let paths = served.json()["paths"].as_object().unwrap().len();
    assert!(paths >= 500, "{paths}");
}

/// A document of `OpenAPI` with this many paths of 380 bytes each.
fn document_of(paths: usize) -> String {
    let schema = json!({ "schema": { "$ref": "#/components/schemas/Order" } });
    let operation = |path: usize| {
        let answer = json!({ "description": "it", "content": { "application/json": schema } });
        let parameter =
            json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
        let get = json!({
            "operationId": format!("get{path}"), "summary": "One order of this kind, with its lines",
            "tags": ["orders"], "parameters": [parameter], "responses": { "200": answer },
        });
        (format!("/orders{path}/{{id}}"), json!({ "get": get }))
    };
    let paths: serde_json::Map<_, _> = (0..paths).map(operation).collect();
    let schemas = json!({ "schemas": { "Order": { "type": "object" } } });
    json!({ "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": paths, "components": schemas })
        .to_string()
}

#[test]
fn a_document_of_six_thousand_paths_is_served_within_the_memory_of_any_filter() {
    let document = document_of(6000);
    assert!(document.len() > 1_900_000, "{}", document.len());
    // The test is about memory. Its CPU limits are generous, because it may run as a debug build
    // beside other tests.
    let filter = "settings = { document = \"api\", apis = [\"shop\"] }\ndocuments = { api = \"api.json\" }\nlimits = { cpu = \"20s\", start_cpu = \"20s\" }";
    let more = "[[route]]\napi = \"shop\"\npath = \"/{rest+}\"\nfilters = [\"keys\", \"plan\"]\nrespond = {}\n";
    let gateway = Gateway::with_config(config(filter, more))
        .file("api.json", document)
        .start();
    for _ in 0..3 {
        let served = gateway.get("/openapi.json");
        assert_eq!(served.status, 200, "{}", served.text());
        let served = served.json();
        assert_eq!(served["paths"].as_object().unwrap().len(), 6001);
        let last = &served["paths"]["/shop/orders5999/{id}"]["get"];
        assert_eq!(last["operationId"], "get5999");
        assert!(last["responses"]["429"].is_object(), "{last}");
        assert!(served["components"]["schemas"]["Order"].is_object());
    }
}

#[test]
fn a_document_that_does_not_fit_into_the_memory_is_an_error_of_the_configuration() {
    let filter = "settings = { document = \"api\" }\ndocuments = { api = \"api.json\" }\nlimits = { memory = \"6MiB\" }";
    let with =
        |paths| Gateway::with_config(config(filter, "")).file("api.json", document_of(paths));
    let gateway = with(500).start();
    assert_eq!(gateway.get("/openapi.json").status, 200);
    let checked = with(2500).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for word in ["filter `metadata`", "raise `limits.memory`"] {
        assert!(checked.errors.contains(word), "{}", checked.errors);
    }
}

#[test]
fn what_a_filter_in_javascript_adds_stands_in_the_document() {
    let more = "[filter.answers]\nplugin = \"answers.wasm\"\ndocuments = { answers = \"answers.json\" }\n\
                limits = { cpu = \"1s\", start_cpu = \"10s\" }";
    let config = config(SETTINGS, more).replacen("\"keys\", \"plan\"", "\"answers\", \"keys\"", 1);
    let gateway = Gateway::with_config(config)
        .file("answers.wasm", ANSWERS)
        .file(
            "answers.json",
            r#"{ "/orders/0": { "status": 410, "body": "gone" } }"#,
        )
        .start();
    let get = gateway.get("/openapi.json").json()["paths"]["/shop/orders/{id}"]["get"].clone();
    assert_eq!(get["x-answers"], json!(["/orders/0"]));
    assert_eq!(
        get["responses"]["410"]["description"],
        "what a document answers to /orders/0"
    );
    assert!(get["responses"]["401"].is_object());
}

#[test]
fn a_token_that_a_route_asks_for_stands_in_the_document() {
    let more = r#"
[filter.token]
plugin   = "builtin:jwt"
settings = { verifiers = ["issuer"], scopes = ["orders:read"], from = [{ header = "authorization" }, { header = "session" }, { cookie = "session" }] }

[verifier.issuer]
secret        = "shared"
any_audience  = true
issuers       = ["me"]

[secret.shared]
env = "SHARED_SECRET"
"#;
    let config = config(SETTINGS, more).replacen("\"keys\", \"plan\"", "\"token\", \"keys\"", 1);
    let gateway = Gateway::with_config(config)
        .env("SHARED_SECRET", &"x".repeat(64))
        .start();
    let document = gateway.get("/openapi.json").json();
    let get = &document["paths"]["/shop/orders/{id}"]["get"];
    // One of the three token sources, two of which have the same name, and the key.
    assert_eq!(
        get["security"],
        json!([
            { "jwt-bearer": ["orders:read"], "api-key-x-api-key": [] },
            { "jwt-session": ["orders:read"], "api-key-x-api-key": [] },
            { "jwt-cookie-session": ["orders:read"], "api-key-x-api-key": [] },
        ])
    );
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        schemes["jwt-bearer"],
        json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" })
    );
    assert_eq!(schemes["jwt-session"]["in"], "header");
    assert_eq!(schemes["jwt-cookie-session"]["in"], "cookie");
    let statuses: Vec<_> = get["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "400", "401", "403"]);
}
