//! Metrics of the counters that several gateways share.

use crate::admin::Running;
use crate::limits::LeasedLimits;
use crate::observe::metrics::{MetricFamily, families};

families! {
    /// The families of one table of leases, without its prefix.
    struct LeaseFamilies {
        refills = Counter, "Calls to the storage that ask for parts of shared budgets, by result";
        unavailable = Counter, "Requests decided by `on_unavailable`, because the storage was out of reach and no lease was left";
        waits = Counter, "Requests that waited for the storage to grant their lease";
        reachable = Gauge, "Whether the last call to the storage succeeded";
        gateways = Gauge, "Gateways that share the budgets, including this one";
        counters = Gauge, "Counters for which this gateway has leases";
    }
}

/// All families; none if no Redis is configured.
pub(super) fn families(running: &Running) -> Vec<MetricFamily> {
    let foundation = &running.foundation;
    let mut families = of_leases("limit_leases", foundation.limits.leased());
    families.extend(of_leases("rate_leases", foundation.rates.leased()));
    families
}

/// The families of one table of leases: of plans, or of bounds without a key.
fn of_leases(prefix: &str, leased: Option<&LeasedLimits>) -> Vec<MetricFamily> {
    let Some(state) = leased.map(LeasedLimits::state) else {
        return Vec::new();
    };
    let mut families = LeaseFamilies::default();
    for (result, count) in [("done", state.refills), ("failed", state.failures)] {
        families.refills.push(&[("result", result)], count);
    }
    for (answer, count) in [
        ("refused", state.refused_unavailable),
        ("allowed", state.allowed_unavailable),
    ] {
        families.unavailable.push(&[("answer", answer)], count);
    }
    families.waits.push(&[], state.waited);
    families.reachable.push(&[], state.reachable);
    families.gateways.push(&[], state.gateways);
    families.counters.push(&[], state.entries);
    let mut families = Vec::from(families);
    for family in &mut families {
        family.name = format!("{prefix}_{}", family.name);
    }
    families
}
