//! The state that the fake functions answer from, one for each thread while a phase or `configure` runs.

use std::cell::RefCell;

use super::data::LogLine;
use super::exchange::Exchange;
use super::gateway::Gateway;

/// The most calls of host functions in one phase.
const MAX_CALLS: u32 = 10_000;

/// The most bytes that one phase may leave in the host: edits, attributes, notes, log lines.
const MAX_RETAINED: usize = 1024 * 1024;

/// The export of the filter that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Configure,
    Request,
    /// `true`: the head is still held back.
    RequestBody(bool),
    Response,
    ResponseBody(bool),
    Log,
}

/// What the running phase can reach.
#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) gateway: Gateway,
    /// None in `configure`.
    pub(super) exchange: Option<Exchange>,
    /// The lines of this phase.
    pub(super) log: Vec<LogLine>,
    /// Whether the phase waits for an answer, and runs again.
    pub(super) awaits: bool,
    calls: u32,
    retained: usize,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

impl State {
    pub(super) fn new(phase: Phase, gateway: Gateway, exchange: Option<Exchange>) -> Self {
        Self {
            phase,
            gateway,
            exchange,
            log: Vec::new(),
            awaits: false,
            calls: 0,
            retained: 0,
        }
    }

    /// Begins a phase on this thread.
    pub(super) fn enter(self) {
        STATE.with_borrow_mut(|state| {
            assert!(
                state.is_none(),
                "a phase of a filter was run inside of another phase: run one after the other"
            );
            *state = Some(self);
        });
    }

    /// Ends the phase.
    pub(super) fn leave() -> Option<Self> {
        STATE.take()
    }

    /// Counts bytes that stay in the gateway.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.retained = self.retained.saturating_add(bytes);
        assert!(
            self.retained <= MAX_RETAINED,
            "more than {MAX_RETAINED} bytes of edits, attributes, notes and log lines in one phase: no setting raises this, so let it keep and log less"
        );
    }
}

/// Serves a call that works everywhere inside of the gateway.
///
/// # Panics
///
/// Outside of a fake, or if the phase made too many calls.
pub(super) fn serve<R>(function: &str, answer: impl FnOnce(&mut State) -> R) -> R {
    serve_if_inside(|state| {
        state.calls += 1;
        assert!(
            state.calls <= MAX_CALLS,
            "more than {MAX_CALLS} calls of host functions in one phase: no setting raises this, so let it read several fields in one call (`header-many`, `headers-packed`), and larger ranges of a body"
        );
        answer(state)
    })
    .unwrap_or_else(|| outside(function))
}

/// The same, or none outside of a fake.
pub(super) fn serve_if_inside<R>(answer: impl FnOnce(&mut State) -> R) -> Option<R> {
    STATE.with_borrow_mut(|state| state.as_mut().map(answer))
}

/// Serves a call of an interface that needs a grant. Traps outside of a phase.
pub(super) fn serve_granted<R>(
    interface: &str,
    function: &str,
    answer: impl FnOnce(&mut State) -> R,
) -> R {
    let called = format!("{interface}.{function}");
    serve(&called, |state| {
        state.check_granted(interface, function);
        assert!(
            state.exchange.is_some(),
            "called a host interface while no exchange was there (in `configure`?): `{called}`"
        );
        answer(state)
    })
}

impl State {
    /// Traps if an interface is not granted.
    pub(super) fn check_granted(&self, interface: &str, function: &str) {
        assert!(
            self.gateway.grants.interface(interface),
            "called `{interface}.{function}`, which it is not granted: add `interfaces = [\"{interface}\"]` to its `allow`"
        );
    }
}

#[cold]
fn outside(function: &str) -> ! {
    panic!(
        "called `{function}` outside of the gateway: run the phase by `windlass_plugin_sdk::testing`, which has fakes of it"
    )
}
