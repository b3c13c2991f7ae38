//! Plans: create, show, change, delete.

use serde::Deserialize;
use utoipa::ToSchema;

use super::keys::check_revision;
use super::{ControlService, Page, PlanView, ServiceError, retry, rules};
use crate::control::storage::record::PlanRecord;
use crate::control::storage::{KeyQuery, Write};
use crate::limits::MethodRate;
use crate::model::json::{present, present_whole};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::model::store::Origin;

/// A change of a plan. None: no change.
#[derive(Debug, Clone, Default)]
#[expect(clippy::option_option, reason = "left alone, removed, or set")]
pub(crate) struct PlanChange {
    /// The description for people.
    pub(crate) description: Option<String>,
    /// Its token bucket; `Some(None)`: none.
    pub(crate) rate: Option<Option<RateChange>>,
    /// Its quota; `Some(None)`: none.
    pub(crate) quota: Option<Option<QuotaLimit>>,
    /// All rates of single methods.
    pub(crate) methods: Option<Vec<MethodRate>>,
    /// All APIs that it is for.
    pub(crate) apis: Option<Vec<String>>,
}

/// A change of a token bucket. Members that are left out change nothing. If the plan has no rate
/// yet, `per_second` is required, and `burst` defaults to the rate, rounded up.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlanRateUpdate)]
pub(crate) struct RateChange {
    /// Tokens that return each second.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0.000_000_001, maximum = 1_000_000_000)]
    pub(crate) per_second: Option<f64>,
    /// The bucket's size.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_u64)]
    pub(crate) burst: Option<u64>,
}

impl RateChange {
    /// The bucket after the change. If there was none, the change must have a rate.
    fn apply(self, plan: &str, present: Option<RateLimit>) -> Result<RateLimit, ServiceError> {
        let per_second = self.per_second.or(present.map(|rate| rate.per_second));
        let Some(per_second) = per_second else {
            return Err(ServiceError::NoRate(plan.to_owned()));
        };
        let burst = self.burst.or(present.map(|rate| rate.burst));
        Ok(RateLimit::new(per_second, burst))
    }
}

impl ControlService {
    /// Creates a plan.
    ///
    /// # Errors
    ///
    /// A field is invalid, a plan of that name exists, or the storage is out of reach.
    pub(crate) fn create_plan(
        &self,
        mut record: PlanRecord,
        now_ms: u64,
    ) -> Result<PlanView, ServiceError> {
        record.created_ms = now_ms;
        record.updated_ms = now_ms;
        rules::check_plan(&record)?;
        self.refuse_configured_plan(&record.name)?;
        let _plans = self.plans.write();
        let name = record.name.clone();
        let created = self.put_plan(record, 0)?;
        created.ok_or(ServiceError::PlanExists(name))
    }

    /// Writes a plan that replaces this revision. None if it has another one.
    fn put_plan(
        &self,
        mut record: PlanRecord,
        expect: u64,
    ) -> Result<Option<PlanView>, ServiceError> {
        let write = Write::PutPlan {
            record: record.clone(),
            expect,
        };
        let committed = self.commit(&[write])?;
        Ok(committed.map(|revision| {
            record.revision = revision;
            self.view_plan(record, Origin::Store)
        }))
    }

    /// The plan of this name.
    ///
    /// # Errors
    ///
    /// It does not exist, or the storage is out of reach.
    pub(crate) fn plan(&self, name: &str) -> Result<PlanView, ServiceError> {
        if let Some(plan) = self.configured.load().plans.get(name) {
            return Ok(self.view_plan(plan.into(), Origin::Configuration));
        }
        let record = self.storage.plan(name)?;
        let record = record.ok_or_else(|| ServiceError::NoPlan(name.to_owned()))?;
        Ok(self.view_plan(record, Origin::Store))
    }

    /// Plans in the order of their names: at most `limit` plans with a greater name than `after`.
    /// A plan of the configuration hides one of the storage with the same name.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn plans(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<PlanView>, ServiceError> {
        let fixed = self.configured.load();
        let stored = self.storage.plans()?.into_iter();
        let stored = stored.filter(|record| !fixed.plans.contains_key(&*record.name));
        let stored = stored.map(|record| (record, Origin::Store));
        let fixed = fixed.plans.values();
        let fixed = fixed.map(|plan| (plan.into(), Origin::Configuration));
        let plans = stored
            .chain(fixed)
            .filter(|(record, _)| after.is_none_or(|after| *record.name > *after));
        let page = Page::of(plans.collect(), limit, |(record, _)| &record.name);
        let views = page.items.into_iter();
        Ok(Page {
            items: views
                .map(|(record, origin)| self.view_plan(record, origin))
                .collect(),
            next: page.next,
        })
    }

    /// Changes a plan.
    ///
    /// # Errors
    ///
    /// The plan does not exist or is at another revision, a field is invalid, a key would have two
    /// plans for one API, or the storage is out of reach.
    pub(crate) fn update_plan(
        &self,
        name: &str,
        change: &PlanChange,
        expected: Option<u64>,
        now_ms: u64,
    ) -> Result<PlanView, ServiceError> {
        self.refuse_configured_plan(name)?;
        let _plans = self.plans.write();
        retry("plan", name, || {
            let mut record = self.stored_plan(name)?;
            let expect = record.revision;
            check_revision("plan", name, expect, expected)?;
            let change = change.clone();
            record.description = change.description.unwrap_or(record.description);
            record.rate = match change.rate {
                None => record.rate,
                Some(None) => None,
                Some(Some(rate)) => Some(rate.apply(&record.name, record.rate)?),
            };
            record.quota = change.quota.unwrap_or(record.quota);
            record.methods = change.methods.unwrap_or(record.methods);
            record.apis = change.apis.unwrap_or(record.apis);
            record.updated_ms = now_ms;
            rules::check_plan(&record)?;
            self.check_sets(&record)?;
            self.put_plan(record, expect)
        })
    }

    /// Deletes a plan that no key is on. Its usage stays.
    ///
    /// # Errors
    ///
    /// The plan does not exist or is at another revision, a key is on it, or the storage is out of
    /// reach.
    pub(crate) fn delete_plan(
        &self,
        name: &str,
        expected: Option<u64>,
    ) -> Result<(), ServiceError> {
        self.refuse_configured_plan(name)?;
        let _plans = self.plans.write();
        retry("plan", name, || {
            let expect = self.stored_plan(name)?.revision;
            check_revision("plan", name, expect, expected)?;
            let on_it = self.storage.keys(&KeyQuery {
                plan: Some(name.to_owned()),
                limit: 1,
                ..KeyQuery::default()
            })?;
            if let Some(key) = on_it.into_iter().next() {
                return Err(ServiceError::PlanInUse {
                    plan: name.to_owned(),
                    key: key.record.id,
                });
            }
            let name = name.to_owned();
            self.commit(&[Write::DeletePlan { name, expect }])
        })
        .map(drop)
    }

    /// Checks that a key may have these plans together: all exist, and no two are for one API.
    pub(super) fn check_plans(&self, names: &[String]) -> Result<(), ServiceError> {
        let mut plans = Vec::with_capacity(names.len());
        for name in names {
            match self.plan(name) {
                Ok(plan) => plans.push(plan.record),
                Err(ServiceError::NoPlan(name)) => {
                    return Err(ServiceError::UnknownPlan(name));
                }
                Err(error) => return Err(error),
            }
        }
        rules::check_distinct_apis(&plans.iter().collect::<Vec<_>>())
    }

    /// Checks that every key on the plan may stay on it.
    pub(super) fn check_sets(&self, plan: &PlanRecord) -> Result<(), ServiceError> {
        for set in self.runtime.plan_sets() {
            if !set.iter().any(|name| **name == *plan.name) {
                continue;
            }
            let mut others = Vec::new();
            for name in set.iter().filter(|name| ***name != *plan.name) {
                match self.plan(name) {
                    Ok(other) => others.push(other.record),
                    Err(ServiceError::NoPlan(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let all: Vec<_> = std::iter::once(plan).chain(&others).collect();
            rules::check_distinct_apis(&all)?;
        }
        Ok(())
    }

    fn stored_plan(&self, name: &str) -> Result<PlanRecord, ServiceError> {
        let plan = self.storage.plan(name)?;
        plan.ok_or_else(|| ServiceError::NoPlan(name.to_owned()))
    }

    fn view_plan(&self, record: PlanRecord, origin: Origin) -> PlanView {
        let overshoot = self.runtime.overshoot(&record.name);
        PlanView {
            record,
            origin,
            overshoot,
        }
    }
}
