//! The JSON of keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{metadata, names, secret_in, secret_out};
use crate::admin::problem::ApiProblem;
use crate::control::service::{KeyChange, KeyView, Page};
use crate::control::storage::record::KeyRecord;
use crate::model::date;
use crate::model::json::{nullable, present, whole_number};
use crate::model::store::Origin;

/// A key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyResource {
    /// Its public name, the attribute `api-key.id`. Never changes.
    pub(crate) id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// The consumer that it was issued to, the attribute `consumer.id`.
    pub(crate) consumer: String,
    /// Its usage plans.
    pub(crate) plans: Vec<String>,
    #[schema(schema_with = metadata)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Whether the operator has enabled it.
    pub(crate) enabled: bool,
    /// Whether it is accepted now, and if not, why.
    pub(crate) status: KeyStatus,
    /// When it expires; null: never.
    #[schema(format = DateTime)]
    pub(crate) expires: Option<String>,
    /// When it was created; null for a key of the configuration.
    #[schema(format = DateTime)]
    pub(crate) created: Option<String>,
    /// When it was last changed; null for a key of the configuration.
    #[schema(format = DateTime)]
    pub(crate) updated: Option<String>,
    /// When it was last used, to the minute; null: never.
    #[schema(format = DateTime)]
    pub(crate) last_used: Option<String>,
    /// Its secrets: the newest first, and during a rotation the previous one.
    pub(crate) secrets: Vec<SecretInfo>,
    /// Where it is defined.
    pub(crate) source: Origin,
    /// Counts changes; also the `etag`.
    #[schema(minimum = 0)]
    pub(crate) revision: u64,
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyStatus {
    /// It is accepted.
    Active,
    /// The operator has disabled it.
    Disabled,
    /// It has expired.
    Expired,
}

/// A secret of a key, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretInfo {
    /// Its first characters, to recognise it by.
    pub(crate) prefix: String,
    /// When it was created.
    #[schema(format = DateTime)]
    pub(crate) created: String,
    /// When it expires; null: with the key.
    #[schema(format = DateTime)]
    pub(crate) expires: Option<String>,
    /// Its SHA-256, by which another store recognises it; only in an export that asks for digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) digest: Option<String>,
}

impl KeyResource {
    /// The key at this time.
    pub(crate) fn new(view: KeyView, now_ms: u64) -> Self {
        Self::of(view, now_ms, false)
    }

    /// The key at this time, with the digests of its secrets or without.
    pub(crate) fn of(view: KeyView, now_ms: u64, digests: bool) -> Self {
        let record = view.record;
        let past = |end: Option<u64>| end.is_some_and(|end| end <= now_ms);
        let stored = view.origin == Origin::Store;
        Self {
            status: match (record.enabled, past(record.expires_ms)) {
                (false, _) => KeyStatus::Disabled,
                (true, true) => KeyStatus::Expired,
                (true, false) => KeyStatus::Active,
            },
            id: record.id,
            name: record.name,
            consumer: record.consumer,
            plans: record.plans,
            metadata: record.metadata,
            enabled: record.enabled,
            expires: record.expires_ms.map(date::moment),
            created: stored.then(|| date::moment(record.created_ms)),
            updated: stored.then(|| date::moment(record.updated_ms)),
            last_used: view.last_used_ms.map(date::moment),
            secrets: record
                .secrets
                .into_iter()
                .filter(|secret| !past(secret.expires_ms))
                .map(|secret| SecretInfo {
                    prefix: secret.prefix,
                    created: date::moment(secret.created_ms),
                    expires: secret.expires_ms.map(date::moment),
                    digest: digests.then(|| secret.digest.to_string()),
                })
                .collect(),
            source: view.origin,
            revision: record.revision,
        }
    }
}

/// A key that was created or got a new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyCreated {
    /// The key.
    pub(crate) key: KeyResource,
    /// Its text, which is shown once and not stored. Null if the request provided the text, or if
    /// the same request created the key before.
    #[serde(serialize_with = "secret_out")]
    #[schema(value_type = Option<String>)]
    pub(crate) secret: Option<Zeroizing<String>>,
}

/// A page of the list of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyPage {
    /// The keys, in the order of their ids.
    pub(crate) items: Vec<KeyResource>,
    /// Where to continue; null at the end.
    pub(crate) next_cursor: Option<String>,
}

impl KeyPage {
    /// The page at this time.
    pub(crate) fn new(page: Page<KeyView>, now_ms: u64) -> Self {
        let items = page.items.into_iter();
        Self {
            items: items.map(|key| KeyResource::new(key, now_ms)).collect(),
            next_cursor: crate::admin::api::params::cursor(page.next),
        }
    }
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyCreate {
    /// Its name for people.
    #[serde(default)]
    #[schema(
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) name: String,
    /// The consumer that it is issued to.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) consumer: String,
    /// Its usage plans: at most one for each API.
    #[serde(default)]
    #[schema(schema_with = names, required = false)]
    pub(crate) plans: Vec<String>,
    #[serde(default)]
    #[schema(schema_with = metadata)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Whether it is accepted.
    #[serde(default = "default_enabled")]
    #[schema(default = true)]
    pub(crate) enabled: bool,
    /// When it expires. Default never.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub(crate) expires: Option<String>,
    /// Its text, for a key that was issued elsewhere. By default Windlass makes a new one.
    #[serde(default, deserialize_with = "secret_in")]
    #[schema(value_type = Option<String>, min_length = 20, max_length = 128, pattern = r"^[!#-&(-+\-.-~]{20,128}$")]
    pub(crate) value: Option<Zeroizing<String>>,
}

fn default_enabled() -> bool {
    true
}

impl KeyCreate {
    /// The key, and its text if it was issued elsewhere.
    pub(crate) fn record(self) -> Result<(KeyRecord, Option<Zeroizing<String>>), ApiProblem> {
        let record = KeyRecord {
            name: self.name,
            consumer: self.consumer,
            plans: self.plans,
            metadata: self.metadata,
            enabled: self.enabled,
            expires_ms: self.expires.as_deref().map(moment).transpose()?,
            ..KeyRecord::default()
        };
        Ok((record, self.value))
    }
}

fn moment(text: &str) -> Result<u64, ApiProblem> {
    let wrong = || {
        ApiProblem::invalid_field(
            "expires",
            "must be a date-time such as `2027-01-01T00:00:00Z`",
        )
    };
    date::read_moment(text).ok_or_else(wrong)
}

/// A change of a key. Members that are left out change nothing.
#[expect(
    clippy::option_option,
    reason = "left out, null, and a value have three meanings"
)]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyUpdate {
    /// Its name for people.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        nullable = false,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) name: Option<String>,
    /// The consumer that it is issued to.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$"
    )]
    pub(crate) consumer: Option<String>,
    /// All of its usage plans.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = names, required = false)]
    pub(crate) plans: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = metadata, required = false)]
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// Whether it is accepted.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) enabled: Option<bool>,
    /// When it expires; null: never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires: Option<Option<String>>,
}

impl KeyUpdate {
    /// The change for the service.
    pub(crate) fn change(self) -> Result<KeyChange, ApiProblem> {
        let expires_ms = self
            .expires
            .map(|text| text.as_deref().map(moment).transpose());
        Ok(KeyChange {
            name: self.name,
            consumer: self.consumer,
            plans: self.plans,
            metadata: self.metadata,
            enabled: self.enabled,
            expires_ms: expires_ms.transpose()?,
        })
    }
}

/// A rotation of a key's secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Rotate)]
pub(crate) struct KeyRotate {
    /// How long the old secret is accepted besides the new one. Seconds; 0: it ends now.
    #[schema(default = 86_400, minimum = 0, maximum = 2_592_000)]
    #[serde(deserialize_with = "whole_number")]
    pub(crate) overlap_seconds: u64,
}

impl Default for KeyRotate {
    fn default() -> Self {
        Self {
            overlap_seconds: 24 * 60 * 60,
        }
    }
}
