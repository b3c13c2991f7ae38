//! Metrics of upstreams and their endpoints.

use crate::model::endpoint::EndpointHealth;
use crate::observe::metrics::{MetricFamily, MetricKind, float};
use crate::proxy::gateway::Gateway;
use crate::runtime::clock::Timestamp;
use crate::upstream::shared::{Upstream, UpstreamEndpoint};

pub(crate) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = of_endpoints(gateway);
    if let Some(active) = families.first_mut() {
        add_draining(gateway, active);
    }
    families.extend(of_upstreams(gateway));
    families.push(of_states(gateway));
    families
}

/// A value of one endpoint. The first of them is also shown for endpoints that drain.
type EndpointValue = fn(&Upstream, &UpstreamEndpoint) -> f64;

fn of_endpoints(gateway: &Gateway) -> Vec<MetricFamily> {
    let shown: [(MetricKind, &str, &str, EndpointValue); 7] = [
        (
            MetricKind::Gauge,
            "endpoint_requests_active",
            "Active requests of an endpoint",
            |_, endpoint| f64::from(endpoint.state.load.active()),
        ),
        (
            MetricKind::Gauge,
            "endpoint_connections",
            "Connections to an endpoint, including idle ones",
            |_, endpoint| f64::from(endpoint.state.connections()),
        ),
        (
            MetricKind::Gauge,
            "endpoint_available",
            "Whether an endpoint takes requests",
            |plan, endpoint| {
                let takes = plan.state(&endpoint.state).is_available() && endpoint.weight > 0;
                f64::from(u8::from(takes))
            },
        ),
        (
            MetricKind::Counter,
            "endpoint_attempts",
            "Requests sent to an endpoint, including retries",
            |_, endpoint| float(endpoint.state.totals().attempts),
        ),
        (
            MetricKind::Counter,
            "endpoint_faults",
            "Attempts that failed through the endpoint's fault",
            |_, endpoint| float(endpoint.state.totals().faults),
        ),
        (
            MetricKind::Counter,
            "endpoint_connects",
            "Connections opened to an endpoint",
            |_, endpoint| float(endpoint.state.totals().connects),
        ),
        (
            MetricKind::Counter,
            "endpoint_ejections",
            "Ejections of an endpoint",
            |_, endpoint| float(endpoint.state.ejections()),
        ),
    ];
    let family = |(kind, name, help, value): (MetricKind, &str, &str, EndpointValue)| {
        let mut family = MetricFamily::new(kind, name, help);
        for plan in &gateway.upstreams {
            for endpoint in &plan.endpoint_set().endpoints {
                family.push(&labels(plan, endpoint), value(plan, endpoint));
            }
        }
        family
    };
    shown.into_iter().map(family).collect()
}

/// Adds endpoints that are no longer members and still have active requests.
fn add_draining(gateway: &Gateway, active: &mut MetricFamily) {
    for plan in &gateway.upstreams {
        let members = plan.endpoint_set();
        for left in plan.state.leaving.list(&plan.state.name, Timestamp::now()) {
            let mut endpoints = members.endpoints.iter();
            if !endpoints.any(|endpoint| endpoint.state.id == left.state.id) {
                let labels = [
                    ("upstream", &*plan.config.name),
                    ("endpoint", &*left.state.name),
                ];
                active.push(&labels, f64::from(left.active));
            }
        }
    }
}

/// One series for each state, so that a sum over endpoints is a count.
fn of_states(gateway: &Gateway) -> MetricFamily {
    let help = "The state of an endpoint: 1 for its state, 0 for the others";
    let mut family = MetricFamily::new(MetricKind::Gauge, "endpoint_state", help);
    for plan in &gateway.upstreams {
        for endpoint in &plan.endpoint_set().endpoints {
            let is = plan.state(&endpoint.state);
            let [upstream, name] = labels(plan, endpoint);
            for state in EndpointHealth::ALL {
                let value = f64::from(u8::from(state == is));
                family.push(&[upstream, name, ("state", state.as_str())], value);
            }
        }
    }
    family
}

fn of_upstreams(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut open = MetricFamily::new(
        MetricKind::Gauge,
        "upstream_fails_open",
        "Whether too few endpoints are available, so that Windlass ignores health and uses every endpoint that is not draining",
    );
    let mut tier = MetricFamily::new(
        MetricKind::Gauge,
        "upstream_tier",
        "The tier of endpoints in use, 0 for the first",
    );
    let mut waiting = MetricFamily::new(
        MetricKind::Gauge,
        "upstream_requests_waiting",
        "Requests that wait for an endpoint with a free permit or for a connection",
    );
    let mut refused = MetricFamily::new(
        MetricKind::Counter,
        "upstream_requests_overloaded",
        "Requests that got no permit or connection in time",
    );
    for plan in &gateway.upstreams {
        let labels = [("upstream", &*plan.config.name)];
        let balancer = &plan.endpoint_set().balancer;
        open.push(&labels, f64::from(u8::from(balancer.fails_open())));
        let in_use = u32::try_from(balancer.tier()).unwrap_or(u32::MAX);
        tier.push(&labels, f64::from(in_use));
        let count = u32::try_from(plan.waiting()).unwrap_or(u32::MAX);
        waiting.push(&labels, f64::from(count));
        refused.push(&labels, float(plan.state.overloaded()));
    }
    vec![open, tier, waiting, refused]
}

fn labels<'a>(plan: &'a Upstream, endpoint: &'a UpstreamEndpoint) -> [(&'static str, &'a str); 2] {
    [
        ("upstream", &*plan.config.name),
        ("endpoint", &*endpoint.state.name),
    ]
}
