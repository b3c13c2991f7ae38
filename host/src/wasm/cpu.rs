//! The CPU time that one call of a guest may use.
//!
//! Reading the thread's CPU clock is a system call, so a call that ends within a tick of the
//! epoch never reads it: the clock is read in the first tick that finds the call still running
//! (it has used at most that tick by then), and compared in those that follow. A worker that the
//! system took off its core does not fail an innocent filter, since its clock stands still.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::epoch::Ticking;

/// What a call may use, and since when.
#[derive(Debug)]
pub struct CpuLimit {
    allowance: Duration,
    since: Option<Duration>,
    _ticking: Ticking,
}

/// The allowance is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("used more than its {allowance:?} of CPU time: raise `limits.cpu` if it needs more")]
pub struct CpuSpent {
    /// What it was allowed.
    pub allowance: Duration,
}

impl CpuLimit {
    /// A limit of this much, while the epoch ticks.
    #[must_use]
    pub fn new(allowance: Duration, ticking: Ticking) -> Self {
        Self {
            allowance,
            since: None,
            _ticking: ticking,
        }
    }

    /// Begin a call.
    #[inline]
    pub fn arm(&mut self, allowance: Duration) {
        self.allowance = allowance;
        self.since = None;
    }

    /// A tick found the call running.
    ///
    /// # Errors
    ///
    /// It has used up its allowance.
    pub fn tick(&mut self) -> Result<(), CpuSpent> {
        let now = thread_cpu();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) > self.allowance {
            return Err(CpuSpent {
                allowance: self.allowance,
            });
        }
        Ok(())
    }
}

/// The CPU time that this thread has used.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
