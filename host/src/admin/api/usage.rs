//! `/v1/usage` and extensions of quotas: the usage of keys on their plans.
//!
//! They correspond to Amazon's `GetUsage` and `UpdateUsage` (API Gateway API reference).

use std::fmt::Write as _;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, NameOf};
use super::params::{self, QueryParams};
use super::shape::{ExtendedQuota, KeyResource, PlanResource, QuotaExtend, UsageResource};
use super::{ApiState, audit, body, json, now_ms};
use crate::admin::problem::ApiProblem;
use crate::control::service::{ControlService, UsageReport, guarded};
use crate::control::storage::UsageQuery;
use crate::model::date;
use crate::model::json::MOST;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Format)]
pub(crate) enum UsageFormat {
    /// A JSON object.
    Json,
    /// Comma-separated values.
    Csv,
}

/// Selects the usage.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// The plan.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) plan: String,
    /// Only this key; a deleted key's usage is kept.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) key: Option<String>,
    /// The first day, in UTC. Default the last day.
    #[param(format = Date)]
    pub(crate) from: Option<String>,
    /// The last day, inclusive; at most 365 days after the first. Default today.
    #[param(format = Date)]
    pub(crate) to: Option<String>,
    /// The format; `accept: text/csv` does the same. Default JSON.
    #[param(inline)]
    pub(crate) format: Option<UsageFormat>,
    /// The number of keys at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<usize>,
    /// Where to continue: the `next_cursor` of the previous page.
    #[param(pattern = "^c_[A-Za-z0-9_-]{1,64}$")]
    pub(crate) cursor: Option<String>,
}

/// Report the usage of keys on a plan, by day.
///
/// As comma-separated values it has the columns `plan,key,day,used,remaining` (a name that begins
/// with `-` has a `'` before it, for spreadsheets), and the next page's cursor in `x-next-cursor`.
#[utoipa::path(get, operation_id = "showUsage", path = "/v1/usage", tag = "usage", params(UsageParams),
    responses((status = 200, description = "The report", headers(("x-next-cursor" = String, description = "For comma-separated values: where to continue")), content(
        (UsageResource = "application/json"), (String = "text/csv"))),
        (status = 422, description = "The days contradict each other")))]
pub(crate) async fn show(
    State(api): ApiState,
    QueryParams(query): QueryParams<UsageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let csv = wants_csv(query.format, &headers);
    let now = now_ms();
    let today = u32::try_from(now / DAY_MS).unwrap_or(u32::MAX);
    let day = |field: &str, text: Option<&str>, default: u32| match text {
        None => Ok(default),
        Some(text) => date::read_day(text)
            .ok_or_else(|| ApiProblem::invalid_field(field, "must be a day as `2026-11-25`")),
    };
    let to = day("to", query.to.as_deref(), today)?;
    let from = day("from", query.from.as_deref(), to)?;
    let plan = params::name("plan", Some(query.plan))?.unwrap_or_default();
    let query = UsageQuery {
        plan: plan.clone(),
        key: params::name("key", query.key)?,
        from_day: from,
        to_day: to,
        after: params::after(query.cursor.as_deref())?.map(str::to_owned),
        limit: params::limit(query.limit)?,
    };
    let report = api
        .call(move |service| Ok(service.usage(&query, now)?))
        .await?;
    if csv {
        return Ok(as_csv(&plan, from, report));
    }
    let items = report.keys.into_iter();
    let items = items.map(|usage| {
        let days = usage.days.into_iter();
        let days = days.map(|(used, left)| serde_json::json!([used, left]));
        (usage.key, days.collect())
    });
    let usage = UsageResource {
        plan,
        from: date::day(from),
        to: date::day(to),
        items: items.collect(),
        next_cursor: params::cursor(report.next),
    };
    Ok(json(StatusCode::OK, &usage))
}

/// Encodes a report as comma-separated values. Names of plans and keys need no quotes.
fn as_csv(plan: &str, from: u32, report: UsageReport) -> Response {
    let mut text = "plan,key,day,used,remaining\n".to_owned();
    let plan = guarded(plan);
    for usage in &report.keys {
        let key = guarded(&usage.key);
        for (day, (used, left)) in (from..).zip(&usage.days) {
            let left = left.map(|left| left.to_string()).unwrap_or_default();
            let day = date::day(day);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{plan},{key},{day},{used},{left}");
        }
    }
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    let mut response = (StatusCode::OK, kind, text).into_response();
    if let Some(cursor) = params::cursor(report.next) {
        let name = axum::http::HeaderName::from_static("x-next-cursor");
        super::keys::put(&mut response, name, &cursor);
    }
    response
}

/// Whether a report is to be comma-separated values.
pub(crate) fn wants_csv(format: Option<UsageFormat>, headers: &HeaderMap) -> bool {
    match format {
        Some(format) => format == UsageFormat::Csv,
        None => wants(headers, "text/csv"),
    }
}

/// Whether the client accepts this type.
pub(crate) fn wants(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut kinds = values.flat_map(|value| value.split(','));
    kinds.any(|each| each.split(';').next().unwrap_or("").trim() == kind)
}

/// Extend the remaining quota of a key in the current period.
#[utoipa::path(patch, operation_id = "extendQuota", path = "/v1/plans/{name}/usage/{key}", tag = "usage",
    params(("name" = String, Path, description = "The plan's name", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("key" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body(content = QuotaExtend, content_type = "application/json"),
    responses((status = 200, description = "The remaining quota", body = ExtendedQuota),
        (status = 409, description = "The plan has no quota")))]
pub(crate) async fn extend(
    call: Call<(NameOf<PlanResource>, NameOf<KeyResource>)>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let (QuotaExtend { remaining }, _) = body::json(request).await?;
    if remaining > MOST {
        return Err(ApiProblem::invalid_field(
            "remaining",
            &format!("must be at most {MOST}"),
        ));
    }
    let (plan, key) = call.path;
    let work = move |service: &ControlService| Ok(service.extend(&plan.0, &key.0, remaining)?);
    let made = call.api.call(work).await?;
    let action = format!("extend to {remaining}");
    let id = format!("{}/{}", made.plan, made.key);
    audit(&call.caller, &action, "usage", &id);
    Ok(json(StatusCode::OK, &ExtendedQuota::new(made, remaining)))
}
