//! Exports the whole storage, a chunk at a time: plans, keys with the digests of their secrets,
//! usage by day, extensions. For a backup, and to move to another storage.
//!
//! A record that is changed between two chunks is exported as it is then. Plans and keys of the
//! configuration are not in the storage, so they are not exported.

use super::{ControlService, ServiceError};
use crate::control::storage::record::PlanRecord;
use crate::control::storage::{KeyQuery, QuotaExtension, StoredKey, UsageQuery};

/// Keys of one chunk, and keys whose usage is in one.
const CHUNK_SIZE: usize = 250;

/// More days of usage than any storage keeps.
const MAX_DAYS: u32 = 10 * 366;

/// One record of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StoreItem {
    Plan(PlanRecord),
    Key(StoredKey),
    /// The usage of a key on a plan on one day.
    Usage {
        plan: String,
        /// The key's id.
        key: String,
        /// Days since 1970, in UTC.
        day: u32,
        used: u64,
    },
    /// How many requests beyond its plan's limit a key may make in the current period.
    Extension(QuotaExtension),
}

/// The position of an export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ExportCursor {
    /// At the beginning.
    #[default]
    Plans,
    /// In the keys, after this id.
    Keys(Option<String>),
    /// In the usage of these plans, the last one first: in the last one after this key.
    Usage(Vec<String>, Option<String>),
    Extensions,
}

impl ControlService {
    /// A chunk of everything that the storage holds, and the position of the next one; None at the
    /// end.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn export_store(
        &self,
        at: ExportCursor,
        now_ms: u64,
    ) -> Result<(Vec<StoreItem>, Option<ExportCursor>), ServiceError> {
        match at {
            ExportCursor::Plans => {
                // The export includes the usage until now.
                self.runtime.flush()?;
                let plans = self.storage.plans()?.into_iter().map(StoreItem::Plan);
                Ok((plans.collect(), Some(ExportCursor::Keys(None))))
            }
            ExportCursor::Keys(after) => self.export_keys(after),
            ExportCursor::Usage(plans, after) => self.export_usage(plans, after, now_ms),
            ExportCursor::Extensions => {
                let mut found = Vec::new();
                self.storage.load_quotas(now_ms, &mut |row| {
                    if row.usage.extra != 0 {
                        found.push(StoreItem::Extension(QuotaExtension {
                            plan: row.plan,
                            key: row.key,
                            period: row.usage.period,
                            number: row.usage.number,
                            extra: row.usage.extra,
                        }));
                    }
                })?;
                Ok((found, None))
            }
        }
    }

    fn export_keys(
        &self,
        after: Option<String>,
    ) -> Result<(Vec<StoreItem>, Option<ExportCursor>), ServiceError> {
        let keys = self.storage.keys(&KeyQuery {
            after,
            limit: CHUNK_SIZE,
            ..KeyQuery::default()
        })?;
        let last = keys.last().map(|key| key.record.id.clone());
        let next = match last.filter(|_| keys.len() == CHUNK_SIZE) {
            Some(last) => ExportCursor::Keys(Some(last)),
            None => {
                let mut plans = self.storage.usage_plans()?;
                plans.sort_unstable_by(|one, other| other.cmp(one));
                ExportCursor::Usage(plans, None)
            }
        };
        let keys = keys.into_iter().map(|mut key| {
            key.last_used_ms = key
                .last_used_ms
                .max(self.runtime.last_used_ms(&key.record.id));
            StoreItem::Key(key)
        });
        Ok((keys.collect(), Some(next)))
    }

    fn export_usage(
        &self,
        mut plans: Vec<String>,
        after: Option<String>,
        now_ms: u64,
    ) -> Result<(Vec<StoreItem>, Option<ExportCursor>), ServiceError> {
        let Some(plan) = plans.last().cloned() else {
            return Ok((Vec::new(), Some(ExportCursor::Extensions)));
        };
        let today = super::usage::day_of(now_ms);
        let rows = self.storage.usage(&UsageQuery {
            plan: plan.clone(),
            key: None,
            from_day: today.saturating_sub(MAX_DAYS),
            to_day: today.saturating_add(1),
            after,
            limit: CHUNK_SIZE,
        })?;
        let mut keys = 0;
        let mut last: Option<String> = None;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            if last.as_ref() != Some(&row.key) {
                keys += 1;
                last = Some(row.key.clone());
            }
            items.push(StoreItem::Usage {
                plan: plan.clone(),
                key: row.key,
                day: row.day,
                used: row.used,
            });
        }
        let next = match last.filter(|_| keys == CHUNK_SIZE) {
            Some(last) => ExportCursor::Usage(plans, Some(last)),
            None => {
                plans.pop();
                ExportCursor::Usage(plans, None)
            }
        };
        Ok((items, Some(next)))
    }
}
