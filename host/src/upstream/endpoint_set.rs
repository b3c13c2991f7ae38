//! The endpoints of an upstream at one time, and the log of their health as a whole: which tier is active,
//! and whether enough endpoints are available.
//!
//! [`super::shared`] makes the sets, and [`crate::balance`] picks from them. Each change of the health is
//! logged once a gateway; a reload alone is no change.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;

use super::endpoint::state::EndpointState;
use super::sticky::EndpointDigest;
use crate::balance::Balancer;
use crate::model::endpoint::EndpointHealth;
use crate::model::word::Word as _;

/// The endpoints of an upstream at one time.
#[derive(Debug)]
pub(crate) struct EndpointSet {
    /// The version of the state that they come from.
    pub(crate) version: u64,
    /// Picks endpoints.
    pub(crate) balancer: Balancer,
    /// The endpoints; the balancer uses their indices.
    pub(crate) endpoints: Vec<UpstreamEndpoint>,
    /// The indices of endpoints with sticky clients, by their names in tokens.
    pub(super) by_digest: HashMap<EndpointDigest, usize>,
}

/// One endpoint, ready for use.
#[derive(Debug)]
pub(crate) struct UpstreamEndpoint {
    /// Its state in the process.
    pub(crate) state: Arc<EndpointState>,
    /// As it was configured, or added: `ip:port` or `name:port`.
    pub(crate) configured: Arc<str>,
    /// The same as a `host` field, without a port that the scheme implies.
    pub(crate) host: HeaderValue,
    /// Its weight, before health.
    pub(crate) weight: u32,
    /// Its tier.
    pub(crate) priority: u8,
    pub(crate) labels: BTreeMap<String, String>,
}

/// An address without its port, if that is the scheme's default: clients leave it out (RFC 9110 section
/// 4.2.3), and some servers accept no other name.
#[must_use]
pub(crate) fn authority(address: &str, is_tls: bool) -> &str {
    let port = if is_tls { ":443" } else { ":80" };
    address.strip_suffix(port).unwrap_or(address)
}

/// The health that was logged last.
#[derive(Debug, Default)]
pub(crate) struct HealthReport(Mutex<UpstreamHealth>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct UpstreamHealth {
    eligible: EligibleEndpoints,
    /// The tier in use, 0 for the first.
    tier: usize,
}

/// The endpoints that get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum EligibleEndpoints {
    /// Endpoints that are available.
    #[default]
    Available,
    /// All that do not drain, since too few are available.
    NotDraining,
    /// None is available, so those that only results have ejected are tried all the same.
    Ejected,
    /// None.
    NoEndpoint,
}

impl HealthReport {
    /// Log the changes since the last call.
    pub(crate) fn log_changes(&self, upstream: &str, members: &EndpointSet) {
        let (now, before) = {
            let mut logged = self.0.lock();
            let now = UpstreamHealth::current(members);
            (now, std::mem::replace(&mut *logged, now))
        };
        if now == before {
            return;
        }
        let states = StateCounts::count(members);
        match now.eligible {
            eligible if eligible == before.eligible => {}
            EligibleEndpoints::Available => tracing::info!(
                upstream,
                "enough endpoints of an upstream are available again: {states}"
            ),
            EligibleEndpoints::NotDraining => tracing::warn!(
                upstream,
                "too few endpoints of an upstream are available (`fail_open`), so Windlass ignores health and uses every endpoint that is not draining: {states}"
            ),
            EligibleEndpoints::Ejected => tracing::warn!(
                upstream,
                "no endpoint of an upstream is available, so Windlass tries the ejected ones: {states}"
            ),
            EligibleEndpoints::NoEndpoint => tracing::warn!(
                upstream,
                "an upstream has no available endpoint, and its requests are refused: {states}"
            ),
        }
        if now.tier != before.tier && now.eligible != EligibleEndpoints::NoEndpoint {
            let (from, to) = (before.tier, now.tier);
            tracing::warn!(
                upstream,
                from,
                to,
                "an upstream uses another tier of its endpoints (`priority`, `prefer`): {states}"
            );
        }
    }
}

impl UpstreamHealth {
    fn current(members: &EndpointSet) -> Self {
        let balancer = &members.balancer;
        let endpoints = || {
            members
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.weight > 0)
        };
        let is_any = endpoints().any(|endpoint| endpoint.state.load.share(false) > 0);
        let is_ejected = || endpoints().any(|endpoint| endpoint.state.load.is_ejected());
        let eligible = match (balancer.fails_open(), is_any) {
            (true, _) => EligibleEndpoints::NotDraining,
            (false, true) => EligibleEndpoints::Available,
            (false, false) if is_ejected() => EligibleEndpoints::Ejected,
            (false, false) => EligibleEndpoints::NoEndpoint,
        };
        Self {
            eligible,
            tier: balancer.tier(),
        }
    }
}

/// How many endpoints are in each state.
struct StateCounts {
    counts: [usize; EndpointHealth::WORDS.len()],
    weightless: usize,
}

impl StateCounts {
    fn count(members: &EndpointSet) -> Self {
        let mut states = Self {
            counts: Default::default(),
            weightless: 0,
        };
        for endpoint in &members.endpoints {
            if endpoint.weight == 0 {
                states.weightless += 1;
                continue;
            }
            let is = endpoint.state.health(|health| health.base_state());
            if let Some(count) = states.counts.get_mut(is as usize) {
                *count += 1;
            }
        }
        states
    }
}

impl fmt::Display for StateCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = EndpointHealth::words().zip(self.counts);
        let counts = counts.chain([("of weight 0", self.weightless)]);
        let mut first = true;
        for (state, count) in counts.filter(|(_, count)| *count > 0) {
            let comma = if first { "" } else { ", " };
            write!(f, "{comma}{count} {state}")?;
            first = false;
        }
        if first {
            f.write_str("it has none")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn only_the_schemes_own_port_is_left_out() {
        for (address, is_tls, host) in [
            ("orders.internal:80", false, "orders.internal"),
            ("orders.internal:443", true, "orders.internal"),
            ("orders.internal:443", false, "orders.internal:443"),
            ("orders.internal:80", true, "orders.internal:80"),
            ("10.0.0.1:8080", false, "10.0.0.1:8080"),
            ("10.0.0.1:8443", true, "10.0.0.1:8443"),
            ("[::1]:80", false, "[::1]"),
        ] {
            assert_eq!(authority(address, is_tls), host);
        }
    }
}
