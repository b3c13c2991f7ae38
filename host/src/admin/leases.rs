//! Metrics of the counters that several gateways share.

use super::Running;
use crate::limits::LeaseState;
use crate::observe::metrics::{MetricFamily, MetricKind, float};

/// All families; none if no Redis is configured.
pub(super) fn families(running: &Running) -> Vec<MetricFamily> {
    let foundation = &running.foundation;
    let of = |prefix: &str, state: Option<LeaseState>| match state {
        Some(state) => of_leases(prefix, &state),
        None => Vec::new(),
    };
    let mut families = of("limit_leases", foundation.leases());
    families.extend(of("rate_leases", foundation.rate_leases()));
    families
}

/// The families of one table of leases: of plans, or of bounds without a key.
fn of_leases(prefix: &str, state: &LeaseState) -> Vec<MetricFamily> {
    let family = |kind, name, help| MetricFamily::new(kind, &format!("{prefix}_{name}"), help);
    let gauge = |name, help, value| family(MetricKind::Gauge, name, help).with(&[], value);
    let refills = "Calls to the storage that ask for parts of shared budgets, by result";
    let unavailable = "Requests decided by `on_unavailable`, because the storage was out of reach and no lease was left";
    vec![
        family(MetricKind::Counter, "refills", refills)
            .with(&[("result", "done")], float(state.refills))
            .with(&[("result", "failed")], float(state.failures)),
        family(MetricKind::Counter, "unavailable", unavailable)
            .with(&[("answer", "refused")], float(state.refused_unavailable))
            .with(&[("answer", "allowed")], float(state.allowed_unavailable)),
        family(
            MetricKind::Counter,
            "waits",
            "Requests that waited for the storage to grant their lease",
        )
        .with(&[], float(state.waited)),
        gauge(
            "reachable",
            "Whether the last call to the storage succeeded",
            f64::from(u8::from(state.reachable)),
        ),
        gauge(
            "gateways",
            "Gateways that share the budgets, including this one",
            float(state.gateways),
        ),
        gauge(
            "counters",
            "Counters for which this gateway has leases",
            float(u64::try_from(state.entries).unwrap_or(u64::MAX)),
        ),
    ]
}
