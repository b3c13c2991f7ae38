//! In step with a ledger in a file.

use std::path::Path;

use tempfile::TempDir;

use super::super::storage::record::{KeyRecord, PlanRecord, QuotaRecord};
use super::super::storage::sqlite::SqliteStorage;
use super::super::storage::tests::{self as fixture, secret};
use super::super::storage::{UsageQuery, UsageRow, Write};
use super::*;
use crate::keys::{KeyReject, Keys, LookupTime};
use crate::limits::usage_rows::QuotaRow;
use crate::limits::{Decision, EnrolledPlan, LocalLimits, TakeRequest};
use crate::model::period::{MonthDay, Period};

fn settings(max_staleness: Option<Duration>) -> SyncSettings {
    SyncSettings {
        // Writing is asked for.
        flush_interval: Duration::from_hours(1),
        max_staleness,
        allow_stale: false,
        usage_days: 400,
    }
}

fn limits() -> Arc<LocalLimits> {
    Arc::new(LocalLimits::default().with_recording())
}

fn keeper(path: &Path, limits: &Arc<LocalLimits>) -> StorageSync {
    let ledger = Arc::new(SqliteStorage::open(path).unwrap());
    let limits: Arc<dyn LimitStore> = limits.clone();
    StorageSync::start(ledger, limits, TimestampClock::start(), settings(None)).unwrap()
}

/// A key that is presented as its id.
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
        quota: Some(QuotaRecord {
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

fn find(keeper: &StorageSync, text: &str) -> Result<String, KeyReject> {
    let keys = Keys {
        configured: Arc::default(),
        live: Some(keeper.live_keys()),
    };
    let now = LookupTime {
        wall_ms: 5_000,
        monotonic_ms: monotonic_ms(),
    };
    let found = keys.find(text.as_bytes(), now, |key| key.id().to_owned());
    found.map_err(|rejected| rejected.reason)
}

fn commit(keeper: &StorageSync, write: Write) -> Revision {
    let revision = keeper.storage().commit(&[write]).unwrap();
    keeper.catch_up().unwrap();
    revision
}

fn take(keeper: &StorageSync, plan: &EnrolledPlan, cost: u64) -> Decision {
    keeper.shared.limits.take(&TakeRequest {
        plan: Some(plan),
        key: "a",
        method: None,
        route: None,
        gateway: None,
        cost,
        now: keeper.shared.clock.now(),
    })
}

#[test]
fn what_is_committed_is_in_force_after_catching_up() {
    let folder = TempDir::new().unwrap();
    let keeper = keeper(&folder.path().join("db"), &limits());
    let (record, expect) = (key("a"), 0);
    let first = commit(&keeper, Write::PutKey { record, expect });
    assert_eq!(find(&keeper, "a"), Ok("a".to_owned()));
    let record = KeyRecord {
        enabled: false,
        ..key("a")
    };
    let expect = first;
    let second = commit(&keeper, Write::PutKey { record, expect });
    assert_eq!(find(&keeper, "a"), Err(KeyReject::Disabled));
    let (id, expect) = ("a".to_owned(), second);
    let third = commit(&keeper, Write::DeleteKey { id, expect });
    assert_eq!(find(&keeper, "a"), Err(KeyReject::Unknown));
    assert_eq!(keeper.state().revision, third);
    let (record, expect) = (plan(5), 0);
    let fourth = commit(&keeper, Write::PutPlan { record, expect });
    assert!(keeper.plans().snapshot().find("gold").is_some());
    let (name, expect) = ("gold".to_owned(), fourth);
    commit(&keeper, Write::DeletePlan { name, expect });
    assert!(keeper.plans().snapshot().find("gold").is_none());
}

#[test]
fn keys_plans_and_usage_are_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("db");
    let first = keeper(&path, &limits());
    let (record, expect) = (key("a"), 0);
    commit(&first, Write::PutKey { record, expect });
    let (record, expect) = (plan(10), 0);
    commit(&first, Write::PutPlan { record, expect });
    assert_eq!(find(&first, "a"), Ok("a".to_owned()));
    let gold = Arc::clone(first.plans().snapshot().find("gold").unwrap());
    assert!(take(&first, &gold, 7).allowed);
    drop(first);

    let second = keeper(&path, &limits());
    assert_eq!(find(&second, "a"), Ok("a".to_owned()));
    assert_eq!(second.index().last_used_ms("a"), Some(5_000));
    second.restore().unwrap();
    let gold = Arc::clone(second.plans().snapshot().find("gold").unwrap());
    assert!(!take(&second, &gold, 4).allowed);
    assert!(take(&second, &gold, 3).allowed);
    second.flush().unwrap();
    let today = u32::try_from(second.shared.clock.now().wall_ms / DAY_MS).unwrap();
    let used = second.storage().usage(&UsageQuery {
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
    let keeper = keeper(&path, &limits());
    let (record, expect) = (plan(10), 0);
    commit(&keeper, Write::PutPlan { record, expect });
    let gold = Arc::clone(keeper.plans().snapshot().find("gold").unwrap());
    assert!(take(&keeper, &gold, 2).allowed);
    let hinder = rusqlite::Connection::open(&path).unwrap();
    hinder
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON usage BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    keeper.flush().unwrap_err();
    assert_eq!(keeper.state().unwritten_rows, 1);
    assert!(take(&keeper, &gold, 3).allowed);
    hinder.execute_batch("DROP TRIGGER no").unwrap();
    keeper.flush().unwrap();
    let mut rows = Vec::new();
    let now_ms = keeper.shared.clock.now().wall_ms;
    keeper
        .storage()
        .load_quotas(now_ms, &mut |row: QuotaRow| rows.push(row.usage.used))
        .unwrap();
    assert_eq!(rows, [5]);
    assert_eq!(keeper.state().unwritten_rows, 0);
}
