//! Tests of the file. The tests of every storage are in `storage/tests.rs`.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::control::storage::record::KeyRecord;
use crate::control::storage::tests::key;
use crate::control::storage::{KeyQuery, Storage as _, UsageQuery, UsageStorage as _, Write};
use crate::keys::KeyDigest;
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::Period;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("windlass.db");
    (folder, path)
}

fn put(storage: &SqliteStorage, record: KeyRecord) {
    let write = Write::PutKey { record, expect: 0 };
    storage.commit(&[write]).unwrap();
}

fn ids(storage: &SqliteStorage) -> Vec<String> {
    let query = KeyQuery {
        limit: 100,
        ..KeyQuery::default()
    };
    let keys = storage.keys(&query).unwrap();
    keys.into_iter().map(|key| key.record.id).collect()
}

fn refusal(path: &Path) -> String {
    SqliteStorage::open(path).unwrap_err().to_string()
}

#[test]
fn commits_are_there_when_the_file_is_opened_again() {
    let (_folder, path) = folder();
    put(&SqliteStorage::open(&path).unwrap(), key("a"));
    let storage = SqliteStorage::open(&path).unwrap();
    assert_eq!(ids(&storage), ["a"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "others may not read it");
}

#[test]
fn one_gateway_has_the_file_at_a_time() {
    let (_folder, path) = folder();
    let first = SqliteStorage::open(&path).unwrap();
    let message = refusal(&path);
    assert!(message.contains("another gateway has it"), "{message}");
    drop(first);
    SqliteStorage::open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let (_folder, path) = folder();
    for content in ["no database", &"x".repeat(5000)] {
        fs::write(&path, content).unwrap();
        let message = refusal(&path);
        assert!(message.contains("is not an SQLite database"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_database_of_another_program_is_left_as_it_is() {
    let (_folder, path) = folder();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let message = refusal(&path);
    assert!(message.contains("of another program"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn newer_tables_stop_the_start_and_are_left_as_they_are() {
    let (_folder, path) = folder();
    put(&SqliteStorage::open(&path).unwrap(), key("a"));
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 999).unwrap();
    newer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let message = refusal(&path);
    assert!(message.contains("version 999"), "{message}");
    assert!(message.contains("run the newer Windlass"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_file_is_reported_when_it_is_read_and_left_as_it_is() {
    let (_folder, path) = folder();
    let storage = SqliteStorage::open(&path).unwrap();
    let writes: Vec<_> = (0..2000)
        .map(|number| Write::PutKey {
            record: key(&format!("key-{number:04}")),
            expect: 0,
        })
        .collect();
    storage.commit(&writes).unwrap();
    drop(storage);
    let mut bytes = fs::read(&path).unwrap();
    // Every page but the first few: the roots of the tables stay intact.
    for byte in bytes.iter_mut().skip(64 * 1024) {
        *byte = 0xa5;
    }
    fs::write(&path, &bytes).unwrap();
    let message = match SqliteStorage::open(&path) {
        Ok(storage) => storage.load(&mut |_| {}).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(message.contains("is damaged"), "{message}");
    assert!(message.contains("restore it from a backup"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn files_of_every_version_are_migrated() {
    for (version, _) in schema::VERSIONS.iter().enumerate() {
        let (_folder, path) = folder();
        let old = Connection::open(&path).unwrap();
        for step in schema::VERSIONS.iter().take(version) {
            old.execute_batch(step).unwrap();
        }
        if version > 0 {
            old.pragma_update(None, "application_id", 0x574c_4453)
                .unwrap();
            let version = u32::try_from(version).unwrap();
            old.pragma_update(None, "user_version", version).unwrap();
        }
        drop(old);
        let storage = SqliteStorage::open(&path).unwrap();
        put(&storage, key("a"));
        assert_eq!(ids(&storage), ["a"]);
    }
}

/// The first version never changes, because files of it are in use.
#[test]
fn the_first_version_is_as_it_was() {
    let first = schema::VERSIONS[0];
    let digest = KeyDigest::of(first.as_bytes()).to_string();
    assert_eq!(
        digest, "sha256:9e6bbd3adb542c36f0f014c6514a753fbe131c80be3c6f936b1d876f2a10b7f5",
        "a published schema is not edited: add another version"
    );
}

#[test]
fn a_backup_can_be_made_while_it_is_open() {
    let (_folder, path) = folder();
    let storage = SqliteStorage::open(&path).unwrap();
    put(&storage, key("a"));
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let copy = path.with_extension("copy");
    reader
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    put(&storage, key("b"));
    assert_eq!(ids(&SqliteStorage::open(&copy).unwrap()), ["a"]);
}

#[test]
fn usage_that_no_integer_holds_ends_at_the_largest() {
    let (_folder, path) = folder();
    let storage = SqliteStorage::open(&path).unwrap();
    let delta = UsageDelta {
        plan: "gold".into(),
        key: "a".into(),
        day: 1,
        used: i64::MAX,
        quota: None,
    };
    for _ in 0..2 {
        storage
            .add_usage(std::slice::from_ref(&delta), &[])
            .unwrap();
    }
    let query = UsageQuery {
        plan: "gold".to_owned(),
        from_day: 1,
        to_day: 1,
        limit: 10,
        ..UsageQuery::default()
    };
    let rows = storage.usage(&query).unwrap();
    assert_eq!(rows[0].used, i64::MAX.unsigned_abs());
}

/// The usage of a draining gateway.
fn used(plan: &str, key: &str, used: i64, quota: Option<u64>) -> UsageDelta {
    UsageDelta {
        plan: plan.into(),
        key: key.into(),
        day: 40,
        used,
        quota: quota.map(|used| QuotaUsage {
            period: Period::Day,
            number: 40,
            used,
            extra: 0,
        }),
    }
}

fn quota(storage: &SqliteStorage, key: &str) -> Option<u64> {
    let mut found = None;
    let visit = &mut |row: QuotaRow| {
        if row.key == key {
            found = Some(row.usage.used);
        }
    };
    storage
        .load_quotas(40 * 24 * 60 * 60 * 1000, visit)
        .unwrap();
    found
}

#[test]
fn a_draining_gateway_adds_to_the_counts_of_its_successor() {
    let (_folder, path) = folder();
    let old = SqliteStorage::open(&path).unwrap();
    old.add_usage(&[used("gold", "a", 7, Some(7))], &[])
        .unwrap();
    old.release();
    let new = SqliteStorage::open(&path).unwrap();
    assert_eq!(quota(&new, "a"), Some(7));
    // The successor writes its total, and the old gateway its usage.
    new.add_usage(&[used("gold", "a", 2, Some(9))], &[])
        .unwrap();
    old.add_drain_usage(&[
        used("gold", "a", 3, Some(10)),
        used("gold", "b", 1, Some(1)),
    ])
    .unwrap();
    // A day whose period has ended is reported without its quota.
    old.add_drain_usage(&[used("gold", "a", -1, None)]).unwrap();
    let late = new.take_drain_usage().unwrap();
    let late: Vec<_> = late
        .iter()
        .map(|late| (&*late.quota.key, late.used, late.quota.usage.used))
        .collect();
    assert_eq!(late, [("a", 3, 12), ("b", 1, 1), ("a", -1, 11)]);
    assert_eq!(new.take_drain_usage().unwrap(), []);
    assert_eq!((quota(&new, "a"), quota(&new, "b")), (Some(11), Some(1)));
    let query = UsageQuery {
        plan: "gold".to_owned(),
        from_day: 40,
        to_day: 40,
        limit: 10,
        ..UsageQuery::default()
    };
    let rows = new.usage(&query).unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (&*row.key, row.used)).collect();
    assert_eq!(rows, [("a", 11), ("b", 1)]);
}
