//! A filter: a component with settings, its instances, its breaker and its figures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::InstancePre;

use super::bounds::FilterBounds;
use super::breaker::{BreakerChange, CircuitBreaker, Permit, monotonic_nanos};
use super::component::{CompiledComponent, Phases};
use super::cpu::CpuLimit;
use super::engine::FilterEngine;
use super::exports::Exports;
use super::facts::Facts;
use super::failure::CallFailure;
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance::{BodyCall, Instance, PhaseCall, PhaseResult};
use super::memory::MemoryAccount;
use super::pool::{CheckedOut, InstancePool, WorkerFilter};
use super::services::Services;
use super::state::InstanceState;
use super::verdict::{BodyMode, BodyVerdict, RequestVerdict, ResponseVerdict};
use crate::exchange::{Exchange, RequestId};
use crate::model::filter::{HostInterface, Isolation, OnError};

/// One call in this many is timed, and checked for the instance's age.
const SAMPLE: u64 = 64;

/// What a filter did so far on one worker. Each worker writes its own, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct FilterFigures {
    /// Phase calls that gave a verdict.
    pub(crate) calls: AtomicU64,
    /// Refusals: `respond` and `replace`.
    pub(crate) answers: AtomicU64,
    pub failures: AtomicU64,
    /// Requests that met it while it was suspended.
    pub(crate) suspended: AtomicU64,
    /// Requests that found no instance free.
    pub(crate) busy: AtomicU64,
    /// Time in calls, from a sample. Nanoseconds.
    pub(crate) nanos: AtomicU64,
}

/// A filter, ready to be called from every worker.
pub struct Filter {
    pub(super) name: Arc<str>,
    pub(super) engine: FilterEngine,
    pub(super) component: CompiledComponent,
    pub(super) phases: Phases,
    pub(super) pre: InstancePre<InstanceState>,
    pub(super) exports: Exports,
    pub(super) settings: String,
    pub(super) grants: Arc<Grants>,
    pub(super) services: Arc<FilterServices>,
    pub(super) bounds: FilterBounds,
    pub(super) on_error: OnError,
    pub(super) isolation: Isolation,
    pub(super) facts: Facts,
    pub(super) denied: Vec<HostInterface>,
    pub(super) stubbed: Vec<String>,
    pub(super) verifies_tokens: bool,
    pub(super) uses_callouts: bool,
    pub(super) pool: InstancePool,
    pub(super) breaker: CircuitBreaker,
    pub(super) instances: AtomicU64,
    pub(super) figures: Box<[FilterFigures]>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("name", &self.name)
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

/// Who calls, and from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallContext<'a> {
    /// The worker's seat: it has the instance.
    pub(crate) worker_filter: &'a WorkerFilter,
    /// The filter's place in the chain.
    pub(crate) position: u16,
    /// Keys, plans and secrets of the exchange's configuration.
    pub(crate) services: &'a Arc<Services>,
    /// Whether the phase is called again, when it wants a share that the store has to tell.
    pub(crate) may_rerun: bool,
    /// Whether the phase is shown a body.
    pub(crate) shows_body: bool,
}

impl CallContext<'_> {
    /// The same, for a phase that is shown a body.
    pub(super) fn for_body(self) -> Self {
        Self {
            shows_body: true,
            ..self
        }
    }
}

impl Filter {
    #[must_use]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The phases that it has and, with its settings, has to do in.
    #[must_use]
    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }

    /// What it said of itself.
    #[must_use]
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    #[must_use]
    pub(crate) fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The most of a body that is gathered for it. Bytes.
    #[must_use]
    pub(crate) fn body_cap(&self) -> u64 {
        self.bounds.body
    }

    /// Host interfaces that it imports and was not granted.
    #[must_use]
    pub(crate) fn denied(&self) -> &[HostInterface] {
        &self.denied
    }

    /// WASI interfaces that it imports and whose functions trap.
    #[must_use]
    pub(crate) fn stubbed(&self) -> &[String] {
        &self.stubbed
    }

    /// What it did so far: a sum over the workers.
    #[must_use]
    pub fn figure(&self, read: fn(&FilterFigures) -> &AtomicU64) -> u64 {
        let figures = self.figures.iter();
        figures
            .map(|figures| read(figures).load(Ordering::Relaxed))
            .sum()
    }

    /// Count one more on a worker. Only that worker writes there, so that a load and a store do.
    /// Gives the count before.
    pub(crate) fn count(
        &self,
        worker: usize,
        which: fn(&FilterFigures) -> &AtomicU64,
        more: u64,
    ) -> u64 {
        let Some(figures) = self.figures.get(worker) else {
            return 0;
        };
        let figure = which(figures);
        let before = figure.load(Ordering::Relaxed);
        figure.store(before.wrapping_add(more), Ordering::Relaxed);
        before
    }

    /// Instances made so far.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.instances.load(Ordering::Relaxed)
    }

    /// Whether its breaker is open.
    #[must_use]
    pub(crate) fn is_suspended(&self) -> bool {
        self.breaker.is_open()
    }

    /// Its cache and series.
    #[must_use]
    pub(crate) fn services(&self) -> &Arc<FilterServices> {
        &self.services
    }

    pub(crate) fn on_request(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
    ) -> PhaseResult<RequestVerdict> {
        let (exchange, verdict) = self.call(caller, out, exchange, Instance::on_request);
        (exchange, self.after_request(caller, verdict))
    }

    pub(super) fn after_request(
        &self,
        caller: CallContext<'_>,
        verdict: Result<RequestVerdict, CallFailure>,
    ) -> Result<RequestVerdict, CallFailure> {
        Ok(match verdict? {
            RequestVerdict::Next(mode) => RequestVerdict::Next(self.cap(mode)),
            RequestVerdict::Respond(answer) => {
                self.count(caller.worker_filter.worker(), |figures| &figures.answers, 1);
                RequestVerdict::Respond(answer)
            }
        })
    }

    pub(crate) fn on_response(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
    ) -> PhaseResult<ResponseVerdict> {
        let (exchange, verdict) = self.call(caller, out, exchange, Instance::on_response);
        (exchange, self.after_response(caller, verdict))
    }

    pub(super) fn after_response(
        &self,
        caller: CallContext<'_>,
        verdict: Result<ResponseVerdict, CallFailure>,
    ) -> Result<ResponseVerdict, CallFailure> {
        Ok(match verdict? {
            ResponseVerdict::Next(mode) => ResponseVerdict::Next(self.cap(mode)),
            ResponseVerdict::Replace(answer) => {
                self.count(caller.worker_filter.worker(), |figures| &figures.answers, 1);
                ResponseVerdict::Replace(answer)
            }
        })
    }

    pub(crate) fn on_request_body(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
        body: BodyCall<'_>,
    ) -> PhaseResult<BodyVerdict> {
        self.call(caller.for_body(), out, exchange, |instance, call| {
            instance.on_request_body(call, body)
        })
    }

    pub(crate) fn on_response_body(
        &self,
        caller: CallContext<'_>,
        out: CheckedOut,
        exchange: Box<Exchange>,
        body: BodyCall<'_>,
    ) -> PhaseResult<BodyVerdict> {
        self.call(caller.for_body(), out, exchange, |instance, call| {
            instance.on_response_body(call, body)
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

    /// Whether its calls run on a fiber.
    #[must_use]
    pub(crate) fn runs_on_fiber(&self) -> bool {
        self.bounds.runs_on_fiber()
    }

    /// Whether the call for a gathered body of this length runs on a fiber.
    #[must_use]
    pub(crate) fn runs_on_fiber_for_body(&self, length: u64) -> bool {
        FilterBounds::is_long(self.bounds.cpu_for_body(length))
    }

    /// What a filter asks to see whole is bounded by the operator.
    fn cap(&self, mode: BodyMode) -> BodyMode {
        match mode {
            BodyMode::Skip => BodyMode::Skip,
            BodyMode::Chunks => BodyMode::Chunks,
            BodyMode::Whole(max) => BodyMode::Whole(max.min(self.bounds.body)),
        }
    }

    /// An attribute that it requires and that was not set before it.
    #[must_use]
    pub(crate) fn missing_attribute(&self, exchange: &Exchange) -> Option<String> {
        self.facts
            .requires
            .iter()
            .find(|name| {
                exchange.attributes.find(name).is_none() && exchange.host_fact(name).is_none()
            })
            .cloned()
    }

    /// Call an instance that was checked out, and check it in or give it up.
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
                if self.breaker.record_success(permit) {
                    tracing::info!(filter = &*self.name, "the filter works again");
                }
                self.check_in(caller.worker_filter, instance, sampled);
                Ok(verdict)
            }
            Err(failure) => {
                if failure.has_returned() {
                    self.check_in(caller.worker_filter, instance, None);
                } else {
                    caller.worker_filter.discard(instance);
                }
                if let CallFailure::Keys(_) | CallFailure::TokenKeys(_) = failure {
                    // No fault of the filter's: its breaker stays as it is.
                    tracing::debug!(filter = &*self.name, "{failure}");
                    return Err(failure);
                }
                if let CallFailure::Share(_) | CallFailure::NewerKeys(_) | CallFailure::Callout(_) =
                    failure
                {
                    // It works so far, and is called again.
                    let _ = self.breaker.record_success(permit);
                    return Err(failure);
                }
                self.report_failure(caller.worker_filter.worker(), Some(id), &failure);
                let is_of_body = caller.shows_body && failure.is_caused_by_size();
                if !is_of_body && !failure.is_not_filters_fault() {
                    self.record_failure(permit);
                }
                Err(failure)
            }
        }
    }

    fn check_in(&self, seat: &WorkerFilter, instance: Box<Instance>, sampled: Option<Instant>) {
        let mut fit = seat.is_shared() && instance.is_fit(self.bounds.recycle_growth);
        if let Some(began) = sampled {
            let now = Instant::now();
            let nanos = u64::try_from((now - began).as_nanos()).unwrap_or(u64::MAX);
            let nanos = nanos.saturating_mul(SAMPLE);
            self.count(seat.worker(), |figures| &figures.nanos, nanos);
            fit &= instance.age(now) <= self.bounds.recycle_age;
        }
        if fit {
            seat.check_in(instance);
        } else {
            seat.discard(instance);
        }
    }

    /// How long its breaker keeps it suspended yet.
    #[must_use]
    pub(crate) fn suspended_for(&self) -> Duration {
        self.breaker.remaining(monotonic_nanos())
    }

    #[inline]
    pub(super) fn permit(&self) -> Permit {
        self.breaker.permit(monotonic_nanos)
    }

    /// How long a request waits for an instance.
    pub(super) fn wait_limit(&self) -> Duration {
        self.bounds.wait
    }

    /// Its instances that are not in use.
    pub(super) fn pool(&self) -> &InstancePool {
        &self.pool
    }

    /// Instantiate and configure.
    pub(super) fn start_instance(&self) -> Result<Box<Instance>, CallFailure> {
        self.instances.fetch_add(1, Ordering::Relaxed);
        let mut instance = Instance::start(
            self.engine.engine(),
            &self.pre,
            &self.exports,
            self.state(),
            &self.bounds,
            self.bounds.calls_of_instance(),
        )?;
        match instance.configure(&self.settings)? {
            Ok(_) => Ok(Box::new(instance)),
            Err(_) => Err(CallFailure::Verdict(
                "it refused the settings that it took when it was loaded".into(),
            )),
        }
    }

    pub(super) fn state(&self) -> InstanceState {
        InstanceState::new(
            self.name.clone(),
            self.grants.clone(),
            self.services.clone(),
            MemoryAccount::new(self.bounds.memory, self.engine.budget().clone()),
            CpuLimit::new(self.bounds.start_cpu, self.engine.tick()),
        )
    }

    pub(super) fn failed(
        &self,
        worker: usize,
        permit: Permit,
        request: Option<&RequestId>,
        failure: &CallFailure,
    ) {
        self.report_failure(worker, request, failure);
        self.record_failure(permit);
    }

    /// Count a failure, and say it.
    pub(crate) fn report_failure(
        &self,
        worker: usize,
        request: Option<&RequestId>,
        failure: &CallFailure,
    ) {
        self.count(worker, |figures| &figures.failures, 1);
        failure.log(&self.name, request);
    }

    /// Tell the breaker of a failure.
    fn record_failure(&self, permit: Permit) {
        match self.breaker.record_failure(permit, monotonic_nanos()) {
            BreakerChange::No => {}
            BreakerChange::Open(time) => tracing::error!(
                filter = &*self.name,
                "filter `{}` failed too often and is not called for {time:?}; its `on_error` decides what requests get",
                self.name
            ),
        }
    }
}
