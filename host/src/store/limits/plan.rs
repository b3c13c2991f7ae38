//! Usage plans: as defined, and as enrolled with a store.

use std::collections::HashMap;
use std::sync::Arc;

use super::bucket::Shape;
use super::counter::Bounds;
use super::period::Period;
use super::{LimitStore, Timestamp};

/// A usage plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name: counters belong to it.
    pub name: Arc<str>,
    /// Its token bucket.
    pub rate: Option<Rate>,
    /// Its quota.
    pub quota: Option<Quota>,
    /// Rates of single methods, beside the plan's own: a key has a bucket for each.
    pub methods: Vec<MethodRate>,
    /// The APIs that it is sold for; empty: all.
    pub apis: Vec<Arc<str>>,
}

/// The rate of one method of an API, for each key of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodRate {
    /// The method, or `ANY`.
    pub method: Arc<str>,
    /// The path of the route, as its pattern is written.
    pub path: Arc<str>,
    /// Its token bucket.
    pub rate: Rate,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second; positive and finite, a billionth at least.
    pub per_second: f64,
    /// The bucket's size; at least 1.
    pub burst: u64,
}

/// A number of requests for each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many a period; at least 1.
    pub limit: u64,
    /// The period, in UTC.
    pub period: Period,
    /// Subtracted from the limit of the first period; less than `limit`.
    pub offset: u64,
}

/// A plan that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It bounds nothing.
    #[error("plan `{0}` has neither rate nor quota")]
    Empty(Arc<str>),
    /// Its rate is not a number above 0.
    #[error("plan `{0}`: the rate must be a number of requests a second above 0")]
    Rate(Arc<str>),
    /// Its burst is 0.
    #[error("plan `{0}`: the burst must be at least 1")]
    Burst(Arc<str>),
    /// Its quota's limit is 0.
    #[error("plan `{0}`: the quota's limit must be at least 1")]
    Limit(Arc<str>),
    /// Its offset leaves nothing.
    #[error("plan `{0}`: the quota's offset must be less than its limit")]
    Offset(Arc<str>),
    /// Another has its name.
    #[error("plan `{0}` is there twice")]
    Duplicate(Arc<str>),
}

/// The lowest rate. Tokens a second.
const SLOWEST: f64 = 1e-9;

impl Plan {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), PlanError> {
        let fail = |error: fn(Arc<str>) -> PlanError| Err(error(self.name.clone()));
        if self.rate.is_none() && self.quota.is_none() {
            return fail(PlanError::Empty);
        }
        if let Some(rate) = self.rate {
            if !rate.per_second.is_finite() || rate.per_second < SLOWEST {
                return fail(PlanError::Rate);
            }
            if rate.burst == 0 {
                return fail(PlanError::Burst);
            }
        }
        if let Some(quota) = self.quota {
            if quota.limit == 0 {
                return fail(PlanError::Limit);
            }
            if quota.offset >= quota.limit {
                return fail(PlanError::Offset);
            }
        }
        Ok(())
    }
}

/// A plan with its place in a store.
#[derive(Debug)]
pub struct EnrolledPlan {
    plan: Plan,
    pub(super) space: u32,
    pub(super) bounds: Bounds,
}

impl EnrolledPlan {
    /// For a [`LimitStore`]: the plan, the number that the store gave its name, and when the
    /// store first met that name (milliseconds since 1970).
    ///
    /// # Errors
    /// The plan makes no sense.
    pub fn new(plan: Plan, space: u32, since_ms: u64) -> Result<Self, PlanError> {
        plan.check()?;
        let rate = plan
            .rate
            .map(|rate| Shape::new(rate.burst, rate.per_second));
        let bounds = Bounds {
            rate,
            quota: plan.quota,
            since_ms,
        };
        Ok(Self {
            plan,
            space,
            bounds,
        })
    }

    /// The plan as it was defined.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Where a store keeps the buckets of one filter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope(pub(super) u32);

impl Scope {
    /// For a [`LimitStore`]: the number that it gave the filter's name.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(number)
    }
}

/// The plans of one config, by name.
#[derive(Debug, Default)]
pub struct Plans {
    by_name: HashMap<Arc<str>, EnrolledPlan, ahash::RandomState>,
}

impl Plans {
    /// Enroll all of them.
    ///
    /// # Errors
    /// Every plan that makes no sense or has a name twice. The names of the others are known to
    /// the store from then on, which harms nothing.
    pub fn enroll(
        store: &dyn LimitStore,
        plans: impl IntoIterator<Item = Plan>,
        now: Timestamp,
    ) -> Result<Self, Vec<PlanError>> {
        let mut by_name: HashMap<Arc<str>, EnrolledPlan, ahash::RandomState> = HashMap::default();
        let mut errors = Vec::new();
        for plan in plans {
            let name = plan.name.clone();
            match store.enroll(plan, now) {
                Err(error) => errors.push(error),
                Ok(_) if by_name.contains_key(&name) => errors.push(PlanError::Duplicate(name)),
                Ok(plan) => {
                    by_name.insert(name, plan);
                }
            }
        }
        if errors.is_empty() {
            Ok(Self { by_name })
        } else {
            Err(errors)
        }
    }

    /// The plan of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&EnrolledPlan> {
        self.by_name.get(name)
    }
}
