//! `builtin:jwt` with tokens that are bound to a key (DPoP, RFC 9449).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use windlass_tests::{Builder, Gateway, Request, Response, Upstream, wait};

use crate::config::filtered;
use crate::jwt::{Signer, verifier};

/// A client with a key.
pub(crate) struct Client(Ed25519KeyPair);

impl Client {
    pub(crate) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// The `cnf.jkt` of a token that is bound to the client's key (RFC 8037, appendix A.3).
    pub(crate) fn thumbprint(&self) -> String {
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// A proof for `GET` on this URL, with these claims added to the usual ones or in place of them.
    pub(crate) fn proof(&self, url: &str, token: &str, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut claims = json!({
            "jti": format!("{:?}", std::time::Instant::now()), "htm": "GET", "htu": url, "iat": now.as_secs(),
            "ath": URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())),
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": self.x() });
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// The filter with these settings beside its verifier, and the verifier.
fn filter(settings: &str, verifies: &str) -> String {
    let filter = format!(
        "\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {{ verifiers = [\"issuer\"], {settings} }}\n"
    );
    filter + &verifier("issuer", &format!("jwks_file = \"keys.json\"\n{verifies}"))
}

fn builder(settings: &str, verifies: &str, signer: &Signer, upstream: &Upstream) -> Builder {
    let config = [
        filtered(&["jwt"], upstream.address()),
        filter(settings, verifies),
        "[log]\naccess = \"access.json\"\n".to_owned(),
    ];
    Gateway::with_config(config.concat()).file("keys.json", signer.set())
}

const ORIGIN: &str = "dpop = { origin = \"https://api.example\" }";
const URL: &str = "https://api.example/a";
const ALGORITHMS: &str = "algs=\"ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512\"";

fn with(token: &str, proof: &str) -> Request {
    Request::get("/a?b=c")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof)
}

/// The status, the code and the challenge of a refusal.
fn refusal(answer: &Response) -> (u16, String, String) {
    let challenge = answer.header("www-authenticate").unwrap_or("-");
    (answer.status, answer.code(), challenge.to_owned())
}

/// The reasons for rejected tokens in the access log, once it has this many lines.
fn causes(gateway: &Gateway, count: usize) -> Vec<String> {
    let path = gateway.folder().join("access.json");
    let text = wait::until("the access log", || {
        let text = std::fs::read_to_string(&path).ok()?;
        (text.lines().count() >= count).then_some(text)
    });
    let causes = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["token_rejected"]["why"]
            .as_str()
            .unwrap_or("-")
            .to_owned()
    });
    causes.collect()
}

#[test]
fn a_bound_token_passes_with_a_proof_once_and_both_go_no_further() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let gateway = builder(ORIGIN, "", &signer, &upstream).start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    for _ in 0..2 {
        let proof = client.proof(URL, &token, json!({}));
        assert_eq!(gateway.send(&with(&token, &proof)).status, 200);
        let again = refusal(&gateway.send(&with(&token, &proof)));
        let challenge = format!("DPoP error=\"invalid_dpop_proof\", {ALGORITHMS}");
        assert_eq!(again, (401, "proof_rejected".to_owned(), challenge));
    }
    assert_eq!(upstream.count(), 2);
    for request in upstream.received() {
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("dpop"), None);
    }
}

#[test]
fn a_proof_beside_a_token_that_needs_none_goes_no_further() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = builder(ORIGIN, "", &signer, &upstream).start();
    let token = signer.token(json!({}));
    let request = Request::get("/a").header("authorization", format!("Bearer {token}"));
    assert_eq!(gateway.send(&request.header("dpop", "forged")).status, 200);
    assert_eq!(upstream.only_request().header("dpop"), None);
}

#[test]
fn rfc_9449_a_bound_token_is_nothing_without_its_proof() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let gateway = builder(ORIGIN, "", &signer, &upstream).start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    let unbound = signer.token(json!({}));
    let good = || client.proof(URL, &token, json!({}));
    let but = |more: Value| with(&token, &client.proof(URL, &token, more));
    let bearer = Request::get("/a").header("authorization", format!("Bearer {token}"));
    let none = Request::get("/a").header("authorization", format!("DPoP {token}"));
    let other_key = Client::new(8).proof(URL, &token, json!({}));
    let of_other = client.proof(URL, &unbound, json!({}));
    let bad_proofs = [
        ("proof_missing", none),
        (
            "proof_missing",
            with(&token, &good()).header("dpop", good()),
        ),
        ("proof_malformed", with(&token, "garbage")),
        ("proof_other_key", with(&token, &other_key)),
        ("proof_token", with(&token, &of_other)),
        ("proof_method", but(json!({ "htm": "POST" }))),
        ("proof_age", but(json!({ "iat": 1 }))),
        // RFC 9449, section 4.2: a unique value.
        ("proof_malformed", but(json!({ "jti": "" }))),
        ("proof_url", but(json!({ "htu": "https://api.example/b" }))),
        ("proof_url", but(json!({ "htu": "http://api.example/a" }))),
        (
            "proof_url",
            but(json!({ "htu": "https://api.example.evil/a" })),
        ),
        (
            "proof_url",
            but(json!({ "htu": "https://me@api.example/a" })),
        ),
        ("proof_url", but(json!({ "htu": "/a" }))),
    ];
    let mut expected = vec!["unproven", "not_bound"];
    let assert_refused = |request: &Request, reason: &str, challenge: &str| {
        let (status, code, told) = refusal(&gateway.send(request));
        assert_eq!((status, &*code), (401, reason));
        assert!(told.starts_with(challenge), "{reason}: {told}");
    };
    assert_refused(&bearer, "token_rejected", "Bearer error=\"invalid_token\"");
    let unbound = with(&unbound, &of_other);
    assert_refused(&unbound, "token_rejected", "DPoP error=\"invalid_token\"");
    for (why, request) in bad_proofs {
        assert_refused(
            &request,
            "proof_rejected",
            "DPoP error=\"invalid_dpop_proof\"",
        );
        expected.push(why);
    }
    assert_eq!(upstream.count(), 0);
    // The lines of one worker are in order, those of two workers are not.
    let mut causes = causes(&gateway, expected.len());
    causes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(causes, expected);
    let metrics = gateway.metrics();
    for why in &expected {
        let times = expected.iter().filter(|other| *other == why).count();
        let labels = [("verifier", ""), ("why", *why)];
        let counted = metrics.with("windlass_verifier_rejects_total", &labels);
        assert_eq!(counted, f64::from(u32::try_from(times).unwrap()), "{why}");
    }
}

#[test]
fn a_proof_for_which_there_is_no_room_is_503_to_the_byte() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let settings = "dpop = { origin = \"https://api.example\", max_age = \"1h\" }";
    let route = |path: &str| {
        format!(
            "\n[[route]]\npath = \"{path}\"\napi = \"{}\"\nfilters = [\"jwt\"]\nupstream = \"app\"\n",
            &path[1..]
        )
    };
    let config = [
        "[server]\nmax_used_proofs = 160\n".to_owned(),
        filtered(&["jwt"], upstream.address()),
        format!(
            "\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {{ verifiers = [\"issuer\"], {settings} }}\n"
        ),
        verifier("issuer", "jwks_file = \"keys.json\""),
        "\n[api.aws]\nerrors = \"aws\"\n[api.problem]\n".to_owned(),
        route("/aws"),
        route("/problem"),
    ];
    let gateway = Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start();
    let thumbprint = client.thumbprint();
    let token = signer.token(json!({ "cnf": { "jkt": thumbprint } }));
    // Windlass remembers proofs in sixteen parts, chosen by a digest of key and `jti`. One client may use half of each
    // part: five.
    let is_of_part = |id: &u32| {
        let whole = digest(&SHA256, format!("{thumbprint}\n{id}").as_bytes());
        whole.as_ref()[15] % 16 == 0
    };
    let mut ids = (0..).filter(is_of_part);
    let mut request = |path: &str| {
        let id = ids.next().unwrap().to_string();
        let url = format!("https://api.example{path}");
        let proof = client.proof(&url, &token, json!({ "jti": id }));
        Request::get(path)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
    };
    let mut connection = gateway.client();
    for _ in 0..5 {
        assert_eq!(connection.send(&request("/a")).status, 200);
    }
    for (path, kind, body) in [
        (
            "/problem",
            "application/problem+json",
            "{\"code\":\"too_many_proofs\",\"detail\":\"too many proofs\",\"request-id\":\"ID\",\"status\":503,\"title\":\"Service Unavailable\",\"type\":\"about:blank\"}\n",
        ),
        (
            "/aws",
            "application/json",
            "{\"message\":\"Service Unavailable\"}",
        ),
    ] {
        let answer = connection.send(&request(path));
        let id = answer.header("x-request-id").unwrap();
        let told = (
            answer.status,
            answer.header("content-type"),
            answer.header("retry-after"),
            answer.text().replace(id, "ID"),
        );
        assert_eq!(told, (503, Some(kind), Some("1"), body.to_owned()));
    }
    assert_eq!(upstream.count(), 5);
    let labels = [("verifier", ""), ("why", "proof_no_room")];
    let metrics = gateway.metrics();
    let counted = metrics.with("windlass_verifier_rejects_total", &labels);
    assert_eq!(counted, 2.0);
}

#[test]
fn rfc_3986_a_url_is_compared_after_normalisation() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let gateway = builder(ORIGIN, "", &signer, &upstream).start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    for url in [
        "https://api.example/a?b=c",
        "https://api.example/a#part",
        "HTTPS://API.Example:443/a",
        "https://api.example/x/../%61",
    ] {
        let proof = client.proof(url, &token, json!({}));
        assert_eq!(gateway.send(&with(&token, &proof)).status, 200, "{url}");
    }
}

#[test]
fn rfc_9449_the_url_is_the_one_that_the_client_asked_for_with_the_base_path_of_its_api() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let config = [
        "[[route]]\napi = \"shop\"\npath = \"/orders/{id}\"\nfilters = [\"jwt\"]\nupstream = \"app\"\n\
         [api.shop]\nbase_path = \"/shop/v1\"\n"
            .to_owned(),
        crate::config::upstream("app", &[upstream.address()]),
        filter(ORIGIN, ""),
    ];
    let gateway = Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    for (asked, proven, status) in [
        ("/shop/v1/orders/7?x=1", "/shop/v1/orders/7", 200),
        ("/shop/v1/orders/7", "/shop/v1/x/../orders/%37", 200),
        ("/shop/./v1/orders/%37", "/shop/v1/orders/7", 200),
        ("/shop/v1/orders/7", "/orders/7", 401),
        ("/shop/v1/orders/7", "/shop/orders/7", 401),
    ] {
        let url = format!("https://api.example{proven}");
        let proof = client.proof(&url, &token, json!({}));
        let request = Request::get(asked)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof);
        assert_eq!(gateway.send(&request).status, status, "{asked} {proven}");
    }
}

#[test]
fn without_an_origin_the_url_is_the_requests() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let gateway = builder("dpop = {}", "", &signer, &upstream).start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    let checked = builder("dpop = {}", "", &signer, &upstream).check();
    assert!(
        checked.errors.contains("has no `origin`"),
        "{}",
        checked.errors
    );
    for (host, status) in [("shop.example:8080", 200), ("other.example", 401)] {
        let proof = client.proof("http://shop.example:8080/a", &token, json!({}));
        let request = with(&token, &proof).header("host", host);
        assert_eq!(gateway.send(&request).status, status, "{host}");
    }
}

#[test]
fn with_no_room_to_remember_a_proof_it_is_turned_away_and_not_forgotten() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let config = [
        "[server]\nmax_used_proofs = 16\n".to_owned(),
        filtered(&["jwt"], upstream.address()),
        filter(ORIGIN, ""),
    ];
    let gateway = Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    let proofs: Vec<_> = (0..40)
        .map(|_| client.proof(URL, &token, json!({})))
        .collect();
    let mut passed = Vec::new();
    for proof in &proofs {
        let answer = gateway.send(&with(&token, proof));
        match answer.status {
            200 => passed.push(proof),
            status => assert_eq!((status, &*answer.code()), (503, "too_many_proofs")),
        }
    }
    assert!((1..=16).contains(&passed.len()), "{}", passed.len());
    for proof in passed {
        let (status, code, _) = refusal(&gateway.send(&with(&token, proof)));
        assert_eq!((status, &*code), (401, "proof_rejected"));
    }
}

#[test]
fn without_dpop_in_the_settings_a_bound_token_is_rejected_and_so_is_the_scheme() {
    let (upstream, signer, client) = (Upstream::echo(), Signer::new("one", 1), Client::new(7));
    let gateway = builder("", "", &signer, &upstream).start();
    let token = signer.token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    let bearer = Request::get("/a").header("authorization", format!("Bearer {token}"));
    let (status, code, _) = refusal(&gateway.send(&bearer));
    assert_eq!((status, &*code), (401, "token_rejected"));
    let proof = client.proof(URL, &token, json!({}));
    let (status, code, challenge) = refusal(&gateway.send(&with(&token, &proof)));
    assert_eq!(
        (status, &*code, &*challenge),
        (401, "token_missing", "Bearer")
    );
    // A token with an unreadable binding is not treated as an unbound token.
    for cnf in [json!({ "jkt": 1 }), json!("x"), json!([])] {
        let token = signer.token(json!({ "cnf": cnf }));
        let bearer = Request::get("/a").header("authorization", format!("Bearer {token}"));
        assert_eq!(gateway.send(&bearer).status, 401, "{cnf}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_proof_can_be_asked_for_with_every_token() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = builder("dpop = { required = true }", "", &signer, &upstream).start();
    let token = signer.token(json!({}));
    let bearer = Request::get("/a").header("authorization", format!("Bearer {token}"));
    let challenge = format!("DPoP {ALGORITHMS}");
    assert_eq!(
        refusal(&gateway.send(&bearer)),
        (401, "token_missing".to_owned(), challenge)
    );
    assert_eq!(upstream.count(), 0);
}

#[test]
fn without_a_token_both_schemes_are_asked_for() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let gateway = builder("dpop = {}, realm = \"shop\"", "", &signer, &upstream).start();
    let (_, _, challenge) = refusal(&gateway.get("/a"));
    let expected = format!("Bearer realm=\"shop\", DPoP realm=\"shop\", {ALGORITHMS}");
    assert_eq!(challenge, expected);
}

#[test]
fn rfc_8705_a_token_of_a_certificate_is_rejected_unless_somebody_else_looks_at_it() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    let token = signer
        .token(json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } }));
    let bearer = Request::get("/a").header("authorization", format!("Bearer {token}"));
    let strict = builder("", "", &signer, &upstream).start();
    assert_eq!(strict.send(&bearer).status, 401);
    let lax = builder("", "certificate_bound = true\n", &signer, &upstream).start();
    assert_eq!(lax.send(&bearer).status, 200);
}

#[test]
fn check_refuses_settings_of_proofs_that_cannot_work() {
    let (upstream, signer) = (Upstream::echo(), Signer::new("one", 1));
    for (settings, told) in [
        (
            "dpop = { origin = \"api.example\" }",
            "is not an origin: a scheme and a host, such as `https://api.example`",
        ),
        (
            "dpop = { max_age = \"2h\" }",
            "is not a time from `1s` to `1h`",
        ),
        (
            "dpop = {}, from = [{ header = \"authorization\" }]",
            "needs a place for tokens that come with a proof",
        ),
        (
            "dpop = { required = true }, from = [{ header = \"authorization\", scheme = \"DPoP\" }, { cookie = \"t\" }]",
            "has places where a token comes without",
        ),
    ] {
        let check = builder(settings, "", &signer, &upstream).check();
        assert_eq!(check.code, Some(2), "{settings}");
        assert!(check.errors.contains(told), "{settings}: {}", check.errors);
    }
}
