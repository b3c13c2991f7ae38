//! Two consumers in turn on one instance.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Kit, Verdict};
use crate::exchange::AttributeValue;
use crate::plugin_test::TestError;
use crate::plugin_test::exchange_result::ExchangeResult;
use crate::plugin_test::stimulus::Stimulus;

/// How often the two come, in each form.
const ROUNDS: usize = 4;

const REQUEST_FIELD: HeaderName = HeaderName::from_static("x-conformance-request");
const RESPONSE_FIELD: HeaderName = HeaderName::from_static("x-conformance-response");

pub(super) fn two_consumers(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let under = kit.filter(&host)?;
    let mut exchanges = 0;
    for has_body in [false, true] {
        for round in 0..ROUNDS {
            let marks = ["one", "two"].map(|who| format!("{who}-{:016x}", fastrand::u64(..)));
            let [first, second] = &marks;
            // The same one comes first and last, so that its traces are looked for after both.
            let pairs = [(first, second), (second, first)];
            for (own, other) in pairs {
                let stimulus = marked(kit.stimulus("two-consumers"), own, has_body);
                let result = kit.pass(&under, &stimulus, None)?;
                exchanges += 1;
                if let Some(place) = find(&result, other) {
                    return Ok(Verdict::failed(
                        "nothing of another client's exchange",
                        format!(
                            "{place} holds `{other}`, which the client before it sent (round {}): the filter keeps a client's data between exchanges",
                            round + 1
                        ),
                        result.lines,
                    ));
                }
            }
            // The first one's mark again, after the second's exchange.
            let plain = kit.pass(&under, &kit.stimulus("two-consumers"), None)?;
            exchanges += 1;
            for mark in [first, second] {
                if let Some(place) = find(&plain, mark) {
                    return Ok(Verdict::failed(
                        "nothing of another client's exchange",
                        format!(
                            "{place} holds `{mark}`, which a client before it sent (round {}): the filter keeps a client's data between exchanges",
                            round + 1
                        ),
                        plain.lines,
                    ));
                }
            }
        }
    }
    Ok(Verdict::passed(format!("{exchanges} exchanges")))
}

/// The exchange with a text that is only in it.
fn marked(mut stimulus: Stimulus, mark: &str, has_body: bool) -> Stimulus {
    if let Ok(value) = HeaderValue::try_from(mark) {
        stimulus.headers.insert(REQUEST_FIELD, value.clone());
        stimulus.response_headers.insert(RESPONSE_FIELD, value);
    }
    let target = stimulus.target.as_str();
    let sign = if target.contains('?') { '&' } else { '?' };
    if let Ok(target) = PathAndQuery::try_from(format!("{target}{sign}conformance={mark}")) {
        stimulus.target = target;
    }
    let attribute = AttributeValue::Text(mark.to_owned());
    let attribute = ("conformance.mark".to_owned(), attribute);
    stimulus.attributes.push(attribute);
    if has_body {
        let mark = Bytes::from(mark.to_owned());
        stimulus.body.pieces.push(mark.clone());
        stimulus.response_body.pieces.push(mark);
    }
    stimulus
}

/// Where the result of an exchange holds a text.
fn find(result: &ExchangeResult, text: &str) -> Option<String> {
    if let Some(request) = &result.request {
        if request.target.as_str().contains(text) {
            return Some("the request's target".to_owned());
        }
        let place = in_message("request", &request.headers, &request.body, text);
        if place.is_some() {
            return place;
        }
    }
    let response = &result.response;
    let place = in_message("response", &response.headers, &response.body, text);
    if place.is_some() {
        return place;
    }
    let attribute = result.exchange.with(|exchange| {
        let mut attributes = exchange.attributes.iter();
        let found = attributes.find(|(_, value)| match value {
            AttributeValue::Text(value) => value.contains(text),
            AttributeValue::Bytes(value) => holds(value, text),
            AttributeValue::Number(_) | AttributeValue::Flag(_) => false,
        });
        found.map(|(name, _)| format!("the attribute `{name}`"))
    });
    let line = || {
        let line = result.lines.iter().find(|line| line.contains(text));
        line.map(|_| "a log line".to_owned())
    };
    attribute.or_else(line)
}

fn in_message(what: &str, fields: &HeaderMap, body: &[u8], text: &str) -> Option<String> {
    let mut fields = fields.iter();
    let field = fields.find(|(_, value)| holds(value.as_bytes(), text));
    let field = field.map(|(name, _)| format!("the {what}'s field `{name}`"));
    field.or_else(|| holds(body, text).then(|| format!("the {what}'s body")))
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
