//! Plans: created, shown, changed, deleted.

use super::super::ledger::record::{MethodRecord, PlanRecord, QuotaRecord, RateRecord};
use super::super::ledger::{CommitError, KeyQuery, Write};
use super::super::limits::Plan;
use super::keys::as_known;
use super::rules::{self, Sold};
use super::{Fixed, Origin, Page, PlanView, Registrar, RegistrarError, TRIES};

/// A plan to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewPlan {
    pub(crate) name: String,
    /// For people; may be empty.
    pub(crate) description: String,
    /// Its token bucket.
    pub(crate) rate: Option<RateRecord>,
    pub(crate) quota: Option<QuotaRecord>,
    /// Rates of single methods.
    pub(crate) methods: Vec<MethodRecord>,
    /// The APIs that it is sold for; empty: all.
    pub(crate) apis: Vec<String>,
}

/// What is to be changed of a plan. None: it stays.
#[derive(Debug, Clone, Default)]
#[expect(clippy::option_option, reason = "left alone, removed, or set")]
pub(crate) struct PlanChange {
    /// For people.
    pub(crate) description: Option<String>,
    /// Its token bucket; `Some(None)`: none.
    pub(crate) rate: Option<Option<RateChange>>,
    /// Its quota; `Some(None)`: none.
    pub(crate) quota: Option<Option<QuotaRecord>>,
    /// All rates of single methods.
    pub(crate) methods: Option<Vec<MethodRecord>>,
    /// All APIs that it is sold for.
    pub(crate) apis: Option<Vec<String>>,
}

/// A change of a token bucket. None: that part stays.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RateChange {
    /// Tokens that come back each second.
    pub(crate) per_second: Option<f64>,
    /// The bucket's size.
    pub(crate) burst: Option<u64>,
}

impl RateChange {
    /// The bucket after it. One that was not there begins with the rate that the change names.
    fn apply(self, plan: &str, known: Option<RateRecord>) -> Result<RateRecord, RegistrarError> {
        let per_second = self.per_second.or(known.map(|rate| rate.per_second));
        let Some(per_second) = per_second else {
            return Err(RegistrarError::NoRate(plan.to_owned()));
        };
        let burst = self.burst.or(known.map(|rate| rate.burst));
        Ok(RateRecord::new(per_second, burst))
    }
}

impl Registrar {
    /// Make a plan.
    ///
    /// # Errors
    /// Something makes no sense, there is one of that name, or the store is out of reach.
    pub(crate) fn create_plan(
        &self,
        new: NewPlan,
        now_ms: u64,
    ) -> Result<PlanView, RegistrarError> {
        let mut record = PlanRecord {
            name: new.name,
            description: new.description,
            rate: new.rate,
            quota: new.quota,
            methods: new.methods,
            apis: new.apis,
            created_ms: now_ms,
            updated_ms: now_ms,
            revision: 0,
        };
        rules::plan(&record)?;
        self.not_fixed_plan(&record.name)?;
        let _plans = self.plans.write();
        match self.ledger.commit(&[Write::PutPlan {
            record: record.clone(),
            expect: 0,
        }]) {
            Ok(revision) => {
                record.revision = revision;
                self.put_in_force();
                Ok(self.view_plan(record, Origin::Store))
            }
            Err(CommitError::Conflict(_)) => Err(RegistrarError::PlanExists(record.name)),
            Err(CommitError::Ledger(error)) => Err(error.into()),
        }
    }

    /// The plan of this name.
    ///
    /// # Errors
    /// There is none, or the store is out of reach.
    pub(crate) fn plan(&self, name: &str) -> Result<PlanView, RegistrarError> {
        if let Some(plan) = self.fixed.load().plan(name) {
            return Ok(self.view_plan(of_configuration(plan), Origin::Configuration));
        }
        let record = self.ledger.plan(name)?;
        let record = record.ok_or_else(|| RegistrarError::NoPlan(name.to_owned()))?;
        Ok(self.view_plan(record, Origin::Store))
    }

    /// Plans in the order of their names: those with a greater one than `after`, `limit` at the
    /// most. One of the configuration hides one of the store with its name.
    ///
    /// # Errors
    /// The store is out of reach.
    pub(crate) fn plans(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<PlanView>, RegistrarError> {
        let fixed = self.fixed.load();
        let stored = self.ledger.plans()?.into_iter();
        let stored = stored.filter(|record| fixed.plan(&record.name).is_none());
        let stored = stored.map(|record| (record, Origin::Store));
        let fixed = fixed.plans.iter();
        let fixed = fixed.map(|plan| (of_configuration(plan), Origin::Configuration));
        let mut plans: Vec<_> = stored
            .chain(fixed)
            .filter(|(record, _)| after.is_none_or(|after| *record.name > *after))
            .collect();
        plans.sort_by(|one, two| one.0.name.cmp(&two.0.name));
        let more = plans.len() > limit;
        plans.truncate(limit);
        let last = plans.last().map(|(record, _)| record.name.clone());
        let views = plans.into_iter();
        Ok(Page {
            items: views
                .map(|(record, origin)| self.view_plan(record, origin))
                .collect(),
            next: last.filter(|_| more),
        })
    }

    /// Change a plan.
    ///
    /// # Errors
    /// There is none, it is not as `known` says, something makes no sense, a key would have two
    /// plans for one API, or the store is out of reach.
    pub(crate) fn update_plan(
        &self,
        name: &str,
        change: &PlanChange,
        known: Option<u64>,
        now_ms: u64,
    ) -> Result<PlanView, RegistrarError> {
        self.not_fixed_plan(name)?;
        let _plans = self.plans.write();
        for _ in 0..TRIES {
            let mut record = self.stored_plan(name)?;
            let expect = record.revision;
            as_known("plan", name, expect, known)?;
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
            rules::plan(&record)?;
            self.check_sets(&record)?;
            match self.ledger.commit(&[Write::PutPlan {
                record: record.clone(),
                expect,
            }]) {
                Ok(revision) => {
                    record.revision = revision;
                    self.put_in_force();
                    return Ok(self.view_plan(record, Origin::Store));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Ledger(error)) => return Err(error.into()),
            }
        }
        Err(RegistrarError::Contended("plan", name.to_owned()))
    }

    /// Delete a plan that no key is on. Its usage stays.
    ///
    /// # Errors
    /// There is none, it is not as `known` says, a key is on it, or the store is out of reach.
    pub(crate) fn delete_plan(&self, name: &str, known: Option<u64>) -> Result<(), RegistrarError> {
        self.not_fixed_plan(name)?;
        let _plans = self.plans.write();
        for _ in 0..TRIES {
            let expect = self.stored_plan(name)?.revision;
            as_known("plan", name, expect, known)?;
            let on_it = self.ledger.keys(&KeyQuery {
                plan: Some(name.to_owned()),
                limit: 1,
                ..KeyQuery::default()
            })?;
            if let Some(key) = on_it.into_iter().next() {
                return Err(RegistrarError::PlanInUse {
                    plan: name.to_owned(),
                    key: key.record.id,
                });
            }
            match self.ledger.commit(&[Write::DeletePlan {
                name: name.to_owned(),
                expect,
            }]) {
                Ok(_) => {
                    self.put_in_force();
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Ledger(error)) => return Err(error.into()),
            }
        }
        Err(RegistrarError::Contended("plan", name.to_owned()))
    }

    /// Whether a key may have these plans together: all exist, and no two are sold for one API.
    pub(super) fn check_plans(&self, names: &[String]) -> Result<(), RegistrarError> {
        let mut plans = Vec::with_capacity(names.len());
        for name in names {
            match self.plan(name) {
                Ok(plan) => plans.push(plan.record),
                Err(RegistrarError::NoPlan(name)) => {
                    return Err(RegistrarError::UnknownPlan(name));
                }
                Err(error) => return Err(error),
            }
        }
        rules::apart(&plans.iter().map(sold).collect::<Vec<_>>())
    }

    /// Whether every key that is on the plan may stay so.
    pub(super) fn check_sets(&self, plan: &PlanRecord) -> Result<(), RegistrarError> {
        for set in self.works.plan_sets() {
            if !set.iter().any(|name| **name == *plan.name) {
                continue;
            }
            let mut others = Vec::new();
            for name in set.iter().filter(|name| ***name != *plan.name) {
                match self.plan(name) {
                    Ok(other) => others.push(other.record),
                    Err(RegistrarError::NoPlan(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let all = std::iter::once(plan).chain(&others);
            rules::apart(&all.map(sold).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn stored_plan(&self, name: &str) -> Result<PlanRecord, RegistrarError> {
        let plan = self.ledger.plan(name)?;
        plan.ok_or_else(|| RegistrarError::NoPlan(name.to_owned()))
    }

    pub(super) fn not_fixed_plan(&self, name: &str) -> Result<(), RegistrarError> {
        match self.fixed.load().plan(name) {
            None => Ok(()),
            Some(_) => Err(RegistrarError::Fixed {
                kind: "plan",
                name: name.to_owned(),
            }),
        }
    }

    fn view_plan(&self, record: PlanRecord, origin: Origin) -> PlanView {
        let slack = self.works.bound(&record.name);
        PlanView {
            record,
            origin,
            slack,
        }
    }
}

impl Fixed {
    fn plan(&self, name: &str) -> Option<&Plan> {
        let place = self.plans.binary_search_by(|plan| (*plan.name).cmp(name));
        self.plans.get(place.ok()?)
    }
}

fn sold(plan: &PlanRecord) -> Sold<'_> {
    (&plan.name, plan.apis.iter().map(|api| &**api).collect())
}

fn of_configuration(plan: &Plan) -> PlanRecord {
    PlanRecord {
        name: plan.name.to_string(),
        description: String::new(),
        rate: plan.rate.map(|rate| RateRecord {
            per_second: rate.per_second,
            burst: rate.burst,
        }),
        quota: plan.quota.map(|quota| QuotaRecord {
            limit: quota.limit,
            period: quota.period,
        }),
        methods: plan
            .methods
            .iter()
            .map(|method| MethodRecord {
                method: method.method.to_string(),
                path: method.path.to_string(),
                per_second: method.rate.per_second,
                burst: method.rate.burst,
            })
            .collect(),
        apis: plan.apis.iter().map(ToString::to_string).collect(),
        created_ms: 0,
        updated_ms: 0,
        revision: 0,
    }
}
