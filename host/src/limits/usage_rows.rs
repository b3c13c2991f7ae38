//! Rows of usage of plans and quotas, as they go between memory and storage.

use std::sync::Arc;

use crate::model::period::Period;

/// The usage of a plan by a key since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDelta {
    pub(crate) plan: Arc<str>,
    /// The key's id.
    pub(crate) key: Arc<str>,
    /// The day: days since 1970, in UTC.
    pub(crate) day: u32,
    /// The amount; negative if more was given back than taken.
    pub(crate) used: i64,
    /// The present usage of the quota, if the plan has one. Its extension is not reported.
    pub(crate) quota: Option<QuotaUsage>,
}

/// The usage of a quota by one key in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaUsage {
    pub(crate) period: Period,
    /// Its number, as [`Period::number`] counts.
    pub(crate) number: u32,
    /// All usage in it.
    pub(crate) used: u64,
    /// Requests that may be made beyond the limit in this period; negative if fewer may be.
    pub(crate) extra: i64,
}

/// The usage of a plan by a key in a period that goes on, for the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRow {
    pub(crate) plan: String,
    /// The key's id.
    pub(crate) key: String,
    pub(crate) usage: QuotaUsage,
}

/// The usage of a plan by a key through a gateway that drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainUsage {
    /// The day: days since 1970, in UTC.
    pub(crate) day: u32,
    /// The amount; negative if more was given back than taken.
    pub(crate) used: i64,
    /// The stored quota, including that.
    pub(crate) quota: QuotaRow,
}
