//! Metrics of upstreams and their endpoints.

use crate::model::endpoint::EndpointHealth;
use crate::model::word::Word as _;
use crate::observe::histogram::HistogramTotals;
use crate::observe::metrics::{MetricFamily, families};
use crate::observe::route_stats::CLASSES;
use crate::proxy::gateway::Gateway;
use crate::runtime::clock::Timestamp;
use crate::upstream::endpoint::dns::LookupCounters;
use crate::upstream::endpoint_set::UpstreamEndpoint;
use crate::upstream::shared::Upstream;

families! {
    /// The families of upstreams and their endpoints.
    struct UpstreamFamilies {
        endpoint_requests_active = Gauge, "Active requests of an endpoint";
        endpoint_connections = Gauge, "Connections to an endpoint, including idle ones";
        endpoint_available = Gauge, "Whether an endpoint takes requests";
        endpoint_attempts = Counter, "Requests sent to an endpoint, including retries";
        endpoint_faults = Counter, "Attempts that failed through the endpoint's fault";
        endpoint_responses = Counter, "Responses of an endpoint that were passed on, by status class";
        endpoint_response_seconds = Histogram, "Time from the start of an attempt to the head of the endpoint's response, if that was passed on";
        endpoint_connects = Counter, "Connections opened to an endpoint";
        endpoint_ejections = Counter, "Ejections of an endpoint";
        upstream_fails_open = Gauge, "Whether too few endpoints are available, so that Windlass ignores health and uses every endpoint that is not draining";
        upstream_tier = Gauge, "The tier of endpoints in use, 0 for the first";
        upstream_requests_waiting = Gauge, "Requests that wait for an endpoint with a free permit or for a connection";
        upstream_requests_overloaded = Counter, "Requests that got no permit or connection in time";
        upstream_health_checks = Counter, "Health checks of an upstream's endpoints by result";
        upstream_queue_seconds = Histogram, "Time that requests waited for an endpoint with a free permit, if none had one at once";
        upstream_connect_seconds = Histogram, "Time to make a connection to an endpoint, with the wait for its permit and with TLS";
        dns_lookups = Counter, "Look-ups of endpoint names by result";
        dns_lookup_seconds = Histogram, "Time of look-ups of endpoint names";
        endpoint_state = Gauge, "The state of an endpoint: 1 for its state, 0 for the others";
    }
}

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = UpstreamFamilies::default();
    for upstream in &gateway.upstreams {
        for endpoint in &upstream.endpoint_set().endpoints {
            families.add_endpoint(upstream, endpoint);
        }
        families.add_upstream(upstream);
    }
    for upstream in &gateway.upstreams {
        families.add_draining(upstream);
    }
    families.add_lookups(LookupCounters::of_process());
    families.into()
}

impl UpstreamFamilies {
    fn add_endpoint(&mut self, upstream: &Upstream, endpoint: &UpstreamEndpoint) {
        let labels = labels(upstream, &endpoint.state.name);
        let health = upstream.state(&endpoint.state);
        let takes = health.is_available() && endpoint.weight > 0;
        let state = &endpoint.state;
        let totals = state.totals();
        let active = f64::from(state.load.active());
        self.endpoint_requests_active.push(&labels, active);
        let connections = f64::from(state.connections());
        self.endpoint_connections.push(&labels, connections);
        self.endpoint_available.push(&labels, takes);
        self.endpoint_attempts.push(&labels, totals.attempts);
        self.endpoint_faults.push(&labels, totals.faults);
        self.endpoint_connects.push(&labels, totals.connects);
        self.endpoint_ejections.push(&labels, state.ejections());
        self.endpoint_response_seconds.push(&labels, &totals.times);
        let [upstream, name] = labels;
        for (class, count) in CLASSES.into_iter().zip(totals.classes) {
            if count > 0 {
                let labels = [upstream, name, ("class", class)];
                self.endpoint_responses.push(&labels, count);
            }
        }
        // One series for each state, so that a sum over endpoints is a count.
        for (word, state) in EndpointHealth::WORDS {
            let labels = [upstream, name, ("state", word)];
            self.endpoint_state.push(&labels, *state == health);
        }
    }

    /// Adds endpoints that are no longer members and still have active requests.
    fn add_draining(&mut self, upstream: &Upstream) {
        let members = upstream.endpoint_set();
        let state = &upstream.state;
        for left in state.leaving.list(&state.name, Timestamp::now()) {
            let mut endpoints = members.endpoints.iter();
            if !endpoints.any(|endpoint| endpoint.state.id == left.state.id) {
                let labels = labels(upstream, &left.state.name);
                let active = f64::from(left.active);
                self.endpoint_requests_active.push(&labels, active);
            }
        }
    }

    fn add_lookups(&mut self, lookups: &LookupCounters) {
        for (result, count) in [
            ("found", &lookups.found),
            ("no_name", &lookups.no_name),
            ("no_address", &lookups.no_address),
            ("failed", &lookups.failed),
        ] {
            self.dns_lookups.push(&[("result", result)], count);
        }
        let times = HistogramTotals::from(&lookups.times);
        self.dns_lookup_seconds.push(&[], &times);
    }

    fn add_upstream(&mut self, upstream: &Upstream) {
        let labels = [("upstream", &*upstream.config.name)];
        let balancer = &upstream.endpoint_set().balancer;
        let (waiting, overloaded) = (upstream.waiting(), upstream.state.overloaded());
        self.upstream_fails_open
            .push(&labels, balancer.fails_open());
        self.upstream_tier.push(&labels, balancer.tier());
        self.upstream_requests_waiting.push(&labels, waiting);
        self.upstream_requests_overloaded.push(&labels, overloaded);
        let state = &upstream.state;
        let [upstream] = labels;
        for (result, count) in [
            ("passed", &state.checks_passed),
            ("failed", &state.checks_failed),
        ] {
            let labels = [upstream, ("result", result)];
            self.upstream_health_checks.push(&labels, count);
        }
        for (family, times) in [
            (&mut self.upstream_queue_seconds, &state.queue_times),
            (&mut self.upstream_connect_seconds, &state.connect_times),
        ] {
            family.push(&labels, &HistogramTotals::from(times));
        }
    }
}

fn labels<'a>(upstream: &'a Upstream, endpoint: &'a str) -> [(&'static str, &'a str); 2] {
    [("upstream", &upstream.config.name), ("endpoint", endpoint)]
}
