//! `builtin:jwt`: authentication by a token of an issuer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use windlass_tests::{Gateway, Reply, Request, Response, Upstream};

use crate::config::{filtered, key, transform};

/// The signing key of an issuer.
pub(crate) struct Signer {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(id: &'static str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self { id, pair }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.id, "x": x })
    }

    pub(crate) fn set(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// A valid token, with these claims added to the usual ones or in place of
    /// them.
    pub(crate) fn token(&self, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut claims = json!({
            "iss": "https://issuer.example", "aud": "orders", "sub": "anna",
            "scope": "orders:read", "iat": now.as_secs(), "exp": now.as_secs() + 600,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "EdDSA", "kid": self.id, "typ": "JWT" });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// A route with the filter `jwt`, with these settings beside its verifiers.
fn route(settings: &str, endpoint: SocketAddr) -> String {
    let consumer = "{ request = [{ op = \"set\", header = \"x-consumer\", value = \"${attribute.consumer.id}\" }] }";
    [
        filtered(&["jwt", "tell"], endpoint),
        format!("\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {{ {settings} }}\n"),
        transform("tell", consumer),
    ]
    .concat()
}

/// A verifier that gets its keys from `keys`.
pub(crate) fn verifier(name: &str, keys: &str) -> String {
    format!(
        "\n[verifier.{name}]\n{keys}\nissuers = [\"https://{name}.example\"]\naudiences = [\"orders\"]\n"
    )
}

/// A gateway whose verifier reads the signer's key from a file.
fn gateway(settings: &str, signer: &Signer, upstream: &Upstream) -> Gateway {
    let settings = format!("verifiers = [\"issuer\"], {settings}");
    let config = [
        route(&settings, upstream.address()),
        verifier("issuer", "jwks_file = \"keys.json\""),
    ];
    Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start()
}

pub(crate) fn with(token: &str) -> Request {
    Request::get("/a").header("authorization", format!("Bearer {token}"))
}

fn assert_refused(answer: &Response, status: u16, reason: &str, challenge: &str) {
    assert_eq!((answer.status, &*answer.code()), (status, reason));
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

/// A key server, and the key set that it serves.
fn key_server(set: &str) -> (Upstream, Arc<Mutex<String>>) {
    let set = Arc::new(Mutex::new(set.to_owned()));
    let own = Arc::clone(&set);
    let server = Upstream::with(move |_, to| {
        let body = own.lock().unwrap().clone();
        Reply::status(200).body(body).write(to)
    });
    (server, set)
}

#[test]
fn a_token_of_the_issuer_passes_and_goes_no_further() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway("", &signer, &upstream);
    let token = signer.token(json!({}));
    for _ in 0..2 {
        assert_eq!(gateway.send(&with(&token)).status, 200);
    }
    for request in upstream.received() {
        assert_eq!(request.header("x-consumer"), Some("anna"));
        assert_eq!(request.header("authorization"), None);
    }
    let kept = gateway.metrics();
    let labels = [("verifier", "issuer"), ("why", "signature")];
    assert_eq!(kept.with("windlass_verifier_rejects_total", &labels), 0.0);
}

#[test]
fn with_hide_off_the_endpoint_sees_the_token_where_the_client_put_it() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway(&format!("hide = false, {PLACES}"), &signer, &upstream);
    let token = signer.token(json!({}));
    let cookie = format!("a=1; session={token}");
    let target = format!("/a?x=1&access_token={token}");
    for request in [
        with(&token),
        Request::get("/a").header("cookie", &*cookie),
        Request::get(&target),
    ] {
        assert_eq!(gateway.send(&request).status, 200);
    }
    let received = upstream.received();
    let bearer = format!("Bearer {token}");
    assert_eq!(received[0].header("authorization"), Some(&*bearer));
    assert_eq!(received[1].header("cookie"), Some(&*cookie));
    assert_eq!(received[2].target, target);
}

/// Every kind of source.
const PLACES: &str = r#"from = [
    { header = "authorization" }, { header = "x-token" }, { header = "x-signed", scheme = "Token" },
    { cookie = "session" }, { query = "access_token" },
]"#;

#[test]
fn a_token_is_found_in_each_of_several_places_and_taken_out_alone() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway(PLACES, &signer, &upstream);
    let token = signer.token(json!({}));
    // Every other source holds a value that is not a token.
    let others = |request: Request| request.header("x-other", "1");
    for request in [
        with(&token),
        Request::get("/a").header("x-token", &*token),
        Request::get("/a").header("x-signed", format!("token {token}")),
        Request::get("/a").header("cookie", format!("a=1; session={token}; b=2")),
        Request::get(format!("/a?x=1&access_token={token}")),
    ] {
        assert_eq!(gateway.send(&others(request)).status, 200);
    }
    let received = upstream.received();
    assert_eq!(received.len(), 5);
    for request in &received {
        let whole = format!("{request:?}");
        assert!(!whole.contains(&token), "{whole}");
        assert_eq!(request.header("x-consumer"), Some("anna"));
        assert_eq!(request.header("x-other"), Some("1"));
    }
    assert_eq!(received[3].header("cookie"), Some("a=1; b=2"));
    assert_eq!(received[4].target, "/a?x=1");
}

#[test]
fn beside_a_good_token_no_second_value_of_its_place_goes_on_and_what_is_no_place_does() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let token = signer.token(json!({}));
    let session =
        |rest: &str| Request::get("/a").header("cookie", format!("session={token}{rest}"));
    for settings in [PLACES.to_owned(), format!("hide = false, {PLACES}")] {
        let gateway = gateway(&settings, &signer, &upstream);
        for request in [
            with(&token).header("authorization", "Basic YTpi"),
            session("; session = other"),
            session("").header("cookie", "session=\"other\""),
            Request::get(format!("/a?access_token={token}&access%5Ftoken=other")),
        ] {
            let answer = gateway.send(&request);
            let expected = (400, "several_tokens".to_owned());
            assert_eq!((answer.status, answer.code()), expected, "{request:?}");
        }
    }
    assert_eq!(upstream.count(), 0);
    let gateway = gateway(PLACES, &signer, &upstream);
    let request = Request::get("/a?Access_Token=other")
        .header("cookie", format!("session={token}; Session=other"))
        .header("authorization", "Basic YTpi");
    assert_eq!(gateway.send(&request).status, 200);
    let received = upstream.only_request();
    assert_eq!(received.target, "/a?Access_Token=other");
    assert_eq!(received.header("cookie"), Some("Session=other"));
    assert_eq!(received.header("authorization"), Some("Basic YTpi"));
}

#[test]
fn a_place_that_holds_no_token_does_not_hide_one_in_another_place() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway(PLACES, &signer, &upstream);
    let session = format!("session={}", signer.token(json!({})));
    for (name, value) in [
        ("authorization", "Basic YTpi"),
        ("authorization", "Bearer "),
        ("x-signed", "no-scheme"),
        ("cookie", "session="),
    ] {
        let request = Request::get("/a?access_token=").header(name, value);
        let answer = gateway.send(&request.header("cookie", &*session));
        assert_eq!(answer.status, 200, "{name}: {value}");
    }
    // The settings decide whether a bare `authorization` header is read.
    let token = signer.token(json!({}));
    let bare = Request::get("/a").header("authorization", &*token);
    assert_refused(&gateway.send(&bare), 401, "token_missing", "Bearer");
}

#[test]
fn with_or_without_bearer_is_two_places_in_one_header() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let from =
        r#"from = [{ header = "authorization" }, { header = "authorization", scheme = "" }]"#;
    let gateway = gateway(from, &signer, &upstream);
    let token = signer.token(json!({}));
    for value in [format!("Bearer {token}"), token.clone()] {
        let request = Request::get("/a").header("authorization", value);
        assert_eq!(gateway.send(&request).status, 200);
    }
    let basic = Request::get("/a").header("authorization", "Basic YTpi");
    let challenge = "Bearer error=\"invalid_token\"";
    assert_refused(&gateway.send(&basic), 401, "token_rejected", challenge);
}

#[test]
fn a_flood_of_places_opens_nothing_and_empty_ones_count_for_nothing() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway(&format!("hide = false, {PLACES}"), &signer, &upstream);
    let good = signer.token(json!({}));
    let cookies = |one: &str| vec![one; 1500].join("; ");
    let request = |cookie: String| Request::get("/a").header("cookie", cookie);
    let many = request(format!("session={good}; {}", cookies("session=x")));
    let challenge = "Bearer error=\"invalid_request\"";
    assert_refused(&gateway.send(&many), 400, "several_tokens", challenge);
    // A cookie that is not ASCII counts as a token too.
    let (before, bytes) = (format!("session={good}"), "session=\u{ff}");
    let odd = request(before).header("cookie", bytes);
    assert_refused(&gateway.send(&odd), 400, "several_tokens", challenge);
    let parameters = vec!["access_token=x"; 300].join("&");
    let many = Request::get(format!("/a?{parameters}"));
    assert_refused(&gateway.send(&many), 400, "several_tokens", challenge);
    assert_eq!(upstream.count(), 0);
    let empty = request(format!("{}; session={good}", cookies("session=")));
    assert_eq!(gateway.send(&empty).status, 200);
}

#[test]
fn rfc_6750_a_request_with_two_tokens_is_refused_whatever_they_are() {
    let signer = Signer::new("one", 1);
    let good = signer.token(json!({}));
    for hide in [true, false] {
        let upstream = Upstream::echo();
        let gateway = gateway(&format!("hide = {hide}, {PLACES}"), &signer, &upstream);
        for second in [good.as_str(), "garbage"] {
            for request in [
                with(&good).header("cookie", format!("session={second}")),
                with(&good).header("x-token", second),
                with(&good).header("authorization", format!("Bearer {second}")),
                with(&good).header("authorization", "Basic YTpi"),
                Request::get("/a")
                    .header("authorization", "Basic YTpi")
                    .header("authorization", format!("Bearer {second}"))
                    .header("x-token", &*good),
                Request::get("/a")
                    .header("cookie", "session=\u{ff}")
                    .header("cookie", format!("session={second}"))
                    .header("x-token", &*good),
                Request::get(format!("/a?access_token={second}")).header("x-token", &*good),
                Request::get(format!("/a?access_token={good}&access_token={second}")),
                Request::get("/a").header("cookie", format!("session={good}; session={second}")),
                Request::get("/a")
                    .header("cookie", format!("session={good}"))
                    .header("cookie", format!("session={second}")),
            ] {
                let answer = gateway.send(&request);
                let challenge = "Bearer error=\"invalid_request\"";
                assert_refused(&answer, 400, "several_tokens", challenge);
            }
        }
        assert_eq!(upstream.count(), 0);
    }
}

#[test]
fn rfc_6750_a_field_that_is_the_only_place_holds_one_value() {
    let signer = Signer::new("one", 1);
    let good = signer.token(json!({}));
    for hide in [true, false] {
        let upstream = Upstream::echo();
        let gateway = gateway(&format!("hide = {hide}"), &signer, &upstream);
        for (first, second) in [
            (format!("Bearer {good}"), "Basic YTpi".to_owned()),
            ("Basic YTpi".to_owned(), format!("Bearer {good}")),
            (format!("Bearer {good}"), format!("Bearer {good}")),
            ("Bearer garbage".to_owned(), format!("bearer\t{good}")),
        ] {
            let request = Request::get("/a").header("authorization", &*first);
            let answer = gateway.send(&request.header("authorization", &*second));
            let challenge = "Bearer error=\"invalid_request\"";
            assert_refused(&answer, 400, "several_tokens", challenge);
        }
        for value in ["Basic YTpi", "Bearer", "Bearer ", "Bearer\u{a0}x", "\u{ff}"] {
            let request = Request::get("/a").header("authorization", value);
            assert_refused(&gateway.send(&request), 401, "token_missing", "Bearer");
        }
        assert_eq!(upstream.count(), 0);
        for value in [format!("BEARER  {good}"), format!("bearer\t{good}")] {
            let request = Request::get("/a").header("authorization", &*value);
            assert_eq!(gateway.send(&request).status, 200);
            let seen = upstream.received().pop().unwrap();
            assert_eq!(seen.header("authorization").is_none(), hide);
        }
    }
}

#[test]
fn rfc_6750_every_bad_token_looks_the_same_and_none_goes_upstream() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = gateway("realm = \"shop\"", &signer, &upstream);
    for none in [
        Request::get("/a"),
        Request::get("/a").header("authorization", "Basic YTpi"),
        Request::get("/a").header("authorization", "Bearer "),
        Request::get("/a?access_token=x"),
    ] {
        let answer = gateway.send(&none);
        assert_refused(&answer, 401, "token_missing", "Bearer realm=\"shop\"");
    }
    let good = signer.token(json!({}));
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for bad in [
        "garbage".to_owned(),
        "x".repeat(17_000),
        format!("{good}x"),
        Signer::new("one", 2).token(json!({})),
        Signer::new("other", 1).token(json!({})),
        signer.token(json!({ "exp": 1 })),
        signer.token(json!({ "aud": "billing" })),
        signer.token(json!({ "iss": "https://other.example" })),
        signer.token(json!({ "sub": 7 })),
        format!("{none}.{}.", good.split('.').nth(1).unwrap()),
    ] {
        // Twice, because the second result may come from the cache.
        for _ in 0..2 {
            let answer = gateway.send(&with(&bad));
            let challenge = "Bearer realm=\"shop\", error=\"invalid_token\"";
            assert_refused(&answer, 401, "token_rejected", challenge);
        }
    }
    assert_eq!(upstream.count(), 0);
    let metrics = gateway.metrics();
    let rejects = metrics.by("windlass_verifier_rejects_total", "why");
    assert_eq!((rejects["signature"], rejects["expired"]), (2.0, 2.0));
    assert_eq!((rejects["unknown_key"], rejects["algorithm"]), (2.0, 2.0));
}

#[test]
fn a_token_without_the_scopes_is_403_and_says_which() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let scopes = "scopes = [\"orders:read\", \"orders:write\"]";
    let all = gateway(scopes, &signer, &upstream);
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"orders:read orders:write\"";
    let answer = all.send(&with(&signer.token(json!({}))));
    assert_refused(&answer, 403, "insufficient_scope", challenge);
    let both = json!({ "scp": ["orders:write"] });
    assert_eq!(all.send(&with(&signer.token(both))).status, 200);
    let any = gateway(&format!("{scopes}, any_scope = true"), &signer, &upstream);
    assert_eq!(any.send(&with(&signer.token(json!({})))).status, 200);
    let none = json!({ "scope": "other" });
    let answer = any.send(&with(&signer.token(none)));
    assert_refused(&answer, 403, "insufficient_scope", challenge);
}

#[test]
fn claims_become_attributes_and_one_that_is_required_must_be_there() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let attributes =
        "attributes = { \"consumer.id\" = \"/customer/id\", \"auth.email\" = \"email?\" }";
    let gateway = gateway(attributes, &signer, &upstream);
    let named = signer.token(json!({ "customer": { "id": 42 } }));
    assert_eq!(gateway.send(&with(&named)).status, 200);
    assert_eq!(upstream.only_request().header("x-consumer"), Some("42"));
    let answer = gateway.send(&with(&signer.token(json!({}))));
    assert_refused(
        &answer,
        401,
        "token_rejected",
        "Bearer error=\"invalid_token\"",
    );
}

/// An API key beside the token.
const KEY: &str = "key-of-the-machine-of-bob";

#[test]
fn a_token_without_the_claim_leaves_no_attribute_of_another_credential_beside_it() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let tell = "{ request = [\
        { op = \"set\", header = \"x-consumer\", value = \"${attribute.consumer.id}\" },\
        { op = \"set\", header = \"x-key\", value = \"${attribute.api-key.id}\" },\
        { op = \"set\", header = \"x-method\", value = \"${attribute.auth.method}\" }] }";
    let start = |from: &str| {
        let config = [
            filtered(&["keys", "jwt", "tell"], upstream.address()),
            "\n[filter.keys]\nplugin = \"builtin:api-key\"\n".to_owned(),
            format!(
                "\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {{ verifiers = [\"issuer\"], attributes = {{ \"consumer.id\" = \"/who?\" }}{from} }}\n"
            ),
            transform("tell", tell),
            verifier("issuer", "jwks_file = \"keys.json\""),
            key("bob-1", "bob", KEY, ""),
        ];
        Gateway::with_config(config.concat())
            .file("keys.json", signer.set())
            .start()
    };
    // Once with the default source, which Windlass reads itself, and once with
    // sources that the filter reads.
    for from in [
        "",
        ", from = [{ header = \"authorization\" }, { cookie = \"t\" }]",
    ] {
        let gateway = start(from);
        for (claims, consumer) in [
            (json!({ "who": "anna" }), Some("anna")),
            (json!({}), None),
            (json!({ "who": null }), None),
        ] {
            let request = with(&signer.token(claims)).header("x-api-key", KEY);
            assert_eq!(gateway.send(&request).status, 200);
            let received = upstream.received();
            let received = received.last().unwrap();
            assert_eq!(received.header("x-consumer"), consumer, "{from}");
            assert_eq!(received.header("x-method"), Some("jwt"), "{from}");
            assert_eq!(received.header("x-key"), Some("bob-1"), "{from}");
        }
    }
}

#[test]
fn a_token_of_many_claims_is_rejected_and_suspends_nothing() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let attributes = "attributes = { \"consumer.id\" = \"sub\", \"auth.realm\" = \"/realm?\", \"auth.roles\" = \"/realm/roles?\" }";
    let gateway = gateway(attributes, &signer, &upstream);
    let roles: Vec<_> = (0..700).map(|role| format!("role-{role:06}")).collect();
    let large = signer.token(json!({ "realm": { "roles": roles } }));
    for _ in 0..10 {
        let answer = gateway.send(&with(&large));
        let challenge = "Bearer error=\"invalid_token\"";
        assert_refused(&answer, 401, "token_rejected", challenge);
    }
    assert_eq!(gateway.send(&with(&signer.token(json!({})))).status, 200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_rotated_key_counts_for_the_first_request_with_it_and_the_old_one_no_longer() {
    let (old, new) = (Signer::new("old", 1), Signer::new("new", 2));
    let (server, set) = key_server(&old.set());
    let upstream = Upstream::echo();
    let keys = format!("jwks_url = \"http://{}/keys\"", server.address());
    let config = [
        route("verifiers = [\"issuer\"]", upstream.address()),
        verifier("issuer", &keys),
    ];
    let gateway = Gateway::with_config(config.concat()).start();
    let with_old = with(&old.token(json!({})));
    assert_eq!(gateway.send(&with_old).status, 200);
    *set.lock().unwrap() = new.set();
    // This key is cached, so nothing fetches newer keys.
    assert_eq!(gateway.send(&with_old).status, 200);
    assert_eq!(server.count(), 1);
    assert_eq!(gateway.send(&with(&new.token(json!({})))).status, 200);
    assert_eq!(server.count(), 2);
    assert_eq!(gateway.send(&with_old).status, 401);
    // Unknown key ids cause no fetch within the cooldown.
    for id in ["x", "y", "z"] {
        let token = Signer::new(id, 3).token(json!({}));
        assert_eq!(gateway.send(&with(&token)).status, 401);
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn a_key_that_a_newer_set_leaves_out_is_told_once_and_no_url_with_its_query() {
    let (old, new) = (Signer::new("old", 1), Signer::new("new", 2));
    let unsupported =
        |id: &str| json!({ "kty": "EC", "crv": "P-224", "kid": id, "x": "", "y": "" });
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let (server, keys) = key_server(&set(&[old.jwk(), unsupported("first")]));
    let upstream = Upstream::echo();
    let url = format!("http://{}/keys?code=s3cr3t", server.address());
    let config = [
        route("verifiers = [\"issuer\"]", upstream.address()),
        verifier("issuer", &format!("jwks_url = \"{url}\"")),
    ];
    let gateway = Gateway::with_config(config.concat()).start();
    *keys.lock().unwrap() = set(&[unsupported("second"), unsupported("first"), new.jwk()]);
    assert_eq!(gateway.send(&with(&new.token(json!({})))).status, 200);
    let told = |id: &str| {
        let id = format!("\"{id}\"");
        move |line: &str| line.contains("a key of the set is ignored") && line.contains(&id)
    };
    gateway.log().wait_for_line(told("first"));
    gateway.log().wait_for_line(told("second"));
    let log = gateway.log().text();
    for id in ["first", "second"] {
        assert_eq!(
            log.lines().filter(|line| told(id)(line)).count(),
            1,
            "{log}"
        );
    }
    assert!(!log.contains("s3cr3t"), "{log}");
}

#[test]
fn a_token_is_verified_by_its_issuers_verifier() {
    let (one, two) = (Signer::new("k", 1), Signer::new("k", 2));
    let upstream = Upstream::echo();
    let config = [
        route("verifiers = [\"one\", \"two\"]", upstream.address()),
        verifier("one", "jwks_file = \"one.json\""),
        verifier("two", "jwks_file = \"two.json\""),
    ];
    let gateway = Gateway::with_config(config.concat())
        .file("one.json", one.set())
        .file("two.json", two.set())
        .start();
    let by = |signer: &Signer, issuer: &str| {
        let token = signer.token(json!({ "iss": format!("https://{issuer}.example") }));
        [0, 1].map(|_| gateway.send(&with(&token)).status)
    };
    assert_eq!(by(&one, "one"), [200, 200]);
    assert_eq!(by(&two, "two"), [200, 200]);
    assert_eq!(by(&one, "two"), [401, 401]);
    assert_eq!(by(&two, "three"), [401, 401]);
}

#[test]
fn a_shared_secret_verifies_hmac_and_is_long_enough() {
    let upstream = Upstream::echo();
    let config = [
        route("verifiers = [\"issuer\"]", upstream.address()),
        verifier("issuer", "secret = \"shared\""),
        "\n[secret.shared]\nenv = \"SHARED\"\n".to_owned(),
    ]
    .concat();
    let short = Gateway::with_config(&config).env("SHARED", "too short");
    let refused = short.run_refused();
    let text = "verifier `issuer`: secret `shared` is shorter than the 32 bytes that HS256 needs";
    assert!(refused.errors.contains(text), "{}", refused.errors);
    let secret = "0123456789abcdef0123456789abcdef";
    let gateway = Gateway::with_config(&config).env("SHARED", secret).start();
    let asymmetric = Signer::new("one", 1).token(json!({}));
    let payload = asymmetric.split('.').nth(1).unwrap();
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    assert_eq!(gateway.send(&with(&format!("{signed}.{tag}"))).status, 200);
    assert_eq!(gateway.send(&with(&asymmetric)).status, 401);
}

#[test]
fn without_keys_a_start_is_refused_or_requests_are() {
    let closed = windlass_tests::ClosedPort::new();
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let config = |more: &str| {
        let keys = format!(
            "jwks_url = \"http://{}/keys?code=s3cr3t\"\n{more}",
            closed.address()
        );
        [
            route("verifiers = [\"issuer\"]", upstream.address()),
            verifier("issuer", &keys),
        ]
        .concat()
    };
    let refused = Gateway::with_config(config("")).run_refused();
    assert!(
        refused.errors.contains("verifier `issuer` has no keys"),
        "{}",
        refused.errors
    );
    assert!(
        refused.errors.contains("start_without_keys") && !refused.errors.contains("s3cr3t"),
        "{}",
        refused.errors
    );
    let checked = Gateway::with_config(config("")).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let gateway = Gateway::with_config(config("start_without_keys = true")).start();
    let answer = gateway.send(&with(&signer.token(json!({}))));
    assert_eq!((answer.status, &*answer.code()), (503, "keys_unavailable"));
    let usable = gateway.metrics();
    let labels = [("verifier", "issuer")];
    assert_eq!(usable.with("windlass_verifier_keys_usable", &labels), 0.0);
}

#[test]
fn without_the_grant_a_call_fails_and_check_prints_the_line() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let config = [
        route("verifiers = [\"issuer\"]", upstream.address()),
        verifier("issuer", "jwks_file = \"keys.json\""),
    ]
    .concat()
    .replace(
        "plugin = \"builtin:jwt\"",
        "plugin = \"builtin:jwt\"\nallow = { attributes = [\"auth.*\", \"consumer.*\"] }",
    );
    let gateway = Gateway::with_config(config).file("keys.json", signer.set());
    let line = "allow = { interfaces = [\"cache\", \"crypto\", \"jwt\", \"callout\"], attributes = [\"auth.*\", \"consumer.*\"] }";
    let checked = gateway.check();
    assert!(checked.errors.contains(line), "{}", checked.errors);
    let answer = gateway.start().send(&with(&signer.token(json!({}))));
    assert_eq!((answer.status, &*answer.code()), (500, "filter_failed"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_verifier_that_does_not_exist_is_an_error_at_its_name() {
    let upstream = Upstream::echo();
    let config = route("verifiers = [\"isuer\"]", upstream.address())
        + &verifier("issuer", "jwks_file = \"keys.json\"");
    let gateway = Gateway::with_config(config).file("keys.json", Signer::new("one", 1).set());
    let refused = gateway.run_refused();
    let text = "filter `jwt` names verifier `isuer`, which does not exist";
    assert!(refused.errors.contains(text), "{}", refused.errors);
    assert!(
        refused.errors.contains("did you mean `issuer`?"),
        "{}",
        refused.errors
    );
}
