//! How much a filter may use, and for how long.

use std::time::Duration;

use super::breaker::BreakerSettings;

/// The bounds of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterBounds {
    /// CPU time of one phase call; for a body that was gathered see [`Self::cpu_for_body`].
    pub(crate) cpu: Duration,
    /// CPU time of instantiate with configure.
    pub(crate) start_cpu: Duration,
    /// Linear memory of one instance. Bytes.
    pub(crate) memory: u64,
    /// The most of a body that is gathered for it. Bytes.
    pub(crate) body: u64,
    /// Calls until an instance is given up, ±20 %.
    pub(crate) recycle_calls: u32,
    /// Age at which an instance is given up.
    pub(crate) recycle_age: Duration,
    /// Growth of memory at which an instance is given up. Bytes.
    pub(crate) recycle_growth: u64,
    /// How long a request waits for an instance.
    pub(crate) wait: Duration,
    /// When it is suspended.
    pub(crate) breaker: BreakerSettings,
}

/// The CPU time of one phase call, by default.
pub(crate) const CALL_CPU: Duration = Duration::from_millis(10);

/// What a call may use of the processor while the worker waits for it: more than that, and it runs
/// on a fiber.
const MOST_INLINE: Duration = Duration::from_millis(10);

/// A gathered body of this size gives its call as much CPU time again. Bytes.
const BODY_SHARE: u64 = 64 * 1024;

impl FilterBounds {
    /// The CPU time of a call that is shown a gathered body of this length. Clients choose the length, up to
    /// [`Self::body`], so it must not be the length that makes a call fail.
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

    /// The calls that an instance serves: ±20 % by chance, so that instances are not given up all at once.
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
