//! The clocks: the wall clock, which may step, and the monotonic one, which never does.
//!
//! The monotonic clock counts from the process's start, so 0 is before everything. What a worker
//! reads for its time-outs is [`super::worker_shared`]'s, and is not asked of the system.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Since the process's start. Nanoseconds.
    pub monotonic_ns: u64,
    /// Since 1970-01-01T00:00:00Z. Milliseconds. A wall clock set before 1970 counts as 1970.
    pub wall_ms: u64,
}

impl Timestamp {
    #[must_use]
    pub(crate) fn now() -> Self {
        Self {
            monotonic_ns: monotonic_ns(),
            wall_ms: fit(since_1970().as_millis()),
        }
    }

    /// Both clocks as of the last tick of the kernel's timer, some milliseconds ago: these are
    /// cheaper.
    #[must_use]
    pub(crate) fn coarse() -> Self {
        Self {
            monotonic_ns: nanoseconds(ClockId::MonotonicCoarse).saturating_sub(*COARSE_BEGINNING),
            wall_ms: stopped_ms()
                .unwrap_or_else(|| nanoseconds(ClockId::RealtimeCoarse) / 1_000_000),
        }
    }

    #[must_use]
    pub(crate) fn monotonic_ms(self) -> u64 {
        self.monotonic_ns / 1_000_000
    }

    #[must_use]
    pub(crate) fn monotonic(self) -> Duration {
        Duration::from_nanos(self.monotonic_ns)
    }

    /// The wall clock in whole seconds, as certificates count.
    #[must_use]
    pub(crate) fn unix_s(self) -> i64 {
        i64::try_from(self.wall_ms / 1000).unwrap_or(i64::MAX)
    }

    /// The wall clock in seconds, as tokens count.
    #[must_use]
    pub(crate) fn unix_seconds(self) -> f64 {
        Duration::from_millis(self.wall_ms).as_secs_f64()
    }

    /// The same moment some time later.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn after(self, time: Duration) -> Self {
        Self {
            monotonic_ns: self.monotonic_ns.saturating_add(fit(time.as_nanos())),
            wall_ms: self.wall_ms.saturating_add(fit(time.as_millis())),
        }
    }
}

/// Nanoseconds since the process's start.
#[must_use]
pub(crate) fn monotonic_ns() -> u64 {
    fit(BEGINNING.elapsed().as_nanos())
}

/// The time at which the wall clock stands still, in Unix time. Milliseconds; 0 if it runs.
static STOPPED_MS: AtomicU64 = AtomicU64::new(0);

/// Stop the wall clock of this process at a time, or let it run. Only tests of plugins do this, before
/// a request and after it.
pub(crate) fn stop_wall_clock(unix_ms: Option<u64>) {
    STOPPED_MS.store(unix_ms.unwrap_or(0), Ordering::Relaxed);
}

/// The time at which the wall clock stands still, if it does. Milliseconds since 1970.
#[must_use]
pub(crate) fn stopped_ms() -> Option<u64> {
    Some(STOPPED_MS.load(Ordering::Relaxed)).filter(|stopped| *stopped > 0)
}

/// The time since 1970 by the wall clock.
#[must_use]
pub(crate) fn since_1970() -> Duration {
    match stopped_ms() {
        Some(stopped) => Duration::from_millis(stopped),
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    }
}

/// Milliseconds from 1970 to this moment; 0 for an earlier one.
#[must_use]
pub(crate) fn unix_ms(moment: SystemTime) -> u64 {
    fit(moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis())
}

/// The first look at the monotonic clock.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The same moment, as the system counts: `Instant` does not give it, and has no coarse form.
static COARSE_BEGINNING: LazyLock<u64> =
    LazyLock::new(|| nanoseconds(ClockId::Monotonic).saturating_sub(monotonic_ns()));

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}

fn fit(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
