//! Verifies JSON Web Tokens: is this token signed by a key of that set, for us, and still in force?
//!
//! Pure: no file, no network, no clock. Keys come in as the bytes of a JWK set (RFC 7517), the time as a number, a
//! token (RFC 7515, RFC 7519) as the text that a client presented; out comes a [`VerifiedToken`] or a
//! [`TokenError`]. Whoever fetches keys and whoever answers the client stand elsewhere.
//!
//! Promises:
//! - the algorithm is one that the rules list and that the key is made for; there is no `none`, and a public key is
//!   never an HMAC secret;
//! - a token's key comes from the set, never from the token: `jwk`, `jku`, `x5c` and `x5u` are not looked at, `kid` is
//!   compared and nothing else;
//! - a header that lists critical extensions is refused, since none is implemented;
//! - at most one signature is checked for a token, and none for one that exceeds a bound, is not well formed, or
//!   names an algorithm or a key that is not there;
//! - claims are read only after the signature holds.
//!
//! Not a library's: `jsonwebtoken` (12.0) lacks ES512, reads a token without bounds on nesting and members, and drops
//! a whole set for one key that it cannot read.

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

pub(crate) use algorithm::Algorithm;
pub(crate) use claims::Claims;
pub(crate) use key::VerifyingKey;
pub(crate) use key_set::{KeySet, KeySetError};
pub(crate) use rules::{Audiences, ClaimRule, ClaimTest, TokenRules};

use std::sync::Arc;

use token::SignedToken;

/// A token that holds, and what it says.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) claims: Claims,
    /// The key that signed it.
    pub(crate) key: Arc<VerifyingKey>,
    /// When it ends, skew included. Seconds since 1970; infinite where it never ends.
    pub(crate) ends: f64,
    /// The thumbprint of the key that its client must prove to hold (`cnf.jkt`, RFC 9449, section 6.1). None: whoever
    /// has the token may use it.
    pub(crate) bound_to: Option<Box<str>>,
}

/// Why a token is not accepted. For logs and metrics: a client is told the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// A bound on its size is exceeded.
    #[error(
        "the token is larger than {} bytes, or one of its parts exceeds a bound",
        token::MAX_TOKEN
    )]
    TooLarge,
    /// It is not three parts of unpadded base64url with JSON objects in the first two.
    #[error("the token is not well formed")]
    Malformed,
    /// Its header lists critical extensions.
    #[error("the token's header has `crit`, and no extension is supported")]
    CriticalExtension,
    /// Its algorithm is unknown, or the rules do not list it.
    #[error("the token's `alg` is not accepted")]
    Algorithm,
    /// Its type is not one that the rules list.
    #[error("the token's `typ` is not accepted")]
    Type,
    /// No key of the set has its key id.
    #[error("no key has the token's `kid`")]
    UnknownKey,
    /// It names no key, and none or several of the set could have signed it; or several have its key id.
    #[error("the token does not single out one key")]
    NoSingleKey,
    /// The key with its id is not made for its algorithm.
    #[error("the key with the token's `kid` is not made for its `alg`")]
    KeyMismatch,
    /// The signature is not the key's.
    #[error("the token's signature does not hold")]
    Signature,
    /// A claim that is defined (RFC 7519) has another type than it must have.
    #[error("a registered claim of the token has the wrong type")]
    ClaimType,
    /// It has no `exp`, which the rules ask for.
    #[error("the token has no `exp`")]
    NoEnd,
    /// Its end is over.
    #[error("the token has expired")]
    Expired,
    /// It is not in force yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It says that it was issued in the future.
    #[error("the token's `iat` is in the future")]
    IssuedAhead,
    /// It was issued too long ago, or does not say when.
    #[error("the token is older than `max_age`, or has no `iat`")]
    TooOld,
    /// Its issuer is not one that the rules list.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// It is not for us.
    #[error("the token is for another audience")]
    Audience,
    /// A claim that the rules require is not there, or is another one.
    #[error("the token lacks a required claim")]
    RequiredClaim,
    /// It is bound to a client certificate, which cannot be looked at here.
    #[error("the token is bound to a client certificate (`cnf.x5t#S256`)")]
    CertificateBound,
    /// It was presented with a proof, and is bound to no key.
    #[error("the token came with a DPoP proof, and is not bound to a key (`cnf.jkt`)")]
    NotBound,
    /// It is bound to a key, and came without a proof.
    #[error("the token is bound to a key (`cnf.jkt`), and came without a DPoP proof")]
    Unproven,
}

impl TokenError {
    pub(crate) const ALL: [Self; 21] = [
        Self::TooLarge,
        Self::Malformed,
        Self::CriticalExtension,
        Self::Algorithm,
        Self::Type,
        Self::UnknownKey,
        Self::NoSingleKey,
        Self::KeyMismatch,
        Self::Signature,
        Self::ClaimType,
        Self::NoEnd,
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedAhead,
        Self::TooOld,
        Self::Issuer,
        Self::Audience,
        Self::RequiredClaim,
        Self::CertificateBound,
        Self::NotBound,
        Self::Unproven,
    ];

    /// A stable word for metrics and logs.
    #[must_use]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::CriticalExtension => "critical_extension",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
            Self::NoSingleKey => "no_single_key",
            Self::KeyMismatch => "key_mismatch",
            Self::Signature => "signature",
            Self::ClaimType => "claim_type",
            Self::NoEnd => "no_end",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedAhead => "issued_ahead",
            Self::TooOld => "too_old",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::RequiredClaim => "required_claim",
            Self::CertificateBound => "certificate_bound",
            Self::NotBound => "not_bound",
            Self::Unproven => "unproven",
        }
    }
}

/// The issuer that a token names, before anything of it is verified: good for choosing who verifies it, and for nothing
/// else.
#[must_use]
pub(crate) fn named_issuer(token: &str) -> Option<String> {
    let claims = Claims::parse(&SignedToken::parse(token).ok()?.payload().ok()?).ok()?;
    claims.text("iss").map(str::to_owned)
}

/// Verify a token against a set of keys, by these rules, at this time (seconds since 1970).
///
/// # Errors
///
/// It is not accepted. After [`TokenError::UnknownKey`] a newer set may have the key.
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
