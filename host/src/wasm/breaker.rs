//! A filter's circuit breaker: it suspends a filter that fails too often.
//!
//! All workers share it. A request through a healthy filter reads one atomic. The caller passes the
//! time in, so that tests choose it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BreakerSettings {
    /// This many failures within `window` open it.
    pub(crate) failures: u32,
    /// The time within which `failures` are counted.
    pub(crate) window: Duration,
    /// How long it stays open the first time. The time doubles whenever the probing call fails.
    pub(crate) backoff: Duration,
    /// The longest that it stays open.
    pub(crate) max_backoff: Duration,
}

/// Whether the filter may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// The breaker is closed.
    Call,
    /// The breaker was open for its time: this one call probes the filter.
    Trial,
    /// The breaker is open.
    Suspended,
}

/// The effect of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerChange {
    /// Nothing yet.
    No,
    /// The breaker opened for this long.
    Open(Duration),
}

/// Counts failures and suspends the filter. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    settings: BreakerSettings,
    /// 0 while closed, else the end of the time that it is open.
    open_until: AtomicU64,
    record: Mutex<BreakerRecord>,
}

#[derive(Debug, Default)]
struct BreakerRecord {
    /// When the failures of the window began, and how many there were.
    since: u64,
    failures: u32,
    /// How often in a row it opened.
    opened: u32,
    trial_since: Option<u64>,
}

impl CircuitBreaker {
    /// A closed breaker.
    #[must_use]
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            open_until: AtomicU64::new(0),
            record: Mutex::default(),
        }
    }

    /// Whether it is open, or waits for the outcome of a probing call.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) != 0
    }

    /// How long until the filter is called again, if the probing call succeeds.
    #[must_use]
    pub(crate) fn remaining(&self, now: u64) -> Duration {
        let until = self.open_until.load(Ordering::Relaxed);
        Duration::from_nanos(until.saturating_sub(now))
    }

    /// Ask before a call. `now` is read only when the breaker is not closed.
    pub(crate) fn permit(&self, now: impl FnOnce() -> u64) -> Permit {
        let until = self.open_until.load(Ordering::Relaxed);
        if until == 0 {
            return Permit::Call;
        }
        let now = now();
        if now < until {
            return Permit::Suspended;
        }
        let mut record = self.record.lock();
        let backoff = nanos(self.settings.backoff);
        match record.trial_since {
            // The caller of a probing call may leave before its outcome: another call probes after a while.
            Some(since) if now < since.saturating_add(backoff) => Permit::Suspended,
            Some(_) | None => {
                record.trial_since = Some(now);
                Permit::Trial
            }
        }
    }

    /// A call succeeded. Only the success of a probing call changes anything.
    pub(crate) fn record_success(&self, permit: Permit) -> bool {
        if permit != Permit::Trial {
            return false;
        }
        let mut record = self.record.lock();
        *record = BreakerRecord::default();
        self.open_until.store(0, Ordering::Relaxed);
        true
    }

    pub(crate) fn record_failure(&self, permit: Permit, now: u64) -> BreakerChange {
        let mut record = self.record.lock();
        if permit == Permit::Trial {
            return self.open(&mut record, now);
        }
        if self.is_open() {
            return BreakerChange::No;
        }
        if record.failures == 0 || now > record.since.saturating_add(nanos(self.settings.window)) {
            record.since = now;
            record.failures = 0;
        }
        record.failures += 1;
        if record.failures < self.settings.failures {
            return BreakerChange::No;
        }
        self.open(&mut record, now)
    }

    fn open(&self, record: &mut BreakerRecord, now: u64) -> BreakerChange {
        let factor = 1_u32.checked_shl(record.opened).unwrap_or(u32::MAX);
        let time = self
            .settings
            .backoff
            .saturating_mul(factor)
            .min(self.settings.max_backoff);
        record.opened = record.opened.saturating_add(1).min(30);
        record.failures = 0;
        record.trial_since = None;
        // 0 means closed.
        let until = now.saturating_add(nanos(time)).max(1);
        self.open_until.store(until, Ordering::Relaxed);
        BreakerChange::Open(time)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::new(BreakerSettings {
            failures: 3,
            window: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(3),
        })
    }

    fn trip(breaker: &CircuitBreaker, now: u64) -> BreakerChange {
        assert_eq!(breaker.record_failure(Permit::Call, now), BreakerChange::No);
        assert_eq!(breaker.record_failure(Permit::Call, now), BreakerChange::No);
        breaker.record_failure(Permit::Call, now)
    }

    #[test]
    fn opens_after_the_failures_and_gives_one_trial_after_the_backoff() {
        let breaker = breaker();
        assert_eq!(
            trip(&breaker, 5),
            BreakerChange::Open(Duration::from_secs(1))
        );
        assert_eq!(breaker.permit(|| 6), Permit::Suspended);
        assert_eq!(
            breaker.remaining(5 + SECOND / 4),
            Duration::from_millis(750)
        );
        assert_eq!(breaker.remaining(6 + SECOND), Duration::ZERO);
        assert_eq!(breaker.permit(|| 5 + SECOND), Permit::Trial);
        assert_eq!(breaker.permit(|| 6 + SECOND), Permit::Suspended);
        assert!(breaker.record_success(Permit::Trial));
        assert_eq!(breaker.permit(|| 7 + SECOND), Permit::Call);
    }

    #[test]
    fn backs_off_longer_each_time_up_to_the_longest() {
        let breaker = breaker();
        trip(&breaker, 0);
        let mut now = 10 * SECOND;
        for seconds in [2, 3, 3] {
            assert_eq!(breaker.permit(|| now), Permit::Trial);
            let open = BreakerChange::Open(Duration::from_secs(seconds));
            assert_eq!(breaker.record_failure(Permit::Trial, now), open);
            now += 10 * SECOND;
        }
    }

    #[test]
    fn failures_far_apart_do_not_open_it() {
        let breaker = breaker();
        for n in 0..20 {
            assert_eq!(
                breaker.record_failure(Permit::Call, n * 11 * SECOND),
                BreakerChange::No
            );
        }
    }

    #[test]
    fn a_trial_that_never_ends_does_not_suspend_the_filter_for_ever() {
        let breaker = breaker();
        trip(&breaker, 0);
        assert_eq!(breaker.permit(|| 2 * SECOND), Permit::Trial);
        assert_eq!(breaker.permit(|| 2 * SECOND + 1), Permit::Suspended);
        assert_eq!(breaker.permit(|| 4 * SECOND), Permit::Trial);
    }
}
