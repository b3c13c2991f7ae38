//! `/v1/status`: how the gateway and its store stand.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::params::{NoParams, QueryParams};
use super::shape::{Status, StoreStatus};
use super::{AdminApi, json};

/// How the gateway and its store stand.
#[utoipa::path(get, operation_id = "showStatus", path = "/v1/status", tag = "gateway",
    responses((status = 200, description = "How it stands", body = Status)))]
pub(crate) async fn show(
    State(api): State<Arc<AdminApi>>,
    QueryParams(_): QueryParams<NoParams>,
) -> Response {
    let running = &api.running;
    let store = running.service.as_ref().map(|registrar| {
        let state = registrar.state();
        StoreStatus {
            name: registrar.storage_name(),
            fresh: state.fresh,
            since_contact_ms: u64::try_from(state.since_contact.as_millis()).unwrap_or(u64::MAX),
            keys: state.keys,
            revision: state.revision,
        }
    });
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: running.gateway.load().number,
        draining: running.draining.load(Ordering::Relaxed),
        store,
    };
    json(StatusCode::OK, &status)
}
