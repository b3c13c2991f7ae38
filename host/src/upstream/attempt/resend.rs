//! What goes to the same endpoint once more, on another connection.
//!
//! An unused connection may have been closed by the endpoint at any time. What was not sent goes out
//! on another one: the connection gives the request back, or an endpoint of HTTP/2 says that it has not looked
//! at it (RFC 9113 sections 6.8 and 8.7). What may have been sent is repeated only when that does no
//! harm: an idempotent method (RFC 9110 section 9.2.2) whose whole body can be sent again, once.
//! Neither is an attempt of its own, nor a fault of the endpoint.

use http::Request;

use super::pick::Pick;
use super::retry::Trials;
use super::{Attempt, Sent};
use crate::exchange::ExchangeCell;
use crate::http::body::Body;
use crate::upstream::connection::{EndpointConnection, http2_request};
use crate::upstream::fault::AttemptError;

/// How often a request that was turned away unread may go to the same endpoint again: an endpoint
/// that takes few requests a connection turns many away until that is known
/// ([`crate::upstream::line::request_limit`]).
const MOST_TURNED_AWAY: u8 = 20;
/// What stands for so many of them: an endpoint that turns away a connection's first request takes none.
const NONE_TAKEN: u8 = 7;

/// What comes after a sending.
pub(super) enum Stays {
    /// This goes to the same endpoint.
    Again(Box<Request<Body>>),
    /// The endpoint is not asked again.
    Ended(Sent),
}

impl Attempt<'_> {
    /// Whether what was sent goes to the same endpoint again. `reused`: its connection had carried
    /// a request before, and may have been stale.
    pub(super) fn stays(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        line: &mut EndpointConnection,
        reused: bool,
        sent: Sent,
    ) -> Stays {
        let sent = match sent {
            answered @ Sent::Answered(_) => return Stays::Ended(answered),
            Sent::Failed(fault @ AttemptError::Unprocessed { .. }) => {
                self.unread(held, pick, trials, line, fault)
            }
            other => other,
        };
        match sent {
            Sent::Unsent(mut request, fault) => {
                self.take_back(line, &mut request);
                match is_worth_it(trials, &fault, line, reused) {
                    true => self.stays_with(trials, request),
                    false => Stays::Ended(Sent::Unsent(request, fault)),
                }
            }
            Sent::Failed(fault) => {
                let fault = self.explained(fault);
                let is_stale =
                    matches!(fault, AttemptError::Closed { .. }) && !fault.is_stream_reset();
                let harmless = held.with(|exchange| exchange.request.method.is_idempotent());
                let once = !std::mem::replace(&mut trials.fresh, true);
                let again = match reused && is_stale && harmless && once {
                    true => self.once_more(held, pick, trials, line),
                    false => None,
                };
                match again {
                    Some(mut request) => {
                        self.take_back(line, &mut request);
                        self.stays_with(trials, request)
                    }
                    None => Stays::Ended(Sent::Failed(fault)),
                }
            }
            answered @ Sent::Answered(_) => Stays::Ended(answered),
        }
    }

    fn stays_with(&self, trials: &mut Trials, request: Box<Request<Body>>) -> Stays {
        trials.resent = trials.resent.saturating_add(1);
        self.watch.begin_retry();
        Stays::Again(request)
    }

    /// A request that its endpoint turned away unread was not sent, if all of it is there.
    fn unread(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        line: &mut EndpointConnection,
        fault: AttemptError,
    ) -> Sent {
        if let (EndpointConnection::Http2(slot), Some(endpoint)) = (&*line, pick.endpoint())
            && !fault.is_stream_reset()
        {
            slot.mark_closing(&endpoint.pool.request_limit, self.now());
        }
        match self.once_more(held, pick, trials, line) {
            Some(request) => Sent::Unsent(request, fault),
            None => Sent::Failed(fault),
        }
    }

    /// The request that was sent, for the same endpoint, if all of it can be sent again.
    fn once_more(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        line: &mut EndpointConnection,
    ) -> Option<Box<Request<Body>>> {
        let kept = Self::kept(trials, Some(line))?;
        Some(Box::new(self.again(held, pick, trials, kept)))
    }

    /// A request is as HTTP/1.1 wants it, whatever it was to be sent on.
    fn take_back(&self, line: &EndpointConnection, request: &mut Request<Body>) {
        if matches!(line, EndpointConnection::Http2(_)) {
            http2_request::to_http1(request);
            if let Some(upgrade) = self.upgrade {
                upgrade.take_back(request);
            }
        }
    }
}

/// An unused connection that was closed is one less; an endpoint that turns requests away may go on
/// doing so.
fn is_worth_it(
    trials: &mut Trials,
    fault: &AttemptError,
    line: &EndpointConnection,
    reused: bool,
) -> bool {
    if !matches!(fault, AttemptError::Unprocessed { .. }) {
        return reused;
    }
    trials.turned_away += match line {
        EndpointConnection::Http2(slot) if slot.is_first() => NONE_TAKEN,
        EndpointConnection::Http2(_) | EndpointConnection::Http1(_) => 1,
    };
    !fault.is_stream_reset() && trials.turned_away <= MOST_TURNED_AWAY
}
