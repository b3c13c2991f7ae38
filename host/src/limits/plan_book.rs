//! The plans in use: those of the configuration, and those of the storage.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;

use super::LimitStore;
use super::plan::{EnrolledPlan, PlanError, UsagePlan};

/// Plans by name. Never changed: another state is another value, which shares what stays.
pub(crate) type EnrolledPlans = HashMap<Arc<str>, Arc<EnrolledPlan>, RandomState>;

/// Enrolls all of these plans.
///
/// # Errors
///
/// Every plan that is invalid or has a duplicate name. The store has the names of the others from
/// then on, which does no harm.
pub(crate) fn enroll_plans(
    store: &dyn LimitStore,
    plans: impl IntoIterator<Item = UsagePlan>,
) -> Result<EnrolledPlans, Vec<PlanError>> {
    let mut made = EnrolledPlans::default();
    let mut errors = Vec::new();
    for plan in plans {
        let name = plan.name.clone();
        match store.local().enroll(plan) {
            Err(error) => errors.push(error),
            Ok(_) if made.contains_key(&name) => errors.push(PlanError::Duplicate(name)),
            Ok(plan) => {
                made.insert(name, Arc::new(plan));
            }
        }
    }
    if errors.is_empty() {
        Ok(made)
    } else {
        Err(errors)
    }
}

/// The plans of the storage, replaced while requests run. One for each process.
#[derive(Debug, Default)]
pub(crate) struct LivePlans(ArcSwap<EnrolledPlans>);

impl LivePlans {
    /// Replaces all plans.
    pub(crate) fn replace(&self, plans: EnrolledPlans) {
        self.0.store(Arc::new(plans));
    }

    /// Inserts this plan, and replaces the one with its name.
    pub(crate) fn upsert(&self, plan: EnrolledPlan) {
        let plan = Arc::new(plan);
        self.0.rcu(|plans| {
            let mut plans = EnrolledPlans::clone(plans);
            plans.insert(plan.plan.name.clone(), Arc::clone(&plan));
            plans
        });
    }

    /// Removes the plan of that name.
    pub(crate) fn remove(&self, name: &str) {
        self.0.rcu(|plans| {
            let mut plans = EnrolledPlans::clone(plans);
            plans.remove(name);
            plans
        });
    }

    /// The present plans. Shares a count, so it is not for requests.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Arc<EnrolledPlans> {
        self.0.load_full()
    }
}

/// The plans for one configuration's requests. A plan of the configuration comes before one of the
/// storage with its name.
#[derive(Debug, Default, Clone)]
pub(crate) struct PlanBook {
    /// The plans of the configuration.
    configured: Arc<EnrolledPlans>,
    /// The plans of the storage.
    live: Arc<LivePlans>,
}

impl PlanBook {
    /// The plans of a configuration, and those of the storage.
    #[must_use]
    pub(crate) fn new(configured: EnrolledPlans, live: Arc<LivePlans>) -> Self {
        Self {
            configured: Arc::new(configured),
            live,
        }
    }

    /// The plans of the configuration.
    #[must_use]
    pub(crate) fn configured(&self) -> &Arc<EnrolledPlans> {
        &self.configured
    }

    /// The present plans of the storage. Shares a count, so it is not for requests.
    #[must_use]
    pub(crate) fn live(&self) -> Arc<EnrolledPlans> {
        self.live.snapshot()
    }

    /// Calls `work` with the present plan of that name. Takes no lock, and shares no count.
    pub(crate) fn with<R>(&self, name: &str, work: impl FnOnce(Option<&EnrolledPlan>) -> R) -> R {
        match self.configured.get(name) {
            Some(plan) => work(Some(plan)),
            None => work(self.live.0.load().get(name).map(|plan| &**plan)),
        }
    }

    /// Picks the plan of a key for a route of this API (None: a route without an API). A plan that
    /// names the API comes before one for all APIs, and an earlier before a later one. If none
    /// fits, it picks one that does not exist, if there is such a plan: its user is refused,
    /// because a lost plan must not make a key free.
    #[must_use]
    pub(crate) fn pick<'a>(
        &self,
        plans: &'a [Arc<str>],
        api: Option<&str>,
    ) -> Option<&'a Arc<str>> {
        let mut best = None;
        for name in plans {
            let fit = self.with(name, |plan| match plan {
                Some(plan) if plan.plan.names(api) => Some(PlanFit::Named),
                Some(plan) if plan.plan.apis.is_empty() => Some(PlanFit::All),
                Some(_) => None,
                None => Some(PlanFit::Lost),
            });
            let Some(fit) = fit else { continue };
            if fit == PlanFit::Named {
                return Some(name);
            }
            if best.is_none_or(|(best_fit, _)| fit > best_fit) {
                best = Some((fit, name));
            }
        }
        best.map(|(_, name)| name)
    }
}

/// How well a plan fits a route; the later the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PlanFit {
    /// No plan has that name.
    Lost,
    /// It is for all APIs.
    All,
    /// It is for this API.
    Named,
}
