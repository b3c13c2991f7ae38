//! Access to the admin API: bearer tokens (RFC 6750), each with a role.
//!
//! It promises
//! - that a token is compared by its SHA-256, in constant time, with every configured token;
//! - that a right token is always admitted: nobody can lock its owner out by guessing from the
//!   same address;
//! - that after [`MAX_FAILURES`] wrong tokens within a minute an address gets 429 for everything
//!   else until that minute is over, that an IPv6 [`network`] counts as one address, and that the
//!   table of addresses is bounded;
//! - that no token is logged.
//!
//! The values of the tokens are secrets of the configuration, so a reload brings new ones into
//! use. Without any token, nothing below `/v1` can be reached.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, StatusCode, header};
use parking_lot::Mutex;

use super::network::network;
use super::problem::ApiProblem;
use crate::filter_store::secrets::{SecretValue, Secrets};
use crate::keys::KeyDigest;
use crate::model::admin::Role;

/// Wrong tokens from one address before it has to wait.
pub(crate) const MAX_FAILURES: u32 = 10;

/// The time after which failures of an address are dropped.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// The most addresses whose failures are counted.
const MAX_ADDRESSES: usize = 10_000;

/// The longest token that is compared. Bytes.
const MAX_TOKEN: usize = 4096;

/// A configured token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorToken {
    /// Its name, for the log.
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    /// The name of the secret that holds its value.
    pub(crate) secret: Arc<str>,
}

/// The tokens, and the recent failures of each address.
#[derive(Debug, Default)]
pub(crate) struct Access {
    tokens: Vec<OperatorToken>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    first_failure: Instant,
    count: u32,
}

impl Access {
    #[must_use]
    pub(crate) fn new(tokens: Vec<OperatorToken>) -> Self {
        Self {
            tokens,
            failures: Mutex::default(),
        }
    }

    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Finds the owner of the request's token.
    ///
    /// # Errors
    ///
    /// No token is configured, or the request carries none or a wrong one. An address with too
    /// many wrong tokens has to wait.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        secrets: &Secrets,
        now: Instant,
    ) -> Result<&OperatorToken, ApiProblem> {
        if !self.is_open() {
            let detail = "the admin API is closed: no token is configured; add `tokens = [{ name = \"ops\", role = \"write\", secret = \"..\" }]` to `[admin]` and restart";
            return Err(ApiProblem::new(StatusCode::FORBIDDEN, "no_tokens", detail));
        }
        let from = network(from);
        let presented = presented(headers);
        if let PresentedToken::Token(token) = presented
            && let Some(token) = self.find(token, secrets)
        {
            return Ok(token);
        }
        let waits = self.retry_after(from, now);
        match presented {
            PresentedToken::Token(_) | PresentedToken::Malformed => self.count(from, now),
            PresentedToken::Nothing => {}
        }
        if let Some(seconds) = waits {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let detail = format!(
                "too many wrong tokens from this address; send a right one, or try again in {seconds} s"
            );
            return Err(ApiProblem::new(status, "too_many_failures", detail).retry_after(seconds));
        }
        let status = StatusCode::UNAUTHORIZED;
        Err(match presented {
            PresentedToken::Nothing => {
                let detail = "send `authorization: Bearer <token>`";
                ApiProblem::new(status, "token_missing", detail)
            }
            PresentedToken::Token(_) | PresentedToken::Malformed => {
                let detail = "this token is not one of `[admin] tokens`";
                ApiProblem::new(status, "token_rejected", detail)
            }
        })
    }

    /// Compares with every token, also after a match, so that the time says nothing.
    fn find(&self, presented: &[u8], secrets: &Secrets) -> Option<&OperatorToken> {
        let digest = KeyDigest::of(presented);
        let mut found = None;
        for token in &self.tokens {
            let own = secrets.find(&token.secret).map(SecretValue::key_digest);
            // Compared in constant time.
            if own == Some(digest) {
                found = Some(token);
            }
        }
        found
    }

    /// How long an address that has failed too often has to wait; None if it need not. Seconds,
    /// rounded up.
    fn retry_after(&self, from: IpAddr, now: Instant) -> Option<u64> {
        let failures = self.failures.lock();
        let failed = failures.get(&from)?;
        let left =
            FAILURE_WINDOW.checked_sub(now.saturating_duration_since(failed.first_failure))?;
        (failed.count >= MAX_FAILURES && !left.is_zero()).then(|| left.as_secs() + 1)
    }

    fn count(&self, from: IpAddr, now: Instant) {
        let over = |failed: &Failures| {
            now.saturating_duration_since(failed.first_failure) >= FAILURE_WINDOW
        };
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&from) {
            failures.retain(|_, failed| !over(failed));
            if failures.len() >= MAX_ADDRESSES {
                let oldest = failures
                    .iter()
                    .min_by_key(|(_, failed)| failed.first_failure);
                if let Some(oldest) = oldest.map(|(address, _)| *address) {
                    failures.remove(&oldest);
                }
            }
        }
        let failed = failures.entry(from).or_insert(Failures {
            first_failure: now,
            count: 0,
        });
        if over(failed) {
            *failed = Failures {
                first_failure: now,
                count: 0,
            };
        }
        failed.count = failed.count.saturating_add(1);
    }
}

/// The `authorization` field as a token.
#[derive(Clone, Copy)]
enum PresentedToken<'a> {
    /// No token: this is no guess.
    Nothing,
    /// A value that no token can have.
    Malformed,
    Token(&'a [u8]),
}

fn presented(headers: &HeaderMap) -> PresentedToken<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return PresentedToken::Nothing;
    };
    let parts = value.as_bytes().split_at_checked(7);
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            let token = token.trim_ascii();
            if (1..=MAX_TOKEN).contains(&token.len()) && values.next().is_none() {
                PresentedToken::Token(token)
            } else {
                PresentedToken::Malformed
            }
        }
        Some(_) | None => PresentedToken::Malformed,
    }
}

/// Checks that the role suffices for the method.
///
/// # Errors
///
/// The method changes something and the role may only read.
pub(crate) fn check_role(token: &OperatorToken, method: &Method) -> Result<(), ApiProblem> {
    let looks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match token.role {
        Role::Write => Ok(()),
        Role::Read if looks => Ok(()),
        Role::Read => {
            let detail = format!(
                "token `{}` may only read; use one with `role = \"write\"`",
                token.name
            );
            Err(ApiProblem::new(StatusCode::FORBIDDEN, "read_only", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access() -> (Access, Secrets) {
        let token = |name: &str, role| OperatorToken {
            name: name.into(),
            role,
            secret: format!("of-{name}").into(),
        };
        let secret = |name: &str| {
            (
                name.into(),
                SecretValue::new(format!("value {name}").into()),
            )
        };
        (
            Access::new(vec![token("ops", Role::Write), token("view", Role::Read)]),
            [secret("of-ops"), secret("of-view")].into_iter().collect(),
        )
    }

    fn with(value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        [(header::AUTHORIZATION, value)].into_iter().collect()
    }

    #[test]
    fn a_token_is_accepted_by_its_value() {
        let (access, secrets) = access();
        let admit = |value: &str| access.admit(&with(value), HERE, &secrets, Instant::now());
        assert_eq!(&*admit("Bearer value of-ops").unwrap().name, "ops");
        let view = admit("bearer value of-view").unwrap();
        assert_eq!(view.role, Role::Read);
        assert!(check_role(view, &Method::GET).is_ok());
        assert_eq!(
            check_role(view, &Method::PATCH).unwrap_err().code,
            "read_only"
        );
        for wrong in ["Bearer x", "Bearer ", "Basic value of-ops", "value of-ops"] {
            assert_eq!(admit(wrong).unwrap_err().code, "token_rejected", "{wrong}");
        }
    }

    #[test]
    fn a_missing_token_is_no_guess_and_without_tokens_nobody_is_admitted() {
        let (access, secrets) = access();
        for _ in 0..100 {
            let refused = access.admit(&HeaderMap::new(), HERE, &secrets, Instant::now());
            assert_eq!(refused.unwrap_err().code, "token_missing");
        }
        let closed = Access::default();
        let refused = closed.admit(&with("Bearer x"), HERE, &secrets, Instant::now());
        assert_eq!(refused.unwrap_err().status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn an_address_that_guesses_has_to_wait_and_a_right_token_is_admitted() {
        let (access, secrets) = access();
        let start = Instant::now();
        let admit = |value: &str, from: IpAddr, after: u64| {
            let now = start + Duration::from_secs(after);
            access.admit(&with(value), from, &secrets, now)
        };
        for _ in 0..MAX_FAILURES {
            let refused = admit("Bearer x", HERE, 0).unwrap_err();
            assert_eq!(refused.code, "token_rejected");
        }
        let refused = admit("Bearer x", HERE, 59).unwrap_err();
        assert_eq!(refused.code, "too_many_failures");
        assert_eq!(refused.retry_after, Some(2));
        assert!(admit("Bearer value of-ops", HERE, 59).is_ok());
        let refused = admit("Bearer x", HERE, 59).unwrap_err();
        assert_eq!(
            refused.code, "too_many_failures",
            "a right one excuses none"
        );
        assert_eq!(access.failures.lock()[&HERE].count, MAX_FAILURES + 2);
        let elsewhere = IpAddr::V4([192, 0, 2, 1].into());
        assert_eq!(
            admit("Bearer x", elsewhere, 59).unwrap_err().code,
            "token_rejected"
        );
        assert_eq!(
            admit("Bearer x", HERE, 61).unwrap_err().code,
            "token_rejected"
        );
    }

    #[test]
    fn many_addresses_of_one_ipv6_network_count_as_one() {
        let (access, secrets) = access();
        let now = Instant::now();
        let guess = |number: u128| {
            let from = IpAddr::V6(std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | number));
            let refused = access.admit(&with("Bearer x"), from, &secrets, now);
            refused.unwrap_err().code
        };
        for number in 0..u128::from(MAX_FAILURES) {
            assert_eq!(guess(number), "token_rejected");
        }
        assert_eq!(guess(100), "too_many_failures");
        assert_eq!(guess(1 << 64), "token_rejected");
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let (access, secrets) = access();
        let now = Instant::now();
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 100 {
            let from = IpAddr::V4(number.into());
            assert!(
                access
                    .admit(&with("Bearer x"), from, &secrets, now)
                    .is_err()
            );
        }
        assert_eq!(access.failures.lock().len(), MAX_ADDRESSES);
    }
}
