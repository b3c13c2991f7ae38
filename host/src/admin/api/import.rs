//! `/v1/keys/import`: many keys at once, from Amazon's file format.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::params::Params;
use super::shape::Imported;
use super::usage::wants;
use super::{Api, audit, body, broken, json, now_ms, room, stream};
use crate::admin::envelope::Caller;
use crate::admin::problem::Problem;

/// A stream of JSON objects, one a line.
const LINES: &str = "application/x-ndjson";

/// Lines of progress that wait for the client.
const WAITING: usize = 4;

/// How long a file that has come waits for its turn.
const QUEUE: Duration = Duration::from_secs(60);

/// How rows that are wrong are met.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Whether one wrong row keeps all others out. Default false.
    pub(crate) fail_on_warnings: Option<bool>,
}

/// Import keys.
///
/// The body is a file in Amazon API Gateway's format: the columns `name` and `key`, and if wanted
/// `description`, `enabled` and `usageplanids` (here names of plans). With
/// `accept: application/x-ndjson` the answer is a stream of lines: `{"done": 1000, "of": 5000}`
/// while it runs (some are left out for who does not read them), and then the answer, or the problem, itself.
#[utoipa::path(post, operation_id = "importKeys", path = "/v1/keys/import", tag = "keys", params(ImportParams),
    request_body(content = String, content_type = "text/csv", description = "The file", example = json!("name,key,enabled\nfirst,apikey1234abcdefghij0123456789,true\n")),
    responses((status = 200, description = "The report: keys that were imported, and those that were left out", content((Imported = "application/json"), (String = "application/x-ndjson"))),
        (status = 409, description = "Others changed the same keys meanwhile", body = super::shape::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn import(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ImportParams>,
    request: Request,
) -> Result<Response, Problem> {
    let streams = wants(request.headers(), LINES);
    let registrar = api.registrar()?;
    let (file, held) = body::large(request, "text/csv", api.max_import, &api.space).await?;
    // Only who has sent everything takes a place.
    let room = room(&api.heavy, QUEUE).await?;
    let id = caller.request.clone();
    let all_or_nothing = query.fail_on_warnings.unwrap_or(false);
    let work = move |progress: &mut dyn FnMut(usize, usize)| -> Result<Imported, Problem> {
        let made = registrar.import(&file, all_or_nothing, now_ms(), progress);
        drop((file, held, room));
        let report = made.map_err(Problem::from)?;
        let count = format!("{} keys", report.ids.len());
        audit(&caller, "import", "keys", &count);
        Ok(Imported::from(report))
    };
    if !streams {
        let done = tokio::task::spawn_blocking(move || work(&mut |_, _| ()));
        let imported = done.await.unwrap_or_else(|_| Err(broken()))?;
        return Ok(json(StatusCode::OK, &imported));
    }
    let (pieces, body) = stream::body(WAITING);
    tokio::spawn(async move {
        let progress = pieces.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut |done, of| progress.offer(format!("{{\"done\":{done},\"of\":{of}}}\n")))
        });
        let line = match done.await.unwrap_or_else(|_| Err(broken())) {
            Ok(imported) => serde_json::to_string(&imported).unwrap_or_default() + "\n",
            Err(problem) => problem.body(&id),
        };
        pieces.put(line).await;
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, LINES)], body).into_response())
}
