//! What is particular to a Redis: it goes, comes back, and may have lost what it had.

use std::time::{Duration, Instant};

use ::redis::Client;

use super::super::redis::RedisStorage;
use super::super::{CommitError, Storage, Write};
use super::{create, ids, key, load, now_ms, put, record, secret};
use crate::keys::KeyDigest;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::RedisSettings;
use crate::shared_store::test_server::RedisServer;
use crate::shared_store::test_server::settings;

fn open(server: &RedisServer) -> RedisStorage {
    RedisStorage::open(&settings(server)).unwrap()
}

/// One that gives up soon.
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
    let told = other.changes(start).unwrap();
    assert_eq!(told.keys, [("a".to_owned(), Some(record(&one, "a")))]);
    // Another prefix is another store.
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
    let ledger = open(&server);
    create(&ledger, &["a"]);
    let (revision, ..) = load(&ledger);
    assert!(!ledger.changes(revision).unwrap().reload_required);
    tell(&server, &["FLUSHALL"]);
    // Somebody writes before this one asks, so that the revisions are the same again.
    assert_eq!(create(&open(&server), &["b"]), revision);
    assert!(ledger.changes(revision).unwrap().reload_required);
    assert!(
        ledger.changes(revision).unwrap().reload_required,
        "until it was loaded"
    );
    let (revision, keys, _) = load(&ledger);
    assert_eq!(ids(&keys), ["b"]);
    assert!(!ledger.changes(revision).unwrap().reload_required);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_was_emptied_and_filled_by_this_very_gateway_is_lost() {
    let server = RedisServer::forgetful();
    let ledger = open(&server);
    create(&ledger, &["a"]);
    let (revision, ..) = load(&ledger);
    tell(&server, &["FLUSHALL"]);
    assert_eq!(create(&ledger, &["b"]), revision);
    assert!(ledger.changes(revision).unwrap().reload_required);
    assert_eq!(ids(&load(&ledger).1), ["b"]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_was_acknowledged_is_there_after_a_crash_of_a_durable_store() {
    let mut server = RedisServer::durable();
    let ledger = open(&server);
    create(&ledger, &["a"]);
    let (revision, ..) = load(&ledger);
    server.kill();
    let error = ledger.key("a").unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    let error = ledger.commit(&[put(key("b"))]).unwrap_err();
    assert!(
        matches!(
            error,
            CommitError::Storage(StorageError::Unreachable { .. })
        ),
        "{error}"
    );
    server.restart();
    // The next call connects anew, and finds that it may have missed something.
    assert!(ledger.changes(revision).unwrap().reload_required);
    let (again, keys, _) = load(&ledger);
    assert_eq!((again, ids(&keys)), (revision, vec!["a"]));
    assert!(!ledger.changes(revision).unwrap().reload_required);
    create(&ledger, &["b"]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_that_stands_still_is_given_up_in_time() {
    let server = RedisServer::forgetful();
    let ledger = impatient(&server);
    create(&ledger, &["a"]);
    server.pause();
    let begin = Instant::now();
    let error = ledger.key("a").unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    assert!(ledger.commit(&[put(key("b"))]).is_err());
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    server.resume();
    // A late answer to what was asked before is nobody's.
    assert_eq!(record(&ledger, "a").id, "a");
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_newer_schema_is_left_alone() {
    let server = RedisServer::forgetful();
    let ledger = open(&server);
    tell(&server, &["HSET", "{test}:meta", "schema", "2"]);
    let errors = [
        ledger.commit(&[put(key("a"))]).unwrap_err().to_string(),
        ledger.changes(0).unwrap_err().to_string(),
        RedisStorage::open(&settings(&server))
            .unwrap_err()
            .to_string(),
    ];
    for error in errors {
        assert!(error.contains("schema version 2"), "{error}");
        assert!(error.contains("run the version that wrote it"), "{error}");
    }
    assert_eq!(ledger.key("a").unwrap(), None);
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
    let ledger = open(&server);
    let mut rotated = key("a");
    rotated.secrets.insert(0, secret("a-2"));
    rotated.secrets[1].expires_ms = Some(5_000);
    ledger.commit(&[put(rotated)]).unwrap();
    let before = record(&ledger, "a");
    ledger.delete_expired(0, 4_999).unwrap();
    assert_eq!(record(&ledger, "a"), before);
    ledger.delete_expired(0, 5_000).unwrap();
    let after = record(&ledger, "a");
    assert_eq!(after.secrets, before.secrets[..1]);
    assert!(after.revision > before.revision, "others are told");
    assert_eq!(ledger.key_by_digest(&KeyDigest::of(b"a-1")).unwrap(), None);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_deletion_is_told_for_a_week_and_lost_after() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let server = RedisServer::forgetful();
    let ledger = open(&server);
    let created = create(&ledger, &["a", "b"]);
    let delete = Write::DeleteKey {
        id: "a".to_owned(),
        expect: created,
    };
    let deleted = ledger.commit(&[delete]).unwrap();
    ledger.delete_expired(0, now_ms() + 6 * DAY_MS).unwrap();
    let told = ledger.changes(created).unwrap();
    assert_eq!(
        (told.reload_required, told.keys),
        (false, vec![("a".to_owned(), None)])
    );
    ledger.delete_expired(0, now_ms() + 8 * DAY_MS).unwrap();
    assert!(ledger.changes(created).unwrap().reload_required);
    assert!(!ledger.changes(deleted).unwrap().reload_required);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_commit_as_large_as_it_may_be_is_told_whole() {
    let server = RedisServer::forgetful();
    let ledger = open(&server);
    let writes: Vec<_> = (0..ledger.max_writes())
        .map(|number| put(key(&format!("k{number}"))))
        .collect();
    let begin = Instant::now();
    ledger.commit(&writes).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(ledger.changes(0).unwrap().keys.len(), writes.len());
    create(&ledger, &["one-more"]);
    assert_eq!(ledger.changes(0).unwrap().keys.len(), writes.len() + 1);
}
