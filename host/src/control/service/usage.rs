//! What keys used of their plans, by day, and temporary extensions.
//!
//! As Amazon's `GetUsage` and `UpdateUsage` (API Gateway API reference): for each key and day
//! what was used, and what remained of the quota when the day ended.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::super::storage::UsageQuery;
use super::super::storage::record::{PlanRecord, QuotaRecord};
use super::{ControlService, ServiceError};

use crate::model::period::Period;

/// The most days of one report.
pub(crate) const MAX_REPORT_DAYS: u32 = 366;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Whose usage, when.
#[derive(Debug, Clone)]
pub(crate) struct UsageReportQuery {
    pub(crate) plan: String,
    /// Only this key's.
    pub(crate) key: Option<String>,
    /// From this day to that, both included. Days since 1970, in UTC.
    pub(crate) days: RangeInclusive<u32>,
    /// Only keys with a greater id.
    pub(crate) after: Option<String>,
    /// At most so many keys.
    pub(crate) limit: usize,
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageReport {
    /// Keys that used anything in these days, in the order of their ids.
    pub(crate) keys: Vec<KeyUsage>,
    /// The last of them, where there may be more.
    pub(crate) next: Option<String>,
}

/// What one key used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUsage {
    pub(crate) key: String,
    /// For each day of the report what was used, and what remained of the quota; None where the
    /// plan has none.
    pub(crate) days: Vec<(u64, Option<u64>)>,
}

/// A quota that was extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtensionView {
    /// What remains from now on, in this period.
    pub(crate) remaining: u64,
    pub(crate) period: Period,
    /// When it ends. Milliseconds since 1970.
    pub(crate) ends_ms: u64,
    /// What may be used beyond the plan's limit in it; below 0 where less may be.
    pub(crate) extra: i64,
}

impl ControlService {
    /// What keys used of a plan. What remained is told by the plan as it is now; an extension
    /// counts in the period that runs. Of a deleted key it is told for as long as it is kept.
    ///
    /// # Errors
    /// There is no such plan, neither such a key nor usage of it, the days make no sense, or the store is out of reach.
    pub(crate) fn usage(
        &self,
        ask: &UsageReportQuery,
        now_ms: u64,
    ) -> Result<UsageReport, ServiceError> {
        let (first, last) = (*ask.days.start(), *ask.days.end());
        if last < first {
            return Err(ServiceError::Inconsistent(
                "`to` is before `from`".to_owned(),
            ));
        }
        if last - first >= MAX_REPORT_DAYS {
            let message = format!("`from` to `to` is more than {MAX_REPORT_DAYS} days");
            return Err(ServiceError::Inconsistent(message));
        }
        let plan = self.plan(&ask.plan)?.record;
        self.runtime.flush()?;
        if let Some(key) = &ask.key {
            self.check_key_of_plan(key, &ask.plan)?;
        }
        let begin = plan.quota.map_or(first, |quota| day_of_start(quota, first));
        let rows = self.storage.usage(&UsageQuery {
            plan: ask.plan.clone(),
            key: ask.key.clone(),
            from_day: begin,
            to_day: last,
            after: ask.after.clone(),
            limit: ask.limit + 1,
        })?;
        let mut by_key: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
        for row in rows {
            by_key.entry(row.key).or_default().insert(row.day, row.used);
        }
        if let Some(key) = &ask.key {
            by_key.entry(key.clone()).or_default();
        }
        let more = by_key.len() > ask.limit;
        let mut keys: Vec<KeyUsage> = by_key
            .into_iter()
            .take(ask.limit)
            .map(|(key, used)| {
                let days = self.days(&plan, &key, &used, ask.days.clone(), now_ms);
                KeyUsage { key, days }
            })
            .collect();
        let next = keys.last().map(|usage| usage.key.clone());
        // One that used something earlier in the period, and nothing in these days.
        keys.retain(|usage| ask.key.is_some() || usage.days.iter().any(|(used, _)| *used > 0));
        Ok(UsageReport {
            keys,
            next: next.filter(|_| more),
        })
    }

    /// Whether there is such a key, or one that was deleted used anything of the plan.
    fn check_key_of_plan(&self, key: &str, plan: &str) -> Result<(), ServiceError> {
        let missing = match self.key(key) {
            Ok(_) => return Ok(()),
            Err(error @ ServiceError::NoKey(_)) => error,
            Err(error) => return Err(error),
        };
        let rows = self.storage.usage(&UsageQuery {
            plan: plan.to_owned(),
            key: Some(key.to_owned()),
            from_day: 0,
            to_day: u32::MAX,
            after: None,
            limit: 1,
        })?;
        if rows.is_empty() {
            return Err(missing);
        }
        Ok(())
    }

    fn days(
        &self,
        plan: &PlanRecord,
        key: &str,
        used: &BTreeMap<u32, u64>,
        days: RangeInclusive<u32>,
        now_ms: u64,
    ) -> Vec<(u64, Option<u64>)> {
        let standing = self.runtime.quota_status(&plan.name, key);
        let today = day_of(now_ms);
        days.map(|day| {
            let on_it = used.get(&day).copied().unwrap_or(0);
            let remaining = plan.quota.map(|quota| {
                let number = quota.period.number(start_of(day));
                let spent = used.range(day_of_start(quota, day)..=day);
                let spent: u64 = spent.map(|(_, used)| *used).sum();
                // A standing of another period, of which the ledger alone knows, says nothing here.
                let standing = standing.filter(|standing| {
                    (standing.period, standing.number) == (quota.period, number)
                });
                let extra = standing.map_or(0, |standing| standing.extra);
                // The ledger may have lost what the counters have not.
                let spent = match standing {
                    Some(standing) if day >= today => standing.used,
                    Some(_) | None => spent,
                };
                let limit = quota.limit.saturating_add_signed(extra);
                limit.saturating_sub(spent)
            });
            (on_it, remaining)
        })
        .collect()
    }

    /// From now on so much of the plan's quota remains for the key, in the period that runs.
    ///
    /// # Errors
    /// There is no such plan or key, the key is not on the plan, the plan has no quota, or the
    /// store is out of reach.
    pub(crate) fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<ExtensionView, ServiceError> {
        if self.plan(plan)?.record.quota.is_none() {
            return Err(ServiceError::NoQuota(plan.to_owned()));
        }
        if !self.key(key)?.record.plans.iter().any(|own| own == plan) {
            return Err(ServiceError::NotOnPlan {
                key: key.to_owned(),
                plan: plan.to_owned(),
            });
        }
        let extension = self.runtime.extend(plan, key, remaining)?;
        let extension = extension.ok_or_else(|| ServiceError::NoQuota(plan.to_owned()))?;
        // What was used in a period that is over goes first: written later, it would end the
        // extension.
        self.runtime.flush()?;
        self.storage.extend(&extension)?;
        Ok(ExtensionView {
            remaining,
            period: extension.period,
            ends_ms: extension.period.end_ms(extension.number),
            extra: extension.extra,
        })
    }
}

/// The day of this moment. Days since 1970.
pub(super) fn day_of(ms: u64) -> u32 {
    u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX)
}

fn start_of(day: u32) -> u64 {
    u64::from(day) * DAY_MS
}

/// The first day of the quota's period that holds this day.
fn day_of_start(quota: QuotaRecord, day: u32) -> u32 {
    let number = quota.period.number(start_of(day));
    u32::try_from(quota.period.start_ms(number) / DAY_MS).unwrap_or(day)
}
