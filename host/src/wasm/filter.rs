//! A filter: a component with settings, its instances, its breaker and its figures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bounds::FilterBounds;
use super::breaker::{BreakerChange, CircuitBreaker, Permit};
use super::component::{CompiledComponent, Phases};
use super::facts::Facts;
use super::failure::{CallFailure, FAILURE_KINDS};
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance_source::InstanceSource;
use super::pool::InstancePool;
use super::standard::HandlerComponent;
use crate::exchange::Exchange;
use crate::model::filter::{HostInterface, Isolation, OnError};
use crate::model::request_id::RequestId;
use crate::observe::histogram::{HistogramTotals, TimeHistogram};
use crate::runtime::clock::monotonic_ns;

/// A filter's counts on one worker. Each worker writes its own, on a cache line of its own.
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
    /// The times of the sampled calls.
    pub(crate) times: TimeHistogram,
    /// Failures by the kinds of [`FAILURE_KINDS`].
    kinds: [AtomicU64; FAILURE_KINDS.len()],
}

/// A filter, ready to be called from every worker.
pub struct Filter {
    pub(super) component: CompiledComponent,
    pub(super) phases: Phases,
    pub(super) source: Arc<InstanceSource>,
    pub(super) on_error: OnError,
    pub(super) isolation: Isolation,
    pub(super) facts: Facts,
    pub(super) denied: Vec<HostInterface>,
    pub(super) uses_secrets: bool,
    pub(super) stubbed: Vec<String>,
    pub(super) verifies_tokens: bool,
    pub(super) uses_callouts: bool,
    /// The handler, if its plugin is a component on `wasi:http`.
    pub(super) handler: Option<HandlerComponent>,
    pub(super) pool: Arc<InstancePool>,
    pub(super) breaker: Arc<CircuitBreaker>,
    pub(super) figures: Box<[FilterFigures]>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("name", &self.source.name)
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

impl Filter {
    #[must_use]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.source.name
    }

    /// The phases that it exports and, with its settings, uses.
    #[must_use]
    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }

    /// Whether it handles whole exchanges: its plugin is a component on `wasi:http`.
    #[must_use]
    pub(crate) fn is_handler(&self) -> bool {
        self.handler.is_some()
    }

    /// The facts that it stated about itself.
    #[must_use]
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    #[must_use]
    pub(crate) fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The CPU time that one call may use.
    #[must_use]
    pub(crate) fn call_cpu(&self) -> Duration {
        self.source.bounds.cpu
    }

    /// The most of a body that Windlass buffers for it. Bytes.
    #[must_use]
    pub(crate) fn body_cap(&self) -> u64 {
        self.source.bounds.body
    }

    /// Host interfaces that it imports and was not granted.
    #[must_use]
    pub(crate) fn denied(&self) -> &[HostInterface] {
        &self.denied
    }

    /// Whether it may call functions that name a secret.
    #[must_use]
    pub(crate) fn uses_secrets(&self) -> bool {
        self.uses_secrets
    }

    /// WASI interfaces that it imports and whose functions trap.
    #[must_use]
    pub(crate) fn stubbed(&self) -> &[String] {
        &self.stubbed
    }

    /// One count, summed over the workers.
    #[must_use]
    pub fn figure(&self, read: fn(&FilterFigures) -> &AtomicU64) -> u64 {
        let figures = self.figures.iter();
        figures
            .map(|figures| read(figures).load(Ordering::Relaxed))
            .sum()
    }

    /// Add to a count of a worker. Only that worker writes it, so that a load and a store suffice.
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

    /// Record the time of a sampled call on a worker.
    pub(super) fn observe_call(&self, worker: usize, time_us: u64) {
        if let Some(figures) = self.figures.get(worker) {
            figures.times.observe_us(time_us);
        }
    }

    /// The times of the sampled calls, summed over the workers.
    #[must_use]
    pub(crate) fn call_times(&self) -> HistogramTotals {
        let mut totals = HistogramTotals::default();
        for figures in &self.figures {
            totals.add(&figures.times);
        }
        totals
    }

    /// Failures by kind, summed over the workers.
    pub(crate) fn failures_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FAILURE_KINDS.into_iter().enumerate().map(|(index, kind)| {
            let kinds = self.figures.iter().map(|figures| figures.kinds.get(index));
            let counts = kinds.map(|kind| kind.map_or(0, |kind| kind.load(Ordering::Relaxed)));
            (kind, counts.sum())
        })
    }

    /// Instances made so far.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.source.made()
    }

    /// Whether its breaker is open.
    #[must_use]
    pub(crate) fn is_suspended(&self) -> bool {
        self.breaker.is_open()
    }

    /// Its cache and series.
    #[must_use]
    pub(crate) fn services(&self) -> &Arc<FilterServices> {
        &self.source.services
    }

    /// Whether its calls run on a fiber.
    #[must_use]
    pub(crate) fn runs_on_fiber(&self) -> bool {
        self.source.bounds.runs_on_fiber()
    }

    /// Whether the call for a whole body of this length runs on a fiber.
    #[must_use]
    pub(crate) fn runs_on_fiber_for_body(&self, length: u64) -> bool {
        FilterBounds::is_long(self.source.bounds.cpu_for_body(length))
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

    /// How long its breaker will keep it suspended.
    #[must_use]
    pub(crate) fn suspended_for(&self) -> Duration {
        self.breaker.remaining(monotonic_ns())
    }

    /// Its grants.
    pub(super) fn grants(&self) -> &Grants {
        &self.source.grants
    }

    /// How long a request waits for an instance.
    pub(super) fn wait_limit(&self) -> Duration {
        self.source.bounds.wait
    }

    /// Its instances that are not in use.
    pub(super) fn pool(&self) -> &InstancePool {
        &self.pool
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

    /// Count a failure, and log it.
    pub(crate) fn report_failure(
        &self,
        worker: usize,
        request: Option<&RequestId>,
        failure: &CallFailure,
    ) {
        self.count(worker, |figures| &figures.failures, 1);
        let kind = failure.kind();
        let index = FAILURE_KINDS.iter().position(|other| *other == kind);
        let figures = self.figures.get(worker);
        let kinds = figures.map(|figures| &figures.kinds);
        if let Some(counter) = index.and_then(|index| kinds?.get(index)) {
            // Also from other threads: instances are made there.
            counter.fetch_add(1, Ordering::Relaxed);
        }
        failure.log(&self.source.name, request);
    }

    /// Record a success with the breaker. Gives whether it closes the breaker.
    #[inline]
    pub(super) fn record_success(&self, permit: Permit) -> bool {
        self.breaker.record_success(permit)
    }

    /// Record a failure with the breaker.
    pub(super) fn record_failure(&self, permit: Permit) {
        match self.breaker.record_failure(permit, monotonic_ns()) {
            BreakerChange::No => {}
            BreakerChange::Open(time) => tracing::error!(
                filter = &*self.source.name,
                "filter `{}` failed too often and is not called for {time:?}; its `on_error` decides what requests get",
                self.source.name
            ),
        }
    }
}
