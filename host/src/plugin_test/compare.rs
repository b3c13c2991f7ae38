//! Compares what came of a case with what its table expects.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::callouts::CallsLeft;
use super::exchange_result::{ExchangeResult, SeenRefusal};
use super::stimulus::attributes;
use crate::config::{
    CaseExpectation, CaseFields, ExpectedFailure, ExpectedHint, ExpectedRefusal, ExpectedRequest,
    ExpectedResponse, ExpectedVerdict,
};
use crate::exchange::{AttributeValue, Exchange};
use crate::model::word::Word as _;

/// The most of a text that a report shows. Characters.
const SHOWN: usize = 400;

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The key of the case's table: `expect.request.headers.x-a`.
    pub(crate) key: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
}

impl Mismatch {
    pub(super) fn new(
        key: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
            seen: seen.into(),
        }
    }

    /// Something is wrong with the case itself.
    pub(super) fn of_case(problem: String) -> Self {
        Self::new("case", "a case that can be run", problem)
    }
}

/// The differences of one message, refusal or hint.
struct Comparison<'a> {
    part: &'static str,
    found: &'a mut Vec<Mismatch>,
}

impl Comparison<'_> {
    fn differ(&mut self, key: &str, expected: impl Into<String>, seen: impl Into<String>) {
        let key = format!("expect.{}{key}", self.part);
        self.found.push(Mismatch::new(key, expected, seen));
    }

    /// A text, if one is expected.
    fn text(&mut self, key: &str, expected: Option<&str>, seen: &str) {
        if let Some(expected) = expected.filter(|expected| *expected != seen) {
            self.differ(key, quoted(expected), quoted(seen));
        }
    }

    fn body(&mut self, expected: Option<&str>, seen: &Bytes) {
        if let Some(expected) = expected.filter(|expected| expected.as_bytes() != seen) {
            self.differ(".body", quoted(expected), bytes(seen));
        }
    }

    fn fields(&mut self, key: &str, expected: &CaseFields, seen: &HeaderMap) {
        for name in expected.0.keys() {
            if !expected
                .0
                .get_all(name)
                .iter()
                .eq(seen.get_all(name).iter())
            {
                let (expected, seen) = (values(&expected.0, name), values(seen, name));
                self.differ(&format!("{key}.{name}"), expected, seen);
            }
        }
    }

    fn absent(&mut self, absent: &[HeaderName], seen: &HeaderMap) {
        for name in absent.iter().filter(|name| seen.contains_key(*name)) {
            self.differ(".absent", format!("no `{name}`"), values(seen, name));
        }
    }
}

/// Compare an exchange.
pub(super) fn result(expect: &CaseExpectation, result: &ExchangeResult, found: &mut Vec<Mismatch>) {
    failure(expect.failure.as_ref(), result, found);
    let ending = result.ending().to_string();
    if let Some(verdict) = expect.verdict {
        let seen = match (&result.failure, &result.refusal) {
            (Some(_), _) => ExpectedVerdict::Failure,
            (None, Some(_)) => ExpectedVerdict::Refusal,
            (None, None) => ExpectedVerdict::Next,
        };
        if verdict != seen {
            let seen = format!("{}: {ending}", seen.word());
            found.push(Mismatch::new("expect.verdict", verdict.word(), seen));
        }
    }
    match (&expect.request, &result.request) {
        (None, _) => {}
        (Some(_), None) => {
            let wanted = "a request that reaches the endpoint";
            found.push(Mismatch::new("expect.request", wanted, &*ending));
        }
        (Some(expected), Some(_)) => request(expected, result, found),
    }
    if let Some(expected) = &expect.response {
        response(expected, result, found);
    }
    match (&expect.refusal, &result.refusal) {
        (None, _) => {}
        (Some(_), None) => {
            let wanted = "a response of the filter's own";
            found.push(Mismatch::new("expect.refusal", wanted, &*ending));
        }
        (Some(expected), Some(seen)) => refusal(expected, seen, found),
    }
    result
        .exchange
        .with(|exchange| facts(expect, exchange, found));
    for text in &expect.log {
        if !result.lines.iter().any(|line| line.contains(text)) {
            let wanted = format!("a line that contains {}", quoted(text));
            let seen = format!("{} lines without it", result.lines.len());
            found.push(Mismatch::new("expect.log", wanted, seen));
        }
    }
    for text in &expect.not_logged {
        if let Some(line) = result.lines.iter().find(|line| line.contains(text)) {
            let wanted = format!("no line that contains {}", quoted(text));
            found.push(Mismatch::new("expect.not_logged", wanted, line.to_string()));
        }
    }
}

/// A failure that is not expected fails the case, as does one that is and did not come.
fn failure(expected: Option<&ExpectedFailure>, result: &ExchangeResult, found: &mut Vec<Mismatch>) {
    let ending = || result.ending().to_string();
    match (expected, &result.failure) {
        (None, None) => {}
        (None, Some((kind, text))) => {
            let seen = format!("{kind}: {text}");
            found.push(Mismatch::new("expect.failure", "no failure", seen));
        }
        (Some(_), None) => found.push(Mismatch::new("expect.failure", "a failure", ending())),
        (Some(expected), Some((kind, text))) => {
            if let Some(wanted) = expected.kind.as_ref().filter(|wanted| *wanted != kind) {
                found.push(Mismatch::new(
                    "expect.failure.kind",
                    quoted(wanted),
                    quoted(kind),
                ));
            }
            if let Some(wanted) = &expected.text
                && !text.contains(wanted.as_str())
            {
                let wanted = format!("a text that contains {}", quoted(wanted));
                found.push(Mismatch::new("expect.failure.text", wanted, text.clone()));
            }
        }
    }
}

fn request(expected: &ExpectedRequest, result: &ExchangeResult, found: &mut Vec<Mismatch>) {
    let Some(seen) = &result.request else { return };
    let part = "request";
    let mut compare = Comparison { part, found };
    let method = expected.method.as_ref().map(http::Method::as_str);
    compare.text(".method", method, seen.method.as_str());
    compare.text(".path", expected.path.as_deref(), seen.target.as_str());
    compare.fields(".headers", &expected.headers, &seen.headers);
    compare.absent(&expected.absent, &seen.headers);
    compare.body(expected.body.as_deref(), &seen.body);
    compare.fields(".trailers", &expected.trailers, &seen.trailers);
}

fn response(expected: &ExpectedResponse, result: &ExchangeResult, found: &mut Vec<Mismatch>) {
    let seen = &result.response;
    if let Some(status) = expected.status.filter(|status| *status != seen.status) {
        let (wanted, seen) = (status.as_u16().to_string(), result.ending().to_string());
        found.push(Mismatch::new("expect.response.status", wanted, seen));
    }
    let part = "response";
    let mut compare = Comparison { part, found };
    compare.fields(".headers", &expected.headers, &seen.headers);
    compare.absent(&expected.absent, &seen.headers);
    compare.body(expected.body.as_deref(), &seen.body);
    compare.fields(".trailers", &expected.trailers, &seen.trailers);
    if let Some(cut) = expected.cut.filter(|cut| *cut != seen.cut) {
        compare.differ(".cut", cut.to_string(), seen.cut.to_string());
    }
}

fn refusal(expected: &ExpectedRefusal, seen: &SeenRefusal, found: &mut Vec<Mismatch>) {
    let part = "refusal";
    let mut compare = Comparison { part, found };
    if let Some(status) = expected.status.filter(|status| *status != seen.status) {
        let (wanted, seen) = (status.as_u16(), seen.status.as_u16());
        compare.differ(".status", wanted.to_string(), seen.to_string());
    }
    compare.text(".code", expected.code.as_deref(), &seen.code);
    compare.fields(".headers", &expected.headers, &seen.headers);
    compare.absent(&expected.absent, &seen.headers);
    compare.body(expected.body.as_deref(), &seen.body);
}

/// Attributes, notes and the hint.
fn facts(expect: &CaseExpectation, exchange: &Exchange, found: &mut Vec<Mismatch>) {
    let read = |name: &str| {
        let set = exchange.attributes.find(name).cloned();
        set.or_else(|| exchange.host_fact(name))
    };
    for (name, expected) in attributes(&expect.attributes.json) {
        let seen = read(&name);
        if seen.as_ref() != Some(&expected) {
            let seen = seen.as_ref().map_or("not set".to_owned(), attribute);
            let key = format!("expect.attributes.{name}");
            found.push(Mismatch::new(key, attribute(&expected), seen));
        }
    }
    for name in &expect.absent_attributes {
        if let Some(seen) = exchange.attributes.find(name) {
            let wanted = format!("no attribute `{name}`");
            found.push(Mismatch::new(
                "expect.absent_attributes",
                wanted,
                attribute(seen),
            ));
        }
    }
    for (key, expected) in &expect.notes {
        let seen = exchange.notes.find(0, key);
        if seen.map(Vec::as_slice) != Some(expected.as_bytes()) {
            let seen = seen.map_or("not set".to_owned(), bytes);
            let key = format!("expect.notes.{key}");
            found.push(Mismatch::new(key, quoted(expected), seen));
        }
    }
    if let Some(expected) = &expect.hint {
        hint(expected, exchange, found);
    }
}

fn hint(expected: &ExpectedHint, exchange: &Exchange, found: &mut Vec<Mismatch>) {
    let seen = exchange.hint();
    let part = "hint";
    let mut compare = Comparison { part, found };
    let upstream = seen.upstream.as_deref().unwrap_or("none");
    compare.text(".upstream", expected.upstream.as_deref(), upstream);
    let labels: BTreeMap<String, String> = seen.labels.iter().cloned().collect();
    if !expected.labels.is_empty() && expected.labels != labels {
        let (wanted, seen) = (format!("{:?}", expected.labels), format!("{labels:?}"));
        compare.differ(".labels", wanted, seen);
    }
    if let Some(affinity) = &expected.affinity
        && seen.affinity.as_deref() != Some(affinity.as_bytes())
    {
        let seen = seen.affinity.as_deref().map_or("none".to_owned(), bytes);
        compare.differ(".affinity", quoted(affinity), seen);
    }
    if let Some(timeout) = expected.timeout
        && seen.timeout != Some(timeout)
    {
        let seen = seen
            .timeout
            .map_or("none".to_owned(), |time| format!("{time:?}"));
        compare.differ(".timeout", format!("{timeout:?}"), seen);
    }
}

/// Compare errors in the settings: all of them.
pub(super) fn diagnostics(
    expected: &[String],
    seen: &[(String, String)],
    found: &mut Vec<Mismatch>,
) {
    let fits = |expected: &str, (at, message): &(String, String)| {
        let (pointer, text) = expected.split_once(": ").unwrap_or((expected, ""));
        pointer == at && message.contains(text)
    };
    let all_seen = || {
        let seen = seen
            .iter()
            .map(|(at, message)| quoted(&format!("{at}: {message}")));
        let seen: Vec<_> = seen.collect();
        match seen.is_empty() {
            true => "settings that are accepted".to_owned(),
            false => seen.join(", "),
        }
    };
    for wanted in expected {
        if !seen.iter().any(|seen| fits(wanted, seen)) {
            found.push(Mismatch::new(
                "expect.diagnostics",
                quoted(wanted),
                all_seen(),
            ));
        }
    }
    for (at, message) in seen {
        let one = (at.clone(), message.clone());
        if !expected.iter().any(|expected| fits(expected, &one)) {
            let seen = quoted(&format!("{at}: {message}"));
            found.push(Mismatch::new("expect.diagnostics", "no error there", seen));
        }
    }
}

/// Compare warnings about the settings: those that are expected.
pub(super) fn warnings(expected: &[String], seen: &[(String, String)], found: &mut Vec<Mismatch>) {
    for wanted in expected {
        let (pointer, text) = wanted.split_once(": ").unwrap_or((wanted, ""));
        let fits = |(at, message): &(String, String)| at == pointer && message.contains(text);
        if !seen.iter().any(fits) {
            let seen = format!("{seen:?}");
            found.push(Mismatch::new("expect.warnings", quoted(wanted), seen));
        }
    }
}

/// Report the calls that did not come, and those that were not expected.
pub(super) fn calls(left: &CallsLeft, found: &mut Vec<Mismatch>) {
    for call in &left.missing {
        let method = call.method.as_ref().map_or("a call", http::Method::as_str);
        let path = call.path.as_deref().unwrap_or_default();
        let wanted = format!("{method} {path} to `{}`", call.callout);
        found.push(Mismatch::new("call", wanted, "no such call"));
    }
    for call in &left.unexpected {
        found.push(Mismatch::new("call", "no other call", call.clone()));
    }
}

fn attribute(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(text) => quoted(text),
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Flag(flag) => flag.to_string(),
        AttributeValue::Bytes(octets) => bytes(octets),
    }
}

fn values(fields: &HeaderMap, name: &HeaderName) -> String {
    let values = fields.get_all(name).iter();
    let values: Vec<_> = values.map(|value| bytes(value.as_bytes())).collect();
    match values.is_empty() {
        true => "no such field".to_owned(),
        false => values.join(", "),
    }
}

fn bytes(bytes: impl AsRef<[u8]>) -> String {
    match std::str::from_utf8(bytes.as_ref()) {
        Ok(text) => quoted(text),
        Err(_) => format!("the bytes {}", bytes.as_ref().escape_ascii()),
    }
}

/// A text in quotes, cut to what a person reads.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    match shown.len() < text.len() {
        true => format!("{shown:?} and {} bytes more", text.len() - shown.len()),
        false => format!("{shown:?}"),
    }
}
