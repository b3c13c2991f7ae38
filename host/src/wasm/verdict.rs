//! Verdicts of filters, and their checks.
//!
//! A verdict that Windlass cannot carry out (a response that is not HTTP, an upstream that is not
//! granted) is a failure of the call. The check comes before the edits of the phase are kept;
//! [`crate::chain`] carries the verdict out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

pub(crate) use super::bindings::types::BodyMode;
use super::bindings::types::{
    ChunkVerdict, LocalResponse, RequestVerdict, ResponseVerdict, RouteHint,
};
use super::failure::CallFailure;
use super::output::message_text;
use super::reserved_fields::parse_name;
use super::state::InstanceState;
use crate::exchange::{MAX_FIELDS, MAX_HEAD};
use crate::model::head::ProblemMembers;

/// The verdict on a head. The routing hint of a request is already in the exchange.
#[derive(Debug)]
pub(crate) enum HeadVerdict {
    /// Go on.
    Next(BodyMode),
    /// Answer with this, in place of the response if there is one.
    Respond(Box<FilterResponse>),
}

/// The verdict of a body phase.
#[derive(Debug)]
pub(crate) enum BodyVerdict {
    /// Forward it.
    Next,
    /// Keep the chunk, and show it again with the next.
    More,
    /// Forward it and everything after it.
    Done,
    /// Answer with this.
    Respond(Box<FilterResponse>),
}

/// A response that a filter made.
#[derive(Debug, Clone)]
pub(crate) struct FilterResponse {
    /// Its status: 200 to 599.
    pub(crate) status: StatusCode,
    /// Its fields, without those that frame the message.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// A stable word for logs.
    pub(crate) reason: String,
    /// Members to add to a problem body.
    pub(crate) members: Option<Box<ProblemMembers>>,
}

/// The longest `reason` that is kept.
const MAX_REASON: usize = 64;

/// Check the verdict of `on-request`, and take its hint. `has_body`: the filter exports the phase
/// for the request's body.
///
/// # Errors
///
/// It cannot be carried out, or the phase has to run again: then its charges are given back.
#[inline]
pub(crate) fn request(
    verdict: RequestVerdict,
    has_body: bool,
    state: &mut InstanceState,
) -> Result<HeadVerdict, CallFailure> {
    if let Some(awaited) = state.awaited.take() {
        state.refund();
        return Err(*awaited);
    }
    match verdict {
        RequestVerdict::Next(mode) => Ok(HeadVerdict::Next(body_mode(mode, has_body)?)),
        RequestVerdict::Route((hint, mode)) => {
            let mode = body_mode(mode, has_body)?;
            take_hint(hint, state)?;
            Ok(HeadVerdict::Next(mode))
        }
        RequestVerdict::Respond(response) => Ok(HeadVerdict::Respond(answer(response, state)?)),
    }
}

/// Check the verdict of `on-response`. `has_body`: the filter exports the phase for the response's
/// body.
///
/// # Errors
///
/// It cannot be carried out.
#[inline]
pub(crate) fn response(
    verdict: ResponseVerdict,
    has_body: bool,
    state: &mut InstanceState,
) -> Result<HeadVerdict, CallFailure> {
    match verdict {
        ResponseVerdict::Next(mode) => Ok(HeadVerdict::Next(body_mode(mode, has_body)?)),
        ResponseVerdict::Replace(response) => Ok(HeadVerdict::Respond(answer(response, state)?)),
    }
}

/// Check the verdict of a body call.
///
/// # Errors
///
/// It cannot be carried out.
pub(crate) fn body(
    verdict: ChunkVerdict,
    state: &mut InstanceState,
) -> Result<BodyVerdict, CallFailure> {
    match verdict {
        ChunkVerdict::Next => Ok(BodyVerdict::Next),
        ChunkVerdict::More => Ok(BodyVerdict::More),
        ChunkVerdict::Done => Ok(BodyVerdict::Done),
        ChunkVerdict::Respond(response) => Ok(BodyVerdict::Respond(answer(response, state)?)),
    }
}

/// Only a filter that exports the phase for a body can ask for the body.
fn body_mode(mode: BodyMode, has_body: bool) -> Result<BodyMode, CallFailure> {
    match mode {
        BodyMode::Chunks | BodyMode::Whole(_) if !has_body => Err(CallFailure::Verdict(
            "it asked for the body, and exports no phase for it".into(),
        )),
        mode => Ok(mode),
    }
}

fn take_hint(hint: RouteHint, state: &mut InstanceState) -> Result<(), CallFailure> {
    let upstream = match hint.upstream {
        Some(name) => match state.grants.upstream(&name) {
            Some(granted) => Some(granted.clone()),
            None => return Err(CallFailure::Upstream(printable(&name))),
        },
        None => None,
    };
    let Some(exchange) = state.exchange.as_mut() else {
        return Ok(());
    };
    let known_hint = exchange.hint.get_or_insert_default();
    known_hint.upstream = upstream.or_else(|| known_hint.upstream.take());
    if !hint.labels.is_empty() {
        known_hint.labels = hint.labels;
    }
    known_hint.affinity = hint.affinity.or_else(|| known_hint.affinity.take());
    let timeout = hint.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
    known_hint.timeout = timeout.or(known_hint.timeout);
    Ok(())
}

/// The reason by which a filter reports that it failed.
const FAILED: &str = "filter_failed";

/// The longest text of a reported failure. Bytes.
const MAX_REPORT: usize = 1024;

fn answer(
    response: LocalResponse,
    state: &mut InstanceState,
) -> Result<Box<FilterResponse>, CallFailure> {
    if response.reason == FAILED {
        let why = report(&response.body);
        return Err(if state.had_no_room.get() {
            CallFailure::NoRoom(why)
        } else {
            CallFailure::Reported(why)
        });
    }
    let (200..=599, Ok(status)) = (response.status, StatusCode::from_u16(response.status)) else {
        let text = format!("status {} is not in 200 to 599", response.status);
        return Err(CallFailure::Verdict(text));
    };
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    let mut size = 0;
    for (name, value) in response.headers {
        size += name.len() + value.len() + 4;
        if size > MAX_HEAD || headers.len() >= MAX_FIELDS {
            let text = format!("its head has more than {MAX_HEAD} bytes or {MAX_FIELDS} fields");
            return Err(CallFailure::Verdict(text));
        }
        let Ok(name) = parse_name(&name) else {
            let name = printable(&name);
            let text = format!("field `{name}` is not a field name, or belongs to the gateway");
            return Err(CallFailure::Verdict(text));
        };
        let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) else {
            let text = format!("the value of field `{name}` holds a byte that no field may hold");
            return Err(CallFailure::Verdict(text));
        };
        headers.append(name, value);
    }
    let reason = if is_word(&response.reason) {
        response.reason
    } else {
        "refused".to_owned()
    };
    Ok(Box::new(FilterResponse {
        status,
        headers,
        body: state.filter_services.answers.reuse(response.body),
        reason,
        members: state.members.take(),
    }))
}

/// The filter's text about its failure: the body of its response, which no client gets.
fn report(body: &[u8]) -> String {
    let body = body.get(..MAX_REPORT).unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => "it does not say why".to_owned(),
        text => message_text(text).into_owned(),
    }
}

/// A name that the filter chose, shortened and escaped for the log.
fn printable(name: &str) -> String {
    name.escape_debug().take(64).collect()
}

/// Whether a reason is a short word, since it goes into logs and metrics.
fn is_word(reason: &str) -> bool {
    !reason.is_empty()
        && reason.len() <= MAX_REASON
        && reason
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}
