//! `/v1/plans`: create, list, show, change and delete plans.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;

use super::call::{Call, NameOf};
use super::keys::{put, tagged};
use super::params::{self, PageParams, QueryParams};
use super::shape::{PlanCreate, PlanPage, PlanResource, PlanUpdate};
use super::{ApiState, audit, body, json, now_ms};
use crate::admin::problem::ApiProblem;
use crate::control::service::ControlService;

type PlanName = NameOf<PlanResource>;

/// List plans, in the order of their names.
#[utoipa::path(get, operation_id = "listPlans", path = "/v1/plans", tag = "plans", params(PageParams),
    responses((status = 200, description = "A page of the list", body = PlanPage)))]
pub(crate) async fn list(
    State(api): ApiState,
    QueryParams(query): QueryParams<PageParams>,
) -> Result<Response, ApiProblem> {
    let limit = params::limit(query.limit)?;
    let after = params::after(query.cursor.as_deref())?.map(str::to_owned);
    let page = api
        .call(move |service| Ok(service.plans(after.as_deref(), limit)?))
        .await?;
    Ok(json(StatusCode::OK, &PlanPage::from(page)))
}

/// Create a plan.
#[utoipa::path(post, operation_id = "createPlan", path = "/v1/plans", tag = "plans",
    request_body(content = PlanCreate, content_type = "application/json"),
    responses((status = 201, description = "The plan was created", body = PlanResource, headers(("etag" = String, description = "The plan's revision"), ("location" = String, description = "The plan's path"))),
        (status = 422, description = "The parts of the plan contradict each other"),
        (status = 409, description = "A plan of that name exists")))]
pub(crate) async fn create(call: Call, request: Request) -> Result<Response, ApiProblem> {
    let (plan, _) = body::json::<PlanCreate>(request).await?;
    let plan = plan.try_into()?;
    let work = move |service: &ControlService| Ok(service.create_plan(plan, now_ms())?);
    let plan = PlanResource::from(call.api.call(work).await?);
    audit(&call.caller, "create", "plan", &plan.name);
    let mut response = tagged(StatusCode::CREATED, &plan, plan.revision);
    let path = format!("/v1/plans/{}", plan.name);
    put(&mut response, header::LOCATION, &path);
    Ok(response)
}

/// Show a plan.
#[utoipa::path(get, operation_id = "showPlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The plan", body = PlanResource, headers(("etag" = String, description = "The plan's revision")))))]
pub(crate) async fn show(call: Call<PlanName>) -> Result<Response, ApiProblem> {
    let plan = PlanResource::from(call.ask(ControlService::plan).await?);
    Ok(tagged(StatusCode::OK, &plan, plan.revision))
}

/// Change a plan. Members that are left out change nothing; keys keep their usage.
#[utoipa::path(patch, operation_id = "updatePlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the plan is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = PlanUpdate, content_type = "application/json"),
    responses((status = 200, description = "The plan as it is now", body = PlanResource, headers(("etag" = String, description = "The plan's revision"))),
        (status = 422, description = "The parts of the plan contradict each other"),
        (status = 409, description = "The plan is defined in the configuration, or a key would have two plans for one API"),
        (status = 412, description = "The plan is at another revision")))]
pub(crate) async fn update(call: Call<PlanName>, request: Request) -> Result<Response, ApiProblem> {
    let revision = call.revision()?;
    let (update, _) = body::json::<PlanUpdate>(request).await?;
    let change = update.try_into()?;
    let work = move |service: &ControlService, name: &str| {
        service.update_plan(name, &change, revision, now_ms())
    };
    let plan = PlanResource::from(call.change("update", work).await?);
    Ok(tagged(StatusCode::OK, &plan, plan.revision))
}

/// Delete a plan that no key is on.
#[utoipa::path(delete, operation_id = "deletePlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the plan is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    responses((status = 204, description = "The plan is deleted"),
        (status = 409, description = "The plan is defined in the configuration, or keys are on it"),
        (status = 412, description = "The plan is at another revision")))]
pub(crate) async fn delete(call: Call<PlanName>) -> Result<StatusCode, ApiProblem> {
    let revision = call.revision()?;
    let work = move |service: &ControlService, name: &str| service.delete_plan(name, revision);
    call.change("delete", work).await?;
    Ok(StatusCode::NO_CONTENT)
}
