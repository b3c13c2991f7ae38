//! The endpoint of an attempt: picked at once, or after a wait for room.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Dispatch;
use crate::balance::{PickOptions, Picked};
use crate::config::BalancePolicy;
use crate::exchange::Exchange;
use crate::upstream::fault::{AttemptError, NoEndpointCause};
use crate::upstream::queue::{ActiveRequest, QueueError, QueueKey};
use crate::upstream::{LocalEndpoint, hash_key};

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
    pub(super) active: ActiveRequest,
    pub(super) endpoint: Rc<LocalEndpoint>,
    /// How many endpoints there are beside it.
    pub(super) others: usize,
}

impl Pick {
    pub(super) fn name(&self) -> String {
        self.endpoint.name.to_string()
    }

    /// Its connection took no request.
    pub(super) fn closed_at_once(&self) -> AttemptError {
        AttemptError::Connect {
            endpoint: self.name(),
            cause: std::io::ErrorKind::ConnectionAborted.into(),
        }
    }
}

impl Dispatch<'_> {
    /// An endpoint for this request. None: all that could take it have no room.
    pub(super) fn pick_first(&mut self) -> Option<Result<Pick, AttemptError>> {
        let exchange = self.context.exchange;
        exchange.with(|exchange| {
            let queue = self.context.upstream.shared.queue.as_ref();
            if queue.is_some_and(|queue| !queue.is_empty() && queue.has_waiter(queue_key(exchange)))
            {
                return None;
            }
            self.pick(exchange, LeaveOut::Tried)
        })
    }

    /// An endpoint for a further attempt, if one can take the request now.
    pub(super) fn pick_again(&mut self, leave_out: LeaveOut) -> Option<Pick> {
        let exchange = self.context.exchange;
        let picked = exchange.with(|exchange| self.pick(exchange, leave_out));
        picked?.ok()
    }

    fn pick(
        &mut self,
        exchange: &mut Exchange,
        leave_out: LeaveOut,
    ) -> Option<Result<Pick, AttemptError>> {
        let upstream = self.context.upstream;
        let shared = &*upstream.shared;
        let view = upstream.view();
        let left_out = match leave_out {
            LeaveOut::Tried => &*self.tried,
            LeaveOut::Last => self.tried.last().map_or(&[][..], std::slice::from_ref),
        };
        let exclude: SmallVec<[usize; 4]> = match left_out.is_empty() {
            true => SmallVec::new(),
            false => {
                let endpoints = view.endpoints.iter().enumerate();
                let tried = endpoints.filter(|(_, one)| left_out.contains(&one.state.id));
                tried.map(|(index, _)| index).collect()
            }
        };
        let balance = &shared.config.balance;
        let hashes = balance.policy == BalancePolicy::ConsistentHash;
        if self.tried.is_empty() {
            self.sticky = shared.sticky_endpoint(&view.shared, exchange);
        }
        let picked = view.shared.balancer.pick(&PickOptions {
            exclude: &exclude,
            labels: &exchange.hint().labels,
            random: fastrand::u64(..),
            hash: match hashes {
                true => hash_key::find_hash(exchange, &balance.hash_on),
                false => None,
            },
            sticky: self.sticky.map(|sticky| sticky.identity),
            sticky_accepts_draining: self.sticky.is_some_and(|sticky| sticky.keeps_client),
        });
        let lease = match picked {
            Picked::Endpoint(lease) => Some(lease),
            Picked::Full if shared.queue.is_some() => return None,
            Picked::Full => return Some(Err(self.context.full(QueueError::QueueFull))),
            Picked::None => None,
        };
        let picked = lease.and_then(|lease| Some((view.endpoints.get(lease.endpoint())?, lease)));
        let Some((endpoint, lease)) = picked else {
            return Some(Err(AttemptError::NoEndpoint {
                upstream: shared.config.name.to_string(),
                why: match exchange.hint().labels.is_empty() {
                    true => NoEndpointCause::Available,
                    false => NoEndpointCause::Labelled,
                },
            }));
        };
        exchange.outcome.upstream = Some(Arc::clone(&upstream.name));
        exchange.outcome.endpoint = Some(Arc::clone(&endpoint.name));
        self.tried.push(endpoint.state.id);
        Some(Ok(Pick {
            active: ActiveRequest::new(lease, shared.queue.as_ref()),
            endpoint: Rc::clone(endpoint),
            others: view.endpoints.len().saturating_sub(1),
        }))
    }

    /// Wait for an endpoint with room.
    pub(super) async fn wait_for_room(&mut self) -> Result<Pick, AttemptError> {
        let context = self.context;
        let shared = &*context.upstream.shared;
        let Some(queue) = &shared.queue else {
            return Err(context.full(QueueError::QueueFull));
        };
        let exchange = context.exchange;
        let queue_key = exchange.with(|exchange| queue_key(exchange));
        let pick = || exchange.with(|exchange| self.pick(exchange, LeaveOut::Tried));
        let limits = &shared.config.limits;
        let time_left = context.time_left();
        let shorter = time_left.filter(|left| *left < limits.queue_timeout);
        let longest = shorter.unwrap_or(limits.queue_timeout);
        let picked = queue.wait(limits.queue, longest, queue_key, pick).await;
        picked.map_err(|why| match (why, shorter) {
            (QueueError::TimedOut, Some(_)) => context.overdue(context.upstream.name.to_string()),
            (why, _) => context.full(why),
        })?
    }
}

/// Which endpoints will do for a request: those with the labels that a filter asks for.
fn queue_key(exchange: &Exchange) -> QueueKey {
    let labels = &exchange.hint().labels;
    if labels.is_empty() {
        return QueueKey::ANY;
    }
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    QueueKey::from_hash(hasher.finish())
}
