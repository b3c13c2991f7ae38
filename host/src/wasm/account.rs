//! The account of one phase call: how often the guest calls the host, and how much it leaves there.
//!
//! Each host function charges it first. A phase that overdraws it fails as one that traps.

/// The most calls of host functions in one phase.
pub(super) const MAX_HOST_CALLS: u32 = 10_000;

/// The most bytes that one phase may leave in the host: edits, attributes, notes, log lines.
const MAX_RETAINED: usize = 1024 * 1024;

/// The account of one phase call.
#[derive(Debug)]
pub(crate) struct Account {
    calls: u32,
    retained: usize,
    /// Log lines written by the running phase.
    pub(crate) lines: u32,
}

impl Account {
    /// An account of which this many calls are used already: none, except in tests of plugins.
    pub(super) fn new(calls: u32) -> Self {
        Self {
            calls,
            retained: 0,
            lines: 0,
        }
    }

    /// Count one call of a host function.
    ///
    /// # Errors
    ///
    /// It is one too many.
    #[inline]
    pub(super) fn charge_call(&mut self) -> Result<(), Overdrawn> {
        self.calls += 1;
        if self.calls > MAX_HOST_CALLS {
            return Err(Overdrawn::Calls);
        }
        Ok(())
    }

    /// Count bytes that stay in the host.
    ///
    /// # Errors
    ///
    /// They are too many.
    #[inline]
    pub(super) fn charge_bytes(&mut self, bytes: usize) -> Result<(), Overdrawn> {
        self.retained = self.retained.saturating_add(bytes);
        if self.retained > MAX_RETAINED {
            return Err(Overdrawn::Retained);
        }
        Ok(())
    }
}

/// The phase used more than its account allows. It fails as one that traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overdrawn {
    /// Too many calls.
    #[error(
        "more than {MAX_HOST_CALLS} calls of host functions in one phase: no setting raises this, so let it read several fields in one call (`header-many`, `headers-packed`), and larger ranges of a body"
    )]
    Calls,
    /// Too much kept.
    #[error(
        "more than {MAX_RETAINED} bytes of edits, attributes, notes and log lines in one phase: no setting raises this, so let it keep and log less"
    )]
    Retained,
}
