//! `builtin:jwt` with opaque tokens, which only the authorization server can read (RFC 7662).

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use windlass_tests::{Builder, Gateway, Received, Reply, Request, Upstream};

use crate::config::{filtered, key, transform};
use crate::jwt::{Signer, verifier};
use crate::proofs::Client;

/// A route, its filter with these settings of `introspection` beside the callout, and the callout with further keys.
fn builder(
    introspection: &str,
    filter: &str,
    callout: &str,
    server: &Upstream,
    upstream: &Upstream,
) -> Builder {
    let consumer = "{ request = [{ op = \"set\", header = \"x-consumer\", value = \"${attribute.consumer.id}\" }] }";
    let config = [
        filtered(&["jwt", "tell"], upstream.address()),
        format!(
            "\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {{ introspection = {{ callout = \"login\"{introspection} }}{filter} }}\n"
        ),
        transform("tell", consumer),
        format!(
            "\n[callout.login]\nurl = \"http://{}/introspect\"\n{callout}\n[secret.login]\nenv = \"LOGIN\"\n",
            server.address()
        ),
    ];
    Gateway::with_config(config.concat()).env("LOGIN", "s3cret")
}

fn start(introspection: &str, server: &Upstream, upstream: &Upstream) -> Gateway {
    builder(introspection, "", "", server, upstream).start()
}

fn with(token: &str) -> Request {
    Request::get("/a").header("authorization", format!("Bearer {token}"))
}

fn seconds(ahead: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + ahead
}

/// A server that gives this answer about every token.
fn says(answer: &Value) -> Upstream {
    Upstream::fixed(Reply::status(200).body(answer.to_string()))
}

/// A server that accepts one token.
fn knows(token: &'static str, answer: Value) -> Upstream {
    Upstream::with(move |request: &Received, to| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let is_known = body.split('&').any(|pair| pair == format!("token={token}"));
        let answer = if is_known {
            answer.clone()
        } else {
            json!({ "active": false })
        };
        Reply::status(200).body(answer.to_string()).write(to)
    })
}

#[test]
fn an_active_token_passes_and_the_server_is_asked_as_rfc_7662_says() {
    let upstream = Upstream::echo();
    let answer =
        json!({ "active": true, "sub": "anna", "scope": "read write", "exp": seconds(600) });
    let server = knows("opaque%2Btoken", answer);
    let gateway = start(
        ", client_id = \"gate\", secret = \"login\"",
        &server,
        &upstream,
    );
    for _ in 0..3 {
        assert_eq!(gateway.send(&with("opaque+token")).status, 200);
    }
    let asked = server.only_request();
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/introspect"));
    // `gate:s3cret`.
    assert_eq!(
        asked.header("authorization"),
        Some("Basic Z2F0ZTpzM2NyZXQ=")
    );
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(
        asked.body,
        b"token=opaque%2Btoken&token_type_hint=access_token"
    );
    for request in upstream.received() {
        assert_eq!(request.header("x-consumer"), Some("anna"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn a_secret_alone_is_a_bearer_token() {
    let (upstream, server) = (Upstream::echo(), says(&json!({ "active": true })));
    let gateway = start(", secret = \"login\"", &server, &upstream);
    assert_eq!(gateway.send(&with("a")).status, 200);
    assert_eq!(
        server.only_request().header("authorization"),
        Some("Bearer s3cret")
    );
}

#[test]
fn whatever_is_not_an_active_token_for_us_is_rejected() {
    let settings = ", issuers = [\"https://issuer.example\"], audiences = [\"orders\", \"billing\"], cache = \"0s\"";
    let good = json!({
        "active": true, "iss": "https://issuer.example", "aud": ["other", "orders"], "exp": seconds(60), "nbf": seconds(20),
    });
    let but = |name: &str, value: Value| {
        let mut answer = good.clone();
        answer[name] = value;
        answer
    };
    let mut without_issuer = good.clone();
    without_issuer.as_object_mut().unwrap().remove("iss");
    for (answer, status) in [
        (good.clone(), 200),
        (but("aud", json!("billing")), 200),
        (but("active", json!(false)), 401),
        (but("exp", json!(seconds(-1))), 401),
        (but("nbf", json!(seconds(60))), 401),
        (but("iss", json!("https://other.example")), 401),
        (without_issuer, 401),
        (but("aud", json!("other")), 401),
        (but("aud", json!({ "orders": true })), 401),
        (but("cnf", json!({ "x5t#S256": "x" })), 401),
        (but("cnf", json!({ "jkt": "x" })), 401),
        (but("cnf", json!({ "jkt": 1 })), 401),
        (but("cnf", json!("x")), 401),
        (but("exp", json!("1")), 401),
        (but("exp", json!(null)), 401),
        (but("nbf", json!("99999999999")), 401),
        (but("sub", json!(5)), 401),
    ] {
        let (upstream, server) = (Upstream::echo(), says(&answer));
        let gateway = start(settings, &server, &upstream);
        let got = gateway.send(&with("a"));
        assert_eq!(got.status, status, "{answer}");
        if status == 401 {
            assert_eq!(got.code(), "token_rejected");
            let challenge = "Bearer error=\"invalid_token\"";
            assert_eq!(got.header("www-authenticate"), Some(challenge));
            assert_eq!(upstream.count(), 0, "{answer}");
        }
    }
}

#[test]
fn a_server_that_gives_no_clear_answer_opens_nothing() {
    let nested = format!(
        "{{\"active\": true, \"a\": {}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for (answer, callout) in [
        (
            Reply::status(401).body(json!({ "active": true }).to_string()),
            "",
        ),
        (
            Reply::status(302)
                .header("location", "/")
                .body(json!({ "active": true }).to_string()),
            "",
        ),
        (Reply::status(200).body("garbage"), ""),
        (Reply::status(200).body(""), ""),
        (Reply::status(200).body("[true]"), ""),
        (Reply::status(200).body("{}"), ""),
        (
            Reply::status(200).body(r#"{"active":false,"active":true}"#),
            "",
        ),
        (
            Reply::status(200).body(r#"{"active":true,"exp":1,"exp":99999999999}"#),
            "",
        ),
        (
            Reply::status(200).body(json!({ "active": "true" }).to_string()),
            "",
        ),
        (
            Reply::status(200).body(json!({ "active": 1 }).to_string()),
            "",
        ),
        (Reply::status(200).body(nested), ""),
        (
            Reply::status(200).body(format!("{{\"active\": true{}}}", " ".repeat(2000))),
            "max_response = \"1KiB\"",
        ),
    ] {
        let (upstream, server) = (Upstream::echo(), Upstream::fixed(answer));
        let gateway = builder("", "", callout, &server, &upstream).start();
        let got = gateway.send(&with("a"));
        assert_eq!(
            (got.status, &*got.code()),
            (503, "introspection_unavailable")
        );
        assert_eq!(upstream.count(), 0);
    }
    let (upstream, server) = (Upstream::echo(), Upstream::gated(Reply::status(200)));
    let gateway = builder("", "", "timeout = \"100ms\"", &server, &upstream).start();
    for token in ["a", "b", "c"] {
        let got = gateway.send(&with(token));
        assert_eq!(
            (got.status, &*got.code()),
            (503, "introspection_unavailable")
        );
    }
    assert_eq!(upstream.count(), 0);
    // An outage does not fill the log.
    let log = gateway.log();
    log.wait_for_line(|line| line.contains("has no answer, so the request"));
    let lines = log.text().matches("has no answer, so the request").count();
    assert_eq!(lines, 1, "{}", log.text());
}

#[test]
fn an_answer_is_kept_and_never_past_the_end_of_the_token() {
    let upstream = Upstream::echo();
    let ends = Arc::new(Mutex::new(seconds(600)));
    let told = Arc::clone(&ends);
    let server = Upstream::with(move |_, to| {
        let answer = json!({ "active": true, "exp": *told.lock().unwrap() });
        Reply::status(200).body(answer.to_string()).write(to)
    });
    let gateway = start("", &server, &upstream);
    for _ in 0..5 {
        assert_eq!(gateway.send(&with("long")).status, 200);
    }
    assert_eq!(server.count(), 1);
    *ends.lock().unwrap() = seconds(2);
    assert_eq!(gateway.send(&with("short")).status, 200);
    // The token expires long before the minute for which answers are cached.
    windlass_tests::wait::until("the token's end", || {
        (gateway.send(&with("short")).status == 401).then_some(())
    });
}

#[test]
fn an_answer_does_not_outlive_a_change_of_the_server_the_client_or_the_secret() {
    let (upstream, first) = (Upstream::echo(), says(&json!({ "active": true })));
    let second = says(&json!({ "active": false }));
    let text = |client: &str, server: &Upstream| {
        let settings = format!(
            "{{ introspection = {{ callout = \"login\", client_id = \"{client}\", secret = \"login\" }} }}"
        );
        let parts = [
            filtered(&["jwt"], upstream.address()),
            format!("\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = {settings}\n"),
            format!(
                "\n[callout.login]\nurl = \"http://{}/\"\n[secret.login]\nfile = \"login\"\n",
                server.address()
            ),
        ];
        parts.concat()
    };
    let gateway = Gateway::with_config(text("a", &first))
        .file("login", "first")
        .start();
    let status = || gateway.send(&with("one")).status;
    assert_eq!((status(), status(), first.count()), (200, 200, 1));
    gateway.reload(text("b", &first));
    assert_eq!((status(), first.count()), (200, 2));
    std::fs::write(gateway.folder().join("login"), "second").unwrap();
    gateway.reload(text("b", &first));
    assert_eq!((status(), first.count()), (200, 3));
    gateway.reload(text("b", &second));
    assert_eq!((status(), second.count()), (401, 1));
}

#[test]
fn that_a_token_is_not_active_is_kept_too() {
    let (upstream, server) = (Upstream::echo(), says(&json!({ "active": false })));
    let gateway = start("", &server, &upstream);
    for _ in 0..5 {
        assert_eq!(gateway.send(&with("a")).status, 401);
    }
    assert_eq!(server.count(), 1);
    // A text that no server issues as a token causes no call.
    let long = "x".repeat(5000);
    assert_eq!(gateway.send(&with(&long)).status, 401);
    assert_eq!(server.count(), 1);
}

#[test]
fn rfc_6750_what_no_token_can_be_is_refused_without_a_question() {
    let (upstream, server) = (Upstream::echo(), says(&json!({ "active": true })));
    let gateway = start("", &server, &upstream);
    for token in ["a b", "a\tb", "\u{e9}"] {
        let answer = gateway.send(&with(token));
        let expected = (401, "token_rejected".to_owned());
        assert_eq!((answer.status, answer.code()), expected, "{token:?}");
    }
    assert_eq!((server.count(), upstream.count()), (0, 0));
}

#[test]
fn scopes_and_attributes_are_those_of_the_answer() {
    let answer = json!({ "active": true, "sub": "anna", "scope": "read", "groups": ["a", "b"] });
    let (upstream, server) = (Upstream::echo(), says(&answer));
    for (filter, status, code) in [
        (", scopes = [\"read\"]", 200, ""),
        (
            ", scopes = [\"read\", \"write\"], any_scope = true",
            200,
            "",
        ),
        (
            ", scopes = [\"read\", \"write\"]",
            403,
            "insufficient_scope",
        ),
        (
            ", attributes = { \"consumer.id\" = \"client_id\" }",
            401,
            "token_rejected",
        ),
        (
            ", attributes = { \"consumer.id\" = \"/groups/1\" }",
            200,
            "",
        ),
    ] {
        let gateway = builder("", filter, "", &server, &upstream).start();
        let got = gateway.send(&with("a"));
        assert_eq!(got.status, status, "{filter}");
        if status != 200 {
            assert_eq!(got.code(), code, "{filter}");
        }
    }
    let received = upstream.received();
    let last = received.last().unwrap();
    assert_eq!(last.header("x-consumer"), Some("b"));
}

#[test]
fn an_answer_without_the_claim_is_rejected_where_another_credential_set_the_attribute() {
    let upstream = Upstream::echo();
    let secret = "key-of-the-machine-of-bob";
    for (answer, status) in [
        (json!({ "active": true, "sub": "anna" }), 200),
        (json!({ "active": true }), 401),
    ] {
        let server = says(&answer);
        let config = [
            filtered(&["keys", "jwt"], upstream.address()),
            "\n[filter.keys]\nplugin = \"builtin:api-key\"\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = { introspection = { callout = \"login\" } }\n".to_owned(),
            format!("\n[callout.login]\nurl = \"http://{}/introspect\"\n", server.address()),
            key("bob-1", "bob", secret, ""),
        ];
        let gateway = Gateway::with_config(config.concat()).start();
        let got = gateway.send(&with("a").header("x-api-key", secret));
        assert_eq!(got.status, status, "{answer}");
        if status == 401 {
            assert_eq!(got.code(), "token_rejected");
        }
    }
}

#[test]
fn beside_verifiers_only_tokens_that_are_no_json_web_tokens_are_asked_about() {
    let (upstream, server) = (
        Upstream::echo(),
        says(&json!({ "active": true, "sub": "opaque" })),
    );
    let signer = Signer::new("one", 1);
    let config = [
        filtered(&["jwt"], upstream.address()),
        "\n[filter.jwt]\nplugin = \"builtin:jwt\"\nsettings = { verifiers = [\"issuer\"], introspection = { callout = \"login\" } }\n".to_owned(),
        verifier("issuer", "jwks_file = \"keys.json\""),
        format!("\n[callout.login]\nurl = \"http://{}/introspect\"\n", server.address()),
    ];
    let gateway = Gateway::with_config(config.concat())
        .file("keys.json", signer.set())
        .start();
    assert_eq!(gateway.send(&with(&signer.token(json!({})))).status, 200);
    let forged = Signer::new("one", 2).token(json!({}));
    assert_eq!(gateway.send(&with(&forged)).status, 401);
    assert_eq!(server.count(), 0);
    assert_eq!(gateway.send(&with("opaque")).status, 200);
    assert_eq!(server.count(), 1);
}

#[test]
fn an_opaque_token_can_be_bound_to_a_key() {
    let client = Client::new(7);
    let answer = json!({ "active": true, "cnf": { "jkt": client.thumbprint() } });
    let (upstream, server) = (Upstream::echo(), says(&answer));
    let dpop = ", dpop = { origin = \"https://api.example\" }";
    let gateway = builder("", dpop, "", &server, &upstream).start();
    let proof = client.proof("https://api.example/a", "opaque", json!({}));
    let request = Request::get("/a")
        .header("authorization", "DPoP opaque")
        .header("dpop", &*proof);
    // The phase runs again after the call, and the proof counts once.
    assert_eq!(gateway.send(&request).status, 200);
    let again = gateway.send(&request);
    assert_eq!((again.status, &*again.code()), (401, "proof_rejected"));
    let bearer = gateway.send(&with("opaque"));
    assert_eq!((bearer.status, &*bearer.code()), (401, "token_rejected"));
    assert_eq!(server.count(), 1);
}

#[test]
fn a_callout_or_secret_that_does_not_exist_is_an_error_at_its_name() {
    let (upstream, server) = (Upstream::echo(), says(&json!({})));
    let gateway = builder(", secret = \"logn\"", "", "", &server, &upstream);
    let checked = gateway.check();
    assert_eq!(checked.code, Some(2));
    assert!(
        checked
            .errors
            .contains("filter `jwt` names secret `logn`, which does not exist"),
        "{}",
        checked.errors
    );
    assert!(
        checked.errors.contains("did you mean `login`?"),
        "{}",
        checked.errors
    );
}
