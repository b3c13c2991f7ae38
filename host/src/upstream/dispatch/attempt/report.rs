//! Reports a failed attempt: finds its cause by what the connection knows, and records it in the
//! endpoint's state.

use super::{Attempt, AttemptResult};
use crate::error::Causes;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::dispatch::context::DispatchContext;
use crate::upstream::dispatch::pick::Pick;
use crate::upstream::fault::AttemptError;

impl Attempt<'_> {
    /// The same result with its cause. A connection that may be dead is not used again, and one that
    /// knows better than hyper why a head was refused says so.
    pub(in crate::upstream::dispatch) fn explain(&self, result: AttemptResult) -> AttemptResult {
        let AttemptResult::Failed(fault) = result else {
            return result;
        };
        let (context, endpoint) = (self.context, &self.pick.endpoint);
        if let Some(connection) = &self.connection {
            match (&fault, connection) {
                (AttemptError::FirstByteTimeout { .. }, _) => {
                    let (pool, reused) = (&endpoint.pool, self.usage.reused);
                    connection.timed_out(pool, reused, self.sent_at, context.now());
                }
                (AttemptError::Unprocessed { .. }, EndpointConnection::Http2(stream))
                    if !fault.is_stream_reset() =>
                {
                    stream.mark_closing(&endpoint.pool.request_limit, context.now());
                }
                (AttemptError::HeadTooLarge { .. }, _) if connection.has_too_many_fields() => {
                    return AttemptResult::Failed(too_many_fields(context, &self.pick));
                }
                _ => {}
            }
        }
        AttemptResult::Failed(blame_body(context, fault))
    }

    /// Report what came of an attempt to those who take endpoints out.
    pub(in crate::upstream::dispatch) fn report(&self, result: &AttemptResult) {
        let endpoint = &self.pick.endpoint;
        match result {
            AttemptResult::Answered(_) => self.report_answer(),
            AttemptResult::Unsent(_, fault) | AttemptResult::Failed(fault) => {
                self.context.watch.shared.stats.attempts_failed.add(1);
                // Another's fault says nothing of the endpoint, good or bad.
                if fault.is_endpoint_fault() && !self.is_shorter(fault) {
                    endpoint.counters.faults.add(1);
                    let upstream = &self.context.upstream.shared;
                    upstream.record_fault(&endpoint.state, &Causes(fault));
                }
            }
        }
    }

    /// The same, of an answer.
    pub(in crate::upstream::dispatch) fn report_answer(&self) {
        let endpoint = &self.pick.endpoint;
        let upstream = &*self.context.upstream.shared;
        let statuses = &upstream.config.ejection.statuses;
        let status = self.context.status();
        match status.filter(|status| statuses.holds(*status)) {
            None => endpoint.state.record_success(),
            Some(status) => {
                endpoint.counters.faults.add(1);
                upstream.record_fault(&endpoint.state, &format_args!("status {status}"));
            }
        }
    }

    /// Whether the route, or a filter, gives the endpoint less time than its upstream: that it was too
    /// slow for one of them says nothing of how it answers others.
    fn is_shorter(&self, fault: &AttemptError) -> bool {
        let own = self.context.upstream.shared.config.first_byte_timeout;
        matches!(fault, AttemptError::FirstByteTimeout { .. })
            && self.context.timeouts.first_byte < own
    }
}

pub(super) fn too_many_fields(context: &DispatchContext<'_>, pick: &Pick) -> AttemptError {
    AttemptError::TooManyFields {
        endpoint: pick.name(),
        most: context.upstream.shared.config.max_headers,
    }
}

/// An exchange that ends because the request's body failed is not the endpoint's fault.
/// The connection says the cause over HTTP/1.1 only.
fn blame_body(context: &DispatchContext<'_>, fault: AttemptError) -> AttemptError {
    match (fault, context.watch.body_fault()) {
        (
            AttemptError::Closed { cause, .. }
            | AttemptError::Protocol {
                cause: Some(cause), ..
            },
            Some(code),
        ) => AttemptError::Body { code, cause },
        (fault, _) => fault,
    }
}

impl AttemptResult {
    /// The code of its fault, if there is no answer.
    pub(in crate::upstream::dispatch) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Unsent(_, fault) | Self::Failed(fault) => Some(fault.code().as_str()),
            Self::Answered(_) => None,
        }
    }
}
