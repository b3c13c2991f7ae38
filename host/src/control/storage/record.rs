//! The stored form of keys and plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Revision;
use crate::keys::KeyDigest;
use crate::limits::{MethodRate, UsagePlan};
use crate::model::plan::{QuotaLimit, RateLimit};

/// An API key, without its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public id, the attribute `api-key.id`: 1 to 64 of `[A-Za-z0-9_-]`. It never changes.
    pub id: String,
    /// A name for people; may be empty.
    pub name: String,
    /// The consumer that it was issued to, the attribute `consumer.id`.
    pub consumer: String,
    /// The names of its usage plans.
    pub plans: Vec<String>,
    /// The operator's metadata, the attributes `api-key.<name>`.
    pub metadata: BTreeMap<String, String>,
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Milliseconds since 1970.
    pub updated_ms: u64,
    /// When it expires. Milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Its secrets: the newest first, and during a rotation the previous one.
    pub secrets: Vec<SecretRecord>,
    /// The commit that wrote it; 0 before the first commit.
    #[serde(default)]
    pub revision: Revision,
}

/// One secret of a key, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub digest: KeyDigest,
    /// Its first characters, to recognise it by: too few to help with guessing the rest.
    pub prefix: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// When it expires: the deadline of a rotation. Milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Its name, which its counters belong to. It never changes.
    pub(crate) name: String,
    /// A description for people; may be empty.
    pub(crate) description: String,
    /// Its token bucket.
    pub(crate) rate: Option<RateLimit>,
    pub(crate) quota: Option<QuotaLimit>,
    /// Rates of single methods.
    pub(crate) methods: Vec<MethodRate>,
    /// The APIs that it is for; empty: all.
    pub(crate) apis: Vec<String>,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// Milliseconds since 1970.
    pub(crate) updated_ms: u64,
    /// The commit that wrote it; 0 before the first commit.
    #[serde(default)]
    pub(crate) revision: Revision,
}

impl From<&PlanRecord> for UsagePlan {
    fn from(record: &PlanRecord) -> Self {
        Self {
            name: Arc::from(&*record.name),
            rate: record.rate,
            quota: record.quota,
            methods: record.methods.clone(),
            apis: record.apis.iter().map(|api| Arc::from(&**api)).collect(),
        }
    }
}

/// The plan as it is in the configuration.
impl From<&UsagePlan> for PlanRecord {
    fn from(plan: &UsagePlan) -> Self {
        Self {
            name: plan.name.to_string(),
            rate: plan.rate,
            quota: plan.quota,
            methods: plan.methods.clone(),
            apis: plan.apis.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}
