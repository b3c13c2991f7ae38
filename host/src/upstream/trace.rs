//! The trace that a request is part of: `traceparent` and `tracestate` (W3C Trace Context).
//!
//! Windlass records no spans. So a trace that it passes on stays as it is, and the caller's span stays the
//! parent of the endpoint's. A malformed `traceparent` counts as none; then `tracestate` goes no further
//! (section 4.3 of the specification). Deliberately not here: what the access log says.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::{ForwardingTrust, join_values};
use crate::config::TraceContext;
use crate::exchange::Exchange;
use crate::http::header_flags::HeaderFlags;
use crate::http::headers::only_value;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00. Bytes.
const LENGTH: usize = 55;
/// The most members of a `tracestate` (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;
/// A longer `tracestate` loses members (section 3.3.1.5). Bytes.
const MAX_STATE: usize = 512;
/// Members that are longer than this go first. Bytes.
const LARGE_MEMBER: usize = 128;

/// Keep, start or remove the trace of a request. `believed`: a trusted proxy sent it.
pub(super) fn apply(
    trust: ForwardingTrust<'_>,
    believed: bool,
    seen: HeaderFlags,
    exchange: &mut Exchange,
) {
    let context = trust.rules.trace_context;
    let headers = &mut exchange.request.headers;
    let mut parent = None;
    if seen.has(HeaderFlags::TRACE) {
        let is_kept = match context {
            TraceContext::Pass | TraceContext::Start => true,
            TraceContext::Restart => believed,
            TraceContext::Drop => false,
        };
        let sent = only_value(headers, &TRACEPARENT).filter(|_| is_kept);
        parent = sent.filter(|sent| is_trace(sent.as_bytes())).cloned();
        match parent {
            Some(_) => limit_state(headers),
            None => {
                headers.remove(&TRACEPARENT);
                headers.remove(&TRACESTATE);
            }
        }
    }
    let starts = matches!(context, TraceContext::Start | TraceContext::Restart);
    if parent.is_none() && starts {
        let value = start(trust.rules.trace_sampled);
        headers.insert(&TRACEPARENT, value.clone());
        parent = Some(value);
    }
    // A stranger's trace is logged only if each request has one.
    exchange.trace = parent.filter(|_| believed || starts).map(Box::new);
}

/// A new trace.
fn start(is_sampled: bool) -> HeaderValue {
    let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
    let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(is_sampled));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether this is a `traceparent` (section 3.2.2): of version 00, or of a later one that begins like it
/// (section 4.3).
fn is_trace(value: &[u8]) -> bool {
    let (known, rest) = value.split_at_checked(LENGTH).unwrap_or((value, &[]));
    let mut parts = known.split(|byte| *byte == b'-');
    let mut part = |length: usize| {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let part = parts.next().filter(|part| part.len() == length)?;
        part.iter().all(is_digit).then_some(part)
    };
    let (version, trace, parent, flags) = (part(2), part(32), part(16), part(2));
    let set = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().any(|byte| *byte != b'0'));
    let is_whole = match (version, rest) {
        (Some(b"ff") | None, _) => false,
        (Some(b"00"), rest) => rest.is_empty(),
        (Some(_), rest) => matches!(rest, [] | [b'-', ..]),
    };
    is_whole && set(trace) && set(parent) && flags.is_some() && parts.next().is_none()
}

/// Remove a `tracestate` that is malformed, and shorten one that is too long.
fn limit_state(headers: &mut HeaderMap) {
    let list = join_values(headers, &TRACESTATE);
    if list.is_empty() {
        return;
    }
    match shortened(&list) {
        Some(Cow::Borrowed(_)) => {}
        Some(Cow::Owned(list)) => match HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
            Ok(list) => drop(headers.insert(&TRACESTATE, list)),
            Err(_) => drop(headers.remove(&TRACESTATE)),
        },
        None => drop(headers.remove(&TRACESTATE)),
    }
}

/// The list within the bounds; none if it is malformed.
fn shortened(list: &[u8]) -> Option<Cow<'_, [u8]>> {
    let members = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut members: Vec<&[u8]> = members.filter(|member| !member.is_empty()).collect();
    if members.len() > MAX_MEMBERS || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    if list.len() <= MAX_STATE {
        return Some(Cow::Borrowed(list));
    }
    let length = |members: &[&[u8]]| members.iter().map(|member| member.len() + 1).sum::<usize>();
    while length(&members) > MAX_STATE + 1 {
        let large = members
            .iter()
            .rposition(|member| member.len() > LARGE_MEMBER);
        let last = members.len().checked_sub(1)?;
        members.remove(large.unwrap_or(last));
    }
    Some(Cow::Owned(members.join(&b","[..])))
}

/// Whether it is `key=value` (section 3.3.1.3).
fn is_member(member: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'=', member) else {
        return false;
    };
    let (key, value) = member.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    let is_key =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let is_value = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    (1..=256).contains(&key.len())
        && key.iter().all(is_key)
        && (1..=256).contains(&value.len())
        && value.iter().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_by_its_version() {
        for good in [
            format!("00-{ID}-01"),
            format!("00-{ID}-ff"),
            format!("01-{ID}-00"),
            format!("cc-{ID}-00-more"),
        ] {
            assert!(is_trace(good.as_bytes()), "{good}");
        }
        for bad in [
            String::new(),
            format!("00-{ID}"),
            format!("00-{ID}-1"),
            format!("00-{ID}-01-"),
            format!("00-{ID}-01-more"),
            format!("01-{ID}-01more"),
            format!("ff-{ID}-01"),
            format!("00-{}-01", ID.to_uppercase()),
            format!("00-{}-01", ID.replace('4', "g")),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-{}-01", "1".repeat(32), "0".repeat(16)),
        ] {
            assert!(!is_trace(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_trace_that_starts_is_one() {
        for is_sampled in [false, true] {
            let value = start(is_sampled);
            assert!(is_trace(value.as_bytes()), "{value:?}");
            assert_eq!(value.as_bytes().ends_with(b"-01"), is_sampled);
            assert_ne!(start(is_sampled), value);
        }
    }

    #[test]
    fn a_malformed_state_is_none() {
        let many = vec!["a=1"; MAX_MEMBERS + 1].join(",");
        for bad in ["a", "=1", "a=", "A=1", "a=1=2", "a=\u{e9}", "a b=1", &many] {
            assert_eq!(shortened(bad.as_bytes()), None, "{bad}");
        }
        for good in ["a=1", "vendor@system=x y, b=2 ,, c=!", "0a/b*=-"] {
            let same = Some(Cow::Borrowed(good.as_bytes()));
            assert_eq!(shortened(good.as_bytes()), same, "{good}");
        }
    }

    #[test]
    fn a_long_state_loses_large_members_and_then_the_last() {
        let member = |key: &str, length: usize| format!("{key}={}", "x".repeat(length));
        let list = [
            member("a", 100),
            member("b", 200),
            member("c", 100),
            member("d", 100),
            member("e", 100),
            member("f", 100),
        ];
        let left = shortened(list.join(",").as_bytes()).unwrap().into_owned();
        let expected = [&list[0], &list[2], &list[3], &list[4]].map(String::as_str);
        assert_eq!(left, expected.join(",").as_bytes());
    }
}
