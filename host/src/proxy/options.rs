//! `OPTIONS` requests that end at the gateway (RFC 9110 sections 7.6.2 and 9.3.7).
//!
//! `OPTIONS *` asks about the server as a whole, and that is the gateway. `Max-Forwards: 0` says that
//! no other server shall answer; a larger number is lowered by one. `TRACE`, the other method that has
//! the field, is never forwarded. Preflights of browsers have neither; filters ([`super::find`]) and
//! endpoints answer those.

use http::header::{ALLOW, HOST, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::error::{Code, RequestError};
use crate::exchange::Exchange;
use crate::model::head::ResponseHead;
use crate::proxy::generation::Generation;
use crate::route::{self, RequestFacts};

/// The methods that `Allow` names, if routes take them.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The gateway's own response to an `OPTIONS` request; none if the request goes on.
///
/// # Errors
///
/// No route has the path, or `Max-Forwards` is not a number.
pub(super) fn answer(
    generation: &Generation,
    exchange: &mut Exchange,
) -> Result<Option<ResponseHead>, RequestError> {
    let head = &mut exchange.request;
    if head.target.as_str() == "*" {
        return Ok(Some(allowing(&METHODS.each_ref())));
    }
    match take_max_forwards(&mut head.headers)? {
        Some(0) => {}
        Some(_) | None => return Ok(None),
    }
    let target = route::normalize(head.target.as_str())
        .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
    let (path, query) = route::split_query(&target);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let router = &generation.gateway.router;
    let takes = |method: &&Method| {
        let facts = RequestFacts {
            host: host.unwrap_or_default(),
            method,
            path,
            query: query.unwrap_or_default(),
            headers: &head.headers,
            client: exchange.client.ip,
        };
        router.find_for(&facts).is_ok()
    };
    let methods: Vec<&Method> = METHODS.iter().filter(takes).collect();
    if methods.is_empty() {
        Err(Code::NoRoute.into())
    } else {
        Ok(Some(allowing(&methods)))
    }
}

fn allowing(methods: &[&Method]) -> ResponseHead {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    let allow = HeaderValue::try_from(names.join(", ")).ok();
    ResponseHead {
        status: StatusCode::NO_CONTENT,
        headers: allow.map(|allow| (ALLOW, allow)).into_iter().collect(),
    }
}

/// The value of `Max-Forwards`, if there is one. The field is lowered by one for the next server.
fn take_max_forwards(headers: &mut HeaderMap) -> Result<Option<u32>, RequestError> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    let text = match (lines.next(), lines.next()) {
        (None, _) => return Ok(None),
        (Some(line), None) => line.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => "",
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Code::MalformedRequest.into());
    }
    // A number beyond ours counts as our largest.
    let left = text.parse().unwrap_or(u32::MAX);
    if let Some(lower) = left.checked_sub(1) {
        headers.insert(MAX_FORWARDS, lower.into());
    }
    Ok(Some(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(lines: &[&str]) -> (Result<Option<u32>, Code>, Option<String>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(MAX_FORWARDS, HeaderValue::from_str(line).unwrap());
        }
        let left = take_max_forwards(&mut headers).map_err(|error| error.code());
        let sent = headers.get(MAX_FORWARDS);
        (left, sent.map(|sent| sent.to_str().unwrap().to_owned()))
    }

    #[test]
    fn rfc9110_7_6_2_max_forwards_is_lowered_by_one() {
        let sent = |text: &str| Some(text.to_owned());
        assert_eq!(lowered(&[]), (Ok(None), None));
        assert_eq!(lowered(&["0"]), (Ok(Some(0)), sent("0")));
        assert_eq!(lowered(&["1"]), (Ok(Some(1)), sent("0")));
        assert_eq!(lowered(&["010"]), (Ok(Some(10)), sent("9")));
        let large = lowered(&["99999999999999999999"]);
        assert_eq!(large, (Ok(Some(u32::MAX)), sent("4294967294")));
    }

    #[test]
    fn max_forwards_that_is_no_number_is_an_error() {
        for lines in [
            &["-1"][..],
            &["+1"],
            &[""],
            &["1.5"],
            &["1, 1"],
            &["1", "1"],
        ] {
            let is_error = lowered(lines).0 == Err(Code::MalformedRequest);
            assert!(is_error, "{lines:?}");
        }
    }
}
