//! Calls of a filter's phases. An instance that was checked out runs one phase; by the outcome the
//! instance is kept or discarded, and the breaker records a success or a failure.
//!
//! [`super::worker_filter`] checks the instance out before, [`crate::chain`] carries the verdict out
//! after. Calls on a fiber are in [`super::fiber`].

use std::sync::Arc;
use std::time::Instant;

use super::breaker::Permit;
use super::failure::CallFailure;
use super::filter::Filter;
use super::instance::{BodyCall, Instance, PhaseCall, PhaseResult};
use super::services::Services;
use super::verdict::{BodyMode, BodyVerdict, HeadVerdict};
use super::worker_filter::{CheckedOut, WorkerFilter};
use crate::exchange::Exchange;
use crate::model::request_id::RequestId;

/// One call in this many is timed, and checked for the instance's age.
const SAMPLE: u64 = 64;

/// The caller of a phase: a worker, for one filter of one chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallContext<'a> {
    /// The worker's use of the filter: it has the instance.
    pub(crate) worker_filter: &'a WorkerFilter,
    /// The filter's place in the chain.
    pub(crate) position: u16,
    /// Keys, plans and secrets of the exchange's configuration.
    pub(crate) services: &'a Arc<Services>,
    /// Whether the phase can run again after a wait for the store, newer keys or a callout.
    pub(crate) may_rerun: bool,
    /// Whether the phase gets a body.
    pub(crate) shows_body: bool,
}

impl CallContext<'_> {
    /// The same caller, for a phase that gets a body.
    pub(super) fn for_body(self) -> Self {
        Self {
            shows_body: true,
            ..self
        }
    }
}

impl Filter {
    pub(crate) fn on_request(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
    ) -> PhaseResult<HeadVerdict> {
        let (exchange, verdict) = self.call(caller, out, exchange, Instance::on_request);
        (exchange, self.after_head(caller, verdict))
    }

    #[inline]
    pub(super) fn after_head(
        &self,
        caller: CallContext<'_>,
        verdict: Result<HeadVerdict, CallFailure>,
    ) -> Result<HeadVerdict, CallFailure> {
        Ok(match verdict? {
            HeadVerdict::Next(mode) => HeadVerdict::Next(self.cap(mode)),
            HeadVerdict::Respond(answer) => {
                self.count(caller.worker_filter.worker(), |figures| &figures.answers, 1);
                HeadVerdict::Respond(answer)
            }
        })
    }

    pub(crate) fn on_response(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
    ) -> PhaseResult<HeadVerdict> {
        let (exchange, verdict) = self.call(caller, out, exchange, Instance::on_response);
        (exchange, self.after_head(caller, verdict))
    }

    /// Call the phase for a request's body, else for a response's.
    pub(crate) fn on_body(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
        body: BodyCall<'_>,
        is_request: bool,
    ) -> PhaseResult<BodyVerdict> {
        self.call(caller.for_body(), out, exchange, |instance, call| {
            instance.on_body(call, body, is_request)
        })
    }

    pub(crate) fn on_log(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
    ) -> PhaseResult<()> {
        self.call(caller, out, exchange, Instance::on_log)
    }

    /// The operator's `limits.body` bounds the body that a filter asks for.
    fn cap(&self, mode: BodyMode) -> BodyMode {
        match mode {
            BodyMode::Skip => BodyMode::Skip,
            BodyMode::Chunks => BodyMode::Chunks,
            BodyMode::Whole(max) => BodyMode::Whole(max.min(self.body_cap())),
        }
    }

    /// Call an instance that was checked out, and check it in or discard it.
    #[inline]
    fn call<V>(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
        run: impl FnOnce(&mut Instance, PhaseCall<'_>) -> PhaseResult<V>,
    ) -> PhaseResult<V> {
        let CheckedOut {
            mut instance,
            permit,
        } = out;
        let count = self.count(caller.worker_filter.worker(), |figures| &figures.calls, 1);
        let sampled = count.is_multiple_of(SAMPLE).then(Instant::now);
        let call = PhaseCall {
            exchange,
            position: caller.position,
            services: caller.services,
            may_rerun: caller.may_rerun,
        };
        let (exchange, result) = run(&mut instance, call);
        let result = self.after_call(caller, instance, permit, sampled, &exchange.id, result);
        (exchange, result)
    }

    #[inline]
    pub(super) fn after_call<V>(
        &self,
        caller: CallContext<'_>,
        instance: Box<Instance>,
        permit: Permit,
        sampled: Option<Instant>,
        id: &RequestId,
        result: Result<V, CallFailure>,
    ) -> Result<V, CallFailure> {
        match result {
            Ok(verdict) => {
                if self.record_success(permit) {
                    tracing::info!(
                        filter = &**self.name(),
                        "the filter is called again: its circuit breaker closed"
                    );
                }
                self.check_in(caller.worker_filter, instance, sampled);
                Ok(verdict)
            }
            Err(failure) => {
                self.after_failure(caller, instance, permit, id, &failure);
                Err(failure)
            }
        }
    }

    /// Out of the way of calls that succeed, which stay small enough to be inlined.
    #[cold]
    fn after_failure(
        &self,
        caller: CallContext<'_>,
        instance: Box<Instance>,
        permit: Permit,
        id: &RequestId,
        failure: &CallFailure,
    ) {
        if failure.has_returned() {
            self.check_in(caller.worker_filter, instance, None);
        } else {
            caller.worker_filter.discard(instance);
        }
        match failure {
            // No fault of the filter's: its breaker stays as it is.
            CallFailure::Keys(_) | CallFailure::TokenKeys(_) => {
                tracing::debug!(filter = &**self.name(), "{failure}");
            }
            // The phase ran as far as it could, and runs again after the wait.
            CallFailure::Share(_) | CallFailure::NewerKeys(_) | CallFailure::Callout(_) => {
                let _ = self.record_success(permit);
            }
            _ => {
                self.report_failure(caller.worker_filter.worker(), Some(id), failure);
                let is_of_body = caller.shows_body && failure.is_caused_by_size();
                if !is_of_body && !failure.is_not_filters_fault() {
                    self.record_failure(permit);
                }
            }
        }
    }

    #[inline]
    fn check_in(
        &self,
        worker_filter: &WorkerFilter,
        instance: Box<Instance>,
        sampled: Option<Instant>,
    ) {
        let mut fit = worker_filter.is_shared() && instance.is_fit();
        if let Some(began) = sampled {
            let now = Instant::now();
            let nanos = u64::try_from((now - began).as_nanos()).unwrap_or(u64::MAX);
            self.observe_call(worker_filter.worker(), nanos / 1000);
            let nanos = nanos.saturating_mul(SAMPLE);
            self.count(worker_filter.worker(), |figures| &figures.nanos, nanos);
            fit &= instance.is_young(now);
        }
        if fit {
            worker_filter.check_in(instance);
        } else {
            worker_filter.discard(instance);
        }
    }
}
