//! The dispatch of a request: one request to one upstream, over all attempts.
//!
//! [`Dispatch::run`] is the loop, and owns what outlives an attempt: the request and its kept body
//! ([`original`], [`replay`]), the endpoints that were tried, and the time. For each attempt it picks
//! an endpoint ([`pick`]); the [`attempt`] has the endpoint's lease and the connection, and gives an
//! outcome. [`retry`] decides what follows, within a [`budget`], and [`next`] does it. The answer's [`body`] keeps
//! the connection; an [`upgrade`] makes a tunnel of it. Deliberately not here: which endpoint is best
//! ([`crate::balance`]), and connections ([`super::connection`]).

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

mod attempt;
pub(crate) mod body;
pub(crate) mod budget;
mod context;
mod next;
mod original;
mod pick;
pub(crate) mod replay;
mod retry;
pub(crate) mod upgrade;

pub(crate) use context::{DispatchContext, Timeouts};

use attempt::{Attempt, AttemptResult, RunningAttempt};
use next::{Next, RetryTarget};
use original::OriginalRequest;

use super::connection::endpoint_body::EndpointBody;
use super::fault::AttemptError;
use super::shared::StickyEndpoint;
use crate::http::body::Body;
use crate::http::watch::{TimeoutKind, milliseconds};

/// One request to one upstream.
pub(crate) struct Dispatch<'a> {
    context: &'a DispatchContext<'a>,
    original: OriginalRequest,
    /// The ids of the endpoints that were tried: their indices change.
    tried: SmallVec<[u64; 4]>,
    /// The endpoint that the client is kept on.
    sticky: Option<StickyEndpoint>,
    /// When it had room at an endpoint: the attempts' time counts from then on.
    begun: Instant,
    /// When the present attempt began. None: with the first one.
    attempt_began: Option<Instant>,
    /// How much longer the present attempt may take if no other can follow it.
    rest: Option<Duration>,
    /// Where the request goes after the present attempt, if that is given up early.
    secured: Option<RetryTarget>,
    /// How long the next attempt waits.
    pause: Option<Duration>,
    /// How often an endpoint was tried that had been tried before.
    repeats: u32,
    /// How often it went to one endpoint again.
    resent: u8,
    /// How often endpoints have turned it away unread.
    unprocessed: u8,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(context: &'a DispatchContext<'a>) -> Self {
        Self {
            context,
            original: OriginalRequest::default(),
            tried: SmallVec::new(),
            sticky: None,
            begun: context.came,
            attempt_began: None,
            rest: None,
            secured: None,
            pause: None,
            repeats: 0,
            resent: 0,
            unprocessed: 0,
        }
    }

    /// Send the exchange's request and wait for the response's head, which goes into the
    /// exchange; its body is returned. The body of the request is sent while the response comes.
    ///
    /// # Errors
    ///
    /// No endpoint takes the request, or none answered it: see [`AttemptError`].
    pub(crate) async fn run(&mut self, body: Body) -> Result<Body, AttemptError> {
        let context = self.context;
        context.upstream.budget.request(context.now());
        if let Some(total) = context.timeouts.total {
            context.watch.arm(TimeoutKind::Total, milliseconds(total));
        }
        // Rare waits are boxed here and below: the future is as large as its largest part.
        let mut attempt = match self.pick_first() {
            Some(picked) => Attempt::new(context, picked?),
            None => {
                let came = Instant::now();
                let picked = Box::pin(self.wait_for_room()).await;
                self.begun = Instant::now();
                let waits = &context.upstream.shared.state.queue_times;
                waits.observe_shared(self.begun.saturating_duration_since(came));
                Attempt::new(context, picked?)
            }
        };
        let (original, first) = OriginalRequest::first(context, &attempt.pick, body);
        self.original = original;
        // Boxed, since it is moved more often than used.
        let mut request = Box::new(first);
        loop {
            if let Some(pause) = self.pause.take() {
                Box::pin(self.rest_for(pause)).await;
            }
            let result = if !attempt.take_unused()
                && let Err(fault) = Box::pin(attempt.connect()).await
            {
                AttemptResult::Unsent(request, fault)
            } else {
                self.begin(&attempt);
                let keep = !self.original.keeps_head;
                let give_up = |running: RunningAttempt<'_>| self.give_up(&running);
                attempt.send(request, keep, give_up).await
            };
            // Most are answered; then nothing is copied that is as large as a fault.
            let result = match result {
                AttemptResult::Answered(incoming) if self.is_answer() => {
                    attempt.report_answer();
                    return self.answer(attempt, incoming);
                }
                other => other,
            };
            match self.next(&mut attempt, result) {
                Next::Send(again) => request = again,
                Next::Answer(incoming) => return self.answer(attempt, incoming),
                Next::Fail(fault) => return Err(fault),
            }
        }
    }

    /// An attempt has a connection: its time begins.
    fn begin(&mut self, attempt: &Attempt<'_>) {
        let context = self.context;
        context.watch.shared.stats.attempts.add(1);
        let endpoint = &attempt.pick.endpoint;
        endpoint.counters.attempts.add(1);
        context.watch.set_endpoint(endpoint.state.id);
        let mut first_byte = context.timeouts.first_byte;
        if self.tried.len() > 1 || self.resent > 0 {
            // All attempts have it together.
            first_byte = first_byte.saturating_sub(self.begun.elapsed());
        }
        self.rest = None;
        if let Some(longest) = context.upstream.shared.config.retries.try_timeout
            && longest < first_byte
            && self.may_follow(attempt)
        {
            self.rest = Some(first_byte.saturating_sub(longest));
            first_byte = longest;
        }
        context
            .watch
            .begin_response_wait(first_byte, context.timeouts.idle);
    }

    /// Wait before the next attempt begins.
    async fn rest_for(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.attempt_began = Some(Instant::now());
    }

    /// Whether the answer that is in the exchange is passed on without a decision.
    fn is_answer(&self) -> bool {
        let rules = &self.context.upstream.shared.config.retries;
        let is_answer = |status| retry::is_answer(rules, self.tried.len(), status);
        rules.statuses.0.is_empty() || self.context.status().is_none_or(is_answer)
    }

    fn answer(
        &mut self,
        attempt: Attempt<'_>,
        incoming: EndpointBody,
    ) -> Result<Body, AttemptError> {
        let context = self.context;
        self.note_last(&attempt.pick, None);
        self.original.stop_keeping();
        let now = Instant::now();
        let since = |began| micros(now.saturating_duration_since(began));
        let counters = &attempt.pick.endpoint.counters;
        let attempt_began = self.attempt_began.unwrap_or(self.begun);
        context.exchange.with(|exchange| {
            exchange.outcome.upstream_us = NonZeroU64::new(since(self.begun).max(1));
            let head = exchange.response.as_ref();
            counters.answered(head.map(|head| head.status), since(attempt_began));
            if let Some(response) = &mut exchange.response {
                let (upstream, endpoint) = (&context.upstream.shared, &attempt.pick.endpoint);
                upstream.set_sticky_token(self.sticky, &endpoint.state, response);
            }
        });
        attempt.into_body(incoming)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of an `async fn` as a value. Bytes.
    fn size<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_dispatch_stays_small() {
        // Waits for room, for a connection and for the next attempt are boxed, so that they add nothing.
        let size = size::<&mut Dispatch<'_>, Body, _>(Dispatch::run);
        println!("{size} bytes");
        assert!(size <= 640, "{size} bytes");
    }
}
