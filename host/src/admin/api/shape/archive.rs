//! A whole store over the wire: a JSON object a line, so that either side holds a few of them at a
//! time.
//!
//! ```text
//! {"windlass_store":1,"exported":"2026-11-29T10:00:00Z","windlass":"0.1.0"}
//! {"plan":{"name":"gold",..}}
//! {"key":{"id":"k3v9q0c2m8x1z7ab","secrets":[{"digest":"sha256:..",..}],..}}
//! {"usage":{"plan":"gold","key":"k3v9q0c2m8x1z7ab","day":"2026-11-28","used":120}}
//! {"extension":{"plan":"gold","key":"k3v9q0c2m8x1z7ab","period":"month","begins":"2026-11-01","extra":50}}
//! {"end":{"plans":1,"keys":1,"usage":1,"extensions":1}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::PlanQuota;
use super::starts_on;
use crate::control::service::StoreItem;
use crate::control::storage::record::{KeyRecord, PlanRecord, SecretRecord};
use crate::control::storage::{QuotaExtension, StoredKey};
use crate::limits::MethodRate;
use crate::model::date;
use crate::model::period::{FirstDay, PeriodKind};
use crate::model::plan::RateLimit;

/// The version of the format. A newer one is refused.
pub(crate) const VERSION: u32 = 1;

/// One line. Unknown members are ignored, because those of `keys export` are among them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreLine {
    /// A plan.
    Plan(PlanLine),
    /// A key.
    Key(KeyLine),
    /// Usage of one day.
    Usage(UsageLine),
    /// An extension.
    Extension(ExtensionLine),
    /// The last line: the number of records of each kind.
    End(RecordCounts),
    /// The first line.
    #[serde(untagged)]
    Header {
        /// The version of the format.
        windlass_store: u32,
        /// When the file was written.
        #[serde(default)]
        exported: String,
        /// The version of Windlass that wrote it.
        #[serde(default)]
        windlass: String,
    },
}

/// The number of records of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordCounts {
    pub(crate) plans: u64,
    pub(crate) keys: u64,
    /// Days of usage.
    pub(crate) usage: u64,
    /// Extensions of quotas.
    pub(crate) extensions: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanLine {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    rate: Option<RateLimit>,
    #[serde(default)]
    quota: Option<PlanQuota>,
    #[serde(default)]
    methods: Vec<MethodRate>,
    #[serde(default)]
    apis: Vec<String>,
    created: String,
    updated: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyLine {
    id: String,
    #[serde(default)]
    name: String,
    consumer: String,
    #[serde(default)]
    plans: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    enabled: bool,
    #[serde(default)]
    expires: Option<String>,
    created: String,
    updated: String,
    #[serde(default)]
    last_used: Option<String>,
    secrets: Vec<SecretLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SecretLine {
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    prefix: String,
    created: String,
    #[serde(default)]
    expires: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UsageLine {
    plan: String,
    key: String,
    day: String,
    used: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExtensionLine {
    plan: String,
    key: String,
    period: PeriodKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_on: Option<FirstDay>,
    begins: String,
    extra: i64,
}

impl StoreLine {
    /// The first line of an export.
    pub(crate) fn header(now_ms: u64) -> Self {
        Self::Header {
            windlass_store: VERSION,
            exported: date::moment(now_ms),
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl RecordCounts {
    /// Counts a record.
    pub(crate) fn add(&mut self, item: &StoreItem) {
        match item {
            StoreItem::Plan(_) => self.plans += 1,
            StoreItem::Key(_) => self.keys += 1,
            StoreItem::Usage { .. } => self.usage += 1,
            StoreItem::Extension(_) => self.extensions += 1,
        }
    }
}

impl From<StoreItem> for StoreLine {
    fn from(item: StoreItem) -> Self {
        match item {
            StoreItem::Plan(plan) => Self::Plan(PlanLine {
                name: plan.name,
                description: plan.description,
                rate: plan.rate,
                quota: plan.quota.map(PlanQuota::from),
                methods: plan.methods,
                apis: plan.apis,
                created: date::moment(plan.created_ms),
                updated: date::moment(plan.updated_ms),
            }),
            StoreItem::Key(StoredKey {
                record,
                last_used_ms,
            }) => Self::Key(KeyLine {
                id: record.id,
                name: record.name,
                consumer: record.consumer,
                plans: record.plans,
                metadata: record.metadata,
                enabled: record.enabled,
                expires: record.expires_ms.map(date::moment),
                created: date::moment(record.created_ms),
                updated: date::moment(record.updated_ms),
                last_used: last_used_ms.map(date::moment),
                secrets: record
                    .secrets
                    .into_iter()
                    .map(|secret| SecretLine {
                        digest: Some(secret.digest.to_string()),
                        prefix: secret.prefix,
                        created: date::moment(secret.created_ms),
                        expires: secret.expires_ms.map(date::moment),
                    })
                    .collect(),
            }),
            StoreItem::Usage {
                plan,
                key,
                day,
                used,
            } => Self::Usage(UsageLine {
                plan,
                key,
                day: date::day(day),
                used,
            }),
            StoreItem::Extension(made) => Self::Extension(ExtensionLine {
                period: made.period.kind(),
                starts_on: made.period.first_day(),
                begins: date::moment(made.period.start_ms(made.number)),
                plan: made.plan,
                key: made.key,
                extra: made.extra,
            }),
        }
    }
}

fn moment(member: &str, text: &str) -> Result<u64, String> {
    let wrong = || format!("`{member}` must be a date-time as `2027-01-01T00:00:00Z`");
    date::read_moment(text).ok_or_else(wrong)
}

fn optional(member: &str, text: Option<&String>) -> Result<Option<u64>, String> {
    text.map(|text| moment(member, text)).transpose()
}

impl TryFrom<PlanLine> for StoreItem {
    type Error = String;

    fn try_from(plan: PlanLine) -> Result<Self, String> {
        let quota = plan.quota.map(PlanQuota::record).transpose();
        Ok(Self::Plan(PlanRecord {
            name: plan.name,
            description: plan.description,
            rate: plan.rate,
            quota: quota.map_err(str::to_owned)?,
            methods: plan.methods,
            apis: plan.apis,
            created_ms: moment("created", &plan.created)?,
            updated_ms: moment("updated", &plan.updated)?,
            revision: 0,
        }))
    }
}

impl TryFrom<KeyLine> for StoreItem {
    type Error = String;

    fn try_from(key: KeyLine) -> Result<Self, String> {
        let secrets = key.secrets.into_iter().map(|secret| {
            let digest = secret.digest.ok_or_else(|| {
                "a secret has no `digest`; export with a token whose role is `write`".to_owned()
            })?;
            Ok(SecretRecord {
                digest: digest
                    .parse()
                    .map_err(|error: crate::keys::DigestError| error.to_string())?,
                prefix: secret.prefix,
                created_ms: moment("secrets.created", &secret.created)?,
                expires_ms: optional("secrets.expires", secret.expires.as_ref())?,
            })
        });
        Ok(Self::Key(StoredKey {
            last_used_ms: optional("last_used", key.last_used.as_ref())?,
            record: KeyRecord {
                id: key.id,
                name: key.name,
                consumer: key.consumer,
                plans: key.plans,
                metadata: key.metadata,
                enabled: key.enabled,
                created_ms: moment("created", &key.created)?,
                updated_ms: moment("updated", &key.updated)?,
                expires_ms: optional("expires", key.expires.as_ref())?,
                secrets: secrets.collect::<Result<_, String>>()?,
                revision: 0,
            },
        }))
    }
}

impl TryFrom<UsageLine> for StoreItem {
    type Error = String;

    fn try_from(usage: UsageLine) -> Result<Self, String> {
        let day = date::read_day(&usage.day);
        Ok(Self::Usage {
            plan: usage.plan,
            key: usage.key,
            day: day.ok_or_else(|| "`day` must be a day as `2026-11-25`".to_owned())?,
            used: usage.used,
        })
    }
}

impl TryFrom<ExtensionLine> for StoreItem {
    type Error = String;

    fn try_from(made: ExtensionLine) -> Result<Self, String> {
        let period = starts_on::period(made.period, made.starts_on)?;
        Ok(Self::Extension(QuotaExtension {
            number: period.number(moment("begins", &made.begins)?),
            plan: made.plan,
            key: made.key,
            period,
            extra: made.extra,
        }))
    }
}
