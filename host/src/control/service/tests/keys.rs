//! Tests of keys.

use super::*;

#[test]
fn a_key_is_shown_once_and_kept_as_a_digest() {
    let fixture = fixture();
    let made = fixture.create(&[]);
    let secret = made.secret.unwrap();
    assert!(has_valid_checksum(&secret));
    let id = made.key.record.id;
    assert_eq!(id.len(), 16);
    let kept = fixture
        .storage
        .key_by_digest(&KeyDigest::of(secret.as_bytes()))
        .unwrap()
        .unwrap();
    assert_eq!(kept.record.id, id);
    assert_eq!(kept.record.secrets[0].prefix, &secret[..7]);
    let shown = fixture.service.key(&id).unwrap();
    assert!(!format!("{shown:?}").contains(secret.as_str()));
    assert_eq!(*fixture.runtime.catches.lock(), 1, "a commit is applied");
}

#[test]
fn an_imported_value_is_taken_as_it_is_and_belongs_to_one_key() {
    let fixture = fixture();
    let create = |value: &str| fixture.service.create_key(key(&[]), Some(value), None, NOW);
    let made = create("apikey1234abcdefghij0123456789").unwrap();
    assert!(made.secret.is_none());
    let again = create("apikey1234abcdefghij0123456789").unwrap_err();
    assert!(matches!(again, ServiceError::KeyExists(owner) if owner == made.key.record.id));
    for wrong in [
        "short",
        "has a space in it, and more",
        "has,a,comma,and,is,long,enough",
    ] {
        let refused = create(wrong).unwrap_err();
        assert!(!refused.to_string().contains(wrong), "{refused}");
    }
}

#[test]
fn a_repeated_request_shows_the_key_it_made_and_another_is_refused() {
    let fixture = fixture();
    let once = |request: u8| Idempotency {
        token: "ops:1".to_owned(),
        request: [request; 32],
    };
    let create = |request| {
        fixture
            .service
            .create_key(key(&[]), None, Some(&once(request)), NOW)
    };
    let first = create(1).unwrap();
    let second = create(1).unwrap();
    assert!(!first.replayed && second.replayed && second.secret.is_none());
    assert_eq!(first.key.record.id, second.key.record.id);
    assert!(matches!(create(2), Err(ServiceError::IdempotencyMismatch)));
    let later = NOW + IDEMPOTENCY_TTL_MS + 1;
    let fresh = fixture
        .service
        .create_key(key(&[]), None, Some(&once(2)), later)
        .unwrap();
    assert!(!fresh.replayed);
}

#[test]
fn a_rotation_keeps_two_live_secrets_until_its_deadline() {
    let fixture = fixture();
    let made = fixture.create(&[]);
    let id = made.key.record.id;
    let hour = Duration::from_secs(3600);
    let rotate = |overlap, now| fixture.service.rotate_key(&id, overlap, None, now);
    let rotated = rotate(hour, NOW).unwrap();
    let secrets = &rotated.key.record.secrets;
    assert_eq!(secrets.len(), 2);
    assert_eq!(secrets[0].digest, KeyDigest::of(rotated.secret.as_bytes()));
    assert_eq!(secrets[0].expires_ms, None);
    assert_eq!(
        secrets[1].digest,
        KeyDigest::of(made.secret.unwrap().as_bytes())
    );
    assert_eq!(secrets[1].expires_ms, Some(NOW + 3_600_000));
    assert!(matches!(
        rotate(hour, NOW + 1),
        Err(ServiceError::RotationActive(_))
    ));
    let after = rotate(hour, NOW + 3_600_000).unwrap();
    assert_eq!(after.key.record.secrets.len(), 2);
    let now = rotate(Duration::ZERO, NOW + 3_600_001).unwrap();
    assert_eq!(
        now.key.record.secrets.len(),
        1,
        "an overlap of 0 ends all others"
    );
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_minds_the_revision() {
    let fixture = fixture();
    let made = fixture.create(&[]).key.record;
    let change = KeyChange {
        enabled: Some(false),
        expires_ms: Some(Some(NOW + 1)),
        ..KeyChange::default()
    };
    let update = |change: &KeyChange, expected| {
        fixture
            .service
            .update_key(&made.id, change, expected, NOW + 5)
    };
    let now = update(&change, Some(made.revision)).unwrap().record;
    assert_eq!((now.enabled, now.expires_ms), (false, Some(NOW + 1)));
    assert_eq!((&now.name, now.updated_ms), (&made.name, NOW + 5));
    assert!(now.revision > made.revision);
    let stale = update(&change, Some(made.revision));
    assert!(matches!(stale, Err(ServiceError::Changed { .. })));
    let never = KeyChange {
        expires_ms: Some(None),
        ..KeyChange::default()
    };
    assert_eq!(update(&never, None).unwrap().record.expires_ms, None);
    fixture.service.delete_key(&made.id, None).unwrap();
    assert!(matches!(update(&never, None), Err(ServiceError::NoKey(_))));
}

#[test]
fn concurrent_changes_of_one_key_are_all_kept() {
    let fixture = Arc::new(fixture());
    let id = fixture.create(&[]).key.record.id;
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (fixture, id) = (Arc::clone(&fixture), id.clone());
            std::thread::spawn(move || {
                let rules = &fixture.service;
                rules.change_for_test(&id, number);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let record = fixture.service.key(&id).unwrap().record;
    assert_eq!(record.metadata.len(), 4, "{:?}", record.metadata);
}

impl ControlService {
    /// Adds an entry to the revision that it read, and repeats until nobody was faster.
    fn change_for_test(&self, id: &str, number: u32) {
        loop {
            let record = self.key(id).unwrap().record;
            let mut metadata = record.metadata;
            metadata.insert(format!("m{number}"), String::new());
            let change = KeyChange {
                metadata: Some(metadata),
                ..KeyChange::default()
            };
            match self.update_key(id, &change, Some(record.revision), NOW) {
                Ok(_) => return,
                Err(ServiceError::Changed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn every_invalid_field_of_a_key_is_reported() {
    let fixture = fixture();
    let mut new = key(&["no such plan"]);
    new.name = "two\nlines".to_owned();
    new.consumer = String::new();
    new.metadata = [
        ("id".to_owned(), "x".repeat(257)),
        ("a b".to_owned(), String::new()),
    ]
    .into();
    let refused = fixture.service.create_key(new, None, None, NOW);
    let ServiceError::Invalid(faults) = refused.unwrap_err() else {
        panic!("another error");
    };
    let fields: Vec<&str> = faults.iter().map(|fault| &*fault.field).collect();
    assert_eq!(
        fields,
        [
            "name",
            "consumer",
            "plans",
            "metadata",
            "metadata.id",
            "metadata.id"
        ]
    );
}

#[test]
fn keys_come_in_pages() {
    let fixture = fixture();
    let mut ids: Vec<String> = (0..7).map(|_| fixture.create(&[]).key.record.id).collect();
    let fixed = KeyEntry {
        id: "aaa-config".to_owned(),
        consumer: "acme".to_owned(),
        secrets: vec![KeySecret {
            digest: KeyDigest::of(b"config"),
            expires_ms: u64::MAX,
        }],
        profile: Profile::default(),
        enabled: true,
        expires_ms: None,
        last_used_ms: None,
    };
    fixture.service.set_configured([], [fixed]);
    ids.push("aaa-config".to_owned());
    ids.sort();
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let query = KeyQuery {
            after,
            limit: 3,
            ..KeyQuery::default()
        };
        let page = fixture.service.keys(query).unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items.into_iter().map(|key| key.record.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ids);
    let refused = fixture.service.delete_key("aaa-config", None).unwrap_err();
    assert!(
        refused.to_string().contains("defined in the configuration"),
        "{refused}"
    );
    let nobody = KeyQuery {
        limit: 3,
        consumer: Some("nobody".to_owned()),
        ..KeyQuery::default()
    };
    assert_eq!(fixture.service.keys(nobody).unwrap().items, []);
}
