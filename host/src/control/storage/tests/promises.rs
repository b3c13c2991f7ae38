//! The promises, each as a function of the storage that has to keep it.

mod usage;

use std::sync::Arc;

pub(super) use self::usage::{
    a_quota_has_its_period_since_it_was_changed, expired_rows_are_deleted,
    quotas_are_loaded_with_their_extensions, usage_adds_up_by_day, usage_is_paged_by_key,
};
use self::usage::{delta, row, usage};
use super::{create, ids, key, load, now_ms, plan, put, put_plan, record, secret};
use crate::control::storage::record::{KeyRecord, PlanRecord, SecretRecord};
use crate::control::storage::{
    CommitError, Conflict, IdempotencyRecord, KeyQuery, LastUse, Storage, UsageQuery, Write,
};
use crate::keys::KeyDigest;
use crate::limits::MethodRate;
use crate::model::plan::RateLimit;

/// 2024-03-13T12:00:00Z, a Wednesday.
const NOON_MS: u64 = 1_710_331_200_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn conflict(storage: &dyn Storage, writes: &[Write]) -> Conflict {
    match storage.commit(writes) {
        Err(CommitError::Conflict(conflict)) => conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

pub(super) fn commits_are_found(storage: &dyn Storage) {
    assert_eq!(storage.key("a").unwrap(), None);
    assert_eq!(storage.plan("gold").unwrap(), None);
    assert_eq!(load(storage).0, 0);
    let first = create(storage, &["a"]);
    let second = storage.commit(&[put_plan(plan("gold"))]).unwrap();
    assert!(0 < first && first < second);
    let expected = KeyRecord {
        revision: first,
        ..key("a")
    };
    let found = storage.key("a").unwrap().unwrap();
    assert_eq!((found.record, found.last_used_ms), (expected, None));
    let expected = PlanRecord {
        revision: second,
        ..plan("gold")
    };
    assert_eq!(storage.plan("gold").unwrap(), Some(expected.clone()));
    assert_eq!(storage.plans().unwrap(), [expected]);
    let digest = KeyDigest::of(b"a-1");
    assert_eq!(
        storage.key_by_digest(&digest).unwrap(),
        storage.key("a").unwrap()
    );
    assert_eq!(storage.key_by_digest(&KeyDigest::of(b"a-2")).unwrap(), None);
}

pub(super) fn a_writer_that_expects_another_revision_writes_nothing(storage: &dyn Storage) {
    let first = create(storage, &["a"]);
    let mut changed = record(storage, "a");
    changed.name = "another".to_owned();
    let second = storage.commit(&[put(changed.clone())]).unwrap();
    // It names the revision before.
    assert_eq!(
        conflict(storage, &[put(changed.clone())]),
        Conflict::Key("a".to_owned())
    );
    // New, where there is one; and changed, where there is none.
    assert_eq!(
        conflict(storage, &[put(key("a"))]),
        Conflict::Key("a".to_owned())
    );
    let mut absent = key("b");
    absent.revision = second;
    assert_eq!(
        conflict(storage, &[put(absent)]),
        Conflict::Key("b".to_owned())
    );
    let delete = |id: &str, expect| Write::DeleteKey {
        id: id.to_owned(),
        expect,
    };
    assert_eq!(
        conflict(storage, &[delete("a", first)]),
        Conflict::Key("a".to_owned())
    );
    storage.commit(&[put_plan(plan("gold"))]).unwrap();
    assert_eq!(
        conflict(storage, &[put_plan(plan("gold"))]),
        Conflict::Plan("gold".to_owned())
    );
    let stale = Write::DeletePlan {
        name: "gold".to_owned(),
        expect: first,
    };
    assert_eq!(
        conflict(storage, &[stale]),
        Conflict::Plan("gold".to_owned())
    );
    assert_eq!(record(storage, "a").revision, second);
    assert_eq!(record(storage, "a").name, "another");
}

pub(super) fn a_commit_is_whole_or_not_at_all(storage: &dyn Storage) {
    create(storage, &["a"]);
    let before = load(storage);
    let writes = [
        put_plan(plan("gold")),
        put(key("b")),
        Write::PutToken {
            token: "t".to_owned(),
            what: IdempotencyRecord {
                request: [1; 32],
                key: "b".to_owned(),
            },
            until_ms: now_ms() + DAY_MS,
        },
        put(key("a")),
    ];
    assert_eq!(conflict(storage, &writes), Conflict::Key("a".to_owned()));
    assert_eq!(load(storage), before);
    assert_eq!(storage.key_by_digest(&KeyDigest::of(b"b-1")).unwrap(), None);
    assert_eq!(storage.idempotency_record("t", now_ms()).unwrap(), None);
    let done = storage.commit(&writes[..3]).unwrap();
    assert_eq!(record(storage, "b").revision, done);
    assert_eq!(storage.plan("gold").unwrap().unwrap().revision, done);
    // One key twice in one commit: the second write cannot name the revision of the first.
    let twice = [put(key("c")), put(key("c"))];
    assert_eq!(conflict(storage, &twice), Conflict::Key("c".to_owned()));
    assert_eq!(storage.key("c").unwrap(), None);
}

pub(super) fn a_secret_is_one_keys(storage: &dyn Storage) {
    create(storage, &["a"]);
    let mut thief = key("b");
    thief.secrets.push(secret("a-1"));
    let refused = Conflict::Digest {
        id: "b".to_owned(),
        owner: "a".to_owned(),
    };
    assert_eq!(conflict(storage, &[put(thief.clone())]), refused);
    // Two new ones in one commit.
    let (one, mut other) = (key("c"), key("d"));
    other.secrets = one.secrets.clone();
    let refused = Conflict::Digest {
        id: "d".to_owned(),
        owner: "c".to_owned(),
    };
    assert_eq!(conflict(storage, &[put(one), put(other)]), refused);
    // A secret may move from one key to another if the first key gives it up before.
    let mut gives = record(storage, "a");
    gives.secrets = vec![secret("a-2")];
    storage.commit(&[put(gives), put(thief)]).unwrap();
    let owner = storage
        .key_by_digest(&KeyDigest::of(b"a-1"))
        .unwrap()
        .unwrap();
    assert_eq!(owner.record.id, "b");
}

pub(super) fn a_rotated_key_is_found_by_both_secrets(storage: &dyn Storage) {
    create(storage, &["a"]);
    let mut rotated = record(storage, "a");
    if let Some(old) = rotated.secrets.first_mut() {
        old.expires_ms = Some(now_ms() + DAY_MS);
    }
    rotated.secrets.insert(0, secret("a-2"));
    storage.commit(&[put(rotated.clone())]).unwrap();
    for text in ["a-1", "a-2"] {
        let digest = KeyDigest::of(text.as_bytes());
        let found = storage.key_by_digest(&digest).unwrap().unwrap();
        assert_eq!(found.record.secrets, rotated.secrets, "{text}");
    }
    let mut done = record(storage, "a");
    done.secrets.pop();
    storage.commit(&[put(done)]).unwrap();
    assert_eq!(storage.key_by_digest(&KeyDigest::of(b"a-1")).unwrap(), None);
    assert!(
        storage
            .key_by_digest(&KeyDigest::of(b"a-2"))
            .unwrap()
            .is_some()
    );
}

pub(super) fn deleting_leaves_nothing_to_find(storage: &dyn Storage) {
    create(storage, &["a", "b"]);
    storage.commit(&[put_plan(plan("gold"))]).unwrap();
    let gold = storage.plan("gold").unwrap().unwrap();
    let deletes = [
        Write::DeleteKey {
            id: "a".to_owned(),
            expect: record(storage, "a").revision,
        },
        Write::DeletePlan {
            name: "gold".to_owned(),
            expect: gold.revision,
        },
    ];
    storage.commit(&deletes).unwrap();
    assert_eq!(storage.key("a").unwrap(), None);
    assert_eq!(storage.key_by_digest(&KeyDigest::of(b"a-1")).unwrap(), None);
    assert_eq!(storage.plans().unwrap(), []);
    let rest = KeyQuery {
        limit: 10,
        plan: Some("gold".to_owned()),
        ..KeyQuery::default()
    };
    assert_eq!(ids(&storage.keys(&rest).unwrap()), ["b"]);
    // Its secret and its id are free again.
    let mut again = key("a");
    again.name = "the second".to_owned();
    storage.commit(&[put(again)]).unwrap();
    assert_eq!(record(storage, "a").name, "the second");
}

pub(super) fn changes_have_the_present_records(storage: &dyn Storage) {
    let none = storage.changes(0).unwrap();
    assert_eq!(
        (none.revision, none.reload_required, none.keys.len()),
        (0, false, 0)
    );
    let first = create(storage, &["a", "b", "c"]);
    storage.commit(&[put_plan(plan("gold"))]).unwrap();
    let mut changed = record(storage, "b");
    changed.enabled = false;
    storage.commit(&[put(changed)]).unwrap();
    let delete = Write::DeleteKey {
        id: "c".to_owned(),
        expect: first,
    };
    let last = storage.commit(&[delete]).unwrap();
    let changes = storage.changes(first).unwrap();
    assert_eq!((changes.revision, changes.reload_required), (last, false));
    let mut keys = changes.keys;
    keys.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("b".to_owned(), Some(record(storage, "b"))),
        ("c".to_owned(), None),
    ];
    assert_eq!(keys, expected);
    let plans: Vec<_> = changes.plans.iter().map(|(name, _)| &**name).collect();
    assert_eq!(plans, ["gold"]);
    let all = storage.changes(0).unwrap();
    assert_eq!((all.keys.len(), all.plans.len()), (3, 1));
    let none = storage.changes(last).unwrap();
    assert_eq!((none.revision, none.reload_required), (last, false));
    assert!(none.keys.is_empty() && none.plans.is_empty());
    // A deleted key that is created again exists.
    storage.commit(&[put(key("c"))]).unwrap();
    let changes = storage.changes(last).unwrap();
    assert!(
        matches!(&*changes.keys, [(id, Some(_))] if id == "c"),
        "{changes:?}"
    );
}

pub(super) fn a_revision_that_never_was_is_lost(storage: &dyn Storage) {
    let revision = create(storage, &["a"]);
    assert!(!storage.changes(revision).unwrap().reload_required);
    assert!(storage.changes(revision + 1).unwrap().reload_required);
}

pub(super) fn loading_shows_everything_once(storage: &dyn Storage) {
    // More than one page of any storage.
    let all: Vec<_> = (0..2500).map(|number| format!("k{number:04}")).collect();
    for some in all.chunks(storage.max_writes().min(2000)) {
        let writes: Vec<_> = some.iter().map(|id| put(key(id))).collect();
        storage.commit(&writes).unwrap();
    }
    storage
        .commit(&[put_plan(plan("gold")), put_plan(plan("blue"))])
        .unwrap();
    let touched = LastUse {
        key: Arc::from("k0007"),
        at_ms: 5_000,
    };
    storage.add_usage(&[], &[touched]).unwrap();
    let (revision, mut keys, mut plans) = load(storage);
    keys.sort_by(|one, other| one.record.id.cmp(&other.record.id));
    plans.sort();
    assert_eq!(ids(&keys), all);
    assert_eq!(plans, ["blue", "gold"]);
    assert_eq!(keys[7].last_used_ms, Some(5_000));
    assert_eq!(keys[8].last_used_ms, None);
    let changes = storage.changes(revision).unwrap();
    assert_eq!((changes.revision, changes.keys.len()), (revision, 0));
    let everything = storage.changes(0).unwrap();
    assert_eq!(everything.keys.len(), 2500);
    assert_eq!(everything.revision, revision);
}

pub(super) fn pages_have_no_gaps(storage: &dyn Storage) {
    create(storage, &["b", "A", "a", "d", "-", "c", "_"]);
    let page = |after: Option<&str>, limit| {
        let query = KeyQuery {
            after: after.map(str::to_owned),
            limit,
            ..KeyQuery::default()
        };
        storage.keys(&query).unwrap()
    };
    // In the order of their bytes.
    let all = page(None, 100);
    assert_eq!(ids(&all), ["-", "A", "_", "a", "b", "c", "d"]);
    assert_eq!(ids(&page(None, 3)), ["-", "A", "_"]);
    assert_eq!(ids(&page(Some("_"), 3)), ["a", "b", "c"]);
    assert_eq!(ids(&page(Some("c"), 3)), ["d"]);
    assert_eq!(ids(&page(Some("bb"), 1)), ["c"]);
    assert_eq!(ids(&page(Some("d"), 3)), [""; 0]);
    assert_eq!(ids(&page(None, 0)), [""; 0]);
}

pub(super) fn filters_narrow(storage: &dyn Storage) {
    let of = |id: &str, consumer: &str, plans: &[&str], name: &str| {
        put(KeyRecord {
            consumer: consumer.to_owned(),
            plans: plans.iter().map(|&plan| plan.to_owned()).collect(),
            name: name.to_owned(),
            ..key(id)
        })
    };
    let writes = [
        of("a", "x", &["gold"], "first"),
        of("b", "y", &["gold", "blue"], "first too"),
        of("c", "x", &["blue"], "second"),
        of("firstly", "x", &[], ""),
    ];
    storage.commit(&writes).unwrap();
    let found = |consumer: Option<&str>, plan: Option<&str>, prefix: Option<&str>| {
        let query = KeyQuery {
            after: None,
            limit: 100,
            consumer: consumer.map(str::to_owned),
            plan: plan.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            begins_with: None,
        };
        ids(&storage.keys(&query).unwrap()).join(" ")
    };
    assert_eq!(found(Some("x"), None, None), "a c firstly");
    assert_eq!(found(None, Some("gold"), None), "a b");
    assert_eq!(found(Some("x"), Some("blue"), None), "c");
    assert_eq!(found(None, None, Some("first")), "a b firstly");
    assert_eq!(found(None, None, Some("%")), "");
    assert_eq!(found(Some("x"), None, Some("first")), "a firstly");
    assert_eq!(found(Some("nobody"), None, None), "");
    // A changed key is found by its new values.
    let mut moved = record(storage, "a");
    moved.consumer = "y".to_owned();
    moved.plans = vec!["blue".to_owned()];
    storage.commit(&[put(moved)]).unwrap();
    assert_eq!(found(Some("x"), None, None), "c firstly");
    assert_eq!(found(Some("y"), None, None), "a b");
    assert_eq!(found(None, Some("gold"), None), "b");
    assert_eq!(found(None, Some("blue"), None), "a b c");
    let query = KeyQuery {
        after: Some("a".to_owned()),
        limit: 1,
        plan: Some("blue".to_owned()),
        ..KeyQuery::default()
    };
    assert_eq!(ids(&storage.keys(&query).unwrap()), ["b"]);
}

pub(super) fn a_token_stands_for_one_thing(storage: &dyn Storage) {
    let until_ms = now_ms() + DAY_MS;
    let remember = |key: &str| Write::PutToken {
        token: "the token \u{e9} 1".to_owned(),
        what: IdempotencyRecord {
            request: [0xa7; 32],
            key: key.to_owned(),
        },
        until_ms,
    };
    storage.commit(&[put(key("a")), remember("a")]).unwrap();
    let expected = IdempotencyRecord {
        request: [0xa7; 32],
        key: "a".to_owned(),
    };
    let token = "the token \u{e9} 1";
    let found = |now_ms| storage.idempotency_record(token, now_ms).unwrap();
    assert_eq!(found(until_ms - 1), Some(expected.clone()));
    assert_eq!(found(until_ms), None);
    assert_eq!(storage.idempotency_record("another", 0).unwrap(), None);
    let again = [put(key("b")), remember("b")];
    assert_eq!(conflict(storage, &again), Conflict::Token);
    assert_eq!(storage.key("b").unwrap(), None);
    storage.delete_expired(0, until_ms - 1).unwrap();
    assert_eq!(found(until_ms - 1), Some(expected));
    storage.delete_expired(0, until_ms).unwrap();
    assert_eq!(found(0), None);
    storage.commit(&again).unwrap();
}

pub(super) fn texts_of_all_kinds_are_kept(storage: &dyn Storage) {
    let odd = "a \"b\" \\ \u{e9}\u{1f600} {}\t%";
    let expires_ms = Some(now_ms() + DAY_MS);
    let mut all = KeyRecord {
        name: odd.to_owned(),
        consumer: odd.to_owned(),
        plans: Vec::new(),
        metadata: [
            ("x".to_owned(), odd.to_owned()),
            ("y".to_owned(), String::new()),
        ]
        .into(),
        enabled: false,
        expires_ms,
        ..key("A-Za_z09")
    };
    all.secrets.push(SecretRecord {
        prefix: odd.to_owned(),
        expires_ms,
        ..secret("older")
    });
    all.revision = 0;
    storage.commit(&[put(all.clone())]).unwrap();
    let found = record(storage, "A-Za_z09");
    all.revision = found.revision;
    assert_eq!(found, all);
    let query = KeyQuery {
        consumer: Some(odd.to_owned()),
        limit: 2,
        ..KeyQuery::default()
    };
    assert_eq!(ids(&storage.keys(&query).unwrap()), ["A-Za_z09"]);
    let mut plan = plan(odd);
    plan.rate = None;
    plan.quota = None;
    plan.methods = vec![MethodRate {
        method: "GET".into(),
        path: "/a/{b+}".into(),
        rate: RateLimit {
            per_second: 1e-9,
            burst: u64::from(u32::MAX),
        },
    }];
    storage.commit(&[put_plan(plan.clone())]).unwrap();
    let found = storage.plan(odd).unwrap().unwrap();
    plan.revision = found.revision;
    assert_eq!(found, plan);
    let used = delta(odd, "A-Za_z09", 3, 4);
    storage.add_usage(&[used], &[]).unwrap();
    let query = UsageQuery {
        plan: odd.to_owned(),
        to_day: 9,
        limit: 1,
        ..UsageQuery::default()
    };
    assert_eq!(usage(storage, &query), [row("A-Za_z09", 3, 4)]);
}
