//! Whole phases of filters run natively, on the fakes of `windlass_plugin_sdk::testing`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use windlass_plugin_sdk::host::callout::{self, CallError};
use windlass_plugin_sdk::host::crypto::{self, Hash};
use windlass_plugin_sdk::host::jwt::{Check, TokenField, Wanted};
use windlass_plugin_sdk::host::keys::{self, ApiKey};
use windlass_plugin_sdk::host::metrics::Counter;
use windlass_plugin_sdk::host::{cache, documents, limits, log};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::testing::{BodyEnd, Exchange, Gateway, Plan, Token};
use windlass_plugin_sdk::{EditError, ResponseEdit};

/// A filter whose request phase is a function.
struct Plain(fn(&mut Request) -> Result<RequestVerdict, Failure>);

/// A filter of one request phase, for a gateway.
macro_rules! filter {
    ($name:ident, $run:expr) => {
        struct $name(Plain);

        impl Filter for $name {
            type Settings = NoSettings;
            fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
                Ok((Self(Plain($run)), Setup::new()))
            }
        }

        impl OnRequest for $name {
            fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
                (self.0.0)(request)
            }
        }
    };
}

fn text_of(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => (*other.downcast::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn a_call_outside_of_a_fake_is_a_panic_with_its_name_and_a_log_line_is_dropped() {
    log::info("a line", &[]);
    assert!(!log::enabled(log::Level::Debug));
    let panic = catch_unwind(|| cache::get("key")).expect_err("a panic");
    let text = text_of(panic);
    assert!(text.contains("`cache.get`"), "{text}");
    assert!(text.contains("windlass_plugin_sdk::testing"), "{text}");
}

filter!(Edits, |request| {
    request.set_header("x-a", "1")?;
    request.notes().set("k", "v")?;
    request.attributes().set("tier", "gold")?;
    log::warn("a line", &[("n", "1")]);
    match request.header_text("x-then").as_deref() {
        Some("fail") => Err(Failure::new("told", "to fail")),
        Some("panic") => panic!("told to panic"),
        Some("host") => {
            request.set_header("content-length", "1")?;
            Ok(RequestVerdict::NEXT)
        }
        _ => Ok(RequestVerdict::NEXT),
    }
});

#[test]
fn edits_attributes_notes_and_lines_are_seen_afterwards() {
    let gateway = Gateway::new().allow(r#"{ "attributes": ["tier"] }"#);
    let filter = gateway.load::<Edits>("{}").unwrap();
    let mut exchange = Exchange::get("/a?b=c");
    assert_eq!(filter.on_request(&mut exchange), Ok(RequestVerdict::NEXT));
    assert_eq!(exchange.request_header("x-a"), Some("1"));
    assert_eq!(exchange.note("k"), Some(&b"v"[..]));
    let tier = exchange.attribute_value("tier");
    assert!(
        matches!(tier, Some(windlass_plugin_sdk::AttributeValue::Text(text)) if text == "gold")
    );
    let line = &exchange.log()[0];
    assert_eq!((line.level, &*line.message), (log::Level::Warn, "a line"));
}

#[test]
fn a_phase_that_fails_or_panics_has_edited_nothing_and_the_filter_serves_again() {
    let gateway = Gateway::new().allow(r#"{ "attributes": ["tier"] }"#);
    let filter = gateway.load::<Edits>("{}").unwrap();
    for then in ["fail", "host", "panic"] {
        let mut exchange = Exchange::get("/").header("x-then", then);
        let ran = catch_unwind(AssertUnwindSafe(|| filter.on_request(&mut exchange)));
        match ran {
            Ok(verdict) => assert!(verdict.is_err(), "{then}: {verdict:?}"),
            Err(panic) => assert_eq!(text_of(panic), "told to panic"),
        }
        assert_eq!(exchange.request_header("x-a"), None, "{then}");
        assert_eq!(exchange.note("k"), None, "{then}");
    }
    let mut exchange = Exchange::get("/");
    assert_eq!(filter.on_request(&mut exchange), Ok(RequestVerdict::NEXT));
}

#[test]
fn an_attribute_without_a_grant_is_refused() {
    let filter = Gateway::new().load::<Edits>("{}").unwrap();
    let failure = filter.on_request(&mut Exchange::get("/")).unwrap_err();
    assert_eq!(failure, Failure::from(EditError::Forbidden));
}

filter!(Signed, |request| {
    let tag = request.header("x-signature").unwrap_or_default();
    match crypto::hmac_verify(Hash::Sha256, "hook", b"body", &unhex(&tag)) {
        true => Ok(RequestVerdict::NEXT),
        false => Ok(LocalResponse::new(403, "forged").into()),
    }
});

fn unhex(text: &[u8]) -> Vec<u8> {
    let digits = text
        .iter()
        .filter_map(|&byte| char::from(byte).to_digit(16));
    let digits: Vec<u32> = digits.collect();
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// `printf body | openssl dgst -sha256 -hmac key`
const TAG: &str = "515aae133b435d4000956731f68ae5cf5eb85d4f0dc6a546d2bfcd3595ec1ae1";

#[test]
fn an_hmac_is_a_real_one_and_needs_its_grants() {
    let signed = || Exchange::get("/").header("x-signature", TAG);
    let forged = || Exchange::get("/").header("x-signature", "00");
    let gateway = Gateway::new().secret("hook", "key");
    let with = |allow: &str| gateway.clone().allow(allow).load::<Signed>("{}").unwrap();
    let filter = with(r#"{ "interfaces": ["crypto"], "secrets": ["hook"] }"#);
    assert_eq!(filter.on_request(&mut signed()), Ok(RequestVerdict::NEXT));
    let refused = Ok(LocalResponse::new(403, "forged").into());
    assert_eq!(filter.on_request(&mut forged()), refused);
    let without_secret = with(r#"{ "interfaces": ["crypto"] }"#);
    assert_eq!(without_secret.on_request(&mut signed()), refused);
    let without = with("{}");
    let panic = catch_unwind(AssertUnwindSafe(|| without.on_request(&mut signed())));
    let text = text_of(panic.expect_err("a trap"));
    let wanted = "called `crypto.hmac-verify`, which it is not granted: add `interfaces = [\"crypto\"]` to its `allow`";
    assert_eq!(text, wanted);
}

filter!(Keyed, |_| match keys::identify_field("x-api-key", true) {
    Ok(()) => match limits::charge(None, 1) {
        Ok(decision) if decision.allowed => Ok(RequestVerdict::NEXT),
        Ok(decision) => {
            let wait = decision.retry_after_ms.to_string();
            Ok(LocalResponse::new(429, "throttled")
                .header("x-wait", wait)
                .into())
        }
        Err(why) => Ok(LocalResponse::new(403, why.name()).into()),
    },
    Err(keys::FieldError::Missing) => Ok(LocalResponse::new(401, "missing").into()),
    Err(_) => Ok(LocalResponse::new(403, "rejected").into()),
});

#[test]
fn keys_set_their_attributes_and_plans_count_by_the_clock_of_the_test() {
    let key = ApiKey {
        id: "k1".to_owned(),
        consumer: "acme".to_owned(),
        plan: Some("gold".to_owned()),
        attributes: vec![("tier".to_owned(), "a".to_owned())],
    };
    let allow = r#"{ "interfaces": ["keys", "limits"], "attributes": ["consumer.*", "api-key.*", "auth.*", "plan.*"] }"#;
    let gateway = Gateway::new().allow(allow).key("secret", key);
    let gateway = gateway.plan(
        "gold",
        Plan::new().rate(2.0, 2).quota(3, Duration::from_secs(60)),
    );
    let filter = gateway.load::<Keyed>("{}").unwrap();
    let ask = || {
        let mut exchange = Exchange::get("/").header("x-api-key", "secret");
        let verdict = filter.on_request(&mut exchange).unwrap();
        (exchange, verdict)
    };
    let (exchange, verdict) = ask();
    assert_eq!(verdict, RequestVerdict::NEXT);
    assert_eq!(exchange.request_header("x-api-key"), None);
    assert!(exchange.attribute_value("api-key.tier").is_some());
    assert_eq!(ask().1, RequestVerdict::NEXT);
    let throttled = |wait: &str| LocalResponse::new(429, "throttled").header("x-wait", wait);
    assert_eq!(ask().1, throttled("500").into());
    filter.advance(Duration::from_millis(500));
    assert_eq!(ask().1, RequestVerdict::NEXT);
    assert_eq!(ask().1, throttled("59500").into());
    let missing = filter.on_request(&mut Exchange::get("/")).unwrap();
    assert_eq!(missing, LocalResponse::new(401, "missing").into());
}

filter!(Asks, |request| {
    request.set_header("x-asked", "1")?;
    let asked = callout::Request::new("GET", "/user").header("x-a", "b");
    match callout::call("users", &asked) {
        Ok(user) => {
            request.append_header("x-user", user.body)?;
            Ok(RequestVerdict::NEXT)
        }
        Err(CallError::NotYet) => Ok(LocalResponse::new(500, "not_yet").into()),
        Err(error) => Err(Failure::new("users", error.to_string())),
    }
});

#[test]
fn a_callout_makes_the_phase_run_again_without_its_first_edits() {
    let allow = r#"{ "interfaces": ["callout"], "callouts": ["users"] }"#;
    let answer = |asked: &windlass_plugin_sdk::testing::Callout| {
        assert_eq!((&*asked.method, &*asked.path), ("GET", "/user"));
        Ok(callout::Response {
            status: 200,
            headers: Vec::new(),
            body: b"ann".to_vec(),
        })
    };
    let gateway = Gateway::new().allow(allow);
    let filter = gateway
        .clone()
        .callout("users", answer)
        .load::<Asks>("{}")
        .unwrap();
    let mut exchange = Exchange::get("/");
    assert_eq!(filter.on_request(&mut exchange), Ok(RequestVerdict::NEXT));
    assert_eq!(exchange.request_header("x-user"), Some("ann"));
    let fails = gateway.callout("users", |_| Err(CallError::Timeout));
    let fails = fails.load::<Asks>("{}").unwrap();
    assert!(fails.on_request(&mut Exchange::get("/")).is_err());
}

struct Tokens(Check);

impl Filter for Tokens {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let wanted = Wanted {
            verifiers: &["idp"],
            scopes: &["read"],
            ..Wanted::default()
        };
        let field = TokenField {
            name: "authorization",
            scheme: Some("Bearer"),
            hide: true,
        };
        let list = documents::text("list")?;
        log::info(&list, &[]);
        let edit = ResponseEdit::set("x-served-by", "windlass");
        Ok((
            Self(Check::define(wanted, Some(field))),
            Setup::new().edit_response(edit),
        ))
    }
}

impl OnRequest for Tokens {
    fn on_request(&self, _: &mut Request) -> Result<RequestVerdict, Failure> {
        match self.0.verify_field() {
            Ok(()) => Ok(RequestVerdict::NEXT),
            Err(why) => Ok(LocalResponse::new(401, "token")
                .body(why.to_string())
                .into()),
        }
    }
}

#[test]
fn tokens_are_answered_by_the_test_and_configure_has_documents() {
    let gateway = Gateway::new().allow(r#"{ "interfaces": ["jwt"], "attributes": ["auth.*"] }"#);
    let missing = gateway.clone().load::<Tokens>("{}").unwrap_err();
    assert!(missing[0].message.contains("`list`"), "{missing:?}");
    let gateway = gateway
        .document("list", "one")
        .token("good", Token::accepted(r#"{ "scope": "read write" }"#))
        .token("narrow", Token::accepted(r#"{ "scope": "write" }"#))
        .token("old", Token::rejected("expired"));
    let filter = gateway.load::<Tokens>("{}").unwrap();
    assert_eq!(filter.log()[0].message, "one");
    for (token, passes) in [
        ("good", true),
        ("narrow", false),
        ("old", false),
        ("other", false),
    ] {
        let mut exchange = Exchange::get("/").header("authorization", format!("bearer {token}"));
        let verdict = filter.on_request(&mut exchange).unwrap();
        assert_eq!(
            verdict == RequestVerdict::NEXT,
            passes,
            "{token}: {verdict:?}"
        );
        assert_eq!(exchange.request_header("authorization"), None);
    }
    let mut exchange = Exchange::get("/");
    exchange.respond(200, &[("x-served-by", "other")]);
    filter.edit_response(&mut exchange).unwrap();
    assert_eq!(exchange.response_header("x-served-by"), Some("windlass"));
}

/// Doubles the first chunk, then lets the rest pass.
struct Bodies {
    bytes: Counter,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BodySettings {
    whole: bool,
}

impl Filter for Bodies {
    type Settings = BodySettings;
    fn configure(settings: BodySettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let mut setup = Setup::new();
        let bytes = setup.counter("bytes_total", &["whole"]);
        match settings.whole {
            true => Ok((
                Self { bytes },
                setup.warn("/whole", "whole bodies are slow"),
            )),
            false => Ok((Self { bytes }, setup)),
        }
    }
}

impl OnRequest for Bodies {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        Ok(RequestVerdict::Next(match request.header("x-whole") {
            Some(_) => BodyMode::Whole(8),
            None => BodyMode::Chunks,
        }))
    }
}

impl OnRequestBody for Bodies {
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        let is_whole = request.header("x-whole").is_some();
        let label = if is_whole { "yes" } else { "no" };
        self.bytes.add(&[label], piece.len() as f64);
        if is_whole {
            request.set_header("x-length", piece.len().to_string())?;
            return Ok(ChunkVerdict::Next);
        }
        if piece.len() < 4 {
            return Ok(ChunkVerdict::More);
        }
        let bytes = piece.read_all();
        piece.append(bytes)?;
        Ok(ChunkVerdict::Done)
    }
}

#[test]
fn bodies_pass_as_the_verdict_on_the_head_says() {
    let gateway = Gateway::new().allow(r#"{ "interfaces": ["metrics"] }"#);
    let filter = gateway.load::<Bodies>(r#"{ "whole": true }"#).unwrap();
    let warning = ("/whole".to_owned(), "whole bodies are slow".to_owned());
    assert_eq!(filter.warnings(), [warning]);
    let mut chunked = Exchange::post("/");
    filter.on_request(&mut chunked).unwrap();
    let body = filter.request_body(&mut chunked, &[b"ab", b"cd", b"ef", b"gh"]);
    assert_eq!(body, Ok(BodyEnd::Passed(b"abcdabcdefgh".to_vec())));
    assert_eq!(filter.metric("bytes_total", &["no"]), 6.0);
    let mut whole = Exchange::post("/").header("x-whole", "1");
    filter.on_request(&mut whole).unwrap();
    let body = filter.request_body(&mut whole, &[b"ab", b"cd"]);
    assert_eq!(body, Ok(BodyEnd::Passed(b"abcd".to_vec())));
    assert_eq!(whole.request_header("x-length"), Some("4"));
    assert_eq!(filter.observations("bytes_total", &["yes"]), 1);
    let large = filter
        .request_body(&mut whole, &[b"123456789"])
        .unwrap_err();
    assert_eq!(large.reason, "body_too_large");
}

#[test]
fn errors_in_the_settings_have_their_pointer() {
    let errors = Gateway::new()
        .load::<Bodies>(r#"{ "whole": 1 }"#)
        .unwrap_err();
    assert_eq!(errors[0].at, "/whole");
}
