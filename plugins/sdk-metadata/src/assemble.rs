//! Assembles the documents from the gateway's description of its routes and filters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::path::{self, Fit, Index};
use crate::settings::Checked;
use crate::text::{self, Object, Text};

/// The methods of OpenAPI, in the order in which they are written.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// The methods in the description of a route for any method, if no document says more.
const USUAL: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// Statuses after which a client may try again.
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// A route from the gateway's description.
struct Route<'a> {
    name: &'a str,
    /// The path with the base path of its API.
    path: String,
    own_path: &'a str,
    /// In lower case. Empty for any method.
    methods: Vec<String>,
    contributions: Vec<&'a Map<String, Value>>,
}

/// The operator's document, as text.
#[derive(Debug)]
pub struct Document {
    /// All members except `paths`.
    members: BTreeMap<String, Text>,
    /// The members of each path.
    paths: BTreeMap<String, BTreeMap<String, Text>>,
}

/// The bytes that the filters of a route add to an operation, including their refusals. `api-key` and `usage-plan` add
/// 500 bytes.
const ADDED: usize = 1024;

impl Document {
    /// Parse a document of OpenAPI 3. `None` if it is something else.
    pub fn new(text: Text) -> Option<Self> {
        let mut members = text.members()?;
        // It may be as large as everything else.
        drop(text);
        let version = members.get("openapi")?.value();
        let paths = members.remove("paths").and_then(|paths| paths.members());
        let paths = paths.into_iter().flatten();
        let paths = paths.filter_map(|(path, item)| Some((path, item.members()?)));
        let paths = paths.collect();
        version
            .as_str()?
            .starts_with("3.")
            .then_some(Self { members, paths })
    }

    /// The length of the document in bytes with the additions of the filters.
    pub fn length_when_complete(&self) -> usize {
        let long = |members: &BTreeMap<String, Text>| {
            text::length(members.iter().map(|(name, one)| (name, one.as_str().len())))
        };
        let items = self.paths.iter().map(|(path, item)| {
            let operations = METHODS
                .iter()
                .filter(|method| item.contains_key(**method))
                .count();
            (
                path,
                long(item).saturating_add(operations.saturating_mul(ADDED)),
            )
        });
        long(&self.members) + text::length(items)
    }
}

/// The operations and other members of a path.
type Item = BTreeMap<String, Part>;

/// A member of a path. It is kept as text, because a tree of all members would not fit into an instance.
struct Part {
    text: Text,
    /// Whether it is an operation without an `operationId`.
    is_nameless: bool,
}

/// The assembled OpenAPI document.
pub struct OpenApi {
    members: BTreeMap<String, Text>,
    info: Value,
    servers: Value,
    paths: BTreeMap<String, Item>,
    /// The ids of its operations.
    ids: BTreeSet<String>,
}

impl OpenApi {
    /// Assembles the document.
    pub fn new(about: &Value, document: Option<&Document>, settings: &Checked) -> Self {
        let all = routes(about, settings);
        let routes = Routes::of(&all);
        let members = document.map(|document| document.members.clone());
        let members = members.unwrap_or_default();
        let mut whole = Self {
            info: info(&members, settings),
            servers: servers(&members, settings),
            members,
            paths: BTreeMap::new(),
            ids: BTreeSet::new(),
        };
        for (path, item) in document.into_iter().flat_map(|document| &document.paths) {
            whole.described(path, item, &routes);
        }
        let plain: Vec<_> = all.iter().map(|route| path::plain(&route.path)).collect();
        let mut places = Places::new(&plain);
        for path in whole.paths.keys() {
            places.add(path);
        }
        for (place, route) in all.iter().enumerate() {
            whole.undescribed((place, route), document.is_some(), &mut places);
        }
        let mut schemes = Map::new();
        for contribution in all.iter().flat_map(|route| &route.contributions) {
            let added = contribution.get("securitySchemes");
            let added = added.and_then(Value::as_object).into_iter().flatten();
            schemes.extend(added.map(|(name, one)| (name.clone(), one.clone())));
        }
        if !schemes.is_empty() {
            whole.add_schemes(schemes);
        }
        let version = || Text::from(&"3.1.0".into());
        whole
            .members
            .entry("openapi".to_owned())
            .or_insert_with(version);
        whole
    }

    fn add_schemes(&mut self, added: Map<String, Value>) {
        let components = self.members.get("components").and_then(Text::members);
        let mut components = components.unwrap_or_default();
        let mut schemes = object(components.get("securitySchemes"));
        schemes.extend(added);
        components.insert("securitySchemes".to_owned(), Text::from(&schemes.into()));
        let members = components
            .iter()
            .map(|(name, one)| (name, one.as_str().len()));
        let mut text = Object::with_capacity(text::length(members));
        for (name, one) in components {
            *text.member(&name) += one.as_str();
        }
        self.members.insert("components".to_owned(), text.end());
    }

    /// The manifest for SDKs.
    pub fn manifest(&self, about: &Value, settings: &Checked) -> Value {
        let first = self
            .servers
            .get(0)
            .and_then(|server| server["url"].as_str());
        let components = self.members.get("components").and_then(Text::members);
        let schemes = components.and_then(|mut all| all.remove("securitySchemes"));
        json!({
            "title": self.info["title"],
            "version": self.info["version"],
            "baseUrl": first.unwrap_or("/"),
            "openapi": settings.path,
            "auth": schemes.map_or_else(|| json!({}), |schemes| schemes.value()),
            "retryableStatuses": RETRYABLE,
            "retryAfter": "retry-after",
            "rateLimitHeaders": ["ratelimit", "ratelimit-policy"],
            "plans": plans(about, settings),
        })
    }

    /// The text to serve.
    pub fn text(self) -> String {
        let Self {
            mut members,
            info,
            servers,
            paths,
            mut ids,
        } = self;
        members.insert("info".to_owned(), Text::from(&info));
        members.insert("servers".to_owned(), Text::from(&servers));
        // A generated name precedes the operation, and is about as long as its path.
        let of_item = |path: &String, item: &Item| {
            let parts = item.iter().map(|(name, part)| {
                let name_of = if part.is_nameless { path.len() + 32 } else { 0 };
                (name, part.text.as_str().len() + name_of)
            });
            text::length(parts)
        };
        let of_paths = text::length(paths.iter().map(|(path, item)| (path, of_item(path, item))));
        let of_members = members.iter().map(|(name, one)| (name, one.as_str().len()));
        let mut whole = Object::with_capacity(text::length(of_members) + of_paths + 16);
        let mut members = members.into_iter().peekable();
        while let Some((name, one)) = members.next_if(|(name, _)| name.as_str() < "paths") {
            *whole.member(&name) += one.as_str();
        }
        write_paths(whole.member("paths"), paths, &mut ids);
        for (name, one) in members {
            *whole.member(&name) += one.as_str();
        }
        whole.end().into()
    }
}

/// The members of an object; empty if the text is something else.
fn object(text: Option<&Text>) -> Map<String, Value> {
    match text.map(Text::value) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// The plans that cover an API in the description.
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

fn info(document: &BTreeMap<String, Text>, settings: &Checked) -> Value {
    let mut info = Value::Object(object(document.get("info")));
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
    info
}

fn servers(document: &BTreeMap<String, Text>, settings: &Checked) -> Value {
    let of_document = document
        .get("servers")
        .filter(|_| settings.servers.is_empty());
    let urls = settings.servers.iter().map(|url| json!({ "url": url }));
    match of_document {
        Some(servers) => servers.value(),
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

    /// The base path of its API. `None` if it has none, or if the route is the API's `$default`.
    fn base(&self) -> Option<&str> {
        let base = self.path.strip_suffix(self.own_path)?;
        (!base.is_empty()).then_some(base)
    }
}

/// All routes, and an index to find them by a path of the document.
struct Routes<'r> {
    all: &'r [Route<'r>],
    by_path: Index<'r>,
    bases: BTreeSet<&'r str>,
}

impl<'r> Routes<'r> {
    fn of(all: &'r [Route<'r>]) -> Self {
        Self {
            all,
            by_path: Index::of(all.iter().map(|route| &*route.path)),
            bases: all.iter().filter_map(Route::base).collect(),
        }
    }

    /// The routes that match a path of the document, the best one last: the path as written, and below each base path.
    fn that_take(&self, known: &str) -> Vec<(&'r Route<'r>, Option<&'r str>)> {
        let whole = self.by_path.fits(known).into_iter();
        let mut found: Vec<_> = whole.map(|(fit, place)| (fit, None, place)).collect();
        for base in &self.bases {
            let below = self.by_path.fits(&path::below(Some(base), known));
            let is_of_base =
                |place: &usize| self.all.get(*place).and_then(Route::base) == Some(base);
            let below = below.into_iter().filter(|(_, place)| is_of_base(place));
            found.extend(below.map(|(fit, place)| (fit, Some(*base), place)));
        }
        // A route without a base path counts as both.
        let is_below = |base: Option<&str>, place: usize| {
            let route = self.all.get(place);
            base.is_some() || route.is_some_and(|route| route.path == route.own_path)
        };
        found.sort_by_key(|(fit, base, place)| (*fit, is_below(*base, *place), *place));
        let found = found.into_iter();
        found
            .filter_map(|(_, base, place)| Some((self.all.get(place)?, base)))
            .collect()
    }
}

impl OpenApi {
    /// Adds the operations of a path in the operator's document that a route serves, each with the additions of the
    /// route's filters. Operations that no route serves are left out. The path is matched as written, and then below
    /// the base path of each API.
    fn described(&mut self, known: &str, item: &BTreeMap<String, Text>, routes: &Routes<'_>) {
        let shared = item.get("parameters").map(Text::value);
        let takers = routes.that_take(known);
        for method in METHODS {
            let operation = item.get(method).map(Text::value);
            let Some(mut operation) = operation.filter(Value::is_object) else {
                continue;
            };
            let best = takers.iter().rfind(|(route, _)| route.takes(method));
            let Some((route, base)) = best else {
                continue;
            };
            let path = path::below(*base, known);
            complete(&mut operation, route, &path, shared.as_ref());
            let others = || {
                let others = item
                    .iter()
                    .filter(|(name, _)| !METHODS.contains(&name.as_str()));
                let part = |text: &Text| Part {
                    text: text.clone(),
                    is_nameless: false,
                };
                others
                    .map(|(name, one)| (name.clone(), part(one)))
                    .collect()
            };
            self.paths.entry(path.clone()).or_insert_with(others);
            self.add(path, method, &operation);
        }
    }

    /// Adds a route that the operator's document does not have. If there is a document, it must describe the paths
    /// below a greedy parameter itself.
    fn undescribed(
        &mut self,
        (number, route): (usize, &Route<'_>),
        has_document: bool,
        places: &mut Places<'_>,
    ) {
        let is_greedy = route.path.contains("+}");
        if route.path == "$default" || (is_greedy && (has_document || route.own_path == "$default"))
        {
            return;
        }
        let methods: Vec<&str> = match route.methods.is_empty() {
            true => USUAL.to_vec(),
            false => METHODS.into_iter().filter(|one| route.takes(one)).collect(),
        };
        if methods.is_empty() {
            return;
        }
        let place = places.of(number);
        for method in methods {
            let item = self.paths.get(&place);
            if item.is_some_and(|item| item.contains_key(method)) {
                continue;
            }
            let mut operation = json!({ "summary": route.name });
            complete(&mut operation, route, &route.path, None);
            self.add(place.clone(), method, &operation);
        }
    }

    fn add(&mut self, path: String, method: &str, operation: &Value) {
        let id = operation.get("operationId");
        self.ids
            .extend(id.and_then(Value::as_str).map(str::to_owned));
        let part = Part {
            text: Text::from(operation),
            is_nameless: id.is_none(),
        };
        self.paths
            .entry(path)
            .or_default()
            .insert(method.to_owned(), part);
    }
}

/// The path at which a route's operations are written: the first path of the document that it matches segment by
/// segment, or else its own.
struct Places<'p> {
    plain: &'p [String],
    by_path: Index<'p>,
    first: BTreeMap<usize, String>,
}

impl<'p> Places<'p> {
    /// For routes with these paths.
    fn new(plain: &'p [String]) -> Self {
        let by_path = Index::of(plain.iter().map(String::as_str));
        Self {
            plain,
            by_path,
            first: BTreeMap::new(),
        }
    }

    /// Record a path that is now in the document.
    fn add(&mut self, path: &str) {
        for (fit, number) in self.by_path.fits(path) {
            if fit != Fit::Whole {
                continue;
            }
            let first = self.first.entry(number).or_insert_with(|| path.to_owned());
            if path < first.as_str() {
                path.clone_into(first);
            }
        }
    }

    /// The path for the route of this number, which is then in the document.
    fn of(&mut self, number: usize) -> String {
        if let Some(place) = self.first.get(&number) {
            return place.clone();
        }
        let place = self.plain.get(number).cloned().unwrap_or_default();
        self.add(&place);
        place
    }
}

/// Add the path parameters, and the additions of the route's filters, to an operation.
fn complete(operation: &mut Value, route: &Route<'_>, path: &str, shared: Option<&Value>) {
    let mut parameters = operation["parameters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shared = shared.and_then(Value::as_array);
    let add = |parameters: &mut Vec<Value>, new: &Value| {
        let is_same = |one: &Value| one["in"] == new["in"] && one["name"] == new["name"];
        let known = parameters.iter().chain(shared.into_iter().flatten());
        // A reference in the list may be to the same parameter.
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

/// The ways in which a client may authenticate, combined from all filters that require authentication. `None` if no
/// filter does.
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

/// Writes the paths, and frees each one once it is written. An operation without an id gets a unique one, because tools
/// name functions by it.
fn write_paths(out: &mut String, paths: BTreeMap<String, Item>, ids: &mut BTreeSet<String>) {
    out.push('{');
    for (place, (path, mut item)) in paths.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        // In the order of `METHODS`, so that the alphabet does not decide which operation gets the shorter name.
        let mut names = BTreeMap::new();
        for method in METHODS {
            if item.get(method).is_some_and(|part| part.is_nameless) {
                names.insert(method, free_name(&path, method, ids));
            }
        }
        *out += &Value::from(path).to_string();
        *out += ":{";
        for (place, (name, part)) in core::mem::take(&mut item).into_iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            *out += &Value::from(name.as_str()).to_string();
            out.push(':');
            match names
                .get(name.as_str())
                .zip(part.text.as_str().strip_prefix('{'))
            {
                Some((id, rest)) => {
                    *out += "{\"operationId\":";
                    *out += &Value::from(id.as_str()).to_string();
                    // The operation is not empty: it has at least `responses`.
                    out.push(',');
                    *out += rest;
                }
                None => *out += part.text.as_str(),
            }
        }
        out.push('}');
    }
    out.push('}');
}

fn free_name(path: &str, method: &str, taken: &mut BTreeSet<String>) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let id = words.fold(method.to_owned(), |id, word| format!("{id}_{word}"));
    let mut free = id.clone();
    let mut count = 1;
    while !taken.insert(free.clone()) {
        count += 1;
        free = format!("{id}_{count}");
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openapi(about: &Value, document: Option<&Value>, settings: &Checked) -> Value {
        let document = document.map(|document| Document::new(document.into()).unwrap());
        let text = OpenApi::new(about, document.as_ref(), settings).text();
        serde_json::from_str(&text).unwrap()
    }

    fn manifest(settings: &Checked, about: &Value) -> Value {
        OpenApi::new(about, None, settings).manifest(about, settings)
    }

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
        // The route serves `put`, which the document does not have; the document has `delete`, which the route does not
        // serve.
        assert!(item["put"].is_object() && item["delete"].is_null());
        let all = openapi(&about(), Some(&document), &Checked::default());
        let file = &all["paths"]["/files/a/b"]["get"];
        assert_eq!(
            file["responses"],
            json!({ "200": { "description": "a file" } })
        );
        // `$default` serves it, and requires its key.
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
        let manifest = manifest(&settings, &about());
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
            assert_eq!(manifest(&settings, &about)["plans"], plans);
        }
    }
}
