//! The endpoint of an attempt: picked at once, or after a wait for room.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Attempt;
use super::next::Trials;
use super::timeouts::Since;
use crate::balance::{PickOptions, Picked};
use crate::config::BalancePolicy;
use crate::exchange::{Exchange, ExchangeCell};
use crate::upstream::fault::{AttemptError, NoEndpointCause};
use crate::upstream::queue::{ActiveRequest, QueueError, QueueKey};
use crate::upstream::{LocalEndpoint, LocalEndpoints, UpstreamEndpoint, hash_key};

/// Which endpoints a retry leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaveOut {
    /// All that were tried.
    Tried,
    /// The one that was tried last.
    Last,
}

/// An endpoint that was picked.
pub(super) struct Pick {
    pub(super) turn: ActiveRequest,
    view: Rc<LocalEndpoints>,
    place: usize,
}

impl Pick {
    pub(super) fn endpoint(&self) -> Option<&Rc<LocalEndpoint>> {
        self.view.endpoints.get(self.place)
    }

    pub(super) fn target(&self) -> Option<&UpstreamEndpoint> {
        self.view.shared.endpoints.get(self.place)
    }

    /// How many endpoints there are beside it.
    pub(super) fn others(&self) -> usize {
        self.view.endpoints.len().saturating_sub(1)
    }

    pub(super) fn name(&self) -> String {
        self.endpoint()
            .map_or_else(String::new, |endpoint| endpoint.name.to_string())
    }
}

impl Attempt<'_> {
    /// An endpoint for this request. None: all that could take it have no room.
    pub(super) fn pick(
        &self,
        exchange: &mut Exchange,
        trials: &mut Trials,
    ) -> Option<Result<Pick, AttemptError>> {
        let queue = self.upstream.shared.queue.as_ref();
        if queue.is_some_and(|queue| !queue.is_empty() && queue.has_waiter(want(exchange))) {
            return None;
        }
        self.pick_now(exchange, trials, LeaveOut::Tried)
    }

    pub(super) fn pick_now(
        &self,
        exchange: &mut Exchange,
        trials: &mut Trials,
        leave_out: LeaveOut,
    ) -> Option<Result<Pick, AttemptError>> {
        let plan = &*self.upstream.shared;
        let view = self.upstream.view();
        let left_out = match leave_out {
            LeaveOut::Tried => &*trials.tried,
            LeaveOut::Last => trials.tried.last().map_or(&[][..], std::slice::from_ref),
        };
        let tried = |endpoint: &Rc<LocalEndpoint>| left_out.contains(&endpoint.state.id);
        let exclude: SmallVec<[usize; 4]> = match left_out.is_empty() {
            true => SmallVec::new(),
            false => {
                let endpoints = view.endpoints.iter().enumerate();
                let tried = endpoints.filter(|(_, endpoint)| tried(endpoint));
                tried.map(|(place, _)| place).collect()
            }
        };
        let balance = &plan.config.balance;
        let hashes = balance.policy == BalancePolicy::ConsistentHash;
        if trials.tried.is_empty() {
            trials.wanted = plan.sticky_endpoint(&view.shared, exchange);
        }
        let picked = view.shared.balancer.pick(&PickOptions {
            exclude: &exclude,
            labels: &exchange.hint().labels,
            random: fastrand::u64(..),
            hash: match hashes {
                true => hash_key::find_hash(exchange, &balance.hash_on),
                false => None,
            },
            sticky: trials.wanted.map(|wanted| wanted.identity),
            sticky_accepts_draining: trials.wanted.is_some_and(|wanted| wanted.keeps_client),
        });
        let lease = match picked {
            Picked::Endpoint(lease) => lease,
            Picked::Full if plan.queue.is_some() => return None,
            Picked::Full => return Some(Err(self.full(QueueError::QueueFull))),
            Picked::None => {
                return Some(Err(AttemptError::NoEndpoint {
                    upstream: plan.config.name.to_string(),
                    why: match exchange.hint().labels.is_empty() {
                        true => NoEndpointCause::Available,
                        false => NoEndpointCause::Labelled,
                    },
                }));
            }
        };
        let place = lease.endpoint();
        let turn = ActiveRequest::new(lease, plan.queue.as_ref());
        exchange.outcome.upstream = Some(Arc::clone(&self.upstream.name));
        if let Some(endpoint) = view.endpoints.get(place) {
            exchange.outcome.endpoint = Some(Arc::clone(&endpoint.name));
            trials.tried.push(endpoint.state.id);
        }
        Some(Ok(Pick { turn, view, place }))
    }

    /// Wait for room.
    pub(super) async fn wait(
        &self,
        held: &ExchangeCell,
        trials: &mut Trials,
        since: Since,
    ) -> Result<Pick, AttemptError> {
        let plan = &*self.upstream.shared;
        let Some(queue) = &plan.queue else {
            return Err(self.full(QueueError::QueueFull));
        };
        let pick = || held.with(|exchange| self.pick_now(exchange, trials, LeaveOut::Tried));
        let limits = &plan.config.limits;
        let left = self.time_left(since);
        let left = left.filter(|left| *left < limits.queue_timeout);
        let longest = left.unwrap_or(limits.queue_timeout);
        let want = held.with(|exchange| want(exchange));
        let picked = queue.wait(limits.queue, longest, want, pick).await;
        picked.map_err(|why| match (why, left) {
            (QueueError::TimedOut, Some(_)) => self.overdue(self.upstream.name.to_string()),
            (why, _) => self.full(why),
        })?
    }

    pub(super) fn full(&self, why: QueueError) -> AttemptError {
        self.upstream.shared.state.count_overload();
        AttemptError::Overloaded {
            upstream: self.upstream.name.to_string(),
            why,
        }
    }
}

/// Which endpoints will do for a request: those with the labels that a filter asks for.
fn want(exchange: &Exchange) -> QueueKey {
    let labels = &exchange.hint().labels;
    if labels.is_empty() {
        return QueueKey::ANY;
    }
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    QueueKey::from_hash(hasher.finish())
}
