//! An instance of a filter: its component instantiated, in a store of its own, with the filter's settings.
//!
//! An instance runs one phase of one exchange at a time. [`super::pool`] keeps instances between calls;
//! [`super::calls`] and [`super::fiber`] call them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use wasmtime::component::{ComponentNamedList, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{Engine, Store, UpdateDeadline};

use super::account::MAX_HOST_CALLS;
use super::bindings::lifecycle::{Diagnostic, PluginInfo, Setup};
use super::bounds::FilterBounds;
use super::chunk::Chunk;
use super::exports::{BodyFunction, Exports, Guests};
use super::facts::Advice;
use super::failure::CallFailure;
use super::recorder::Decided;
use super::services::Services;
use super::state::{InstanceState, Phase};
use super::verdict::{self, BodyVerdict, HeadVerdict};
use crate::exchange::Exchange;
use crate::runtime::panics;

/// The arguments of a phase call.
pub(crate) struct PhaseCall<'a> {
    /// The exchange; comes back with the result.
    pub(crate) exchange: Box<Exchange>,
    /// The filter's position in the chain.
    pub(crate) position: u16,
    /// Keys, plans and secrets of the exchange's configuration.
    pub(crate) services: &'a Arc<Services>,
    /// Whether the phase can run again after a wait for the store, newer keys or a callout.
    pub(crate) may_rerun: bool,
}

/// The further arguments of a body call.
pub(crate) struct BodyCall<'a> {
    /// The bytes that the filter may read and edit.
    pub(crate) chunk: &'a mut Chunk,
    /// The message's trailers, in its last call.
    pub(crate) trailers: &'a mut Option<HeaderMap>,
    pub(crate) last: bool,
    /// Whether the head is still held back.
    pub(crate) head_open: bool,
    /// Becomes true when the filter edits the chunk.
    pub(crate) edited: &'a mut bool,
    /// The largest size that edits may give the chunk. Bytes.
    pub(crate) cap: u64,
}

/// A fault that a test of a plugin puts into calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// The CPU time is used up before the first instruction.
    AtOnce,
    /// The call of a host function after this many traps.
    AfterHostCalls(u32),
}

/// The result of a call: the exchange, and a verdict or a failure.
pub(crate) type PhaseResult<V> = (Box<Exchange>, Result<V, CallFailure>);

pub(crate) struct Instance {
    store: Store<InstanceState>,
    guests: Guests,
    bounds: FilterBounds,
    /// The CPU time of a call, also while the calls are made to fail.
    full_cpu: Duration,
    /// When it was made.
    created_at: Instant,
    /// Calls until it is discarded.
    calls_left: u32,
    /// The ticks of the epoch until the CPU time of a call is first looked at: one, except in tests of plugins.
    first_look: u64,
    /// Its memory after `configure`. Bytes.
    configured_memory: u64,
}

impl Instance {
    /// Instantiate; the start function runs within its CPU allowance. The instance serves this many
    /// calls.
    ///
    /// # Errors
    ///
    /// It trapped, was too slow, or there is no room.
    pub(crate) fn start(
        engine: &Engine,
        pre: &InstancePre<InstanceState>,
        exports: &Exports,
        state: InstanceState,
        bounds: &FilterBounds,
        calls: u32,
    ) -> Result<Self, CallFailure> {
        let mut store = Store::new(engine, state);
        store.set_hostcall_fuel(bounds.max_transfer());
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| {
            let cpu = &mut store.data_mut().cpu;
            cpu.tick()?;
            Ok(if cpu.is_on_fiber() {
                // Tokio's yield, not wasmtime's own: it lets the worker poll its sockets.
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        // Before it is instantiated: start functions run there already.
        store.data_mut().cpu.arm_start(bounds.start_cpu);
        store.set_epoch_deadline(1);
        let loaded = caught(|| {
            let instance = pre.instantiate(&mut store)?;
            exports.load(&mut store, &instance)
        });
        let guests = loaded.map_err(|error| {
            store.data_mut().output.flush(None);
            failure(store.data_mut(), error)
        })?;
        Ok(Self {
            store,
            guests,
            bounds: *bounds,
            full_cpu: bounds.cpu,
            created_at: Instant::now(),
            calls_left: calls,
            first_look: 1,
            configured_memory: 0,
        })
    }

    /// Call `describe`.
    ///
    /// # Errors
    ///
    /// It trapped or was too slow.
    pub(crate) fn describe(&mut self) -> Result<PluginInfo, CallFailure> {
        let lifecycle = &self.guests.lifecycle;
        let info = caught(|| lifecycle.call_describe(&mut self.store));
        self.ended(info)
    }

    /// Call `configure`.
    ///
    /// # Errors
    ///
    /// Outer: it trapped or was too slow. Inner: it rejects the settings.
    pub(crate) fn configure(
        &mut self,
        settings: &str,
    ) -> Result<Result<Setup, Vec<Diagnostic>>, CallFailure> {
        self.store.data_mut().phase = Phase::Configure;
        let lifecycle = &self.guests.lifecycle;
        let setup = caught(|| lifecycle.call_configure(&mut self.store, settings));
        let setup = self.ended(setup)?;
        self.configured_memory = self.store.data().memory.used;
        Ok(setup)
    }

    /// Call `contribute`. None: it does not describe itself.
    ///
    /// # Errors
    ///
    /// It trapped or was too slow.
    pub(crate) fn contribute(&mut self) -> Result<Option<String>, CallFailure> {
        let Some(description) = &self.guests.description else {
            return Ok(None);
        };
        let contribution = caught(|| description.call_contribute(&mut self.store));
        self.ended(contribution).map(Some)
    }

    /// The advice that it gave in `configure`.
    pub(crate) fn take_advice(&mut self) -> Advice {
        std::mem::take(&mut self.store.data_mut().advice)
    }

    /// What it wrote to its log and its streams since the last call began.
    pub(crate) fn take_said(&mut self) -> Option<String> {
        self.store.data_mut().output.take_said()
    }

    #[cold]
    fn failure(&mut self, error: wasmtime::Error) -> CallFailure {
        failure(self.store.data_mut(), error)
    }

    fn ended<T>(&mut self, result: wasmtime::Result<T>) -> Result<T, CallFailure> {
        let state = self.store.data_mut();
        state.phase = Phase::Idle;
        state.output.flush(None);
        result.map_err(|error| self.failure(error))
    }

    /// Its linear memory. Bytes.
    #[must_use]
    pub(crate) fn memory(&self) -> u64 {
        self.store.data().memory.used
    }

    /// Make its next calls fail, or take that back.
    pub(crate) fn set_fault(&mut self, fault: Option<CallFault>) {
        self.first_look = u64::from(fault != Some(CallFault::AtOnce));
        self.bounds.cpu = match fault {
            Some(CallFault::AtOnce) => Duration::ZERO,
            _ => self.full_cpu,
        };
        self.store.data_mut().calls_before = match fault {
            Some(CallFault::AfterHostCalls(calls)) => MAX_HOST_CALLS.saturating_sub(calls),
            _ => 0,
        };
    }

    /// Whether it may serve again, by its calls and its growth.
    #[must_use]
    pub(crate) fn is_fit(&self) -> bool {
        let used = self.store.data().memory.used;
        let growth = used.saturating_sub(self.configured_memory);
        self.calls_left > 0 && growth <= self.bounds.recycle_growth
    }

    /// Whether it may serve again, by its age.
    #[must_use]
    pub(crate) fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.created_at) <= self.bounds.recycle_age
    }

    /// Call `on-request`.
    pub(crate) fn on_request(&mut self, call: PhaseCall<'_>) -> PhaseResult<HeadVerdict> {
        self.phase(call, Phase::Request, |guests, store| {
            let (verdict,) = require(guests.request.as_ref())?.call(&mut *store, ())?;
            let has_body = guests.request_body.is_some();
            Ok(verdict::request(verdict, has_body, store.data_mut())?)
        })
    }

    /// Call `on-response`.
    pub(crate) fn on_response(&mut self, call: PhaseCall<'_>) -> PhaseResult<HeadVerdict> {
        self.phase(call, Phase::Response, |guests, store| {
            let (verdict,) = require(guests.response.as_ref())?.call(&mut *store, ())?;
            let has_body = guests.response_body.is_some();
            Ok(verdict::response(verdict, has_body, store.data_mut())?)
        })
    }

    /// Call `on-log`.
    pub(crate) fn on_log(&mut self, call: PhaseCall<'_>) -> PhaseResult<()> {
        self.phase(call, Phase::Log, |guests, store| {
            require(guests.log.as_ref())?.call(store, ())
        })
    }

    /// Take an exchange for a call on a fiber.
    pub(crate) fn lend_exchange(&mut self, call: PhaseCall<'_>) {
        self.enter(Phase::Idle, call);
    }

    #[inline]
    fn enter(&mut self, phase: Phase, call: PhaseCall<'_>) {
        self.calls_left = self.calls_left.saturating_sub(1);
        let state = self.store.data_mut();
        match &state.services {
            Some(services) if Arc::ptr_eq(services, call.services) => {}
            Some(_) | None => state.services = Some(call.services.clone()),
        }
        state.enter(phase, call.position, call.exchange);
        state.may_rerun = call.may_rerun;
    }

    /// Give the exchange back. The edits of a call that did not end are undone.
    pub(crate) fn take_exchange(&mut self) -> Option<Box<Exchange>> {
        self.store.data_mut().end_phase(false)
    }

    /// Call `on-request` on a fiber.
    ///
    /// # Errors
    ///
    /// As [`Self::on_request`].
    pub(crate) async fn on_request_on_fiber(&mut self) -> Result<HeadVerdict, CallFailure> {
        let (call, has_body) = (self.guests.request, self.guests.request_body.is_some());
        let check = |(verdict,), state: &mut _| verdict::request(verdict, has_body, state);
        self.call_on_fiber(Phase::Request, self.bounds.cpu, call, (), check)
            .await
    }

    /// Call `on-response` on a fiber.
    ///
    /// # Errors
    ///
    /// As [`Self::on_response`].
    pub(crate) async fn on_response_on_fiber(&mut self) -> Result<HeadVerdict, CallFailure> {
        let (call, has_body) = (self.guests.response, self.guests.response_body.is_some());
        let check = |(verdict,), state: &mut _| verdict::response(verdict, has_body, state);
        self.call_on_fiber(Phase::Response, self.bounds.cpu, call, (), check)
            .await
    }

    /// Call `on-log` on a fiber.
    ///
    /// # Errors
    ///
    /// As [`Self::on_log`].
    pub(crate) async fn on_log_on_fiber(&mut self) -> Result<(), CallFailure> {
        let call = self.guests.log;
        self.call_on_fiber(Phase::Log, self.bounds.cpu, call, (), |(), _| Ok(()))
            .await
    }

    /// Call `on-request-body`, else `on-response-body`, on a fiber.
    ///
    /// # Errors
    ///
    /// As [`Self::on_body`].
    pub(crate) async fn on_body_on_fiber(
        &mut self,
        body: BodyCall<'_>,
        is_request: bool,
    ) -> Result<BodyVerdict, CallFailure> {
        let (phase, call) = self.body_function(&body, is_request);
        let asked = (body.chunk.len(), body.last);
        let cpu = self.bounds.cpu_for_body(body.chunk.len());
        let state = self.store.data_mut();
        state.chunk = std::mem::take(body.chunk);
        state.trailers = body.trailers.take();
        state.body_cap = body.cap;
        let check = |(verdict,), state: &mut _| verdict::body(verdict, state);
        let verdict = self.call_on_fiber(phase, cpu, call, asked, check).await;
        let state = self.store.data_mut();
        *body.chunk = std::mem::take(&mut state.chunk);
        *body.trailers = state.trailers.take();
        *body.edited |= state.chunk_edited && verdict.is_ok();
        verdict
    }

    /// Call a function on a fiber, which yields at every tick of the epoch; then keep its edits, or undo them.
    async fn call_on_fiber<P, R, V>(
        &mut self,
        phase: Phase,
        cpu: Duration,
        call: Option<TypedFunc<P, R>>,
        params: P,
        check: impl FnOnce(R, &mut InstanceState) -> Result<V, CallFailure>,
    ) -> Result<V, CallFailure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
        V: Decided,
    {
        let call = *require(call.as_ref()).map_err(|error| self.failure(error))?;
        let state = self.store.data_mut();
        state.phase = phase;
        let slice = state.cpu.arm_on_fiber(cpu);
        self.store.set_epoch_deadline(self.first_look);
        let answer = {
            let mut running = std::pin::pin!(call.call_async(&mut self.store, params));
            let polled = std::future::poll_fn(|context| {
                slice.begin();
                panics::poll_caught(running.as_mut(), context)
            });
            polled
                .await
                .unwrap_or_else(|panic| Err(CallFailure::of_panic(&panic).into()))
        };
        let result = caught(|| Ok(check(answer?, self.store.data_mut())?));
        let state = self.store.data_mut();
        let edits = state.recorded_edits();
        state.finish_phase(result.is_ok());
        let result = result.map_err(|error| self.failure(error));
        if let Some(edits) = edits {
            self.store.data_mut().record_on_fiber(phase, edits, &result);
        }
        result
    }

    /// The phase for a request's body, else for a response's, and its function.
    fn body_function(
        &self,
        body: &BodyCall<'_>,
        is_request: bool,
    ) -> (Phase, Option<BodyFunction>) {
        let head_open = body.head_open;
        if is_request {
            (Phase::RequestBody { head_open }, self.guests.request_body)
        } else {
            (Phase::ResponseBody { head_open }, self.guests.response_body)
        }
    }

    /// Call `on-request-body`, else `on-response-body`.
    pub(crate) fn on_body(
        &mut self,
        call: PhaseCall<'_>,
        body: BodyCall<'_>,
        is_request: bool,
    ) -> PhaseResult<BodyVerdict> {
        let (phase, function) = self.body_function(&body, is_request);
        let asked = (body.chunk.len(), body.last);
        let state = self.store.data_mut();
        state.chunk = std::mem::take(body.chunk);
        state.trailers = body.trailers.take();
        state.body_cap = body.cap;
        let called = self.phase(call, phase, |_, store| {
            let (verdict,) = require(function.as_ref())?.call(&mut *store, asked)?;
            Ok(verdict::body(verdict, store.data_mut())?)
        });
        let state = self.store.data_mut();
        *body.chunk = std::mem::take(&mut state.chunk);
        *body.trailers = state.trailers.take();
        *body.edited |= state.chunk_edited && called.1.is_ok();
        called
    }

    /// Arm, call, and keep or undo the edits.
    #[inline]
    fn phase<V: Decided>(
        &mut self,
        call: PhaseCall<'_>,
        phase: Phase,
        run: impl FnOnce(&Guests, &mut Store<InstanceState>) -> wasmtime::Result<V>,
    ) -> PhaseResult<V> {
        self.store.data_mut().cpu.arm(self.bounds.cpu);
        self.enter(phase, call);
        self.store.set_epoch_deadline(self.first_look);
        let result = caught(|| run(&self.guests, &mut self.store));
        let state = self.store.data_mut();
        let edits = state.recorded_edits();
        #[expect(
            clippy::expect_used,
            reason = "`enter` put it there a few lines above and nothing but `leave` takes it"
        )]
        let exchange = state.end_phase(result.is_ok()).expect("an exchange");
        let result = result.map_err(|error| self.failure(error));
        if let Some(edits) = edits {
            let state = self.store.data_mut();
            state.record_phase(phase, &exchange, edits, &result);
        }
        (exchange, result)
    }
}

/// Run code of the host and the guest. If the host's panics, the call fails and the instance is lost.
#[inline]
fn caught<T>(work: impl FnOnce() -> wasmtime::Result<T>) -> wasmtime::Result<T> {
    panics::caught(work).unwrap_or_else(|panic| Err(CallFailure::of_panic(&panic).into()))
}

/// Read the error of a call.
#[cold]
fn failure(state: &mut InstanceState, error: wasmtime::Error) -> CallFailure {
    let refused = state.memory.refused;
    CallFailure::from_error(error, refused, |error| state.trace(error))
}

/// A phase that the chain calls is one that the component exports: [`Phases`](super::component::Phases) is read from the
/// same list. Were it not, the call fails like any other.
fn require<T>(guest: Option<&T>) -> wasmtime::Result<&T> {
    guest.ok_or_else(|| wasmtime::Error::msg("called a phase that it does not export"))
}
