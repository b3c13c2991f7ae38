//! The fields that Windlass removes from a head or sets in it before it forwards the head.
//!
//! Hop-by-hop fields, and fields that `Connection` names, go no further than one connection in either
//! direction (RFC 9110 section 7.6.1); framing belongs to each connection. Fields by which a client
//! says who it is ([`identity_fields`]) count only if a trusted proxy forwarded
//! them ([`hops`]). Edits by filters come before, in the chain.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body as _;
use ipnet::IpNet;

use crate::http::header_flags::HeaderFlags;
use crate::http::headers::{REQUEST_ID, only_value, strip};
use crate::http::identity_fields;

use super::{LocalEndpoint, Upstream, hops, trace};
use crate::config::{ForwardedFields, ForwardingRules, HostRule, TraceContext};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::http::client_connection::ClientConnection;
use crate::model::request_id::RequestId;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
static CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// The clients that the operator trusts, the fields that all may send, and those that endpoints get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardingTrust<'a> {
    /// Trusted proxies.
    pub(crate) proxies: &'a [IpNet],
    /// Fields that any client may send, although they are dropped by default.
    pub(crate) fields: &'a [HeaderName],
    /// The rules by which endpoints learn of clients and traces.
    pub(crate) rules: ForwardingRules,
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
    if seen.has(HeaderFlags::EXPECT) {
        // The gateway answers an expectation itself when it begins to read the body.
        headers.remove(EXPECT);
    }
    if seen.has(HeaderFlags::AMBIGUOUS) {
        identity_fields::drop_look_alikes(headers, trust.fields);
        exchange.has_ambiguous_fields = true;
    }
    if believed {
        trust_forwarded(connection, trust, exchange);
    } else {
        if seen.has(HeaderFlags::CLAIM) {
            identity_fields::drop_identity_fields(headers, trust.fields);
        }
        name_client(connection, trust.rules, headers);
    }
    if seen.has(HeaderFlags::TRACE) || trust.rules.trace_context != TraceContext::Pass {
        trace::apply(trust, believed, seen, exchange);
    }
    name_certificate(connection, exchange);
    let id = exchange.id.value().clone();
    exchange.request.headers.insert(&REQUEST_ID, id);
}

/// Name a client that no trusted proxy forwards.
fn name_client(connection: &ClientConnection, rules: ForwardingRules, headers: &mut HeaderMap) {
    let host = headers.get(HOST).cloned();
    if rules.forwarded_fields.has_forwarded() {
        let mut list = Vec::new();
        hops::write_element(&mut list, connection, rules.forwarded_node, host.as_ref());
        set_list(headers, FORWARDED, list);
    }
    if rules.forwarded_fields.has_x() {
        headers.insert(&FORWARDED_FOR, connection.forwarded_for.clone());
        headers.insert(&FORWARDED_PROTO, scheme(connection));
        if let Some(host) = host {
            headers.insert(&FORWARDED_HOST, host);
        }
    }
}

/// Name the client's certificate, if the listener does, and remove all that the request said of it (RFC 9440
/// section 4), also if a trusted proxy sent it: the certificate is then the proxy's own.
fn name_certificate(connection: &ClientConnection, exchange: &mut Exchange) {
    if !connection.listener.forwards_certificates() {
        return;
    }
    let headers = &mut exchange.request.headers;
    let certificate = exchange.client.certificate();
    let own = certificate.map(|certificate| certificate.field.clone());
    let chain = certificate.and_then(|certificate| certificate.chain_field.clone());
    for (name, value) in [(&CLIENT_CERT, own), (&CLIENT_CERT_CHAIN, chain)] {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
}

/// Set a field to a list, or remove it if that is no value.
fn set_list(headers: &mut HeaderMap, name: HeaderName, list: Vec<u8>) {
    match HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        Ok(list) => drop(headers.insert(name, list)),
        Err(_) => drop(headers.remove(name)),
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
fn trust_forwarded(
    connection: &ClientConnection,
    trust: ForwardingTrust<'_>,
    exchange: &mut Exchange,
) {
    let id = only_value(&exchange.request.headers, &REQUEST_ID).and_then(RequestId::from_proxy);
    if let Some(id) = id {
        exchange.id = id;
    }
    let headers = &mut exchange.request.headers;
    let mut list = join_values(headers, &FORWARDED_FOR);
    let forwarded = join_values(headers, &FORWARDED);
    let elements = hops::elements(&forwarded);
    if list.is_empty() {
        // Write both forms, since an endpoint may read only one.
        let nodes = elements.iter().map(|hop| match hops::address(hop.node) {
            Some(ip) => ip.to_string(),
            None => "unknown".to_owned(),
        });
        list = nodes.collect::<Vec<_>>().join(", ").into_bytes();
    }
    let client = hops::client(trust.proxies, hops::entries(&list));
    if let Some(client) = client {
        exchange.client.ip = client.ip;
    }
    let count = hops::entries(&list).count();
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
    append_forwarded(connection, trust.rules, headers, forwarded, &list);
    append_x_forwarded(connection, trust.rules, headers, list, is_https);
}

/// Append this hop to `X-Forwarded-For`, or remove the fields of that form.
fn append_x_forwarded(
    connection: &ClientConnection,
    rules: ForwardingRules,
    headers: &mut HeaderMap,
    mut list: Vec<u8>,
    is_https: bool,
) {
    if !rules.forwarded_fields.has_x() {
        for name in [&FORWARDED_FOR, &FORWARDED_PROTO, &FORWARDED_HOST] {
            headers.remove(name);
        }
        return;
    }
    let own = &connection.forwarded_for;
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(own.as_bytes());
    let list = HeaderValue::from_maybe_shared(bytes::Bytes::from(list));
    headers.insert(&FORWARDED_FOR, list.unwrap_or_else(|_| own.clone()));
    let proto = HeaderValue::from_static(if is_https { "https" } else { "http" });
    headers.insert(&FORWARDED_PROTO, proto);
    if !headers.contains_key(&FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(&FORWARDED_HOST, host);
    }
}

/// Append this hop to `Forwarded`, or remove that field. `list` has the hops before as addresses.
fn append_forwarded(
    connection: &ClientConnection,
    rules: ForwardingRules,
    headers: &mut HeaderMap,
    mut forwarded: Vec<u8>,
    list: &[u8],
) {
    if !rules.forwarded_fields.has_forwarded() {
        let is_sent = rules.forwarded_fields == ForwardedFields::XForwarded;
        if forwarded.is_empty() || !is_sent {
            headers.remove(FORWARDED);
            return;
        }
        let node = hops::format_node(connection.remote.ip());
        return set_list(
            headers,
            FORWARDED,
            [&*forwarded, node.as_bytes()].join(&b", "[..]),
        );
    }
    if forwarded.is_empty() {
        let nodes = hops::entries(list).map(|hop| match hops::address(hop) {
            Some(ip) => hops::format_node(ip),
            None => "for=unknown".to_owned(),
        });
        forwarded = nodes.collect::<Vec<_>>().join(", ").into_bytes();
    }
    if !forwarded.is_empty() {
        forwarded.extend_from_slice(b", ");
    }
    let host = headers.get(HOST);
    hops::write_element(&mut forwarded, connection, rules.forwarded_node, host);
    set_list(headers, FORWARDED, forwarded);
}

/// All lines of a field as one list.
pub(super) fn join_values(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut list = Vec::new();
    for line in headers.get_all(name) {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(line.as_bytes());
    }
    list
}

/// The `host` field for this endpoint. That of the route goes before that of the upstream.
pub(crate) fn set_host(
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
    exchange: &Exchange,
    headers: &mut HeaderMap,
) {
    let route = exchange.route.as_ref();
    if let Some(host) = route.and_then(|route| route.rewrite.host.as_ref()) {
        headers.insert(HOST, host.clone());
        return;
    }
    match (&upstream.config.host, &upstream.host) {
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
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
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
    set_host(upstream, endpoint, exchange, headers);
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
