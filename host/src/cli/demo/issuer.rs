//! The demo's token issuer, instead of the login server that an operator has.
//!
//! It gives a token to every client that asks, so it is good for a demo and nothing else. It makes
//! a new key at each start.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::runtime::clock::Timestamp;

/// The issuer's URL, which its tokens carry.
const URL: &str = "http://127.0.0.1:9104";

/// The validity of a token. Seconds.
const LIFETIME: i64 = 3600;

struct Issuer {
    pair: EcdsaKeyPair,
    key_id: String,
}

/// The user and scopes of a token.
#[derive(Deserialize)]
struct TokenQuery {
    /// The user.
    #[serde(default = "dana")]
    sub: String,
    /// The scopes, separated by spaces.
    #[serde(default = "read")]
    scope: String,
}

fn dana() -> String {
    "dana".to_owned()
}

fn read() -> String {
    "orders:read".to_owned()
}

/// The server, with a new key.
pub(super) fn router() -> Result<Router, Unspecified> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let key_id = format!("demo-{:08x}", fastrand::u32(..));
    let issuer = Arc::new(Issuer { pair, key_id });
    Ok(Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/token", get(token))
        .with_state(issuer))
}

async fn discovery() -> Json<Value> {
    Json(json!({ "issuer": URL, "jwks_uri": format!("{URL}/keys") }))
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    // An uncompressed point: a byte that says so, and the two coordinates (SEC 1, section 2.3.3).
    let point = issuer.pair.public_key().as_ref();
    let encode = |part: Option<&[u8]>| URL_SAFE_NO_PAD.encode(part.unwrap_or_default());
    Json(json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": issuer.key_id,
        "x": encode(point.get(1..33)), "y": encode(point.get(33..65)),
    }] }))
}

async fn token(
    State(issuer): State<Arc<Issuer>>,
    Query(wanted): Query<TokenQuery>,
) -> Result<String, StatusCode> {
    let now = Timestamp::now().unix_s();
    let header = json!({ "typ": "JWT", "alg": "ES256", "kid": issuer.key_id });
    let claims = json!({
        "iss": URL, "aud": "shop", "sub": wanted.sub, "scope": wanted.scope, "iat": now, "exp": now + LIFETIME,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = issuer.pair.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
