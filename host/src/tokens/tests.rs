//! Tests of keys from a server, which changes, lies or fails.

mod cache;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::fetch::{FetchSettings, KeySetLocation};
use super::source::{Pace, SourceSettings};
use super::*;
use crate::model::signature::Algorithm;
use crate::verifier::Audiences;

/// How long anything may take before its test fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// Made by `verifier/tests/cases.py`.
const CASES: &str = include_str!("../verifier/tests/cases.json");

type Script = Box<dyn FnMut(&JwksRequest) -> String + Send>;

/// A request that the server got.
struct JwksRequest {
    path: String,
    fields: String,
}

/// A key server that answers as its script says.
struct JwksServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    asked: Receiver<()>,
}

impl JwksServer {
    fn start(script: impl FnMut(&JwksRequest) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (sender, asked) = channel();
        let own = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, sender) = (Arc::clone(&own), sender.clone());
                std::thread::spawn(move || serve(stream, &script, &sender));
            }
        });
        Self {
            address,
            script,
            asked,
        }
    }

    fn of(keys: &str) -> Self {
        let keys = keys.to_owned();
        Self::start(move |_| json(&keys))
    }

    fn answer(&self, script: impl FnMut(&JwksRequest) -> String + Send + 'static) {
        *self.script.lock() = Box::new(script);
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until the server got one more request.
    fn was_asked(&self) {
        self.asked.recv_timeout(DEADLINE).unwrap();
    }

    /// The number of requests since the last call.
    fn questions(&self) -> usize {
        self.asked.try_iter().count()
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>, sender: &Sender<()>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let fields = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let request = JwksRequest {
        path: first.split(' ').nth(1).unwrap().to_owned(),
        fields: fields.collect::<Vec<_>>().join("\n").to_lowercase(),
    };
    let answer = (*script.lock())(&request);
    let _ = sender.send(());
    // A client that has read enough may be gone.
    let _ = stream.write_all(answer.as_bytes());
}

fn with(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn json(body: &str) -> String {
    with("200 OK", "content-type: application/json\r\n", body)
}

fn cases() -> Value {
    serde_json::from_str(CASES).unwrap()
}

fn set(name: &str) -> String {
    cases()["sets"][name].to_string()
}

fn token(name: &str) -> String {
    let cases = cases();
    let list = cases["cases"].as_array().unwrap();
    let case = list.iter().find(|case| case["name"] == name).unwrap();
    case["token"].as_str().unwrap().to_owned()
}

/// A time at which the tokens are valid.
fn now() -> Timestamp {
    Timestamp {
        wall_ms: cases()["now"].as_u64().unwrap() * 1000,
        ..Timestamp::coarse()
    }
}
/// The same, when only the monotonic clock has gone on.
fn much_later(time: Duration) -> Timestamp {
    Timestamp {
        wall_ms: now().wall_ms,
        ..now().after(time)
    }
}

const PACE: Pace = Pace {
    refresh: Duration::from_mins(10),
    cooldown: Duration::from_secs(30),
    max_stale: Duration::from_hours(2),
};

fn settings(location: KeySetLocation, pace: Pace) -> SourceSettings {
    SourceSettings {
        fetch: FetchSettings {
            location,
            ca: None,
            timeout: Duration::from_secs(5),
        },
        pace,
    }
}

fn rules() -> TokenRules {
    TokenRules {
        algorithms: Algorithm::PUBLIC.to_vec(),
        types: Vec::new(),
        issuers: vec!["https://issuer.example".to_owned()],
        audiences: Audiences::Of(vec!["orders".to_owned()]),
        skew: Duration::from_secs(30),
        allow_endless: false,
        max_age: None,
        required: Vec::new(),
        certificate_bound: false,
    }
}

fn verifier(source: &Arc<KeySource>) -> TokenVerifier {
    TokenVerifier {
        name: "main".into(),
        keys: VerifierKeys::Fetched(Arc::clone(source)),
        rules: rules(),
        cache: TokenCache::new(1 << 20),
        rejects: TokenRejects::default(),
    }
}

fn source(url: String, pace: Pace) -> Arc<KeySource> {
    let sources = KeySources::default();
    sources
        .of(&settings(KeySetLocation::Jwks(url), pace))
        .unwrap()
}

/// Why a fetch from this location fails.
fn failure(location: KeySetLocation) -> String {
    let source = KeySources::default().of(&settings(location, PACE)).unwrap();
    source.wait_for_first().unwrap_err()
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "in time");
        std::thread::yield_now();
    }
}

#[test]
fn keys_are_there_when_the_first_fetch_has_ended() {
    let server = JwksServer::of(&set("main"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    let answer = verifier.ask(&token("ES512"), now(), true);
    assert!(matches!(answer, TokenAnswer::Accepted(_)), "{answer:?}");
    assert_eq!(source.state(now()).keys, 6);
}

#[test]
fn a_rotated_key_is_found_by_the_first_token_that_names_it() {
    let server = JwksServer::of(&set("a-secret"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    server.answer(|_| json(&set("main")));
    let TokenAnswer::Pending(waiting) = verifier.ask(&token("RS256"), now(), true) else {
        panic!("an unknown key id waits for a newer set");
    };
    waiting.blocking_recv().unwrap();
    let answer = verifier.ask(&token("RS256"), now(), false);
    assert!(matches!(answer, TokenAnswer::Accepted(_)), "{answer:?}");
}

#[test]
fn unknown_key_ids_share_one_fetch_and_cause_no_other_within_the_cooldown() {
    let server = JwksServer::of(&set("main"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    server.was_asked();
    let verifier = verifier(&source);
    let (go, gate) = channel::<()>();
    server.answer(move |_| {
        gate.recv_timeout(DEADLINE).unwrap();
        json(&set("main"))
    });
    let unknown = token("a kid that no key has");
    let waiting: Vec<_> = (0..200)
        .map(|_| match verifier.ask(&unknown, now(), true) {
            TokenAnswer::Pending(waiting) => waiting,
            answer => panic!("{answer:?}"),
        })
        .collect();
    go.send(()).unwrap();
    for one in waiting {
        one.blocking_recv().unwrap();
    }
    assert_eq!(server.questions(), 1);
    // Meanwhile a known key waits for nothing, and an unknown one does not wait again so soon.
    let answer = verifier.ask(&unknown, now(), true);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::UnknownKey)),
        "{answer:?}"
    );
    let later = much_later(PACE.cooldown);
    server.answer(|_| json(&set("main")));
    let answer = verifier.ask(&unknown, later, true);
    assert!(matches!(answer, TokenAnswer::Pending(_)), "{answer:?}");
}

#[test]
fn only_an_unknown_key_id_causes_a_fetch() {
    let server = JwksServer::of(&set("main"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    server.was_asked();
    let verifier = verifier(&source);
    for name in [
        "none",
        "expired",
        "empty",
        "crit",
        "another payload under the signature",
    ] {
        let answer = verifier.ask(&token(name), now(), true);
        assert!(
            matches!(answer, TokenAnswer::Refused(_)),
            "{name}: {answer:?}"
        );
    }
    assert_eq!(server.questions(), 0);
}

#[test]
fn an_outage_leaves_known_keys_in_use_up_to_max_stale() {
    let server = JwksServer::of(&set("main"));
    let pace = Pace {
        cooldown: Duration::from_millis(1),
        refresh: Duration::from_millis(1),
        ..PACE
    };
    let source = source(server.url("/keys"), pace);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    server.answer(|_| with("503 Service Unavailable", "", "later"));
    wait_until(|| source.state(now()).failed > 2);
    let answer = verifier.ask(&token("RS256"), now(), true);
    assert!(matches!(answer, TokenAnswer::Accepted(_)), "{answer:?}");
    let too_late = much_later(pace.max_stale);
    let answer = verifier.ask(&token("RS256"), too_late, true);
    assert!(matches!(answer, TokenAnswer::NoKeys), "{answer:?}");
    assert!(!source.state(too_late).usable);
    // The server comes back.
    server.answer(|_| json(&set("main")));
    let good = source.state(now()).good;
    wait_until(|| source.state(now()).good > good);
}

#[test]
fn an_empty_or_broken_answer_is_an_outage_and_takes_no_key_away() {
    let server = JwksServer::of(&set("main"));
    let pace = Pace {
        cooldown: Duration::from_millis(1),
        refresh: Duration::from_millis(1),
        ..PACE
    };
    let source = source(server.url("/keys"), pace);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    for body in ["", "{}", r#"{"keys": []}"#, "<html>"] {
        server.answer(move |_| json(body));
        let failed = source.state(now()).failed;
        wait_until(|| source.state(now()).failed > failed + 1);
        let answer = verifier.ask(&token("RS256"), now(), true);
        assert!(
            matches!(answer, TokenAnswer::Accepted(_)),
            "{body}: {answer:?}"
        );
    }
}

#[test]
fn a_key_that_is_not_listed_any_more_is_gone_at_once() {
    let server = JwksServer::of(&set("main"));
    let pace = Pace {
        cooldown: Duration::from_millis(1),
        ..PACE
    };
    let source = source(server.url("/keys"), pace);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    let TokenAnswer::Accepted(accepted) = verifier.ask(&token("RS256"), now(), true) else {
        panic!("the key is known");
    };
    server.answer(|_| json(&set("a-secret")));
    let TokenAnswer::Pending(waiting) = verifier.ask(&token("a kid that no key has"), now(), true)
    else {
        panic!("a fetch");
    };
    waiting.blocking_recv().unwrap();
    let answer = verifier.ask(&token("RS256"), now(), false);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::UnknownKey)),
        "{answer:?}"
    );
    assert!(accepted.key.is_withdrawn());
}

#[test]
fn an_answer_is_fetched_again_ahead_of_its_end_and_asked_for_by_its_tag() {
    let server = JwksServer::start(|request| {
        if request.fields.contains("if-none-match: \"one\"") {
            with("304 Not Modified", "cache-control: max-age=0\r\n", "")
        } else {
            with(
                "200 OK",
                "etag: \"one\"\r\ncache-control: max-age=0\r\n",
                &set("main"),
            )
        }
    });
    let pace = Pace {
        cooldown: Duration::from_millis(1),
        ..PACE
    };
    let source = source(server.url("/keys"), pace);
    wait_until(|| source.state(now()).good > 3);
    assert_eq!(source.state(now()).failed, 0);
    assert_eq!(source.state(now()).keys, 6);
}

#[test]
fn a_discovery_document_leads_to_the_keys_of_its_issuer_only() {
    let server = JwksServer::of("");
    let keys = server.url("/keys");
    server.answer(move |request| match &*request.path {
        "/.well-known/openid-configuration" => json(&format!(
            r#"{{"issuer": "https://issuer.example", "jwks_uri": "{keys}"}}"#
        )),
        "/keys" => json(&set("main")),
        _ => with("404 Not Found", "", ""),
    });
    let location = |issuer: &str| KeySetLocation::Discovery {
        url: server.url("/.well-known/openid-configuration"),
        issuers: vec![issuer.to_owned()],
    };
    let source = KeySources::default()
        .of(&settings(location("https://issuer.example"), PACE))
        .unwrap();
    source.wait_for_first().unwrap();
    assert_eq!(source.state(now()).keys, 6);
    let text = failure(location("https://other.example"));
    assert!(
        text.ends_with("names another issuer than the verifier's"),
        "{text}"
    );
}

#[test]
fn another_answer_than_the_document_is_an_error_that_says_what_it_is() {
    let elsewhere = JwksServer::of(&set("main"));
    let moved = format!("location: {}\r\n", elsewhere.url("/keys"));
    let server = JwksServer::start(move |request| match &*request.path {
        "/moved" => with("302 Found", &moved, ""),
        "/missing" => with("404 Not Found", "", ""),
        "/large" => json(&format!(
            "{{\"keys\": [], \"x\": \"{}\"}}",
            "x".repeat(2_000_000)
        )),
        "/garbage" => "no HTTP\r\n\r\n".to_owned(),
        _ => json("[]"),
    });
    for (path, said) in [
        ("/moved", "redirects, and Windlass follows no redirect"),
        ("/missing", "answered with status 404"),
        ("/large", "limit"),
        ("/garbage", "http"),
        ("/list", "it is not a JWK set"),
    ] {
        let text = failure(KeySetLocation::Jwks(server.url(path)));
        assert!(text.contains(said), "{path}: {text}");
    }
    assert_eq!(elsewhere.questions(), 0);
}

#[test]
fn a_silent_server_ends_the_fetch_in_time() {
    let (open, gate) = channel::<()>();
    let server = JwksServer::start(move |_| {
        let _ = gate.recv_timeout(DEADLINE);
        String::new()
    });
    let mut settings = settings(KeySetLocation::Jwks(server.url("/keys")), PACE);
    settings.fetch.timeout = Duration::from_millis(50);
    let source = KeySources::default().of(&settings).unwrap();
    let text = source.wait_for_first().unwrap_err();
    assert!(text.contains("timeout"), "{text}");
    drop(open);
}

#[test]
fn configurations_that_fetch_alike_share_one_source_until_the_last_is_gone() {
    let server = JwksServer::of(&set("main"));
    let sources = KeySources::default();
    let settings = settings(KeySetLocation::Jwks(server.url("/keys")), PACE);
    let one = sources.of(&settings).unwrap();
    one.wait_for_first().unwrap();
    let other = sources.of(&settings).unwrap();
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(server.questions(), 1);
    drop((one, other));
    sources.of(&settings).unwrap().wait_for_first().unwrap();
    assert_eq!(server.questions(), 1);
}
