//! Decides when to report that a destination fails, and that it works again. Pure.
//!
//! The first failure is reported at once, and so is its end. After a report there is none for
//! [`REPORT_INTERVAL`]: failures meanwhile are counted, and the next report has their number.

use std::time::{Duration, Instant};

/// Shortest time between two reports of failures.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// The report that the destination works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutageReport {
    /// Lines that were lost since the last such report.
    pub(crate) lost: u64,
    /// How often the destination failed since the last report of a failure, including that one.
    pub(crate) times: u64,
}

/// The state of a destination: whether it fails, and which part of that was reported.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failing: bool,
    /// Whether the failure was reported and its end was not.
    is_open: bool,
    reported: Option<Instant>,
    reported_lost: u64,
    /// Failures since the last report.
    times: u64,
}

impl Outage {
    /// Records a failure. Returns the number of failures if it is to be reported.
    pub(crate) fn record_failure(&mut self, now: Instant) -> Option<u64> {
        if !self.failing {
            self.failing = true;
            self.times += 1;
        }
        if self.is_open || !self.may_report(now) {
            return None;
        }
        self.is_open = true;
        self.reported = Some(now);
        Some(self.times)
    }

    /// Records an empty queue. `works` says whether the last write succeeded, `lost` how many
    /// lines were lost in all. Returns the report that the destination works again, if it is due.
    pub(crate) fn recovers(
        &mut self,
        now: Instant,
        works: bool,
        lost: u64,
    ) -> Option<OutageReport> {
        if works {
            self.failing = false;
        }
        let due = !self.failing && self.times > 0 && (self.is_open || self.may_report(now));
        if !due {
            return None;
        }
        self.is_open = false;
        self.reported = Some(now);
        let report = OutageReport {
            lost: lost - std::mem::replace(&mut self.reported_lost, lost),
            times: std::mem::take(&mut self.times),
        };
        Some(report)
    }

    /// How long until a report may be due although nothing happens.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let due = self.reported? + REPORT_INTERVAL;
        (self.times > 0 && !self.is_open && !self.failing)
            .then(|| due.saturating_duration_since(now))
    }

    fn may_report(&self, now: Instant) -> bool {
        self.reported.is_none_or(|at| now >= at + REPORT_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_its_end_are_reported_once() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        assert_eq!(outage.recovers(now, true, 0), None);
        assert_eq!(outage.record_failure(now), Some(1));
        assert_eq!(outage.record_failure(now), None);
        assert_eq!(outage.recovers(now, false, 3), None);
        let report = OutageReport { lost: 5, times: 1 };
        assert_eq!(outage.recovers(now, true, 5), Some(report));
        assert_eq!(outage.recovers(now, true, 5), None);
        assert_eq!(outage.wait(now), None);
    }

    #[test]
    fn flapping_is_reported_once_a_minute_with_its_number() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let mut reports = 0;
        for second in 0..180 {
            let now = start + Duration::from_secs(second);
            reports += u64::from(outage.record_failure(now).is_some());
            let settled = outage.recovers(now, true, second);
            reports += u64::from(settled.is_some());
        }
        // A failure and an end in each of three minutes.
        assert!((4..=6).contains(&reports), "{reports}");
        let now = start + Duration::from_secs(180);
        let wait = outage.wait(now).unwrap();
        assert!(wait <= REPORT_INTERVAL, "{wait:?}");
        let last = outage.recovers(now + wait, true, 180).unwrap();
        assert!(last.times > 1, "{last:?}");
    }
}
