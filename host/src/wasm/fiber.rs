//! Calls on a fiber: the worker serves other requests while they run.
//!
//! The exchange is in the instance's store until the call has ended. If the client leaves before, the
//! call is dropped: the exchange comes back with its edits undone, and the instance is discarded.
//! Other calls are in [`super::calls`].

use super::breaker::Permit;
use super::calls::CallContext;
use super::failure::CallFailure;
use super::filter::Filter;
use super::instance::{BodyCall, Instance, PhaseCall};
use super::verdict::{BodyVerdict, HeadVerdict};
use super::worker_filter::{CheckedOut, WorkerFilter};
use crate::exchange::ExchangeCell;
use crate::model::request_id::RequestId;

/// A call on a fiber that has begun.
pub(crate) struct FiberCall<'a> {
    instance: Option<Box<Instance>>,
    permit: Permit,
    id: RequestId,
    exchange: &'a ExchangeCell,
    worker_filter: &'a WorkerFilter,
}

impl<'a> FiberCall<'a> {
    /// Lend the exchange to an instance.
    pub(crate) fn begin(caller: CallContext<'a>, out: CheckedOut, cell: &'a ExchangeCell) -> Self {
        let CheckedOut {
            mut instance,
            permit,
        } = out;
        let exchange = cell.take();
        let id = exchange.id.clone();
        instance.lend_exchange(PhaseCall {
            exchange,
            position: caller.position,
            services: caller.services,
            may_rerun: caller.may_rerun,
        });
        Self {
            instance: Some(instance),
            permit,
            id,
            exchange: cell,
            worker_filter: caller.worker_filter,
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "only `end` and the end of `self` take it, and both consume `self`"
    )]
    pub(crate) fn instance(&mut self) -> &mut Instance {
        self.instance.as_deref_mut().expect("an instance")
    }

    /// The call has ended.
    pub(crate) fn end(mut self) -> Option<(Box<Instance>, Permit, RequestId)> {
        let mut instance = self.instance.take()?;
        self.put_back(&mut instance);
        Some((instance, self.permit, self.id.clone()))
    }

    /// Put the exchange back. A call that ended has kept or undone its edits; those of one that did not end are
    /// undone here.
    fn put_back(&self, instance: &mut Instance) {
        if let Some(exchange) = instance.take_exchange() {
            self.exchange.put_and_wake(exchange);
        }
    }
}

impl Drop for FiberCall<'_> {
    fn drop(&mut self) {
        if let Some(mut instance) = self.instance.take() {
            self.put_back(&mut instance);
            self.worker_filter.discard(instance);
        }
    }
}

impl Filter {
    /// Run the request phase on a fiber: the worker goes on while it runs. The exchange is away meanwhile.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(crate) async fn on_request_on_fiber(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        cell: &ExchangeCell,
    ) -> Result<HeadVerdict, CallFailure> {
        let mut call = FiberCall::begin(caller, out, cell);
        let verdict = call.instance().on_request_on_fiber().await;
        self.after_head(caller, self.ended_on_fiber(caller, call, verdict))
    }

    /// Run the response phase on a fiber.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(crate) async fn on_response_on_fiber(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        cell: &ExchangeCell,
    ) -> Result<HeadVerdict, CallFailure> {
        let mut call = FiberCall::begin(caller, out, cell);
        let verdict = call.instance().on_response_on_fiber().await;
        self.after_head(caller, self.ended_on_fiber(caller, call, verdict))
    }

    /// Run the request-body phase (else the response's) for a whole body on a fiber.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(crate) async fn on_body_on_fiber(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        cell: &ExchangeCell,
        body: BodyCall<'_>,
        is_request: bool,
    ) -> Result<BodyVerdict, CallFailure> {
        let mut call = FiberCall::begin(caller, out, cell);
        let verdict = call.instance().on_body_on_fiber(body, is_request).await;
        self.ended_on_fiber(caller.for_body(), call, verdict)
    }

    /// Run the log phase on a fiber.
    ///
    /// # Errors
    ///
    /// It failed, which was logged and counted.
    pub(crate) async fn on_log_on_fiber(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        cell: &ExchangeCell,
    ) -> Result<(), CallFailure> {
        let mut call = FiberCall::begin(caller, out, cell);
        let logged = call.instance().on_log_on_fiber().await;
        self.ended_on_fiber(caller, call, logged)
    }

    /// The end of a call on a fiber.
    fn ended_on_fiber<V>(
        &self,
        caller: CallContext<'_>,
        call: FiberCall<'_>,
        result: Result<V, CallFailure>,
    ) -> Result<V, CallFailure> {
        let Some((instance, permit, id)) = call.end() else {
            return result;
        };
        self.count(caller.worker_filter.worker(), |figures| &figures.calls, 1);
        self.after_call(caller, instance, permit, None, &id, result)
    }
}
