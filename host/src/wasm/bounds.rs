//! How much a filter may use, and for how long.

use std::time::Duration;

use super::breaker::BreakerSettings;

/// The bounds of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FilterBounds {
    /// CPU time of one phase call. Calls for a whole body get more: [`Self::cpu_for_body`].
    pub(crate) cpu: Duration,
    /// CPU time of instantiate with configure.
    pub(crate) start_cpu: Duration,
    /// Linear memory of one instance. Bytes.
    pub(crate) memory: u64,
    /// The most of a body that Windlass buffers for it. Bytes.
    pub(crate) body: u64,
    /// Calls until an instance is discarded, ±20 %.
    pub(crate) recycle_calls: u32,
    /// Age at which an instance is discarded.
    pub(crate) recycle_age: Duration,
    /// Growth of memory at which an instance is discarded. Bytes.
    pub(crate) recycle_growth: u64,
    /// How long a request waits for an instance.
    pub(crate) wait: Duration,
    /// When the filter is suspended.
    pub(crate) breaker: BreakerSettings,
}

/// The CPU time of one phase call, by default.
pub(crate) const CALL_CPU: Duration = Duration::from_millis(10);

/// The most CPU time of a call that the worker waits for. A call that may use more runs on a fiber.
const MOST_INLINE: Duration = Duration::from_millis(10);

/// For each body of this size, its call gets its CPU time once more. Bytes.
const BODY_SHARE: u64 = 64 * 1024;

impl FilterBounds {
    /// The CPU time of a call for a whole body of this length. Clients choose the length, up to
    /// [`Self::body`], so a call must not fail because of the length alone.
    #[must_use]
    pub(crate) fn cpu_for_body(&self, length: u64) -> Duration {
        let shares = u32::try_from(length / BODY_SHARE).unwrap_or(u32::MAX);
        self.cpu.saturating_mul(shares.saturating_add(1))
    }

    /// Whether a call that may use this much CPU time runs on a fiber.
    #[must_use]
    pub(crate) fn is_long(cpu: Duration) -> bool {
        cpu > MOST_INLINE
    }

    /// Whether all calls run on a fiber.
    #[must_use]
    pub(crate) fn runs_on_fiber(&self) -> bool {
        Self::is_long(self.cpu)
    }

    /// The calls that an instance serves: ±20 % at random, so that instances are not all discarded at once.
    #[must_use]
    pub(crate) fn calls_of_instance(&self) -> u32 {
        let fifth = self.recycle_calls / 5;
        let least = self.recycle_calls.saturating_sub(fifth);
        fastrand::u32(least..=self.recycle_calls.saturating_add(fifth)).max(1)
    }

    /// The most bytes that one call of a host function may bring into the host: a body, a head with its names, or
    /// half of what an instance can hold, so that its memory bounds the answers that it can give.
    #[must_use]
    pub(crate) fn max_transfer(&self) -> usize {
        let most = self.body.saturating_add(4 * 1024 * 1024);
        usize::try_from(most.max(self.memory / 2)).unwrap_or(usize::MAX)
    }
}
