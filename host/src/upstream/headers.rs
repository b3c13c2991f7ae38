//! The fields that Windlass removes from a head or sets in it before it forwards the head.
//!
//! Hop-by-hop fields, and fields that `Connection` names, go no further than one connection in either
//! direction (RFC 9110 section 7.6.1); framing belongs to each connection. Fields by which a client
//! says who it is ([`identity_fields`](super::identity_fields)) count only if a trusted proxy forwarded
//! them ([`hops`](super::hops)). Edits by filters come before, in the chain.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body as _;
use ipnet::IpNet;

pub(crate) use super::header_flags::HeaderFlags;

use super::hops;
use super::incoming_ids;
use super::{Upstream, UpstreamEndpoint};
use crate::config::HostRule;
use crate::exchange::{Exchange, names};
use crate::http::body::Body;
use crate::http::client_connection::ClientConnection;
use crate::upstream::identity_fields;
use crate::upstream::identity_fields::FieldKind;

/// The id of the exchange, for the endpoint and the client.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A proof of a client's key (RFC 9449 section 4.1).
static DPOP: HeaderName = HeaderName::from_static("dpop");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// Remove the fields that concern only the connection of a head. `te: trailers` stays, since the gateway
/// forwards trailers.
pub(crate) fn strip(headers: &mut HeaderMap, seen: HeaderFlags) {
    if seen.has(HeaderFlags::NAMES_FIELDS) {
        strip_named(headers);
    } else if seen.has(HeaderFlags::CONNECTION) {
        headers.remove(CONNECTION);
    }
    if seen.has(HeaderFlags::TE) {
        let keeps_trailers = takes_trailers(headers);
        headers.remove(TE);
        if keeps_trailers {
            headers.insert(TE, TRAILERS.clone());
        }
    }
    let rest = [
        (HeaderFlags::KEEP_ALIVE, &KEEP_ALIVE),
        (HeaderFlags::PROXY_CONNECTION, &PROXY_CONNECTION),
        (HeaderFlags::TRANSFER_ENCODING, &TRANSFER_ENCODING),
        (HeaderFlags::UPGRADE, &UPGRADE),
        (HeaderFlags::CONTENT_LENGTH, &CONTENT_LENGTH),
    ];
    for (field, name) in rest {
        if seen.has(field) {
            headers.remove(name);
        }
    }
    if seen.has(HeaderFlags::PROXY_AUTH) {
        // RFC 9110 section 11.7: these are for the nearest proxy.
        for name in &PROXY_AUTH {
            headers.remove(name);
        }
    }
}

/// Credentials for a proxy and its challenge, of either direction.
static PROXY_AUTH: [HeaderName; 3] = [
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Remove `Connection` and the fields that it names, but never `host`.
fn strip_named(headers: &mut HeaderMap) {
    let Entry::Occupied(connection) = headers.entry(CONNECTION) else {
        return;
    };
    let mut named: smallvec::SmallVec<[HeaderName; 4]> = smallvec::SmallVec::new();
    for line in connection.remove_entry_mult().1 {
        let line = line.as_bytes();
        if is_connection_option(line) {
            continue;
        }
        let names = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let names = names.filter(|token| !is_connection_option(token));
        let names = names.filter_map(|token| HeaderName::from_bytes(token).ok());
        named.extend(names.filter(|name| *name != HOST && *name != TE));
    }
    for name in named {
        headers.remove(name);
    }
}

/// Whether an option of `Connection` names no field.
pub(super) fn is_connection_option(option: &[u8]) -> bool {
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

/// The clients that the operator trusts, and the fields that all may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardingTrust<'a> {
    /// Trusted proxies.
    pub(crate) proxies: &'a [IpNet],
    /// Fields that any client may send, although they are dropped by default.
    pub(crate) fields: &'a [HeaderName],
}

/// Prepare a request's head for forwarding: strip it, add the fields about the client, and the request id.
/// From here on `exchange.client` and `exchange.id` are those that trusted proxies gave.
pub(crate) fn forward(
    connection: &ClientConnection,
    trust: ForwardingTrust<'_>,
    seen: HeaderFlags,
    exchange: &mut Exchange,
) {
    let proxies = trust.proxies;
    let believed = !proxies.is_empty() && hops::is_trusted(proxies, connection.remote.ip());
    let headers = &mut exchange.request.headers;
    strip(headers, seen);
    exchange.takes_trailers = seen.has(HeaderFlags::TE) && headers.contains_key(TE);
    if seen.expect() {
        // The gateway answers an expectation itself when it begins to read the body.
        headers.remove(EXPECT);
    }
    if seen.has(HeaderFlags::AMBIGUOUS) {
        identity_fields::drop_look_alikes(headers, trust.fields);
        exchange.has_ambiguous_fields = true;
    }
    if believed {
        trust_forwarded(connection, proxies, exchange);
    } else {
        if seen.has(HeaderFlags::CLAIM) {
            identity_fields::drop_identity_fields(headers, trust.fields);
        }
        headers.insert(&FORWARDED_FOR, connection.forwarded_for.clone());
        headers.insert(&FORWARDED_PROTO, scheme(connection));
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(&FORWARDED_HOST, host);
        }
    }
    let id = exchange.id.value().clone();
    exchange.request.headers.insert(&REQUEST_ID, id);
}

/// Whether every client may send a field that a filter reads: a field with an unusual name, but not one that
/// looks like an identity field.
#[must_use]
pub(crate) fn is_allowed_from_clients(name: &str) -> bool {
    identity_fields::field_kind(name) == FieldKind::Ambiguous
        && identity_fields::field_kind(&names::normalize(name)) != FieldKind::Identity
}

/// Remove identity and routing fields from a request's trailers: they belong to the head (RFC 9110 section
/// 6.5.1), and some servers merge both.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    identity_fields::drop_identity_fields(trailers, &[]);
    identity_fields::drop_look_alikes(trailers, &[]);
    for name in [&AUTHORIZATION, &COOKIE, &DPOP, &HOST, &REQUEST_ID] {
        trailers.remove(name);
    }
    for name in &PROXY_AUTH {
        trailers.remove(name);
    }
}

fn scheme(connection: &ClientConnection) -> HeaderValue {
    HeaderValue::from_static(if connection.secure { "https" } else { "http" })
}

/// Add the prefix that was removed from the path, after the one that a trusted proxy removed.
pub(crate) fn forward_prefix(prefix: &HeaderValue, headers: &mut HeaderMap) {
    let before = headers.get(&FORWARDED_PREFIX).map(HeaderValue::as_bytes);
    let before = before.map(|before| before.strip_suffix(b"/").unwrap_or(before));
    let whole = before.map(|before| [before, prefix.as_bytes()].concat());
    let whole = whole.and_then(|whole| HeaderValue::from_bytes(&whole).ok());
    headers.insert(&FORWARDED_PREFIX, whole.unwrap_or_else(|| prefix.clone()));
}

/// The connection comes from a trusted proxy: append to its fields, and read from them the client (the
/// rightmost address that is not a trusted proxy's), its scheme, and the request id.
fn trust_forwarded(connection: &ClientConnection, trusted: &[IpNet], exchange: &mut Exchange) {
    incoming_ids::adopt_ids(exchange);
    let headers = &mut exchange.request.headers;
    let own = &connection.forwarded_for;
    let mut list = join_values(headers, &FORWARDED_FOR);
    let forwarded = join_values(headers, &FORWARDED);
    let elements = hops::elements(&forwarded);
    if list.is_empty() {
        // Write both forms, since an endpoint may read only one.
        let known = elements.iter().map(|hop| match hops::address(hop.node) {
            Some(ip) => ip.to_string(),
            None => "unknown".to_owned(),
        });
        list = known.collect::<Vec<_>>().join(", ").into_bytes();
    }
    let client = hops::client(trusted, hops::entries(&list));
    if let Some(client) = client {
        exchange.client.ip = client.ip;
    }
    let count = hops::entries(&list).count();
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(own.as_bytes());
    let list = HeaderValue::from_maybe_shared(bytes::Bytes::from(list));
    headers.insert(&FORWARDED_FOR, list.unwrap_or_else(|_| own.clone()));
    let protos = join_values(headers, &FORWARDED_PROTO);
    let words: Vec<&[u8]> = if protos.is_empty() {
        elements.iter().filter_map(|hop| hop.proto).collect()
    } else {
        hops::entries(&protos).collect()
    };
    let word = hops::client_word(&words, count, client);
    if let Some(scheme) = word.and_then(hops::scheme) {
        exchange.client.scheme = scheme;
    }
    let is_https = exchange.client.scheme == Scheme::HTTPS;
    let proto = HeaderValue::from_static(if is_https { "https" } else { "http" });
    headers.insert(&FORWARDED_PROTO, proto);
    if !headers.contains_key(&FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(&FORWARDED_HOST, host);
    }
    if !forwarded.is_empty() {
        let node = hops::format_node(connection.remote.ip());
        let whole = [&*forwarded, node.as_bytes()].join(&b", "[..]);
        match HeaderValue::from_maybe_shared(bytes::Bytes::from(whole)) {
            Ok(whole) => headers.insert(FORWARDED, whole),
            Err(_) => headers.remove(FORWARDED),
        };
    }
}

/// All lines of a field as one list.
fn join_values(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut list = Vec::new();
    for line in headers.get_all(name) {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(line.as_bytes());
    }
    list
}

/// The `host` field for this endpoint.
pub(crate) fn set_host(plan: &Upstream, endpoint: &UpstreamEndpoint, headers: &mut HeaderMap) {
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
pub(crate) fn build_request(
    plan: &Upstream,
    endpoint: &UpstreamEndpoint,
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
    let version = head.version;
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.target.clone());
    *request.headers_mut() = headers;
    let headers = request.headers_mut();
    set_host(plan, endpoint, headers);
    if let Some((name, value)) = framing {
        headers.insert(name, value);
    }
    if let Some(route) = &exchange.route {
        route.via.add(version, headers);
    }
    if exchange.takes_trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    request
}

/// Framing that hyper does not add by itself: `chunked` for a body of unknown size with any method, and
/// a length of 0 for a method that usually has a body.
fn framing(method: &Method, body: &Body) -> Option<(HeaderName, HeaderValue)> {
    if body.is_empty() {
        let usual = *method == Method::POST || *method == Method::PUT || *method == Method::PATCH;
        return usual.then(|| (CONTENT_LENGTH, HeaderValue::from_static("0")));
    }
    let unknown = body.size_hint().exact().is_none();
    unknown.then(|| (TRANSFER_ENCODING, CHUNKED.clone()))
}

/// An address without its port, if that is the scheme's default: clients leave it out (RFC 9110 section
/// 4.2.3), and some servers accept no other name.
#[must_use]
pub(crate) fn authority(address: &str, is_tls: bool) -> &str {
    let port = if is_tls { ":443" } else { ":80" };
    address.strip_suffix(port).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn only_the_schemes_own_port_is_left_out() {
        for (address, is_tls, host) in [
            ("orders.internal:80", false, "orders.internal"),
            ("orders.internal:443", true, "orders.internal"),
            ("orders.internal:443", false, "orders.internal:443"),
            ("orders.internal:80", true, "orders.internal:80"),
            ("10.0.0.1:8080", false, "10.0.0.1:8080"),
            ("10.0.0.1:8443", true, "10.0.0.1:8443"),
            ("[::1]:80", false, "[::1]"),
        ] {
            assert_eq!(authority(address, is_tls), host);
        }
    }
}
