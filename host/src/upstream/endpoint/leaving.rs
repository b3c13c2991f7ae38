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
    /// Since when something has to end, on the steady clock; none while nothing runs. Milliseconds.
    leaving_since_ms: Option<u64>,
    limit: Option<Duration>,
}

/// An endpoint that leaves, and has something to end.
#[derive(Debug)]
pub(crate) struct LeavingStatus {
    pub(crate) state: Arc<EndpointState>,
    /// How many requests run on it.
    pub(crate) active: u32,
    /// When they are cut. Milliseconds from now; none: never.
    pub(crate) cut_in_ms: Option<u64>,
}

impl LeavingEndpoints {
    /// An endpoint leaves; with no limit nothing is cut. One that leaves already goes on to, with
    /// this limit.
    pub(crate) fn begin(
        &self,
        upstream: &Arc<str>,
        known: &Arc<EndpointState>,
        limit: Option<Duration>,
        now: Timestamp,
    ) {
        let mut leavers = self.0.lock();
        let there = leavers
            .iter_mut()
            .find(|leaver| leaver.state.id == known.id);
        match there {
            Some(leaver) => leaver.limit = limit,
            None => leavers.push(LeavingEntry {
                upstream: Arc::clone(upstream),
                state: Arc::clone(known),
                leaving_since_ms: Some(now.monotonic_ms()),
                limit,
            }),
        }
    }

    /// What of an upstream leaves and has something to end.
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

    /// It takes requests again, or may.
    pub(crate) fn cancel(&self, known: &EndpointState) {
        self.0.lock().retain(|leaver| leaver.state.id != known.id);
        known.set_left(false);
    }

    /// Time has passed: what took too long is cut. Who has nothing left may get something yet, from
    /// requests that have a former configuration, and is gone with the last of these.
    pub(crate) fn tick(&self, now: Timestamp) {
        self.0.lock().retain_mut(|leaver| {
            let LeavingEntry {
                upstream, state: known, ..
            } = leaver;
            let active = known.load.active();
            if active == 0 {
                known.set_left(false);
                leaver.leaving_since_ms = None;
                return Arc::strong_count(known) > 1;
            }
            let since_ms = *leaver.leaving_since_ms.get_or_insert(now.monotonic_ms());
            let passed = now.monotonic_ms().saturating_sub(since_ms);
            let is_over = leaver
                .limit
                .is_some_and(|limit| passed >= milliseconds(limit));
            if is_over && !known.has_left() {
                let (upstream, endpoint) = (&**upstream, &*known.name);
                tracing::warn!(
                    upstream,
                    endpoint,
                    active,
                    "a removed endpoint did not drain within its `drain_timeout`: Windlass cuts its active requests"
                );
                known.set_left(true);
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
        let known = EndpointState::new(
            "one".into(),
            address,
            EndpointLoad::new(),
            Health::default(),
        );
        let lease = lease_of(&known);
        (Arc::new(known), lease)
    }

    fn lease_of(known: &EndpointState) -> Lease {
        let member = Member {
            load: known.load.clone(),
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
        let (known, lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &known, LIMIT, at(1000));
        leaving.tick(at(1099));
        assert!(!known.has_left());
        // Another change meanwhile does not begin it anew.
        leaving.begin(&name, &known, LIMIT, at(1099));
        leaving.tick(at(1100));
        assert!(known.has_left());
        drop(lease);
        leaving.tick(at(1200));
        assert!(!known.has_left());
        // A request that has a former configuration comes late: it has its time, and no more.
        let late = lease_of(&known);
        leaving.tick(at(5000));
        leaving.tick(at(5099));
        assert!(!known.has_left());
        leaving.tick(at(5100));
        assert!(known.has_left());
        drop(late);
        drop(known);
        leaving.tick(at(5200));
        assert!(leaving.0.lock().is_empty(), "nobody can find it any more");
    }

    #[test]
    fn whoever_comes_back_cuts_nothing() {
        let leaving = LeavingEndpoints::default();
        let (known, _lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &known, LIMIT, at(0));
        leaving.cancel(&known);
        leaving.tick(at(200));
        assert!(!known.has_left());
        leaving.begin(&name, &known, None, at(200));
        leaving.tick(at(200_000));
        assert!(!known.has_left(), "without a limit");
    }
}
