//! `[api.<name>.responses.<code>]`: what an API answers in the place of the gateway's own words.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};

use super::respond::FIELDS;
use crate::config::field::{Empty, Field, Kind, Map, Optional, Parsed, Section, Whole};
use crate::config::model::{ApiResponse, ResponsePart};
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::message::is_bodiless;
use crate::config::value::template;

/// `[api.<name>.responses.<code>]`.
pub(super) static RESPONSE: Section = Section {
    heading: "[api.<name>.responses.<code>]",
    doc: "Another answer than the gateway's own. `<code>` is one of [errors.md](errors.md), the reason of a filter's refusal (its README lists them; `quota_spent`, `api_key_missing`), or, where there is none for that, `default_4xx` or `default_5xx`.",
    fields: &[&STATUS, &HEADERS, &BODY],
    hints: &[
        ("statusCode", "it is called `status`"),
        ("template", "it is called `body`"),
    ],
    short: Some("body"),
    private: false,
};

static STATUS: Field<Whole<StatusCode>, Optional> = Field::new(
    "status",
    Whole {
        least: 200,
        most: 599,
        of: |number| StatusCode::from_u16(u16::try_from(number).ok()?).ok(),
    },
    Optional("that of the error"),
    "Its status.",
);

static HEADERS: Field<Map<Parsed<HeaderValue>>, Empty> = Field::new(
    "headers",
    FIELDS,
    Empty("none"),
    "Its fields, beside those of the error (`retry-after`); those of framing belong to the gateway.",
);

static BODY: Field<Template, Optional> = Field::new(
    "body",
    Template,
    Optional("the gateway's own words"),
    "Its body; `${status}`, `${code}`, `${message}` and `${request_id}` stand for the error's, escaped for JSON where the `content-type` is JSON, as it is by default.",
);

/// A text with `${code}` and the like in it.
struct Template;

impl Kind for Template {
    type Value = Vec<ResponsePart>;

    fn words(&self) -> String {
        "a text".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Vec<ResponsePart>> {
        let text = slot.text(&self.words())?;
        match template::parse(text) {
            Ok(parts) => Some(parts),
            Err(unknown) => {
                let span = place(slot, &unknown.text);
                slot.at(span).refuse(None, "a text", unknown.refused);
                None
            }
        }
    }
}

/// Where a part of a text stands; the whole of it where it is written with escapes.
fn place(slot: &mut Slot<'_>, part: &str) -> Span {
    let whole = slot.span();
    let written = slot.problems().source().slice(whole);
    // An open end is the last, since what follows it is in it.
    let start = match part {
        "${" => written.rfind(part),
        part => written.find(part),
    };
    start.map_or(whole, |start| {
        let start = whole.start + start;
        Span::new(start, start + part.len())
    })
}

/// Reads one `[api.<name>.responses.<code>]`.
pub(super) fn response(table: &mut Table<'_>) -> Option<ApiResponse> {
    let status = table.take(&STATUS);
    let fields = table.take(&HEADERS);
    let body = table.take(&BODY);
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    let is_json = headers.get(CONTENT_TYPE).is_none_or(is_json);
    check_empty(table);
    check_body(table, &headers, body.as_deref(), is_json);
    if status.is_some_and(is_bodiless) && body.as_ref().is_none_or(|body| !body.is_empty()) {
        let span = table.span_of(STATUS.key);
        table
            .error(span, "`status` is one of answers without a body")
            .help("add `body = \"\"`");
    }
    Some(ApiResponse {
        code: table.name(),
        status,
        headers,
        body,
        is_json,
        span: table.span(),
    })
}

/// Reports one that says nothing.
fn check_empty(table: &mut Table<'_>) {
    let some = [STATUS.key, HEADERS.key, BODY.key]
        .into_iter()
        .any(|key| table.has(key));
    if !some && !table.is_incomplete() {
        let span = table.span();
        table
            .error(span, "says nothing: wanted `status`, `headers` or `body`")
            .help("add `body = '{\"message\":\"${message}\"}'`");
    }
}

/// Reports a body that is not what its `content-type` says.
fn check_body(
    table: &mut Table<'_>,
    headers: &HeaderMap,
    body: Option<&[ResponsePart]>,
    is_json: bool,
) {
    if headers.contains_key(CONTENT_TYPE) && !table.has(BODY.key) {
        let span = table.span_of(HEADERS.key);
        table
            .error(span, "`headers` holds a `content-type` without a `body`")
            .help("the gateway's own words have one of their own: remove it, or add `body`");
    }
    let Some(body) = body.filter(|body| is_json && !body.is_empty()) else {
        return;
    };
    if !template::is_json(body) {
        let span = table.span_of(BODY.key);
        table
            .error(span, "`body` is no JSON once its values are filled in")
            .help("put texts in quotes, as in `{\"message\":\"${message}\"}`, or say in `headers` what it is: `content-type = \"text/plain\"`");
    }
}

/// Whether a media type is JSON (RFC 6839, section 3.1: `+json` too).
fn is_json(value: &HeaderValue) -> bool {
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}
