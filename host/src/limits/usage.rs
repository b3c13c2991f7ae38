//! A quota, and its usage in one period.

use super::usage_rows::QuotaUsage;
use super::{Level, NEVER_MS, QuotaStatus};
use crate::model::period::Period;
use crate::model::plan::QuotaLimit;

/// How long a counter is kept after its period ended, for a wall clock that steps back over that
/// end. Milliseconds.
pub(super) const GRACE_MS: u64 = 60 * 60 * 1000;

impl QuotaUsage {
    /// Without a quota: in a period that nothing else is in.
    pub(super) const NONE: Self = Self {
        period: Period::Day,
        number: u32::MAX,
        used: 0,
        extra: 0,
    };

    /// No usage, in this kind of period.
    pub(super) fn begin(period: Period) -> Self {
        Self {
            period,
            number: 0,
            used: 0,
            extra: 0,
        }
    }

    /// Brings it to the period of this time.
    pub(super) fn settle(&mut self, wall_ms: u64) {
        let number = self.period.number(wall_ms);
        if self.number < number {
            *self = Self {
                number,
                ..Self::begin(self.period)
            };
        } else if self.number > number.saturating_add(1) {
            // The clock was wrong before, by more than a period: the usage is kept.
            self.number = number;
        }
    }

    /// The time until this many more may be used; 0 if they may. Milliseconds. It must be settled.
    pub(super) fn wait_ms(&self, quota: &QuotaLimit, cost: u64, wall_ms: u64) -> u64 {
        if cost == 0 || cost <= self.remaining(quota) {
            0
        } else if cost > quota.limit {
            NEVER_MS
        } else {
            self.end_ms().saturating_sub(wall_ms)
        }
    }

    /// The remaining requests. It must be settled.
    pub(super) fn remaining(&self, quota: &QuotaLimit) -> u64 {
        quota
            .limit
            .saturating_add_signed(self.extra)
            .saturating_sub(self.used)
    }

    /// Sets the remaining requests in this period. It must be settled.
    pub(super) fn extend(&mut self, quota: &QuotaLimit, remaining: u64) {
        let wanted = i128::from(self.used) + i128::from(remaining);
        let extra = wanted - i128::from(quota.limit);
        let most = if extra < 0 { i64::MIN } else { i64::MAX };
        self.extra = i64::try_from(extra).unwrap_or(most);
    }

    /// The state of the quota in this period.
    pub(super) fn status(&self, quota: &QuotaLimit) -> QuotaStatus {
        QuotaStatus {
            period: self.period,
            number: self.number,
            used: self.used,
            extra: self.extra,
            remaining: self.remaining(quota),
        }
    }

    /// When its period ends. Milliseconds since 1970.
    pub(super) fn end_ms(&self) -> u64 {
        self.period.end_ms(self.number)
    }

    pub(super) fn take(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    /// The period, for giving back.
    pub(super) fn period_number(&self) -> (Period, u32) {
        (self.period, self.number)
    }

    /// Gives back what was taken in this period on this day, unless the counter has gone on to
    /// another period.
    pub(super) fn give_back(&mut self, cost: u64, taken_in: Option<(Period, u32)>, day: u32) {
        let is_same = Some(self.period_number()) == taken_in;
        if is_same || self.number == self.period.number(Period::Day.start_ms(day)) {
            self.used = self.used.saturating_sub(cost);
        }
    }

    /// Whether dropping it would lose nothing.
    pub(super) fn has_ended(&self, wall_ms: u64) -> bool {
        (self.used == 0 && self.extra == 0) || wall_ms >= self.end_ms().saturating_add(GRACE_MS)
    }

    /// Its level. It must be settled.
    pub(super) fn level(&self, quota: &QuotaLimit, wall_ms: u64) -> Level {
        let (start, end) = (self.period.start_ms(self.number), self.end_ms());
        Level {
            limit: quota.limit.saturating_add_signed(self.extra),
            remaining: self.remaining(quota),
            window_ms: end.saturating_sub(start),
            reset_ms: end.saturating_sub(wall_ms),
        }
    }
}
