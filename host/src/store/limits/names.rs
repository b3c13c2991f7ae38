//! The numbers that names were given: of plans, their methods, and filters.
//!
//! Counters are kept under numbers. A name that comes again, after a reload or from the store of
//! plans, gets its number back, and so its counters.

use std::collections::HashMap;
use std::sync::Arc;

use super::period::Period;
use super::plan::{EnrolledPlan, Plan, PlanError, Scope};

/// All names that a store ever met. Grows with what an operator ever called a plan or a filter.
#[derive(Debug, Default)]
pub(super) struct Names {
    plans: HashMap<Arc<str>, Known>,
    filters: HashMap<Arc<str>, u32>,
    /// The plan's name for each number that is a plan's.
    by_number: Vec<Option<Arc<str>>>,
}

/// What is known of a plan's name.
#[derive(Debug)]
struct Known {
    number: u32,
    /// The earliest moment at which it was met. Milliseconds since 1970.
    since_ms: u64,
    /// The period of its quota when it was last enrolled.
    period: Option<Period>,
    /// The numbers of its methods, by `<method> <path>`.
    methods: HashMap<String, u32>,
}

impl Names {
    /// Give a plan its place.
    pub(super) fn enroll(&mut self, plan: Plan, since_ms: u64) -> Result<EnrolledPlan, PlanError> {
        plan.check()?;
        self.number(&plan.name);
        let Some(known) = self.plans.get_mut(&plan.name) else {
            // It was put there in the line before.
            return Err(PlanError::Empty(plan.name));
        };
        known.since_ms = known.since_ms.min(since_ms);
        known.period = plan.quota.map(|quota| quota.period);
        let mut methods = Vec::with_capacity(plan.methods.len());
        for method in &plan.methods {
            let next = u32::try_from(known.methods.len()).unwrap_or(u32::MAX);
            let name = format!("{} {}", method.method, method.path);
            methods.push(*known.methods.entry(name).or_insert(next));
        }
        EnrolledPlan::new(plan, known.number, known.since_ms, &methods)
    }

    /// The number of a plan, enrolled or not.
    pub(super) fn number(&mut self, plan: &str) -> u32 {
        if let Some(known) = self.plans.get(plan) {
            return known.number;
        }
        let name: Arc<str> = plan.into();
        let number = self.next(Some(Arc::clone(&name)));
        let known = Known {
            number,
            since_ms: u64::MAX,
            period: None,
            methods: HashMap::new(),
        };
        self.plans.insert(name, known);
        number
    }

    /// The period of the quota that the plan had when it was last enrolled.
    pub(super) fn period(&self, plan: &str) -> Option<Period> {
        self.plans.get(plan)?.period
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
