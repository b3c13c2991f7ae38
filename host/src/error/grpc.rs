//! What gRPC asks of a gateway (the "gRPC over HTTP2" description of its protocol).
//!
//! Its status is in trailers, and an answer of the gateway's own is trailers only: 200, with the
//! status among the fields. Its deadline bounds the whole exchange.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::context::{Exchange, ResponseHead};
use crate::error::Code;

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether this is a call of gRPC (and not of gRPC-Web, whose status is elsewhere).
pub fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the client waits.
pub fn deadline(exchange: &Exchange) -> Option<Duration> {
    if !exchange.grpc {
        return None;
    }
    parse(exchange.request.headers.get(&TIMEOUT)?.to_str().ok()?)
}

/// One to eight digits and a unit.
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

/// The gateway's own error as a call's answer: the head of its error answer, made trailers only.
pub fn error(code: Code, head: &mut ResponseHead) {
    let status = match code {
        Code::DeadlineExceeded => 4,
        _other => of_http(code.status()),
    };
    head.status = StatusCode::OK;
    let headers = &mut head.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(&STATUS, HeaderValue::from(status));
    // None of our texts has a byte that would have to be percent-encoded.
    headers.insert(&MESSAGE, HeaderValue::from_static(code.text()));
}

/// The status that a client makes of an HTTP status ("HTTP to gRPC Status Code Mapping").
fn of_http(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
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
    fn calls_are_told_by_their_content_type() {
        let is = |kind: &'static str| {
            is_call(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static(kind),
            )]))
        };
        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web") && !is("application/json"));
    }

    #[test]
    fn every_text_can_be_a_message() {
        for code in Code::ALL {
            let text = code.text();
            assert!(
                text.bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'%')
            );
        }
    }
}
