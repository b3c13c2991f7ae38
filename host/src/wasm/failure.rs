//! The reasons why a call of a filter gives no verdict.
//!
//! Their texts go to the log, for operators and plugin authors. Clients never see them; the chain turns a
//! failure into an error code or skips the filter.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Trap;

use super::account::Overdrawn;
use super::charge::PendingCharge;
use super::cpu::CpuSpent;
use super::engine::GUEST_STACK;
use super::guest_trace::GuestTrace;
use super::memory::MemoryRefused;
use crate::keys::KeyReject;
use crate::model::request_id::RequestId;
use crate::runtime::panics::Panic;
use crate::tokens::FetchSignal;

/// A failure of a call. The text says where the plugin's author should look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    /// Used up its CPU time.
    #[error("{spent}{trace}")]
    Cpu {
        spent: CpuSpent,
        trace: Box<GuestTrace>,
    },
    /// Called too often, or kept too much.
    #[error("made {overdrawn}{trace}")]
    Overdrawn {
        overdrawn: Overdrawn,
        trace: Box<GuestTrace>,
    },
    /// Trapped, after it was refused memory.
    #[error("trapped after it was refused memory: it {refused}{trace}")]
    Memory {
        /// Why it was refused.
        refused: MemoryRefused,
        trace: Box<GuestTrace>,
    },
    /// Used up its stack.
    #[error("trapped: call stack exhausted: it has {} KiB, and no setting raises this{trace}", GUEST_STACK / 1024)]
    Stack { trace: Box<GuestTrace> },
    #[error("trapped: {reason}{trace}")]
    Trap {
        /// The trap, without the engine's framing.
        reason: String,
        trace: Box<GuestTrace>,
    },
    /// The gateway's own code panicked in the call. No fault of the filter's, but its instance is lost.
    #[error("while it was called, {0}")]
    HostPanic(String),
    /// Gave something that is not a verdict: an illegal status or field.
    #[error("gave a response that cannot be sent: {0}")]
    Verdict(String),
    /// Said itself that it could not do its work.
    #[error("could not do its work: {0}")]
    Reported(String),
    /// The same, after an edit did not fit into the head. A client or an endpoint chose the size of that head.
    #[error("could not do its work: {0}")]
    NoRoom(String),
    /// Routed to an upstream that it is not granted.
    #[error(
        "routed to upstream `{0}`, which it is not granted: add the upstream to `upstreams` in its `allow`"
    )]
    Upstream(String),
    /// Asked for a key while the gateway could not say which keys are valid. No fault of the filter's.
    #[error("asked for a key, and {0}")]
    Keys(KeyReject),
    /// Charged a budget of which this gateway has no share yet. No fault of the filter's: the phase runs
    /// again when the store has answered.
    #[error("wanted a share of {0}, which the store has to tell")]
    Share(PendingCharge),
    /// Asked about a token while its verifier had no usable keys. No fault of the filter's.
    #[error("asked for a token, and verifier `{0}` has no keys that may be used")]
    TokenKeys(Arc<str>),
    /// Asked about a token whose key is unknown. No fault of the filter's: the phase runs again when the
    /// verifier has fetched newer keys.
    #[error("asked for a token with an unknown key")]
    NewerKeys(FetchSignal),
    /// Asked another server, which has not answered yet. No fault of the filter's: the phase runs again
    /// when it has.
    #[error("asked another server")]
    Callout(FetchSignal),
    /// The breaker is open.
    #[error("is suspended after repeated failures")]
    Suspended,
    /// No instance was free in time.
    #[error(
        "no instance of it was free within its `limits.wait` of {0:?}: raise it, or find out why its calls take so long"
    )]
    Busy(Duration),
    /// Too many requests wait for an instance.
    #[error(
        "its queue is full: {0} requests of one worker wait for an instance; find out why its calls take so long"
    )]
    QueueFull(usize),
    /// An attribute that it requires is not there.
    #[error("attribute `{0}`, which it requires, was not set by the filters before it")]
    MissingAttribute(String),
}

/// The kinds of failures that are counted against a filter.
pub(crate) const FAILURE_KINDS: [&str; 10] = [
    "cpu",
    "overdrawn",
    "memory",
    "trap",
    "host_panic",
    "verdict",
    "reported",
    "no_room",
    "upstream",
    "missing_attribute",
];

impl CallFailure {
    /// Whether the guest's function returned, so that the instance can serve again.
    #[must_use]
    pub(crate) fn has_returned(&self) -> bool {
        match self {
            Self::Verdict(_)
            | Self::Reported(_)
            | Self::NoRoom(_)
            | Self::Upstream(_)
            | Self::NewerKeys(_)
            | Self::Callout(_) => true,
            Self::Cpu { .. }
            | Self::Overdrawn { .. }
            | Self::Memory { .. }
            | Self::Stack { .. }
            | Self::Trap { .. }
            | Self::HostPanic(_)
            | Self::Keys(_)
            | Self::TokenKeys(_)
            | Self::Share(_)
            | Self::Suspended
            | Self::Busy(_)
            | Self::QueueFull(_)
            | Self::MissingAttribute(_) => false,
        }
    }

    /// Whether the call ran out of CPU time, memory or stack, which the content of a body can cause: JSON that is
    /// nested deeply takes stack. The sender of the body chose it, so it is no reason to suspend the filter for all
    /// requests.
    #[must_use]
    pub(crate) fn is_caused_by_size(&self) -> bool {
        matches!(
            self,
            Self::Cpu { .. } | Self::Memory { .. } | Self::Stack { .. }
        )
    }

    /// Whether it is no fault of the filter's: the gateway's own code failed, or the head that it edits was
    /// full. Otherwise a client could have the filter suspended for all requests.
    #[must_use]
    pub(crate) fn is_not_filters_fault(&self) -> bool {
        matches!(self, Self::HostPanic(_) | Self::NoRoom(_))
    }

    /// Log it, with the guest's backtrace at level debug.
    pub(super) fn log(&self, filter: &str, request: Option<&RequestId>) {
        let request = request.map(tracing::field::display);
        tracing::warn!(
            filter,
            request,
            kind = self.kind(),
            "filter `{filter}`: {self}"
        );
        let stack = self.trace().map(GuestTrace::stack).unwrap_or_default();
        if !stack.is_empty() {
            tracing::debug!(filter, request, "the stack of filter `{filter}`:{stack}");
        }
    }

    /// Where it failed in the guest, if it did.
    fn trace(&self) -> Option<&GuestTrace> {
        match self {
            Self::Cpu { trace, .. }
            | Self::Overdrawn { trace, .. }
            | Self::Memory { trace, .. }
            | Self::Stack { trace }
            | Self::Trap { trace, .. } => Some(trace),
            _ => None,
        }
    }

    /// The kind of the failure, for logs: a stable word.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Overdrawn { .. } => "overdrawn",
            Self::Memory { .. } => "memory",
            Self::Stack { .. } => "stack",
            Self::Trap { .. } => "trap",
            Self::HostPanic(_) => "host_panic",
            Self::Verdict(_) => "verdict",
            Self::Reported(_) => "reported",
            Self::NoRoom(_) => "no_room",
            Self::Upstream(_) => "upstream",
            Self::Keys(_) | Self::TokenKeys(_) => "keys_unavailable",
            Self::NewerKeys(_) => "newer_keys",
            Self::Callout(_) => "callout",
            Self::Share(_) => "share",
            Self::Suspended => "suspended",
            Self::Busy(_) | Self::QueueFull(_) => "busy",
            Self::MissingAttribute(_) => "missing_attribute",
        }
    }

    /// The guest's stack, a line for each frame; empty if it did not trap.
    #[must_use]
    pub(super) fn backtrace(&self) -> &str {
        self.trace().map(GuestTrace::stack).unwrap_or_default()
    }

    /// The gateway's own code panicked.
    pub(super) fn of_panic(panic: &Panic) -> Self {
        Self::HostPanic(panic.message())
    }

    /// Read an error of the engine. `refused`: why the instance was refused memory, if it was. `trace` reads where it
    /// failed.
    pub(super) fn from_error(
        error: wasmtime::Error,
        refused: Option<MemoryRefused>,
        trace: impl FnOnce(&wasmtime::Error) -> GuestTrace,
    ) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        if let Some(reject) = error.downcast_ref::<KeyReject>() {
            return Self::Keys(*reject);
        }
        let trace = Box::new(trace(&error));
        if let Some(&spent) = error.downcast_ref::<CpuSpent>() {
            return Self::Cpu { spent, trace };
        }
        if let Some(&overdrawn) = error.downcast_ref::<Overdrawn>() {
            return Self::Overdrawn { overdrawn, trace };
        }
        if let Some(refused) = refused {
            return Self::Memory { refused, trace };
        }
        let reason = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => return Self::Stack { trace },
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        Self::Trap { reason, trace }
    }
}
