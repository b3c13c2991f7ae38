//! The periods in which the usage of a plan counts, so that limits and reports agree when the
//! period of its quota changes.
//!
//! A report adds up days; a counter counts one period. When a quota gets another kind of period,
//! the sync adds the usage that the storage has by day to the counters, and from then on they
//! count in both periods.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{DAY_MS, SyncShared};
use crate::control::storage::UsageQuery;
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::limits::{UncountedUsage, UsagePlan};
use crate::model::period::Period;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

/// Keys whose usage is read at once.
const CHUNK_SIZE: usize = 1000;

/// The kinds of periods in which the usage of plans counts, by the plan's name.
#[derive(Debug, Default)]
pub(super) struct CountedPeriods(HashMap<Arc<str>, HashSet<Period>>);

impl SyncShared {
    /// Prepares the counters before a plan is used: usage since the begin of its quota's period
    /// counts, whatever the quota was then.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn prepare(&self, plan: &UsagePlan) -> Result<(), StorageError> {
        let Some(quota) = plan.quota else {
            return Ok(());
        };
        let (name, period) = (&*plan.name, quota.period);
        let now = Timestamp::now();
        // No other write may happen meanwhile: written and unwritten usage are added up exactly
        // once.
        let mut counted = self.flush_state.lock();
        let periods = counted.0.get(&plan.name);
        let tracked = self.limits.local().periods(name).contains(&period);
        if tracked && periods.is_some_and(|periods| periods.contains(&period)) {
            return Ok(());
        }
        let since_ms = match self.storage.quota_since(name, period, now.wall_ms) {
            // A storage that was never loaded cannot be asked; its keys are refused anyway.
            Err(StorageError::Unreachable { .. }) if !self.loaded.load(Ordering::Relaxed) => {
                return Ok(());
            }
            since_ms => since_ms?,
        };
        let number = period.number(now.wall_ms);
        let starts_ms = period.start_ms(number);
        if periods.is_none() && since_ms <= starts_ms {
            // The plan had this kind of period all the time: the start restores its usage.
            self.limits.local().track(name, period, now);
        } else {
            self.write(false)?;
            self.limits.local().track(name, period, now);
            self.add_used(name, period, number)?;
        }
        let periods = counted.0.entry(Arc::clone(&plan.name)).or_default();
        periods.insert(period);
        Ok(())
    }

    /// Adds usage from elsewhere, by key and day, to the storage and to the counters.
    ///
    /// # Errors
    ///
    /// The storage or the counters are out of reach.
    pub(crate) fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        let now_ms = Timestamp::now().wall_ms;
        let _one_at_a_time = self.flush_state.lock();
        self.storage.add_usage(used, &[])?;
        let mut rows = Vec::new();
        let mut plans: HashSet<&str> = HashSet::new();
        for delta in used {
            // The counters of a plan may differ from what the storage has for their periods.
            if plans.insert(&*delta.plan) {
                self.storage.reset_quota_since(&delta.plan)?;
            }
            let at_ms = Period::Day.start_ms(delta.day);
            let periods = self.limits.local().periods(&delta.plan);
            let periods = periods
                .iter()
                .filter(|period| period.number(at_ms) == period.number(now_ms));
            rows.extend(periods.map(|period| QuotaRow {
                plan: delta.plan.to_string(),
                key: delta.key.to_string(),
                usage: QuotaUsage {
                    period: *period,
                    number: period.number(now_ms),
                    used: u64::try_from(delta.used).unwrap_or_default(),
                    extra: 0,
                },
            }));
        }
        self.limits.add_used(&rows, UncountedUsage::Additional)
    }

    /// Adds to the counters of a plan the usage of its keys in this period, as the storage has it
    /// by day.
    fn add_used(&self, plan: &str, period: Period, number: u32) -> Result<(), StorageError> {
        let day = |ms: u64| u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX);
        let mut query = UsageQuery {
            plan: plan.to_owned(),
            key: None,
            from_day: day(period.start_ms(number)),
            to_day: day(period.end_ms(number)).saturating_sub(1),
            after: None,
            limit: CHUNK_SIZE,
        };
        loop {
            let mut by_key: Vec<QuotaRow> = Vec::new();
            for row in self.storage.usage(&query)? {
                match by_key.last_mut() {
                    Some(last) if last.key == row.key => {
                        last.usage.used = last.usage.used.saturating_add(row.used);
                    }
                    Some(_) | None => by_key.push(QuotaRow {
                        plan: plan.to_owned(),
                        key: row.key,
                        usage: QuotaUsage {
                            period,
                            number,
                            used: row.used,
                            extra: 0,
                        },
                    }),
                }
            }
            self.limits.add_used(&by_key, UncountedUsage::Total)?;
            query.after = match by_key.pop() {
                Some(last) if by_key.len() + 1 == CHUNK_SIZE => Some(last.key),
                Some(_) | None => return Ok(()),
            };
        }
    }
}
