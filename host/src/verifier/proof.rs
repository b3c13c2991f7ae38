//! Checks a client's proof that it has the key its token is bound to (DPoP, RFC 9449).
//!
//! The proof is a signed token of its own, made for one request: it carries the public key, and
//! names the method, the URL and the token. [`check`] compares it with the request (RFC 9449,
//! section 4.3).
//!
//! It promises
//! - that the key is public and asymmetric, and its thumbprint (RFC 7638) is the one that the
//!   access token names;
//! - that at most one signature is checked, and none for a proof that exceeds a bound or names
//!   another algorithm or type;
//! - that the proof's claims are read only after the signature is verified.
//!
//! It deliberately does not know which proofs were used before, nor how to find the request's URL.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use windlass_config_derive::Word;

use super::TokenError;
use super::claims::Claims;
use super::key::VerifyingKey;
use super::token::SignedToken;
use crate::model::signature::Algorithm;

/// The type of a proof (RFC 9449, section 4.2).
const TYPE: &str = "dpop+jwt";

/// The longest `jti`: a UUID has 36. Bytes.
const MAX_ID: usize = 256;

/// How far a client's clock may be ahead. Seconds.
const MAX_CLOCK_SKEW: f64 = 30.0;

/// The reason for a proof that could not be recorded: a stable code, for logs and metrics.
pub(crate) const NO_ROOM: &str = "proof_no_room";

/// The request and the token that a proof must be for.
pub(crate) struct ProofDemands<'a> {
    pub(crate) method: &'a str,
    /// Whether this is the request's URL, without query and fragment.
    pub(crate) is_url: &'a dyn Fn(&str) -> bool,
    pub(crate) token: &'a str,
    /// The thumbprint of the key that the token is bound to (`cnf.jkt`).
    pub(crate) thumbprint: &'a str,
    /// The longest time since `iat`. Seconds.
    pub(crate) max_age: f64,
}

/// A valid proof.
#[derive(Debug, PartialEq)]
pub(crate) struct CheckedProof {
    /// Identifies it among all proofs of all keys.
    pub(crate) id: [u8; 16],
    /// When it is too old to be used again. Seconds since 1970.
    pub(crate) ends: f64,
}

/// Why a proof is rejected. For logs only: a client gets the same answer for all reasons.
/// The words are stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word, thiserror::Error)]
#[word(snake, prefix = "proof_")]
pub(crate) enum ProofError {
    /// It exceeds a bound on its size.
    #[error("the proof exceeds a bound on its size")]
    TooLarge,
    /// It is not a signed token with the members of a proof.
    #[error("the proof is malformed")]
    Malformed,
    /// Its `typ` is another one.
    #[error("the proof's `typ` is not `{TYPE}`")]
    Type,
    /// Its algorithm is unknown, or one for secrets.
    #[error("the proof's `alg` is not accepted")]
    Algorithm,
    /// Its key cannot be used, or does not fit its algorithm.
    #[error("the proof's `jwk` is not a public key for its `alg`")]
    Key,
    /// The token is bound to another key.
    #[error("the proof's key is not the one that the token is bound to")]
    OtherKey,
    /// The signature was not made by the key.
    #[error("the proof's signature is not valid")]
    Signature,
    /// It is for another method.
    #[error("the proof's `htm` is not the request's method")]
    Method,
    /// It is for another URL.
    #[error("the proof's `htu` is not the request's URL")]
    Url,
    /// It is for another token.
    #[error("the proof's `ath` is not the digest of the token")]
    Token,
    /// It was made too long ago, or in the future.
    #[error("the proof's `iat` is too old, or in the future")]
    Age,
    /// It was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The request has none, or several.
    #[error("the request does not have exactly one proof")]
    Missing,
}

impl From<TokenError> for ProofError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::TooLarge => Self::TooLarge,
            _ => Self::Malformed,
        }
    }
}

/// Checks a proof at this time (seconds since 1970). The caller checks whether it was used before.
///
/// # Errors
///
/// The proof is rejected.
pub(crate) fn check(
    proof: &str,
    demands: &ProofDemands<'_>,
    now: f64,
) -> Result<CheckedProof, ProofError> {
    let proof = SignedToken::parse(proof)?;
    let kind = proof.header.kind.as_deref().unwrap_or_default();
    if !kind.eq_ignore_ascii_case(TYPE) {
        return Err(ProofError::Type);
    }
    let algorithm = Algorithm::from_name(&proof.header.algorithm);
    let algorithm = algorithm.filter(|algorithm| Algorithm::PUBLIC.contains(algorithm));
    let algorithm = algorithm.ok_or(ProofError::Algorithm)?;
    let jwk = proof.header.key.as_ref().ok_or(ProofError::Malformed)?;
    // Checked before the key is prepared, which costs more. The thumbprint is public, so the
    // comparison reveals no secret.
    if thumbprint(jwk).as_deref() != Some(demands.thumbprint) {
        return Err(ProofError::OtherKey);
    }
    let key = VerifyingKey::from_jwk(&Value::Object(jwk.clone())).map_err(|_| ProofError::Key)?;
    if !key.verifies(algorithm) {
        return Err(ProofError::Key);
    }
    if !key.verify(algorithm, proof.signing_input, &proof.signature) {
        return Err(ProofError::Signature);
    }
    let claims = Claims::parse(&proof.payload()?)?;
    let text = |name| claims.text(name).ok_or(ProofError::Malformed);
    // It must be unique (section 4.2), and an empty one is not.
    let id = text("jti")?;
    if id.is_empty() {
        return Err(ProofError::Malformed);
    }
    if id.len() > MAX_ID {
        return Err(ProofError::TooLarge);
    }
    if text("htm")? != demands.method {
        return Err(ProofError::Method);
    }
    if !(demands.is_url)(text("htu")?) {
        return Err(ProofError::Url);
    }
    if text("ath")? != URL_SAFE_NO_PAD.encode(digest(&SHA256, demands.token.as_bytes())) {
        return Err(ProofError::Token);
    }
    let issued = claims.time("iat").ok_or(ProofError::Malformed)?;
    let ends = issued + demands.max_age + MAX_CLOCK_SKEW;
    // The bound is symmetric: a client's clock may be behind by as much as it may be ahead.
    if !(issued <= now + MAX_CLOCK_SKEW && now < ends) {
        return Err(ProofError::Age);
    }
    Ok(CheckedProof {
        id: identify(demands.thumbprint, id),
        ends,
    })
}

/// The thumbprint of a key (RFC 7638), encoded. None: it is not a usable public key.
fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let member = |name: &str| Some(json!(jwk.get(name)?.as_str()?));
    // In the order of their names, without spaces: section 3.3.
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let members = names
        .iter()
        .map(|name| Some(format!("\"{name}\":{}", member(name)?)));
    let members = members.collect::<Option<Vec<_>>>()?;
    let canonical = format!("{{{}}}", members.join(","));
    Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())))
}

/// Two clients may choose the same `jti`, so the id includes the thumbprint.
fn identify(thumbprint: &str, id: &str) -> [u8; 16] {
    let whole = digest(&SHA256, format!("{thumbprint}\n{id}").as_bytes());
    let half = whole.as_ref().first_chunk::<16>();
    half.copied().unwrap_or_default()
}
