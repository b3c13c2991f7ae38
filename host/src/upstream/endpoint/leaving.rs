//! Endpoints that leave: drained, removed, or no longer in any configuration.
//!
//! Their active requests and streams may end within the upstream's `drain_timeout`; then they are cut.
//! If an endpoint comes back, nothing is cut. [`crate::upstream::shared`] decides which endpoints
//! leave. Each worker cuts its own exchanges ([`crate::http::watch`]).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::state::EndpointState;
use crate::http::watch::milliseconds;
use crate::runtime::clock::Timestamp;

/// All endpoints of the process that leave.
#[derive(Debug, Default)]
pub(crate) struct LeavingEndpoints(Mutex<Vec<LeavingEntry>>);

#[derive(Debug)]
struct LeavingEntry {
    upstream: Arc<str>,
    state: Arc<EndpointState>,
    /// Since when it leaves, on the monotonic clock; none while no request is active. Milliseconds.
    leaving_since_ms: Option<u64>,
    limit: Option<Duration>,
}

/// An endpoint that leaves, and has active requests.
#[derive(Debug)]
pub(crate) struct LeavingStatus {
    pub(crate) state: Arc<EndpointState>,
    /// How many requests are active on it.
    pub(crate) active: u32,
    /// When they are cut. Milliseconds from now; none: never.
    pub(crate) cut_in_ms: Option<u64>,
}

impl LeavingEndpoints {
    /// An endpoint leaves. Without a limit nothing is cut. If it leaves already, this limit replaces its own.
    pub(crate) fn begin(
        &self,
        upstream: &Arc<str>,
        endpoint: &Arc<EndpointState>,
        limit: Option<Duration>,
        now: Timestamp,
    ) {
        let mut leavers = self.0.lock();
        let there = leavers
            .iter_mut()
            .find(|leaver| leaver.state.id == endpoint.id);
        match there {
            Some(leaver) => leaver.limit = limit,
            None => leavers.push(LeavingEntry {
                upstream: Arc::clone(upstream),
                state: Arc::clone(endpoint),
                leaving_since_ms: Some(now.monotonic_ms()),
                limit,
            }),
        }
    }

    /// The endpoints of an upstream that leave and have active requests.
    #[must_use]
    pub(crate) fn list(&self, upstream: &str, now: Timestamp) -> Vec<LeavingStatus> {
        let leavers = self.0.lock();
        let leavers = leavers.iter();
        let leavers = leavers.filter(|leaver| *leaver.upstream == *upstream);
        let left = leavers.map(|leaver| {
            let since_ms = leaver.leaving_since_ms.unwrap_or(now.monotonic_ms());
            let passed = now.monotonic_ms().saturating_sub(since_ms);
            let limit = leaver.limit.map(milliseconds);
            LeavingStatus {
                state: Arc::clone(&leaver.state),
                active: leaver.state.load.active(),
                cut_in_ms: limit.map(|limit| limit.saturating_sub(passed)),
            }
        });
        left.filter(|left| left.active > 0).collect()
    }

    /// The endpoint does not leave any more.
    pub(crate) fn cancel(&self, endpoint: &EndpointState) {
        self.0
            .lock()
            .retain(|leaver| leaver.state.id != endpoint.id);
        endpoint.set_left(false);
    }

    /// Time has passed: requests that took too long are cut. An endpoint without active requests may still get
    /// some, from requests that have a former configuration, and is forgotten with the last of these.
    pub(crate) fn tick(&self, now: Timestamp) {
        self.0.lock().retain_mut(|leaver| {
            let state = &leaver.state;
            let active = state.load.active();
            if active == 0 {
                state.set_left(false);
                leaver.leaving_since_ms = None;
                return Arc::strong_count(state) > 1;
            }
            let since_ms = *leaver.leaving_since_ms.get_or_insert(now.monotonic_ms());
            let passed = now.monotonic_ms().saturating_sub(since_ms);
            let is_over = leaver
                .limit
                .is_some_and(|limit| passed >= milliseconds(limit));
            if is_over && !state.has_left() {
                let (upstream, endpoint) = (&*leaver.upstream, &*state.name);
                tracing::warn!(
                    upstream,
                    endpoint,
                    active,
                    "a removed endpoint did not drain within its `drain_timeout`: Windlass cuts its active requests"
                );
                state.set_left(true);
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::balance::{
        Balancer, BalancerSettings, EndpointLoad, Lease, Member, PickOptions, Picked,
    };
    use crate::upstream::endpoint::health::Health;

    const LIMIT: Option<Duration> = Some(Duration::from_millis(100));

    fn at(steady_ms: u64) -> Timestamp {
        Timestamp {
            wall_ms: 0,
            monotonic_ns: steady_ms * 1_000_000,
        }
    }

    /// An endpoint with one active request.
    fn busy() -> (Arc<EndpointState>, Lease) {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint = EndpointState::new(
            "one".into(),
            address,
            EndpointLoad::new(),
            Health::default(),
        );
        let lease = lease_of(&endpoint);
        (Arc::new(endpoint), lease)
    }

    fn lease_of(endpoint: &EndpointState) -> Lease {
        let member = Member {
            load: endpoint.load.clone(),
            weight: 1,
            labels: Vec::new(),
            priority: 0,
            identity: 0,
            max_active: u32::MAX,
        };
        let balancer = Balancer::new(BalancerSettings::default(), vec![member]);
        let Picked::Endpoint(lease) = balancer.pick(&PickOptions::default()) else {
            panic!("it takes requests");
        };
        lease
    }

    #[test]
    fn what_runs_too_long_is_cut_and_what_ends_is_not() {
        let leaving = LeavingEndpoints::default();
        let (endpoint, lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &endpoint, LIMIT, at(1000));
        leaving.tick(at(1099));
        assert!(!endpoint.has_left());
        // Another change meanwhile does not begin it anew.
        leaving.begin(&name, &endpoint, LIMIT, at(1099));
        leaving.tick(at(1100));
        assert!(endpoint.has_left());
        drop(lease);
        leaving.tick(at(1200));
        assert!(!endpoint.has_left());
        // A request that has a former configuration comes late: it has its time, and no more.
        let late = lease_of(&endpoint);
        leaving.tick(at(5000));
        leaving.tick(at(5099));
        assert!(!endpoint.has_left());
        leaving.tick(at(5100));
        assert!(endpoint.has_left());
        drop(late);
        drop(endpoint);
        leaving.tick(at(5200));
        assert!(leaving.0.lock().is_empty(), "nobody can find it any more");
    }

    #[test]
    fn whoever_comes_back_cuts_nothing() {
        let leaving = LeavingEndpoints::default();
        let (endpoint, _lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &endpoint, LIMIT, at(0));
        leaving.cancel(&endpoint);
        leaving.tick(at(200));
        assert!(!endpoint.has_left());
        leaving.begin(&name, &endpoint, None, at(200));
        leaving.tick(at(200_000));
        assert!(!endpoint.has_left(), "without a limit");
    }
}
