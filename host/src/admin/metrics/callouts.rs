//! Metrics of the callouts of filters.

use std::sync::atomic::Ordering::Relaxed;

use super::float;
use crate::observe::metrics::{MetricFamily, MetricKind};
use crate::proxy::gateway::Gateway;

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut calls = MetricFamily::new(
        MetricKind::Counter,
        "callouts",
        "Callouts of filters to a server (`[callout.<name>]`) by result",
    );
    let mut shared = MetricFamily::new(
        MetricKind::Counter,
        "callouts_shared",
        "Callouts that shared the answer of an identical one in flight",
    );
    let mut active = MetricFamily::new(
        MetricKind::Gauge,
        "callouts_active",
        "Callouts in flight or waiting",
    );
    for target in gateway.services.callouts.all() {
        let name = ("callout", &*target.settings.name);
        let figures = &target.figures;
        let ended = [
            ("answered", figures.answered.load(Relaxed)),
            ("abandoned", figures.abandoned.load(Relaxed)),
        ];
        for (result, count) in ended.into_iter().chain(figures.failures()) {
            calls.push(&[name, ("result", result)], float(count));
        }
        shared.push(&[name], float(figures.shared.load(Relaxed)));
        active.push(&[name], float(figures.active.load(Relaxed)));
    }
    vec![calls, shared, active]
}
