//! gRPC's rules for gateways (the "gRPC over HTTP2" description of its protocol).
//!
//! gRPC has its status in trailers, so an answer of the gateway itself is trailers only: HTTP
//! status 200, with the gRPC status among the header fields. A call's deadline bounds the whole
//! exchange.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::error::Code;
use crate::model::head::ResponseHead;

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The bytes of a message that are encoded: all but printable ASCII, and `%`.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// The longest body text that becomes a message. Bytes.
const MAX_MESSAGE: usize = 512;

/// Whether the request is a gRPC call. gRPC-Web is none: it has its status elsewhere.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the client of a call waits.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(&TIMEOUT)?.to_str().ok()?)
}

/// Reads one to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Turns the head of an error answer into trailers only.
pub(crate) fn error(code: Code, head: &mut ResponseHead) {
    let status = match code {
        Code::DeadlineExceeded => 4,
        _other => status_of_http(code.status()),
    };
    trailers_only(status, code.text(), head);
}

/// Whether an answer is gRPC already.
#[must_use]
pub(crate) fn is_grpc_response(headers: &HeaderMap) -> bool {
    headers.contains_key(&STATUS) || is_call(headers)
}

/// Turns the answer of a filter or a route into trailers only: its status becomes a gRPC status,
/// its text the message, and its `Retry-After` the pushback.
pub(crate) fn answer(status: StatusCode, reason: &str, body: &[u8], head: &mut ResponseHead) {
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_text = kind.is_none_or(|kind| kind.starts_with(b"text/plain"));
    let text = std::str::from_utf8(body).ok().map(str::trim);
    let text = text.filter(|text| is_text && !text.is_empty());
    let phrase = status.canonical_reason().unwrap_or("Error");
    let message = match (text, reason) {
        (Some(text), _) => text.get(..text.floor_char_boundary(MAX_MESSAGE)),
        (None, "") => Some(phrase),
        (None, reason) => Some(reason),
    };
    trailers_only(status_of_http(status), message.unwrap_or(phrase), head);
}

fn trailers_only(status: u16, message: &str, head: &mut ResponseHead) {
    head.status = StatusCode::OK;
    let headers = &mut head.headers;
    for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(&STATUS, HeaderValue::from(status));
    // The encoding leaves only characters that a field may have.
    let message = utf8_percent_encode(message, ENCODED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(&MESSAGE, message);
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    if let Some(seconds) = seconds.and_then(|seconds| seconds.parse::<u64>().ok()) {
        headers.insert(&PUSHBACK, pushback(seconds));
    }
}

/// The time before the client may retry, as milliseconds in a signed 32-bit number. -1 forbids a
/// retry (gRFC A6).
fn pushback(seconds: u64) -> HeaderValue {
    let millis = seconds.saturating_mul(1000);
    i32::try_from(millis).map_or(HeaderValue::from_static("-1"), HeaderValue::from)
}

/// The gRPC status for an HTTP status. It follows "HTTP to gRPC Status Code Mapping", except for
/// callers that ask too often or too much, and for requests that are invalid.
fn status_of_http(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 | 414 | 422 => 3,
        408 => 4,
        403 => 7,
        413 | 429 | 431 => 8,
        409 => 10,
        404 | 405 | 501 => 12,
        500 | 508 => 13,
        502..=504 => 14,
        401 => 16,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_digits_and_a_unit() {
        assert_eq!(parse("1S"), Some(Duration::from_secs(1)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        for bad in ["", "S", "1", "1s", "-1S", "123456789S", "1é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn calls_are_recognised_by_their_content_type() {
        let is = |kind: &'static str| {
            is_call(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static(kind),
            )]))
        };
        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web") && !is("application/json"));
    }

    fn refused(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> ResponseHead {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let mut head = ResponseHead {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields.collect(),
        };
        answer(head.status, "quota spent", body.as_bytes(), &mut head);
        head
    }

    #[test]
    fn a_refusal_is_trailers_only_with_its_status_message_and_wait() {
        for (status, grpc) in [
            (400, "3"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (413, "8"),
            (429, "8"),
            (431, "8"),
            (500, "13"),
            (503, "14"),
            (302, "2"),
        ] {
            let head = refused(status, &[("content-encoding", "gzip")], "");
            assert_eq!(
                (head.status, &head.headers["grpc-status"]),
                (StatusCode::OK, &HeaderValue::from_static(grpc))
            );
            assert_eq!(head.headers["content-type"], "application/grpc");
            assert_eq!(head.headers["grpc-message"], "quota spent");
            assert!(!head.headers.contains_key("content-encoding"));
            assert!(!head.headers.contains_key("grpc-retry-pushback-ms"));
        }
    }

    #[test]
    fn the_wait_is_in_milliseconds_and_a_very_long_one_says_never() {
        for (seconds, millis) in [("7", "7000"), ("0", "0"), ("2592000", "-1")] {
            let head = refused(429, &[("retry-after", seconds)], "");
            assert_eq!(head.headers["retry-after"], seconds);
            assert_eq!(head.headers["grpc-retry-pushback-ms"], millis);
        }
        let date = refused(503, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "");
        assert!(!date.headers.contains_key("grpc-retry-pushback-ms"));
    }

    #[test]
    fn a_text_is_the_message_and_other_bodies_are_not() {
        let text = refused(
            403,
            &[("content-type", "text/plain; charset=utf-8")],
            "100 % né\n",
        );
        assert_eq!(text.headers["grpc-message"], "100 %25 n%C3%A9");
        let json = refused(403, &[("content-type", "application/json")], "{}");
        assert_eq!(json.headers["grpc-message"], "quota spent");
        let long = refused(403, &[], &"é".repeat(1000));
        assert_eq!(long.headers["grpc-message"].len(), MAX_MESSAGE * 3);
    }

    #[test]
    fn answers_in_grpc_are_recognised() {
        let headers = |name: &'static str, value: &'static str| {
            let name = HeaderName::from_static(name);
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        assert!(is_grpc_response(&headers("grpc-status", "5")));
        assert!(is_grpc_response(&headers(
            "content-type",
            "application/grpc+proto"
        )));
        assert!(!is_grpc_response(&headers(
            "content-type",
            "application/json"
        )));
    }
}
