//! The bounds of a usage plan, for the configuration, the counters, the storage and the admin API.

use serde::{Deserialize, Serialize};

use super::json::whole_number;
use super::period::{MonthDay, Period, PeriodKind, Weekday};

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Tokens that return each second; positive and finite, at least a billionth.
    pub per_second: f64,
    /// The bucket's size; at least 1.
    #[serde(deserialize_with = "whole_number")]
    pub burst: u64,
}

impl RateLimit {
    /// A bucket of this size; by default the rate, rounded up.
    #[must_use]
    pub(crate) fn new(per_second: f64, burst: Option<u64>) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and an invalid rate is refused elsewhere"
        )]
        let rounded_up = (per_second.ceil() as u64).max(1);
        Self {
            per_second,
            burst: burst.unwrap_or(rounded_up),
        }
    }
}

/// The API that two plans are both for.
pub(crate) enum SharedApi<'a, T> {
    All,
    Named(&'a T),
}

/// The first API in both of these lists. An empty list is for all APIs.
pub(crate) fn shared_api<'a, T: PartialEq>(one: &'a [T], two: &'a [T]) -> Option<SharedApi<'a, T>> {
    match (one, two) {
        ([], []) => Some(SharedApi::All),
        ([], [api, ..]) | ([api, ..], []) => Some(SharedApi::Named(api)),
        (one, two) => {
            let shared = one.iter().find(|api| two.contains(api));
            shared.map(SharedApi::Named)
        }
    }
}

/// A number of requests in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredQuota", into = "StoredQuota")]
pub(crate) struct QuotaLimit {
    /// Requests in each period; at least 1.
    pub(crate) limit: u64,
    /// The period, in UTC.
    pub(crate) period: Period,
}

/// The serialized form of a quota.
#[derive(Serialize, Deserialize)]
struct StoredQuota {
    limit: u64,
    /// `day`, `week` or `month`.
    period: PeriodKind,
    /// The first day of a week that does not begin on Sunday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_weekday: Option<Weekday>,
    /// The first day of a month that does not begin on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_day: Option<u8>,
    /// Always 0, for gateways of an earlier version that share the storage. They subtracted it
    /// from the limit of a plan's first period. It is ignored when it is read.
    #[serde(default, skip_deserializing)]
    offset: u64,
}

impl From<StoredQuota> for QuotaLimit {
    fn from(kept: StoredQuota) -> Self {
        let first_day = kept.first_day.and_then(MonthDay::new);
        Self {
            limit: kept.limit,
            period: match kept.period {
                PeriodKind::Day => Period::Day,
                PeriodKind::Week => Period::Week(kept.first_weekday.unwrap_or_default()),
                PeriodKind::Month => Period::Month(first_day.unwrap_or(MonthDay::FIRST)),
            },
        }
    }
}

impl From<QuotaLimit> for StoredQuota {
    fn from(quota: QuotaLimit) -> Self {
        let (first_weekday, first_day) = match quota.period {
            Period::Day => (None, None),
            Period::Week(first) => (Some(first), None),
            Period::Month(first) => (None, Some(first)),
        };
        Self {
            limit: quota.limit,
            period: quota.period.kind(),
            first_weekday: first_weekday.filter(|first| *first != Weekday::Sunday),
            first_day: first_day
                .filter(|first| *first != MonthDay::FIRST)
                .map(MonthDay::get),
            offset: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(quota: &str) -> QuotaLimit {
        serde_json::from_str(quota).unwrap()
    }

    #[test]
    fn a_quota_of_an_earlier_version_loses_its_offset_and_keeps_its_days() {
        let quota = kept(r#"{"limit":100,"period":"week","offset":30}"#);
        let week = Period::Week(Weekday::Sunday);
        assert_eq!((quota.limit, quota.period), (100, week));
        let text = serde_json::to_string(&quota).unwrap();
        assert_eq!(text, r#"{"limit":100,"period":"week","offset":0}"#);
    }

    #[test]
    fn a_first_day_is_kept() {
        for period in [
            Period::Day,
            Period::Week(Weekday::Sunday),
            Period::Week(Weekday::Saturday),
            Period::Month(MonthDay::FIRST),
            Period::Month(MonthDay::new(28).unwrap()),
        ] {
            let quota = QuotaLimit { limit: 7, period };
            assert_eq!(kept(&serde_json::to_string(&quota).unwrap()), quota);
        }
    }
    #[test]
    fn a_rate_is_rounded_up() {
        for (rate, burst) in [
            (0.001, 1),
            (1.0, 1),
            (1.000_1, 2),
            (5.0, 5),
            (5.5, 6),
            (1_000_000.5, 1_000_001),
            (1e9, 1_000_000_000),
        ] {
            assert_eq!(RateLimit::new(rate, None).burst, burst, "{rate}");
        }
    }
}
