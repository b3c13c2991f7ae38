//! From a parsed head to an exchange: refuses heads that hyper accepts and the gateway does not.
//!
//! The rules (RFC 9112 sections 3.2 and 6): one valid host; a target in absolute form replaces `Host`;
//! `Transfer-Encoding` is one single `chunked`, and never beside `Content-Length`. In HTTP/2 (RFC 9113
//! section 8.3.1) `:authority` is the host, a `Host` beside it must be the same, and no value begins or
//! ends with a space or a tab (section 8.2.1). `CONNECT` and `TRACE` are refused (a `TRACE` would show
//! the client the fields that the gateway adds), and so is an expectation other than `100-continue`.
//! After a refused `CONNECT` the connection closes, since its client may already send something other
//! than HTTP. The path rule is in [`crate::route`], the fields that go upstream in
//! [`crate::upstream::headers`].

use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::error::{Code, grpc};
use crate::exchange::{Client, Exchange};
use crate::http::body::Body;
use crate::http::client_body::ClientBody;
use crate::http::client_connection::ClientHandle;
use crate::http::header_flags::HeaderFlags;
use crate::http::headers::list_members;
use crate::model::head::RequestHead;
use crate::proxy::Arrival;
use crate::proxy::worker::{WorkerConnection, next_id};
use crate::upstream::coding::{self, Coding};
use crate::upstream::dispatch::upgrade::Upgrade;

/// Make an exchange of a request's head.
pub(crate) fn receive(connection: &Rc<WorkerConnection>, request: Request<Incoming>) -> Arrival {
    let (mut parts, incoming) = request.into_parts();
    let has_body = !incoming.is_end_stream();
    connection
        .watch
        .set_body_length(incoming.size_hint().exact());
    connection.watch.begin_exchange(has_body);
    let is_http10 = parts.version == Version::HTTP_10;
    connection.watch.exchange.takes_interim.set(!is_http10);
    connection.stats().requests.add(1);
    let seen = HeaderFlags::of_request(&parts.headers);
    let upgrade = requested_upgrade(&mut parts, seen, has_body);
    let head_check = check(connection, &mut parts, seen);
    if head_check.is_err() && parts.method == Method::CONNECT {
        // The bytes after it belong to no request of this connection (RFC 9110 section 9.3.6).
        connection.watch.abandon_body();
    }
    let body = if has_body {
        let continue_pending = seen
            .has(HeaderFlags::EXPECT)
            .then(|| Rc::clone(connection) as Rc<dyn ClientHandle>);
        let watch = Arc::clone(&connection.watch);
        Body::Client(Box::new(ClientBody::new(incoming, watch, continue_pending)))
    } else {
        Body::Empty
    };
    let exchange = Box::new(new_exchange(connection, parts, seen));
    if exchange.grpc {
        // A call may send a message now and then, for hours.
        connection.watch.exempt_body_from_rate();
    }
    Arrival {
        exchange,
        body,
        header_flags: seen,
        head_check,
        upgrade,
        is_http10,
    }
}

/// The protocol that the request asks its connection to switch to, if it asks for one.
fn requested_upgrade(parts: &mut Parts, seen: HeaderFlags, has_body: bool) -> Option<Box<Upgrade>> {
    let asks = parts.method == Method::CONNECT || seen.has(HeaderFlags::UPGRADE);
    let wanted = asks.then(|| Upgrade::wanted(parts, has_body)).flatten();
    wanted.map(Box::new)
}

fn new_exchange(connection: &WorkerConnection, parts: Parts, seen: HeaderFlags) -> Exchange {
    let grpc = seen.has(HeaderFlags::CONTENT_TYPE) && grpc::is_call(&parts.headers);
    let target = match parts.uri.into_parts().path_and_query {
        Some(target) => target,
        None => PathAndQuery::from_static("/"),
    };
    let scheme = if connection.secure {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let client = Client {
        ip: connection.remote.ip(),
        port: connection.remote.port(),
        scheme,
        proxied: connection.facts.clone(),
        tls: connection.tls.clone(),
    };
    let request = RequestHead {
        version: parts.version,
        method: parts.method,
        target,
        headers: parts.headers,
    };
    Exchange {
        grpc,
        ..Exchange::new(next_id(), client, request)
    }
}

fn check(connection: &WorkerConnection, parts: &mut Parts, seen: HeaderFlags) -> Result<(), Code> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Code::NotImplemented);
    }
    let authority = parts.uri.authority();
    let length = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len())
        + authority.map_or(0, |authority| authority.as_str().len());
    if length > connection.listener.max_uri {
        return Err(Code::UriTooLong);
    }
    if parts.version == Version::HTTP_2 {
        if seen.size > connection.listener.max_head {
            return Err(Code::HeadersTooLarge);
        }
        // RFC 9113 section 8.2.1.
        if seen.has(HeaderFlags::PADDED) {
            return Err(Code::MalformedRequest);
        }
        check_authority(parts, seen)?;
        if seen.has(HeaderFlags::COOKIE) {
            join_cookies(&mut parts.headers);
        }
        // hyper bounds the size of a head, counting 32 bytes more for each field, but not the number of fields.
        if parts.headers.len() > connection.listener.max_headers {
            return Err(Code::HeadersTooLarge);
        }
    } else {
        check_host(connection, parts, seen)?;
    }
    if seen.has(HeaderFlags::TRANSFER_ENCODING) {
        check_chunked(connection, &parts.headers)?;
    }
    if !seen.has(HeaderFlags::EXPECT) {
        return Ok(());
    }
    if has_unknown_expectation(&parts.headers) {
        Err(Code::ExpectationFailed)
    } else {
        Ok(())
    }
}

/// Whether the client expects anything but a `100 Continue` (RFC 9110 section 10.1.1).
fn has_unknown_expectation(headers: &HeaderMap) -> bool {
    list_members(headers, &EXPECT).any(|name| !name.eq_ignore_ascii_case(b"100-continue"))
}

/// Require exactly one valid `Host`; the authority of an absolute target replaces it.
fn check_host(
    connection: &WorkerConnection,
    parts: &mut Parts,
    seen: HeaderFlags,
) -> Result<(), Code> {
    match (seen.hosts, parts.headers.get(HOST)) {
        (1, Some(host)) if is_host(host.as_bytes()) => {}
        (0, _) if parts.version == Version::HTTP_10 => {
            // HTTP/1.0 has no `Host`: use the address that the client connected to.
            let host = connection.listener.address.to_string();
            let host = HeaderValue::try_from(host).map_err(|_| Code::BadHost)?;
            parts.headers.insert(HOST, host);
        }
        (_, Some(_) | None) => return Err(Code::BadHost),
    }
    match (parts.uri.scheme(), parts.uri.authority()) {
        (None, None) => Ok(()),
        (Some(_), Some(authority)) => {
            let host = host_of(authority)?;
            parts.headers.insert(HOST, host);
            complete_path(parts)
        }
        (None, Some(_)) | (Some(_), None) => Err(Code::MalformedRequest),
    }
}

/// A target in absolute form may have a query and no path, which then is `/` (RFC 9110 section 4.2.3).
fn complete_path(parts: &mut Parts) -> Result<(), Code> {
    let target = parts.uri.path_and_query().map(PathAndQuery::as_str);
    let Some(target) = target.filter(|target| target.starts_with('?')) else {
        return Ok(());
    };
    let target = format!("/{target}");
    let target = PathAndQuery::try_from(target).map_err(|_| Code::BadPath)?;
    parts.uri = Uri::from(target);
    Ok(())
}

/// Use `:authority` as the host. A `Host` beside it must be the same.
fn check_authority(parts: &mut Parts, seen: HeaderFlags) -> Result<(), Code> {
    let named = parts.headers.get(HOST);
    match (seen.hosts, named, parts.uri.authority()) {
        (0, None, Some(authority)) => {
            let host = host_of(authority)?;
            parts.headers.insert(HOST, host);
            Ok(())
        }
        (1, Some(host), Some(authority)) => {
            let same = host
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes());
            if same && is_host(host.as_bytes()) {
                Ok(())
            } else {
                Err(Code::BadHost)
            }
        }
        (1, Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (_, Some(_) | None, Some(_) | None) => Err(Code::BadHost),
    }
}

/// Join the `Cookie` fields that HTTP/2 may have split (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

fn host_of(authority: &Authority) -> Result<HeaderValue, Code> {
    let text = authority.as_str().as_bytes();
    if !is_host(text) {
        return Err(Code::BadHost);
    }
    HeaderValue::from_bytes(text).map_err(|_| Code::BadHost)
}

/// Whether this is a name or address, with or without a port. Stricter than RFC 3986: no
/// escapes and none of the marks that no real host has.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text.first() {
        Some(b'[') => match text.iter().position(|byte| *byte == b']') {
            Some(end) => text.split_at(end + 1),
            None => return false,
        },
        Some(_) => {
            let colon = memchr::memchr(b':', text).unwrap_or(text.len());
            text.split_at(colon)
        }
        None => return false,
    };
    let valid_name = match name.strip_prefix(b"[") {
        Some(address) => address
            .strip_suffix(b"]")
            .and_then(|address| std::str::from_utf8(address).ok())
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !name.is_empty() && name.iter().all(|byte| is_host_byte(*byte)),
    };
    valid_name && is_port(port)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_port(text: &[u8]) -> bool {
    match text.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => text.is_empty(),
    }
}

/// Check a head's `Transfer-Encoding`: it must be one `chunked`, without `Content-Length`.
fn check_chunked(connection: &WorkerConnection, headers: &HeaderMap) -> Result<(), Code> {
    match coding::from_headers(headers) {
        Coding::Chunked => {}
        Coding::Unknown => return Err(Code::UnknownTransferCoding),
        Coding::Malformed => return Err(Code::MalformedRequest),
    }
    // hyper drops a `Content-Length` beside it, before or after it.
    if connection.watch.exchange.names_length.get() || headers.contains_key(CONTENT_LENGTH) {
        return Err(Code::MalformedRequest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for good in [
            "a",
            "api.example.com",
            "a_b-c.~d",
            "a:80",
            "[::1]",
            "[::1]:8080",
            "1.2.3.4:1",
            "a:",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "u@a", "a:b", "a:123456", "[::1", "[x]", "a,b", "[::1]x",
            "a%00",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
