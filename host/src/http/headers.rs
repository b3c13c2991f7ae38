//! Fields that concern one connection only, or say who sent a request, and their removal.
//!
//! Hop-by-hop fields and those that `Connection` names go no further than one connection, in either direction
//! (RFC 9110 section 7.6.1). Deliberately not here: the fields that the gateway sets of itself (`upstream`).

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_spelling;
use super::header_flags::{HeaderFlags, is_connection_option};
use super::identity_fields::{self, FieldKind};

/// The id of the exchange, for the endpoint and the client.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A proof of a client's key (RFC 9449 section 4.1).
static DPOP: HeaderName = HeaderName::from_static("dpop");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// The members of a list field, of all its lines (RFC 9110 section 5.6.1).
pub(crate) fn list_members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The value of a field that occurs exactly once.
pub(crate) fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// Whether `Connection` has this option.
pub(crate) fn has_connection_option(headers: &HeaderMap, option: &str) -> bool {
    let mut options = list_members(headers, &CONNECTION);
    options.any(|name| name.eq_ignore_ascii_case(option.as_bytes()))
}

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

fn takes_trailers(headers: &HeaderMap) -> bool {
    list_members(headers, &TE)
        .filter_map(|coding| coding.split(|byte| *byte == b';').next())
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether every client may send a field that a filter reads: a field with an unusual name, but not one that
/// looks like an identity field.
#[must_use]
pub(crate) fn is_allowed_from_clients(name: &str) -> bool {
    identity_fields::field_kind(name) == FieldKind::Ambiguous
        && identity_fields::field_kind(&field_spelling::normalize(name)) != FieldKind::Identity
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
