//! `/v1/plans`: create, list, show, change and delete plans.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::keys::{put, tagged};
use super::params::{self, NoParams, PageParams, PlanName, QueryParams};
use super::shape::{PlanCreate, PlanPage, PlanResource, PlanUpdate};
use super::{ApiState, audit, body, json, now_ms};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::{ApiProblem, ProblemBody};

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
        (status = 422, description = "The parts of the plan contradict each other", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "A plan of that name exists", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn create(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    QueryParams(_): QueryParams<NoParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let (plan, _) = body::json::<PlanCreate>(request).await?;
    let plan = plan.try_into()?;
    let view = api
        .call(move |service| Ok(service.create_plan(plan, now_ms())?))
        .await?;
    let (name, revision) = (view.record.name.clone(), view.record.revision);
    audit(&caller, "create", "plan", &name);
    let mut response = json(StatusCode::CREATED, &PlanResource::from(view));
    put(
        &mut response,
        header::LOCATION,
        &format!("/v1/plans/{name}"),
    );
    Ok(tagged(response, revision))
}

/// Show a plan.
#[utoipa::path(get, operation_id = "showPlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The plan", body = PlanResource, headers(("etag" = String, description = "The plan's revision")))))]
pub(crate) async fn show(
    State(api): ApiState,
    PlanName(name): PlanName,
    QueryParams(_): QueryParams<NoParams>,
) -> Result<Response, ApiProblem> {
    let view = api.call(move |service| Ok(service.plan(&name)?)).await?;
    let revision = view.record.revision;
    Ok(tagged(
        json(StatusCode::OK, &PlanResource::from(view)),
        revision,
    ))
}

/// Change a plan. Members that are left out change nothing; keys keep their usage.
#[utoipa::path(patch, operation_id = "updatePlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the plan is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = PlanUpdate, content_type = "application/json"),
    responses((status = 200, description = "The plan as it is now", body = PlanResource, headers(("etag" = String, description = "The plan's revision"))),
        (status = 422, description = "The parts of the plan contradict each other", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The plan is defined in the configuration, or a key would have two plans for one API", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The plan is at another revision", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn update(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    PlanName(name): PlanName,
    QueryParams(_): QueryParams<NoParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let revision = params::if_match(request.headers())?;
    let (update, _) = body::json::<PlanUpdate>(request).await?;
    let change = update.try_into()?;
    let plan = name.clone();
    let view = api
        .call(move |service| Ok(service.update_plan(&plan, &change, revision, now_ms())?))
        .await?;
    audit(&caller, "update", "plan", &name);
    let revision = view.record.revision;
    Ok(tagged(
        json(StatusCode::OK, &PlanResource::from(view)),
        revision,
    ))
}

/// Delete a plan that no key is on.
#[utoipa::path(delete, operation_id = "deletePlan", path = "/v1/plans/{name}", tag = "plans",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the plan is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    responses((status = 204, description = "The plan is deleted"),
        (status = 409, description = "The plan is defined in the configuration, or keys are on it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The plan is at another revision", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    PlanName(name): PlanName,
    QueryParams(_): QueryParams<NoParams>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiProblem> {
    let revision = params::if_match(&headers)?;
    let plan = name.clone();
    api.call(move |service| Ok(service.delete_plan(&plan, revision)?))
        .await?;
    audit(&caller, "delete", "plan", &name);
    Ok(StatusCode::NO_CONTENT)
}
