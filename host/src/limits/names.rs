//! The numbers of names: of plans, their methods, and filters.
//!
//! Counters belong to numbers. A name that returns, after a reload or from the storage, gets its
//! number again, and so its counters.

use std::collections::HashMap;
use std::sync::Arc;

use super::plan::{EnrolledPlan, PlanError, Scope, UsagePlan};

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
}

impl NumberedNames {
    /// Gives a plan its numbers.
    pub(super) fn enroll(&mut self, plan: UsagePlan) -> Result<EnrolledPlan, PlanError> {
        plan.check()?;
        self.number(&plan.name);
        if let Some(quota) = plan.quota {
            self.track(&plan.name, quota.period);
        }
        let Some(known) = self.plans.get_mut(&plan.name) else {
            // Unreachable: the name was inserted above.
            return Err(PlanError::Empty(plan.name));
        };
        let mut methods = Vec::with_capacity(plan.methods.len());
        for method in &plan.methods {
            let next = u32::try_from(known.methods.len()).unwrap_or(u32::MAX);
            let name = format!("{} {}", method.method, method.path);
            methods.push(*known.methods.entry(name).or_insert(next));
        }
        EnrolledPlan::new(plan, known.number, &methods)
    }

    /// The number of a plan, enrolled or not.
    pub(super) fn number(&mut self, plan: &str) -> u32 {
        if let Some(known) = self.plans.get(plan) {
            return known.number;
        }
        let name: Arc<str> = plan.into();
        let number = self.next(Some(Arc::clone(&name)));
        let known = NumberedPlan {
            number,
            periods: Vec::new(),
            methods: HashMap::new(),
        };
        self.plans.insert(name, known);
        number
    }

    /// Counts usage of the plan in this kind of period, too. If there are too many, the one that
    /// was tracked longest ago is dropped.
    pub(super) fn track(&mut self, plan: &str, period: Period) {
        self.number(plan);
        let Some(known) = self.plans.get_mut(plan) else {
            return;
        };
        known.periods.retain(|known| *known != period);
        if known.periods.len() >= MAX_PERIODS {
            known.periods.remove(0);
        }
        known.periods.push(period);
    }

    /// The kinds of periods in which usage of the plan counts.
    pub(super) fn periods(&self, plan: &str) -> &[Period] {
        self.plans.get(plan).map_or(&[], |known| &known.periods)
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
            return Scope::new(*number);
        }
        let number = self.next(None);
        self.filters.insert(filter.into(), number);
        Scope::new(number)
    }

    /// The plans' names, each at its number.
    pub(super) fn plans(&self) -> Vec<Option<Arc<str>>> {
        self.by_number.clone()
    }

    fn next(&mut self, plan: Option<Arc<str>>) -> u32 {
        let number = u32::try_from(self.by_number.len()).unwrap_or(u32::MAX);
        self.by_number.push(plan);
        number
    }
}
