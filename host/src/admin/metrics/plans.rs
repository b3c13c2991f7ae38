//! Metrics of usage plans: those of the configuration, and those of the storage.

use std::collections::BTreeMap;

use crate::observe::metrics::{MetricFamily, families};
use crate::proxy::gateway::Gateway;

families! {
    /// The families of usage plans.
    struct PlanFamilies {
        plan_charges = Counter, "Decisions about charges of requests to a usage plan, by result";
    }
}

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = PlanFamilies::default();
    let plans = &gateway.services.plans;
    let (configured, live) = (plans.configured(), plans.live());
    // A plan of the configuration hides one of the storage with its name.
    let mut all: BTreeMap<_, _> = live.iter().collect();
    all.extend(configured.iter());
    for (name, plan) in all {
        for (result, count) in plan.stats.totals() {
            let labels = [("plan", &**name), ("result", result)];
            families.plan_charges.push(&labels, count);
        }
    }
    families.into()
}
