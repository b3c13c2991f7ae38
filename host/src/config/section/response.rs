//! `[api.<name>.responses.<code>]`: what an API answers in the place of the gateway's own words.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};
use windlass_config_derive::FromTable;

use crate::config::field::Kind;
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::message::is_bodiless;
use crate::config::value::template;
use crate::model::error_body::ResponsePart;

/// A response that replaces the gateway's own. `<code>` is one of [errors.md](errors.md), the
/// reason of a filter's refusal (its README lists them, such as `quota_spent` and
/// `api_key_missing`), or, for everything else, `default_4xx` or `default_5xx`.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[api.<name>.responses.<code>]", short = "body", keys = check_empty, make = response)]
pub struct ApiResponse {
    /// The code of an error, the reason of a filter's refusal, `default_4xx` or `default_5xx`.
    #[key(with = Table::name)]
    pub code: Arc<str>,
    /// Its status.
    #[key(absent = "that of the error", within = 200..=599, synonyms = "statusCode")]
    pub status: Option<StatusCode>,
    /// Its header fields, besides those of the error (`retry-after`). The gateway writes framing
    /// fields itself.
    #[key(absent = "none")]
    pub headers: HeaderMap,
    /// Its body. `${status}`, `${code}`, `${message}` and `${request_id}` stand for those of the
    /// error, escaped for JSON if the `content-type` is JSON, which is the default.
    #[key(absent = "the gateway's own text", kind = Template, synonyms = "template")]
    pub body: Option<Vec<ResponsePart>>,
    /// Whether values are escaped for JSON: whether its `content-type` is JSON. It is, where
    /// `headers` has none.
    #[key(skip)]
    pub is_json: bool,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

fn response(table: &mut Table<'_>, mut response: ApiResponse) -> ApiResponse {
    response.is_json = response.headers.get(CONTENT_TYPE).is_none_or(is_json);
    let body = response.body.as_deref();
    check_body(table, &response.headers, body, response.is_json);
    if response.status.is_some_and(is_bodiless) && body.is_none_or(|body| !body.is_empty()) {
        table
            .error_at("status", "`status` is one of answers without a body")
            .help("add `body = \"\"`");
    }
    response
}

/// A text with `${code}` and the like in it.
pub(crate) struct Template;

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
    let whole = slot.span;
    let written = slot.reader.problems.source().slice(whole);
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

/// Reports one that says nothing.
fn check_empty(table: &mut Table<'_>) {
    let some = ["status", "headers", "body"]
        .into_iter()
        .any(|key| table.has(key));
    if !some && !table.is_incomplete() {
        table
            .error(
                table.span(),
                "says nothing: wanted `status`, `headers` or `body`",
            )
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
    if headers.contains_key(CONTENT_TYPE) && !table.has("body") {
        table
            .error_at(
                "headers",
                "`headers` holds a `content-type` without a `body`",
            )
            .help("the gateway's own words have one of their own: remove it, or add `body`");
    }
    let Some(body) = body.filter(|body| is_json && !body.is_empty()) else {
        return;
    };
    if !template::is_json(body) {
        table.error_at("body", "`body` is no JSON once its values are filled in")
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
