//! A filter: a component with settings, its instances, its breaker and its figures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::component::InstancePre;

use super::breaker::{Breaker, BreakerSettings, Permit, Tripped};
use super::component::{CompiledComponent, Phases};
use super::cpu::CpuLimit;
use super::engine::FilterEngine;
use super::failure::CallFailure;
use super::grants::{Grants, HostInterface};
use super::host::advice::Advice;
use super::instance::{BodyCall, Call, Called, Exports, Instance};
use super::memory::MemoryAccount;
use super::pool::{Seat, Spares};
use super::services::{FilterServices, Services};
use super::state::State;
use super::verdict::{BodyMode, PieceVerdict, RequestVerdict, ResponseVerdict};
use crate::context::Exchange;

/// One call in this many is timed, and checked for the instance's age.
const SAMPLE: u64 = 64;

/// What happens to a request when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnError {
    /// It is refused.
    Deny,
    /// It goes on as if the filter were not there.
    Skip,
}

/// Whether instances serve many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// One instance serves one call after another.
    Shared,
    /// Each phase call has a fresh instance.
    Request,
}

/// The bounds of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterBounds {
    /// CPU time of one phase call.
    pub cpu: Duration,
    /// CPU time of instantiate with configure.
    pub start_cpu: Duration,
    /// Linear memory of one instance. Bytes.
    pub memory: u64,
    /// The most of a body that is gathered for it. Bytes.
    pub body: u64,
    /// Calls until an instance is given up, ±20 %.
    pub recycle_calls: u32,
    /// Age at which an instance is given up.
    pub recycle_age: Duration,
    /// Growth of memory at which an instance is given up. Bytes.
    pub recycle_growth: u64,
    /// When it is suspended.
    pub breaker: BreakerSettings,
}

impl FilterBounds {
    /// What one call of a host function may bring into the host: a body, or a head with its
    /// names. Bytes.
    #[must_use]
    pub fn max_transfer(&self) -> usize {
        usize::try_from(self.body.saturating_add(4 * 1024 * 1024)).unwrap_or(usize::MAX)
    }
}

/// What a configured filter said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The plugin's own name and version, for people.
    pub plugin: String,
    /// What it does, in one line.
    pub summary: String,
    /// Attributes that it always sets.
    pub provides: Vec<String>,
    /// Attributes that it sets in some cases.
    pub sometimes: Vec<String>,
    /// Attributes that it cannot work without.
    pub requires: Vec<String>,
    /// What it tells the operator.
    pub advice: Advice,
}

/// What a filter did so far on one worker. Each worker writes its own, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct FilterFigures {
    /// Phase calls that gave a verdict.
    pub calls: AtomicU64,
    /// Refusals: `respond` and `replace`.
    pub answers: AtomicU64,
    /// Calls that failed.
    pub failures: AtomicU64,
    /// Requests that met it while it was suspended.
    pub suspended: AtomicU64,
    /// Time in calls, from a sample. Nanoseconds.
    pub nanos: AtomicU64,
}

/// A filter, ready to be called from every worker.
pub struct Filter {
    pub(super) name: Arc<str>,
    pub(super) engine: FilterEngine,
    pub(super) component: CompiledComponent,
    pub(super) pre: InstancePre<State>,
    pub(super) exports: Exports,
    pub(super) settings: String,
    pub(super) grants: Arc<Grants>,
    pub(super) own: Arc<FilterServices>,
    pub(super) bounds: FilterBounds,
    pub(super) on_error: OnError,
    pub(super) isolation: Isolation,
    pub(super) facts: Facts,
    pub(super) denied: Vec<HostInterface>,
    pub(super) stubbed: Vec<String>,
    pub(super) spares: Spares,
    pub(super) breaker: Breaker,
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
pub struct Caller<'a> {
    /// The worker's seat: it has the instance.
    pub seat: &'a Seat,
    /// The filter's place in the chain.
    pub place: u16,
    /// Keys, plans and secrets of the exchange's configuration.
    pub services: &'a Arc<Services>,
    /// Whether the phase is called again, when it wants a share that the store has to tell.
    pub patient: bool,
}

impl Filter {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The phases that it has.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.component.phases()
    }

    /// Its component.
    #[must_use]
    pub fn component(&self) -> &CompiledComponent {
        &self.component
    }

    /// What it said of itself.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What happens when it fails.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The most of a body that is gathered for it. Bytes.
    #[must_use]
    pub fn body_cap(&self) -> u64 {
        self.bounds.body
    }

    /// Host interfaces that it imports and was not granted.
    #[must_use]
    pub fn denied(&self) -> &[HostInterface] {
        &self.denied
    }

    /// WASI interfaces that it imports and whose functions trap.
    #[must_use]
    pub fn stubbed(&self) -> &[String] {
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
    pub fn count(&self, worker: usize, which: fn(&FilterFigures) -> &AtomicU64, more: u64) -> u64 {
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
    pub fn is_suspended(&self) -> bool {
        self.breaker.is_open()
    }

    /// Its cache and series.
    #[must_use]
    pub fn own(&self) -> &Arc<FilterServices> {
        &self.own
    }

    /// Run the request phase.
    pub fn on_request(
        &self,
        caller: Caller<'_>,
        exchange: Box<Exchange>,
    ) -> Called<RequestVerdict> {
        if let Some(missing) = self.missing_attribute(&exchange) {
            return (exchange, Err(CallFailure::MissingAttribute(missing)));
        }
        let (exchange, verdict) = self.call(caller, exchange, Instance::on_request);
        let verdict = verdict.map(|verdict| match verdict {
            RequestVerdict::Next(mode) => RequestVerdict::Next(self.capped(mode)),
            RequestVerdict::Respond(answer) => {
                self.count(caller.seat.worker(), |figures| &figures.answers, 1);
                RequestVerdict::Respond(answer)
            }
        });
        (exchange, verdict)
    }

    /// Run the response phase.
    pub fn on_response(
        &self,
        caller: Caller<'_>,
        exchange: Box<Exchange>,
    ) -> Called<ResponseVerdict> {
        let (exchange, verdict) = self.call(caller, exchange, Instance::on_response);
        let verdict = verdict.map(|verdict| match verdict {
            ResponseVerdict::Next(mode) => ResponseVerdict::Next(self.capped(mode)),
            ResponseVerdict::Replace(answer) => {
                self.count(caller.seat.worker(), |figures| &figures.answers, 1);
                ResponseVerdict::Replace(answer)
            }
        });
        (exchange, verdict)
    }

    /// Run the request-body phase.
    pub fn on_request_body(
        &self,
        caller: Caller<'_>,
        exchange: Box<Exchange>,
        body: BodyCall<'_>,
    ) -> Called<PieceVerdict> {
        self.call(caller, exchange, |instance, call| {
            instance.on_request_body(call, body)
        })
    }

    /// Run the response-body phase.
    pub fn on_response_body(
        &self,
        caller: Caller<'_>,
        exchange: Box<Exchange>,
        body: BodyCall<'_>,
    ) -> Called<PieceVerdict> {
        self.call(caller, exchange, |instance, call| {
            instance.on_response_body(call, body)
        })
    }

    /// Run the log phase.
    pub fn on_log(&self, caller: Caller<'_>, exchange: Box<Exchange>) -> Called<()> {
        self.call(caller, exchange, Instance::on_log)
    }

    /// What a filter asks to see whole is bounded by the operator.
    fn capped(&self, mode: BodyMode) -> BodyMode {
        match mode {
            BodyMode::Skip => BodyMode::Skip,
            BodyMode::Chunks => BodyMode::Chunks,
            BodyMode::Whole(max) => BodyMode::Whole(max.min(self.bounds.body)),
        }
    }

    fn missing_attribute(&self, exchange: &Exchange) -> Option<String> {
        self.facts
            .requires
            .iter()
            .find(|name| {
                exchange.attributes.find(name).is_none() && exchange.host_fact(name).is_none()
            })
            .cloned()
    }

    /// Ask the breaker, check an instance out, call it, and check it in or give it up.
    #[inline]
    fn call<V>(
        &self,
        caller: Caller<'_>,
        exchange: Box<Exchange>,
        run: impl FnOnce(&mut Instance, Call<'_>) -> Called<V>,
    ) -> Called<V> {
        let permit = self.breaker.permit(monotonic_nanos);
        if permit == Permit::Suspended {
            self.count(caller.seat.worker(), |figures| &figures.suspended, 1);
            return (exchange, Err(CallFailure::Suspended));
        }
        let mut instance = match self.check_out(caller.seat) {
            Ok(instance) => instance,
            Err(failure) => {
                self.failed(caller.seat.worker(), permit, &exchange, &failure);
                return (exchange, Err(failure));
            }
        };
        let count = self.count(caller.seat.worker(), |figures| &figures.calls, 1);
        let sampled = count.is_multiple_of(SAMPLE).then(Instant::now);
        let call = Call {
            exchange,
            place: caller.place,
            services: caller.services,
            patient: caller.patient,
        };
        let (exchange, result) = run(&mut instance, call);
        match result {
            Ok(verdict) => {
                if self.breaker.succeeded(permit) {
                    tracing::info!(filter = &*self.name, "the filter works again");
                }
                self.check_in(caller.seat, instance, sampled);
                (exchange, Ok(verdict))
            }
            Err(failure) => {
                if failure.has_returned() {
                    self.check_in(caller.seat, instance, None);
                } else {
                    self.give_up(caller.seat.worker(), instance);
                }
                if let CallFailure::Keys(why) = failure {
                    // No fault of the filter's: its breaker stays as it is.
                    tracing::debug!(filter = &*self.name, "{why}");
                    return (exchange, Err(failure));
                }
                if let CallFailure::Share(_) = failure {
                    // It is called again.
                    return (exchange, Err(failure));
                }
                self.failed(caller.seat.worker(), permit, &exchange, &failure);
                (exchange, Err(failure))
            }
        }
    }

    /// An isolated filter keeps no spare: what it used just goes.
    fn give_up(&self, worker: usize, instance: Box<Instance>) {
        match self.isolation {
            Isolation::Shared => self.spares.give_up(worker, instance),
            Isolation::Request => drop(instance),
        }
    }

    fn check_out(&self, seat: &Seat) -> Result<Box<Instance>, CallFailure> {
        match self.isolation {
            Isolation::Shared => match seat.take() {
                Some(instance) => Ok(instance),
                None => self.start_instance(),
            },
            Isolation::Request => self.start_instance(),
        }
    }

    fn check_in(&self, seat: &Seat, instance: Box<Instance>, sampled: Option<Instant>) {
        let mut fit =
            self.isolation == Isolation::Shared && instance.is_fit(self.bounds.recycle_growth);
        if let Some(began) = sampled {
            let now = Instant::now();
            let nanos = u64::try_from((now - began).as_nanos()).unwrap_or(u64::MAX);
            let nanos = nanos.saturating_mul(SAMPLE);
            self.count(seat.worker(), |figures| &figures.nanos, nanos);
            fit &= instance.age(now) <= self.bounds.recycle_age;
        }
        if fit {
            seat.keep(instance);
        } else {
            self.give_up(seat.worker(), instance);
        }
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
            spread(self.bounds.recycle_calls),
        )?;
        match instance.configure(&self.settings)? {
            Ok(_) => Ok(Box::new(instance)),
            Err(_) => Err(CallFailure::Verdict(
                "it refused the settings that it took when it was loaded".into(),
            )),
        }
    }

    pub(super) fn state(&self) -> State {
        State::new(
            self.name.clone(),
            self.grants.clone(),
            self.own.clone(),
            MemoryAccount::new(self.bounds.memory, self.engine.budget().clone()),
            CpuLimit::new(self.bounds.start_cpu, self.engine.tick()),
        )
    }

    fn failed(&self, worker: usize, permit: Permit, exchange: &Exchange, failure: &CallFailure) {
        self.count(worker, |figures| &figures.failures, 1);
        tracing::warn!(
            filter = &*self.name,
            request = exchange.id.as_str(),
            kind = failure.kind(),
            "filter `{}`: {failure}",
            self.name
        );
        if let CallFailure::Trap { backtrace, .. } = failure
            && !backtrace.is_empty()
        {
            tracing::debug!(filter = &*self.name, "{backtrace}");
        }
        match self.breaker.failed(permit, monotonic_nanos()) {
            Tripped::No => {}
            Tripped::Open(time) => tracing::error!(
                filter = &*self.name,
                "filter `{}` failed too often and is not called for {time:?}; its `on_error` decides what requests get",
                self.name
            ),
        }
    }
}

/// The calls that an instance serves: ±20 % by chance, so that instances are not given up all at
/// once.
fn spread(calls: u32) -> u32 {
    let fifth = calls / 5;
    fastrand::u32(calls.saturating_sub(fifth)..=calls.saturating_add(fifth)).max(1)
}

/// Nanoseconds since the first call.
fn monotonic_nanos() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Guards a list of instances that are not in use. Boxed: an instance is large, and moves for
/// every call.
pub(super) type Idle = Mutex<Vec<Box<Instance>>>;
