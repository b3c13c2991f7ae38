//! `/v1/store/export` and `/v1/store/import`: the whole storage, as a backup or for another
//! storage.
//!
//! Both work line by line, so that neither has more than some hundred records in memory, whatever
//! the storage holds. An export reads a chunk when the client has taken the one before, and an
//! import writes a chunk when it has arrived. A client that stalls holds no permit that others
//! need.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::call::Call;
use super::params::QueryParams;
use super::shape::archive::{RecordCounts, StoreLine, VERSION};
use super::{AdminApi, acquire, audit, body, json, now_ms, stream};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::ApiProblem;
use crate::control::service::{ExportCursor, StoreImport, StoreItem, StoreReport};
use crate::keys::masked;

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

/// Chunks that wait for the client.
const MAX_WAITING_CHUNKS: usize = 1;

/// Longest wait of one chunk for a permit.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// Records of one chunk.
const CHUNK_RECORDS: usize = 500;

/// Export everything that the store holds.
///
/// A JSON object a line: a header, the plans, the keys with the digests of their secrets, usage by
/// day, extensions of quotas, and at the end how many of each there were. Requires a token whose
/// role is `write`. It does not include what the configuration defines.
#[utoipa::path(get, operation_id = "exportStore", path = "/v1/store/export", tag = "store",
    responses((status = 200, description = "The store", content((String = "application/x-ndjson")))))]
pub(crate) async fn export(call: Call) -> Result<Response, ApiProblem> {
    call.caller.may_write("digests of keys")?;
    // Before the first byte an error can still be an answer of its own.
    let (first, next) = read_chunk(&call.api, ExportCursor::default()).await?;
    let (chunks, body) = stream::body(MAX_WAITING_CHUNKS);
    audit(&call.caller, "export", "store", "*");
    tokio::spawn(async move {
        let mut counts = RecordCounts::default();
        let mut text = encode_line(&StoreLine::header(now_ms()));
        let mut current = Some((first, next));
        while let Some((items, next)) = current {
            for item in items {
                counts.add(&item);
                text += &encode_line(&item.into());
            }
            if !chunks.send(std::mem::take(&mut text)).await {
                return;
            }
            current = match next {
                None => None,
                Some(next) => match read_chunk(&call.api, next).await {
                    Ok(chunk) => Some(chunk),
                    Err(problem) => {
                        tracing::error!(
                            "an export of the store was cut short: {}; repeat it",
                            problem.detail
                        );
                        return chunks.cut().await;
                    }
                },
            };
        }
        chunks.send(encode_line(&StoreLine::End(counts))).await;
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, NDJSON)], body).into_response())
}

type ExportChunk = (Vec<StoreItem>, Option<ExportCursor>);

async fn read_chunk(api: &AdminApi, at: ExportCursor) -> Result<ExportChunk, ApiProblem> {
    let read = api.call_within(CHUNK_TIMEOUT, move |service| {
        Ok(service.export_store(at, now_ms())?)
    });
    read.await
}

fn encode_line(line: &StoreLine) -> String {
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

/// Says how to import a store.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StoreParams {
    /// Report the result and write nothing. Default false.
    pub(crate) dry_run: Option<bool>,
    /// Whether to replace plans and keys that exist and differ. Default false: they stay, and are
    /// reported.
    pub(crate) replace: Option<bool>,
}

/// Import an exported store.
///
/// The import may be repeated: identical records stay, and usage is never counted twice. Invalid
/// records are left out and reported with their line.
#[utoipa::path(post, operation_id = "importStore", path = "/v1/store/import", tag = "store", params(StoreParams),
    request_body(content = String, content_type = "application/x-ndjson", description = "The text of an export", example = json!("{\"windlass_store\":1}\n{\"end\":{\"plans\":0,\"keys\":0,\"usage\":0,\"extensions\":0}}\n")),
    responses((status = 200, description = "The numbers of records, by what was done with them", body = StoreReport)))]
pub(crate) async fn import(
    State(api): State<Arc<AdminApi>>,
    Extension(caller): Extension<ApiCaller>,
    QueryParams(query): QueryParams<StoreParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    api.service()?;
    let mut lines = body::BodyLines::of(request, NDJSON)?;
    let dry_run = query.dry_run.unwrap_or(false);
    let mut import = StoreImporter {
        how: StoreImport {
            dry_run,
            replace: query.replace.unwrap_or(false),
        },
        report: StoreReport {
            dry_run,
            ..StoreReport::default()
        },
        counts: RecordCounts::default(),
        ended: false,
    };
    let mut waiting: Vec<(u64, StoreItem)> = Vec::new();
    let mut number = 0;
    while let Some(text) = lines.next().await? {
        number += 1;
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        waiting.extend(import.read(number, &text)?.map(|item| (number, item)));
        if waiting.len() >= CHUNK_RECORDS {
            import = import.write(&api, std::mem::take(&mut waiting)).await?;
        }
    }
    if number == 0 {
        return Err(ApiProblem::invalid(
            "the body is empty; send what an export wrote",
        ));
    }
    import = import.write(&api, waiting).await?;
    if !import.ended {
        let message = "the file ends before its `end` line: the records before that were imported, the rest is missing";
        import.report.warn(number, message.to_owned());
    }
    let report = import.report;
    if !dry_run {
        let count = format!("{} plans, {} keys", report.plans.added, report.keys.added);
        audit(&caller, "import", "store", &count);
    }
    Ok(json(StatusCode::OK, &report))
}

/// An import that is running.
struct StoreImporter {
    how: StoreImport,
    report: StoreReport,
    /// Counts of the records that arrived.
    counts: RecordCounts,
    /// Whether the last line arrived.
    ended: bool,
}

impl StoreImporter {
    /// Reads the record of a line; None if the line has no valid record.
    fn read(&mut self, number: u64, text: &Bytes) -> Result<Option<StoreItem>, ApiProblem> {
        let line = serde_json::from_slice::<StoreLine>(text);
        if number == 1 {
            return match line {
                Ok(StoreLine::Header { windlass_store, .. }) if windlass_store == VERSION => Ok(None),
                Ok(StoreLine::Header { windlass_store, .. }) => Err(bad_file(format!(
                    "the file is of version {windlass_store}, and this Windlass reads version {VERSION}; use the Windlass that wrote it, or a later one"
                ))),
                Ok(_) | Err(_) => Err(bad_file(
                    "the file does not begin with the header of an export (`{\"windlass_store\":1,..}`); send what `windlass store export` wrote".to_owned(),
                )),
            };
        }
        let item = match line {
            Err(error) => Err(masked(&error.to_string()).into_owned()),
            Ok(StoreLine::Header { .. }) => Err("another export begins here".to_owned()),
            Ok(StoreLine::End(counts)) => {
                self.ended = true;
                // The last line gives the same counts.
                self.report.complete = counts == self.counts;
                if self.report.complete {
                    return Ok(None);
                }
                Err("lines are missing: the counts of the `end` line are larger".to_owned())
            }
            Ok(StoreLine::Plan(plan)) => plan.try_into(),
            Ok(StoreLine::Key(key)) => key.try_into(),
            Ok(StoreLine::Usage(usage)) => usage.try_into(),
            Ok(StoreLine::Extension(extension)) => extension.try_into(),
        };
        match item {
            Ok(item) => {
                self.counts.add(&item);
                Ok(Some(item))
            }
            Err(why) => {
                self.report.record_unreadable(number, why);
                Ok(None)
            }
        }
    }

    /// Writes these records on a thread that may block.
    async fn write(
        mut self,
        api: &Arc<AdminApi>,
        items: Vec<(u64, StoreItem)>,
    ) -> Result<Self, ApiProblem> {
        if items.is_empty() {
            return Ok(self);
        }
        let permit = acquire(&api.imports, 1, CHUNK_TIMEOUT).await?;
        let work = api.call_within(CHUNK_TIMEOUT, move |service| {
            service.import_store(items, self.how, now_ms(), &mut self.report)?;
            drop(permit);
            Ok(self)
        });
        work.await
    }
}

fn bad_file(detail: String) -> ApiProblem {
    ApiProblem::new(StatusCode::BAD_REQUEST, "bad_file", detail)
}
