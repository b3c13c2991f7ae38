//! What fails is tried once more, as the upstream's `retries` say: at once on an endpoint that was not
//! tried, or, where there is none, after a short wait on one that was, over another connection. Behind
//! one address there may be many servers.
//!
//! After a fault that sent nothing whatever the method; after others and chosen statuses only where
//! it does no harm: an idempotent method (RFC 9110 section 9.2.2) whose whole body can be sent again,
//! and as far as the retry budget goes. Promises: the filters do not run again; a request for an
//! upgrade is sent once at the most; the time for the first byte is that of all attempts together.
//! Deliberately not here: the second sending to the same endpoint ([`super::resend`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use smallvec::SmallVec;

use super::pick::{LeaveOut, Pick};
use super::replay::Tape;
use super::timeouts::Since;
use super::{Attempt, Sent, status};
use crate::config::{RetryOn, UpstreamProtocol};
use crate::exchange::{AttemptOutcome, Exchange, ExchangeCell};
use crate::http::body::Body;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::connection::endpoint_body::EndpointBody;
use crate::upstream::endpoint::state::EndpointState;
use crate::upstream::fault::AttemptError;
use crate::upstream::headers;
use crate::upstream::shared::StickyEndpoint;

/// How long the first wait before an endpoint is tried again is, and how long each is at the most. By
/// chance down to half of it, so that requests that failed together do not come back together.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

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
    has_body: bool,
    tape: Option<Tape>,
    /// Whether the request's head is still in the exchange.
    pub(super) keeps_head: bool,
}

impl Trials {
    /// There is an answer: nothing is sent again.
    pub(super) fn end(&self) {
        if let Some(tape) = &self.tape {
            tape.stop();
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

/// What follows an attempt.
pub(super) enum Next {
    Send(Box<Request<Body>>),
    /// What came is the answer after all.
    Answer(EndpointBody),
    /// That was it.
    Fail(AttemptError),
}

/// What is left of a request that was sent.
pub(super) enum Kept {
    /// Its body is on the tape, its head in the exchange.
    Tape,
    /// It had no body, and its head is in the exchange.
    Head,
    /// All of it.
    All(Box<Request<Body>>),
}

impl Attempt<'_> {
    /// The request as it goes out first.
    pub(super) fn request(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        body: Body,
        trials: &mut Trials,
    ) -> Request<Body> {
        let plan = &*self.upstream.shared;
        let mut body = body;
        trials.keeps_head = self.keep_head;
        trials.has_body = !body.is_empty();
        // What an endpoint of HTTP/2 turns away unread is sent again whatever the method.
        let may_come_back = || {
            plan.config.protocol == UpstreamProtocol::Http2
                || pick
                    .endpoint()
                    .is_some_and(|endpoint| endpoint.pool.uses_http2())
                || held.with(|exchange| exchange.request.method.is_idempotent())
        };
        if trials.has_body && may_come_back() {
            // Its bytes cannot be found again on the connection, so that all of it is kept.
            trials.keeps_head = true;
            let most = plan.config.retries.max_body;
            let tape = Tape::new(std::mem::take(&mut body), most);
            body = tape.play().unwrap_or_default();
            trials.tape = Some(tape);
        }
        self.outgoing(held, pick, body, trials.keeps_head)
    }

    fn outgoing(&self, held: &ExchangeCell, pick: &Pick, body: Body, keep: bool) -> Request<Body> {
        let plan = &*self.upstream.shared;
        let mut request = held.with(|exchange| match pick.target() {
            Some(target) => headers::build_request(plan, target, exchange, body, keep),
            None => Request::new(body),
        });
        if let Some(upgrade) = self.upgrade {
            upgrade.ask(request.headers_mut());
        }
        request
    }

    /// Whether there is no attempt left after the present one.
    pub(super) fn is_last(&self, trials: &Trials) -> bool {
        trials.tried.len() >= self.upstream.shared.config.retries.attempts as usize
    }

    /// Whether the answer that is there is one that is tried elsewhere.
    pub(super) fn is_retried_status(&self, held: &ExchangeCell, trials: &Trials) -> bool {
        let retries = &self.upstream.shared.config.retries;
        !retries.statuses.0.is_empty()
            && !self.is_last(trials)
            && status(held).is_some_and(|status| retries.statuses.holds(status))
    }

    /// What follows an attempt that is not the answer yet.
    pub(super) fn next(
        &self,
        held: &ExchangeCell,
        pick: &mut Pick,
        trials: &mut Trials,
        line: Option<&mut EndpointConnection>,
        mut sent: Sent,
        since: Since,
    ) -> Next {
        let plan = &*self.upstream.shared;
        let free = match &sent {
            Sent::Unsent(..) => plan.config.retries.on.contains(&RetryOn::Connect),
            Sent::Answered(_) | Sent::Failed(_) => false,
        };
        let mut line = line;
        let kept = match &sent {
            Sent::Unsent(..) => None,
            Sent::Answered(_) | Sent::Failed(_) => Self::kept(trials, line.as_deref_mut()),
        };
        let may = self.upgrade.is_none() && self.may_repeat(held, &sent);
        let wanted = free || (may && kept.is_some());
        let in_time = since.begun.elapsed() < self.timeouts.first_byte
            && self.time_left(since) != Some(Duration::ZERO);
        let follows = match trials.next.take() {
            None if wanted && in_time => {
                let other = self.elsewhere(held, trials, free, |_| true);
                let has_left = matches!(sent, Sent::Failed(AttemptError::Left { .. }));
                other.map(Follow::Other).or_else(|| match has_left {
                    true => None,
                    false => self.once_again(held, pick, trials, since),
                })
            }
            secured => secured,
        };
        let reason = follows.is_some().then(|| match &sent {
            Sent::Unsent(_, fault) | Sent::Failed(fault) => fault.code().as_str().into(),
            Sent::Answered(_) => format!("status {}", status(held).unwrap_or_default()).into(),
        });
        let request = follows.and_then(|follows| {
            let target = match &follows {
                Follow::Other(other) => other,
                Follow::Same => {
                    // One that many share is left by what ends it, and by silence.
                    trials.over = match line {
                        Some(EndpointConnection::Http2(_)) => Over::Any,
                        Some(EndpointConnection::Http1(_)) | None => Over::New,
                    };
                    &*pick
                }
            };
            let request = match (&mut sent, kept) {
                // Nothing of it was sent, nor of its body: it goes as it is.
                (Sent::Unsent(request, _), _) => {
                    let request = std::mem::replace(&mut **request, Request::new(Body::Empty));
                    self.address(target, request)
                }
                (Sent::Answered(_) | Sent::Failed(_), kept) => {
                    self.again(held, target, trials, kept?)
                }
            };
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
            return Next::Send(Box::new(request));
        }
        held.with(|exchange| name(exchange, pick));
        match sent {
            Sent::Answered(incoming) => Next::Answer(incoming),
            Sent::Unsent(_, fault) | Sent::Failed(fault) => Next::Fail(fault),
        }
    }

    /// Another endpoint, if one more attempt may be made. Without one, nothing is taken from the
    /// budget.
    fn elsewhere(
        &self,
        held: &ExchangeCell,
        trials: &mut Trials,
        free: bool,
        will_do: impl Fn(&EndpointState) -> bool,
    ) -> Option<Pick> {
        if self.is_last(trials) {
            return None;
        }
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

    /// An endpoint that was tried before, if one more attempt may be made: another one than the last if
    /// there is one, else the last one. Not at once: what made it fail may pass.
    fn once_again(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        since: Since,
    ) -> Option<Follow> {
        let pause = pause(trials.repeats, fastrand::f64());
        let left = self
            .timeouts
            .first_byte
            .saturating_sub(since.begun.elapsed());
        let left = self.time_left(since).map_or(left, |total| total.min(left));
        if self.is_last(trials) || pause >= left || !self.upstream.budget.take(self.now()) {
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
        trials.pause = Some(pause);
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
        has_request: impl Fn() -> bool,
    ) -> bool {
        let Some(rest) = trials.rest.take() else {
            return true;
        };
        let may = match &trials.tape {
            Some(tape) => tape.is_whole(),
            None => trials.keeps_head || has_request(),
        };
        if may {
            // Not for one that may be down: this one is at work.
            let is_well = |known: &EndpointState| !known.has_failed_last();
            let other = self.elsewhere(held, trials, false, is_well);
            trials.next = other.map(Follow::Other);
            if trials.next.is_none()
                && pick.others() == 0
                && !self.is_last(trials)
                && self.upstream.budget.take(self.now())
            {
                trials.next = self.same(pick, trials);
            }
        }
        if trials.next.is_none() {
            held.with(|exchange| name(exchange, pick));
            self.watch.extend_first_byte(rest);
        }
        trials.next.is_some()
    }

    /// Whether a request that may have been acted on may be sent again.
    fn may_repeat(&self, held: &ExchangeCell, sent: &Sent) -> bool {
        let retries = &self.upstream.shared.config.retries;
        let on = match sent {
            Sent::Unsent(..) | Sent::Answered(_) => true,
            Sent::Failed(AttemptError::Closed { .. } | AttemptError::Left { .. }) => {
                retries.on.contains(&RetryOn::Reset)
            }
            Sent::Failed(AttemptError::FirstByteTimeout { .. } | AttemptError::Upload { .. }) => {
                retries.on.contains(&RetryOn::Timeout) || retries.try_timeout.is_some()
            }
            Sent::Failed(_) => false,
        };
        on && held.with(|exchange| exchange.request.method.is_idempotent())
    }

    /// What can be sent again of a request that was sent, if all of it can.
    pub(super) fn kept(trials: &Trials, line: Option<&mut EndpointConnection>) -> Option<Kept> {
        match &trials.tape {
            // Played when it is sent: from then on the earlier reader gets nothing.
            Some(tape) => tape.is_whole().then_some(Kept::Tape),
            None if trials.has_body => None,
            None if trials.keeps_head => Some(Kept::Head),
            None => line?.take_sent_request().map(Box::new).map(Kept::All),
        }
    }

    /// Whether another attempt could follow the present one: only then it may be given up early.
    pub(super) fn may_follow(&self, held: &ExchangeCell, pick: &Pick, trials: &Trials) -> bool {
        let tape = trials.tape.as_ref();
        !self.is_last(trials)
            && self.upgrade.is_none()
            && (pick.others() == 0 || pick.others() >= trials.tried.len())
            && tape.is_none_or(Tape::is_whole)
            && held.with(|exchange| exchange.request.method.is_idempotent())
    }

    /// A request that was sent once more, for this endpoint.
    pub(super) fn again(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        kept: Kept,
    ) -> Request<Body> {
        match kept {
            Kept::All(request) => self.address(pick, *request),
            Kept::Head => self.outgoing(held, pick, Body::Empty, true),
            Kept::Tape => {
                let body = trials.tape.as_ref().and_then(Tape::play);
                self.outgoing(held, pick, body.unwrap_or_default(), true)
            }
        }
    }

    /// A request that was made for another endpoint.
    fn address(&self, pick: &Pick, mut request: Request<Body>) -> Request<Body> {
        if let Some(target) = pick.target() {
            headers::set_host(&self.upstream.shared, target, request.headers_mut());
        }
        request
    }
}

/// How long to wait before an endpoint is tried again, after so many times. `random` is from 0 to 1.
fn pause(repeats: u32, random: f64) -> Duration {
    let longest = FIRST_WAIT
        .saturating_mul(1 << repeats.min(8))
        .min(LONGEST_WAIT);
    longest.mul_f64(0.5 + random / 2.0)
}

/// The endpoint that the exchange ends with.
fn name(exchange: &mut Exchange, pick: &Pick) {
    let endpoint = pick.endpoint();
    exchange.outcome.endpoint = endpoint.map(|endpoint| Arc::clone(&endpoint.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let longest: Vec<_> = (0..12)
            .map(|repeats| pause(repeats, 1.0).as_millis())
            .collect();
        assert_eq!(longest[..5], [25, 50, 100, 200, 250]);
        assert!(longest.iter().all(|wait| *wait <= 250));
        assert_eq!(pause(0, 0.0), Duration::from_micros(12_500));
    }
}
