//! Tests of the index against a plain map, and of its promises about changes.

use proptest::prelude::*;

use std::collections::HashMap;

use super::*;
use crate::keys::{KeySecret, Profile};

fn entry(id: &str, texts: &[&str]) -> KeyEntry {
    KeyEntry {
        id: id.to_owned(),
        consumer: format!("consumer of {id}"),
        secrets: texts
            .iter()
            .map(|text| KeySecret {
                digest: KeyDigest::of(text.as_bytes()),
                expires_ms: u64::MAX,
            })
            .collect(),
        profile: Profile::default(),
        enabled: true,
        expires_ms: None,
        last_used_ms: None,
    }
}

fn find(index: &KeyIndex, text: &str) -> Option<String> {
    let digest = KeyDigest::of(text.as_bytes());
    index.find(&digest, 0, &mut |key| key.id().to_owned()).ok()
}

#[test]
fn a_rotation_has_two_secrets_until_the_older_ends() {
    let index = KeyIndex::for_keys(1);
    let mut rotated = entry("a", &["new", "old"]);
    rotated.secrets[1].expires_ms = 10;
    index.put([entry("a", &["old"])]);
    index.put([rotated]);
    let seen = |text: &str, now_ms| {
        let digest = KeyDigest::of(text.as_bytes());
        let found = index.find(&digest, now_ms, &mut |key| key.id().to_owned());
        found.map_err(|rejected| rejected.reason)
    };
    assert_eq!(seen("new", 10), Ok("a".to_owned()));
    assert_eq!(seen("old", 9), Ok("a".to_owned()));
    assert_eq!(seen("old", 10), Err(KeyReject::Expired));
    assert_eq!(index.len(), 1);
}

#[test]
fn a_replaced_or_removed_key_is_found_no_more() {
    let index = KeyIndex::for_keys(1);
    index.put([entry("a", &["1"]), entry("b", &["2"])]);
    index.put([entry("a", &["3"])]);
    assert_eq!(find(&index, "1"), None);
    assert_eq!(find(&index, "3"), Some("a".to_owned()));
    index.remove(["a", "nobody"]);
    assert_eq!(find(&index, "3"), None);
    index.replace(vec![entry("c", &["4"])]);
    assert_eq!((find(&index, "2"), index.len()), (None, 1));
    assert_eq!(find(&index, "4"), Some("c".to_owned()));
}

#[test]
fn a_secret_may_go_to_another_key_when_all_is_read_anew() {
    let index = KeyIndex::for_keys(1);
    index.put([entry("old", &["1"]), entry("other", &["2"])]);
    index.replace(vec![entry("new", &["1"]), entry("other", &["2"])]);
    assert_eq!(find(&index, "1"), Some("new".to_owned()));
    assert_eq!(index.len(), 2);
}

#[test]
fn last_uses_that_could_not_be_written_are_reported_again() {
    let index = KeyIndex::for_keys(1);
    index.put([entry("a", &["1"])]);
    let digest = KeyDigest::of(b"1");
    index.find(&digest, 0, &mut |key| key.touch(5_500)).unwrap();
    let touched = || {
        let mut reported = 0;
        index.touched(|_, _| reported += 1);
        reported
    };
    assert_eq!((touched(), touched()), (1, 0));
    index.mark_touched(["a", "nobody"]);
    assert_eq!((touched(), touched()), (1, 0));
}

#[test]
fn one_put_may_name_an_id_twice() {
    let index = KeyIndex::for_keys(1);
    index.put([
        entry("a", &["1"]),
        entry("a", &["1", "2"]),
        entry("a", &["2"]),
    ]);
    assert_eq!(find(&index, "1"), None);
    assert_eq!(find(&index, "2"), Some("a".to_owned()));
    assert_eq!(index.len(), 1);
}

#[test]
fn last_use_is_reported_once_and_outlives_a_change() {
    let index = KeyIndex::for_keys(1);
    index.put([entry("a", &["1"])]);
    let touched = || {
        let mut reported = Vec::new();
        index.touched(|id, at_ms| reported.push((id.to_owned(), at_ms)));
        reported
    };
    assert_eq!(touched(), []);
    let digest = KeyDigest::of(b"1");
    index.find(&digest, 0, &mut |key| key.touch(5_500)).unwrap();
    index.put([entry("a", &["2", "1"])]);
    // Both of its secrets report the use.
    assert!(touched().contains(&("a".to_owned(), 5_000)));
    assert_eq!(touched(), []);
    assert_eq!(index.last_used_ms("a"), Some(5_000));
}

#[test]
fn a_key_is_two_cache_lines() {
    assert_eq!(size_of::<ApiKey>(), 128);
}

#[test]
fn loaded_keys_are_there_at_the_end() {
    let index = KeyIndex::default();
    let mut loading = index.load();
    for number in 0..1000 {
        loading.put(&entry(
            &format!("id-{number}"),
            &[&format!("text-{number}")],
        ));
    }
    drop(loading);
    assert_eq!(index.len(), 1000);
    for number in 0..1000 {
        let found = find(&index, &format!("text-{number}"));
        assert_eq!(found, Some(format!("id-{number}")));
    }
}

#[test]
fn sets_of_plans_are_reported_once_each() {
    let on = |id: &str, plans: &[&str]| KeyEntry {
        profile: Profile {
            plans: plans.iter().map(|plan| Arc::from(*plan)).collect(),
            attributes: Box::default(),
        },
        ..entry(id, &[id])
    };
    let index = KeyIndex::for_keys(1);
    index.put([
        on("a", &["x", "y"]),
        on("b", &["x", "y"]),
        on("c", &["z"]),
        on("d", &[]),
    ]);
    index.remove(["c"]);
    assert_eq!(index.plan_sets(), [vec![Arc::from("x"), Arc::from("y")]]);
}

proptest! {
    /// The index finds exactly the keys that a plain map finds, whatever is inserted and removed.
    #[test]
    fn it_is_a_map(steps in proptest::collection::vec((0_u8..40, any::<bool>(), 0_u16..200), 0..300)) {
        let index = KeyIndex::for_keys(300);
        let mut plain: HashMap<String, String> = HashMap::new();
        for (id, put, text) in steps {
            let id = format!("id-{id}");
            // No two keys have one text: the storage ensures that.
            let text = format!("{id}/{text}");
            if put {
                index.put([entry(&id, &[&text])]);
                plain.insert(id, text);
            } else {
                index.remove([&*id]);
                plain.remove(&id);
            }
        }
        prop_assert_eq!(index.len(), plain.len());
        for (id, text) in &plain {
            prop_assert_eq!(find(&index, text), Some(id.clone()));
        }
        let mut rows = 0;
        for shard in &index.shards {
            let shard = shard.load();
            prop_assert!(shard.keys.is_sorted_by_key(|key| *key.digest.as_bytes()));
            prop_assert_eq!(shard.tags.len(), shard.keys.len());
            rows += shard.keys.len();
        }
        prop_assert_eq!(rows, plain.len());
    }
}
