//! `respond = { .. }` and `redirect = { .. }`: routes that end in the gateway.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use windlass_config_derive::FromTable;

use crate::config::field::{FromValue, Map, Numbers, Parsed, Then};
use crate::config::read::Table;
use crate::config::value::message::{field_name, field_value, is_bodiless};
use crate::config::value::redirect::target;

/// A fixed response.
#[derive(Debug, Clone, Default, FromTable)]
#[table(heading = "respond = { .. }", short = "body", check = body_of_bodiless)]
pub struct FixedResponse {
    /// Its status.
    #[key(default = 200, within = 200..=599)]
    pub(crate) status: StatusCode,
    /// Its header fields. The gateway writes those of framing and of the connection itself.
    #[key(absent = "none")]
    pub headers: HeaderMap,
    /// Its body.
    #[key(absent = "empty", kind = TEXT)]
    pub body: Bytes,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "redirect = { .. }", short = "to")]
pub struct Redirect {
    /// Where it leads. `${path}` is the request's path, `${query}` its query including the `?`.
    #[key(required = "https://example.com${path}${query}", kind = TARGET, synonyms = "location url")]
    pub(crate) to: String,
    /// Its status. 307 and 308 keep the method and the body.
    #[key(default = 308, kind = Numbers(&[301, 302, 303, 307, 308]))]
    pub status: StatusCode,
}

const TEXT: Parsed<String> = Parsed::new("a text", |text| Ok(text.to_owned()));

const TARGET: Parsed<String> =
    Parsed::new("`http://`, `https://` or a path on the same host", target)
        .matching("^(https?://|/)");

/// The fields of a response that the file gives.
impl FromValue for HeaderMap {
    type Kind = Then<Map<Parsed<HeaderValue>>, Self>;
    const KIND: Self::Kind = Then {
        of: Map {
            of: Parsed::new("the value of a field", field_value),
            key: |name| Ok(field_name(name)?.as_str().to_owned()),
            keys: "a field name",
        },
        make: |fields, _| {
            let fields = fields?.into_iter();
            let fields =
                fields.map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value)));
            fields.collect()
        },
    };
}

fn body_of_bodiless(table: &mut Table<'_>, response: &FixedResponse) {
    if is_bodiless(response.status) && !response.body.is_empty() {
        let status = response.status.as_u16();
        let message = format!("`respond.body` is not empty, but a {status} has no body");
        table.error_at("body", &message);
    }
}
