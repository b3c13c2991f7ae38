//! The parts of the running gateway that the key and plan services need: its keys, its plans, its
//! counters.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::control::service::{PlanOvershoot, ServiceRuntime};
use crate::control::storage::QuotaExtension;
use crate::control::sync::{StorageSync, SyncState};
use crate::keys::KeyIndex;
use crate::limits::usage_rows::UsageDelta;
use crate::limits::{ExtendError, LimitStore, PlanBook, QuotaStatus};
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

/// The parts of one process that serve keys and plans.
pub(crate) struct GatewayServiceRuntime {
    sync: Arc<StorageSync>,
    limits: Arc<dyn LimitStore>,
    /// The plans of the configuration in use, with the store's.
    plans: ArcSwap<PlanBook>,
    /// The keys of the configuration in use.
    fixed: ArcSwap<KeyIndex>,
}

impl fmt::Debug for GatewayServiceRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayServiceRuntime")
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}

impl GatewayServiceRuntime {
    /// Before the first configuration is in use.
    pub(crate) fn new(sync: Arc<StorageSync>, limits: Arc<dyn LimitStore>) -> Self {
        let live = Arc::clone(&sync.plans);
        Self {
            sync,
            limits,
            plans: ArcSwap::from_pointee(PlanBook::new(Default::default(), live)),
            fixed: ArcSwap::default(),
        }
    }

    /// The plans and keys of the configuration that is in use from now on.
    pub(crate) fn put_in_use(&self, plans: PlanBook, keys: Arc<KeyIndex>) {
        self.plans.store(Arc::new(plans));
        self.fixed.store(keys);
    }
}

impl ServiceRuntime for GatewayServiceRuntime {
    fn catch_up(&self) -> Result<(), StorageError> {
        self.sync.catch_up()
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.sync.flush(false)
    }

    fn state(&self) -> SyncState {
        self.sync.state()
    }

    fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.sync.index.plan_sets()
    }

    fn last_used_ms(&self, id: &str) -> Option<u64> {
        let fixed = self.fixed.load().last_used_ms(id);
        fixed.or_else(|| self.sync.index.last_used_ms(id))
    }

    fn quota_status(&self, plan: &str, key: &str) -> Option<QuotaStatus> {
        let now = Timestamp::now();
        let plans = self.plans.load();
        plans.with(plan, |plan| self.limits.quota_status(plan?, key, now))
    }

    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<QuotaExtension>, StorageError> {
        if self.sync.is_released() {
            // A successor that counts by now would not see it.
            return Err(StorageError::Unreachable {
                name: "this gateway".to_owned(),
                cause: "it drains; ask the one that takes its place".to_owned(),
            });
        }
        let now = Timestamp::now();
        let plans = self.plans.load();
        let extended = plans.with(plan, |plan| match plan {
            None => Err(ExtendError::NoQuota),
            Some(plan) => self.limits.extend(plan, key, remaining, now),
        });
        let failed = |cause: String| StorageError::Unreachable {
            name: "the store of counters".to_owned(),
            cause,
        };
        match extended {
            Ok(extended) => Ok(Some(QuotaExtension {
                plan: plan.to_owned(),
                key: key.to_owned(),
                period: extended.period,
                number: extended.number,
                extra: extended.extra,
            })),
            Err(ExtendError::NoQuota) => Ok(None),
            Err(error @ ExtendError::NoRoom) => Err(failed(error.to_string())),
            Err(ExtendError::Unreachable(cause)) => Err(failed(cause)),
        }
    }

    fn set_extra(
        &self,
        plan: &str,
        key: &str,
        extra: i64,
    ) -> Result<Option<QuotaExtension>, StorageError> {
        let plans = self.plans.load();
        let limit = plans.with(plan, |plan| Some(plan?.plan.quota?.limit));
        let (Some(limit), Some(status)) = (limit, self.quota_status(plan, key)) else {
            return Ok(None);
        };
        let most = limit.saturating_add_signed(extra);
        self.extend(plan, key, most.saturating_sub(status.used))
    }

    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        self.sync.add_usage(used)
    }

    fn overshoot(&self, plan: &str) -> Option<PlanOvershoot> {
        let leased = self.limits.leased()?;
        let plans = self.plans.load();
        let bound = plans.with(plan, |plan| Some(leased.bound(&plan?.plan)))?;
        Some(PlanOvershoot {
            rate: bound.rate.saturating_mul(bound.gateways),
            quota: bound.quota.saturating_mul(bound.gateways),
            gateways: bound.gateways,
        })
    }
}
