//! Refuses requests while the gateway has too many, or too little memory, before anything else is done for them.
//!
//! A refused request costs its head and a small answer. The requests that have begun go on. The rates of clients are
//! in [`super::rates`], and the bounds of endpoints in [`crate::upstream`].

use http::header::RETRY_AFTER;

use super::RunningExchange;
use crate::error::{Code, RequestError};
use crate::model::limit::LimitKind;

/// When a refused client may come again. Seconds: one for a request that ends, more for memory.
const RETRY_ACTIVE_S: u16 = 1;
const RETRY_MEMORY_S: u16 = 5;

impl RunningExchange {
    /// Let the request in, and count it until it ends.
    ///
    /// # Errors
    ///
    /// The gateway is overloaded.
    pub(super) fn admit(&mut self) -> Result<(), RequestError> {
        let gateway = &self.generation.gateway;
        if gateway.memory.is_high() {
            let cause = "the gateway uses `[server] max_memory`".to_owned();
            return Err(self.overloaded(LimitKind::Memory, cause, RETRY_MEMORY_S));
        }
        let (all, bound) = (&gateway.active_requests, gateway.active_bound);
        self.has_permit = self.connection.worker.permits.take(all, bound);
        if self.has_permit {
            return Ok(());
        }
        let most = bound.most;
        let cause = format!(
            "there are {most} active requests; raise `[server] max_active_requests` if there is memory for more"
        );
        Err(self.overloaded(LimitKind::ActiveRequests, cause, RETRY_ACTIVE_S))
    }

    fn overloaded(&self, limit: LimitKind, cause: String, retry_s: u16) -> RequestError {
        self.connection.stats().limit_hit(limit);
        RequestError::with_source(Code::GatewayOverloaded, cause)
            .with_header(RETRY_AFTER, retry_s.into())
    }

    /// The request has ended.
    pub(super) fn give_permit_back(&self) {
        if self.has_permit {
            let gateway = &self.generation.gateway;
            let permits = &self.connection.worker.permits;
            permits.give_back(&gateway.active_requests, gateway.active_bound);
        }
    }
}
