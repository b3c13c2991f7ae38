//! `respond = { .. }` and `redirect = { .. }`: routes that end in the gateway.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config::field::{Empty, Field, Is, Map, Numbers, Parsed, Required, Section, Whole};
use crate::config::model::{FixedResponse, Redirect};
use crate::config::read::Table;
use crate::config::value::message::{field_name, field_value, is_bodiless};
use crate::config::value::redirect::target;

/// `respond = { .. }`.
pub(super) static RESPOND: Section = Section {
    heading: "respond = { .. }",
    doc: "A fixed response.",
    fields: &[&STATUS, &HEADERS, &BODY],
    hints: &[],
    short: Some("body"),
    private: false,
};

static STATUS: Field<Whole<u16>, Is<u16>> = Field::new(
    "status",
    Whole {
        least: 200,
        most: 599,
        of: |number| u16::try_from(number).ok(),
    },
    Is(200),
    "Its status.",
);

/// The fields of an answer that the file words.
pub(super) const FIELDS: Map<Parsed<HeaderValue>> = Map {
    of: Parsed {
        words: "the value of a field",
        pattern: "",
        private: false,
        parse: |text, _| field_value(text),
    },
    key: |name| Ok(field_name(name)?.as_str().to_owned()),
    keys: "a field name",
};

static HEADERS: Field<Map<Parsed<HeaderValue>>, Empty> = Field::new(
    "headers",
    FIELDS,
    Empty("none"),
    "Its fields; those of framing and of the connection belong to the gateway.",
);

static BODY: Field<Parsed<String>, Empty> = Field::new(
    "body",
    Parsed {
        words: "a text",
        pattern: "",
        private: false,
        parse: |text, _| Ok(text.to_owned()),
    },
    Empty("empty"),
    "Its body.",
);

/// Reads `respond`.
pub(super) fn respond(table: &mut Table<'_>) -> Option<FixedResponse> {
    let status = table.take(&STATUS);
    let fields = table.take(&HEADERS);
    let body = table.take(&BODY);
    let status = StatusCode::from_u16(status).ok()?;
    if is_bodiless(status) && !body.is_empty() {
        let span = table.span_of(BODY.key);
        let message = format!(
            "`respond.body` is not empty, but a {} has no body",
            status.as_u16()
        );
        table.error(span, &message);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(FixedResponse {
        status,
        headers,
        body: bytes::Bytes::from(body),
    })
}

/// `redirect = { .. }`.
pub(super) static REDIRECT: Section = Section {
    heading: "redirect = { .. }",
    doc: "A redirect.",
    fields: &[&TO, &REDIRECT_STATUS],
    hints: &[
        ("location", "it is called `to`"),
        ("url", "it is called `to`"),
    ],
    short: Some("to"),
    private: false,
};

static TO: Field<Parsed<String>, Required> = Field::new(
    "to",
    Parsed {
        words: "`http://`, `https://` or a path on the same host",
        pattern: "^(https?://|/)",
        private: false,
        parse: |text, _| target(text),
    },
    Required("\"https://example.com${path}${query}\""),
    "Where it leads; `${path}` is the request's path, `${query}` its query with the `?`.",
);

static REDIRECT_STATUS: Field<Numbers, Is<u16>> = Field::new(
    "status",
    Numbers(&[301, 302, 303, 307, 308]),
    Is(308),
    "Its status; 307 and 308 keep the method and the body.",
);

/// Reads `redirect`.
pub(super) fn redirect(table: &mut Table<'_>) -> Option<Redirect> {
    let to = table.take(&TO);
    let status = table.take(&REDIRECT_STATUS);
    Some(Redirect {
        to: to?,
        status: StatusCode::from_u16(status).ok()?,
    })
}
