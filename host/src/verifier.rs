//! Verifies JSON Web Tokens: whether a key of a set signed the token, for this audience, and it is
//! valid now.
//!
//! Pure: no file, no network, no clock. It takes the bytes of a JWK set (RFC 7517), the time as a
//! number, and a token (RFC 7515, RFC 7519) as the text that a client presented; it returns a
//! [`VerifiedToken`] or a [`TokenError`]. [`crate::tokens`] fetches keys, and the `jwt` filter
//! answers the client.
//!
//! It promises
//! - that the algorithm is one that the rules list and that the key is made for; there is no
//!   `none`, and a public key is never an HMAC secret;
//! - that a token's key comes from the set, never from the token: `jwk`, `jku`, `x5c` and `x5u`
//!   are ignored, `kid` is compared and nothing else;
//! - that a header with critical extensions is refused, since none is implemented;
//! - that at most one signature is checked for a token, and none for one that exceeds a bound, is
//!   malformed, or names an algorithm or a key that does not exist;
//! - that claims are read only after the signature is verified.
//!
//! Why no library: `jsonwebtoken` (12.0) lacks ES512, reads a token without bounds on nesting and
//! members, and drops a whole set for one key that it cannot read.

pub(crate) mod algorithm;
pub(crate) mod claims;
mod json;
pub(crate) mod key;
pub(crate) mod key_set;
pub(crate) mod proof;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
pub(crate) mod token;

pub(crate) use claims::Claims;
pub(crate) use key::VerifyingKey;
pub(crate) use key_set::{KeySet, KeySetError};
pub(crate) use rules::{Audiences, ClaimRule, ClaimTest, TokenRules};

use std::sync::Arc;

use windlass_config_derive::Word;

use token::SignedToken;

/// A valid token and its claims.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) claims: Claims,
    /// The key that signed it.
    pub(crate) key: Arc<VerifyingKey>,
    /// When it ends, skew included. Seconds since 1970; infinite if it never ends.
    pub(crate) ends: f64,
    /// The thumbprint of the key that its client must prove to have (`cnf.jkt`, RFC 9449, section
    /// 6.1). None: whoever has the token may use it.
    pub(crate) bound_to: Option<Box<str>>,
}

/// Why a token is rejected. For logs and metrics only: a client gets the same answer for all
/// reasons. The words are stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word, thiserror::Error)]
#[word(snake)]
pub(crate) enum TokenError {
    /// It exceeds a bound on its size.
    #[error(
        "the token is larger than {} bytes, or one of its parts exceeds a bound",
        token::MAX_TOKEN
    )]
    TooLarge,
    /// It is not three parts of unpadded base64url with JSON objects in the first two.
    #[error("the token is malformed")]
    Malformed,
    /// Its header lists critical extensions.
    #[error("the token's header has `crit`, and no extension is supported")]
    CriticalExtension,
    /// Its algorithm is unknown, or the rules do not list it.
    #[error("the token's `alg` is not accepted")]
    Algorithm,
    /// The rules do not list its type.
    #[error("the token's `typ` is not accepted")]
    Type,
    /// No key of the set has its key id.
    #[error("no key has the token's `kid`")]
    UnknownKey,
    /// It names no key, and none or several of the set could have signed it; or several have its key id.
    #[error("the token does not single out one key")]
    NoSingleKey,
    /// The key with its id does not fit its algorithm.
    #[error("the key with the token's `kid` is not made for its `alg`")]
    KeyMismatch,
    /// The signature was not made by the key.
    #[error("the token's signature is not valid")]
    Signature,
    /// A registered claim (RFC 7519) has the wrong type.
    #[error("a registered claim of the token has the wrong type")]
    ClaimType,
    /// It has no `exp`, which the rules require.
    #[error("the token has no `exp`")]
    NoEnd,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its `iat` is in the future.
    #[error("the token's `iat` is in the future")]
    IssuedAhead,
    /// It was issued too long ago, or has no `iat`.
    #[error("the token is older than `max_age`, or has no `iat`")]
    TooOld,
    /// The rules do not list its issuer.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// It is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// A claim that the rules require is missing, or has another value.
    #[error("the token lacks a required claim")]
    RequiredClaim,
    /// It is bound to a client certificate, which Windlass cannot check here.
    #[error("the token is bound to a client certificate (`cnf.x5t#S256`)")]
    CertificateBound,
    /// It came with a proof and is bound to no key.
    #[error("the token came with a DPoP proof and is not bound to a key (`cnf.jkt`)")]
    NotBound,
    /// It is bound to a key and came without a proof.
    #[error("the token is bound to a key (`cnf.jkt`) and came without a DPoP proof")]
    Unproven,
}

/// The issuer that a token names, before anything of it is verified. It may only serve to choose
/// the verifier.
#[must_use]
pub(crate) fn named_issuer(token: &str) -> Option<String> {
    let claims = Claims::parse(&SignedToken::parse(token).ok()?.payload().ok()?).ok()?;
    claims.text("iss").map(str::to_owned)
}

/// Verifies a token against a set of keys, by these rules, at this time (seconds since 1970).
///
/// # Errors
///
/// The token is rejected. After [`TokenError::UnknownKey`] a newer set may have the key.
pub(crate) fn verify(
    token: &str,
    keys: &KeySet,
    rules: &TokenRules,
    now: f64,
) -> Result<VerifiedToken, TokenError> {
    let token = SignedToken::parse(token)?;
    let algorithm = rules.check_header(&token.header)?;
    let key = keys.find(algorithm, token.header.key_id.as_deref())?;
    if !key.verify(algorithm, token.signing_input, &token.signature) {
        return Err(TokenError::Signature);
    }
    let claims = Claims::parse(&token.payload()?)?;
    let ends = rules.check_claims(&claims, now)?;
    let bound_to = claims.bound_to()?.map(Box::from);
    Ok(VerifiedToken {
        claims,
        key: Arc::clone(key),
        ends,
        bound_to,
    })
}
