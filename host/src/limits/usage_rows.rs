//! Rows of usage of plans and quotas, as they go between memory and storage.

use std::sync::Arc;

use crate::model::period::Period;

/// The usage of a plan by a key since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDelta {
    pub(crate) plan: Arc<str>,
    /// The key's id.
    pub(crate) key: Arc<str>,
    /// Of which day: days since 1970, in UTC.
    pub(crate) day: u32,
    /// How much; below 0 where more was given back than taken.
    pub(crate) used: i64,
    /// Where the quota stands by now, where the plan has one.
    pub(crate) quota: Option<QuotaUsage>,
}

/// The usage of one period of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaUsage {
    pub(crate) period: Period,
    /// Its number, as [`Period::number`](crate::limits::Period) counts.
    pub(crate) number: u32,
    /// How much was used in it, all in all.
    pub(crate) used: u64,
}

/// The usage of a plan by a key in a period that is not over, for the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRow {
    pub(crate) plan: String,
    /// The key's id.
    pub(crate) key: String,
    pub(crate) usage: QuotaUsage,
    /// What may be used beyond the limit; below 0 where less may be.
    pub(crate) extra: i64,
}

/// The usage of a plan by a key through a gateway that drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainUsage {
    /// Of which day: days since 1970, in UTC.
    pub(crate) day: u32,
    /// How much; below 0 where more was given back than taken.
    pub(crate) used: i64,
    /// The quota as it is in the store, with that.
    pub(crate) quota: QuotaRow,
}
