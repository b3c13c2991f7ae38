//! What follows an attempt that brought no answer: the request is sent again, as [`super::retry`]
//! decides.
//!
//! Promises: the filters do not run again; what is sent again is the same request; the time for the
//! first byte is that of all attempts together. Deliberately not here: the decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use smallvec::SmallVec;

use super::pick::{LeaveOut, Pick};
use super::replay::ReplayBody;
use super::request::Kept;
use super::retry::{
    self, ClosedPart, Decision, History, OutcomeKind, Repeatable, Retry, TurnedAwayBy,
};
use super::timeouts::Since;
use super::{Attempt, Sent, status};
use crate::exchange::{AttemptOutcome, Exchange, ExchangeCell};
use crate::http::body::Body;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::connection::endpoint_body::EndpointBody;
use crate::upstream::endpoint::state::EndpointState;
use crate::upstream::fault::AttemptError;
use crate::upstream::shared::StickyEndpoint;

/// What an exchange needs for more than one attempt.
#[derive(Default)]
pub(super) struct Trials {
    /// Endpoints that were tried, by what tells them from all others: places change.
    pub(super) tried: SmallVec<[u64; 4]>,
    /// Where the client belongs, as it says.
    pub(super) wanted: Option<StickyEndpoint>,
    /// How much longer the present attempt may take if no other can follow it.
    pub(super) rest: Option<Duration>,
    /// The endpoint of the next attempt, where the present one is given up for it.
    next: Option<Follow>,
    /// How often an endpoint was tried that had been tried before.
    repeats: u32,
    /// How long the next attempt waits.
    pub(super) pause: Option<Duration>,
    /// When the present attempt began. None: with the exchange.
    began: Option<Instant>,
    /// What the next attempt goes over.
    pub(super) over: Over,
    /// Whether only a new connection will do.
    pub(super) fresh: bool,
    /// How often it went to one endpoint again.
    pub(super) resent: u8,
    /// How often endpoints have turned the request away unread.
    pub(super) turned_away: u8,
    pub(super) has_body: bool,
    pub(super) replay: Option<ReplayBody>,
    /// Whether the request's head is still in the exchange.
    pub(super) keeps_head: bool,
}

impl Trials {
    /// There is an answer: nothing is sent again.
    pub(super) fn end(&self) {
        if let Some(replay) = &self.replay {
            replay.stop_keeping();
        }
    }

    /// Wait before the next attempt begins.
    pub(super) async fn rest_for(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.began = Some(Instant::now());
    }

    /// For the access log: an attempt ended with this fault, and another one begins.
    pub(super) fn note(
        &mut self,
        held: &ExchangeCell,
        pick: &Pick,
        since: Since,
        fault: Option<Box<str>>,
    ) {
        let now = Instant::now();
        let began = self.began.replace(now).unwrap_or(since.begun);
        let us = now.saturating_duration_since(began).as_micros();
        let Some(endpoint) = pick.endpoint() else {
            return;
        };
        let attempt = AttemptOutcome {
            endpoint: Arc::clone(&endpoint.name),
            duration_us: u64::try_from(us).unwrap_or(u64::MAX),
            fault,
        };
        held.with(|exchange| exchange.outcome.attempts.push(attempt));
    }

    /// The last attempt, if it was not the only one.
    pub(super) fn note_last(
        &mut self,
        held: &ExchangeCell,
        pick: &Pick,
        since: Since,
        fault: Option<&'static str>,
    ) {
        if self.began.is_some() {
            self.note(held, pick, since, fault.map(Into::into));
        }
    }

    /// Whether the request was sent before.
    pub(super) fn is_again(&self) -> bool {
        self.tried.len() > 1 || self.resent > 0
    }

    /// Whether the present attempt ends early, for another.
    pub(super) fn is_given_up(&self) -> bool {
        self.next.is_some()
    }
}

/// Which connection an attempt goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Over {
    /// One that is there, or a new one.
    #[default]
    Any,
    /// A new one.
    New,
}

/// Where the next attempt goes.
enum Follow {
    /// To another endpoint.
    Other(Pick),
    /// To the same one again.
    Same,
}

/// An attempt that is over, and what it takes to send its request again.
pub(super) struct Ended {
    pub(super) sent: Sent,
    kind: OutcomeKind,
    pub(super) kept: Option<Kept>,
    /// As of [`History`].
    reused: bool,
    pub(super) shared: bool,
}

/// What follows an attempt.
pub(super) enum Next {
    Send(Box<Request<Body>>),
    /// What came is the answer after all.
    Answer(EndpointBody),
    /// That was it.
    Fail(AttemptError),
}

impl Attempt<'_> {
    /// Whether the answer that is there is one that is tried elsewhere.
    pub(super) fn is_retried_status(&self, held: &ExchangeCell, trials: &Trials) -> bool {
        let retries = &self.upstream.shared.config.retries;
        let tried = trials.tried.len();
        !retries.statuses.0.is_empty()
            && status(held).is_some_and(|status| !retry::is_answer(retries, tried, status))
    }

    /// What came of an attempt that is over. `reused`: its connection had carried a request before.
    pub(super) fn ended(
        &self,
        held: &ExchangeCell,
        trials: &mut Trials,
        line: Option<&mut EndpointConnection>,
        reused: bool,
        sent: Sent,
    ) -> Ended {
        let sent = match sent {
            Sent::Failed(fault) => Sent::Failed(self.explained(fault)),
            other => other,
        };
        let (shared, first) = match &line {
            Some(EndpointConnection::Http2(slot)) => (true, slot.is_first()),
            Some(EndpointConnection::Http1(_)) | None => (false, false),
        };
        let kind = match &sent {
            Sent::Answered(_) => OutcomeKind::Answered(status(held).unwrap_or_default()),
            Sent::Unsent(_, fault) => OutcomeKind::Unsent(fault.code()),
            Sent::Failed(fault) => kind(fault),
        };
        if matches!(kind, OutcomeKind::TurnedAway(_)) {
            let one = retry::turned_away(shared && first);
            trials.turned_away = trials.turned_away.saturating_add(one);
        }
        Ended {
            kept: match &sent {
                Sent::Unsent(..) => None,
                Sent::Answered(_) | Sent::Failed(_) => Self::kept(trials, line),
            },
            kind,
            sent,
            reused,
            shared,
        }
    }

    /// The request for the same endpoint, if it gets it again over another connection.
    pub(super) fn resent(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        since: Since,
        ended: &mut Ended,
    ) -> Option<Box<Request<Body>>> {
        let retry = self.retry(held, pick, trials, since, ended);
        if retry.decide(ended.kind) != Decision::Resend {
            return None;
        }
        let fault = ended.sent.code();
        let request = self.request_again(held, pick, trials, ended)?;
        if let Some(fault) = fault {
            trials.note(held, pick, since, Some(fault.into()));
        }
        trials.fresh |= matches!(ended.kind, OutcomeKind::Closed(_));
        trials.resent = trials.resent.saturating_add(1);
        self.watch.begin_retry();
        self.watch.shared.stats.retries.add(1);
        Some(request)
    }

    /// What follows an attempt that its endpoint is not asked again after.
    pub(super) fn next(
        &self,
        held: &ExchangeCell,
        pick: &mut Pick,
        trials: &mut Trials,
        mut ended: Ended,
        since: Since,
    ) -> Next {
        let follows = match trials.next.take() {
            None => self.follow(held, pick, trials, &ended, since),
            secured => secured,
        };
        let reason = follows.is_some().then(|| match &ended.sent {
            Sent::Unsent(_, fault) | Sent::Failed(fault) => fault.code().as_str().into(),
            Sent::Answered(_) => format!("status {}", status(held).unwrap_or_default()).into(),
        });
        let request = follows.and_then(|follows| {
            let target = match &follows {
                Follow::Other(other) => other,
                Follow::Same => {
                    // One that many share is left by what ends it, and by silence.
                    trials.over = match ended.shared {
                        true => Over::Any,
                        false => Over::New,
                    };
                    &*pick
                }
            };
            let request = self.request_again(held, target, trials, &mut ended)?;
            trials.note(held, pick, since, reason);
            if let Follow::Other(other) = follows {
                *pick = other;
            }
            Some(request)
        });
        if let Some(request) = request {
            held.with(|exchange| exchange.response = None);
            self.watch.begin_retry();
            self.watch.shared.stats.retries.add(1);
            return Next::Send(request);
        }
        held.with(|exchange| name(exchange, pick));
        match ended.sent {
            Sent::Answered(incoming) => Next::Answer(incoming),
            Sent::Unsent(_, fault) | Sent::Failed(fault) => Next::Fail(fault),
        }
    }

    /// Where the request goes next, if anywhere.
    fn follow(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        ended: &Ended,
        since: Since,
    ) -> Option<Follow> {
        let mut retry = self.retry(held, pick, trials, since, ended);
        let mut decision = retry.decide(ended.kind);
        if let Decision::Elsewhere { free } = decision {
            if let Some(other) = self.elsewhere(held, trials, free, |_| true) {
                return Some(Follow::Other(other));
            }
            retry.untried = false;
            decision = retry.decide(ended.kind);
        }
        match decision {
            Decision::Repeat { after, .. } => self.once_again(held, pick, trials, after),
            _ => None,
        }
    }

    /// All that decides on a retry.
    fn retry(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        since: Since,
        ended: &Ended,
    ) -> Retry<'_> {
        let kept = ended.kept.is_some();
        let mut retry = self.retry_of(held, pick, trials, since, kept);
        retry.history.reused = ended.reused;
        retry.history.shared = ended.shared;
        retry
    }

    /// The same, of an attempt that still runs.
    pub(super) fn retry_of(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        since: Since,
        kept: bool,
    ) -> Retry<'_> {
        let first_byte = self.timeouts.first_byte;
        let left = first_byte.saturating_sub(since.begun.elapsed());
        Retry {
            rules: &self.upstream.shared.config.retries,
            request: Repeatable {
                idempotent: held.with(|exchange| exchange.request.method.is_idempotent()),
                upgrade: self.upgrade.is_some(),
                kept,
                time_left: self.time_left(since).map_or(left, |total| total.min(left)),
            },
            history: History {
                attempts: trials.tried.len(),
                repeats: trials.repeats,
                turned_away: trials.turned_away,
                endpoints: pick.others() + 1,
                reused: false,
                shared: false,
                fresh: trials.fresh,
            },
            untried: true,
            budget: self.upstream.budget.has_one(self.now()),
            jitter: fastrand::f64(),
        }
    }

    /// Another endpoint. Without one, nothing is taken from the budget.
    fn elsewhere(
        &self,
        held: &ExchangeCell,
        trials: &mut Trials,
        free: bool,
        will_do: impl Fn(&EndpointState) -> bool,
    ) -> Option<Pick> {
        let pick = held
            .with(|exchange| self.pick_now(exchange, trials, LeaveOut::Tried))?
            .ok()?;
        let will_do = pick.endpoint().is_some_and(|one| will_do(&one.state));
        let may = will_do && (free || self.upstream.budget.take(self.now()));
        if !may {
            trials.tried.pop();
        }
        may.then_some(pick)
    }

    /// An endpoint that was tried before: another one than the last if there is one, else the last one.
    /// Not at once: what made it fail may pass.
    fn once_again(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        after: Duration,
    ) -> Option<Follow> {
        if !self.upstream.budget.take(self.now()) {
            return None;
        }
        let other = match pick.others() {
            0 => None,
            _ => held.with(|exchange| self.pick_now(exchange, trials, LeaveOut::Last)),
        };
        let follows = match other {
            Some(Ok(other)) => Follow::Other(other),
            Some(Err(_)) | None => self.same(pick, trials)?,
        };
        trials.repeats += 1;
        trials.pause = Some(after);
        Some(follows)
    }

    /// The endpoint that was tried last, unless it has gone meanwhile. The request stays one of its
    /// active ones.
    fn same(&self, pick: &Pick, trials: &mut Trials) -> Option<Follow> {
        let known = &pick.endpoint()?.state;
        let view = self.upstream.view();
        let is_there = view.endpoints.iter().any(|one| one.state.id == known.id);
        let takes = is_there && !known.health(|health| health.is_drained());
        takes.then(|| {
            trials.tried.push(known.id);
            Follow::Same
        })
    }

    /// The `try_timeout` has passed. True: another attempt follows. Otherwise the present one may take
    /// as long as if there were no such time-out. `has_request`: its connection has a request without a body.
    pub(super) fn gives_up(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        since: Since,
        has_request: impl Fn() -> bool,
    ) -> bool {
        let Some(rest) = trials.rest.take() else {
            return true;
        };
        let kept = match &trials.replay {
            Some(replay) => replay.is_complete(),
            None => trials.keeps_head || has_request(),
        };
        let mut retry = self.retry_of(held, pick, trials, since, kept);
        let mut decision = retry.decide(OutcomeKind::TryTimeout);
        if let Decision::Elsewhere { free } = decision {
            // Not for one that may be down: this one is at work.
            let is_well = |known: &EndpointState| !known.has_failed_last();
            let other = self.elsewhere(held, trials, free, is_well);
            trials.next = other.map(Follow::Other);
            retry.untried = false;
            decision = retry.decide(OutcomeKind::TryTimeout);
        }
        if trials.next.is_none()
            && matches!(decision, Decision::Repeat { .. })
            && self.upstream.budget.take(self.now())
        {
            trials.next = self.same(pick, trials);
        }
        if trials.next.is_none() {
            held.with(|exchange| name(exchange, pick));
            self.watch.extend_first_byte(rest);
        }
        trials.next.is_some()
    }

    /// Whether another attempt could follow the present one: only then it may be given up early.
    pub(super) fn may_follow(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        since: Since,
    ) -> bool {
        let kept = trials.replay.as_ref().is_none_or(ReplayBody::is_complete);
        let retry = self.retry_of(held, pick, trials, since, kept);
        retry.try_timeout().is_some()
    }
}

/// As what a fault counts.
fn kind(fault: &AttemptError) -> OutcomeKind {
    let of_stream = fault.is_stream_reset();
    match fault {
        AttemptError::Unprocessed { .. } if of_stream => {
            OutcomeKind::TurnedAway(TurnedAwayBy::RefusedStream)
        }
        AttemptError::Unprocessed { .. } => OutcomeKind::TurnedAway(TurnedAwayBy::GoAway),
        AttemptError::Closed { .. } if of_stream => OutcomeKind::Closed(ClosedPart::Stream),
        AttemptError::Closed { .. } => OutcomeKind::Closed(ClosedPart::Connection),
        AttemptError::Left { .. } => OutcomeKind::Left,
        AttemptError::FirstByteTimeout { .. } | AttemptError::Upload { .. } => {
            OutcomeKind::TimedOut
        }
        other => OutcomeKind::Failed(other.code()),
    }
}

/// The endpoint that the exchange ends with.
fn name(exchange: &mut Exchange, pick: &Pick) {
    let endpoint = pick.endpoint();
    exchange.outcome.endpoint = endpoint.map(|endpoint| Arc::clone(&endpoint.name));
}
