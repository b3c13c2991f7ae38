//! `/v1/upstreams`: show upstreams, and change their endpoints without a reload.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;

use super::call::Call;
use super::keys::put;
use super::shape::{EndpointCreate, UpstreamList, UpstreamResource};
use super::{AdminApi, audit, audit_change, body, json};
use crate::admin::problem::ApiProblem;
use crate::config::{MAX_WEIGHT, is_endpoint, is_label};
use crate::upstream::registry::{ChangeError, EndpointChange, UpstreamRegistry};

/// List upstreams with the state of their endpoints.
#[utoipa::path(get, operation_id = "listUpstreams", path = "/v1/upstreams", tag = "upstreams",
    responses((status = 200, description = "All upstreams", body = UpstreamList)))]
pub(crate) async fn list(call: Call) -> Response {
    let upstreams = registry(&call.api).in_use();
    let items = upstreams
        .iter()
        .map(|upstream| UpstreamResource::from(&**upstream));
    let items = items.collect();
    json(StatusCode::OK, &UpstreamList { items })
}

/// Show an upstream with the state of its endpoints.
#[utoipa::path(get, operation_id = "showUpstream", path = "/v1/upstreams/{name}", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The upstream", body = UpstreamResource)))]
pub(crate) async fn show(call: Call<String>) -> Result<Response, ApiProblem> {
    let name = &call.path;
    shown(&call.api, name, StatusCode::OK)
}

/// Add an endpoint. It gets requests at once, or gradually over the slow start.
#[utoipa::path(post, operation_id = "addEndpoint", path = "/v1/upstreams/{name}/endpoints", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = EndpointCreate, content_type = "application/json"),
    responses((status = 201, description = "The upstream as it is now", body = UpstreamResource, headers(("location" = String, description = "The upstream's path"))),
        (status = 422, description = "The endpoint's name has no address now"),
        (status = 409, description = "The endpoint exists already")))]
pub(crate) async fn add(call: Call<String>, request: Request) -> Result<Response, ApiProblem> {
    let name = &call.path;
    let (endpoint, _) = body::json::<EndpointCreate>(request).await?;
    registry(&call.api).upstream(name)?;
    if !is_endpoint(&endpoint.address) {
        let wanted = "must be an IP address or a name, with a port, such as `10.0.0.1:8080`";
        return Err(ApiProblem::invalid_field("address", wanted));
    }
    weighs(Some(endpoint.weight))?;
    if endpoint.priority > 15 {
        return Err(ApiProblem::invalid_field(
            "priority",
            "must be a number from 0 to 15",
        ));
    }
    let labels = &endpoint.labels;
    if labels.len() > 32 || !labels.iter().all(|(name, value)| is_label(name, value)) {
        let wanted = "must be at most 32 names of letters, digits, `_` and `-`, with values of a single line";
        return Err(ApiProblem::invalid_field("labels", wanted));
    }
    let address = endpoint.address.clone();
    resolve(&call.api, name, &address).await?;
    let (weight, priority) = (endpoint.weight, endpoint.priority);
    registry(&call.api).add(name, &address, endpoint.added())?;
    let what = format!("weight {weight}, priority {priority}");
    let id = format!("{name}/{address}");
    audit_change(&call.caller, "create", "endpoint", &id, Some(&what));
    let mut response = shown(&call.api, name, StatusCode::CREATED)?;
    put(
        &mut response,
        header::LOCATION,
        &format!("/v1/upstreams/{name}"),
    );
    Ok(response)
}

/// Change an endpoint: set its weight, drain it, or end its drain.
#[utoipa::path(patch, operation_id = "updateEndpoint", path = "/v1/upstreams/{name}/endpoints/{address}", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("address" = String, Path, description = "The endpoint's `address`, or the `name` of one address of a name, its `/` written `%2F`")),
    request_body(content = EndpointChange, content_type = "application/json"),
    responses((status = 200, description = "The upstream as it is now", body = UpstreamResource)))]
pub(crate) async fn update(
    call: Call<(String, String)>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let (name, address) = &call.path;
    let (update, _) = body::json::<EndpointChange>(request).await?;
    weighs(update.weight)?;
    let weight = update.weight.map(|weight| format!("weight {weight}"));
    let drain = update.drained.map(|drain| format!("drain {drain}"));
    let what: Vec<String> = weight.into_iter().chain(drain).collect();
    registry(&call.api).change(name, address, update)?;
    if !what.is_empty() {
        let id = format!("{name}/{address}");
        audit_change(
            &call.caller,
            "update",
            "endpoint",
            &id,
            Some(&what.join(", ")),
        );
    }
    shown(&call.api, name, StatusCode::OK)
}

/// Remove an endpoint. Its active requests may finish.
#[utoipa::path(delete, operation_id = "removeEndpoint", path = "/v1/upstreams/{name}/endpoints/{address}", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("address" = String, Path, description = "The endpoint's `address`")),
    responses((status = 204, description = "The endpoint is removed"),
        (status = 409, description = "The endpoint is one address of a name")))]
pub(crate) async fn remove(call: Call<(String, String)>) -> Result<StatusCode, ApiProblem> {
    let (name, address) = &call.path;
    registry(&call.api).remove(name, address)?;
    audit(
        &call.caller,
        "delete",
        "endpoint",
        &format!("{name}/{address}"),
    );
    Ok(StatusCode::NO_CONTENT)
}

/// Undo the changes of one endpoint at run time: the configuration applies to it again.
#[utoipa::path(delete, operation_id = "restoreEndpoint", path = "/v1/upstreams/{name}/changes/{address}", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("address" = String, Path, description = "The address as `changes` has it")),
    responses((status = 200, description = "The upstream as it is now", body = UpstreamResource)))]
pub(crate) async fn restore_one(call: Call<(String, String)>) -> Result<Response, ApiProblem> {
    let (name, address) = &call.path;
    registry(&call.api).restore_one(name, address)?;
    audit(
        &call.caller,
        "restore",
        "endpoint",
        &format!("{name}/{address}"),
    );
    shown(&call.api, name, StatusCode::OK)
}

/// Undo all changes at run time: the configuration applies again.
#[utoipa::path(delete, operation_id = "restoreUpstream", path = "/v1/upstreams/{name}/changes", tag = "upstreams",
    params(("name" = String, Path, description = "The upstream's name", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The upstream as it is now", body = UpstreamResource)))]
pub(crate) async fn restore(call: Call<String>) -> Result<Response, ApiProblem> {
    let name = &call.path;
    registry(&call.api).restore(name)?;
    audit(&call.caller, "restore", "upstream", name);
    shown(&call.api, name, StatusCode::OK)
}

fn registry(api: &AdminApi) -> &UpstreamRegistry {
    &api.running.foundation.upstreams
}

fn shown(api: &AdminApi, name: &str, status: StatusCode) -> Result<Response, ApiProblem> {
    let plan = registry(api).upstream(name)?;
    Ok(json(status, &UpstreamResource::from(&*plan)))
}

fn weighs(weight: Option<u32>) -> Result<(), ApiProblem> {
    match weight {
        Some(weight) if weight > MAX_WEIGHT => Err(ApiProblem::invalid_field(
            "weight",
            "must be a number from 0 to 1000",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Resolves the name of a new endpoint.
async fn resolve(api: &Arc<AdminApi>, upstream: &str, address: &str) -> Result<(), ApiProblem> {
    if address.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    let plan = registry(api).upstream(upstream)?;
    let (api, name) = (Arc::clone(api), address.to_owned());
    let asked = tokio::task::spawn_blocking(move || api.running.foundation.resolve(&name));
    match asked.await {
        Ok(Ok(answer)) => {
            plan.state.set_addresses(address, &answer);
            Ok(())
        }
        Ok(Err(_)) => Err(ChangeError::Unresolved(address.to_owned()).into()),
        Err(_) => Err(super::internal_error()),
    }
}

impl From<ChangeError> for ApiProblem {
    fn from(error: ChangeError) -> Self {
        let (status, code) = match &error {
            ChangeError::NoUpstream(_) => (StatusCode::NOT_FOUND, "no_such_upstream"),
            ChangeError::NoEndpoint { .. } => (StatusCode::NOT_FOUND, "no_such_endpoint"),
            ChangeError::Exists { .. } => (StatusCode::CONFLICT, "endpoint_exists"),
            ChangeError::Unresolved(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no_address"),
            ChangeError::AddressOfName(_) => (StatusCode::CONFLICT, "one_of_name"),
            ChangeError::NoChange { .. } => (StatusCode::NOT_FOUND, "no_such_change"),
        };
        Self::new(status, code, error.to_string())
    }
}
