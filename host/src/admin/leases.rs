//! What `/metrics` shows of counters that several gateways share.

use super::Running;
use crate::observe::metrics::{Family, Kind, float};

/// All families; none where no Redis is configured.
pub(super) fn families(running: &Running) -> Vec<Family> {
    let Some(state) = running.foundation.leases() else {
        return Vec::new();
    };
    let gauge = |name, help, value| Family::new(Kind::Gauge, name, help).with(&[], value);
    let refills = "Calls of the store for parts of shared budgets, by their result";
    let unavailable =
        "Requests decided by `on_unavailable`: the store was out of reach and no lease was left";
    vec![
        Family::new(Kind::Counter, "limit_leases_refills", refills)
            .with(&[("result", "done")], float(state.refills))
            .with(&[("result", "failed")], float(state.failures)),
        Family::new(Kind::Counter, "limit_leases_unavailable", unavailable)
            .with(&[("answer", "refused")], float(state.refused_unavailable))
            .with(&[("answer", "allowed")], float(state.allowed_unavailable)),
        Family::new(
            Kind::Counter,
            "limit_leases_waits",
            "Requests that waited for the store to tell their share",
        )
        .with(&[], float(state.waited)),
        gauge(
            "limit_leases_reachable",
            "Whether the last call of the store succeeded",
            f64::from(u8::from(state.reachable)),
        ),
        gauge(
            "limit_leases_gateways",
            "Gateways that share the budgets, this one included",
            float(state.gateways),
        ),
        gauge(
            "limit_leases_counters",
            "Plans and keys of which this gateway keeps leases",
            float(u64::try_from(state.entries).unwrap_or(u64::MAX)),
        ),
    ]
}
