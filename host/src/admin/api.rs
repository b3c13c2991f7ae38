//! The admin API: keys, plans, usage and upstreams, below `/v1`.
//!
//! Before it come [`super::serve`] (connections) and [`super::envelope`] (a request's id, its
//! caller, the shape of an error); after it the [`ControlService`], which has the rules.
//!
//! It promises
//! - that blocking work runs on threads of its own: [`MAX_CALLS`] calls and [`MAX_IMPORTS`]
//!   imports at once; a caller that gets no permit within [`PERMIT_TIMEOUT`] gets 503;
//! - that a client that stalls with its body or its answer holds no such permit: an import takes
//!   one when its file has arrived, an export takes one for each chunk;
//! - that every body has a limit and a deadline, that all large bodies together have a limit, and
//!   that unknown members and parameters are refused by name;
//! - that every change has an entry in the audit log, and that no entry holds a key.
//!
//! [`openapi`] describes the API, is served with it, and is compared with it in tests.

mod body;
mod call;
mod export;
mod import;
mod keys;
mod log;
pub(super) mod openapi;
mod params;
mod plans;
pub(super) mod shape;
mod status;
mod store_archive;
mod stream;
mod upstreams;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::Running;
use super::envelope::ApiCaller;
use super::problem::ApiProblem;
use crate::control::service::ControlService;
use crate::runtime::clock::Timestamp;

/// Calls of the service that may run at once.
const MAX_CALLS: usize = 8;

/// Imports that may run at once.
const MAX_IMPORTS: usize = 2;

/// Longest wait of a request for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of every route: the one [`AdminApi`].
type ApiState = State<Arc<AdminApi>>;

/// The state that the routes share.
#[derive(Debug)]
pub(super) struct AdminApi {
    running: Arc<Running>,
    calls: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    space: Arc<Semaphore>,
    max_import: usize,
    /// Ends the change of the log's level.
    level_timer: Mutex<Option<AbortHandle>>,
}

pub(super) fn routes(running: Arc<Running>, max_import: usize) -> Router {
    let api = Arc::new(AdminApi {
        running,
        calls: Arc::new(Semaphore::new(MAX_CALLS)),
        imports: Arc::new(Semaphore::new(MAX_IMPORTS)),
        space: body::body_space(max_import),
        max_import,
        level_timer: Mutex::default(),
    });
    Router::new()
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/import", post(import::import))
        .route("/v1/keys/export", get(export::export))
        .route(
            "/v1/keys/{id}",
            get(keys::show).patch(keys::update).delete(keys::delete),
        )
        .route("/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/v1/plans", get(plans::list).post(plans::create))
        .route(
            "/v1/plans/{name}",
            get(plans::show).patch(plans::update).delete(plans::delete),
        )
        .route("/v1/plans/{name}/usage/{key}", patch(usage::extend))
        .route("/v1/usage", get(usage::show))
        .route("/v1/upstreams", get(upstreams::list))
        .route("/v1/upstreams/{name}", get(upstreams::show))
        .route("/v1/upstreams/{name}/endpoints", post(upstreams::add))
        .route(
            "/v1/upstreams/{name}/endpoints/{address}",
            patch(upstreams::update).delete(upstreams::remove),
        )
        .route("/v1/upstreams/{name}/changes", delete(upstreams::restore))
        .route(
            "/v1/upstreams/{name}/changes/{address}",
            delete(upstreams::restore_one),
        )
        .route("/v1/log", get(log::show).patch(log::change))
        .route("/v1/log/changes", delete(log::restore))
        .route("/v1/store/export", get(store_archive::export))
        .route("/v1/store/import", post(store_archive::import))
        .route("/v1/status", get(status::show))
        .route("/v1/openapi.json", get(openapi::show))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take this method; `allow` lists those that it takes";
            ApiProblem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .with_state(api)
}

impl AdminApi {
    fn service(&self) -> Result<Arc<ControlService>, ApiProblem> {
        let service = self.running.service.clone();
        service.ok_or_else(|| {
            let detail = "this gateway has no store; add `[store]` with `path = \"windlass.db\"` to the configuration and restart";
            ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "no_store", detail)
        })
    }

    /// Calls the service on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ControlService) -> Result<T, ApiProblem> + Send + 'static,
    ) -> Result<T, ApiProblem> {
        self.call_within(PERMIT_TIMEOUT, work).await
    }

    /// Like `call`, with a wait of this length for the permit.
    async fn call_within<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce(&ControlService) -> Result<T, ApiProblem> + Send + 'static,
    ) -> Result<T, ApiProblem> {
        let service = self.service()?;
        let permit = acquire(&self.calls, 1, wait).await?;
        let done = tokio::task::spawn_blocking(move || {
            let made = work(&service);
            drop(permit);
            made
        });
        done.await.unwrap_or_else(|_| Err(internal_error()))
    }
}

/// Takes this many permits, or fails after `wait`.
async fn acquire(
    of: &Arc<Semaphore>,
    count: usize,
    wait: Duration,
) -> Result<OwnedSemaphorePermit, ApiProblem> {
    let count = u32::try_from(count).map_err(|_| busy())?;
    let permits = tokio::time::timeout(wait, Arc::clone(of).acquire_many_owned(count)).await;
    permits.ok().and_then(Result::ok).ok_or_else(busy)
}

fn busy() -> ApiProblem {
    let detail = "too many calls are running; try again";
    ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
}

/// The error for a call that panicked or was cancelled.
fn internal_error() -> ApiProblem {
    let detail = "the call broke; the gateway's log says why";
    ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", detail)
}

/// The time now. Milliseconds since 1970.
fn now_ms() -> u64 {
    Timestamp::now().wall_ms
}

/// Writes an entry of the audit log: the caller, the action and its object.
fn audit(caller: &ApiCaller, action: &str, kind: &str, id: &str) {
    audit_change(caller, action, kind, id, None);
}

/// Like `audit`, with the state that the change led to.
fn audit_change(caller: &ApiCaller, action: &str, kind: &str, id: &str, what: Option<&str>) {
    tracing::info!(
        target: "windlass::audit",
        actor = %caller.actor,
        action,
        kind,
        id,
        what,
        request = %caller.request,
        remote = %caller.remote,
        "audit: a change by the admin API"
    );
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (status, kind, text + "\n").into_response()
        }
        Err(_) => internal_error().into_response(),
    }
}
