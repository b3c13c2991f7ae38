//! Tests of look-ups.

use super::*;

fn key(id: &str, text: &str) -> KeyEntry {
    KeyEntry {
        id: id.to_owned(),
        consumer: "acme".to_owned(),
        secrets: vec![KeySecret::lasting(KeyDigest::of(text.as_bytes()))],
        profile: Profile {
            plans: Box::new(["gold".into()]),
            attributes: Box::new([("tier".into(), "gold".into())]),
        },
        enabled: true,
        expires_ms: None,
        last_used_ms: None,
    }
}

fn keys(listed_keys: impl IntoIterator<Item = KeyEntry>) -> Keys {
    Keys {
        configured: Arc::new(index_configured(listed_keys).unwrap()),
        live: None,
    }
}

fn at(wall_ms: u64) -> Timestamp {
    Timestamp {
        wall_ms,
        monotonic_ns: 0,
    }
}

fn id(keys: &Keys, presented: &[u8], wall_ms: u64) -> Result<String, KeyReject> {
    let found = keys.find(presented, at(wall_ms), |key| key.id().to_owned());
    found.map_err(|rejected| rejected.reason)
}

#[test]
fn a_key_is_found_by_its_text() {
    let keys = keys([key("a", "open sesame")]);
    let seen = keys.find(b"open sesame", at(0), |key| {
        (
            key.id().to_owned(),
            key.consumer().to_owned(),
            key.plans().to_vec(),
            key.attributes().len(),
        )
    });
    let plans = vec![Arc::from("gold")];
    assert_eq!(seen, Ok(("a".to_owned(), "acme".to_owned(), plans, 1)));
    assert_eq!(id(&keys, b"open sesam", 0), Err(KeyReject::Unknown));
    assert_eq!(id(&keys, b"", 0), Err(KeyReject::Unknown));
    assert_eq!(id(&keys, &[0xff, 0], 0), Err(KeyReject::Unknown));
}

#[test]
fn disabled_and_expired_are_distinguished() {
    let keys = keys([
        KeyEntry {
            enabled: false,
            expires_ms: Some(1),
            ..key("disabled", "disabled")
        },
        KeyEntry {
            expires_ms: Some(10),
            ..key("ending", "ending")
        },
    ]);
    assert_eq!(id(&keys, b"disabled", 5), Err(KeyReject::Disabled));
    let rejected = |presented: &[u8]| keys.find(presented, at(10), |_| ()).unwrap_err();
    assert_eq!(rejected(b"disabled").key.as_deref(), Some("disabled"));
    assert_eq!(rejected(b"ending").key.as_deref(), Some("ending"));
    assert_eq!(rejected(b"nobody's").key, None);
    assert!(id(&keys, b"ending", 9).is_ok());
    assert_eq!(id(&keys, b"ending", 10), Err(KeyReject::Expired));
}

#[test]
fn a_text_that_is_too_long_is_unknown() {
    let longest = "k".repeat(MAX_PRESENTED);
    let longer = "k".repeat(MAX_PRESENTED + 1);
    let keys = keys([key("longest", &longest), key("longer", &longer)]);
    assert!(id(&keys, longest.as_bytes(), 0).is_ok());
    assert_eq!(id(&keys, longer.as_bytes(), 0), Err(KeyReject::Unknown));
}

#[test]
fn every_duplicate_is_reported_with_both_names() {
    let errors = index_configured([key("a", "1"), key("b", "1"), key("a", "2")]).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let (one, two) = (KeyDigest::of(b"1"), KeyDigest::of(b"2"));
    assert_eq!(
        texts,
        [
            format!("keys `a` and `b` have the same digest {one}"),
            format!("key id `a` is used twice, by {one} (entry 1) and {two} (entry 3)"),
        ]
    );
}

#[test]
fn stale_keys_of_the_storage_are_refused_and_those_of_the_file_are_not() {
    let freshness = Arc::new(Freshness::default());
    freshness.set(100);
    let keys = Keys {
        live: Some(LiveKeys {
            index: Arc::new(index_configured([key("live", "live")]).unwrap()),
            freshness: Some(freshness.clone()),
        }),
        ..keys([key("fixed", "fixed")])
    };
    let find = |text: &[u8], monotonic_ms: u64| {
        let now = Timestamp {
            wall_ms: 0,
            monotonic_ns: monotonic_ms * 1_000_000,
        };
        let found = keys.find(text, now, |key| key.id().to_owned());
        found.map_err(|rejected| rejected.reason)
    };
    assert!(find(b"live", 99).is_ok());
    assert_eq!(find(b"live", 100), Err(KeyReject::Unavailable));
    // Not even whether the key exists can be said.
    assert_eq!(find(b"nobody's", 100), Err(KeyReject::Unavailable));
    assert!(find(b"fixed", 100).is_ok());
    freshness.set(200);
    assert!(find(b"live", 100).is_ok());
}

#[test]
fn debug_shows_no_digest() {
    let keys = keys([key("a", "open sesame")]);
    let text = keys.find(b"open sesame", at(0), |key| format!("{key:?}"));
    let text = text.unwrap();
    assert!(text.contains("\"a\"") && !text.contains("sha256"), "{text}");
}
