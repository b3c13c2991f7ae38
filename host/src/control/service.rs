//! The key service and the plan service: the rules for keys and plans. They say which plans a key
//! may have, how a name may look, how a secret is rotated, what an import accepts.
//!
//! The admin API is above it, and the durable [`Storage`], which knows no rules, below. Every call
//! blocks, and no request waits for one.
//!
//! It promises
//! - that a change is in the storage, and in use on this gateway, when a call returns;
//! - that two callers who change one thing at the same time do not overwrite each other: a change
//!   is applied again to what the other left, at most [`MAX_CONFLICT_RETRIES`] times, or refused
//!   if the caller named a revision;
//! - that only the creator of a key sees its text, once, and that it is not stored;
//! - that what the configuration defines is shown, and never changed, here.
//!
//! A lock of this gateway keeps a plan and the keys on it consistent. If several gateways share a
//! storage, one can delete a plan at the very moment when another puts a key on it: that key then
//! has no plan, and its requests are refused.
//!
//! It deliberately reads no clock (callers pass the time), has no HTTP and no roles, and decides
//! nothing about requests.

mod csv;
mod error;
mod export;
mod formula;
mod import;
mod keys;
mod plans;
mod rules;
mod secret;
mod store_export;
mod store_import;
mod store_report;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use serde::Serialize;
use utoipa::ToSchema;

use super::storage::record::{KeyRecord, PlanRecord};
use super::storage::{
    CommitError, Conflict, IdempotencyRecord, QuotaExtension, Revision, Storage, Write,
};
use super::sync::SyncState;
use crate::keys::KeyEntry;
use crate::limits::usage_rows::UsageDelta;
use crate::limits::{QuotaStatus, UsagePlan};
use crate::shared_store::StorageError;

use crate::model::store::Origin;

pub(crate) use csv::CsvWarning;
pub(crate) use error::{InvalidField, ServiceError};
pub(crate) use formula::guarded;
pub(crate) use import::{ImportError, ImportReport};
pub(crate) use keys::{Idempotency, KeyChange};
pub(crate) use plans::{PlanChange, RateChange};
pub(crate) use rules::{MAX_METADATA, MAX_PLANS, MAX_VALUE};
#[cfg(test)]
pub(crate) use rules::{MAX_METHODS, MAX_NAME};
pub(crate) use store_export::{ExportCursor, StoreItem};
pub(crate) use store_report::{StoreImport, StoreReport};
pub(crate) use usage::UsageReport;

/// How often a change is tried again when others change the same thing.
pub(crate) const MAX_CONFLICT_RETRIES: usize = 16;

/// How long an idempotency token is remembered. Milliseconds.
pub(crate) const IDEMPOTENCY_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// The parts of this gateway that a change must reach, and that have usage the storage does not
/// have yet: the index of keys and the counters of plans.
pub(crate) trait ServiceRuntime: Send + Sync {
    /// Applies all commits to the index.
    ///
    /// # Errors
    ///
    /// The storage is out of reach; the index is updated later.
    fn catch_up(&self) -> Result<(), StorageError>;

    /// Writes the usage to the storage now.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    fn flush(&self) -> Result<(), StorageError>;

    fn state(&self) -> SyncState;

    /// The distinct sets of plans that keys have.
    fn plan_sets(&self) -> Vec<Vec<Arc<str>>>;

    /// When this gateway last saw the key with this id. Milliseconds since 1970.
    fn last_used_ms(&self, id: &str) -> Option<u64>;

    /// The state of a key's quota in the current period, as it is enforced; None if nothing was
    /// counted yet.
    fn quota_status(&self, plan: &str, key: &str) -> Option<QuotaStatus>;

    /// Sets the remaining quota of a key in the current period. None if this gateway does not have
    /// the plan, or the plan has no quota.
    ///
    /// # Errors
    ///
    /// The counters cannot be reached, or are full.
    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<QuotaExtension>, StorageError>;

    /// Sets how much the key may use beyond the plan's limit in the current period. None if this
    /// gateway does not have the plan, or the plan has no quota.
    ///
    /// # Errors
    ///
    /// The counters cannot be reached, or are full.
    fn set_extra(
        &self,
        plan: &str,
        key: &str,
        extra: i64,
    ) -> Result<Option<QuotaExtension>, StorageError>;

    /// Adds usage from elsewhere, by key and day, to the storage and to the counters.
    ///
    /// # Errors
    ///
    /// The storage or the counters cannot be reached.
    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError>;

    /// How many requests more several gateways together may admit than the plan says; None for a
    /// gateway that counts alone and exactly.
    fn overshoot(&self, plan: &str) -> Option<PlanOvershoot>;
}

/// How far several gateways may exceed a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Slack)]
pub(crate) struct PlanOvershoot {
    /// Requests beyond the burst.
    pub(crate) rate: u64,
    /// Requests beyond the quota.
    pub(crate) quota: u64,
    /// Gateways that share the plan now.
    pub(crate) gateways: u64,
}

/// A key as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyView {
    pub(crate) record: KeyRecord,
    /// When it was last used. Milliseconds since 1970.
    pub(crate) last_used_ms: Option<u64>,
    /// Where it is defined.
    pub(crate) origin: Origin,
}

/// A plan for the caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanView {
    pub(crate) record: PlanRecord,
    /// Where it is defined.
    pub(crate) origin: Origin,
    /// How many requests more several gateways may admit.
    pub(crate) overshoot: Option<PlanOvershoot>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page<T> {
    /// Its items, in the order of ids or names.
    pub(crate) items: Vec<T>,
    /// The last item, if there may be more.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// At most `limit` of these items, in the order of their ids or names.
    fn of(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> &str) -> Self {
        items.sort_by(|one, two| id(one).cmp(id(two)));
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(|item| id(item).to_owned());
        let next = last.filter(|_| more);
        Self { items, next }
    }
}

/// Fails if it is defined in the configuration.
fn refuse_configured(
    kind: &'static str,
    name: &str,
    is_configured: bool,
) -> Result<(), ServiceError> {
    if is_configured {
        let name = name.to_owned();
        return Err(ServiceError::InConfiguration { kind, name });
    }
    Ok(())
}

/// Repeats a change until it does not conflict with changes of others.
fn retry<T>(
    kind: &'static str,
    name: &str,
    mut attempt: impl FnMut() -> Result<Option<T>, ServiceError>,
) -> Result<T, ServiceError> {
    for _ in 0..MAX_CONFLICT_RETRIES {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    Err(ServiceError::TooManyConflicts(kind, name.to_owned()))
}

/// The keys and plans of the configuration in use.
#[derive(Debug, Default)]
struct ConfiguredItems {
    /// By their names.
    plans: BTreeMap<Arc<str>, UsagePlan>,
    /// By their ids.
    keys: BTreeMap<String, KeyEntry>,
}

/// The key and plan service.
pub(crate) struct ControlService {
    storage: Arc<dyn Storage>,
    runtime: Arc<dyn ServiceRuntime>,
    configured: ArcSwap<ConfiguredItems>,
    /// Locked for reading while a key is put on a plan, for writing while a plan changes.
    plans: RwLock<()>,
}

impl fmt::Debug for ControlService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlService")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

impl ControlService {
    /// The service for this storage and this gateway.
    #[must_use]
    pub(crate) fn new(storage: Arc<dyn Storage>, runtime: Arc<dyn ServiceRuntime>) -> Self {
        Self {
            storage,
            runtime,
            configured: ArcSwap::default(),
            plans: RwLock::new(()),
        }
    }

    /// Sets the configuration's keys and plans: at the start, and with every reload.
    pub(crate) fn set_configured(
        &self,
        plans: impl IntoIterator<Item = UsagePlan>,
        keys: impl IntoIterator<Item = KeyEntry>,
    ) {
        let plans = plans.into_iter().map(|plan| (plan.name.clone(), plan));
        let keys = keys.into_iter().map(|key| (key.id.clone(), key));
        self.configured.store(Arc::new(ConfiguredItems {
            plans: plans.collect(),
            keys: keys.collect(),
        }));
    }

    fn refuse_configured_key(&self, id: &str) -> Result<(), ServiceError> {
        refuse_configured("key", id, self.configured.load().keys.contains_key(id))
    }

    fn refuse_configured_plan(&self, name: &str) -> Result<(), ServiceError> {
        let is_configured = self.configured.load().plans.contains_key(name);
        refuse_configured("plan", name, is_configured)
    }

    /// The name of the storage, for people.
    #[must_use]
    pub(crate) fn storage_name(&self) -> String {
        self.storage.name()
    }

    /// The state of the sync.
    #[must_use]
    pub(crate) fn state(&self) -> SyncState {
        self.runtime.state()
    }

    /// Finds what was created under this token, if the request was the same.
    ///
    /// # Errors
    ///
    /// The request was another one, or the storage is out of reach.
    fn find_replay(
        &self,
        with: &Idempotency,
        now_ms: u64,
    ) -> Result<Option<IdempotencyRecord>, ServiceError> {
        match self.storage.idempotency_record(&with.token, now_ms)? {
            Some(what) if what.request == with.request => Ok(Some(what)),
            Some(_) => Err(ServiceError::IdempotencyMismatch),
            None => Ok(None),
        }
    }

    /// Makes these writes and applies them here. None if they conflict with changes of others, so
    /// that the caller must read again.
    fn commit(&self, writes: &[Write]) -> Result<Option<Revision>, ServiceError> {
        use Conflict::{Key, Plan, Token};
        match self.storage.commit(writes) {
            Ok(revision) => {
                self.apply_commit();
                Ok(Some(revision))
            }
            Err(CommitError::Conflict(Key(_) | Plan(_) | Token)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies a finished commit here. If this gateway cannot read it now, it reads it later or
    /// refuses keys, so the change itself has not failed.
    fn apply_commit(&self) {
        if let Err(error) = self.runtime.catch_up() {
            tracing::warn!(
                "a change is stored but not yet in use on this gateway, which tries again by itself: {error}"
            );
        }
    }
}
