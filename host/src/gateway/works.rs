//! What the rules of selling need of the running gateway: its index of keys, its plans, its
//! counters.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::store::keeper::Keeper;
use crate::store::keys::KeyIndex;
use crate::store::ledger::{Extension, LedgerError, UsageDelta};
use crate::store::limits::{Clock, ExtendError, LeasedLimits, LimitStore, PlanBook, QuotaStanding};
use crate::store::registrar::{Slack, Works, WorksState};

/// The works of one process.
pub(crate) struct GatewayServiceRuntime {
    keeper: Arc<Keeper>,
    limits: Arc<dyn LimitStore>,
    leased: Option<Arc<LeasedLimits>>,
    clock: Clock,
    /// The plans of the configuration in use, with the store's.
    plans: ArcSwap<PlanBook>,
    /// The keys of the configuration in use.
    fixed: ArcSwap<KeyIndex>,
}

impl fmt::Debug for GatewayServiceRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayWorks")
            .field("keeper", &self.keeper)
            .finish_non_exhaustive()
    }
}

impl GatewayServiceRuntime {
    /// Before the first configuration is in use.
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        limits: Arc<dyn LimitStore>,
        leased: Option<Arc<LeasedLimits>>,
        clock: Clock,
    ) -> Self {
        let live = Arc::clone(keeper.plans());
        Self {
            keeper,
            limits,
            leased,
            clock,
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

impl Works for GatewayServiceRuntime {
    fn catch_up(&self) -> Result<(), LedgerError> {
        self.keeper.catch_up()
    }

    fn flush(&self) -> Result<(), LedgerError> {
        self.keeper.flush()
    }

    fn state(&self) -> WorksState {
        let state = self.keeper.state();
        WorksState {
            fresh: state.fresh,
            since_contact: state.since_contact,
            keys: state.keys,
            revision: state.revision,
            failures: state.failures,
            unsaved: state.unsaved,
        }
    }

    fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.keeper.index().plan_sets()
    }

    fn last_used_ms(&self, id: &str) -> Option<u64> {
        let fixed = self.fixed.load().last_used_ms(id);
        fixed.or_else(|| self.keeper.index().last_used_ms(id))
    }

    fn standing(&self, plan: &str, key: &str) -> Option<QuotaStanding> {
        let now = self.clock.now();
        let plans = self.plans.load();
        plans.with(plan, |plan| self.limits.standing(plan?, key, now))
    }

    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<Extension>, LedgerError> {
        if self.keeper.is_leaving() {
            // A successor that counts by now would not see it.
            return Err(LedgerError::Unreachable {
                name: "this gateway".to_owned(),
                cause: "it drains; ask the one that takes its place".to_owned(),
            });
        }
        let now = self.clock.now();
        let plans = self.plans.load();
        let extended = plans.with(plan, |plan| match plan {
            None => Err(ExtendError::NoQuota),
            Some(plan) => self.limits.extend(plan, key, remaining, now),
        });
        let failed = |cause: String| LedgerError::Unreachable {
            name: "the store of counters".to_owned(),
            cause,
        };
        match extended {
            Ok(extended) => Ok(Some(Extension {
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
    ) -> Result<Option<Extension>, LedgerError> {
        let plans = self.plans.load();
        let limit = plans.with(plan, |plan| Some(plan?.plan().quota?.limit));
        let (Some(limit), Some(standing)) = (limit, self.standing(plan, key)) else {
            return Ok(None);
        };
        let most = limit.saturating_add_signed(extra);
        self.extend(plan, key, most.saturating_sub(standing.used))
    }

    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), LedgerError> {
        self.keeper.add_usage(used)
    }

    fn bound(&self, plan: &str) -> Option<Slack> {
        let leased = self.leased.as_ref()?;
        let plans = self.plans.load();
        let bound = plans.with(plan, |plan| Some(leased.bound(plan?.plan())))?;
        Some(Slack {
            rate: bound.rate.saturating_mul(bound.gateways),
            quota: bound.quota.saturating_mul(bound.gateways),
            gateways: bound.gateways,
        })
    }
}
