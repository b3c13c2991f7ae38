//! `/v1/status`: the state of the gateway and its storage.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use axum::response::Response;

use super::call::Call;
use super::json;
use super::shape::{Status, StoreStatus};

/// Show the state of the gateway and its store.
#[utoipa::path(get, operation_id = "showStatus", path = "/v1/status", tag = "gateway",
    responses((status = 200, description = "The state", body = Status)))]
pub(crate) async fn show(call: Call) -> Response {
    let running = &call.api.running;
    let store = running.service.as_ref().map(|service| {
        let state = service.state();
        StoreStatus {
            name: service.storage_name(),
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
