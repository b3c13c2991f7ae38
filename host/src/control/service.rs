//! The rules by which keys and plans are sold: who may have which plan, what a name may look
//! like, how a secret is rotated, what an import takes.
//!
//! It stands between the admin API and the durable [`Storage`], which knows no rules, and is
//! called by nobody on a request's way: every call here blocks.
//!
//! It promises
//! - that a change is in the ledger, and in force on this gateway, when a call returns;
//! - that two who change one thing at the same time do not overwrite each other: a change is
//!   made anew on what the other left, [`MAX_CONFLICT_RETRIES`] times at the most, or refused where the caller
//!   named the revision that it knows;
//! - that a key's text is seen by whoever created it, once, and kept nowhere;
//! - that what the configuration defines is shown, and never changed, here.
//!
//! A plan and the keys on it are checked against each other under a lock of this gateway's. Where
//! several gateways share a ledger, one can delete a plan in the very moment in which another
//! puts a key on it: that key then has no plan, and its requests are refused.
//!
//! It deliberately reads no clock (the time comes in with every call), knows no HTTP and no
//! roles, and decides nothing about requests.

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

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use super::storage::record::{KeyRecord, PlanRecord};
use super::storage::{IdempotencyRecord, QuotaExtension, Storage};
use crate::keys::KeyEntry;
use crate::limits::usage_rows::UsageDelta;
use crate::limits::{QuotaStatus, UsagePlan};
use crate::shared_store::StorageError;

use crate::model::store::Origin;

pub(crate) use csv::CsvWarning;
pub(crate) use error::ServiceError;
pub(crate) use formula::guarded;
pub(crate) use import::{ImportError, ImportReport};
pub(crate) use keys::{Idempotency, KeyChange, KeyFilter, NewKey};
pub(crate) use plans::{NewPlan, PlanChange, RateChange};
pub(crate) use rules::{MAX_METADATA, MAX_PLANS, MAX_VALUE};
#[cfg(test)]
pub(crate) use rules::{MAX_METHODS, MAX_NAME};
pub(crate) use store_export::{ExportCursor, StoreItem};
pub(crate) use store_report::{ImportCounts, StoreImport, StoreReport};
pub(crate) use usage::{ExtensionView, UsageReport, UsageReportQuery};

/// How often a change is tried again when others change the same thing.
pub(crate) const MAX_CONFLICT_RETRIES: usize = 16;

/// How long what an idempotency token stands for is kept. Milliseconds.
pub(crate) const IDEMPOTENCY_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// The works of this gateway that a change must reach, and that know what the ledger does not
/// yet: the index of keys and the counters of plans.
pub(crate) trait ServiceRuntime: Send + Sync {
    /// Bring the index up to what was committed.
    ///
    /// # Errors
    /// The ledger is out of reach; the index is brought up later.
    fn catch_up(&self) -> Result<(), StorageError>;

    /// Write what was used to the ledger now.
    ///
    /// # Errors
    /// The ledger is out of reach.
    fn flush(&self) -> Result<(), StorageError>;

    fn state(&self) -> ServiceRuntimeState;

    /// The distinct sets of plans that keys have.
    fn plan_sets(&self) -> Vec<Vec<Arc<str>>>;

    /// When this gateway last saw the key with this id. Milliseconds since 1970.
    fn last_used_ms(&self, id: &str) -> Option<u64>;

    /// Where a key's quota stands in the period that runs, as it is enforced; None where nothing was
    /// counted yet.
    fn quota_status(&self, plan: &str, key: &str) -> Option<QuotaStatus>;

    /// From now on so much remains for the key in the period that runs. None where the plan is
    /// not known here, or has no quota.
    ///
    /// # Errors
    /// The counters cannot be reached, or have no room.
    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<QuotaExtension>, StorageError>;

    /// From now on so much may be used beyond the plan's limit in the period that runs. None where
    /// the plan is not known here, or has no quota.
    ///
    /// # Errors
    /// The counters cannot be reached, or have no room.
    fn set_extra(
        &self,
        plan: &str,
        key: &str,
        extra: i64,
    ) -> Result<Option<QuotaExtension>, StorageError>;

    /// Add what was used elsewhere, by key and day: to the ledger, and to the counters.
    ///
    /// # Errors
    /// The ledger or the counters cannot be reached.
    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError>;

    /// By how much several gateways together may admit more than the plan says; None for a
    /// gateway that counts alone, and is exact.
    fn overshoot(&self, plan: &str) -> Option<PlanOvershoot>;
}

/// How the works stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceRuntimeState {
    /// Whether the index is known to hold every change up to `max_staleness` ago.
    pub(crate) fresh: bool,
    /// Since when nothing was heard of the ledger.
    pub(crate) since_contact: Duration,
    /// Keys in the index.
    pub(crate) keys: usize,
    /// The commit that the index shows.
    pub(crate) revision: u64,
    /// Calls of the ledger that failed since the start.
    pub(crate) failures: u64,
    /// Requests that were counted and are not yet in the ledger.
    pub(crate) unwritten_rows: u64,
}

/// By how much several gateways together may admit more than a plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlanOvershoot {
    /// Requests beyond the burst.
    pub(crate) rate: u64,
    /// Requests beyond the quota.
    pub(crate) quota: u64,
    /// Gateways that take part now.
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

/// A plan as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanView {
    pub(crate) record: PlanRecord,
    /// Where it is defined.
    pub(crate) origin: Origin,
    /// By how much several gateways may overstep it.
    pub(crate) overshoot: Option<PlanOvershoot>,
}

/// A piece of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page<T> {
    /// What is in it, in the order of ids or names.
    pub(crate) items: Vec<T>,
    /// The last of them, where there may be more.
    pub(crate) next: Option<String>,
}

/// What the configuration in use defines.
#[derive(Debug, Default)]
struct ConfiguredItems {
    /// In the order of their names.
    plans: Vec<UsagePlan>,
    /// In the order of their ids.
    keys: Vec<KeyEntry>,
}

/// Sells keys and plans.
pub(crate) struct ControlService {
    storage: Arc<dyn Storage>,
    runtime: Arc<dyn ServiceRuntime>,
    configured: ArcSwap<ConfiguredItems>,
    /// Held for reading while a key is put on a plan, for writing while a plan changes.
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
    /// On this ledger, for the gateway with these works.
    #[must_use]
    pub(crate) fn new(ledger: Arc<dyn Storage>, works: Arc<dyn ServiceRuntime>) -> Self {
        Self {
            storage: ledger,
            runtime: works,
            configured: ArcSwap::default(),
            plans: RwLock::new(()),
        }
    }

    /// What the configuration in use defines: at the start, and with every reload.
    pub(crate) fn set_configured(
        &self,
        plans: impl IntoIterator<Item = UsagePlan>,
        keys: impl IntoIterator<Item = KeyEntry>,
    ) {
        let mut fixed = ConfiguredItems {
            plans: plans.into_iter().collect(),
            keys: keys.into_iter().collect(),
        };
        fixed.plans.sort_by(|one, two| one.name.cmp(&two.name));
        fixed.keys.sort_by(|one, two| one.id.cmp(&two.id));
        self.configured.store(Arc::new(fixed));
    }

    /// What the ledger is, for people.
    #[must_use]
    pub(crate) fn storage_name(&self) -> String {
        self.storage.name()
    }

    /// How the works stand.
    #[must_use]
    pub(crate) fn state(&self) -> ServiceRuntimeState {
        self.runtime.state()
    }

    /// What was created under this token, if the request was the same.
    ///
    /// # Errors
    /// The request was another one, or the ledger is out of reach.
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

    /// The commit is done; make it seen here. What this gateway cannot read now it reads later,
    /// or refuses keys, so this is no error of the change.
    fn apply_commit(&self) {
        if let Err(error) = self.runtime.catch_up() {
            tracing::warn!("a change is stored, and not yet in force on this gateway: {error}");
        }
    }
}
