//! What `[store]` says: the ledger, its keeper, and the counters that go with it.

use std::sync::Arc;

use super::works::GatewayWorks;
use super::{FoundationError, Gateway};
use crate::config::{self, Config};
use crate::store::keeper::{Keeper, KeeperSettings};
use crate::store::ledger::Ledger;
use crate::store::ledger::redis::{RedisLedger, RedisSettings};
use crate::store::ledger::sqlite::SqliteLedger;
use crate::store::limits::{
    Clock, LeasePolicy, LeasedLimits, LimitStore, LocalLimits, OnUnavailable,
};
use crate::store::registrar::{Registrar, Works};
use crate::store::secrets::Secret;

/// The counters, and what is behind them.
pub struct Durable {
    /// The counters.
    pub limits: Arc<dyn LimitStore>,
    /// The same counters, where several gateways share them.
    pub leased: Option<Arc<LeasedLimits>>,
    /// Where there is a `[store]`.
    pub keeper: Option<Arc<Keeper>>,
}

impl Durable {
    /// Without `[store]`: counters are in memory, and nothing is kept.
    pub fn none() -> Self {
        Self {
            limits: Arc::new(LocalLimits::default()),
            leased: None,
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
        let works = Arc::new(GatewayWorks::new(
            Arc::clone(keeper),
            limits,
            durable.leased.clone(),
            clock,
        ));
        let reached: Arc<dyn Works> = works.clone();
        Some(Self {
            registrar: Arc::new(Registrar::new(Arc::clone(keeper.ledger()), reached)),
            works,
        })
    }

    /// What this configuration defines is shown, and cannot be changed.
    pub fn put_in_use(&self, gateway: &Gateway) {
        let services = &gateway.services;
        let keys = Arc::clone(&services.keys.fixed);
        self.works.put_in_use(services.plans.clone(), keys);
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
    let (ledger, limits, leased): (Arc<dyn Ledger>, Arc<dyn LimitStore>, _) = match &store.place {
        config::StorePlace::Sqlite(path) => (
            Arc::new(SqliteLedger::open(path)?),
            Arc::new(LocalLimits::new(store.max_counters).recording()),
            None,
        ),
        config::StorePlace::Redis(place) => {
            let settings = redis(config, place)?;
            let ledger = RedisLedger::open(&settings)?;
            let leased = LeasedLimits::start(&settings, policy(store), clock)?;
            (Arc::new(ledger), leased.clone(), Some(leased))
        }
    };
    let settings = KeeperSettings {
        flush_interval: store.flush_interval,
        // A file is this gateway's own: nobody else changes it.
        max_staleness: leased.as_ref().map(|_| store.max_staleness),
        believe_stale: store.on_stale == config::OnStale::Allow,
        usage_days: store.usage_days,
    };
    let name = ledger.name();
    let keeper = Keeper::start(ledger, Arc::clone(&limits), clock, settings)?;
    if keeper.is_loaded() {
        let state = keeper.state();
        tracing::info!(
            keys = state.keys,
            plans = keeper.plans().snapshot().len(),
            revision = state.revision,
            "keys and plans are read from {name}"
        );
    }
    Ok(Durable {
        limits,
        leased,
        keeper: Some(Arc::new(keeper)),
    })
}

/// How a Redis is spoken to, with its password.
pub(super) fn redis(
    config: &Config,
    place: &config::RedisPlace,
) -> Result<RedisSettings, FoundationError> {
    let password = place.password.and_then(|place| config.secrets.get(place));
    let password = match password {
        None => None,
        Some(secret) => {
            let told = |cause: String| FoundationError::Password {
                secret: Arc::clone(&secret.name),
                cause,
            };
            let value = Secret::read(&super::keys::source(secret));
            let value = value.map_err(|error| told(error.to_string()))?;
            let text = value.login();
            Some(text.ok_or_else(|| told("it is not UTF-8".to_owned()))?)
        }
    };
    Ok(RedisSettings {
        url: place.url.clone(),
        password,
        prefix: place.prefix.clone(),
        timeout: place.timeout,
    })
}

fn policy(store: &config::Store) -> LeasePolicy {
    LeasePolicy {
        max_lease: store.max_lease,
        on_unavailable: match store.on_unavailable {
            config::OnUnavailable::Deny => OnUnavailable::Deny,
            config::OnUnavailable::Allow => OnUnavailable::Allow,
            config::OnUnavailable::Local => OnUnavailable::Local,
        },
        max_counters: store.max_counters,
        max_wait: store.max_wait,
    }
}
