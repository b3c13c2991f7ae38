//! Tests of Redis: it goes, comes back, and may have lost its data.

use std::time::{Duration, Instant};

use ::redis::Client;

use super::{create, ids, key, load, now_ms, put, record, secret};
use crate::control::storage::redis::RedisStorage;
use crate::control::storage::{CommitError, Storage, UsageStorage as _, Write};
use crate::keys::KeyDigest;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::RedisSettings;
use crate::shared_store::test_server::{RedisServer, settings};

fn open(server: &RedisServer) -> RedisStorage {
    RedisStorage::open(&settings(server)).unwrap()
}

/// A client with a short timeout.
fn impatient(server: &RedisServer) -> RedisStorage {
    RedisStorage::open(&RedisSettings {
        timeout: Duration::from_millis(200),
        ..settings(server)
    })
    .unwrap()
}

fn tell(server: &RedisServer, words: &[&str]) {
    let mut connection = Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let mut words = words.iter();
    let mut command = ::redis::cmd(words.next().unwrap());
    command.arg(words.as_slice());
    command.exec(&mut connection).unwrap();
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn gateways_see_each_others_commits() {
    let server = RedisServer::forgetful();
    let (one, other) = (open(&server), open(&server));
    let (start, ..) = load(&other);
    create(&one, &["a"]);
    let changes = other.changes(start).unwrap();
    assert_eq!(changes.keys, [("a".to_owned(), Some(record(&one, "a")))]);
    // Another prefix is another storage.
    let apart = RedisStorage::open(&RedisSettings {
        prefix: "apart".to_owned(),
        ..settings(&server)
    });
    assert_eq!(load(&apart.unwrap()).1, []);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_was_emptied_is_lost() {
    let server = RedisServer::forgetful();
    let storage = open(&server);
    create(&storage, &["a"]);
    let (revision, ..) = load(&storage);
    assert!(!storage.changes(revision).unwrap().reload_required);
    tell(&server, &["FLUSHALL"]);
    // Another gateway writes before this one asks, so that the revisions are the same again.
    assert_eq!(create(&open(&server), &["b"]), revision);
    assert!(storage.changes(revision).unwrap().reload_required);
    assert!(
        storage.changes(revision).unwrap().reload_required,
        "until it was loaded"
    );
    let (revision, keys, _) = load(&storage);
    assert_eq!(ids(&keys), ["b"]);
    assert!(!storage.changes(revision).unwrap().reload_required);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_was_emptied_and_filled_by_this_very_gateway_is_lost() {
    let server = RedisServer::forgetful();
    let storage = open(&server);
    create(&storage, &["a"]);
    let (revision, ..) = load(&storage);
    tell(&server, &["FLUSHALL"]);
    assert_eq!(create(&storage, &["b"]), revision);
    assert!(storage.changes(revision).unwrap().reload_required);
    assert_eq!(ids(&load(&storage).1), ["b"]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn acknowledged_commits_are_there_after_a_crash_of_a_durable_store() {
    let mut server = RedisServer::durable();
    let storage = open(&server);
    create(&storage, &["a"]);
    let (revision, ..) = load(&storage);
    server.kill();
    let error = storage.key("a").unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    let error = storage.commit(&[put(key("b"))]).unwrap_err();
    assert!(
        matches!(
            error,
            CommitError::Storage(StorageError::Unreachable { .. })
        ),
        "{error}"
    );
    server.restart();
    // The next call opens a connection, and finds that it may have missed changes.
    assert!(storage.changes(revision).unwrap().reload_required);
    let (again, keys, _) = load(&storage);
    assert_eq!((again, ids(&keys)), (revision, vec!["a"]));
    assert!(!storage.changes(revision).unwrap().reload_required);
    create(&storage, &["b"]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_hangs_is_given_up_in_time() {
    let server = RedisServer::forgetful();
    let storage = impatient(&server);
    create(&storage, &["a"]);
    server.pause();
    let begin = Instant::now();
    let error = storage.key("a").unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    assert!(storage.commit(&[put(key("b"))]).is_err());
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    server.resume();
    // A late answer to an earlier call is dropped.
    assert_eq!(record(&storage, "a").id, "a");
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_newer_schema_is_left_alone() {
    let server = RedisServer::forgetful();
    let storage = open(&server);
    tell(&server, &["HSET", "{test}:meta", "schema", "2"]);
    let errors = [
        storage.commit(&[put(key("a"))]).unwrap_err().to_string(),
        storage.changes(0).unwrap_err().to_string(),
        RedisStorage::open(&settings(&server))
            .unwrap_err()
            .to_string(),
    ];
    for error in errors {
        assert!(error.contains("schema version 2"), "{error}");
        assert!(error.contains("run the version that wrote it"), "{error}");
    }
    assert_eq!(storage.key("a").unwrap(), None);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_password_is_asked_for() {
    let server = RedisServer::start(&["--requirepass", "hunter2", "--save", ""]);
    let with = |password: Option<&str>| {
        RedisStorage::open(&RedisSettings {
            password: password.map(|text| text.to_owned().into()),
            ..settings(&server)
        })
    };
    for password in [None, Some("hunter3")] {
        let error = with(password).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{error}");
    }
    create(&with(Some("hunter2")).unwrap(), &["a"]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn secrets_past_their_end_are_forgotten() {
    let server = RedisServer::forgetful();
    let storage = open(&server);
    let mut rotated = key("a");
    rotated.secrets.insert(0, secret("a-2"));
    rotated.secrets[1].expires_ms = Some(5_000);
    storage.commit(&[put(rotated)]).unwrap();
    let before = record(&storage, "a");
    storage.delete_expired(0, 4_999).unwrap();
    assert_eq!(record(&storage, "a"), before);
    storage.delete_expired(0, 5_000).unwrap();
    let after = record(&storage, "a");
    assert_eq!(after.secrets, before.secrets[..1]);
    assert!(after.revision > before.revision, "others are changes");
    assert_eq!(storage.key_by_digest(&KeyDigest::of(b"a-1")).unwrap(), None);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_deletion_is_reported_for_a_week_and_lost_after() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let server = RedisServer::forgetful();
    let storage = open(&server);
    let created = create(&storage, &["a", "b"]);
    let delete = Write::DeleteKey {
        id: "a".to_owned(),
        expect: created,
    };
    let deleted = storage.commit(&[delete]).unwrap();
    storage.delete_expired(0, now_ms() + 6 * DAY_MS).unwrap();
    let changes = storage.changes(created).unwrap();
    assert_eq!(
        (changes.reload_required, changes.keys),
        (false, vec![("a".to_owned(), None)])
    );
    storage.delete_expired(0, now_ms() + 8 * DAY_MS).unwrap();
    assert!(storage.changes(created).unwrap().reload_required);
    assert!(!storage.changes(deleted).unwrap().reload_required);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_commit_of_the_largest_size_is_reported_whole() {
    let server = RedisServer::forgetful();
    let storage = open(&server);
    let writes: Vec<_> = (0..storage.max_writes())
        .map(|number| put(key(&format!("k{number}"))))
        .collect();
    let begin = Instant::now();
    storage.commit(&writes).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(storage.changes(0).unwrap().keys.len(), writes.len());
    create(&storage, &["one-more"]);
    assert_eq!(storage.changes(0).unwrap().keys.len(), writes.len() + 1);
}
