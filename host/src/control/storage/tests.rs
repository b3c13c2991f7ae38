//! Tests of the promises of every storage: of the file always, and of Redis if there is a
//! redis-server.

mod promises;
mod redis;

use super::record::{KeyRecord, PlanRecord, SecretRecord};
use super::redis::RedisStorage;
use super::sqlite::SqliteStorage;
use super::{LoadedRecord, Revision, Storage, StoredKey, Write};
use crate::keys::KeyDigest;
use crate::model::period::{MonthDay, Period};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::runtime::clock::Timestamp;
use crate::shared_store::test_server::{RedisServer, settings};

/// The time now. Milliseconds since 1970.
fn now_ms() -> u64 {
    Timestamp::now().wall_ms
}

/// One test for each promise and each storage.
macro_rules! on_every_storage {
    ($($promise:ident)*) => {
        mod sqlite {
            use super::*;
            $(
                #[test]
                fn $promise() {
                    let folder = tempfile::tempdir().unwrap();
                    promises::$promise(&SqliteStorage::open(&folder.path().join("it")).unwrap());
                }
            )*
        }
        mod on_redis {
            use super::*;
            $(
                #[test]
                #[ignore = "needs redis-server: apt-get install redis-server"]
                fn $promise() {
                    let server = RedisServer::forgetful();
                    promises::$promise(&RedisStorage::open(&settings(&server)).unwrap());
                }
            )*
        }
    };
}

on_every_storage! {
    commits_are_found
    a_writer_that_expects_another_revision_writes_nothing
    a_commit_is_whole_or_not_at_all
    a_secret_is_one_keys
    a_rotated_key_is_found_by_both_secrets
    deleting_leaves_nothing_to_find
    changes_have_the_present_records
    a_revision_that_never_was_is_lost
    loading_shows_everything_once
    pages_have_no_gaps
    filters_narrow
    a_token_stands_for_one_thing
    texts_of_all_kinds_are_kept
    a_quota_has_its_period_since_it_was_changed
    usage_adds_up_by_day
    usage_is_paged_by_key
    quotas_are_loaded_with_their_extensions
    expired_rows_are_deleted
}

/// A key whose text is its id and `-1`.
pub(crate) fn key(id: &str) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        name: format!("name of {id}"),
        consumer: "someone".to_owned(),
        plans: vec!["gold".to_owned()],
        metadata: [("team".to_owned(), "blue".to_owned())].into(),
        enabled: true,
        created_ms: 1_700_000_000_000,
        updated_ms: 1_700_000_000_001,
        expires_ms: None,
        secrets: vec![secret(&format!("{id}-1"))],
        revision: 0,
    }
}

/// The record of the secret with this text.
pub(crate) fn secret(text: &str) -> SecretRecord {
    SecretRecord {
        digest: KeyDigest::of(text.as_bytes()),
        prefix: "wl_12345".to_owned(),
        created_ms: 1_700_000_000_000,
        expires_ms: None,
    }
}

fn plan(name: &str) -> PlanRecord {
    PlanRecord {
        name: name.to_owned(),
        description: "for tests".to_owned(),
        rate: Some(RateLimit {
            per_second: 0.1,
            burst: 7,
        }),
        quota: Some(QuotaLimit {
            limit: 100,
            period: Period::Month(MonthDay::new(15).unwrap_or(MonthDay::FIRST)),
        }),
        methods: Vec::new(),
        apis: vec!["orders".to_owned()],
        created_ms: 1,
        updated_ms: 2,
        revision: 0,
    }
}

fn put(record: KeyRecord) -> Write {
    let expect = record.revision;
    Write::PutKey { record, expect }
}

fn put_plan(record: PlanRecord) -> Write {
    let expect = record.revision;
    Write::PutPlan { record, expect }
}

/// Writes these keys as new, in one commit.
fn create(storage: &dyn Storage, ids: &[&str]) -> Revision {
    let writes: Vec<_> = ids.iter().map(|id| put(key(id))).collect();
    storage.commit(&writes).unwrap()
}

fn record(storage: &dyn Storage, id: &str) -> KeyRecord {
    storage.key(id).unwrap().expect("the key").record
}

fn ids(keys: &[StoredKey]) -> Vec<&str> {
    keys.iter().map(|key| &*key.record.id).collect()
}

/// Everything that `load` visits: the revision, the keys, the names of the plans.
fn load(storage: &dyn Storage) -> (Revision, Vec<StoredKey>, Vec<String>) {
    let (mut keys, mut plans) = (Vec::new(), Vec::new());
    let mut expected = None;
    let revision = storage.load(&mut |loaded| match loaded {
        LoadedRecord::KeyCount(count) => expected = Some(count),
        LoadedRecord::Key(key) => {
            assert!(expected.is_some(), "the count comes before the keys");
            keys.push(key);
        }
        LoadedRecord::Plan(plan) => plans.push(plan.name),
    });
    assert_eq!(expected, Some(keys.len()));
    (revision.unwrap(), keys, plans)
}
