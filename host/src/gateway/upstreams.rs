//! The upstreams of a configuration: names answered, balancers made.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::Split;
use crate::config::{self, Config, Problems, RouteEnd};
use crate::store::secrets::Secrets;
use crate::tls::SystemRoots;
use crate::upstream::Plan;
use crate::upstream::endpoint::group::Group;
use crate::upstream::endpoint::rounds::Rounds;
use crate::upstream::key::hash;
use crate::upstream::line::tls::Tls;
use crate::upstream::registry::Registry;
use crate::upstream::sticky::Sticky;

/// All upstreams, in the order of the configuration. A name that nobody answers is an error at its
/// place, unless it was answered before.
pub fn plans(
    config: &Config,
    registry: &Registry,
    rounds: &Rounds,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> Vec<Arc<Plan>> {
    let mut system = SystemRoots::default();
    let plan = |upstream: &config::Upstream| {
        let group = registry.group(&upstream.name);
        for endpoint in &upstream.endpoints {
            resolve(upstream, endpoint, &group, rounds, problems);
        }
        let sticky = upstream.balance.sticky.as_ref();
        let sticky = sticky.and_then(|sticky| {
            let name = &config.secrets.get(sticky.secret)?.name;
            let key = secrets?.find(name)?.signing_key();
            Some(Sticky::new(sticky, key, &upstream.name))
        });
        let tls = tls(upstream, &mut system, problems);
        Arc::new(Plan::new(upstream.clone(), group, sticky, tls))
    };
    config.upstreams.iter().map(plan).collect()
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
    group: &Group,
    rounds: &Rounds,
    problems: &mut Problems,
) {
    let name = &endpoint.address;
    if name.parse::<SocketAddr>().is_ok() {
        return;
    }
    match rounds.resolve(name) {
        Ok(addresses) => {
            group.answered(name, addresses);
        }
        Err(error) => {
            let message = format!(
                "upstream `{}`: endpoint `{name}` cannot be resolved: {error}",
                upstream.name
            );
            let known = group.addresses(name);
            let problem = if known.is_empty() {
                problems.error(endpoint.span, message)
            } else {
                problems.warning(
                    endpoint.span,
                    format!("{message}; its last addresses are used"),
                )
            };
            problem.help(
                "give an address such as `10.0.0.1:8080`, or a name that this machine can resolve",
            );
        }
    }
}

/// What picks one of a route's upstreams, where it has several.
pub fn split(end: &RouteEnd, upstreams: &[Arc<Plan>]) -> Option<Split> {
    let RouteEnd::Split(split) = end else {
        return None;
    };
    let groups = split.groups.iter().filter_map(|(place, weight)| {
        let name = &upstreams.get(*place)?.config.name;
        Some((hash(name.as_bytes()), *weight))
    });
    Split::new(groups)
}
