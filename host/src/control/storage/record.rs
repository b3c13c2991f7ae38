//! The stored form of keys and plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Revision;
use crate::keys::KeyDigest;
use crate::limits::{MethodRate, QuotaLimit, RateLimit, UsagePlan};
use crate::model::period::{MonthDay, Period, PeriodKind, Weekday};

/// An API key, without its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public id, the attribute `api-key.id`: 1 to 64 of `[A-Za-z0-9_-]`. It never changes.
    pub id: String,
    /// A name for people; may be empty.
    pub name: String,
    /// The consumer that it was issued to, the attribute `consumer.id`.
    pub consumer: String,
    /// The names of its usage plans.
    pub plans: Vec<String>,
    /// The operator's metadata, the attributes `api-key.<name>`.
    pub metadata: BTreeMap<String, String>,
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Milliseconds since 1970.
    pub updated_ms: u64,
    /// When it expires. Milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Its secrets: the newest first, and during a rotation the previous one.
    pub secrets: Vec<SecretRecord>,
    /// The commit that wrote it; 0 before the first commit.
    #[serde(default)]
    pub revision: Revision,
}

/// One secret of a key, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub digest: KeyDigest,
    /// Its first characters, to recognise it by: too few to help with guessing the rest.
    pub prefix: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// When it expires: the deadline of a rotation. Milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Its name, which its counters belong to. It never changes.
    pub(crate) name: String,
    /// A description for people; may be empty.
    pub(crate) description: String,
    /// Its token bucket.
    pub(crate) rate: Option<RateRecord>,
    pub(crate) quota: Option<QuotaRecord>,
    /// Rates of single methods.
    pub(crate) methods: Vec<MethodRecord>,
    /// The APIs that it is for; empty: all.
    pub(crate) apis: Vec<String>,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// Milliseconds since 1970.
    pub(crate) updated_ms: u64,
    /// The commit that wrote it; 0 before the first commit.
    #[serde(default)]
    pub(crate) revision: Revision,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct RateRecord {
    /// Tokens that return each second.
    pub(crate) per_second: f64,
    /// The bucket's size.
    pub(crate) burst: u64,
}

impl RateRecord {
    /// A bucket of this size; by default the rate, rounded up, as in the configuration.
    #[must_use]
    pub(crate) fn new(per_second: f64, burst: Option<u64>) -> Self {
        let burst = burst.unwrap_or_else(|| default_burst(per_second));
        Self { per_second, burst }
    }
}

/// The burst if a rate does not give one.
#[must_use]
pub(crate) fn default_burst(per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and an invalid rate is refused elsewhere"
    )]
    let burst = per_second.ceil() as u64;
    burst.max(1)
}

/// A number of requests in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredQuota", into = "StoredQuota")]
pub(crate) struct QuotaRecord {
    /// Requests in each period.
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

impl From<StoredQuota> for QuotaRecord {
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

impl From<QuotaRecord> for StoredQuota {
    fn from(quota: QuotaRecord) -> Self {
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

/// The rate of one method of an API, for each key of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MethodRecord {
    /// The method, or `ANY`.
    pub(crate) method: String,
    /// The path of the route, as its pattern is written.
    pub(crate) path: String,
    /// Tokens that return each second.
    pub(crate) per_second: f64,
    /// The bucket's size.
    pub(crate) burst: u64,
}

impl From<&PlanRecord> for UsagePlan {
    fn from(record: &PlanRecord) -> Self {
        Self {
            name: Arc::from(&*record.name),
            rate: record.rate.map(|rate| RateLimit {
                per_second: rate.per_second,
                burst: rate.burst,
            }),
            quota: record.quota.map(|quota| QuotaLimit {
                limit: quota.limit,
                period: quota.period,
            }),
            methods: record
                .methods
                .iter()
                .map(|method| MethodRate {
                    method: Arc::from(&*method.method),
                    path: Arc::from(&*method.path),
                    rate: RateLimit {
                        per_second: method.per_second,
                        burst: method.burst,
                    },
                })
                .collect(),
            apis: record.apis.iter().map(|api| Arc::from(&**api)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(quota: &str) -> QuotaRecord {
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
            let quota = QuotaRecord { limit: 7, period };
            assert_eq!(kept(&serde_json::to_string(&quota).unwrap()), quota);
        }
    }
}
