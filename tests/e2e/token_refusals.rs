//! `builtin:jwt` refuses: the exact response, and the line in the access log.

use serde_json::{Value, json};
use windlass_tests::{ClosedPort, Gateway, Request, Response, Upstream, wait};

use crate::jwt::{Signer, verifier, with};

/// `/a` requires a token of the issuer; `/down` requires one of a verifier that never had keys.
fn gateway(errors: &str, signer: &Signer, upstream: &Upstream) -> Gateway {
    let closed = ClosedPort::new();
    let route = |path: &str, filter: &str| {
        format!(
            "\n[[route]]\napi = \"shop\"\npath = \"{path}\"\nfilters = [\"{filter}\"]\nupstream = \"app\"\n"
        )
    };
    let filter = |name: &str, settings: &str| {
        format!("\n[filter.{name}]\nplugin = \"builtin:jwt\"\nsettings = {{ {settings} }}\n")
    };
    let down = format!(
        "jwks_url = \"http://{}/keys\"\nstart_without_keys = true",
        closed.address()
    );
    let config = [
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\naccess = \"access.json\"\n".to_owned(),
        format!("\n[api.shop]\nerrors = \"{errors}\"\n"),
        format!(
            "\n[upstream.app]\nendpoints = [{{ address = \"{}\" }}]\n",
            upstream.address()
        ),
        route("/a", "issuer"),
        route("/down", "down"),
        route("/claim", "claim"),
        filter(
            "issuer",
            "verifiers = [\"issuer\"], scopes = [\"read\", \"write\"], realm = \"shop\", from = [{ header = \"authorization\" }, { query = \"access_token\" }]",
        ),
        filter("down", "verifiers = [\"down\"]"),
        filter(
            "claim",
            "verifiers = [\"issuer\"], attributes = { \"consumer.id\" = \"customer\" }",
        ),
        verifier("issuer", "jwks_file = \"keys.json\""),
        verifier("down", &down),
    ];
    Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start()
}

/// The bytes that all responses of one kind share, with the request's id as `ID`.
fn told(answer: &Response) -> String {
    let id = answer.header("x-request-id").expect("an id");
    let field = |name| answer.header(name).unwrap_or("-");
    let body = answer.text().replace(id, "ID");
    format!(
        "{} | {} | {} | {body}",
        answer.status,
        field("www-authenticate"),
        field("content-type")
    )
}

/// A refusal: the request that causes it, and the response.
struct Case {
    name: &'static str,
    request: Request,
    status: u16,
    /// The reason phrase of the status, in a problem.
    title: &'static str,
    /// The message in Amazon's style.
    message: &'static str,
    code: &'static str,
    challenge: &'static str,
}

const MISSING: &str = "Bearer realm=\"shop\"";
const INVALID_REQUEST: &str = "Bearer realm=\"shop\", error=\"invalid_request\"";
const INVALID_TOKEN: &str = "Bearer realm=\"shop\", error=\"invalid_token\"";
const INSUFFICIENT_SCOPE: &str =
    "Bearer realm=\"shop\", error=\"insufficient_scope\", scope=\"read write\"";

fn cases(signer: &Signer) -> Vec<Case> {
    let both = json!({ "scope": "read write" });
    let good = signer.token(both.clone());
    let but = |name: &str, value: Value| {
        let mut claims = both.clone();
        claims[name] = value;
        with(&signer.token(claims))
    };
    let unauthorized = |name, code, challenge, request| Case {
        name,
        request,
        status: 401,
        title: "Unauthorized",
        message: "Unauthorized",
        code,
        challenge,
    };
    let rejected = |name, request| unauthorized(name, "token_rejected", INVALID_TOKEN, request);
    let missing = |name, request| unauthorized(name, "token_missing", MISSING, request);
    let scope = |name, request| Case {
        status: 403,
        title: "Forbidden",
        message: "Forbidden",
        ..unauthorized(name, "insufficient_scope", INSUFFICIENT_SCOPE, request)
    };
    let several = |name, request| Case {
        status: 400,
        title: "Bad Request",
        message: "Bad Request",
        ..unauthorized(name, "several_tokens", INVALID_REQUEST, request)
    };
    let basic = Request::get("/a").header("authorization", "Basic YTpi");
    let in_query = Request::get(format!("/a?access_token={good}"));
    let down = Request::get("/down").header("authorization", format!("Bearer {good}"));
    vec![
        missing("no token", Request::get("/a")),
        missing("another scheme", basic),
        rejected("no JSON Web Token", with("garbage")),
        rejected(
            "a forged signature",
            with(&Signer::new("one", 9).token(both.clone())),
        ),
        rejected("expired", but("exp", json!(1))),
        rejected("not valid yet", but("nbf", json!(99_999_999_999_u64))),
        rejected("another audience", but("aud", json!("billing"))),
        rejected("another issuer", but("iss", json!("https://other.example"))),
        scope("one scope of two", but("scope", json!("read"))),
        several(
            "two places",
            in_query.header("authorization", format!("Bearer {good}")),
        ),
        several(
            "twice in one",
            with(&good).header("authorization", "Bearer x"),
        ),
        Case {
            status: 503,
            title: "Service Unavailable",
            message: "Service Unavailable",
            ..unauthorized("no keys", "keys_unavailable", "-", down)
        },
    ]
}

/// The sentence of a problem.
fn detail(code: &str) -> &'static str {
    match code {
        "keys_unavailable" => "keys cannot be checked now",
        "token_missing" => "token missing",
        "token_rejected" => "token rejected",
        "insufficient_scope" => "insufficient scope",
        "several_tokens" => "several tokens",
        _ => panic!("{code}"),
    }
}

#[test]
fn every_refusal_is_a_problem_to_the_byte() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway("problem", &signer, &upstream);
    for case in cases(&signer) {
        let (code, status, title) = (case.code, case.status, case.title);
        let body = format!(
            "{{\"code\":\"{code}\",\"detail\":\"{}\",\"request-id\":\"ID\",\"status\":{status},\"title\":\"{title}\",\"type\":\"about:blank\"}}\n",
            detail(code)
        );
        let expected = format!(
            "{status} | {} | application/problem+json | {body}",
            case.challenge
        );
        assert_eq!(
            told(&gateway.send(&case.request)),
            expected,
            "{}",
            case.name
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn every_refusal_is_amazons_to_the_byte_where_an_api_says_so() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway("aws", &signer, &upstream);
    for case in cases(&signer) {
        let body = format!("{{\"message\":\"{}\"}}", case.message);
        let expected = format!(
            "{} | {} | application/json | {body}",
            case.status, case.challenge
        );
        assert_eq!(
            told(&gateway.send(&case.request)),
            expected,
            "{}",
            case.name
        );
    }
    assert_eq!(upstream.count(), 0);
}

/// The line of the access log for this response.
fn line(gateway: &Gateway, answer: &Response) -> (String, Value) {
    let id = answer.header("x-request-id").expect("an id");
    let path = gateway.folder().join("access.json");
    let line = wait::until("the line of the access log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        lines.find(|line| line.contains(id)).map(str::to_owned)
    });
    let value = serde_json::from_str(&line).unwrap();
    (line, value)
}

#[test]
fn the_access_log_tells_why_a_token_was_rejected_and_never_the_token() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway("problem", &signer, &upstream);
    let both = json!({ "scope": "read write" });
    let token = |name: &str, value: Value| {
        let mut claims = both.clone();
        claims[name] = value;
        signer.token(claims)
    };
    let by_issuer = |why: &str| json!({ "why": why, "verifier": "issuer" });
    for (path, token, rejected) in [
        ("/a", "garbage".to_owned(), by_issuer("malformed")),
        (
            "/a",
            Signer::new("one", 9).token(both.clone()),
            by_issuer("signature"),
        ),
        (
            "/a",
            Signer::new("two", 1).token(both.clone()),
            by_issuer("unknown_key"),
        ),
        ("/a", token("exp", json!(1)), by_issuer("expired")),
        ("/a", token("aud", json!("billing")), by_issuer("audience")),
        (
            "/a",
            token("scope", json!("read")),
            json!({ "why": "insufficient_scope" }),
        ),
        (
            "/claim",
            token("a", json!(1)),
            json!({ "why": "required_claim" }),
        ),
    ] {
        // Twice, because the second result may come from the cache.
        for _ in 0..2 {
            let answer = gateway
                .send(&Request::get(path).header("authorization", format!("Bearer {token}")));
            let (text, line) = line(&gateway, &answer);
            assert_eq!(line["token_rejected"], rejected, "{text}");
            assert_eq!(line["failure"], *answer.code(), "{text}");
            assert!(!text.contains(&token), "{text}");
        }
    }
    let in_query = gateway.get("/a?access_token=garbage");
    let (text, value) = line(&gateway, &in_query);
    assert_eq!(value["token_rejected"], by_issuer("malformed"), "{text}");
    assert!(!text.contains("garbage"), "{text}");
    // A request without a token, and one with a valid token.
    let good = with(&signer.token(both));
    for (request, status) in [(Request::get("/a"), 401), (good, 200)] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status);
        let (text, line) = line(&gateway, &answer);
        assert_eq!(line.get("token_rejected"), None, "{text}");
    }
    assert!(!gateway.log().text().contains("token_rejected"));
    // Each request was sent twice.
    let metrics = gateway.metrics();
    for (verifier, why, count) in [
        ("issuer", "expired", 2.0),
        ("issuer", "malformed", 3.0),
        ("", "insufficient_scope", 2.0),
        ("", "required_claim", 2.0),
        ("", "unproven", 0.0),
    ] {
        let labels = [("verifier", verifier), ("why", why)];
        let counted = metrics.with("windlass_verifier_rejects_total", &labels);
        assert_eq!(counted, count, "{why}");
    }
}
