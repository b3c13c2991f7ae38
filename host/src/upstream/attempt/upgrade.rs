//! A request that asks for another protocol on its connection (RFC 9110 section 7.8), WebSocket
//! above all, over HTTP/1.1 or as an extended `CONNECT` of HTTP/2 (RFC 8441).
//!
//! Promises: only what the endpoint agreed to is passed; a change to another version of HTTP or to
//! TLS is never asked for, since what came after it would pass by every filter unseen.
//! Deliberately not here: the bytes that pass afterwards ([`crate::proxy`]).

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use crate::stream::Stream;
use crate::upstream::endpoint::known::ConnectionPlace;
use crate::upstream::line::pool::Pool;
use crate::upstream::queue::Turn;

/// What such a request asks for, and what the endpoint made of it.
#[derive(Debug)]
pub struct Upgrade {
    protocol: HeaderValue,
    agreed: RefCell<Option<HeaderValue>>,
    /// The client's side, where it is a stream of HTTP/2.
    pub stream: RefCell<Option<OnUpgrade>>,
    /// The endpoint's side, once it has agreed.
    pub taken: RefCell<Option<Taken>>,
}

/// A connection to an endpoint that is not HTTP any more.
#[derive(Debug)]
pub struct Taken {
    /// Itself.
    pub stream: Stream,
    /// What was read of it already.
    pub read: Bytes,
    /// The place among the endpoint's active requests.
    pub turn: Turn,
    /// The place among its connections.
    pub place: ConnectionPlace,
    /// The worker's connections to that endpoint, as long as it is one of them.
    pub pool: Rc<Pool>,
    /// How long neither side may say anything. Milliseconds; none: for ever.
    pub idle: Option<u64>,
}

impl Upgrade {
    /// What a request asks for, if it may. An extended `CONNECT` becomes the `GET` that it stands
    /// for.
    pub fn wanted(parts: &mut Parts, has_body: bool) -> Option<Self> {
        if has_body {
            return None;
        }
        if parts.version == Version::HTTP_2 {
            return Self::of_connect(parts);
        }
        let listed = names(&parts.headers, b"upgrade");
        let protocol = parts.headers.get(UPGRADE)?;
        let asks = parts.version == Version::HTTP_11 && listed && may_pass(protocol);
        asks.then(|| Self::to(protocol.clone(), None))
    }

    fn of_connect(parts: &mut Parts) -> Option<Self> {
        let protocol = parts.extensions.get::<Protocol>()?;
        if parts.method != Method::CONNECT || protocol.as_str() != "websocket" {
            return None;
        }
        let stream = parts.extensions.remove::<OnUpgrade>()?;
        parts.method = Method::GET;
        // HTTP/2 needs no proof that the other side knows WebSocket; HTTP/1.1 does.
        parts.headers.insert(SEC_WEBSOCKET_KEY, key());
        Some(Self::to(
            HeaderValue::from_static("websocket"),
            Some(stream),
        ))
    }

    fn to(protocol: HeaderValue, stream: Option<OnUpgrade>) -> Self {
        Self {
            protocol,
            agreed: RefCell::new(None),
            stream: RefCell::new(stream),
            taken: RefCell::new(None),
        }
    }

    /// Whether the client's side is a stream of HTTP/2.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream.borrow().is_some()
    }

    /// Ask for it.
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// The endpoint answered `101`. False: to something that may not pass.
    pub fn agree(&self, headers: &HeaderMap) -> bool {
        let agreed = headers.get(UPGRADE);
        *self.agreed.borrow_mut() = agreed.cloned();
        agreed.is_none_or(may_pass)
    }

    /// Say what was agreed on.
    pub fn say(&self, headers: &mut HeaderMap) {
        let agreed = self.agreed.borrow_mut().take();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, agreed.unwrap_or_else(|| self.protocol.clone()));
    }
}

/// Whether `Connection` has this option.
fn names(headers: &HeaderMap, option: &[u8]) -> bool {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(option))
}

/// Whether a protocol may be asked for. Not HTTP itself, nor TLS: a tunnel that carries requests
/// would be a way around the routes.
fn may_pass(protocol: &HeaderValue) -> bool {
    let listed = protocol.as_bytes().split(|byte| *byte == b',');
    let mut names = listed.filter_map(|name| name.split(|byte| *byte == b'/').next());
    names.all(|name| {
        let name = name.trim_ascii();
        !["http", "h2", "h2c", "h3", "tls", "shttp"]
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
            && !name.is_empty()
    })
}

/// Sixteen bytes by chance, in base64.
fn key() -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |value: usize| DIGITS.get(value).copied().unwrap_or(b'A');
    let mut text: Vec<u8> = (0..21).map(|_| digit(fastrand::usize(..64))).collect();
    // Two bits are left of the last byte.
    text.push(digit(fastrand::usize(..4) << 4));
    text.extend_from_slice(b"==");
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(fields: &[(&'static str, &'static str)]) -> Option<String> {
        let mut request = http::Request::new(());
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(*name, value);
        }
        let (mut parts, ()) = request.into_parts();
        let upgrade = Upgrade::wanted(&mut parts, false)?;
        Some(upgrade.protocol.to_str().unwrap().to_owned())
    }

    #[test]
    fn both_fields_are_needed() {
        let upgrade = ("upgrade", "websocket");
        let both = [("connection", "keep-alive, Upgrade"), upgrade];
        assert_eq!(wanted(&both).as_deref(), Some("websocket"));
        assert_eq!(wanted(&[upgrade]), None);
        assert_eq!(wanted(&[("connection", "upgrade")]), None);
    }

    #[test]
    fn http_inside_http_is_not_asked_for() {
        for protocol in ["h2c", "HTTP/2.0", "websocket, h2c", "TLS/1.3", ""] {
            assert_eq!(
                wanted(&[("connection", "upgrade"), ("upgrade", protocol)]),
                None
            );
        }
        let other = [("connection", "upgrade"), ("upgrade", "irc/6.9")];
        assert!(wanted(&other).is_some());
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        let key = key();
        assert_eq!((key.len(), &key.as_bytes()[22..]), (24, &b"=="[..]));
        assert!(b"AQgw".contains(&key.as_bytes()[21]));
    }
}
