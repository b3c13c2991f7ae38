//! Metrics of routes.
//!
//! The label values are names of the configuration and status classes, so that no client can add a series. A
//! route without requests has none: its series begin with its first request.

use crate::observe::metrics::{MetricFamily, families};
use crate::observe::route_stats::{CLASSES, RouteStatsSet};
use crate::proxy::gateway::Gateway;

families! {
    /// The families of routes.
    struct RouteFamilies {
        route_requests = Counter, "Requests that have ended, by route and status class; `none`: without a response";
        route_request_seconds = Histogram, "Time from a request's head to the end of its response, by route";
        route_request_bytes = Counter, "Bytes of request bodies, by route";
        route_response_bytes = Counter, "Bytes of response bodies, by route";
    }
}

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = RouteFamilies::default();
    for route in &gateway.routes {
        let api = route.info.api.as_deref().unwrap_or_default();
        families.add(api, &route.info.name, &route.stats);
    }
    families.add("", "", &gateway.unrouted);
    families.into()
}

impl RouteFamilies {
    fn add(&mut self, api: &str, route: &str, stats: &RouteStatsSet) {
        let totals = stats.totals();
        if totals.times.count() == 0 {
            return;
        }
        let [api, route] = [("api", api), ("route", route)];
        for (class, count) in CLASSES.into_iter().zip(totals.classes) {
            if count > 0 {
                let labels = [api, route, ("class", class)];
                self.route_requests.push(&labels, count);
            }
        }
        let labels = [api, route];
        self.route_request_seconds.push(&labels, &totals.times);
        self.route_request_bytes.push(&labels, totals.request_bytes);
        self.route_response_bytes
            .push(&labels, totals.response_bytes);
    }
}
