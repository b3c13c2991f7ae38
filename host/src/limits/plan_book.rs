//! The plans that are in force: those of the config, and those of the store of plans.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;

use super::LimitStore;
use super::plan::{EnrolledPlan, PlanError, UsagePlan};

/// Plans by name. Never changed: another state is another value, which shares what stays.
#[derive(Debug, Default, Clone)]
pub(crate) struct EnrolledPlans {
    by_name: HashMap<Arc<str>, Arc<EnrolledPlan>, RandomState>,
}

impl EnrolledPlans {
    /// Enroll all of them.
    ///
    /// # Errors
    /// Every plan that makes no sense or has a name twice. The names of the others are known to
    /// the store from then on, which harms nothing.
    pub(crate) fn enroll(
        store: &dyn LimitStore,
        plans: impl IntoIterator<Item = UsagePlan>,
    ) -> Result<Self, Vec<PlanError>> {
        let mut made = Self::default();
        let mut errors = Vec::new();
        for plan in plans {
            let name = plan.name.clone();
            match store.enroll(plan) {
                Err(error) => errors.push(error),
                Ok(_) if made.by_name.contains_key(&name) => {
                    errors.push(PlanError::Duplicate(name));
                }
                Ok(plan) => made.insert(Arc::new(plan)),
            }
        }
        if errors.is_empty() {
            Ok(made)
        } else {
            Err(errors)
        }
    }

    /// Put a plan in, in place of one with its name.
    pub(crate) fn insert(&mut self, plan: Arc<EnrolledPlan>) {
        self.by_name.insert(plan.plan().name.clone(), plan);
    }

    /// Take the plan of that name out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<EnrolledPlan>> {
        self.by_name.remove(name)
    }

    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<EnrolledPlan>> {
        self.by_name.get(name)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<EnrolledPlan>> {
        self.by_name.values()
    }

    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// The plans of the store, replaced while requests run. One a process.
#[derive(Debug, Default)]
pub(crate) struct LivePlans(ArcSwap<EnrolledPlans>);

impl LivePlans {
    /// These from now on, and no others.
    pub(crate) fn replace(&self, plans: EnrolledPlans) {
        self.0.store(Arc::new(plans));
    }

    /// This one too, or in place of the one with its name.
    pub(crate) fn upsert(&self, plan: EnrolledPlan) {
        let plan = Arc::new(plan);
        self.0.rcu(|plans| {
            let mut plans = EnrolledPlans::clone(plans);
            plans.insert(Arc::clone(&plan));
            plans
        });
    }

    /// Without the one of that name.
    pub(crate) fn remove(&self, name: &str) {
        self.0.rcu(|plans| {
            let mut plans = EnrolledPlans::clone(plans);
            plans.remove(name);
            plans
        });
    }

    /// As they are now. Shares a count: not for a request's way.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Arc<EnrolledPlans> {
        self.0.load_full()
    }
}

/// The plans that one configuration's requests meet. A plan of the config goes before one of the
/// store with its name.
#[derive(Debug, Default, Clone)]
pub(crate) struct PlanBook {
    /// The config's.
    configured: Arc<EnrolledPlans>,
    /// The store's.
    live: Arc<LivePlans>,
}

impl PlanBook {
    /// The plans of a config, and beside them those of the store.
    #[must_use]
    pub(crate) fn new(fixed: EnrolledPlans, live: Arc<LivePlans>) -> Self {
        Self {
            configured: Arc::new(fixed),
            live,
        }
    }

    /// The plans of the config.
    #[must_use]
    pub(crate) fn configured(&self) -> &Arc<EnrolledPlans> {
        &self.configured
    }

    /// Do something with the plan of that name, as it is now. Takes no lock, and shares no count.
    pub(crate) fn with<R>(&self, name: &str, work: impl FnOnce(Option<&EnrolledPlan>) -> R) -> R {
        match self.configured.find(name) {
            Some(plan) => work(Some(plan)),
            None => work(self.live.0.load().find(name).map(|plan| &**plan)),
        }
    }

    /// Of a key's plans the one that is sold for a route of this API (None: a route without an
    /// API). One that names the API goes before one that is sold for all, and the earlier before
    /// the later. Where none is sold for it, one that does not exist is given, if there is such:
    /// whoever uses it is told so, for a plan that is lost does not make a key free.
    #[must_use]
    pub(crate) fn pick<'a>(
        &self,
        plans: &'a [Arc<str>],
        api: Option<&str>,
    ) -> Option<&'a Arc<str>> {
        let mut best = None;
        for name in plans {
            let fit = self.with(name, |plan| match plan {
                Some(plan) if plan.plan().names(api) => Some(PlanFit::Named),
                Some(plan) if plan.plan().apis.is_empty() => Some(PlanFit::All),
                Some(_) => None,
                None => Some(PlanFit::Lost),
            });
            let Some(fit) = fit else { continue };
            if fit == PlanFit::Named {
                return Some(name);
            }
            if best.is_none_or(|(known, _)| fit > known) {
                best = Some((fit, name));
            }
        }
        best.map(|(_, name)| name)
    }
}

/// How well a plan fits a route; the later the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PlanFit {
    /// There is no plan of that name.
    Lost,
    /// It is sold for all APIs.
    All,
    /// It is sold for this one.
    Named,
}
