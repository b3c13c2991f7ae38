//! The CPU time that one call of a guest may use.
//!
//! Reading the thread's CPU clock is a system call, so a call that ends within a tick of the
//! epoch never reads it: the clock is read in the first tick that finds the call still running
//! (it has used at most that tick by then), and compared in those that follow. If the
//! system runs another thread meanwhile, this clock does not advance, so the filter does not fail for
//! it. The clock of a virtual machine goes on while its host runs another: so a call must also have met
//! several ticks.
//!
//! A call on a fiber shares the worker's thread with other tasks: its time is the sum of the
//! slices in which it ran, each from when it is polled to the tick that makes it yield.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::epoch::{TICK, Ticking};

/// The CPU time that a call may use, and when it began.
#[derive(Debug)]
pub(crate) struct CpuLimit {
    allowance: Duration,
    of: CpuAllowance,
    started_at: Option<Duration>,
    /// The ticks that found the call running.
    ticks: u32,
    /// The time of the slices before this one, and this slice, if the call is on a fiber.
    slices: Option<(Duration, FiberSlice)>,
    /// The waits that ended at once, which count as if they were computing.
    waited: Duration,
    _ticking: Ticking,
}

/// The allowance is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("used more than its {allowance:?} of CPU time: raise `limits.{}` if it needs more", .of.key())]
pub(crate) struct CpuSpent {
    /// The CPU time that the call was allowed.
    pub(crate) allowance: Duration,
    of: CpuAllowance,
}

/// Which of a filter's limits an allowance comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CpuAllowance {
    /// Of a start: instantiate, `describe`, `configure` and `contribute` together.
    Start,
    /// Of one phase.
    Phase,
}

impl CpuAllowance {
    /// The limit's name in the configuration.
    fn key(self) -> &'static str {
        match self {
            Self::Start => "start_cpu",
            Self::Phase => "cpu",
        }
    }
}

impl CpuLimit {
    /// The limit of a start, while the epoch ticks.
    #[must_use]
    pub(crate) fn new(allowance: Duration, ticking: Ticking) -> Self {
        Self {
            allowance,
            of: CpuAllowance::Start,
            started_at: None,
            ticks: 0,
            slices: None,
            waited: Duration::ZERO,
            _ticking: ticking,
        }
    }

    /// Begin a start.
    pub(crate) fn arm_start(&mut self, allowance: Duration) {
        self.arm(allowance);
        self.of = CpuAllowance::Start;
    }

    /// Begin a call of a phase.
    #[inline]
    pub(crate) fn arm(&mut self, allowance: Duration) {
        self.allowance = allowance;
        self.of = CpuAllowance::Phase;
        self.started_at = None;
        self.ticks = 0;
        self.slices = None;
        self.waited = Duration::ZERO;
    }

    /// Begin a call on a fiber. The caller begins a slice each time that it polls the fiber.
    pub(crate) fn arm_on_fiber(&mut self, allowance: Duration) -> FiberSlice {
        self.arm(allowance);
        let slice = FiberSlice::default();
        self.slices = Some((Duration::ZERO, slice.clone()));
        slice
    }

    /// Raise the allowance of the running call to this much.
    pub(super) fn raise(&mut self, allowance: Duration) {
        self.allowance = self.allowance.max(allowance);
    }

    /// Whether the call is on a fiber.
    #[must_use]
    pub(crate) fn is_on_fiber(&self) -> bool {
        self.slices.is_some()
    }

    /// The call waited for a timer, and the wait ended at once. So that a loop of such waits has an end, they use up the
    /// allowance.
    ///
    /// # Errors
    ///
    /// It has used up its allowance.
    pub(crate) fn charge_wait(&mut self, wait: Duration) -> Result<(), CpuSpent> {
        self.waited = self.waited.saturating_add(wait);
        if self.waited > self.allowance {
            return Err(CpuSpent {
                allowance: self.allowance,
                of: self.of,
            });
        }
        Ok(())
    }

    /// A tick found the call running.
    ///
    /// # Errors
    ///
    /// It has used up its allowance.
    pub(crate) fn tick(&mut self) -> Result<(), CpuSpent> {
        let now = thread_cpu();
        self.ticks = self.ticks.saturating_add(1);
        let used = match &mut self.slices {
            Some((used, slice)) => {
                *used += now.saturating_sub(slice.began());
                slice.begin();
                *used
            }
            None => now.saturating_sub(*self.started_at.get_or_insert(now)),
        };
        let used = used.saturating_add(self.waited);
        let is_spent = used > self.allowance || self.allowance.is_zero();
        if is_spent && self.ticks >= self.least_ticks() {
            Err(CpuSpent {
                allowance: self.allowance,
                of: self.of,
            })
        } else {
            Ok(())
        }
    }

    /// The ticks that a call meets at the least which uses up its allowance: half of those that come in that time, since
    /// they come late on a busy machine, and no more than a few.
    fn least_ticks(&self) -> u32 {
        let ticks = self.allowance.as_nanos() / TICK.as_nanos() / 2;
        u32::try_from(ticks).map_or(FEW_TICKS, |ticks| ticks.min(FEW_TICKS))
    }
}

/// Ticks that no pause of a virtual machine makes: a call meets one tick after it, however long it was.
const FEW_TICKS: u32 = 5;

/// When a fiber was polled, by its thread's clock. Nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct FiberSlice(Arc<AtomicU64>);

impl FiberSlice {
    /// The fiber is polled now.
    pub(crate) fn begin(&self) {
        let now = u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX);
        self.0.store(now, Ordering::Relaxed);
    }

    fn began(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The CPU time that this thread has used.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Use up this much of the processor.
    fn spend(time: Duration) {
        let since = thread_cpu();
        while thread_cpu().saturating_sub(since) <= time {}
    }

    #[test]
    fn a_pause_of_the_machine_spends_no_allowance() {
        let allowance = Duration::from_millis(10);
        let mut limit = CpuLimit::new(allowance, Ticking::alone());
        limit.arm(allowance);
        assert!(limit.tick().is_ok());
        // A pause looks like this to the clock.
        spend(allowance);
        assert!(limit.tick().is_ok());
        // The next ticks find a call that goes on after it.
        assert!(limit.tick().is_ok());
        assert!(limit.tick().is_ok());
        let of = CpuAllowance::Phase;
        assert_eq!(limit.tick(), Err(CpuSpent { allowance, of }));
        limit.arm(allowance);
        assert!(limit.tick().is_ok());
    }

    #[test]
    fn waits_that_end_at_once_spend_the_allowance() {
        let allowance = Duration::from_millis(10);
        let wait = Duration::from_millis(4);
        let mut limit = CpuLimit::new(allowance, Ticking::alone());
        limit.arm(allowance);
        assert!(limit.charge_wait(wait).is_ok());
        assert!(limit.charge_wait(wait).is_ok());
        let of = CpuAllowance::Phase;
        assert_eq!(limit.charge_wait(wait), Err(CpuSpent { allowance, of }));
        limit.arm(allowance);
        assert!(limit.charge_wait(wait).is_ok());
    }

    #[test]
    fn the_error_names_the_limit_that_helps() {
        let text = |of| {
            let allowance = Duration::from_millis(10);
            CpuSpent { allowance, of }.to_string()
        };
        assert!(text(CpuAllowance::Start).contains("raise `limits.start_cpu`"));
        assert!(text(CpuAllowance::Phase).contains("raise `limits.cpu`"));
    }

    #[test]
    fn a_short_allowance_is_spent_by_the_tick_after_it() {
        let allowance = Duration::from_millis(1);
        let mut limit = CpuLimit::new(allowance, Ticking::alone());
        limit.arm(allowance);
        assert!(limit.tick().is_ok());
        spend(allowance);
        let of = CpuAllowance::Phase;
        assert_eq!(limit.tick(), Err(CpuSpent { allowance, of }));
    }
}
