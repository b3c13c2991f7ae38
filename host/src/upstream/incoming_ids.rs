//! The request id and the trace that a trusted proxy gave a request.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::exchange::Exchange;
use crate::http::headers::REQUEST_ID;
use crate::model::request_id::RequestId;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id that a trusted proxy gave the request, and its trace.
pub(super) fn adopt_ids(exchange: &mut Exchange) {
    let headers = &exchange.request.headers;
    let id = only(headers, &REQUEST_ID).and_then(RequestId::from_proxy);
    let trace = only(headers, &TRACEPARENT).filter(|trace| is_trace(trace.as_bytes()));
    exchange.trace = trace.cloned().map(Box::new);
    if let Some(id) = id {
        exchange.id = id;
    }
}

/// The value of a field that occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// Whether this is a `traceparent` of version 00 (W3C Trace Context, section 3.2).
fn is_trace(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let mut part = |length: usize| {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let part = parts.next().filter(|part| part.len() == length)?;
        part.iter().all(is_digit).then_some(part)
    };
    let (version, trace, parent, flags) = (part(2), part(32), part(16), part(2));
    let set = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().any(|byte| *byte != b'0'));
    version == Some(b"00") && set(trace) && set(parent) && flags.is_some() && parts.next().is_none()
}
