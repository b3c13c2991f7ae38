//! Who is to blame for an attempt that failed: what its connection knows, and what its endpoint is told.

use super::pick::Pick;
use super::{Attempt, Sent, status};
use crate::error::Causes;
use crate::exchange::ExchangeCell;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::fault::AttemptError;

impl Attempt<'_> {
    /// The same result, once the connection was looked at: a connection that may be dead is not used again,
    /// and one that knows better than hyper why a head was refused says so.
    pub(super) fn looked_at(
        &self,
        pick: &Pick,
        line: &EndpointConnection,
        reused: bool,
        began: u64,
        sent: Sent,
    ) -> Sent {
        match sent {
            Sent::Failed(fault @ AttemptError::FirstByteTimeout { .. }) => {
                if let Some(endpoint) = pick.endpoint() {
                    line.timed_out(&endpoint.pool, reused, began, self.now());
                }
                Sent::Failed(fault)
            }
            Sent::Failed(fault @ AttemptError::Unprocessed { .. }) => {
                if let (EndpointConnection::Http2(slot), Some(endpoint)) = (line, pick.endpoint())
                    && !fault.is_stream_reset()
                {
                    slot.mark_closing(&endpoint.pool.request_limit, self.now());
                }
                Sent::Failed(fault)
            }
            Sent::Failed(AttemptError::HeadTooLarge { .. }) if line.has_too_many_fields() => {
                Sent::Failed(self.too_many_fields(pick))
            }
            other => other,
        }
    }

    /// Tell what came of an attempt to those who take endpoints out.
    pub(super) fn report(&self, held: &ExchangeCell, pick: &Pick, sent: &Sent) {
        let Some(endpoint) = pick.endpoint() else {
            return;
        };
        let plan = &*self.upstream.shared;
        match sent {
            Sent::Answered(_) => self.report_answer(held, pick),
            Sent::Unsent(_, fault) | Sent::Failed(fault) => {
                self.watch.shared.stats.attempts_failed.add(1);
                // Another's fault says nothing of the endpoint, good or bad.
                if fault.is_endpoint_fault() && !self.is_shorter(fault) {
                    endpoint.counters.faults.add(1);
                    plan.record_fault(&endpoint.state, &Causes(fault));
                }
            }
        }
    }

    /// The same, of an answer.
    pub(super) fn report_answer(&self, held: &ExchangeCell, pick: &Pick) {
        let Some(endpoint) = pick.endpoint() else {
            return;
        };
        let plan = &*self.upstream.shared;
        let statuses = &plan.config.ejection.statuses;
        match status(held).filter(|status| statuses.holds(*status)) {
            None => endpoint.state.record_success(),
            Some(status) => {
                endpoint.counters.faults.add(1);
                plan.record_fault(&endpoint.state, &format_args!("status {status}"));
            }
        }
    }

    /// Whether the route, or a filter, gives the endpoint less time than its upstream: that it was too
    /// slow for one of them says nothing of how it answers others.
    fn is_shorter(&self, fault: &AttemptError) -> bool {
        let own = self.upstream.shared.config.first_byte_timeout;
        matches!(fault, AttemptError::FirstByteTimeout { .. }) && self.timeouts.first_byte < own
    }

    pub(super) fn too_many_fields(&self, pick: &Pick) -> AttemptError {
        AttemptError::TooManyFields {
            endpoint: pick.name(),
            most: self.upstream.shared.config.max_headers,
        }
    }
}

impl Sent {
    /// The code of its fault, if an attempt failed.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Failed(fault) => Some(fault.code().as_str()),
            Self::Answered(_) | Self::Unsent(..) => None,
        }
    }
}
