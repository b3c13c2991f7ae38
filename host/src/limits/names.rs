//! The numbers of names: of plans, their methods, and filters.
//!
//! Counters belong to numbers. A name that returns, after a reload or from the storage, gets its
//! number again, and so its counters.

use std::collections::HashMap;
use std::sync::Arc;

use super::plan::{EnrolledPlan, PlanError, Scope, UsagePlan};
use super::plan_stats::PlanStats;
use crate::model::period::Period;

/// The most kinds of periods in which the usage of one plan counts.
const MAX_PERIODS: usize = 4;

/// All names that a store ever had. Grows only with the names that an operator uses.
#[derive(Debug, Default)]
pub(super) struct NumberedNames {
    plans: HashMap<Arc<str>, NumberedPlan>,
    filters: HashMap<Arc<str>, u32>,
    /// The plan's name for each number of a plan.
    by_number: Vec<Option<Arc<str>>>,
}

/// The facts about a plan's name.
#[derive(Debug)]
struct NumberedPlan {
    number: u32,
    /// The kinds of periods in which usage counts: that of its quota last.
    periods: Vec<Period>,
    /// The numbers of its methods, by `<method> <path>`.
    methods: HashMap<String, u32>,
    stats: Arc<PlanStats>,
}

impl NumberedNames {
    /// Gives a plan its numbers.
    pub(super) fn enroll(&mut self, plan: UsagePlan) -> Result<EnrolledPlan, PlanError> {
        plan.check()?;
        if let Some(quota) = plan.quota {
            self.track(&plan.name, quota.period);
        }
        let numbered = self.plan(&plan.name);
        let mut methods = Vec::with_capacity(plan.methods.len());
        for method in &plan.methods {
            let next = u32::try_from(numbered.methods.len()).unwrap_or(u32::MAX);
            let name = format!("{} {}", method.method, method.path);
            methods.push(*numbered.methods.entry(name).or_insert(next));
        }
        let stats = Arc::clone(&numbered.stats);
        EnrolledPlan::new(plan, numbered.number, &methods, stats)
    }

    /// The number of a plan, enrolled or not.
    pub(super) fn number(&mut self, plan: &str) -> u32 {
        self.plan(plan).number
    }

    fn plan(&mut self, name: &str) -> &mut NumberedPlan {
        let name: Arc<str> = name.into();
        let by_number = &mut self.by_number;
        self.plans
            .entry(name)
            .or_insert_with_key(|name| NumberedPlan {
                number: next(by_number, Some(Arc::clone(name))),
                periods: Vec::new(),
                methods: HashMap::new(),
                stats: Arc::default(),
            })
    }

    /// Counts usage of the plan in this kind of period, too. If there are too many, the one that
    /// was tracked longest ago is dropped.
    pub(super) fn track(&mut self, plan: &str, period: Period) {
        let periods = &mut self.plan(plan).periods;
        periods.retain(|tracked| *tracked != period);
        if periods.len() >= MAX_PERIODS {
            periods.remove(0);
        }
        periods.push(period);
    }

    /// The kinds of periods in which usage of the plan counts.
    pub(super) fn periods(&self, plan: &str) -> &[Period] {
        self.plans.get(plan).map_or(&[], |plan| &plan.periods)
    }

    /// The same for the plan with this number.
    pub(super) fn periods_of(&self, number: u32) -> &[Period] {
        let name = self.by_number.get(number as usize);
        let name = name.and_then(|name| name.as_deref());
        name.map_or(&[], |name| self.periods(name))
    }

    /// The number of a filter.
    pub(super) fn scope(&mut self, filter: &str) -> Scope {
        if let Some(number) = self.filters.get(filter) {
            return Scope(*number);
        }
        let number = next(&mut self.by_number, None);
        self.filters.insert(filter.into(), number);
        Scope(number)
    }

    /// The plans' names, each at its number.
    pub(super) fn plans(&self) -> Vec<Option<Arc<str>>> {
        self.by_number.clone()
    }
}

/// The next number, for this plan or for a filter.
fn next(by_number: &mut Vec<Option<Arc<str>>>, plan: Option<Arc<str>>) -> u32 {
    let number = u32::try_from(by_number.len()).unwrap_or(u32::MAX);
    by_number.push(plan);
    number
}
