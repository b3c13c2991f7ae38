//! What `[store]` says: the ledger, its keeper, and the counters that go with it.

use std::sync::Arc;

use super::works::GatewayWorks;
use super::{FoundationError, Gateway};
use crate::config::{self, Config};
use crate::store::keeper::{Keeper, KeeperSettings};
use crate::store::ledger::Ledger;
use crate::store::ledger::sqlite::SqliteLedger;
use crate::store::limits::{Clock, LimitStore, LocalLimits};
use crate::store::registrar::{Registrar, Works};

/// The counters, and what is behind them.
pub struct Durable {
    /// The counters.
    pub limits: Arc<dyn LimitStore>,
    /// Where there is a `[store]`.
    pub keeper: Option<Arc<Keeper>>,
}

impl Durable {
    /// Without `[store]`: counters are in memory, and nothing is kept.
    pub fn none() -> Self {
        Self {
            limits: Arc::new(LocalLimits::default()),
            keeper: None,
        }
    }
}

/// The rules of selling, and what of the running gateway they reach.
pub struct Selling {
    /// The rules.
    pub registrar: Arc<Registrar>,
    works: Arc<GatewayWorks>,
}

impl Selling {
    /// Where there is a `[store]`.
    pub fn of(durable: &Durable, clock: Clock) -> Option<Self> {
        let keeper = durable.keeper.as_ref()?;
        let limits = Arc::clone(&durable.limits);
        let works = Arc::new(GatewayWorks::new(Arc::clone(keeper), limits, clock));
        let reached: Arc<dyn Works> = works.clone();
        Some(Self {
            registrar: Arc::new(Registrar::new(Arc::clone(keeper.ledger()), reached)),
            works,
        })
    }

    /// What this configuration defines is shown, and cannot be changed.
    pub fn put_in_use(&self, gateway: &Gateway) {
        let services = &gateway.services;
        self.works.put_in_use(services.plans.clone());
        let plans = services.plans.fixed().iter();
        let plans = plans.map(|plan| plan.plan().clone());
        self.registrar
            .put_fixed(plans, services.keys.fixed.entries());
    }
}

/// Open the store and read it, as the configuration says.
pub fn open(config: &Config, clock: Clock) -> Result<Durable, FoundationError> {
    let Some(store) = &config.store else {
        return Ok(Durable::none());
    };
    let (ledger, limits, shared): (Arc<dyn Ledger>, Arc<dyn LimitStore>, bool) = match &store.place
    {
        config::StorePlace::Sqlite(path) => (
            Arc::new(SqliteLedger::open(path)?),
            Arc::new(LocalLimits::new(store.max_counters).recording()),
            false,
        ),
        config::StorePlace::Redis(_) => todo!(),
    };
    let settings = KeeperSettings {
        flush_interval: store.flush_interval,
        max_staleness: shared.then_some(store.max_staleness),
        believe_stale: store.on_stale == config::OnStale::Allow,
        usage_days: store.usage_days,
    };
    let name = ledger.name();
    let keeper = Keeper::start(ledger, Arc::clone(&limits), clock, settings)?;
    let state = keeper.state();
    tracing::info!(
        keys = state.keys,
        plans = keeper.plans().snapshot().len(),
        revision = state.revision,
        "keys and plans are read from {name}"
    );
    Ok(Durable {
        limits,
        keeper: Some(Arc::new(keeper)),
    })
}
