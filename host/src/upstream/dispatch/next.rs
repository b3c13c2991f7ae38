//! The step after an attempt: the answer, an error, or the request again, as [`super::retry`] decides.
//!
//! Promises: the filters do not run again; the time for the first byte is that of all attempts
//! together; without an endpoint for it, a retry takes nothing from the budget. Deliberately not here:
//! the decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;

use super::Dispatch;
use super::attempt::{Attempt, AttemptResult, RunningAttempt};
use super::original::KeptRequest;
use super::pick::{LeaveOut, Pick};
use super::retry::{
    self, ClosedPart, ConnectionUse, History, OutcomeKind, Repeatable, Retry, RetryDecision,
    UnprocessedBy,
};
use crate::exchange::AttemptOutcome;
use crate::http::body::Body;
use crate::upstream::connection::endpoint_body::EndpointBody;
use crate::upstream::endpoint::state::EndpointState;
use crate::upstream::fault::AttemptError;

/// The step after an attempt.
pub(super) enum Next {
    /// The attempt is ready for this request.
    Send(Box<Request<Body>>),
    /// The client gets the answer that came.
    Answer(EndpointBody),
    Fail(AttemptError),
}

/// An attempt that is over, and what it takes to send its request again.
struct EndedAttempt {
    result: AttemptResult,
    kind: OutcomeKind,
    kept: Option<KeptRequest>,
}

/// Where a retry goes.
pub(super) struct RetryTarget {
    /// None: to the same endpoint.
    pick: Option<Pick>,
    /// Whether only a new connection will do.
    fresh: bool,
}

impl<'a> Dispatch<'a> {
    /// The step after an attempt.
    pub(super) fn next(&mut self, attempt: &mut Attempt<'_>, result: AttemptResult) -> Next {
        let mut ended = self.ended(attempt, result);
        let retry = self.retry(&attempt.pick, ended.kept.is_some(), attempt.usage);
        let decision = retry.decide(ended.kind);
        if decision == RetryDecision::Resend
            && let Some(next) = self.resend(attempt, &mut ended)
        {
            return next;
        }
        attempt.report(&ended.result);
        let secured = self.secured.take();
        let follow = secured.or_else(|| self.follow(&attempt.pick, retry, ended.kind, |_| true));
        if let Some(follow) = follow
            && let Some(next) = self.send_again(attempt, follow, &mut ended)
        {
            return next;
        }
        self.name_endpoint(&attempt.pick);
        match ended.result {
            AttemptResult::Answered(incoming) => Next::Answer(incoming),
            AttemptResult::Unsent(_, fault) | AttemptResult::Failed(fault) => {
                self.note_last(&attempt.pick, Some(fault.code().as_str()));
                Next::Fail(fault)
            }
        }
    }

    fn ended(&mut self, attempt: &mut Attempt<'_>, result: AttemptResult) -> EndedAttempt {
        let result = attempt.explain(result);
        let kind = match &result {
            AttemptResult::Answered(_) => {
                OutcomeKind::Answered(self.context.status().unwrap_or_default())
            }
            AttemptResult::Unsent(_, fault) => OutcomeKind::Unsent(fault.code()),
            AttemptResult::Failed(fault) => kind(fault),
        };
        if matches!(kind, OutcomeKind::Unprocessed(_)) {
            let one = retry::unprocessed_weight(attempt.is_first());
            self.unprocessed = self.unprocessed.saturating_add(one);
        }
        let kept = match &result {
            AttemptResult::Unsent(..) => None,
            AttemptResult::Answered(_) | AttemptResult::Failed(_) => {
                self.original.kept(attempt.connection.as_mut())
            }
        };
        EndedAttempt { result, kind, kept }
    }

    /// All that decides on a retry.
    fn retry(&self, pick: &Pick, kept: bool, connection: ConnectionUse) -> Retry<'a> {
        let context = self.context;
        let first_byte = context.timeouts.first_byte;
        let left = first_byte.saturating_sub(self.begun.elapsed());
        Retry {
            rules: &context.upstream.shared.config.retries,
            request: Repeatable {
                idempotent: context.is_idempotent(),
                upgrade: context.upgrade.is_some(),
                kept,
                time_left: context.time_left().map_or(left, |total| total.min(left)),
            },
            history: History {
                attempts: self.tried.len(),
                repeats: self.repeats,
                unprocessed: self.unprocessed,
                endpoints: pick.others + 1,
            },
            connection,
            untried: true,
            budget: context.upstream.budget.has_one(context.now()),
            jitter: fastrand::f64(),
        }
    }

    /// The same endpoint gets the request again, over another connection.
    fn resend(&mut self, attempt: &mut Attempt<'_>, ended: &mut EndedAttempt) -> Option<Next> {
        let request = self.request_again(attempt, &attempt.pick, ended)?;
        if let AttemptResult::Failed(fault) = &ended.result {
            self.note(&attempt.pick, Some(fault.code().as_str().into()));
        }
        self.resent = self.resent.saturating_add(1);
        let closed = matches!(ended.kind, OutcomeKind::Closed(_));
        attempt.renew(attempt.usage.fresh || closed);
        Some(self.ready(request))
    }

    /// The request goes where a retry goes. None: nothing is left of it.
    fn send_again(
        &mut self,
        attempt: &mut Attempt<'_>,
        follow: RetryTarget,
        ended: &mut EndedAttempt,
    ) -> Option<Next> {
        let target = follow.pick.as_ref().unwrap_or(&attempt.pick);
        let request = self.request_again(attempt, target, ended)?;
        let reason = match ended.kind {
            OutcomeKind::Answered(status) => Some(format!("status {status}").into()),
            _ => ended.result.code().map(Into::into),
        };
        self.note(&attempt.pick, reason);
        match follow.pick {
            Some(pick) => attempt.move_to(pick),
            None => attempt.renew(follow.fresh),
        }
        self.context
            .exchange
            .with(|exchange| exchange.response = None);
        Some(self.ready(request))
    }

    fn ready(&self, request: Box<Request<Body>>) -> Next {
        self.context.watch.begin_retry();
        self.context.watch.shared.stats.retries.add(1);
        Next::Send(request)
    }

    /// The request of an attempt that is over, for this endpoint.
    fn request_again(
        &self,
        attempt: &Attempt<'_>,
        pick: &Pick,
        ended: &mut EndedAttempt,
    ) -> Option<Box<Request<Body>>> {
        let mut request = match &mut ended.result {
            // Nothing of it was sent, nor of its body: it goes as it is.
            AttemptResult::Unsent(request, _) => {
                std::mem::replace(&mut **request, Request::new(Body::Empty))
            }
            AttemptResult::Answered(_) | AttemptResult::Failed(_) => {
                self.original.again(self.context, pick, ended.kept.take()?)
            }
        };
        attempt.take_back(&mut request);
        self.context.address(pick, &mut request);
        Some(Box::new(request))
    }

    /// Where the request goes next, if anywhere.
    fn follow(
        &mut self,
        pick: &Pick,
        mut retry: Retry<'_>,
        kind: OutcomeKind,
        will_do: impl Fn(&EndpointState) -> bool,
    ) -> Option<RetryTarget> {
        let mut decision = retry.decide(kind);
        if let RetryDecision::Elsewhere { free } = decision {
            if let Some(follow) = self.elsewhere(free, will_do) {
                return Some(follow);
            }
            retry.untried = false;
            decision = retry.decide(kind);
        }
        let RetryDecision::Repeat {
            after,
            new_connection,
        } = decision
        else {
            return None;
        };
        if kind != OutcomeKind::TryTimeout {
            return self.repeat(pick, after, new_connection);
        }
        (self.take_from_budget() && self.stay(pick)).then_some(RetryTarget {
            pick: None,
            fresh: new_connection,
        })
    }

    /// To an endpoint that was not tried. If there is none, nothing is taken from the budget.
    fn elsewhere(
        &mut self,
        free: bool,
        will_do: impl Fn(&EndpointState) -> bool,
    ) -> Option<RetryTarget> {
        let pick = self.pick_again(LeaveOut::Tried)?;
        if !will_do(&pick.endpoint.state) || !(free || self.take_from_budget()) {
            self.tried.pop();
            return None;
        }
        Some(RetryTarget {
            pick: Some(pick),
            fresh: false,
        })
    }

    /// To an endpoint that was tried before: another one than the last if there is one, else the last
    /// one. Not at once: what made it fail may pass.
    fn repeat(&mut self, pick: &Pick, after: Duration, fresh: bool) -> Option<RetryTarget> {
        if !self.take_from_budget() {
            return None;
        }
        let other = match pick.others {
            0 => None,
            _ => self.pick_again(LeaveOut::Last),
        };
        if other.is_none() && !self.stay(pick) {
            return None;
        }
        self.repeats += 1;
        self.pause = Some(after);
        Some(RetryTarget { pick: other, fresh })
    }

    /// Try the last endpoint once more, unless it has gone meanwhile. The request stays one of its
    /// active ones.
    fn stay(&mut self, pick: &Pick) -> bool {
        let state = &pick.endpoint.state;
        let view = self.context.upstream.view();
        let is_there = view.endpoints.iter().any(|one| one.state.id == state.id);
        let stays = is_there && !state.health(|health| health.is_drained());
        if stays {
            self.tried.push(state.id);
        }
        stays
    }

    fn take_from_budget(&self) -> bool {
        self.context.upstream.budget.take(self.context.now())
    }

    /// The time for the first byte has passed, or `try_timeout`. Why the attempt ends, if it does.
    /// Otherwise it may take as long as if there were no `try_timeout`.
    pub(super) fn give_up(&mut self, running: &RunningAttempt<'_>) -> Option<AttemptError> {
        let context = self.context;
        let (key, limit) = match self.rest.take() {
            None => ("first_byte_timeout", context.timeouts.first_byte),
            Some(rest) => {
                self.secured = self.secure(running);
                if self.secured.is_none() {
                    self.name_endpoint(running.pick);
                    context.watch.extend_first_byte(rest);
                    return None;
                }
                let limit = context.upstream.shared.config.retries.try_timeout;
                ("try_timeout", limit.unwrap_or_default())
            }
        };
        Some(AttemptError::FirstByteTimeout {
            endpoint: running.pick.name(),
            key,
            milliseconds: limit.as_millis(),
        })
    }

    /// Where the request goes instead, once `try_timeout` has passed.
    fn secure(&mut self, running: &RunningAttempt<'_>) -> Option<RetryTarget> {
        let kept = self.original.is_kept(running.has_request);
        let retry = self.retry(running.pick, kept, running.usage);
        // Not to one that may be down: this one is at work.
        let will_do = |endpoint: &EndpointState| !endpoint.has_failed_last();
        self.follow(running.pick, retry, OutcomeKind::TryTimeout, will_do)
    }

    /// Whether another attempt could follow this one: only then it may be given up early.
    pub(super) fn may_follow(&self, attempt: &Attempt<'_>) -> bool {
        let kept = self.original.keeps_body();
        let retry = self.retry(&attempt.pick, kept, attempt.usage);
        retry.try_timeout().is_some()
    }

    /// For the access log: an attempt ended with this fault, and another one begins.
    fn note(&mut self, pick: &Pick, fault: Option<Box<str>>) {
        let now = Instant::now();
        let began = self.attempt_began.replace(now).unwrap_or(self.begun);
        let us = now.saturating_duration_since(began).as_micros();
        let attempt = AttemptOutcome {
            endpoint: Arc::clone(&pick.endpoint.name),
            duration_us: u64::try_from(us).unwrap_or(u64::MAX),
            fault,
        };
        let exchange = self.context.exchange;
        exchange.with(|exchange| exchange.outcome.attempts.push(attempt));
    }

    /// The last attempt, if it was not the only one.
    pub(super) fn note_last(&mut self, pick: &Pick, fault: Option<&'static str>) {
        if self.attempt_began.is_some() {
            self.note(pick, fault.map(Into::into));
        }
    }

    /// The exchange ends with this endpoint, whatever was picked meanwhile.
    fn name_endpoint(&self, pick: &Pick) {
        let name = Arc::clone(&pick.endpoint.name);
        let exchange = self.context.exchange;
        exchange.with(|exchange| exchange.outcome.endpoint = Some(name));
    }
}

/// As what a fault counts.
fn kind(fault: &AttemptError) -> OutcomeKind {
    let of_stream = fault.is_stream_reset();
    match fault {
        AttemptError::Unprocessed { .. } if of_stream => {
            OutcomeKind::Unprocessed(UnprocessedBy::RefusedStream)
        }
        AttemptError::Unprocessed { .. } => OutcomeKind::Unprocessed(UnprocessedBy::GoAway),
        AttemptError::Closed { .. } if of_stream => OutcomeKind::Closed(ClosedPart::Stream),
        AttemptError::Closed { .. } => OutcomeKind::Closed(ClosedPart::Connection),
        AttemptError::Left { .. } => OutcomeKind::Left,
        AttemptError::FirstByteTimeout { .. } | AttemptError::Upload { .. } => {
            OutcomeKind::TimedOut
        }
        other => OutcomeKind::Failed(other.code()),
    }
}
