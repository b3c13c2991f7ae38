//! Tests of the sync with an SQLite file.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::control::storage::record::{KeyRecord, PlanRecord};
use crate::control::storage::sqlite::SqliteStorage;
use crate::control::storage::tests::{self as fixture, secret};
use crate::control::storage::{UsageQuery, UsageRow, Write};
use crate::keys::{KeyReject, Keys};
use crate::limits::usage_rows::QuotaRow;
use crate::limits::{Decision, EnrolledPlan, LocalLimits, TakeRequest};
use crate::model::period::{MonthDay, Period};
use crate::model::plan::QuotaLimit;

fn settings(max_staleness: Option<Duration>) -> SyncSettings {
    SyncSettings {
        // Tests write explicitly.
        flush_interval: Duration::from_hours(1),
        max_staleness,
        allow_stale: false,
        usage_days: 400,
    }
}

fn limits() -> Arc<LocalLimits> {
    Arc::new(LocalLimits::default().with_recording())
}

fn sync(path: &Path, limits: &Arc<LocalLimits>) -> StorageSync {
    let storage = Arc::new(SqliteStorage::open(path).unwrap());
    let limits: Arc<dyn LimitStore> = limits.clone();
    StorageSync::start(storage, limits, settings(None)).unwrap()
}

/// A key whose text is its id.
fn key(id: &str) -> KeyRecord {
    KeyRecord {
        secrets: vec![secret(id)],
        ..fixture::key(id)
    }
}

fn plan(limit: u64) -> PlanRecord {
    PlanRecord {
        name: "gold".to_owned(),
        description: String::new(),
        rate: None,
        quota: Some(QuotaLimit {
            limit,
            period: Period::Month(MonthDay::FIRST),
        }),
        methods: Vec::new(),
        apis: Vec::new(),
        created_ms: 1,
        updated_ms: 1,
        revision: 0,
    }
}

fn find(sync: &StorageSync, text: &str) -> Result<String, KeyReject> {
    let keys = Keys {
        configured: Arc::default(),
        live: Some(sync.live_keys()),
    };
    let now = Timestamp {
        wall_ms: 5_000,
        ..Timestamp::now()
    };
    let found = keys.find(text.as_bytes(), now, |key| key.id().to_owned());
    found.map_err(|rejected| rejected.reason)
}

fn commit(sync: &StorageSync, write: Write) -> Revision {
    let revision = sync.storage.commit(&[write]).unwrap();
    sync.catch_up().unwrap();
    revision
}

fn take(sync: &StorageSync, plan: &EnrolledPlan, cost: u64) -> Decision {
    sync.shared.limits.take(&TakeRequest {
        plan: Some(plan),
        key: "a",
        method: None,
        route: None,
        gateway: None,
        cost,
        now: Timestamp::now(),
    })
}

#[test]
fn commits_are_in_use_after_catching_up() {
    let folder = TempDir::new().unwrap();
    let sync = sync(&folder.path().join("db"), &limits());
    let (record, expect) = (key("a"), 0);
    let first = commit(&sync, Write::PutKey { record, expect });
    assert_eq!(find(&sync, "a"), Ok("a".to_owned()));
    let record = KeyRecord {
        enabled: false,
        ..key("a")
    };
    let expect = first;
    let second = commit(&sync, Write::PutKey { record, expect });
    assert_eq!(find(&sync, "a"), Err(KeyReject::Disabled));
    let (id, expect) = ("a".to_owned(), second);
    let third = commit(&sync, Write::DeleteKey { id, expect });
    assert_eq!(find(&sync, "a"), Err(KeyReject::Unknown));
    assert_eq!(sync.state().revision, third);
    let (record, expect) = (plan(5), 0);
    let fourth = commit(&sync, Write::PutPlan { record, expect });
    assert!(sync.plans.snapshot().contains_key("gold"));
    let (name, expect) = ("gold".to_owned(), fourth);
    commit(&sync, Write::DeletePlan { name, expect });
    assert!(!sync.plans.snapshot().contains_key("gold"));
}

#[test]
fn keys_plans_and_usage_are_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("db");
    let first = sync(&path, &limits());
    let (record, expect) = (key("a"), 0);
    commit(&first, Write::PutKey { record, expect });
    let (record, expect) = (plan(10), 0);
    commit(&first, Write::PutPlan { record, expect });
    assert_eq!(find(&first, "a"), Ok("a".to_owned()));
    let gold = Arc::clone(first.plans.snapshot().get("gold").unwrap());
    assert!(take(&first, &gold, 7).allowed);
    drop(first);

    let second = sync(&path, &limits());
    assert_eq!(find(&second, "a"), Ok("a".to_owned()));
    assert_eq!(second.index.last_used_ms("a"), Some(5_000));
    second.restore().unwrap();
    let gold = Arc::clone(second.plans.snapshot().get("gold").unwrap());
    assert!(!take(&second, &gold, 4).allowed);
    assert!(take(&second, &gold, 3).allowed);
    second.flush(false).unwrap();
    let today = u32::try_from(Timestamp::now().wall_ms / DAY_MS).unwrap();
    let used = second.storage.usage(&UsageQuery {
        plan: "gold".to_owned(),
        from_day: today - 1,
        to_day: today + 1,
        limit: 10,
        ..UsageQuery::default()
    });
    let used: u64 = used.unwrap().iter().map(|row: &UsageRow| row.used).sum();
    assert_eq!(used, 10);
}

#[test]
fn usage_that_cannot_be_written_is_written_later() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("db");
    let sync = sync(&path, &limits());
    let (record, expect) = (plan(10), 0);
    commit(&sync, Write::PutPlan { record, expect });
    let gold = Arc::clone(sync.plans.snapshot().get("gold").unwrap());
    assert!(take(&sync, &gold, 2).allowed);
    let hinder = rusqlite::Connection::open(&path).unwrap();
    hinder
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON usage BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    sync.flush(false).unwrap_err();
    assert_eq!(sync.state().unwritten_rows, 1);
    assert!(take(&sync, &gold, 3).allowed);
    hinder.execute_batch("DROP TRIGGER no").unwrap();
    sync.flush(false).unwrap();
    let mut rows = Vec::new();
    let now_ms = Timestamp::now().wall_ms;
    sync.storage
        .load_quotas(now_ms, &mut |row: QuotaRow| rows.push(row.usage.used))
        .unwrap();
    assert_eq!(rows, [5]);
    assert_eq!(sync.state().unwritten_rows, 0);
}
