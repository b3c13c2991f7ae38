//! Loads everything: at the start, when a storage answers for the first time, and when the storage
//! was replaced by another.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::SyncShared;
use crate::control::storage::record::PlanRecord;
use crate::control::storage::{LoadedRecord, Revision, StoredKey};
use crate::keys::{KeyEntry, KeySecret, Profile};
use crate::limits::EnrolledPlans;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

impl SyncShared {
    pub(super) fn restore_usage(&self) -> Result<(), StorageError> {
        let now_ms = Timestamp::now().wall_ms;
        // From here on the quotas contain the usage that a draining gateway has left.
        drop(self.storage.take_drain_usage()?);
        self.storage
            .load_quotas(now_ms, &mut |row| self.limits.restore(&row))
    }

    /// Loads everything, a chunk at a time.
    pub(super) fn load(&self) -> Result<Revision, StorageError> {
        let mut loading = self.index.load();
        let mut plans = Vec::new();
        let revision = self.storage.load(&mut |loaded| match loaded {
            LoadedRecord::Plan(plan) => plans.push(plan),
            LoadedRecord::KeyCount(count) => loading.reserve(count),
            LoadedRecord::Key(key) => loading.put(&key.into()),
        })?;
        drop(loading);
        self.plans.replace(self.enroll_all(&plans)?);
        self.loaded.store(true, Ordering::Relaxed);
        Ok(revision)
    }

    pub(super) fn enroll_all(&self, records: &[PlanRecord]) -> Result<EnrolledPlans, StorageError> {
        let mut plans = EnrolledPlans::default();
        for record in records {
            if let Some(plan) = self.enroll(record)? {
                plans.insert(plan.plan.name.clone(), Arc::new(plan));
            }
        }
        Ok(plans)
    }

    /// Loads everything for the first time, when requests may already have come.
    pub(super) fn load_first_time(&self) -> Result<Revision, StorageError> {
        let revision = self.load_anew()?;
        self.restore_usage()?;
        self.loaded.store(true, Ordering::Relaxed);
        tracing::info!(
            keys = self.index.len(),
            plans = self.plans.snapshot().len(),
            revision,
            "keys and plans were loaded from {}",
            self.storage.name()
        );
        Ok(revision)
    }

    /// Loads everything again, and drops everything else.
    pub(super) fn reload(&self) -> Result<Revision, StorageError> {
        tracing::error!(
            "the storage {} was replaced (restored or emptied), and keys and plans are loaded again; if nobody did that, check the storage",
            self.storage.name()
        );
        self.load_anew()
    }

    pub(super) fn load_anew(&self) -> Result<Revision, StorageError> {
        let mut keys = Vec::new();
        let mut plans = Vec::new();
        let revision = self.storage.load(&mut |loaded| match loaded {
            LoadedRecord::Plan(plan) => plans.push(plan),
            LoadedRecord::KeyCount(count) => keys.reserve_exact(count),
            LoadedRecord::Key(key) => keys.push(KeyEntry::from(key)),
        })?;
        let plans = self.enroll_all(&plans)?;
        self.index.replace(keys);
        self.plans.replace(plans);
        Ok(revision)
    }
}

impl From<StoredKey> for KeyEntry {
    fn from(stored: StoredKey) -> Self {
        let record = stored.record;
        let secrets = record.secrets.into_iter().map(|secret| KeySecret {
            digest: secret.digest,
            expires_ms: secret.expires_ms.unwrap_or(u64::MAX),
        });
        let attributes = record.metadata.into_iter();
        Self {
            id: record.id,
            consumer: record.consumer,
            secrets: secrets.collect(),
            profile: Profile {
                plans: record.plans.into_iter().map(Arc::from).collect(),
                attributes: attributes
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
            },
            enabled: record.enabled,
            expires_ms: record.expires_ms,
            last_used_ms: stored.last_used_ms,
        }
    }
}
