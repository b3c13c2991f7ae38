//! Refuses requests while the gateway has too many, or too little memory, before anything else is done for them.
//!
//! A refused request costs its head and a small answer. The requests that have begun go on. The rates of clients are
//! in [`super::rates`], and the bounds of endpoints in [`crate::upstream`].

use std::sync::Arc;

use http::header::RETRY_AFTER;

use super::RunningExchange;
use crate::error::{Code, RequestError};
use crate::model::limit::LimitKind;
use crate::runtime::active_requests::{ActiveRequestBound, ActiveRequests};
use crate::runtime::memory::MemoryPressure;

/// When a refused client may come again. Seconds: one for a request that ends, more for memory.
const RETRY_ACTIVE_S: u16 = 1;
const RETRY_MEMORY_S: u16 = 5;

/// The bounds of the whole gateway, and how near it is to them.
#[derive(Debug)]
pub(crate) struct LoadBounds {
    /// How many requests may be active.
    pub(crate) active_bound: ActiveRequestBound,
    /// The active requests of all generations.
    pub(crate) active_requests: Arc<ActiveRequests>,
    /// The most memory that the process may use; none: no bound is known.
    pub(crate) max_memory: Option<u64>,
    /// Whether it uses that much.
    pub(crate) memory: Arc<MemoryPressure>,
}

impl RunningExchange {
    /// Let the request in, and count it until it ends.
    ///
    /// # Errors
    ///
    /// The gateway is overloaded.
    pub(super) fn admit(&mut self) -> Result<(), RequestError> {
        let load = &self.generation.gateway.load;
        if load.memory.is_high() {
            let cause = "the gateway uses `[server] max_memory`".to_owned();
            return Err(self.overloaded(LimitKind::Memory, cause, RETRY_MEMORY_S));
        }
        let (all, bound) = (&load.active_requests, load.active_bound);
        self.permit = self.connection.worker.permits.take(all, bound);
        if self.permit.is_some() {
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
    pub(super) fn give_permit_back(&mut self) {
        if let Some(permit) = self.permit.take() {
            let load = &self.generation.gateway.load;
            let permits = &self.connection.worker.permits;
            permits.give_back(permit, &load.active_requests, load.active_bound);
        }
    }
}
