//! Metrics of filters: the gateway's own counts of each, and the series that filters declare.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::observe::metrics::{
    MetricFamily, MetricKind, MetricSample, SampleValue, families, write_labels,
};
use crate::proxy::gateway::Gateway;
use crate::wasm::filter::FilterFigures;
use crate::wasm::series::{BUCKETS, OWN_FAMILIES, SeriesKind, SeriesSample};

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = figures(gateway);
    families.extend(series(gateway));
    families
}

families! {
    /// The families of the gateway's own counts.
    struct FilterFamilies {
        filter_calls = Counter, "Phase calls";
        filter_answers = Counter, "Answers that filters gave instead of the upstream";
        filter_failures = Counter, "Phase calls that failed";
        filter_failures_by_kind = Counter, "Phase calls that failed, by kind";
        filter_call_seconds = Histogram, "Times of phase calls: of one call in 64";
        filter_suspended_requests = Counter, "Requests that reached a suspended filter";
        filter_busy_requests = Counter, "Requests that got no instance within `limits.wait`";
        filter_instances = Counter, "Instances created";
        filter_seconds = Counter, "Time in phase calls, estimated from one call in 64";
        filter_suspended = Gauge, "Whether the filter is suspended after repeated failures";
    }
}

fn figures(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = FilterFamilies::default();
    for filter in &gateway.filters {
        let name = [("filter", &**filter.name())];
        let count = |family: &mut MetricFamily, figure: fn(&FilterFigures) -> &AtomicU64| {
            family.push(&name, filter.figure(figure));
        };
        count(&mut families.filter_calls, |figures| &figures.calls);
        count(&mut families.filter_answers, |figures| &figures.answers);
        count(&mut families.filter_failures, |figures| &figures.failures);
        for (kind, failures) in filter.failures_by_kind() {
            let [filter] = name;
            let labels = [filter, ("kind", kind)];
            families.filter_failures_by_kind.push(&labels, failures);
        }
        families
            .filter_call_seconds
            .push(&name, &filter.call_times());
        let suspended = &mut families.filter_suspended_requests;
        count(suspended, |figures| &figures.suspended);
        count(&mut families.filter_busy_requests, |figures| &figures.busy);
        families.filter_instances.push(&name, filter.instances());
        let nanos = filter.figure(|figures| &figures.nanos);
        let seconds = Duration::from_nanos(nanos).as_secs_f64();
        families.filter_seconds.push(&name, seconds);
        families.filter_suspended.push(&name, filter.is_suspended());
    }
    let families = Vec::from(families);
    let is_reserved = |family: &MetricFamily| {
        let name = family.name.strip_prefix("filter_");
        name.is_some_and(|name| OWN_FAMILIES.contains(&name))
    };
    debug_assert!(
        families.iter().all(is_reserved),
        "a name is not among those that filters cannot have"
    );
    families
}

/// The series that filters declare: one family for each name, whichever filters share it. A
/// configuration in which two kinds would share a name has been refused.
fn series(gateway: &Gateway) -> impl Iterator<Item = MetricFamily> {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for filter in &gateway.filters {
        for (spec, samples) in filter.services().series.read() {
            let name = spec.family();
            let kind = match spec.kind {
                SeriesKind::Counter => MetricKind::Counter,
                SeriesKind::Gauge => MetricKind::Gauge,
                SeriesKind::Histogram => MetricKind::Histogram,
            };
            let family = families
                .entry(name.clone())
                .or_insert_with(|| MetricFamily::new(kind, &name, "A series declared by filters"));
            for (values, sample) in samples {
                let own = spec.labels.iter().zip(&values);
                let own = own.map(|(label, value)| (&**label, &**value));
                let labels = std::iter::once(("filter", &**filter.name())).chain(own);
                let labels = write_labels(labels);
                let value = value(spec.kind, &sample);
                family.samples.push(MetricSample { labels, value });
            }
        }
    }
    families.into_values()
}

fn value(kind: SeriesKind, sample: &SeriesSample) -> SampleValue {
    match kind {
        SeriesKind::Counter | SeriesKind::Gauge => SampleValue::Number(sample.value),
        SeriesKind::Histogram => {
            let mut buckets: Vec<_> = BUCKETS.into_iter().zip(sample.buckets).collect();
            let within: u64 = sample.buckets.iter().sum();
            buckets.push((f64::INFINITY, sample.count.saturating_sub(within)));
            SampleValue::Histogram {
                sum: sample.value,
                count: sample.count,
                buckets,
            }
        }
    }
}
