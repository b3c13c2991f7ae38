//! `/v1/log`: the level of the gateway's own log, and a change of it that ends by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use super::call::Call;
use super::shape::{LogResource, LogUpdate};
use super::{AdminApi, audit, audit_change, body, json};
use crate::admin::problem::ApiProblem;
use crate::model::word::Word as _;
use crate::observe::log_level::{LevelChange, MAX_CHANGE};

/// How long a change lasts by default.
const DEFAULT_CHANGE: Duration = Duration::from_secs(600);

/// Show the level of the gateway's own log.
#[utoipa::path(get, operation_id = "showLog", path = "/v1/log", tag = "gateway",
    responses((status = 200, description = "The level", body = LogResource)))]
pub(crate) async fn show(call: Call) -> Response {
    shown(&call.api)
}

/// Change the level of the gateway's own log for a time. Nothing else changes, and a restart ends it.
#[utoipa::path(patch, operation_id = "changeLog", path = "/v1/log", tag = "gateway",
    request_body(content = LogUpdate, content_type = "application/json"),
    responses((status = 200, description = "The level as it is now", body = LogResource)))]
pub(crate) async fn change(call: Call, request: Request) -> Result<Response, ApiProblem> {
    let (update, _) = body::json::<LogUpdate>(request).await?;
    let time = update.for_seconds.map(Duration::from_secs);
    let time = time.unwrap_or(DEFAULT_CHANGE);
    if time.is_zero() || time > MAX_CHANGE {
        let wanted = "must be a number of seconds from 1 to 86400";
        return Err(ApiProblem::invalid_field("for_seconds", wanted));
    }
    let change = LevelChange {
        level: update.level,
        ends: Instant::now() + time,
    };
    call.api.running.log_level.change(change);
    end_later(&call.api, change.ends);
    let what = format!("{} for {} s", update.level.word(), time.as_secs());
    audit_change(&call.caller, "update", "log", "level", Some(&what));
    Ok(shown(&call.api))
}

/// End the change of the level: the configuration counts again.
#[utoipa::path(delete, operation_id = "restoreLog", path = "/v1/log/changes", tag = "gateway",
    responses((status = 200, description = "The level as it is now", body = LogResource)))]
pub(crate) async fn restore(call: Call) -> Response {
    if call.api.running.log_level.restore(None) {
        audit(&call.caller, "restore", "log", "level");
    }
    shown(&call.api)
}

fn shown(api: &AdminApi) -> Response {
    let log = LogResource::from(&*api.running.log_level);
    json(StatusCode::OK, &log)
}

/// Ends the change at its time. One timer at most: it is that of the last change.
fn end_later(api: &Arc<AdminApi>, ends: Instant) {
    let running = Arc::clone(&api.running);
    let timer = tokio::spawn(async move {
        tokio::time::sleep_until(ends.into()).await;
        if running.log_level.restore(Some(Instant::now())) {
            tracing::info!("the level of the log is that of the configuration again");
        }
    });
    if let Some(before) = api.level_timer.lock().replace(timer.abort_handle()) {
        before.abort();
    }
}
