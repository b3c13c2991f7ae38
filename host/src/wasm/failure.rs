//! Why a call of a filter gave no verdict.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Trap;

use super::account::Overdrawn;
use super::charge::PendingCharge;
use super::cpu::CpuSpent;
use super::memory::MemoryRefused;
use super::output::one_line;
use crate::keys::KeyReject;
use crate::model::request_id::RequestId;
use crate::runtime::panics::Panic;
use crate::tokens::FetchSignal;

/// What went wrong in a call. The text tells the plugin's author where to look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    /// Used up its CPU time.
    #[error(transparent)]
    Cpu(#[from] CpuSpent),
    /// Called too often, or kept too much.
    #[error(transparent)]
    Overdrawn(#[from] Overdrawn),
    /// Trapped, after it was refused memory.
    #[error("trapped after it was refused memory: it {refused}")]
    Memory {
        /// Why it was refused.
        refused: MemoryRefused,
    },
    #[error("trapped: {reason}")]
    Trap {
        /// The trap, without the engine's framing.
        reason: String,
        /// The guest's stack, for the debug log.
        backtrace: String,
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
    /// The same, after there was no room for an edit of it. What it edits has the size that a client or an endpoint
    /// gave it.
    #[error("could not do its work: {0}")]
    NoRoom(String),
    /// Routed to an upstream that it is not granted.
    #[error(
        "routed to upstream `{0}`, which it is not granted: add it to `upstreams` in its `allow`"
    )]
    Upstream(String),
    /// Asked for a key while the gateway could not tell which are good. No fault of the filter's.
    #[error("asked for a key, and {0}")]
    Keys(KeyReject),
    /// Wanted to take from a budget of which this gateway does not know its share. No fault of the
    /// filter's: it is called again when the store has answered.
    #[error("wanted a share of {0}, which the store has to tell")]
    Share(PendingCharge),
    /// Asked for a token while there were no keys that may be used. No fault of the filter's.
    #[error("asked for a token, and verifier `{0}` has no keys that may be used")]
    TokenKeys(Arc<str>),
    /// Asked for a token of which only newer keys can tell. No fault of the filter's: it is called
    /// again when they are there.
    #[error("asked for a token with an unknown key")]
    NewerKeys(FetchSignal),
    /// Asked another server, whose answer is not there yet. No fault of the filter's: it is called again
    /// when it is.
    #[error("asked another server")]
    Callout(FetchSignal),
    /// Is not called for a while.
    #[error("is suspended after repeated failures")]
    Suspended,
    /// All of its instances were at work, or being made, for too long.
    #[error("no instance of it was free within its `limits.wait` of {0:?}")]
    Busy(Duration),
    /// Too many requests wait for an instance.
    #[error("{0} requests of one worker wait for an instance of it already")]
    QueueFull(usize),
    /// An attribute that it requires is not there.
    #[error("attribute `{0}`, which it requires, was not set by the filters before it")]
    MissingAttribute(String),
}

impl CallFailure {
    /// Whether the call came to its end, so that the instance is whole and may serve again.
    #[must_use]
    pub(crate) fn has_returned(&self) -> bool {
        match self {
            Self::Verdict(_)
            | Self::Reported(_)
            | Self::NoRoom(_)
            | Self::Upstream(_)
            | Self::NewerKeys(_)
            | Self::Callout(_) => true,
            Self::Cpu(_)
            | Self::Overdrawn(_)
            | Self::Memory { .. }
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

    /// Whether the call used more than it may of something that a body's content can use up. The sender of the body
    /// chose that, so it is no reason to suspend the filter for everybody.
    #[must_use]
    pub(crate) fn is_caused_by_size(&self) -> bool {
        matches!(self, Self::Cpu(_) | Self::Memory { .. })
    }

    /// Whether it is no fault of the filter's: the gateway's own code failed, or the head that it edits was full. A
    /// client that finds out how could have the filter suspended for everybody.
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
        if let Self::Trap { backtrace, .. } = self
            && !backtrace.is_empty()
        {
            tracing::debug!(filter, "{backtrace}");
        }
    }

    /// What kind of failure, for metrics: a stable word.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Overdrawn(_) => "overdrawn",
            Self::Memory { .. } => "memory",
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

    /// The gateway's own code panicked.
    pub(super) fn of_panic(panic: &Panic) -> Self {
        Self::HostPanic(panic.message())
    }

    /// Read an error of the engine. `refused`: why the instance was refused memory, if it was.
    pub(super) fn from_error(error: wasmtime::Error, refused: Option<MemoryRefused>) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        if let Some(spent) = error.downcast_ref::<CpuSpent>() {
            return Self::Cpu(*spent);
        }
        if let Some(overdrawn) = error.downcast_ref::<Overdrawn>() {
            return Self::Overdrawn(*overdrawn);
        }
        if let Some(reject) = error.downcast_ref::<KeyReject>() {
            return Self::Keys(*reject);
        }
        if let Some(refused) = refused {
            return Self::Memory { refused };
        }
        let backtrace = error
            .downcast_ref::<wasmtime::WasmBacktrace>()
            .map(stack)
            .unwrap_or_default();
        let reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        Self::Trap { reason, backtrace }
    }
}

/// The guest's stack, a line for each frame. Names are the guest's own: none breaks its line.
fn stack(backtrace: &wasmtime::WasmBacktrace) -> String {
    let mut text = String::new();
    for (place, frame) in backtrace.frames().iter().enumerate() {
        let name = frame.func_name().unwrap_or("an unnamed function");
        // Writing to a text cannot fail.
        let _ = write!(text, "\n  {place}: {}", one_line(name));
        for symbol in frame.symbols() {
            let name = symbol.name().unwrap_or_default();
            let file = symbol.file().unwrap_or_default();
            let line = symbol.line().unwrap_or_default();
            let (name, file) = (one_line(name), one_line(file));
            let _ = write!(text, "\n       {name} at {file}:{line}");
        }
    }
    text
}
