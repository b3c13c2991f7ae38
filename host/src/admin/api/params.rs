//! The parts of a request besides its body: path, query, conditional and idempotency fields.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::admin::problem::ApiProblem;
use crate::keys::{SHORTEST_KEY, masked};
use crate::model::name::is_name;

/// The prefix of a cursor.
const CURSOR: &str = "c_";

/// The largest and the default page.
pub(crate) const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

/// The query.
#[derive(Debug)]
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiProblem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let refused = |refused: axum::extract::rejection::QueryRejection| {
            let text = refused.body_text();
            let (_, message) = text.split_once(": ").unwrap_or(("", &text));
            ApiProblem::invalid(format!(
                "the query does not fit its description: {}",
                masked(message)
            ))
        };
        query.map(|Query(value)| Self(value)).map_err(refused)
    }
}

/// For requests without parameters: any parameter is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

/// Selects keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyParams {
    /// The size of the page at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<usize>,
    /// Where to continue: the `next_cursor` of the previous page.
    #[param(pattern = "^c_[A-Za-z0-9_-]{1,64}$")]
    pub(crate) cursor: Option<String>,
    /// Only keys of this consumer.
    #[param(min_length = 1, max_length = 128)]
    pub(crate) consumer: Option<String>,
    /// Only keys on this plan.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    #[param(min_length = 1, max_length = 128)]
    pub(crate) prefix: Option<String>,
    /// Only keys with a secret that begins with this text, to find a customer's key by its first
    /// characters. It may be longer than the stored prefix, but not the whole key.
    #[param(min_length = 1, max_length = 19)]
    pub(crate) begins_with: Option<String>,
}

/// Selects a page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The size of the page at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<usize>,
    /// Where to continue: the `next_cursor` of the previous page.
    #[param(pattern = "^c_[A-Za-z0-9_-]{1,64}$")]
    pub(crate) cursor: Option<String>,
}

/// The size of the page.
pub(crate) fn limit(limit: Option<usize>) -> Result<usize, ApiProblem> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiProblem::invalid_field("limit", "must be 1 to 1000")),
    }
}

/// The item that the previous page ended with.
pub(crate) fn after(cursor: Option<&str>) -> Result<Option<&str>, ApiProblem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    match cursor.strip_prefix(CURSOR).filter(|id| is_name(id)) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiProblem::invalid_field(
            "cursor",
            "is no cursor; send `next_cursor` unchanged",
        )),
    }
}

/// The cursor of the next page.
pub(crate) fn cursor(last: Option<String>) -> Option<String> {
    last.map(|last| format!("{CURSOR}{last}"))
}

/// Checks a parameter that is a name.
pub(crate) fn name(field: &str, value: Option<String>) -> Result<Option<String>, ApiProblem> {
    match value {
        Some(value) if !is_name(&value) => Err(ApiProblem::invalid_field(
            field,
            "must be 1 to 64 letters, digits, `_` and `-`",
        )),
        value => Ok(value),
    }
}

/// Checks a parameter that is the beginning of a secret.
pub(crate) fn begins_with(value: Option<String>) -> Result<Option<String>, ApiProblem> {
    let name = "begins_with";
    match value {
        Some(value) if value.is_empty() => Err(ApiProblem::invalid_field(name, "is empty")),
        // A whole key must not be sent: logs and histories keep queries.
        Some(value) if value.chars().count() >= SHORTEST_KEY => Err(ApiProblem::invalid_field(
            name,
            "may be a whole key; send its first characters only, 12 are enough",
        )),
        value => Ok(value),
    }
}

/// Checks a parameter that is free text.
pub(crate) fn text(field: &str, value: Option<String>) -> Result<Option<String>, ApiProblem> {
    match value {
        Some(value) if !(1..=128).contains(&value.chars().count()) => Err(
            ApiProblem::invalid_field(field, "must have 1 to 128 characters"),
        ),
        value => Ok(value),
    }
}

/// The revision that `If-Match` names; None if there is no such field or it is `*`.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, ApiProblem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Ok(None) };
    let value = value.to_str().unwrap_or("").trim();
    if value == "*" && more.is_none() {
        return Ok(None);
    }
    // Without quotes it is not a valid `etag`, but its meaning is clear.
    let bare = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let number = Some(bare.unwrap_or(value))
        .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|number| number.parse().ok()) {
        Some(revision) if more.is_none() => Ok(Some(revision)),
        Some(_) | None => Err(ApiProblem::invalid_field(
            "if-match",
            "must be one `etag`, unchanged, or `*`",
        )),
    }
}

/// The idempotency key, if there is one.
pub(crate) fn idempotency(headers: &HeaderMap) -> Result<Option<&str>, ApiProblem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && values.next().is_none() {
        return Ok(Some(text));
    }
    let message = "must be one value of 1 to 128 printable ASCII characters without spaces";
    Err(ApiProblem::invalid_field("idempotency-key", message))
}

/// The revision as an `ETag`.
pub(crate) fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}
