//! What `/metrics` shows: workers, filters, upstreams, configurations.

mod format;
mod store;
mod upstreams;

pub use format::Format;

use std::sync::atomic::AtomicU64;

use super::Running;
use crate::descriptors;
use crate::gateway::Gateway;
use crate::observe::metrics::{Family, Kind, float, of_workers, read};
use crate::store::keys::KeyReject;
use crate::wasm::filter::{Filter, FilterFigures};
use crate::wasm::series::{BUCKETS, Sample, SeriesKind, SeriesSpec};

/// All families.
pub fn families(running: &Running) -> Vec<Family> {
    let workers = running.workers.iter().map(|common| &common.stats);
    let mut families = of_workers(workers);
    let gateway = running.gateway.load();
    families.extend(of_process(running, &gateway));
    families.push(of_certificates(&gateway));
    families.push(of_rejects(running));
    families.extend(store::counters(running));
    families.extend(store::families(running));
    families.extend(super::leases::families(running));
    families.extend(of_filters(&gateway));
    families.extend(upstreams::families(&gateway));
    for filter in &gateway.filters {
        for (spec, samples) in filter.own().series.read() {
            of_series(
                filter,
                spec,
                &samples.into_iter().collect::<Vec<_>>(),
                &mut families,
            );
        }
    }
    families
}

fn of_process(running: &Running, gateway: &Gateway) -> Vec<Family> {
    let registry = running.foundation.registry();
    let budget = registry.engine().budget();
    let components = u64::try_from(registry.components()).unwrap_or(u64::MAX);
    let one = |kind, name, help, value| Family::new(kind, name, help).with(&[], value);
    vec![
        Family::new(Kind::Gauge, "build_info", "The version that runs")
            .with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        one(
            Kind::Gauge,
            "generation",
            "Which configuration is in use, counted from 1",
            float(gateway.number),
        ),
        one(
            Kind::Gauge,
            "generations",
            "Configurations in memory: one, and those that requests still run on",
            float(running.foundation.alive()),
        ),
        Family::new(Kind::Counter, "reloads", "Reloads by their result")
            .with(&[("result", "done")], read(&running.reloads.done))
            .with(&[("result", "refused")], read(&running.reloads.refused)),
        one(
            Kind::Counter,
            "access_log_dropped",
            "Lines of the access log that were lost: its writer did not keep up, or a write failed",
            read(&running.log_dropped),
        ),
        one(
            Kind::Counter,
            "log_dropped",
            "Lines of the gateway's own log that were lost: what reads it did not keep up, or a write failed",
            read(&running.own_log_dropped),
        ),
        one(
            Kind::Gauge,
            "open_files_limit",
            "How many files the process may have open, sockets included; 0: no limit",
            float(descriptors::limit()),
        ),
        one(
            Kind::Counter,
            "accept_pauses",
            "Times that accepting paused because too many files were open",
            float(descriptors::pauses()),
        ),
        one(
            Kind::Gauge,
            "wasm_components",
            "Components that are compiled and in use",
            float(components),
        ),
        one(
            Kind::Gauge,
            "wasm_memory_bytes",
            "Linear memory of all filter instances",
            float(budget.used()),
        ),
        one(
            Kind::Gauge,
            "wasm_memory_limit_bytes",
            "What the linear memory of all filter instances may be",
            float(budget.limit()),
        ),
    ]
}

/// When the certificates end that the gateway shows of itself.
fn of_certificates(gateway: &Gateway) -> Family {
    let help = "When a certificate that the gateway shows to a listener's, the admin's or an upstream's peers ends, in seconds since 1970";
    let mut family = Family::new(Kind::Gauge, "certificate_expiry_timestamp_seconds", help);
    for shown in &gateway.certificates {
        let labels = [("shown_to", shown.to), ("name", &*shown.name)];
        // Past the year 9999 nobody cares for a second.
        let ends = u64::try_from(shown.ends_s).unwrap_or_default();
        family.push(&labels, float(ends));
    }
    family
}

/// Keys that were not accepted: to the client all reasons are one, to the operator not.
fn of_rejects(running: &Running) -> Family {
    let reasons = [
        (KeyReject::Unknown, "unknown"),
        (KeyReject::Disabled, "disabled"),
        (KeyReject::Expired, "expired"),
        (KeyReject::Unavailable, "unavailable"),
    ];
    let help = "Keys that were presented and not accepted, by the reason";
    let mut family = Family::new(Kind::Counter, "key_rejects", help);
    for (why, word) in reasons {
        let workers = running.foundation.rejects().iter();
        let sum: u64 = workers.map(|rejects| rejects.value(why)).sum();
        family.push(&[("why", word)], float(sum));
    }
    family
}

/// Picks one figure.
type Figure = fn(&FilterFigures) -> &AtomicU64;

fn of_filters(gateway: &Gateway) -> Vec<Family> {
    let mut families = Vec::new();
    let mut each = |kind: Kind, name: &str, help: &str, value: &dyn Fn(&Filter) -> f64| {
        let mut family = Family::new(kind, name, help);
        for filter in &gateway.filters {
            family.push(&[("filter", filter.name())], value(filter));
        }
        families.push(family);
    };
    let figures: [(&str, &str, Figure); 4] = [
        ("filter_calls", "Phase calls", |figures| &figures.calls),
        (
            "filter_answers",
            "Answers that filters gave in the place of the upstream's",
            |figures| &figures.answers,
        ),
        ("filter_failures", "Phase calls that failed", |figures| {
            &figures.failures
        }),
        (
            "filter_suspended_requests",
            "Requests that met a suspended filter",
            |figures| &figures.suspended,
        ),
    ];
    for (name, help, figure) in figures {
        each(Kind::Counter, name, help, &|filter| {
            float(filter.figure(figure))
        });
    }
    each(
        Kind::Counter,
        "filter_instances",
        "Instances made",
        &|filter| float(filter.instances()),
    );
    each(
        Kind::Counter,
        "filter_seconds",
        "Time in phase calls, estimated from one call in 64",
        &|filter| float(filter.figure(|figures| &figures.nanos)) / 1e9,
    );
    each(
        Kind::Gauge,
        "filter_suspended",
        "Whether the filter is suspended after repeated failures",
        &|filter| f64::from(u8::from(filter.is_suspended())),
    );
    families
}

/// A filter's own series. A histogram becomes its buckets, its sum and its count.
fn of_series(
    filter: &Filter,
    spec: &SeriesSpec,
    samples: &[(Vec<String>, Sample)],
    families: &mut Vec<Family>,
) {
    let name = format!("filter_{}", spec.name);
    let help = format!("Of filter {}", filter.name());
    let labels = |values: &[String], more: Option<(&str, &str)>| {
        let mut labels = vec![("filter".to_owned(), filter.name().to_string())];
        labels.extend(spec.labels.iter().cloned().zip(values.iter().cloned()));
        labels.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels
    };
    let mut push = |kind, name: String, rows: Vec<(Vec<(String, String)>, f64)>| {
        let mut family = Family::new(kind, &name, &help);
        for (labels, value) in rows {
            family
                .samples
                .push(crate::observe::metrics::Sample { labels, value });
        }
        families.push(family);
    };
    let values = samples
        .iter()
        .map(|(values, sample)| (labels(values, None), sample.value))
        .collect();
    match spec.kind {
        SeriesKind::Counter => {
            // The encoder adds `_total` to every counter, also to one that has it by custom.
            let name = name.strip_suffix("_total").unwrap_or(&name).to_owned();
            push(Kind::Counter, name, values);
        }
        SeriesKind::Gauge => push(Kind::Gauge, name, values),
        SeriesKind::Histogram => {
            let mut buckets = Vec::new();
            let mut counts = Vec::new();
            for (values, sample) in samples {
                let mut below = 0;
                for (bound, count) in BUCKETS.iter().zip(sample.buckets) {
                    below += count;
                    buckets.push((
                        labels(values, Some(("le", &bound.to_string()))),
                        float(below),
                    ));
                }
                buckets.push((labels(values, Some(("le", "+Inf"))), float(sample.count)));
                counts.push((labels(values, None), float(sample.count)));
            }
            push(Kind::Gauge, format!("{name}_bucket"), buckets);
            push(Kind::Gauge, format!("{name}_sum"), values);
            push(Kind::Gauge, format!("{name}_count"), counts);
        }
    }
}
