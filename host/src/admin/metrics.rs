//! The families of `/metrics`: workers, filters, upstreams, configurations. Each file below has
//! those of one part.

mod callouts;
mod filters;
mod format;
mod store;
mod upstreams;
mod verifiers;

pub(crate) use format::MetricsFormat;

use super::Running;
use crate::keys::KeyReject;
use crate::observe::metrics::{MetricFamily, MetricKind, float, of_workers, read};
use crate::proxy::gateway::Gateway;
use crate::runtime::descriptors;

pub(crate) fn families(running: &Running) -> Vec<MetricFamily> {
    let workers = running.workers.iter().map(|common| &common.stats);
    let mut families = of_workers(workers);
    let gateway = running.gateway.load();
    families.extend(of_process(running, &gateway));
    families.push(of_certificates(&gateway));
    families.push(of_rejects(running));
    families.extend(store::counters(running));
    families.extend(store::families(running));
    families.extend(super::leases::families(running));
    families.extend(filters::families(&gateway));
    families.extend(upstreams::families(&gateway));
    families.extend(verifiers::families(&gateway));
    families.extend(callouts::families(&gateway));
    families
        .into_iter()
        .map(MetricFamily::without_duplicates)
        .collect()
}

fn of_process(running: &Running, gateway: &Gateway) -> Vec<MetricFamily> {
    let registry = running.foundation.registry();
    let budget = registry.engine().budget();
    let components = u64::try_from(registry.components()).unwrap_or(u64::MAX);
    let one = |kind, name, help, value| MetricFamily::new(kind, name, help).with(&[], value);
    vec![
        MetricFamily::new(MetricKind::Gauge, "build_info", "The version that runs")
            .with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        one(
            MetricKind::Gauge,
            "generation",
            "The number of the configuration in use, counted from 1",
            float(gateway.number),
        ),
        one(
            MetricKind::Gauge,
            "generations",
            "Configurations in memory: the one in use, and old ones that requests still use",
            float(running.foundation.gateways_in_memory()),
        ),
        MetricFamily::new(MetricKind::Counter, "reloads", "Reloads by their result")
            .with(&[("result", "done")], read(&running.reloads.done))
            .with(&[("result", "refused")], read(&running.reloads.refused)),
        one(
            MetricKind::Counter,
            "access_log_dropped",
            "Access log lines lost, because the writer did not keep up or a write failed",
            read(&running.log_dropped),
        ),
        one(
            MetricKind::Counter,
            "log_dropped",
            "Lines of the gateway's own log lost, because its reader did not keep up or a write failed",
            read(&running.own_log_dropped),
        ),
        one(
            MetricKind::Gauge,
            "open_files_limit",
            "Files and sockets that the process may have open; 0: no limit",
            float(descriptors::limit()),
        ),
        one(
            MetricKind::Counter,
            "accept_pauses",
            "Pauses in accepting connections because too many files were open",
            float(descriptors::pauses()),
        ),
        one(
            MetricKind::Gauge,
            "wasm_components",
            "Compiled components in use",
            float(components),
        ),
        one(
            MetricKind::Gauge,
            "wasm_memory_bytes",
            "Linear memory of all filter instances together",
            float(budget.used()),
        ),
        one(
            MetricKind::Gauge,
            "wasm_memory_limit_bytes",
            "Limit on the linear memory of all filter instances together",
            float(budget.limit()),
        ),
    ]
}

/// When the certificates expire that the gateway presents.
fn of_certificates(gateway: &Gateway) -> MetricFamily {
    let help = "When a certificate that the gateway presents on a listener, on the admin listener or to an upstream expires, in seconds since 1970";
    let mut family = MetricFamily::new(
        MetricKind::Gauge,
        "certificate_expiry_timestamp_seconds",
        help,
    );
    for shown in &gateway.certificates {
        let labels = [("shown_to", shown.audience), ("name", &*shown.name)];
        // Past the year 9999 a wrong second does not matter.
        let ends = u64::try_from(shown.ends_s).unwrap_or_default();
        family.push(&labels, float(ends));
    }
    family
}

/// Counts of rejected keys. A client gets one answer for all reasons; the operator sees each.
fn of_rejects(running: &Running) -> MetricFamily {
    let reasons = [
        (KeyReject::Unknown, "unknown"),
        (KeyReject::Disabled, "disabled"),
        (KeyReject::Expired, "expired"),
        (KeyReject::Unavailable, "unavailable"),
    ];
    let help = "Presented keys that were rejected, by reason";
    let mut family = MetricFamily::new(MetricKind::Counter, "key_rejects", help);
    for (why, word) in reasons {
        let workers = running.foundation.rejects().iter();
        let sum: u64 = workers.map(|rejects| rejects.value(why)).sum();
        family.push(&[("why", word)], float(sum));
    }
    family
}
