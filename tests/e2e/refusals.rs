//! The refusals of the first-party filters: the exact response in both styles.
//!
//! `token_refusals` has the refusals of `builtin:jwt` for its tokens.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use windlass_tests::{ClosedPort, Gateway, Reply, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, start};

/// A refusal: the request that causes it, and the response.
struct Case {
    reason: &'static str,
    request: Request,
    status: u16,
    /// The reason phrase of the status, in a problem.
    title: &'static str,
    /// The sentence of a problem.
    detail: &'static str,
    /// The message in Amazon's style.
    message: &'static str,
    /// Fields of the response and their values; `*` is any value.
    fields: &'static [(&'static str, &'static str)],
}

/// Refusals that other tests cover, and the test.
const ELSEWHERE: [(&str, &str); 17] = [
    ("several_tokens", "token_refusals"),
    ("token_missing", "token_refusals"),
    ("token_rejected", "token_refusals"),
    ("insufficient_scope", "token_refusals"),
    ("proof_rejected", "proofs"),
    ("too_many_proofs", "proofs"),
    ("filter_failed", "transform_bodies"),
    ("rate_key_missing", "rate_limit"),
    ("authorizer_unauthorized", "authorizer"),
    ("authorizer_denied", "authorizer"),
    ("authorizer_not_allowed", "authorizer"),
    ("authorizer_refused", "authorizer"),
    ("authorizer_failed", "authorizer"),
    ("forward_refused", "authorizer"),
    ("forward_too_large", "forward_auth"),
    ("usage_key_missing", "authorizer"),
    // Only unreachable storage causes this one.
    ("limits_unavailable", "refusals"),
];

/// The servers of all routes.
struct Servers {
    echo: Upstream,
    text: Upstream,
    /// An authorizer that names a key that does not exist.
    authorizer: Upstream,
    closed: ClosedPort,
}

impl Servers {
    fn new() -> Self {
        let json = || Reply::status(200).header("content-type", "application/json");
        let allow = r#"{"policyDocument":{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}},"usageIdentifierKey":"nobody-s"}"#;
        Self {
            echo: Upstream::echo(),
            text: Upstream::fixed(json().body("not json")),
            authorizer: Upstream::fixed(json().body(allow)),
            closed: ClosedPort::new(),
        }
    }
}

fn config(style: &str, servers: &Servers) -> String {
    let route = |path: &str, filters: &str, upstream: &str| {
        format!(
            "\n[[route]]\napi = \"shop\"\npath = \"{path}\"\nfilters = {filters}\nupstream = \"{upstream}\"\n"
        )
    };
    let filter = |name: &str, plugin: &str, settings: &str| {
        format!("\n[filter.{name}]\nplugin = \"builtin:{plugin}\"\nsettings = {settings}\n")
    };
    let upstream = |name: &str, to: &Upstream| {
        format!(
            "\n[upstream.{name}]\nendpoints = [{{ address = \"{}\" }}]\n",
            to.address()
        )
    };
    let callout = |name: &str, address: SocketAddr| {
        format!("\n[callout.{name}]\nurl = \"http://{address}/\"\n")
    };
    let edit = r#"{ op = "set", body = "/seen", json = "true" }"#;
    [
        "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned(),
        format!("\n[api.shop]\nerrors = \"{style}\"\n"),
        route("/keyed", "[\"keys\", \"plan\"]", "echo"),
        route("/cors", "[\"cors\"]", "echo"),
        route("/header", "[\"header\"]", "echo"),
        route("/path", "[\"path\"]", "echo"),
        route("/body", "[\"body\"]", "echo"),
        route("/made", "[\"made\"]", "echo"),
        route("/response", "[\"response\"]", "text"),
        route("/large", "[\"large\"]", "text"),
        route("/opaque", "[\"opaque\"]", "echo"),
        route("/asked", "[\"asked\"]", "echo"),
        api_key("{}"),
        filter("plan", "usage-plan", "{ cost_attribute = \"api-key.cost\" }"),
        filter("cors", "cors", "{ origins = [\"https://app.example\"] }"),
        filter(
            "header",
            "transform",
            "{ request = [{ op = \"set\", header = \"x-a\", value = \"${request.query.a}\" }] }",
        ),
        filter(
            "path",
            "transform",
            "{ request = [{ op = \"set\", path = \"/${attribute.consumer.id}\" }] }",
        ),
        filter(
            "body",
            "transform",
            &format!("{{ other_bodies = \"refuse\", request = [{edit}] }}"),
        ) + "limits = { body = \"1KiB\" }\n",
        filter(
            "made",
            "transform",
            "{ request = [{ op = \"set\", body = \"\", template = \"no JSON\" }] }",
        ),
        filter("response", "transform", &format!("{{ response = [{edit}] }}")),
        filter(
            "large",
            "transform",
            &format!("{{ response_not_json = \"pass\", response = [{edit}] }}"),
        ) + "limits = { body = \"2B\" }\n",
        filter("opaque", "jwt", "{ introspection = { callout = \"closed\" } }"),
        filter(
            "asked",
            "authorizer",
            "{ callout = \"authorizer\", usage_key = \"required\", pattern = \"[a-z]+\" }",
        ),
        callout("closed", servers.closed.address()),
        callout("authorizer", servers.authorizer.address()),
        "\n[plan.slow]\nrate = 0.001\nburst = 1\n[plan.none]\nquota = { limit = 1, period = \"month\" }\n".to_owned(),
        key("a-1", "anna", "slow", "plan = \"slow\""),
        key("b-1", "bert", "none", "plan = \"none\""),
        key("c-1", "carl", "no-plan", ""),
        key("d-1", "dora", "odd", "plan = \"none\"\nattributes = { cost = \"-1\" }"),
        upstream("echo", &servers.echo),
        upstream("text", &servers.text),
    ]
    .concat()
}

impl Case {
    fn new(status: u16, reason: &'static str, detail: &'static str, request: Request) -> Self {
        let (title, message) = match status {
            400 => ("Bad Request", "Bad Request"),
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "Forbidden"),
            413 => ("Payload Too Large", "Request Too Long"),
            500 => ("Internal Server Error", "Internal server error"),
            415 => ("Unsupported Media Type", "Unsupported Media Type"),
            429 if reason == "quota_spent" => (QUOTA_TITLE, "Limit Exceeded"),
            429 => (QUOTA_TITLE, "Too Many Requests"),
            502 => ("Bad Gateway", "Internal server error"),
            503 => ("Service Unavailable", "Service Unavailable"),
            _ => panic!("{status}"),
        };
        Self {
            reason,
            request,
            status,
            title,
            detail,
            message,
            fields: &[],
        }
    }

    fn with(self, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { fields, ..self }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = cases_of_callers();
    cases.extend(cases_of_authorizers());
    cases.extend(cases_of_transforms());
    cases
}

fn cases_of_callers() -> Vec<Case> {
    let keyed = |key: &str| Request::get("/keyed").header("x-api-key", key);
    let preflight = Request::new("OPTIONS", "/cors")
        .header("origin", "https://other.example")
        .header("access-control-request-method", "GET");
    let opaque = Request::get("/opaque").header("authorization", "Bearer a");
    let missing = Case::new(
        401,
        "api_key_missing",
        "api key missing",
        Request::get("/keyed"),
    );
    let unavailable = Case::new(
        503,
        "introspection_unavailable",
        "introspection unavailable",
        opaque,
    );
    vec![
        missing.with(&[(
            "www-authenticate",
            "ApiKey in=\"header\", name=\"x-api-key\"",
        )]),
        Case::new(403, "api_key_rejected", "api key rejected", keyed("wrong")),
        Case::new(403, "no_usage_plan", "no usage plan", keyed("no-plan")),
        Case::new(429, "throttled", "throttled", keyed("slow")).with(&[
            ("retry-after", "*"),
            ("ratelimit", "*"),
            ("ratelimit-policy", "*"),
        ]),
        Case::new(429, "quota_spent", "quota spent", keyed("none"))
            .with(&[("ratelimit", "*"), ("ratelimit-policy", "*")]),
        Case::new(500, "cost_invalid", "cost invalid", keyed("odd")),
        Case::new(403, "cors_origin_refused", "cors origin refused", preflight),
        unavailable,
    ]
}

fn cases_of_authorizers() -> Vec<Case> {
    let asked = |token: &str| Request::get("/asked").header("authorization", token);
    let challenge = &[("www-authenticate", "Bearer")];
    vec![
        Case::new(
            401,
            "identity_missing",
            "identity missing",
            Request::get("/asked"),
        )
        .with(challenge),
        Case::new(401, "identity_rejected", "identity rejected", asked("1")).with(challenge),
        Case::new(403, "usage_key_rejected", "usage key rejected", asked("a")),
    ]
}

fn cases_of_transforms() -> Vec<Case> {
    let json_at = |path: &str, body: &str| {
        Request::post(path, body).header("content-type", "application/json")
    };
    let json = |body: &str| json_at("/body", body);
    let text = Request::post("/body", "a").header("content-type", "text/plain");
    let encoded = json("{}").header("content-encoding", "gzip");
    let large = json(&format!("\"{}\"", "x".repeat(2000)));
    let get = Request::get;
    vec![
        Case::new(
            400,
            "transform_refused",
            "transform refused",
            get("/header?a=b%0Ac"),
        ),
        Case::new(
            403,
            "transform_attribute_absent",
            "transform attribute absent",
            get("/path"),
        ),
        Case::new(400, "body_not_json", "body not json", json("{")),
        Case::new(415, "body_encoded", "body encoded", encoded),
        Case::new(
            415,
            "unsupported_media_type",
            "unsupported media type",
            text,
        )
        .with(&[("accept", "application/json")]),
        Case::new(
            413,
            "body_too_large",
            "the request's body is too large",
            large,
        ),
        Case::new(
            500,
            "transform_failed",
            "transform failed",
            json_at("/made", "{}"),
        ),
        Case::new(
            502,
            "response_not_json",
            "response not json",
            get("/response"),
        ),
        Case::new(
            502,
            "response_body_too_large",
            "the service's answer is too large",
            get("/large"),
        ),
    ]
}

const QUOTA_TITLE: &str = "Request cannot be satisfied as assigned quota has been exceeded";

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The status, type and body, with the request's id as `ID`.
fn told(answer: &Response) -> String {
    let id = answer.header("x-request-id").expect("an id");
    let kind = answer.header("content-type").unwrap_or("-");
    format!(
        "{} | {kind} | {}",
        answer.status,
        answer.text().replace(id, "ID")
    )
}

fn assert_refused(style: &str, body: impl Fn(&Case) -> String) {
    let servers = Servers::new();
    let gateway = Gateway::with_config(config(style, &servers)).start();
    // These requests empty the bucket and the quota, each of one.
    for key in ["slow", "none"] {
        let first = Request::get("/keyed").header("x-api-key", key);
        assert_eq!(gateway.send(&first).status, 200);
    }
    let mut wrong = Vec::new();
    for case in cases() {
        let answer = gateway.send(&case.request);
        let kind = match style {
            "aws" => "application/json",
            _ => "application/problem+json",
        };
        let expected = format!("{} | {kind} | {}", case.status, body(&case));
        if told(&answer) != expected {
            wrong.push((told(&answer), expected));
        }
        for (name, value) in case.fields {
            let found = answer.header(name);
            let is_there = found.is_some_and(|found| *value == "*" || found == *value);
            assert!(is_there, "{}: {name} is {found:?}", case.reason);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(servers.echo.count(), 2);
}

#[test]
fn every_refusal_is_a_problem_to_the_byte() {
    assert_refused("problem", |case| {
        let (reason, status, title, detail) = (case.reason, case.status, case.title, case.detail);
        // draft-ietf-httpapi-ratelimit-headers-11, section 7.
        let (kind, policies) = match reason {
            "throttled" => (QUOTA_EXCEEDED, ",\"violated-policies\":[\"rate\"]"),
            "quota_spent" => (QUOTA_EXCEEDED, ",\"violated-policies\":[\"quota\"]"),
            _ => ("about:blank", ""),
        };
        format!(
            "{{\"code\":\"{reason}\",\"detail\":\"{detail}\",\"request-id\":\"ID\",\"status\":{status},\"title\":\"{title}\",\"type\":\"{kind}\"{policies}}}\n"
        )
    });
}

#[test]
fn every_refusal_is_amazons_to_the_byte_where_an_api_says_so() {
    assert_refused("aws", |case| {
        format!("{{\"message\":\"{}\"}}", case.message)
    });
}

#[test]
fn without_the_store_of_budgets_a_plan_s_refusal_is_worded_to_the_byte() {
    let endpoint = Upstream::echo();
    for (style, kind, body) in [
        (
            "problem",
            "application/problem+json",
            "{\"code\":\"limits_unavailable\",\"detail\":\"limits unavailable\",\"request-id\":\"ID\",\"status\":503,\"title\":\"Service Unavailable\",\"type\":\"about:blank\"}\n",
        ),
        (
            "aws",
            "application/json",
            "{\"message\":\"Service Unavailable\"}",
        ),
    ] {
        let route = filtered(&["keys", "plan"], endpoint.address());
        let parts = [
            &*route.replace("filters =", "api = \"shop\"\nfilters ="),
            &format!("\n[api.shop]\nerrors = \"{style}\"\n"),
            "\n[store]\nurl = \"redis://127.0.0.1:1\"\non_unavailable = \"deny\"\n",
            &api_key("{}"),
            "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n",
            "\n[plan.gold]\nquota = { limit = 5, period = \"day\" }\n",
            &key("a-1", "anna", "anna", "plan = \"gold\""),
        ];
        let gateway = start(&parts);
        let answer = gateway.send(&Request::get("/").header("x-api-key", "anna"));
        assert_eq!(told(&answer), format!("503 | {kind} | {body}"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(endpoint.count(), 0);
}

/// The reasons in the table under `## Refusals` of a README.
fn listed(readme: &str) -> Vec<String> {
    let (_, section) = readme.split_once("\n## Refusals\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").nth(1));
    let reasons = cells.filter(|cell| cell.starts_with('`'));
    let reasons = reasons.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    reasons.map(str::to_owned).collect()
}

#[test]
fn every_refusal_of_a_readme_is_asserted_here_or_elsewhere() {
    let here = cases().into_iter().map(|case| case.reason);
    let known: BTreeSet<_> = here.chain(ELSEWHERE.map(|(reason, _)| reason)).collect();
    let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");
    let mut count = 0;
    for folder in fs::read_dir(plugins).unwrap() {
        let readme = folder.unwrap().path().join("README.md");
        let Ok(readme) = fs::read_to_string(readme) else {
            continue;
        };
        for reason in listed(&readme) {
            assert!(known.contains(&*reason), "`{reason}` is asserted nowhere");
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}
