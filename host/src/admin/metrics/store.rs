//! Metrics of the counters and, if there is one, of the storage of keys, plans and usage.

use super::float;
use crate::admin::Running;
use crate::observe::metrics::{MetricFamily, MetricKind};

/// Metrics of the counters in this gateway's memory.
pub(super) fn counters(running: &Running) -> [MetricFamily; 4] {
    let rates = running.foundation.rates();
    let figures = running.foundation.limits();
    [
        gauge(
            "limit_counters",
            "Counters in memory, of keys on usage plans and of the rates of filters",
            float(u64::try_from(figures.counters).unwrap_or(u64::MAX)),
        ),
        counter(
            "usage_lost",
            "Usage counts lost, because the storage could not be written for so long that memory for them ran out",
            figures.lost,
        ),
        gauge(
            "rate_counters",
            "Counters in memory of bounds without a key, one for each bound and value",
            float(u64::try_from(rates.counters).unwrap_or(u64::MAX)),
        ),
        counter(
            "rate_overflows",
            "Requests counted in a bucket that new values share, because the table was full",
            rates.overflowed,
        ),
    ]
}

pub(super) fn families(running: &Running) -> Vec<MetricFamily> {
    let Some(sync) = running.foundation.sync() else {
        return Vec::new();
    };
    let state = sync.state();
    vec![
        gauge(
            "keys",
            "Keys that this gateway has loaded from the storage",
            float(u64::try_from(state.keys).unwrap_or(u64::MAX)),
        ),
        gauge(
            "keys_revision",
            "The storage's last commit that this gateway has applied",
            float(state.revision),
        ),
        gauge(
            "keys_fresh",
            "Whether this gateway has every change older than `max_staleness`",
            f64::from(u8::from(state.fresh)),
        ),
        gauge(
            "store_since_contact_seconds",
            "Time since the last answer of the storage",
            state.since_contact.as_secs_f64(),
        ),
        counter(
            "store_failures",
            "Calls to the storage that failed, those of requests not counted",
            state.failures,
        ),
        gauge(
            "usage_unsaved",
            "Usage counts that the last write failed for; they are written later",
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
