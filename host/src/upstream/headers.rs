//! Fields that must not pass, or that the gateway itself sets.
//!
//! Hop-by-hop fields and those that `Connection` names go no further than one connection, in
//! either direction (RFC 9110 section 7.6.1); framing is each connection's own. What a client
//! says of who it is counts only if a trusted proxy passed it on. Deliberately not here: edits
//! by filters.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body as _;

use super::{EndpointPlan, Plan};
use crate::body::Body;
use crate::config::{Cidr, HostRule};
use crate::context::Exchange;
use crate::worker::ClientConnection;

/// Names the exchange to the endpoint and to the client.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// Which of the fields that matter here a head has: found in one pass, since most heads have
/// few of them, and a look-up costs as much as a pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    fields: u16,
    hosts: u8,
}

impl Seen {
    const CONNECTION: u16 = 1;
    const KEEP_ALIVE: u16 = 1 << 1;
    const PROXY_CONNECTION: u16 = 1 << 2;
    const TE: u16 = 1 << 3;
    const TRANSFER_ENCODING: u16 = 1 << 4;
    const UPGRADE: u16 = 1 << 5;
    const CONTENT_LENGTH: u16 = 1 << 6;
    const EXPECT: u16 = 1 << 7;
    const FORWARDED: u16 = 1 << 8;
    const FORWARDED_PREFIX: u16 = 1 << 9;
    const CONTENT_TYPE: u16 = 1 << 10;
    const COOKIE: u16 = 1 << 11;

    /// Look at a head.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, _) in headers {
            seen.fields |= match name.as_str() {
                "connection" => Self::CONNECTION,
                "keep-alive" => Self::KEEP_ALIVE,
                "proxy-connection" => Self::PROXY_CONNECTION,
                "te" => Self::TE,
                "transfer-encoding" => Self::TRANSFER_ENCODING,
                "upgrade" => Self::UPGRADE,
                "content-length" => Self::CONTENT_LENGTH,
                "content-type" => Self::CONTENT_TYPE,
                "cookie" => Self::COOKIE,
                "expect" => Self::EXPECT,
                "forwarded" => Self::FORWARDED,
                "x-forwarded-prefix" => Self::FORWARDED_PREFIX,
                "host" => {
                    seen.hosts = seen.hosts.saturating_add(1);
                    0
                }
                _ => 0,
            };
        }
        seen
    }

    fn has(self, field: u16) -> bool {
        self.fields & field != 0
    }

    /// How many `Host` lines there are.
    #[must_use]
    pub fn hosts(self) -> u8 {
        self.hosts
    }

    /// Whether there is a `Transfer-Encoding`.
    #[must_use]
    pub fn transfer_encoding(self) -> bool {
        self.has(Self::TRANSFER_ENCODING)
    }

    /// Whether there is a `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> bool {
        self.has(Self::CONTENT_TYPE)
    }

    /// Whether there is a `Cookie`.
    #[must_use]
    pub fn cookie(self) -> bool {
        self.has(Self::COOKIE)
    }

    /// Whether there is an `Upgrade`.
    #[must_use]
    pub fn upgrade(self) -> bool {
        self.has(Self::UPGRADE)
    }

    /// Whether there is an `Expect`.
    #[must_use]
    pub fn expect(self) -> bool {
        self.has(Self::EXPECT)
    }
}

/// Remove from a head what concerns only the connection that it came on. `te: trailers` stays:
/// the gateway passes trailers on.
pub fn strip(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::CONNECTION) {
        strip_named(headers);
    }
    if seen.has(Seen::TE) {
        let keeps_trailers = takes_trailers(headers);
        headers.remove(TE);
        if keeps_trailers {
            headers.insert(TE, TRAILERS.clone());
        }
    }
    let rest = [
        (Seen::KEEP_ALIVE, &KEEP_ALIVE),
        (Seen::PROXY_CONNECTION, &PROXY_CONNECTION),
        (Seen::TRANSFER_ENCODING, &TRANSFER_ENCODING),
        (Seen::UPGRADE, &UPGRADE),
        (Seen::CONTENT_LENGTH, &CONTENT_LENGTH),
    ];
    for (field, name) in rest {
        if seen.has(field) {
            headers.remove(name);
        }
    }
}

/// Remove `Connection` and what it names. `host` stays whatever it says.
fn strip_named(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION);
    let mut named: smallvec::SmallVec<[HeaderName; 4]> = smallvec::SmallVec::new();
    for line in lines {
        let line = line.as_bytes();
        if is_plain(line) {
            continue;
        }
        let names = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let names = names.filter(|token| !is_plain(token));
        let names = names.filter_map(|token| HeaderName::from_bytes(token).ok());
        named.extend(names.filter(|name| *name != HOST && *name != TE));
    }
    headers.remove(CONNECTION);
    for name in named {
        headers.remove(name);
    }
}

/// Whether an option of `Connection` names no field.
fn is_plain(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|coding| coding.split(|byte| *byte == b';').next())
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Make a request's head fit to be sent on: strip it, say who sent it, name it. From here on
/// `exchange.client` is who the trusted proxies say it is.
pub fn forward(
    connection: &ClientConnection,
    trusted: &[Cidr],
    seen: Seen,
    exchange: &mut Exchange,
) {
    let believed = !trusted.is_empty() && is_trusted(trusted, connection.remote.ip());
    let headers = &mut exchange.request.headers;
    strip(headers, seen);
    if seen.expect() {
        // The gateway itself answers an expectation, when it begins to read the body.
        headers.remove(EXPECT);
    }
    if believed {
        believe(connection, trusted, exchange);
    } else {
        if seen.has(Seen::FORWARDED) {
            headers.remove(FORWARDED);
        }
        if seen.has(Seen::FORWARDED_PREFIX) {
            headers.remove(&FORWARDED_PREFIX);
        }
        headers.insert(&FORWARDED_FOR, connection.forwarded_for.clone());
        headers.insert(&FORWARDED_PROTO, scheme(connection));
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(&FORWARDED_HOST, host);
        }
    }
    let id = request_id(exchange);
    exchange.request.headers.insert(&REQUEST_ID, id);
}

fn scheme(connection: &ClientConnection) -> HeaderValue {
    HeaderValue::from_static(if connection.secure { "https" } else { "http" })
}

/// Say what was taken off the front of the path, after what a trusted proxy took off before.
pub fn forward_prefix(prefix: &HeaderValue, headers: &mut HeaderMap) {
    let before = headers.get(&FORWARDED_PREFIX).map(HeaderValue::as_bytes);
    let before = before.map(|before| before.strip_suffix(b"/").unwrap_or(before));
    let whole = before.map(|before| [before, prefix.as_bytes()].concat());
    let whole = whole.and_then(|whole| HeaderValue::from_bytes(&whole).ok());
    headers.insert(&FORWARDED_PREFIX, whole.unwrap_or_else(|| prefix.clone()));
}

/// The exchange's id as a field.
#[must_use]
pub fn request_id(exchange: &Exchange) -> HeaderValue {
    HeaderValue::from_str(exchange.id.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The connection is a trusted proxy's: append to what it says, and take from it who the client
/// is (the rightmost address that is not a trusted proxy's) and how it came.
fn believe(connection: &ClientConnection, trusted: &[Cidr], exchange: &mut Exchange) {
    let headers = &mut exchange.request.headers;
    let mut list = Vec::new();
    for line in headers.get_all(&FORWARDED_FOR) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    let client = std::str::from_utf8(&list)
        .ok()
        .and_then(|list| nearest_untrusted(trusted, list));
    if let Some(ip) = client {
        exchange.client.ip = ip;
    }
    list.extend_from_slice(connection.forwarded_for.as_bytes());
    let list = HeaderValue::from_maybe_shared(bytes::Bytes::from(list));
    let list = list.unwrap_or_else(|_| connection.forwarded_for.clone());
    headers.insert(&FORWARDED_FOR, list);
    match headers.get(&FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => exchange.client.scheme = Scheme::HTTPS,
        Some(b"http") => exchange.client.scheme = Scheme::HTTP,
        Some(_) | None => {
            headers.insert(&FORWARDED_PROTO, scheme(connection));
        }
    }
    if !headers.contains_key(&FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(&FORWARDED_HOST, host);
    }
}

/// The rightmost address of the list that is not trusted; if all are, the leftmost. An entry
/// that is no address ends the search: what is left of it is hearsay.
fn nearest_untrusted(trusted: &[Cidr], list: &str) -> Option<IpAddr> {
    let mut nearest = None;
    for entry in list
        .rsplit(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let ip = entry.parse::<IpAddr>().ok()?.to_canonical();
        nearest = Some(ip);
        if !is_trusted(trusted, ip) {
            break;
        }
    }
    nearest
}

fn is_trusted(trusted: &[Cidr], ip: IpAddr) -> bool {
    trusted.iter().any(|block| holds(block, ip))
}

fn holds(block: &Cidr, ip: IpAddr) -> bool {
    let (block_bits, bits, width) = match (block.address, ip) {
        (IpAddr::V4(block), IpAddr::V4(ip)) => {
            (u128::from(block.to_bits()), u128::from(ip.to_bits()), 32)
        }
        (IpAddr::V6(block), IpAddr::V6(ip)) => (block.to_bits(), ip.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let ignored = u32::from(width - block.prefix.min(width));
    let differing = (block_bits ^ bits).checked_shr(ignored).unwrap_or(0);
    differing == 0
}

/// What goes as `host` to this endpoint.
pub fn address(plan: &Plan, endpoint: &EndpointPlan, headers: &mut HeaderMap) {
    match (&plan.config.host, &plan.host) {
        (HostRule::Preserve, _) | (HostRule::Literal(_), None) => {}
        (HostRule::Endpoint, _) => {
            headers.insert(HOST, endpoint.host.clone());
        }
        (HostRule::Literal(_), Some(host)) => {
            headers.insert(HOST, host.clone());
        }
    }
}

/// The request as it goes to an endpoint. `keep` leaves the head in the exchange, for filters
/// and logs that look at it later.
pub fn outgoing(
    plan: &Plan,
    endpoint: &EndpointPlan,
    exchange: &mut Exchange,
    body: Body,
    keep: bool,
) -> Request<Body> {
    let head = &mut exchange.request;
    let headers = if keep {
        head.headers.clone()
    } else {
        std::mem::take(&mut head.headers)
    };
    let framing = framing(&head.method, &body);
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.target.clone());
    *request.headers_mut() = headers;
    let headers = request.headers_mut();
    address(plan, endpoint, headers);
    if let Some((name, value)) = framing {
        headers.insert(name, value);
    }
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    request
}

/// What hyper does not say by itself: that a body of unknown size is chunked whatever the
/// method, and that a method which usually has a body has none.
fn framing(method: &Method, body: &Body) -> Option<(HeaderName, HeaderValue)> {
    if body.is_empty() {
        let usual = *method == Method::POST || *method == Method::PUT || *method == Method::PATCH;
        return usual.then(|| (CONTENT_LENGTH, HeaderValue::from_static("0")));
    }
    let unknown = body.size_hint().exact().is_none();
    unknown.then(|| (TRANSFER_ENCODING, CHUNKED.clone()))
}
