//! `/v1/keys/export`: all keys, without their texts and digests.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::{self, Params};
use super::shape::Key;
use super::usage::{Format, wants};
use super::{Api, audit, now_ms, room, stream};
use crate::admin::envelope::Caller;
use crate::admin::problem::Problem;
use crate::store::registrar::{KeyFilter, Registrar, RegistrarError};

/// Bytes of one piece of the body.
const PIECE: usize = 64 * 1024;

/// Which keys, and how they are written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportParams {
    /// How they are written; `accept: text/csv` does the same. Default JSON.
    #[param(inline)]
    pub format: Option<Format>,
    /// Only this consumer's.
    #[param(min_length = 1, max_length = 128)]
    pub consumer: Option<String>,
    /// Only those on this plan.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub plan: Option<String>,
    /// Only those whose name or id begins so.
    #[param(min_length = 1, max_length = 128)]
    pub prefix: Option<String>,
}

/// All keys of the store.
///
/// An array of keys, or the columns
/// `id,name,consumer,plans,enabled,status,expires,created,last_used,prefix,metadata`.
#[utoipa::path(get, operation_id = "exportKeys", path = "/v1/keys/export", tag = "keys", params(ExportParams),
    responses((status = 200, description = "The keys", content((Vec<Key> = "application/json"), (String = "text/csv")))))]
pub async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ExportParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let csv = match query.format {
        Some(format) => format == Format::Csv,
        None => wants(&headers, "text/csv"),
    };
    let filter = KeyFilter {
        consumer: params::text("consumer", query.consumer)?,
        plan: params::name("plan", query.plan)?,
        prefix: params::text("prefix", query.prefix)?,
    };
    let registrar = api.registrar()?;
    let room = room(&api.heavy).await?;
    let (pieces, body) = stream::body();
    audit(&caller, "export", "keys", "*");
    tokio::task::spawn_blocking(move || {
        let written = match csv {
            true => write_csv(&registrar, &filter, &pieces),
            false => write_json(&registrar, &filter, &pieces),
        };
        if let Err(error) = written {
            tracing::error!("an export of keys is cut: {error}");
            pieces.cut();
        }
        drop(room);
    });
    let kind = match csv {
        true => "text/csv; charset=utf-8",
        false => "application/json",
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response())
}

fn write_json(
    registrar: &Registrar,
    filter: &KeyFilter,
    pieces: &stream::Pieces,
) -> Result<(), RegistrarError> {
    let now = now_ms();
    let mut text = "[".to_owned();
    let mut first = true;
    let mut listens = true;
    registrar.export(filter, &mut |view| {
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        let key = serde_json::to_string(&Key::new(view, now)).unwrap_or_default();
        text.push('\n');
        text.push_str(&key);
        if text.len() > PIECE {
            listens = pieces.put(std::mem::take(&mut text));
        }
        listens
    })?;
    text.push_str("\n]\n");
    if listens {
        pieces.put(text);
    }
    Ok(())
}

fn write_csv(
    registrar: &Registrar,
    filter: &KeyFilter,
    pieces: &stream::Pieces,
) -> Result<(), RegistrarError> {
    let now = now_ms();
    let mut lines = ::csv::Writer::from_writer(Vec::new());
    // A vector takes every write.
    let _ = lines.write_record([
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
    ]);
    let mut listens = true;
    let mut waiting = 0;
    registrar.export(filter, &mut |view| {
        let _ = lines.write_record(row(&Key::new(view, now)));
        waiting += 1;
        if waiting == 256 {
            waiting = 0;
            let full = std::mem::replace(&mut lines, ::csv::Writer::from_writer(Vec::new()));
            listens = pieces.put(full.into_inner().unwrap_or_default());
        }
        listens
    })?;
    if listens {
        pieces.put(lines.into_inner().unwrap_or_default());
    }
    Ok(())
}

fn row(key: &Key) -> [String; 11] {
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
        serde_json::to_string(key.metadata()).unwrap_or_default(),
    ]
}
