//! How the store of keys, plans and usage stands, where there is one.

use super::float;
use crate::admin::Running;
use crate::observe::metrics::{Family, Kind};
use crate::store::limits::LeaseState;

/// Its families.
pub(super) fn families(running: &Running) -> Vec<Family> {
    let Some(keeper) = running.foundation.keeper() else {
        return Vec::new();
    };
    let state = keeper.state();
    let mut families = vec![
        gauge(
            "keys",
            "Keys of the store that this gateway knows",
            float(u64::try_from(state.keys).unwrap_or(u64::MAX)),
        ),
        gauge(
            "keys_revision",
            "The last commit of the store that this gateway has seen",
            float(state.revision),
        ),
        gauge(
            "keys_fresh",
            "Whether this gateway knows every change up to `max_staleness` ago",
            f64::from(u8::from(state.fresh)),
        ),
        gauge(
            "store_since_contact_seconds",
            "Since when nothing was heard of the store",
            state.since_contact.as_secs_f64(),
        ),
        counter(
            "store_failures",
            "Calls of the store, off requests' way, that failed",
            state.failures,
        ),
        gauge(
            "usage_unsaved",
            "Counts of usage that could not be written at the last try, and will be",
            float(state.unsaved),
        ),
    ];
    if let Some(leases) = running.foundation.leases() {
        families.extend(of_leases(&leases));
    }
    families
}

fn of_leases(state: &LeaseState) -> [Family; 8] {
    [
        counter(
            "limits_unavailable_refused",
            "Requests that were refused as no lease was left and the store was out of reach",
            state.refused_unavailable,
        ),
        counter(
            "limits_unavailable_allowed",
            "Requests that passed although no lease was left and the store was out of reach",
            state.allowed_unavailable,
        ),
        counter(
            "lease_refills",
            "Calls of the store that refilled leases",
            state.refills,
        ),
        counter(
            "lease_failures",
            "Calls of the store that should have refilled leases and failed",
            state.failures,
        ),
        gauge(
            "lease_store_reachable",
            "Whether the last call that refilled leases succeeded",
            f64::from(u8::from(state.reachable)),
        ),
        gauge(
            "lease_since_contact_seconds",
            "Since the last call that refilled leases and succeeded",
            float(state.since_contact_ms) / 1000.0,
        ),
        gauge(
            "lease_gateways",
            "Gateways that share the budgets, this one included",
            float(state.gateways),
        ),
        gauge(
            "leases",
            "Keys and plans of which this gateway keeps leases",
            float(u64::try_from(state.entries).unwrap_or(u64::MAX)),
        ),
    ]
}

fn gauge(name: &str, help: &str, value: f64) -> Family {
    Family::new(Kind::Gauge, name, help).with(&[], value)
}

fn counter(name: &str, help: &str, value: u64) -> Family {
    Family::new(Kind::Counter, name, help).with(&[], float(value))
}
