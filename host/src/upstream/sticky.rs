//! The token that keeps a client on its endpoint.
//!
//! A token names the endpoint by a keyed digest, so that it says nothing about the network behind the
//! gateway, and it expires; both are signed (HMAC-SHA-256). It is valid on every gateway with the same
//! secret, and survives reloads and restarts. Use renews it, so that an active client stays where it
//! is. A token that was changed, has expired, or names a removed endpoint is ignored. Comparisons take
//! constant time. The balancer decides whether the endpoint is available.
//!
//! Form: base64url without padding of 8 bytes endpoint, 5 bytes end (seconds since 1970), 16 bytes
//! signature.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use super::hash_key::cookies;
use crate::config::{Cookie, OnDrain, SameSite, StickyBy};

/// Bytes of a token, before its text.
const TOKEN_LENGTH: usize = DIGEST_LENGTH + END_LENGTH + SIGNATURE_LENGTH;
const DIGEST_LENGTH: usize = 8;
const END_LENGTH: usize = 5;
const SIGNATURE_LENGTH: usize = 16;

/// Signs and reads the tokens of one upstream.
pub(crate) struct StickyTokens {
    carrier: StickyBy,
    key: hmac::Key,
    upstream: Arc<str>,
    /// How long a token is valid. Seconds.
    duration: u64,
    /// Whether clients stay on an endpoint that drains or has weight 0.
    pub(crate) keeps_draining_clients: bool,
    /// `; Path=/; ...`.
    cookie_attributes: String,
}

impl std::fmt::Debug for StickyTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StickyTokens")
            .field("by", &self.carrier)
            .finish_non_exhaustive()
    }
}

/// An endpoint as a token names it.
pub(crate) type EndpointDigest = [u8; DIGEST_LENGTH];

/// The content of a client's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StickyToken {
    pub(crate) endpoint: EndpointDigest,
    /// When it ends. Seconds since 1970.
    pub(crate) end_s: u64,
}

impl StickyTokens {
    /// As configured, with the secret as its key.
    #[must_use]
    pub(crate) fn new(config: &crate::config::Sticky, key: hmac::Key, upstream: &Arc<str>) -> Self {
        let duration = config.duration.as_millis().div_ceil(1000);
        Self {
            carrier: config.by.clone(),
            key,
            upstream: Arc::clone(upstream),
            duration: u64::try_from(duration).unwrap_or(u64::MAX),
            keeps_draining_clients: config.on_drain == OnDrain::Stay,
            cookie_attributes: cookie_attributes(&config.cookie, duration),
        }
    }

    /// How tokens name this endpoint.
    #[must_use]
    pub(crate) fn digest(&self, endpoint: &str) -> EndpointDigest {
        let tag = self.sign(b"endpoint", endpoint.as_bytes());
        let mut name = EndpointDigest::default();
        for (to, from) in name.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        name
    }

    /// The endpoint of this client, if its token is valid.
    #[must_use]
    pub(crate) fn requested(&self, headers: &HeaderMap, now_ms: u64) -> Option<StickyToken> {
        match &self.carrier {
            StickyBy::Header(field) => self.parse_token(headers.get(field)?.as_bytes(), now_ms),
            StickyBy::Cookie(name) => {
                cookies(headers, name).find_map(|value| self.parse_token(value, now_ms))
            }
        }
    }

    /// The end of a token that is made now, in whole seconds, so that an active client gets at most one new
    /// token a second.
    #[must_use]
    pub(crate) fn next_end_s(&self, now_ms: u64) -> u64 {
        now_ms.div_ceil(1000).saturating_add(self.duration)
    }

    /// Add the client's token to this response.
    pub(crate) fn write_token(&self, token: StickyToken, headers: &mut HeaderMap) {
        let token = self.format_token(token);
        // Both consist of characters that a field may have.
        match &self.carrier {
            StickyBy::Header(field) => {
                if let Ok(value) = HeaderValue::try_from(token) {
                    headers.insert(field, value);
                }
            }
            StickyBy::Cookie(name) => {
                let text = format!("{name}={token}{}", self.cookie_attributes);
                if let Ok(value) = HeaderValue::try_from(text) {
                    headers.append(SET_COOKIE, value);
                }
            }
        }
    }

    fn format_token(&self, token: StickyToken) -> String {
        let [_, _, _, end @ ..] = token.end_s.to_be_bytes();
        let mut bytes = Vec::with_capacity(TOKEN_LENGTH);
        bytes.extend_from_slice(&token.endpoint);
        bytes.extend_from_slice(&end);
        let signature = self.sign(b"token", &bytes);
        bytes.extend_from_slice(
            signature
                .as_ref()
                .get(..SIGNATURE_LENGTH)
                .unwrap_or_default(),
        );
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn parse_token(&self, text: &[u8], now_ms: u64) -> Option<StickyToken> {
        let bytes: [u8; TOKEN_LENGTH] = decode(text)?;
        let (signed, signature) = bytes.split_at_checked(DIGEST_LENGTH + END_LENGTH)?;
        let right = self.sign(b"token", signed);
        verify_slices_are_equal(right.as_ref().get(..SIGNATURE_LENGTH)?, signature).ok()?;
        let (endpoint, end) = signed.split_first_chunk()?;
        let end_s = end.iter().fold(0, |end, byte| end << 8 | u64::from(*byte));
        (now_ms / 1000 < end_s).then_some(StickyToken {
            endpoint: *endpoint,
            end_s,
        })
    }

    fn sign(&self, what: &[u8], data: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [what, self.upstream.as_bytes()] {
            context.update(part);
            // A name has no NUL, so the signed bytes have one reading.
            context.update(&[0]);
        }
        context.update(data);
        context.sign()
    }
}

/// A cookie's attributes (RFC 6265 section 4.1.2).
fn cookie_attributes(cookie: &Cookie, duration: u128) -> String {
    let domain = cookie.domain.as_ref();
    let domain = domain.map_or_else(String::new, |domain| format!("; Domain={domain}"));
    let same_site = match cookie.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    };
    let secure = if cookie.secure { "; Secure" } else { "" };
    let path = &cookie.path;
    format!("; Path={path}{domain}; Max-Age={duration}; HttpOnly; SameSite={same_site}{secure}")
}

/// So many bytes; None: another length, a strange character, or bits that mean nothing.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // The longest valid text: longer ones are not decoded.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::COOKIE;

    use super::*;

    fn sticky(upstream: &str, key: &[u8]) -> StickyTokens {
        let config = crate::config::Sticky {
            by: StickyBy::Cookie("lb".to_owned()),
            secret: 0,
            duration: Duration::from_secs(60),
            cookie: Cookie {
                same_site: SameSite::Lax,
                domain: None,
                path: "/".to_owned(),
                secure: true,
            },
            on_drain: OnDrain::Move,
            span: crate::config::Span::default(),
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        StickyTokens::new(&config, key, &Arc::from(upstream))
    }

    fn token_headers(sticky: &StickyTokens, endpoint: &str, now_ms: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let token = StickyToken {
            endpoint: sticky.digest(endpoint),
            end_s: sticky.next_end_s(now_ms),
        };
        sticky.write_token(token, &mut headers);
        let cookie = headers.get(SET_COOKIE).unwrap().to_str().unwrap();
        let rest = "; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure";
        let pair = cookie.strip_suffix(rest).unwrap();
        let line = format!("a=b; {pair}; c=d");
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(line).unwrap())])
    }

    #[test]
    fn a_token_says_where_the_client_belongs_until_it_ends() {
        let orders = sticky("orders", b"secret");
        let name = orders.digest("10.0.0.1:80");
        let request = token_headers(&orders, "10.0.0.1:80", 1_000_500);
        let wanted = |sticky: &StickyTokens, now_ms| {
            let token = sticky.requested(&request, now_ms);
            token.map(|token| token.endpoint)
        };
        // At least as long as its duration, and less than a second longer.
        assert_eq!(wanted(&orders, 1_060_500), Some(name));
        assert_eq!(wanted(&orders, 1_061_000), None, "ended");
        assert_eq!(wanted(&sticky("orders", b"secret"), 1_000_000), Some(name));
        assert_eq!(wanted(&sticky("orders", b"other"), 1_000_000), None);
        assert_eq!(wanted(&sticky("users", b"secret"), 1_000_000), None);
        assert_ne!(name, orders.digest("10.0.0.2:80"));
    }

    #[test]
    fn a_cookie_has_the_attributes_of_the_configuration() {
        let cookie = Cookie {
            same_site: SameSite::None,
            domain: Some("example.com".to_owned()),
            path: "/app".to_owned(),
            secure: true,
        };
        let text = "; Path=/app; Domain=example.com; Max-Age=60; HttpOnly; SameSite=None; Secure";
        assert_eq!(cookie_attributes(&cookie, 60), text);
    }

    #[test]
    fn a_token_that_was_changed_counts_as_none() {
        let orders = sticky("orders", b"secret");
        let token = orders.format_token(StickyToken {
            endpoint: orders.digest("a:1"),
            end_s: 2_000,
        });
        assert!(orders.parse_token(token.as_bytes(), 1_000).is_some());
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(orders.parse_token(&changed, 1_000), None, "{index}");
        }
        for strange in ["", "=", "a", &token[1..], &format!("{token}A")] {
            assert_eq!(
                orders.parse_token(strange.as_bytes(), 1_000),
                None,
                "{strange}"
            );
        }
    }
}
