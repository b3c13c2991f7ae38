//! Usage plans: as defined, and as enrolled in a store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ahash::RandomState;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::bounds::{Bounds, MethodBound};
use super::bucket::Shape;
use super::plan_stats::PlanStats;
use crate::model::plan::{QuotaLimit, RateLimit};

/// The most methods of one plan.
pub(crate) const MAX_METHODS: usize = 256;

/// The name for every method.
const ANY: &str = "ANY";

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UsagePlan {
    /// Its name, which its counters belong to.
    pub(crate) name: Arc<str>,
    /// Its token bucket.
    pub(crate) rate: Option<RateLimit>,
    pub(crate) quota: Option<QuotaLimit>,
    /// Rates of single methods, in addition to the plan's own: a key has a bucket for each.
    pub(crate) methods: Vec<MethodRate>,
    /// The APIs that it is for; empty: all.
    pub(crate) apis: Vec<Arc<str>>,
}

/// The rate of one method of an API, for each key of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MethodRate {
    /// The method, or `ANY`.
    pub(crate) method: Box<str>,
    /// The path of the route, as its pattern is written.
    pub(crate) path: Box<str>,
    /// Its token bucket.
    #[serde(flatten)]
    pub(crate) rate: RateLimit,
}

impl RateLimit {
    pub(super) fn shape(&self) -> Shape {
        Shape::new(self.burst, self.per_second)
    }

    /// Checks its numbers.
    ///
    /// # Errors
    ///
    /// The first invalid one.
    pub(crate) fn check(&self) -> Result<(), RateError> {
        if !self.per_second.is_finite() || self.per_second < SLOWEST {
            return Err(RateError::Rate);
        }
        if self.burst == 0 {
            return Err(RateError::Burst);
        }
        Ok(())
    }
}

/// Why a rate is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RateError {
    /// Its speed is not a number above 0.
    #[error("the rate must be a number of requests a second above 0")]
    Rate,
    /// Its burst is 0.
    #[error("the burst must be at least 1")]
    Burst,
}

/// Why a plan is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// It bounds nothing.
    #[error("plan `{0}` has neither rate nor quota, and no rate of a method")]
    Empty(Arc<str>),
    /// Its rate is invalid.
    #[error("plan `{0}`: {1}")]
    Rate(Arc<str>, RateError),
    /// Its quota's limit is 0.
    #[error("plan `{0}`: the quota's limit must be at least 1")]
    Limit(Arc<str>),
    /// Another plan has its name.
    #[error("plan `{0}` is defined twice")]
    Duplicate(Arc<str>),
    #[error("plan `{0}` has rates for more than {MAX_METHODS} methods")]
    TooManyMethods(Arc<str>),
    /// The rate of one of its methods is invalid.
    #[error("plan `{plan}`, method `{method}`: {wrong}")]
    Method {
        plan: Arc<str>,
        /// The method with its path.
        method: String,
        wrong: MethodError,
    },
}

impl PlanError {
    #[must_use]
    pub(crate) fn plan(&self) -> &str {
        match self {
            Self::Empty(plan)
            | Self::Rate(plan, _)
            | Self::Limit(plan)
            | Self::Duplicate(plan)
            | Self::TooManyMethods(plan)
            | Self::Method { plan, .. } => plan,
        }
    }
}

/// Why the rate of a method is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MethodError {
    /// Its numbers are invalid.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The method's name is invalid.
    #[error("a method is in capitals, such as `GET`, or `ANY`")]
    Name,
    /// The path is invalid.
    #[error("a path is the pattern of a route: it begins with `/`, or is `$default`")]
    Path,
    #[error("it has a rate already")]
    Duplicate,
}

/// The lowest rate. Tokens a second.
const SLOWEST: f64 = 1e-9;

impl UsagePlan {
    /// Checks its numbers.
    ///
    /// # Errors
    ///
    /// The first invalid one.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let fail = |error: fn(Arc<str>) -> PlanError| Err(error(self.name.clone()));
        if self.rate.is_none() && self.quota.is_none() && self.methods.is_empty() {
            return fail(PlanError::Empty);
        }
        if let Some(Err(error)) = self.rate.map(|rate| rate.check()) {
            return Err(PlanError::Rate(self.name.clone(), error));
        }
        if self.quota.is_some_and(|quota| quota.limit == 0) {
            return fail(PlanError::Limit);
        }
        if self.methods.len() > MAX_METHODS {
            return fail(PlanError::TooManyMethods);
        }
        let mut seen = HashSet::new();
        for method in &self.methods {
            let checked = match method.check() {
                Ok(()) if !seen.insert((&method.method, &method.path)) => {
                    Err(MethodError::Duplicate)
                }
                checked => checked,
            };
            checked.map_err(|wrong| PlanError::Method {
                plan: self.name.clone(),
                method: format!("{} {}", method.method, method.path),
                wrong,
            })?;
        }
        Ok(())
    }

    pub(super) fn names(&self, api: Option<&str>) -> bool {
        api.is_some_and(|api| self.apis.iter().any(|covered| **covered == *api))
    }
}

impl MethodRate {
    fn check(&self) -> Result<(), MethodError> {
        let is_letter = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
        if self.method.is_empty() || !self.method.bytes().all(is_letter) {
            return Err(MethodError::Name);
        }
        if !self.path.starts_with('/') && *self.path != *"$default" {
            return Err(MethodError::Path);
        }
        Ok(self.rate.check()?)
    }
}

/// A plan with its numbers in a store.
#[derive(Debug)]
pub struct EnrolledPlan {
    /// The plan as it was defined.
    pub(crate) plan: UsagePlan,
    /// The decisions about its charges.
    pub(crate) stats: Arc<PlanStats>,
    pub(super) number: u32,
    pub(super) bounds: Bounds,
    /// In the order of the plan's methods.
    methods: Box<[MethodBound]>,
    /// The indexes of the methods with this path.
    by_path: HashMap<Box<str>, SmallVec<[usize; 2]>, RandomState>,
}

impl EnrolledPlan {
    /// For a [`LimitStore`](super::LimitStore): the plan, the number of its name in the store, and
    /// the numbers of its methods, in their order.
    ///
    /// # Errors
    ///
    /// The plan is invalid.
    pub(super) fn new(
        plan: UsagePlan,
        number: u32,
        methods: &[u32],
        stats: Arc<PlanStats>,
    ) -> Result<Self, PlanError> {
        plan.check()?;
        let bounds = Bounds {
            rate: plan.rate.map(|rate| rate.shape()),
            quota: plan.quota,
            is_plan: true,
        };
        let mut by_path: HashMap<Box<str>, SmallVec<[usize; 2]>, RandomState> = HashMap::default();
        for (index, method) in plan.methods.iter().enumerate() {
            by_path.entry(method.path.clone()).or_default().push(index);
        }
        let methods = plan.methods.iter().zip(methods);
        let methods = methods.map(|(method, number)| MethodBound {
            number: *number,
            shape: method.rate.shape(),
        });
        Ok(Self {
            methods: methods.collect(),
            plan,
            stats,
            number,
            bounds,
            by_path,
        })
    }

    /// The rate of this method on the route with this pattern, as an index of
    /// [`UsagePlan::methods`]. A rate that names the method comes before `ANY`.
    #[must_use]
    pub(crate) fn method(&self, method: &str, pattern: &str) -> Option<usize> {
        if self.by_path.is_empty() {
            return None;
        }
        let indexes = self.by_path.get(pattern)?;
        let with = |name: &str| {
            let mut indexes = indexes.iter().copied();
            indexes.find(|index| {
                let rate = self.plan.methods.get(*index);
                rate.is_some_and(|rate| *rate.method == *name)
            })
        };
        with(method).or_else(|| with(ANY))
    }

    pub(super) fn bound(&self, index: usize) -> Option<&MethodBound> {
        self.methods.get(index)
    }
}

/// The buckets of one filter's name in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope(pub(super) u32);
