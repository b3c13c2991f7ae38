//! The documents, put together of what the gateway tells of its routes and filters. Pure.

use serde_json::{Map, Value, json};

use crate::path::{self, Fit};
use crate::settings::Checked;

/// Methods that OpenAPI knows, in the order in which they are written.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// Those that a route for any method is described with, where no document says more.
const USUAL: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// Statuses after which a client may try again.
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// A route, as the gateway tells it.
struct Route<'a> {
    name: &'a str,
    /// With the base path of its API.
    path: String,
    own_path: &'a str,
    /// In lower case. Empty: any.
    methods: Vec<String>,
    contributions: Vec<&'a Map<String, Value>>,
}

/// The OpenAPI document.
pub fn openapi(about: &Value, document: Option<&Value>, settings: &Checked) -> Value {
    let routes = routes(about, settings);
    let mut whole = document.cloned().unwrap_or_else(|| json!({}));
    let known = whole.get("paths").cloned().unwrap_or_else(|| json!({}));
    let mut paths = Map::new();
    if let Some(known) = known.as_object() {
        described(known, &routes, &mut paths);
    }
    for route in &routes {
        undescribed(route, document.is_some(), &mut paths);
    }
    name_operations(&mut paths);
    let mut schemes = Map::new();
    for contribution in routes.iter().flat_map(|route| &route.contributions) {
        let added = contribution
            .get("securitySchemes")
            .and_then(Value::as_object);
        schemes.extend(
            added
                .into_iter()
                .flatten()
                .map(|(name, one)| (name.clone(), one.clone())),
        );
    }
    if whole.get("openapi").is_none() {
        whole["openapi"] = "3.1.0".into();
    }
    whole["info"] = info(&whole, settings);
    whole["servers"] = servers(&whole, settings);
    whole["paths"] = paths.into();
    if !schemes.is_empty() {
        let components = member(&mut whole, "components");
        member(components, "securitySchemes");
        for (name, scheme) in schemes {
            components["securitySchemes"][&name] = scheme;
        }
    }
    whole
}

/// The manifest for SDKs.
pub fn manifest(about: &Value, openapi: &Value, settings: &Checked) -> Value {
    let first = openapi["servers"]
        .get(0)
        .and_then(|server| server["url"].as_str());
    let schemes = openapi
        .get("components")
        .and_then(|all| all.get("securitySchemes"));
    json!({
        "title": openapi["info"]["title"],
        "version": openapi["info"]["version"],
        "baseUrl": first.unwrap_or("/"),
        "openapi": settings.path,
        "auth": schemes.cloned().unwrap_or_else(|| json!({})),
        "retryableStatuses": RETRYABLE,
        "retryAfter": "retry-after",
        "rateLimitHeaders": ["ratelimit", "ratelimit-policy"],
        "plans": plans(about, settings),
    })
}

/// The plans that are sold for an API which is described.
fn plans<'a>(about: &'a Value, settings: &Checked) -> Vec<&'a str> {
    let all = about["plans"].as_array().into_iter().flatten();
    let is_wanted = |name: &&str| {
        let apis = about["planApis"][name].as_array();
        let of_all = settings.apis.is_empty() || apis.is_none_or(Vec::is_empty);
        let mut apis = apis.into_iter().flatten().filter_map(Value::as_str);
        of_all || apis.any(|api| settings.apis.iter().any(|wanted| wanted == api))
    };
    all.filter_map(Value::as_str).filter(is_wanted).collect()
}

/// A member that is an object, made where it is not.
fn member<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    if !value.get(name).is_some_and(Value::is_object) {
        value[name] = json!({});
    }
    &mut value[name]
}

fn info(whole: &Value, settings: &Checked) -> Value {
    let mut info = whole.get("info").filter(|info| info.is_object()).cloned();
    let info = info.get_or_insert_with(|| json!({}));
    let said = [
        ("title", &settings.title, "API"),
        ("version", &settings.version, "1.0.0"),
    ];
    for (name, setting, otherwise) in said {
        match setting {
            Some(setting) => info[name] = setting.as_str().into(),
            None if info.get(name).is_none() => info[name] = otherwise.into(),
            None => {}
        }
    }
    info.clone()
}

fn servers(whole: &Value, settings: &Checked) -> Value {
    let of_document = whole.get("servers").filter(|_| settings.servers.is_empty());
    let urls = settings.servers.iter().map(|url| json!({ "url": url }));
    match of_document {
        Some(servers) => servers.clone(),
        None if settings.servers.is_empty() => json!([{ "url": "/" }]),
        None => urls.collect(),
    }
}

fn routes<'a>(about: &'a Value, settings: &Checked) -> Vec<Route<'a>> {
    let all = about["routes"].as_array().into_iter().flatten();
    let routes = all.filter_map(|route| {
        let api = route["api"].as_str();
        let is_wanted = settings.apis.is_empty()
            || api.is_some_and(|api| settings.apis.iter().any(|wanted| wanted == api));
        let own_path = route["path"].as_str().filter(|_| is_wanted)?;
        let base = api.and_then(|api| about["apis"][api]["basePath"].as_str());
        let methods = route["methods"].as_array().into_iter().flatten();
        let methods = methods.filter_map(Value::as_str);
        let filters = route["filters"].as_array().into_iter().flatten();
        let filters = filters.filter_map(Value::as_str);
        let added = |name: &str| about["filters"][name]["contribution"].as_object();
        Some(Route {
            name: route["name"].as_str().unwrap_or_default(),
            path: match own_path {
                "$default" => {
                    base.map_or("$default".to_owned(), |base| format!("{base}/{{rest+}}"))
                }
                path => path::below(base, path),
            },
            own_path,
            methods: methods.map(str::to_lowercase).collect(),
            contributions: filters.filter_map(added).collect(),
        })
    });
    routes.collect()
}

impl Route<'_> {
    fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|one| one == method)
    }

    fn fit(&self, path: &str) -> Option<Fit> {
        path::fit(&self.path, path)
    }
}

/// Adds the operations of the operator's document that a route serves, each with the additions of the route's filters.
/// Operations that no route serves are left out. A path is looked for whole, and then below the base path of an API.
fn described(known: &Map<String, Value>, routes: &[Route<'_>], paths: &mut Map<String, Value>) {
    for (path, item) in known {
        let Some(item) = item.as_object() else {
            continue;
        };
        for method in METHODS {
            let Some(operation) = item.get(method).filter(|one| one.is_object()) else {
                continue;
            };
            let takes = routes.iter().filter(|route| route.takes(method));
            let whole = takes
                .clone()
                .filter_map(|route| Some((route.fit(path)?, route, path.clone())));
            let below = takes.filter_map(|route| {
                let base = route.path.strip_suffix(route.own_path)?;
                let path = path::below((!base.is_empty()).then_some(base), path);
                Some((route.fit(&path)?, route, path))
            });
            let best = whole.chain(below).max_by_key(|(fit, ..)| *fit);
            let Some((_, route, path)) = best else {
                continue;
            };
            let mut operation = operation.clone();
            complete(&mut operation, route, &path, item.get("parameters"));
            let place = paths.entry(path).or_insert_with(|| {
                let others = item
                    .iter()
                    .filter(|(name, _)| !METHODS.contains(&name.as_str()));
                others
                    .map(|(name, one)| (name.clone(), one.clone()))
                    .collect()
            });
            place[method] = operation;
        }
    }
}

/// A route that the operator's document does not have. Where there is a document, it says what is below a greedy
/// parameter.
fn undescribed(route: &Route<'_>, has_document: bool, paths: &mut Map<String, Value>) {
    let is_greedy = route.path.contains("+}");
    if route.path == "$default" || (is_greedy && (has_document || route.own_path == "$default")) {
        return;
    }
    let path = path::plain(&route.path);
    let known = paths.iter();
    let mut known = known.filter(|(known, _)| path::fit(&path, known) == Some(Fit::Whole));
    let place = known
        .next()
        .map_or_else(|| path.clone(), |(known, _)| known.clone());
    let methods: Vec<&str> = match route.methods.is_empty() {
        true => USUAL.to_vec(),
        false => METHODS.into_iter().filter(|one| route.takes(one)).collect(),
    };
    for method in methods {
        if paths
            .get(&place)
            .is_some_and(|item| item.get(method).is_some())
        {
            continue;
        }
        let mut operation = json!({ "summary": route.name });
        complete(&mut operation, route, &route.path, None);
        let item = paths.entry(place.clone()).or_insert_with(|| json!({}));
        item[method] = operation;
    }
}

/// Give an operation its parameters, and what the filters of its route add.
fn complete(operation: &mut Value, route: &Route<'_>, path: &str, shared: Option<&Value>) {
    let mut parameters = operation["parameters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shared = shared.and_then(Value::as_array);
    let add = |parameters: &mut Vec<Value>, new: &Value| {
        let is_same = |one: &Value| one["in"] == new["in"] && one["name"] == new["name"];
        let known = parameters.iter().chain(shared.into_iter().flatten());
        // A reference may be to the same one.
        let mut known = known.filter(|one| is_same(one));
        if known.next().is_none() {
            parameters.push(new.clone());
        }
    };
    let has_references = |parameters: &[Value]| {
        let mut all = parameters.iter().chain(shared.into_iter().flatten());
        all.any(|one| one.get("$ref").is_some())
    };
    if !has_references(&parameters) {
        for (name, is_greedy) in path::parameters(path) {
            let mut parameter = json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
            if is_greedy {
                parameter["description"] = "one segment or more".into();
            }
            add(&mut parameters, &parameter);
        }
    }
    let mut responses = operation["responses"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    if responses.is_empty() {
        responses.insert(
            "200".to_owned(),
            json!({ "description": "the answer of the endpoint" }),
        );
    }
    for contribution in &route.contributions {
        let added = contribution.get("parameters").and_then(Value::as_array);
        for parameter in added.into_iter().flatten() {
            add(&mut parameters, parameter);
        }
        let added = contribution.get("responses").and_then(Value::as_object);
        for (status, response) in added.into_iter().flatten() {
            responses
                .entry(status.clone())
                .or_insert_with(|| response.clone());
        }
        for (name, value) in contribution
            .iter()
            .filter(|(name, _)| name.starts_with("x-"))
        {
            operation[name] = value.clone();
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation["responses"] = responses.into();
    if let Some(security) = security(route) {
        operation["security"] = security;
    }
}

/// The ways in which a client may authenticate: one of each filter that demands any. None: none does.
fn security(route: &Route<'_>) -> Option<Value> {
    let demands = route.contributions.iter();
    let demands = demands.filter_map(|one| one.get("security").and_then(Value::as_array));
    let demands: Vec<_> = demands.filter(|ways| !ways.is_empty()).collect();
    let mut all = vec![Map::new()];
    for ways in &demands {
        let ways = ways.iter().filter_map(Value::as_object);
        let both = ways.flat_map(|way| {
            all.iter().map(move |before| {
                let mut both = before.clone();
                both.extend(way.clone());
                both
            })
        });
        all = both.collect();
    }
    (!demands.is_empty()).then(|| all.into())
}

/// Give each operation an id that no other has: tools name functions by it.
fn name_operations(paths: &mut Map<String, Value>) {
    let mut taken: Vec<String> = Vec::new();
    let operations = |item: &Value| -> Vec<&'static str> {
        METHODS
            .into_iter()
            .filter(|method| item.get(method).is_some())
            .collect()
    };
    for item in paths.values() {
        for method in operations(item) {
            taken.extend(item[method]["operationId"].as_str().map(str::to_owned));
        }
    }
    for (path, item) in paths.iter_mut() {
        for method in operations(item) {
            if item[method].get("operationId").is_some() {
                continue;
            }
            let words = path.split(|c: char| !c.is_ascii_alphanumeric());
            let words = words.filter(|word| !word.is_empty());
            let id = words.fold(method.to_owned(), |id, word| format!("{id}_{word}"));
            let mut free = id.clone();
            let mut count = 1;
            while taken.contains(&free) {
                count += 1;
                free = format!("{id}_{count}");
            }
            item[method]["operationId"] = free.as_str().into();
            taken.push(free);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> Value {
        json!({
            "routes": [
                { "name": "one", "path": "/orders/{id}", "methods": ["GET", "PUT"], "hosts": [], "filters": ["keys", "plan"], "api": "shop" },
                { "name": "files", "path": "/files/{rest+}", "methods": [], "hosts": [], "filters": [], "api": null },
                { "name": "all", "path": "$default", "methods": [], "hosts": [], "filters": ["keys"], "api": null },
            ],
            "apis": { "shop": { "stage": "prod", "basePath": "/shop" } },
            "plans": ["basic"],
            "filters": {
                "keys": { "plugin": "api-key 0.1.0", "contribution": {
                    "securitySchemes": { "key": { "type": "apiKey", "in": "header", "name": "x-api-key" } },
                    "security": [{ "key": [] }],
                    "responses": { "401": { "description": "no key" } },
                } },
                "plan": { "plugin": "usage-plan 0.1.0", "contribution": {
                    "security": [{ "a": [] }, { "b": ["x"] }],
                    "responses": { "429": { "description": "no more" } },
                    "x-limit": 3,
                } },
            },
        })
    }

    #[test]
    fn without_a_document_the_routes_are_described() {
        let whole = openapi(&about(), None, &Checked::default());
        let paths: Vec<_> = whole["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/files/{rest}", "/shop/orders/{id}"]);
        let get = &whole["paths"]["/shop/orders/{id}"]["get"];
        assert_eq!(get["operationId"], "get_shop_orders_id");
        assert_eq!(get["parameters"][0]["name"], "id");
        assert_eq!(get["x-limit"], 3);
        let statuses: Vec<_> = get["responses"].as_object().unwrap().keys().collect();
        assert_eq!(statuses, ["200", "401", "429"]);
        assert_eq!(
            get["security"],
            json!([{ "key": [], "a": [] }, { "key": [], "b": ["x"] }])
        );
        assert!(whole["paths"]["/files/{rest}"]["post"]["security"].is_null());
        assert_eq!(whole["info"], json!({ "title": "API", "version": "1.0.0" }));
        assert_eq!(whole["servers"], json!([{ "url": "/" }]));
        assert!(whole["components"]["securitySchemes"]["key"].is_object());
    }

    #[test]
    fn a_document_is_completed_and_what_no_route_serves_is_left_out() {
        let document = json!({
            "openapi": "3.0.3",
            "info": { "title": "Shop", "version": "7" },
            "paths": {
                "/orders/{order}": {
                    "summary": "an order",
                    "get": { "operationId": "readOrder", "responses": { "200": { "description": "it" }, "401": { "description": "own" } } },
                    "delete": { "responses": { "204": { "description": "gone" } } },
                },
                "/files/a/b": { "get": { "responses": { "200": { "description": "a file" } } } },
            },
        });
        let settings = Checked {
            version: Some("8".to_owned()),
            apis: vec!["shop".to_owned()],
            ..Checked::default()
        };
        let whole = openapi(&about(), Some(&document), &settings);
        assert_eq!(whole["openapi"], "3.0.3");
        assert_eq!(whole["info"], json!({ "title": "Shop", "version": "8" }));
        let paths: Vec<_> = whole["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/shop/orders/{order}"]);
        let item = &whole["paths"]["/shop/orders/{order}"];
        assert_eq!(item["summary"], "an order");
        assert_eq!(item["get"]["operationId"], "readOrder");
        assert_eq!(item["get"]["responses"]["401"]["description"], "own");
        assert_eq!(item["get"]["parameters"][0]["name"], "order");
        // The route takes it, the document does not say it; and the other way round.
        assert!(item["put"].is_object() && item["delete"].is_null());
        let all = openapi(&about(), Some(&document), &Checked::default());
        let file = &all["paths"]["/files/a/b"]["get"];
        assert_eq!(
            file["responses"],
            json!({ "200": { "description": "a file" } })
        );
        // By `$default`, with its key.
        assert_eq!(
            all["paths"]["/orders/{order}"]["delete"]["security"],
            json!([{ "key": [] }])
        );
    }

    #[test]
    fn the_manifest_says_what_an_sdk_needs() {
        let settings = Checked {
            path: "/openapi.json".to_owned(),
            servers: vec!["https://api.example".to_owned()],
            ..Checked::default()
        };
        let whole = openapi(&about(), None, &settings);
        let manifest = manifest(&about(), &whole, &settings);
        assert_eq!(manifest["baseUrl"], "https://api.example");
        assert_eq!(manifest["plans"], json!(["basic"]));
        assert_eq!(manifest["auth"]["key"]["name"], "x-api-key");
        assert_eq!(manifest["retryableStatuses"], json!([429, 502, 503, 504]));
    }

    #[test]
    fn the_manifest_has_the_plans_of_the_apis_that_are_described() {
        let mut about = about();
        about["plans"] = json!(["all", "shop", "stock", "both"]);
        about["planApis"] = json!({
            "all": [], "shop": ["shop"], "stock": ["stock"], "both": ["stock", "shop"],
        });
        for (apis, plans) in [
            (&[][..], json!(["all", "shop", "stock", "both"])),
            (&["shop"], json!(["all", "shop", "both"])),
            (&["stock"], json!(["all", "stock", "both"])),
            (&["other"], json!(["all"])),
        ] {
            let settings = Checked {
                apis: apis.iter().map(|&api| api.to_owned()).collect(),
                ..Checked::default()
            };
            assert_eq!(manifest(&about, &json!({}), &settings)["plans"], plans);
        }
    }
}
