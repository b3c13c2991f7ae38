//! Keys: create, show, change, rotate, delete.

use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use super::secret::{issue_secret, new_id, provided_secret};
use super::{
    ControlService, IDEMPOTENCY_TTL_MS, KeyView, MAX_CONFLICT_RETRIES, Page, ServiceError, retry,
    rules,
};
use crate::control::storage::record::{KeyRecord, SecretRecord};
use crate::control::storage::{IdempotencyRecord, KeyQuery, StoredKey, Write};
use crate::keys::{KeyDigest, KeyEntry};

use crate::model::store::Origin;

/// Identifies a request to create.
#[derive(Debug, Clone)]
pub(crate) struct Idempotency {
    /// The caller and its idempotency token.
    pub(crate) token: String,
    /// The SHA-256 of the request.
    pub(crate) request: [u8; 32],
}

/// A created key.
#[derive(Debug)]
pub(crate) struct CreatedKey {
    pub(crate) key: KeyView,
    /// Its text, to be shown once. None if the caller provided it, and for a repeated request.
    pub(crate) secret: Option<Zeroizing<String>>,
    /// Whether the same request created it before.
    pub(crate) replayed: bool,
}

/// A new secret of a key.
#[derive(Debug)]
pub(crate) struct RotatedKey {
    pub(crate) key: KeyView,
    /// Its new text, to be shown once.
    pub(crate) secret: Zeroizing<String>,
}

/// A change of a key. None: no change.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyChange {
    /// The name for people.
    pub(crate) name: Option<String>,
    /// The consumer that it is issued to.
    pub(crate) consumer: Option<String>,
    /// All of its plans.
    pub(crate) plans: Option<Vec<String>>,
    /// All of its metadata.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) enabled: Option<bool>,
    /// When it expires; `Some(None)`: never.
    #[expect(clippy::option_option, reason = "left alone, removed, or set")]
    pub(crate) expires_ms: Option<Option<u64>>,
}

impl ControlService {
    /// Creates a key with a new id, or shows the one that the same request created before. Its
    /// text is `value` if it was issued elsewhere; by default Windlass makes a new one.
    ///
    /// # Errors
    ///
    /// A field is invalid, a plan does not exist, another key has this text, or the storage is out
    /// of reach.
    pub(crate) fn create_key(
        &self,
        mut record: KeyRecord,
        value: Option<&str>,
        once: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<CreatedKey, ServiceError> {
        if let Some(before) = self.replay(once, now_ms)? {
            return Ok(before);
        }
        record.created_ms = now_ms;
        record.updated_ms = now_ms;
        rules::check_key(&record)?;
        let (secret, shown) = match value {
            Some(value) => (provided_secret(value, now_ms)?, None),
            None => {
                let (secret, text) = issue_secret(now_ms)?;
                (secret, Some(text))
            }
        };
        self.refuse_configured_digest(&secret.digest)?;
        record.secrets = vec![secret];
        let _plans = self.plans.read();
        self.check_plans(&record.plans)?;
        for _ in 0..MAX_CONFLICT_RETRIES {
            record.id = new_id()?;
            let mut writes = vec![Write::PutKey {
                record: record.clone(),
                expect: 0,
            }];
            writes.extend(once.map(|once| Write::PutToken {
                token: once.token.clone(),
                what: IdempotencyRecord {
                    request: once.request,
                    key: record.id.clone(),
                },
                until_ms: now_ms.saturating_add(IDEMPOTENCY_TTL_MS),
            }));
            if let Some(revision) = self.commit(&writes)? {
                record.revision = revision;
                return Ok(CreatedKey {
                    key: view(record, None),
                    secret: shown,
                    replayed: false,
                });
            }
            if let Some(before) = self.replay(once, now_ms)? {
                return Ok(before);
            }
            // The token's record has expired, but was not deleted yet; or the id was drawn twice.
            self.storage.delete_expired(0, now_ms)?;
        }
        Err(ServiceError::TooManyConflicts("key", record.name))
    }

    fn replay(
        &self,
        once: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<Option<CreatedKey>, ServiceError> {
        let Some(once) = once else { return Ok(None) };
        let Some(what) = self.find_replay(once, now_ms)? else {
            return Ok(None);
        };
        match self.key(&what.key) {
            Ok(key) => Ok(Some(CreatedKey {
                key,
                secret: None,
                replayed: true,
            })),
            // A late repetition must not create a deleted key again.
            Err(ServiceError::NoKey(id)) => Err(ServiceError::CreatedKeyDeleted(id)),
            Err(error) => Err(error),
        }
    }

    /// The key with this id.
    ///
    /// # Errors
    ///
    /// It does not exist, or the storage is out of reach.
    pub(crate) fn key(&self, id: &str) -> Result<KeyView, ServiceError> {
        if let Some(fixed) = self.configured_key(id) {
            return Ok(fixed);
        }
        Ok(self.view_stored(self.stored(id)?))
    }

    /// A page of the keys that the query selects. They include those of the configuration.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn keys(&self, mut query: KeyQuery) -> Result<Page<KeyView>, ServiceError> {
        let limit = query.limit;
        query.limit += 1;
        let stored = self.storage.keys(&query)?.into_iter();
        let fixed = self.configured.load();
        let fixed = fixed.keys.values().filter(|key| selects(&query, key));
        let fixed = fixed.take(query.limit).map(|key| self.view_configured(key));
        let items = stored.map(|key| self.view_stored(key)).chain(fixed);
        Ok(Page::of(items.collect(), limit, |key| &key.record.id))
    }

    /// Changes a key.
    ///
    /// # Errors
    ///
    /// The key does not exist or is at another revision, a field is invalid, or the storage is out
    /// of reach.
    pub(crate) fn update_key(
        &self,
        id: &str,
        change: &KeyChange,
        expected: Option<u64>,
        now_ms: u64,
    ) -> Result<KeyView, ServiceError> {
        // A revocation must wait for no change of plans and for no import.
        let _plans = change.plans.is_some().then(|| self.plans.read());
        self.change_key(id, expected, now_ms, |record| {
            let change = change.clone();
            put(&mut record.name, change.name);
            put(&mut record.consumer, change.consumer);
            put(&mut record.metadata, change.metadata);
            put(&mut record.enabled, change.enabled);
            put(&mut record.expires_ms, change.expires_ms);
            let plans = change.plans.is_some();
            put(&mut record.plans, change.plans);
            rules::check_key(record)?;
            if plans {
                self.check_plans(&record.plans)?;
            }
            Ok(())
        })
    }

    /// Gives a key a new secret. The old one stays valid for `overlap` more, but not beyond its
    /// own end.
    ///
    /// # Errors
    ///
    /// The key does not exist or has two valid secrets already, or the storage is out of reach.
    pub(crate) fn rotate_key(
        &self,
        id: &str,
        overlap: Duration,
        expected: Option<u64>,
        now_ms: u64,
    ) -> Result<RotatedKey, ServiceError> {
        let (secret, text) = issue_secret(now_ms)?;
        let overlap = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
        let end = now_ms.saturating_add(overlap);
        let key = self.change_key(id, expected, now_ms, |record| {
            let alive = |secret: &SecretRecord| secret.expires_ms.is_none_or(|end| end > now_ms);
            record.secrets.retain(|secret| overlap > 0 && alive(secret));
            if record.secrets.len() > 1 {
                return Err(ServiceError::RotationActive(record.id.clone()));
            }
            for old in &mut record.secrets {
                old.expires_ms = Some(old.expires_ms.map_or(end, |own| own.min(end)));
            }
            record.secrets.insert(0, secret.clone());
            Ok(())
        })?;
        Ok(RotatedKey { key, secret: text })
    }

    /// Deletes a key. Its usage stays.
    ///
    /// # Errors
    ///
    /// The key does not exist or is at another revision, or the storage is out of reach.
    pub(crate) fn delete_key(&self, id: &str, expected: Option<u64>) -> Result<(), ServiceError> {
        self.refuse_configured_key(id)?;
        retry("key", id, || {
            let expect = self.stored(id)?.record.revision;
            check_revision("key", id, expect, expected)?;
            let id = id.to_owned();
            self.commit(&[Write::DeleteKey { id, expect }])
        })
        .map(drop)
    }

    fn change_key(
        &self,
        id: &str,
        expected: Option<u64>,
        now_ms: u64,
        change: impl Fn(&mut KeyRecord) -> Result<(), ServiceError>,
    ) -> Result<KeyView, ServiceError> {
        self.refuse_configured_key(id)?;
        retry("key", id, || {
            let mut key = self.stored(id)?;
            let expect = key.record.revision;
            check_revision("key", id, expect, expected)?;
            change(&mut key.record)?;
            key.record.updated_ms = now_ms;
            let record = key.record.clone();
            let committed = self.commit(&[Write::PutKey { record, expect }])?;
            Ok(committed.map(|revision| {
                key.record.revision = revision;
                self.view_stored(key)
            }))
        })
    }

    fn stored(&self, id: &str) -> Result<StoredKey, ServiceError> {
        let key = self.storage.key(id)?;
        key.ok_or_else(|| ServiceError::NoKey(id.to_owned()))
    }

    pub(super) fn view_stored(&self, key: StoredKey) -> KeyView {
        let seen = self.runtime.last_used_ms(&key.record.id);
        view(key.record, key.last_used_ms.max(seen))
    }

    fn configured_key(&self, id: &str) -> Option<KeyView> {
        let fixed = self.configured.load();
        fixed.keys.get(id).map(|key| self.view_configured(key))
    }

    fn view_configured(&self, key: &KeyEntry) -> KeyView {
        let attributes = key.profile.attributes.iter();
        KeyView {
            record: KeyRecord {
                id: key.id.clone(),
                consumer: key.consumer.clone(),
                plans: key.profile.plans.iter().map(ToString::to_string).collect(),
                metadata: attributes
                    .map(|(name, value)| (name.to_string(), value.to_string()))
                    .collect(),
                enabled: key.enabled,
                expires_ms: key.expires_ms,
                ..KeyRecord::default()
            },
            last_used_ms: self.runtime.last_used_ms(&key.id),
            origin: Origin::Configuration,
        }
    }

    pub(super) fn refuse_configured_digest(&self, digest: &KeyDigest) -> Result<(), ServiceError> {
        let fixed = self.configured.load();
        let has = |key: &&KeyEntry| key.secrets.iter().any(|secret| secret.digest == *digest);
        match fixed.keys.values().find(has) {
            Some(key) => Err(ServiceError::KeyExists(key.id.clone())),
            None => Ok(()),
        }
    }
}

/// Whether the query selects a key of the configuration, which has neither a name nor the text of
/// a secret.
fn selects(query: &KeyQuery, key: &KeyEntry) -> bool {
    let is =
        |wanted: &Option<String>, has: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(has);
    let plans = &key.profile.plans;
    is(&query.after, &|after| *key.id > *after)
        && is(&query.consumer, &|consumer| key.consumer == consumer)
        && is(&query.plan, &|plan| plans.iter().any(|own| **own == *plan))
        && is(&query.prefix, &|prefix| key.id.starts_with(prefix))
        && query.begins_with.is_none()
}

fn put<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Checks that the object is at the revision that the caller named.
pub(super) fn check_revision(
    kind: &'static str,
    name: &str,
    revision: u64,
    expected: Option<u64>,
) -> Result<(), ServiceError> {
    match expected {
        Some(expected) if expected != revision => Err(ServiceError::Changed {
            kind,
            name: name.to_owned(),
            revision,
        }),
        Some(_) | None => Ok(()),
    }
}

fn view(record: KeyRecord, last_used_ms: Option<u64>) -> KeyView {
    KeyView {
        record,
        last_used_ms,
        origin: Origin::Store,
    }
}
