//! The upstreams of a configuration: resolves their names, and makes their balancers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::balance::WeightedSplit;
use crate::config::{self, CheckTls, Config, Probe, Problems, RouteEnd, UpstreamProtocol};
use crate::filter_store::secrets::Secrets;
use crate::http::tls::SystemRoots;
use crate::upstream::Upstream;
use crate::upstream::connection::tls::EndpointTls;
use crate::upstream::endpoint::dns::{DnsResolver, LookupError, ResolvedAddresses};
use crate::upstream::endpoint::maintenance::{Maintenance, PendingLookup};
use crate::upstream::endpoint::upstream_state::UpstreamState;
use crate::upstream::hash_key::hash;
use crate::upstream::registry::UpstreamRegistry;
use crate::upstream::sticky::StickyTokens;

/// Resolve all names of a configuration at once, so that an unreachable name server costs its timeout once.
pub(crate) fn look_up_names(
    config: &Config,
    maintenance: &Maintenance,
    names: &Arc<DnsResolver>,
) -> ResolvedNames {
    let endpoints = config.upstreams.iter().flat_map(|one| &one.endpoints);
    let asked = endpoints.filter(|endpoint| endpoint.socket().is_none());
    let asked = asked.map(|endpoint| &*endpoint.address);
    let asked: HashMap<&str, PendingLookup> = asked
        .map(|name| (name, maintenance.look_up(names, name)))
        .collect();
    let answered = asked.into_iter();
    answered
        .map(|(name, asked)| (name.to_owned(), asked.result()))
        .collect()
}

/// All upstreams, in the order of the configuration. A name that does not exist is an error at its
/// place, unless it was answered before. One that could not be asked for, or has no address now, is
/// none: a name server that is away, as after a power cut, is not to hold up all that needs it not.
///
/// Nothing of a configuration that has an error reaches the upstreams that are in use.
pub(crate) fn build(
    config: &Config,
    registry: &UpstreamRegistry,
    answered: &ResolvedNames,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> Vec<Arc<Upstream>> {
    let groups = states(config, registry, answered, problems);
    if problems.is_fatal() {
        return Vec::new();
    }
    let upstreams = groups
        .into_iter()
        .map(|(upstream, group, (tls, check_tls))| {
            for endpoint in &upstream.endpoints {
                if let Some(Ok(answer)) = answered.get(&endpoint.address) {
                    group.set_addresses(&endpoint.address, answer);
                }
                let addresses = group.addresses(&endpoint.address);
                warn_of_own_listener(config, upstream, endpoint, &addresses, problems);
            }
            let sticky = upstream.balance.sticky.as_ref();
            let sticky = sticky.and_then(|sticky| {
                let name = &config.secrets.get(sticky.secret)?.name;
                let key = secrets?.find(name)?.signing_key();
                Some(StickyTokens::new(sticky, key, &upstream.name))
            });
            Arc::new(Upstream::new(
                upstream.clone(),
                group,
                sticky,
                tls,
                check_tls,
            ))
        });
    upstreams.collect()
}

/// The states of all upstreams. Reports problems of names and of the files for TLS, and nothing else.
pub(crate) fn states<'c>(
    config: &'c Config,
    registry: &UpstreamRegistry,
    answered: &ResolvedNames,
    problems: &mut Problems,
) -> Vec<(&'c config::UpstreamConfig, Arc<UpstreamState>, TlsPair)> {
    let mut system = SystemRoots::default();
    let upstreams = config.upstreams.iter();
    let group = |upstream: &'c config::UpstreamConfig| {
        let group = registry.upstream_state(&upstream.name);
        for endpoint in &upstream.endpoints {
            check_name(upstream, endpoint, &group, answered, problems);
        }
        (upstream, group, tls(upstream, &mut system, problems))
    };
    upstreams.map(group).collect()
}

/// TLS with an upstream's endpoints, and with their checks.
fn tls(
    upstream: &config::UpstreamConfig,
    system: &mut SystemRoots,
    problems: &mut Problems,
) -> TlsPair {
    let mut made = |settings: &config::UpstreamTls, protocol| match EndpointTls::new(
        settings, protocol, system,
    ) {
        Ok(tls) => Some(tls),
        Err(errors) => {
            for error in errors {
                let problem = problems.error_of(upstream, &error);
                problem.at(settings.span).help(error.help());
            }
            None
        }
    };
    let requests = upstream.tls.as_ref();
    let of_requests = requests.and_then(|settings| made(settings, upstream.protocol));
    let of_checks = match upstream
        .health
        .as_ref()
        .map(|check| (&check.tls, &check.probe))
    {
        None | Some((CheckTls::AsRequests, _)) => of_requests.clone(),
        Some((CheckTls::Off, _)) => None,
        Some((CheckTls::On(own), _)) if own.is_plain() && requests.is_some() => of_requests.clone(),
        Some((CheckTls::On(own), Probe::Grpc(_))) => made(own, UpstreamProtocol::Http2),
        Some((CheckTls::On(own), Probe::Tcp | Probe::Http(_))) => made(own, upstream.protocol),
    };
    (of_requests, of_checks)
}

type TlsPair = (Option<EndpointTls>, Option<EndpointTls>);

/// The addresses of a configuration's names.
pub(crate) type ResolvedNames = HashMap<String, Result<ResolvedAddresses, LookupError>>;

fn check_name(
    upstream: &config::UpstreamConfig,
    endpoint: &config::Endpoint,
    group: &UpstreamState,
    answered: &ResolvedNames,
    problems: &mut Problems,
) {
    let name = &endpoint.address;
    let error = match answered.get(name) {
        None | Some(Ok(_)) => return,
        Some(Err(error)) => error,
    };
    let message = format!("endpoint `{name}` cannot be resolved: {error}");
    let is_known = !group.addresses(name).is_empty();
    let problem = match (is_known, error.is_final()) {
        (true, _) => {
            problems.warning_of(upstream, format!("{message}; its last addresses are used"))
        }
        (false, true) => problems.error_of(upstream, message),
        (false, false) => problems.warning_of(
            upstream,
            format!("{message}; it takes requests once it is answered"),
        ),
    };
    problem
        .at(endpoint.span)
        .help("give an address such as `10.0.0.1:8080`, or a name that this machine can resolve");
}

/// Warn of an endpoint that is a listener of this gateway: its requests come back.
fn warn_of_own_listener(
    config: &Config,
    upstream: &config::UpstreamConfig,
    endpoint: &config::Endpoint,
    addresses: &[SocketAddr],
    problems: &mut Problems,
) {
    let mut listeners = config.listeners.iter().map(|listener| listener.address);
    let own = listeners.find(|listener| {
        let mut addresses = addresses.iter();
        addresses.any(|address| leads_to(*listener, *address))
    });
    if let Some(listener) = own {
        let message = format!(
            "endpoint `{}` is this gateway's own listener `{listener}`, so that its requests come back",
            endpoint.address
        );
        problems.warning_of(upstream, message).at(endpoint.span).help(
            "write the address of the service behind; a request that meets the same route again is refused with 508 `loop_detected`",
        );
    }
}

/// Whether a connection to this address comes to this listener.
fn leads_to(listener: SocketAddr, address: SocketAddr) -> bool {
    let (bound, ip) = (listener.ip().to_canonical(), address.ip().to_canonical());
    listener.port() == address.port() && (bound == ip || (bound.is_unspecified() && is_own(ip)))
}

/// Whether an address belongs to this machine: only then can a socket be bound to it.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

/// The weighted split of a route's upstreams, if it has several.
pub(crate) fn split(end: &RouteEnd, upstreams: &[Arc<Upstream>]) -> Option<WeightedSplit> {
    let RouteEnd::Split(split) = end else {
        return None;
    };
    let groups = split.groups.iter().filter_map(|(index, weight)| {
        let name = &upstreams.get(*index)?.config.name;
        Some((hash(name.as_bytes()), *weight))
    });
    WeightedSplit::new(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_by_its_address_and_port() {
        for (listener, address, leads) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.2:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            // Of a block that is nobody's (RFC 5737).
            ("0.0.0.0:80", "192.0.2.1:80", false),
        ] {
            let is = leads_to(listener.parse().unwrap(), address.parse().unwrap());
            assert_eq!(is, leads, "{listener} {address}");
        }
    }
}
