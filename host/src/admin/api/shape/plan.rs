//! The JSON of plans.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{names, starts_on};
use crate::admin::problem::ApiProblem;
use crate::control::service::{Page, PlanChange, PlanOvershoot, PlanView, RateChange};
use crate::control::storage::record::PlanRecord;
use crate::limits::MethodRate;
use crate::model::date;
use crate::model::json::{Strict, nullable, present, present_whole, whole_number};
use crate::model::period::{FirstDay, PeriodKind};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::model::store::Origin;

/// A usage plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanResource {
    /// Its name, which its counters belong to. It never changes.
    pub(crate) name: String,
    /// A description for people.
    pub(crate) description: String,
    /// Its token bucket; null: none.
    #[schema(value_type = Option<PlanRate>)]
    pub(crate) rate: Option<RateLimit>,
    /// Its quota; null: none.
    pub(crate) quota: Option<PlanQuota>,
    /// Rates of single methods, in addition to the plan's own.
    #[schema(value_type = Vec<PlanMethodRate>)]
    pub(crate) methods: Vec<MethodRate>,
    /// The APIs that it is for; empty: all.
    pub(crate) apis: Vec<String>,
    /// How many requests more several gateways on one store may admit together; null for a gateway
    /// that counts alone and exactly.
    pub(crate) slack: Option<PlanOvershoot>,
    /// When it was created; null for a plan of the configuration.
    #[schema(format = DateTime)]
    pub(crate) created: Option<String>,
    /// When it was last changed; null for a plan of the configuration.
    #[schema(format = DateTime)]
    pub(crate) updated: Option<String>,
    /// Where it is defined.
    pub(crate) source: Origin,
    /// Counts changes; also the `etag`.
    #[schema(minimum = 0)]
    pub(crate) revision: u64,
}

/// A token bucket.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a `RateLimit`")]
struct PlanRate {
    /// Tokens that return each second.
    #[schema(minimum = 0.000_000_001, maximum = 1_000_000_000)]
    per_second: f64,
    /// The bucket's size.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    burst: u64,
}

/// A token bucket to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRateCreate {
    /// Tokens that return each second.
    #[schema(minimum = 0.000_000_001, maximum = 1_000_000_000)]
    pub(crate) per_second: f64,
    /// The bucket's size. Default the rate, rounded up.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_u64)]
    pub(crate) burst: Option<u64>,
}

/// A number of requests in each period.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanQuota {
    /// Requests in each period.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    #[serde(deserialize_with = "whole_number")]
    pub(crate) limit: u64,
    /// The period.
    pub(crate) period: PeriodKind,
    /// Its first day; of a day there is none.
    #[serde(default)]
    #[schema(schema_with = starts_on::schema, required = false)]
    pub(crate) starts_on: Option<FirstDay>,
    /// Refused, with what to write instead.
    #[serde(default, skip_serializing, deserialize_with = "starts_on::no_offset")]
    #[schema(ignore)]
    #[expect(dead_code, reason = "only its reader does something")]
    pub(crate) offset: (),
}

/// The rate of one method of an API, for each key of the plan.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlanMethod)]
#[expect(dead_code, reason = "describes a `MethodRate`")]
struct PlanMethodRate {
    /// The method in capitals, or `ANY`.
    #[schema(pattern = "^[A-Z]{1,32}$")]
    method: String,
    /// The path of the route, as the configuration writes it.
    #[schema(
        max_length = 1024,
        pattern = r"^(\$default|/[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*)$"
    )]
    path: String,
    /// Tokens that return each second.
    #[schema(minimum = 0.000_000_001, maximum = 1_000_000_000)]
    per_second: f64,
    /// The bucket's size.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    burst: u64,
}

/// A rate of one method to create.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanMethodCreate {
    /// The method in capitals, or `ANY`.
    #[schema(pattern = "^[A-Z]{1,32}$")]
    pub(crate) method: String,
    /// The path of the route, as the configuration writes it.
    #[schema(
        max_length = 1024,
        pattern = r"^(\$default|/[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*)$"
    )]
    pub(crate) path: String,
    /// Tokens that return each second.
    #[schema(minimum = 0.000_000_001, maximum = 1_000_000_000)]
    pub(crate) per_second: f64,
    /// The bucket's size. Default the rate, rounded up.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_u64)]
    pub(crate) burst: Option<u64>,
}

/// A page of the list of plans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanPage {
    /// The plans, in the order of their names.
    pub(crate) items: Vec<PlanResource>,
    /// Where to continue; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// A plan to create: with a rate, a quota, or rates of methods.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanCreate {
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub(crate) name: String,
    /// A description for people.
    #[serde(default)]
    #[schema(
        max_length = 256,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) description: String,
    /// Its token bucket.
    #[serde(default)]
    #[schema(value_type = Option<PlanRateCreate>)]
    pub(crate) rate: Option<Strict<PlanRateCreate>>,
    /// Its quota.
    #[serde(default)]
    #[schema(value_type = Option<PlanQuota>)]
    pub(crate) quota: Option<Strict<PlanQuota>>,
    /// Rates of single methods.
    #[serde(default)]
    #[schema(value_type = Vec<PlanMethodCreate>, max_items = 64)]
    pub(crate) methods: Vec<Strict<PlanMethodCreate>>,
    /// The APIs that it is for. Default all.
    #[serde(default)]
    #[schema(schema_with = names, required = false)]
    pub(crate) apis: Vec<String>,
}

/// A change of a plan. Members that are left out change nothing.
#[expect(
    clippy::option_option,
    reason = "left out, null, and a value have three meanings"
)]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanUpdate {
    /// A description for people.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        nullable = false,
        max_length = 256,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) description: Option<String>,
    /// Its token bucket; null: none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<RateChange>)]
    pub(crate) rate: Option<Option<Strict<RateChange>>>,
    /// Its quota; null: none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<PlanQuota>)]
    pub(crate) quota: Option<Option<Strict<PlanQuota>>>,
    /// All rates of single methods.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<PlanMethodCreate>, required = false, max_items = 64)]
    pub(crate) methods: Option<Vec<Strict<PlanMethodCreate>>>,
    /// All APIs that it is for.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = names, required = false)]
    pub(crate) apis: Option<Vec<String>>,
}

impl From<PlanView> for PlanResource {
    fn from(view: PlanView) -> Self {
        let stored = view.origin == Origin::Store;
        let record = view.record;
        Self {
            name: record.name,
            description: record.description,
            rate: record.rate,
            quota: record.quota.map(PlanQuota::from),
            methods: record.methods,
            apis: record.apis,
            slack: view.overshoot,
            created: stored.then(|| date::moment(record.created_ms)),
            updated: stored.then(|| date::moment(record.updated_ms)),
            source: view.origin,
            revision: record.revision,
        }
    }
}

impl From<Page<PlanView>> for PlanPage {
    fn from(page: Page<PlanView>) -> Self {
        Self {
            items: page.items.into_iter().map(PlanResource::from).collect(),
            next_cursor: crate::admin::api::params::cursor(page.next),
        }
    }
}

impl TryFrom<PlanCreate> for PlanRecord {
    type Error = ApiProblem;

    fn try_from(plan: PlanCreate) -> Result<Self, ApiProblem> {
        Ok(Self {
            name: plan.name,
            description: plan.description,
            rate: plan
                .rate
                .map(|Strict(rate)| RateLimit::new(rate.per_second, rate.burst)),
            quota: plan
                .quota
                .map(|Strict(quota)| quota.try_into())
                .transpose()?,
            methods: methods(plan.methods),
            apis: plan.apis,
            ..Self::default()
        })
    }
}

impl TryFrom<PlanUpdate> for PlanChange {
    type Error = ApiProblem;

    fn try_from(plan: PlanUpdate) -> Result<Self, ApiProblem> {
        let quota = plan.quota.map(|quota| {
            let quota = quota.map(|Strict(quota)| quota.try_into());
            quota.transpose()
        });
        Ok(Self {
            description: plan.description,
            rate: plan.rate.map(|rate| rate.map(|Strict(rate)| rate)),
            quota: quota.transpose()?,
            methods: plan.methods.map(methods),
            apis: plan.apis,
        })
    }
}

fn methods(methods: Vec<Strict<PlanMethodCreate>>) -> Vec<MethodRate> {
    let methods = methods.into_iter();
    methods
        .map(|Strict(method)| MethodRate {
            method: method.method.into(),
            path: method.path.into(),
            rate: RateLimit::new(method.per_second, method.burst),
        })
        .collect()
}

impl From<QuotaLimit> for PlanQuota {
    fn from(quota: QuotaLimit) -> Self {
        Self {
            limit: quota.limit,
            period: quota.period.kind(),
            starts_on: quota.period.first_day(),
            offset: (),
        }
    }
}

impl PlanQuota {
    /// The quota as the storage has it.
    ///
    /// # Errors
    ///
    /// `starts_on` does not fit the period.
    pub(crate) fn record(self) -> Result<QuotaLimit, &'static str> {
        Ok(QuotaLimit {
            limit: self.limit,
            period: starts_on::period(self.period, self.starts_on)?,
        })
    }
}

impl TryFrom<PlanQuota> for QuotaLimit {
    type Error = ApiProblem;

    fn try_from(quota: PlanQuota) -> Result<Self, ApiProblem> {
        let record = quota.record();
        record.map_err(|why| ApiProblem::unprocessable("quota.starts_on", why))
    }
}
