//! The demands on a token beside its signature.

use std::time::Duration;

use serde_json::Value;

use super::TokenError;
use super::algorithm::Algorithm;
use super::claims::Claims;
use super::token::TokenHeader;

/// A verifier's demands on tokens.
#[derive(Debug, Clone)]
pub(crate) struct TokenRules {
    /// Algorithms that are accepted.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Types (`typ`) that are accepted, without `application/`. Empty: any, and none.
    pub(crate) types: Vec<String>,
    /// Issuers that are accepted. Empty: any, and none.
    pub(crate) issuers: Vec<String>,
    /// For whom a token must be.
    pub(crate) audiences: Audiences,
    /// How far the issuer's clock may be from ours.
    pub(crate) skew: Duration,
    /// Whether a token without `exp` is accepted.
    pub(crate) allow_endless: bool,
    /// The most that may have passed since `iat`.
    pub(crate) max_age: Option<Duration>,
    /// Claims that it must have.
    pub(crate) required: Vec<ClaimRule>,
    /// Whether a token that is bound to a client certificate is accepted without a look at one.
    pub(crate) certificate_bound: bool,
}

/// For whom a token must be. Somebody decides this: a token for another audience is not refused by chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audiences {
    /// `aud` is not looked at.
    Any,
    /// One of `aud` is one of these; where there is no `aud`, `client_id` is.
    Of(Vec<String>),
}

/// One claim that a token must have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClaimRule {
    /// Its name, or a pointer: see [`Claims::get`].
    pub(crate) claim: String,
    /// The test that it must pass.
    pub(crate) test: ClaimTest,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClaimTest {
    /// There, and not null.
    Present,
    /// One of these values.
    OneOf(Vec<Value>),
    /// A list that has one of these values.
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

/// Values of one type are compared as they are: "1" is not 1, and 1 is 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => {
            one == other || one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

impl TokenRules {
    /// The algorithm of a token that may be verified.
    pub(super) fn check_header(&self, header: &TokenHeader) -> Result<Algorithm, TokenError> {
        let algorithm = Algorithm::from_name(&header.algorithm);
        let algorithm = algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        if !self.types.is_empty() {
            // RFC 7515, section 4.1.9: `application/` may be left out, and letters have no case.
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

    /// Check claims at this time. Gives when they end to be good, in seconds since 1970.
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
            // RFC 7519, section 4.1.4: not on its end, nor after.
            Some(end) if now >= end + skew => return Err(TokenError::Expired),
            Some(end) => end + skew,
            None if self.allow_endless => f64::INFINITY,
            None => return Err(TokenError::NoEnd),
        };
        if claims.time("nbf").is_some_and(|begin| now < begin - skew) {
            return Err(TokenError::NotYetValid);
        }
        let issued = claims.time("iat");
        // RFC 7519 asks for no check. A token of the future is one of a wrong clock or of a forger who has the key:
        // it is refused, as PyJWT does and jose does not.
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
