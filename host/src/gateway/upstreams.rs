//! The upstreams of a configuration: names resolved, balancers made.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use http::HeaderValue;

use crate::balance::{Balancer, EndpointSpec, Policy};
use crate::config::{self, BalancePolicy, Config, HostRule, Problems};
use crate::tls::SystemRoots;
use crate::upstream::tls::Tls;
use crate::upstream::{EndpointPlan, Plan};

/// All upstreams, in the order of the configuration. A name that does not resolve is an error at
/// its place.
pub fn plans(config: &Config, problems: &mut Problems) -> Vec<Arc<Plan>> {
    let mut system = SystemRoots::default();
    let upstreams = config.upstreams.iter();
    upstreams
        .map(|upstream| Arc::new(plan(upstream, &mut system, problems)))
        .collect()
}

fn plan(upstream: &config::Upstream, system: &mut SystemRoots, problems: &mut Problems) -> Plan {
    let mut endpoints = Vec::new();
    for endpoint in &upstream.endpoints {
        let addresses = resolve(upstream, endpoint, problems);
        let host = HeaderValue::from_str(&endpoint.address);
        endpoints.push(EndpointPlan {
            name: Arc::from(endpoint.address.as_str()),
            addresses,
            host: host.unwrap_or_else(|_| HeaderValue::from_static("")),
        });
    }
    let specs = upstream.endpoints.iter().map(|endpoint| EndpointSpec {
        weight: endpoint.weight,
        labels: endpoint.labels.clone().into_iter().collect(),
    });
    let policy = match upstream.balance {
        BalancePolicy::RoundRobin => Policy::RoundRobin,
        BalancePolicy::LeastConnections => Policy::LeastConnections,
    };
    Plan {
        endpoints,
        balancer: Balancer::new(policy, specs.collect()),
        host: match &upstream.host {
            HostRule::Literal(name) => HeaderValue::from_str(name).ok(),
            HostRule::Preserve | HostRule::Endpoint => None,
        },
        tls: tls(upstream, system, problems),
        config: upstream.clone(),
    }
}

fn tls(
    upstream: &config::Upstream,
    system: &mut SystemRoots,
    problems: &mut Problems,
) -> Option<Tls> {
    let settings = upstream.tls.as_ref()?;
    match Tls::new(settings, upstream.protocol, system) {
        Ok(tls) => Some(tls),
        Err(error) => {
            let message = format!("upstream `{}`: {error}", upstream.name);
            problems.error(settings.span, message);
            None
        }
    }
}

fn resolve(
    upstream: &config::Upstream,
    endpoint: &config::Endpoint,
    problems: &mut Problems,
) -> Vec<SocketAddr> {
    match endpoint.address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            problems
                .error(
                    endpoint.span,
                    format!(
                        "upstream `{}`: endpoint `{}` cannot be resolved: {error}",
                        upstream.name, endpoint.address
                    ),
                )
                .help("give an address such as `10.0.0.1:8080`, or a name that this machine can resolve");
            Vec::new()
        }
    }
}
