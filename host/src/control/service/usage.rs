//! The usage of keys on plans, by day, and temporary extensions.
//!
//! It corresponds to Amazon's `GetUsage` and `UpdateUsage` (API Gateway API reference): for each
//! key and day the requests used, and the quota that remained at the end of the day.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{ControlService, ServiceError};
use crate::control::storage::record::PlanRecord;
use crate::control::storage::{QuotaExtension, UsageQuery};
use crate::model::plan::QuotaLimit;

/// The most days of one report.
pub(crate) const MAX_REPORT_DAYS: u32 = 366;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The usage of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageReport {
    /// Keys with usage in these days, in the order of their ids.
    pub(crate) keys: Vec<KeyUsage>,
    /// The last of them, if there may be more.
    pub(crate) next: Option<String>,
}

/// The usage of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUsage {
    pub(crate) key: String,
    /// For each day of the report the requests used, and the remaining quota; None if the plan has
    /// none.
    pub(crate) days: Vec<(u64, Option<u64>)>,
}

impl ControlService {
    /// The usage of keys on a plan. The remaining quota is computed with the present plan; an
    /// extension counts in the current period. The usage of a deleted key is reported for as long
    /// as it is kept.
    ///
    /// # Errors
    ///
    /// The plan does not exist, neither the key nor any usage of it exists, the days contradict
    /// each other, or the storage is out of reach.
    pub(crate) fn usage(
        &self,
        query: &UsageQuery,
        now_ms: u64,
    ) -> Result<UsageReport, ServiceError> {
        let (first, last) = (query.from_day, query.to_day);
        if last < first {
            return Err(ServiceError::Inconsistent(
                "`to` is before `from`".to_owned(),
            ));
        }
        if last - first >= MAX_REPORT_DAYS {
            let message = format!("`from` to `to` is more than {MAX_REPORT_DAYS} days");
            return Err(ServiceError::Inconsistent(message));
        }
        let plan = self.plan(&query.plan)?.record;
        self.runtime.flush()?;
        if let Some(key) = &query.key {
            self.check_key_of_plan(key, &query.plan)?;
        }
        let begin = plan.quota.map_or(first, |quota| day_of_start(quota, first));
        let rows = self.storage.usage(&UsageQuery {
            from_day: begin,
            limit: query.limit + 1,
            ..query.clone()
        })?;
        let mut by_key: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
        for row in rows {
            by_key.entry(row.key).or_default().insert(row.day, row.used);
        }
        if let Some(key) = &query.key {
            by_key.entry(key.clone()).or_default();
        }
        let more = by_key.len() > query.limit;
        let mut keys: Vec<KeyUsage> = by_key
            .into_iter()
            .take(query.limit)
            .map(|(key, used)| {
                let days = self.days(&plan, &key, &used, first..=last, now_ms);
                KeyUsage { key, days }
            })
            .collect();
        let next = keys.last().map(|usage| usage.key.clone());
        // Without a key that has usage earlier in the period and none in these days.
        keys.retain(|usage| query.key.is_some() || usage.days.iter().any(|(used, _)| *used > 0));
        Ok(UsageReport {
            keys,
            next: next.filter(|_| more),
        })
    }

    /// Checks that the key exists, or that a deleted key has used the plan.
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
        let status = self.runtime.quota_status(&plan.name, key);
        let today = day_of(now_ms);
        days.map(|day| {
            let on_it = used.get(&day).copied().unwrap_or(0);
            let remaining = plan.quota.map(|quota| {
                let number = quota.period.number(start_of(day));
                let spent = used.range(day_of_start(quota, day)..=day);
                let spent: u64 = spent.map(|(_, used)| *used).sum();
                // A status of another period, which only the storage has, does not apply here.
                let status = status
                    .filter(|status| (status.period, status.number) == (quota.period, number));
                let extra = status.map_or(0, |status| status.extra);
                // The storage may have lost usage that the counters have.
                let spent = match status {
                    Some(status) if day >= today => status.used,
                    Some(_) | None => spent,
                };
                let limit = quota.limit.saturating_add_signed(extra);
                limit.saturating_sub(spent)
            });
            (on_it, remaining)
        })
        .collect()
    }

    /// Sets the remaining quota of a key on a plan in the current period.
    ///
    /// # Errors
    ///
    /// The plan or the key does not exist, the key is not on the plan, the plan has no quota, or
    /// the storage is out of reach.
    pub(crate) fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<QuotaExtension, ServiceError> {
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
        // Usage of an earlier period is written first: written later, it would end the extension.
        self.runtime.flush()?;
        self.storage.extend(&extension)?;
        Ok(extension)
    }
}

/// The day of this time. Days since 1970.
pub(super) fn day_of(ms: u64) -> u32 {
    u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX)
}

fn start_of(day: u32) -> u64 {
    u64::from(day) * DAY_MS
}

/// The first day of the quota's period that contains this day.
fn day_of_start(quota: QuotaLimit, day: u32) -> u32 {
    let number = quota.period.number(start_of(day));
    u32::try_from(quota.period.start_ms(number) / DAY_MS).unwrap_or(day)
}
