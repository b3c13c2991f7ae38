//! Keys: create, show, change, rotate, delete.

use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use super::secret::{issue_secret, new_id, provided_secret};
use super::{
    ControlService, IDEMPOTENCY_TTL_MS, KeyView, MAX_CONFLICT_RETRIES, Page, ServiceError, rules,
};
use crate::control::storage::record::{KeyRecord, SecretRecord};
use crate::control::storage::{
    CommitError, Conflict, IdempotencyRecord, KeyQuery, StoredKey, Write,
};
use crate::keys::{KeyDigest, KeyEntry};

use crate::model::store::Origin;

/// A key to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    /// A name for people; may be empty.
    pub(crate) name: String,
    /// The consumer that it is issued to.
    pub(crate) consumer: String,
    pub(crate) plans: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) enabled: bool,
    /// When it expires. Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
    /// Its text, if it was issued elsewhere; None: Windlass makes a new one.
    pub(crate) value: Option<Zeroizing<String>>,
}

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

#[derive(Debug, Clone, Default)]
pub(crate) struct KeyFilter {
    /// Only keys of this consumer.
    pub(crate) consumer: Option<String>,
    /// Only keys on this plan.
    pub(crate) plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    pub(crate) prefix: Option<String>,
    /// Only keys with a secret that begins with this text, as far as the stored prefix goes.
    pub(crate) begins_with: Option<String>,
}

impl ControlService {
    /// Creates a key, or shows the one that the same request created before.
    ///
    /// # Errors
    ///
    /// A field is invalid, a plan does not exist, another key has this text, or the storage is out
    /// of reach.
    pub(crate) fn create_key(
        &self,
        new: NewKey,
        once: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<CreatedKey, ServiceError> {
        if let Some(before) = self.replay(once, now_ms)? {
            return Ok(before);
        }
        let mut record = KeyRecord {
            id: String::new(),
            name: new.name,
            consumer: new.consumer,
            plans: new.plans,
            metadata: new.metadata,
            enabled: new.enabled,
            created_ms: now_ms,
            updated_ms: now_ms,
            expires_ms: new.expires_ms,
            secrets: Vec::new(),
            revision: 0,
        };
        rules::check_key(&record)?;
        let (secret, shown) = match new.value {
            Some(value) => (provided_secret(&value, now_ms)?, None),
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
            match self.storage.commit(&writes) {
                Ok(revision) => {
                    record.revision = revision;
                    self.apply_commit();
                    return Ok(CreatedKey {
                        key: view(record, None),
                        secret: shown,
                        replayed: false,
                    });
                }
                Err(CommitError::Conflict(Conflict::Digest { owner, .. })) => {
                    return Err(ServiceError::KeyExists(owner));
                }
                Err(CommitError::Conflict(Conflict::Token)) => {
                    if let Some(before) = self.replay(once, now_ms)? {
                        return Ok(before);
                    }
                    // The record has expired, but was not deleted yet.
                    self.storage.delete_expired(0, now_ms)?;
                }
                // The id was drawn twice: draw another.
                Err(CommitError::Conflict(Conflict::Key(_) | Conflict::Plan(_))) => {}
                Err(CommitError::Storage(error)) => return Err(error.into()),
            }
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

    /// Keys in the order of their ids: at most `limit` keys with a greater id than `after`. They
    /// include those of the configuration.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn keys(
        &self,
        filter: &KeyFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<KeyView>, ServiceError> {
        let stored = self.storage.keys(&KeyQuery {
            after: after.map(str::to_owned),
            limit: limit + 1,
            consumer: filter.consumer.clone(),
            plan: filter.plan.clone(),
            prefix: filter.prefix.clone(),
            begins_with: filter.begins_with.clone(),
        })?;
        let fixed = self.configured.load();
        let fixed = fixed
            .keys
            .iter()
            .filter(|key| after.is_none_or(|after| *key.id > *after) && filter.matches(key))
            .take(limit + 1);
        let fixed: Vec<KeyView> = fixed.map(|key| self.view_configured(key)).collect();
        let mut items: Vec<KeyView> = stored
            .into_iter()
            .map(|key| self.view_stored(key))
            .chain(fixed)
            .collect();
        items.sort_by(|one, two| one.record.id.cmp(&two.record.id));
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(|key| key.record.id.clone());
        Ok(Page {
            items,
            next: last.filter(|_| more),
        })
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
        for _ in 0..MAX_CONFLICT_RETRIES {
            let record = self.stored(id)?.record;
            check_revision("key", id, record.revision, expected)?;
            match self.storage.commit(&[Write::DeleteKey {
                id: id.to_owned(),
                expect: record.revision,
            }]) {
                Ok(_) => {
                    self.apply_commit();
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(ServiceError::TooManyConflicts("key", id.to_owned()))
    }

    fn change_key(
        &self,
        id: &str,
        expected: Option<u64>,
        now_ms: u64,
        change: impl Fn(&mut KeyRecord) -> Result<(), ServiceError>,
    ) -> Result<KeyView, ServiceError> {
        self.refuse_configured_key(id)?;
        for _ in 0..MAX_CONFLICT_RETRIES {
            let StoredKey {
                mut record,
                last_used_ms,
            } = self.stored(id)?;
            let expect = record.revision;
            check_revision("key", id, expect, expected)?;
            change(&mut record)?;
            record.updated_ms = now_ms;
            match self.storage.commit(&[Write::PutKey {
                record: record.clone(),
                expect,
            }]) {
                Ok(revision) => {
                    record.revision = revision;
                    self.apply_commit();
                    return Ok(self.view_stored(StoredKey {
                        record,
                        last_used_ms,
                    }));
                }
                Err(CommitError::Conflict(Conflict::Digest { owner, .. })) => {
                    return Err(ServiceError::KeyExists(owner));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(ServiceError::TooManyConflicts("key", id.to_owned()))
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
        let index = fixed.keys.binary_search_by(|key| (*key.id).cmp(id));
        let key = fixed.keys.get(index.ok()?)?;
        Some(self.view_configured(key))
    }

    fn view_configured(&self, key: &KeyEntry) -> KeyView {
        let attributes = key.profile.attributes.iter();
        KeyView {
            record: KeyRecord {
                id: key.id.clone(),
                name: String::new(),
                consumer: key.consumer.clone(),
                plans: key.profile.plans.iter().map(ToString::to_string).collect(),
                metadata: attributes
                    .map(|(name, value)| (name.to_string(), value.to_string()))
                    .collect(),
                enabled: key.enabled,
                created_ms: 0,
                updated_ms: 0,
                expires_ms: key.expires_ms,
                secrets: Vec::new(),
                revision: 0,
            },
            last_used_ms: self.runtime.last_used_ms(&key.id),
            origin: Origin::Configuration,
        }
    }

    pub(super) fn refuse_configured_key(&self, id: &str) -> Result<(), ServiceError> {
        match self.configured_key(id) {
            None => Ok(()),
            Some(_) => Err(ServiceError::InConfiguration {
                kind: "key",
                name: id.to_owned(),
            }),
        }
    }

    pub(super) fn refuse_configured_digest(&self, digest: &KeyDigest) -> Result<(), ServiceError> {
        let fixed = self.configured.load();
        let has = |key: &&KeyEntry| key.secrets.iter().any(|secret| secret.digest == *digest);
        match fixed.keys.iter().find(has) {
            Some(key) => Err(ServiceError::KeyExists(key.id.clone())),
            None => Ok(()),
        }
    }
}

impl KeyFilter {
    fn matches(&self, key: &KeyEntry) -> bool {
        let is =
            |wanted: &Option<String>, has: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(has);
        is(&self.consumer, &|consumer| *key.consumer == *consumer)
            && is(&self.plan, &|plan| {
                key.profile.plans.iter().any(|own| **own == *plan)
            })
            && is(&self.prefix, &|prefix| key.id.starts_with(prefix))
            // The configuration has only digests.
            && self.begins_with.is_none()
    }
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
