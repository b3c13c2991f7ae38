//! `/v1/keys/export`: all keys, without their texts. A token that may write can ask for their
//! digests.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::{self, QueryParams};
use super::shape::KeyResource;
use super::usage::{UsageFormat, wants_csv};
use super::{AdminApi, audit, now_ms, stream};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::ApiProblem;
use crate::control::service::{KeyView, guarded};
use crate::control::storage::KeyQuery;

/// Chunks that wait for the client: the memory that a stalled client occupies.
const MAX_WAITING_CHUNKS: usize = 1;

/// Longest wait of one chunk for a permit.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

const COLUMNS: [&str; 11] = [
    "id",
    "name",
    "consumer",
    "plans",
    "enabled",
    "status",
    "expires",
    "created",
    "last_used",
    "prefix",
    "metadata",
];

/// Selects keys and their format.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// The format; `accept: text/csv` does the same. Default JSON.
    #[param(inline)]
    pub(crate) format: Option<UsageFormat>,
    /// Only keys of this consumer.
    #[param(min_length = 1, max_length = 128)]
    pub(crate) consumer: Option<String>,
    /// Only keys on this plan.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    #[param(min_length = 1, max_length = 128)]
    pub(crate) prefix: Option<String>,
    /// Only keys with a secret that begins with this text.
    #[param(min_length = 1, max_length = 19)]
    pub(crate) begins_with: Option<String>,
    /// Whether each secret has its digest, so that another store can import the keys. Only as
    /// JSON, and only for a token whose role is `write`. Default false.
    pub(crate) digests: Option<bool>,
}

/// Export all keys.
///
/// An array of keys, or the columns
/// `id,name,consumer,plans,enabled,status,expires,created,last_used,prefix,metadata`. If a
/// spreadsheet would take a value for a formula (it begins with `= + - @`), its column has a `'`
/// before it, which an import removes.
#[utoipa::path(get, operation_id = "exportKeys", path = "/v1/keys/export", tag = "keys", params(ExportParams),
    responses((status = 200, description = "The keys", content((Vec<KeyResource> = "application/json"), (String = "text/csv"))),
        (status = 422, description = "Comma-separated values have no digests")))]
pub(crate) async fn export(
    State(api): State<Arc<AdminApi>>,
    Extension(caller): Extension<ApiCaller>,
    QueryParams(query): QueryParams<ExportParams>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let csv = wants_csv(query.format, &headers);
    let keys = KeyQuery {
        consumer: params::text("consumer", query.consumer)?,
        plan: params::name("plan", query.plan)?,
        prefix: params::text("prefix", query.prefix)?,
        begins_with: params::begins_with(query.begins_with)?,
        ..KeyQuery::default()
    };
    let digests = query.digests.unwrap_or(false);
    if digests && csv {
        let why = "needs `format=json`: comma-separated values have no digests";
        return Err(ApiProblem::unprocessable("digests", why));
    }
    if digests {
        caller.may_write("digests")?;
    }
    let form = match csv {
        true => ExportForm::Csv,
        false => ExportForm::Json { digests },
    };
    // Before the first byte an error can still be an answer of its own.
    let first = encode_chunk(&api, &keys, form, None).await?;
    let (chunks, body) = stream::body(MAX_WAITING_CHUNKS);
    let what = if digests {
        "export with digests"
    } else {
        "export"
    };
    audit(&caller, what, "keys", "*");
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some((text, after)) = next {
            if !chunks.send(text).await {
                return;
            }
            let Some(after) = after else { return };
            next = match encode_chunk(&api, &keys, form, Some(after)).await {
                Ok(chunk) => Some(chunk),
                Err(problem) => {
                    tracing::error!(
                        "an export of keys was cut short: {}; repeat it",
                        problem.detail
                    );
                    return chunks.cut().await;
                }
            };
        }
    });
    let kind = if csv {
        "text/csv; charset=utf-8"
    } else {
        "application/json"
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// The format of an export.
#[derive(Debug, Clone, Copy)]
enum ExportForm {
    Json {
        /// Whether each secret has its digest.
        digests: bool,
    },
    Csv,
}

/// Reads and encodes one chunk of the body. Returns it with the key that the next chunk begins
/// after.
async fn encode_chunk(
    api: &AdminApi,
    keys: &KeyQuery,
    form: ExportForm,
    after: Option<String>,
) -> Result<(Vec<u8>, Option<String>), ApiProblem> {
    let first = after.is_none();
    let query = KeyQuery {
        after,
        ..keys.clone()
    };
    let read = api.call_within(CHUNK_TIMEOUT, move |service| {
        let page = service.export(query)?;
        let text = match form {
            ExportForm::Csv => as_csv(page.items, first),
            ExportForm::Json { digests } => {
                as_json(page.items, digests, first, page.next.is_none())
            }
        };
        Ok((text, page.next))
    });
    read.await
}

/// Encodes a chunk of an array.
fn as_json(keys: Vec<KeyView>, digests: bool, first: bool, last: bool) -> Vec<u8> {
    let now = now_ms();
    let mut text = if first { "[" } else { "" }.to_owned();
    for (position, key) in keys.into_iter().enumerate() {
        let comma = if first && position == 0 { "" } else { "," };
        let key = serde_json::to_string(&KeyResource::of(key, now, digests));
        let key = key.unwrap_or_default();
        text = text + comma + "\n" + &key;
    }
    if last {
        text.push_str("\n]\n");
    }
    text.into_bytes()
}

fn as_csv(keys: Vec<KeyView>, first: bool) -> Vec<u8> {
    let now = now_ms();
    let mut lines = ::csv::Writer::from_writer(Vec::new());
    // Writing to a vector cannot fail.
    if first {
        let _ = lines.write_record(COLUMNS);
    }
    for key in keys {
        let row = row(&KeyResource::new(key, now));
        let _ = lines.write_record(row.iter().map(|field| guarded(field).into_owned()));
    }
    lines.into_inner().unwrap_or_default()
}

fn row(key: &KeyResource) -> [String; 11] {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let status = serde_json::to_value(key.status).unwrap_or_default();
    let first = key.secrets.first();
    [
        key.id.clone(),
        key.name.clone(),
        key.consumer.clone(),
        key.plans.join(","),
        key.enabled.to_string(),
        status.as_str().unwrap_or("").to_owned(),
        or_empty(&key.expires),
        or_empty(&key.created),
        or_empty(&key.last_used),
        first
            .map(|secret| secret.prefix.clone())
            .unwrap_or_default(),
        serde_json::to_string(&key.metadata).unwrap_or_default(),
    ]
}
