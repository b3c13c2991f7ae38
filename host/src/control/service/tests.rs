//! Tests of the rules, with an SQLite file.

mod keys;
mod plans;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::control::storage::sqlite::SqliteStorage;
use crate::control::storage::{KeyQuery, QuotaExtension, Storage, UsageQuery, UsageStorage as _};
use crate::keys::{KeyDigest, KeyEntry, KeySecret, Profile, has_valid_checksum};
use crate::limits::UsagePlan;
use crate::limits::usage_rows::UsageDelta;
use crate::model::period::{MonthDay, Period};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::shared_store::StorageError;

const NOW: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// A runtime without a gateway, which records its calls.
#[derive(Debug, Default)]
struct RecordingRuntime {
    catches: Mutex<usize>,
    sets: Mutex<Vec<Vec<Arc<str>>>>,
    status: Mutex<Option<QuotaStatus>>,
    storage: Option<Arc<SqliteStorage>>,
}

impl ServiceRuntime for RecordingRuntime {
    fn catch_up(&self) -> Result<(), StorageError> {
        *self.catches.lock() += 1;
        Ok(())
    }
    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
    fn state(&self) -> SyncState {
        SyncState {
            fresh: true,
            since_contact: Duration::ZERO,
            keys: 0,
            revision: 0,
            failures: 0,
            unwritten_rows: 0,
        }
    }
    fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.sets.lock().clone()
    }
    fn last_used_ms(&self, _: &str) -> Option<u64> {
        None
    }
    fn quota_status(&self, _: &str, _: &str) -> Option<QuotaStatus> {
        *self.status.lock()
    }
    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<QuotaExtension>, StorageError> {
        Ok(Some(QuotaExtension {
            plan: plan.to_owned(),
            key: key.to_owned(),
            period: Period::Day,
            number: Period::Day.number(NOW),
            extra: i64::try_from(remaining).unwrap(),
        }))
    }
    fn set_extra(
        &self,
        plan: &str,
        key: &str,
        extra: i64,
    ) -> Result<Option<QuotaExtension>, StorageError> {
        *self.status.lock() = Some(status(Period::Day, 0, extra));
        Ok(Some(QuotaExtension {
            plan: plan.to_owned(),
            key: key.to_owned(),
            period: Period::Day,
            number: Period::Day.number(NOW),
            extra,
        }))
    }
    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        match &self.storage {
            Some(storage) => storage.add_usage(used, &[]),
            None => Ok(()),
        }
    }
    fn overshoot(&self, _: &str) -> Option<PlanOvershoot> {
        None
    }
}

/// The state of a quota.
fn status(period: Period, used: u64, extra: i64) -> QuotaStatus {
    QuotaStatus {
        period,
        number: period.number(NOW),
        used,
        extra,
        remaining: 0,
    }
}

struct ServiceFixture {
    service: ControlService,
    runtime: Arc<RecordingRuntime>,
    storage: Arc<SqliteStorage>,
    _folder: tempfile::TempDir,
}

fn fixture() -> ServiceFixture {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(SqliteStorage::open(&folder.path().join("keys.db")).unwrap());
    let runtime = Arc::new(RecordingRuntime {
        storage: Some(Arc::clone(&storage)),
        ..RecordingRuntime::default()
    });
    ServiceFixture {
        service: ControlService::new(Arc::clone(&storage) as _, Arc::clone(&runtime) as _),
        runtime,
        storage,
        _folder: folder,
    }
}

fn key(plans: &[&str]) -> KeyRecord {
    KeyRecord {
        name: "first".to_owned(),
        consumer: "acme".to_owned(),
        plans: plans.iter().map(|plan| (*plan).to_owned()).collect(),
        enabled: true,
        ..KeyRecord::default()
    }
}

fn plan(name: &str, apis: &[&str]) -> PlanRecord {
    PlanRecord {
        name: name.to_owned(),
        rate: Some(RateLimit {
            per_second: 5.0,
            burst: 10,
        }),
        apis: apis.iter().map(|api| (*api).to_owned()).collect(),
        ..PlanRecord::default()
    }
}

impl ServiceFixture {
    fn create(&self, plans: &[&str]) -> super::keys::CreatedKey {
        self.service
            .create_key(key(plans), None, None, NOW)
            .unwrap()
    }
}
