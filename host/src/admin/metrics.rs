//! The families of `/metrics`: workers, routes, filters, upstreams, configurations. Each file below has
//! those of one part.

mod callouts;
mod filters;
mod format;
mod leases;
mod plans;
mod process;
mod routes;
mod store;
mod upstreams;
mod verifiers;

pub(crate) use format::MetricsFormat;

use std::time::UNIX_EPOCH;

use super::Running;
use crate::keys::KeyReject;
use crate::model::word::Word as _;
use crate::observe::metrics::{MetricFamily, families, of_workers};
use crate::proxy::gateway::Gateway;
use crate::runtime::descriptors;

pub(crate) fn families(running: &Running) -> Vec<MetricFamily> {
    let workers = running.workers.iter().map(|common| &common.stats);
    let mut families = of_workers(workers);
    let gateway = running.gateway.load();
    families.extend(of_process(running, &gateway));
    families.extend(process::families());
    families.extend(store::counters(running));
    families.extend(store::families(running));
    families.extend(leases::families(running));
    families.extend(routes::families(&gateway));
    families.extend(plans::families(&gateway));
    families.extend(filters::families(&gateway));
    families.extend(upstreams::families(&gateway));
    families.extend(verifiers::families(&gateway));
    families.extend(callouts::families(&gateway));
    families
        .into_iter()
        .map(MetricFamily::without_duplicates)
        .collect()
}

families! {
    /// The families of the process and its configurations.
    struct ProcessFamilies {
        build_info = Gauge, "The version that runs";
        generation = Gauge, "The number of the configuration in use, counted from 1";
        generations = Gauge, "Configurations in memory: the one in use, and old ones that requests still use";
        reloads = Counter, "Reloads by their result";
        last_reload_timestamp_seconds = Gauge, "When the last reload ended, done or refused, in seconds since 1970; no value before the first";
        last_reload_successful = Gauge, "Whether the last reload put its configuration in use; no value before the first";
        access_log_dropped = Counter, "Access log lines lost, because the writer did not keep up or a write failed";
        log_dropped = Counter, "Lines of the gateway's own log lost, because its reader did not keep up or a write failed";
        open_files_limit = Gauge, "Files and sockets that the process may have open; 0: no limit";
        accept_pauses = Counter, "Pauses in accepting connections because too many files were open";
        wasm_components = Gauge, "Compiled components in use";
        wasm_memory_bytes = Gauge, "Linear memory of all filter instances together";
        wasm_memory_limit_bytes = Gauge, "Limit on the linear memory of all filter instances together";
        certificate_reloads = Counter, "How often the files of a listener's certificates changed: the new ones are in use, or could not be used";
        certificate_expiry_timestamp_seconds = Gauge, "When a certificate that the gateway presents on a listener, on the admin listener or to an upstream expires, in seconds since 1970";
        key_rejects = Counter, "Presented keys that were rejected, by reason";
    }
}

fn of_process(running: &Running, gateway: &Gateway) -> Vec<MetricFamily> {
    let registry = &running.foundation.registry;
    let budget = &registry.engine().budget;
    let reloads = &running.reloads;
    let mut families = ProcessFamilies::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    families.build_info.push(&version, 1.0);
    families.generation.push(&[], gateway.number);
    let generations = running.foundation.gateways_in_memory();
    families.generations.push(&[], generations);
    for (result, count) in [("done", &reloads.done), ("refused", &reloads.refused)] {
        families.reloads.push(&[("result", result)], count);
    }
    if let Some(last) = reloads.last() {
        let since_1970 = last.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let family = &mut families.last_reload_timestamp_seconds;
        family.push(&[], since_1970.as_secs());
        families.last_reload_successful.push(&[], last.is_done);
    }
    families.access_log_dropped.push(&[], &*running.log_dropped);
    families.log_dropped.push(&[], &*running.own_log_dropped);
    families.open_files_limit.push(&[], descriptors::limit());
    families.accept_pauses.push(&[], descriptors::pauses());
    families.wasm_components.push(&[], registry.components());
    families.wasm_memory_bytes.push(&[], budget.used());
    families.wasm_memory_limit_bytes.push(&[], budget.limit());
    for (result, count) in running.foundation.certificates.counts() {
        families
            .certificate_reloads
            .push(&[("result", result)], count);
    }
    let tls = gateway.tls.iter().chain([&gateway.admin_tls]).flatten();
    let on_listeners = tls.flat_map(|tls| tls.served());
    for shown in on_listeners.chain(gateway.certificates.iter().cloned()) {
        let file = shown.file.to_string_lossy();
        let labels = [
            ("shown_to", shown.audience),
            ("name", &*shown.name),
            ("file", &*file),
        ];
        // Past the year 9999 a wrong second does not matter.
        let ends = u64::try_from(shown.ends_s).unwrap_or_default();
        let expiry = &mut families.certificate_expiry_timestamp_seconds;
        expiry.push(&labels, ends);
    }
    // A client gets one answer for all reasons; the operator sees each.
    for why in KeyReject::all() {
        let workers = running.foundation.rejects.iter();
        let sum: u64 = workers.map(|rejects| rejects.value(why)).sum();
        families.key_rejects.push(&[("why", why.word())], sum);
    }
    families.into()
}
