//! How the counters stand, and the store of keys, plans and usage where there is one.

use super::float;
use crate::admin::Running;
use crate::observe::metrics::{MetricFamily, MetricKind};

/// Those of the counters in this gateway's memory.
pub(super) fn counters(running: &Running) -> [MetricFamily; 4] {
    let rates = running.foundation.rates();
    let figures = running.foundation.limits();
    [
        gauge(
            "limit_counters",
            "Counters in memory, of usage plans by key and of filters' own rates",
            float(u64::try_from(figures.counters).unwrap_or(u64::MAX)),
        ),
        counter(
            "usage_lost",
            "Counts of usage that were lost: the store could not be written for so long that there was no room",
            figures.lost,
        ),
        gauge(
            "rate_counters",
            "Counters of bounds without a key in memory, by bound and value",
            float(u64::try_from(rates.counters).unwrap_or(u64::MAX)),
        ),
        counter(
            "rate_overflows",
            "Requests that were counted in a bucket which new values share, for want of room",
            rates.overflowed,
        ),
    ]
}

pub(super) fn families(running: &Running) -> Vec<MetricFamily> {
    let Some(keeper) = running.foundation.sync() else {
        return Vec::new();
    };
    let state = keeper.state();
    vec![
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
            float(state.unwritten_rows),
        ),
    ]
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    MetricFamily::new(MetricKind::Gauge, name, help).with(&[], value)
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    MetricFamily::new(MetricKind::Counter, name, help).with(&[], float(value))
}
