//! How much a filter may use, and for how long.

use std::time::Duration;

use super::breaker::BreakerSettings;

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
    /// How long a request waits for an instance.
    pub wait: Duration,
    /// When it is suspended.
    pub breaker: BreakerSettings,
}

/// What a call may use of the processor while the worker waits for it: more than that, and it runs
/// on a fiber.
const MOST_INLINE: Duration = Duration::from_millis(10);

impl FilterBounds {
    /// Whether calls run on a fiber.
    #[must_use]
    pub fn runs_aside(&self) -> bool {
        self.cpu > MOST_INLINE
    }

    /// What one call of a host function may bring into the host: a body, or a head with its
    /// names. Bytes.
    #[must_use]
    pub fn max_transfer(&self) -> usize {
        usize::try_from(self.body.saturating_add(4 * 1024 * 1024)).unwrap_or(usize::MAX)
    }
}
