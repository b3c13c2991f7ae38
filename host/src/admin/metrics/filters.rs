//! Metrics of filters: the gateway's own counts of each, and the series that filters declare.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use crate::observe::metrics::{self, MetricFamily, MetricKind, SampleValue, float};
use crate::proxy::gateway::Gateway;
use crate::wasm::filter::{Filter, FilterFigures};
use crate::wasm::series::{BUCKETS, OWN_FAMILIES, SeriesKind, SeriesSample};

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = figures(gateway);
    families.extend(series(gateway));
    families
}

/// Picks one count of a filter.
type FilterFigure = fn(&FilterFigures) -> &AtomicU64;

fn figures(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let mut each = |kind: MetricKind, name: &str, help: &str, value: &dyn Fn(&Filter) -> f64| {
        debug_assert!(
            OWN_FAMILIES
                .iter()
                .any(|own| name.strip_prefix("filter_") == Some(own)),
            "{name} is not among the names that filters cannot have"
        );
        let mut family = MetricFamily::new(kind, name, help);
        for filter in &gateway.filters {
            family.push(&[("filter", filter.name())], value(filter));
        }
        families.push(family);
    };
    let figures: [(&str, &str, FilterFigure); 5] = [
        ("filter_calls", "Phase calls", |figures| &figures.calls),
        (
            "filter_answers",
            "Answers that filters gave instead of the upstream",
            |figures| &figures.answers,
        ),
        ("filter_failures", "Phase calls that failed", |figures| {
            &figures.failures
        }),
        (
            "filter_suspended_requests",
            "Requests that reached a suspended filter",
            |figures| &figures.suspended,
        ),
        (
            "filter_busy_requests",
            "Requests that got no instance within `limits.wait`",
            |figures| &figures.busy,
        ),
    ];
    for (name, help, figure) in figures {
        each(MetricKind::Counter, name, help, &|filter| {
            float(filter.figure(figure))
        });
    }
    each(
        MetricKind::Counter,
        "filter_instances",
        "Instances created",
        &|filter| float(filter.instances()),
    );
    each(
        MetricKind::Counter,
        "filter_seconds",
        "Time in phase calls, estimated from one call in 64",
        &|filter| float(filter.figure(|figures| &figures.nanos)) / 1e9,
    );
    each(
        MetricKind::Gauge,
        "filter_suspended",
        "Whether the filter is suspended after repeated failures",
        &|filter| f64::from(u8::from(filter.is_suspended())),
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
                let mut labels = vec![("filter".to_owned(), filter.name().to_string())];
                labels.extend(spec.labels.iter().cloned().zip(values));
                let value = value(spec.kind, &sample);
                family.samples.push(metrics::MetricSample { labels, value });
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
