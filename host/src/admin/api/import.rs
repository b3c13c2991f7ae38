//! `/v1/keys/import`: many keys at once, in Amazon API Gateway's file format.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::QueryParams;
use super::usage::wants;
use super::{AdminApi, acquire, audit, body, internal_error, json, now_ms, stream};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::ApiProblem;
use crate::control::service::ImportReport;

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

/// Progress lines that wait for the client.
const MAX_WAITING_LINES: usize = 4;

/// Longest wait of a complete file for a permit.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Says how an import treats invalid rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Whether one invalid row refuses the whole file. Default false.
    pub(crate) fail_on_warnings: Option<bool>,
}

/// Import keys.
///
/// The body is a file in Amazon API Gateway's format: the columns `name` and `key`, and optionally
/// `description`, `enabled` and `usageplanids` (here names of plans). With `accept:
/// application/x-ndjson` the answer is a stream of lines: `{"done": 1000, "of": 5000}` while the
/// import runs (a slow reader does not get all of them), and then the result or the problem.
#[utoipa::path(post, operation_id = "importKeys", path = "/v1/keys/import", tag = "keys", params(ImportParams),
    request_body(content = String, content_type = "text/csv", description = "The file", example = json!("name,key,enabled\nfirst,apikey1234abcdefghij0123456789,true\n")),
    responses((status = 200, description = "The report: keys that were imported, and those that were left out", content((ImportReport = "application/json"), (String = "application/x-ndjson"))),
        (status = 409, description = "Others changed the same keys meanwhile")))]
pub(crate) async fn import(
    State(api): State<Arc<AdminApi>>,
    Extension(caller): Extension<ApiCaller>,
    QueryParams(query): QueryParams<ImportParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let streams = wants(request.headers(), NDJSON);
    let service = api.service()?;
    let (file, space) = body::large(request, "text/csv", api.max_import, &api.space).await?;
    // A client takes a permit only after it has sent the whole file.
    let permit = acquire(&api.imports, 1, QUEUE_TIMEOUT).await?;
    let id = caller.request.clone();
    let all_or_nothing = query.fail_on_warnings.unwrap_or(false);
    let work = move |progress: &mut dyn FnMut(usize, usize)| -> Result<ImportReport, ApiProblem> {
        let made = service.import(&file, all_or_nothing, now_ms(), progress);
        drop((file, space, permit));
        let report = made.map_err(ApiProblem::from)?;
        let count = format!("{} keys", report.ids.len());
        audit(&caller, "import", "keys", &count);
        Ok(report)
    };
    if !streams {
        let done = tokio::task::spawn_blocking(move || work(&mut |_, _| ()));
        let imported = done.await.unwrap_or_else(|_| Err(internal_error()))?;
        return Ok(json(StatusCode::OK, &imported));
    }
    let (chunks, body) = stream::body(MAX_WAITING_LINES);
    tokio::spawn(async move {
        let progress = chunks.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut |done, of| progress.try_send(format!("{{\"done\":{done},\"of\":{of}}}\n")))
        });
        let line = match done.await.unwrap_or_else(|_| Err(internal_error())) {
            Ok(imported) => serde_json::to_string(&imported).unwrap_or_default() + "\n",
            Err(problem) => problem.body(&id),
        };
        chunks.send(line).await;
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, NDJSON)], body).into_response())
}
