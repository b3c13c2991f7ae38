//! Metrics of the counters and, if there is one, of the storage of keys, plans and usage.

use crate::admin::Running;
use crate::observe::metrics::{MetricFamily, families};

families! {
    /// The families of the counters in this gateway's memory.
    struct CounterFamilies {
        limit_counters = Gauge, "Counters in memory, of keys on usage plans and of the rates of filters";
        usage_lost = Counter, "Usage counts lost, because the storage could not be written for so long that memory for them ran out";
        rate_counters = Gauge, "Counters in memory of bounds without a key, one for each bound and value";
        rate_overflows = Counter, "Requests counted in a bucket that new values share, because the table was full";
    }
}

pub(super) fn counters(running: &Running) -> Vec<MetricFamily> {
    let rates = running.foundation.rates.figures();
    let figures = running.foundation.limits.local().figures();
    let mut families = CounterFamilies::default();
    families.limit_counters.push(&[], figures.counters);
    families.usage_lost.push(&[], figures.lost);
    families.rate_counters.push(&[], rates.counters);
    families.rate_overflows.push(&[], rates.overflowed);
    families.into()
}

families! {
    /// The families of the storage.
    struct StorageFamilies {
        keys = Gauge, "Keys that this gateway has loaded from the storage";
        keys_revision = Gauge, "The storage's last commit that this gateway has applied";
        keys_fresh = Gauge, "Whether this gateway has every change older than `max_staleness`";
        store_since_contact_seconds = Gauge, "Time since the last answer of the storage";
        store_failures = Counter, "Calls to the storage that failed, those of requests not counted";
        usage_unsaved = Gauge, "Usage counts that the last write failed for; they are written later";
    }
}

pub(super) fn families(running: &Running) -> Vec<MetricFamily> {
    let Some(sync) = &running.foundation.sync else {
        return Vec::new();
    };
    let state = sync.state();
    let since_contact = state.since_contact.as_secs_f64();
    let mut families = StorageFamilies::default();
    families.keys.push(&[], state.keys);
    families.keys_revision.push(&[], state.revision);
    families.keys_fresh.push(&[], state.fresh);
    families
        .store_since_contact_seconds
        .push(&[], since_contact);
    families.store_failures.push(&[], state.failures);
    families.usage_unsaved.push(&[], state.unwritten_rows);
    families.into()
}
