//! The requirements for a token besides its signature.

use std::time::Duration;

use serde_json::Value;

use super::TokenError;
use super::claims::Claims;
use super::token::TokenHeader;
use crate::model::signature::Algorithm;

/// A verifier's requirements for tokens.
#[derive(Debug, Clone)]
pub(crate) struct TokenRules {
    /// Accepted algorithms.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Accepted types (`typ`), without `application/`. Empty: any type, or none.
    pub(crate) types: Vec<String>,
    /// Accepted issuers. Empty: any issuer, or none.
    pub(crate) issuers: Vec<String>,
    /// Accepted audiences.
    pub(crate) audiences: Audiences,
    /// How far the issuer's clock may differ from ours.
    pub(crate) skew: Duration,
    /// Whether a token without `exp` is accepted.
    pub(crate) allow_endless: bool,
    /// The longest time since `iat`.
    pub(crate) max_age: Option<Duration>,
    /// Required claims.
    pub(crate) required: Vec<ClaimRule>,
    /// Whether a token that is bound to a client certificate is accepted without checking the
    /// certificate.
    pub(crate) certificate_bound: bool,
}

/// The accepted audiences. The operator has to choose: no default accepts tokens for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audiences {
    /// `aud` is ignored.
    Any,
    /// One of `aud` is one of these; if there is no `aud`, `client_id` is.
    Of(Vec<String>),
}

/// A claim that a token must have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClaimRule {
    /// Its name, or a pointer: see [`Claims::get`].
    pub(crate) claim: String,
    /// The test that it must pass.
    pub(crate) test: ClaimTest,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClaimTest {
    /// It is present, and not null.
    Present,
    /// It is one of these values.
    OneOf(Vec<Value>),
    /// It is a list with one of these values.
    Contains(Vec<Value>),
}

impl ClaimRule {
    fn matches(&self, claims: &Claims) -> bool {
        let Some(value) = claims.get(&self.claim) else {
            return false;
        };
        match &self.test {
            ClaimTest::Present => !value.is_null(),
            ClaimTest::OneOf(values) => values.iter().any(|wanted| is_same(wanted, value)),
            ClaimTest::Contains(values) => value.as_array().is_some_and(|list| {
                let has = |wanted| list.iter().any(|one| is_same(wanted, one));
                values.iter().any(has)
            }),
        }
    }
}

/// Compares values strictly: "1" is not 1, and 1 is 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => {
            one == other || one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

impl TokenRules {
    /// The algorithm of a token, if the rules accept its header.
    pub(super) fn check_header(&self, header: &TokenHeader) -> Result<Algorithm, TokenError> {
        let algorithm = Algorithm::from_name(&header.algorithm);
        let algorithm = algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        if !self.types.is_empty() {
            // RFC 7515, section 4.1.9: `application/` may be left out, and case does not matter.
            let kind = header.kind.as_deref().unwrap_or_default();
            let kind = match kind.split_once('/') {
                Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application") => rest,
                Some(_) | None => kind,
            };
            let mut types = self.types.iter();
            if !types.any(|one| one.eq_ignore_ascii_case(kind)) {
                return Err(TokenError::Type);
            }
        }
        Ok(algorithm)
    }

    /// Checks the claims at this time. Returns when the token ends, in seconds since 1970.
    pub(super) fn check_claims(&self, claims: &Claims, now: f64) -> Result<f64, TokenError> {
        let mut ends = self.check_times(claims, now)?;
        if !self.issuers.is_empty() {
            let issuer = claims.text("iss").ok_or(TokenError::Issuer)?;
            if !self.issuers.iter().any(|one| one == issuer) {
                return Err(TokenError::Issuer);
            }
        }
        if let Audiences::Of(ours) = &self.audiences {
            let is_ours = |one: &str| ours.iter().any(|name| name == one);
            let is_for_us = match claims.get("aud") {
                Some(_) => claims.audiences().any(is_ours),
                None => claims.text("client_id").is_some_and(is_ours),
            };
            if !is_for_us {
                return Err(TokenError::Audience);
            }
        }
        if !self.required.iter().all(|rule| rule.matches(claims)) {
            return Err(TokenError::RequiredClaim);
        }
        if !self.certificate_bound && claims.is_bound_to_certificate() {
            return Err(TokenError::CertificateBound);
        }
        if let (Some(most), Some(issued)) = (self.max_age, claims.time("iat")) {
            ends = ends.min(issued + most.as_secs_f64() + self.skew.as_secs_f64());
        }
        Ok(ends)
    }

    fn check_times(&self, claims: &Claims, now: f64) -> Result<f64, TokenError> {
        let skew = self.skew.as_secs_f64();
        let ends = match claims.time("exp") {
            // RFC 7519, section 4.1.4: the token is invalid on its end and after it.
            Some(end) if now >= end + skew => return Err(TokenError::Expired),
            Some(end) => end + skew,
            None if self.allow_endless => f64::INFINITY,
            None => return Err(TokenError::NoEnd),
        };
        if claims.time("nbf").is_some_and(|begin| now < begin - skew) {
            return Err(TokenError::NotYetValid);
        }
        let issued = claims.time("iat");
        // RFC 7519 requires no check. A token from the future comes from a wrong clock or from a
        // forger who has the key: it is refused, as PyJWT does and jose does not.
        if issued.is_some_and(|issued| issued > now + skew) {
            return Err(TokenError::IssuedAhead);
        }
        if let Some(most) = self.max_age {
            let issued = issued.ok_or(TokenError::TooOld)?;
            if now >= issued + most.as_secs_f64() + skew {
                return Err(TokenError::TooOld);
            }
        }
        Ok(ends)
    }
}
