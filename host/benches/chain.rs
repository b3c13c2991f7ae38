//! The cost of a chain for one request, from entry to exit, with check-out, arming, commit and
//! return. The request is a GET with ten fields; instances are reused unless a bench says
//! otherwise.
//!
//! `cargo bench -p windlass --bench chain`. Builds the SDK's example `noop` first.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench stops at the first fault"
)]

use std::cell::Cell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use divan::Bencher;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::runtime::{Builder, Runtime};
use windlass::internals::body::Body;
use windlass::internals::chain::Passage;
use windlass::internals::config::Config;
use windlass::internals::context::{
    Client, Exchange, ExchangeCell, RequestHead, RequestId, ResponseHead,
};
use windlass::internals::gateway::{Gateway, Generation, ProcessResources};
use windlass::internals::store::KeyDigest;

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:0"

[[route]]
path = "/noop"
filters = ["noop"]
respond = {}

[[route]]
path = "/fresh"
filters = ["fresh"]
respond = {}

[[route]]
path = "/keys"
filters = ["keys"]
respond = {}

[[route]]
path = "/three"
filters = ["keys", "plan", "rewrite"]
respond = {}

[[route]]
path = "/token"
filters = ["jwt"]
respond = {}

[[route]]
path = "/five"
filters = ["cors", "jwt", "keys", "plan", "rewrite"]
respond = {}

[filter.cors]
plugin = "builtin:cors"
settings = { origins = ["https://app.example"] }

[[route]]
path = "/limited"
filters = ["limit"]
respond = {}

[filter.limit]
plugin = "builtin:rate-limit"
settings = { bounds = [{ name = "address", by = "client-address", limit = 1_000_000_000, window = "1s" }] }
recycle = { calls = 1000000000 }

[filter.jwt]
plugin = "builtin:jwt"
settings = { verifiers = ["issuer"], scopes = ["orders:read"] }
recycle = { calls = 1000000000 }

[verifier.issuer]
jwks_file = "KEYSET"
issuers = ["https://issuer.example"]
audiences = ["orders"]

[filter.noop]
plugin = "NOOP"

[filter.fresh]
plugin = "NOOP"
isolation = "request"

[filter.keys]
plugin = "builtin:api-key"
recycle = { calls = 1000000000 }

[filter.plan]
plugin = "builtin:usage-plan"

[filter.rewrite]
plugin = "builtin:transform"
settings = { request = [{ op = "set", header = "x-consumer", value = "${attribute.consumer.id!}" }], response = [{ op = "set", header = "x-served-by", value = "windlass" }] }

LANGUAGES

[plan.large]
rate = 1000000000
burst = 1000000000
quota = { limit = 1000000000000, period = "month" }

KEYS
"#;

/// The api-key filter in other languages, and Python's, which is too large for the repository, if
/// `PYTHON_FILTER` names its component.
const LANGUAGES: [(&str, &str); 4] = [
    ("c", "tests/guests/c/filter.wasm"),
    ("go", "tests/guests/go/filter.wasm"),
    ("javascript", "tests/guests/javascript/filter.wasm"),
    ("python", ""),
];

/// A route and a filter for each of these languages.
fn languages() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tables = LANGUAGES.into_iter().map(|(language, file)| {
        let plugin = match file {
            "" => std::env::var("PYTHON_FILTER").unwrap_or("builtin:api-key".to_owned()),
            file => root.join(file).display().to_string(),
        };
        let allow = match plugin.starts_with("builtin:") {
            true => "",
            false => {
                r#"allow = { interfaces = ["keys"], attributes = ["consumer.*", "api-key.*", "auth.*", "plan.*"] }"#
            }
        };
        format!(
            "[[route]]\npath = \"/{language}\"\nfilters = [\"{language}\"]\nrespond = {{}}\n\
             [filter.{language}]\nplugin = \"{plugin}\"\n{allow}\n"
        )
    });
    tables.collect()
}

/// A thousand keys, the number that other gateways were measured with.
fn keys() -> String {
    let key = |n: usize| {
        let digest = KeyDigest::of(format!("bench-key-{n}").as_bytes());
        format!(
            "[[key]]\nid = \"k{n}\"\nconsumer = \"c{n}\"\ndigest = \"{digest}\"\nplan = \"large\"\n"
        )
    };
    (0..1000).map(key).collect()
}

/// Build the example for WebAssembly, as a plugin author would.
fn noop() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target/plugins");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "-p",
            "windlass-plugin-sdk",
            "--example",
            "noop",
        ])
        .args([
            "--target",
            "wasm32-wasip2",
            "--profile",
            "plugin",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(&root)
        .status()
        .expect("cargo can be started");
    assert!(built.success(), "the example `noop` cannot be built");
    target.join("wasm32-wasip2/plugin/examples/noop.wasm")
}

/// The issuer's signing key.
fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key")
}

/// A file with the issuer's public keys.
fn key_set() -> PathBuf {
    let x = URL_SAFE_NO_PAD.encode(signer().public_key());
    let set = serde_json::json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-keys.json");
    std::fs::write(&path, set.to_string()).expect("the keys are written");
    path
}

/// A token of an ordinary size: 800 bytes, the least that large issuers send.
fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let claims = serde_json::json!({
            "iss": "https://issuer.example", "aud": "orders", "sub": "anna", "scope": "orders:read",
            "exp": 4_000_000_000_u64, "more": "x".repeat(400),
        });
        let encode = |value: &str| URL_SAFE_NO_PAD.encode(value);
        let signed = format!(
            "{}.{}",
            encode(r#"{"alg":"EdDSA"}"#),
            encode(&claims.to_string())
        );
        let signature = URL_SAFE_NO_PAD.encode(signer().sign(signed.as_bytes()));
        format!("Bearer {signed}.{signature}")
    })
}

fn gateway() -> &'static Arc<Gateway> {
    static GATEWAY: OnceLock<(Arc<Gateway>, ProcessResources)> = OnceLock::new();
    let (gateway, _) = GATEWAY.get_or_init(|| {
        let text = CONFIG
            .replace("NOOP", &noop().display().to_string())
            .replace("KEYSET", &key_set().display().to_string())
            .replace("KEYS", &keys())
            .replace("LANGUAGES", &languages());
        let config = Config::parse("bench.toml", &text, Path::new("/"))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let workers = NonZeroUsize::MIN;
        let foundation = ProcessResources::new(&config, workers).expect("a foundation");
        let mut problems = config.warnings.clone();
        let gateway = foundation.build(config, &mut problems);
        (gateway.unwrap_or_else(|| panic!("{problems}")), foundation)
    });
    gateway
}

thread_local! {
    static GENERATION: Rc<Generation> = Generation::new(Arc::clone(gateway()), 0, &Rc::default());
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
}

fn exchange() -> ExchangeCell {
    let count = COUNT.get();
    COUNT.set(count + 1);
    let mut headers = HeaderMap::new();
    let fields = [
        ("host", "api.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("cache-control", "no-cache"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-request-id", "0123456789abcdef0123456789abcdef"),
    ];
    for (name, value) in fields {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let key = format!("bench-key-{}", count % 1000);
    headers.insert("x-api-key", HeaderValue::try_from(key).expect("a value"));
    let target = PathAndQuery::from_static("/orders/42?full=1");
    let client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40000, Scheme::HTTP);
    let request = RequestHead {
        version: http::Version::HTTP_11,
        method: Method::GET,
        target,
        headers,
    };
    let id = RequestId::new(u128::from(count).to_be_bytes());
    ExchangeCell::new(Box::new(Exchange::new(id, client, request)))
}

/// Run a future that may wait for a fresh instance, which another thread makes.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    RUNTIME.with(|runtime| {
        let entered = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => output,
            Poll::Pending => {
                drop(entered);
                runtime.block_on(future)
            }
        }
    })
}

/// Send one exchange through the chain of a route. Returns the exchange, so that dropping it is not
/// measured.
fn pass(route: usize, held: ExchangeCell) -> ExchangeCell {
    GENERATION.with(|generation| {
        let chain = Rc::clone(&generation.chains[route]);
        let responds = chain.keeps_request();
        let passage = Passage::new(chain, held.clone());
        let mut body = Body::Empty;
        match wait(passage.request(&mut body)) {
            Ok(()) => {}
            other => panic!("refused: {other:?}"),
        }
        if responds {
            held.with(|exchange| {
                exchange.response = Some(ResponseHead {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                });
            });
        }
        drop(wait(passage.response(Body::Empty, false)));
    });
    held
}

#[divan::bench(sample_count = 20000, sample_size = 10)]
fn noop_filter(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(0, held));
}

#[divan::bench(sample_count = 2000, sample_size = 10)]
fn fresh_instance_with_configure(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(1, held));
}

#[divan::bench(sample_count = 20000, sample_size = 10)]
fn api_key_filter(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(2, held));
}

#[divan::bench(sample_count = 20000, sample_size = 10)]
fn three_filters_with_response_phases(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(3, held));
}

/// An exchange with a token that was verified before, sent from a page of another origin.
fn exchange_with_token() -> ExchangeCell {
    let held = exchange();
    held.with(|exchange| {
        let headers = &mut exchange.request.headers;
        headers.insert("authorization", HeaderValue::from_static(token()));
        headers.insert("origin", HeaderValue::from_static("https://app.example"));
    });
    held
}

#[divan::bench(sample_count = 20000, sample_size = 10)]
fn jwt_filter(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange_with_token)
        .bench_local_values(|held| pass(4, held));
}

/// `cors`, `jwt`, `api-key`, `usage-plan` and `transform`; three of them have a response phase.
#[divan::bench(sample_count = 20000, sample_size = 10)]
fn five_filters_with_response_phases(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange_with_token)
        .bench_local_values(|held| pass(5, held));
}

/// A limit by address, for both directions, including the response fields.
#[divan::bench(sample_count = 20000, sample_size = 10)]
fn rate_limit_filter(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(6, held));
}

/// The routes of [`LANGUAGES`] begin after those of [`CONFIG`].
#[divan::bench(args = LANGUAGES.map(|(language, _)| language), sample_count = 5000, sample_size = 10)]
fn api_key_filter_in(bencher: Bencher<'_, '_>, language: &str) {
    let position = LANGUAGES.iter().position(|(name, _)| *name == language);
    let route = 7 + position.expect("a language");
    bencher
        .with_inputs(exchange)
        .bench_local_values(|held| pass(route, held));
}

fn main() {
    gateway();
    divan::main();
}
