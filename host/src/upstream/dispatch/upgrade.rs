//! A request that asks for another protocol on its connection (RFC 9110 section 7.8), WebSocket
//! above all, over HTTP/1.1 or as an extended `CONNECT` of HTTP/2 (RFC 8441), on either side.
//!
//! A request for it may have a body (`POST /exec/{id}/start` of Docker's API has): it is read whole
//! before the request is sent. One that is longer than that goes on as an ordinary request.
//!
//! Promises: only what the endpoint agreed to is passed; a change to another version of HTTP or to
//! TLS is never asked for, since what came after it would pass by every filter unseen.
//! Deliberately not here: the bytes that pass afterwards ([`crate::proxy`]).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, response};
use http_body::Body as _;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncRead, AsyncWrite};

use super::replay::ReplayBody;
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::http::headers::has_connection_option;
use crate::upstream::connection::http2::Http2Stream;
use crate::upstream::connection::pool::Pool;
use crate::upstream::endpoint::state::ConnectionPermit;
use crate::upstream::queue::ActiveRequest;

/// The largest body of a request that can become a tunnel. Bytes.
const MOST_BODY: usize = 64 * 1024;
/// The most chunks that it may come in.
const MOST_CHUNKS: usize = 4096;

/// The upgrade that a request asks for, and the endpoint's answer to it.
#[derive(Debug)]
pub(crate) struct Upgrade {
    protocol: HeaderValue,
    /// The client's `Sec-WebSocket-Key`, or one in its place.
    key: Option<HeaderValue>,
    agreed: RefCell<Option<HeaderValue>>,
    /// Whether the endpoint was asked by an extended `CONNECT`.
    connects: Cell<bool>,
    /// The client's side, where it is a stream of HTTP/2.
    pub(crate) stream: RefCell<Option<OnUpgrade>>,
    /// The endpoint's side, once it has agreed.
    pub(crate) upgraded: RefCell<Option<UpgradedConnection>>,
}

/// A connection to an endpoint that is not HTTP any more.
#[derive(Debug)]
pub(crate) struct UpgradedConnection {
    pub(crate) stream: Box<dyn Duplex>,
    /// Bytes that were read of it already.
    pub(crate) read: Bytes,
    /// Counts the request as active at the endpoint.
    pub(crate) active: ActiveRequest,
    /// The permit for the connection, or the stream.
    pub(crate) carrier: Carrier,
    /// The worker's connections to that endpoint: by them it learns that the endpoint has left.
    #[expect(
        dead_code,
        reason = "`Pools::reap` keeps, and asks, the pools that somebody holds"
    )]
    pub(crate) pool: Rc<Pool>,
    /// How long neither side may say anything. Milliseconds; none: for ever.
    pub(crate) idle: Option<u64>,
}

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug> Duplex for T {}

/// The connection or stream of a tunnel, until it ends.
#[derive(Debug)]
#[expect(dead_code, reason = "kept, and released when it is dropped")]
pub(crate) enum Carrier {
    /// A whole connection.
    Connection(ConnectionPermit),
    /// A stream of HTTP/2.
    Stream(Http2Stream),
}

impl Upgrade {
    /// The upgrade that a request asks for, if it may. An extended `CONNECT` becomes the `GET` that it
    /// replaces.
    pub(crate) fn wanted(parts: &mut Parts, has_body: bool) -> Option<Self> {
        if parts.version == Version::HTTP_2 {
            return match has_body {
                true => None,
                false => Self::of_connect(parts),
            };
        }
        let listed = has_connection_option(&parts.headers, "upgrade");
        let protocol = parts.headers.get(UPGRADE)?;
        let asks = parts.version == Version::HTTP_11 && listed && may_pass(protocol);
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).cloned();
        asks.then(|| Self::to(protocol.clone(), key, None))
    }

    fn of_connect(parts: &mut Parts) -> Option<Self> {
        let protocol = parts.extensions.get::<Protocol>()?;
        if parts.method != Method::CONNECT || protocol.as_str() != "websocket" {
            return None;
        }
        let stream = parts.extensions.remove::<OnUpgrade>()?;
        parts.method = Method::GET;
        // HTTP/2 needs no proof that the other side knows WebSocket; HTTP/1.1 does.
        let key = key();
        parts.headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        let protocol = HeaderValue::from_static("websocket");
        Some(Self::to(protocol, Some(key), Some(stream)))
    }

    fn to(protocol: HeaderValue, key: Option<HeaderValue>, stream: Option<OnUpgrade>) -> Self {
        Self {
            protocol,
            key,
            agreed: RefCell::new(None),
            connects: Cell::new(false),
            stream: RefCell::new(stream),
            upgraded: RefCell::new(None),
        }
    }

    /// Whether the client's side is a stream of HTTP/2.
    #[must_use]
    pub(crate) fn is_stream(&self) -> bool {
        self.stream.borrow().is_some()
    }

    /// Ask for it over HTTP/1.1.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
        if let Some(key) = &self.key {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }

    /// Ask for it over HTTP/2, as an extended `CONNECT`. That is done for WebSocket alone; a request
    /// for another protocol stays an ordinary one.
    pub(crate) fn ask_by_connect(&self, request: &mut Request<Body>) {
        let is_websocket = self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
        // Without a key, or with a body, it is no handshake of a WebSocket's (RFC 6455 section 4.2.1).
        let is_handshake = self.key.is_some() && request.body().is_empty();
        if !is_websocket || !is_handshake || request.method() != Method::GET {
            return;
        }
        self.connects.set(true);
        *request.method_mut() = Method::CONNECT;
        let protocol = h2::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        // The protocol's name replaces it (RFC 8441 section 5).
        request.headers_mut().remove(SEC_WEBSOCKET_KEY);
    }

    /// A request that was not sent is as it was before [`Self::ask_by_connect`].
    pub(crate) fn take_back(&self, request: &mut Request<Body>) {
        if self.connects.take() {
            *request.method_mut() = Method::GET;
            request.extensions_mut().remove::<h2::ext::Protocol>();
        }
        self.ask(request.headers_mut());
    }

    /// Whether the endpoint agrees to the upgrade. Its response is a `101` then, however it came. A `101` for
    /// which this is false agrees to something that may not pass.
    pub(crate) fn agree(&self, answer: &mut response::Parts) -> bool {
        if self.connects.get() && answer.status.is_success() {
            answer.status = StatusCode::SWITCHING_PROTOCOLS;
            if let Some(key) = &self.key {
                let accept = accept(key.as_bytes());
                answer.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
            return true;
        }
        answer.status == StatusCode::SWITCHING_PROTOCOLS && self.agrees(&answer.headers)
    }

    /// False: to something that may not pass.
    fn agrees(&self, headers: &HeaderMap) -> bool {
        let agreed = headers.get(UPGRADE);
        *self.agreed.borrow_mut() = agreed.cloned();
        agreed.is_none_or(may_pass)
    }

    /// Say what was agreed on.
    pub(crate) fn say(&self, headers: &mut HeaderMap) {
        let agreed = self.agreed.borrow_mut().take();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, agreed.unwrap_or_else(|| self.protocol.clone()));
    }
}

/// The part of a request's body that was read before the request is sent.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// All of it. An endpoint may then switch as soon as it likes (RFC 9110 section 7.8: the client
    /// has sent its request completely before it uses the other protocol).
    Whole(Body),
    /// More than is waited for. It cannot be part of an upgrade.
    Longer(Body),
}

/// Read the body of a request that asks for an upgrade.
///
/// # Errors
///
/// It did not come, or is not as it should be.
pub(crate) async fn gather(body: Body) -> Result<Gathered, BodyError> {
    let exact = body.size_hint().exact();
    if exact.is_some_and(|exact| exact > MOST_BODY as u64) {
        return Ok(Gathered::Longer(body));
    }
    // The bytes that were read stay in it, for a body that turns out to be longer.
    let replay = ReplayBody::new(body, usize::MAX);
    let mut reader = replay.restart().unwrap_or_default();
    let (mut chunks, mut size): (Vec<Bytes>, usize) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut reader).poll_frame(cx)).await {
        let data = frame?.into_data().unwrap_or_default();
        size += data.len();
        chunks.push(data);
        if size > MOST_BODY || chunks.len() > MOST_CHUNKS {
            let longer = replay.restart().unwrap_or_default();
            replay.stop_keeping();
            return Ok(Gathered::Longer(longer));
        }
    }
    let whole = match chunks.as_slice() {
        [chunk] => chunk.clone(),
        chunks => chunks.concat().into(),
    };
    Ok(Gathered::Whole(Body::full(whole)))
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

/// The proof that the other side knows WebSocket (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> HeaderValue {
    const KNOWN: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(KNOWN);
    let text = BASE64_STANDARD.encode(context.finish());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Sixteen bytes by chance, in base64.
fn key() -> HeaderValue {
    let text = BASE64_STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
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

    #[test]
    fn a_request_that_comes_back_is_as_it_was() {
        let websocket = HeaderValue::from_static("websocket");
        let upgrade = Upgrade::to(websocket, Some(key()), None);
        let mut request = Request::new(Body::Empty);
        upgrade.ask(request.headers_mut());
        let asked = request.headers().clone();
        upgrade.ask_by_connect(&mut request);
        assert_eq!(request.method(), Method::CONNECT);
        assert!(request.extensions().get::<h2::ext::Protocol>().is_some());
        upgrade.take_back(&mut request);
        assert_eq!(request.method(), Method::GET);
        assert!(request.extensions().get::<h2::ext::Protocol>().is_none());
        assert_eq!(*request.headers(), asked);
    }

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_proof_is_that_of_the_rfc() {
        let accept = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
