//! Whether a request is sent again, and where: the decision alone.
//!
//! It is pure: what came of an attempt, the request, its history, the budget and the upstream's
//! `retries` go in, a [`RetryDecision`] comes out. A request that an endpoint may have acted on is sent
//! again only if its method is idempotent (RFC 9110 section 9.2.2), all of its body was kept, and the
//! budget has a retry left. The table of all cases is docs/explanation/retries.md, made from this
//! module's test. Deliberately not here: the endpoint, which [`crate::balance`] picks.

use std::time::Duration;

use crate::config::{Retries, RetryOn};
use crate::error::Code;

#[cfg(test)]
mod cases;

/// How long the first wait before an endpoint is tried again is, and how long each is at the most. By
/// chance down to half of it, so that requests that failed together do not come back together.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How often a request that was turned away unread may go to the same endpoint again: an endpoint
/// that takes few requests a connection turns many away until the pool has learned how many it takes
/// ([`crate::upstream::connection::request_limit`]).
const MAX_UNPROCESSED: u8 = 20;
/// Counts as so many of them: an endpoint that turns away a connection's first request takes none.
const FIRST_UNPROCESSED: u8 = 7;

/// The outcome of an attempt, without its connection, its request and its error's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutcomeKind {
    /// The endpoint answered with this status.
    Answered(u16),
    /// Nothing was sent: there was no connection, or the connection gave the request back.
    Unsent(Code),
    /// The endpoint said that it had not looked at the request.
    Unprocessed(UnprocessedBy),
    /// The connection, or the stream, ended before an answer.
    Closed(ClosedPart),
    /// The endpoint was taken out of use, and its time to end what ran is over.
    Left,
    /// No answer began in time, or the endpoint stopped reading the request's body.
    TimedOut,
    /// `try_timeout` has passed. The attempt still runs.
    TryTimeout,
    /// Another error.
    Failed(Code),
}

/// How an endpoint of HTTP/2 turned a request away unread (RFC 9113 sections 6.8 and 8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnprocessedBy {
    /// It closes the connection.
    GoAway,
    /// It refused the stream: it is too busy.
    RefusedStream,
}

/// The part of a connection that ended before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClosedPart {
    Connection,
    /// One stream of an HTTP/2 connection, which goes on.
    Stream,
}

/// The step that Windlass takes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// The client gets the answer.
    Answer,
    /// The same endpoint gets the request again at once, over another connection. It is no attempt of
    /// its own, and takes nothing from the budget.
    Resend,
    /// An endpoint that was not tried gets the request at once.
    Elsewhere {
        /// Whether it takes nothing from the budget.
        free: bool,
    },
    /// An endpoint that was tried before gets the request after this wait: another one than the last if
    /// there is one, else the last. It takes a retry from the budget.
    Repeat {
        after: Duration,
        /// Whether the last endpoint gets it over a new connection.
        new_connection: bool,
    },
    /// The attempt goes on, although `try_timeout` has passed.
    KeepWaiting,
    /// The client gets this error.
    GiveUp(Code),
}

/// All that a decision depends on, besides the outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry<'a> {
    pub(super) rules: &'a Retries,
    pub(super) request: Repeatable,
    pub(super) history: History,
    pub(super) connection: ConnectionUse,
    /// Whether there may be an endpoint that was not tried. If the balancer has none, the dispatch
    /// decides again without.
    pub(super) untried: bool,
    /// Whether the budget has a retry left.
    pub(super) budget: bool,
    /// From 0 to 1, by chance.
    pub(super) jitter: f64,
}

/// The request, as far as it decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeatable {
    pub(super) idempotent: bool,
    /// Whether it asks its connection to become something else. It is sent once.
    pub(super) upgrade: bool,
    /// Whether all of it can be sent again: it has no body, or the whole body was kept.
    pub(super) kept: bool,
    /// Until the first answer is due, and until the whole exchange has to be over.
    pub(super) time_left: Duration,
}

/// Earlier attempts of the same request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct History {
    /// Attempts so far, the present one included.
    pub(super) attempts: usize,
    /// How often an endpoint was tried that had been tried before, after a wait.
    pub(super) repeats: u32,
    /// How often endpoints turned the request away unread, by [`unprocessed_weight`].
    pub(super) unprocessed: u8,
    /// How many endpoints the upstream has.
    pub(super) endpoints: usize,
}

/// The connection of an attempt. If there was none, nothing of this is true.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ConnectionUse {
    /// Whether it had carried a request before. It may have been closed meanwhile.
    pub(super) reused: bool,
    /// Whether many requests share it.
    pub(super) shared: bool,
    /// Whether only a new connection would do.
    pub(super) fresh: bool,
}

impl Retry<'_> {
    /// Decide the step after this outcome.
    #[must_use]
    pub(super) fn decide(&self, outcome: OutcomeKind) -> RetryDecision {
        if outcome == OutcomeKind::TryTimeout {
            return self.leave_early();
        }
        if self.is_resent(outcome) {
            return RetryDecision::Resend;
        }
        self.next_attempt(outcome)
            .unwrap_or_else(|| outcome.last_word())
    }

    /// The time-out of the present attempt alone: only one that another can follow has it.
    #[must_use]
    pub(super) fn try_timeout(&self) -> Option<Duration> {
        let history = &self.history;
        let follows = history.endpoints <= 1 || history.endpoints > history.attempts;
        let may = follows && !self.is_last() && self.may_repeat();
        self.rules.try_timeout.filter(|_| may)
    }

    /// A connection that was unused may have been closed meanwhile, which is no fault of the endpoint; and
    /// one that ends says nothing of the next one to the same endpoint.
    fn is_resent(&self, outcome: OutcomeKind) -> bool {
        let (request, connection) = (&self.request, &self.connection);
        match outcome {
            OutcomeKind::Unsent(_) => connection.reused,
            OutcomeKind::Unprocessed(UnprocessedBy::GoAway) => {
                request.kept && self.history.unprocessed <= MAX_UNPROCESSED
            }
            OutcomeKind::Closed(ClosedPart::Connection) => {
                connection.reused && !connection.fresh && request.idempotent && request.kept
            }
            _ => false,
        }
    }

    fn next_attempt(&self, outcome: OutcomeKind) -> Option<RetryDecision> {
        let free = self.is_unsent(outcome);
        let wanted = match free {
            true => self.rules.on.contains(&RetryOn::Connect),
            false => self.is_listed(outcome) && self.may_repeat(),
        };
        let time_left = self.request.time_left;
        if !wanted || self.is_last() || time_left.is_zero() {
            return None;
        }
        if self.untried && (free || self.budget) {
            return Some(RetryDecision::Elsewhere { free });
        }
        let after = wait(self.history.repeats, self.jitter);
        let may = self.budget && after < time_left && outcome != OutcomeKind::Left;
        may.then_some(RetryDecision::Repeat {
            after,
            new_connection: !self.connection.shared,
        })
    }

    /// `try_timeout` has passed: the attempt is given up only for another that begins at once.
    fn leave_early(&self) -> RetryDecision {
        if !self.may_repeat() || self.is_last() || !self.budget {
            return RetryDecision::KeepWaiting;
        }
        match (self.untried, self.history.endpoints) {
            (true, _) => RetryDecision::Elsewhere { free: false },
            (false, 0 | 1) => RetryDecision::Repeat {
                after: Duration::ZERO,
                new_connection: !self.connection.shared,
            },
            (false, _) => RetryDecision::KeepWaiting,
        }
    }

    /// Whether no endpoint has looked at the request, and it can be sent as it is.
    fn is_unsent(&self, outcome: OutcomeKind) -> bool {
        match outcome {
            OutcomeKind::Unsent(_) => true,
            OutcomeKind::Unprocessed(_) => self.request.kept,
            _ => false,
        }
    }

    /// Whether the upstream's `retries` list an outcome after which the endpoint may have acted on the
    /// request.
    fn is_listed(&self, outcome: OutcomeKind) -> bool {
        let rules = self.rules;
        match outcome {
            OutcomeKind::Answered(status) => rules.statuses.holds(status),
            OutcomeKind::Closed(_) | OutcomeKind::Left => rules.on.contains(&RetryOn::Reset),
            OutcomeKind::TimedOut | OutcomeKind::TryTimeout => {
                rules.on.contains(&RetryOn::Timeout) || rules.try_timeout.is_some()
            }
            OutcomeKind::Unsent(_) | OutcomeKind::Unprocessed(_) | OutcomeKind::Failed(_) => false,
        }
    }

    /// Whether the request may be sent again although an endpoint may have acted on it.
    fn may_repeat(&self) -> bool {
        let request = &self.request;
        request.idempotent && request.kept && !request.upgrade
    }

    fn is_last(&self) -> bool {
        self.history.attempts >= self.rules.attempts as usize
    }
}

impl OutcomeKind {
    /// The answer or the error that the client gets if nothing follows.
    fn last_word(self) -> RetryDecision {
        match self {
            Self::Answered(_) => RetryDecision::Answer,
            Self::Unsent(code) | Self::Failed(code) => RetryDecision::GiveUp(code),
            Self::Unprocessed(_) | Self::Closed(_) => RetryDecision::GiveUp(Code::UpstreamClosed),
            Self::Left => RetryDecision::GiveUp(Code::EndpointLeft),
            Self::TimedOut | Self::TryTimeout => RetryDecision::GiveUp(Code::FirstByteTimeout),
        }
    }
}

/// Whether an answer with this status is passed on without a decision. Every request asks this.
#[must_use]
pub(super) fn is_answer(rules: &Retries, attempts: usize, status: u16) -> bool {
    attempts >= rules.attempts as usize || !rules.statuses.holds(status)
}

/// How much one more request that was turned away unread counts. `first`: it was its connection's first.
#[must_use]
pub(super) fn unprocessed_weight(first: bool) -> u8 {
    match first {
        true => FIRST_UNPROCESSED,
        false => 1,
    }
}

/// How long to wait before an endpoint is tried again, after so many times.
fn wait(repeats: u32, jitter: f64) -> Duration {
    let longest = FIRST_WAIT
        .saturating_mul(1 << repeats.min(8))
        .min(LONGEST_WAIT);
    longest.mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let longest: Vec<_> = (0..12)
            .map(|repeats| wait(repeats, 1.0).as_millis())
            .collect();
        assert_eq!(longest[..5], [25, 50, 100, 200, 250]);
        assert!(longest.iter().all(|wait| *wait <= 250));
        assert_eq!(wait(0, 0.0), Duration::from_micros(12_500));
    }
}
