//! Logs changes of an upstream as a whole: which tier of its endpoints is active, and whether enough of
//! them are available.
//!
//! Each change is logged once a gateway; a reload alone is no change. What a pick does then is in
//! [`crate::balance`].

use std::fmt;

use parking_lot::Mutex;

use super::shared::EndpointSet;

use crate::model::endpoint::EndpointHealth;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct HealthReport(Mutex<UpstreamHealth>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct UpstreamHealth {
    eligible: EligibleEndpoints,
    /// Which group is in use, 0 for the first.
    tier: usize,
}

/// Who takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum EligibleEndpoints {
    /// Endpoints that are available.
    #[default]
    Available,
    /// All that do not drain, since too few are available.
    NotDraining,
    /// None is available, and those that only results have taken out are tried all the same.
    Ejected,
    /// None.
    NoEndpoint,
}

impl HealthReport {
    /// Tell what has changed since.
    pub(crate) fn log_changes(&self, upstream: &str, members: &EndpointSet) {
        let (now, before) = {
            let mut told = self.0.lock();
            let now = UpstreamHealth::current(members);
            (now, std::mem::replace(&mut *told, now))
        };
        if now == before {
            return;
        }
        let states = StateCounts::count(members);
        match now.eligible {
            takers if takers == before.eligible => {}
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
        let is_any = endpoints().any(|endpoint| endpoint.state.load.share() > 0);
        let is_ejected = || endpoints().any(|endpoint| endpoint.state.load.is_ejected());
        let takers = match (balancer.fails_open(), is_any) {
            (true, _) => EligibleEndpoints::NotDraining,
            (false, true) => EligibleEndpoints::Available,
            (false, false) if is_ejected() => EligibleEndpoints::Ejected,
            (false, false) => EligibleEndpoints::NoEndpoint,
        };
        Self {
            eligible: takers,
            tier: balancer.tier(),
        }
    }
}

/// How many endpoints stand how.
struct StateCounts {
    counts: [(&'static str, usize); EndpointHealth::ALL.len()],
    weightless: usize,
}

impl StateCounts {
    fn count(members: &EndpointSet) -> Self {
        let mut states = Self {
            counts: EndpointHealth::ALL.map(|state| (state.as_str(), 0)),
            weightless: 0,
        };
        for endpoint in &members.endpoints {
            if endpoint.weight == 0 {
                states.weightless += 1;
                continue;
            }
            let is = endpoint.state.health(|health| health.base_state());
            let place = EndpointHealth::ALL.iter().position(|state| *state == is);
            if let Some((_, count)) = place.and_then(|place| states.counts.get_mut(place)) {
                *count += 1;
            }
        }
        states
    }
}

impl fmt::Display for StateCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weightless = ("of weight 0", self.weightless);
        let counts = self.counts.iter().chain([&weightless]);
        let mut first = true;
        for (what, count) in counts.filter(|(_, count)| *count > 0) {
            let comma = if first { "" } else { ", " };
            write!(f, "{comma}{count} {what}")?;
            first = false;
        }
        if first {
            f.write_str("it has none")
        } else {
            Ok(())
        }
    }
}
