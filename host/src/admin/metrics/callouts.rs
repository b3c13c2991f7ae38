//! Metrics of the callouts of filters.

use crate::observe::metrics::{MetricFamily, families};
use crate::proxy::gateway::Gateway;

families! {
    /// The families of callouts.
    struct CalloutFamilies {
        callouts = Counter, "Callouts of filters to a server (`[callout.<name>]`) by result";
        callouts_shared = Counter, "Callouts that shared the answer of an identical one in flight";
        callouts_active = Gauge, "Callouts in flight or waiting";
    }
}

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = CalloutFamilies::default();
    for target in &gateway.services.callouts.0 {
        let name = ("callout", &*target.settings.name);
        let figures = &target.figures;
        let ended = [
            ("answered", &figures.answered),
            ("abandoned", &figures.abandoned),
        ];
        for (result, count) in ended.into_iter().chain(figures.failures()) {
            families.callouts.push(&[name, ("result", result)], count);
        }
        families.callouts_shared.push(&[name], &figures.shared);
        families.callouts_active.push(&[name], &figures.active);
    }
    families.into()
}
