//! Endpoints that leave: drained, removed, or in no configuration any more.
//!
//! What runs on them may end, streams too, within the upstream's `drain_timeout`; what has not ended
//! then is cut. Promises: an endpoint that comes back cuts nothing. Deliberately not here: who leaves
//! ([`crate::upstream::plan`]), and the cutting, which each worker does to its own exchanges
//! ([`crate::watch`]).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::health::Now;
use super::known::Known;
use crate::watch::milliseconds;

/// All endpoints of the process that leave.
#[derive(Debug, Default)]
pub struct Leaving(Mutex<Vec<Leaver>>);

#[derive(Debug)]
struct Leaver {
    upstream: Arc<str>,
    known: Arc<Known>,
    /// When it began, on the steady clock. Milliseconds.
    since_ms: u64,
    limit: Option<Duration>,
}

impl Leaving {
    /// An endpoint leaves; with no limit nothing is cut. One that leaves already goes on to, with
    /// this limit.
    pub fn begin(
        &self,
        upstream: &Arc<str>,
        known: &Arc<Known>,
        limit: Option<Duration>,
        now: Now,
    ) {
        let mut leavers = self.0.lock();
        let there = leavers
            .iter_mut()
            .find(|leaver| leaver.known.id == known.id);
        match there {
            Some(leaver) => leaver.limit = limit,
            None => leavers.push(Leaver {
                upstream: Arc::clone(upstream),
                known: Arc::clone(known),
                since_ms: now.steady_ms,
                limit,
            }),
        }
    }

    /// It takes requests again, or may.
    pub fn stays(&self, known: &Known) {
        self.0.lock().retain(|leaver| leaver.known.id != known.id);
        known.leave(false);
    }

    /// Time has passed: who has nothing left is gone, and what took too long is cut.
    pub fn pass(&self, now: Now) {
        self.0.lock().retain(|leaver| {
            let Leaver {
                upstream, known, ..
            } = leaver;
            let active = known.slot.active();
            if active == 0 {
                known.leave(false);
                return false;
            }
            let passed = now.steady_ms.saturating_sub(leaver.since_ms);
            let is_over = leaver
                .limit
                .is_some_and(|limit| passed >= milliseconds(limit));
            if is_over && !known.has_left() {
                let (upstream, endpoint) = (&**upstream, &*known.name);
                tracing::warn!(
                    upstream,
                    endpoint,
                    active,
                    "an endpoint left, and its `drain_timeout` is over: what still runs on it is cut"
                );
                known.leave(true);
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::balance::{Balancer, Choice, Lease, Member, Picked, Settings, Slot};
    use crate::upstream::endpoint::health::Health;

    const LIMIT: Option<Duration> = Some(Duration::from_millis(100));

    fn at(steady_ms: u64) -> Now {
        Now {
            wall_ms: 0,
            steady_ms,
        }
    }

    /// An endpoint with one active request.
    fn busy() -> (Arc<Known>, Lease) {
        let slot = Slot::new();
        let member = Member {
            slot: slot.clone(),
            weight: 1,
            labels: Vec::new(),
            priority: 0,
            identity: 0,
            max_active: u32::MAX,
        };
        let balancer = Balancer::new(Settings::default(), vec![member]);
        let Picked::Endpoint(lease) = balancer.pick(&Choice::default()) else {
            panic!("it takes requests");
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let known = Known::new("one".into(), address, slot, Health::default());
        (Arc::new(known), lease)
    }

    #[test]
    fn what_runs_too_long_is_cut_and_what_ends_is_not() {
        let leaving = Leaving::default();
        let (known, lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &known, LIMIT, at(1000));
        leaving.pass(at(1099));
        assert!(!known.has_left());
        // Another change meanwhile does not begin it anew.
        leaving.begin(&name, &known, LIMIT, at(1099));
        leaving.pass(at(1100));
        assert!(known.has_left());
        drop(lease);
        leaving.pass(at(1200));
        assert!(!known.has_left());
        assert!(leaving.0.lock().is_empty());
    }

    #[test]
    fn whoever_comes_back_cuts_nothing() {
        let leaving = Leaving::default();
        let (known, _lease) = busy();
        let name = "orders".into();
        leaving.begin(&name, &known, LIMIT, at(0));
        leaving.stays(&known);
        leaving.pass(at(200));
        assert!(!known.has_left());
        leaving.begin(&name, &known, None, at(200));
        leaving.pass(at(200_000));
        assert!(!known.has_left(), "without a limit");
    }
}
